"""Tickets for groups of findings: opened once, followed over there, closed when all is proven, opened again when it is back.

Nothing here calls the outside but `mirror`, which reads. What is to be written goes through the outbox. `follow` compares what
the findings say with where each ticket stands, so it does not matter who changed a finding: a person, a scan, a verification.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain import access, connections, evidence, lifecycle, outbox, ticket_text, verification
from triage.domain.access import Actor, Right
from triage.domain.audit import Recording, recording
from triage.domain.carriers import letter_of, locked, options_of, system_of, take_in
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.evidence import Damaged
from triage.domain.exceptions import requesting
from triage.domain.sets import chunks
from triage.domain.sla import clocks
from triage.domain.sla.drafts import BREACH
from triage.models import (
    Alarm,
    ClockKind,
    Connection,
    Disclosure,
    ExceptionKind,
    Finding,
    OutboxMessage,
    Severity,
    SlaNotice,
    Status,
    Ticket,
    TicketItem,
    Verification,
)
from triage.ports import DeliveryError, Limited, Outcome, Refused, TicketCategory, TicketState

logger = logging.getLogger(__name__)

State = Ticket.State
DEFAULT_LANGUAGE = "en"
LIVING = (State.WANTED, State.LIVE)
# A regression opens the old ticket again for so long; later it gets a new one.
REOPENED_WITHIN = timedelta(days=30)
# A ticket that is done again without being fixed is left alone for a while: people have to talk.
REFUTED_AT_MOST, REFUTED_WITHIN = 1, timedelta(days=7)
CLOSED_AT_MOST = 3  # likewise, of what people open again and again although it is proven
READ_AT_ONCE = 100
MISSING_LOOKS = 3  # in a row: a system that answers 404 may mean “not for you, now”
DECLINED_AT_MOST = 50  # requests from one ticket
ATTACHED_AT_MOST, LONGEST_ATTACHMENT = 10, 100_000  # bytes


def open_tickets(
    *, findings: Iterable[int], actor: Actor, at: datetime, language: str = "", connection: Connection | None = None
) -> list[Ticket]:
    """A ticket for each group of the findings (owner, check, account), or the living one that the group has already.

    `language`: of the text, where the connection does not say one. The rows and the messages exist when this returns; the outside
    is told by the outbox. Raises NotFound, NotAllowed.
    """
    connection = connection or connections.default_tickets(at)
    with recording(actor=actor.name, at=at, door=actor.door):
        groups = _groups(findings, connection, actor)
        if actor.door != "task":
            clocks.seen([row.pk for group in groups.values() for row in group], at=at)
        known = _living(connection, groups)
        fresh = [
            Ticket(
                connection=connection,
                group_key=key,
                mark=f"cspm-{secrets.token_hex(13)}",
                team_id=group[0].team_id,
                due_at=ticket_text.due_of(group),
                severity=max(row.severity for row in group),
                created_at=at,
            )
            for key, group in groups.items()
            if key not in known
        ]
        # Somebody may be opening one of these at this moment: then that one's ticket is the group's.
        Ticket.objects.bulk_create(fresh, ignore_conflicts=True)
        tickets = _living(connection, groups)
        items = set(TicketItem.objects.filter(ticket__in=tickets.values()).values_list("ticket_id", "finding_id"))
        added = {key: [row for row in group if (tickets[key].pk, row.pk) not in items] for key, group in groups.items()}
        TicketItem.objects.bulk_create(
            TicketItem(ticket=tickets[key], finding=finding, added_at=at) for key, more in added.items() for finding in more
        )
        marks = {ticket.mark for ticket in fresh}
        numbers = _numbers(tickets.values())
        letters: list[outbox.Letter] = []
        for key, more in added.items():
            if more and tickets[key].mark in marks:
                letters += _created(tickets[key], connection, more, _wanted_language(connection, more, language))
            elif more:
                letters.append(_extended(tickets[key], connection, more, numbers))
        outbox.enqueue(letters, actor=actor.name, at=at)
    return [tickets[key] for key in groups]


def reconcile(*, at: datetime, clock: Callable[[], datetime]) -> None:
    """Read what people did to the tickets, then write to them what the findings say."""
    mirror(at=at, clock=clock)
    follow(at=clock())


def mirror(*, at: datetime, clock: Callable[[], datetime], only: Collection[str] | None = None, within: int | None = None) -> int:
    """Read the tickets over there and take their state in; how many changed. What does not answer is asked again later.

    Done means *fix claimed*, which asks for a verification, and never *fixed*. Read are those that were not read for as long as
    their system's plugin says (`READ_EVERY`, seconds). `only`: these remote ids of the connection `within`, at once: a webhook
    hinted at them.
    """
    changed = 0
    for connection in Connection.objects.filter(kind="tickets", state__in=connections.SENDING).order_by("pk"):
        if (connection.paused_until is not None and connection.paused_until > at) or within not in (None, connection.pk):
            continue
        wanted = _to_read(connection, at) if only is None else _watched(at).filter(connection=connection, remote_id__in=only)
        for batch in chunks(list(wanted.select_related("connection", "team").order_by("pk")), READ_AT_ONCE):
            try:
                states = _states(connection, batch)
            except (DeliveryError, Invalid) as error:
                connections.unread(connection, error, at=clock())
                break
            connections.arrived(connection, at=clock())
            for ticket in batch:
                if ticket.remote_id in states:
                    changed += _taken_in(ticket.pk, states[ticket.remote_id], at=clock())
    return changed


def _watched(at: datetime) -> QuerySet[Ticket]:
    """Live tickets, and those that were closed lately: a person may open one of them again."""
    return Ticket.objects.filter(Q(state=State.LIVE) | Q(state=State.CLOSED, closed_at__gt=at - REOPENED_WITHIN)).exclude(
        remote_id=""
    )


def _to_read(connection: Connection, at: datetime) -> QuerySet[Ticket]:
    every = timedelta(seconds=getattr(connections.plugin_of(connection), "READ_EVERY", 0))
    return _watched(at).filter(Q(checked_at=None) | Q(checked_at__lte=at - every) | Q(missing__gt=0), connection=connection)


def _states(connection: Connection, batch: Sequence[Ticket]) -> dict[str, TicketState]:
    """By remote id; without those that could not be read for a bug of the plugin's. Raises DeliveryError, Invalid."""
    plugin = connections.plugin_of(connection)
    if hasattr(plugin, "fetch_many"):
        found: dict[str, TicketState] = dict(plugin.fetch_many([row.remote_id for row in batch], connections.options(connection)))
        return found
    states = {}
    for ticket in batch:
        try:
            states[ticket.remote_id] = system_of(ticket).fetch(ticket.remote_id, options_of(ticket))
        except (Limited, Refused):
            raise
        except DeliveryError as error:
            logger.warning("ticket %s cannot be read: %s", ticket, connections.hidden(connection, str(error)))
        except Exception:  # a plugin's bug with one ticket must not stop the others
            logger.exception("ticket %s cannot be read", ticket)
    return states


