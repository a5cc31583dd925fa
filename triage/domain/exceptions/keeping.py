"""What exceptions do to findings: they cover them while they are in force, and give them back with their original clocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from triage.domain import access, lifecycle
from triage.domain.audit import Recording, recording
from triage.domain.errors import TriageError
from triage.domain.exceptions.requesting import asked_about, hold, item, of, risk_of
from triage.domain.sets import CHUNK, chunks
from triage.domain.sla import clocks
from triage.models import ExceptionItem, ExceptionKind, ExceptionState, Exposure, Finding, Presence, RiskException, Status
from triage.models.finding import TO_FIX

NOTICES = (14, 3)  # days before the end
STATUS = {
    ExceptionKind.ACCEPTED: Status.ACCEPTED, ExceptionKind.COMPENSATED: Status.ACCEPTED,
    ExceptionKind.FALSE_POSITIVE: Status.FALSE_POSITIVE, ExceptionKind.ATTESTED: Status.ATTESTED,
}  # fmt: skip
COVERED = (Status.ACCEPTED, Status.FALSE_POSITIVE, Status.ATTESTED)

# Items in force whose finding is not what was approved any more: more severe, exposed, elsewhere, or judged by another check.
CHANGED = """
SELECT i.id FROM triage_exceptionitem i JOIN triage_riskexception x ON x.id = i.exception_id
JOIN triage_finding f ON f.id = i.finding_id JOIN triage_check c ON c.id = f.check_id JOIN triage_asset a ON a.id = f.asset_id
WHERE i.ended_at IS NULL AND i.covered_at IS NOT NULL AND x.state = 'approved' AND f.status = ANY(%s)
    AND (f.severity > i.severity OR f.environment <> i.environment OR c.title <> i.check_title
        OR NOT i.exposed AND (c.exposes OR a.exposure = 1))
