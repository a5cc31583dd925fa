import json
from datetime import UTC, datetime

import pytest

from integrations.verifiers import aws_s3
from tests.cloud import ACCOUNT, BLOCK, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
NAME = "acme-public-assets"


def look(check, *, name=NAME, account=ACCOUNT, options=None):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=account, region=REGION, asset=f"arn:aws:s3:::{name}", asset_name=name,
        options=options or {},
    )  # fmt: skip
    return next(aws_s3.verify([target], AT))


@pytest.fixture
def s3(cloud):
    cloud.bucket(NAME)
    return cloud.client("s3")


def put_policy(s3, *statements):
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(action="s3:GetObject", principal="*", condition=None):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": f"arn:aws:s3:::{NAME}/*"}
    return statement | ({"Condition": condition} if condition else {})


def deny_plain(action="s3:*", value="false"):
    return {
        "Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{NAME}/*",
        "Condition": {"Bool": {"aws:SecureTransport": value}},
    }  # fmt: skip


# --- each check, broken and repaired ------------------------------------------------------------------------------------------


def encrypt(algorithm):
    rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]}
    return lambda s3: s3.put_bucket_encryption(Bucket=NAME, ServerSideEncryptionConfiguration=rule)


def version(**configuration):
    return lambda s3: s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration=configuration)


def acl(name):
    return lambda s3: s3.put_bucket_acl(Bucket=NAME, ACL=name)


def everybody_reads_and_writes(s3):
    """moto shows the first grant alone of the canned ACL `public-read-write`."""
    everybody = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'
    s3.put_bucket_acl(Bucket=NAME, GrantRead=everybody, GrantWrite=everybody)


def policy(*statements):
    return lambda s3: put_policy(s3, *statements)


def block(**settings):
    return lambda s3: s3.put_public_access_block(Bucket=NAME, PublicAccessBlockConfiguration=settings)


def own(rule):
    controls = {"Rules": [{"ObjectOwnership": rule}]}
    return lambda s3: s3.put_bucket_ownership_controls(Bucket=NAME, OwnershipControls=controls)


TOPIC = {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:x", "Events": ["s3:ObjectCreated:*"]}


def notify(**configuration):
    return lambda s3: s3.put_bucket_notification_configuration(Bucket=NAME, NotificationConfiguration=configuration)


def expire(status):
    rule = {"ID": "old", "Status": status, "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    return lambda s3: s3.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": [rule]})


def lock(s3):
    version(Status="Enabled")(s3)
    s3.put_object_lock_configuration(Bucket=NAME, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})


def nothing(s3):
    pass


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("s3_bucket_public_access", acl("public-read"), acl("private")),
        ("s3_bucket_public_access", acl("authenticated-read"), acl("private")),
        ("s3_bucket_public_access", acl("public-read"), block(**BLOCK)),
        ("s3_bucket_public_access", policy(allow()), policy(deny_plain())),
        ("s3_bucket_public_access", policy(allow()), block(**BLOCK)),
        ("s3_bucket_public_list_acl", acl("public-read"), acl("private")),
        ("s3_bucket_public_write_acl", everybody_reads_and_writes, acl("public-read")),
        ("s3_bucket_policy_public_write_access", policy(allow(["s3:GetObject", "s3:PutObject"])), policy(allow("s3:GetObject"))),
        ("s3_bucket_policy_public_write_access", policy(allow("s3:*")), block(RestrictPublicBuckets=True)),
        ("s3_bucket_level_public_access_block", nothing, block(IgnorePublicAcls=True, RestrictPublicBuckets=True)),
        ("s3_bucket_default_encryption", nothing, encrypt("AES256")),
        ("s3_bucket_kms_encryption", encrypt("AES256"), encrypt("aws:kms")),
        ("s3_bucket_object_versioning", version(Status="Suspended"), version(Status="Enabled")),
        ("s3_bucket_secure_transport_policy", nothing, policy(deny_plain())),
        (
            "s3_bucket_secure_transport_policy",
            policy(deny_plain("s3:GetObject")),
            policy(deny_plain(["s3:PutObject", "s3:GetObject"])),
        ),
        ("s3_bucket_secure_transport_policy", policy(deny_plain(value="true")), policy(deny_plain("*"))),
        ("s3_bucket_acl_prohibited", own("ObjectWriter"), own("BucketOwnerEnforced")),
        ("s3_bucket_cross_account_access", policy(allow()), policy(deny_plain())),
        ("s3_bucket_event_notifications_enabled", notify(), notify(TopicConfigurations=[TOPIC])),
        ("s3_bucket_lifecycle_enabled", expire("Disabled"), expire("Enabled")),
        ("s3_bucket_object_lock", nothing, lock),
    ],
)
def test_what_is_broken_fails_and_what_is_repaired_is_fixed(s3, check, broken, repaired):
    broken(s3)
    failing = look(check)
    repaired(s3)
    fixed = look(check)

    assert (failing.outcome, fixed.outcome) == (Outcome.FAILING, Outcome.FIXED)


def test_each_declared_check_has_a_judge_and_an_answer(s3):
    assert {check for _scanner, check in aws_s3.CHECKS} == set(aws_s3.JUDGES)
    for check in aws_s3.JUDGES:
        assert look(check).outcome in (Outcome.FIXED, Outcome.FAILING), check


def test_mfa_delete_is_read_from_the_versioning(s3):
    assert look("s3_bucket_no_mfa_delete").outcome == Outcome.FAILING


def test_access_logging_is_a_setting_of_the_bucket(s3, cloud):
    cloud.bucket("acme-logs")
    cloud.client("s3").put_bucket_acl(Bucket="acme-logs", ACL="log-delivery-write")
    assert look("s3_bucket_server_access_logging_enabled").outcome == Outcome.FAILING

    s3.put_bucket_logging(
        Bucket=NAME, BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "acme-logs", "TargetPrefix": "x/"}}
    )

    assert look("s3_bucket_server_access_logging_enabled").outcome == Outcome.FIXED


def test_a_block_of_the_whole_account_closes_its_buckets(s3, cloud):
    everybody_reads_and_writes(s3)
    put_policy(s3, allow("s3:PutObject"))
    checks = (
        "s3_bucket_public_access", "s3_bucket_public_list_acl", "s3_bucket_public_write_acl",
        "s3_bucket_policy_public_write_access", "s3_account_level_public_access_blocks",
    )  # fmt: skip
    assert [look(check).outcome for check in checks] == [Outcome.FAILING] * 5

    cloud.client("s3control").put_public_access_block(AccountId=ACCOUNT, PublicAccessBlockConfiguration=BLOCK)

    assert [look(check).outcome for check in checks] == [Outcome.FIXED] * 5
    assert look("s3_bucket_level_public_access_block").outcome == Outcome.FAILING


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        (allow(principal={"AWS": "*"}), Outcome.FAILING),
        (allow(principal={"AWS": ["arn:aws:iam::123456789012:root", "*"]}), Outcome.FAILING),
        (allow(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), Outcome.FIXED),
        (allow(principal={"Service": "cloudtrail.amazonaws.com"}), Outcome.FIXED),
        (allow(condition={"StringEquals": {"aws:PrincipalOrgID": "o-123"}}), Outcome.FIXED),
        (allow(condition={"StringLike": {"AWS:SourceVpce": ["vpce-1"]}}), Outcome.FIXED),
        (allow(condition={"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.1.1"]}}), Outcome.FIXED),
        (allow(condition={"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "0.0.0.0/0"]}}), Outcome.FAILING),
        (allow(condition={"IpAddress": {"aws:SourceIp": "203.0.113.7"}}), Outcome.FIXED),
        (allow(condition={"IpAddress": {"aws:SourceIp": "8.8.8.8"}}), Outcome.FAILING),
        (allow(condition={"StringEquals": {"s3:prefix": "public/"}}), Outcome.FAILING),
        (allow(condition={"Bool": {"aws:SecureTransport": "true"}}), Outcome.FAILING),
    ],
)
def test_who_is_everybody(s3, statement, outcome):
    put_policy(s3, statement)

    assert look("s3_bucket_public_access").outcome == outcome


OTHER = "999988887777"


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        (allow(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/deploy"}), Outcome.FIXED),
        (allow(principal={"AWS": f"arn:aws:iam::{OTHER}:root"}), Outcome.FAILING),
        (allow(principal={"AWS": [f"arn:aws:iam::{ACCOUNT}:root", OTHER]}), Outcome.FAILING),
        (allow(principal={"Service": "cloudtrail.amazonaws.com"}), Outcome.FIXED),
        (allow(condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}), Outcome.FIXED),
        (allow(condition={"StringEquals": {"aws:PrincipalAccount": [ACCOUNT, OTHER]}}), Outcome.FAILING),
        (allow(condition={"StringEquals": {"aws:PrincipalOrgID": "o-acme"}}), Outcome.FIXED),
        (allow(condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}}), Outcome.FIXED),
        (allow(condition={"ArnLike": {"aws:SourceArn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:x"}}), Outcome.FIXED),
        (allow(condition={"ArnLike": {"aws:SourceArn": f"arn:aws:sns:eu-west-1:{OTHER}:x"}}), Outcome.FAILING),
    ],
)
def test_who_is_another_account(s3, statement, outcome):
    put_policy(s3, statement)

    assert look("s3_bucket_cross_account_access").outcome == outcome


def test_replication_to_another_region(s3, cloud):
    check = "s3_bucket_cross_region_replication"
    cloud.bucket("acme-near")
    far = {"LocationConstraint": "eu-west-3"}
    cloud.client("s3", region="eu-west-3").create_bucket(Bucket="acme-far", CreateBucketConfiguration=far)
    for name in (NAME, "acme-near", "acme-far"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def replicate(bucket, status="Enabled"):
        rule = {"ID": "1", "Status": status, "Priority": 1, "Filter": {}, "Destination": {"Bucket": f"arn:aws:s3:::{bucket}"}}
        rule["DeleteMarkerReplication"] = {"Status": "Disabled"}
        configuration = {"Role": f"arn:aws:iam::{ACCOUNT}:role/replicate", "Rules": [rule]}
        s3.put_bucket_replication(Bucket=NAME, ReplicationConfiguration=configuration)
        return look(check).outcome

    assert look(check).outcome == Outcome.FAILING
    assert replicate("acme-near") == Outcome.FAILING
    assert replicate("acme-far", "Disabled") == Outcome.FAILING
    assert replicate("acme-far") == Outcome.FIXED
    assert replicate("acme-foreign") == Outcome.CANNOT
    s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})
    assert look(check).outcome == Outcome.FAILING


# --- what is no verdict -------------------------------------------------------------------------------------------------------


def test_a_deleted_bucket_is_gone_for_every_check(cloud):
    for check in sorted(set(aws_s3.JUDGES) - {"s3_account_level_public_access_blocks"}):
        answer = look(check, name="acme-never-was")
        assert (check, answer.outcome) == (check, Outcome.GONE)


@pytest.mark.parametrize("check", sorted(aws_s3.JUDGES))
def test_a_missing_permission_is_never_a_verdict(s3, cloud, monkeypatch, check):
    s3.put_bucket_acl(Bucket=NAME, ACL="public-read")
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check)

    assert answer.outcome == Outcome.DENIED
    assert answer.missing.startswith("s3:Get")
    assert str(answer.summary) == f"AWS does not let arn:aws:iam::{ACCOUNT}:user/verifier do {answer.missing}."


def test_an_acl_that_may_not_be_read_is_no_pass(s3, cloud, monkeypatch):
    """Prowler 5.46 says PASS here (FORMATS 2.3)."""
    s3.put_bucket_acl(Bucket=NAME, ACL="public-read")
    may = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    may_not = {"Effect": "Deny", "Action": "s3:GetBucketAcl", "Resource": "*"}
    with cloud.enforcing({"Version": "2012-10-17", "Statement": [may, may_not]}) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)

        answer = look("s3_bucket_public_access")

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, "s3:GetBucketAcl")


def test_credentials_of_another_account_are_refused_before_anything_is_asked(s3):
    answer = look("s3_bucket_public_access", account="999988887777")

    assert answer.outcome == Outcome.CANNOT
    assert "belong to account 123456789012, the finding to account 999988887777" in str(answer.summary)
    assert [exchange.operation for exchange in answer.exchanges] == ["GetCallerIdentity"]


def test_no_credentials_are_said(cloud, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    answer = look("s3_bucket_public_access")

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, "credentials")


def test_an_unknown_profile_is_said(cloud):
    answer = look("s3_bucket_public_access", options={"profile": "nowhere"})

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, "credentials")


def test_a_silent_endpoint_is_an_error(cloud):
    answer = look("s3_bucket_public_access", options={"endpoint_url": "http://127.0.0.1:9"})

    assert answer.outcome == Outcome.ERROR
    assert "could not be reached" in str(answer.summary)


# --- what is kept -------------------------------------------------------------------------------------------------------------


def test_each_exchange_is_recorded_with_its_request_id(s3):
    s3.put_bucket_acl(Bucket=NAME, ACL="public-read")

    answer = look("s3_bucket_public_access")

    asked = [(exchange.service, exchange.operation) for exchange in answer.exchanges]
    assert asked == [
        ("sts", "GetCallerIdentity"), ("s3", "GetPublicAccessBlock"), ("s3", "GetBucketAcl"), ("s3control", "GetPublicAccessBlock"),
    ]  # fmt: skip
    acl = answer.exchanges[2]
    assert acl.request == {"Bucket": NAME, "ExpectedBucketOwner": ACCOUNT}
    assert acl.response["HTTPStatusCode"] == 200
    assert [grant["Permission"] for grant in acl.response["Grants"]] == ["FULL_CONTROL", "READ"]
    assert acl.region == REGION
    assert all(exchange.request_id and exchange.at.tzinfo for exchange in answer.exchanges)
    assert answer.exchanges[1].response["Error"]["Code"] == "NoSuchPublicAccessBlockConfiguration"
    assert answer.principal.startswith(f"arn:aws:sts::{ACCOUNT}:")
    assert set(answer.tools) == {"boto3", "botocore"}


def test_a_role_is_assumed_with_its_external_id_and_no_credentials_are_recorded(s3):
    role = f"arn:aws:iam::{ACCOUNT}:role/auditor"

    answer = look("s3_bucket_public_access", options={"role_arn": role, "external_id": "tenant-7"})

    assert answer.outcome == Outcome.FIXED
    assumed = answer.exchanges[0]
    assert (assumed.operation, assumed.request["RoleArn"], assumed.request["ExternalId"]) == ("AssumeRole", role, "tenant-7")
    assert "assumed-role/auditor" in answer.principal
    assert "SecretAccessKey" not in str(answer.exchanges)
    assert "SessionToken" not in str(answer.exchanges)
