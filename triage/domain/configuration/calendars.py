"""Calendars in the configuration file.

A calendar that the file does not name stays as it is, and so does a field that it does not give. A change is a new version; the
policies that use the calendar are published again with it, for new clocks or for those that run (`apply_to`).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import yaml
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain import calendars
from triage.domain.audit import Recording
from triage.domain.calendars import WEEK, Draft
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.errors import Invalid
from triage.domain.sla import policies
from triage.domain.sla.drafts import Applies
from triage.models import CalendarVersion

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,78}[a-z0-9])?")
FIELDS = ("name", "time_zone", "hours", "holidays", "closures", "apply_to")
DEFAULTS: Values = {"name": "", "time_zone": "Europe/Paris", "hours": {}, "holidays": "", "closures": []}
CLOSURE_FIELDS = ("first", "last", "name")
REACHES: Mapping[str, tuple[str, ...]] = {"weekdays": WEEK[:5], "weekend": WEEK[5:], "every_day": WEEK}

WRONG = _("Line %(line)s: %(what)s")
NO_SLUG = _("Line %(line)s: “%(found)s” cannot be a slug. Use small letters, digits and hyphens.")
NO_DAY = _("Line %(line)s: “%(found)s” is not a date. Write it as 2026-12-24.")


class Calendars:
    """The section `calendars`: a mapping from slug to calendar."""

    name = "calendars"
    subject = "calendar"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries = []
        for slug, body in document.mapping(node, None, "calendars").items():
            if not SLUG.fullmatch(slug):
                document.wrong(body, NO_SLUG, found=slug[:80])
                continue
            fields = document.mapping(body, FIELDS, f"calendars.{slug}")
            values = _values(fields, document, f"calendars.{slug}")
            try:
                calendars.check(draft(slug, {**DEFAULTS, **stored.get(slug, {}), **values}))
            except Invalid as error:
                document.wrong(body, WRONG, what=gettext(error.text.message) % error.text.params)
            entries.append(Entry(slug, body, values))
        return entries

    def stored(self) -> dict[str, Values]:
        newest = CalendarVersion.objects.order_by("calendar", "-number").distinct("calendar").select_related("calendar")
        return {version.calendar.slug: _plain(calendars.drafted(version)) for version in newest}

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:  # noqa: ARG002
        """Pruning leaves calendars alone: published policies go on by them."""
        return planned(self.name, entries, stored, DEFAULTS)

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        stored = self.stored()
        for change in changes:
            values = {**DEFAULTS, **stored.get(change.key, {}), **change.after}
            version = calendars.publish(draft(change.key, values), log=log, at=at, reason=gettext("configuration file"))
            policies.follow(version, log=log, at=at, applies=Applies(values.get("apply_to", Applies.NEW)))

    def export(self, stored: Mapping[str, Values], /) -> Any:
        exported: dict[str, Any] = {}
        for slug, values in sorted(stored.items()):
            told = {name: value for name, value in values.items() if value != DEFAULTS[name] or name == "time_zone"}
            exported[slug] = told
        return exported


def planned(section: str, entries: Sequence[Entry], stored: Mapping[str, Values], defaults: Values) -> list[Change]:
    """Changes of things that are published in versions. `apply_to` says how to publish a change, and is none itself."""
    changes = []
    for entry in entries:
        how = {name: value for name, value in entry.values.items() if name == "apply_to"}
        said = {name: value for name, value in entry.values.items() if name != "apply_to"}
        if entry.key not in stored:
            changes.append(Change(section, ChangeKind.CREATED, entry.key, {}, {**defaults, **said, **how}))
            continue
        before, after = difference(stored[entry.key], said)
        if after:
            changes.append(Change(section, ChangeKind.CHANGED, entry.key, before, {**after, **how}))
    return changes


def draft(slug: str, values: Values) -> Draft:
    """A calendar as the file has it, as the domain publishes it."""
    country, _dash, subdivision = str(values["holidays"]).partition("-")
    closures = tuple((date.fromisoformat(c["first"]), date.fromisoformat(c["last"]), str(c["name"])) for c in values["closures"])
    hours = {day: [window.split("-", 1) for window in windows] for day, windows in values["hours"].items()}
    return Draft(slug, values["name"], values["time_zone"], hours, country, subdivision, closures)


def _plain(of: Draft) -> Values:
    return {
        "name": of.name,
        "time_zone": of.time_zone,
        "hours": {day: ["-".join(window) for window in of.hours[day]] for day in WEEK if of.hours.get(day)},
        "holidays": f"{of.country}-{of.subdivision}" if of.subdivision else of.country,
        "closures": [{"first": first.isoformat(), "last": last.isoformat(), "name": name} for first, last, name in of.closures],
    }


def _values(fields: Mapping[str, yaml.Node], document: Document, where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("name", "time_zone", "holidays"):
        if name in fields and ((text := document.text(fields[name], where=f"{where}.{name}", longest=200)) or name == "holidays"):
            values[name] = text
    if "hours" in fields:
        values["hours"] = _hours(fields["hours"], document, f"{where}.hours")
    if "closures" in fields:
        read = [_closure(item, document, f"{where}.closures") for item in document.items(fields["closures"], f"{where}.closures")]
        values["closures"] = sorted((closure for closure in read if closure), key=lambda closure: closure["first"])
    if "apply_to" in fields:
        values["apply_to"] = document.choice(fields["apply_to"], list(Applies), where=f"{where}.apply_to") or Applies.NEW.value
    return values


def _hours(node: yaml.Node, document: Document, where: str) -> dict[str, list[str]]:
    """By day, or for several at once: weekdays, weekend, every_day. A window is `09:00-18:00`."""
    hours: dict[str, list[str]] = {}
    for key, value in document.mapping(node, (*WEEK, *REACHES), where).items():
        single = isinstance(value, yaml.ScalarNode)
        windows = [document.text(value, where=where)] if single else document.texts(value, where=where, longest=20)
        for day in REACHES.get(key, (key,)):
            hours[day] = [window.replace(" ", "") for window in windows if window]
    return {day: hours[day] for day in WEEK if hours.get(day)}


def _closure(node: yaml.Node, document: Document, where: str) -> dict[str, str] | None:
    """A day alone, or a mapping with its first and last day."""
    if isinstance(node, yaml.ScalarNode):
        first = last = _day(node, document)
        name = ""
    else:
        fields = document.mapping(node, CLOSURE_FIELDS, where)
        if not document.require(node, fields, "first", where=where):
            return None
        first = _day(fields["first"], document)
        last = _day(fields["last"], document) if "last" in fields else first
        name = document.text(fields["name"], where=f"{where}.name", longest=200) if "name" in fields else ""
    return {"first": first, "last": last, "name": name} if first and last else None


def _day(node: yaml.Node, document: Document) -> str:
    text = document.text(node, where="closures")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        document.wrong(node, NO_DAY, found=text[:40])
        return ""
