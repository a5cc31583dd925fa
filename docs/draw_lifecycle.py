"""Draw docs/lifecycle.md from the tables in triage.domain.lifecycle: `python -m docs.draw_lifecycle > docs/lifecycle.md`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")

import django

django.setup()

from triage.domain import lifecycle  # noqa: E402 - after django.setup()


def edges(table: dict, label: str) -> list[str]:
    return [f"    {before} --> {after}: {label}" for before, targets in table.items() for after in sorted(targets)]


def drawn() -> str:
    """The page: one state diagram a column."""
    status = [
        *edges(lifecycle.BY_PEOPLE, "a person"),
        *edges(lifecycle.BY_DECISION, "an exception or attestation"),
        *edges(lifecycle.BY_EVIDENCE, "evidence"),
    ]
    presence = edges(lifecycle.PRESENCE, "a scan or a direct look")
    return "\n".join([
        "# Life of a finding",
        "",
        "Drawn from `triage/domain/lifecycle.py` by `python -m docs.draw_lifecycle`. *Status* is what people and evidence decided,",
        "*presence* is what the last scan that covered the finding saw. Nothing but evidence leads to *verified*.",
        "",
        "## Status",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *status,
        "```",
        "",
        "## Presence",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *presence,
        "```",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    print(drawn(), end="")
