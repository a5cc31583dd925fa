"""Whatever dies while a report is imported: no half state, no duplicate, and the import resumes or says so."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from tests.reports import DAY, prowler, received, row, sarif
from triage.domain import audit, ingest
from triage.models import Asset, Event, Finding, Scan, ScanState, Status

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The worker died here."""


def die_at(count: int):
    told = iter(range(count, 0, -1))

    def matches(*_fate: object) -> None:
        if next(told) == 1:
            raise Killed

    return matches


@pytest.mark.parametrize("at", [1, 3, 6])
def test_killed_import_leaves_nothing_and_is_taken_up_again(at):
    scan = received(prowler([row(f"b{n}") for n in range(5)] + [row("x", "PASS")]))
    with pytest.raises(Killed):
        ingest.run(scan.pk, clock=timezone.now, matches=die_at(at))
    assert (Finding.objects.count(), Asset.objects.count()) == (0, 0)
    assert ingest.waiting(at=timezone.now()) == []

    after_the_lease = timezone.now() + timedelta(minutes=6)
    assert ingest.waiting(at=after_the_lease) == [scan.pk]
    done = ingest.run(scan.pk, clock=lambda: after_the_lease)

    assert (done.state, done.counts["new"], done.attempts) == ("done", 5, 2)
    assert Finding.objects.count() == Event.objects.filter(kind="opened").count() == 5


def test_import_that_kills_its_worker_each_time_is_given_up_with_a_reason():
    scan = received(prowler([row("b")]))
    at = timezone.now()
    for _attempt in range(3):
        with pytest.raises(Killed):
            ingest.run(scan.pk, clock=lambda at=at: at, matches=die_at(1))
        at += timedelta(minutes=6)

    done = ingest.run(scan.pk, clock=lambda: at)

    assert done.state == ScanState.FAILED
    assert "begun 3 times" in done.problem["message"] % done.problem["params"]


def test_import_that_somebody_has_is_left_alone():
    scan = received(prowler([row("b")]))
    Scan.objects.filter(pk=scan.pk).update(state=ScanState.RUNNING, lease_until=timezone.now() + timedelta(minutes=5))

    assert ingest.run(scan.pk, clock=timezone.now).state == ScanState.RUNNING
    assert not Finding.objects.exists()


def in_threads(*works) -> None:
    failures: list[BaseException] = []

    def guarded(work) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - told to the test below
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_two_imports_of_one_report_at_once_make_each_finding_once():
    data = prowler([row(f"b{n}") for n in range(50)] + [row("x", "PASS")])
    scans = [received(data).pk for _twice in range(2)]

    in_threads(*(lambda scan=scan: ingest.run(scan, clock=timezone.now) for scan in scans))

    assert sorted(Scan.objects.values_list("state", flat=True)) == ["done", "duplicate"]
    assert Finding.objects.count() == 50


def test_two_scanners_that_meet_a_new_account_at_once_share_its_assets():
    """The generic parser and Prowler name the same buckets; who stores them first is chance."""
    rows = [row(f"b{n}") for n in range(40)] + [row("x", "PASS")]
    mapping = {
        "format": "csv", "delimiter": ";", "scanner": "other",
        "fields": {"check": "CHECK_ID", "asset": "RESOURCE_UID", "asset_name": "RESOURCE_NAME", "account": "ACCOUNT_UID",
                   "provider": "PROVIDER", "severity": "SEVERITY", "region": "REGION",
                   "verdict": {"from": "STATUS", "map": {"FAIL": "fail", "PASS": "pass"}}},
    }  # fmt: skip
    one, other = received(prowler(rows)), received(prowler(rows), mapping=mapping)

    in_threads(*(lambda scan=scan: ingest.run(scan.pk, clock=timezone.now) for scan in (one, other)))

    assert sorted(Scan.objects.values_list("state", flat=True)) == ["done", "done"]
    assert Asset.objects.count() == 41
    assert Finding.objects.count() == 80


def test_person_who_edits_while_an_import_runs_is_not_overruled_by_what_it_had_read():
    """The import has read that it is open; meanwhile it was accepted. A failing row leaves that alone."""
    ingest.run(received(prowler([row("b"), row("x", "PASS")])).pk, clock=timezone.now)
    scan = received(prowler([row("b"), row("x", "PASS")], DAY + timedelta(days=1)))

    def meanwhile(*_fate: object) -> None:
        def accept() -> None:
            with audit.recording(actor="user:1", at=timezone.now(), door="page"):
                Finding.objects.exclude(status=Status.ACCEPTED).update(status=Status.ACCEPTED)

        in_threads(accept)

    ingest.run(scan.pk, clock=timezone.now, matches=meanwhile)

    assert Finding.objects.get().status == Status.ACCEPTED


SCRIPT = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "cspm.settings"
import django; django.setup()
from django.conf import settings
from django.db import connection
from django.utils import timezone
from triage.domain import ingest
connection.settings_dict["NAME"] = sys.argv[1]
def matches(*fate):
    print("merging", flush=True)
    import time; time.sleep(60)
ingest.run(int(sys.argv[2]), clock=timezone.now, matches=matches)
"""


def test_kill_9_of_the_process_in_the_middle_of_a_merge():
    scan = received(prowler([row(f"b{n}") for n in range(5)] + [row("x", "PASS")]))
    worker = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, connection.settings_dict["NAME"], str(scan.pk)],
        stdout=subprocess.PIPE,
        env=os.environ | {"CSPM_DB_ROLE": "owner"},
    )
    assert worker.stdout.readline() == b"merging\n"

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()

    assert not Finding.objects.exists()
    later = timezone.now() + timedelta(minutes=6)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the server notices the dead client when it next talks to it
        done = ingest.run(scan.pk, clock=lambda: later)
        if done.state == "done":
            break
        time.sleep(0.2)
    assert (done.state, Finding.objects.count()) == ("done", 5)


def test_killed_code_import_leaves_nothing():
    scan = received(sarif([{"path": "a.py", "line": n} for n in range(1, 4)], repository="https://git.example/shop"))
    with pytest.raises(Killed):
        ingest.run(scan.pk, clock=timezone.now, matches=die_at(2))

    assert not Finding.objects.exists()
