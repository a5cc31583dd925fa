"""OCSF: Prowler's generations and other producers must come out in the words of the product."""

import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from integrations.parsers import ocsf, prowler_csv
from triage.ports import Observation, ParseOptions, Run, Severity, Skipped, UnreadableReport, Verdict

SAMPLES = Path(__file__).parents[2] / "samples"
PARIS = timezone(timedelta(hours=1))
OPTIONS = ParseOptions(zone=PARIS)
STATED = ParseOptions(zone=PARIS, account="prod-cluster")


def parse(document, options=OPTIONS, parser=ocsf):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(parser.parse(io.BytesIO(data), options))


def only(kind, outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def sample(name):
    return (SAMPLES / name).read_bytes()


def prowler(**changes):
    """A record as Prowler 5 writes it."""
    record = {
        "message": "Bucket logs is public.",
        "metadata": {
            "event_code": "s3_bucket_public_access",
            "product": {"name": "Prowler", "version": "5.46.0"},
            "version": "1.5.0",
        },
        "severity": "High",
        "status": "New",
        "status_code": "FAIL",
        "finding_info": {
            "uid": "prowler-aws-s3_bucket_public_access-123456789012-eu-west-1-logs",
            "title": "Bucket is not public",
        },
        "resources": [{"uid": "arn:aws:s3:::logs", "name": "logs", "region": "eu-west-1", "group": {"name": "s3"}, "labels": []}],
        "class_uid": 2004,
        "cloud": {"account": {"uid": "123456789012", "name": "prod"}, "provider": "aws", "region": "eu-west-1"},
        "time": 1795291531,
    }
    return record | changes


def hub(**changes):
    """A compliance finding of another producer."""
    record = {
        "metadata": {"product": {"name": "AWS Security Hub CSPM", "vendor_name": "AWS", "version": "2.0"}},
        "class_uid": 2003,
        "severity_id": 4,
        "status": "New",
        "compliance": {
            "control": "S3.8",
            "status": "Fail",
            "status_id": 3,
            "requirements": ["CIS AWS Foundations Benchmark v1.4.0/2.1.5"],
        },
        "finding_info": {
            "uid": "f-1",
            "title": "S3 buckets should block public access",
            "desc": "Checks the block.",
            "analytic": {"uid": "rule"},
        },
        "resources": [{"uid": "arn:aws:s3:::logs", "type": "AwsS3Bucket", "tags": [{"name": "team", "value": "web"}]}],
        "cloud": {"account": {"uid": "123456789012"}, "provider": "AWS", "region": "eu-west-1"},
        "time": 1795291531000,
    }
    return record | changes


# --- one estate, whatever it was exported to ----------------------------------------------------------------------------------


def test_a_run_of_prowler_is_the_same_in_ocsf_as_in_csv():
    def facts(observation):
        return (
            observation.account.provider, observation.account.uid, observation.account.name, observation.check.key, observation.asset,
            observation.asset_name, observation.asset_type, observation.region, observation.discriminator, observation.verdict,
            observation.severity, observation.muted, observation.stand_in, observation.tags, observation.message, observation.alias,
            observation.check.title, observation.check.service, observation.check.description, observation.check.risk,
            observation.check.remediation, observation.check.remediation_url, observation.check.categories,
            observation.check.controls, observation.check.exposes,
        )  # fmt: skip

    in_ocsf = only(Observation, parse(sample("same_run/prowler_v5.ocsf.json")))
    in_csv = only(Observation, parse(sample("same_run/prowler_v5.csv"), parser=prowler_csv))

    assert len(in_ocsf) == 18
    assert Counter(map(facts, in_ocsf)) == Counter(map(facts, in_csv))


@pytest.mark.parametrize(
    ("name", "form", "version", "count"),
    [
        ("ocsf/prowler_v3.ocsf.json", "Prowler OCSF v3", "3.16.17", 8),
        ("ocsf/prowler_v4.ocsf.json", "Prowler OCSF v4", "4.6.1", 10),
        ("same_run/prowler_v5.ocsf.json", "Prowler OCSF v5", "5.46.0", 18),
        ("ocsf/prowler_v5_azure.ocsf.json", "Prowler OCSF v5", "5.4.0", 5),
        ("ocsf/prowler_v5_gcp.ocsf.json", "Prowler OCSF v5", "5.4.0", 5),
    ],
)
def test_each_generation_is_named_and_read_whole(name, form, version, count):
    data = sample(name)

    run, *rest = parse(data)

    assert ocsf.sniff(data[: 64 << 10]) == form
    assert (run.scanner, run.kind, run.version, run.reports_passes, run.conclusive) == ("prowler", "cloud", version, True, True)
    assert run.at == rest[0].seen_at
    assert [type(outcome) for outcome in rest] == [Observation] * count
    assert [outcome.position for outcome in rest] == list(range(count))


def test_generations_agree_on_what_identifies_a_finding():
    def keys(name):
        found = only(Observation, parse(sample(name)))
        return {(one.account.provider, one.account.uid, one.check.key, one.asset, one.asset_name, one.region) for one in found}

    v3, v4, v5 = (
        keys(name) for name in ("ocsf/prowler_v3.ocsf.json", "ocsf/prowler_v4.ocsf.json", "same_run/prowler_v5.ocsf.json")
    )

    user_policy = (
        "iam_policy_attached_only_to_group_or_roles",
        "arn:aws:iam::123456789012:user/ci-deployer",
        "ci-deployer/deploy-everything",
    )
    assert ("aws", "123456789012", *user_policy, "eu-west-1") in v3 & v4 & v5
    assert len(v3 & v4) >= 6


def test_the_verdicts_of_v3():
    finding = json.loads(sample("ocsf/prowler_v3.ocsf.json"))[0]
    records = [finding | {"status": status} for status in ("Success", "Failure", "Other", "Unknown", "Odd")]

    *found, odd = parse(records)[1:]

    assert [(one.verdict, one.muted) for one in found] == [
        (Verdict.PASS, False), (Verdict.FAIL, False), (Verdict.FAIL, True), (Verdict.MANUAL, False),
    ]  # fmt: skip
    assert (odd.lost, odd.field) == (True, "status_code")


def test_v3_names_the_check_the_controls_and_the_tags_its_own_way():
    found = next(one for one in only(Observation, parse(sample("ocsf/prowler_v3.ocsf.json"))) if one.check.service == "kms")

    assert found.check.key == "kms_cmk_rotation_enabled"
    assert ("CIS-1.4", "3.8") in found.check.controls
    assert found.check.risk.startswith("Cryptographic")
    assert found.tags == (("Owner", "orders@acme.example"), ("team", "orders"))
    assert found.seen_at == datetime(2026, 11, 21, 20, 4, 13, 590852, tzinfo=PARIS)


def test_v4_0_has_the_check_in_the_uid_and_its_tags_in_one_text():
    record = prowler(
        metadata={"product": {"name": "Prowler", "version": "4.0.1"}},
        status="Other",
        status_code="PASS",
        time=None,
        event_time="2024-04-10T10:00:00.5",
        resources=[
            {
                "uid": "arn:aws:s3:::logs",
                "name": "logs",
                "labels": ["Owner=alice | note=a", "b | aws:cloudformation:stack-name=web"],
            }
        ],
    )

    (found,) = only(Observation, parse([record]))

    assert found.check.key == "s3_bucket_public_access"
    assert (found.verdict, found.region) == (Verdict.PASS, "eu-west-1")
    assert found.tags == (("Owner", "alice"), ("note", "a,b"), ("aws:cloudformation:stack-name", "web"))
    assert found.seen_at == datetime(2024, 4, 10, 10, 0, 0, 500000, tzinfo=PARIS)


def test_the_first_v4_wrote_the_cloud_into_itself_and_the_verdict_as_status():
    record = prowler(status="FAIL", status_code=None, cloud={"cloud": prowler()["cloud"]})

    (found,) = only(Observation, parse([record]))

    assert (found.account.uid, found.verdict) == ("123456789012", Verdict.FAIL)


def test_a_muted_record_keeps_its_verdict():
    muted, other = only(Observation, parse(sample("ocsf/prowler_v5_muted.ocsf.json")))

    assert {(one.verdict, one.muted) for one in (muted, other)} == {(Verdict.PASS, False), (Verdict.FAIL, True)}


def test_a_check_becomes_one_object_and_so_do_accounts_and_tags():
    first, second = only(Observation, parse([prowler(), prowler(status_code="PASS")]))

    assert first.check is second.check
    assert first.account is second.account
    assert first.tags is second.tags


def test_labels_with_several_colons_are_split_where_the_resource_says():
    labels = ["CostCenter:owner:web", "url:https://x", "aws:cloudformation:stack-name:shop", "aws:createdBy:root:1", "plain"]
    resource = prowler()["resources"][0] | {"labels": labels}

    told = [resource | {"data": {"metadata": {"tags": [{"Key": "CostCenter:owner", "Value": "web"}, {"url": "x"}]}}}]
    (with_copy,) = only(Observation, parse([prowler(resources=told)]))
    (without,) = only(Observation, parse([prowler(resources=[resource])]))

    rest = (("url", "https://x"), ("aws:cloudformation:stack-name", "shop"), ("aws:createdBy", "root:1"), ("plain", ""))
    assert with_copy.tags == (("CostCenter:owner", "web"), *rest)
    assert without.tags == (("CostCenter", "owner:web"), *rest)


def test_exposure_comes_from_the_categories():
    open_to_all = prowler(unmapped={"categories": ["internet-exposed"], "compliance": {"CIS-3.0": ["2.1.4"]}})

    (found,) = only(Observation, parse([open_to_all]))

    assert found.check.exposes
    assert found.check.controls == (("CIS-3.0", "2.1.4"),)


def test_lists_written_as_texts_are_read_as_lists():
    unmapped = {
        "categories": "encryption | internet-exposed",
        "compliance": "CIS-3.0: 2.1.4, 2.1.5 | ISO27001-2022: A.8.1",
        "additional_urls": "",
    }

    (found,) = only(Observation, parse([prowler(unmapped=unmapped)]))

    assert found.check.categories == ("encryption", "internet-exposed")
    assert found.check.controls == (("CIS-3.0", "2.1.4"), ("CIS-3.0", "2.1.5"), ("ISO27001-2022", "A.8.1"))


def test_code_among_the_references_of_old_versions_finds_its_place():
    references = [
        'resource "aws_s3_bucket" "x" {}',
        "aws s3api put-bucket-acl --acl private",
        "Open the console.",
        "https://a",
        "https://b",
    ]

    (found,) = only(Observation, parse([prowler(remediation={"desc": "Close it.", "references": references})]))

    check = found.check
    assert (check.remediation, check.remediation_url, check.references) == ("Close it.", "https://b", ("https://a",))
    assert (check.remediation_terraform, check.remediation_cli, check.remediation_other) == tuple(references[:3])


# --- Kubernetes ---------------------------------------------------------------------------------------------------------------


def kubernetes(**changes):
    resource = {"uid": "0d1e", "name": "kube-apiserver-n1", "namespace": "kube-system", "type": "KubernetesAPIServer"}
    uid = "prowler-kubernetes-apiserver_audit-arn:aws:eks:eu-west-1:1:cluster/a-b-namespace: kube-system-kube-apiserver-n1"
    return prowler(cloud=None, resources=[resource], finding_info={"uid": uid}) | changes


def test_a_cluster_is_named_by_unmapped_or_by_the_findings_uid():
    (old,) = only(Observation, parse([kubernetes()]))
    (new,) = only(Observation, parse([kubernetes(unmapped={"provider": "kubernetes", "provider_uid": "prod"})]))

    assert (old.account.provider, old.account.uid) == ("kubernetes", "arn:aws:eks:eu-west-1:1:cluster/a-b")
    assert (new.account.provider, new.account.uid, new.region) == ("kubernetes", "prod", "kube-system")


def test_a_cluster_without_a_name_has_to_be_stated():
    unstated = parse(sample("ocsf/prowler_v5_kubernetes.ocsf.json"))
    stated = parse(sample("ocsf/prowler_v5_kubernetes.ocsf.json"), STATED)

    assert {one.reason.message for one in only(Skipped, unstated)} == {ocsf.NO_ACCOUNT}
    assert [one.conclusive for one in only(Run, unstated)] == [False]
    assert {(one.account.provider, one.account.uid) for one in only(Observation, stated)} == {("kubernetes", "prod-cluster")}
    assert {one.alias for one in only(Observation, stated)} == {""}


# --- other producers ----------------------------------------------------------------------------------------------------------


def test_a_compliance_finding_of_another_producer():
    run, found = parse({"Findings": [hub()], "NextToken": "x"})

    assert (run.scanner, run.version, run.reports_passes) == ("security-hub", "2.0", True)
    assert run.at == found.seen_at == datetime(2026, 11, 21, 20, 5, 31, tzinfo=UTC)
    assert (found.check.key, found.check.title) == ("S3.8", "S3 buckets should block public access")
    assert found.check.controls == (("CIS AWS Foundations Benchmark v1.4.0", "2.1.5"),)
    assert (found.account.provider, found.account.uid, found.region) == ("aws", "123456789012", "eu-west-1")
    assert (found.verdict, found.severity, found.tags) == (Verdict.FAIL, Severity.HIGH, (("team", "web"),))


@pytest.mark.parametrize(
    ("changes", "verdict", "muted"),
    [
        ({"compliance": {"control": "S3.8", "status": "Pass"}}, Verdict.PASS, False),
        ({"compliance": {"control": "S3.8", "status_id": 2}}, Verdict.MANUAL, False),
        ({"compliance": {"control": "S3.8"}}, Verdict.MANUAL, False),
        ({"status_id": 3}, Verdict.FAIL, True),
        ({"status_id": 4, "status": "Resolved"}, Verdict.FAIL, False),  # somebody said so; the check still fails
        ({"class_uid": 2004, "compliance": None}, Verdict.FAIL, False),
        ({"class_uid": 2004, "compliance": None, "activity_id": 3}, Verdict.PASS, False),
        ({"class_uid": 2004, "compliance": None, "status_id": 4}, Verdict.PASS, False),
        ({"class_uid": 2004, "compliance": None, "status_code": "PASS"}, Verdict.PASS, False),
    ],
)
def test_the_verdicts_of_other_producers(changes, verdict, muted):
    (found,) = only(Observation, parse([hub(**changes)]))

    assert (found.verdict, found.muted) == (verdict, muted)


def test_an_archived_finding_is_neither_open_nor_fixed():
    archived, run, passed = parse([hub(status_id=5), hub(status_id=5, compliance={"control": "S3.8", "status_id": 1})])

    assert (archived.reason.message, archived.lost) == (ocsf.ARCHIVED, False)
    assert passed.verdict is Verdict.PASS
    assert run.conclusive


def test_each_vulnerability_is_a_check():
    vulnerabilities = [
        {
            "cve": {"uid": "CVE-2026-1"},
            "title": "openssl",
            "severity": "Critical",
            "cwe": {"uid": "CWE-79"},
            "references": ["https://x"],
        },
        {"advisory": {"uid": "GHSA-1"}, "remediation": {"desc": "Update it."}},
        {"severity": "Low"},
    ]
    record = hub(class_uid=2002, compliance=None, vulnerabilities=vulnerabilities)

    run, first, second = parse([record])

    assert not run.reports_passes
    assert (first.position, second.position) == (0, 0)
    assert (first.check.key, first.check.weaknesses, first.severity) == ("CVE-2026-1", ("CWE-79",), Severity.CRITICAL)
    assert (second.check.key, second.check.remediation, second.severity) == ("GHSA-1", "Update it.", Severity.HIGH)


def test_further_resources_are_named_in_the_message():
    resources = [{"uid": "arn:aws:s3:::a"}, {"uid": "arn:aws:s3:::b"}, {"name": "c"}]

    (found,) = only(Observation, parse([hub(resources=resources, status_detail="Open.")]))

    assert (found.asset, found.message) == ("arn:aws:s3:::a", "Open.\n+ arn:aws:s3:::b, c")


def test_provider_and_account_are_read_from_the_resource_where_nothing_else_names_them():
    ids = ["arn:aws:sqs:eu-west-1:42:q", "/subscriptions/s-1/vm", "//storage.googleapis.com/projects/p-1/b", "thing"]
    records = [hub(cloud=None, resources=[{"uid": uid}]) for uid in ids]

    found = only(Observation, parse(records, STATED))

    assert [(one.account.provider, one.account.uid) for one in found] == [
        ("aws", "000000000042"), ("azure", "s-1"), ("gcp", "p-1"), ("other", "prod-cluster"),
    ]  # fmt: skip
    assert {one.reason.message for one in only(Skipped, parse(records))} == {ocsf.NO_ACCOUNT}


@pytest.mark.parametrize("first", ["hub", "prowler"])
def test_each_product_in_a_report_has_its_run(first):
    records = [hub(), prowler(), hub(), hub(class_uid=6003), prowler()]
    if first == "prowler":
        records.reverse()

    outcomes = parse(records)

    runs = only(Run, outcomes)
    assert {run.scanner for run in runs} == {"prowler", "security-hub"}
    assert [run.reports_passes for run in runs] == [True, True]
    begin = outcomes.index(runs[1])
    by_run = (only(Observation, outcomes[:begin]), only(Observation, outcomes[begin:]))
    assert [len({one.check.key for one in found}) for found in by_run] == [1, 1]
    assert [len(found) for found in by_run] == [2, 2]
    assert [one.reason.message for one in only(Skipped, outcomes)] == [ocsf.NOT_A_FINDING]


# --- what is refused or left out ----------------------------------------------------------------------------------------------


def test_prowlers_compliance_report_is_refused_at_once_and_on_reading():
    data = json.dumps([prowler(class_uid=2003)]).encode()

    with pytest.raises(UnreadableReport, match=r"prowler-output-\*.ocsf.json"):
        ocsf.sniff(data)
    with pytest.raises(UnreadableReport, match="compliance report"):
        parse(data)


def test_prowler_run_twice_into_one_file_is_refused():
    with pytest.raises(UnreadableReport, match="same -F name"):
        parse(sample("ocsf/prowler_v5_appended_twice_BROKEN.ocsf.json"))


@pytest.mark.parametrize("document", [b"[]", b"[\n    \n]", b"\xef\xbb\xbf[]\n"])
def test_an_empty_list_proves_nothing(document):
    (run,) = parse(document)

    assert ocsf.sniff(document) == "JSON, an empty list"
    assert (run.scanner, run.conclusive, run.at) == ("prowler", False, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metadata": {"product": {"name": "Prowler"}}, "finding_info": {"uid": "<finding_uid>"}}, "metadata.event_code"),
        ({"status_code": "SKIPPED"}, "status_code"),
        ({"resources": []}, "resources"),
        ({"resources": "none"}, "resources"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_alone(changes, field):
    outcomes = parse([prowler(), prowler(**changes), prowler()])

    (lost,) = only(Skipped, outcomes)
    assert (lost.position, lost.field, lost.lost) == (1, field, True)
    assert [one.position for one in only(Observation, outcomes)] == [0, 2]


def test_an_unknown_severity_is_read_as_medium_with_a_note():
    note, _run, found = parse([prowler(severity="Unknown")])

    assert (note.lost, note.reason.params) == (False, {"word": "Unknown"})
    assert found.severity is Severity.MEDIUM


def test_records_without_a_finding_give_an_inconclusive_run():
    run, *lost = parse([{"class_uid": 6003}, 7])

    assert (run.conclusive, [one.lost for one in lost]) == (False, [True, True])


def test_one_record_a_line_and_one_record_alone_are_reports():
    lines = b"\n".join(json.dumps(prowler()).encode() for _ in range(3))

    assert ocsf.sniff(lines) == "Prowler OCSF v5"
    assert len(only(Observation, parse(lines))) == 3
    assert len(only(Observation, parse(json.dumps(prowler(), indent=2).encode()))) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"a;b",
        b"{}",
        b'[{"SchemaVersion": "2018-10-08", "GeneratorId": "prowler-x"}]',
        b'{"version": "2.1.0", "runs": []}',
        b"[1]",
        b"[[]]",
    ],
)
def test_what_is_not_ocsf_is_not_claimed(head):
    assert ocsf.sniff(head) is None


def test_a_first_record_longer_than_the_head_is_still_known():
    record = prowler()
    record["resources"][0]["data"] = {"metadata": "x" * (70 << 10)}

    assert ocsf.sniff(json.dumps([record]).encode()[: 64 << 10]) == "Prowler OCSF v5"
