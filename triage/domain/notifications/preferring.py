"""How a team, and everybody else, wants to be told."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Count, Q
from django.utils.translation import gettext_noop as _

from triage.domain import connections
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed
from triage.domain.notifications.recipients import SINKS, Recipient, Recipients
from triage.models import Preference, Subject, Team, Told, User

FIELDS = ("digest_hour", "quiet_from", "quiet_until", "weekends", "hourly")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted; None and '' leave it to everybody's wish, and in the end to the defaults. `connection`: a name."""

    connection: str = ""
    address: str = ""
    subjects: tuple[str, ...] | None = None
    language: str = ""
    time_zone: str = ""
    digest_hour: int | None = None
    quiet_from: int | None = None
    quiet_until: int | None = None
    weekends: bool | None = None
    hourly: int | None = None


def wish_of(team: Team | None, user: User | None = None) -> Wish:
    """What is stored for a team, a person, or with neither for everybody."""
    row = Preference.objects.filter(team=team, user=user).select_related("connection").first()
    if row is None:
        return Wish()
    return Wish(
        row.connection.name if row.connection else "", row.address, tuple(row.subjects) if row.subjects is not None else None,
        row.language, row.time_zone, *(getattr(row, name) for name in FIELDS),
    )  # fmt: skip


def put(*, team: Team | None, wish: Wish, actor: Actor, at: datetime, user: User | None = None) -> None:
    """For a team whoever may claim its findings may say it, for oneself anybody who may come in, for everybody an administrator.

    What a person says counts where that person is told as a team's lead. Raises NotAllowed, Invalid.
    """
    if user is not None:
        if actor.user != user.pk:
            raise NotAllowed(_("Everybody says this for themselves."))
        actor.demand(Right.VIEW)
    elif team is None:
        actor.demand(Right.ADMINISTER)
    else:
        actor.demand(Right.CLAIM, team=team.pk)
    _check(wish)
    way = connections.named(wish.connection) if wish.connection else None
    if way is not None and (way.kind != "notifiers" or way.plugin in SINKS):
        raise Invalid(_("“%(name)s” leads to no people."), name=wish.connection)
    before = wish_of(team, user)
    if before == wish:
        return
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        values = {name: getattr(wish, name) for name in (*FIELDS, "address", "language", "time_zone")}
        values |= {"connection": way, "subjects": list(wish.subjects) if wish.subjects is not None else None}
        Preference.objects.update_or_create(team=team, user=user, defaults=values)
        subject, number = ("user", user.pk) if user else ("team", team.pk if team else 0)
        log.tell(subject, number, "told otherwise", before=asdict(before), after=asdict(wish))


def _check(wish: Wish) -> None:
    for name in ("digest_hour", "quiet_from", "quiet_until"):
        hour = getattr(wish, name)
        if hour is not None and not 0 <= hour <= 23:
            raise Invalid(_("An hour is between 0 and 23."))
    if wish.hourly is not None and not 1 <= wish.hourly <= 60:
        raise Invalid(_("Between 1 and 60 messages an hour."))
    unknown = set(wish.subjects or ()) - set(Subject.values)
    if unknown:
        raise Invalid(_("“%(word)s” is none of: %(words)s."), word=min(unknown)[:40], words=", ".join(Subject.values))
    if wish.time_zone:
        try:
            ZoneInfo(wish.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Invalid(_("There is no time zone “%(zone)s”."), zone=wish.time_zone[:60]) from None


def reached() -> list[tuple[Team | None, Recipient]]:
    """Everybody, then each team, with where they are reached and how."""
    known = Recipients()
    teams = Team.objects.filter(archived_at=None)
    return [(None, known.of("role:security")), *((team, known.of(f"team:{team.pk}")) for team in teams)]


def lately(*, at: datetime, days: int = 7) -> Mapping[str, Sequence[tuple[str, str, int, int]]]:
    """What each recipient was told in these days, or was not: (subject, state, things, messages), by recipient."""
    told = Told.objects.filter(at__gt=at - timedelta(days=days)).values("recipient", "subject", "state")
    sent = Count("message", filter=~Q(message=""), distinct=True)
    rows = told.annotate(things=Count("pk"), messages=sent).order_by("recipient", "subject", "state")
    found: dict[str, list[tuple[str, str, int, int]]] = defaultdict(list)
    for row in rows:
        subject, state = str(Subject(row["subject"]).label), str(Told.State(row["state"]).label)
        found[row["recipient"]].append((subject, state, row["things"], row["messages"]))
    return found
