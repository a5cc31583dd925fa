"""What a person chooses for the own use: language, theme, time zone."""

import zoneinfo
from functools import cache

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid
from triage.models import Member, Role, User

MANY = 100
LANGUAGES = ("fr", "en")
THEMES = ("light", "dark")


def prefer(*, user: User | None, language: str | None = None, theme: str | None = None, time_zone: str | None = None) -> None:
    """Keep the choices on the person; None leaves one as it is, "" goes back to the browser's or the system's.

    Without a person the choices are only checked (the door keeps them in cookies). Raises Invalid for one that does not exist.
    """
    chosen = {
        name: value for name, value in (("language", language), ("theme", theme), ("time_zone", time_zone)) if value is not None
    }
    known = {"language": LANGUAGES, "theme": THEMES, "time_zone": zones()}
    for name, value in chosen.items():
        if value and value not in known[name]:
            raise Invalid(_("“%(value)s” cannot be chosen here."), value=value)
    if user is not None and chosen:
        User.objects.filter(pk=user.pk).update(**chosen)


def colleagues(team: int | None) -> list[User]:
    """Who can be given what belongs to this team: its members and contributors; of nobody's, those who triage. By name."""
    if team is None:
        rows = User.objects.filter(grants__role=Role.TRIAGER)
    else:
        addresses = Member.objects.filter(team=team).annotate(address=Lower("email")).values("address")
        rows = User.objects.filter(Q(grants__team=team) | Q(memberships__team=team) | Q(email__in=addresses))
    return list(rows.filter(is_active=True).distinct().order_by("name", "email")[:MANY])


@cache
def zones() -> frozenset[str]:
    """Names of time zones that can be chosen."""
    return frozenset(zoneinfo.available_timezones())
