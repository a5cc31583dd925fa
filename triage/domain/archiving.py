"""Evidence copied to the archive that the settings name; and its legal holds there, as the holds here say.

A piece is stored first, then its row is written: whoever dies in between leaves an object that the next run knows by its bytes. One
process at a time is at it, with many pieces at once, and outside of a transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Signal
from typing import Any

from django.conf import settings
from django.db.models import F, Min, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import archives, evidence, retention
from triage.domain.access import Actor, Right
from triage.domain.archives import Place
from triage.domain.audit import recording
from triage.domain.errors import TriageError
from triage.domain.locking import turn
from triage.models import ArchiveStanding, Evidence
from triage.ports import Absent, ArchiveError, Text, Unfit

SUBJECT = "evidence archive"
LIMIT = 10_000
BATCH = 200
AT_ONCE = 8
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=1)
PIECE_AGAIN = timedelta(days=1)  # when a piece is tried again that was not taken while others were
DROPPED_AT_ONCE = 1_000
BUSY = Text(_("Another process is archiving."))

# What came of one piece: done, None when it was not tried, or why not.
Outcome = str | ArchiveError | TriageError | None


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did: pieces stored, left aside, legal holds set and lifted. `problem`: why it ended early."""

    stored: int = 0
    aside: int = 0
    held: int = 0
    lifted: int = 0
    problem: Text | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """`place` None: the settings name no archive. `waiting`: pieces that are not there yet, the oldest kept at `since`; `aside`:
    those of them that were not taken, such as for `because`. `row`: how the last tries went, None before the first.
    """

    place: Place | None
    archived: int
    waiting: int
    since: datetime | None
    aside: int
    because: Text | None
    row: ArchiveStanding | None

    @property
    def problem(self) -> Text | None:
        return _text(self.row.problem) if self.row else None


def archive(*, actor: Actor, at: datetime, clock: Callable[[], datetime], limit: int = LIMIT, impatient: bool = False) -> Done:
    """Store what waits, then set and lift legal holds; at most `limit` of each. Raises NotAllowed.

    What the outside does is never raised: it is noted, and tried again later and later. `impatient`: now all the same.
    """
    actor.demand(Right.ADMINISTER)
    if not settings.EVIDENCE_ARCHIVE:
        return Done()
    with turn("cspm evidence archive", places=1) as mine:
        if not mine:
            return Done(problem=BUSY)
        row, _made = ArchiveStanding.objects.get_or_create(pk=1)
        if row.due_at is not None and row.due_at > at and not impatient:
            return Done(problem=_text(row.problem))
        done = Done()
        try:
            run = _Run(archives.configured(), actor, clock, impatient=impatient)
            for done in run.steps(limit):  # noqa: B007 - what was done before it broke counts
                pass
        except (ArchiveError, TriageError) as error:
            _failed(row, error.text, at=clock())
            return replace(done, problem=error.text)
        ArchiveStanding.objects.filter(pk=1).update(problem={}, problem_at=None, failures=0, due_at=None)
        return done


def drop_copies(*, at: datetime) -> int:
    """Give up local copies of what was archived more than CSPM_EVIDENCE_SPOOL_DAYS ago, some at a time; how many."""
    if not settings.EVIDENCE_SPOOL_DAYS or not settings.EVIDENCE_ARCHIVE:
        return 0
    old = Evidence.objects.filter(
        archived_at__lt=at - timedelta(days=settings.EVIDENCE_SPOOL_DAYS), on_disk=True, deleted_at=None
    )
    rows = list(old.order_by("archived_at").values_list("pk", flat=True)[:DROPPED_AT_ONCE])
    for sha256 in rows:
        evidence.drop(bytes(sha256))
    return len(rows)


def standing(*, actor: Actor) -> Standing:
    """Raises NotAllowed, Invalid for settings that contradict themselves."""
    actor.demand(Right.AUDIT)
    waiting = _waiting()
    aside = waiting.exclude(archive_problem={})
    example = aside.order_by("kept_at").values_list("archive_problem", flat=True).first()
    return Standing(
        archives.configured(),
        Evidence.objects.filter(archived_at__isnull=False, deleted_at=None).count(),
        waiting.count(),
        waiting.aggregate(oldest=Min("kept_at"))["oldest"],
        aside.count(),
        _text(example),
        ArchiveStanding.objects.filter(pk=1).first(),
    )


