"""What a policy would have meant for the clocks that ran: on the own history, before anybody has to live with it. Only reads."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from triage.domain.access import Actor, Right
from triage.domain.calendars import Span, micros
from triage.domain.sets import CHUNK, chunks
from triage.domain.sla import clocks, policies
from triage.domain.sla.notices import circumstances
from triage.domain.sla.policies import Effect, Plan
from triage.domain.sla.targets import Circumstances, Targets
from triage.models import ClockEntry, ClockKind, Finding, Severity

SHOWN = 20


@dataclass(slots=True)
class Tally:
    """Clocks of a severity: how many were and would have been kept or missed. `without`: would have had no date."""

    clocks: int = 0
    met: int = 0
    missed: int = 0
    would_meet: int = 0
    would_miss: int = 0
    without: int = 0


@dataclass(slots=True)
class Simulation:
    """`effect`: on the clocks that run now, if the plan applied to them. `worse`: findings that it would have found too late."""

    since: datetime
    effect: Effect
    tallies: dict[Severity, Tally] = field(default_factory=lambda: defaultdict(Tally))
    worse: list[Finding] = field(default_factory=list)


def simulate(plan: Plan, *, actor: Actor, at: datetime, days: int = 90) -> Simulation:
    """Judge the clocks that stopped within so many days, or run still, by the plan beside the policies in force.

    A policy takes the place of the one of its name. What a target asks beside the severity (environment, criticality, exposure) is
    taken as it is now. Raises NotAllowed, Invalid.
    """
    actor.demand(Right.VIEW)
    effect = policies.preview(plan, actor=actor, at=at)
    found = Simulation(at - timedelta(days=days), effect)
    with policies.tried(plan, at=at):
        targets = Targets.load(at)
        for stops in chunks(_stopped(found.since)):
            _judge_stopped(stops, targets, found)
        for ids in chunks(
            Finding.objects.filter(settled_at=None, clock_from__isnull=False).values_list("pk", flat=True).iterator()
        ):
            _judge_running(ids, targets, found, at)
    return found


def _stopped(since: datetime) -> Sequence[ClockEntry]:
    rows = ClockEntry.objects.filter(kind=ClockEntry.Kind.STOP, at__gte=since).order_by("pk")
    return list(rows.iterator(chunk_size=CHUNK))


def _judge_stopped(stops: Sequence[ClockEntry], targets: Targets, found: Simulation) -> None:
    ids = [entry.finding_id for entry in stops]
    findings, stood = _findings(ids), _stood(ids)
    for entry in stops:
        row = findings[entry.finding_id]
        now = circumstances(row, targets)
        severity = entry.severity or row.severity
        facts = Circumstances(severity, now.environment, now.criticality, now.exposure, now.frameworks)
        due = targets.strictest(ClockKind.REMEDIATE, facts, entry.started_at, stood.get((row.pk, entry.started_at), ()))
        missed = bool(entry.due_before and entry.due_before < entry.at)
        _count(found, row, severity, missed=missed, would=due and due.at < entry.at)


def _judge_running(ids: Sequence[int], targets: Targets, found: Simulation, at: datetime) -> None:
    findings, stood = _findings(ids), _stood(ids)
    for row in findings.values():
        if row.clock_from is None:
            continue
        due = targets.strictest(
            ClockKind.REMEDIATE, circumstances(row, targets), row.clock_from, stood.get((row.pk, row.clock_from), ())
        )
        until = row.paused_at or at
        late, would = bool(row.due_at and row.due_at < until), bool(due and due.at < until)
        if late or would or due is None:  # a clock that runs and is not late is not decided
            _count(found, row, row.severity, missed=late, would=due and would)


def _count(found: Simulation, row: Finding, severity: int, *, missed: bool, would: bool | None) -> None:
    """`would`: miss its date; None without one."""
    tally = found.tallies[Severity(severity)]
    tally.clocks += 1
    tally.missed += missed
    tally.met += not missed
    tally.without += would is None
    tally.would_miss += would is True
    tally.would_meet += would is False
    if would and not missed and len(found.worse) < SHOWN:
        found.worse.append(row)


def _findings(ids: Sequence[int]) -> dict[int, Finding]:
    return Finding.objects.select_related("asset__application", "check_ref").in_bulk(ids)


def _stood(findings: Sequence[int]) -> dict[tuple[int, datetime], list[Span]]:
    spans: dict[tuple[int, datetime], list[Span]] = defaultdict(list)
    rows = ClockEntry.objects.filter(finding__in=findings, pause__isnull=False)
    for finding, start, since, until in rows.values_list("finding", "started_at", "pause__at", "at"):
        spans[finding, start].append((micros(since), micros(until)))
    return {key: clocks.union(pauses) for key, pauses in spans.items()}
