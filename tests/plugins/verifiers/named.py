"""A verifier that answers what the bucket's name says: `fixed-7`, `failing-8`, `denied-9`, `killed-1` and `interrupted-2` (once). For many at a time.

While ROLL is a folder, each batch signs in and out there, so that a test sees which batches were at an account at once.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.plugins.verifiers.told import judgement
from triage.ports import Judgement, Outcome, Target

LABEL = "Named"
CHECKS = frozenset({("prowler", "named")})
ROLL: list[Path] = []
PAUSE = 0.02  # seconds a batch takes at least, so that others meet it


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    _sign(targets[0].account, "in")
    try:
        yield from map(partial(_judgement, at), targets)
    finally:  # nobody waits for the end of the last answer
        _sign(targets[0].account, "out")


def _judgement(at: datetime, target: Target) -> Judgement:
    word = target.asset_name.partition("-")[0]
    if word in ("killed", "interrupted") and not (died := ROLL[0] / f"{target.asset_name}.died").exists():
        died.touch()
        if word == "interrupted":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGKILL)
    outcome = Outcome(word) if word in tuple(Outcome) else Outcome.FIXED
    return judgement(outcome, at, missing="s3:GetBucketAcl" if outcome == Outcome.DENIED else "")


def _sign(account: str, way: str) -> None:
    if not ROLL:
        return
    if way == "out":
        time.sleep(PAUSE)
    with (ROLL[0] / "roll").open("a") as roll:
        roll.write(f"{time.monotonic_ns()} {account} {1 if way == 'in' else -1}\n")


def at_once(account: str) -> int:
    """How many batches were at the account at the same time, at most."""
    steps = sorted(line.split() for line in (ROLL[0] / "roll").read_text().splitlines())
    standing = most = 0
    for _at, where, step in steps:
        standing += int(step) if where == account else 0
        most = max(most, standing)
    return most
