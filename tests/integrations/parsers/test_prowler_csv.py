"""Prowler's CSV: what each generation says must arrive, and the short cut must see what csv.reader sees."""

import csv
import gc
import io
import tracemalloc
from dataclasses import astuple
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.parsers import _csv, _prowler, prowler_csv
from triage.ports import CheckInfo, Observation, ParseOptions, Run, Severity, Skipped, UnreadableReport, Verdict

SAMPLES = Path(__file__).parents[2] / "samples" / "prowler"
PARIS = timezone(timedelta(hours=1))
OPTIONS = ParseOptions(zone=PARIS)

V5 = next(csv.reader([(SAMPLES / "v5.46.csv").read_text().partition("\n")[0].strip()], delimiter=";"))
V4 = V5[:41]
V3 = next(csv.reader([(SAMPLES / "v3.16.csv").read_text().partition("\n")[0].strip()], delimiter=";"))
COMPLIANCE = "PROVIDER;DESCRIPTION;ACCOUNTID;REGION;ASSESSMENTDATE;REQUIREMENTS_ID;REQUIREMENTS_DESCRIPTION;STATUS;CHECKID\r\n"

ROW = {
    "AUTH_METHOD": "profile: None",
    "TIMESTAMP": "2026-11-21 19:58:32.424170",
    "ACCOUNT_UID": "123456789012",
    "ACCOUNT_NAME": "prod",
    "ACCOUNT_TAGS": "team:web | cost:a:b",
    "FINDING_UID": "prowler-aws-s3_bucket_public_access-123456789012-eu-west-1-logs",
    "PROVIDER": "aws",
    "CHECK_ID": "s3_bucket_public_access",
    "CHECK_TITLE": "Bucket is not public",
    "STATUS": "FAIL",
    "STATUS_EXTENDED": "Bucket logs is public.",
    "MUTED": "False",
    "SERVICE_NAME": "s3",
    "SEVERITY": "critical",
    "RESOURCE_TYPE": "AwsS3Bucket",
    "RESOURCE_UID": "arn:aws:s3:::logs",
    "RESOURCE_NAME": "logs",
    "RESOURCE_TAGS": "Owner=alice | env=prod",
    "REGION": "eu-west-1",
    "DESCRIPTION": 'Says "public";\nor not',
    "COMPLIANCE": "CIS-3.0: 2.1.3, 2.1.4 | AWS-Account-Security-Onboarding: Billing, emergency, security contacts, Alarms",
    "CATEGORIES": "internet-exposed | trust-boundaries",
    "PROWLER_VERSION": "5.46.0",
    "ACCOUNT_OU_UID": "ou-1",
    "ACCOUNT_OU_NAME": "Production",
}


