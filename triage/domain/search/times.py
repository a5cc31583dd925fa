"""Times as people write them: a day, a month, a moment, so long ago; in English and French."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "mo": timedelta(days=30),
    "y": timedelta(days=365),
}
_UNIT_SYNONYMS = {"j": "d", "sem": "w", "s": "w", "mois": "mo", "a": "y", "an": "y", "ans": "y"}
_WORDS = {"aujourd'hui": "today", "aujourdhui": "today", "hier": "yesterday", "demain": "tomorrow", "maintenant": "now"}
_DAYS_FROM_NOW = {"today": 0, "yesterday": -1, "tomorrow": 1}

_LENGTH = re.compile(r"([+-]?)([0-9]{1,5})(\w{1,4})")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?(Z)?)?)?")
_FRENCH_DAY = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_YEARS = range(1970, 2200)
LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` to before `end`; a moment when they are equal."""

    start: datetime
    end: datetime

    @property
    def is_moment(self) -> bool:
        return self.start == self.end


def length(text: str) -> str | None:
    """A length of time in its canonical spelling (`30j` becomes `30d`, with its sign), or None if it is none."""
    match = _LENGTH.fullmatch(text.casefold())
    if not match:
        return None
    sign, number, unit = match.groups()
    unit = _UNIT_SYNONYMS.get(unit, unit)
    if unit not in _UNITS or int(number) * _UNITS[unit] > LONGEST:
        return None
    return f"{'-' if sign == '-' else ''}{int(number)}{unit}"


def duration(canonical: str) -> timedelta:
    """What `length` wrote."""
    match = _LENGTH.fullmatch(canonical)
    if not match:
        raise ValueError(canonical)
    return int(match[1] + match[2]) * _UNITS[match[3]]


def time(text: str) -> str | None:
    """A time in its canonical spelling (`31/12/2026` becomes `2026-12-31`, `demain` `tomorrow`), or None if it is none."""
    word = text.casefold().replace("’", "'")
    word = _WORDS.get(word, word)
    if word == "now" or word in _DAYS_FROM_NOW:
        return word
    if found := length(text):
        return found
    if french := _FRENCH_DAY.fullmatch(text):
        text = f"{french[3]}-{french[2]}-{french[1]}"
    match = _DAY.fullmatch(text.upper())
    if not match:
        return None
    try:
        _calendar(match, None)
    except ValueError:
        return None
    return match[0].replace(" ", "T")


def stretch(canonical: str, at: datetime) -> Stretch:
    """The stretch of time that `time` wrote, seen from `at`, in its time zone."""
    if canonical == "now":
        return Stretch(at, at)
    if canonical in _DAYS_FROM_NOW:
        day = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=_DAYS_FROM_NOW[canonical])
        return Stretch(day, day + timedelta(days=1))
    if _LENGTH.fullmatch(canonical):
        moment = at + duration(canonical)
        return Stretch(moment, moment)
    match = _DAY.fullmatch(canonical)
    if not match:
        raise ValueError(canonical)
    return _calendar(match, at.tzinfo)


def _calendar(match: re.Match[str], zone: tzinfo | None) -> Stretch:
    """Raises ValueError for a day that is in no calendar."""
    year, month, day, hour, minute, second, utc = match.groups()
    if int(year) not in _YEARS:
        raise ValueError(year)
    day_number, clock = int(day or 1), (int(hour or 0), int(minute or 0), int(second or 0))
    start = datetime(int(year), int(month), day_number, *clock, tzinfo=UTC if utc else zone)
    if hour:
        return Stretch(start, start + (timedelta(seconds=1) if second else timedelta(minutes=1)))
    if day:
        return Stretch(start, start + timedelta(days=1))
    return Stretch(start, (start.replace(day=28) + timedelta(days=4)).replace(day=1))
