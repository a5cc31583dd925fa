"""What a clock has to say on its way: warnings, the breach, escalations; each told once, whatever stops or repeats the worker.

A policy's ladder has rungs: so many percent of the clock's time, and who is told (the owner, the team's lead, security). A finding
knows when it has to be looked at next (`notice_at`); a look tells the highest rung that was reached and not yet told, and never one
below it. A rung is told once for a clock and a version of the policy: not again when the date moves, the worker restarts, or the
computer's clock goes back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from triage.domain import access
from triage.domain.audit import Recording, recording
from triage.domain.calendars import BeyondCalendar, Span, micros, moment
from triage.domain.sla import clocks
from triage.domain.sla.drafts import BREACH, Rung
from triage.domain.sla.targets import Circumstances, Due, Rule, Targets
from triage.models import ClockEntry, ClockKind, Finding, SlaNotice, SlaVersion, Status

MOMENT_AFTER = timedelta(microseconds=1)  # late is after the date, not at it
LOOKED_AT = 2_000  # findings at once: they are locked meanwhile, and people should not wait


def kind_of(percent: int) -> str:
    """How the event of a rung is called."""
    return "warned" if percent < BREACH else "breached" if percent == BREACH else "escalated"


class Ladders:
    """Rungs by version of a policy."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Rung, ...]] = {
            number: tuple((percent, tuple(tell)) for percent, tell in ladder)
            for number, ladder in SlaVersion.objects.values_list("pk", "ladder")
        }

    def of(self, version: int) -> tuple[Rung, ...]:
        return self._of.get(version, ())

    def first(self, dues: Sequence[tuple[Due | None, datetime]]) -> datetime | None:
        """Of new clocks (what they are due by, their start), when the first of them has something to say."""
        moments = []
        for due, start in dues:
            if due is not None:
                moments.append(micros(due.at))
                for percent, _tell in self.of(due.rule.version)[:1]:
                    with suppress(BeyondCalendar):
                        moments.append(due.rule.reached(micros(start), percent))
        return moment(min(moments)) if moments else None


@dataclass(frozen=True, slots=True)
class Running:
    """A clock that runs: its rule, its start, its date as stored, and the pauses it had."""

    clock: str
    rule: Rule
    start: datetime
    due: datetime
    pauses: Sequence[Span]

    def reached(self, percent: int) -> datetime:
        """When so much of the time has passed; the stored date is what 100 % means."""
        if percent == BREACH:
            return self.due
        return moment(self.rule.reached(micros(self.start), percent, self.pauses))


def running(finding: Finding, targets: Targets, *, pauses: Sequence[Span] | None = None) -> Iterator[Running]:
    """The clocks of a finding that run now."""
    if not finding.is_open or finding.clock_from is None:
        return
    facts = circumstances(finding, targets)
    started = finding.clock_from
    ticking = (
        (ClockKind.REMEDIATE, started, finding.due_at if finding.paused_at is None else None),
        (ClockKind.ACKNOWLEDGE, started, finding.acknowledge_due if finding.acknowledged_at is None else None),
        (ClockKind.CONTAIN, started, finding.contain_due if finding.contained_at is None else None),
        (ClockKind.VERIFY, finding.claimed_at, finding.verify_due if finding.status == Status.FIX_CLAIMED else None),
    )
    for clock, start, due in ticking:
        if due is None or start is None:
            continue
        spans: Sequence[Span] = ()
        if clock == ClockKind.REMEDIATE:
            spans = clocks.pauses_of(finding) if pauses is None else pauses
        chosen = targets.strictest(clock, facts, start, spans)
        rule = chosen.rule if chosen else None
        if (
            clock == ClockKind.REMEDIATE and rule and rule.version != finding.sla_id
        ):  # the date is of the version it was computed by
            fitting = [each for each in targets.fitting(clock, facts, micros(start)) if each.version == finding.sla_id]
            rule = min(fitting, key=lambda each: each.number, default=rule)
        if rule is not None:
            yield Running(clock.value, rule, start, due, spans)


def circumstances(finding: Finding, targets: Targets) -> Circumstances:
    """What the finding's targets are chosen by."""
    return Circumstances(
        finding.severity, finding.environment, finding.asset.criticality, int(finding.check_ref.exposes),
        targets.frameworks_of(finding.check_ref_id, finding.asset.application.frameworks if finding.asset.application else ()),
    )  # fmt: skip


def look(*, at: datetime, limit: int = LOOKED_AT) -> int:
    """Tell what is due to be told, let pauses end that are over, and note when to look again; how many findings were looked at.

    One transaction: what was told is written with it, so that a worker that dies has told nothing. Any number of workers may look.
    """
    actor = access.worker()
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        rows = list(
            Finding.objects.filter(notice_at__lte=at).select_related("asset__application", "check_ref").order_by("pk")
            .select_for_update(skip_locked=True, of=("self",))[:limit]
        )  # fmt: skip
        if not rows:
            return 0
        over = _pauses_over([row.pk for row in rows if row.paused_at is not None], at)
        if over:
            log.because("the pause is over")
            clocks.release(over, at=at, actor=actor.name, reason="the pause is over")
            log.because("")
            rows = list(
                Finding.objects.filter(pk__in=[row.pk for row in rows])
                .select_related("asset__application", "check_ref")
                .order_by("pk")
            )
        _look_at(rows, log, at=at)
    return len(rows)


