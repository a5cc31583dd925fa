"""Notes what is to be told, each thing once for a recipient, whoever gathers at the same time and however often."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat

from triage.domain.notifications.recipients import ADMIN, SECURITY, Recipients
from triage.domain.sla.drafts import BREACH
from triage.models import Alarm, Event, Finding, Severity, SlaNotice, Subject, Told

LATELY = timedelta(days=2)  # what is older when it is first seen here was told, or is stale
AT_ONCE = 20_000
SAMPLES = 20
GROUPED = timedelta(minutes=2)  # what is new and urgent waits so long for more of its kind

_NEW = """
SELECT coalesce(f.team_id, 0), f.check_id, max(f.severity), count(*), (array_agg(f.id ORDER BY f.score DESC, f.id))[1:%(samples)s]
FROM triage_finding f JOIN triage_check c ON c.id = f.check_id JOIN triage_asset a ON a.id = f.asset_id
WHERE f.first_scan_id = %(scan)s AND f.is_open AND f.severity >= 4 AND (c.exposes OR a.exposure = 1) GROUP BY 1, 2
UNION ALL
SELECT coalesce(f.team_id, 0), f.check_id, max(f.severity), count(*), (array_agg(f.id ORDER BY f.score DESC, f.id))[1:%(samples)s]
FROM triage_event e JOIN triage_finding f ON f.id = e.subject_id
WHERE e.scan_id = %(scan)s AND e.kind = 'regressed' AND e.subject = 'finding' AND f.is_open AND f.severity >= 4 GROUP BY 1, 2
"""
_PROVEN = """
SELECT coalesce(f.team_id, 0), count(*), (array_agg(f.id ORDER BY f.id))[1:%(samples)s], max(f.severity)
FROM triage_event e JOIN triage_finding f ON f.id = e.subject_id
WHERE e.scan_id = %(scan)s AND e.kind = 'status' AND e.subject = 'finding' AND e.after ->> 'status' = 'verified' GROUP BY 1
"""


def of_scan(scan: int, *, at: datetime) -> int:
    """What a report brought that owners should know at once, and what it proved. Two statements and what is new."""
    with connection.cursor() as cursor:
        cursor.execute(_NEW, {"scan": scan, "samples": SAMPLES})
        new = cursor.fetchall()
        cursor.execute(_PROVEN, {"scan": scan, "samples": SAMPLES})
        proven = cursor.fetchall()
    rows = [
        _told(
            _owner(team), f"new:{scan}:{check}", Subject.NEW, at=at, due=at + GROUPED, severity=severity, urgent=True,
            thread=f"check:{check}", content={"findings": list(samples), "count": count, "check": check},
        )
        for team, check, severity, count, samples in new
    ]  # fmt: skip
    rows += [
        _told(
            _owner(team), f"proven:{scan}:{team}", Subject.PROOF, at=at, due=at, severity=severity,
            content={"findings": list(samples), "count": count},
        )
        for team, count, samples, severity in proven
    ]  # fmt: skip
    return note(rows)


def gather(*, at: datetime) -> int:
    """What clocks, exceptions and connections have to say; how many things were noted."""
    return note([*_of_clocks(at), *_settled(at), *_of_exceptions(at), *_of_alarms(at), *_unowned(at), *_disowned(at)])


def note(rows: Iterable[Told]) -> int:
    """Write what was not noted before, and the same for whatever is told everything."""
    found = list(rows)
    sinks = Recipients().sinks() if found else []
    copies = [
        _told(sink.name, row.event, Subject(row.subject), at=row.at, due=row.at, severity=row.severity, urgent=True, finding=row.finding,
              thread=row.thread, content=row.content)
        for sink in sinks for row in found if row.recipient.startswith(("team:", SECURITY))
    ]  # fmt: skip
    Told.objects.bulk_create([*found, *copies], ignore_conflicts=True, batch_size=2000)
    return len(found)


def _of_clocks(at: datetime) -> list[Told]:
    """Warnings for owners; the breach for owner and lead; what follows for lead and security, as the policy's ladder says."""
    known = Told.objects.filter(event=Concat(Value("sla:"), Cast(OuterRef("pk"), CharField())))
    notices = SlaNotice.objects.filter(~Exists(known), at__gt=at - LATELY).select_related("finding").order_by("pk")[:AT_ONCE]
    rows = []
    for notice in notices:
        finding, subject = notice.finding, Subject.DUE if notice.percent < BREACH else Subject.BREACH
        critical = finding.severity == Severity.CRITICAL
        urgent = subject == Subject.BREACH or (critical and notice.percent >= 80)
        content = {"clock": notice.clock, "percent": notice.percent, "due": notice.due_at.isoformat(), "findings": [finding.pk]}
        rows += [
            _told(
                _whom(whom, finding.team_id), f"sla:{notice.pk}", subject, at=at, due=at, severity=finding.severity, urgent=urgent,
                finding=finding.pk, thread=f"check:{finding.check_ref_id}", content=content,
            )
            for whom in notice.tell
        ]  # fmt: skip
    return rows


