"""Prowler's own JSON, v2 and v3, must say what the CSV of the same run says."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from integrations.parsers import prowler_csv, prowler_json
from triage.ports import Observation, ParseOptions, Severity, Skipped, UnreadableReport, Verdict

SAMPLES = Path(__file__).parents[2] / "samples" / "prowler"
PARIS = timezone(timedelta(hours=1))
OPTIONS = ParseOptions(zone=PARIS)

FINDING = {
    "AssessmentStartTime": "2026-11-21T20:04:13.590852",
    "FindingUniqueId": "prowler-aws-s3_bucket_public_access-018134828551-eu-west-1-logs",
    "Provider": "aws",
    "CheckID": "s3_bucket_public_access",
    "CheckTitle": "Bucket is not public",
    "ServiceName": "s3",
    "Status": "FAIL",
    "StatusExtended": "Bucket logs is public.",
    "Severity": "critical",
    "ResourceType": "AwsS3Bucket",
    "Categories": ["internet-exposed"],
    "Compliance": {"CIS-3.0": ["2.1.3"], "AWS-Account-Security-Onboarding": ["Billing, emergency, security contacts"]},
    "AccountId": "018134828551",
    "Region": "eu-west-1",
    "ResourceId": "logs",
    "ResourceArn": "arn:aws:s3:::logs",
    "ResourceTags": {"Owner": "alice"},
}


def parse(document, options=OPTIONS):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(prowler_json.parse(io.BytesIO(data), options))


def sample(name):
    return parse((SAMPLES / name).read_bytes())


def rows(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, Observation)]


def skipped(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, Skipped)]


def finding(**changes):
    return {**FINDING, **changes}


@pytest.mark.parametrize(
    ("name", "generation"), [("v2.json", "Prowler JSON v2"), ("v3.16.json", "Prowler JSON v3"), ("v5.46.csv", None)]
)
def test_generations_are_told_apart(name, generation):
    assert prowler_json.sniff((SAMPLES / name).read_bytes()[:65536]) == generation


@pytest.mark.parametrize(
    "head", [b"", b"[]", b"{}", b'[{"class_uid": 2004}]', b'{"runs": []}', b'{"SchemaVersion": "2018-10-08"}']
)
def test_other_documents_are_not_claimed(head):
    assert prowler_json.sniff(head) is None


def test_other_documents_are_refused():
    with pytest.raises(UnreadableReport, match="neither CheckID nor Control"):
        parse([{"class_uid": 2004}])


@pytest.mark.parametrize("document", [b"[]", b"[\n    \n]", b"\xef\xbb\xbf []"])
def test_an_empty_list_proves_nothing(document):
    (run,) = parse(document)

    assert (run.scanner, run.conclusive) == ("prowler", False)
    assert "empty list" in str(run.inconclusive_because)


def test_a_real_run_of_v3_says_what_its_csv_says():
    run, *from_json = sample("v3.16.json")
    with (SAMPLES / "v3.16.csv").open("rb") as stream:
        _run, *from_csv = prowler_csv.parse(stream, OPTIONS)

    def said(row):
        # In JSON a KMS key has one TagKey and so its last tag only; CSV has them all.
        return replace(row, check=row.check.key, account=row.account.uid, position=0, tags=row.tags[-1:])

    assert (run.version, run.at) == ("3", datetime(2026, 11, 21, 20, 4, 13, 590852, tzinfo=PARIS))
    assert [said(row) for row in from_json] == [said(row) for row in from_csv]
    for one, other in zip(from_json, from_csv, strict=True):
        fields = (
            "title",
            "service",
            "description",
            "risk",
            "remediation",
            "remediation_url",
            "categories",
            "controls",
            "exposes",
        )
        assert [getattr(one.check, field) for field in fields] == [getattr(other.check, field) for field in fields]


def test_a_record_of_v3_is_read_whole():
    _run, row = parse([finding()])

    assert (row.verdict, row.severity, row.region, row.asset, row.asset_name) == (
        Verdict.FAIL, Severity.CRITICAL, "eu-west-1", "arn:aws:s3:::logs", "logs",
    )  # fmt: skip
    assert (row.account.provider, row.account.uid, row.tags) == ("aws", "018134828551", (("Owner", "alice"),))
    assert row.check.controls == (
        ("CIS-3.0", "2.1.3"),
        ("AWS-Account-Security-Onboarding", "Billing, emergency, security contacts"),
    )
    assert row.check.exposes


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"TagKey": "Owner", "TagValue": "x"}, (("Owner", "x"),)),
        ([{"Key": "Owner", "Value": "x"}, {"Key": "env", "Value": "prod"}], (("Owner", "x"), ("env", "prod"))),
        ([{"Owner": "x"}], (("Owner", "x"),)),
        ([{}], ()),
        ([], ()),
        (None, ()),
        ("odd", ()),
    ],
)
def test_tags_of_all_kinds(tags, expected):
    assert rows(parse([finding(ResourceTags=tags)]))[0].tags == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"Provider": "azure", "Subscription": "sub", "ResourceName": "name", "Tenant_Domain": "acme.example"},
            ("azure", "sub", "acme.example", ""),
        ),
        (
            {"Provider": "gcp", "ProjectId": "project", "ResourceName": "name", "Location": "europe-west9"},
            ("gcp", "project", "", "europe-west9"),
        ),
    ],
)
def test_other_providers(changes, expected):
    record = {key: value for key, value in FINDING.items() if key not in {"AccountId", "Region", "ResourceArn"}}

    row = rows(parse([{**record, **changes}]))[0]

    assert (row.account.provider, row.account.uid, row.account.organization, row.region) == expected
    assert (row.asset, row.asset_name) == ("logs", "name")


def test_an_account_in_an_organization():
    details = {
        "account_details_email": "root@acme.example",
        "account_details_name": "prod",
        "account_details_arn": "arn",
        "account_details_org": "o-acme",
        "account_details_tags": "key:value,",
    }

    account = rows(parse([finding(OrganizationsInfo=details)]))[0].account

    assert (account.name, account.email, account.organization, account.tags) == (
        "prod", "root@acme.example", "o-acme", (("key", "value"),),
    )  # fmt: skip


def test_early_v3_has_no_finding_id_and_integers_for_accounts():
    record = {key: value for key, value in FINDING.items() if key != "FindingUniqueId"}

    row = rows(parse([{**record, "AccountId": 18134828551}]))[0]

    assert (row.alias, row.account.uid) == ("", "018134828551")


def test_the_account_of_the_import_stands_where_the_report_has_none():
    row = rows(parse([finding(AccountId="")], ParseOptions(UTC, account="123456789012")))[0]

    assert row.account.uid == "123456789012"


def test_equal_checks_and_accounts_are_one_object():
    first, second, third = rows(parse([finding(), finding(ResourceId="other"), finding(Risk="other")]))

    assert first.check is second.check
    assert first.check is not third.check
    assert first.account is second.account is third.account


@pytest.mark.parametrize(("status", "expected"), [("PASS", "pass"), ("INFO", "manual"), ("WARNING", "fail")])
def test_statuses_of_v3(status, expected):
    row = rows(parse([finding(Status=status)]))[0]

    assert (row.verdict, row.muted) == (expected, status == "WARNING")


def test_stand_ins_are_known():
    row = rows(parse([finding(ResourceId="018134828551", ResourceArn="arn:aws:cloudtrail:eu-west-1:018134828551:trail")]))[0]

    assert row.stand_in


def test_records_that_cannot_be_read_are_left_out():
    outcomes = parse(
        [finding(), finding(Status="MAYBE"), finding(CheckID=""), finding(Severity="awful"), finding(Risk=["no", "text"])]
    )

    assert [(one.position, one.field, one.lost) for one in skipped(outcomes)] == [
        (1, "Status", True),
        (2, "CheckID", True),
        (3, "Severity", False),
        (4, skipped(outcomes)[3].field, True),
    ]
    assert [row.position for row in rows(outcomes)] == [0, 3]
    assert "Record 2 has the status “MAYBE”" in str(skipped(outcomes)[0].reason)


def test_a_report_of_which_nothing_can_be_read_proves_nothing():
    lost, run = parse([finding(Status="MAYBE")])

    assert lost.lost
    assert not run.conclusive


def test_a_time_that_is_none_is_said_once():
    outcomes = parse(
        [finding(AssessmentStartTime="soon"), finding(AssessmentStartTime="soon"), finding(AssessmentStartTime=1795291112)]
    )

    assert [(one.field, one.lost) for one in skipped(outcomes)] == [("AssessmentStartTime", False)]
    assert [row.seen_at for row in rows(outcomes)] == [None, None, datetime.fromtimestamp(1795291112, UTC)]


def test_a_document_cut_short_is_refused():
    with pytest.raises(UnreadableReport, match="cut short"):
        parse(json.dumps([finding(), finding()]).encode()[:-30])


def test_v2():
    run, *outcomes = sample("v2.json")

    assert (run.version, run.at, skipped(outcomes)) == ("2", datetime(2021, 8, 23, 6, 38, 46, tzinfo=UTC), [])
    assert [(row.check.key, row.verdict, row.severity, row.asset, row.discriminator) for row in outcomes] == [
        ("check114", Verdict.FAIL, Severity.CRITICAL, "MFA", ""),
        (
            "check13",
            Verdict.FAIL,
            Severity.MEDIUM,
            "012345678901",
            "User alice has not used access key 2 in the last # days",
        ),
        ("check11", Verdict.PASS, Severity.HIGH, "root", ""),
        ("check117", Verdict.MANUAL, Severity.MEDIUM, "012345678901", "See section 1.17 of the guide"),
    ]


def test_a_line_of_v2_that_is_broken_costs_itself_only():
    lines = (SAMPLES / "v2.json").read_bytes().splitlines()
    lines[1] = lines[1][:100]
    lines[2] = lines[2].replace(b"[check11]", b"")

    outcomes = parse(b"\n".join(lines))

    assert [row.position for row in rows(outcomes)] == [0, 3]
    assert [(one.position, one.lost) for one in skipped(outcomes)] == [(1, True), (2, True)]
