import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.factories import team
from triage.models import AssetSearch, Finding, Scan

SAMPLES = Path(__file__).parents[2] / "samples"
REPORT = SAMPLES / "flows" / "prowler_v5_s3_public.csv"
KEYS = {
    "scan", "format", "scanner", "rows", "observations", "fail", "passed", "manual", "muted", "new", "open", "fixed", "regressed",
    "unreported", "skipped", "warnings",
}  # fmt: skip


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    team("web")


def said(capsys, *arguments):
    call_command("import", *arguments, "--json")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def refused(*arguments):
    with pytest.raises(CommandError) as failure:
        call_command("import", *arguments)
    return failure.value.returncode, str(failure.value)


def test_a_report_becomes_findings_and_the_numbers_are_one_object(capsys):
    told = said(capsys, str(REPORT))

    assert told.keys() >= KEYS
    assert (told["state"], told["scanner"], told["problem"]) == ("done", "prowler", None)
    assert told["rows"] == told["observations"] == told["fail"] + told["passed"] + told["manual"]
    assert told["new"] == Finding.objects.count()
    assert AssetSearch.objects.exists()


def test_the_same_report_again_changes_nothing_and_says_so(capsys):
    first = said(capsys, str(REPORT))

    call_command("import", str(REPORT))

    assert f"scan {first['scan']}: nothing changed" in capsys.readouterr().out
    assert said(capsys, str(REPORT))["duplicate_of"] == first["scan"]


def test_standard_input_is_a_report_too(capsys, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(REPORT.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)

    assert said(capsys, "-")["new"] > 0


def test_a_dry_run_says_the_same_and_changes_nothing(capsys, tmp_path):
    rehearsed = said(capsys, str(REPORT), "--dry-run", "--matches", str(tmp_path / "m.jsonl"))

    assert (rehearsed["scan"], rehearsed["dry_run"]) == (None, True)
    assert not Scan.objects.exists()
    assert {json.loads(line)["finding"] for line in (tmp_path / "m.jsonl").read_text().splitlines()} == {None}
    real = said(capsys, str(REPORT))
    assert {name: real[name] for name in ("rows", "fail", "new", "open")} == {
        name: rehearsed[name] for name in ("rows", "fail", "new", "open")
    }


def test_matches_say_of_each_record_what_it_became(capsys, tmp_path):
    told = said(capsys, str(REPORT), "--matches", str(tmp_path / "m.jsonl"))

    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [line["position"] for line in lines] == list(range(told["rows"]))
    assert {line["finding"] for line in lines if line["change"] == "new"} == {str(row) for row in Finding.objects.all()}
    assert {line["stage"] for line in lines} == {"key"}


def test_a_matcher_that_begins_again_does_not_write_twice(tmp_path):
    matches = import_module("triage.management.commands.import").Matches(tmp_path / "m.jsonl", rehearsal=False)
    for position in (0, 1, 2, 0, 1):
        matches(position, 7, "open", "key")

    matches.keep()

    assert [json.loads(line)["position"] for line in (tmp_path / "m.jsonl").read_text().splitlines()] == [0, 1]


def test_a_page_is_refused_with_a_sentence_and_leaves_no_matches(tmp_path, capsys):
    page = tmp_path / "report.html"
    page.write_text("<!doctype html><html><body>Findings</body></html>")

    code, sentence = refused(str(page), "--json", "--matches", str(tmp_path / "m.jsonl"))

    assert code == 5
    assert sentence.startswith("This is an HTML page.")
    assert json.loads(capsys.readouterr().out)["state"] == "failed"
    assert not list(tmp_path.glob("*m.jsonl*"))
    assert refused(str(page), "--dry-run")[0] == 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.csv"], 2, "nowhere.csv cannot be read"),
        (["-", "--scope", "repositry:x"], 2, "Did you mean repository:…?"),
        (["-", "--scope", "branch:a", "--scope", "branch:b"], 2, "branch twice"),
        ([str(REPORT), "--zone", "Mars/Crater"], 5, "Mars/Crater"),
        ([str(REPORT), "--mapping", str(REPORT)], 5, "prowler_v5_s3_public.csv"),
        ([str(REPORT), "--as", "viewer"], 4, "no right"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(arguments, code, words):
    found, sentence = refused(*arguments)

    assert (found, words in sentence) == (code, True), sentence
    assert not Scan.objects.exists()


def test_scopes_are_declared(capsys):
    said(capsys, str(REPORT), "--scope", "aws:123456789012", "--scope", "partial", "--zone", "UTC")

    assert Scan.objects.get().declared == {"account": "123456789012", "complete": False, "zone": "UTC"}


def test_exit_codes_of_the_real_command(tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "cspm.cli", "import", *words],
            cwd=SAMPLES.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )

    missing = run("nowhere.csv")
    usage = run()

    assert (missing.returncode, missing.stderr.startswith("cspm: nowhere.csv cannot be read")) == (2, True)
    assert usage.returncode == 2
