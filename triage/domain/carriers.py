"""Who hands a message over: for each kind of connection how it is sent, how a lost one is looked up, and what follows here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from triage import plugins
from triage.domain import connections
from triage.domain.audit import Recording, recording
from triage.models import Finding, OutboxMessage, Ticket
from triage.ports import DeliveryError, Severity, TicketDraft, TicketState, TicketSystem


class Carrier(Protocol):
    """`send` and `look` call the outside, outside of any transaction; `sent` and `dead` write here, inside of one.

    `repeatable`: verbs that do no harm when they are sent twice; all others are looked up first. `look` returns None for what is
    not there.
    """

    repeatable: frozenset[str]

    def send(self, message: OutboxMessage) -> Any: ...

    def look(self, message: OutboxMessage) -> Any: ...

    def sent(self, message: OutboxMessage, answer: Any, *, at: datetime) -> None: ...

    def dead(self, message: OutboxMessage, *, at: datetime) -> None: ...


class Tickets:
    """Verbs: create, comment, close, reopen. Payload: `ticket` (our id), and what the verb needs."""

    repeatable = frozenset({"comment", "close", "reopen"})

    def send(self, message: OutboxMessage) -> TicketState | None:
        ticket, system, options = _ticket(message)
        if message.verb == "create":
            return system.create(draft_of(ticket.mark, message.payload), options)
        if not ticket.remote_id:
            raise DeliveryError("the ticket was never opened", permanent=True)
        if message.verb == "comment":
            system.comment(ticket.remote_id, message.key, message.payload["body"], options)
            return None
        return {"close": system.close, "reopen": system.reopen}[message.verb](ticket.remote_id, options)

    def look(self, message: OutboxMessage) -> TicketState | None:
        ticket, system, options = _ticket(message)
        return system.find(ticket.mark, options)

    def sent(self, message: OutboxMessage, answer: TicketState | None, *, at: datetime) -> None:
        if answer is None:
            return
        with recording(actor=message.actor, at=at, door="task") as log:
            ticket, findings = locked(message.payload["ticket"])
            take_in(ticket, answer, at=at)
            if message.verb == "create":
                ticket.state = Ticket.State.LIVE
            ticket.save()
            kind = {"create": "ticketed", "close": "ticket closed", "reopen": "ticket reopened"}[message.verb]
            _note(log, ticket, findings, kind)

    def dead(self, message: OutboxMessage, *, at: datetime) -> None:
        with recording(actor=message.actor, at=at, door="task") as log:
            ticket, findings = locked(message.payload["ticket"])
            if message.verb == "create":
                ticket.state = Ticket.State.FAILED
                ticket.save(update_fields=["state"])
            _note(log, ticket, findings, "ticket failed", verb=message.verb)


CARRIERS: dict[str, Carrier] = {"tickets": Tickets()}


def carrier(message: OutboxMessage) -> Carrier:
    return CARRIERS[message.connection.kind]


def letter_of(draft: TicketDraft) -> dict[str, Any]:
    """A draft as a payload."""
    return {
        "title": draft.title,
        "body": draft.body,
        "severity": int(draft.severity),
        "due_at": draft.due_at.isoformat() if draft.due_at else None,
        "labels": list(draft.labels),
        "fields": dict(draft.fields),
    }


def draft_of(mark: str, payload: Mapping[str, Any]) -> TicketDraft:
    """A payload as a draft."""
    return TicketDraft(
        mark=mark,
        title=payload["title"],
        body=payload["body"],
        severity=Severity(payload["severity"]),
        due_at=datetime.fromisoformat(payload["due_at"]) if payload["due_at"] else None,
        labels=tuple(payload["labels"]),
        fields=payload["fields"],
    )


def locked(ticket: int) -> tuple[Ticket, list[Finding]]:
    """A ticket and its findings under row locks: the findings first, as everywhere, so that nobody waits in a circle."""
    findings = list(
        Finding.objects.filter(ticket_items__ticket=ticket)
        .select_related("check_ref", "asset", "account", "team", "trail")
        .order_by("pk")
        .select_for_update(of=("self",))
    )
    return Ticket.objects.select_related("connection").select_for_update(of=("self",)).get(pk=ticket), findings


def take_in(ticket: Ticket, state: TicketState, *, at: datetime) -> None:
    """Set on the row, not saved, where the remote ticket stands."""
    ticket.remote_id = state.remote_id
    ticket.key = state.key or ticket.key
    ticket.url = state.url or ticket.url
    ticket.category = state.category
    ticket.remote_status = state.status[:100]
    ticket.remote_updated_at = state.updated_at
    ticket.checked_at = at


def _ticket(message: OutboxMessage) -> tuple[Ticket, TicketSystem, Mapping[str, str]]:
    ticket = Ticket.objects.select_related("connection").get(pk=message.payload["ticket"])
    return ticket, system_of(ticket), connections.options(ticket.connection)


def system_of(ticket: Ticket) -> TicketSystem:
    system: TicketSystem = plugins.get("tickets", ticket.connection.plugin)
    return system


def _note(log: Recording, ticket: Ticket, findings: list[Finding], kind: str, **more: str) -> None:
    named = {"ticket": str(ticket), "url": ticket.url, "connection": ticket.connection.name}
    log.note([finding.pk for finding in findings], kind, after=named | more)