def follow(*, at: datetime) -> int:
    """Close the tickets whose findings are all settled, open those again whose findings are not; how many were told so.

    A ticket with messages on their way is left alone until they have arrived.
    """
    told = 0
    rounds = (
        (_to_close(at), _close), (_to_refute(at), _refute), (_to_contest(at), _contest), (_to_reopen(), _reopen), (_to_amend(), _amend),
    )  # fmt: skip
    for wanted, tell in rounds:
        for pk in list(wanted.exclude(_on_their_way()).order_by("pk").values_list("pk", flat=True)):
            with recording(actor=access.worker().name, at=at, door="task"):
                ticket, findings = locked(pk)
                if wanted.filter(pk=pk).exclude(_on_their_way()).exists():
                    tell(ticket, findings, at)
                    told += 1
    return told + _tell_breaches(at=at)


# --- opening ------------------------------------------------------------------------------------------------------------------


def _groups(findings: Iterable[int], connection: Connection, actor: Actor) -> dict[str, list[Finding]]:
    wanted = set(findings)
    rows = Finding.objects.filter(pk__in=wanted).select_related("check_ref", "asset", "account", "team", "trail")
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in rows.order_by("pk").select_for_update(of=("self",)):
        actor.demand(Right.TRIAGE, team=finding.team_id)
        if not finding.is_open:
            raise NotAllowed(_("%(finding)s is not open: there is nothing to fix."), finding=str(finding))
        groups[_group_key(finding, connection)].append(finding)
        wanted.discard(finding.pk)
    if wanted:
        raise NotFound(_("There is no finding F-%(number)s."), number=f"{min(wanted):06d}")
    return groups