def _settled(at: datetime) -> list[Told]:
    """Whoever was told that a finding is late or new hears that it is over, where they heard of it."""
    settled = Finding.objects.filter(settled_at__gt=at - LATELY, is_open=False)
    told = Told.objects.filter(subject__in=(Subject.BREACH, Subject.NEW), state=Told.State.SENT, finding__in=settled.values("pk"))
    whens = dict(settled.filter(pk__in=told.values("finding")).values_list("pk", "settled_at"))
    latest = {(row.recipient, row.finding): row for row in told.order_by("pk")}
    return [
        _told(
            row.recipient, f"settled:{number}:{when:%Y%m%dT%H%M%S}", Subject.PROOF, at=at, due=at, severity=row.severity, urgent=True,
            finding=number, thread=row.thread, content={"findings": [number], "resolves": True, "message": row.message},
        )
        for (_recipient, number), row in latest.items()
        if number is not None and (when := whens.get(number)) is not None
    ]  # fmt: skip


def _of_exceptions(at: datetime) -> list[Told]:
    """Asked for: whoever may decide. Ending soon, void, over: whose findings they are is told by their clocks; security knows."""
    kinds = ("requested", "ends soon", "voided", "expired")
    events = Event.objects.filter(subject="exception", kind__in=kinds, at__gt=at - LATELY, seq__isnull=True)
    return [
        _told(
            SECURITY, f"event:{event.pk}", Subject.EXCEPTION, at=at, due=at, urgent=event.kind == "requested",
            content={"exception": event.subject_id, "kind": event.kind, "reason": event.reason[:300]},
        )
        for event in events.order_by("pk")[:AT_ONCE]
    ]  # fmt: skip


def _of_alarms(at: datetime) -> list[Told]:
    alarms = Alarm.objects.filter(told_at=None, resolved_at=None).select_related("connection")
    rows = [
        _told(
            ADMIN, f"alarm:{alarm.pk}", Subject.ALARM, at=at, due=at, severity=Severity.HIGH, urgent=True,
            content={"connection": alarm.connection.name, "kind": alarm.kind, "subject": alarm.subject, "detail": alarm.detail[:300]},
        )
        for alarm in alarms
    ]  # fmt: skip
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(told_at=at)
    return rows


def _unowned(at: datetime) -> list[Told]:
    """Once a day, how much belongs to nobody."""
    day = at.date().isoformat()
    if Told.objects.filter(recipient=SECURITY, event=f"unowned:{day}").exists():
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), max(severity) FROM triage_finding WHERE is_open AND team_id IS NULL")
        count, worst = cursor.fetchone() or (0, 0)
    if not count:
        return []
    return [_told(SECURITY, f"unowned:{day}", Subject.UNOWNED, at=at, due=at, severity=worst, content={"count": count})]


_DISOWNED = """
SELECT a.id, a.done, max(f.severity), (array_agg(f.id ORDER BY f.score DESC, f.id))[1:%(samples)s]
FROM triage_act a JOIN triage_actitem i ON i.act_id = a.id AND i.done JOIN triage_finding f ON f.id = i.finding_id
WHERE a.verb = 'disown' AND a.state = 'done' AND a.at > %(since)s AND NOT EXISTS (SELECT FROM triage_act u WHERE u.undoes_id = a.id)
    AND NOT EXISTS (SELECT FROM triage_told t WHERE t.event = 'disowned:' || a.id)
GROUP BY a.id
"""


def _disowned(at: datetime) -> list[Told]:
    """What a team gave back, once each."""
    with connection.cursor() as cursor:
        cursor.execute(_DISOWNED, {"since": at - LATELY, "samples": SAMPLES})
        rows = cursor.fetchall()
    return [
        _told(
            SECURITY, f"disowned:{act}", Subject.UNOWNED, at=at, due=at, severity=severity,
            content={"count": count, "findings": list(samples), "kind": "disowned"},
        )
        for act, count, severity, samples in rows
    ]  # fmt: skip


def _owner(team: int | None) -> str:
    return f"team:{team}" if team else SECURITY


def _whom(word: str, team: int | None) -> str:
    if word == "security" or team is None:
        return SECURITY
    return f"lead:{team}" if word == "lead" else f"team:{team}"


def _told(
    recipient: str, event: str, subject: Subject, *, at: datetime, due: datetime, severity: int = 0, urgent: bool = False,
    finding: int | None = None, thread: str = "", content: dict[str, Any] | None = None,
) -> Told:  # fmt: skip
    return Told(
        recipient=recipient, event=event, subject=subject, at=at, due_at=due, severity=severity, urgent=urgent, finding=finding,
        thread=thread, content=content or {},
    )  # fmt: skip


def forget(*, at: datetime, after: timedelta = timedelta(days=400)) -> int:
    """What was told long ago; what is open is told anew by nobody, as its events are older than LATELY."""
    return Told.objects.filter(at__lt=at - after).exclude(state=Told.State.WAITING).delete()[0]
