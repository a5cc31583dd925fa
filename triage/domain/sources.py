"""Reports that nobody carries: sources are looked at on time, what they have is fetched and received, and silence is an alarm.

A source is a connection of the kind `sources`. Looking writes down what is there; fetching is leased, tried again, and may take hours:
whatever dies in between, the next one goes on.
"""

import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import connections, ingest
from triage.domain.access import Actor, Right, worker
from triage.domain.audit import recording
from triage.domain.connections import DAILY, FIVE_MINUTES, HOURLY
from triage.domain.errors import Invalid, TriageError
from triage.domain.locking import turn
from triage.models import Alarm, Connection, Scan, ScanState, SourceLook, SourceReport
from triage.ports import DeliveryError, Offered, Source, Text

logger = logging.getLogger(__name__)

State = SourceReport.State
DECLARED = ("account", "repository", "branch", "category", "zone")
LEASE = timedelta(minutes=5)
TICK = 20.0  # seconds between two signs of life while something is fetched
ATTEMPTS = 4
AGAIN = timedelta(minutes=5)  # after the first failure; twice as long after each other
FETCHES = 2  # at the same time, of all processes; of scanners that run here one alone
AT_ONCE = 1_000  # of what was found, so many are noted at a look: an old bucket comes in piece by piece
GIVEN_UP = _("It was tried %(times)s times. %(said)s")


@dataclass(frozen=True, slots=True)
class Standing:
    """A source, when it is due next, when it last brought something, and its newest reports."""

    connection: Connection
    next_at: datetime | None
    last_report: datetime | None
    reports: Sequence[SourceReport]
    waiting: int


def slot(connection: Connection, at: datetime) -> datetime:
    """The moment for which the source is due, at or before `at`: of the last interval that began, in the zone of the installation."""
    every = connection.options.get("every") or FIVE_MINUTES
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE)).replace(second=0, microsecond=0)
    if every == FIVE_MINUTES:
        return local.replace(minute=local.minute // 5 * 5)
    if every == HOURLY:
        return local.replace(minute=0)
    begins = _hour(connection)
    local = local.replace(hour=begins.hour, minute=begins.minute) - timedelta(days=0 if local.time() >= begins else 1)
    return local if every == DAILY else local - timedelta(days=local.weekday())


def next_slot(connection: Connection, at: datetime) -> datetime:
    """When the source is due again."""
    every = connection.options.get("every") or FIVE_MINUTES
    steps = {FIVE_MINUTES: timedelta(minutes=5), HOURLY: timedelta(hours=1), DAILY: timedelta(days=1)}
    return slot(connection, at) + steps.get(every, timedelta(weeks=1))


def _hour(connection: Connection) -> time:
    try:
        return time.fromisoformat(str(connection.options.get("hour") or "02:00")).replace(second=0, microsecond=0)
    except ValueError:
        return time(2)


def look(*, at: datetime) -> int:
    """Look at each source that is due, and at what its reports became; how many reports there are new. Outside of a transaction."""
    found = 0
    for connection in _sources().exclude(paused_until__gt=at):
        due = slot(connection, at)
        known = SourceLook.objects.filter(connection=connection).first()
        if known is None or known.slot < due:
            found += look_at(connection, due=due, at=at)
    for connection in _sources():
        _hear_of_scans(connection, at=at)
        _mind_silence(connection, at=at)
    return found


def look_at(connection: Connection, *, due: datetime, at: datetime) -> int:
    """Note what the source has that was not noted before; how many. Whoever else looks at the same moment notes nothing twice."""
    with turn(f"cspm source {connection.pk}", places=1) as mine:
        if not mine:
            return 0
        SourceLook.objects.update_or_create(connection=connection, defaults={"slot": due, "at": at})
        try:
            offered = list(_plugin(connection).offered(due.isoformat(timespec="seconds"), connections.options(connection)))
        except (DeliveryError, Invalid) as error:
            connections.unread(connection, error, at=at)
            return 0
        except Exception as error:  # a plugin's bug must not stop the other sources
            logger.exception("source %s", connection)
            connections.failed(connection, f"{type(error).__name__}: {error}", at=at)
            return 0
        connections.arrived(connection, at=at)
        return _note(connection, offered, at)


def _note(connection: Connection, offered: Sequence[Offered], at: datetime) -> int:
    known = set(SourceReport.objects.filter(connection=connection).values_list("name", "version"))
    new = [each for each in offered if (each.name[:1000], each.version[:200]) not in known][:AT_ONCE]
    if not new:
        return 0
    with transaction.atomic():
        # What a newer version follows was not fetched in time: the newer one says what is so now.
        older = SourceReport.objects.filter(connection=connection, name__in=[each.name for each in new], state=State.WAITING)
        older.update(state=State.PASSED)
        rows = [
            SourceReport(connection=connection, name=each.name[:1000], version=each.version[:200], found_at=at, due_at=at)
            for each in new
        ]
        SourceReport.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)
    return len(new)


