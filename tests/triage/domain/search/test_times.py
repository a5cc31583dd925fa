"""Days have their zone's length, months their own, and what is no time is none."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from triage.domain.search import times

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("text", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-02", 28 * 24), ("2026-12", 31 * 24), ("2026-01-01T08:00", 1 / 60)],
)
def test_a_stretch_is_as_long_as_the_clock_on_the_wall_says(text: str, hours: float) -> None:
    found = times.stretch(text, datetime(2026, 11, 21, tzinfo=PARIS))

    assert found.end.astimezone(UTC) - found.start.astimezone(UTC) == timedelta(hours=hours)


def test_the_zone_is_that_of_the_asker() -> None:
    night = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)

    assert times.stretch("today", night).start == datetime(2026, 11, 21, tzinfo=UTC)
    assert times.stretch("today", night.astimezone(PARIS)).start == datetime(2026, 11, 22, tzinfo=PARIS)
    assert times.stretch("2026-11-21T10:00:00Z", night.astimezone(PARIS)).start == datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("30j", "30d"), ("2SEM", "2w"), ("3mois", "3mo"), ("1an", "1y"), ("-007d", "-7d"), ("+7d", "7d"), ("Hier", "yesterday"),
        ("aujourd’hui", "today"), ("31/12/2026", "2026-12-31"), ("2026-01-01 08:00", "2026-01-01T08:00"), ("2026-02", "2026-02"),
    ],
)  # fmt: skip
def test_one_spelling_for_each_time(written: str, canonical: str) -> None:
    assert times.time(written) == canonical
    assert times.time(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7x", "2026-13-01", "2026-02-29", "0001-01-01", "9999-12-31", "40000d", "7d7d", "٣d", "1²d", "32/01/2026"],
)
def test_what_is_no_time(text: str) -> None:
    assert times.time(text) is None