def metrics(*, at: datetime) -> str:
    """The archive's numbers in Prometheus' text format, '' where there is none."""
    if not settings.EVIDENCE_ARCHIVE:
        return ""
    waiting, row = _waiting(), ArchiveStanding.objects.filter(pk=1).first()
    since = waiting.aggregate(oldest=Min("kept_at"))["oldest"]
    numbers = (
        ("waiting", "Pieces of evidence that the archive does not have yet.", waiting.count()),
        ("aside", "Those of them that it did not take.", waiting.exclude(archive_problem={}).count()),
        ("waiting_seconds", "For how long the oldest has waited.", (at - since).total_seconds() if since else 0),
        ("stored_seconds", "Since when it took nothing, -1 before the first time.",
         (at - row.stored_at).total_seconds() if row and row.stored_at else -1),
        ("failing", "Whether the last try failed.", int(bool(row and row.problem))),
    )  # fmt: skip
    return "".join(
        f"# HELP cspm_evidence_archive_{name} {told}\n# TYPE cspm_evidence_archive_{name} gauge\ncspm_evidence_archive_{name} {value}\n"
        for name, told, value in numbers
    )


class _Run:
    def __init__(self, place: Place | None, actor: Actor, clock: Callable[[], datetime], *, impatient: bool) -> None:
        if place is None:
            raise ValueError("no archive")
        self.place, self.actor, self.clock = place, actor, clock
        if impatient:
            _waiting().filter(archive_due_at__isnull=False).update(archive_due_at=None)
        self.broken: ArchiveError | None = None

    def steps(self, limit: int) -> Iterable[Done]:
        """What was done so far, batch by batch. Raises ArchiveError when the archive does not go on."""
        done, checked, left = Done(), False, limit
        while left > 0 and (rows := list(self._due()[: min(left, BATCH)])):
            if not checked:
                self._check()
                checked = True
            stored, aside = self._store(rows)
            done = replace(done, stored=done.stored + stored, aside=done.aside + aside)
            yield done
            self._go_on()
            left -= len(rows)
        for on in (True, False):
            left = limit
            while left > 0 and (rows := list(_differing(on=on)[: min(left, BATCH)])):
                changed = self._hold(rows, on=on)
                done = replace(done, held=done.held + changed) if on else replace(done, lifted=done.lifted + changed)
                yield done
                self._go_on()
                left -= len(rows)

    def _due(self) -> QuerySet[Evidence]:
        """A piece is tried once in a run: what was not taken is due later."""
        return _waiting().filter(Q(archive_due_at=None) | Q(archive_due_at__lte=self.clock())).order_by("kept_at")

    def _check(self) -> None:
        """Nothing is stored where it would not be locked."""
        for probe in self.place.plugin.probe(self.place.options):
            if not probe.passed:
                said = probe.said or probe.what
                raise ArchiveError(said.message, **said.params)

    def _go_on(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _store(self, rows: Sequence[Evidence]) -> tuple[int, int]:
        at = self.clock()
        stored, aside, versions = [], [], {}
        for row, outcome in self._each(rows, partial(_put, self.place, at)):
            if isinstance(outcome, str):
                row.archived_at, row.archive_version, row.archive_until = at, outcome, self.place.until(row.kept_at, at=at)
                row.archive_due_at, row.archive_problem = None, {}
                versions[str(row)] = outcome
                stored.append(row)
            elif isinstance(outcome, Unfit | TriageError):
                row.archive_due_at, row.archive_problem = at + PIECE_AGAIN, _json(outcome.text)
                aside.append(row)
        Evidence.objects.bulk_update(aside, ["archive_due_at", "archive_problem"])
        if stored:
            ArchiveStanding.objects.filter(pk=1).update(stored_at=at)
            fields = ["archived_at", "archive_version", "archive_until", "archive_due_at", "archive_problem"]
            told = {"address": self.place.address, "mode": self.place.options["mode"], "versions": versions}
            self._write(stored, fields, "stored", told, at=at)
        return len(stored), len(aside)

    def _hold(self, rows: Sequence[Evidence], *, on: bool) -> int:
        at = self.clock()
        changed, lost = [], []
        for row, outcome in self._each(rows, partial(_put_hold, self.place, on)):
            if isinstance(outcome, Absent):
                row.archived_at, row.archive_version, row.archive_held, row.archive_problem = None, "", False, _json(outcome.text)
                lost.append(row)
            elif isinstance(outcome, str):
                row.archive_held = on
                changed.append(row)
        for these, fields, kind in (
            (changed, ["archive_held"], "held" if on else "hold lifted"),
            (lost, ["archived_at", "archive_version", "archive_held", "archive_problem"], "lost"),
        ):
            if these:
                self._write(these, fields, kind, {"address": self.place.address, "sha256": [str(row) for row in these]}, at=at)
        return len(changed)

    def _write(
        self, rows: Sequence[Evidence], fields: Sequence[str], kind: str, told: Mapping[str, Any], *, at: datetime
    ) -> None:
        with recording(actor=self.actor.name, at=at, door=self.actor.door) as log:
            Evidence.objects.bulk_update(rows, fields)
            log.tell(SUBJECT, 0, kind, after=told)

    def _each(self, rows: Sequence[Evidence], what: Callable[[Evidence], str]) -> list[tuple[Evidence, Outcome]]:
        """What came of each, many at once. When the archive itself does not go on, the rest is not tried."""
        stop = Signal()

        def tried(row: Evidence) -> Outcome:
            if stop.is_set():
                return None
            try:
                return what(row)
            except (Unfit, Absent, TriageError) as error:
                return error
            except ArchiveError as error:
                stop.set()
                return error
            except OSError as error:  # of this file, or of the disk: others may be read
                return evidence.unreadable(bytes(row.sha256), error)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = []
            for row, outcome in zip(rows, pool.map(tried, rows), strict=True):
                self.clock()  # a sign of life, as reports may be large
                outcomes.append((row, outcome))
        failures = (outcome for _row, outcome in outcomes if isinstance(outcome, ArchiveError))
        self.broken = next((error for error in failures if not isinstance(error, Unfit | Absent)), None)
        return outcomes


def _put(place: Place, at: datetime, row: Evidence) -> str:
    """Its version there. In a thread: asks no database. Raises ArchiveError, Damaged."""
    sha256 = bytes(row.sha256)
    stream = evidence.on_disk(row)
    if stream is None:
        raise evidence.missing(row)
    with stream:
        if evidence.hashed(stream) != sha256:
            raise evidence.changed(sha256)
        stream.seek(0)
        return place.plugin.store(archives.name_of(sha256), stream, sha256, place.until(row.kept_at, at=at), place.options)


def _put_hold(place: Place, on: bool, row: Evidence) -> str:  # noqa: FBT001 - as the port has it
    place.plugin.hold(archives.name_of(bytes(row.sha256)), row.archive_version, on, place.options)
    return row.archive_version


def _waiting() -> QuerySet[Evidence]:
    return Evidence.objects.filter(archived_at=None, deleted_at=None)


def _differing(*, on: bool) -> QuerySet[Evidence]:
    """What the archive has and holds otherwise than the holds here say."""
    there = Evidence.objects.filter(archived_at__isnull=False, deleted_at=None, archive_held=not on).order_by("archived_at")
    held = retention.held()
    return there.filter(held) if on else there.exclude(held)


def _failed(row: ArchiveStanding, text: Text, *, at: datetime) -> None:
    wait = min(FIRST_WAIT * 2 ** min(row.failures, 10), LONGEST_WAIT)
    ArchiveStanding.objects.filter(pk=1).update(
        problem=_json(text), problem_at=row.problem_at or at, failures=F("failures") + 1, due_at=at + wait
    )


def _json(text: Text) -> dict[str, Any]:
    return {"message": text.message, "params": dict(text.params)}


def _text(kept: Mapping[str, Any] | None) -> Text | None:
    return Text(kept["message"], kept["params"]) if kept else None