def ask(*, name: str, actor: Actor, at: datetime) -> int:
    """Look at a source now, whatever its interval; how many reports are new. Raises NotFound, NotAllowed, Invalid."""
    actor.demand(Right.IMPORT)
    connection = connections.named(name)
    if connection.kind != "sources":
        raise Invalid(_("“%(name)s” is not a source of reports."), name=name)
    if connection.state == Connection.State.OFF:
        raise Invalid(_("“%(name)s” is switched off."), name=name)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        log.tell("connection", connection.pk, "asked for reports")
    return look_at(connection, due=at, at=at)


# --- fetching -----------------------------------------------------------------------------------------------------------------


def waiting(*, at: datetime) -> list[int]:
    """Numbers of the reports that nobody is fetching and whose time has come, the oldest first."""
    return list(_free(at).order_by("due_at", "pk").values_list("pk", flat=True))


def _free(at: datetime) -> QuerySet[SourceReport]:
    free = Q(state=State.WAITING, due_at__lte=at) | Q(state=State.FETCHING, lease_until__lte=at)
    return SourceReport.objects.filter(free, connection__in=_sources().exclude(paused_until__gt=at))


def fetch(report: int, *, clock: Callable[[], datetime]) -> SourceReport:
    """Fetch a report and receive it for import, unless somebody else does, or others have the turn. Raises nothing for what the outside
    does.

    Outside of a transaction: a scanner may run for hours meanwhile. Its scan waits to be imported afterwards.
    """
    row = SourceReport.objects.select_related("connection").get(pk=report)
    places = 1 if makes(row.connection) else FETCHES
    with turn(f"cspm source {makes(row.connection)}", places=places) as mine:
        if mine and _claim(row, clock()):
            _fetch(row, clock)
    row.refresh_from_db()
    return row


def now(connection: Connection, *, clock: Callable[[], datetime]) -> list[SourceReport]:
    """Look at a source and fetch at once what it has for this moment."""
    at = clock()
    look_at(connection, due=at, at=at)
    rows = SourceReport.objects.filter(connection=connection, found_at=at).order_by("pk")
    return [fetch(number, clock=clock) for number in rows.values_list("pk", flat=True)]


def _fetch(row: SourceReport, clock: Callable[[], datetime]) -> None:
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR, prefix="source-") as folder:
        path = Path(folder) / "report"
        try:
            notes = _brought(row, path, clock)
            scan = _receive(row, path, at=clock())
        except (DeliveryError, TriageError, OSError) as error:
            _not_fetched(row, error, at=clock())
        except Exception as error:  # a plugin's bug must not have it tried for ever
            logger.exception("source %s: %s", row.connection, row.name)
            _not_fetched(row, DeliveryError(f"{type(error).__name__}", permanent=True), at=clock())
        else:
            _taken(row, scan, notes, at=clock())


def _claim(row: SourceReport, at: datetime) -> bool:
    mine = _free(at).filter(pk=row.pk).update(state=State.FETCHING, lease_until=at + LEASE, attempts=F("attempts") + 1)
    row.attempts += mine
    return bool(mine)


def _brought(row: SourceReport, into: Path, clock: Callable[[], datetime]) -> Sequence[Text]:
    """What the plugin says of it. It works in a thread, so that this one can say that both live. Raises as the plugin does."""
    plugin, options = _plugin(row.connection), connections.options(row.connection)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(plugin.fetch, Offered(row.name, row.version), into, options, stop)
        try:
            while True:
                try:
                    return work.result(TICK)
                except NotYet:
                    if work.done():
                        raise
                    held = SourceReport.objects.filter(pk=row.pk, state=State.FETCHING, connection__in=_sources())
                    if not held.update(lease_until=clock() + LEASE):  # switched off meanwhile
                        stop.set()
        finally:
            stop.set()


def _receive(row: SourceReport, path: Path, *, at: datetime) -> Scan:
    options = row.connection.options
    declared = {name: options[name] for name in DECLARED if options.get(name)}
    before = SourceReport.objects.filter(connection=row.connection, name=row.name, scan__isnull=False)
    if _plugin(row.connection).MAKES or before.exists():
        declared["run"] = f"{row.connection.name} {row.version}"
    name = row.name.rpartition("/")[2]
    return ingest.receive(stream=path, name=name, declared=declared, actor=_brings(row.connection), at=at, upload=True)


def _brings(connection: Connection) -> Actor:
    service = worker()
    return Actor(name=f"source:{connection.name}"[:80], door=service.door, roles=service.roles)


