import json
from datetime import UTC, datetime

import pytest

from integrations.verifiers import aws_kms
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE
NEVER = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"


def look(check, asset):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=REGION, asset=asset,
        asset_name=asset.rpartition("/")[2],
    )  # fmt: skip
    return next(aws_kms.verify([target], AT))


def named(key):
    """moto wants the id where AWS takes the ARN, too."""
    return key.rpartition("/")[2]


@pytest.fixture
def kms(cloud):
    return cloud.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


def policy(principal, **condition):
    statement = {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]})


def test_rotation(kms, key):
    failing = look("kms_cmk_rotation_enabled", key)
    kms.enable_key_rotation(KeyId=key)

    assert (failing.outcome, look("kms_cmk_rotation_enabled", key).outcome) == (FAILS, PASSES)


def test_what_was_imported_is_not_rotated(kms):
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]

    assert look("kms_cmk_rotation_enabled", key).outcome == FAILS


@pytest.mark.parametrize(
    "repaired",
    [
        policy({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        policy("*", StringEquals={"kms:CallerAccount": ACCOUNT}),
        policy({"AWS": "*"}, StringLike={"kms:ViaService": "s3.*.amazonaws.com"}),
    ],
)
def test_a_policy_for_everybody(kms, key, repaired):
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy("*"))
    failing = look("kms_key_not_publicly_accessible", key)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=repaired)

    assert (failing.outcome, look("kms_key_not_publicly_accessible", key).outcome) == (FAILS, PASSES)


def test_a_key_that_is_off(kms, key):
    kms.disable_key(KeyId=named(key))
    assert look("kms_cmk_are_used", key).outcome == FAILS
    kms.enable_key(KeyId=named(key))
    assert look("kms_cmk_are_used", key).outcome == PASSES


def test_a_key_that_is_going_to_be_deleted(kms, key):
    kms.schedule_key_deletion(KeyId=named(key), PendingWindowInDays=7)
    assert {check: look(check, key).outcome for check in aws_kms.JUDGES} == {
        "kms_cmk_rotation_enabled": GONE,
        "kms_key_not_publicly_accessible": GONE,
        "kms_cmk_are_used": PASSES,
        "kms_cmk_not_deleted_unintentionally": FAILS,
    }

    kms.cancel_key_deletion(KeyId=named(key))

    assert look("kms_cmk_not_deleted_unintentionally", key).outcome == PASSES


@pytest.mark.parametrize("check", sorted(aws_kms.JUDGES))
def test_what_is_no_verdict(cloud, key, monkeypatch, check):
    assert look(check, NEVER).outcome == GONE
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check, key)

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, "kms:DescribeKey")
