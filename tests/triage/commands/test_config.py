"""`cspm config` at a terminal."""

import io
import json
import sys

import pytest
from django.core.management import CommandError, call_command

from triage.models import Event, Team

FILE = "teams:\n- {slug: web, members: [ana@example.com]}\n- {slug: ml, name: Machine learning}\nowner_rules:\n- {kind: fallback, team: web}\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cspm.yaml"
    path.write_text(FILE)
    return path


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("config", *map(str, arguments), stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return 0, out.getvalue(), err.getvalue()


def test_a_dry_run_shows_and_applying_does_and_twice_does_nothing(db, file):
    code, rehearsed, _errors = run("apply", file, "--dry-run")
    assert not Team.objects.exists()
    _code, applied, _errors = run("apply", file, "--reason", "first")
    _code, again, _errors = run("apply", file)

    assert code == 0
    assert rehearsed.startswith("+ teams web\n    name: Web\n    members: ")
    assert rehearsed.endswith("0 of 0 assets would change their owner.\n")
    assert applied.endswith("0 of 0 assets changed their owner, 0 findings followed.\n")
    assert again == "The file says what is stored: nothing to change.\n"
    assert set(Event.objects.values_list("reason", flat=True)) == {"first"}


def test_a_difference_can_fail_a_pipeline(db, file):
    with pytest.raises(SystemExit) as ended:
        run("diff", file, "--exit-code")
    assert ended.value.code == 1

    run("apply", file)

    assert run("diff", file, "--exit-code") == (0, "The file says what is stored: nothing to change.\n", "")


def test_a_change_is_shown_with_before_and_after(db, file):
    run("apply", file)
    file.write_text("teams:\n- {slug: ml, name: ML}\n")

    assert run("diff", file, "--prune")[1] == "~ teams ml\n    name: Machine learning → ML\n- teams web\n"
    assert [json.loads(line) for line in run("diff", file, "--json")[1].splitlines()] == [
        {"section": "teams", "change": "changed", "key": "ml", "before": {"name": "Machine learning"}, "after": {"name": "ML"}}
    ]


def test_export_goes_to_a_file_or_the_terminal_and_is_no_difference(db, file, tmp_path):
    run("apply", file)

    run("export", "--output", tmp_path / "out.yaml")

    assert (tmp_path / "out.yaml").read_text() == run("export")[1]
    assert run("diff", tmp_path / "out.yaml", "--prune")[1] == "The file says what is stored: nothing to change.\n"


def test_each_problem_has_its_line_and_nothing_is_changed(db, file):
    file.write_text("teams:\n- {slug: web, nam: x}\nowner_rules:\n- {kind: fallback, team: wbe}\n")

    code, _output, errors = run("apply", file)

    assert code == 5
    assert errors.splitlines() == [
        "Line 2: teams has no key “nam”. Did you mean “name”?",
        "Line 4: there is no team “wbe”. Did you mean “web”? Nothing was changed.",
    ]
    assert not Team.objects.exists()


def test_a_file_from_standard_input(db, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("tems: []"))

    code, _output, errors = run("apply", "-")

    assert (code, errors) == (5, "Line 1: standard input has no key “tems”. Did you mean “teams”? Nothing was changed.")


def test_what_is_no_file_and_no_text_is_said(db, tmp_path):
    (tmp_path / "latin.yaml").write_bytes("teams: [é]".encode("latin-1"))

    assert run("apply", tmp_path / "none.yaml")[0] == 2
    assert run("apply", tmp_path)[0] == 2
    assert run("apply", tmp_path / "latin.yaml")[0] == 5


def test_only_who_may_configure(db, file):
    for verb in (["apply", file], ["diff", file], ["export"]):
        assert run(*verb, "--as", "triager")[0] == 4
