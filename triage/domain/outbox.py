"""What must be told outside: written with the change that caused it, delivered once, whatever fails.

PENDING → SENDING, committed before the outside is called → SENT, or back to PENDING when it was surely not taken, or UNKNOWN when
nobody can say. What is UNKNOWN is looked up and never sent again blindly. DEAD is what is given up. The truth is in these rows;
the task queue only says that now would be a good time to `drain`.
"""

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from triage.domain.carriers import Carrier, carrier
from triage.models import Connection, OutboxMessage
from triage.ports import DeliveryError

logger = logging.getLogger(__name__)

State = OutboxMessage.State
UNFINISHED = (State.PENDING, State.SENDING, State.UNKNOWN)

LEASE = timedelta(minutes=5)  # longer than any call of a plugin may take
# When a lost message is looked for, counted from the moment that it may have been taken: search indexes lag behind.
LOOKS = (timedelta(seconds=15), timedelta(seconds=75), timedelta(seconds=255))
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
ATTEMPTS = 120  # about a day and a quarter of an outside that does not answer
ANSWER_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to enqueue. `key`: unique for ever; a second one with the same key is the same message."""

    connection: int
    verb: str
    key: str
    lane: str
    payload: Mapping[str, Any]


def enqueue(letters: Iterable[Letter], *, actor: str, at: datetime) -> None:
    """Write messages in the caller's transaction, so that they exist exactly when the change does. One statement."""
    if not connection.in_atomic_block:
        raise RuntimeError("a message is written in the transaction that causes it")
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                connection_id=letter.connection,
                verb=letter.verb,
                key=letter.key,
                lane=letter.lane,
                payload=dict(letter.payload),
                actor=actor,
                due_at=at,
                created_at=at,
            )
            for letter in letters
        ],
        ignore_conflicts=True,
    )


def drain(*, at: datetime, clock: Callable[[], datetime]) -> int:
    """Deliver or look up everything that was due at `at`; how many messages were tried.

    `clock` tells the time before and after each call to the outside. Any number of processes may drain at once. Outside of a
    transaction only: what is being sent has to be committed first.
    """
    tried = 0
    while (message := _claim(until=at, at=clock())) is not None:
        _deliver(message, clock)
        tried += 1
    return tried


def due(at: datetime) -> bool:
    """Whether there is anything to drain."""
    return _due(until=at, at=at).exists()


def _due(*, until: datetime, at: datetime) -> QuerySet[OutboxMessage]:
    """Messages whose turn it is: nobody is at them, none of their lane is before them, their connection is not paused."""
    before = OutboxMessage.objects.filter(lane=OuterRef("lane"), pk__lt=OuterRef("pk"), state__in=UNFINISHED)
    return OutboxMessage.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=at),
        ~Exists(before),
        Q(connection__paused_until=None) | Q(connection__paused_until__lte=at),
        ~Q(connection__state=Connection.State.OFF),
        state__in=UNFINISHED,
        due_at__lte=until,
    )


def _claim(*, until: datetime, at: datetime) -> OutboxMessage | None:
    """The next message, leased to this process and committed as SENDING, or as UNKNOWN if it has to be looked up."""
    with transaction.atomic(durable=True):
        claimable = _due(until=until, at=at).select_for_update(skip_locked=True, of=("self",)).select_related("connection")
        message = claimable.order_by("due_at", "id").first()
        if message is None:
            return None
        if message.state == State.SENDING and message.verb not in carrier(message).repeatable:
            # Whoever sent it died, and may have sent it as late as just now: the looks begin now.
            message.state, message.sent_at = State.UNKNOWN, at
        elif message.state != State.UNKNOWN:
            message.state, message.sent_at, message.attempts = State.SENDING, at, message.attempts + 1
        message.lease_until = at + LEASE
        message.save(update_fields=["state", "sent_at", "attempts", "lease_until"])
    return message


def _deliver(message: OutboxMessage, clock: Callable[[], datetime]) -> None:
    by = carrier(message)
    try:
        answer = by.look(message) if message.state == State.UNKNOWN else by.send(message)
    except DeliveryError as error:
        _failed(message, by, error, at=clock())
    except Exception as error:  # a plugin's bug may come after the outside has taken the message
        logger.exception("outbox message %s", message.pk)
        _failed(message, by, DeliveryError(repr(error), unknown=True), at=clock())
    else:
        if answer is None and message.state == State.UNKNOWN:
            _not_found(message, at=clock())
        else:
            _sent(message, by, answer, at=clock())


def _sent(message: OutboxMessage, by: Carrier, answer: object, *, at: datetime) -> None:
    with transaction.atomic():
        if _finish(message, state=State.SENT, sent_at=at, last_answer=str(answer)[:ANSWER_SHOWN]):
            by.sent(message, answer, at=at)


def _not_found(message: OutboxMessage, *, at: datetime) -> None:
    """Look again later; after the last look it was surely not taken, and is sent again with the same mark."""
    sent_at = message.sent_at or message.created_at
    later = [sent_at + look for look in LOOKS if sent_at + look > at]
    _finish(message, state=State.UNKNOWN if later else State.PENDING, due_at=later[0] if later else at)


def _failed(message: OutboxMessage, by: Carrier, error: DeliveryError, *, at: datetime) -> None:
    looked = message.state == State.UNKNOWN
    lost = looked or (error.unknown and message.verb not in by.repeatable)
    dead = error.permanent or (not lost and message.attempts >= ATTEMPTS)
    wait = _wait(message.attempts, error.retry_after)
    if dead:
        state = State.DEAD
    elif lost:
        state = State.UNKNOWN
        wait = wait if looked else LOOKS[0]
    else:
        state = State.PENDING
    with transaction.atomic():
        if error.retry_after is not None:
            # The outside's wish holds for all that goes there.
            Connection.objects.filter(pk=message.connection_id).update(paused_until=at + wait)
        if _finish(message, state=state, due_at=at + wait, last_answer=str(error)[:ANSWER_SHOWN]) and dead:
            by.dead(message, at=at)


def _finish(message: OutboxMessage, **values: object) -> bool:
    """Write what came of it, unless the lease ran out and somebody else took it up: then that one's word counts."""
    mine = OutboxMessage.objects.filter(pk=message.pk, lease_until=message.lease_until)
    return bool(mine.update(lease_until=None, **values))


def _wait(attempts: int, retry_after: float | None) -> timedelta:
    """Twice as long each time, with jitter, so that many do not come back at once; never shorter than the outside asked for."""
    longest = min(SHORTEST_WAIT * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
    wait = longest * random.uniform(0.5, 1.0)
    return wait if retry_after is None else max(timedelta(seconds=retry_after), timedelta(seconds=1))