def _group_key(finding: Finding, connection: Connection) -> str:
    """What the findings of one ticket share; the owner always, as a ticket is somebody's."""
    parts = {"team": finding.team_id or 0}
    wanted = connection.options.get("group") or connections.GROUPS[0]
    if wanted == "finding":
        parts["finding"] = finding.pk
    if "check" in wanted:
        parts["check"] = finding.check_ref_id
    if "account" in wanted:
        parts["account"] = finding.account_id
    if "asset" in wanted:
        parts["asset"] = finding.asset_id
    return "/".join(f"{name}:{number}" for name, number in parts.items())


def _living(connection: Connection, groups: Iterable[str]) -> dict[str, Ticket]:
    rows = Ticket.objects.filter(connection=connection, group_key__in=list(groups), state__in=LIVING)
    return {ticket.group_key: ticket for ticket in rows.select_for_update().order_by("pk")}


def _wanted_language(connection: Connection, findings: Sequence[Finding], asked: str) -> str:
    team = findings[0].team
    own = connection.options.get("teams", {}).get(team.slug, {}) if team else {}
    return own.get("language") or connection.options.get("language") or asked or DEFAULT_LANGUAGE


def _created(ticket: Ticket, connection: Connection, findings: list[Finding], language: str) -> list[outbox.Letter]:
    """The ticket; our address on it; and all its findings as a file, where the text has room for some of them."""
    plugin, disclosure = connections.plugin_of(connection), connection.disclosure
    draft = ticket_text.draft(mark=ticket.mark, findings=findings, language=language, disclosure=disclosure)
    letters = [_letter(ticket, "create", 1, language=language, **letter_of(draft))]
    if hasattr(plugin, "link"):
        letters.append(_letter(ticket, "link", 2, **letter_of(replace(draft, body=""))))
    if hasattr(plugin, "attach") and len(findings) > ticket_text.ROWS and disclosure == Disclosure.FULL:
        text = ticket_text.inventory(findings, language=language)
        letters.append(_letter(ticket, "attach", len(letters) + 1, name="findings.csv", text=text))
    return letters


def _extended(ticket: Ticket, connection: Connection, findings: list[Finding], numbers: Mapping[str, int]) -> outbox.Letter:
    body = ticket_text.added(findings, language=_language(ticket), disclosure=connection.disclosure)
    return _letter(ticket, "comment", numbers[_lane(ticket)], body=body)


def _letter(ticket: Ticket, verb: str, number: int, **payload: Any) -> outbox.Letter:
    lane = _lane(ticket)
    return outbox.Letter(ticket.connection_id, verb, f"{lane}:{number}:{verb}", lane, {"ticket": ticket.pk, **payload})


def _numbers(tickets: Iterable[Ticket]) -> dict[str, int]:
    """The number of the next message by lane. Asked under the tickets' row locks, so that no two get the same."""
    lanes = [_lane(ticket) for ticket in tickets]
    counted = OutboxMessage.objects.filter(lane__in=lanes).values_list("lane").annotate(Count("pk"))
    return dict.fromkeys(lanes, 1) | {lane: count + 1 for lane, count in counted}


def _lane(ticket: Ticket) -> str:
    return f"ticket:{ticket.mark}"


def _language(ticket: Ticket) -> str:
    """The one that it was opened in."""
    opened = OutboxMessage.objects.filter(lane=_lane(ticket), verb="create").values_list("payload__language", flat=True)
    return opened.first() or DEFAULT_LANGUAGE


# --- reading ------------------------------------------------------------------------------------------------------------------


def _taken_in(pk: int, state: TicketState, *, at: datetime) -> bool:
    """What a person did over there, here; whether anything changed."""
    with recording(actor=access.worker().name, at=at, door="task") as log:
        ticket, findings = locked(pk)
        stale = ticket.remote_updated_at and state.updated_at and state.updated_at < ticket.remote_updated_at
        # While something is on its way there, what was read may be from before it arrived.
        ours = OutboxMessage.objects.filter(lane=_lane(ticket), state__in=outbox.UNFINISHED).exists()
        if stale or ours or ticket.state not in (State.LIVE, State.CLOSED):
            return False
        if state.category == TicketCategory.DELETED and ticket.missing + 1 < MISSING_LOOKS:
            ticket.missing, ticket.checked_at = ticket.missing + 1, at
            ticket.save(update_fields=["missing", "checked_at"])
            return False
        before = ticket.category
        take_in(ticket, state, at=at)
        if state.category == TicketCategory.DELETED:
            ticket.state = State.DELETED
        elif ticket.state == State.CLOSED and state.category not in (TicketCategory.DONE, TicketCategory.DECLINED):
            _taken_up_again(ticket, findings, log, at=at)
        ticket.save()
        if ticket.category != before:
            _carry_over(ticket, [finding for finding in findings if finding.is_open], log, at=at)
    return ticket.category != before


