"""SLA policies in the configuration file.

A policy that the file does not name stays in force; one without targets asks nothing any more. A change is a new version, for clocks
that start from now on or also for those that run (`apply_to: open`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain.audit import Recording
from triage.domain.configuration.accounts import CRITICALITIES
from triage.domain.configuration.calendars import NO_SLUG, SLUG, WRONG, planned
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, Entry, Values
from triage.domain.errors import Invalid
from triage.domain.estate import environment_named
from triage.domain.sla import drafts, policies
from triage.domain.sla.drafts import LADDER, TOLD, Applies, PolicyDraft, TargetDraft
from triage.models import ClockKind, Criticality, Environment, Severity, SlaVersion

FIELDS = ("name", "pause_days", "ladder", "targets", "apply_to")
TARGET_FIELDS = ("clock", "severity", "environment", "criticality", "exposed", "framework", "within", "calendar")
SEVERITIES = {level.name.casefold(): level.value for level in Severity}
LEVELS = {level.value: word for word, level in CRITICALITIES.items()}
DEFAULTS: Values = {
    "name": "", "pause_days": 30, "ladder": [{"percent": percent, "tell": list(tell)} for percent, tell in LADDER], "targets": [],
}  # fmt: skip
NO_NUMBER = _("Line %(line)s: %(where)s should be a number between %(least)s and %(most)s, and is “%(found)s”.")


class SlaPolicies:
    """The section `sla`: a mapping from slug to policy."""

    name = "sla"
    subject = "sla"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries = []
        for slug, body in document.mapping(node, None, "sla").items():
            if not SLUG.fullmatch(slug):
                document.wrong(body, NO_SLUG, found=slug[:80])
                continue
            fields = document.mapping(body, FIELDS, f"sla.{slug}")
            values = _values(fields, document, f"sla.{slug}")
            try:
                drafts.check(draft(slug, {**DEFAULTS, **stored.get(slug, {}), **values}))
            except Invalid as error:
                document.wrong(body, WRONG, what=gettext(error.text.message) % error.text.params)
            entries.append(Entry(slug, body, values))
        return entries

    def stored(self) -> dict[str, Values]:
        newest = SlaVersion.objects.order_by("policy", "-number").distinct("policy").select_related("policy")
        return {version.policy.slug: plain(drafts.drafted(version)) for version in newest}

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = planned(self.name, entries, stored, DEFAULTS)
        named = {entry.key for entry in entries}
        left = [slug for slug, values in stored.items() if slug not in named and values["targets"]] if prune else []
        retired = [Entry(slug, yaml.ScalarNode("", ""), {"targets": []}) for slug in sorted(left)]
        return changes + planned(self.name, retired, stored, DEFAULTS)

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        stored = self.stored()
        for change in changes:
            values = {**DEFAULTS, **stored.get(change.key, {}), **change.after}
            applies = Applies(values.get("apply_to", Applies.NEW))
            policies.put(draft(change.key, values), log=log, at=at, applies=applies, reason=gettext("configuration file"))

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return {
            slug: {name: value for name, value in values.items() if value != DEFAULTS[name] or name == "targets"}
            for slug, values in sorted(stored.items())
        }


def draft(slug: str, values: Values) -> PolicyDraft:
    """A policy as the file has it, as the domain publishes it."""
    targets = tuple(_target(target) for target in values["targets"])
    ladder = tuple((int(rung["percent"]), tuple(rung["tell"])) for rung in values["ladder"])
    return PolicyDraft(slug, values["name"], targets, values["pause_days"], ladder)


def plain(of: PolicyDraft) -> Values:
    """The inverse of `draft`: only what a target says."""
    return {
        "name": of.name,
        "pause_days": of.pause_days,
        "ladder": [{"percent": percent, "tell": list(tell)} for percent, tell in of.ladder],
        "targets": [_told(target) for target in of.targets],
    }


def _target(values: Mapping[str, Any]) -> TargetDraft:
    criticality = values.get("criticality")
    return TargetDraft(
        values.get("within", ""), values.get("clock", ClockKind.REMEDIATE.value), SEVERITIES.get(values.get("severity", "")),
        values.get("environment", ""), None if criticality is None else CRITICALITIES[criticality].value, values.get("exposed"),
        values.get("framework", ""), values.get("calendar", ""),
    )  # fmt: skip


def _told(target: TargetDraft) -> dict[str, Any]:
    said: dict[str, Any] = {
        "clock": "" if target.clock == ClockKind.REMEDIATE else target.clock,
        "severity": Severity(target.severity).name.casefold() if target.severity else "",
        "environment": target.environment,
        "criticality": None if target.criticality is None else LEVELS[Criticality(target.criticality).value],
        "exposed": target.exposed,
        "framework": target.framework,
        "within": target.within,
        "calendar": target.calendar,
    }
    return {name: value for name, value in said.items() if value not in ("", None)}


def _values(fields: Mapping[str, yaml.Node], document: Document, where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in fields and (name := document.text(fields["name"], where=f"{where}.name", longest=200)):
        values["name"] = name
    if "pause_days" in fields:
        values["pause_days"] = _number(fields["pause_days"], document, f"{where}.pause_days", least=0, most=365)
    if "ladder" in fields:
        values["ladder"] = [
            rung
            for item in document.items(fields["ladder"], f"{where}.ladder")
            if (rung := _rung(item, document, f"{where}.ladder"))
        ]
    if "targets" in fields:
        read = [
            _read_target(item, document, f"{where}.targets") for item in document.items(fields["targets"], f"{where}.targets")
        ]
        values["targets"] = [target for target in read if target]
    if "apply_to" in fields:
        values["apply_to"] = document.choice(fields["apply_to"], list(Applies), where=f"{where}.apply_to") or Applies.NEW.value
    return values


def _rung(node: yaml.Node, document: Document, where: str) -> dict[str, Any] | None:
    fields = document.mapping(node, ("percent", "tell"), where)
    if not all([document.require(node, fields, name, where=where) for name in ("percent", "tell")]):  # noqa: C419 - say both
        return None
    percent = _number(fields["percent"], document, f"{where}.percent", least=1, most=drafts.HIGHEST_RUNG)
    tell = [document.choice(item, TOLD, where=f"{where}.tell") for item in document.items(fields["tell"], f"{where}.tell")]
    return {"percent": percent, "tell": [whom for whom in tell if whom]}


def _read_target(node: yaml.Node, document: Document, where: str) -> dict[str, Any] | None:
    fields = document.mapping(node, TARGET_FIELDS, where)
    if not document.require(node, fields, "within", where=where):
        return None
    said: dict[str, Any] = {}
    if "clock" in fields:
        clock = document.choice(fields["clock"], ClockKind.values, where=f"{where}.clock")
        said["clock"] = "" if clock == ClockKind.REMEDIATE else clock
    if "severity" in fields:
        said["severity"] = document.choice(fields["severity"], SEVERITIES, where=f"{where}.severity")
    if "environment" in fields:
        node_ = fields["environment"]
        named = environment_named(node_.value) if isinstance(node_, yaml.ScalarNode) else None
        said["environment"] = named or document.choice(
            node_, [value for value in Environment.values if value], where=f"{where}.environment"
        )
    if "criticality" in fields:
        said["criticality"] = document.choice(fields["criticality"], CRITICALITIES, where=f"{where}.criticality") or None
    if "exposed" in fields:
        said["exposed"] = document.flag(fields["exposed"], where=f"{where}.exposed")
    if "framework" in fields:
        said["framework"] = document.text(fields["framework"], where=f"{where}.framework", longest=120)
    said["within"] = _within(fields["within"], document, f"{where}.within")
    if "calendar" in fields:
        said["calendar"] = document.text(fields["calendar"], where=f"{where}.calendar", longest=80)
        if said["calendar"]:
            document.calendars.append((fields["calendar"], said["calendar"]))
    return {name: said[name] for name in TARGET_FIELDS if said.get(name) not in ("", None)}


def _within(node: yaml.Node, document: Document, where: str) -> str:
    """In the words in which it is exported."""
    text = document.text(node, where=where, longest=60, required=True)
    try:
        return drafts.spelled(*drafts.measured(text))
    except Invalid as error:
        document.wrong(node, WRONG, what=gettext(error.text.message) % error.text.params)
        return "1 hour"


def _number(node: yaml.Node, document: Document, where: str, *, least: int, most: int) -> int:
    text = document.text(node, where=where, longest=20)
    if text.isdecimal() and least <= int(text) <= most:
        return int(text)
    document.wrong(node, NO_NUMBER, where=where, least=least, most=most, found=text)
    return least