"""


def cover(of_: RiskException, rows: Sequence[Finding], log: Recording, *, at: datetime) -> int:
    """Take these findings out of the queue and stop their clocks; how many. Inside the recording.

    What is more severe than the ceiling, covered already or not open any more stays as it is.
    """
    covered = 0
    log.because(f"{of_}: {of_.reason}"[:500], evidence=bytes(of_.evidence_id) if of_.evidence_id else None)
    for chunk in chunks([row for row in rows if row.severity <= of_.ceiling], CHUNK):
        moved = set(lifecycle.decide([row.pk for row in chunk], to=STATUS[ExceptionKind(of_.kind)], at=at))
        held = clocks.hold(sorted(moved), until=None, at=at, actor=log.actor, reason=str(of_))
        asked = dict(ExceptionItem.objects.filter(exception=of_, finding__in=moved, ended_at=None).values_list("finding", "pk"))
        fresh = []
        for row in chunk:
            if row.pk not in moved:
                continue
            made = item(of_, row)
            made.covered_at, made.pause_id = at, held.get(row.pk)
            if row.pk in asked:
                made.pk = asked[row.pk]
            fresh.append(made)
        ExceptionItem.objects.bulk_create([made for made in fresh if made.pk is None], batch_size=2000)
        ExceptionItem.objects.bulk_update([made for made in fresh if made.pk], ["covered_at", "pause"], batch_size=2000)
        covered += len(moved)
    log.because("")
    return covered


def let_go(
    items: Sequence[ExceptionItem], log: Recording, *, why: str, at: datetime, reason: str, over: datetime | None = None
) -> list[int]:
    """These findings are covered no longer: open again, with their original clocks; their numbers. Inside the recording.

    `over`: when that was, if it is only noticed later: the clocks run from then.
    """
    if not items:
        return []
    log.because(reason[:500])
    ExceptionItem.objects.filter(pk__in=[found.pk for found in items]).update(ended_at=at, ended=why)
    covered = [found for found in items if found.covered_at is not None]
    back = lifecycle.readmit([found.finding_id for found in covered], at=at)
    pauses = [found.pause_id for found in covered if found.pause_id is not None]
    for chunk in chunks(pauses, CHUNK):
        clocks.release(chunk, at=at, actor=log.actor, reason=reason, over=over)
    log.because("")
    return back


def end(of_: RiskException, log: Recording, *, state: str, at: datetime, reason: str) -> None:
    """The exception is over: expired, revoked, void, fixed. Inside the recording, under its row lock."""
    of_.state, of_.ended_at, of_.ended_by, of_.end_reason = state, at, log.actor, reason[:500]
    of_.save(update_fields=["state", "ended_at", "ended_by", "end_reason"])
    items = list(ExceptionItem.objects.filter(exception=of_, ended_at=None))
    back = let_go(items, log, why=state, at=at, reason=f"{of_}: {reason}", over=of_.until)
    log.tell("exception", of_.pk, state, after={"findings": len(back)}, reason=reason[:500])


def look(*, at: datetime) -> int:
    """What time and the estate did to exceptions: ends, voids, fixes, later matches, notices. How many things happened."""
    actor = access.worker()
    happened = 0
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        hold()
        happened += void_changed(log, at=at)
        happened += end_fixed(log, at=at)
        due = RiskException.objects.filter(state__in=(ExceptionState.APPROVED, ExceptionState.REQUESTED), until__lte=at)
        for over in due.select_for_update().order_by("pk"):
            end(over, log, state=ExceptionState.EXPIRED, at=at, reason="its end was reached")
            happened += 1
        happened += _tell(log, at=at)
        happened += _later(log, at=at)
    return happened


def void_changed(log: Recording, *, at: datetime) -> int:
    """Findings whose risk is not the one approved are open again; an exception of one finding, or of a check that tests something
    else now, is void with them. Inside the recording. Statements grow with exceptions and kinds of change, not with findings.
    """
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [[status.value for status in COVERED]])
        numbers = [number for (number,) in cursor.fetchall()]
    rows = ExceptionItem.objects.filter(pk__in=numbers).select_related("exception", "finding__check_ref", "finding__asset")
    alike: dict[tuple[int, str], list[ExceptionItem]] = {}
    for changed in rows.order_by("pk"):
        alike.setdefault((changed.exception_id, difference(changed)), []).append(changed)
    ended: set[int] = set()
    for (number, what), items in alike.items():
        if number in ended:
            continue  # it took all its findings along
        exception, reason = items[0].exception, f"the risk changed: {what}"
        let_go(items, log, why=ExceptionState.VOIDED, at=at, reason=f"{exception}: {reason}", over=exception.until)
        retitled = any(risk_of(changed.finding)[3] != changed.check_title for changed in items)
        if exception.scope == RiskException.Scope.FINDING or (exception.scope == RiskException.Scope.CHECK and retitled):
            end(exception, log, state=ExceptionState.VOIDED, at=at, reason=reason)
            ended.add(number)
        else:
            log.tell("exception", exception.pk, "voided in part", after={"findings": len(items)}, reason=reason[:500])
    return len(numbers)


def difference(asked: ExceptionItem) -> str:
    """What of the risk changed since it was asked for or covered, for the trail; '' for what changes nothing or lowers it."""
    severity, environment, exposed, title = risk_of(asked.finding)
    parts = [
        f"severity {asked.severity} → {severity}" if severity > asked.severity else "",
        f"environment {asked.environment or '–'} → {environment or '–'}" if environment != asked.environment else "",
        "reachable from the internet" if exposed and not asked.exposed else "",
        f"the check is “{title}” now" if title != asked.check_title else "",
    ]
    return ", ".join(filter(None, parts))


def end_fixed(log: Recording, *, at: datetime) -> int:
    """Covered findings that evidence closed, or that came back as new ones: the exception has nothing to cover there."""
    over = ExceptionItem.objects.filter(covered_at__isnull=False, ended_at=None)
    gone = Q(finding__presence=Presence.GONE) | ~Q(finding__status__in=COVERED)
    items = list(over.filter(gone).select_related("exception"))
    ExceptionItem.objects.filter(pk__in=[found.pk for found in items]).update(ended_at=at, ended=ExceptionState.FIXED)
    for found in items:
        if found.exception.scope == RiskException.Scope.FINDING and found.exception.state == ExceptionState.APPROVED:
            end(found.exception, log, state=ExceptionState.FIXED, at=at, reason="the finding was fixed")
    return len(items)


def _tell(log: Recording, *, at: datetime) -> int:
    """Notices before the end, each once: the nearest one that is due."""
    told = 0
    for days in sorted(NOTICES):
        near = RiskException.objects.filter(
            Q(told=None) | Q(told__gt=days), state=ExceptionState.APPROVED, until__lte=at + timedelta(days=days)
        )
        for soon in near.order_by("pk"):
            soon.told = days
            soon.save(update_fields=["told"])
            log.tell("exception", soon.pk, "ends soon", after={"days": days, "until": soon.until.isoformat()})
            told += 1
    return told


@dataclass(frozen=True, slots=True)
class Approved:
    """The kinds of risk that somebody looked at when the exception was approved: what comes later must be one of them."""

    environments: frozenset[str]
    titles: frozenset[str]
    exposed: bool

    @classmethod
    def of(cls, rule: RiskException) -> "Approved":
        rows = list(
            ExceptionItem.objects.filter(exception=rule, covered_at=rule.decided_at)
            .values_list("environment", "check_title", "exposed").distinct()
        )  # fmt: skip
        return cls(
            frozenset(environment for environment, _title, _exposed in rows), frozenset(title for _environment, title, _exposed in rows),
            any(exposed for _environment, _title, exposed in rows),
        )  # fmt: skip

    def condition(self) -> Q:
        """On findings: one of these kinds of risk (`risk_of`)."""
        exposed = Q(check_ref__exposes=True) | Q(asset__exposure=Exposure.INTERNET)
        kinds = Q(environment__in=self.environments, check_ref__title__in=self.titles)
        return kinds if self.exposed else kinds & ~exposed


def _later(log: Recording, *, at: datetime) -> int:
    """Findings that an exception in force is about and that came, or came back, after it was approved."""
    covered = 0
    wide = RiskException.objects.filter(state=ExceptionState.APPROVED).exclude(scope=RiskException.Scope.FINDING)
    for rule in wide.exclude(kind=ExceptionKind.ATTESTED).order_by("pk"):
        try:
            rows = (
                of(asked_about(rule), at=at).filter(status__in=TO_FIX, severity__lte=rule.ceiling).exclude(presence=Presence.GONE)
            )
        except TriageError:  # a team or tag of the query is gone: it finds nothing, and covers what it covered
            continue
        # What it covered and had to let go of, because the risk changed, needs a new approval.
        voided = ExceptionItem.objects.filter(exception=rule, ended=ExceptionState.VOIDED).values("finding")
        approved = Approved.of(rule)
        fresh = list(rows.filter(approved.condition()).exclude(pk__in=voided).select_related("check_ref", "asset").order_by("pk"))
        if fresh:
            number = cover(rule, fresh, log, at=at)
            if number:
                log.tell("exception", rule.pk, "covered", after={"findings": number})
            covered += number
    return covered
