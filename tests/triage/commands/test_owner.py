"""`cspm owner` at a terminal: sentences, JSON, exit codes."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from tests.factories import finding, team
from triage.management.base import shown
from triage.management.commands.owner import Command, moment
from triage.models import Event, Finding, OwnerRule

BUCKET = "arn:aws:s3:::acme-public-assets"


@pytest.fixture
def row(db):
    team("web")
    team("payments")
    return finding()


def run(*arguments):
    """What the command prints."""
    out = io.StringIO()
    call_command("owner", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments):
    """The sentence and exit code of a command that fails."""
    with pytest.raises(CommandError) as failure:
        run(*arguments)
    return str(failure.value), failure.value.returncode


def fallback(slug):
    OwnerRule.objects.create(position=1, kind="tag", name="Owner tag", params={"keys": ["owner"]})
    OwnerRule.objects.create(position=2, kind="fallback", name="The rest", params={"team": slug})


def test_an_explanation_is_read_step_by_step(row):
    fallback("web")
    run("apply")

    assert run("explain", BUCKET) == (
        f"{BUCKET}\n"
        "  Owner: web\n"
        "  · Owner tag: There is none of the tags owner.\n"
        "  ✔ The rest: What nobody else owns belongs to the team web.\n"
    )


def test_an_explanation_as_json_is_one_object(row):
    fallback("web")
    run("apply")

    told = json.loads(run("explain", str(row), "--json"))

    assert (told["name"], told["asset"], told["owner"], told["stored"]) == (str(row), BUCKET, "web", True)
    assert told["account"] == {"provider": "aws", "uid": "123456789012"}
    assert [(step["kind"], step["result"]) for step in told["steps"]] == [("tag", "skipped"), ("fallback", "matched")]


def test_who_owned_it_on_a_date(db):
    team("web")
    now = timezone.now()
    finding(at=now - timedelta(days=3))
    fallback("web")
    run("apply")

    def on(days):
        return str(timezone.localtime(now - timedelta(days=days)).date())

    assert "Owner: nobody" in run("explain", BUCKET, "--as-of", on(2))
    assert "Owner: web" in run("explain", BUCKET, "--as-of", on(-1))
    assert f"was not known on {on(5)}" in refused("explain", BUCKET, "--as-of", on(5))[0]
    assert refused("explain", BUCKET, "--as-of", "yesterday") == (
        "“yesterday” is not a date. Write it as 2026-11-02 or 2026-11-02T09:00.", 2,
    )  # fmt: skip


def test_a_dry_run_shows_who_would_get_what(row):
    fallback("web")

    printed = run("apply", "--dry-run")

    assert printed == (
        "1 of 1 assets would change their owner.\n"
        "from    to   assets  for example\n"
        f"nobody  web  1       {BUCKET}\n"
    )  # fmt: skip
    assert json.loads(run("apply", "--dry-run", "--json")) == {"from": None, "to": "web", "assets": 1, "samples": [BUCKET]}
    assert Finding.objects.get().team is None


def test_applying_says_what_changed(row):
    fallback("web")

    assert run("apply") == "1 of 1 assets changed their owner, 1 findings followed.\n"
    assert json.loads(run("apply", "--json"))["moved"] == 0


def test_by_hand_and_back(row):
    assert run("assign", str(row), "payments", "--reason", "on loan") == f"{row} belongs to payments until it is released.\n"
    assert Event.objects.get(kind="owner").reason == "on loan"
    assert "Assigned by hand by os:" in run("explain", str(row))

    assert run("release", str(row)) == f"{row} follows the rules again: nobody.\n"


def test_what_nobody_owns_says_how_to_mend_it(row):
    printed = run("unowned")

    assert printed.startswith("Acme (aws 123456789012): 1 Critical\n")
    assert str(row) in printed
    told = json.loads(run("unowned", "--json"))
    assert (told["account"], told["findings"], told["by_severity"], told["worst"]) == (
        "123456789012",
        1,
        {"critical": 1},
        [str(row)],
    )


def test_nothing_without_an_owner_is_said(db):
    assert run("unowned") == "Everything that is open has an owner.\n"
    assert run("unowned", "--json") == ""


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["assign", "F-1", "wbe"], "There is no team “wbe”. Did you mean “web”?", 5),
        (["assign", "F-999", "web"], "There is no finding F-000999.", 5),
        (["assign", "bucket", "web"], "“bucket” is not a finding. Write it as F-12.", 2),
        (["explain", "F-999"], "There is no finding F-000999.", 5),
        (["explain", "arn:aws:s3:::elsewhere"], "Nothing here is called “arn:aws:s3:::elsewhere”.", 5),
        (["apply", "--as", "viewer"], "You have no right to do this (configure).", 4),
        (["assign", "F-1", "web", "--as", "auditor"], "", 0),
    ],
)
def test_failures_are_a_sentence_and_an_exit_code(row, arguments, sentence, code):
    if code == 0:  # the right is asked of an existing finding
        arguments = [argument.replace("F-1", str(row)) for argument in arguments]
        sentence, code = "You have no right to do this (triage).", 4
    said, returned = refused(*arguments)

    assert said.startswith(sentence)
    assert returned == code


def test_the_command_line_prints_the_sentence_alone(row, capsys):
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["cspm", "owner", "explain", "F-999"])

    assert ended.value.code == 5
    assert capsys.readouterr().err == "cspm: There is no finding F-000999.\n"


def test_usage_exits_with_two(capsys):
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["cspm", "owner", "explian"])

    assert ended.value.code == 2
    assert "usage: cspm owner" in capsys.readouterr().err


def test_help_is_there_in_both_languages(capsys):
    for language in ("en", "fr"):
        with translation.override(language), pytest.raises(SystemExit) as ended:
            Command().run_from_argv(["cspm", "owner", "--help"])
        assert ended.value.code == 0
    assert "explain" in capsys.readouterr().out


def test_what_a_report_brings_cannot_command_the_terminal(row):
    Finding.objects.get().asset.tag_set.__class__.objects.update(tags=[["Owner", "x\x1b[2J\u202e[bold]"]])

    printed = run("explain", BUCKET)

    assert "Owner=x�[2J�[bold]" in printed
    assert shown("plain [text]") == "plain [text]"


def test_a_terminal_gets_a_ruled_table_with_its_cells_as_they_are(db):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    Command(stdout=out, no_color=True).table(["name"], [["[red]x[/red]"]])

    assert "[red]x[/red]" in out.getvalue()
    assert "┃" in out.getvalue()


def test_a_date_is_its_end_in_the_zone_of_the_installation():
    assert moment("2026-11-02").isoformat() == "2026-11-02T23:59:59.999999+01:00"
    assert moment("2026-11-02T09:00").isoformat() == "2026-11-02T09:00:00+01:00"
    assert moment("2026-11-02T09:00+00:00").isoformat() == "2026-11-02T09:00:00+00:00"
