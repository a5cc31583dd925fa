"""The catalogue is whole, compiled, and says the same things."""

import shutil

import polib
import pytest
from django.core.management import CommandError, call_command

from triage.management.commands import check_translations


@pytest.fixture
def catalogue(tmp_path, settings):
    """A small catalogue of an empty product; call it with entries to write it."""
    settings.BASE_DIR = tmp_path
    settings.LOCALE_PATHS = [tmp_path / "triage" / "locale"]
    for source in check_translations.SOURCES:
        (tmp_path / source).mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / check_translations.API).write_text("paths: {}")
    folder = tmp_path / "triage" / "locale" / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)

    def write(*entries, sources=None):
        book = polib.POFile()
        book.metadata = {"Content-Type": "text/plain; charset=utf-8", "Plural-Forms": "nplurals=2; plural=(n > 1);"}
        book.extend(entries)
        book.save(str(folder / "django.po"))
        book.save_as_mofile(str(folder / "django.mo"))
        said = sources if sources is not None else [entry.msgid for entry in entries]
        (tmp_path / "cspm" / "texts.py").write_text("".join(f"_({text!r})\n" for text in said))
        return folder

    return write


def entry(msgid, msgstr, **more):
    return polib.POEntry(msgid=msgid, msgstr=msgstr, **more)


def test_the_words_of_the_api_belong_to_it(catalogue, tmp_path):
    catalogue()
    (tmp_path / check_translations.API).write_text(
        "paths: {/x: {get: {summary: List things, description: \"All.\\n\\nScope: `x`.\", parameters: [{description: '`a`; `b`'}]}}}"
    )
    with pytest.raises(CommandError, match="3 faults"):  # the codes alone are no words
        call_command("check_translations")


def test_a_whole_catalogue_is_accepted(catalogue, capsys):
    catalogue(entry("Hello %(name)s", "Bonjour %(name)s"))

    call_command("check_translations")

    assert "every sentence is translated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry("Hello", ""), "not translated: 'Hello'"),
        (entry("Hello", "Bonjour", flags=["fuzzy"]), "not translated: 'Hello'"),
        (entry("Hello %(name)s", "Bonjour"), "other places in the translation"),
        (entry("Hello", "Bonjour %(name)s"), "other places in the translation"),
        (entry("Hello?", "Bonjour ?"), "a line may break before a mark"),
        (entry("Hello", "« Bonjour\u00a0»"), "a line may break before a mark"),
    ],
)
def test_a_faulty_sentence_is_named(catalogue, capsys, wrong, said):
    catalogue(wrong)

    with pytest.raises(CommandError, match="fault"):
        call_command("check_translations")

    assert said in capsys.readouterr().err


def test_a_compiled_catalogue_that_says_something_else_is_named(catalogue, capsys):
    folder = catalogue(entry("Hello", "Bonjour"))
    (folder / "django.po").write_text((folder / "django.po").read_text().replace("Bonjour", "Salut"))

    with pytest.raises(CommandError):
        call_command("check_translations")

    assert "was not compiled from django.po" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="gathering sentences needs gettext")
@pytest.mark.parametrize(
    ("sources", "said"),
    [(["Hello", "New"], "not in the catalogue: 'New'"), (["Other"], "in the catalogue and nowhere else: 'Hello'")],
)
def test_a_catalogue_that_is_behind_its_sources_is_named(catalogue, capsys, sources, said):
    catalogue(entry("Hello", "Bonjour"), sources=sources)

    with pytest.raises(CommandError):
        call_command("check_translations")

    assert said in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="gathering sentences needs gettext")
def test_updating_gathers_keeps_and_drops(catalogue, capsys):
    folder = catalogue(entry("Hello!", "Bonjour !"), entry("Old", "Vieux"), sources=["Hello!", "New"])

    with pytest.raises(CommandError):  # the new one is not translated yet
        call_command("check_translations", "--update")

    assert {(one.msgid, one.msgstr) for one in polib.pofile(str(folder / "django.po"))} == {
        ("Hello!", "Bonjour\u00a0!"),
        ("New", ""),
    }
