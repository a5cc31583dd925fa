"""The queue is in sync mode here: a nudge runs its task when its transaction is committed."""

import pytest
from django.db import transaction
from django_q.models import Schedule

from tests.factories import ACCOUNT, TRIAGER, change, finding
from triage import tasks
from triage.domain import tickets, verification
from triage.models import AssetSearch, Counter, OutboxMessage, Ticket, Verification

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.TICKETS_DIR = tmp_path / "tickets"
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    return tmp_path


def test_a_nudge_waits_for_the_commit_and_a_rollback_takes_it_back(home):
    row = finding()
    with transaction.atomic():
        tickets.open_tickets(findings=[row.pk], actor=TRIAGER, at=tasks.now())
        tasks.nudge("drain_outbox")
        transaction.set_rollback(True)
    assert not OutboxMessage.objects.exists()

    with transaction.atomic():
        tickets.open_tickets(findings=[row.pk], actor=TRIAGER, at=tasks.now())
        tasks.nudge("drain_outbox")
        assert OutboxMessage.objects.get().state == "pending"

    assert OutboxMessage.objects.get().state == "sent"
    assert Ticket.objects.get().state == "live"


def test_a_sweep_does_what_no_nudge_reached(home):
    row = finding()
    tickets.open_tickets(findings=[row.pk], actor=TRIAGER, at=tasks.now())
    verification.request(finding=row.pk, trigger="person", actor=TRIAGER, at=tasks.now())

    tasks.sweep()

    assert OutboxMessage.objects.get().state == "sent"
    assert Verification.objects.get().state == "done"
    assert (home / "run" / "worker.heartbeat").exists()


def test_reconciling_carries_a_done_ticket_to_its_verification(home, cloud):
    cloud.bucket("acme-public-assets")
    row = finding()
    tickets.open_tickets(findings=[row.pk], actor=TRIAGER, at=tasks.now())
    tasks.drain_outbox()
    (path,) = (home / "tickets").glob("*.md")
    path.write_text(path.read_text().replace("status: open", "status: done"))

    tasks.reconcile_tickets()

    row.refresh_from_db()
    assert (row.status, row.account.uid) == ("verified", ACCOUNT)
    assert Ticket.objects.get().state == "closed"
    assert "this ticket is closed" in path.read_text()


def test_the_recurring_tasks_are_scheduled_once():
    tasks.schedule()
    tasks.schedule()

    scheduled = sorted(Schedule.objects.values_list("func", "minutes"))
    assert scheduled == [
        ("triage.tasks.archive_evidence", 5), ("triage.tasks.collect_accounts", 1440), ("triage.tasks.grow_older", 720), ("triage.tasks.look_at_clocks", 1), ("triage.tasks.look_at_exceptions", 1),
        ("triage.tasks.look_at_sources", 1), ("triage.tasks.look_for_drift", 60), ("triage.tasks.reconcile_tickets", 2), ("triage.tasks.seal", 1), ("triage.tasks.sweep", 1), ("triage.tasks.tell", 1),
        ("triage.tasks.test_connections", 1440), ("triage.tasks.tidy", 10), ("triage.tasks.verify_ledger", 1440),
    ]  # fmt: skip


def test_tidying_makes_assets_findable_and_counters_few():
    row = change(finding(), severity=2)
    assert Counter.objects.count() == 3

    tasks.tidy()

    assert AssetSearch.objects.get().asset_id == row.asset_id
    assert Counter.objects.get().severity == 2


def test_asking_for_the_time_tells_the_supervisor_that_the_worker_lives(home):
    tasks.alive()

    assert (home / "run" / tasks.HEARTBEAT).exists()
