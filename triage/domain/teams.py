"""Teams as others see them: how old what they carry is, how they keep their deadlines, where they are reached, what is theirs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Sum

from triage.domain import connections
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid
from triage.domain.notifications.recipients import Recipient, Recipients
from triage.domain.search.pages import NOT_SHOWN, ROW
from triage.domain.sla import reporting
from triage.models import TO_FIX, Account, Application, Asset, Connection, Counter, Finding, Presence, Severity, Team

PERIOD = timedelta(days=90)  # of attainment
ACCOUNTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Record:
    """`since`: half of what is to be fixed was first seen before, None for nothing. `met`, `missed`: deadlines of the last PERIOD."""

    since: datetime | None = None
    met: int = 0
    missed: int = 0

    @property
    def percent(self) -> int | None:
        """Of what was decided, what was kept; None when nothing was. 100 only where nothing was missed."""
        total = self.met + self.missed
        return 100 * self.met // total if total else None


def records(*, actor: Actor, at: datetime) -> Mapping[int | None, Record]:
    """By team, None for what nobody owns. Three statements, and one when it is remembered: over a large estate it takes a second."""
    actor.demand(Right.VIEW)
    return reporting.remembered("records", lambda: _counted(actor, at), at=at)


def _counted(actor: Actor, at: datetime) -> dict[int | None, Record]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT team_id, percentile_disc(0.5) WITHIN GROUP (ORDER BY first_seen) FROM triage_finding WHERE is_open GROUP BY 1"
        )
        since: dict[int | None, datetime] = dict(cursor.fetchall())
    met: dict[int | None, int] = defaultdict(int)
    missed: dict[int | None, int] = defaultdict(int)
    for row in reporting.attainment(since=at - PERIOD, until=at, actor=actor, at=at).rows:
        team = row.team.pk if row.team else None
        met[team] += row.met
        missed[team] += row.missed
    return {team: Record(since.get(team), met[team], missed[team]) for team in {*since, *met}}


def severities(team: Team, *, actor: Actor) -> list[tuple[Severity, int]]:
    """What it has to fix, the gravest first."""
    actor.demand(Right.VIEW)
    rows = Counter.objects.exclude(presence=Presence.GONE).filter(team=team.pk, status__in=TO_FIX)
    counted = rows.values_list("severity").annotate(total=Sum("n")).order_by("-severity")
    return [(Severity(level), n) for level, n in counted if n]


def oldest(team: Team, *, actor: Actor, limit: int) -> list[Finding]:
    """What it has had to fix for longest, with what a row of the queue shows."""
    actor.demand(Right.VIEW)
    rows = Finding.objects.filter(is_open=True, team=team).select_related(*ROW).defer(*NOT_SHOWN)
    return list(rows.order_by("first_seen", "pk")[:limit])


@dataclass(frozen=True, slots=True)
class Way:
    """Where its tickets go: a connection, and what distinguishes a team there, such as the project (label, value)."""

    connection: Connection
    label: str
    places: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Contact:
    """`told`: where and when messages for the team arrive. `tickets`: of each ticket system that is switched on."""

    told: Recipient
    tickets: Sequence[Way]


def contact(team: Team, *, actor: Actor) -> Contact:
    """How the team is reached, as configured for it or for everybody."""
    actor.demand(Right.VIEW)
    systems = Connection.objects.filter(kind="tickets").exclude(state=Connection.State.OFF).order_by("pk")
    ways = [way for system in systems if (way := _way(system, team)) is not None]
    return Contact(Recipients().of(f"team:{team.pk}"), ways)


def _way(system: Connection, team: Team) -> Way | None:
    """None for a system whose plugin is not installed any more."""
    try:
        plugin = connections.plugin_of(system)
    except Invalid:
        return None
    given = {**system.options, **system.options.get("teams", {}).get(team.slug, {})}
    places = [
        (setting.label, str(given[setting.name]))
        for setting in plugin.SETTINGS
        if setting.team and not setting.secret and not setting.many and given.get(setting.name)
    ]
    return Way(system, plugin.LABEL, places)


@dataclass(frozen=True, slots=True)
class Holdings:
    """`accounts`: which it owns, at most ACCOUNTS_SHOWN. `applications`: which its assets belong to, with how many do. `assets`: in all."""

    accounts: Sequence[Account]
    applications: Sequence[tuple[Application, int]]
    assets: int


def holdings(team: Team, *, actor: Actor) -> Holdings:
    """What is the team's. Three statements."""
    actor.demand(Right.VIEW)
    counted: dict[int | None, int] = dict(
        Asset.objects.filter(team=team).order_by().values_list("application").annotate(n=Count("pk"))
    )
    applications = Application.objects.in_bulk([pk for pk in counted if pk is not None])
    named = sorted(((applications[pk], counted[pk]) for pk in applications), key=lambda each: -each[1])
    accounts = Account.objects.filter(team=team).order_by("name", "uid")[:ACCOUNTS_SHOWN]
    return Holdings(list(accounts), named, sum(counted.values()))
