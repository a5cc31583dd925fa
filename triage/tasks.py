"""Entry points of the task queue: ids in, one call of the domain.

The queue only says that now would be a good time. What is to be done, by whom, and how often it was tried stands in our tables:
lose a task, double it or run it late, and `sweep` finds what is left.
"""

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now
from django_q.models import Schedule
from django_q.tasks import async_task

from triage.domain import (
    acts,
    archiving,
    bell,
    bundles,
    check_catalogue,
    connections,
    coverage,
    evidence,
    inbox,
    ingest,
    installation,
    ledger,
    outbox,
    retention,
    risk,
    sources,
    tickets,
    verification,
)
from triage.domain.access import of_user, worker
from triage.domain.audit import recording
from triage.domain.custom_checks import collecting, files
from triage.domain.exceptions import keeping
from triage.domain.notifications import gathering, telling
from triage.domain.ownership import resolving
from triage.domain.search import facets, words
from triage.domain.sla import notices
from triage.domain.verification import policy
from triage.models import Connection, User

# Of what waits, a sweep nudges so many at a time: the queue must not fill with the same ids while the workers are busy.
NUDGED = 5
HEARTBEAT = "worker.heartbeat"
MINUTES = {
    "sweep": 1,
    "tell": 1,
    "look_at_clocks": 1,
    "look_at_exceptions": 1,
    "seal": 1,
    "look_at_sources": 1,
    "reconcile_tickets": 2,
    "archive_evidence": 5,
    "tidy": 10,
    "look_for_drift": 60,
    "grow_older": 720,
    "test_connections": 1440,
    "verify_ledger": 1440,
    "collect_accounts": 1440,
}
READ_FOR = timedelta(hours=1)  # so long a report is kept as it came: its import may have to begin again


def nudge(task: str, *ids: int | str) -> None:
    """Ask a worker to run a task of this module once the current transaction is committed."""
    transaction.on_commit(lambda: async_task(f"triage.tasks.{task}", *ids))


def alive() -> datetime:
    """Now, and a sign to the supervisor that this worker lives: a long import asks for the time chunk by chunk."""
    folder = Path(settings.CSPM_HOME) / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / HEARTBEAT).touch()
    return now()


def run_import(scan_id: int) -> None:
    ingest.run(scan_id, clock=alive)
    gathering.of_scan(scan_id, at=now())
    if policy.look_at_report(scan_id, at=now()):
        nudge("verify_waiting")
    nudge("look_at_exceptions")
    nudge("tidy")
    nudge("follow_tickets")


def verify(verification_id: int) -> None:
    verification.run(verification=verification_id, clock=now)
    nudge("follow_tickets")


def verify_waiting() -> None:
    """Some of what waits. The rest comes back through the queue, so that a run of thousands lets others have the worker, too."""
    ran = verification.drain(clock=alive)
    if ran:
        nudge("follow_tickets")
    if ran >= verification.LIMIT:
        nudge("verify_waiting")


def look_at_claims() -> None:
    """Ask for a look at what was just said to be fixed."""
    if policy.look_at_claims(at=now()):
        nudge("verify_waiting")


def look_for_drift() -> None:
    """Once an hour, a few of those whose proof is old are asked for again."""
    if policy.look_for_drift(at=now()):
        nudge("verify_waiting")


def look_at_clocks() -> None:
    """Tell what clocks have reached: warnings, breaches, escalations; and let pauses end that are over."""
    while notices.look(at=now()) == notices.LOOKED_AT:
        alive()


def look_at_exceptions() -> None:
    """End exceptions that are over or void, cover what came later, tell which end soon."""
    keeping.look(at=now())


def tell() -> None:
    """Note what is to be told, and write the messages whose time has come."""
    at = now()
    gathering.gather(at=at)
    if telling.tell(at=at):
        nudge("drain_outbox")


def drain_outbox() -> None:
    """Deliver what is due. What is paced comes back at once through the queue, so that nobody waits in a worker."""
    outbox.drain(at=now(), clock=now)
    if outbox.due(now(), within=outbox.SOON):
        nudge("drain_outbox")


def test_connection(connection_id: int) -> None:
    """Ask for each right that a connection needs; the page shows what came of it."""
    found = Connection.objects.filter(pk=connection_id).first()
    if found is not None:
        connections.probed(found, at=now())
        nudge("drain_outbox")


def test_connections() -> None:
    """Once a day, whether each connection still has all that it needs."""
    connections.test_all(at=now())


def read_inbox() -> None:
    """Look at what webhooks hinted at."""
    inbox.drain(clock=now)
    nudge("follow_tickets")
    if verification.waiting(now()):
        nudge("verify_waiting")


def follow_tickets() -> None:
    """Tell the tickets what became of their findings."""
    if tickets.follow(at=now()):
        nudge("drain_outbox")


