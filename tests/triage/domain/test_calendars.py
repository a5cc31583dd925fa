"""Calendars against a walk from minute to minute, in zones that do everything that zones do."""

import itertools
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import AT
from triage.domain.audit import recording
from triage.domain.calendars import (
    DAY,
    MINUTE,
    WEEK,
    BeyondCalendar,
    Draft,
    check,
    closures_of,
    drafted,
    in_force,
    lay_out,
    micros,
    minutes_of,
    moment,
    public_holidays,
    publish,
    stored,
    timeline,
    tz_version,
    zone,
)
from triage.domain.errors import Invalid

ZONES = (
    "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca",
    "America/Havana", "Asia/Beirut", "Indian/Reunion", "Asia/Kathmandu",
)  # fmt: skip
WINDOWS = (
    ("09:00", "18:00"), ("09:00", "12:30"), ("22:00", "06:00"), ("00:00", "24:00"), ("01:30", "02:15"), ("23:30", "00:30"),
    ("02:00", "02:30"), ("14:00", "14:00"),
)  # fmt: skip
OFFICE = {day: [("09:00", "18:00")] for day in WEEK[:5]}
YEARS = (2010, 2011, 2018, 2024, 2026)


def walked(draft: Draft, closed: set[int], since: int, until: int) -> int:
    """Open µs between two whole minutes, by asking each minute what its local time is."""
    where = zone(draft.time_zone)
    week = [[minutes_of(window) for window in draft.hours.get(day, ())] for day in WEEK]
    found = 0
    for at in range(since, until, MINUTE):
        local = moment(at).astimezone(where)
        ordinal, minute = local.toordinal(), local.hour * 60 + local.minute
        today = any(opens <= minute < closes for opens, closes in week[(ordinal - 1) % 7])
        carried = any(opens <= minute + 1440 < closes for opens, closes in week[(ordinal - 2) % 7])
        found += MINUTE * ((today or carried) and ordinal not in closed)
    return found


hours = st.dictionaries(st.sampled_from(WEEK), st.lists(st.sampled_from(WINDOWS), max_size=2), min_size=1).filter(
    lambda week: any(week.values())
)


@settings(max_examples=40, deadline=None)
@given(zone_name=st.sampled_from(ZONES), week=hours, year=st.sampled_from(YEARS), chance=st.randoms(use_true_random=False))
def test_open_time_is_what_a_walk_from_minute_to_minute_finds(zone_name, week, year, chance: random.Random):
    draft = Draft("x", time_zone=zone_name, hours=week)
    closed = {date(year, chance.randint(1, 12), chance.randint(1, 28)).toordinal() for _ in range(20)}
    laid = timeline("x", *lay_out(draft, closed, first=date(year - 1, 12, 1), last=date(year + 1, 3, 1)))
    # A few days around a change of clocks, and a few anywhere.
    starts = [
        datetime(year, month, day, tzinfo=UTC) for month, day in ((3, 7), (3, 29), (4, 4), (10, 3), (10, 25), (11, 1), (12, 29))
    ]
    since = micros(chance.choice(starts)) + chance.randint(0, 2880) * MINUTE
    until = since + chance.randint(0, 5 * 1440) * MINUTE

    assert laid.open_until(until) - laid.open_until(since) == walked(draft, closed, since, until)

    # And back again: the first moment at which so much time has passed.
    amount = chance.randint(1, 3000) * MINUTE
    if laid.open_until(laid.closes[-1]) < laid.open_until(since) + amount:
        return
    due = laid.when_open(laid.open_until(since) + amount)
    assert laid.open_until(due) - laid.open_until(since) == amount
    assert laid.open_until(due - 1) < laid.open_until(due)


