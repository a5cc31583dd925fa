"""Is every sentence of the product said in French? Checks the catalogue; `--update` gathers new sentences and compiles it."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.commands import makemessages

SOURCES = ("cspm", "integrations", "templates", "triage")
API = "docs/openapi.yaml"  # its reference is a page, too
LANGUAGE = "fr"
PLACE = re.compile(r"%\((\w+)\)[sd]")
# French keeps these marks on the line of their word: the space between is one that does not break.
BREAKING = re.compile(r"(?<=\S) (?=[;:?!](?:\s|$)|»)|(?<=«) ")
CODES = re.compile(r"`[^`]*`|[\s;,.]")
FIXED = "\N{NO-BREAK SPACE}"


class Gathering(makemessages.Command):
    """makemessages for the folder that it stands in, whatever the settings say about other folders."""

    settings_available = False
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--update", action="store_true", help="gather new sentences (needs gettext) and compile the catalogue"
        )

    def handle(self, *args: Any, update: bool, **options: Any) -> None:
        catalogue = Path(settings.LOCALE_PATHS[0]) / LANGUAGE / "LC_MESSAGES" / "django.po"
        if update:
            _update(catalogue)
        faults = list(_faults(catalogue))
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            raise CommandError(f"{len(faults)} faults in {catalogue.relative_to(settings.BASE_DIR)}")
        self.stdout.write(f"{LANGUAGE}: every sentence is translated")


def _update(catalogue: Path) -> None:
    import polib  # noqa: PLC0415 - for developers only

    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(_gathered(catalogue, Path(folder)), catalogue)
    gathered = polib.pofile(str(catalogue), wrapwidth=0)
    for entry in [*gathered.obsolete_entries()]:
        gathered.remove(entry)
    for entry in gathered:
        entry.msgstr = BREAKING.sub(FIXED, entry.msgstr)
        entry.msgstr_plural = {number: BREAKING.sub(FIXED, text) for number, text in entry.msgstr_plural.items()}
    gathered.save()
    gathered.save_as_mofile(str(catalogue.with_suffix(".mo")))


def _gathered(catalogue: Path, folder: Path) -> Path:
    """The catalogue with the sentences of the sources as they are, made in this folder."""
    copy = folder / "locale" / LANGUAGE / "LC_MESSAGES" / "django.po"
    copy.parent.mkdir(parents=True)
    if catalogue.exists():
        shutil.copyfile(catalogue, copy)
    for source in SOURCES:
        shutil.copytree(
            settings.BASE_DIR / source, folder / source, ignore=shutil.ignore_patterns("locale", "__pycache__", "static")
        )
    (folder / "api.py").write_text(
        "".join(f"gettext({text!r})\n" for text in _sentences(yaml.safe_load((settings.BASE_DIR / API).read_text())))
    )
    with chdir(folder):
        call_command(Gathering(), locale=[LANGUAGE], no_location=True, no_wrap=True, verbosity=0)
    return copy


def _sentences(document: Any) -> list[str]:
    """What the reference says in words, paragraph by paragraph and once each; names of codes and scopes alone are no words."""
    found = dict.fromkeys(part for text in _texts(document) for part in text.split("\n\n"))
    return [part for part in found if CODES.sub("", part)]


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        for name, value in part.items():
            if name in ("summary", "description") and isinstance(value, str):
                yield value
            yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)


def _faults(catalogue: Path) -> Iterator[str]:
    import polib  # noqa: PLC0415 - for developers only

    entries = [entry for entry in polib.pofile(str(catalogue)) if not entry.obsolete]
    for entry in entries:
        if not entry.translated() or entry.fuzzy:
            yield f"not translated: {entry.msgid!r}"
        elif _places(entry.msgid, entry.msgid_plural) != _places(entry.msgstr, *entry.msgstr_plural.values()):
            yield f"other places in the translation: {entry.msgid!r}"
        elif any(BREAKING.search(text) for text in (entry.msgstr, *entry.msgstr_plural.values())):
            yield f"a line may break before a mark (--update mends it): {entry.msgstr!r}"
    compiled = catalogue.with_suffix(".mo")
    if not compiled.exists() or _said(polib.mofile(str(compiled))) != _said(entry for entry in entries if not entry.fuzzy):
        yield f"{compiled.name} was not compiled from {catalogue.name}: run check_translations --update"
    if shutil.which("xgettext"):
        with tempfile.TemporaryDirectory() as folder:
            gathered = polib.pofile(str(_gathered(catalogue, Path(folder))))
            wanted = {_key(entry) for entry in gathered if not entry.obsolete}
        known = {_key(entry) for entry in entries}
        yield from (f"not in the catalogue: {message!r}" for _context, message, _plural in sorted(wanted - known))
        yield from (f"in the catalogue and nowhere else: {message!r}" for _context, message, _plural in sorted(known - wanted))


def _places(*texts: str) -> set[str]:
    return {place for text in texts for place in PLACE.findall(text)}


def _key(entry: Any) -> tuple[str, str, str]:
    return entry.msgctxt or "", entry.msgid, entry.msgid_plural or ""


def _said(entries: Any) -> set[tuple[Any, ...]]:
    """What is said of what: sentences without a translation are no part of a compiled catalogue."""
    told = ((_key(entry), entry.msgstr, *sorted(entry.msgstr_plural.items())) for entry in entries if entry.msgid)
    return {(key, *texts) for key, *texts in told if any(texts)}
