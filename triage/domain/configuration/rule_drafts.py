"""Owner rules as a person edits them: a draft, what it would say of a name, what it would change, and its publication.

A draft is the list of rules as the configuration file has them, and it is published by the same door, so that page and file cannot
disagree about what a rule may be. Nothing is written before: a draft is asked in memory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain import queries
from triage.domain.access import Actor, Right
from triage.domain.configuration.applying import Applied, apply, planned_rules
from triage.domain.configuration.rules import FIELDS, NAMES, OwnerRules
from triage.domain.errors import Stale
from triage.domain.ownership.chain import Chain, team_facts
from triage.domain.ownership.explaining import Explanation, explain_live
from triage.domain.ownership.names import Names
from triage.domain.ownership.paths import codeowners
from triage.domain.ownership.rules import default_rules
from triage.domain.ownership.surveying import Diff, preview
from triage.models import Event, OwnerRule, Team
from triage.ports import Text

Kind = OwnerRule.Kind
Drafted = dict[str, Any]
"""A rule: `kind`, `name`, `enabled` and the fields of its kind (configuration.rules.FIELDS)."""

SHOWN_KEYS = 4
CHANGED_MEANWHILE = _(
    "%(actor)s changed the rules while you were writing. Look at what they say now; publishing again puts yours in their place."
)

USUAL_TAG = _("If a tag such as owner, team or squad names a team, that team owns the asset.")
TAG = _("If the tag %(keys)s names a team, that team owns the asset.")
TAGS = _("If one of the tags %(keys)s names a team, that team owns the asset; the first that does counts.")
USUAL_ACCOUNT_TAG = _("If a tag of the account, such as owner, team or squad, names a team, that team owns what is in it.")
ACCOUNT_TAG = _("If the account's tag %(keys)s names a team, that team owns what is in it.")
ACCOUNT_TAGS = _("If one of the account's tags %(keys)s names a team, that team owns what is in it; the first that does counts.")
ACCOUNT = _("If a team owns the account, it owns what is in it.")
PATH = _("What is at %(pattern)s in %(repository)s belongs to %(team)s.")
PATHS = _("In %(repository)s, %(n)s patterns say which team a path belongs to; of several that fit, the last one counts.")
PATH_ANYWHERE = _("What is at %(pattern)s in any repository belongs to %(team)s.")
PATHS_ANYWHERE = _(
    "In any repository, %(n)s patterns say which team a path belongs to; of several that fit, the last one counts."
)
PATTERN = _("What fits %(pattern)s belongs to %(team)s.")
PATTERNS = _("%(n)s patterns say which team an identifier belongs to; of several that fit, the first one counts.")
PATTERN_NOBODY = _("What fits %(pattern)s belongs to nobody.")
NO_PATTERNS = _("It has no patterns yet, and decides nothing.")
FALLBACK = _("Whatever no rule before gives away belongs to %(team)s.")
NO_FALLBACK = _("Choose the team that owns whatever no rule before gives away.")


@dataclass(frozen=True, slots=True)
class Reach:
    """A team's part in the chain: a rule that names it, by place and name. `patterns`: what leads to it there, '*' for whatever is left."""

    place: int
    name: str
    patterns: tuple[str, ...]


def stored() -> list[Drafted]:
    """The chain as it is; the one that holds until somebody writes rules, where nobody has."""
    section = OwnerRules()
    rows: list[Drafted] = section.export(section.stored())
    return rows or [{"kind": str(rule.kind), "name": NAMES[Kind(rule.kind)]} for rule in default_rules()]