def _taken_up_again(ticket: Ticket, findings: list[Finding], log: Recording, *, at: datetime) -> None:
    """A person opened what we had closed: the check is run again, and says who is right."""
    ticket.state, ticket.closed_at = State.LIVE, None
    named = {"ticket": str(ticket), "url": ticket.url, "connection": ticket.connection.name}
    log.note([finding.pk for finding in findings], "ticket taken up again", after=named)
    for finding in findings:
        if verification.fitting_for(finding):
            verification.request(finding=finding.pk, trigger=Verification.Trigger.TICKET, actor=access.worker(), at=at)


def _carry_over(ticket: Ticket, findings: list[Finding], log: Recording, *, at: datetime) -> None:
    """A ticket's new category is its findings' new status, as far as people may set one."""
    if ticket.category == TicketCategory.DONE:
        _move(findings, (Status.OPEN, Status.IN_PROGRESS), Status.FIX_CLAIMED, ticket, at)
        for finding in findings:
            verification.request(finding=finding.pk, trigger=Verification.Trigger.TICKET, actor=access.worker(), at=at)
    elif ticket.category == TicketCategory.IN_PROGRESS:
        _move(findings, (Status.OPEN,), Status.IN_PROGRESS, ticket, at)
    elif ticket.category in (TicketCategory.DELETED, TicketCategory.DECLINED):
        named = {"ticket": str(ticket), "url": ticket.url, "connection": ticket.connection.name}
        log.note([finding.pk for finding in findings], f"ticket {ticket.category}", after=named)
    if ticket.category == TicketCategory.DECLINED:
        for finding in findings[:DECLINED_AT_MOST]:
            _ask_to_accept(finding, ticket, at=at)


def _ask_to_accept(finding: Finding, ticket: Ticket, *, at: datetime) -> None:
    """“Won't do” is nobody's to say in a ticket: somebody who may has to accept the risk, and until when."""
    until = at + timedelta(days=requesting.LONGEST[Severity(finding.severity)])
    reason = gettext("Declined in %(ticket)s: %(status)s") % {"ticket": ticket, "status": ticket.remote_status or "–"}
    with suppress(Invalid):  # asked for already
        requesting.request(
            kind=ExceptionKind.ACCEPTED, about=requesting.About(finding=finding.pk), reason=reason, until=until,
            actor=access.worker(), at=at,
        )  # fmt: skip


def _move(findings: list[Finding], before: tuple[str, ...], to: str, ticket: Ticket, at: datetime) -> None:
    for finding in findings:
        if finding.status in before:
            lifecycle.move(
                finding=finding.pk, to=to, actor=access.worker(), at=at, reason=f"ticket {ticket}: {ticket.remote_status}"
            )


# --- writing ------------------------------------------------------------------------------------------------------------------


def _with(**item: Any) -> Exists:
    return Exists(TicketItem.objects.filter(ticket=OuterRef("pk"), **item))


def _on_their_way() -> Exists:
    return Exists(OutboxMessage.objects.filter(lane=_lane_of(OuterRef("mark")), state__in=outbox.UNFINISHED))


def _lane_of(mark: OuterRef) -> Concat:
    return Concat(Value("ticket:"), mark, output_field=CharField())


def _to_close(at: datetime) -> QuerySet[Ticket]:
    """Nothing of it is open, and no run of a check is on its way. What people open again and again is left to them."""
    running = Verification.objects.filter(
        finding__ticket_items__ticket=OuterRef("pk"), state__in=(Verification.State.QUEUED, Verification.State.RUNNING)
    )
    closed = OutboxMessage.objects.filter(lane=_lane_of(OuterRef("mark")), verb="close", created_at__gt=at - REFUTED_WITHIN)
    times = Subquery(closed.order_by().values("lane").annotate(n=Count("pk")).values("n"))
    return Ticket.objects.annotate(times=Coalesce(times, 0)).filter(
        _with(), ~_with(finding__is_open=True), ~Exists(running), state=State.LIVE, times__lt=CLOSED_AT_MOST
    )