def _taken(row: SourceReport, scan: Scan, notes: Sequence[Text], *, at: datetime) -> None:
    told = [{"message": note.message, "params": dict(note.params)} for note in notes]
    SourceReport.objects.filter(pk=row.pk).update(
        state=State.TAKEN, scan=scan, said=None, notes=told, taken_at=at, lease_until=None
    )
    connections.arrived(row.connection, at=at)
    connections.resolve(row.connection, Alarm.Kind.SILENT, at=at)
    if notes:
        connections.raise_alarm(row.connection, Alarm.Kind.PARTIAL, " ".join(map(str, notes)), subject=row.name, at=at)
    else:
        Alarm.objects.filter(connection=row.connection, kind=Alarm.Kind.PARTIAL, subject=row.name[:200], resolved_at=None).update(
            resolved_at=at
        )


def _not_fetched(row: SourceReport, error: Exception, *, at: datetime) -> None:
    said = connections.hidden(row.connection, str(error))[:500]
    last = getattr(error, "permanent", False) or isinstance(error, Invalid) or row.attempts >= ATTEMPTS
    text = (
        Text(GIVEN_UP, {"times": row.attempts, "said": said}) if last and row.attempts > 1 else Text("%(said)s", {"said": said})
    )
    SourceReport.objects.filter(pk=row.pk, state=State.FETCHING).update(
        state=State.REFUSED if last else State.WAITING, said={"message": text.message, "params": dict(text.params)},
        lease_until=None, due_at=at + AGAIN * 2 ** (row.attempts - 1),
    )  # fmt: skip
    if last:
        connections.raise_alarm(row.connection, Alarm.Kind.UNREADABLE, said, subject=row.name, at=at)
    elif isinstance(error, DeliveryError):
        connections.unread(row.connection, error, at=at)


# --- how well they are --------------------------------------------------------------------------------------------------------


def _hear_of_scans(connection: Connection, *, at: datetime) -> None:
    """A report that could not be imported is an alarm, until one of the same name could."""
    taken = SourceReport.objects.filter(connection=connection, state=State.TAKEN)
    for row in taken.filter(scan__state=ScanState.FAILED).select_related("scan"):
        problem = row.scan.problem if row.scan else None
        if taken.filter(pk=row.pk).update(state=State.REFUSED, said=problem):
            said = str(Text(problem["message"], problem["params"])) if problem else ""
            connections.raise_alarm(connection, Alarm.Kind.UNREADABLE, said, subject=row.name, at=at)
    read = taken.filter(scan__state__in=(ScanState.DONE, ScanState.DUPLICATE))
    for alarm in Alarm.objects.filter(connection=connection, kind=Alarm.Kind.UNREADABLE, resolved_at=None):
        if read.filter(name__startswith=alarm.subject, taken_at__gt=alarm.raised_at).exists():
            Alarm.objects.filter(pk=alarm.pk).update(resolved_at=at)


def _mind_silence(connection: Connection, *, at: datetime) -> None:
    allowed = _silence(connection)
    last = last_report(connection) or connection.created_at
    if allowed and at - last > allowed and not _alarmed(connection):
        detail = f"no report since {last.astimezone(ZoneInfo(settings.TIME_ZONE)):%Y-%m-%d %H:%M}"
        connections.raise_alarm(connection, Alarm.Kind.SILENT, detail, at=at)


def _alarmed(connection: Connection) -> bool:
    return Alarm.objects.filter(connection=connection, kind=Alarm.Kind.SILENT, resolved_at=None).exists()


def _silence(connection: Connection) -> timedelta:
    """How long nothing may come, 0 for any time."""
    try:
        return timedelta(hours=float(connection.options.get("silence") or 48))
    except (ValueError, OverflowError):
        return timedelta(hours=48)


def last_report(connection: Connection) -> datetime | None:
    """When the source last brought a report that could be read."""
    rows = SourceReport.objects.filter(connection=connection, state=State.TAKEN)
    last: datetime | None = rows.aggregate(last=Max("taken_at"))["last"]
    return last


def standings(*, at: datetime, shown: int = 5) -> list[Standing]:
    """All sources, by name."""
    found = []
    for connection in Connection.objects.filter(kind="sources").order_by("name"):
        rows = SourceReport.objects.filter(connection=connection)
        off = connection.state == Connection.State.OFF
        found.append(
            Standing(
                connection=connection,
                next_at=None if off else next_slot(connection, at),
                last_report=last_report(connection),
                reports=list(rows.select_related("scan").order_by("-pk")[:shown]),
                waiting=rows.filter(state__in=(State.WAITING, State.FETCHING)).count(),
            )
        )
    return found


def _sources() -> QuerySet[Connection]:
    return Connection.objects.filter(kind="sources", state__in=connections.SENDING).order_by("pk")


def _plugin(connection: Connection) -> Source:
    plugin: Source = connections.plugin_of(connection)
    return plugin


def makes(connection: Connection) -> bool:
    """Whether it has a scanner run, so that it can be asked for news."""
    return bool(_plugin(connection).MAKES)