def mark(draft: Sequence[Drafted]) -> str:
    """Two chains that say the same have the same."""
    text = json.dumps(plain(draft), sort_keys=True, ensure_ascii=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def blank(kind: str) -> Drafted:
    """A rule of this kind to begin with."""
    empty: dict[str, Any] = {"keys": [], "patterns": [], "codeowners": "", "repository": "", "team": ""}
    return {"kind": kind, "name": NAMES[Kind(kind)], **{name: empty[name] for name in FIELDS[Kind(kind)]}}


def plain(draft: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without what is empty and what goes without saying."""
    return [
        {
            name: _plain(value)
            for name, value in rule.items()
            if value not in ("", [], None) and (name, value) != ("enabled", True)
        }
        for rule in draft
    ]


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list) else _filled(value) if isinstance(value, dict) else value


def _filled(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value != ""}


def as_text(draft: Sequence[Mapping[str, Any]]) -> str:
    """As a configuration file."""
    return yaml.safe_dump({"version": 1, "owner_rules": plain(draft)}, sort_keys=False, allow_unicode=True, width=10_000)


def place_of(line: int, draft: Sequence[Mapping[str, Any]]) -> int | None:
    """Which rule, from 0, stands at a line of `as_text`."""
    begins = [number for number, text in enumerate(as_text(draft).splitlines(), 1) if text.startswith("- ")]
    return sum(begin <= line for begin in begins) - 1 if begins and line >= begins[0] else None


def sentence(rule: Mapping[str, Any], names: Mapping[str, str]) -> Text:
    """What the rule says. `names`: of teams, by slug."""
    kind = Kind(rule["kind"])
    if kind in (Kind.TAG, Kind.ACCOUNT_TAG):
        return _of_tags(kind, rule.get("keys") or [])
    if kind in (Kind.PATH, Kind.PATTERN):
        return _of_patterns(kind, rule, names)
    if kind == Kind.ACCOUNT:
        return Text(ACCOUNT)
    team = rule.get("team", "")
    return Text(FALLBACK, {"team": names.get(team, team)}) if team else Text(NO_FALLBACK)


def _of_tags(kind: Kind, keys: Sequence[str]) -> Text:
    usual, one, several = (USUAL_TAG, TAG, TAGS) if kind == Kind.TAG else (USUAL_ACCOUNT_TAG, ACCOUNT_TAG, ACCOUNT_TAGS)
    if not keys:
        return Text(usual)
    shown = ", ".join(keys[:SHOWN_KEYS]) + (" …" if len(keys) > SHOWN_KEYS else "")
    return Text(one if len(keys) == 1 else several, {"keys": shown})


def _of_patterns(kind: Kind, rule: Mapping[str, Any], names: Mapping[str, str]) -> Text:
    entries = [*(rule.get("patterns") or []), *codeowners(rule.get("codeowners", ""))]
    repository = rule.get("repository", "")
    if not entries:
        return Text(NO_PATTERNS)
    if len(entries) > 1:
        several = PATTERNS if kind == Kind.PATTERN else PATHS if repository else PATHS_ANYWHERE
        return Text(several, {"n": len(entries), **({"repository": repository} if several == PATHS else {})})
    [only] = entries
    team = only.get("team", "")
    said = {"pattern": only["pattern"], "team": names.get(team, team)}
    if not team:
        return Text(PATTERN_NOBODY, {"pattern": only["pattern"]})
    if kind == Kind.PATTERN:
        return Text(PATTERN, said)
    return Text(PATH, {**said, "repository": repository}) if repository else Text(PATH_ANYWHERE, said)


def consequences(draft: Sequence[Mapping[str, Any]], *, actor: Actor) -> Diff:
    """Whose assets and findings would be whose. Raises WrongConfiguration, NotAllowed."""
    actor.demand(Right.CONFIGURE)
    return preview(actor=actor, rules=_chain(draft), findings=True)


def explained(name: str, draft: Sequence[Mapping[str, Any]], *, actor: Actor) -> list[Explanation]:
    """What the draft says of an asset, a path or a finding, step by step. Raises NotFound, WrongConfiguration, NotAllowed."""
    return explain_live(name=name, actor=actor, chain=Chain(_chain(draft), team_facts()))


def _chain(draft: Sequence[Mapping[str, Any]]) -> list[OwnerRule]:
    """The rules that would be asked. Where there are none at all, the usual ones."""
    rules = planned_rules(text=as_text(draft), name="rules") if draft else []
    return [rule for rule in rules if rule.enabled] if rules else default_rules()


def publish(
    draft: Sequence[Mapping[str, Any]], *, reason: str, actor: Actor, at: datetime, seen: str | None = None, follow: bool = True
) -> Applied:
    """The draft becomes the chain, and the estate is asked again, unless somebody else sees to that (`follow`).

    `seen`: `mark` of the chain that the draft began from. Raises Stale when it is another now, WrongConfiguration, NotAllowed.
    """

    def unless() -> None:
        if seen is not None and seen != mark(stored()):
            raise Stale(CHANGED_MEANWHILE, actor=_last_editor())

    return apply(text=as_text(draft), name="rules", actor=actor, at=at, reason=reason, follow=follow, unless=unless)


def _last_editor() -> str:
    last = Event.objects.filter(subject="rule", seq=None).order_by("-at").values_list("actor", flat=True).first()
    return (queries.who({last})[last].name or last) if last else "–"


def leading_to(team: Team) -> list[Reach]:
    """The rules that name this team, with what leads to it there."""
    names = Names(team_facts())
    found = []
    for place, rule in enumerate(OwnerRule.objects.filter(enabled=True), 1):
        entries = [*rule.params.get("patterns", ()), *codeowners(rule.params.get("codeowners", ""))]
        if rule.kind == Kind.FALLBACK:
            entries = [{"pattern": "*", "team": rule.params.get("team", "")}]
        owners = {owner: names.find(owner).team for owner in {entry.get("team", "") for entry in entries}}
        patterns = tuple(
            entry["pattern"] for entry in entries if (named := owners[entry.get("team", "")]) and named.id == team.pk
        )
        if patterns:
            found.append(Reach(place, rule.name, patterns))
    return found
