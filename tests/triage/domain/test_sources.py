import io
import json
import os
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import AT, TRIAGER, VIEWER, Clock
from tests.reports import prowler, row, sarif
from triage.domain import connections, ingest, lifecycle, sources, verification
from triage.domain.access import of_machine
from triage.domain.connections import Wanted
from triage.domain.errors import NotAllowed
from triage.models import Alarm, Finding, Scan, SourceReport, Verification

ADMIN = of_machine(0)
State = SourceReport.State
OLD = 3_600  # seconds ago a file was finished


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inbox(settings, tmp_path):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.SOURCE_FOLDERS = [str(tmp_path / "inbox")]
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def connected(name="drop", plugin="folder", **given):
    return connections.put(Wanted(name, "sources", plugin, given), actor=ADMIN, at=AT)


def lay(path, data, ago=OLD):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - ago, time.time() - ago))


def code(*results, tool="lint"):
    """A report without a time, as semgrep's: when it is read is when the scanner looked."""
    report = json.loads(sarif([{"rule": rule, "path": path} for rule, path in results], tool=tool))
    del report["runs"][0]["invocations"][0]["endTimeUtc"]
    return json.dumps(report).encode()


def taken(data, clock):
    """Uploaded by hand before."""
    scan = ingest.receive(stream=io.BytesIO(data), name="report", declared={"repository": "shop"}, actor=ADMIN, at=clock())
    ingest.run(scan.pk, clock=clock)


def brought(clock):
    """What a worker does: look, fetch, import."""
    sources.look(at=clock())
    for number in sources.waiting(at=clock()):
        done = sources.fetch(number, clock=clock)
        if done.scan_id:
            ingest.run(done.scan_id, clock=clock)
    return list(SourceReport.objects.order_by("pk"))


# --- when ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("every", "at", "due"),
    [
        ("every 5 minutes", (2026, 11, 25, 10, 4), "2026-11-25T11:00:00+01:00"),
        ("hourly", (2026, 11, 25, 10, 59), "2026-11-25T11:00:00+01:00"),
        ("daily", (2026, 11, 25, 0, 59), "2026-11-24T02:30:00+01:00"),
        ("daily", (2026, 11, 25, 1, 30), "2026-11-25T02:30:00+01:00"),
        ("weekly", (2026, 11, 25, 10, 0), "2026-11-23T02:30:00+01:00"),
        ("weekly", (2026, 11, 23, 1, 29), "2026-11-16T02:30:00+01:00"),
    ],
)
def test_an_interval_begins_in_the_zone_of_the_house(every, at, due):
    row = connected(folder="x", every=every, hour="02:30")
    at = datetime(*at, tzinfo=UTC)
    assert sources.slot(row, at).isoformat() == due
    assert sources.slot(row, sources.next_slot(row, at)) == sources.next_slot(row, at) > at


@pytest.mark.django_db
def test_a_night_that_the_clocks_go_back_is_one_night():
    row = connected(folder="x", every="daily", hour="02:30")
    before, after = datetime(2026, 10, 25, 0, 45, tzinfo=UTC), datetime(2026, 10, 25, 1, 45, tzinfo=UTC)  # both are 02:45
    assert sources.slot(row, before).date() == sources.slot(row, after).date()


# --- folders ------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_is_laid_in_a_folder_is_imported_once(inbox, clock):
    connected(folder=str(inbox))
    lay(inbox / "monday.csv", prowler([row()]))
    [taken] = brought(clock)
    assert (taken.state, taken.scan.state, taken.scan.actor) == (State.TAKEN, "done", "source:drop")
    assert Finding.objects.count() == 1
    clock.pass_(minutes=5)
    assert len(brought(clock)) == 1
    assert (inbox / "monday.csv").exists()


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_being_written_waits(inbox, clock):
    connected(folder=str(inbox))
    lay(inbox / "now.csv", prowler([row()]), ago=1)
    lay(inbox / "later.csv.part", prowler([row()]))
    lay(inbox / ".hidden", prowler([row()]))
    assert brought(clock) == []


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_written_again_is_another_run(inbox, clock):
    """The same bytes as an older run say that what was fixed in between is back."""
    connected(folder=str(inbox), repository="shop")
    broken, fixed = code(("B602", "app.py")), code()
    for data, ago in ((broken, 300), (fixed, 200), (broken, 100)):
        lay(inbox / "nightly.sarif", data, ago)
        clock.pass_(days=1)
        brought(clock)
    found = Finding.objects.get()
    assert (found.status, found.presence) == ("open", "reported")
    assert Scan.objects.filter(state="done").count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("where", ["/etc", "..", "out"])
