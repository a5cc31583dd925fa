"""Tickets for groups of findings: opened once, followed over there, closed when all is proven, opened again when it is back.

Nothing here calls the outside but `mirror`, which reads. What is to be written goes through the outbox. `follow` compares what
the findings say with where each ticket stands, so it does not matter who changed a finding: a person, a scan, a verification.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import CharField, Count, Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.utils.translation import gettext_noop as _

from triage.domain import access, connections, lifecycle, outbox, ticket_text, verification
from triage.domain.access import Actor, Right
from triage.domain.audit import Recording, recording
from triage.domain.carriers import letter_of, locked, system_of, take_in
from triage.domain.errors import NotAllowed, NotFound
from triage.domain.sla import clocks
from triage.models import Connection, Finding, OutboxMessage, Status, Ticket, TicketItem, Verification
from triage.ports import DeliveryError, Outcome, TicketCategory, TicketState

logger = logging.getLogger(__name__)

State = Ticket.State
DEFAULT_LANGUAGE = "en"
LIVING = (State.WANTED, State.LIVE)
# A regression opens the old ticket again for so long; later it gets a new one.
REOPENED_WITHIN = timedelta(days=30)
# A ticket that is done again and again without being fixed is left alone for a while: people have to talk.
REFUTED_AT_MOST, REFUTED_WITHIN = 3, timedelta(days=7)


def open_tickets(
    *, findings: Iterable[int], actor: Actor, at: datetime, language: str = "", connection: Connection | None = None
) -> list[Ticket]:
    """A ticket for each group of the findings (owner, check, account), or the living one that the group has already.

    `language`: of the text, where the connection does not say one. The rows and the messages exist when this returns; the outside
    is told by the outbox. Raises NotFound, NotAllowed.
    """
    connection = connection or connections.default_tickets(at)
    with recording(actor=actor.name, at=at, door=actor.door):
        groups = _groups(findings, actor)
        clocks.seen([row.pk for group in groups.values() for row in group], at=at)
        known = _living(connection, groups)
        fresh = [
            Ticket(
                connection=connection,
                group_key=key,
                mark=f"cspm-{secrets.token_hex(13)}",
                team_id=group[0].team_id,
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
        language = connection.options.get("language") or language or DEFAULT_LANGUAGE
        letters = [
            _created(tickets[key], more, language) if tickets[key].mark in marks else _extended(tickets[key], more, numbers)
            for key, more in added.items()
            if more
        ]
        outbox.enqueue(letters, actor=actor.name, at=at)
    return [tickets[key] for key in groups]


def reconcile(*, at: datetime, clock: Callable[[], datetime]) -> None:
    """Read what people did to the tickets, then write to them what the findings say."""
    mirror(at=at, clock=clock)
    follow(at=clock())


def mirror(*, at: datetime, clock: Callable[[], datetime]) -> int:
    """Read each live ticket over there and take its state in; how many changed. What does not answer is asked again later.

    Done means *fix claimed*, which asks for a verification, and never *fixed*.
    """
    changed = 0
    for ticket in Ticket.objects.filter(state=State.LIVE).select_related("connection").order_by("pk"):
        paused = ticket.connection.paused_until
        if ticket.connection.state == Connection.State.OFF or (paused is not None and paused > at):
            continue
        try:
            state = system_of(ticket).fetch(ticket.remote_id, connections.options(ticket.connection))
        except DeliveryError as error:
            logger.warning("ticket %s cannot be read: %s", ticket, error)
            continue
        except Exception:  # a plugin's bug with one ticket must not stop the others
            logger.exception("ticket %s cannot be read", ticket)
            continue
        changed += _taken_in(ticket.pk, state, at=clock())
    return changed


def follow(*, at: datetime) -> int:
    """Close the tickets whose findings are all settled, open those again whose findings are not; how many were told so.

    A ticket with messages on their way is left alone until they have arrived.
    """
    told = 0
    for wanted, tell in ((_to_close(), _close), (_to_refute(at), _refute), (_to_reopen(), _reopen)):
        for pk in list(wanted.exclude(_on_their_way()).order_by("pk").values_list("pk", flat=True)):
            with recording(actor=access.worker().name, at=at, door="task"):
                ticket, findings = locked(pk)
                if wanted.filter(pk=pk).exclude(_on_their_way()).exists():
                    tell(ticket, findings, at)
                    told += 1
    return told


# --- opening ------------------------------------------------------------------------------------------------------------------


def _groups(findings: Iterable[int], actor: Actor) -> dict[str, list[Finding]]:
    wanted = set(findings)
    rows = Finding.objects.filter(pk__in=wanted).select_related("check_ref", "asset", "account", "team", "trail")
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in rows.order_by("pk").select_for_update(of=("self",)):
        actor.demand(Right.TRIAGE, team=finding.team_id)
        if not finding.is_open:
            raise NotAllowed(_("%(finding)s is not open: there is nothing to fix."), finding=str(finding))
        groups[_group_key(finding)].append(finding)
        wanted.discard(finding.pk)
    if wanted:
        raise NotFound(_("There is no finding F-%(number)s."), number=f"{min(wanted):06d}")
    return groups


def _group_key(finding: Finding) -> str:
    return f"team:{finding.team_id or 0}/check:{finding.check_ref_id}/account:{finding.account_id}"


def _living(connection: Connection, groups: Iterable[str]) -> dict[str, Ticket]:
    rows = Ticket.objects.filter(connection=connection, group_key__in=list(groups), state__in=LIVING)
    return {ticket.group_key: ticket for ticket in rows.select_for_update().order_by("pk")}


def _created(ticket: Ticket, findings: list[Finding], language: str) -> outbox.Letter:
    draft = ticket_text.draft(mark=ticket.mark, findings=findings, language=language)
    return _letter(ticket, "create", 1, language=language, **letter_of(draft))


def _extended(ticket: Ticket, findings: list[Finding], numbers: Mapping[str, int]) -> outbox.Letter:
    return _letter(ticket, "comment", numbers[_lane(ticket)], body=ticket_text.added(findings, language=_language(ticket)))


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
        if stale or ours or ticket.state != State.LIVE:
            return False
        before = ticket.category
        take_in(ticket, state, at=at)
        if state.category == TicketCategory.DELETED:
            ticket.state = State.DELETED
        ticket.save()
        if ticket.category != before:
            _carry_over(ticket, [finding for finding in findings if finding.is_open], log, at=at)
    return ticket.category != before


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


def _to_close() -> QuerySet[Ticket]:
    return Ticket.objects.filter(_with(), ~_with(finding__is_open=True), state=State.LIVE)


def _to_refute(at: datetime) -> QuerySet[Ticket]:
    """Done over there, nothing waits for proof, and something is open."""
    waits = _with(finding__status=Status.FIX_CLAIMED, finding__is_open=True)
    reopened = OutboxMessage.objects.filter(lane=_lane_of(OuterRef("mark")), verb="reopen", created_at__gt=at - REFUTED_WITHIN)
    times = Subquery(reopened.order_by().values("lane").annotate(n=Count("pk")).values("n"))
    return Ticket.objects.annotate(times=Coalesce(times, 0)).filter(
        ~waits, _with(finding__is_open=True), state=State.LIVE, category=TicketCategory.DONE, times__lt=REFUTED_AT_MOST
    )


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
    _tell(ticket, "close", ticket_text.settled(findings, proofs, language=_language(ticket)), at)


def _refute(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    still = [finding for finding in findings if finding.is_open]
    _tell(ticket, "reopen", ticket_text.failing(still, _last_runs(still), language=_language(ticket)), at)


def _reopen(ticket: Ticket, findings: list[Finding], at: datetime) -> None:
    """The same ticket, if it is young enough and still the right one for the finding; a new one otherwise."""
    back = [finding for finding in findings if finding.is_open]
    recent = ticket.closed_at is not None and at - ticket.closed_at <= REOPENED_WITHIN
    taken = bool(_living(ticket.connection, [ticket.group_key]))
    same = [finding for finding in back if _group_key(finding) == ticket.group_key] if recent and not taken else []
    if same:
        ticket.state, ticket.closed_at = State.LIVE, None
        ticket.save(update_fields=["state", "closed_at"])
        _tell(ticket, "reopen", ticket_text.again(same, language=_language(ticket)), at)
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
    return {run.finding_id: run for run in rows.order_by("finding", "-pk").distinct("finding")}
