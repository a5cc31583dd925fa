"""What must be told outside: written with the change that caused it, delivered once, whatever fails.

PENDING → SENDING, committed before the outside is called → SENT, or back to PENDING when it was surely not taken, or UNKNOWN when
nobody can say. What is UNKNOWN is looked up and never sent again blindly. PARKED waits for another configuration; DEAD is what is
given up. The truth is in these rows; the task queue only says that now would be a good time to `drain`.

Each connection is a turnstile: under its row lock the next message is chosen, by priority, so that what is urgent overtakes; by the
connection's rate; not two of one lane at once, nor closer than its plugin allows (`LANE_GAP`); and one at a time while the breaker
is open. Nothing here sleeps: what has to wait is not due yet.
"""

import logging
import random
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import connections
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.carriers import Carrier, carrier
from triage.domain.errors import Invalid, NotFound
from triage.domain.locking import turn
from triage.models import Alarm, Connection, OutboxMessage
from triage.ports import DeliveryError, Limited, Refused, Unconfigured, Withdrawn

logger = logging.getLogger(__name__)

State = OutboxMessage.State
DUE = (State.PENDING, State.SENDING, State.UNKNOWN)
UNFINISHED = (*DUE, State.PARKED)

LEASE = timedelta(minutes=5)  # longer than any call of a plugin may take
# When a lost message is looked for, counted from the moment that it may have been taken: search indexes lag behind.
LOOKS = (timedelta(seconds=15), timedelta(seconds=75), timedelta(seconds=255))
BETWEEN_LOOKS = timedelta(seconds=30)  # at least: an index that stood still with the outside needs time, too
TWINS_AFTER = timedelta(minutes=15)
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
ATTEMPTS = 120  # about a day and a quarter of an outside that does not answer
ANSWER_SHOWN = 2000
BURST = timedelta(milliseconds=500)  # so much earlier than its pace a message may leave: as long as the queue takes to come back
AT_ONCE = 4  # calls of one connection
SOON = timedelta(seconds=2)
DRAINS = 3  # at once, of all processes: what more would come is a nudge too many

# Smaller ones first.
BREACH, ANSWER, TICKET, NEW, DIGEST, EDIT = 1, 2, 3, 4, 6, 8


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to enqueue. `key`: unique for ever; a second one with the same key is the same message.

    `after`: it is due so long from now.
    """

    connection: int
    verb: str
    key: str
    lane: str
    payload: Mapping[str, Any]
    priority: int = TICKET
    after: timedelta = timedelta()


def enqueue(letters: Iterable[Letter], *, actor: str, at: datetime) -> None:
    """Write messages in the caller's transaction, so that they exist exactly when the change does. One statement."""
    if not database.in_atomic_block:
        raise RuntimeError("a message is written in the transaction that causes it")
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                connection_id=letter.connection,
                verb=letter.verb,
                key=letter.key,
                lane=letter.lane,
                payload=dict(letter.payload),
                priority=letter.priority,
                actor=actor,
                due_at=at + letter.after,
                created_at=at,
            )
            for letter in letters
        ],
        ignore_conflicts=True,
    )


def drain(*, at: datetime, clock: Callable[[], datetime]) -> int:
    """Deliver or look up what was due at `at`; how many messages were tried. Outside of a transaction only.

    `clock` tells the time before and after each call to the outside. Any number of processes may drain at once; those beyond
    DRAINS find nothing to do.
    """
    tried = 0
    with turn("cspm outbox", places=DRAINS) as mine:
        if not mine:
            return 0
        for number in _with_something(until=at, at=clock()):
            while (message := _claim(number, until=at, at=clock())) is not None:
                _deliver(message, clock)
                tried += 1
    return tried


def due(at: datetime, *, within: timedelta = timedelta()) -> bool:
    """Whether there is anything to drain, or will be within so much time."""
    return bool(_with_something(until=at + within, at=at + within))


def _with_something(*, until: datetime, at: datetime) -> list[int]:
    """Connections that may send, the one with the most urgent message first."""
    rows = _due(until=until, at=at).filter(connection__in=_open(at)).values_list("connection", "priority").distinct()
    urgent: dict[int, int] = {}
    for number, priority in rows:
        urgent[number] = min(priority, urgent.get(number, priority))
    return sorted(urgent, key=lambda number: (urgent[number], number))


def _open(at: datetime) -> QuerySet[Connection]:
    """Connections that are neither off nor refused, that no breaker and no wish of the outside pauses, and whose pace allows one."""
    return Connection.objects.filter(
        Q(paused_until=None) | Q(paused_until__lte=at),
        Q(paced_until=None) | Q(paced_until__lte=at + BURST),
        state__in=connections.SENDING,
    )


