"""What the collector finds in an account, what it says when it may not look, and that one asset alone looks as it did in the list."""

import json

import pytest

from integrations.collectors import aws
from tests.cloud import ACCOUNT, REGION
from tests.factories import AT
from triage.ports import Collected, FactType, Listed, Outcome, Target, Uncollected

ANYBODY = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
READ = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": ["s3:Get*", "sqs:*"], "Resource": "arn:aws:s3:::acme/*"},
}
PYTHON = {
    FactType.FLAG: bool, FactType.NUMBER: (int, float), FactType.TEXT: str, FactType.AGE: str, FactType.TEXTS: list,
    FactType.PATTERNS: list, FactType.PORTS: list,
}  # fmt: skip


def target(**values):
    said = {"region": "", "asset": "", "asset_name": "", "options": {"regions": REGION, "region": REGION}, **values}
    return Target(scanner="cspm", check="", provider="aws", account=ACCOUNT, **said)


@pytest.fixture
def estate(cloud):
    """One asset at least of each kind."""
    iam, ec2 = cloud.client("iam"), cloud.client("ec2")
    iam.create_role(RoleName="forgotten", AssumeRolePolicyDocument=json.dumps(ANYBODY), Tags=[{"Key": "team", "Value": "web"}])
    iam.put_role_policy(RoleName="forgotten", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    arn = iam.create_policy(PolicyName="reads", PolicyDocument=json.dumps(READ), Tags=[{"Key": "team", "Value": "data"}])[
        "Policy"
    ]["Arn"]
    iam.attach_role_policy(RoleName="forgotten", PolicyArn=arn)
    iam.create_user(UserName="alice", Tags=[{"Key": "team", "Value": "web"}])
    iam.create_group(GroupName="readers")
    iam.attach_group_policy(GroupName="readers", PolicyArn=arn)
    iam.add_user_to_group(GroupName="readers", UserName="alice")
    iam.create_access_key(UserName="alice")
    cloud.bucket("acme")
    cloud.open("acme")
    cloud.client("s3").put_bucket_tagging(Bucket="acme", Tagging={"TagSet": [{"Key": "team", "Value": "web"}]})
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    group = ec2.create_security_group(GroupName="door", Description="open")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5439, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        ],
    )
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="orders", DBInstanceClass="db.t3.medium", Engine="postgres", MasterUsername="acme",
        MasterUserPassword="not-a-real-one", AllocatedStorage=20, Tags=[{"Key": "team", "Value": "data"}],
    )  # fmt: skip
    cloud.client("kms").create_key(Tags=[{"TagKey": "team", "TagValue": "data"}])
    cloud.client("sqs").create_queue(QueueName="orders", tags={"team": "web"})
    cloud.client("sns").create_topic(Name="alarms", Tags=[{"Key": "team", "Value": "web"}])
    cloud.bucket("trails")
    cloud.client("cloudtrail").create_trail(Name="all", S3BucketName="trails", TagsList=[{"Key": "team", "Value": "sec"}])
    return cloud


def gathered(found):
    return {(each.kind, each.name): each for each in found if isinstance(each, Collected)}


def test_an_account_is_enumerated_with_facts_and_tags(estate):
    found = list(aws.collect(target(), AT))

    assert not [each for each in found if isinstance(each, Uncollected)]
    assets = gathered(found)
    assert {kind for kind, _name in assets} == set(aws.KINDS)
    assert {each.kind for each in found if isinstance(each, Listed)} == set(aws.KINDS)
    role = assets["iam_role", "forgotten"]
    assert (role.uid, role.region, role.tags) == (f"arn:aws:iam::{ACCOUNT}:role/forgotten", REGION, (("team", "web"),))
    assert role.facts["permissions"] == ["*", "s3:Get*", "sqs:*"]
    assert role.facts["permissions_everywhere"] == ["*"]
    assert role.facts["trust_policy"] == ["*"]
    assert role.facts["trusts_anyone"] is True
    assert role.facts["attached_policies"] == ["reads"]
    user = assets["iam_user", "alice"]
    assert user.facts["permissions"] == ["s3:Get*", "sqs:*"]
    assert (user.facts["mfa"], user.facts["console_access"], user.facts["active_access_keys"]) == (False, False, 1)
    bucket = assets["s3_bucket", "acme"]
    assert (bucket.facts["public"], bucket.facts["blocks_public_access"], bucket.tags) == (True, False, (("team", "web"),))
    (door,) = [each for each in assets.values() if each.facts.get("group_name") == "door"]
    assert (door.facts["open_ports"], door.facts["ports"]) == (["22"], ["22", "5432-5439"])
    assert assets["rds_instance", "orders"].tags == (("team", "data"),)
    assert assets["sqs_queue", "orders"].tags == (("team", "web"),)
    assert assets["cloudtrail_trail", "all"].tags == (("team", "sec"),)
    assert assets["account", ACCOUNT].facts["password_policy"] is False


def test_each_fact_is_declared_and_of_its_type(estate):
    for each in gathered(aws.collect(target(), AT)).values():
        declared = {fact.name: fact for fact in aws.KINDS[each.kind].facts}
        assert set(each.facts) == set(declared), each.kind
        for name, value in each.facts.items():
            assert isinstance(value, PYTHON[declared[name].type]), (each.kind, name)
            assert declared[name].type is FactType.FLAG or not isinstance(value, bool), (each.kind, name)


def test_one_asset_alone_looks_as_it_does_in_the_list(estate):
    listed = gathered(aws.collect(target(), AT))
    asked = [
        (each.kind, target(asset=each.uid, asset_name=each.name, region="" if ":iam::" in each.uid else each.region))
        for each in listed.values()
    ]

    looked = list(aws.look(asked, AT))

    assert [one.collected for one in looked] == list(listed.values())
    assert all(one.judgement.exchanges and one.judgement.outcome == Outcome.CANNOT for one in looked)


def test_what_is_deleted_is_gone(estate):
    gone = {
        "iam_role": f"arn:aws:iam::{ACCOUNT}:role/nobody", "iam_user": f"arn:aws:iam::{ACCOUNT}:user/nobody",
        "iam_policy": f"arn:aws:iam::{ACCOUNT}:policy/nobody", "s3_bucket": "arn:aws:s3:::nobody",
        "rds_instance": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:nobody",
        "kms_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef",
        "cloudtrail_trail": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/nobody", "sqs_queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:nobody",
        "sns_topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:nobody", "ec2_instance": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0",
        "ebs_volume": f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-0123456789abcdef0",
        "security_group": f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-0123456789abcdef0",
        "vpc": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-0123456789abcdef0",
    }  # fmt: skip
    assert gone.keys() == aws.KINDS.keys() - {"account"}
    looked = aws.look([(kind, target(asset=arn, region=REGION)) for kind, arn in gone.items()], AT)
    assert {kind: one.judgement.outcome for kind, one in zip(gone, looked, strict=True)} == dict.fromkeys(gone, Outcome.GONE)


def test_without_rights_nothing_counts_as_listed(estate, monkeypatch):
    with estate.allowing_nothing(monkeypatch):
        found = list(aws.collect(target(), AT))

    (account,) = [each for each in found if isinstance(each, Collected)]
    assert (account.kind, account.facts) == ("account", {})
    assert [each.kind for each in found if isinstance(each, Listed)] == ["account"]
    denied = {each.kind: each.missing for each in found if isinstance(each, Uncollected) and not each.asset}
    assert denied["iam_role"] == "iam:GetAccountAuthorizationDetails"
    assert denied["s3_bucket"] == "s3:ListAllMyBuckets"
    assert denied.keys() == aws.KINDS.keys() - {"account"}


def test_a_permission_that_is_missing_costs_its_facts_alone(estate, monkeypatch):
    but = {"Effect": "Deny", "Action": "s3:GetBucketVersioning", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, but]}
    with estate.enforcing(policy) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        found = list(aws.collect(target(), AT))

    lacking = [each for each in found if isinstance(each, Uncollected)]
    assert {(each.kind, each.missing, each.facts) for each in lacking} == {
        ("s3_bucket", "s3:GetBucketVersioning", ("versioning", "mfa_delete"))
    }
    facts = gathered(found)["s3_bucket", "acme"].facts
    assert "versioning" not in facts
    assert facts["public"] is True
    assert {each.kind for each in found if isinstance(each, Listed)} == set(aws.KINDS)


@pytest.mark.slow
def test_all_enabled_regions_are_looked_at(cloud):
    cloud.client("sqs", region="ap-south-1").create_queue(QueueName="far")
    found = list(aws.collect(target(options={}), AT))
    assert gathered(found)["sqs_queue", "far"].region == "ap-south-1"
    assert len({each.regions for each in found if isinstance(each, Listed) and each.kind == "vpc"}) > 10


def test_credentials_of_another_account_collect_nothing(cloud):
    stranger = Target("cspm", "", "aws", "999999999999", "", "", "")
    (only,) = aws.collect(stranger, AT)
    assert (only.kind, only.region) == ("", "")
