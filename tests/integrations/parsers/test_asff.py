"""ASFF: Prowler's must meet its other formats, Security Hub's must keep the meaning of its states."""

import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integrations.parsers import asff, ocsf
from triage.ports import Observation, ParseOptions, Run, Severity, Skipped, UnreadableReport, Verdict

SAMPLES = Path(__file__).parents[2] / "samples"
OPTIONS = ParseOptions(zone=UTC)


def parse(document, parser=asff, options=OPTIONS):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(parser.parse(io.BytesIO(data), options))


def only(kind, outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def prowler(check, arn, sentence, status="FAILED", region="eu-west-1"):
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"prowler-{check}-123456789012-{region}-0123456789",
        "ProductArn": f"arn:aws:securityhub:{region}::product/prowler/prowler",
        "ProductFields": {"ProviderName": "Prowler", "ProviderVersion": "5.46.0", "ProwlerResourceName": arn},
        "GeneratorId": f"prowler-{check}",
        "AwsAccountId": "123456789012",
        "UpdatedAt": "2026-11-21T19:58:32Z",
        "Severity": {"Label": "HIGH"},
        "Title": "Title",
        "Description": sentence,
        "Resources": [{"Type": "Other", "Id": arn, "Partition": "aws", "Region": region}],
        "Compliance": {"Status": status, "RelatedRequirements": ["CIS-3.0 2.1"]},
    }


def hub(**changes):
    finding = {
        "SchemaVersion": "2018-10-08",
        "Id": "arn:aws:securityhub:eu-west-1:123456789012:security-control/S3.8/finding/1",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
        "ProductName": "Security Hub",
        "GeneratorId": "security-control/S3.8",
        "AwsAccountId": "123456789012",
        "AwsAccountName": "prod",
        "Region": "eu-west-1",
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
        "UpdatedAt": "2026-11-20T10:00:00.000Z",
        "Severity": {"Label": "HIGH", "Normalized": 70},
        "Title": "S3 general purpose buckets should block public access",
        "Description": "This control checks the bucket's block.",
        "Remediation": {"Recommendation": {"Text": "See the docs.", "Url": "https://docs"}},
        "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::logs", "Region": "eu-west-1", "Tags": {"team": "web"}}],
        "Compliance": {
            "Status": "FAILED",
            "SecurityControlId": "S3.8",
            "RelatedRequirements": ["NIST.800-53.r5 AC-21", "CIS AWS Foundations Benchmark v1.4.0/2.1.5.2"],
        },
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    }
    return finding | changes


# --- Prowler ------------------------------------------------------------------------------------------------------------------


def test_a_run_of_prowler_has_the_same_findings_in_asff_as_in_ocsf():
    def facts(one):
        return (
            one.account.provider, one.account.uid, one.check.key, one.check.title, one.asset, one.asset_name, one.asset_type,
            one.region, one.discriminator, one.stand_in, one.verdict, one.severity, one.muted, one.tags, one.message,
        )  # fmt: skip

    in_asff = only(Observation, parse((SAMPLES / "same_run/prowler_v5.asff.json").read_bytes()))
    in_ocsf = only(Observation, parse((SAMPLES / "same_run/prowler_v5.ocsf.json").read_bytes(), parser=ocsf))

    assert len(in_asff) == 16
    assert Counter(map(facts, in_asff)) == Counter(facts(one) for one in in_ocsf if one.verdict is not Verdict.MANUAL)


def test_a_report_of_prowler_is_recognised_and_dated():
    data = (SAMPLES / "asff/prowler_v5.asff.json").read_bytes()

    run, *rest = parse(data)

    assert asff.sniff(data[: 64 << 10]) == "Prowler ASFF"
    assert (run.scanner, run.kind, run.version, run.reports_passes) == ("prowler", "cloud", "5.46.0", True)
    assert run.at == datetime(2026, 11, 21, 20, 4, 37, tzinfo=UTC)
    assert [type(one) for one in rest] == [Observation] * 6


USER = "arn:aws:iam::123456789012:user/ana"
LB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"


