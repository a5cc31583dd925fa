"""Why a finding is due when it is: each clock, the targets that fit, what it stood, what it said on its way. Only reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from triage.domain.access import Actor, Right
from triage.domain.calendars import BeyondCalendar, Span, micros, moment
from triage.domain.sla import clocks
from triage.domain.sla.notices import Ladders, Running, circumstances
from triage.domain.sla.targets import Circumstances, Rule, Targets
from triage.models import ClockEntry, ClockKind, Containment, Finding, SlaNotice, SlaTarget, Status


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that fits, and the date that it would give; None beyond its calendar."""

    target: SlaTarget
    due: datetime | None
    won: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A rung of the ladder: when it is reached, and when it was told."""

    percent: int
    tell: tuple[str, ...]
    at: datetime
    told: datetime | None


@dataclass(frozen=True, slots=True)
class ClockStory:
    """`state`: none, running, overdue, paused, met, missed. `stopped`: when it ended. `pauses`: of the ledger, also those that last."""

    clock: str
    state: str
    start: datetime | None
    due: datetime | None
    original: datetime | None
    stopped: datetime | None
    candidates: Sequence[Candidate]
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class DutyStory:
    finding: Finding
    facts: Circumstances
    clocks: Sequence[ClockStory]
    ledger: Sequence[ClockEntry]
    containments: Sequence[Containment]


def explain(finding: Finding, *, actor: Actor, at: datetime) -> DutyStory:
    """The clocks of a finding with their reasons. Raises NotAllowed. The number of statements does not depend on its past."""
    actor.demand(Right.VIEW)
    known = _Known.of(finding, at)
    contained = list(Containment.objects.filter(finding=finding).order_by("at"))
    return DutyStory(finding, known.facts, [_story(clock, known, at) for clock in ClockKind.values], known.ledger, contained)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is read to explain a finding. `pauses`: of the present clock to remediate. `published`: targets by number."""

    finding: Finding
    targets: Targets
    ladders: Ladders
    facts: Circumstances
    ledger: Sequence[ClockEntry]
    notices: Sequence[SlaNotice]
    pauses: Sequence[Span]
    published: Mapping[int, SlaTarget]

    @classmethod
    def of(cls, finding: Finding, at: datetime) -> "_Known":
        targets = Targets.load(at)
        entries = ClockEntry.objects.filter(finding=finding).select_related("version__policy", "version_after__policy", "pause")
        ledger = list(entries.order_by("at", "pk"))
        ended = [entry for entry in ledger if entry.pause and entry.started_at == finding.clock_from]
        return cls(
            finding, targets, Ladders(), circumstances(finding, targets), ledger, list(SlaNotice.objects.filter(finding=finding)),
            clocks.union((micros(entry.pause.at), micros(entry.at)) for entry in ended if entry.pause),
            SlaTarget.objects.select_related("version__policy", "calendar__calendar").in_bulk([rule.number for rule in targets.rules]),
        )  # fmt: skip


def _story(clock: str, known: _Known, at: datetime) -> ClockStory:
    start, due, stopped = _bounds(known.finding, clock)
    pauses: Sequence[Span] = known.pauses if clock == ClockKind.REMEDIATE else ()
    candidates: list[Candidate] = []
    steps: list[Step] = []
    best = known.targets.strictest(clock, known.facts, start, pauses) if start else None
    if start and best:
        candidates = [
            Candidate(known.published[rule.number], _due(rule, start, pauses), rule == best.rule)
            for rule in known.targets.fitting(clock, known.facts, micros(start))
        ]
        candidates.sort(key=lambda candidate: (not candidate.won, candidate.due or datetime.max.replace(tzinfo=UTC)))
        if due:
            steps = _steps(Running(clock, best.rule, start, due, pauses), known)
    original = known.finding.due_original if clock == ClockKind.REMEDIATE else None
    state = _state(known.finding, clock, due, stopped, at)
    return ClockStory(clock, state, start, due, original, stopped, candidates, steps)


def _steps(running: Running, known: _Known) -> list[Step]:
    """The ladder, as far as the calendar reaches."""
    told = {
        notice.percent: notice.at
        for notice in known.notices
        if (notice.clock, notice.started_at, notice.version_id) == (running.clock, running.start, running.rule.version)
    }
    steps = []
    for percent, tell in known.ladders.of(running.rule.version):
        try:
            steps.append(Step(percent, tell, running.reached(percent), told.get(percent)))
        except BeyondCalendar:
            break
    return steps


def _bounds(finding: Finding, clock: str) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Start, date and end of a clock."""
    if clock == ClockKind.REMEDIATE:
        return finding.clock_from, finding.due_at, finding.settled_at
    if clock == ClockKind.ACKNOWLEDGE:
        return finding.clock_from, finding.acknowledge_due, finding.acknowledged_at or finding.settled_at
    if clock == ClockKind.CONTAIN:
        start = finding.clock_from if finding.check_ref.exposes else None
        return start, finding.contain_due, finding.contained_at or finding.settled_at
    return (finding.claimed_at, finding.verify_due, None) if finding.status == Status.FIX_CLAIMED else (None, None, None)


def _state(finding: Finding, clock: str, due: datetime | None, stopped: datetime | None, at: datetime) -> str:
    if clock == ClockKind.REMEDIATE and finding.paused_at is not None:
        return "paused"
    if due is None:
        return "none"
    if stopped is not None:
        return "met" if stopped <= due else "missed"
    if not finding.is_open:
        return "none"
    return "overdue" if due < at else "running"


def _due(rule: Rule, start: datetime, pauses: Sequence[Span]) -> datetime | None:
    try:
        return moment(rule.due(micros(start), pauses))
    except BeyondCalendar:
        return None
