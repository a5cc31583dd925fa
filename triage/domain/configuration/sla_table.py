"""Policies as tables of severity and environment, to be filled in, and back into the file that says all of it.

A table holds the targets to remediate that ask for nothing but severity and environment. What else a policy says (other clocks,
criticality, exposure, frameworks, the ladder) stays as the file has it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.domain.configuration.duty_file import dumped, loaded, section
from triage.domain.errors import Invalid
from triage.domain.estate import environment_named
from triage.domain.sla.drafts import measured, spelled
from triage.models import ClockKind, Environment, Severity, SlaUnit

SEVERITIES = tuple(level.name.casefold() for level in sorted(Severity, reverse=True))
ENVIRONMENTS = ("", *(value for value in Environment.values if value))
TABLED = frozenset({"clock", "severity", "environment", "within", "calendar"})


@dataclass(frozen=True, slots=True)
class Place:
    """One cell. `environment` '' is any."""

    policy: str
    severity: str
    environment: str


@dataclass(frozen=True, slots=True)
class Table:
    """`cells`: what is within each severity and environment, '' where nothing is asked. `calendars`: the slugs that the cells use.
    `others`: how many targets of the policy it does not show.
    """

    slug: str
    name: str
    cells: Mapping[Place, str]
    calendars: tuple[str, ...]
    others: int


def tables(text: str) -> list[Table]:
    """The policies of a file; [] for a text that is no such file: its faults are told where it is read."""
    try:
        policies = section(loaded(text), "sla")
    except Invalid:
        return []
    return [_table(slug, body) for slug, body in policies.items() if isinstance(body, dict)]


def calendars_of(text: str) -> list[str]:
    """The slugs of the calendars in a file, [] for a text that is none."""
    try:
        return [str(slug) for slug in section(loaded(text), "calendars")]
    except Invalid:
        return []


def filled(text: str, cells: Mapping[Place, str], calendar: str) -> str:
    """The file with these cells in place of its own, '' for one that asks nothing any more; the others stay.

    `calendar`: the slug for days and business hours in a cell that had no calendar. Raises Invalid for a text that is no file and
    for a length that is none.
    """
    whole = loaded(text)
    policies = section(whole, "sla")
    for place, within in cells.items():
        body = policies.get(place.policy)
        if not isinstance(body, dict):
            raise Invalid(_("There is no policy “%(slug)s” in the file."), slug=place.policy[:80])
        _fill(body, place, within.strip(), calendar)
    return dumped(whole)


def _table(slug: str, body: Mapping[str, Any]) -> Table:
    cells = {Place(slug, severity, environment): "" for severity in SEVERITIES for environment in ENVIRONMENTS}
    placed = dict(_placed(slug, body))
    calendars = {str(target["calendar"]): None for target in placed.values() if target.get("calendar")}
    cells |= {place: str(target.get("within") or "") for place, target in placed.items()}
    return Table(slug, str(body.get("name") or slug), cells, tuple(calendars), len(_targets(body)) - len(placed))


def _targets(body: Mapping[str, Any]) -> list[Any]:
    targets = body.get("targets")
    return targets if isinstance(targets, list) else []


def _placed(slug: str, body: Mapping[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each place with the target that stands in it: the first, should there be two."""
    seen = set()
    for target in _targets(body):
        if not isinstance(target, dict) or not target.keys() <= TABLED:
            continue
        environment = str(target.get("environment") or "")
        place = Place(slug, str(target.get("severity")), environment_named(environment) or environment)
        fits = target.get("clock", ClockKind.REMEDIATE.value) == ClockKind.REMEDIATE.value and place.severity in SEVERITIES
        if fits and place.environment in ENVIRONMENTS and place not in seen:
            seen.add(place)
            yield place, target


def _fill(body: dict[str, Any], place: Place, within: str, calendar: str) -> None:
    target = dict(_placed(place.policy, body)).get(place)
    if not within:
        body["targets"] = [other for other in _targets(body) if other is not target]
        return
    amount, unit = measured(within)
    if target is None:
        target = {"severity": place.severity} | ({"environment": place.environment} if place.environment else {})
        body["targets"] = [*_targets(body), target]
    target["within"] = spelled(amount, unit)
    if unit == SlaUnit.HOURS:
        target.pop("calendar", None)
    elif not target.get("calendar") and calendar:
        target["calendar"] = calendar
