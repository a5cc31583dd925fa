"""The clocks of findings: started, dated anew, paused, stopped. The running clock is on the finding, its past in the ledger.

A pause takes the due date away and gives it back later, moved by what the pause took of the clock's own time. Hands and exceptions
may pause the same clock at once; it runs on when none of them does.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.calendars import Span, micros
from triage.domain.errors import Invalid, NotAllowed
from triage.domain.evidence import keep
from triage.domain.locking import locked
from triage.domain.sets import chunks
from triage.domain.sla import sets
from triage.models import ClockEntry, Containment, Evidence, Finding

LONGEST_TEXT = 4000


def restart(findings: Iterable[int], *, at: datetime) -> None:
    """New clocks from `clock_from`: their due dates are the original ones. Inside a recording."""
    sets.compute(findings, at=at, restart=True)


def recompute(findings: Iterable[int], *, at: datetime) -> int:
    """The same clocks under other facts (severity, environment): the start stays, dates may move. Inside a recording."""
    return sets.compute(findings, at=at)


def stop(findings: Iterable[int], *, at: datetime) -> None:
    """Enter into the ledger how the clocks to remediate ended. Before the findings are settled, inside a recording.

    What stands paused was late if it was late when it was paused, and in time otherwise; the pause ends with the clock.
    """
    for ids in chunks(findings):
        with connection.cursor() as cursor:
            cursor.execute(_STOP, {"ids": ids, "at": at})
            cursor.execute(_END_PAUSES, {"ids": ids, "at": at})


def breach(findings: Sequence[int], *, at: datetime) -> None:
    """Note once that the dates of these clocks have passed, with the policy, severity and team of the time. Inside a recording."""
    if findings:
        with connection.cursor() as cursor:
            cursor.execute(_BREACH, {"ids": list(findings), "at": at})


_BREACH = """
INSERT INTO triage_clockentry (finding_id, started_at, kind, at, due_before, due_original, severity, team, version_id, reason, actor)
SELECT f.id, f.clock_from, 'breach', %(at)s, f.due_at, f.due_original, f.severity, f.team_id, f.sla_id, '', cspm_actor()
FROM triage_finding f WHERE f.id = ANY(%(ids)s) AND f.due_at < %(at)s AND NOT EXISTS (SELECT 1 FROM triage_clockentry e
    WHERE e.finding_id = f.id AND e.started_at = f.clock_from AND e.kind = 'breach')
"""

_END_PAUSES = """
INSERT INTO triage_clockentry (finding_id, started_at, kind, at, pause_id, reason, actor)
SELECT e.finding_id, e.started_at, 'resume', greatest(least(%(at)s, e.until), e.at), e.id, 'the clock stopped', cspm_actor()
FROM triage_clockentry e JOIN triage_finding f ON f.id = e.finding_id AND f.clock_from = e.started_at
WHERE f.id = ANY(%(ids)s) AND f.settled_at IS NULL AND e.kind = 'pause'
    AND NOT EXISTS (SELECT 1 FROM triage_clockentry r WHERE r.pause_id = e.id)
"""


_STOP = """
INSERT INTO triage_clockentry (finding_id, started_at, kind, at, due_before, due_original, severity, team, version_id, reason, actor)
SELECT f.id, f.clock_from, 'stop', %(at)s,
    coalesce(f.due_at, CASE WHEN late.due < late.at THEN late.due WHEN late.due IS NOT NULL THEN %(at)s END),
    f.due_original, f.severity, f.team_id, f.sla_id, left(coalesce(cspm_setting('reason'), ''), 500), cspm_actor()
FROM triage_finding f LEFT JOIN LATERAL (
    SELECT e.due_before AS due, e.at FROM triage_clockentry e WHERE e.finding_id = f.id AND e.started_at = f.clock_from
        AND e.kind = 'pause' AND f.due_at IS NULL AND NOT EXISTS (SELECT 1 FROM triage_clockentry r WHERE r.pause_id = e.id)
        ORDER BY e.at, e.id LIMIT 1) late ON true
