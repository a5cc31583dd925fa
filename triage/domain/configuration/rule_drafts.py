"""Owner rules as a person edits them: a draft, what it would say of a name, what it would change, and its publication.

A draft is the list of rules as the configuration file has them, and it is published by the same door, so that page and file cannot
disagree about what a rule may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from triage.domain.access import Actor, Right
from triage.domain.configuration.applying import Applied, apply, in_rehearsal, rehearse
from triage.domain.configuration.rules import FIELDS, NAMES, OwnerRules
from triage.domain.ownership.explaining import Explanation, explain_live
from triage.domain.ownership.rules import default_rules
from triage.models import OwnerRule, Team

Kind = OwnerRule.Kind
Drafted = dict[str, Any]
"""A rule: `kind`, `name`, `enabled` and the fields of its kind (configuration.rules.FIELDS)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A team's part in the chain: the rules that name it, by place and name."""

    place: int
    name: str
    how: str


def stored() -> list[Drafted]:
    """The chain as it is; the one that holds until somebody writes rules, where nobody has."""
    section = OwnerRules()
    rows: list[Drafted] = section.export(section.stored())
    return rows or [{"kind": str(rule.kind), "name": NAMES[Kind(rule.kind)]} for rule in default_rules()]


def blank(kind: str) -> Drafted:
    """A rule of this kind to begin with."""
    empty: dict[str, Any] = {"keys": [], "patterns": [], "codeowners": "", "repository": "", "team": ""}
    return {"kind": kind, "name": NAMES[Kind(kind)], **{name: empty[name] for name in FIELDS[Kind(kind)]}}


def as_text(draft: Sequence[Mapping[str, Any]]) -> str:
    """As a configuration file. What is empty is not said."""
    rules = [
        {name: value for name, value in rule.items() if value not in ("", [], None) and not (name == "enabled" and value is True)}
        for rule in draft
    ]
    return yaml.safe_dump({"version": 1, "owner_rules": rules}, sort_keys=False, allow_unicode=True)


def consequences(draft: Sequence[Mapping[str, Any]], *, actor: Actor, at: datetime) -> Applied:
    """What the draft would change: rules, and owners of assets. Nothing stays written. Raises WrongConfiguration, NotAllowed."""
    return rehearse(text=as_text(draft), name="rules", actor=actor, at=at)


def publish(draft: Sequence[Mapping[str, Any]], *, reason: str, actor: Actor, at: datetime, follow: bool = True) -> Applied:
    """The draft becomes the chain, and the estate is asked again, unless somebody else sees to that (`follow`). Raises as above."""
    return apply(text=as_text(draft), name="rules", actor=actor, at=at, reason=reason, follow=follow)


def explained(name: str, draft: Sequence[Mapping[str, Any]], *, actor: Actor, at: datetime) -> list[Explanation]:
    """What the draft says of an asset, a path or a finding, step by step; for who may not configure, what holds now.

    Raises NotFound, WrongConfiguration, NotAllowed.
    """
    if not actor.may(Right.CONFIGURE):
        return explain_live(name=name, actor=actor)
    with in_rehearsal(text=as_text(draft), name="rules", actor=actor, at=at):
        return explain_live(name=name, actor=actor)


def leading_to(team: Team) -> list[Reach]:
    """The rules that name this team."""
    found = []
    for place, rule in enumerate(OwnerRule.objects.filter(enabled=True), 1):
        patterns = [entry["pattern"] for entry in rule.params.get("patterns", ()) if entry.get("team") == team.slug]
        if rule.params.get("team") == team.slug:
            found.append(Reach(place, rule.name, "*"))
        found += [Reach(place, rule.name, pattern) for pattern in patterns]
    return found
