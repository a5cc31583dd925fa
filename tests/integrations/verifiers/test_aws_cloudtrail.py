from datetime import UTC, datetime, timedelta

import pytest

from integrations.verifiers import aws_cloudtrail
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

NOW = datetime.now(UTC)
TRAIL = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/audit"
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE
OF_ANY = {check for check in aws_cloudtrail.JUDGES if "multi_region" in check or "dataevents" in check or "bedrock" in check}


def look(check, region=REGION, asset=""):
    asset = asset or (f"arn:aws:cloudtrail:{region}:{ACCOUNT}:trail" if check in OF_ANY else TRAIL)
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=region, asset=asset, asset_name=ACCOUNT,
    )  # fmt: skip
    return next(aws_cloudtrail.verify([target], NOW))


@pytest.fixture
def trail(cloud):
    cloud.bucket("acme-logs")
    client = cloud.client("cloudtrail")
    client.create_trail(Name="audit", S3BucketName="acme-logs")
    return client


def selectors(client, *fields, name="x"):
    """Fields: `eventCategory=Management`, `readOnly!=true`."""
    wanted = []
    for field in fields:
        key, _sign, value = field.partition("=")
        wanted.append({"Field": key.strip("!"), "NotEquals" if "!" in key else "Equals": [value]})
    client.put_event_selectors(TrailName="audit", AdvancedEventSelectors=[{"Name": name, "FieldSelectors": wanted}])


def old_selector(client, kind="All", management=True, values=()):
    data = [{"Type": "AWS::S3::Object", "Values": list(values)}] if values else []
    selector = {"ReadWriteType": kind, "IncludeManagementEvents": management, "DataResources": data}
    client.put_event_selectors(TrailName="audit", EventSelectors=[selector])


@pytest.mark.parametrize(
    ("check", "repaired"),
    [
        ("cloudtrail_kms_encryption_enabled", {"KmsKeyId": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/a"}),
        ("cloudtrail_log_file_validation_enabled", {"EnableLogFileValidation": True}),
    ],
)
def test_a_setting_of_the_trail(trail, check, repaired):
    failing = look(check)
    trail.update_trail(Name="audit", **repaired)

    assert (failing.outcome, look(check).outcome) == (FAILS, PASSES)


def test_insights(trail):
    failing = look("cloudtrail_insights_exist")
    trail.put_insight_selectors(TrailName="audit", InsightSelectors=[{"InsightType": "ApiCallRateInsight"}])

    assert (failing.outcome, look("cloudtrail_insights_exist").outcome) == (FAILS, PASSES)


def test_the_bucket_of_the_trail(trail, cloud):
    s3 = cloud.client("s3")
    cloud.open("acme-logs")
    assert look("cloudtrail_logs_s3_bucket_is_not_publicly_accessible").outcome == FAILS
    assert look("cloudtrail_logs_s3_bucket_access_logging_enabled").outcome == FAILS
    assert look("cloudtrail_bucket_requires_mfa_delete").outcome == FAILS

    s3.put_bucket_acl(Bucket="acme-logs", ACL="log-delivery-write")
    target = {"LoggingEnabled": {"TargetBucket": "acme-logs", "TargetPrefix": "x/"}}
    s3.put_bucket_logging(Bucket="acme-logs", BucketLoggingStatus=target)

    assert look("cloudtrail_logs_s3_bucket_is_not_publicly_accessible").outcome == PASSES
    assert look("cloudtrail_logs_s3_bucket_access_logging_enabled").outcome == PASSES


def test_a_bucket_of_another_account_cannot_be_judged(trail, cloud):
    cloud.client("s3").delete_bucket(Bucket="acme-logs")

    answer = look("cloudtrail_bucket_requires_mfa_delete")

    assert (answer.outcome, str(answer.summary)) == (Outcome.CANNOT, "The trail's bucket acme-logs is not in this account.")


@pytest.mark.parametrize(("ago", "outcome"), [(None, FAILS), (25, FAILS), (23, PASSES)])
def test_what_cloudwatch_got_in_a_day(trail, monkeypatch, ago, outcome):
    """moto's trails never deliver."""
    if ago is None:
        assert look("cloudtrail_cloudwatch_logging_enabled").outcome == outcome
    at = {} if ago is None else {"LatestCloudWatchLogsDeliveryTime": NOW - timedelta(hours=ago)}
    monkeypatch.setattr(aws_cloudtrail, "_status", lambda account, trail: at)

    assert look("cloudtrail_cloudwatch_logging_enabled").outcome == outcome


@pytest.mark.parametrize("check", sorted(set(aws_cloudtrail.JUDGES) - OF_ANY))
def test_a_deleted_trail_is_gone(cloud, check):
    assert look(check).outcome == GONE


# --- any trail ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", sorted(OF_ANY))
def test_no_trail_logs_nothing(cloud, check):
    assert look(check).outcome == FAILS


def test_a_trail_of_one_region_counts_there_once_it_logs(trail):
    check = "cloudtrail_multi_region_enabled"
    assert look(check).outcome == FAILS
    trail.start_logging(Name="audit")
    assert (look(check).outcome, look(check, "eu-west-3").outcome) == (PASSES, FAILS)

    trail.update_trail(Name="audit", IsMultiRegionTrail=True)

    assert look(check, "eu-west-3").outcome == PASSES


def test_management_events(trail):
    check = "cloudtrail_multi_region_enabled_logging_management_events"
    old_selector(trail)
    assert look(check).outcome == FAILS
    trail.start_logging(Name="audit")
    assert look(check).outcome == PASSES
    old_selector(trail, kind="WriteOnly")
    assert look(check).outcome == FAILS
    selectors(trail, "eventCategory=Management", name="Management events selector")
    assert look(check).outcome == PASSES
    selectors(trail, "eventCategory=Management", "readOnly=true", name="Management events selector")
    assert look(check).outcome == FAILS


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        (["eventCategory=Management"], PASSES),
        (["eventCategory=Management", "readOnly=true"], FAILS),
        (["eventCategory=Management", "readOnly=false"], PASSES),
        (["eventCategory=Management", "eventSource!=kms.amazonaws.com"], PASSES),
        (["eventCategory=Management", "eventSource=kms.amazonaws.com"], FAILS),
        (["eventCategory=Data", "resources.type=AWS::Bedrock::Model"], PASSES),
        (["eventCategory=Data", "resources.type=AWS::S3::Object"], FAILS),
    ],
)
def test_events_of_bedrock(trail, fields, outcome):
    trail.start_logging(Name="audit")
    selectors(trail, *fields)

    assert look("cloudtrail_bedrock_logging_enabled").outcome == outcome


