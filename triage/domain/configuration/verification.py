"""When verifications are asked for by themselves, in the configuration file. A field that it does not give stays as it is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from triage.domain.audit import Recording
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.configuration.sla import NO_NUMBER
from triage.domain.verification import policy

FLAGS = ("on_claim", "on_report")
FIELDS = (*FLAGS, "again_days")
LONGEST = 365
KEY = "policy"


class VerificationSection:
    """The section `verification`: on_claim, on_report, again_days."""

    name = "verification"
    subject = "verification policy"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:  # noqa: ARG002
        fields = document.mapping(node, FIELDS, self.name)
        values: dict[str, Any] = {
            name: document.flag(fields[name], where=f"{self.name}.{name}") for name in FLAGS if name in fields
        }
        if "again_days" in fields:
            text = document.text(fields["again_days"], where=f"{self.name}.again_days", longest=20)
            if text.isdecimal() and int(text) <= LONGEST:
                values["again_days"] = int(text)
            else:
                document.wrong(
                    fields["again_days"], NO_NUMBER, where=f"{self.name}.again_days", least=0, most=LONGEST, found=text
                )
        return [Entry(KEY, node, values)]

    def stored(self) -> dict[str, Values]:
        found = policy.in_force()
        return {KEY: {name: getattr(found, name) for name in FIELDS}}

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:  # noqa: ARG002
        changes = []
        for entry in entries:
            before, after = difference(stored[KEY], entry.values)
            if after:
                changes.append(Change(self.name, ChangeKind.CHANGED, KEY, before, after))
        return changes

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:  # noqa: ARG002
        for change in changes:
            policy.put(change.after, log=log)

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return dict(stored[KEY])
