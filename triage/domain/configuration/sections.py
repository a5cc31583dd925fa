"""What a section of the configuration file is: one noun, read from the file, compared with what is stored, and written.

A further noun joins by a module with a Section and a line in `applying.SECTIONS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import yaml

from triage.domain.audit import Recording
from triage.domain.configuration.document import Document

Values = Mapping[str, Any]  # fields of one thing, in the form in which the file has them


class ChangeKind(StrEnum):
    """What becomes of a thing; also the kind of its audit event."""

    CREATED = "created"
    CHANGED = "changed"
    ARCHIVED = "archived"
    RESTORED = "restored"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing that the file names: its key in the section, where it is, and the fields that the file gives."""

    key: str
    node: yaml.Node
    values: Values


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between the file and what is stored. `before`, `after`: the fields that differ, {} where there is nothing."""

    section: str
    kind: ChangeKind
    key: str
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)


class Section(Protocol):
    """`name`: its key in the file. `subject`: of its audit events.

    `read` notes what is wrong in the document. `stored` and `plan` speak of things in the file's form; `export` gives the value
    that the file would have. `write` is called inside a recording, with the changes that `plan` made of what the file says.
    """

    name: str
    subject: str

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]: ...

    def stored(self) -> dict[str, Values]: ...

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]: ...

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None: ...

    def export(self, stored: Mapping[str, Values], /) -> Any: ...


def difference(stored: Values, wanted: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the fields that are wanted, those that differ: before and after."""
    names = [name for name in wanted if stored.get(name) != wanted[name]]
    return {name: stored.get(name) for name in names}, {name: wanted[name] for name in names}
