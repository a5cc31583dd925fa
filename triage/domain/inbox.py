"""What the outside tells us: authentic deliveries are stored as they came, answered at once, and read later by a worker.

A delivery is a hint: what counts is what is there when we look. Its id makes a repetition harmless; a lost one is made up for by
reading over there from time to time (`tickets.mirror`).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop as _

from triage.domain import connections, presses, tickets
from triage.domain.errors import Invalid, NotFound
from triage.models import Connection, InboxDelivery
from triage.ports import Forged, Heard

logger = logging.getLogger(__name__)

LONGEST = 5 * 2**20  # bytes; Jira drops what is over 25 MB, and what we look at is the ids
HEADERS_KEPT = (
    "content-type",
    "user-agent",
    "x-atlassian-webhook-identifier",
    "x-atlassian-webhook-retry",
    "x-atlassian-webhook-flow",
)
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Received:
    """`fresh`: stored now, for a worker to read. `reply`: what the caller waits for."""

    fresh: bool
    reply: str = ""


def receive(*, name: str, headers: Mapping[str, str], body: bytes, at: datetime) -> Received:
    """Store an authentic delivery, once. Raises NotFound, and Forged for all that is not authentic."""
    connection = Connection.objects.filter(name=name).exclude(state=Connection.State.OFF).first()
    hear = getattr(connections.plugin_of(connection), "hear", None) if connection else None
    if connection is None or hear is None:
        raise NotFound(_("Nothing listens at this address."))
    try:
        heard: Heard = hear(headers, body, connections.options(connection))
    except Invalid as error:  # no secret to check it by
        raise Forged(str(error)) from error
    kept = {key.lower(): value[:300] for key, value in headers.items() if key.lower() in HEADERS_KEPT}
    return _stored(connection, heard.delivery_id, kept | {"ids": list(heard.remote_ids)}, body, at=at)


def take(connection: Connection, *, delivery_id: str, body: bytes, at: datetime) -> Received:
    """As `receive`, of what came by a connection that we opened ourselves: whoever is at its other end is who we asked for."""
    return _stored(connection, delivery_id, {"ids": []}, body, at=at)


def _stored(connection: Connection, delivery_id: str, headers: Mapping[str, Any], body: bytes, *, at: datetime) -> Received:
    delivery = InboxDelivery(connection=connection, delivery_id=delivery_id[:200], headers=headers, body=body, received_at=at)
    try:
        with transaction.atomic():
            delivery.save()
    except IntegrityError:  # it was told before
        return Received(fresh=False)
    reply = presses.at_once(connection, body) if connection.kind == "notifiers" else None
    return Received(fresh=True, reply=reply or "")


def waiting() -> bool:
    """Whether anything is to be read."""
    return InboxDelivery.objects.filter(handled_at=None).exists()


def drain(*, clock: Callable[[], datetime], limit: int = 1000) -> int:
    """Look at what was hinted at; how many deliveries. Outside of a transaction. Any number of processes may drain."""
    for number in range(limit):
        with transaction.atomic():
            rows = InboxDelivery.objects.filter(handled_at=None).select_related("connection").order_by("pk")
            delivery = rows.select_for_update(skip_locked=True, of=("self",)).first()
            if delivery is None:
                return number
            delivery.handled_at = clock()
            delivery.save(update_fields=["handled_at"])
        InboxDelivery.objects.filter(pk=delivery.pk).update(outcome=_read(delivery, clock)[:300])
    return limit


def _read(delivery: InboxDelivery, clock: Callable[[], datetime]) -> str:
    """One that dies here is not read again: the next look over there finds what it would have found, and a person presses again."""
    if delivery.connection.kind == "notifiers":
        return presses.handle(delivery, clock=clock)
    ids = [str(each) for each in delivery.headers.get("ids", [])]
    changed = tickets.mirror(at=clock(), clock=clock, only=ids, within=delivery.connection_id) if ids else 0
    return f"{len(ids)} looked at, {changed} changed"


def forget(*, at: datetime) -> int:
    """Delete what was handled long ago."""
    return InboxDelivery.objects.filter(handled_at__lt=at - KEPT_FOR).delete()[0]
