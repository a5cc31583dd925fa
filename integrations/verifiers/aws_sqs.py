"""SQS queues and SNS topics: who may use them, encryption. What is fixed here passes in Prowler."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, verified
from integrations.verifiers._aws_policy import for_everybody, is_narrow, listed, restricts, statements
from triage.ports import Judgement, Target, Text

LABEL = "AWS SQS and SNS"

NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
NO_TOPIC = frozenset({"NotFound", "NotFoundException"})
ENDPOINT = re.compile(r".+@[^*]+|https://[^*]+|arn:aws:sns:[^*]+")


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def queue_public(account: Account) -> Verdict:
    policy = json.loads(_queue(account).get("Policy") or "{}")
    return _said(
        public=any(
            statement.get("Effect") == "Allow" and for_everybody(statement) and not restricts(statement.get("Condition") or {})
            for statement in statements(policy)
        )
    )


def queue_encrypted(account: Account) -> Verdict:
    queue = _queue(account)
    own = "SqsManagedSseEnabled" if queue.get("SqsManagedSseEnabled") == "true" else ""
    return _encrypts(own or queue.get("KmsMasterKeyId", ""))


def topic_public(account: Account) -> Verdict:
    """Prowler stops at the first statement with a narrow source; here all statements count."""
    policy = json.loads(_topic(account).get("Policy") or "{}")
    owner = account.target.account
    return _said(
        public=any(
            statement.get("Effect") == "Allow"
            and for_everybody(statement)
            and not _tells_who(statement.get("Condition") or {}, owner)
            for statement in statements(policy)
        )
    )


def topic_encrypted(account: Account) -> Verdict:
    return _encrypts(_topic(account).get("KmsMasterKeyId", ""))


JUDGES: dict[str, Judge] = {
    "sqs_queues_not_publicly_accessible": queue_public,
    "sqs_queues_server_side_encryption_enabled": queue_encrypted,
    "sns_topics_not_publicly_accessible": topic_public,
    "sns_topics_kms_encryption_at_rest_enabled": topic_encrypted,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _queue(account: Account) -> Mapping[str, str]:
    url = account.ask("sqs", "get_queue_url", gone=NO_QUEUE, QueueName=account.name)["QueueUrl"]
    answer = account.ask("sqs", "get_queue_attributes", gone=NO_QUEUE, QueueUrl=url, AttributeNames=["All"])
    attributes: Mapping[str, str] = answer.get("Attributes", {})
    return attributes


def _topic(account: Account) -> Mapping[str, str]:
    answer = account.ask("sns", "get_topic_attributes", gone=NO_TOPIC, TopicArn=account.target.asset)
    attributes: Mapping[str, str] = answer["Attributes"]
    return attributes


def _tells_who(condition: Mapping[str, Any], owner: str) -> bool:
    """The owner's account, one organization, a narrow source, or an endpoint that is written out."""
    sources = _values(condition, "aws:sourcearn")
    endpoints = [
        value
        for operator in ("StringEquals", "StringLike")
        for value in _values({operator: condition.get(operator) or {}}, "sns:endpoint")
    ]
    return (
        restricts(condition, owner=owner)
        or (bool(sources) and is_narrow(sources))
        or (bool(endpoints) and all(ENDPOINT.fullmatch(endpoint) for endpoint in endpoints))
    )


def _values(condition: Mapping[str, Any], wanted: str) -> list[Any]:
    """Of one key, by whatever operators."""
    return [
        value
        for tested in condition.values()
        for key, values in tested.items()
        if key.lower() == wanted
        for value in listed(values)
    ]


def _said(*, public: bool) -> Verdict:
    if public:
        return False, Text(_("The policy lets everybody in."))
    return True, Text(_("The policy does not let everybody in."))


def _encrypts(key: str) -> Verdict:
    if key:
        return True, Text(_("What is stored is encrypted with %(key)s."), {"key": key})
    return False, Text(_("What is stored is not encrypted."))