def _due(*, until: datetime, at: datetime, gap: float = 0) -> QuerySet[OutboxMessage]:
    """Messages whose turn it is: nobody is at them, none of their lane is before them or left within so many seconds."""
    lane = OutboxMessage.objects.filter(lane=OuterRef("lane"))
    before = lane.filter(pk__lt=OuterRef("pk"), state__in=UNFINISHED)
    just_left = lane.filter(state=State.SENT, sent_at__gt=at - timedelta(seconds=gap))
    return OutboxMessage.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=at),
        ~Exists(before),
        *([~Exists(just_left) | Q(state=State.UNKNOWN)] if gap else []),
        state__in=DUE,
        due_at__lte=until,
    )


def _claim(number: int, *, until: datetime, at: datetime) -> OutboxMessage | None:
    """The connection's next message, leased to this process and committed as SENDING, or as UNKNOWN if it has to be looked up."""
    with transaction.atomic(durable=True):
        connection = _open(at).filter(pk=number).select_for_update().first()
        if connection is None:
            return None
        in_flight = OutboxMessage.objects.filter(connection=number, state__in=DUE, lease_until__gt=at).count()
        if in_flight >= (1 if connection.failures >= connections.BREAKS_AT else AT_ONCE):
            return None
        gap = getattr(connections.plugin_of(connection), "LANE_GAP", 0)
        claimable = _due(until=until, at=at, gap=gap).filter(connection=number)
        message = claimable.select_for_update(skip_locked=True, of=("self",)).order_by("priority", "due_at", "id").first()
        if message is None:
            return None
        if message.state == State.SENDING and message.verb not in carrier(message).repeatable(message):
            # Whoever sent it died, and may have sent it as late as just now: the looks begin now.
            message.state, message.sent_at, message.looks = State.UNKNOWN, at, 0
        elif message.state != State.UNKNOWN:
            message.state, message.sent_at, message.attempts = State.SENDING, at, message.attempts + 1
        message.lease_until = at + LEASE
        message.save(update_fields=["state", "sent_at", "attempts", "looks", "lease_until"])
        pace = timedelta(seconds=1 / connection.per_second)
        connection.paced_until = max(connection.paced_until or at, at) + pace
        connection.save(update_fields=["paced_until"])
        message.connection = connection
    return message


def _deliver(message: OutboxMessage, clock: Callable[[], datetime]) -> None:
    by = carrier(message)
    try:
        answer = by.look(message) if message.state == State.UNKNOWN else by.send(message)
    except DeliveryError as error:
        _failed(message, by, error, at=clock())
    except Invalid as error:  # a secret that cannot be opened: nothing was sent
        _failed(message, by, Refused(str(error)), at=clock())
    except Exception as error:  # noqa: BLE001 - a plugin's bug may come after the outside has taken the message
        traced = connections.hidden(message.connection, traceback.format_exc())
        logger.error("outbox message %s\n%s", message.pk, traced)  # noqa: TRY400 - as text, to take secrets out of it
        _failed(message, by, DeliveryError(repr(error), unknown=True), at=clock())
    else:
        if answer is None and message.state == State.UNKNOWN:
            _not_found(message, at=clock())
        else:
            _sent(message, by, answer, at=clock())


def _sent(message: OutboxMessage, by: Carrier, answer: object, *, at: datetime) -> None:
    with transaction.atomic():
        if _finish(message, state=State.SENT, sent_at=at, last_answer=_shown(message, by.shown(answer))):
            by.sent(message, answer, at=at)
            if message.verb == "create" and (message.state == State.UNKNOWN or message.looks):
                enqueue([_twins(message)], actor=message.actor, at=at)
        connections.arrived(message.connection, at=at)


def _twins(message: OutboxMessage) -> Letter:
    """When its answer was lost, look later whether there are two of it after all: an index may lag longer than we looked."""
    payload = {"ticket": message.payload["ticket"]}
    return Letter(message.connection_id, "twins", f"{message.key}:twins", f"{message.lane}:twins", payload, DIGEST, TWINS_AFTER)


def _not_found(message: OutboxMessage, *, at: datetime) -> None:
    """Look again later; after the last look it was surely not taken, and is sent again with the same mark."""
    looks, since = message.looks + 1, message.sent_at or message.created_at
    if at < since + LOOKS[0]:
        _finish(message, state=State.UNKNOWN, due_at=since + LOOKS[0])  # as after a death: too early to say
    elif looks < len(LOOKS):
        _finish(message, state=State.UNKNOWN, looks=looks, due_at=max(since + LOOKS[looks], at + BETWEEN_LOOKS))
    else:
        _finish(message, state=State.PENDING, looks=looks, due_at=at)
    connections.arrived(message.connection, at=at)


