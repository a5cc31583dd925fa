"""The log of deliveries: every message, where it stands, what the outside last said."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import gettext

from triage.domain import connections
from triage.domain.access import Actor, Right
from triage.models import Alarm, Connection, Disclosure, InboxDelivery, OutboxMessage

SHOWN = 200
State = OutboxMessage.State
WAITING = (State.PENDING, State.SENDING, State.UNKNOWN, State.PARKED)


@dataclass(frozen=True, slots=True)
class Traffic:
    """A connection with its messages by state, and what came in by it. `host`: where it leads; '' for inside."""

    connection: Connection
    host: str
    waiting: int
    dead: int
    sent: int
    heard: int

    @property
    def disclosure(self) -> str:
        if self.connection.kind == "sources":
            return gettext("Nothing: it imports reports")
        if self.connection.kind not in connections.DISCLOSING:
            return gettext("Sizes and hashes of the ledger, signed")
        return str(Disclosure(self.connection.disclosure).label)


def log(*, actor: Actor, states: tuple[str, ...] = (), connection: str = "", before: int | None = None) -> list[OutboxMessage]:
    """Messages, the newest first; at most SHOWN, older than the number `before`."""
    actor.demand(Right.VIEW)
    rows = OutboxMessage.objects.select_related("connection").order_by("-pk")
    if states:
        rows = rows.filter(state__in=states)
    if connection:
        rows = rows.filter(connection__name=connection)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows[:SHOWN])


def traffic(*, actor: Actor) -> list[Traffic]:
    """All connections with what goes through them. Three statements."""
    actor.demand(Right.VIEW)
    counted = OutboxMessage.objects.values("connection").annotate(
        waiting=Count("pk", filter=Q(state__in=WAITING)), dead=Count("pk", filter=Q(state=State.DEAD)),
        sent=Count("pk", filter=Q(state=State.SENT)),
    )  # fmt: skip
    by_connection = {row["connection"]: (row["waiting"], row["dead"], row["sent"]) for row in counted}
    heard = dict(InboxDelivery.objects.values_list("connection").annotate(n=Count("pk")))
    return [
        Traffic(row, host_of(row), *by_connection.get(row.pk, (0, 0, 0)), heard=heard.get(row.pk, 0))
        for row in Connection.objects.order_by("name")
    ]


def host_of(connection: Connection) -> str:
    """Where what is sent goes, as its plugin says or as it is configured."""
    says = getattr(connections.plugin_of(connection), "leads_to", None)
    if says is not None:
        return str(says(connection.options))
    for name in ("server", "url", "base_url"):
        address = connection.options.get(name, "")
        if address:
            return str(address).partition("://")[2].partition("/")[0].rpartition("@")[2] or str(address)
    defaults = {setting.name: setting.default for setting in connections.settings_of(connection)}
    return defaults.get("base_url", "").partition("://")[2].partition("/")[0]


def metrics() -> str:
    """Messages by connection and state, alarms that stand, in Prometheus' text format."""
    states = (
        OutboxMessage.objects.values_list("connection__name", "state")
        .annotate(n=Count("pk"))
        .order_by("connection__name", "state")
    )
    alarms = (
        Alarm.objects.filter(resolved_at=None)
        .values_list("connection__name", "kind")
        .annotate(n=Count("pk"))
        .order_by("connection__name", "kind")
    )
    lines = ["# HELP cspm_outbox_messages Messages to the outside.", "# TYPE cspm_outbox_messages gauge"]
    lines += [f'cspm_outbox_messages{{connection="{name}",state="{state}"}} {count}' for name, state, count in states]
    lines += ["# HELP cspm_alarms Connections that a person has to mend.", "# TYPE cspm_alarms gauge"]
    lines += [f'cspm_alarms{{connection="{name}",kind="{kind}"}} {count}' for name, kind, count in alarms]
    return "\n".join(lines) + "\n"
