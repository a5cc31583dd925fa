"""Any CSV or JSON by a mapping: what the mapping says is done, and what it gets wrong is told with a way out."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from integrations.parsers import generic
from triage.ports import Observation, ParseOptions, Place, Severity, Skipped, UnreadableReport, Verdict

ZONE = timezone(timedelta(hours=2))

ACME = {
    "format": "csv",
    "delimiter": ";",
    "scanner": "ACME Cloud",
    "complete": True,
    "fields": {
        "check": "Rule ID",
        "title": "Rule",
        "asset": {"from": ["ARN", "Resource"]},
        "account": {"value": "42"},
        "provider": {"value": "AWS"},
        "region": "Region",
        "severity": {"from": "Sev", "map": {"P1": "critical", "P2": "high"}, "default": "low"},
        "verdict": {"from": "State", "map": {"Open": "fail", "closed": "pass", "accepted": "muted", "draft": "ignore"}},
        "tags": {"from": "Tags", "pairs": ",", "assign": ":"},
        "categories": {"from": "Labels", "split": "|"},
        "weaknesses": "CWE",
        "seen_at": {"from": "Date", "time": "%d/%m/%Y %H:%M"},
    },
}
HEADER = "Rule ID;Rule;ARN;Resource;Region;Sev;State;Tags;Labels;CWE;Date"
ROW = "S3-1;Bucket is public;arn:aws:s3:::logs;;eu-west-3;P1;open;Owner:ana, team:web;internet-exposed|s3;79;21/11/2026 20:04"


def options(mapping, **stated):
    return ParseOptions(zone=ZONE, mapping=mapping, **stated)


def parse(document, mapping, **stated):
    data = (
        document.encode()
        if isinstance(document, str)
        else document
        if isinstance(document, bytes)
        else json.dumps(document).encode()
    )
    return list(generic.parse(io.BytesIO(data), options(mapping, **stated)))


def only(kind, outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def refusal(document, mapping, **stated):
    with pytest.raises(UnreadableReport) as refused:
        parse(document, mapping, **stated)
    return str(refused.value)


def changed(**fields):
    """ACME's mapping with other fields; None takes one away."""
    merged = ACME["fields"] | fields
    return ACME | {"fields": {name: spec for name, spec in merged.items() if spec is not None}}


def test_it_is_chosen_by_a_mapping_and_never_by_content():
    assert generic.BY_MAPPING
    assert generic.sniff(f"{HEADER}\n{ROW}".encode()) is None


# --- CSV ----------------------------------------------------------------------------------------------------------------------


def test_a_row_is_read_as_the_mapping_says():
    run, found = parse(f"{HEADER}\r\n{ROW}\r\n", ACME)

    assert (run.scanner, run.kind, run.reports_passes, run.conclusive, run.at) == (
        "acme-cloud",
        "cloud",
        True,
        True,
        found.seen_at,
    )
    assert (found.check.key, found.check.title, found.check.exposes) == ("S3-1", "Bucket is public", True)
    assert (found.check.categories, found.check.weaknesses) == (("internet-exposed", "s3"), ("CWE-79",))
    assert (found.account.provider, found.account.uid, found.region) == ("aws", "000000000042", "eu-west-3")
    assert (found.asset, found.severity, found.verdict) == ("arn:aws:s3:::logs", Severity.CRITICAL, Verdict.FAIL)
    assert found.tags == (("Owner", "ana"), ("team", "web"))
    assert found.seen_at == datetime(2026, 11, 21, 20, 4, tzinfo=ZONE)


def test_words_are_mapped_whatever_their_case():
    rows = [
        ROW.replace("open", state).replace("P1", severity)
        for state, severity in [("CLOSED", "p2"), ("Accepted", "P9"), ("draft", "P1")]
    ]

    found = only(Observation, parse("\n".join([HEADER, *rows]), ACME))

    assert [(one.verdict, one.muted, one.severity) for one in found] == [
        (Verdict.PASS, False, Severity.HIGH), (Verdict.FAIL, True, Severity.LOW),
    ]  # fmt: skip


def test_the_first_column_that_is_not_empty_counts():
    (found,) = only(Observation, parse(f"{HEADER}\n{ROW.replace('arn:aws:s3:::logs;', ';logs')}", ACME))

    assert found.asset == "logs"


