"""What all AWS verifiers stand on: pages, regions, answers that are not of AWS, and what a batch asks once."""

import pytest
from botocore.parsers import ResponseParserError

from integrations.verifiers import _aws, aws_s3
from tests.cloud import ACCOUNT, REGION
from tests.factories import AT
from triage.ports import Outcome, Target

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}'


def target(name="acme", *, check="s3_bucket_object_versioning", region=REGION, **options):
    return Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=region, asset=f"arn:aws:s3:::{name}", asset_name=name,
        options=options,
    )  # fmt: skip


def test_all_pages_are_read(cloud):
    iam = cloud.client("iam")
    iam.create_user(UserName="alice")
    for number in range(5):
        arn = iam.create_policy(PolicyName=f"p{number}", PolicyDocument=POLICY)["Policy"]["Arn"]
        iam.attach_user_policy(UserName="alice", PolicyArn=arn)
    account = _aws.Account(target(), AT, _aws.Reach(target()))
    found = account.ask_all("iam", "list_attached_user_policies", "AttachedPolicies", UserName="alice", MaxItems=2)
    assert [policy["PolicyName"] for policy in found] == ["p0", "p1", "p2", "p3", "p4"]
    assert len(account.exchanges) == 3


@pytest.mark.parametrize("operation", ["list_objects", "list_object_versions"])
def test_a_first_page_never_passes_for_all(cloud, operation):
    """Its token is more than a name: that is a verifier's bug, and no verdict."""
    with pytest.raises(NotImplementedError):
        _aws._tokens(cloud.client("s3"), operation)


@pytest.mark.parametrize(
    ("region", "option", "asked"),
    [("eu-west-3", "eu-west-1", "eu-west-3"), ("global", "eu-west-1", "eu-west-1"), ("", "", "us-east-1")],
)
def test_a_finding_is_looked_for_in_its_own_region(region, option, asked):
    wanted = target(region=region)
    wanted.options["region"] = option
    assert _aws.Account(wanted, AT, _aws.Reach(wanted)).region == asked


def test_an_answer_that_is_not_of_aws_is_an_error(cloud, monkeypatch):
    def ask(*_words):
        return None, ResponseParserError("<html>")

    monkeypatch.setattr(_aws.Account, "_call", ask)
    assert next(aws_s3.verify([target()], AT)).outcome == Outcome.ERROR


def test_a_batch_enters_once_and_each_judgement_has_its_own_evidence(cloud, monkeypatch):
    for name in ("one", "two"):
        cloud.bucket(name)
    calls = []
    call = _aws.Account._call
    monkeypatch.setattr(_aws.Account, "_call", lambda self, *words: calls.append(words[:2]) or call(self, *words))
    checks = ("s3_bucket_object_versioning", "s3_bucket_no_mfa_delete")
    judgements = list(aws_s3.verify([target(name, check=check) for name in ("one", "two") for check in checks], AT))
    assert calls == [("sts", "get_caller_identity"), ("s3", "get_bucket_versioning"), ("s3", "get_bucket_versioning")]
    assert [[exchange.operation for exchange in each.exchanges] for each in judgements] == [
        ["GetCallerIdentity", "GetBucketVersioning"]
    ] * 4
    assert [each.exchanges[1].request["Bucket"] for each in judgements] == ["one", "one", "two", "two"]
