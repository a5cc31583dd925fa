"""moto has no findings of GuardDuty, no standards of Security Hub and no Access Analyzer: these answers are made up."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from integrations.verifiers import aws_watch
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE
ASSETS = {
    "config_recorder_all_regions_enabled": f"arn:aws:config:{REGION}:{ACCOUNT}:recorder",
    "guardduty_is_enabled": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/unknown",
    "guardduty_no_high_severity_findings": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/1",
    "securityhub_enabled": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:hub/unknown",
    "accessanalyzer_enabled": f"arn:aws:accessanalyzer:{REGION}:{ACCOUNT}:analyzer/unknown",
}
ANALYZER = f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/acme"


def look(check, asset="", region=REGION):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=region, asset=asset or ASSETS[check],
        asset_name=ACCOUNT,
    )  # fmt: skip
    return next(aws_watch.verify([target], AT))


def answering(monkeypatch, **answers):
    call = aws_watch.Account._call

    def answered(self, service, operation, region, request):
        if operation in answers:
            return None, answers[operation]
        return call(self, service, operation, region, request)

    monkeypatch.setattr(aws_watch.Account, "_call", answered)


def test_the_recorder_of_config(cloud):
    config, check = cloud.client("config"), "config_recorder_all_regions_enabled"
    none = look(check)
    role = f"arn:aws:iam::{ACCOUNT}:role/config"
    config.put_configuration_recorder(ConfigurationRecorder={"name": "default", "roleARN": role})
    still = look(check)
    config.put_delivery_channel(DeliveryChannel={"name": "default", "s3BucketName": cloud.bucket("acme-config") or "acme-config"})
    config.start_configuration_recorder(ConfigurationRecorderName="default")

    assert [none.outcome, still.outcome, look(check).outcome] == [FAILS, FAILS, PASSES]
    assert look(check, region="eu-west-3").outcome == FAILS


@pytest.mark.parametrize(("status", "outcome"), [("Failure", FAILS), (None, FAILS), ("Success", PASSES)])
def test_a_recorder_that_fails(cloud, monkeypatch, status, outcome):
    recorder = {"name": "default", "recording": True} | ({"lastStatus": status} if status else {})
    answering(monkeypatch, describe_configuration_recorder_status={"ConfigurationRecordersStatus": [recorder]})

    assert look("config_recorder_all_regions_enabled").outcome == outcome


def test_guardduty(cloud):
    guardduty, check = cloud.client("guardduty"), "guardduty_is_enabled"
    none = look(check)
    detector = guardduty.create_detector(Enable=False)["DetectorId"]
    suspended = look(check)
    guardduty.update_detector(DetectorId=detector, Enable=True)

    assert [none.outcome, suspended.outcome, look(check).outcome] == [FAILS, FAILS, PASSES]


def test_findings_of_guardduty(cloud, monkeypatch):
    check = "guardduty_no_high_severity_findings"
    assert look(check).outcome == GONE
    detector = cloud.client("guardduty").create_detector(Enable=True)["DetectorId"]
    seen = []
    for found in (["1"], []):
        answering(monkeypatch, list_findings={"FindingIds": found})
        seen.append(look(check, f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/{detector}").outcome)

    assert seen == [FAILS, PASSES]


def test_security_hub(cloud, monkeypatch):
    check = "securityhub_enabled"
    assert look(check).outcome == FAILS
    cloud.client("securityhub").enable_security_hub()
    seen = []
    for standards, products in (([], []), ([], ["arn:x/aws/securityhub"]), ([], ["arn:x/aws/inspector"]), (["x"], [])):
        answering(
            monkeypatch,
            get_enabled_standards={"StandardsSubscriptions": standards},
            list_enabled_products_for_import={"ProductSubscriptions": products},
        )
        seen.append(look(check).outcome)

    assert seen == [FAILS, FAILS, PASSES, PASSES]


def test_an_analyzer(cloud, monkeypatch):
    check, seen = "accessanalyzer_enabled", []
    for known in (
        [],
        [{"arn": ANALYZER, "name": "acme", "status": "FAILED"}],
        [{"arn": ANALYZER, "name": "acme", "status": "ACTIVE"}],
    ):
        answering(monkeypatch, list_analyzers={"analyzers": known})
        seen.append((look(check).outcome, look(check, ANALYZER).outcome))

    assert seen == [(FAILS, GONE), (FAILS, FAILS), (PASSES, PASSES)]


@pytest.mark.parametrize("check", sorted(set(aws_watch.JUDGES) - {"accessanalyzer_enabled"}))
def test_a_missing_permission_is_never_a_verdict(cloud, monkeypatch, check):
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check)

    assert answer.outcome == Outcome.DENIED
    assert answer.missing in (
        "config:DescribeConfigurationRecorderStatus", "guardduty:ListDetectors", "securityhub:DescribeHub",
    )  # fmt: skip


def test_a_missing_permission_for_analyzers(cloud, monkeypatch):
    said = {"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    answering(monkeypatch, list_analyzers=ClientError(said, "ListAnalyzers"))

    answer = look("accessanalyzer_enabled")

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, "access-analyzer:ListAnalyzers")