def test_a_folder_that_the_server_does_not_open_is_not_read(inbox, clock, where):
    (inbox / "out").symlink_to("/etc")
    source = connected(folder=where if where.startswith("/") else str(inbox / where))
    assert brought(clock) == []
    probe = next(iter(connections.test(source, actor=ADMIN, at=AT)))
    assert not probe.passed
    assert "CSPM_SOURCE_FOLDERS" in str(probe.said)


@pytest.mark.django_db(transaction=True)
def test_a_link_out_of_the_folder_is_no_report(inbox, clock, tmp_path):
    secret = tmp_path / "secret.csv"
    lay(secret, prowler([row()]))
    (inbox / "report.csv").symlink_to(secret)
    connected(folder=str(inbox))
    assert brought(clock) == []


@pytest.mark.django_db(transaction=True)
def test_a_report_that_cannot_be_read_is_an_alarm_until_one_can(inbox, clock):
    source = connected(folder=str(inbox))
    lay(inbox / "report.csv", b"neither this nor that", 300)
    brought(clock)
    [refused] = brought(clock)
    assert refused.state == State.REFUSED
    assert Alarm.objects.get(resolved_at=None).kind == "unreadable"
    clock.pass_(minutes=5)
    lay(inbox / "report.csv", prowler([row()]), 100)
    brought(clock)
    sources.look(at=clock())
    assert not connections.alarms().filter(connection=source).exists()


@pytest.mark.django_db(transaction=True)
def test_silence_is_an_alarm_once(inbox, clock):
    source = connected(folder=str(inbox), silence="24")
    for _day in range(3):
        clock.pass_(hours=25)
        brought(clock)
    assert [(each.kind, each.times) for each in connections.alarms()] == [("silent", 1)]
    lay(inbox / "report.csv", prowler([row()]))
    clock.pass_(minutes=5)
    brought(clock)
    assert not connections.alarms().filter(connection=source).exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_died_leaves_the_report_to_the_next(inbox, clock):
    connected(folder=str(inbox))
    lay(inbox / "report.csv", prowler([row()]))
    sources.look(at=clock())
    SourceReport.objects.update(state=State.FETCHING, attempts=1, lease_until=clock() + sources.LEASE)
    assert sources.waiting(at=clock()) == []
    clock.pass_(minutes=6)
    [taken] = brought(clock)
    assert taken.state == State.TAKEN


@pytest.mark.django_db(transaction=True)
def test_a_file_taken_away_is_said(inbox, clock):
    connected(folder=str(inbox))
    lay(inbox / "report.csv", prowler([row()]))
    sources.look(at=clock())
    (inbox / "report.csv").unlink()
    [gone] = brought(clock)
    assert (gone.state, "not there any more" in gone.said["params"]["said"]) == (State.REFUSED, True)


@pytest.mark.django_db
def test_who_may_not_import_may_not_ask(inbox):
    connected(folder=str(inbox))
    with pytest.raises(NotAllowed):
        sources.ask(name="drop", actor=VIEWER, at=AT)


# --- commands, and verifying by running them again ----------------------------------------------------------------------------


