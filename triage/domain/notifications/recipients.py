"""Where a team, its lead, security or an administrator is reached, in which language, and when.

A recipient is a word: `team:7`, `lead:7`, `role:security`, `role:admin`, `sink:3` (a connection that is told everything: a webhook,
an incident system). Preferences of the team count, then those of everybody, then these defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

from triage.models import Connection, Member, Preference, Subject, Team

SECURITY, ADMIN = "role:security", "role:admin"
SINKS = ("webhook", "pagerduty")  # plugins that are told by machines, to machines
PEOPLE_FIRST = ("slack", "email")  # the order in which a way to people is chosen where nothing says one


@dataclass(frozen=True, slots=True)
class Recipient:
    """`connection`: None when there is no way to tell. `to`: an address, a channel, '' for the connection's own."""

    name: str
    connection: Connection | None
    to: str = ""
    instead: str = ""
    language: str = "en"
    zone: str = "Europe/Paris"
    subjects: frozenset[str] = frozenset(Subject.values)
    digest_hour: int = 9
    quiet_from: int = 20
    quiet_until: int = 8
    weekends: bool = False
    hourly: int = 5
    team: str = ""  # its name, where the place is not its own

    @property
    def is_sink(self) -> bool:
        return self.name.startswith("sink:")

    def local(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.zone))

    def is_quiet(self, at: datetime) -> bool:
        """Whether people sleep, or have their weekend."""
        if self.is_sink:
            return False
        here = self.local(at)
        if not self.weekends and here.weekday() >= 5:
            return True
        if self.quiet_from == self.quiet_until:
            return False
        if self.quiet_from < self.quiet_until:
            return self.quiet_from <= here.hour < self.quiet_until
        return here.hour >= self.quiet_from or here.hour < self.quiet_until

    def next_digest(self, at: datetime) -> datetime:
        """The first digest after that moment: at its hour of the recipient's day, on working days unless weekends count."""
        day = self.local(at).date()
        while True:
            moment = datetime.combine(day, time(self.digest_hour), ZoneInfo(self.zone)).astimezone(at.tzinfo)
            if moment > at and (self.weekends or day.weekday() < 5):
                return moment
            day += timedelta(days=1)

    def awake(self, at: datetime) -> datetime:
        """That moment, or the end of the quiet hours that it falls into."""
        moment = at
        while self.is_quiet(moment):
            here = self.local(moment)
            day = here.date() + timedelta(days=1 if here.hour >= self.quiet_until else 0)
            moment = datetime.combine(day, time(self.quiet_until), ZoneInfo(self.zone)).astimezone(at.tzinfo)
        return moment


class Recipients:
    """All of them, read once."""

    def __init__(self) -> None:
        ways = Connection.objects.filter(kind="notifiers").exclude(state=Connection.State.OFF).order_by("pk")
        self._ways = list(ways)
        people = [way for way in self._ways if way.plugin not in SINKS]
        self._default = min(people, key=lambda way: (_rank(way.plugin), way.pk), default=None)
        self._mail = next((way for way in people if way.plugin == "email"), None)
        rows = Preference.objects.select_related("connection", "team", "user")
        self._of_team = {row.team_id: row for row in rows if row.team_id is not None}
        self._everybody = next((row for row in rows if row.team_id is None and row.user_id is None), None)
        self._of_user = {row.user.email.casefold(): row for row in rows if row.user is not None}
        self._teams = Team.objects.in_bulk()
        self._leads: dict[int, str] = dict(
            Member.objects.filter(part=Member.Part.LEAD).order_by("team", "-pk").values_list("team", "email")
        )

    def sinks(self) -> list[Recipient]:
        return [Recipient(f"sink:{way.pk}", way) for way in self._ways if way.plugin in SINKS]

    def of(self, name: str) -> Recipient:
        """A recipient by its word. A lead that nobody is, and a team that is nobody's, are security's."""
        kind, _colon, number = name.partition(":")
        if kind == "sink":
            return Recipient(name, next((way for way in self._ways if str(way.pk) == number), None))
        team = self._teams.get(int(number)) if kind in ("team", "lead") and number.isdecimal() else None
        base = self._base(name)
        if team is None:
            return base
        if kind == "lead":
            email = self._leads.get(team.pk, "")
            own = self._of_user.get(email.casefold())
            reached = self._wanting(base, own) if own else base
            to = own.address if own and own.address else email
            return replace(reached, to=to or base.to, instead=base.to, team=team.name)
        own = self._of_team.get(team.pk)
        reached = self._wanting(base, own) if own else base
        address = own.address if own and own.address else team.email
        if not address and reached.connection is not None and reached.connection.plugin == "email":
            address = self._leads.get(team.pk, "")
        return replace(reached, to=address or base.to, instead=base.to, team="" if address else team.name)

    def _base(self, name: str) -> Recipient:
        way = self._default
        known = Recipient(name, way, zone=settings.TIME_ZONE, language=_language(way))
        found = self._wanting(known, self._everybody) if self._everybody else known
        channel = (
            str(found.connection.options.get("channel") or found.connection.options.get("to") or "") if found.connection else ""
        )
        address = self._everybody.address if self._everybody and self._everybody.address else channel
        return replace(found, to=address, instead=channel)

    @staticmethod
    def _wanting(known: Recipient, row: Preference) -> Recipient:
        """With what the row says."""
        said: dict[str, object] = {
            name: value
            for name in ("digest_hour", "quiet_from", "quiet_until", "weekends", "hourly")
            if (value := getattr(row, name)) is not None
        }
        if row.subjects is not None:
            said["subjects"] = frozenset(row.subjects)
        if row.language:
            said["language"] = row.language
        if row.time_zone and _is_zone(row.time_zone):
            said["zone"] = row.time_zone
        if row.connection is not None and row.connection.state != Connection.State.OFF:
            said["connection"] = row.connection
        return replace(known, **said)  # type: ignore[arg-type]


def _rank(plugin: str) -> int:
    return PEOPLE_FIRST.index(plugin) if plugin in PEOPLE_FIRST else len(PEOPLE_FIRST)


def _language(way: Connection | None) -> str:
    return str(way.options.get("language") or "en") if way else "en"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def named_ways() -> Sequence[Connection]:
    """Ways to people, for preferences."""
    return list(Connection.objects.filter(kind="notifiers").exclude(plugin__in=SINKS).order_by("name"))
