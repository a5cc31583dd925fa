"""Time as people have it: opening hours, public holidays and closures, laid out in absolute time.

A calendar is built once, when a version of it is published, from local time, the time zone data and the holidays known then. What
follows is stored (`OpenInterval`, `CalendarDay`) and is what all due dates are computed from, here and in SQL (`domain.sla.sets`).
All moments are whole microseconds since 1970 UTC: arithmetic on local time is what goes wrong when clocks change.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import metadata, resources
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import tzdata
from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain.audit import Recording
from triage.domain.errors import Invalid, TriageError
from triage.models import Calendar, CalendarDay, CalendarVersion, OpenInterval

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MICRO = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000  # µs
# Days that a version covers. A clock that started before is taken to have started with the first; one that would end later is refused.
BEGINNING, YEARS_AHEAD = date(2000, 1, 1), 25
TRANSITIONS_APART = 12  # hours: no zone changes its clock twice within

Hours = Mapping[str, Sequence[Sequence[str]]]
Span = tuple[int, int]


class BeyondCalendar(TriageError):
    """A date would lie after the last day that the calendar covers."""


def micros(moment: datetime) -> int:
    """µs since 1970 UTC."""
    return (moment - EPOCH) // MICRO


def moment(value: int) -> datetime:
    return EPOCH + value * MICRO


@dataclass(frozen=True, slots=True)
class Timeline:
    """A calendar version as sorted lists: its open intervals, and the local days of its zone. All in µs since 1970 UTC."""

    name: str
    opens: Sequence[int]
    closes: Sequence[int]
    before: Sequence[int]
    days: Sequence[int]

    def open_until(self, at: int) -> int:
        """Open µs from the beginning of the calendar until then."""
        index = bisect_right(self.opens, at) - 1
        return self.before[index] + min(at, self.closes[index]) - self.opens[index] if index >= 0 else 0

    def when_open(self, total: int) -> int:
        """The first moment until which it was open for so long. Raises BeyondCalendar."""
        index = bisect_left(self.before, total) - 1
        if index < 0 or (at := self.opens[index] + total - self.before[index]) > self.closes[index]:
            raise self._beyond()
        return at

    def end_of_day(self, start: int, later: int) -> int:
        """The last second of the local day that comes so many days after the day of `start`. Raises BeyondCalendar."""
        index = max(bisect_right(self.days, start), 1) + later
        if index >= len(self.days):
            raise self._beyond()
        return self.days[index] - 1_000_000

    def working_days(self, since: int, until: int) -> int:
        """How many of the local days after that of `since`, up to that of `until`, are ones on which it opens. It may end before."""
        return sum(self._opens_on(day) for day in range(bisect_right(self.days, since), bisect_right(self.days, until)))

    def end_of_working_day(self, start: int, later: int) -> int:
        """The last second of the day that comes so many working days after the day of `start`. Raises BeyondCalendar."""
        for day in range(bisect_right(self.days, start), len(self.days) - 1):
            later -= self._opens_on(day)
            if not later:
                return self.days[day + 1] - 1_000_000
        raise self._beyond()

    def _opens_on(self, day: int) -> bool:
        first = bisect_left(self.opens, self.days[day])
        return first < len(self.opens) and (day + 1 == len(self.days) or self.opens[first] < self.days[day + 1])

    def _beyond(self) -> BeyondCalendar:
        return BeyondCalendar(
            _("Calendar %(calendar)s ends on %(day)s; a date after it cannot be computed. Publish it again to prolong it."),
            calendar=self.name, day=moment(self.days[-1]).date().isoformat(),
        )  # fmt: skip


def timeline(name: str, intervals: Sequence[Span], days: Sequence[int]) -> Timeline:
    """`intervals`: sorted and apart from each other."""
    lengths = (closes - opens for opens, closes in intervals)
    before = list(accumulate(lengths, initial=0))
    return Timeline(name, [opens for opens, _c in intervals], [closes for _o, closes in intervals], before[:-1], days)


# --- building ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """What a calendar says, before it is laid out. `closures`: (first day, last day, name)."""

    slug: str
    name: str = ""
    time_zone: str = "Europe/Paris"
    hours: Hours = field(default_factory=dict)
    country: str = ""
    subdivision: str = ""
    closures: tuple[tuple[date, date, str], ...] = ()


def check(draft: Draft) -> None:
    """Raises Invalid for a time zone, hours, a country or closures that cannot be."""
    zone(draft.time_zone)
    for day, windows in draft.hours.items():
        if day not in WEEK:
            raise Invalid(_("“%(day)s” is not a day of the week. Write mon, tue, wed, thu, fri, sat or sun."), day=day)
        for window in windows:
            minutes_of(window)
    if not any(draft.hours.values()):
        raise Invalid(_("The calendar %(calendar)s is never open."), calendar=draft.slug)
    public_holidays(draft.country, draft.subdivision, years=(2026,))
    for first, last, name in draft.closures:
        if last < first:
            raise Invalid(_("The closure “%(name)s” ends on %(last)s, before it begins."), name=name, last=last.isoformat())


def minutes_of(window: Sequence[str]) -> tuple[int, int]:
    """Opening and closing of a window in minutes after midnight; it ends on the next day when it closes before it opens."""
    try:
        opens, closes = (_minute(text) for text in window)
    except (ValueError, TypeError):
        raise Invalid(
            _("“%(window)s” are not opening hours. Write them as 09:00-18:00."), window="-".join(map(str, window))
        ) from None
    if closes <= opens:
        closes += 1440
    return opens, closes


def _minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    if not (colon and len(hour) == 2 and len(minute) == 2 and text.replace(":", "").isdecimal()):
        raise ValueError
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > 1440:
        raise ValueError
    return found


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """A time zone by the data that is installed with us, whatever the machine has. Raises Invalid."""
    parts = name.split("/")
    try:
        if not all(part and part.replace("_", "").replace("-", "").replace("+", "").isalnum() for part in parts):
            raise FileNotFoundError(name)
        with resources.files("tzdata").joinpath("zoneinfo", *parts).open("rb") as data:
            return ZoneInfo.from_file(data, key=name)
    except (OSError, ValueError):
        raise Invalid(_("There is no time zone “%(zone)s”. Write it as Europe/Paris."), zone=name[:60]) from None


def public_holidays(country: str, subdivision: str, *, years: Iterable[int]) -> list[tuple[date, str]]:
    """Public holidays by `holidays` (PyPI), sorted. Raises Invalid for a country or subdivision that it does not know."""
    if not country:
        return []
    import holidays  # noqa: PLC0415 - takes 0.2 s, and only who publishes a calendar needs it

    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise Invalid(
            _("No public holidays are known of country “%(country)s”. Write its ISO 3166 code, such as FR."), country=country
        )
    if subdivision and subdivision not in known[country]:
        raise Invalid(
            _("Country %(country)s has no subdivision “%(subdivision)s”. It may be: %(known)s."),
            country=country, subdivision=subdivision, known=", ".join(known[country]),
        )  # fmt: skip
    days = holidays.country_holidays(country, subdiv=subdivision or None, years=years, language=_language(country))
    return sorted((day, name) for day, name in days.items())


def _language(country: str) -> str | None:
    """The country's own, so that the names do not depend on who publishes the calendar."""
    import holidays  # noqa: PLC0415

    languages = holidays.list_localized_countries(include_aliases=False).get(country, [])
    own: str | None = holidays.country_holidays(country).default_language
    return own if own in languages else None