def _refuted(at: datetime, times: Q) -> QuerySet[Ticket]:
    """Done over there, nothing waits for proof, and something is open. `times`: how often we opened it again lately."""
    waits = _with(finding__status=Status.FIX_CLAIMED, finding__is_open=True)
    reopened = OutboxMessage.objects.filter(lane=_lane_of(OuterRef("mark")), verb="reopen", created_at__gt=at - REFUTED_WITHIN)
    counted = Subquery(reopened.order_by().values("lane").annotate(n=Count("pk")).values("n"))
    return Ticket.objects.annotate(times=Coalesce(counted, 0)).filter(
        times, ~waits, _with(finding__is_open=True), state=State.LIVE, category=TicketCategory.DONE
    )


def _to_refute(at: datetime) -> QuerySet[Ticket]:
    return _refuted(at, Q(times__lt=REFUTED_AT_MOST))


def _to_contest(at: datetime) -> QuerySet[Ticket]:
    """Said to be fixed again after we had opened it again: said so once, and then left to people."""
    said = OutboxMessage.objects.filter(lane=_lane_of(OuterRef("mark")), verb="comment", key__contains=":contest:")
    return _refuted(at, Q(times__gte=REFUTED_AT_MOST)).filter(~Exists(said.filter(created_at__gt=at - REFUTED_WITHIN)))


def _to_amend() -> QuerySet[Ticket]:
    """What the ticket says of the deadline or the severity is not so any more. A clock that stands changes nothing."""
    open_ = Q(findings__is_open=True)
    return Ticket.objects.annotate(
        due_now=Min("findings__due_at", filter=open_), severity_now=Max("findings__severity", filter=open_)
    ).filter(
        Q(due_now__isnull=False) & (Q(due_at=None) | ~Q(due_now=F("due_at"))) | ~Q(severity_now=F("severity")),
        severity_now__isnull=False, state=State.LIVE,
    )  # fmt: skip


def _to_reopen() -> QuerySet[Ticket]:
    """Closed, and the newest ticket of a finding that is open again."""
    newer = TicketItem.objects.filter(finding=OuterRef("finding"), ticket__gt=OuterRef("ticket"))
    back = TicketItem.objects.filter(~Exists(newer), ticket=OuterRef("pk"), finding__is_open=True)
    return Ticket.objects.filter(Exists(back), state=State.CLOSED)