@pytest.mark.parametrize(
    ("check", "arn", "sentence", "name"),
    [
        ("s3_bucket_kms", "arn:aws:s3:::logs", "No key.", "logs"),
        ("iam_role_x", "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/AWSServiceRole", "…", "AWSServiceRole"),
        ("iam_policy_attached_only_to_group_or_roles", USER, "User ana has the inline policy p.1 attached.", "ana/p.1"),
        (
            "iam_rotate_access_key_90_days",
            USER,
            "User ana has not rotated access key 2 in over 90 days (729 days).",
            "ana-access-key-2",
        ),
        ("iam_inline_policy_no_wildcards", USER, "Inline policy p attached to user ana allows '*:*'.", "ana/p"),
        ("iam_avoid_root_usage", "arn:aws:iam::123456789012:root", "Root was used.", "<root_account>"),
        ("iam_root_hardware_mfa_enabled", "arn:aws:iam:eu-west-1:123456789012:mfa", "No MFA.", "<root_account>"),
        ("iam_support_role_created", "arn:aws:iam::aws:policy/AWSSupportAccess", "Not attached.", "123456789012"),
        ("ec2_ebs_default_encryption", "arn:aws:ec2:eu-west-1:123456789012:volume", "Not active.", "123456789012"),
        ("s3_account_level_public_access_blocks", "arn:aws:s3:eu-west-1:123456789012:account", "Off.", "123456789012"),
        ("sns_topics_x", "arn:aws:sns:eu-west-1:123456789012:alerts", "Open.", "alerts"),
        ("sqs_x", "arn:aws:sqs:eu-west-1:123456789012:q", "No URL here.", "https://sqs.eu-west-1.amazonaws.com/123456789012/q"),
        (
            "sqs_x",
            "arn:aws:sqs:eu-west-1:123456789012:q",
            "Queue http://h:1/123456789012/q is open.",
            "http://h:1/123456789012/q",
        ),
        ("elbv2_x", LB, "No WAF.", "shop"),
        ("cloudwatch_x", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/f:*", "No key.", "/aws/lambda/f"),
        ("secretsmanager_x", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3", "Old.", "prod/db"),
        ("cloudformation_x", "arn:aws:cloudformation:eu-west-1:123456789012:stack/web/6c5a", "Open.", "web"),
        ("sagemaker_x", "arn:aws:sagemaker:eu-west-1:123456789012:model-registry/unknown", "None.", "SageMaker Model Registry"),
    ],
)
def test_the_name_that_asff_lacks_is_put_together_again(check, arn, sentence, name):
    (found,) = only(Observation, parse([prowler(check, arn, sentence)]))

    assert (found.asset_name, found.discriminator) == (name, "")


@pytest.mark.parametrize(
    ("check", "arn", "stand_in"),
    [
        ("cloudtrail_multi_region_enabled", "arn:aws:cloudtrail:eu-west-1:123456789012:trail", True),
        ("guardduty_is_enabled", "arn:aws:guardduty:eu-west-1:123456789012:detector/unknown", True),
        ("config_delegated_admin", "arn:aws:config:eu-west-1:123456789012:config-aggregator/unknown", True),
        ("ec2_ebs_default_encryption", "arn:aws:ec2:eu-west-1:123456789012:volume", False),
        ("iam_user_x", "arn:aws:iam::123456789012:user/unknown", False),
        ("cloudtrail_multi_region_enabled", "arn:aws:cloudtrail:eu-west-1:123456789012:trail/audit", False),
    ],
)
def test_stand_ins_are_seen_without_the_name(check, arn, stand_in):
    (found,) = only(Observation, parse([prowler(check, arn, "None was found.")]))

    assert found.stand_in is stand_in


def test_rows_that_share_an_arn_stay_apart_when_their_sentence_is_new_to_us():
    check = "iam_rotate_access_key_90_days"
    today = [f"Key {number} of ana is old: 100 days." for number in (1, 2)]
    tomorrow = [f"Key {number} of ana is old: 101 days." for number in (1, 2)]

    found = only(Observation, parse([prowler(check, USER, sentence) for sentence in today + tomorrow]))

    assert len({one.discriminator for one in found}) == 2
    assert [one.discriminator for one in found[:2]] == [one.discriminator for one in found[2:]]


@pytest.mark.parametrize(
    ("status", "verdict", "muted"),
    [
        ("PASSED", Verdict.PASS, False),
        ("FAILED", Verdict.FAIL, False),
        ("WARNING", Verdict.FAIL, True),
        ("NOT_AVAILABLE", Verdict.MANUAL, False),
        ("INFOED", Verdict.MANUAL, False),
    ],
)
def test_prowlers_states(status, verdict, muted):
    (found,) = only(Observation, parse([prowler("s3_x", "arn:aws:s3:::logs", "…", status)]))

    assert (found.verdict, found.muted) == (verdict, muted)


def test_prowlers_cut_requirements_are_not_taken_for_controls():
    (found,) = only(Observation, parse([prowler("s3_x", "arn:aws:s3:::logs", "…")]))

    assert found.check.controls == ()
    assert found.check.service == "s3"


# --- Security Hub and others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [lambda one: [one], lambda one: {"Findings": [one], "NextToken": "x"}, lambda one: {"detail": {"findings": [one]}}]
)
def test_a_finding_of_security_hub(shape):
    document = shape(hub())

    run, found = parse(document)

    assert asff.sniff(json.dumps(document).encode()) == "ASFF"
    assert (run.scanner, run.reports_passes, run.at) == ("security-hub", True, found.seen_at)
    assert (found.check.key, found.check.service, found.check.remediation_url) == ("S3.8", "s3", "https://docs")
    assert found.check.controls == (("NIST.800-53.r5", "AC-21"), ("CIS AWS Foundations Benchmark v1.4.0", "2.1.5.2"))
    assert (found.account.uid, found.account.name, found.region) == ("123456789012", "prod", "eu-west-1")
    assert (found.asset, found.asset_name, found.tags) == ("arn:aws:s3:::logs", "logs", (("team", "web"),))
    assert (found.verdict, found.severity, found.muted) == (Verdict.FAIL, Severity.HIGH, False)


@pytest.mark.parametrize(
    ("generator", "control", "key"),
    [
        ("security-control/S3.8", None, "S3.8"),
        ("aws-foundational-security-best-practices/v/1.0.0/S3.8", None, "S3.8"),
        ("cis-aws-foundations-benchmark/v/1.4.0/2.1.5", "S3.8", "S3.8"),
        ("arn:aws:securityhub:::ruleset/cis-aws-foundations-benchmark/v/1.2.0/rule/1.14", None, None),
        ("aws/access-analyzer", None, "aws/access-analyzer"),
        ("arn:aws:guardduty:eu-west-1:123456789012:detector/7", None, "TTPs/Discovery/Recon:EC2"),
    ],
)
def test_a_check_is_the_control_or_the_rule_and_never_a_resource(generator, control, key):
    finding = hub(
        GeneratorId=generator, Compliance={"Status": "FAILED", "SecurityControlId": control}, Types=["TTPs/Discovery/Recon:EC2"]
    )

    (found,) = only(Observation, parse([finding]))

    assert found.check.key == (key or generator)


def test_an_archived_finding_is_no_fix_but_a_passed_one_is():
    failed = hub(RecordState="ARCHIVED")
    passed = hub(RecordState="ARCHIVED", Compliance={"Status": "PASSED", "SecurityControlId": "S3.8"})

    outcomes = parse([failed, passed, hub(Workflow={"Status": "RESOLVED"}), hub(Workflow={"Status": "SUPPRESSED"})])

    (archived,) = only(Skipped, outcomes)
    assert (archived.position, archived.lost, archived.reason.message) == (0, False, asff.ARCHIVED)
    assert [(one.verdict, one.muted) for one in only(Observation, outcomes)] == [
        (Verdict.PASS, False), (Verdict.FAIL, False), (Verdict.FAIL, True),
    ]  # fmt: skip


def test_the_first_resource_is_the_asset_and_the_others_are_told():
    resources = [{"Id": "AWS::::Account:123456789012", "Type": "AwsAccount"}, {"Id": "arn:aws:s3:::a"}, {"Id": "arn:aws:s3:::b"}]
    reasons = {
        "Status": "FAILED",
        "SecurityControlId": "S3.1",
        "StatusReasons": [{"ReasonCode": "X", "Description": "No block."}],
    }

    (found,) = only(Observation, parse([hub(Resources=resources, Compliance=reasons)]))

    assert (found.asset, found.message) == ("AWS::::Account:123456789012", "No block.\n+ arn:aws:s3:::a, arn:aws:s3:::b")


def test_a_vulnerability_is_its_cve():
    vulnerabilities = [{"Id": "CVE-2026-1", "ReferenceUrls": ["https://nvd"]}, {"Id": "CVE-2026-2"}]

    run, *found = parse([hub(Vulnerabilities=vulnerabilities, Compliance=None, GeneratorId="AWSInspector")])

    assert not run.reports_passes
    assert [one.check.key for one in found] == ["CVE-2026-1", "CVE-2026-2"]
    assert found[0].check.references == ("https://nvd",)


def test_the_newest_finding_dates_an_export_of_security_hub():
    days = ["2026-11-03T10:00:00Z", "2026-11-20T10:00:00Z", "2026-10-01T10:00:00Z"]

    run = parse([hub(UpdatedAt=day) for day in days])[0]

    assert run.at == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_an_export_with_the_findings_of_several_products_gives_a_run_for_each():
    trivy = hub(
        GeneratorId="Trivy/CVE-1", ProductArn="arn:aws:securityhub:eu-west-1::product/aquasecurity/aquasecurity", Compliance=None
    )
    own = hub(
        GeneratorId="x",
        ProductArn="arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default",
        ProductName="Cloud Sentry",
    )
    inspector = hub(
        GeneratorId="AWSInspector", ProductArn="arn:aws:securityhub:eu-west-1::product/aws/inspector", Compliance=None
    )

    outcomes = parse([prowler("s3_x", "arn:aws:s3:::logs", "…"), hub(), trivy, own, inspector, hub()])

    scanners, found = [], Counter()
    for one in outcomes:
        if isinstance(one, Run):
            scanners.append((one.scanner, one.reports_passes))
        else:
            found[scanners[-1][0]] += 1
    assert scanners == [("prowler", True), ("security-hub", True), ("aquasecurity", False), ("cloud-sentry", True)]
    assert found == {"prowler": 1, "security-hub": 3, "aquasecurity": 1, "cloud-sentry": 1}


@pytest.mark.parametrize(
    ("severity", "level"), [({"Normalized": 90}, 5), ({"Normalized": 40.0}, 3), ({"Normalized": 0}, 1), ({"Label": "LOW"}, 2)]
)
def test_a_severity_may_be_a_number(severity, level):
    (found,) = only(Observation, parse([hub(Severity=severity)]))

    assert found.severity == level


# --- what is refused or left out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Resources": []}, "Resources"),
        ({"AwsAccountId": None, "Resources": [{"Id": "i-1"}]}, "AwsAccountId"),
        ({"Compliance": {"Status": "ODD"}}, "Compliance.Status"),
        ({"GeneratorId": None}, "GeneratorId"),
        ({"Severity": "HIGH"}, "Severity"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_alone(changes, field):
    outcomes = parse([hub(), hub(**changes), hub()])

    (lost,) = only(Skipped, outcomes)
    assert (lost.position, lost.field, lost.lost) == (1, field, True)
    assert [one.position for one in only(Observation, outcomes)] == [0, 2]


def test_a_severity_of_no_kind_is_read_as_medium_with_a_note():
    note, _run, found = parse([hub(Severity={"Label": "SEVERE"})])

    assert (note.lost, found.severity) == (False, Severity.MEDIUM)


def test_one_finding_a_line_as_prowler_2_wrote_it():
    lines = b"\n".join(json.dumps(prowler("extra73", "arn:aws:s3:::logs", "…")).encode() for _ in range(3))

    assert asff.sniff(lines) == "Prowler ASFF"
    assert len(only(Observation, parse(lines))) == 3


def test_findings_given_twice_are_refused():
    with pytest.raises(UnreadableReport, match="“Findings” is given twice"):
        parse(b'{"Findings": [' + json.dumps(hub()).encode() + b'], "Findings": []}')


def test_an_empty_export_proves_nothing():
    (run,) = parse({"Findings": []})

    assert asff.sniff(b'{"Findings": [], "NextToken": null}') == "ASFF, an empty list"
    assert not run.conclusive


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"{}",
        b'[{"class_uid": 2004, "metadata": {"product": {"name": "Prowler"}}}]',
        b'{"Findings": [{"class_uid": 2003}]}',
    ],
)
def test_what_is_not_asff_is_not_claimed(head):
    assert asff.sniff(head) is None
