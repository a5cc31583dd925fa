"""What a person chooses for the own use: language, theme, time zone."""

import zoneinfo
from collections.abc import Iterable
from functools import cache

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid
from triage.models import Member, Role, Team, User

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


def teams_of(people: Iterable[User]) -> dict[int, list[Team]]:
    """Person to the teams that they are a member of, known by number or by e-mail address. One statement."""
    asked = list(people)
    by_address = {person.email: person.pk for person in asked}
    rows = Member.objects.annotate(address=Lower("email")).filter(
        Q(user__in=by_address.values()) | Q(address__in=by_address), team__archived_at=None
    )
    found: dict[int, list[Team]] = {}
    for row in rows.select_related("team").order_by("team__name"):
        theirs = found.setdefault(row.user_id or by_address[row.email.casefold()], [])
        if row.team not in theirs:
            theirs.append(row.team)
    return found


@cache
def zones() -> frozenset[str]:
    """Names of time zones that can be chosen."""
    return frozenset(zoneinfo.available_timezones())
