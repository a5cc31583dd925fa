"""One key for one finding, whatever generation, format or session region a report comes from."""

import pytest

from triage.domain.ingest import identity
from triage.ports import AccountInfo, CheckInfo, Observation, Severity, Verdict

CHECK = CheckInfo("check")
ACCOUNT = AccountInfo("aws", "123456789012")


def seen(asset: str, name: str = "", region: str = "eu-west-1", **more: object) -> Observation:
    kind = str(more.pop("asset_type", ""))
    return Observation(0, CHECK, Verdict.FAIL, Severity.HIGH, ACCOUNT, region, asset, name, kind, (), "", None, **more)


def key(observation: Observation, provider: str = "aws", account: str = "123456789012") -> bytes:
    uid, qualifier, _home = identity.RULES.get(provider, identity.other)(observation)
    return identity.finding_key("prowler\x1fcheck", identity.asset_key(identity.prefix(provider, account), uid), qualifier)


def test_session_region_of_a_global_service_is_no_part_of_the_key():
    one = seen("arn:aws:iam:eu-west-1:123456789012:password-policy", "123456789012", "eu-west-1")
    other = seen("arn:aws:iam:eu-west-3:123456789012:password-policy", "123456789012", "eu-west-3")

    assert key(one) == key(other)
    assert identity.aws(one)[2] == ""


def test_region_counts_where_the_arn_has_none():
    assert key(seen("arn:aws:s3:::logs", "logs", "eu-west-1")) != key(seen("arn:aws:s3:::logs", "logs", "us-east-1"))
    assert key(seen("arn:aws:ec2:eu-west-1:1:vpc/x", "x", "eu-west-1")) == key(
        seen("arn:aws:ec2:eu-west-1:1:vpc/x", "x", "elsewhere")
    )


def test_stand_in_is_one_a_region():
    uid = "arn:aws:cloudtrail:eu-west-1:123456789012:trail"

    assert key(seen(uid, "123456789012", "eu-west-1", stand_in=True)) != key(
        seen(uid, "123456789012", "eu-west-3", stand_in=True)
    )


def test_policies_of_one_user_are_told_apart_by_name():
    user = "arn:aws:iam::123456789012:user/ana"

    assert key(seen(user, "ana/read")) != key(seen(user, "ana/write"))


@pytest.mark.parametrize("name", ["", "sg-1"])
def test_name_that_is_the_tail_of_the_arn_says_nothing_more(name):
    assert key(seen("arn:aws:ec2:eu-west-1:1:security-group/sg-1", name)) == key(
        seen("arn:aws:ec2:eu-west-1:1:security-group/sg-1")
    )


def test_name_that_only_ends_like_the_arn_counts():
    assert key(seen("arn:aws:iam::1:user/joana", "ana")) != key(seen("arn:aws:iam::1:user/joana", "joana"))


def test_discriminator_tells_two_findings_of_one_asset_apart():
    assert key(seen("arn:aws:s3:::logs", discriminator="a")) != key(seen("arn:aws:s3:::logs", discriminator="b"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("web-5d4f8c7b9-x2k4q", "web-5d4f8c7b9-zz9pp", True),
        ("web-5d4f8c7b9-x2k4q", "api-5d4f8c7b9-x2k4q", False),
        ("etcd-minikube", "etcd-minikube", True),
    ],
)
def test_pod_is_the_same_after_a_roll_out(one, other, same):
    keys = [key(seen(f"uid-{name}", name, "namespace: shop", asset_type="Pod"), "kubernetes", "cluster") for name in (one, other)]

    assert (keys[0] == keys[1]) is same


def test_azure_needs_uid_and_name():
    uid = "/subscriptions/1"

    assert key(seen(uid, "Defender plan VMs"), "azure") != key(seen(uid, "Defender plan SQL"), "azure")
    assert key(seen("/Subscriptions/1", "x"), "azure") == key(seen(uid, "x"), "azure")


@pytest.mark.parametrize(
    ("uid", "expected"), [("18134828551", "018134828551"), (" 123456789012 ", "123456789012"), ("acme", "acme")]
)
def test_aws_account_has_twelve_digits(uid, expected):
    assert identity.account_uid(AccountInfo("aws", uid)) == expected
