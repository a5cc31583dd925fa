"""Which heads go to which witness, and what each of them has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max

from triage.domain import outbox
from triage.models import Checkpoint, Connection, OutboxMessage, Publication

GAPS = {"always": timedelta(), "hourly": timedelta(hours=1), "daily": timedelta(days=1)}
LANE = "ledger"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A witness and the last head that it has, None while it has none."""

    connection: Connection
    last: Publication | None


def publish(*, at: datetime) -> int:
    """Enqueue the newest head for each witness whose time has come; how many. Inside a transaction."""
    witnesses = list(Connection.objects.filter(kind="witnesses").exclude(state=Connection.State.OFF).order_by("pk"))
    if not witnesses:
        return 0
    head = Checkpoint.objects.order_by("-size").values_list("size", flat=True).first()
    if head is None:
        return 0
    letters = [_letter(each, head) for each in witnesses if _is_due(each, head, at)]
    outbox.enqueue(letters, actor="worker", at=at)
    return len(letters)


def witnesses() -> Sequence[Witnessed]:
    """All of them, with what they have. Two statements."""
    rows = list(Connection.objects.filter(kind="witnesses").annotate(newest=Max("publications__pk")).order_by("name"))
    newest = [row.newest for row in rows]
    last = {row.connection_id: row for row in Publication.objects.filter(pk__in=newest).select_related("checkpoint")}
    return [Witnessed(row, last.get(row.pk)) for row in rows]


def _is_due(connection: Connection, head: int, at: datetime) -> bool:
    told = OutboxMessage.objects.filter(connection=connection, verb="publish")
    if told.filter(key=_key(connection, head)).exists():
        return False
    gap = GAPS[connection.options.get("every") or "hourly"]
    return not told.filter(created_at__gt=at - gap).exists()


def _letter(connection: Connection, head: int) -> outbox.Letter:
    return outbox.Letter(connection.pk, "publish", _key(connection, head), LANE, {"size": head}, priority=outbox.ANSWER)


def _key(connection: Connection, head: int) -> str:
    return f"head:{connection.pk}:{head}"
