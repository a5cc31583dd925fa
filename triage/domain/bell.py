"""What a person is told within the product: mentions, what was given to them, what they asked for and became of it.

How many are unread stands on the person, so that no page has to count them.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from triage.models import Comment, Notification, User

SHOWN = 100
KEPT_FOR = timedelta(days=180)
Kind = Notification.Kind


def ring(
    users: Iterable[int],
    kind: str,
    *,
    actor: str,
    at: datetime,
    finding: int | None = None,
    exception: int | None = None,
    comment: Comment | None = None,
    about: str = "",
) -> None:
    """Tell these people one thing. As `ring_all`."""
    ring_all(
        Notification(
            user_id=number,
            kind=kind,
            finding_id=finding,
            exception_id=exception,
            comment=comment,
            about=about,
            actor=actor,
            at=at,
        )
        for number in set(users)
    )


def ring_all(notifications: Iterable[Notification]) -> None:
    """Tell them, but nobody of what he did himself, nor whoever may not come in. In the transaction of what they are about.

    What one transaction has to tell is told in one call: people are locked in one order, so that two do not wait for each other.
    """
    wanted = list(notifications)
    people = {user.pk: user for user in _locked(each.user_id for each in wanted) if user.is_active}
    told = [each for each in wanted if each.user_id in people and people[each.user_id].actor != each.actor]
    Notification.objects.bulk_create(told)
    same: dict[int, list[int]] = {}
    for number, count in Counter(each.user_id for each in told).items():
        same.setdefault(count, []).append(number)
    for count, numbers in same.items():
        User.objects.filter(pk__in=numbers).update(unread=F("unread") + count)


def _locked(users: Iterable[int]) -> list[User]:
    return list(User.objects.filter(pk__in=set(users)).order_by("pk").select_for_update(no_key=True))


def told(user: User) -> list[Notification]:
    """The newest of what this person was told."""
    rows = Notification.objects.filter(user=user).select_related("finding__check_ref", "finding__asset", "exception", "comment")
    return list(rows.order_by("-pk")[:SHOWN])


def mentions(user: User, *, limit: int) -> list[Notification]:
    """Where this person was mentioned and has not read it yet, the newest first."""
    rows = Notification.objects.filter(user=user, kind=Kind.MENTION, read_at=None).select_related("finding__check_ref", "comment")
    return list(rows.order_by("-pk")[:limit])


def read(*, user: User, at: datetime, notification: int | None = None) -> None:
    """One of them, or all, are read."""
    rows = Notification.objects.filter(user=user, read_at=None)
    if notification is not None:
        rows = rows.filter(pk=notification)
    with transaction.atomic():
        _locked([user.pk])  # what is told meanwhile is counted after this, not lost
        rows.update(read_at=at)
        _count([user.pk])


def forget(*, at: datetime) -> int:
    """What is old is forgotten, read or not; how many."""
    old = Notification.objects.filter(at__lt=at - KEPT_FOR)
    with transaction.atomic():
        waiting = [user.pk for user in _locked(old.filter(read_at=None).values_list("user", flat=True))]
        gone, _by_model = old.delete()
        _count(waiting)
    return gone


def _count(users: Iterable[int]) -> None:
    unread = Notification.objects.filter(user=OuterRef("pk"), read_at=None).order_by().values("user").annotate(n=Count("pk"))
    User.objects.filter(pk__in=users).update(unread=Coalesce(Subquery(unread.values("n")), 0))
