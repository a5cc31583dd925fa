"""A configuration file compared with what is stored, applied, and written from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import yaml
from django.db import connection, transaction

from triage.domain.access import Actor, Right
from triage.domain.applications import judge_again
from triage.domain.audit import recording
from triage.domain.configuration import calendars, sla
from triage.domain.configuration.accounts import Accounts
from triage.domain.configuration.applications import ApplicationsSection
from triage.domain.configuration.calendars import Calendars
from triage.domain.configuration.checks import Checks
from triage.domain.configuration.connections import Connections
from triage.domain.configuration.document import Document, compose, is_null
from triage.domain.configuration.rules import OwnerRules
from triage.domain.configuration.sections import Change, ChangeKind, Section, Values
from triage.domain.configuration.sla import SlaPolicies
from triage.domain.configuration.teams import Teams
from triage.domain.configuration.verification import VerificationSection
from triage.domain.ownership.resolving import Summary, resolve_all
from triage.domain.ownership.surveying import Diff, preview
from triage.domain.sla.drafts import Applies, PolicyDraft
from triage.domain.sla.policies import Plan
from triage.models import Account, Calendar, OwnerRule, Team

VERSION = "1"
# In the order in which they are written: what is referred to comes first.
SECTIONS: tuple[Section, ...] = (
    Teams(), Accounts(), ApplicationsSection(), OwnerRules(), Calendars(), SlaPolicies(), Checks(), Connections(),
    VerificationSection(),
)  # fmt: skip
OF_OWNERS = frozenset({"teams", "accounts", "applications", "owner_rules"})  # sections that decide who owns what
LOCK = 0x636F6E666967  # advisory lock: two files are applied one after the other

HEADER = """\
# Configuration of CSPM Triage. `cspm config diff FILE` shows what this file would change, `cspm config apply FILE` does it.
# Teams, accounts, calendars and policies that are not named stay as they are (`--prune` archives or retires them); the list of owner
# rules is the whole chain. A changed calendar or policy holds for new clocks, unless it says `apply_to: open`.
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was changed. `owners`: what followed from it over the estate, None when nothing could; `preview`: of a dry run."""

    changes: tuple[Change, ...]
    owners: Summary | None = None
    preview: Diff | None = None


def compare(*, text: str, actor: Actor, name: str = "YAML", prune: bool = False) -> list[Change]:
    """What the file of that name would change, in the order in which it would be written.

    Raises WrongConfiguration with all that is wrong in it, NotAllowed without the right to configure.
    """
    actor.demand(Right.CONFIGURE)
    return [change for _section, changes in _plans(text, name, prune=prune) for change in changes]


def apply(
    *,
    text: str,
    actor: Actor,
    at: datetime,
    name: str = "YAML",
    prune: bool = False,
    reason: str = "",
    follow: bool = True,
    unless: Callable[[], None] = lambda: None,
) -> Applied:
    """Bring what is stored to what the file says, in one transaction, then resolve the owners of the estate anew, unless somebody else
    sees to that (`follow`). `unless`: asked while nobody else can apply anything; what it raises, ends it.

    Applied twice it changes nothing the second time. Raises as `compare` does.
    """
    actor.demand(Right.CONFIGURE)
    changes = _write(text, name, actor=actor, at=at, prune=prune, reason=reason, unless=unless)
    follows = follow and any(change.section in OF_OWNERS for change in changes)
    owners = resolve_all(actor=actor, at=at, reason=reason or "the configuration was applied") if follows else None
    touched = [
        change.key for change in changes if change.section == "applications" and {"data", "frameworks"} & change.after.keys()
    ]
    if touched:
        judge_again(touched, actor=actor, at=at, reason=reason or "the application changed")
    return Applied(tuple(changes), owners)


def rehearse(*, text: str, actor: Actor, at: datetime, name: str = "YAML", prune: bool = False) -> Applied:
    """A dry run of `apply`: the same changes, and who would own what after them; nothing stays written."""
    actor.demand(Right.CONFIGURE)
    with transaction.atomic():
        changes = _write(text, name, actor=actor, at=at, prune=prune, reason="")
        follows = any(change.section in OF_OWNERS for change in changes)
        owners = preview(actor=actor) if follows else None
        transaction.set_rollback(True)
    return Applied(tuple(changes), preview=owners)


def planned_policies(*, text: str, name: str = "YAML", sections: Sequence[str] = ()) -> Plan:
    """The policies of a file, with the calendars that it brings, to be tried. Raises WrongConfiguration."""
    plans = _plans(text, name, prune=False, sections=sections)
    plan: dict[str, list[Change]] = {section.name: changes for section, changes in plans}
    stored = {"calendars": Calendars().stored(), "sla": SlaPolicies().stored()}
    return Plan(
        [
            sla.draft(change.key, {**sla.DEFAULTS, **stored["sla"].get(change.key, {}), **change.after})
            for change in plan.get("sla", ())
        ],
        [
            calendars.draft(change.key, {**calendars.DEFAULTS, **stored["calendars"].get(change.key, {}), **change.after})
            for change in plan.get("calendars", ())
        ],
    )


def planned_rules(*, text: str, name: str = "YAML") -> list[OwnerRule]:
    """The chain that a file gives, in its order, not saved. Raises WrongConfiguration."""
    rules: dict[str, Values] = {**OwnerRules().stored()}
    for _section, changes in _plans(text, name, prune=False, sections=("owner_rules",)):
        for change in changes:
            if change.kind == ChangeKind.REMOVED:
                del rules[change.key]
            else:
                rules[change.key] = {**rules.get(change.key, {}), **change.after}
    return sorted((OwnerRule(**values) for values in rules.values()), key=lambda rule: rule.position)


def exported_duty() -> str:
    """Calendars and policies as a file: what the page of the deadlines edits."""
    sections: tuple[Section, ...] = (Calendars(), SlaPolicies())
    whole = {section.name: section.export(section.stored()) for section in sections}
    return yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def apply_duty(*, text: str, applies: Applies, actor: Actor, at: datetime, reason: str = "") -> list[Change]:
    """Publish the calendars and policies of the text that differ, as chosen whatever they say. Raises as `compare` does."""
    actor.demand(Right.CONFIGURE)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason) as log:
        _lock()
        changes = []
        for section, planned in _plans(text, "YAML", prune=False, sections=("calendars", "sla")):
            chosen = [replace(change, after={**change.after, "apply_to": applies.value}) for change in planned]
            if chosen:
                section.write(chosen, log, at=at)
            changes += chosen
    return changes


def written(policy: PolicyDraft) -> str:
    """A policy as a configuration file."""
    section = SlaPolicies()
    return yaml.dump(
        {"sla": section.export({policy.slug: sla.plain(policy)})}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )


def export(*, actor: Actor) -> str:
    """What is stored as a file that changes nothing when it is applied."""
    actor.demand(Right.CONFIGURE)
    whole = {"version": int(VERSION), **{section.name: section.export(section.stored()) for section in SECTIONS}}
    return HEADER + yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _write(
    text: str,
    name: str,
    *,
    actor: Actor,
    at: datetime,
    prune: bool,
    reason: str,
    unless: Callable[[], None] = lambda: None,
) -> list[Change]:
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason) as log:
        _lock()
        unless()
        plans = _plans(text, name, prune=prune)
        for section, changes in plans:
            if changes:
                section.write(changes, log, at=at)
    return [change for _section, changes in plans for change in changes]


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _plans(text: str, name: str, *, prune: bool, sections: Sequence[str] = ()) -> list[tuple[Section, list[Change]]]:
    """The sections that the file has, each with its changes. `sections`: those that it may have, all if none are named."""
    document = Document()
    root = document.mapping(compose(text), ("version", *(sections or (section.name for section in SECTIONS))), name)
    if "version" in root:
        document.choice(root["version"], (VERSION,), where="version")
    stored = {section.name: section.stored() for section in SECTIONS if section.name in root}
    # A section without a value (`owner_rules:`) says nothing; an empty list says that there are none.
    entries = {
        section.name: section.read(root[section.name], document, stored[section.name])
        for section in SECTIONS
        if section.name in root and not is_null(root[section.name])
    }
    document.check_teams(_teams({entry.key for entry in entries.get("teams", ())}, prune=prune and "teams" in entries))
    document.check_calendars(
        {entry.key for entry in entries.get("calendars", ())} | set(Calendar.objects.values_list("slug", flat=True))
    )
    document.check()
    return [
        (section, section.plan(entries[section.name], stored[section.name], prune=prune))
        for section in SECTIONS
        if section.name in entries
    ]


def _teams(named: set[str], *, prune: bool) -> set[str]:
    """The slugs that may be referred to: of teams that there will be, and those that what is stored refers to all the same."""
    active = set(Team.objects.filter(archived_at=None).values_list("slug", flat=True))
    referred = set(Account.objects.filter(team__isnull=False).values_list("team__slug", flat=True).distinct())
    for params in OwnerRule.objects.values_list("params", flat=True):
        referred |= {pattern["team"] for pattern in (params, *params.get("patterns", ())) if "team" in pattern}
    return named | (referred - active) | (set() if prune else active)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Numbers of accounts are texts to every reader of YAML when they are quoted.
    style = "|" if "\n" in value else "'" if value.isdecimal() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
