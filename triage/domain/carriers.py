"""Who hands a message over: for each kind of connection how it is sent, how a lost one is looked up, and what follows here."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import connections
from triage.domain.audit import Recording, recording
from triage.domain.errors import Invalid
from triage.models import Alarm, Checkpoint, Finding, OutboxMessage, Publication, Team, Thread, Ticket, Told
from triage.ports import (
    Button,
    DeliveryError,
    Notice,
    Notifier,
    Options,
    Row,
    SealedHead,
    Severity,
    TicketDraft,
    TicketState,
    TicketSystem,
    Unreachable,
    Witness,
)


class Carrier(Protocol):
    """`send` and `look` call the outside, outside of any transaction; `sent` and `dead` write here, inside of one.

    `repeatable`: verbs that do no harm when they are sent twice; all others are looked up first. `look` returns None for what is
    not there. Both may raise an alarm.
    `shown`: an answer as the log of deliveries shows it. `revived`: a dead message is tried again; may raise Invalid.
    """

    def repeatable(self, message: OutboxMessage) -> frozenset[str]: ...

    def send(self, message: OutboxMessage) -> Any: ...

    def look(self, message: OutboxMessage) -> Any: ...

    def sent(self, message: OutboxMessage, answer: Any, *, at: datetime) -> None: ...

    def dead(self, message: OutboxMessage, *, at: datetime) -> None: ...

    def revived(self, message: OutboxMessage) -> None: ...

    def shown(self, answer: Any) -> str: ...


class Tickets:
    """Verbs: create, comment, close, reopen, link, amend, attach, twins. Payload: `ticket` (our id), and what the verb needs.

    What a system lacks (no links, no attachments) is left out without a word.
    """

    def repeatable(self, message: OutboxMessage) -> frozenset[str]:  # noqa: ARG002 - the same for all systems
        return frozenset({"comment", "close", "reopen", "link", "amend", "attach", "twins"})

    def send(self, message: OutboxMessage) -> TicketState | int | None:
        ticket, system, options = _ticket(message)
        payload, verb = message.payload, message.verb
        if verb == "create":
            return system.create(draft_of(ticket.mark, payload), options)
        if not ticket.remote_id:
            raise DeliveryError("the ticket was never opened", permanent=True)
        if verb == "comment":
            system.comment(ticket.remote_id, message.key, payload["body"], options)
        elif verb in ("close", "reopen"):
            return {"close": system.close, "reopen": system.reopen}[verb](ticket.remote_id, options)
        elif verb == "twins":
            return _merged(ticket, system, options)
        elif does := getattr(system, verb, None):
            if verb == "attach":
                does(ticket.remote_id, payload["name"], payload["text"].encode(), options)
            else:
                does(ticket.remote_id, draft_of(ticket.mark, payload), options)
        return None

    def look(self, message: OutboxMessage) -> TicketState | None:
        ticket, system, options = _ticket(message)
        found = system.find(ticket.mark, options)
        return found[0] if found else None

    def sent(self, message: OutboxMessage, answer: TicketState | int | None, *, at: datetime) -> None:
        if isinstance(answer, int) and answer:
            said = f"{answer} closed"
            connections.raise_alarm(message.connection, Alarm.Kind.TWIN, said, subject=message.lane, at=at)
        if not isinstance(answer, TicketState):
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

    def revived(self, message: OutboxMessage) -> None:
        if message.verb != "create":
            return
        ticket = Ticket.objects.select_for_update().get(pk=message.payload["ticket"])
        living = Ticket.objects.filter(connection=ticket.connection_id, group_key=ticket.group_key, state__in=("wanted", "live"))
        if living.exclude(pk=ticket.pk).exists():
            raise Invalid(_("Another ticket was opened for these findings since."))
        ticket.state = Ticket.State.WANTED
        ticket.save(update_fields=["state"])

    def shown(self, answer: TicketState | int | None) -> str:
        if isinstance(answer, TicketState):
            return f"{answer.key or answer.remote_id} {answer.status}".strip()
        return "" if answer is None else str(answer)


class Notices:
    """Verbs: tell, edit. Payload: `notice`, `recipient`, `thread` (the name of what it belongs to), `told` (ids of Told)."""

    def repeatable(self, message: OutboxMessage) -> frozenset[str]:
        return frozenset({"tell", "edit"}) if _notifier(message).REPEATABLE else frozenset({"edit"})

    def send(self, message: OutboxMessage) -> str:
        notifier, options = _notifier(message), connections.options(message.connection)
        if message.verb == "edit":
            if hasattr(notifier, "update"):
                notifier.update(message.payload["remote"], notice_of(message.payload["notice"]), options)
            return ""
        return str(_reaching(message, notifier.send, notifier, options))

    def look(self, message: OutboxMessage) -> str | None:
        notifier, options = _notifier(message), connections.options(message.connection)
        found: str | None = _reaching(message, notifier.find, notifier, options)
        return found

    def sent(self, message: OutboxMessage, answer: str, *, at: datetime) -> None:
        if message.verb == "edit":
            return
        Told.objects.filter(pk__in=message.payload.get("told", [])).update(state=Told.State.SENT, sent_at=at)
        name = message.payload.get("thread")
        if name:
            thread = Thread(
                connection=message.connection,
                recipient=message.payload["recipient"],
                name=name,
                remote=answer[:300],
                started_at=at,
            )
            Thread.objects.bulk_create([thread], ignore_conflicts=True)

    def dead(self, message: OutboxMessage, *, at: datetime) -> None:  # noqa: ARG002 - the alarm of the outbox says so
        Told.objects.filter(pk__in=message.payload.get("told", [])).update(
            state=Told.State.DROPPED, why=message.last_answer[:200] or "given up"
        )

    def revived(self, message: OutboxMessage) -> None:
        Told.objects.filter(pk__in=message.payload.get("told", [])).update(state=Told.State.WAITING, why="")

    def shown(self, answer: str) -> str:
        return answer


LONGEST = 50_000  # of a witness's answer: a time stamp with its certificates has some thousand bytes


class Witnesses:
    """Verb: publish. Payload: `size`, of the head. Nobody is told of it in the audit trail: that would be the next head."""

    def repeatable(self, message: OutboxMessage) -> frozenset[str]:  # noqa: ARG002 - the same for all
        return frozenset({"publish"})

    def send(self, message: OutboxMessage) -> str:
        head = Checkpoint.objects.get(pk=message.payload["size"])
        witness: Witness = plugins.get("witnesses", message.connection.plugin)
        sealed = SealedHead(head.note.partition("\n")[0], head.size, head.note, head.at)
        return witness.publish(sealed, connections.options(message.connection))

    def look(self, message: OutboxMessage) -> None:
        """It is repeated instead."""

    def sent(self, message: OutboxMessage, answer: str, *, at: datetime) -> None:
        Publication.objects.create(
            checkpoint_id=message.payload["size"], connection=message.connection, at=at, answer=answer[:LONGEST]
        )

    def dead(self, message: OutboxMessage, *, at: datetime) -> None:
        """The alarm is raised already."""

    def revived(self, message: OutboxMessage) -> None:
        """Nothing stands in its way."""

    def shown(self, answer: str) -> str:
        return answer.partition(",")[0] if answer.startswith("data:") else answer


CARRIERS: dict[str, Carrier] = {"tickets": Tickets(), "notifiers": Notices(), "witnesses": Witnesses()}


def carrier(message: OutboxMessage) -> Carrier:
    return CARRIERS[message.connection.kind]


# --- tickets ------------------------------------------------------------------------------------------------------------------


def letter_of(draft: TicketDraft) -> dict[str, Any]:
    """A draft as a payload."""
    return {
        "title": draft.title, "body": draft.body, "severity": int(draft.severity),
        "due_at": draft.due_at.isoformat() if draft.due_at else None, "labels": list(draft.labels), "fields": dict(draft.fields),
        "link": draft.link,
    }  # fmt: skip


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
        link=payload.get("link", ""),
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
    ticket.remote_assignee = state.assignee[:200]
    ticket.remote_updated_at = state.updated_at or ticket.remote_updated_at
    ticket.missing = 0
    ticket.checked_at = at


def options_of(ticket: Ticket) -> Options:
    """What the ticket's system is called with: the team's own settings count."""
    slug = Team.objects.filter(pk=ticket.team_id).values_list("slug", flat=True).first() if ticket.team_id else ""
    return connections.options(ticket.connection, slug or "")


def _ticket(message: OutboxMessage) -> tuple[Ticket, TicketSystem, Options]:
    ticket = Ticket.objects.select_related("connection").get(pk=message.payload["ticket"])
    return ticket, system_of(ticket), options_of(ticket)


def _merged(ticket: Ticket, system: TicketSystem, options: Options) -> int:
    """Twins of the ticket that were closed in favour of the one that we know."""
    twins = [state for state in system.find(ticket.mark, options) if state.remote_id != ticket.remote_id]
    does = getattr(system, "merge", None)
    if does is not None:
        for twin in twins:
            does(twin.remote_id, ticket.remote_id, options)
    return len(twins)


def system_of(ticket: Ticket) -> TicketSystem:
    system: TicketSystem = plugins.get("tickets", ticket.connection.plugin)
    return system


def _note(log: Recording, ticket: Ticket, findings: list[Finding], kind: str, **more: str) -> None:
    named = {"ticket": str(ticket), "url": ticket.url, "connection": ticket.connection.name}
    log.note([finding.pk for finding in findings], kind, after=named | more)


# --- notices ------------------------------------------------------------------------------------------------------------------


def letter_of_notice(notice: Notice) -> dict[str, Any]:
    """A notice as a payload."""
    plain = asdict(notice)
    return {**plain, "severity": int(notice.severity), "at": notice.at.isoformat() if notice.at else None}


def notice_of(plain: Mapping[str, Any]) -> Notice:
    """A payload as a notice."""
    return Notice(**{
        **plain,
        "rows": tuple(Row(**row) for row in plain["rows"]),
        "buttons": tuple(Button(**button) for button in plain["buttons"]),
        "severity": Severity(plain["severity"]),
        "at": datetime.fromisoformat(plain["at"]) if plain["at"] else None,
    })  # fmt: skip


def _reaching(message: OutboxMessage, does: Callable[[Notice, Options], Any], notifier: Notifier, options: Options) -> Any:
    """Of whom it is for, or else of the channel for everybody: with an alarm, as somebody should know."""
    plain = dict(message.payload["notice"])
    thread = _thread(message)
    plain["thread"] = thread.remote if thread is not None and message.verb == "tell" else ""
    instead, asked = message.payload.get("instead", ""), plain["to"]
    try:
        if "@" in asked and hasattr(notifier, "address"):
            plain["to"] = _known(notifier.address(asked, options))
        return does(notice_of(plain), options)
    except Unreachable as error:
        if not instead or instead == asked:
            raise
        kind, said = Alarm.Kind.UNREACHABLE, f"{error}; told to {instead} instead"
        connections.raise_alarm(message.connection, kind, said, subject=asked, at=message.sent_at or message.created_at)
        return does(notice_of({**plain, "to": instead, "thread": ""}), options)


def _known(name: str | None) -> str:
    if name is None:
        raise Unreachable("nobody there has this address")
    return name


def _thread(message: OutboxMessage) -> Thread | None:
    name = message.payload.get("thread")
    if not name:
        return None
    return Thread.objects.filter(connection=message.connection, recipient=message.payload["recipient"], name=name).first()


def _notifier(message: OutboxMessage) -> Notifier:
    notifier: Notifier = connections.plugin_of(message.connection)
    return notifier
