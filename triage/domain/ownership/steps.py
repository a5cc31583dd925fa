"""What the chain said, step by step, as it is stored and shown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from triage.ports import Text


class Result(StrEnum):
    """What one step said. NO_TEAM: there was something to read, and it names nobody here."""

    MATCHED = "matched"
    NO_TEAM = "no team"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """`rule`: id of the OwnerRule, None for a step of the default chain or a hand. `kind`: of the rule, or `hand`."""

    rule: int | None
    kind: str
    name: str
    result: Result
    why: Text


@dataclass(frozen=True, slots=True)
class Resolution:
    """The chain's answer: a team or nobody, how it came to that, and the digest under which the explanation is stored."""

    team_id: int | None
    steps: tuple[Step, ...]
    digest: bytes

    @property
    def decisive(self) -> Step | None:
        """The step that named the team."""
        return next((step for step in self.steps if step.result == Result.MATCHED), None)


def resolution(team_id: int | None, steps: Iterable[Step]) -> Resolution:
    """The answer with its digest."""
    steps = tuple(steps)
    return Resolution(team_id, steps, digest(steps, team_id))


def digest(steps: Sequence[Step], team: int | None) -> bytes:
    """BLAKE2b-128 of the explanation and the team: equal answers are stored once."""
    text = json.dumps([team, to_json(steps)], ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).digest()


def to_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """As OwnerTrail.steps keeps them."""
    return [
        {
            "rule": step.rule,
            "kind": step.kind,
            "name": step.name,
            "result": step.result.value,
            "why": {"message": step.why.message, "params": dict(step.why.params)},
        }
        for step in steps
    ]


def from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Steps as OwnerTrail.steps keeps them."""
    return tuple(
        Step(
            rule=step["rule"],
            kind=step["kind"],
            name=step["name"],
            result=Result(step["result"]),
            why=Text(step["why"]["message"], step["why"]["params"]),
        )
        for step in stored
    )
