"""Calendars and ladders as fields of a form, and back into the file that says all of them.

Closures of a calendar, and what else a policy says, stay as the file has them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.domain.calendars import WEEK
from triage.domain.configuration.calendars import DEFAULTS, REACHES, SLUG
from triage.domain.configuration.duty_file import dumped, loaded, section
from triage.domain.errors import Invalid
from triage.domain.sla.drafts import LADDER

PLAIN = ("name", "time_zone", "holidays")
TOLD = ("owner", "lead", "security")
NEW = {"time_zone": "Europe/Paris", "hours": {"weekdays": ["09:00-18:00"]}, "holidays": "FR"}
_BETWEEN = re.compile(r"\s*[,;]\s*")


@dataclass(frozen=True, slots=True)
class CalendarFields:
    """`hours`: by day of the week its windows, `09:00-12:00, 14:00-18:00`, '' for closed. `closures`: how many it has."""

    slug: str
    name: str
    time_zone: str
    holidays: str
    hours: Mapping[str, str]
    closures: int


@dataclass(frozen=True, slots=True)
class Rung:
    """Who is told after which part of the time."""

    percent: str
    tell: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    slug: str
    name: str
    rungs: tuple[Rung, ...]


def calendar_fields(text: str) -> list[CalendarFields]:
    """The calendars of a file, [] for a text that is none."""
    return [_fields(str(slug), body or {}) for slug, body in _bodies(text, "calendars")]


def ladders(text: str) -> list[Ladder]:
    """The ladders of a file's policies, as they hold where the file says nothing; [] for a text that is no file."""
    return [Ladder(str(slug), str(body.get("name") or slug), _rungs(body)) for slug, body in _bodies(text, "sla")]


def with_calendar(text: str, slug: str, fields: Mapping[str, str]) -> str:
    """The file with these fields of a calendar, PLAIN or a day of the week. Raises Invalid for a text or a calendar that is none."""
    whole = loaded(text)
    body = _body(whole, "calendars", slug)
    for name in PLAIN:
        if name in fields:
            body[name] = fields[name].strip()
    days = {day: fields[day] for day in WEEK if day in fields}
    if days:
        hours = _hours(body.get("hours")) | {day: _windows(typed) for day, typed in days.items()}
        body["hours"] = _gathered(hours)
    return dumped(whole)


def with_new_calendar(text: str, slug: str) -> str:
    """The file with one more: Monday to Friday, nine to six, in France. Raises Invalid for a slug that is none or is taken."""
    if not SLUG.fullmatch(slug):
        raise Invalid(_("“%(slug)s” cannot be a slug. Use small letters, digits and hyphens."), slug=slug[:80])
    whole = loaded(text)
    if slug in section(whole, "calendars"):
        raise Invalid(_("There is a calendar “%(slug)s” already."), slug=slug)
    section(whole, "calendars")[slug] = {**NEW}
    return dumped(whole)


def with_ladder(text: str, slug: str, rungs: Sequence[Rung]) -> str:
    """The file with this ladder of a policy; a rung without a percentage is none. Raises Invalid, also for one that is no number."""
    whole = loaded(text)
    body = _body(whole, "sla", slug)
    kept = [rung for rung in rungs if rung.percent.strip()]
    for rung in kept:
        if not rung.percent.strip().isdecimal() or len(rung.percent.strip()) > 4:
            raise Invalid(_("“%(text)s” is not a number."), text=rung.percent[:20])
    body["ladder"] = [{"percent": int(rung.percent), "tell": list(rung.tell)} for rung in kept]
    return dumped(whole)


def _bodies(text: str, name: str) -> list[tuple[Any, dict[str, Any]]]:
    try:
        found = section(loaded(text), name)
    except Invalid:
        return []
    return [(slug, body) for slug, body in found.items() if isinstance(body, dict)]


def _body(whole: dict[str, Any], name: str, slug: str) -> dict[str, Any]:
    body = section(whole, name).get(slug)
    if not isinstance(body, dict):
        raise Invalid(_("The file has no “%(slug)s”."), slug=slug[:80])
    return body


def _fields(slug: str, body: Mapping[str, Any]) -> CalendarFields:
    plain = {name: str(body.get(name, DEFAULTS[name]) or "") for name in PLAIN}
    hours = {day: ", ".join(windows) for day, windows in _hours(body.get("hours")).items()}
    closures = body.get("closures")
    return CalendarFields(slug, **plain, hours=hours, closures=len(closures) if isinstance(closures, list) else 0)


def _hours(said: Any) -> dict[str, list[str]]:
    """By each day of the week, whatever days the file puts together."""
    hours: dict[str, list[str]] = {day: [] for day in WEEK}
    for key, windows in said.items() if isinstance(said, dict) else ():
        for day in REACHES.get(str(key), (str(key),)):
            hours[day] = [str(window) for window in windows] if isinstance(windows, list) else [str(windows)]
    return hours


def _windows(typed: str) -> list[str]:
    return [window.replace(" ", "") for window in _BETWEEN.split(typed.strip()) if window]


def _gathered(hours: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """As a person writes them: the days of work at once where they are alike."""
    working = REACHES["weekdays"]
    if all(hours[day] == hours[working[0]] for day in working) and hours[working[0]]:
        rest = {day: hours[day] for day in WEEK if day not in working and hours[day]}
        return {"weekdays": hours[working[0]], **rest}
    return {day: hours[day] for day in WEEK if hours[day]}


def _rungs(body: Mapping[str, Any]) -> tuple[Rung, ...]:
    said = body.get("ladder")
    if not isinstance(said, list):
        return tuple(Rung(str(percent), tuple(tell)) for percent, tell in LADDER)
    return tuple(Rung(str(rung.get("percent", "")), _told(rung.get("tell"))) for rung in said if isinstance(rung, dict))


def _told(said: Any) -> tuple[str, ...]:
    whom: Iterable[Any] = said if isinstance(said, list) else [said]
    return tuple(str(each) for each in whom if each)
