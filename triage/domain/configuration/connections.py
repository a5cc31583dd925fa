"""Connections in the configuration file: where tickets and messages go. Secrets stand there as `env:NAME` alone.

A connection that the file does not name stays as it is; with pruning it is switched off. Settings that it does not give stay.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import connections, vault
from triage.domain.audit import Recording
from triage.domain.configuration.calendars import WRONG
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.connections import KINDS, Wanted
from triage.domain.errors import Invalid
from triage.models import Connection, Disclosure

FIELDS = ("plugin", "settings", "secrets", "teams", "disclosure", "per_second", "off")
DEFAULTS: Values = {
    "plugin": "",
    "settings": {},
    "secrets": {},
    "teams": {},
    "disclosure": "full",
    "per_second": None,
    "off": False,
}
IN_THE_CLEAR = _("Line %(line)s: the secret “%(name)s” is in the file. Write env:NAME, and set NAME where CSPM Triage runs.")


class Connections:
    """The section `connections`: a mapping from names to plugin, settings, secrets, teams, disclosure."""

    name = "connections"
    subject = "connection"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries = []
        for key, body in document.mapping(node, None, "connections").items():
            values = {name: _plain(value) for name, value in document.mapping(body, FIELDS, f"connections.{key}").items()}
            for name, secret in (values.get("secrets") or {}).items():
                if not str(secret).startswith(vault.FROM_ENVIRONMENT):
                    document.wrong(body, IN_THE_CLEAR, name=name)
            try:
                connections.check(wanted(key, {**DEFAULTS, **stored.get(key, {}), **values}))
            except Invalid as error:
                document.wrong(body, WRONG, what=gettext(error.text.message) % error.text.params)
            entries.append(Entry(key, body, values))
        return entries

    def stored(self) -> dict[str, Values]:
        return {
            row.name: {
                "plugin": row.plugin, "settings": {name: value for name, value in row.options.items() if name != "teams"},
                "secrets": {name: kept for name, kept in row.secrets.items() if kept.startswith(vault.FROM_ENVIRONMENT)},
                "teams": row.options.get("teams", {}), "disclosure": str(row.disclosure), "per_second": row.per_second,
                "off": row.state == Connection.State.OFF,
            }
            for row in Connection.objects.exclude(plugin="files")
        }  # fmt: skip

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = []
        for entry in entries:
            known = {**DEFAULTS, **stored.get(entry.key, {})}
            values = {**entry.values}
            for name in ("settings", "secrets"):
                if name in values:
                    values[name] = {**known[name], **values[name]}
            before, after = difference(known, values)
            if after:
                kind = ChangeKind.CHANGED if entry.key in stored else ChangeKind.CREATED
                changes.append(Change(self.name, kind, entry.key, before, after))
        named = {entry.key for entry in entries}
        left = [key for key in sorted(stored.keys() - named) if prune and not stored[key]["off"]]
        changes += [Change(self.name, ChangeKind.ARCHIVED, key, {"off": False}, {"off": True}) for key in left]
        return changes

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        stored = self.stored()
        for change in changes:
            connections.write(wanted(change.key, {**DEFAULTS, **stored.get(change.key, {}), **change.after}), log=log, at=at)

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return {
            key: {name: value for name, value in values.items() if value not in ({}, None, False)}
            for key, values in sorted(stored.items())
        }  # fmt: skip


def wanted(name: str, values: Values) -> Wanted:
    """A connection's values in the file, as the domain takes them."""
    plugin = str(values["plugin"])
    kind = next((kind for kind in KINDS if plugin in plugins.names(kind)), KINDS[0])
    rate = values["per_second"]
    return Wanted(
        name=name, kind=kind, plugin=plugin, given={**values["settings"], **values["secrets"]}, teams=values["teams"],
        disclosure=str(values["disclosure"] or Disclosure.FULL), per_second=float(rate) if rate is not None else None,
        off=bool(values["off"]),
    )  # fmt: skip


def _plain(node: yaml.Node) -> Any:
    """The value of a node as YAML reads it."""
    return yaml.safe_load(yaml.serialize(node))