WHERE f.id = ANY(%(ids)s) AND f.clock_from IS NOT NULL AND f.due_original IS NOT NULL AND f.settled_at IS NULL
"""


# --- pauses -----------------------------------------------------------------------------------------------------------------------


def pause(*, finding: int, until: datetime, reason: str, actor: Actor, at: datetime, version: int | None = None) -> Finding:
    """A person stops the clock to remediate until then at the latest, for a reason.

    Raises NotAllowed without the right to triage or beyond the days that the policy allows in all, Invalid without a reason, for
    a time that is over or a clock that does not run, Stale when the finding is not what the person saw.
    """
    if not reason.strip():
        raise Invalid(_("Say why the clock is paused."))
    if until <= at:
        raise Invalid(_("The end of the pause is over already."))
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
        current = locked(finding, version=version)
        actor.demand(Right.TRIAGE, team=current.team_id)
        if not current.is_open or current.due_original is None:
            raise Invalid(_("%(finding)s has no clock that runs."), finding=str(current))
        _check_allowance(current, until, at)
        seen([current.pk], at=at)
        hold([current.pk], until=until, at=at, actor=actor.name, reason=reason)
    current.refresh_from_db()
    return current


def _check_allowance(current: Finding, until: datetime, at: datetime) -> None:
    """Pauses by hand are limited in all; what needs longer needs an exception, and its approver."""
    allowed = timedelta(days=current.sla.pause_days if current.sla else 0)
    entries = entries_of(current).filter(kind=ClockEntry.Kind.PAUSE)
    if current.paused_at is not None:
        raise Invalid(_("The clock of %(finding)s is already paused."), finding=str(current))
    by_hand = entries.filter(until__isnull=False, resumption__isnull=False).values_list("at", "resumption__at")
    taken = sum((until - since for since, until in by_hand), timedelta())
    if taken + (until - at) > allowed:
        raise NotAllowed(
            _("The policy allows %(allowed)s days of pause in all, and %(taken)s are taken. Ask for an exception."),
            allowed=allowed.days, taken=-(-taken // timedelta(days=1)),
        )  # fmt: skip


def hold(findings: Sequence[int], *, until: datetime | None, at: datetime, actor: str, reason: str) -> dict[int, int]:
    """Stop the clocks; ids of the pauses by finding. Inside a recording, of rows that are locked.

    A finding whose clock stands already gets a further pause, and stands until the last of them ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO triage_clockentry"
            " (finding_id, started_at, kind, at, until, due_before, version_id, severity, team, reason, actor)"
            " SELECT id, clock_from, 'pause', %s, %s, due_at, sla_id, severity, team_id, %s, %s FROM triage_finding"
            " WHERE id = ANY(%s) AND clock_from IS NOT NULL AND settled_at IS NULL RETURNING finding_id, id",
            [at, until, reason[:500], actor, list(findings)],
        )
        held = dict(cursor.fetchall())
        cursor.execute(
            "UPDATE triage_finding SET paused_at = coalesce(paused_at, %s), due_at = NULL, notice_at = least(notice_at, %s),"
            " changed_at = %s WHERE id = ANY(%s)",
            [at, until, at, list(held)],
        )
    return held


def resume(*, finding: int, actor: Actor, at: datetime, reason: str = "", version: int | None = None) -> Finding:
    """A person lets a clock run on that a hand had paused. Raises as `pause` does."""
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
        current = locked(finding, version=version)
        actor.demand(Right.TRIAGE, team=current.team_id)
        standing = _by_hand(entries_of(current))
        if not standing:
            raise Invalid(_("The clock of %(finding)s was not paused by hand."), finding=str(current))
        seen([current.pk], at=at)
        release(standing, at=at, actor=actor.name, reason=reason)
    current.refresh_from_db()
    return current


def _by_hand(entries: QuerySet[ClockEntry]) -> list[int]:
    """Of these entries, the pauses that still last and belong to no exception."""
    return list(entries.filter(kind=ClockEntry.Kind.PAUSE, resumption=None, until__isnull=False).values_list("pk", flat=True))


