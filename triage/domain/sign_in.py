"""Coming in: by password, or by a link that works once. Each way in, and each failure, is an audit event.

An address is not kept in the trail, which nothing can be erased from, but a keyed hash of it: enough to count its attempts.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from triage.domain.audit import recording
from triage.domain.errors import Invalid, TriageError
from triage.models import Event, SignInLink, User

WINDOW = timedelta(minutes=15)
FAILURES_OF_AN_ADDRESS = 10
FAILURES_OF_A_PERSON = 30

DOOR = "page"


class TooManyAttempts(TriageError):
    """Nothing is tried before the window is over."""


def password(*, email: str, password: str, address: str, at: datetime) -> User:
    """Who has this e-mail address and this password.

    Raises Invalid without saying which of the two was wrong, TooManyAttempts after FAILURES_OF_AN_ADDRESS failures in WINDOW.
    """
    place = _place(address)
    with transaction.atomic():
        with connection.cursor() as cursor:  # attempts of one address queue up: none of them passes the count unseen
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [place])
        user = User.objects.filter(email=email.replace("\0", "").strip().casefold(), is_active=True).first()
        _count("address", place, limit=FAILURES_OF_AN_ADDRESS, at=at)
        if user:
            _count("user", user.pk, limit=FAILURES_OF_A_PERSON, at=at)
        # A nobody's password is hashed all the same: the time to answer says nothing about who exists.
        if (user or User()).check_password(password) and user:
            _came_in(user, by="password", at=at)
            return user
        _failed(user, place, at=at)
    raise Invalid(_("This e-mail address and password do not belong together."))


def issue_link(*, user: User, at: datetime, hours: int = 24, actor: str = "worker", door: str = "cli") -> str:
    """The token of a link that signs the person in once, within so many hours. Only its SHA-256 is kept."""
    token = secrets.token_urlsafe(32)
    with recording(actor=actor, at=at, door=door) as log:
        SignInLink.objects.create(user=user, sha256=_digest(token), created_at=at, expires_at=at + timedelta(hours=hours))
        log.tell("user", user.pk, "sign-in link issued", after={"hours": hours})
    return token


def link_holds(*, token: str, at: datetime) -> bool:
    """Whether the link would work. Looking does not use it: mail scanners open links too."""
    return SignInLink.objects.filter(sha256=_digest(token), used_at=None, expires_at__gt=at, user__is_active=True).exists()


def use_link(*, token: str, at: datetime) -> User:
    """Who the link is for; it works no more. Raises Invalid when it is unknown, used or too old."""
    with transaction.atomic():
        used = SignInLink.objects.filter(sha256=_digest(token), used_at=None, expires_at__gt=at, user__is_active=True).update(
            used_at=at
        )
        if used:
            user = SignInLink.objects.select_related("user").get(sha256=_digest(token)).user
            _came_in(user, by="link", at=at)
            return user
    raise Invalid(_("This link was used already or is too old. Ask for a new one."))


def leave(*, user: User, at: datetime) -> None:
    """The person signs out."""
    with recording(actor=user.actor, at=at, door=DOOR) as log:
        log.tell("user", user.pk, "signed out")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _place(address: str) -> int:
    """63 bits of a keyed hash: a subject number that only this installation can compute."""
    keyed = hmac.digest(settings.SECRET_KEY.encode(), b"address " + address.encode(), "sha256")
    return int.from_bytes(keyed[:8], "big") >> 1


def _count(subject: str, number: int, *, limit: int, at: datetime) -> None:
    failures = Event.objects.filter(
        subject=subject, subject_id=number, seq=None, kind="sign-in failed", at__gt=at - WINDOW
    ).count()
    if failures >= limit:
        raise TooManyAttempts(_("Too many attempts. Wait %(minutes)s minutes and try again."), minutes=WINDOW.seconds // 60)


def _came_in(user: User, *, by: str, at: datetime) -> None:
    with recording(actor=user.actor, at=at, door=DOOR) as log:
        log.tell("user", user.pk, "signed in", after={"by": by})


def _failed(user: User | None, place: int, *, at: datetime) -> None:
    with recording(actor="nobody", at=at, door=DOOR) as log:
        log.tell("address", place, "sign-in failed")
        if user:
            log.tell("user", user.pk, "sign-in failed", after={"address": place})