def _close(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    runs = _last_runs(findings)
    proofs = {pk: run for pk, run in runs.items() if run.outcome == Outcome.FIXED}
    ticket.state, ticket.closed_at = State.CLOSED, at
    ticket.save(update_fields=["state", "closed_at"])
    _attach_evidence(ticket, proofs, at=at)
    _tell(ticket, "close", ticket_text.settled(findings, proofs, **_voice(ticket)), at)


def _attach_evidence(ticket: Ticket, proofs: Mapping[int, Verification], *, at: datetime) -> None:
    """What the check was answered, as kept: small ones, and only where everything may leave the house."""
    plugin = connections.plugin_of(ticket.connection)
    if ticket.connection.disclosure != Disclosure.FULL or not hasattr(plugin, "attach"):
        return
    letters = []
    for number, run in list(proofs.items())[:ATTACHED_AT_MOST]:
        if run.evidence is None or run.evidence.size > LONGEST_ATTACHMENT:
            continue
        with suppress(Damaged, NotFound):
            sha256 = bytes(run.evidence_id or b"").hex()
            name, text = (
                f"evidence-F-{number:06d}-{sha256[:12]}.json",
                evidence.read(bytes(run.evidence_id or b""), here=True).decode(),
            )
            key = f"{_lane(ticket)}:attach:{sha256}:{number}"
            payload = {"ticket": ticket.pk, "name": name, "text": text}
            letters.append(outbox.Letter(ticket.connection_id, "attach", key, _lane(ticket), payload))
    outbox.enqueue(letters, actor=access.worker().name, at=at)


def _refute(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    still = [finding for finding in findings if finding.is_open]
    _tell(ticket, "reopen", ticket_text.failing(still, _last_runs(still), **_voice(ticket)), at)


def _contest(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    still = [finding for finding in findings if finding.is_open]
    body = ticket_text.contested(still, _last_runs(still), **_voice(ticket))
    key = f"{_lane(ticket)}:{_numbers([ticket])[_lane(ticket)]}:contest:comment"
    letter = outbox.Letter(ticket.connection_id, "comment", key, _lane(ticket), {"ticket": ticket.pk, "body": body})
    outbox.enqueue([letter], actor=access.worker().name, at=at)
    connections.raise_alarm(ticket.connection, Alarm.Kind.CONTESTED, ticket.url, subject=str(ticket), at=at)


def _amend(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    still = [finding for finding in findings if finding.is_open]
    due = ticket_text.due_of(still)
    ticket.due_at, ticket.severity = due or ticket.due_at, max(finding.severity for finding in still)
    ticket.save(update_fields=["due_at", "severity"])
    if not hasattr(connections.plugin_of(ticket.connection), "amend"):
        return
    draft = ticket_text.draft(mark=ticket.mark, findings=still, **_voice(ticket))
    number = _numbers([ticket])[_lane(ticket)]
    letter = _letter(ticket, "amend", number, **letter_of(replace(draft, body="", due_at=ticket.due_at and draft.due_at)))
    outbox.enqueue([letter], actor=access.worker().name, at=at)


def _tell_breaches(*, at: datetime) -> int:
    """A comment for each deadline that passed lately, once."""
    late = SlaNotice.objects.filter(
        clock=ClockKind.REMEDIATE, percent=BREACH, at__gt=at - timedelta(days=1), due_at__isnull=False,
        finding__ticket_items__ticket__state=State.LIVE,
    ).select_related("finding")  # fmt: skip
    by_ticket: dict[int, list[SlaNotice]] = defaultdict(list)
    for notice, ticket in zip(late, late.values_list("finding__ticket_items__ticket", flat=True), strict=True):
        by_ticket[ticket].append(notice)
    letters = []
    rows = Ticket.objects.filter(pk__in=by_ticket, state=State.LIVE).exclude(remote_id="")
    for row in rows.select_related("connection"):
        notices = by_ticket[row.pk]
        key = f"{_lane(row)}:breach:{max(notice.pk for notice in notices)}"
        due = min(notice.due_at for notice in notices if notice.due_at)
        body = ticket_text.late([notice.finding for notice in notices], due, language=_language(row))
        payload = {"ticket": row.pk, "body": body}
        letters.append(outbox.Letter(row.connection_id, "comment", key, _lane(row), payload, outbox.BREACH))
    known = set(OutboxMessage.objects.filter(key__in=[letter.key for letter in letters]).values_list("key", flat=True))
    fresh = [letter for letter in letters if letter.key not in known]
    if fresh:
        with transaction.atomic():
            outbox.enqueue(fresh, actor=access.worker().name, at=at)
    return len(fresh)


def _voice(ticket: Ticket) -> dict[str, str]:
    """In which language, and how openly, the ticket's system is spoken to."""
    return {"language": _language(ticket), "disclosure": ticket.connection.disclosure}


def _reopen(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    """The same ticket, if it is young enough and still the right one for the finding; a new one otherwise."""
    back = [finding for finding in findings if finding.is_open]
    recent = ticket.closed_at is not None and at - ticket.closed_at <= REOPENED_WITHIN
    taken = bool(_living(ticket.connection, [ticket.group_key]))
    alike = [finding for finding in back if _group_key(finding, ticket.connection) == ticket.group_key]
    same = alike if recent and not taken else []
    if same:
        ticket.state, ticket.closed_at = State.LIVE, None
        ticket.save(update_fields=["state", "closed_at"])
        _tell(ticket, "reopen", ticket_text.again(same, **_voice(ticket)), at)
    others = [finding.pk for finding in back if finding not in same]
    if others:
        open_tickets(findings=others, actor=access.worker(), at=at, connection=ticket.connection)


def _tell(ticket: Ticket, verb: str, body: str, at: datetime) -> None:
    """A comment, then the verb: messages of one lane arrive in their order."""
    number = _numbers([ticket])[_lane(ticket)]
    letters = [_letter(ticket, "comment", number, body=body), _letter(ticket, verb, number + 1)]
    outbox.enqueue(letters, actor=access.worker().name, at=at)


def _last_runs(findings: Iterable[Finding]) -> dict[int, Verification]:
    rows = Verification.objects.filter(finding__in=list(findings), state=Verification.State.DONE)
    return {run.finding_id: run for run in rows.select_related("evidence").order_by("finding", "-pk").distinct("finding")}
