"""Due dates of many findings in one statement: the same arithmetic as `targets`, in SQL (tests hold them equal).

The rules go in as JSON. Moments are µs since 1970 UTC, as in `calendars`: intervals of PostgreSQL hold days, and days are not all
of the same length.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection

from triage.domain.calendars import moment
from triage.domain.sets import CHUNK, chunks
from triage.domain.sla.targets import FOREVER, NEVER, Rule, Targets, serving_checks, spells
from triage.models import Application

# The pauses of a clock: hands and exceptions may overlap, so the union of their spans counts. Those that last still end never.
PAUSES = """
    SELECT e.finding_id, e.started_at, unnest(range_agg(tstzrange(e.at, r.at))) AS span
    FROM triage_clockentry e JOIN triage_clockentry r ON r.pause_id = e.id
    WHERE e.kind = 'pause' AND e.finding_id = ANY(%(ids)s) AND r.at > e.at GROUP BY 1, 2
"""

MOMENT = "('epoch'::timestamptz + {} * interval '1 microsecond')"
_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"

# Open µs of the rule's calendar until then.
_OPEN = """(SELECT i.before + least({0}, i.closes) - i.opens AS open FROM triage_openinterval i
        WHERE f.unit = 'business_hours' AND i.version_id = f.calendar AND i.opens <= {0} ORDER BY i.opens DESC LIMIT 1)"""
# The last second of the day that comes `amount` days after the start, and a day more for each day of pause that began.
_LAST_SECOND = """(SELECT d.starts - 1000000 AS at FROM triage_calendarday d WHERE {0}.unit = 'days' AND d.version_id = {0}.calendar
        AND d.number = coalesce((SELECT b.number FROM triage_calendarday b WHERE b.version_id = {0}.calendar
            AND b.starts <= {0}.start ORDER BY b.starts DESC LIMIT 1), 0)
            + {0}.amount + ({1} + 86399999999) / 86400000000 + 1)"""

# Of each finding and clock that runs, the earliest date of the rules that fit.
DUES = f"""
WITH rules AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rules)s) AS r(number bigint, version bigint, clock text, severity int, environment text,
        criticality int, exposure int, framework text, checks bigint[], applications bigint[], unit text, amount bigint, calendar bigint,
        first timestamptz, last timestamptz)
), wanted AS (
    SELECT f.id, f.severity, f.environment, a.criticality, c.exposes::int AS exposure, f.check_id, a.application_id,
        clock.name AS clock, clock.start
    FROM triage_finding f JOIN triage_asset a ON a.id = f.asset_id JOIN triage_check c ON c.id = f.check_id
    CROSS JOIN LATERAL (VALUES ('remediate', f.clock_from), ('acknowledge', f.clock_from),
        ('contain', CASE WHEN c.exposes THEN f.clock_from END), ('verify', f.claimed_at)) AS clock(name, start)
    WHERE f.id = ANY(%(ids)s) AND clock.start IS NOT NULL AND f.settled_at IS NULL
), spans AS MATERIALIZED ({PAUSES}), fitting AS (
    SELECT w.id, {_MICROS.format("w.start")} AS start, w.start AS start_at, r.* FROM wanted w JOIN rules r ON r.clock = w.clock
        AND r.first <= w.start AND w.start < r.last
        AND (r.severity IS NULL OR r.severity = w.severity) AND (r.environment = '' OR r.environment = w.environment)
        AND (r.criticality IS NULL OR r.criticality = w.criticality) AND (r.exposure IS NULL OR r.exposure = w.exposure)
        AND (r.framework = '' OR w.check_id = ANY(r.checks) OR w.application_id = ANY(r.applications))
), stood AS (
    SELECT f.id, f.number, f.unit, f.amount, f.calendar, f.start, s.since,
        CASE WHEN f.unit = 'business_hours' THEN coalesce(upto.open, 0) - coalesce(since.open, 0) ELSE s.until - s.since END AS length,
        CASE WHEN f.unit = 'business_hours' THEN coalesce(since.open, 0) - coalesce(begun.open, 0) ELSE s.since - f.start END AS passed
    FROM fitting f JOIN (SELECT finding_id, started_at, {_MICROS.format("lower(span)")} AS since,
            {_MICROS.format("upper(span)")} AS until FROM spans) s ON s.finding_id = f.id AND s.started_at = f.start_at
    LEFT JOIN LATERAL {_OPEN.format("f.start")} begun ON true
    LEFT JOIN LATERAL {_OPEN.format("s.since")} since ON true
    LEFT JOIN LATERAL {_OPEN.format("s.until")} upto ON true
    WHERE f.clock = 'remediate'
), paused AS MATERIALIZED (
    -- A pause counts while the time is not over yet: outside of pauses, less than the target had passed when it began.
    SELECT id, number, sum(length) FILTER (WHERE counts)::bigint AS paused FROM (
        SELECT s.id, s.number, s.length, bool_and(CASE WHEN s.unit = 'days' THEN s.since <= ending.at
            ELSE s.passed - s.earlier < s.amount * 3600000000 END)
            OVER (PARTITION BY s.id, s.number ORDER BY s.since ROWS UNBOUNDED PRECEDING) AS counts
        FROM (SELECT *, coalesce(sum(length) OVER (PARTITION BY id, number ORDER BY since
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS earlier FROM stood) s
        LEFT JOIN LATERAL {_LAST_SECOND.format("s", "s.earlier")} ending ON true
    ) counted GROUP BY 1, 2
), dated AS (
    SELECT f.id, f.clock, f.number, f.version, CASE f.unit
        WHEN 'hours' THEN f.start + f.amount * 3600000000 + coalesce(p.paused, 0)
        WHEN 'business_hours' THEN closing.at
        ELSE ending.at END AS due
    FROM fitting f LEFT JOIN paused p ON p.id = f.id AND p.number = f.number
    LEFT JOIN LATERAL {_OPEN.format("f.start")} begun ON true
    LEFT JOIN LATERAL (SELECT CASE WHEN i.opens + total.open - i.before <= i.closes THEN i.opens + total.open - i.before END AS at
        FROM (SELECT coalesce(begun.open, 0) + f.amount * 3600000000 + coalesce(p.paused, 0) AS open) total,
        LATERAL (SELECT * FROM triage_openinterval i WHERE f.unit = 'business_hours' AND i.version_id = f.calendar AND i.before < total.open
            ORDER BY i.before DESC LIMIT 1) i) closing ON true
    LEFT JOIN LATERAL {_LAST_SECOND.format("f", "coalesce(p.paused, 0)")} ending ON true
), best AS (
    SELECT DISTINCT ON (id, clock) id, clock, version, due FROM dated WHERE due IS NOT NULL ORDER BY id, clock, due, number
)"""

NEW = (
    DUES
    + f""", now AS (
    SELECT id,
        max(due) FILTER (WHERE clock = 'remediate') AS due, max(version) FILTER (WHERE clock = 'remediate') AS version,
        max(due) FILTER (WHERE clock = 'acknowledge') AS acknowledge, max(due) FILTER (WHERE clock = 'contain') AS contain,
        max(due) FILTER (WHERE clock = 'verify') AS verify
    FROM best GROUP BY id
), changed AS (
    SELECT f.id, f.clock_from, f.severity, f.team_id, f.sla_id AS old, f.due_at AS before,
        CASE WHEN f.paused_at IS NULL THEN dates.due END AS due, dates.due AS without, n.version,
        dates.acknowledge, dates.contain, dates.verify
    FROM triage_finding f LEFT JOIN now n USING (id)
    CROSS JOIN LATERAL (SELECT {MOMENT.format("n.due")} AS due,
        CASE WHEN f.acknowledged_at IS NULL THEN {MOMENT.format("n.acknowledge")} ELSE f.acknowledge_due END AS acknowledge,
        CASE WHEN f.contained_at IS NULL THEN {MOMENT.format("n.contain")} ELSE f.contain_due END AS contain,
        {MOMENT.format("n.verify")} AS verify) dates
    WHERE f.id = ANY(%(ids)s) AND f.clock_from IS NOT NULL AND f.settled_at IS NULL
        AND (%(restart)s OR (f.due_at, f.sla_id, f.acknowledge_due, f.contain_due, f.verify_due) IS DISTINCT FROM
            (CASE WHEN f.paused_at IS NULL THEN dates.due END, n.version, dates.acknowledge, dates.contain, dates.verify))
)"""
)

# What a change of policy would do, without doing it.
COMPARE = NEW + (
    " SELECT count(*), count(*) FILTER (WHERE due < %(at)s AND (before IS NULL OR before >= %(at)s)),"
    " count(*) FILTER (WHERE before < %(at)s AND (due IS NULL OR due >= %(at)s))"
    " FROM changed WHERE before IS DISTINCT FROM due"
)

WRITE = (
    NEW
    + """, told AS (
    INSERT INTO triage_clockentry
        (finding_id, started_at, kind, at, due_before, due_after, version_id, version_after_id, severity, team, reason, actor)
    SELECT id, clock_from, 'recompute', %(at)s, before, due, old, version, severity, team_id,
        left(coalesce(cspm_setting('reason'), ''), 500), cspm_actor()
    FROM changed
    WHERE before IS DISTINCT FROM due AND NOT %(restart)s
), written AS (
    UPDATE triage_finding f SET due_at = c.due, sla_id = c.version,
        due_original = CASE WHEN %(restart)s THEN c.without ELSE coalesce(f.due_original, c.without) END,
        acknowledge_due = c.acknowledge, contain_due = c.contain, verify_due = c.verify,
        notice_at = CASE WHEN c.due IS NULL AND c.acknowledge IS NULL AND c.contain IS NULL AND c.verify IS NULL
            AND f.paused_at IS NULL THEN NULL ELSE %(at)s END,
        changed_at = %(at)s
    FROM changed c WHERE f.id = c.id RETURNING f.id
) SELECT count(*) FROM written"""
)


def parameters(targets: Targets) -> str:
    """The rules as JSON, with the checks that serve their frameworks."""
    checks, under = serving_checks(targets.named), _under(targets.named)
    return json.dumps([_row(rule, checks.get(rule.framework), under.get(rule.framework)) for rule in targets.rules])


def _under(named: Iterable[str]) -> dict[str, list[int]]:
    """Applications by framework."""
    found: dict[str, list[int]] = {name: [] for name in named}
    for number, frameworks in Application.objects.values_list("pk", "frameworks") if found else ():
        for name, numbers in found.items():
            if any(spells(name, framework) for framework in frameworks):
                numbers.append(number)
    return found


def _row(rule: Rule, checks: list[int] | None, applications: list[int] | None) -> dict[str, Any]:
    row = {name: getattr(rule, name) for name in rule.__slots__}
    span = {"first": _moment(rule.first), "last": _moment(rule.last)}
    return {**row, **span, "checks": checks, "applications": applications}


def _moment(of: int) -> str:
    return "-infinity" if of <= NEVER else "infinity" if of >= FOREVER else moment(of).isoformat()


def compute(findings: Iterable[int], *, at: datetime, restart: bool = False) -> int:
    """Date the running clocks of these findings anew; how many changed. What stays as it is, is not written. Inside a recording.

    `restart`: the clock is a new one, and its date the original. Otherwise a change of the date to remediate is an entry of the
    ledger, with the recording's actor and reason. A date that no calendar reaches is none (`policies.put` refuses such targets).
    """
    written = 0
    rules = None
    for ids in chunks(findings, CHUNK):
        rules = rules or parameters(Targets.load(at))
        with connection.cursor() as cursor:
            # Locked first: what is computed from an older state than the one that is overwritten would undo what others did.
            cursor.execute("SELECT id FROM triage_finding WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [ids])
            cursor.execute(WRITE, {"ids": ids, "rules": rules, "at": at, "restart": restart})
            (changed,) = cursor.fetchone() or (0,)
        written += changed
    return written