def release(pauses: Sequence[int], *, at: datetime, actor: str, reason: str = "", over: datetime | None = None) -> list[int]:
    """End these pauses; the findings whose clocks run on. Their dates move by what the pauses took. Inside a recording.

    A pause ends at its own end, or when it was `over`, if that is only noticed later.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO triage_clockentry (finding_id, started_at, kind, at, pause_id, reason, actor)"
            " SELECT e.finding_id, e.started_at, 'resume', greatest(least(%s, e.until), e.at), e.id, %s, %s FROM triage_clockentry e"
            " WHERE e.id = ANY(%s) AND NOT EXISTS (SELECT 1 FROM triage_clockentry r WHERE r.pause_id = e.id) RETURNING finding_id",
            [min(at, over or at), reason[:500], actor, list(pauses)],
        )
        touched = sorted({number for (number,) in cursor.fetchall()})
        cursor.execute(
            "UPDATE triage_finding f SET paused_at = s.since, notice_at = %s, changed_at = %s FROM (SELECT t.id,"
            " (SELECT min(e.at) FROM triage_clockentry e JOIN triage_finding x ON x.id = e.finding_id AND x.clock_from = e.started_at"
            " WHERE e.finding_id = t.id AND e.kind = 'pause' AND NOT EXISTS"
            " (SELECT 1 FROM triage_clockentry r WHERE r.pause_id = e.id)) AS since FROM unnest(%s::bigint[]) AS t(id)) s"
            " WHERE f.id = s.id AND f.settled_at IS NULL RETURNING f.id, f.paused_at IS NULL",
            [at, at, touched],
        )
        runs = [number for number, free in cursor.fetchall() if free]
    sets.compute(runs, at=at)
    return runs


def entries_of(finding: Finding) -> QuerySet[ClockEntry]:
    """The ledger of the present clock."""
    if finding.clock_from is None:
        return ClockEntry.objects.none()
    return ClockEntry.objects.filter(finding=finding, started_at=finding.clock_from)


def pauses_of(finding: Finding) -> list[Span]:
    """What the present clock has stood, as sorted spans apart from each other, in µs; without what still lasts."""
    rows = entries_of(finding).filter(pause__isnull=False)
    return union((micros(since), micros(until)) for since, until in rows.values_list("pause__at", "at"))


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that are sorted and apart."""
    joined: list[Span] = []
    for since, until in sorted(spans):
        if until <= since:
            continue
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((since, until))
    return joined


# --- what people do at once -------------------------------------------------------------------------------------------------------


def acknowledge(*, finding: int, actor: Actor, at: datetime, version: int | None = None) -> Finding:
    """Somebody of the team has seen it. Raises NotAllowed, Stale. Saying it twice changes nothing."""
    with recording(actor=actor.name, at=at, door=actor.door, reason="acknowledged"):
        current = locked(finding, version=version)
        actor.demand(Right.CLAIM, team=current.team_id)
        seen([current.pk], at=at)
    current.refresh_from_db()
    return current


def seen(findings: Sequence[int], *, at: datetime) -> None:
    """Whatever a person does with a finding acknowledges it. Inside a recording."""
    Finding.objects.filter(pk__in=list(findings), acknowledged_at=None, clock_from__isnull=False).update(
        acknowledged_at=at, changed_at=at
    )


def contain(
    *,
    finding: int,
    done: str,
    actor: Actor,
    at: datetime,
    when: datetime | None = None,
    exploited: str = Containment.Exploited.UNKNOWN,
    evidence: bytes | None = None,
    attachment: bytes | None = None,
    version: int | None = None,
) -> Containment:
    """An exposure was cut off at once, before it is fixed: what was done, when (now, if not said), whether it had been used.

    `evidence`: SHA-256 of what is kept already; `attachment`: a file to be kept; without either the clock stops when it is told,
    whatever time is said. Raises NotAllowed, Stale, Invalid.
    """
    when = when or at
    if not done.strip():
        raise Invalid(_("Say what was done."))
    if exploited not in Containment.Exploited.values:
        raise Invalid(_("“%(word)s” is none of yes, no, unknown."), word=exploited[:40])
    if when > at:
        raise Invalid(_("The time of the containment is in the future."))
    if evidence is not None and not Evidence.objects.filter(pk=evidence).exists():
        raise Invalid(_("There is no evidence %(sha256)s."), sha256=evidence.hex())
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        current = locked(finding, version=version)
        actor.demand(Right.CLAIM, team=current.team_id)
        if not current.is_open or current.clock_from is None:
            raise Invalid(_("%(finding)s is not open: there is nothing to contain."), finding=str(current))
        when = max(when, current.clock_from)
        if attachment:
            evidence = bytes(keep(attachment, media_type="application/octet-stream", at=at).sha256)
        kept = Containment.objects.create(
            finding=current, at=when, actor=actor.name, done=done[:LONGEST_TEXT], exploited=exploited, evidence_id=evidence
        )
        told = f"{kept.done} (exploited: {exploited})"
        log.because(told, evidence=evidence)
        first = Finding.objects.filter(pk=current.pk, contained_at=None)
        if not first.update(
            contained_at=when if evidence else at, acknowledged_at=Coalesce("acknowledged_at", at), changed_at=at
        ):
            log.note([current.pk], "contained", after={"when": when.isoformat(), "exploited": exploited}, reason=told)
    return kept