def written(*rows, columns=V5, delimiter=";", end="\r\n", quoting=csv.QUOTE_MINIMAL):
    """A report of ROWs with changes, as text."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(columns)
    writer.writerows([[{**ROW, **row}.get(column, "") for column in columns] for row in rows])
    return out.getvalue()


def parse(report, options=OPTIONS, chunk=_csv.CHUNK):
    data = report.encode() if isinstance(report, str) else report
    return list(prowler_csv.parse(io.BytesIO(data), options, chunk))


def sample(name):
    return parse((SAMPLES / name).read_bytes())


def rows(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, Observation)]


def skipped(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, Skipped)]


# --- telling them apart -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("v2.4.csv", "Prowler CSV v2"),
        ("v2.9.csv", "Prowler CSV v2"),
        ("v3.16.csv", "Prowler CSV v3"),
        ("v4.6.csv", "Prowler CSV v4"),
        ("v5.46.csv", "Prowler CSV v5"),
        ("v5-example-azure.csv", "Prowler CSV v5"),
        ("v3.16.json", None),
    ],
)
def test_generations_are_told_apart(name, generation):
    assert prowler_csv.sniff((SAMPLES / name).read_bytes()[:65536]) == generation


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_saved_again_by_a_spreadsheet(encoding, delimiter, quoting):
    report = written({}, {"STATUS": "PASS"}, delimiter=delimiter, quoting=quoting).encode(encoding)

    assert prowler_csv.sniff(report) == "Prowler CSV v5"
    assert [row.verdict for row in rows(parse(report))] == [Verdict.FAIL, Verdict.PASS]
    assert rows(parse(report))[0].check.description == 'Says "public";\nor not'


def test_columns_that_a_spreadsheet_added_are_no_reason_to_refuse():
    report = "sep=;\r\n" + written({}, {}).replace("\r\n", ";;\r\n").replace('public"";;', 'public"";')

    assert prowler_csv.sniff(report.encode()) == "Prowler CSV v5"
    assert len(rows(parse(report))) == 2
    assert skipped(parse(report)) == []


@pytest.mark.parametrize("head", [b"", b"[]", b"{}", b"a;b\n1;2\n", b"CHECK_ID;STATUS\n", b"\xff\xfe\x00", b"a;b\rc;d\n"])
def test_other_documents_are_not_claimed(head):
    assert prowler_csv.sniff(head) is None
    with pytest.raises(UnreadableReport, match="not the header of a Prowler CSV"):
        parse(head)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_compliance_report_is_refused_with_what_to_give_instead(mark):
    report = (mark + COMPLIANCE).encode()

    with pytest.raises(UnreadableReport, match=r"compliance report .* output/prowler-output-\*\.csv"):
        prowler_csv.sniff(report)
    with pytest.raises(UnreadableReport, match="compliance report"):
        parse(report)


@pytest.mark.parametrize("columns", [V5, V4, V3])
def test_a_header_alone_is_an_empty_report_and_proves_nothing(columns):
    (run,) = parse(written(columns=columns))

    assert (run.scanner, run.kind, run.reports_passes, run.conclusive) == ("prowler", "cloud", True, False)
    assert "no rows" in str(run.inconclusive_because)


# --- v4 and v5 ----------------------------------------------------------------------------------------------------------------


def test_a_row_of_v5_is_read_whole():
    run, row = parse(written({}))

    at = datetime(2026, 11, 21, 19, 58, 32, 424170, tzinfo=PARIS)
    assert run == Run("prowler", "cloud", version="5.46.0", at=at)
    assert (row.position, row.verdict, row.severity, row.muted, row.seen_at) == (0, Verdict.FAIL, Severity.CRITICAL, False, at)
    assert (row.region, row.asset, row.asset_name, row.asset_type) == ("eu-west-1", "arn:aws:s3:::logs", "logs", "AwsS3Bucket")
    assert (row.tags, row.message) == ((("Owner", "alice"), ("env", "prod")), "Bucket logs is public.")
    assert (row.alias, row.discriminator, row.stand_in) == (ROW["FINDING_UID"], "", False)
    assert astuple(row.account) == ("aws", "123456789012", "prod", "", "", "Production", (("team", "web"), ("cost", "a:b")))
    check = row.check
    assert (check.key, check.title, check.service) == ("s3_bucket_public_access", "Bucket is not public", "s3")
    assert (check.categories, check.exposes) == (("internet-exposed", "trust-boundaries"), True)
    assert check.controls == (
        ("CIS-3.0", "2.1.3"),
        ("CIS-3.0", "2.1.4"),
        ("AWS-Account-Security-Onboarding", "Billing, emergency, security contacts"),
        ("AWS-Account-Security-Onboarding", "Alarms"),
    )


def test_a_real_run_of_v5():
    run, *outcomes = sample("v5.46.csv")

    assert (run.version, len(outcomes), skipped(outcomes)) == ("5.46.0", 23, [])
    assert [row.position for row in outcomes] == list(range(23))
    assert {row.account for row in outcomes} == {outcomes[0].account}
    public = [row for row in outcomes if row.check.key == "s3_bucket_public_access"]
    assert len({row.check for row in public}) == 1
    assert public[0].check.remediation_terraform.startswith("```hcl")
    assert public[0].check.remediation_cli.startswith("aws s3api")
    assert {row.asset for row in outcomes if row.stand_in} == {
        "arn:aws:cloudtrail:eu-west-1:123456789012:trail",
        "arn:aws:config:eu-west-1:123456789012:config-aggregator/unknown",
        "arn:aws:config:eu-west-1:123456789012:recorder",
        "arn:aws:guardduty:eu-west-1:123456789012:detector/unknown",
        "arn:aws:iam::123456789012:root",
        "arn:aws:rds:eu-west-1:123456789012:account",
    }


def test_a_kms_key_gets_its_last_tag_back():
    keys = [row for row in rows(sample("v5.46.csv")) if row.asset_type == "AwsKmsKey" and row.tags]

    assert [row.tags for row in keys] == [(("team", "orders"),)] * 2


def test_a_real_run_of_v4():
    run, *outcomes = sample("v4.6.csv")

    assert (run.version, len(outcomes)) == ("4.6.1", 22)
    assert len({row.account for row in outcomes}) == 1


def test_a_muted_row_keeps_its_verdict():
    muted = [row for row in rows(sample("v5.46-muted.csv")) if row.muted]

    assert [row.verdict for row in muted] == [Verdict.FAIL]


def test_a_partial_run_after_the_fix():
    verdicts = [row.verdict for row in rows(sample("v5.46-after.csv"))]

    assert (verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL)) == (11, 2)


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp", "kubernetes"])
def test_the_anonymised_examples_of_each_provider(provider):
    run, *outcomes = sample(f"v5-example-{provider}.csv")

    assert run.version == ""
    assert [(row.account.provider, row.account.uid, row.alias) for row in outcomes] == [(provider, "<account_uid>", "")] * 4


def test_kubernetes_has_namespaces_and_a_context_as_ocsf_has_them():
    row = rows(sample("v5-example-kubernetes.csv"))[0]

    assert (row.region, row.account.name) == ("kube-system", "<context>")


def test_regions_that_are_none_or_global_are_kept():
    found = rows(parse(written({"REGION": "global"}, {"REGION": ""}, {"REGION": "namespace: kube-system"})))

    assert [row.region for row in found] == ["global", "", "kube-system"]


def test_account_ids_that_a_spreadsheet_cut_are_filled():
    found = rows(parse(written({"ACCOUNT_UID": "18134828551"}, {"ACCOUNT_UID": "18134828551", "PROVIDER": "m365"})))

    assert [row.account.uid for row in found] == ["018134828551", "18134828551"]


def test_an_account_is_one_object_whatever_its_rows_add():
    found = rows(parse(written({}, {"ACCOUNT_NAME": "renamed"}, {"ACCOUNT_UID": "2"}, {})))

    assert found[0].account is found[1].account is found[3].account
    assert found[2].account.uid == "000000000002"


def test_equal_metadata_is_one_object_even_where_notes_differ():
    found = rows(parse(written({}, {"NOTES": "x"}, {"RISK": "y"}, {"CHECK_TITLE": "z"}, {})))

    assert found[0].check is found[1].check is found[4].check
    assert len({row.check for row in found}) == 3


def test_each_account_has_its_own_unit():
    report = written(
        {}, {"ACCOUNT_UID": "2", "ACCOUNT_OU_NAME": "Sandbox"}, {}, {"ACCOUNT_UID": "2", "ACCOUNT_OU_NAME": "Sandbox"}
    )

    assert [row.account.unit for row in rows(parse(report))] == ["Production", "Sandbox", "Production", "Sandbox"]


def test_an_asset_without_uid_is_known_by_its_name():
    found = rows(parse(written({"RESOURCE_UID": ""}, {"RESOURCE_UID": ""})))

    assert [(row.asset, row.asset_name) for row in found] == [("logs", "logs")] * 2


def test_the_account_of_the_import_stands_where_the_report_has_none():
    row = rows(parse(written({"ACCOUNT_UID": ""}), ParseOptions(UTC, account="18134828551")))[0]

    assert row.account.uid == "018134828551"


def test_guards_against_spreadsheet_formulas_are_taken_off():
    first, second = rows(parse(written({"RESOURCE_NAME": "'@scope/x", "STATUS_EXTENDED": "'-5"}, {"RESOURCE_NAME": "'@scope/x"})))

    assert (first.asset_name, second.asset_name, first.message) == ("@scope/x", "@scope/x", "'-5")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1795291112", datetime.fromtimestamp(1795291112, UTC)),
        ("2026-11-21T19:58:32+02:00", datetime(2026, 11, 21, 19, 58, 32, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-11-21 19:58:32", datetime(2026, 11, 21, 19, 58, 32, tzinfo=PARIS)),
        ("", None),
    ],
)
def test_times_of_all_kinds(text, at):
    assert rows(parse(written({"TIMESTAMP": text})))[0].seen_at == at


def test_times_that_a_spreadsheet_spoiled_are_said_once():
    note, run, *found = parse(written({"TIMESTAMP": "58:32.4"}, {"TIMESTAMP": "58:33.4"}))

    assert (note.lost, note.field, note.line) == (False, "TIMESTAMP", 2)
    assert [row.seen_at for row in found] == [None, None]
    assert run.at is None


@pytest.mark.parametrize("status", ["PASS", "FAIL", "MANUAL", "INFO", "WARNING"])
def test_statuses(status):
    expected = {"PASS": ("pass", False), "FAIL": ("fail", False), "WARNING": ("fail", True)}.get(status, ("manual", False))

    found = rows(parse(written({"STATUS": status}, {"STATUS": status})))

    assert [(row.verdict, row.muted) for row in found] == [expected] * 2


# --- rows that are broken -----------------------------------------------------------------------------------------------------


def test_a_row_with_other_columns_is_left_out_with_its_line():
    lines = written({}, {}, {}).split("\r\n")
    lines[1] += ";more"

    outcomes = parse("\r\n".join(lines))

    (lost,) = skipped(outcomes)
    assert (lost.position, lost.line, lost.lost) == (0, 2, True)
    assert str(lost.reason) == "Line 2 has 45 cells where the header has 44. It was left out; export the report again."
    assert [row.position for row in rows(outcomes)] == [1, 2]


@pytest.mark.parametrize("size", range(-400, -14, 7))
def test_a_report_cut_short_loses_its_last_row_only(size):
    outcomes = parse(written({}, {}, {"STATUS_EXTENDED": 'a "quoted" end'})[:size])

    assert [row.position for row in rows(outcomes)] == [0, 1]
    assert [(lost.position, lost.line, lost.lost) for lost in skipped(outcomes)] == [(2, 6, True)]


def test_a_report_cut_between_cells_says_where():
    (lost,) = skipped(parse(written({}, {}).encode()[:-40].rpartition(b";")[0].rpartition(b'"')[0] + b'"'))

    assert "cut short" in str(lost.reason)
    assert lost.field in V5


def test_an_open_quote_costs_its_row_and_no_other():
    plain = {"DESCRIPTION": "plain"}
    report = written(plain, {**plain, "RESOURCE_DETAILS": "HERE"}, plain, plain).replace("HERE", '"never closed')

    outcomes = parse(report)

    assert [row.position for row in rows(outcomes)] == [0, 2, 3]
    assert [(lost.position, lost.line, lost.lost) for lost in skipped(outcomes)] == [(1, 3, True)]


def test_unknown_words():
    outcomes = parse(written({"STATUS": "MAYBE"}, {"CHECK_ID": ""}, {"SEVERITY": "awful"}, {"SEVERITY": "awful"}, {}))

    status, check, severity = skipped(outcomes)
    assert (status.lost, status.field, status.position) == (True, "STATUS", 0)
    assert (check.lost, check.field, check.position) == (True, "CHECK_ID", 1)
    assert (severity.lost, severity.field, severity.position) == (False, "SEVERITY", 2)
    assert [row.severity for row in rows(outcomes)] == [Severity.MEDIUM, Severity.MEDIUM, Severity.CRITICAL]


def test_a_report_of_which_nothing_can_be_read_proves_nothing():
    *lost, run = parse(written({"STATUS": "?"}, {"STATUS": "?"}))

    assert len(lost) == 2
    assert not run.conclusive
    assert "could be read" in str(run.inconclusive_because)


def test_reports_put_one_behind_the_other_are_read_as_one():
    outcomes = parse(written({}) + written({"STATUS": "PASS"}))

    assert [(row.position, row.verdict) for row in rows(outcomes)] == [(0, Verdict.FAIL), (1, Verdict.PASS)]
    assert skipped(outcomes) == []


def test_blank_and_empty_lines_are_no_rows():
    report = written({}, {}).replace("\r\n", "\r\n\r\n").replace('";\n', '";\n') + ";" * (len(V5) - 1) + "\r\n"

    assert len(rows(parse(report))) == 2
    assert skipped(parse(report)) == []


def test_line_ends_of_windows():
    outcomes = parse(written({}, {}, {"STATUS": "PASS"}, end="\r\r\n"))

    assert [row.position for row in rows(outcomes)] == [0, 1, 2]
    assert skipped(outcomes) == []


def test_latin_1_is_mended_and_said_once():
    report = written({"RESOURCE_NAME": "été"}, {"RESOURCE_NAME": "été"}, {"RESOURCE_TAGS": "Owner=Zoë"}).encode("cp1252")

    outcomes = parse(report)

    (note,) = skipped(outcomes)
    assert (note.lost, note.position, note.line) == (False, 0, 2)
    assert [row.asset_name for row in rows(outcomes)] == ["été", "été", "logs"]
    assert rows(outcomes)[2].tags == (("Owner", "Zoë"),)


def test_nul_bytes_and_long_cells_pass():
    report = written({"STATUS_EXTENDED": "a\0b"}, {"STATUS_EXTENDED": "x" * 1_000_000}, {"RISK": "y" * 1_000_000}, {})

    outcomes = parse(report, chunk=10_000)

    assert [len(row.message) for row in rows(outcomes)] == [3, 1_000_000, 22, 22]
    assert skipped(outcomes) == []


# --- v3 and v2 ----------------------------------------------------------------------------------------------------------------


def test_a_real_run_of_v3():
    run, *outcomes = sample("v3.16.csv")

    assert (run.version, run.at) == ("3", datetime(2026, 11, 21, 20, 4, 13, 590852, tzinfo=PARIS))
    assert len(outcomes) == 14
    bucket = next(row for row in outcomes if row.asset == "arn:aws:s3:::acme-payroll")
    assert (bucket.asset_name, bucket.account.uid, bucket.region) == ("acme-payroll", "123456789012", "eu-west-1")
    assert bucket.alias == "prowler-aws-s3_bucket_public_access-123456789012-eu-west-1-acme-payroll"
    assert bucket.tags == (("Owner", "alice.martin@acme.example"), ("team", "finance"), ("env", "prod"))
    keys = [row for row in outcomes if row.asset_type == "AwsKmsKey"]
    assert [row.tags for row in keys] == [(("Owner", "orders@acme.example"), ("team", "orders"))] * 2
    assert [row.asset for row in outcomes if row.stand_in] == ["arn:aws:cloudtrail:eu-west-3:123456789012:trail"]


def test_v3_of_aws_loses_zeros_and_joins_account_tags_with_commas():
    report = written(
        {"ACCOUNT_ID": "18134828551", "ACCOUNT_TAGS": "key:value,team:web,", "RESOURCE_ARN": "", "RESOURCE_ID": "logs"},
        columns=V3,
    )

    row = rows(parse(report))[0]
    assert (row.account.uid, row.account.tags, row.asset) == ("018134828551", (("key", "value"), ("team", "web")), "logs")


@pytest.mark.parametrize(
    ("provider", "columns", "expected"),
    [
        ("azure", ["TENANT_DOMAIN", "SUBSCRIPTION", "RESOURCE_ID", "RESOURCE_NAME"], ("SUBSCRIPTION", "", "TENANT_DOMAIN")),
        ("gcp", ["PROJECT_ID", "LOCATION", "RESOURCE_ID", "RESOURCE_NAME"], ("PROJECT_ID", "LOCATION", "")),
    ],
)
def test_v3_of_other_providers(provider, columns, expected):
    values = {"PROVIDER": provider, **{column: column for column in columns}}

    row = rows(parse(written(values, columns=[*V3[:28], *columns])))[0]

    assert (row.account.uid, row.region, row.account.organization) == expected
    assert (row.asset, row.asset_name) == ("RESOURCE_ID", "RESOURCE_NAME")


def test_v2_without_resource_column():
    run, *outcomes = sample("v2.4.csv")

    assert (run.version, run.at) == ("2", None)
    found = rows(outcomes)
    assert [(row.position, row.check.key, row.verdict, row.muted) for row in found] == [
        (0, "check11", Verdict.PASS, False),
        (1, "check13", Verdict.FAIL, False),
        (2, "check13", Verdict.FAIL, False),
        (3, "extra75", Verdict.FAIL, True),
        (4, "check117", Verdict.MANUAL, False),
    ]
    assert {row.asset for row in found} == {"012345678901"}
    assert [row.discriminator for row in found[:4]] == [
        "Root user in the account wasn't accessed in the last # days",
        "User alice has not used access key 2 in the last # days",
        "User bob, the builder, has not used access key 1 in the last # days",
        "sg-01234567 is not being used!",
    ]
    assert found[1].check.controls == (("ENS", "op.acc.1.aws.iam.3"), ("ENS", "op.acc.5.aws.iam.4"))


def test_v2_rows_with_commas_are_put_together_again():
    outcomes = sample("v2.4.csv")

    (note,) = skipped(outcomes)
    assert (note.position, note.line, note.lost) == (2, 4, False)
    row = rows(outcomes)[2]
    assert (row.severity, row.asset_type, row.check.risk) == (Severity.MEDIUM, "AwsIamUser", "Old keys leak, and nobody sees it.")


def test_v2_with_resource_and_account_details():
    run, public, logs = sample("v2.9.csv")

    assert run.at == datetime(2022, 3, 1, 9, 10, 11, tzinfo=UTC)
    assert (public.asset, public.asset_name, public.discriminator) == ("acme-public", "acme-public", "")
    assert (public.check, public.account) == (logs.check, logs.account)
    assert astuple(public.account) == (
        "aws", "012345678901", "acme-prod", "root@acme.example", "o-acme", "", (("team", "web"),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("acme,1,eu-west-1,1.1,PASS", ""),
        ("acme,1,eu-west-1,1.1,PASS,,,no bracket,m,c,High,iam,t,t,r,r,d,e", "TITLE_TEXT"),
        ("acme,1,eu-west-1,1.1,ERROR,,,[check11] a,m,c,High,iam,t,t,r,r,d,e", "CHECK_RESULT"),
        ("acme,1,eu-west-1,1.1,PASS,,,[check11] a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", ""),
    ],
)
def test_v2_rows_that_cannot_be_read(line, field):
    header = (SAMPLES / "v2.4.csv").read_text().partition("\n")[0]

    *lost, run = parse(f"{header}\n{line}\n")

    assert [(one.lost, one.line, one.field) for one in lost if one.lost] == [(True, 2, field)]
    assert not run.conclusive


# --- the short cut ------------------------------------------------------------------------------------------------------------

CELL = st.sampled_from(
    ["", "x", "é", 'say "no"', "a;b", "two\nlines", "two\r\nlines", "'=1+1", "'", "<id>", "a\0", " ", "naïve|=:", "ends\\"]
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "TIMESTAMP": st.sampled_from(["2026-11-21 19:58:32", "1795291112", "soon"]),
        "ACCOUNT_UID": st.sampled_from(["123456789012", "2", "é"]),
        "ACCOUNT_NAME": CELL,
        "ACCOUNT_OU_NAME": CELL,
        "ACCOUNT_OU_UID": st.sampled_from(["ou-1", "ou-2"]),
        "FINDING_UID": CELL,
        "PROVIDER": st.sampled_from(["aws", "AWS", "kubernetes"]),
        "CHECK_ID": st.sampled_from(["one", "two", ""]),
        "CHECK_TITLE": CELL,
        "STATUS": st.sampled_from(["PASS", "FAIL", "WARNING", "pass", "MAYBE"]),
        "STATUS_EXTENDED": CELL,
        "MUTED": st.sampled_from(["True", "False", "", "yes"]),
        "SERVICE_NAME": st.sampled_from(["s3", "ec2"]),
        "SEVERITY": st.sampled_from(["high", "High", "awful"]),
        "RESOURCE_TYPE": CELL,
        "RESOURCE_UID": st.sampled_from(["arn:aws:config:eu-west-1:2:recorder", "", "é", "a:b"]),
        "RESOURCE_NAME": st.one_of(CELL, st.sampled_from(["2", "000000000002", "detector/unknown"])),
        "RESOURCE_DETAILS": CELL,
        "RESOURCE_TAGS": st.sampled_from(["", "Owner=é", "TagKey=a | TagValue=b", "a=b;c", "'=x"]),
        "REGION": st.sampled_from(["eu-west-1", "namespace: x", "", "é"]),
        "DESCRIPTION": CELL,
        "RISK": CELL,
        "NOTES": CELL,
        "PROWLER_VERSION": CELL,
        "ADDITIONAL_URLS": CELL,
    },
)
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([b'"', b";", b"\n", b"\r", b"\r\n", b"\xe9", b"\0", b";;", b""])), max_size=3
)


def plainly(data, columns):
    """What csv.reader makes of a report of known columns, in the plainest way; the same broken rows are given up."""
    outcomes, notes = [], set()
    position, astray = 0, False

    def note(text):
        if text not in notes:
            notes.add(text)
            outcomes.append(("note", position, line))

    checks, accounts = {}, {}
    for line, found in _records(data):
        cells, broken = found, found is None
        if not broken and not any(cells):
            continue
        if not broken and len(cells) > len(columns) and not any(cells[len(columns) :]):
            cells = cells[: len(columns)]
        if broken or len(cells) != len(columns):
            if not astray:
                outcomes.append(("lost", position, line))
                position += 1
            astray = astray or broken
            continue
        astray = False
        if cells == columns:
            continue
        raw = dict(zip(columns, cells, strict=True))
        row = {column: _prowler.unescaped(_csv.mended(cell)) for column, cell in raw.items()}
        if any(_csv.mended(raw[column]) != raw[column] for column in set(raw) - _unread(row)):
            note("utf-8")
        verdict = _prowler.verdict(row["STATUS"])
        if not row["CHECK_ID"] or verdict is None:
            outcomes.append(("lost", position, line))
            position += 1
            continue
        severity = _prowler.severity(row["SEVERITY"])
        if severity is None:
            note("severity")
        at = _prowler.time_of(row["TIMESTAMP"], PARIS)
        if at is None and row["TIMESTAMP"]:
            note("time")
        provider = row["PROVIDER"].strip().lower() or "aws"
        uid = _prowler.account_uid(provider, row["ACCOUNT_UID"])
        account = accounts.setdefault(
            (provider, uid), (row["ACCOUNT_NAME"], row.get("ACCOUNT_OU_NAME") or row.get("ACCOUNT_OU_UID") or "")
        )
        about = tuple(row[column] for column in ("CHECK_ID", "CHECK_TITLE", "SERVICE_NAME", "DESCRIPTION", "RISK"))
        more = tuple(text for column, text in row.items() if column.startswith(("REM", "RELATED_U", "COMP", "CATEG", "ADD")))
        asset = row["RESOURCE_UID"] or row["RESOURCE_NAME"]
        outcomes.append((
            "row", position, about, checks.setdefault((*about, *more), len(checks)), verdict[0], severity or Severity.MEDIUM, provider, uid,
            account, row["REGION"].removeprefix("namespace: "), asset, row["RESOURCE_NAME"], row["RESOURCE_TYPE"],
            _prowler.tags_of(row["RESOURCE_TAGS"]), row["STATUS_EXTENDED"], at, verdict[1] or row["MUTED"] == "True",
            _prowler.clean_alias(row["FINDING_UID"]), _prowler.is_stand_in(asset, row["RESOURCE_NAME"], uid),
        ))  # fmt: skip
        position += 1
    return outcomes


def _unread(row):
    """The columns that say nothing, or nothing where another does."""
    unread = {
        "AUTH_METHOD",
        "CHECK_TYPE",
        "SUBSERVICE_NAME",
        "RESOURCE_DETAILS",
        "PARTITION",
        "DEPENDS_ON",
        "RELATED_TO",
        "NOTES",
    }
    for column, instead in (("ACCOUNT_OU_UID", "ACCOUNT_OU_NAME"), ("ACCOUNT_ORGANIZATION_UID", "ACCOUNT_ORGANIZATION_NAME")):
        if row.get(instead):
            unread.add(column)
    return unread


def _records(data):
    lines = io.StringIO(data.decode(errors="surrogateescape"), newline="\n").readlines()
    at = 1
    while at < len(lines):
        taken = 0

        def feed(begin=at):
            nonlocal taken
            for line in lines[begin:]:
                taken += 1
                yield line
            taken = -1

        try:
            cells = next(csv.reader(feed(), delimiter=";"))
        except csv.Error:
            cells, taken = None, 1
        if taken < 0:
            cells, taken = None, 1
        yield at + 1, cells
        at += taken


def quickly(data, chunk):
    """What the parser makes of it, in the same form."""
    outcomes, checks = [], {}
    for found in parse(data, chunk=chunk):
        if isinstance(found, Skipped):
            outcomes.append(("lost" if found.lost else "note", found.position, found.line))
        elif isinstance(found, Observation):
            check = found.check
            outcomes.append((
                "row", found.position, (check.key, check.title, check.service, check.description, check.risk),
                checks.setdefault(check, len(checks)), found.verdict, found.severity, found.account.provider, found.account.uid,
                (found.account.name, found.account.unit), found.region, found.asset, found.asset_name, found.asset_type, found.tags,
                found.message, found.seen_at, found.muted, found.alias, found.stand_in,
            ))  # fmt: skip
    return outcomes


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(st.one_of(st.just({}), CHANGES), max_size=8),
    columns=st.sampled_from([V5, V5[:42], V4]),
    end=st.sampled_from(["\r\n", "\n", "\r\r\n"]),
    damage=DAMAGE,
    chunk=st.sampled_from([1, 7, 300, 2000, 5000, 1 << 17]),
)
def test_the_short_cut_sees_what_csv_reader_sees(changes, columns, end, damage, chunk):
    report = written(*changes, *changes, columns=columns, end=end).encode()
    first = report.index(b"\n") + 1
    for where, what in damage:
        at = first + int(where * (len(report) - first))
        report = report[:at] + what + report[at:]

    assert quickly(report, chunk) == plainly(report, columns)


def test_an_end_that_only_looks_like_an_accounts_is_not_taken_for_one():
    sandbox = {"ACCOUNT_UID": "2", "ACCOUNT_OU_UID": "ou-2", "ACCOUNT_OU_NAME": "Sandbox", "DESCRIPTION": "plain"}
    first, second = (
        written({**sandbox, "ACCOUNT_UID": "1", "ACCOUNT_OU_UID": "ou-1", "ACCOUNT_OU_NAME": "a;b;c"}).partition("\n")[2],
        written(sandbox).partition("\n")[2],
    )
    report = written() + second + first + second.replace("ou-2;Sandbox", 'ou-1;"a;ou-2;Sandbox') + second

    outcomes = parse(report)

    assert [row.position for row in rows(outcomes)] == [0, 1, 3]
    assert [lost.position for lost in skipped(outcomes)] == [2]


def said(row):
    """All that an observation says but when."""
    return (
        (row.check.key, row.check.title, row.check.risk), row.verdict, row.severity, row.account.uid, row.region, row.asset,
        row.asset_name, row.asset_type, row.tags, row.message, row.muted, row.alias, row.stand_in,
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(st.one_of(st.just({}), CHANGES), max_size=6),
    after=st.lists(st.one_of(st.just({}), CHANGES), max_size=6),
    later=st.sampled_from(["2026-11-21 19:58:32", "2027-01-01 00:00:00"]),
    damage=DAMAGE,
)
def test_a_row_that_is_known_from_the_last_report_says_what_it_said(before, after, later, damage):
    old = [row for row in rows(parse(written(*before, *before))) if row.fingerprint]
    report = written(*[{"TIMESTAMP": later, **row} for row in (*after, *before, *after, *before)]).encode()
    first = report.index(b"\n") + 1
    for where, what in damage:
        at = first + int(where * (len(report) - first))
        report = report[:at] + what + report[at:]

    outcomes = parse(report, ParseOptions(PARIS, unchanged={row.fingerprint: number for number, row in enumerate(old)}))

    known = {row.fingerprint: row for row in old}
    told = [
        outcome if isinstance(outcome, Observation) else known[outcome[0]]
        for outcome in outcomes
        if not isinstance(outcome, (Run, Skipped))
    ]
    assert [said(row) for row in told] == [said(row) for row in rows(parse(report))]
    for outcome in outcomes:
        if isinstance(outcome, tuple):
            fingerprint, number, check, account = outcome
            row = old[number]
            assert (row.fingerprint, row.check.key, row.account.uid) == (fingerprint, check.key, account.uid)


def fingerprints(time, profile):
    """Those of a failing and of a passing row, which the short cut sees after one of each."""
    both = [{"TIMESTAMP": time, "AUTH_METHOD": profile, "STATUS": status} for status in ("FAIL", "PASS")]
    return [row.fingerprint for row in rows(parse(written(*both, *both)))]


def test_a_row_that_says_the_same_later_has_the_same_fingerprint():
    today, tomorrow = fingerprints("2026-11-21 19:58:32", "profile: a"), fingerprints("2026-11-22 19:58:32", "profile: b")

    assert today == tomorrow
    assert [len(fingerprint) for fingerprint in today] == [0, 0, 16, 16]
    assert today[2] != today[3]


# A row with another check, account or provider, or with metadata that its check did not have before, is read whole.
@pytest.mark.parametrize("column", [column for column in V5 if column not in ("AUTH_METHOD", "TIMESTAMP")])
def test_a_change_in_any_cell_but_time_and_profile_is_another_fingerprint(column):
    changed = {column: {"STATUS": "PASS", "MUTED": "True", "SEVERITY": "low"}.get(column, "other")}
    # Three of each: the first is read whole, and of a changed status or severity the second as well.
    before = {row.fingerprint for row in rows(parse(written({}, {}, {})))} - {b""}
    after = {row.fingerprint for row in rows(parse(written(changed, changed, changed)))} - {b""}

    assert len(before) == len(after) == 1
    assert before != after


def test_known_rows_are_told_with_check_account_and_the_right_position():
    other = {"CHECK_ID": "s3_other", "ACCOUNT_UID": "210987654321", "REGION": "us-east-1", "ACCOUNT_NAME": "dev"}
    old = {row.fingerprint: row for row in rows(parse(written({}, other, {}, other))) if row.fingerprint}
    assert len(old) == 2

    outcomes = parse(
        written({}, other, {}, other, {"RESOURCE_NAME": "new"}, {}), ParseOptions(PARIS, unchanged=dict.fromkeys(old, 7))
    )

    known = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert [(value, check.key, account.uid) for _print, value, check, account in known] == [
        (7, "s3_bucket_public_access", "123456789012"),
        (7, "s3_other", "210987654321"),
        (7, "s3_bucket_public_access", "123456789012"),
    ]
    assert [(row.position, row.asset_name) for row in rows(outcomes)] == [(0, "logs"), (1, "logs"), (4, "new")]


@pytest.mark.parametrize(
    "cells",
    [
        {"CHECK_TITLE": "Buckets are private", "DESCRIPTION": "Buckets are private, whatever their policy says"},
        {"STATUS_EXTENDED": "Ensure that buckets are private;", "DESCRIPTION": "Ensure that buckets are private"},
        {"RESOURCE_TAGS": " | ".join(f"key{number}={'v' * 40}" for number in range(60))},
        {"ACCOUNT_TAGS": "a" * 600},
    ],
    ids=["description begins like the title", "message begins like the description", "long tags", "long account"],
)
def test_rows_are_recognised_wherever_their_description_begins(cells):
    report = written(*({**cells, "RESOURCE_NAME": f"b{number}"} for number in range(9)))
    old = {row.fingerprint for row in rows(parse(report)) if row.fingerprint}

    again = parse(report, ParseOptions(PARIS, unchanged=dict.fromkeys(old, 7)))

    assert sum(isinstance(outcome, tuple) for outcome in again) == len(old)
    assert len(old) == 8 or ";" in cells.get("STATUS_EXTENDED", "")


@pytest.mark.parametrize("length", [1, 1000, 1500, 5000])
def test_the_short_cut_is_taken(monkeypatch, length):
    seen = []
    whole = _csv.Records.record
    monkeypatch.setattr(_csv.Records, "record", lambda self: seen.append(1) or whole(self))
    changes = [{"STATUS_EXTENDED": "x" * length, "RESOURCE_TAGS": f"Name=é{number}"} for number in range(100)]

    found = rows(parse(written(*changes), chunk=32 << 10))

    assert [row.tags for row in found] == [(("Name", f"é{number}"),) for number in range(100)]
    assert len(seen) <= 2  # the first row, and the end


@pytest.mark.slow
@pytest.mark.parametrize("changing", ["RISK", "RESOURCE_TAGS", "ACCOUNT_UID", "CHECK_ID"])
def test_memory_does_not_grow_with_the_report(monkeypatch, changing):
    monkeypatch.setattr(prowler_csv, "_REMEMBERED", 1 << 16)
    monkeypatch.setattr(_prowler, "INTERNED", 1 << 16)
    row = written({changing: "HERE"}).partition("\n")[2].encode()

    class Endless(io.RawIOBase):
        """A report of as many rows as asked for, written as it is read."""

        def __init__(self, count):
            self.pieces = chain([written().encode()], (row.replace(b"HERE", b"%d" % number) for number in range(count)))
            self.rest = b""

        def read(self, size=-1):
            while len(self.rest) < size and (piece := next(self.pieces, b"")):
                self.rest += piece
            taken, self.rest = self.rest[:size], self.rest[size:]
            return taken

        def seek(self, offset, whence=0):
            self.rest = written().encode()[:-offset] + self.rest

    def peak(count):
        gc.collect()
        tracemalloc.start()
        found = sum(isinstance(one, Observation) for one in prowler_csv.parse(Endless(count), OPTIONS, 16 << 10))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == count
        return most

    # Python itself keeps up to 2,000 argument tuples of one length for later.
    assert peak(4_400) < peak(2_200) * 1.2


def test_checks_are_checkinfo_objects_compared_by_identity():
    first, second = rows(parse(written({}, {"CHECK_ID": "other"})))

    assert isinstance(first.check, CheckInfo)
    assert first.check != second.check
