"""How the estate stands, for whoever opens the day with it: what presses, how it moves, who carries it, what is broken."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.db.models import Q, QuerySet, Sum

from triage.domain import calendars, connections, search
from triage.domain.access import Actor, Right
from triage.domain.sla import reporting
from triage.models import (
    TO_FIX,
    Alarm,
    CalendarVersion,
    Connection,
    Counter,
    DailyCount,
    ExceptionState,
    Finding,
    OwnerRule,
    Presence,
    RiskException,
    Scan,
    ScanState,
    Severity,
    SlaVersion,
    Status,
    Team,
    Verification,
)

WORKING_DAYS = 5
WEEKS = 12
PERIOD = timedelta(days=30)  # of attainment
ENDING = timedelta(days=30)  # exceptions
COUNTED = 10_000
LATE = 1_000  # deadlines of one team that are counted
Kind = DailyCount.Kind


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and whether there are more than were counted. `query`: what lists them."""

    n: int
    capped: bool
    query: str


@dataclass(frozen=True, slots=True)
class Week:
    """`opened`: new and come back. `closed`: fixed, gone, excepted. `left`: to be fixed at its end."""

    begins: date
    opened: int
    closed: int
    left: int


@dataclass(frozen=True, slots=True)
class Load:
    """What a team has to fix; None is nobody."""

    team: Team | None
    open: int
    grave: int
    overdue: int
    oldest: datetime | None

    @property
    def capped(self) -> bool:
        """Whether more may be overdue than were counted."""
        return self.overdue >= LATE


@dataclass(frozen=True, slots=True)
class Kept:
    severity: Severity
    met: int
    missed: int

    @property
    def percent(self) -> int:
        return round(100 * self.met / (self.met + self.missed))


@dataclass(frozen=True, slots=True)
class Overview:
    overdue: Figure
    due: Figure
    unowned: Figure
    claimed: Figure
    until: datetime
    open: int
    weeks: Sequence[Week]
    kept: Sequence[Kept]
    loads: Sequence[Load]
    regressed: int
    ending: Sequence[RiskException]
    alarms: Sequence[Alarm]


def overview(*, actor: Actor, at: datetime) -> Overview:
    """A fixed number of statements. `at` bears the zone in which its weeks begin. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    running = Finding.objects.filter(is_open=True, paused_at=None)
    until = within_working_days(WORKING_DAYS, at)
    counted = _counters()
    mine = {key: n for key, n in counted.items() if key[2] in TO_FIX}
    open_now = sum(mine.values())
    return Overview(
        overdue=_figure(running.filter(due_at__lt=at), "is:open is:overdue"),
        due=_figure(
            running.filter(due_at__gte=at, due_at__lte=until), f"is:open -is:overdue due<{(until + timedelta(seconds=1)).date()}"
        ),
        unowned=Figure(sum(n for (team, _severity, _status), n in mine.items() if team is None), False, "is:open is:unowned"),
        claimed=Figure(
            sum(n for (_t, _s, status), n in counted.items() if status == Status.FIX_CLAIMED), False, "status:fix_claimed"
        ),
        until=until,
        open=open_now,
        weeks=_weeks(open_now, at),
        kept=_kept(actor, at),
        loads=_loads(mine, at),
        regressed=_regressed(at),
        ending=list(_ending(at)[:5]),
        alarms=list(connections.alarms()[:5]),
    )


def within_working_days(days: int, at: datetime) -> datetime:
    """The end of the day that comes so many working days after today, by the house's calendar; Monday to Friday without one."""
    version = CalendarVersion.objects.order_by("calendar", "-number").first()
    if version is not None:
        try:
            end = calendars.stored(version.pk).end_of_working_day(calendars.micros(at), days)
            return calendars.moment(end).astimezone(at.tzinfo)
        except calendars.BeyondCalendar:
            pass
    day = at
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day.replace(hour=23, minute=59, second=59, microsecond=0)


def _figure(rows: QuerySet[Finding], query: str) -> Figure:
    n, capped = search.counts(rows, COUNTED)
    return Figure(n, capped, query)


def _counters() -> dict[tuple[int | None, int, str], int]:
    rows = Counter.objects.exclude(presence=Presence.GONE).values_list("team", "severity", "status").annotate(total=Sum("n"))
    return {(team, severity, status): total for team, severity, status, total in rows if total}


def _weeks(open_now: int, at: datetime) -> list[Week]:
    """A week is that of `at`'s zone, its days those of UTC, as they are counted."""
    opened: dict[date, int] = defaultdict(int)
    closed: dict[date, int] = defaultdict(int)
    rows = DailyCount.objects.filter(day__gte=first_week(at)).values_list("day", "kind").annotate(total=Sum("n"))
    for day, kind, n in rows:
        (opened if kind in (Kind.OPENED, Kind.REGRESSED) else closed)[week_of(day, at)] += n
    return weeks_back(opened, closed, open_now, at)


