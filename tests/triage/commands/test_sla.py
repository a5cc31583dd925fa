"""`cspm sla`."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from tests.factories import finding
from triage.domain.audit import recording
from triage.domain.sla import clocks
from triage.models import Containment, Finding, SlaVersion

POLICY = """
sla:
  default:
    targets:
      - {severity: critical, within: 1 hour}
"""


def run(*words: object) -> str:
    output = StringIO()
    call_command("sla", *map(str, words), stdout=output)
    return output.getvalue()


@pytest.fixture
def row(db) -> Finding:
    at = now() - timedelta(hours=5)
    made = finding(at=at, due_at=None)
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([made.pk], at=at)
    made.refresh_from_db()
    return made


def test_explain_tells_clocks_targets_and_ladder(row):
    said = run("explain", row)
    assert "✔ Remediate · Critical: 72 hours" in said
    assert "80 %" in said
    told = json.loads(run("explain", row, "--json"))
    clock = next(clock for clock in told["clocks"] if clock["clock"] == "remediate")
    assert clock["state"] == "running"
    assert clock["targets"] == [{"policy": "Default v1", "within": "72 hours", "due": clock["due"], "strictest": True}]
    assert [step["percent"] for step in clock["ladder"]] == [50, 80, 100, 150]


def test_list_and_presets_are_files_to_apply(row, tmp_path):
    assert "Remediate · Critical: 72 hours" in run("list")
    assert json.loads(run("list", "--json"))["policy"] == "default"
    assert "fedramp-rev5" in run("preset")
    path = tmp_path / "fedramp.yaml"
    path.write_text(run("preset", "fedramp-rev5"))
    call_command("config", "apply", str(path), stdout=StringIO())
    assert SlaVersion.objects.get(policy__slug="fedramp-rev5").targets.count() == 4


def test_simulate_says_what_a_policy_would_mean_and_writes_nothing(row, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    assert "1 would get another date; 1 would be late at once, 0 no more." in run("simulate", path)
    found = json.loads(run("simulate", path, "--json"))
    assert found["running"] == {"moved": 1, "breached": 1, "relieved": 0}
    assert found["decided"]["critical"]["would_miss"] == 1
    assert found["worse"] == [str(row)]
    assert SlaVersion.objects.count() == 1
    assert "0 would get another date" in run("simulate", "pci-dss-4")


def test_report_and_breaches(row):
    assert "No date was decided" in run("report")
    with recording(actor="worker", at=now(), door="task"):
        Finding.objects.filter(pk=row.pk).update(due_at=now() - timedelta(hours=1))
    assert "0.0 % of 1 dates were kept" in run("report", "--since", (now() - timedelta(days=1)).date())
    assert json.loads(run("report", "--json"))["missed"] == 1
    (line,) = run("report", "--breaches", "--json").splitlines()
    assert json.loads(line)["finding"] == str(row)
    assert "still open" in run("report", "--breaches")


def test_pause_resume_acknowledge_contain(row, tmp_path):
    until = (now() + timedelta(days=2)).date()
    assert "is paused until" in run("pause", row, "--until", until, "--reason", "vendor")
    row.refresh_from_db()
    assert row.paused_at is not None
    assert "runs on" in run("resume", row)
    assert "is acknowledged" in run("acknowledge", row)
    proof = tmp_path / "screenshot.png"
    proof.write_bytes(b"closed")
    assert "is contained since" in run("contain", row, "--done", "closed", "--exploited", "no", "--evidence", proof)
    kept = Containment.objects.get()
    assert (kept.exploited, kept.evidence.size) == ("no", 6)
    with pytest.raises(CommandError, match="no right"):
        run("pause", row, "--until", until, "--reason", "x", "--as", "viewer")
    with pytest.raises(CommandError, match="SHA-256"):
        run("contain", row, "--done", "x", "--evidence", "zz")


@pytest.mark.django_db
def test_closures_of_an_icalendar_file_are_written_as_the_configuration_has_them(tmp_path):
    path = tmp_path / "closures.ics"
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:1", "SUMMARY:Pont", "DTSTART;VALUE=DATE:20260514",
             "DTEND;VALUE=DATE:20260516", "END:VEVENT", "END:VCALENDAR", ""]  # fmt: skip
    path.write_bytes("\r\n".join(lines).encode())
    said = run("closures", path)
    assert said == 'closures:\n  - {"first": "2026-05-14", "last": "2026-05-15", "name": "Pont"}\n'
    config = tmp_path / "calendar.yaml"
    config.write_text(
        "calendars:\n  office:\n    hours: {weekdays: ['09:00-18:00']}\n    " + said.replace("\n", "\n    ").rstrip()
    )
    call_command("config", "apply", str(config), stdout=StringIO())
    assert "2026-05-14" in run("closures", path, "--json")
