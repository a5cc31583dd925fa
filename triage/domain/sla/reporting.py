"""What became of the clocks: how many were kept, which were not, and under which policy. From the ledgers alone; only reads.

A clock to remediate is decided once: kept when it stops no later than it is due, missed when its date passes before. A date that had
passed when it was moved (by a policy, a severity, a pause) stays missed, under the version that had given it; one that was moved into
the past was missed at the moment of the move.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.core.cache import cache
from django.db import connection

from triage.domain.access import Actor, Right
from triage.models import Finding, Severity, SlaVersion, Team

Counted = TypeVar("Counted")
REMEMBERED = 300  # seconds
DECIDED = """
WITH early AS (
    SELECT DISTINCT ON (finding_id, started_at) finding_id, started_at, due_before AS due, version_id, severity, team
    FROM triage_clockentry WHERE kind IN ('breach', 'recompute', 'pause') AND due_before < at ORDER BY finding_id, started_at, at, id
), clocks AS (
    SELECT finding_id, started_at, at AS stopped, due_before AS due, version_id, severity, team
    FROM triage_clockentry WHERE kind = 'stop' AND at >= %(since)s  -- what stopped before was decided before
    UNION ALL
    -- Of what runs, what is late is found by its index, and what was late before it was moved by its entries.
    SELECT id, clock_from, NULL, due_at, sla_id, severity, team_id FROM triage_finding
    WHERE is_open AND due_at >= %(since)s AND due_at < %(now)s
    UNION ALL
    SELECT f.id, f.clock_from, NULL, f.due_at, f.sla_id, f.severity, f.team_id FROM triage_finding f
    WHERE f.is_open AND f.due_at < least(%(since)s, %(now)s) AND f.id IN (SELECT finding_id FROM triage_clockentry
        WHERE kind = 'recompute' AND due_after < at AND at >= %(since)s)
    UNION ALL
    SELECT f.id, f.clock_from, NULL, f.due_at, f.sla_id, f.severity, f.team_id
    FROM early JOIN triage_finding f ON f.id = early.finding_id AND f.clock_from = early.started_at
    WHERE f.settled_at IS NULL AND NOT (f.is_open AND f.due_at IS NOT NULL AND f.due_at < %(now)s)
), moved AS (
    SELECT finding_id, started_at, due_after AS due, max(at) AS at FROM triage_clockentry
    WHERE kind = 'recompute' AND due_after IS NOT NULL GROUP BY 1, 2, 3
), decided AS (
    SELECT c.finding_id, c.started_at, c.stopped, early.due IS NOT NULL OR c.due < coalesce(c.stopped, %(now)s) AS missed,
        CASE WHEN early.due IS NOT NULL THEN greatest(early.due, moved.at) WHEN c.due < coalesce(c.stopped, %(now)s)
            THEN greatest(c.due, moved.at) WHEN c.due IS NOT NULL THEN c.stopped END AS at,
        coalesce(early.due, c.due) AS due, CASE WHEN early.due IS NOT NULL THEN early.version_id ELSE c.version_id END AS version,
        CASE WHEN early.due IS NOT NULL THEN early.severity ELSE c.severity END AS severity,
        CASE WHEN early.due IS NOT NULL THEN early.team ELSE c.team END AS team
    FROM clocks c LEFT JOIN early ON early.finding_id = c.finding_id AND early.started_at = c.started_at
        AND (c.stopped IS NULL OR c.stopped > early.due)  -- evidence may come late of a fix in time
    LEFT JOIN moved ON moved.finding_id = c.finding_id AND moved.started_at = c.started_at AND moved.due = coalesce(early.due, c.due)
)
"""
WITHIN = " FROM decided WHERE at >= %(since)s AND at < %(until)s"


@dataclass(frozen=True, slots=True)
class Kept:
    """Clocks of one severity, team and version of a policy that were decided in the period. None: no team, no policy."""

    severity: Severity
    team: Team | None
    version: SlaVersion | None
    met: int
    missed: int


@dataclass(frozen=True, slots=True)
class Attainment:
    since: datetime
    until: datetime
    rows: Sequence[Kept]

    @property
    def met(self) -> int:
        return sum(row.met for row in self.rows)

    @property
    def missed(self) -> int:
        return sum(row.missed for row in self.rows)

    @property
    def percent(self) -> float | None:
        """Of what was decided, what was kept; None when nothing was."""
        total = self.met + self.missed
        return round(100 * self.met / total, 1) if total else None


@dataclass(frozen=True, slots=True)
class Breach:
    """A date that passed. `stopped`: when it was fixed after all, None while it is not."""

    finding: Finding
    due: datetime
    stopped: datetime | None
    severity: Severity
    team: Team | None
    version: SlaVersion | None


def remembered(what: str, count: Callable[[], Counted], *, at: datetime) -> Counted:
    """Counting clocks takes a while on a large estate: what was counted holds for some minutes, unless a clock or a finding was entered
    since. `what` names it among all that is remembered.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT max(id) FROM triage_clockentry), (SELECT max(id) FROM triage_finding)")
        clocks, findings = cursor.fetchone()
    key = f"{what}:{connection.settings_dict['NAME']}:{clocks}:{findings}:{int(at.timestamp()) // REMEMBERED}"
    known: Counted | None = cache.get(key)
    if known is None:
        known = count()
        cache.set(key, known, REMEMBERED)
    return known


def attainment(*, since: datetime, until: datetime, actor: Actor, at: datetime) -> Attainment:
    """What was decided from `since` until before `until`, by the policies in force at the time. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    with connection.cursor() as cursor:
        cursor.execute(
            DECIDED + "SELECT severity, team, version, count(*) FILTER (WHERE NOT missed), count(*) FILTER (WHERE missed)"
            + WITHIN + " GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2 NULLS FIRST, 3",
            {"since": since, "until": until, "now": at},
        )  # fmt: skip
        rows = cursor.fetchall()
    teams, versions = _named({row[1] for row in rows}, {row[2] for row in rows})
    return Attainment(
        since, until,
        [Kept(Severity(severity), teams.get(team), versions.get(version), met, missed) for severity, team, version, met, missed in rows],
    )  # fmt: skip


def breaches(*, since: datetime, until: datetime, actor: Actor, at: datetime, limit: int = 1000) -> list[Breach]:
    """Dates that passed from `since` until before `until`, the earliest first. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    with connection.cursor() as cursor:
        cursor.execute(
            DECIDED + "SELECT finding_id, due, stopped, severity, team, version" + WITHIN + " AND missed ORDER BY at, finding_id"
            " LIMIT %(limit)s",
            {"since": since, "until": until, "now": at, "limit": limit},
        )  # fmt: skip
        rows = cursor.fetchall()
    teams, versions = _named({row[4] for row in rows}, {row[5] for row in rows})
    findings = Finding.objects.select_related("check_ref", "asset", "account", "team").in_bulk([row[0] for row in rows])
    return [
        Breach(findings[finding], due, stopped, Severity(severity), teams.get(team), versions.get(version))
        for finding, due, stopped, severity, team, version in rows
    ]


def _named(teams: set[int | None], versions: set[int | None]) -> tuple[dict[int | None, Team], dict[int | None, SlaVersion]]:
    known = SlaVersion.objects.select_related("policy").in_bulk([number for number in versions if number is not None])
    return {**Team.objects.in_bulk([number for number in teams if number is not None])}, {**known}
