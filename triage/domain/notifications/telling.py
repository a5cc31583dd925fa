"""Decides when each recipient is told what waits for them, and in how many messages; the outbox delivers.

What is urgent goes at once, in one message for a recipient, a subject and a check, as long as the hour has room for it and people are
awake; a critical deadline that was missed waits for neither. Everything else goes into the digest. Machines are told each thing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import formats, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from triage.domain import outbox
from triage.domain.carriers import letter_of_notice
from triage.domain.carriers import notice_of as notice_of_payload
from triage.domain.masking import masked
from triage.domain.notifications import quieting
from triage.domain.notifications.recipients import Recipient, Recipients
from triage.models import Alarm, Check, Disclosure, Finding, OutboxMessage, RiskException, Severity, Subject, Told
from triage.ports import Button, Notice, Row
from triage.ports import Severity as PortSeverity

ROWS = 20
HOUR = timedelta(hours=1)
IN_DIGEST = "digest"
WAITS_FOR_A_WAY = timedelta(days=2)
AT_ONCE = 5000
PRIORITIES = {Subject.BREACH: outbox.BREACH, Subject.NEW: outbox.NEW, Subject.ALARM: outbox.NEW, Subject.EXCEPTION: outbox.NEW}


@dataclass(frozen=True, slots=True)
class Batch:
    """Things that one message tells. `digest`: of all subjects."""

    recipient: Recipient
    told: Sequence[Told]
    digest: bool = False


def tell(*, at: datetime, limit: int = AT_ONCE) -> int:
    """Write the messages whose time has come; how many. Any number of workers may: each thing leaves once."""
    with transaction.atomic():
        rows = list(
            Told.objects.filter(state=Told.State.WAITING, message="", due_at__lte=at).select_for_update(skip_locked=True)
            .order_by("recipient", "pk")[:limit]
        )  # fmt: skip
        if not rows:
            return 0
        recipients = Recipients()
        letters: list[outbox.Letter] = []
        by_name: dict[str, list[Told]] = defaultdict(list)
        for row in rows:
            by_name[row.recipient].append(row)
        for name, theirs in by_name.items():
            recipient = recipients.of(name)
            for batch in _batches(recipient, theirs, at):
                letters += [_letter(batch, at), *_edits(batch, at)]
        Told.objects.bulk_update(rows, ["state", "why", "message", "due_at", "urgent"], batch_size=2000)
        outbox.enqueue(letters, actor="worker", at=at)
    return len(letters)


def _batches(recipient: Recipient, rows: Sequence[Told], at: datetime) -> Iterable[Batch]:
    """Rows that leave now are marked with their message; the others wait until their time, or are dropped with the reason."""
    wanted = [row for row in rows if _is_wanted(recipient, row, at)]
    if recipient.is_sink:
        for row in wanted:
            yield _marked(Batch(recipient, [row]))
        return
    critical = [row for row in wanted if row.subject == Subject.BREACH and row.severity == Severity.CRITICAL]
    urgent = [row for row in wanted if row.urgent and row not in critical]
    lately = OutboxMessage.objects.filter(lane=_lane(recipient), priority__lt=outbox.DIGEST, created_at__gt=at - HOUR)
    room = recipient.hourly - lately.count()
    quiet = recipient.is_quiet(at)
    for group in _grouped(critical):
        room -= 1
        yield _marked(Batch(recipient, group))
    later: list[Told] = []
    for group in _grouped(urgent):
        if quiet:
            for row in group:
                row.due_at = recipient.awake(at)
        elif room <= 0:
            later += group
        else:
            room -= 1
            yield _marked(Batch(recipient, group))
    yield from _digest(recipient, [*later, *(row for row in wanted if not row.urgent and row not in critical)], at)


def _digest(recipient: Recipient, rows: Sequence[Told], at: datetime) -> Iterable[Batch]:
    """What is not urgent, or found no room in its hour, waits for the next digest; what has waited for one leaves in it."""
    ready = [row for row in rows if row.why == IN_DIGEST]
    for row in rows:
        if row.why != IN_DIGEST:
            row.urgent, row.why, row.due_at = False, IN_DIGEST, recipient.next_digest(at)
    if ready:
        yield _marked(Batch(recipient, ready, digest=True))


def _is_wanted(recipient: Recipient, row: Told, at: datetime) -> bool:
    if recipient.connection is None and at - row.at < WAITS_FOR_A_WAY:
        row.due_at = at + timedelta(minutes=1)
        return False
    if recipient.connection is None:
        row.state, row.why = Told.State.DROPPED, "cannot be notified"
    elif row.subject not in recipient.subjects:
        row.state, row.why = Told.State.DROPPED, "not wanted"
    elif recipient.is_sink and not _is_for_machine(recipient, row):
        row.state, row.why = Told.State.DROPPED, "not for this system"
    return row.state == Told.State.WAITING


def _is_for_machine(recipient: Recipient, row: Told) -> bool:
    """Incident systems wake people: for critical deadlines that were missed alone."""
    if recipient.connection is None or recipient.connection.plugin != "pagerduty":
        return True
    return row.severity == Severity.CRITICAL and (row.subject == Subject.BREACH or bool(row.content.get("resolves")))


def _grouped(rows: Sequence[Told]) -> list[list[Told]]:
    """By subject and thread; more than two threads of a subject are one message."""
    threads: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for row in rows:
        threads[row.subject, row.thread].append(row)
    by_subject: dict[str, list[list[Told]]] = defaultdict(list)
    for (subject, _thread), group in threads.items():
        by_subject[subject].append(group)
    return [
        group
        for groups in by_subject.values()
        for group in (groups if len(groups) <= 2 else [[row for each in groups for row in each]])
    ]


def _marked(batch: Batch) -> Batch:
    for row in batch.told:
        row.message = _key(batch)
    return batch


def _key(batch: Batch) -> str:
    return f"notice:{batch.recipient.name}:{batch.told[0].pk}"


# --- what a message says ------------------------------------------------------------------------------------------------------


def _letter(batch: Batch, at: datetime) -> outbox.Letter:
    recipient = batch.recipient
    assert recipient.connection is not None  # noqa: S101 - `_is_wanted` saw to it
    with translation.override(recipient.language):
        notice = notice_of(batch, at)
    threads = {row.thread for row in batch.told}
    thread = next(iter(threads)) if len(threads) == 1 and not batch.digest else ""
    payload = {
        "notice": letter_of_notice(notice), "recipient": recipient.name, "thread": thread, "told": [row.pk for row in batch.told],
        "instead": recipient.instead,
    }  # fmt: skip
    priority = outbox.DIGEST if batch.digest else min(PRIORITIES.get(Subject(row.subject), outbox.DIGEST) for row in batch.told)
    return outbox.Letter(recipient.connection.pk, "tell", _key(batch), _lane(recipient), payload, priority)


def _edits(batch: Batch, at: datetime) -> list[outbox.Letter]:
    """Messages over there that speak of one finding which is over now: without their buttons, and said to be over."""
    wanted = {str(row.content.get("message")): row for row in batch.told if row.content.get("resolves")}
    sent = OutboxMessage.objects.filter(key__in=wanted, verb="tell", state=OutboxMessage.State.SENT).exclude(last_answer="")
    letters = []
    for message in sent:
        notice = notice_of_payload(message.payload["notice"])
        if len(notice.rows) != 1 or message.connection_id != (batch.recipient.connection and batch.recipient.connection.pk):
            continue
        with translation.override(batch.recipient.language):
            over = replace(notice, title=_("Over: %(title)s") % {"title": notice.title}, buttons=(), at=at)
        row = wanted[message.key]
        payload = {"notice": letter_of_notice(over), "recipient": batch.recipient.name, "remote": message.last_answer}
        key = f"{message.key}:over:{row.pk}"
        letters.append(outbox.Letter(message.connection_id, "edit", key, _lane(batch.recipient), payload, outbox.EDIT))
    return letters


def _lane(recipient: Recipient) -> str:
    return f"notices:{recipient.connection.pk if recipient.connection else 0}:{recipient.to or recipient.name}"[:200]


def notice_of(batch: Batch, at: datetime) -> Notice:
    """The message, in the language that is active."""
    recipient, first = batch.recipient, batch.told[0]
    disclosure = recipient.connection.disclosure if recipient.connection else Disclosure.FULL
    numbers = [number for row in batch.told for number in row.content.get("findings", ())]
    findings = Finding.objects.filter(pk__in=numbers[: ROWS * 5]).select_related("check_ref", "asset", "account").in_bulk()
    count = sum(_count(row) for row in batch.told)
    rows = _rows(batch, findings, disclosure, recipient)
    severity = max((row.severity for row in batch.told), default=0)
    only = findings.get(numbers[0]) if count == 1 and numbers else None
    title = (f"{recipient.team}: " if recipient.team else "") + _title(batch, count)
    return Notice(
        key=_key(batch), to=recipient.to, title=title, text=_text(batch, recipient),
        rows=tuple(rows[:ROWS]), more=_more(count, len(rows)), url=_address(batch, only),
        severity=PortSeverity(severity or 1), buttons=_buttons(only, first, recipient), about=_about(first, only),
        at=at, facts=_facts(batch, recipient), resolves=bool(first.content.get("resolves")),
    )  # fmt: skip


def _count(row: Told) -> int:
    return int(row.content.get("count") or len(row.content.get("findings", ())) or 1)


def _title(batch: Batch, count: int) -> str:
    first, n = batch.told[0], {"n": count}
    if batch.digest:
        count = len(batch.told)
        return ngettext("One thing about your findings", "%(n)s things about your findings", count) % {"n": count}
    match first.subject:
        case Subject.BREACH:
            title = ngettext("A deadline was missed", "%(n)s deadlines were missed", count) % n
        case Subject.DUE:
            title = ngettext("A deadline is near", "%(n)s deadlines are near", count) % n
        case Subject.NEW:
            title = _new_title(batch, count)
        case Subject.EXCEPTION:
            title = _("An exception waits for a decision") if first.content.get("kind") == "requested" else _("An exception ends")
        case Subject.ALARM:
            title = _("The connection %(name)s has a problem") % {"name": first.content.get("connection", "")}
        case Subject.PROOF:
            title = ngettext("One finding is proven fixed", "%(n)s findings are proven fixed", count) % n
        case Subject.UNOWNED if first.content.get("kind") == "disowned":
            title = ngettext("A team gives one finding back", "A team gives %(n)s findings back", count) % n
        case _:
            title = ngettext("One finding belongs to nobody", "%(n)s findings belong to nobody", count) % n
    return title


def _new_title(batch: Batch, count: int) -> str:
    check = Check.objects.filter(pk=batch.told[0].content.get("check")).first()
    alone = len({row.thread for row in batch.told}) == 1
    named = str(check) if check and alone else _("new and urgent")
    return f"[{Severity(max(row.severity for row in batch.told)).label}] {named}" + (f" × {count}" if count > 1 else "")


def _text(batch: Batch, recipient: Recipient) -> str:
    if batch.digest:
        return ""
    first = batch.told[0]
    if first.subject == Subject.ALARM:
        kind = str(Alarm.Kind(first.content["kind"]).label)
        return f"{kind}. {first.content.get('subject', '')} {first.content.get('detail', '')}".strip()
    if first.subject in (Subject.BREACH, Subject.DUE) and len(batch.told) == 1 and first.content.get("due"):
        due = recipient.local(datetime.fromisoformat(first.content["due"]))
        return _("Due: %(due)s") % {"due": _when(due)}
    return ""


def _when(local: datetime) -> str:
    return f"{formats.date_format(local, 'DATE_FORMAT')} {local:%H:%M}"


def _rows(batch: Batch, findings: Mapping[int, Finding], disclosure: str, recipient: Recipient) -> list[Row]:
    rows: list[Row] = []
    for told in batch.told:
        if told.subject == Subject.EXCEPTION:
            asked = RiskException.objects.filter(pk=told.content.get("exception")).first()
            if asked is not None:
                reason = masked(asked.reason)[:200] if disclosure == Disclosure.FULL else ""
                rows.append(Row(str(asked), f"{settings.BASE_URL.rstrip('/')}/exceptions/{asked.pk}", reason))
            continue
        known = (findings[number] for number in told.content.get("findings", ()) if number in findings)
        rows += [_row(finding, told, disclosure, recipient) for finding in known]
    return list(dict.fromkeys(rows))


def _row(finding: Finding, told: Told, disclosure: str, recipient: Recipient) -> Row:
    url = f"{settings.BASE_URL.rstrip('/')}/findings/{finding}"
    if disclosure == Disclosure.LINK:
        return Row(str(finding), url, "")
    parts = [str(Severity(finding.severity).label), str(finding.check_ref)]
    if disclosure == Disclosure.FULL:
        parts.append(f"{finding.asset.name or finding.asset.uid} ({finding.account.name or finding.account.uid})")
    if told.subject in (Subject.BREACH, Subject.DUE) and told.content.get("due"):
        due = recipient.local(datetime.fromisoformat(told.content["due"]))
        parts.append(_("due %(due)s") % {"due": _when(due)})
    return Row(str(finding), url, " · ".join(parts))


def _more(count: int, shown: int) -> str:
    left = count - min(shown, ROWS)
    return _("… and %(n)s more.") % {"n": left} if left > 0 and shown else ""


def _address(batch: Batch, only: Finding | None) -> str:
    base = settings.BASE_URL.rstrip("/")
    if only is not None:
        return f"{base}/findings/{only}"
    subjects = {row.subject for row in batch.told}
    if subjects == {Subject.ALARM}:
        return f"{base}/connections"
    if subjects == {Subject.EXCEPTION}:
        return f"{base}/exceptions"
    return f"{base}/unowned" if subjects == {Subject.UNOWNED} else f"{base}/triage"


def _buttons(only: Finding | None, first: Told, recipient: Recipient) -> tuple[Button, ...]:
    """What can be done where one finding is spoken of; else a way to the list."""
    if only is None or recipient.is_sink:
        return ()
    value = f"{only.pk}:{first.pk}"
    return (
        Button("acknowledge", _("I have seen it"), value), Button("verify", _("Verify now"), value),
        Button("except", _("Request an exception"), value), Button("snooze", _("Quiet for three days"), value),
        Button("open", _("Open the finding"), url=f"{settings.BASE_URL.rstrip('/')}/findings/{only}"),
    )  # fmt: skip


def _about(first: Told, only: Finding | None) -> str:
    return f"cspm-{only}" if only is not None else f"cspm-{first.subject}-{first.pk}"


def _facts(batch: Batch, recipient: Recipient) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": f"finding.{batch.told[0].subject}" if not batch.digest else "digest"}
    if recipient.is_sink:
        facts |= {"content": batch.told[0].content, "event": batch.told[0].event, "recipient": recipient.name}
    else:
        facts["unsubscribe"] = f"{settings.BASE_URL.rstrip('/')}/quieter/{quieting.token(recipient.name)}"
    return facts
