"""What a person is told within the product: mentions, what was given to them, what they asked for and became of it.

How many are unread stands on the person, so that no page has to count them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F

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
    """Tell these people, but not the one who did it, nor whoever may not come in. In the transaction of what it is about."""
    wanted = User.objects.filter(pk__in=set(users), is_active=True).order_by("pk")
    told = [user.pk for user in wanted if user.actor != actor]
    if not told:
        return
    Notification.objects.bulk_create(
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
        for number in told
    )
    User.objects.filter(pk__in=told).update(unread=F("unread") + 1)


def told(user: User) -> list[Notification]:
    """The newest of what this person was told."""
    rows = Notification.objects.filter(user=user).select_related("finding__check_ref", "finding__asset", "exception", "comment")
    return list(rows.order_by("-pk")[:SHOWN])


def read(*, user: User, at: datetime, notification: int | None = None) -> None:
    """One of them, or all, are read."""
    rows = Notification.objects.filter(user=user, read_at=None)
    if notification is not None:
        rows = rows.filter(pk=notification)
    rows.update(read_at=at)
    User.objects.filter(pk=user.pk).update(unread=Notification.objects.filter(user=user, read_at=None).count())


def forget(*, at: datetime) -> int:
    """What is old is forgotten; how many."""
    gone, _by_model = Notification.objects.filter(at__lt=at - KEPT_FOR).delete()
    return gone