def _pauses_over(findings: Sequence[int], at: datetime) -> list[int]:
    if not findings:
        return []
    entries = ClockEntry.objects.filter(finding__in=findings, kind=ClockEntry.Kind.PAUSE, resumption=None, until__lte=at)
    return list(entries.values_list("pk", flat=True))


def _look_at(rows: Sequence[Finding], log: Recording, *, at: datetime) -> None:
    targets, ladders = Targets.load(at), Ladders()
    told = _told([row.pk for row in rows])
    stood = _stood([row.pk for row in rows])
    ends = _ends([row.pk for row in rows if row.paused_at is not None])
    notices: list[SlaNotice] = []
    breached: list[int] = []
    again: list[tuple[int, datetime | None]] = []
    for row in rows:
        moments = [ends[row.pk]] if row.pk in ends else []
        for clock in running(row, targets, pauses=stood.get((row.pk, row.clock_from), ())):
            if clock.clock == ClockKind.REMEDIATE:
                if clock.due < at:
                    breached.append(row.pk)
                else:
                    moments.append(clock.due + MOMENT_AFTER)
            highest = told.get((row.pk, clock.clock, clock.start, clock.rule.version), 0)
            reached: Rung | None = None
            for rung in ladders.of(clock.rule.version):
                if rung[0] <= highest:
                    continue
                when = _when(clock, rung[0])
                if when is None or when > at:
                    moments += [when] if when else []
                    break
                reached = rung
            if reached:
                notices.append(_notice(row, clock, reached, at))
        again.append((row.pk, min(moments) if moments else None))
    clocks.breach(breached, at=at)
    _write(notices, log)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE triage_finding f SET notice_at = n.next FROM unnest(%s::bigint[], %s::timestamptz[]) AS n(id, next)"
            " WHERE f.id = n.id",
            [[number for number, _next in again], [following for _number, following in again]],
        )


def _notice(finding: Finding, clock: Running, rung: Rung, at: datetime) -> SlaNotice:
    percent, tell = rung
    return SlaNotice(
        finding=finding, clock=clock.clock, started_at=clock.start, version_id=clock.rule.version, percent=percent, tell=list(tell),
        due_at=clock.due, at=at,
    )  # fmt: skip


def _when(clock: Running, percent: int) -> datetime | None:
    """None for a rung beyond the calendar's end: it will not be reached while anybody lives with this version."""
    try:
        return clock.reached(percent)
    except BeyondCalendar:
        return None


def _write(notices: Sequence[SlaNotice], log: Recording) -> None:
    kept = SlaNotice.objects.bulk_create(notices, batch_size=2000)
    by_kind: dict[tuple[str, str], dict[int, Mapping[str, object]]] = {}
    for notice in kept:
        content = {
            "clock": notice.clock, "percent": notice.percent, "tell": notice.tell, "due_at": notice.due_at.isoformat(),
            "version": notice.version_id,
        }  # fmt: skip
        by_kind.setdefault((notice.clock, kind_of(notice.percent)), {})[notice.finding_id] = content
    for (_clock, kind), contents in sorted(by_kind.items()):
        log.note_each(contents, kind)


def _told(findings: Sequence[int]) -> dict[tuple[int, str, datetime, int], int]:
    """The highest rung told, by finding, clock, its start and version."""
    highest: dict[tuple[int, str, datetime, int], int] = {}
    rows = SlaNotice.objects.filter(finding__in=findings).values_list("finding", "clock", "started_at", "version", "percent")
    for finding, clock, start, version, percent in rows:
        key = (finding, clock, start, version)
        highest[key] = max(percent, highest.get(key, 0))
    return highest


def _stood(findings: Sequence[int]) -> dict[tuple[int, datetime | None], list[Span]]:
    """Spans of ended pauses, by finding and start of its clock."""
    spans: dict[tuple[int, datetime | None], list[Span]] = {}
    rows = ClockEntry.objects.filter(finding__in=findings, pause__isnull=False)
    for finding, start, since, until in rows.values_list("finding", "started_at", "pause__at", "at"):
        spans.setdefault((finding, start), []).append((micros(since), micros(until)))
    return {key: clocks.union(found) for key, found in spans.items()}


def _ends(findings: Sequence[int]) -> dict[int, datetime]:
    """When the first of the standing pauses ends."""
    if not findings:
        return {}
    ends: dict[int, datetime] = {}
    entries = ClockEntry.objects.filter(finding__in=findings, kind=ClockEntry.Kind.PAUSE, resumption=None, until__isnull=False)
    for finding, until in entries.values_list("finding", "until"):
        if until is not None:
            ends[finding] = min(until, ends.get(finding, until))
    return ends