def library_version(draft: Draft) -> str:
    """Of the package that knows the holidays; '' where none was asked."""
    return metadata.version("holidays") if draft.country else ""


def tz_version() -> str:
    """Of the time zone data: 2026a."""
    return str(tzdata.IANA_VERSION)


def closed_days(draft: Draft, holidays: Iterable[tuple[date, str]]) -> set[int]:
    """Ordinals of the local days on which the calendar is closed whatever its hours."""
    days = {day.toordinal() for day, _name in holidays}
    for first, last, _name in draft.closures:
        days.update(range(first.toordinal(), min(last, date(first.year + 50, 1, 1)).toordinal() + 1))
    return days


def lay_out(draft: Draft, closed: set[int], *, first: date, last: date) -> tuple[list[Span], list[int]]:
    """Open intervals and local days from `first` until the end of `last`, in µs since 1970 UTC.

    A minute is open when its local time lies in a window of its local day, or in one of the day before that runs past midnight,
    and its local day is not closed. Each stretch of time with one offset to UTC is laid out by itself, so that an hour that comes
    twice is open twice, and one that is left out is not open at all.
    """
    days: list[int] = []
    intervals: list[Span] = []
    walls = list(_walls(draft, closed, first, last))
    index = 0
    for begin, end, offset in _stretches(zone(draft.time_zone), first, last):
        days.extend(_midnights(begin, end, offset))
        # An hour that comes twice belongs to two stretches: step back to what the one before has passed already.
        while index and walls[index - 1][1] > begin + offset:
            index -= 1
        while index < len(walls) and walls[index][1] <= begin + offset:
            index += 1
        while index < len(walls) and walls[index][0] < end + offset:
            opens, closes = walls[index]
            _join(intervals, (max(opens, begin + offset) - offset, min(closes, end + offset) - offset))
            index += 1
    return intervals, _distinct_days(days, first, last, zone(draft.time_zone))


