import json
from datetime import UTC, datetime

import pytest

from integrations.verifiers import aws_sqs
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE
OTHER = "999988887777"


def arn(check):
    return f"arn:aws:{check[:3]}:{REGION}:{ACCOUNT}:orders"


def look(check):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=REGION, asset=arn(check),
        asset_name=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/orders",
    )  # fmt: skip
    return next(aws_sqs.verify([target], AT))


@pytest.fixture
def queue(cloud):
    """Sets attributes of a queue."""
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="orders", Attributes={"SqsManagedSseEnabled": "false"})["QueueUrl"]
    return lambda **attributes: sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


@pytest.fixture
def topic(cloud):
    """Sets an attribute of a topic."""
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    return lambda name, value: sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)


def policy(*conditions, principal="*"):
    one = {"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [one | ({"Condition": said} if said else {}) for said in conditions]}
    )


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (policy(None), FAILS),
        (policy(None, principal={"AWS": "*"}), FAILS),
        (policy(None, principal={"AWS": f"arn:aws:iam::{OTHER}:root"}), PASSES),
        (policy({"ArnEquals": {"aws:SourceArn": f"arn:aws:sns:{REGION}:{OTHER}:x"}}), PASSES),
        (policy({"StringEquals": {"aws:SourceAccount": OTHER}}), PASSES),
        (policy({"Bool": {"aws:SecureTransport": "true"}}), FAILS),
        (policy({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), FAILS),
    ],
)
def test_a_queue_for_everybody(queue, said, outcome):
    assert look("sqs_queues_not_publicly_accessible").outcome == PASSES
    queue(Policy=said)

    assert look("sqs_queues_not_publicly_accessible").outcome == outcome


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (policy(None), FAILS),
        (policy(None, principal={"AWS": f"arn:aws:iam::{OTHER}:root"}), PASSES),
        (policy({"StringEquals": {"AWS:SourceOwner": ACCOUNT}}), PASSES),
        (policy({"StringEquals": {"AWS:SourceOwner": OTHER}}), FAILS),
        (policy({"StringEquals": {"aws:PrincipalOrgID": "o-acme"}}), PASSES),
        (policy({"StringLike": {"aws:PrincipalOrgID": "o-*"}}), FAILS),
        (policy({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::acme-public-assets"}}), PASSES),
        (policy({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}), FAILS),
        (policy({"StringLike": {"SNS:Endpoint": "https://events.example.com/a"}}), PASSES),
        (policy({"StringLike": {"SNS:Endpoint": "*@example.com"}}), PASSES),
        (policy({"StringLike": {"SNS:Endpoint": "someone@*"}}), FAILS),
        (policy({"StringEquals": {"AWS:SourceOwner": ACCOUNT}}, None), FAILS),
    ],
)
def test_a_topic_for_everybody(topic, said, outcome):
    assert look("sns_topics_not_publicly_accessible").outcome == PASSES
    topic("Policy", said)

    assert look("sns_topics_not_publicly_accessible").outcome == outcome


@pytest.mark.parametrize("repaired", [{"SqsManagedSseEnabled": "true"}, {"KmsMasterKeyId": "alias/aws/sqs"}])
def test_encryption_of_a_queue(queue, repaired):
    failing = look("sqs_queues_server_side_encryption_enabled")
    queue(**repaired)

    assert (failing.outcome, look("sqs_queues_server_side_encryption_enabled").outcome) == (FAILS, PASSES)


def test_encryption_of_a_topic(topic):
    failing = look("sns_topics_kms_encryption_at_rest_enabled")
    topic("KmsMasterKeyId", "alias/aws/sns")

    assert (failing.outcome, look("sns_topics_kms_encryption_at_rest_enabled").outcome) == (FAILS, PASSES)


@pytest.mark.parametrize("check", sorted(aws_sqs.JUDGES))
def test_what_is_no_verdict(cloud, monkeypatch, check):
    assert look(check).outcome == GONE
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check)

    assert answer.outcome == Outcome.DENIED
    assert answer.missing == ("sqs:GetQueueUrl" if check.startswith("sqs") else "sns:GetTopicAttributes")
