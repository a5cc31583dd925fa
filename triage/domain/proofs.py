"""What proves a fix, for people: what a check was answered before and after, side by side. Reading evidence is itself an event."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.domain import evidence
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import NotFound
from triage.models import Finding, Verification
from triage.ports import Outcome

LONGEST = 400  # lines of an answer that are shown; the whole is in the file


@dataclass(frozen=True, slots=True)
class Line:
    """A line of what was answered. `changed`: the other side says something else there."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """What one operation was answered before and after. `cut`: lines are left out at the end."""

    operation: str
    before: Sequence[Line]
    after: Sequence[Line]
    cut: bool

    @property
    def changed(self) -> bool:
        return any(line.changed for line in (*self.before, *self.after))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The newest proof that the check failed, and of those after it the newest that says otherwise; None where there is none."""

    before: Verification | None
    after: Verification | None
    pairs: Sequence[Pair]


def compared(*, finding: Finding, actor: Actor, at: datetime) -> Comparison:
    """Before and after. Raises NotAllowed, NotFound without any evidence, Damaged."""
    actor.demand(Right.VIEW)
    kept = list(finding.verifications.filter(evidence__isnull=False).select_related("evidence").order_by("-pk")[:50])
    failing = next((run for run in kept if run.outcome == Outcome.FAILING), None)
    passing = next((run for run in kept if run.outcome in (Outcome.FIXED, Outcome.GONE)), None)
    if failing is None and passing is None:
        raise NotFound(_("There is no evidence for %(finding)s yet. Rerun its check."), finding=str(finding))
    contents = [_content(run) for run in (failing, passing)]
    _note(finding, [run for run in (failing, passing) if run], actor=actor, at=at)
    return Comparison(failing, passing, list(_pairs(*contents)))


def fetched(*, verification: int, actor: Actor, at: datetime) -> tuple[Verification, bytes]:
    """The evidence of a verification as it was kept. Raises NotAllowed, NotFound, Damaged."""
    actor.demand(Right.VIEW)
    run = Verification.objects.filter(pk=verification, evidence__isnull=False).select_related("finding", "evidence").first()
    if run is None:
        raise NotFound(_("There is no such evidence."))
    data = evidence.read(bytes.fromhex(str(run.evidence)))
    _note(run.finding, [run], actor=actor, at=at)
    return run, data


def _note(finding: Finding, runs: Sequence[Verification], *, actor: Actor, at: datetime) -> None:
    digests = sorted({str(run.evidence) for run in runs})
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        log.note([finding.pk], "evidence read", after={"sha256": digests})


def _content(run: Verification | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(evidence.read(bytes.fromhex(str(run.evidence)))) if run else {}
    return found


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Pair]:
    """By operation, in the order in which they were asked."""
    left, right = (_answers(content) for content in (before, after))
    for operation in dict.fromkeys([*left, *right]):
        first, second = left.get(operation, []), right.get(operation, [])
        yield Pair(operation, *_marked(first[:LONGEST], second[:LONGEST]), cut=max(len(first), len(second)) > LONGEST)


def _answers(content: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for exchange in content.get("exchanges", []):
        if exchange["service"] == "sts":  # who asked stands above
            continue
        name = f"{exchange['service']}:{exchange['operation']}"
        found.setdefault(name, []).extend(
            json.dumps(exchange["response"], indent=2, ensure_ascii=False, sort_keys=True).splitlines()
        )
    return found


def _marked(before: Sequence[str], after: Sequence[str]) -> tuple[list[Line], list[Line]]:
    left, right = [], []
    for tag, a, b, c, d in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        left += [Line(text, tag != "equal") for text in before[a:b]]
        right += [Line(text, tag != "equal") for text in after[c:d]]
    return left, right
