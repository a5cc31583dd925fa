"""Searches that people keep under a name, for themselves or for all."""

from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext_noop as _

from triage.domain import search
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotFound
from triage.domain.search.groups import BY
from triage.domain.search.pages import ORDERS
from triage.models import SavedView, User

MOST = 50  # of one person
LONGEST_NAME, LONGEST_QUERY = 80, 2_000


def of(user: User) -> list[SavedView]:
    """The person's own and the shared ones, by name."""
    return list(SavedView.objects.filter(Q(user=user) | Q(shared=True)).order_by("name", "pk")[: 2 * MOST])


def keep(
    *, user: User, name: str, query: str, actor: Actor, at: datetime, order: str = "", group: str = "", shared: bool = False
) -> SavedView:
    """Keep it, in place of the person's own of that name. Raises Invalid, QueryError, NotAllowed: only who triages shares."""
    actor.demand(Right.VIEW)
    if shared:
        actor.demand(Right.TRIAGE)
    called = name.strip()
    if not called or len(called) > LONGEST_NAME or not called.isprintable():
        raise Invalid(_("A view needs a name of at most %(length)s characters on one line."), length=LONGEST_NAME)
    text = search.parse(query).text()
    if len(text) > LONGEST_QUERY:
        raise Invalid(_("The search is too long to be kept."))
    if (order and order not in ORDERS) or (group and group not in BY):
        raise Invalid(_("There is no such sort order or grouping."))
    if SavedView.objects.filter(user=user).exclude(name=called).count() >= MOST:
        raise Invalid(_("Nobody keeps more than %(most)s views. Take one away first."), most=MOST)
    values = {"query": text, "order": order, "group": group, "shared": shared}
    kept, _made = SavedView.objects.update_or_create(
        user=user, name=called, defaults=values, create_defaults={**values, "created_at": at}
    )
    return kept


def forget(*, view: int, user: User, actor: Actor) -> None:
    """The own one, or a shared one for who triages. Raises NotFound."""
    rows = SavedView.objects.filter(pk=view)
    mine = rows.filter(Q(user=user) | Q(shared=True)) if actor.may(Right.TRIAGE) else rows.filter(user=user)
    if not mine.delete()[0]:
        raise NotFound(_("There is no such view of yours."))