def _walls(draft: Draft, closed: set[int], first: date, last: date) -> Iterator[Span]:
    """Open windows in local time, as µs since 1970 as if it were UTC: sorted, apart, without closed days."""
    week = [[minutes_of(window) for window in draft.hours.get(day, ())] for day in WEEK]
    origin = date(1970, 1, 1).toordinal()
    carried: list[tuple[int, int]] = []
    joined: list[Span] = []
    for ordinal in range(first.toordinal() - 1, last.toordinal() + 1):
        windows = [*carried, *week[(ordinal - 1) % 7]]
        carried = [(0, closes - 1440) for _opens, closes in windows if closes > 1440]
        if ordinal in closed or ordinal < first.toordinal():
            continue
        start = (ordinal - origin) * DAY
        for opens, closes in sorted(windows):
            _join(joined, (start + opens * MINUTE, start + min(closes, 1440) * MINUTE))
    yield from joined


def _join(intervals: list[Span], added: Span) -> None:
    """Add an interval that begins no earlier than the last one; what touches becomes one."""
    opens, closes = added
    if opens >= closes:
        return
    if intervals and opens <= intervals[-1][1]:
        intervals[-1] = (intervals[-1][0], max(intervals[-1][1], closes))
    else:
        intervals.append(added)


def _stretches(where: ZoneInfo, first: date, last: date) -> Iterator[tuple[int, int, int]]:
    """(begin, end, offset) of the time in which the zone keeps one offset to UTC, all in µs."""
    begin = micros(datetime(first.year, first.month, first.day, tzinfo=UTC)) - 2 * DAY
    end = micros(datetime(last.year, last.month, last.day, tzinfo=UTC)) + 3 * DAY
    step = TRANSITIONS_APART * HOUR
    offset, since = _offset(where, begin), begin
    for at in range(begin + step, end + step, step):
        now = _offset(where, at)
        if now != offset:
            low, high = at - step, at
            while high - low > 1_000_000:
                middle = (low + high) // 2_000_000 * 1_000_000
                low, high = (middle, high) if _offset(where, middle) == offset else (low, middle)
            yield since, high, offset
            since, offset = high, now
    yield since, end + step, offset


def _offset(where: ZoneInfo, at: int) -> int:
    found = moment(at).astimezone(where).utcoffset()
    return found // MICRO if found is not None else 0


