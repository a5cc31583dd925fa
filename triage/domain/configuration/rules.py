"""Owner rules in the configuration file: the section is the whole chain, in order; a rule that is not in it is removed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain.audit import Recording
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.models import OwnerRule

Kind = OwnerRule.Kind

FIELDS = {
    Kind.TAG: ("keys",),
    Kind.ACCOUNT: (),
    Kind.ACCOUNT_TAG: ("keys",),
    Kind.PATH: ("repository", "patterns", "codeowners"),
    Kind.PATTERN: ("patterns",),
    Kind.FALLBACK: ("team",),
}
COMMON = ("kind", "name", "enabled")
EVERY = (*COMMON, *dict.fromkeys(field for fields in FIELDS.values() for field in fields))
NAMES = {
    Kind.TAG: "Owner tag of the asset",
    Kind.ACCOUNT: "Team of the account",
    Kind.ACCOUNT_TAG: "Owner tag of the account",
    Kind.PATH: "Path in the repository",
    Kind.PATTERN: "Identifier of the asset",
    Kind.FALLBACK: "Everything else",
}

NOT_OF_KIND = _("Line %(line)s: a rule of the kind “%(kind)s” has no “%(key)s”.")
NO_PATTERNS = _("Line %(line)s: the rule has neither “patterns” nor “codeowners”.")


class OwnerRules:
    """The section `owner_rules`: a list in the order in which the rules are asked."""

    name = "owner_rules"
    subject = "rule"

    def read(self, node: yaml.Node, document: Document, _stored: Mapping[str, Values], /) -> list[Entry]:
        entries: list[Entry] = []
        seen: Counter[str] = Counter()
        for item in document.items(node, "owner_rules"):
            fields = document.mapping(item, EVERY, "owner_rules")
            if not document.require(item, fields, "kind", where="owner_rules"):
                continue
            kind = document.choice(fields["kind"], Kind.values, where="owner_rules.kind")
            if kind:
                values = {**_values(Kind(kind), fields, item, document), "position": len(entries) + 1}
                entries.append(Entry(_key(values["name"], seen), item, values))
        return entries

    def stored(self) -> dict[str, Values]:
        """`position` is the rule's place in the order, whatever its number."""
        return {
            key: {"kind": rule.kind, "name": rule.name, "enabled": rule.enabled, "params": rule.params, "position": place}
            for place, (key, rule) in enumerate(_by_key().items(), 1)
        }

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:  # noqa: ARG002 - always
        changes = []
        for entry in entries:
            before, after = difference(stored.get(entry.key, {}), entry.values)
            if entry.key not in stored:
                changes.append(Change(self.name, ChangeKind.CREATED, entry.key, {}, after))
            elif after:
                changes.append(Change(self.name, ChangeKind.CHANGED, entry.key, before, after))
        left = stored.keys() - {entry.key for entry in entries}
        return changes + [Change(self.name, ChangeKind.REMOVED, key, stored[key]) for key in stored if key in left]

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:  # noqa: ARG002 - rules keep no time
        rules = _by_key()
        for place, rule in enumerate(rules.values(), 1):
            rule.position = place
        for change in changes:
            rule = rules.setdefault(change.key, OwnerRule())
            for name, value in change.after.items():
                setattr(rule, name, value)
        gone = [rules[change.key] for change in changes if change.kind == ChangeKind.REMOVED]
        OwnerRule.objects.filter(pk__in=[rule.pk for rule in gone]).delete()
        OwnerRule.objects.bulk_create([rule for rule in rules.values() if rule.pk is None])
        kept = [rule for key, rule in rules.items() if rule not in gone]
        OwnerRule.objects.bulk_update(kept, ["kind", "name", "enabled", "params", "position"], batch_size=1000)
        log.tell_all(
            self.subject,
            [(rules[change.key].pk, change.kind.value, dict(change.before), dict(change.after)) for change in changes],
        )

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return [
            {
                "kind": rule["kind"],
                "name": rule["name"],
                **({} if rule["enabled"] else {"enabled": False}),
                **{name: _exported(rule["params"][name]) for name in FIELDS[Kind(rule["kind"])] if name in rule["params"]},
            }
            for rule in stored.values()
        ]


def _exported(param: Any) -> Any:
    """The database keeps no order of keys: a pattern stands before its team."""
    return (
        [dict(sorted(entry.items())) if isinstance(entry, dict) else entry for entry in param]
        if isinstance(param, list)
        else param
    )


def _by_key() -> dict[str, OwnerRule]:
    """The rules in order, by name; the second of a name is `name (2)`."""
    seen: Counter[str] = Counter()
    return {_key(rule.name, seen): rule for rule in OwnerRule.objects.all()}


def _key(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name} ({seen[name]})"


def _values(kind: Kind, fields: Mapping[str, yaml.Node], item: yaml.Node, document: Document) -> dict[str, Any]:
    for name in fields.keys() - {*COMMON, *FIELDS[kind]}:
        document.wrong(fields[name], NOT_OF_KIND, kind=kind.value, key=name)
    name = (
        document.text(fields["name"], where="owner_rules.name", longest=200, required=True) if "name" in fields else NAMES[kind]
    )
    enabled = document.flag(fields["enabled"], where="owner_rules.enabled") if "enabled" in fields else True
    return {"kind": kind.value, "name": name, "enabled": enabled, "params": _params(kind, fields, item, document)}


def _params(kind: Kind, fields: Mapping[str, yaml.Node], item: yaml.Node, document: Document) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if kind == Kind.FALLBACK and document.require(item, fields, "team", where="owner_rules"):
        params["team"] = document.team(fields["team"], where="owner_rules.team")
    if kind in (Kind.PATH, Kind.PATTERN) and not {"patterns", "codeowners"} & fields.keys():
        document.wrong(item, NO_PATTERNS)
    if "keys" in fields and "keys" in FIELDS[kind]:
        params["keys"] = document.texts(fields["keys"], where="owner_rules.keys", longest=300)
    if "repository" in fields:
        params["repository"] = document.text(fields["repository"], where="owner_rules.repository", longest=500)
    if "patterns" in fields:
        params["patterns"] = [_pattern(node, document) for node in document.items(fields["patterns"], "owner_rules.patterns")]
    if "codeowners" in fields:
        params["codeowners"] = document.text(fields["codeowners"], where="owner_rules.codeowners", longest=1_000_000)
    return params


def _pattern(node: yaml.Node, document: Document) -> dict[str, str]:
    """`pattern` and `team`; without a team nobody owns what fits."""
    found = document.mapping(node, ("pattern", "team"), "owner_rules.patterns")
    document.require(node, found, "pattern", where="owner_rules.patterns")
    return {
        "pattern": document.text(found["pattern"], where="owner_rules.pattern", longest=1000, required=True)
        if "pattern" in found
        else "",
        "team": document.team(found["team"], where="owner_rules.team") if "team" in found else "",
    }
