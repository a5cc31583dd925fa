"""Accounts in the configuration file: what a scanner does not know of them.

Accounts are merged: one that the file does not name stays, and so does a field that it does not give. With pruning, what is not
named is put out of scope. Nothing is deleted, as findings belong to it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain import reach
from triage.domain.audit import Recording
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.estate import environment_named
from triage.domain.ingest.identity import account_uid
from triage.models import Account, Criticality, Environment, Team
from triage.ports import AccountInfo

FIELDS = ("provider", "uid", "name", "environment", "criticality", "team", "in_scope", "scope_reason", "reach")
DEFAULTS: Values = {
    "name": "", "environment": "", "criticality": "unknown", "team": "", "in_scope": True, "scope_reason": "", "reach": {},
}  # fmt: skip
CRITICALITIES = {level.name.casefold(): level for level in Criticality}
PRUNED = "not named in the configuration file"

ACCOUNT_TWICE = _("Line %(line)s: the account %(account)s is here twice.")
NO_REASON = _("Line %(line)s: the account %(account)s is out of scope. Say why in “scope_reason”.")


class Accounts:
    """The section `accounts`: a list."""

    name = "accounts"
    subject = "account"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries: dict[str, Entry] = {}
        for item in document.items(node, "accounts"):
            fields = document.mapping(item, FIELDS, "accounts")
            missing = [name for name in ("provider", "uid") if not document.require(item, fields, name, where="accounts")]
            if missing:
                continue
            provider = document.text(fields["provider"], where="accounts.provider", longest=40, required=True).casefold()
            uid = account_uid(
                AccountInfo(provider, document.text(fields["uid"], where="accounts.uid", longest=500, required=True))
            )
            key = f"{provider}:{uid}"
            values = _values(fields, document, provider)
            known = {**DEFAULTS, **stored.get(key, {}), **values}
            if key in entries:
                document.wrong(item, ACCOUNT_TWICE, account=key)
            elif not known["in_scope"] and not known["scope_reason"]:
                document.wrong(item, NO_REASON, account=key)
            entries[key] = Entry(key, item, values)
        return list(entries.values())

    def stored(self) -> dict[str, Values]:
        words = {level: word for word, level in CRITICALITIES.items()}
        return {
            f"{account.provider}:{account.uid}": {
                "name": account.name,
                "environment": account.environment,
                "criticality": words[Criticality(account.criticality)],
                "team": account.team.slug if account.team else "",
                "in_scope": account.in_scope,
                "scope_reason": account.scope_reason,
                "reach": account.options,
            }
            for account in Account.objects.select_related("team")
        }

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = []
        for entry in entries:
            if entry.key not in stored:
                changes.append(Change(self.name, ChangeKind.CREATED, entry.key, {}, {**DEFAULTS, **entry.values}))
                continue
            before, after = difference(stored[entry.key], entry.values)
            if after:
                changes.append(Change(self.name, ChangeKind.CHANGED, entry.key, before, after))
        named = {entry.key for entry in entries}
        for key in sorted(stored.keys() - named) if prune else ():
            before, after = difference(stored[key], {"in_scope": False, "scope_reason": PRUNED})
            if "in_scope" in after:
                changes.append(Change(self.name, ChangeKind.CHANGED, key, before, after))
        return changes

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        keys = {change.key: change.key.partition(":") for change in changes}
        rows = Account.objects.filter(uid__in=[uid for _provider, _colon, uid in keys.values()])
        accounts = {f"{account.provider}:{account.uid}": account for account in rows}
        teams = dict(Team.objects.values_list("slug", "pk"))
        for change in changes:
            provider, _colon, uid = keys[change.key]
            account = accounts.setdefault(change.key, Account(provider=provider, uid=uid, created_at=at))
            for name, value in change.after.items():
                _set(account, name, value, teams)
        Account.objects.bulk_create([account for account in accounts.values() if account.pk is None], batch_size=1000)
        Account.objects.bulk_update(
            [accounts[change.key] for change in changes if change.kind != ChangeKind.CREATED],
            ["name", "environment", "criticality", "team_id", "in_scope", "scope_reason", "options"],
            batch_size=1000,
        )
        log.tell_all(
            self.subject,
            [(accounts[change.key].pk, change.kind.value, dict(change.before), dict(change.after)) for change in changes],
        )

    def export(self, stored: Mapping[str, Values], /) -> Any:
        """Without fields that are as they are when nobody has said anything."""
        exported = []
        for key, account in sorted(stored.items()):
            provider, _colon, uid = key.partition(":")
            told = {name: value for name, value in account.items() if value != DEFAULTS[name]}
            exported.append({"provider": provider, "uid": uid, **told})
        return exported


def _values(fields: Mapping[str, yaml.Node], document: Document, provider: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in fields:
        values["name"] = document.text(fields["name"], where="accounts.name", longest=300)
    if "environment" in fields:
        values["environment"] = _environment(fields["environment"], document)
    if "criticality" in fields:
        values["criticality"] = document.choice(fields["criticality"], CRITICALITIES, where="accounts.criticality") or "unknown"
    if "team" in fields:
        values["team"] = document.team(fields["team"], where="accounts.team")
    if "in_scope" in fields:
        values["in_scope"] = document.flag(fields["in_scope"], where="accounts.in_scope")
    if "scope_reason" in fields:
        values["scope_reason"] = document.text(fields["scope_reason"], where="accounts.scope_reason", longest=300)
    if "reach" in fields:
        values["reach"] = _reach(fields["reach"], document, provider)
    return values


def _reach(node: yaml.Node, document: Document, provider: str) -> dict[str, str]:
    """How verifiers get there; never a secret."""
    given = document.mapping(node, [setting.name for setting in reach.settings_of(provider)], "accounts.reach")
    texts = {name: document.text(value, where=f"accounts.reach.{name}", longest=reach.LONGEST) for name, value in given.items()}
    return {name: text for name, text in texts.items() if text}


def _environment(node: yaml.Node, document: Document) -> str:
    """In the spellings that tags have: `production` is `prod`."""
    if isinstance(node, yaml.ScalarNode) and (named := environment_named(node.value)):
        return named
    return document.choice(node, [value for value in Environment.values if value], where="accounts.environment")


def _set(account: Account, name: str, value: Any, teams: Mapping[str, int]) -> None:
    if name == "team":
        account.team_id = teams[value] if value else None
    elif name == "criticality":
        account.criticality = CRITICALITIES[value].value
    elif name == "reach":
        account.options = dict(value)
    else:
        setattr(account, name, value)
