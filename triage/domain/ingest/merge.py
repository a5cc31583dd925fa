"""Merging a parsed report: runs one after the other, each under its scanner's lock, in chunks."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain import audit
from triage.domain.ingest import absence, settlement
from triage.domain.ingest.catalogue import Catalogue
from triage.domain.ingest.changes import Sink
from triage.domain.ingest.cloud import CloudMerge
from triage.domain.ingest.code import CodeMerge
from triage.domain.ingest.summary import Report
from triage.domain.sets import CHUNK
from triage.models import Scan
from triage.ports import Observation, Run, Skipped, Text, Unchanged

CLOCK_SKEW = timedelta(minutes=10)
FIRST_CHUNK = 1_000
UNCHANGED_CHUNK = 50_000
# A chunk's records are some 100,000 objects that die together and hold no cycles. To look for cycles each 700 cost a fifth of an import.
OBJECTS_BETWEEN_COLLECTIONS = 200_000
LATE = _("%(count)s records are older than a scan that has covered the same since: they are history and change nothing.")
UNREAD = _(
    "%(count)s records could not be read, so what is missing from this report proves nothing: nothing is marked as no longer reported "
    "or fixed by absence."
)
FUTURE = _("The report says that it was made at %(at)s, which is yet to come. The time of receipt counts instead.")

Items = Iterator[Run | Observation | Unchanged | Skipped]
Progress = Callable[[str, int], None]


class Matches(Protocol):
    """Where each observation's fate is written: its position, the finding it became, the change, the stage that matched."""

    def __call__(self, position: int | tuple[int, int], finding: int | None, change: str, stage: str, /) -> None: ...


def merge(
    items: Items,
    *,
    scan: Scan,
    report: Report,
    unchanged: dict[bytes, int],
    on_progress: Progress,
    matches: Matches | None = None,
) -> None:
    """Merge all runs of a report; fills the scan's scanner, version and time, and the report's counts and notes.

    `unchanged`: the one that the parser was given. Inside a transaction. Raises UnreadableReport from the parser.
    """
    sink = _sink(matches) if matches else None
    mergers: dict[tuple[str, ...], CloudMerge | CodeMerge] = {}
    head = _first(items, report)
    while head is not None:
        at = _time_of(head, scan, report)
        if not scan.scanner:
            scan.scanner, scan.version, scan.at = head.scanner[:80], head.version[:80], at
        if head.inconclusive_because:
            report.notes.append(head.inconclusive_because)
        with audit.recording(actor=scan.actor, at=at, door=scan.door, scan=scan.pk), _rare_collections():
            # Runs of several tools may take turns in a report: what is missing from one turn is not missing from the run.
            scope = (head.scanner, head.kind, head.category, head.repository, head.branch)
            merger = mergers.get(scope)
            if merger is None:
                _lock(head.scanner)
                merger = mergers[scope] = _merger(head, scan=scan.pk, at=at, unchanged=unchanged, sink=sink)
            elif not head.conclusive:
                merger.run = head
            head = _read(items, merger, report, on_progress)
    on_progress("settling", report.summary.rows)
    for merger in mergers.values():
        with audit.recording(actor=scan.actor, at=merger.at, door=scan.door, scan=scan.pk) as log:
            _conclude(merger, log, report, complete=scan.declared.get("complete"))


def _merger(run: Run, *, scan: int, at: datetime, unchanged: dict[bytes, int], sink: Sink | None) -> CloudMerge | CodeMerge:
    catalogue = Catalogue(run.scanner, at)
    if run.kind == "cloud":
        return CloudMerge(run, scan=scan, at=at, catalogue=catalogue, unchanged=unchanged, sink=sink)
    return CodeMerge(run, scan=scan, at=at, catalogue=catalogue, sink=sink)


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _read(items: Items, merger: CloudMerge | CodeMerge, report: Report, on_progress: Progress) -> Run | None:
    """Give the merger the records of one run, chunk by chunk; the head of the next run, if the report has another."""
    following: Run | None = None
    observations: list[Observation] = []
    unchanged: list[Unchanged] = []
    # The first chunk is short: it makes the accounts known, and what their last reports said. What is unchanged takes little memory.
    room, spare = FIRST_CHUNK, UNCHANGED_CHUNK
    for item in items:
        kind = item.__class__
        if kind is tuple:
            unchanged.append(item)  # type: ignore[arg-type]
            spare -= 1
        elif kind is Observation:
            observations.append(item)  # type: ignore[arg-type]
            room -= 1
        elif kind is Skipped:
            report.skip(item)  # type: ignore[arg-type]
        else:
            following = item  # type: ignore[assignment]
            break
        if not room or not spare:
            _take(merger, observations, unchanged, report, on_progress)
            observations, unchanged, room, spare = [], [], CHUNK, UNCHANGED_CHUNK
    _take(merger, observations, unchanged, report, on_progress)
    return following


def _take(
    merger: CloudMerge | CodeMerge,
    observations: list[Observation],
    unchanged: list[Unchanged],
    report: Report,
    on_progress: Progress,
) -> None:
    merger.take(observations, unchanged)
    count = len(observations) + len(unchanged)
    report.summary.add(rows=count, observations=count)
    on_progress("reading", report.summary.rows)


def _conclude(merger: CloudMerge | CodeMerge, log: audit.Recording, report: Report, *, complete: bool | None) -> None:
    if report.summary.skipped and complete is None:
        # Whatever is missing may be in a record that could not be read.
        complete = False
        unread = Text(UNREAD, {"count": report.summary.skipped})
        if unread not in report.notes:  # a report of several runs says it once
            report.notes.append(unread)
    if isinstance(merger, CloudMerge):  # noqa: SIM108 - two ways to end, side by side
        done = absence.settle(merger, log=log, complete=complete)
    else:
        done = merger.close(log, complete=complete)
    if merger.catalogue.rejudged:
        settlement.judge_again(merger.catalogue.rejudged, log=log, at=merger.at)
    report.notes += done.notes
    tally = merger.tally
    if tally.late:
        report.notes.append(Text(LATE, {"count": tally.late}))
    report.summary.add(
        fail=tally.fail, passed=tally.passed, manual=tally.manual, muted=tally.muted, new=tally.new, open=tally.open,
        unchanged=tally.unchanged, repeated=tally.repeated, late=tally.late, fixed=done.fixed, regressed=done.regressed,
        unreported=done.unreported, back=done.back,
    )  # fmt: skip


def _first(items: Items, report: Report) -> Run | None:
    for item in items:
        if isinstance(item, Run):
            return item
        if isinstance(item, Skipped):
            report.skip(item)
    return None


def _time_of(run: Run, scan: Scan, report: Report) -> datetime:
    """When the scanner looked; the time of receipt where it does not say, or says a time to come."""
    if run.at is None:
        return scan.received_at
    if run.at > scan.received_at + CLOCK_SKEW:
        report.notes.append(Text(FUTURE, {"at": run.at.isoformat(timespec="minutes")}))
    # Whole seconds: the formats of one run cut its time differently, and none of them is older than the others.
    return min(run.at, scan.received_at).replace(microsecond=0)


def _lock(scanner: str) -> None:
    """One import a scanner at a time: the second waits here and then sees what the first wrote."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('import ' || %s, 0))", [scanner])


def _sink(matches: Matches) -> Sink:
    def tell(observation: Observation, finding: int | None, change: str, stage: str) -> None:
        matches(observation.position, finding, change, stage)

    return tell