@pytest.fixture
def scanner(settings, inbox, tmp_path):
    """A scanner that reports what a file holds; the file is its repository."""
    script = tmp_path / "scan.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, pathlib, sys
        assert "DATABASE_URL" not in os.environ and "CSPM_SECRET_KEY" not in os.environ
        said = pathlib.Path({str(tmp_path / "repository")!r}).read_bytes()
        if said == b"broken":
            sys.exit("no such branch")
        pathlib.Path(sys.argv[1]).write_bytes(said)
        sys.exit(1)
        """)
    )
    settings.SCAN_COMMANDS = {"bandit": {"argv": [sys.executable, str(script), "{report}"], "seconds": 20}}
    return tmp_path / "repository"


@pytest.mark.django_db(transaction=True)
def test_a_code_finding_is_verified_by_a_new_run_of_its_scanner(scanner, clock):
    broken, fixed = code(("B602", "app.py"), ("B101", "test.py")), code(("B101", "test.py"))
    taken(broken, clock)
    connected("nightly", "command", command="bandit", repository="shop", every="weekly")
    found = Finding.objects.get(check_ref__key="B602")

    def verified():
        clock.pass_(hours=1)
        asked = verification.request(finding=found.pk, trigger=Verification.Trigger.PERSON, actor=TRIAGER, at=clock())
        done = verification.run(verification=asked.pk, clock=clock)
        found.refresh_from_db()
        return done

    lifecycle.move(finding=found.pk, to="fix_claimed", actor=TRIAGER, at=clock())
    scanner.write_bytes(broken)
    assert (verified().outcome, found.status) == ("failing", "open")
    scanner.write_bytes(fixed)
    done = verified()
    assert (done.outcome, found.status, found.grade, done.verifier) == (
        "fixed",
        "verified",
        "absence",
        "rescan",
    )  # it says nothing: that is no PASS
    assert done.evidence_id is not None
    scanner.write_bytes(broken)
    assert (verified().outcome, found.status) == ("failing", "open")
    assert found.regressions == 1
    scanner.write_bytes(b"broken")
    assert (verified().outcome, found.status) == ("error", "open")
    assert "no such branch" in str(Verification.objects.latest("pk").summary)


@pytest.mark.django_db(transaction=True)
def test_another_tools_run_says_nothing_of_it(scanner, clock):
    taken(code(("B602", "app.py")), clock)
    connected("nightly", "command", command="bandit", repository="shop", every="weekly")
    scanner.write_bytes(code(tool="other"))
    found = Finding.objects.get()
    asked = verification.request(finding=found.pk, trigger=Verification.Trigger.PERSON, actor=TRIAGER, at=clock())
    assert verification.run(verification=asked.pk, clock=clock).outcome == "cannot"
    found.refresh_from_db()
    assert found.status == "open"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("other", [{"category": "nightly"}, {"branch": "next"}])
def test_a_run_of_another_category_or_branch_says_nothing_of_it(scanner, clock, other):
    taken(code(("B602", "app.py")), clock)
    connected("nightly", "command", command="bandit", repository="shop", every="weekly")
    report = json.loads(code(("B101", "test.py")))
    if "category" in other:
        report["runs"][0]["automationDetails"] = {"id": "nightly/1"}
    else:
        report["runs"][0]["versionControlProvenance"] = [{"repositoryUri": "shop", "branch": "next"}]
    scanner.write_bytes(json.dumps(report).encode())
    found = Finding.objects.get()
    asked = verification.request(finding=found.pk, trigger=Verification.Trigger.PERSON, actor=TRIAGER, at=clock())
    assert verification.run(verification=asked.pk, clock=clock).outcome == "cannot"
    found.refresh_from_db()
    assert found.status == "open"


@pytest.mark.django_db(transaction=True)
def test_a_command_that_hangs_is_ended_with_its_children(settings, inbox, clock, tmp_path):
    mark = tmp_path / "child"
    settings.SCAN_COMMANDS = {"slow": {"argv": ["/bin/sh", "-c", f"(sleep 3; touch {mark}) & sleep 30"], "seconds": 0.5}}
    connected("slow", "command", command="slow", every="weekly")
    [late] = brought(clock)
    assert "longer than" in late.said["params"]["said"]
    time.sleep(3)
    assert not mark.exists()


@pytest.mark.django_db(transaction=True)
def test_a_failure_is_tried_again_and_then_given_up(settings, inbox, clock):
    settings.SCAN_COMMANDS = {"wrong": {"argv": ["/bin/sh", "-c", "echo no licence >&2; exit 2"]}}
    connected("wrong", "command", command="wrong", every="weekly")
    for _time in range(sources.ATTEMPTS + 1):
        [tried] = brought(clock)
        clock.pass_(hours=2)
    assert (tried.state, tried.attempts) == (State.REFUSED, sources.ATTEMPTS)
    assert "no licence" in tried.said["params"]["said"]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_was_missed_is_passed_over_by_the_next(settings, inbox, clock):
    settings.SCAN_COMMANDS = {"fine": {"argv": ["/bin/true"]}}
    connected("fine", "command", command="fine", every="daily")
    sources.look(at=clock())
    sources.look(at=clock() + timedelta(days=1))
    assert list(SourceReport.objects.order_by("pk").values_list("state", flat=True)) == [State.PASSED, State.WAITING]