@pytest.mark.parametrize("zone_name", ZONES)
def test_days_are_the_local_ones_without_gap_or_repetition(zone_name):
    draft = Draft("x", time_zone=zone_name, hours=OFFICE)
    _intervals, days = lay_out(draft, set(), first=date(2005, 1, 1), last=date(2027, 12, 31))
    where = zone(zone_name)
    local = [moment(at).astimezone(where) for at in days]
    assert [at.date() for at in local] == sorted({at.date() for at in local})
    for at in days:
        assert moment(at - 1_000_000).astimezone(where).date() < moment(at).astimezone(where).date()
    left_out = {date(2011, 12, 30)} if zone_name == "Pacific/Apia" else set()
    expected = {date(2005, 1, 1) + timedelta(days=n) for n in range((date(2028, 1, 1) - date(2005, 1, 1)).days + 1)} - left_out
    assert {at.date() for at in local} == expected


def test_the_day_whose_clocks_change_has_its_own_length():
    draft = Draft("x", time_zone="Europe/Paris", hours={key: [("00:00", "24:00")] for key in WEEK})
    intervals, days = lay_out(draft, set(), first=date(2026, 1, 1), last=date(2026, 12, 31))
    assert len(intervals) == 1
    lengths = {moment(at).date(): (after - at) // 3_600_000_000 for at, after in itertools.pairwise(days)}
    assert lengths[date(2026, 3, 28)] == 23  # the 29th of March, which begins at 23:00 UTC of the 28th
    assert lengths[date(2026, 10, 24)] == 25


def test_a_leap_day_is_a_day():
    draft = Draft("x", time_zone="Europe/Paris", hours=OFFICE)
    laid = timeline("x", *lay_out(draft, set(), first=date(2024, 1, 1), last=date(2024, 12, 31)))
    start = micros(datetime(2024, 2, 28, 12, tzinfo=UTC))
    assert moment(laid.end_of_day(start, 1)) == datetime(2024, 2, 29, 22, 59, 59, tzinfo=UTC)
    assert moment(laid.end_of_day(start, 2)) == datetime(2024, 3, 1, 22, 59, 59, tzinfo=UTC)


def test_working_days_are_those_on_which_it_opens():
    draft = Draft("fr", time_zone="Europe/Paris", hours=OFFICE)
    christmas = {date(2026, 12, 25).toordinal()}
    laid = timeline("fr", *lay_out(draft, christmas, first=date(2026, 1, 1), last=date(2026, 12, 31)))

    def left(since, until):
        return laid.working_days(micros(since), micros(until))

    wednesday = datetime(2026, 12, 23, 20, tzinfo=UTC)
    assert left(wednesday, datetime(2026, 12, 23, 22, 59, tzinfo=UTC)) == 0  # the same day in Paris
    assert left(wednesday, datetime(2026, 12, 23, 23, 1, tzinfo=UTC)) == 1  # already Thursday there
    assert left(wednesday, datetime(2026, 12, 27, 12, tzinfo=UTC)) == 1  # Christmas, Saturday and Sunday are none
    assert left(wednesday, datetime(2026, 12, 28, 5, tzinfo=UTC)) == 2
    assert moment(laid.end_of_working_day(micros(wednesday), 2)) == datetime(2026, 12, 28, 22, 59, 59, tzinfo=UTC)
    with pytest.raises(BeyondCalendar):
        laid.end_of_working_day(micros(wednesday), 6)


def test_beyond_the_last_day_there_is_no_date():
    draft = Draft("fr", time_zone="Europe/Paris", hours=OFFICE)
    laid = timeline("fr", *lay_out(draft, set(), first=date(2026, 1, 1), last=date(2026, 1, 31)))
    start = micros(datetime(2026, 1, 20, 12, tzinfo=UTC))
    with pytest.raises(BeyondCalendar, match="fr ends on"):
        laid.when_open(laid.open_until(start) + 30 * DAY)
    with pytest.raises(BeyondCalendar):
        laid.end_of_day(start, 12)
    assert moment(laid.end_of_day(start, 11)) == datetime(2026, 1, 31, 22, 59, 59, tzinfo=UTC)


def test_french_holidays_differ_in_alsace_and_overseas():
    france = {day for day, _name in public_holidays("FR", "", years=(2026,))}
    moselle = {day for day, _name in public_holidays("FR", "57", years=(2026,))}
    reunion = {day for day, _name in public_holidays("FR", "974", years=(2026,))}
    assert len(france) == 11
    assert moselle - france == {date(2026, 4, 3), date(2026, 12, 26)}
    assert reunion - france == {date(2026, 12, 20)}
    assert dict(public_holidays("FR", "", years=(2026,)))[date(2026, 7, 14)] == "Fête nationale"


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (Draft("x", time_zone="Europe/Pariss", hours=OFFICE), "There is no time zone “Europe/Pariss”"),
        (Draft("x", time_zone="../../etc/passwd", hours=OFFICE), "There is no time zone"),
        (Draft("x", hours={"monday": [("09:00", "18:00")]}), "“monday” is not a day of the week"),
        (Draft("x", hours={"mon": [("9", "18")]}), "“9-18” are not opening hours"),
        (Draft("x", hours={"mon": [("09:00", "24:30")]}), "are not opening hours"),
        (Draft("x", hours={"mon": []}), "is never open"),
        (Draft("x", hours=OFFICE, country="XX"), "No public holidays are known of country “XX”"),
        (Draft("x", hours=OFFICE, country="FR", subdivision="XX"), "no subdivision “XX”. It may be: "),
        (Draft("x", hours=OFFICE, closures=((date(2026, 8, 20), date(2026, 8, 1), "été"),)), "“été” ends on 2026-08-01"),
    ],
)
def test_what_cannot_be_is_said(draft, message):
    with pytest.raises(Invalid, match=message.replace("(", "\\(")):
        check(draft)


