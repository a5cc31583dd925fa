"""What waits for one person: to triage, to fix, to verify, to approve, to answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from triage.domain import bell, queries, search
from triage.domain.access import Actor, Right
from triage.domain.exceptions import deciding
from triage.domain.search import pages
from triage.models import ExceptionState, Notification, RiskException, User

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pile:
    """Findings that wait. `name`: fix, triage or verify; `query`: what lists them all."""

    name: str
    query: str
    page: pages.Page


@dataclass(frozen=True, slots=True)
class Desk:
    piles: Sequence[Pile]
    approvals: Sequence[RiskException]
    mentions: Sequence[Notification]

    @property
    def clear(self) -> bool:
        return not self.approvals and not self.mentions and not any(pile.page.items for pile in self.piles)


def of(user: User, *, actor: Actor, at: datetime) -> Desk:
    """What this person should look at next, the most urgent first. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    own = queries.own_teams(user)
    wanted = [("fix", "is:open is:mine -status:fix_claimed", "due"), ("verify", "status:fix_claimed is:mine", "due")]
    if actor.may(Right.TRIAGE):
        wanted.insert(1, ("triage", "is:open is:unowned", "score"))
        wanted[2] = ("verify", "status:fix_claimed", "due")
    piles = [
        Pile(
            name, query, pages.page(search.findings(search.parse(query), at=at, user=user.pk, teams=own), order=order, size=SHOWN)
        )
        for name, query, order in wanted
    ]
    return Desk(piles, list(_approvals(actor).order_by("requested_at")[:SHOWN]), bell.mentions(user, limit=SHOWN))


def _approvals(actor: Actor) -> QuerySet[RiskException]:
    """Requests that this person may decide: of others, and not above the own rank."""
    rank = deciding.rank(actor)
    if rank is None:
        return RiskException.objects.none()
    rows = RiskException.objects.filter(state=ExceptionState.REQUESTED, ceiling__lte=rank).exclude(requested_by=actor.name)
    return rows.exclude(requested_user=actor.user)