def first_week(at: datetime) -> date:
    """The Monday from which weeks are shown."""
    return at.date() - timedelta(days=at.weekday()) - timedelta(weeks=WEEKS - 1)


def week_of(day: date, at: datetime) -> date:
    """The Monday of its week, among those that are shown."""
    return max(min(day - timedelta(days=day.weekday()), at.date() - timedelta(days=at.weekday())), first_week(at))


def weeks_back(opened: Mapping[date, int], closed: Mapping[date, int], open_now: int, at: datetime) -> list[Week]:
    """Backwards from what is open now, by the Mondays of what was opened and closed."""
    weeks: list[Week] = []
    left = open_now
    for number in reversed(range(WEEKS)):
        week = first_week(at) + timedelta(weeks=number)
        came, went = opened.get(week, 0), closed.get(week, 0)
        weeks.append(Week(week, came, went, max(left, 0)))
        left += went - came
    return weeks[::-1]


def _kept(actor: Actor, at: datetime) -> list[Kept]:
    return reporting.remembered("attainment", lambda: _counted(actor, at), at=at)


def _counted(actor: Actor, at: datetime) -> list[Kept]:
    met: dict[Severity, int] = defaultdict(int)
    missed: dict[Severity, int] = defaultdict(int)
    for row in reporting.attainment(since=at - PERIOD, until=at, actor=actor, at=at).rows:
        met[row.severity] += row.met
        missed[row.severity] += row.missed
    return [Kept(level, met[level], missed[level]) for level in sorted(Severity, reverse=True) if met[level] + missed[level]]


def loads(*, actor: Actor, at: datetime) -> list[Load]:
    """What each team has to fix, nobody first. Three statements. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    return _loads({key: n for key, n in _counters().items() if key[2] in TO_FIX}, at)


def _loads(mine: dict[tuple[int | None, int, str], int], at: datetime) -> list[Load]:
    """Nobody first, then by what is overdue."""
    total: dict[int | None, int] = defaultdict(int)
    grave: dict[int | None, int] = defaultdict(int)
    for (team, severity, _status), n in mine.items():
        total[team] += n
        grave[team] += n if severity >= Severity.HIGH else 0
    overdue = _overdue(list(total), at)
    teams = Team.objects.in_bulk([team for team in total if team is not None])
    loads = [
        Load(teams.get(team) if team is not None else None, n, grave[team], *overdue.get(team, (0, None)))
        for team, n in total.items()
        if n
    ]
    return sorted(loads, key=lambda load: (load.team is not None, -load.overdue, -load.grave, -load.open))


def _overdue(teams: list[int | None], at: datetime) -> dict[int | None, tuple[int, datetime]]:
    """By team: how many of its deadlines have passed, counted up to LATE, and since when. One statement, a stretch of an index a team."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.id, o.n, o.oldest FROM unnest(%s::bigint[]) AS t(id) CROSS JOIN LATERAL (SELECT count(*) AS n, min(due_at) AS oldest"
            " FROM (SELECT due_at FROM triage_finding WHERE is_open AND team_id = t.id AND due_at < %s"
            " ORDER BY due_at LIMIT %s) late) o WHERE o.n > 0"
            " UNION ALL SELECT NULL, count(*), min(due_at) FROM (SELECT due_at FROM triage_finding WHERE is_open AND team_id IS NULL"
            " AND due_at < %s ORDER BY due_at LIMIT %s) late HAVING count(*) > 0",
            [[team for team in teams if team is not None], at, LATE, at, LATE],
        )
        return {team: (n, oldest) for team, n, oldest in cursor.fetchall()}


def _regressed(at: datetime) -> int:
    rows = DailyCount.objects.filter(day__gt=(at - timedelta(days=7)).date(), kind=Kind.REGRESSED)
    return rows.aggregate(n=Sum("n"))["n"] or 0


def _ending(at: datetime) -> QuerySet[RiskException]:
    return RiskException.objects.filter(state=ExceptionState.APPROVED, until__lt=at + ENDING).order_by("until")


# --- the first steps ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What a new house has done already."""

    imported: bool
    owned: bool
    policy: bool
    connected: bool
    verified: bool

    @property
    def done(self) -> bool:
        return self.imported and self.owned and self.policy and self.connected and self.verified


def first_steps() -> FirstSteps:
    """Six short statements."""
    return FirstSteps(
        imported=Scan.objects.filter(state=ScanState.DONE).exists(),
        owned=OwnerRule.objects.filter(enabled=True).exists() and Team.objects.filter(archived_at=None).exists(),
        policy=SlaVersion.objects.exists(),
        connected=Connection.objects.filter(Q(kind="tickets") | Q(kind="notifiers")).exclude(plugin="files").exists(),
        verified=Verification.objects.filter(outcome="fixed").exists(),
    )