@pytest.mark.parametrize(
    ("kind", "values", "read", "write"),
    [
        ("All", ["arn:aws:s3"], PASSES, PASSES),
        ("ReadOnly", ["arn:aws:s3:::"], PASSES, FAILS),
        ("WriteOnly", ["arn:aws:s3:::*/*"], FAILS, PASSES),
        ("All", ["arn:aws:s3:::acme-logs/"], FAILS, FAILS),
    ],
)
def test_events_of_s3_objects(trail, kind, values, read, write):
    old_selector(trail, kind, values=values)
    checks = ("cloudtrail_s3_dataevents_read_enabled", "cloudtrail_s3_dataevents_write_enabled")

    assert [look(check).outcome for check in checks] == [read, write]


def test_a_trail_of_another_region_counts_for_the_account(trail, monkeypatch):
    """moto's list_trails knows the region's own trails alone, AWS's knows all."""
    old_selector(trail, values=["arn:aws:s3"])
    monkeypatch.setattr(aws_cloudtrail.Account, "ask_all", lambda *_args, **_more: [{"HomeRegion": REGION}])

    assert look("cloudtrail_s3_dataevents_read_enabled", "eu-west-3").outcome == PASSES


def test_events_of_s3_objects_by_the_new_selectors(trail):
    selectors(trail, "eventCategory=Data", "resources.type=AWS::S3::Object")

    assert look("cloudtrail_s3_dataevents_read_enabled").outcome == PASSES


@pytest.mark.parametrize("check", sorted(aws_cloudtrail.JUDGES))
def test_a_missing_permission_is_never_a_verdict(trail, cloud, monkeypatch, check):
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check)

    assert answer.outcome == Outcome.DENIED
    assert answer.missing in ("cloudtrail:DescribeTrails", "cloudtrail:ListTrails")
