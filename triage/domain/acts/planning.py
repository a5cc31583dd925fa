"""What would come of an act, before it is done: counted by how findings stand, in as many statements for a million as for one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, Case, Count, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor
from triage.domain.acts.doing import matching
from triage.domain.acts.verbs import Standing, prepared
from triage.domain.errors import Invalid
from triage.models import Finding, Team, Ticket, TicketItem
from triage.ports import Text


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` of `total` findings; the others by why not. `teams`: how many of those that change are whose now.

    `tickets`: of those that change, how many are in a ticket that is open.
    """

    total: int
    changes: int
    skipped: Sequence[tuple[Text, int]]
    teams: Sequence[tuple[Team | None, int]]
    tickets: int


def plan(
    *,
    verb: str,
    params: Mapping[str, Any],
    actor: Actor,
    at: datetime,
    query: str = "",
    findings: Mapping[int, int | None] | None = None,
) -> Plan:
    """Raises as `ask` does, and writes nothing. Four statements at most."""
    doing = prepared(verb, params)
    rows = chosen(query, findings, actor, at)
    counted = (
        rows.order_by()
        .values("team", "status", "pinned", acknowledged=_acknowledged())
        .annotate(n=Count("pk"), ticketed=_ticketed())
    )
    skipped: Counter[tuple[str, tuple[tuple[str, str | int], ...]]] = Counter()
    teams: Counter[int | None] = Counter()
    total = changes = tickets = 0
    for row in counted:
        total += row["n"]
        why = doing.refusal(Standing(row["team"], row["status"], row["pinned"], row["acknowledged"]), actor)
        if why is None:
            changes += row["n"]
            tickets += row["ticketed"]
            teams[row["team"]] += row["n"]
        else:
            skipped[why.message, tuple(why.params.items())] += row["n"]
    known = Team.objects.in_bulk([number for number in teams if number is not None])
    return Plan(
        total=total,
        changes=changes,
        skipped=[(Text(message, dict(params)), n) for (message, params), n in skipped.most_common()],
        teams=[(known.get(number) if number is not None else None, n) for number, n in teams.most_common()],
        tickets=tickets,
    )


def chosen(query: str, findings: Mapping[int, int | None] | None, actor: Actor, at: datetime) -> QuerySet[Finding]:
    """Raises Invalid without either, QueryError."""
    if findings:
        return Finding.objects.filter(pk__in=findings)
    if not query.strip():
        raise Invalid(_("Say which findings: a query, or their numbers."))
    rows: QuerySet[Finding] = matching(query, actor, at)
    return rows


def _acknowledged() -> Case:
    return Case(
        When(Q(acknowledged_at__isnull=False) | Q(clock_from=None), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )


def _ticketed() -> Count:
    alive = TicketItem.objects.filter(finding=OuterRef("pk"), ticket__state__in=(Ticket.State.WANTED, Ticket.State.LIVE))
    return Count("pk", filter=Exists(alive))
