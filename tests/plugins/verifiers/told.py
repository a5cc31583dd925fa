"""A verifier that answers what a test tells it to."""

import os
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime

from triage.ports import Exchange, Judgement, Outcome, Target, Text

LABEL = "Told"
CHECKS = frozenset({("prowler", "told")})
ANSWERS: list[Judgement | Exception | str] = []
ASKED: list[Target] = []


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    for target in targets:
        ASKED.append(target)
        answer = ANSWERS.pop(0)
        if answer == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(answer, Exception):
            raise answer
        yield answer


def judgement(
    outcome: Outcome, at: datetime, *, missing: str = "", response: dict | None = None, evidence: bool = True
) -> Judgement:
    exchange = Exchange(
        service="s3", operation="GetBucketAcl", request={"Bucket": "acme"}, response=response or {"Grants": []},
        request_id="REQ-1", region="eu-west-1", at=at,
    )  # fmt: skip
    return Judgement(
        outcome, Text("The bucket is %(state)s.", {"state": outcome}), exchanges=(exchange,) if evidence else (),
        principal="arn:aws:sts::123456789012:assumed-role/auditor/x", missing=missing, tools={"boto3": "1"},
    )  # fmt: skip
