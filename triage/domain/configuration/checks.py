"""Checks in the configuration file: what this house says of them. Only checks that some report has named.

A check that the file does not name stays as it is, and so does a field that it does not give. With pruning, nothing is said any more
of what is not named.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain import check_catalogue
from triage.domain.audit import Recording
from triage.domain.check_catalogue import Saying
from triage.domain.configuration.calendars import WRONG
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.configuration.sla import SEVERITIES
from triage.domain.errors import Invalid
from triage.models import Check, Severity

FIELDS = ("severity", "reason", "runbook", "guard")
DEFAULTS: Values = {"severity": "", "reason": "", "runbook": "", "guard": ""}
NO_CHECK = _("Line %(line)s: no report has named the check “%(check)s”. Write it as prowler:s3_bucket_public_access.")


class Checks:
    """The section `checks`: a mapping from `scanner:key` to what is said."""

    name = "checks"
    subject = "check"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries = []
        bodies = document.mapping(node, None, "checks")
        known = _checks(bodies)
        for key, body in bodies.items():
            fields = document.mapping(body, FIELDS, f"checks.{key}")
            values: dict[str, Any] = {}
            if "severity" in fields:
                values["severity"] = document.choice(fields["severity"], SEVERITIES, where=f"checks.{key}.severity")
            for name, longest in (("reason", 500), ("runbook", 1000), ("guard", 1000)):
                if name in fields:
                    values[name] = document.text(fields[name], where=f"checks.{key}.{name}", longest=longest)
            if key not in known:
                document.wrong(body, NO_CHECK, check=key[:200])
            try:
                check_catalogue.check(saying({**DEFAULTS, **stored.get(key, {}), **values}))
            except Invalid as error:
                document.wrong(body, WRONG, what=gettext(error.text.message) % error.text.params)
            entries.append(Entry(key, body, values))
        return entries

    def stored(self) -> dict[str, Values]:
        said = Check.objects.exclude(override=None, runbook="", guard="")
        return {
            f"{row.scanner}:{row.key}": {
                "severity": Severity(row.override).name.casefold() if row.override else "",
                "reason": row.override_reason,
                "runbook": row.runbook,
                "guard": row.guard,
            }
            for row in said
        }

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = []
        for entry in entries:
            known = {**DEFAULTS, **stored.get(entry.key, {})}
            wanted = {**known, **entry.values}
            values = {**entry.values, "reason": wanted["reason"]} if wanted["severity"] else {**entry.values, "reason": ""}
            before, after = difference(known, values)
            if after:
                changes.append(Change(self.name, ChangeKind.CHANGED, entry.key, before, after))
        named = {entry.key for entry in entries}
        for key in sorted(stored.keys() - named) if prune else ():
            before, after = difference(stored[key], DEFAULTS)
            changes.append(Change(self.name, ChangeKind.CHANGED, key, before, after))
        return changes

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        known, stored = _checks(change.key for change in changes), self.stored()
        for change in changes:
            values = {**DEFAULTS, **stored.get(change.key, {}), **change.after}
            check_catalogue.put(known[change.key], saying(values), log=log, at=at)

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return {key: {name: value for name, value in values.items() if value} for key, values in sorted(stored.items())}


def saying(values: Values) -> Saying:
    """A check's values in the file, as the domain takes them."""
    override = SEVERITIES.get(values["severity"])
    return Saying(override, values["reason"] if override else "", values["runbook"], values["guard"])


def _checks(keys: Any) -> dict[str, Check]:
    """Checks by `scanner:key`."""
    wanted = list(keys)
    parted = [key.partition(":") for key in wanted]
    rows = Check.objects.filter(key__in=[key for _scanner, _colon, key in parted])
    found = {f"{row.scanner}:{row.key}": row for row in rows}
    return {key: found[key] for key in wanted if key in found}