@pytest.mark.django_db
def test_a_published_version_keeps_what_it_was_made_of():
    closures = ((date(2026, 12, 24), date(2027, 1, 1), "Fermeture annuelle"),)
    draft = Draft("bureau", "Bureau de Metz", "Europe/Paris", OFFICE, "FR", "57", closures)
    with recording(actor="os:0", at=AT, door="cli") as log:
        version = publish(draft, log=log, at=AT)
    assert (version.number, version.tzdata, version.country, version.subdivision) == (1, tz_version(), "FR", "57")
    assert ["2026-04-03", "Vendredi saint"] in version.holidays
    assert version.library
    assert (version.first, version.last.year) == (date(2000, 1, 1), AT.year + 25)
    laid = stored(version.pk)
    monday = micros(datetime(2026, 12, 28, 9, tzinfo=UTC))
    assert laid.open_until(monday) == laid.open_until(monday + 4 * DAY)  # closed until the 1st of January
    assert laid.open_until(monday + 8 * DAY) > laid.open_until(monday)
    back = drafted(in_force("bureau"))
    assert (back.slug, back.name, back.time_zone, back.country, back.subdivision, back.closures) == (
        "bureau", "Bureau de Metz", "Europe/Paris", "FR", "57", closures,
    )  # fmt: skip
    with recording(actor="os:0", at=AT, door="cli") as log:
        assert publish(draft, log=log, at=AT).number == 2


def event(*lines: str) -> bytes:
    return "\r\n".join(
        ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    ).encode()


def test_closures_come_from_a_calendar_file():
    assert closures_of(event("SUMMARY:Pont", "DTSTART;VALUE=DATE:20260514", "DTEND;VALUE=DATE:20260516")) == [
        (date(2026, 5, 14), date(2026, 5, 15), "Pont")
    ]
    assert closures_of(event("SUMMARY:Jour", "DTSTART;VALUE=DATE:20260514")) == [(date(2026, 5, 14), date(2026, 5, 14), "Jour")]


@pytest.mark.parametrize(
    ("ics", "message"),
    [
        (b"no calendar", "not an iCalendar file"),
        (event("SUMMARY:Stand-up", "DTSTART:20260514T090000Z"), "has a time of day"),
        (event("SUMMARY:Weekly", "DTSTART;VALUE=DATE:20260514", "RRULE:FREQ=WEEKLY"), "repeats"),
        (event("SUMMARY:Never"), "has no beginning"),
    ],
)
def test_what_is_no_closure_is_said(ics, message):
    with pytest.raises(Invalid, match=message):
        closures_of(ics)
