"""What an import did, in numbers and notes."""

from dataclasses import asdict, dataclass, field
from typing import Any

from triage.ports import Skipped, Text

WARNINGS_KEPT = 10_000


@dataclass(slots=True)
class Summary:
    """Counts as `import --json` prints them. `open`: to be fixed in the scan's scope afterwards. `skipped`: records lost."""

    rows: int = 0
    observations: int = 0
    fail: int = 0
    passed: int = 0
    manual: int = 0
    muted: int = 0
    new: int = 0
    open: int = 0
    fixed: int = 0
    regressed: int = 0
    unreported: int = 0
    back: int = 0
    unchanged: int = 0
    repeated: int = 0
    late: int = 0
    skipped: int = 0
    warnings: int = 0

    def add(self, **counts: int) -> None:
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    def as_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(slots=True)
class Report:
    """Everything that an import has to say besides its changes."""

    summary: Summary = field(default_factory=Summary)
    notes: list[Text] = field(default_factory=list)
    warnings: list[Skipped] = field(default_factory=list)

    def skip(self, skipped: Skipped) -> None:
        """Count a record that was lost or mended; the first ten thousand are kept with their place."""
        self.summary.warnings += 1
        self.summary.rows += skipped.lost
        self.summary.skipped += skipped.lost
        if len(self.warnings) < WARNINGS_KEPT:
            self.warnings.append(skipped)


def text_json(text: Text) -> dict[str, Any]:
    """A Text as it is kept in a column."""
    return {"message": text.message, "params": dict(text.params)}