def _failed(message: OutboxMessage, by: Carrier, error: DeliveryError, *, at: datetime) -> None:
    looked = message.state == State.UNKNOWN
    lost = looked or (error.unknown and message.verb not in by.repeatable(message))
    wait = _wait(message.attempts, error.retry_after)
    said = _shown(message, str(error))
    values: dict[str, Any] = {"state": State.PENDING, "due_at": at + wait, "last_answer": said}
    if isinstance(error, Unconfigured):
        values |= {"state": State.UNKNOWN if looked else State.PARKED, "subject": error.subject[:200]}
    elif isinstance(error, Refused | Limited | Withdrawn):
        # Not this message's fault: it keeps its attempts, and goes on as soon as the connection does.
        values |= {"state": State.UNKNOWN if looked else State.PENDING, "due_at": at, "attempts": max(message.attempts - 1, 0)}
    elif error.permanent or (not lost and message.attempts >= ATTEMPTS):
        values |= {"state": State.DEAD}
    elif lost:
        values |= {"state": State.UNKNOWN, "due_at": at + (wait if looked else max(LOOKS[0], _asked(error)))}
        if not looked:
            values |= {"sent_at": at, "looks": 0}
    with transaction.atomic():
        mine = _finish(message, **values)
        _note_health(message.connection, error, wait, said, at=at)
        if mine and values["state"] == State.DEAD:
            connections.raise_alarm(message.connection, Alarm.Kind.DEAD, said, at=at)
            by.dead(message, at=at)


def _note_health(connection: Connection, error: DeliveryError, wait: timedelta, said: str, *, at: datetime) -> None:
    """What the failure says of the connection."""
    if isinstance(error, Unconfigured):
        connections.raise_alarm(connection, Alarm.Kind.UNCONFIGURED, said, subject=error.subject, at=at)
    elif isinstance(error, Refused):
        connections.refused(connection, said, at=at)
    elif isinstance(error, Withdrawn):
        connections.withdrawn(connection, said, at=at)
    elif isinstance(error, Limited):
        connections.limited(connection, wait, at=at)
    elif not error.permanent:
        connections.failed(connection, said, at=at)
        if error.retry_after is not None:
            connections.limited(connection, wait, at=at)


def _finish(message: OutboxMessage, **values: object) -> bool:
    """Write what came of it, unless the lease ran out and somebody else took it up: then that one's word counts."""
    mine = OutboxMessage.objects.filter(pk=message.pk, lease_until=message.lease_until)
    return bool(mine.update(lease_until=None, **values))


def _shown(message: OutboxMessage, said: str) -> str:
    return connections.hidden(message.connection, said)[:ANSWER_SHOWN]


def _asked(error: DeliveryError) -> timedelta:
    return timedelta(seconds=error.retry_after or 0)


def _wait(attempts: int, retry_after: float | None) -> timedelta:
    """Twice as long each time, with jitter, so that many do not come back at once; never shorter than the outside asked for."""
    longest = min(SHORTEST_WAIT * 2 ** min(max(attempts - 1, 0), 10), LONGEST_WAIT)
    wait = longest * random.uniform(0.5, 1.0)
    return wait if retry_after is None else max(timedelta(seconds=retry_after), timedelta(seconds=1))


# --- what a person sees and does ----------------------------------------------------------------------------------------------


def retry(*, message: int, actor: Actor, at: datetime) -> OutboxMessage:
    """Try a message again that was given up or waits; what may have arrived is looked up first.

    What was sent is sent once more where that doubles nothing (webhooks know it by its number). Raises NotFound, Invalid.
    """
    actor.demand(Right.ADMINISTER)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        row = OutboxMessage.objects.select_related("connection").select_for_update(of=("self",)).filter(pk=message).first()
        if row is None:
            raise NotFound(_("There is no message %(number)s."), number=message)
        if not can_retry(row):
            raise Invalid(_("This message was sent, or is being sent now."))
        if row.state in (State.DEAD, State.SENT):
            again = row.attempts == 0 or row.verb in carrier(row).repeatable(row)
            row.state, row.attempts, row.looks = State.PENDING if again else State.UNKNOWN, 0, len(LOOKS) - 1
            carrier(row).revived(row)
        row.due_at = at
        row.save()
        log.tell("message", row.pk, "tried again", after={"key": row.key})
    if not OutboxMessage.objects.filter(connection=row.connection, state=State.DEAD).exists():
        connections.resolve(row.connection, Alarm.Kind.DEAD, at=at)
    return row


def can_retry(message: OutboxMessage) -> bool:
    """Whether it waits or was given up; or was sent to where a second one is known by its number."""
    if message.state == State.SENT:
        return message.verb in carrier(message).repeatable(message)
    return message.state in (State.DEAD, State.PENDING, State.PARKED, State.UNKNOWN) and message.lease_until is None


def counts() -> dict[str, int]:
    """Messages that are not sent, by state."""
    rows = OutboxMessage.objects.exclude(state=State.SENT).values_list("state").annotate(n=Count("pk"))
    return {str(state): count for state, count in rows}