def test_rows_that_cannot_be_read_are_left_out_with_their_line():
    rows = [ROW, "too;short", ROW.replace("S3-1", ""), ROW.replace("open", "odd"), "", ROW]

    outcomes = parse("\n".join([HEADER, *rows]), ACME)

    assert [(one.position, one.line, one.field, one.lost) for one in only(Skipped, outcomes)] == [
        (1, 3, "", True), (2, 4, "check", True), (3, 5, "verdict", True),
    ]  # fmt: skip
    assert [one.position for one in only(Observation, outcomes)] == [0, 4]


def test_what_is_mended_is_noted():
    mapping = changed(severity="Sev")

    *notes, _run, found = parse(f"{HEADER}\n{ROW.replace('21/11/2026 20:04', 'yesterday')}", mapping)

    assert [(one.field, one.lost, one.reason.params["word"]) for one in notes] == [
        ("severity", False, "P1"),
        ("seen_at", False, "yesterday"),
    ]
    assert (found.severity, found.seen_at) == (Severity.MEDIUM, None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_a_spreadsheet_are_read(encoding):
    (found,) = only(Observation, parse(f"sep=;\n{HEADER}\n{ROW.replace('Bucket', 'Seau “é”')}".encode(encoding), ACME))

    assert found.check.title == "Seau “é” is public"


def test_the_delimiter_is_seen_from_the_header():
    mapping = {"scanner": "x", "fields": {"check": "a", "asset": "b"}}

    (found,) = only(
        Observation, parse("a\tb;c\n1\t2\n", {"scanner": "x", "fields": {"check": "a", "asset": "b;c"}}, account="42")
    )
    (other,) = only(Observation, parse("a,b\n1,2\n", mapping, account="42"))

    assert (found.asset, other.asset) == ("2", "2")


def test_a_report_that_is_not_complete_proves_nothing_by_absence():
    run = parse(f"{HEADER}\n{ROW}", ACME | {"complete": False})[0]

    assert (run.conclusive, run.inconclusive_because.message) == (False, generic.NOT_COMPLETE)


def test_a_header_without_rows_proves_nothing():
    (run,) = parse(HEADER, ACME)

    assert (run.conclusive, run.inconclusive_because.message) == (False, generic.NO_ROWS)


def test_without_a_verdict_every_record_is_a_failure():
    run, found = parse(f"{HEADER}\n{ROW}", changed(verdict=None))

    assert (run.reports_passes, found.verdict) == (False, Verdict.FAIL)


# --- JSON ---------------------------------------------------------------------------------------------------------------------

WIZ = {
    "format": "json",
    "records": "data.issues",
    "scanner": "wiz",
    "fields": {
        "check": "rule.id",
        "asset": "resource.ids.0",
        "account": "resource.subscription",
        "provider": "cloud",
        "tags": "resource.tags",
        "severity": "severity",
        "verdict": {"from": "resolved", "map": {"true": "pass", "false": "fail"}},
        "seen_at": "at",
        "references": "links",
    },
}


def issue(**changes):
    resource = {"ids": ["/subscriptions/s/vm", "2"], "subscription": "s", "tags": [{"key": "Owner", "value": "ana"}]}
    record = {
        "rule": {"id": "R1"},
        "resource": resource,
        "cloud": "Azure",
        "severity": "HIGH",
        "resolved": False,
        "at": 1795291531000,
    }
    return record | {"links": ["https://a", "https://b"]} | changes


def test_a_record_is_read_by_dotted_paths():
    _run, found = parse({"page": 1, "data": {"issues": [issue()]}}, WIZ)

    assert (found.check.key, found.asset, found.account.provider, found.account.uid) == (
        "R1",
        "/subscriptions/s/vm",
        "azure",
        "s",
    )
    assert (found.tags, found.severity, found.verdict) == ((("Owner", "ana"),), Severity.HIGH, Verdict.FAIL)
    assert found.seen_at == datetime(2026, 11, 21, 20, 5, 31, tzinfo=UTC)
    assert found.check.references == ("https://a", "https://b")


def test_tags_may_be_an_object_or_texts_and_paths_may_hold_dots():
    records = [issue(**{"resource.tags": tags}) for tags in ({"a": 1, "b": None}, ["a=1", "b"], "a=1,b")]
    mapping = WIZ | {"records": "", "fields": WIZ["fields"] | {"tags": "resource.tags"}}

    found = only(Observation, parse("\n".join(map(json.dumps, records)), mapping | {"format": "jsonl"}))

    assert [one.tags for one in found] == [(("a", "1"), ("b", ""))] * 3


def test_a_path_that_no_record_has_is_told_when_it_is_needed_and_noted_when_not():
    wrong = WIZ | {"fields": WIZ["fields"] | {"asset": "resource.idz.0"}}
    optional = WIZ | {"fields": WIZ["fields"] | {"region": "resource.regoin"}}
    document = {"data": {"issues": [issue()]}}

    note = only(Skipped, parse(document, optional))[-1]

    assert refusal(document, wrong) == (
        "The mapping takes asset from “resource.idz.0”, which the report does not have. "
        "Did you mean “resource.ids”, “resource”, “resource.tags”?"
    )
    assert (note.field, note.lost) == ("region", False)
    assert "resource.regoin" in str(note.reason)


def test_a_wrong_path_to_the_records_is_told():
    assert refusal({"data": {"issues": {}}}, WIZ).startswith("The document is one object without a list at data.issues")


# --- code ---------------------------------------------------------------------------------------------------------------------


def test_with_a_path_it_is_a_report_on_code():
    fields = {"check": "rule", "path": "file", "line": "line", "message": "text"}
    document = [{"rule": "B602", "file": ".\\app\\run.py", "line": 12, "text": "shell=True"}]

    run, found = parse(document, {"scanner": "lint", "fields": fields}, repository="acme/shop", branch="main", category="nightly")

    assert (run.kind, run.repository, run.branch, run.category) == ("code", "acme/shop", "main", "nightly")
    assert (found.account.provider, found.account.uid) == ("code", "acme/shop")
    assert (found.asset, found.place) == ("app/run.py", Place("app/run.py", start_line=12, end_line=12))
    assert found.places == (found.place,)


# --- a mapping that is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        (None, "A report of this kind needs a mapping that says which column or path holds what."),
        (ACME | {"fileds": {}}, "The mapping has “fileds” in “mapping”, which has no such key. Did you mean “fields”?"),
        (
            ACME | {"format": "xls"},
            "The mapping has “xls” in “format”, which has no such key. It can have: “csv”, “json”, “jsonl”.",
        ),
        ({"fields": {}}, "The mapping lacks “scanner” in “mapping”."),
        (changed(check=None), "The mapping lacks “check” in “fields”."),
        (changed(asset=None), "The mapping lacks “asset” in “fields”."),
        (
            changed(acount="A"),
            "The mapping has “acount” in “fields”, which has no such key. Did you mean “account”, “account_name”?",
        ),
        (changed(region={"form": "A"}), "The mapping has “form” in “region”, which has no such key. Did you mean “from”?"),
        (
            changed(region={"from": "A", "value": "B"}),
            "“region” in the mapping is not what it should be: either “from” or “value”.",
        ),
        (changed(region=7), "“region” in the mapping is not what it should be: a column, or an object with “from” or “value”."),
        (changed(region={"from": [1]}), "“region.from” in the mapping is not what it should be: a column, or a list of columns."),
        (ACME | {"complete": "yes"}, "“complete” in the mapping is not what it should be: true or false."),
        (
            changed(verdict={"from": "State", "map": {"open": "failing"}}),
            "The mapping makes the verdict “failing”, which is none. It can be: fail, failed, pass, passed, manual, muted, ignore.",
        ),
        (
            changed(severity={"from": "Sev", "default": "urgent"}),
            "The mapping makes the severity “urgent”, which is none. It can be: critical, high, medium, low, informational, info.",
        ),
        (
            changed(region="Regoin"),
            "The mapping takes region from “Regoin”, which the report does not have. Did you mean “Region”?",
        ),
        (
            changed(account=None),
            "Neither the mapping nor the import says which account or repository the report is about. State one of them.",
        ),
        (
            ACME | {"delimiter": "|"},
            "The report has no header line with the delimiter “|”. Check the mapping's format and delimiter.",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_what_to_do(mapping, sentence):
    assert refusal(f"{HEADER}\n{ROW}", mapping) == sentence