def reconcile_tickets() -> None:
    """Read what people did to the tickets; then as `follow_tickets`."""
    tickets.reconcile(at=now(), clock=now)
    nudge("drain_outbox")
    if verification.waiting(now()):
        nudge("verify_waiting")


def sweep() -> None:
    """Find what is due and was not nudged, or whose worker died. It also tells the supervisor that the workers live."""
    at = alive()
    for scan_id in ingest.waiting(at=at)[:NUDGED]:
        nudge("run_import", scan_id)
    for report_id in sources.waiting(at=at)[:NUDGED]:
        nudge("fetch_report", report_id)
    for bundle_id in bundles.waiting(at)[:NUDGED]:
        nudge("make_bundle", bundle_id)
    for act_id in acts.waiting(at=at)[:NUDGED]:
        nudge("do_act", act_id)
    policy.look_at_claims(at=at)
    if verification.waiting(at):
        nudge("verify_waiting")
    if outbox.due(at):
        nudge("drain_outbox")
    if inbox.waiting():
        nudge("read_inbox")
    connections.look(at=at)


def look_at_sources() -> None:
    """See what the sources have that are due, and whether one is silent."""
    if sources.look(at=now()):
        for report_id in sources.waiting(at=now())[:NUDGED]:
            nudge("fetch_report", report_id)


def fetch_report(report_id: int) -> None:
    """Fetch a report, which may take hours, and have it imported."""
    fetched = sources.fetch(report_id, clock=alive)
    if fetched.scan_id is not None:
        nudge("run_import", fetched.scan_id)
    for other in sources.waiting(at=now())[:1]:
        nudge("fetch_report", other)


def make_bundle(bundle_id: int) -> None:
    """Write a bundle that an auditor ordered."""
    bundles.make(bundle=bundle_id, clock=alive)


def resolve_owners(user_id: int, reason: str = "") -> None:
    """Ask the rules again for the whole estate, for whoever changed them and why."""
    person = User.objects.filter(pk=user_id).first()
    if person is not None:
        resolving.resolve_all(actor=of_user(person, door="task"), at=now(), reason=reason or resolving.APPLIED)


def demonstrate() -> None:
    """Bring the demonstration that somebody asked for on the first page."""
    for _scan in installation.demonstrate(actor=worker(), at=now()):
        alive()
    tidy()


def do_act(act_id: int) -> None:
    """Do what somebody asked for to many findings, with the rights that person has now."""
    acts.run(act_id, clock=alive)
    nudge("look_at_claims")
    nudge("follow_tickets")


def seal() -> None:
    """Seal events into the ledger, and send its heads to their witnesses."""
    if ledger.seal(at=now()).added:
        nudge("drain_outbox")


def verify_ledger() -> None:
    """Once a day, the whole log is computed again; the status says what came of it."""
    ledger.verify(at=now())


def collect_accounts() -> None:
    """Once a day, enumerate the accounts that ask for it (option `collect`)."""
    for place in collecting.asked_for():
        nudge("collect", place.provider, place.uid)


def collect(provider: str, uid: str) -> None:
    """Enumerate an account, and judge it by our own checks. Done twice it does no harm: the second report says the same."""
    for place in collecting.places(names=[f"{provider}:{uid}"], actor=worker()):
        done = collecting.collect(place=place, checks=files.active(), actor=worker(), clock=alive)
        if done.scan is not None:
            gathering.of_scan(done.scan.pk, at=now())
            nudge("look_at_exceptions")
            nudge("tidy")
            nudge("follow_tickets")


def grow_older() -> None:
    """Scores count for how long a finding has been known."""
    at = now()
    with recording(actor=worker().name, at=at, door=worker().door):
        risk.grow_older(at=at)
    coverage.look(at=at)
    retention.prune(at=at, actor=worker())
    bell.forget(at=at)


def archive_evidence() -> None:
    """Copy to the archive what it does not have yet, and see to its legal holds. What failed, the status shows."""
    if archiving.archive(actor=worker(), at=now(), clock=alive).stored >= archiving.LIMIT:
        nudge("archive_evidence")


def follow_overrides() -> None:
    """What a severity of our own changes in large checks, chunk by chunk."""
    while check_catalogue.follow(at=alive()):
        pass


def tidy() -> None:
    """What an import leaves for later: words to search by, counters to add up, reports to compress."""
    while words.index_assets():
        pass
    facets.fold_counters()
    evidence.compress_older(than=now() - READ_FOR)
    archiving.drop_copies(at=now())
    follow_overrides()
    inbox.forget(at=now())


def schedule() -> None:
    """See to it that the recurring tasks are scheduled; called whenever the service starts."""
    for task, minutes in MINUTES.items():
        Schedule.objects.update_or_create(
            name=f"cspm {task}",
            defaults={
                "func": f"triage.tasks.{task}", "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1,
            },
        )  # fmt: skip