def _midnights(begin: int, end: int, offset: int) -> Iterator[int]:
    """When local midnights come within a stretch."""
    yield from range(-(-(begin + offset) // DAY) * DAY - offset, end, DAY)


def _distinct_days(midnights: list[int], first: date, last: date, where: ZoneInfo) -> list[int]:
    """When each local day from `first` to `last` starts, and the day after the last. A midnight may come twice, or not at all."""
    starts: dict[date, int] = {}
    for at in midnights:
        starts.setdefault(moment(at).astimezone(where).date(), at)
    begun, days = min(starts), (max(starts) - min(starts)).days
    if len(starts) <= days:  # clocks go forward at midnight: the day starts at one
        for day in {begun + timedelta(days=n) for n in range(days)} - starts.keys():
            if (found := _first_moment(day, starts, where)) is not None:
                starts[day] = found
    return [at for day, at in sorted(starts.items()) if first <= day <= last + timedelta(days=1)]


def _first_moment(day: date, starts: Mapping[date, int], where: ZoneInfo) -> int | None:
    """The first moment of a day without a midnight; None for a day that the zone left out."""
    low = starts.get(day - timedelta(days=1))
    if low is None:
        return None
    high = low + 2 * DAY
    while high - low > 1_000_000:
        middle = (low + high) // 2_000_000 * 1_000_000
        low, high = (middle, high) if moment(middle).astimezone(where).date() < day else (low, middle)
    return high if moment(high).astimezone(where).date() == day else None


# --- publishing -------------------------------------------------------------------------------------------------------------------


def publish(draft: Draft, *, log: Recording, at: datetime, reason: str = "") -> CalendarVersion:
    """A new version of the calendar, laid out from the data that is installed now. Raises Invalid. Inside the recording.

    Policies go on with the version that they were published with (`sla.policies.follow` publishes them again).
    """
    check(draft)
    calendar, _new = Calendar.objects.update_or_create(slug=draft.slug, defaults={"name": draft.name or draft.slug})
    first, last = BEGINNING, date(at.year + YEARS_AHEAD, 12, 31)
    holidays = public_holidays(draft.country, draft.subdivision, years=range(first.year, last.year + 1))
    told = {**plain(draft), "tzdata": tz_version(), "library": library_version(draft)}
    version = CalendarVersion.objects.create(
        calendar=calendar, number=calendar.versions.count() + 1, published_at=at, actor=log.actor, reason=reason[:500],
        time_zone=draft.time_zone, hours=told["hours"], country=draft.country, subdivision=draft.subdivision,
        closures=told["closures"], holidays=[[day.isoformat(), name] for day, name in holidays],
        tzdata=told["tzdata"], library=told["library"], first=first, last=last,
    )  # fmt: skip
    intervals, days = lay_out(draft, closed_days(draft, holidays), first=first, last=last)
    _store(version.pk, timeline(str(calendar), intervals, days))
    log.tell("calendar", calendar.pk, "published", after={**told, "version": version.number}, reason=reason)
    return version


def _store(version: int, laid: Timeline) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY triage_openinterval (version_id, opens, closes, before) FROM STDIN") as copy:
            for row in zip(laid.opens, laid.closes, laid.before, strict=True):
                copy.write_row((version, *row))
        with cursor.copy("COPY triage_calendarday (version_id, number, starts) FROM STDIN") as copy:
            for number, starts in enumerate(laid.days):
                copy.write_row((version, number, starts))


def plain(draft: Draft) -> dict[str, Any]:
    """The draft as JSON holds it."""
    return {
        "name": draft.name,
        "time_zone": draft.time_zone,
        "hours": {day: [list(window) for window in draft.hours[day]] for day in WEEK if draft.hours.get(day)},
        "country": draft.country,
        "subdivision": draft.subdivision,
        "closures": [[first.isoformat(), last.isoformat(), name] for first, last, name in draft.closures],
    }


def drafted(version: CalendarVersion) -> Draft:
    """What was published, to be changed and published again."""
    return Draft(
        version.calendar.slug, version.calendar.name, version.time_zone, version.hours, version.country, version.subdivision,
        tuple((date.fromisoformat(first), date.fromisoformat(last), name) for first, last, name in version.closures),
    )  # fmt: skip


def in_force(slug: str) -> CalendarVersion | None:
    """The newest version of the calendar."""
    return CalendarVersion.objects.filter(calendar__slug=slug).select_related("calendar").order_by("-number").first()


@lru_cache(maxsize=32)
def _stored(version: int) -> Timeline:
    """Versions never change, so they are read once a process."""
    name = str(CalendarVersion.objects.select_related("calendar").get(pk=version).calendar)
    spans = list(OpenInterval.objects.filter(version=version).order_by("opens").values_list("opens", "closes"))
    return timeline(
        name, spans, list(CalendarDay.objects.filter(version=version).order_by("number").values_list("starts", flat=True))
    )


def stored(version: int) -> Timeline:
    """The timeline of a published version, by its number in the database."""
    return _stored(version)


def closures_of(ics: bytes) -> list[tuple[date, date, str]]:
    """The all-day events of an iCalendar file (RFC 5545), as closures. Raises Invalid for what is no such file, or repeats."""
    from icalendar import Calendar as Ics  # noqa: PLC0415 - slow to import

    try:
        events = list(Ics.from_ical(ics).walk("VEVENT"))
    except ValueError as error:
        raise Invalid(_("This is not an iCalendar file: %(problem)s."), problem=str(error)[:200]) from None
    closures = []
    for event in events:
        name = str(event.get("SUMMARY", ""))[:200]
        if "RRULE" in event:
            raise Invalid(_("The event “%(name)s” repeats. Write each of its days as an event of its own."), name=name)
        start = event.decoded("DTSTART", None)
        if not isinstance(start, date):
            raise Invalid(_("The event “%(name)s” has no beginning."), name=name)
        if isinstance(start, datetime):
            raise Invalid(_("The event “%(name)s” has a time of day. A closure is of whole days."), name=name)
        end = event.decoded("DTEND", None) or start + event.decoded("DURATION", timedelta(days=1))
        # The end of an all-day event is the day after it.
        closures.append((start, max(start, end - timedelta(days=1)), name))
    return sorted(closures)
