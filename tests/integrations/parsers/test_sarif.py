"""SARIF: what real tools' reports come to, what is refused and why, and what one odd result costs the others: nothing."""

import io
import json
import os
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.parsers import _sarif_place, _sarif_rule, sarif
from triage.ports import Observation, ParseOptions, Run, Severity, Skipped, UnreadableReport, Verdict

SAMPLES = Path(os.environ.get("SARIF_SAMPLES") or Path(__file__).parents[2] / "samples" / "sarif")
EXPECTED = json.loads((SAMPLES / "EXPECTED.json").read_text())["files"]
PRESENT = sorted(name for name in EXPECTED if (SAMPLES / name).exists())
OPTIONS = ParseOptions(zone=UTC)
LEVELS = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.INFORMATIONAL}
BANDS = {"critical": Severity.CRITICAL, "high": Severity.HIGH, "medium": Severity.MEDIUM, "low": Severity.LOW}
LEFT_OUT = ("baselineState", "kind")


def parse(document, options=OPTIONS):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(sarif.parse(io.BytesIO(data), options))


def of(kind, outcomes):
    return [each for each in outcomes if isinstance(each, kind)]


def report(*results, **run):
    """A document with one run of one tool; `driver` adds to the tool, other names to the run."""
    driver = {"name": "Tool", **run.pop("driver", {})}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}


def result(text="said", uri=None, line=None, **more):
    found = {"ruleId": "R1", "message": {"text": text}, **more}
    if uri is not None:
        region = {"region": {"startLine": line}} if line else {}
        found["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": uri}, **region}}]
    return found


def one(*results, **run):
    (observation,) = of(Observation, parse(report(*results, **run)))
    return observation


# --- the corpus ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PRESENT if EXPECTED[name]["outcome"] == "accept"])
def test_real_reports_come_to_what_was_counted_by_hand(name):
    expected, data = EXPECTED[name], (SAMPLES / name).read_bytes()

    outcomes = parse(data)

    observations, skipped = of(Observation, outcomes), of(Skipped, outcomes)
    assert sarif.sniff(data[:65536])
    assert {
        "results": len(observations) + sum(each.lost or each.field in LEFT_OUT for each in skipped),
        "distinct_rules": len({each.check.key for each in observations}),
        "must_open": sum(each.verdict is Verdict.FAIL and not each.muted and not each.review for each in observations),
        "review_or_open": sum(each.review and not each.muted for each in observations),
        "suppressed": sum(each.muted for each in observations),
        "baseline_absent": sum(each.field == "baselineState" for each in skipped),
        "without_location": sum(
            not each.place or not (each.place.path or each.place.address or each.place.start_line) for each in observations
        ),
        "more_than_one_location": sum(len(each.places) > 1 for each in observations),
        "with_usable_fingerprint": sum(bool(each.place and each.place.trusted) for each in observations),
        "unreadable_results": sum(each.field not in LEFT_OUT for each in skipped),
    } == {
        key: expected[key]
        for key in (
            "results", "distinct_rules", "must_open", "review_or_open", "suppressed", "baseline_absent", "without_location",
            "more_than_one_location", "with_usable_fingerprint", "unreadable_results",
        )
    }  # fmt: skip
    assert len({id(each.check) for each in observations}) == len({each.check.key for each in observations})


@pytest.mark.parametrize("name", [name for name in PRESENT if EXPECTED[name]["outcome"] == "accept"])
def test_severities_are_the_bands_where_there_are_and_else_the_levels(name):
    bands, levels = EXPECTED[name]["security_severity_band"], EXPECTED[name]["effective_level"]
    without = bands.get("(none usable)", 0)

    found = Counter(each.severity for each in of(Observation, parse((SAMPLES / name).read_bytes())))

    if without == EXPECTED[name]["results"]:
        assert found == Counter({LEVELS[level]: count for level, count in levels.items()})
    elif not without or len(levels) == 1:
        banded = Counter({BANDS[band]: count for band, count in bands.items() if band in BANDS})
        assert found == banded + Counter({LEVELS[next(iter(levels))]: without})
    else:  # which result has which of the two is not in the counts
        assert found.total() == EXPECTED[name]["results"]


@pytest.mark.parametrize("name", [name for name in PRESENT if EXPECTED[name]["outcome"] == "reject"])
def test_documents_of_other_versions_and_broken_ones_are_refused_with_the_reason(name):
    with pytest.raises(UnreadableReport, match=r"not supported|valid JSON|ends at byte"):
        parse((SAMPLES / name).read_bytes())


# --- refusals -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "empty"),
        (b"<sarif/>", "neither a JSON list nor a JSON object"),
        (b'{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T"}}, "results": [{}', "ends at byte"),
        (b'{"version": "2.1.0", "runs": [],}', "not valid JSON at byte"),
        (b'{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T"}}, "results": [{"rank": NaN}]}]}', "not valid JSON"),
        (b'{"version": "2.1.0", "runs": [], "runs": []}', "“runs” is given twice"),
        (b'{"version": "2.1.0"}', "“runs” is missing"),
        (b'{"version": "2.1.0", "runs": null}', "“runs” is missing"),
        (b'{"version": "2.1.0", "runs": {}}', "“runs” is missing"),
        (b'{"runs": []}', "does not say which version"),
        (b'{"version": 2.1, "runs": []}', "does not say which version"),
        (b'{"version": "1.0.0", "runs": []}', "SARIF 1.0.0 is not supported"),
        (b'{"version": "2.1.0", "runs": [{"tool": {"driver": {}}, "results": []}]}', "Run number 1 does not say which tool"),
        (b'{"version": "2.1.0", "runs": [{"results": []}]}', "Run number 1 does not say which tool"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "é"}}}]}'.encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_with_the_reason(document, reason):
    with pytest.raises(UnreadableReport, match=reason):
        parse(document)


def test_a_deeply_nested_document_is_refused():
    nested = "[" * 100_000 + "]" * 100_000

    with pytest.raises(UnreadableReport, match="nested deeper"):
        parse(f'{{"version": "2.1.0", "runs": [{{"properties": {nested}}}]}}'.encode())


def test_a_million_rules_are_refused_before_they_fill_the_memory():
    rules = b",".join(b'{"id": "rule-%d"}' % number for number in range(sarif.MOST_RULES + 1))
    document = b'{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T", "rules": [' + rules + b"]}}}]}"

    with pytest.raises(UnreadableReport, match="describes more rules"):
        parse(document)


def test_cloud_findings_of_prowler_are_refused_since_their_account_is_lost():
    rule = {"id": "s3_bucket_public_access", "properties": {"tags": ["security", "prowler/aws", "severity/high"]}}

    with pytest.raises(UnreadableReport, match="Prowler's SARIF of aws"):
        parse(report(result(uri="my-bucket"), driver={"name": "Prowler", "rules": [rule]}))


def test_infrastructure_code_findings_of_prowler_are_of_another_scanner_than_its_cloud_findings():
    rule = {"id": "AVD-AWS-0001", "properties": {"tags": ["prowler/iac", "severity/critical"]}}

    run, found = parse(report(result(uri="main.tf", ruleId="AVD-AWS-0001"), driver={"name": "Prowler", "rules": [rule]}))

    assert (run.scanner, run.kind) == ("prowler-iac", "code")
    assert found.severity is Severity.CRITICAL


# --- sniffing -----------------------------------------------------------------------------------------------------------------


def test_the_head_tells_version_and_tool_whatever_the_order_and_encoding():
    early = json.dumps({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", **report()}).encode()
    late = json.dumps({"runs": [{"tool": {"driver": {"name": "Tool"}}, "results": [result("x" * 70_000)]}], "version": "2.1.0"})

    assert sarif.sniff(early) == "SARIF 2.1.0 (Tool)"
    assert sarif.sniff(b"\xef\xbb\xbf" + early) == "SARIF 2.1.0 (Tool)"
    assert sarif.sniff(early.decode().encode("utf-16")) == "SARIF 2.1.0 (Tool)"
    assert sarif.sniff(late.encode()[:65_536]) == "SARIF 2.1.0 (Tool)"


def test_other_documents_are_left_to_other_parsers():
    assert sarif.sniff(b"") is None
    assert sarif.sniff(b"PROVIDER;CHECK_ID;STATUS\n") is None
    assert sarif.sniff(b'[{"class_uid": 2004, "finding_info": {"uid": "x"}}]') is None
    assert sarif.sniff(b'{"Findings": [], "version": "2.1.0"}') is None


def test_an_earlier_version_is_refused_at_once():
    with pytest.raises(UnreadableReport, match=r"SARIF 1\.0\.0 is not supported"):
        sarif.sniff(b'{"version": "1.0.0", "runs": [{"tool": {"name": "BinSkim"}}]}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_are_read(encoding):
    outcomes = parse(json.dumps(report(result("größer"))).encode(encoding))

    assert of(Observation, outcomes)[0].message == "größer"


# --- runs ---------------------------------------------------------------------------------------------------------------------


def test_a_run_tells_tool_version_time_scope_and_origin():
    run = parse(
        report(
            driver={"name": "Semgrep OSS", "version": "1.182.0"},
            invocations=[{"executionSuccessful": True, "endTimeUtc": "2026-11-21T19:52:40.123Z"}],
            automationDetails={"id": "nightly/python/2026-11-21"},
            versionControlProvenance=[
                {
                    "repositoryUri": "https://bot:secret@github.com/acme/shop.git",
                    "revisionId": "cafe",
                    "branch": "refs/heads/main",
                }
            ],
        )
    )[0]

    assert run == Run(
        scanner="semgrep", kind="code", version="1.182.0", reports_passes=False, conclusive=True,
        at=datetime(2026, 11, 21, 19, 52, 40, 123000, tzinfo=UTC), category="nightly/python",
        repository="github.com/acme/shop", branch="main", revision="cafe",
    )  # fmt: skip


def test_options_say_what_the_run_does_not():
    options = ParseOptions(zone=UTC, repository="git@github.com:acme/shop.git", branch="main", category="pr")

    run, found = parse(report(result(uri="a.py")), options)

    assert (run.repository, run.branch, run.category) == ("github.com/acme/shop", "main", "pr")
    assert (found.account.provider, found.account.uid) == ("code", "github.com/acme/shop")


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("/language:python/", "/language:python"),
        ("my-analysis/tool1/2021-02-01", "my-analysis/tool1"),
        ("my-analysis/tool1/", "my-analysis/tool1"),
        ("terraform/prod", "terraform/prod"),
        ("nightly", "nightly"),
        ("8b4b8a0e-0b5c-4f1e-9d3a-1a2b3c4d5e6f", ""),
        ("2026-11-21T10:00:00Z", ""),
    ],
)
def test_a_category_is_what_stays_the_same_from_run_to_run(name, category):
    assert parse(report(automationDetails={"id": name}))[0].category == category


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"results": None}, "has no list of results"),
        ({"invocations": [{"executionSuccessful": True}, {"executionSuccessful": False}]}, "says that it failed"),
        ({"externalPropertyFileReferences": {"results": [{"location": {"uri": "x"}}]}}, "keeps results in other files"),
    ],
)
def test_a_run_that_did_not_look_or_failed_proves_nothing(run, reason):
    (found,) = parse(report(**run))

    assert not found.conclusive
    assert reason in str(found.inconclusive_because)


def test_no_result_is_a_conclusive_run_and_no_run_is_none():
    (run,) = parse(report())

    assert run.conclusive
    assert parse({"version": "2.1.0", "runs": []}) == []


def test_two_runs_of_one_tool_are_one_scan():
    first, second = report(result("one", uri="a"))["runs"][0], report(result("two", uri="b"))["runs"][0]
    second["invocations"] = [{"executionSuccessful": False}]

    outcomes = parse({"version": "2.1.0", "runs": [first, second]})

    assert [type(each) for each in outcomes] == [Run, Observation, Observation]
    assert not outcomes[0].conclusive
    assert [each.position for each in outcomes[1:]] == [(0, 0), (1, 0)]
    assert outcomes[1].account is outcomes[2].account


def test_runs_of_two_tools_each_say_so_before_their_results():
    runs = [report(result(uri="a"), driver={"name": name})["runs"][0] for name in ("A", "B", "A")]

    outcomes = parse({"version": "2.1.0", "runs": runs})

    assert [each.scanner if isinstance(each, Run) else each.position for each in outcomes] == [
        "a",
        (0, 0),
        "b",
        (1, 0),
        "a",
        (2, 0),
    ]
    assert outcomes[0] == outcomes[4]


# --- results ------------------------------------------------------------------------------------------------------------------


def test_kinds_suppressions_and_baselines_decide_what_is_open():
    kinds = [result(kind=kind) for kind in ("fail", "pass", "review", "open", "notApplicable", "informational")]
    suppressed = [
        result(suppressions=found)
        for found in ([], [{"kind": "inSource"}], [{"kind": "external", "status": "underReview"}], [{"status": "accepted"}])
    ]
    baseline = [result(baselineState=state) for state in ("new", "unchanged", "absent", "existing")]

    outcomes = parse(report(*kinds, *suppressed, *baseline))

    observations = of(Observation, outcomes)
    assert [(each.verdict.value, each.review, each.muted) for each in observations[:4]] == [
        ("fail", False, False), ("pass", False, False), ("fail", True, False), ("fail", True, False),
    ]  # fmt: skip
    assert [each.muted for each in observations[4:8]] == [False, True, False, True]
    assert [each.position[1] for each in observations[8:]] == [10, 11, 13]
    assert [(each.position[1], each.field, each.lost) for each in of(Skipped, outcomes)] == [
        (4, "kind", False), (5, "kind", False), (12, "baselineState", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "rule", "properties", "severity"),
    [
        (None, {}, {}, Severity.MEDIUM),
        ("error", {}, {}, Severity.HIGH),
        ("none", {}, {}, Severity.INFORMATIONAL),
        ("strange", {}, {}, Severity.MEDIUM),
        (None, {"defaultConfiguration": {"level": "note"}}, {}, Severity.LOW),
        ("note", {"properties": {"security-severity": "9.1"}}, {}, Severity.CRITICAL),
        ("note", {"properties": {"security-severity": 7}}, {}, Severity.HIGH),
        ("note", {"properties": {"security-severity": "4.0"}}, {"security-severity": "0.1"}, Severity.LOW),
        ("error", {"properties": {"security-severity": "undefined"}}, {}, Severity.HIGH),
        ("note", {"properties": {"security-severity": "NaN"}}, {}, Severity.LOW),
        ("error", {"properties": {"security-severity": "0.0"}}, {}, Severity.HIGH),
        ("error", {"properties": {"security-severity": "MEDIUM"}}, {}, Severity.MEDIUM),
        ("error", {}, {"issue_severity": "LOW", "issue_confidence": "HIGH"}, Severity.LOW),
        ("error", {}, {"zizmor/severity": "Informational"}, Severity.INFORMATIONAL),
    ],
)
def test_severity_is_the_number_then_a_known_word_then_the_level(level, rule, properties, severity):
    found = one(result(level=level, properties=properties), driver={"rules": [{"id": "R1", **rule}]})

    assert found.severity is severity


def test_a_result_that_is_no_failure_has_no_severity_of_its_own():
    assert one(result(kind="pass")).severity is Severity.INFORMATIONAL


def test_rules_are_found_by_id_index_reference_and_parent():
    rules = [{"id": "A", "shortDescription": {"text": "a"}}, {"id": "B", "shortDescription": {"text": "b"}}]
    extension = {"name": "pack", "guid": "g", "rules": [{"id": "X", "shortDescription": {"text": "x"}}]}
    references = [
        {"ruleId": "A"}, {"ruleIndex": 1}, {"rule": {"id": "B"}}, {"rule": {"index": 0}}, {"ruleId": "A", "ruleIndex": 1},
        {"ruleId": "A/7"}, {"ruleId": "X"}, {"rule": {"index": 0, "toolComponent": {"index": 0}}},
        {"rule": {"id": "X", "toolComponent": {"guid": "g"}}}, {"rule": {"index": 0, "toolComponent": {"name": "pack"}}},
        {"ruleId": "unknown", "ruleIndex": 99}, {"ruleIndex": 99}, {},
    ]  # fmt: skip
    document = report(*({"message": {"text": "m"}, **each} for each in references), driver={"rules": rules})
    document["runs"][0]["tool"]["extensions"] = [extension]

    found = of(Observation, parse(document))

    assert [(each.check.key, each.check.title) for each in found] == [
        ("A", "a"), ("B", "b"), ("B", "b"), ("A", "a"), ("A", "a"), ("A/7", "a"), ("X", "x"), ("X", "x"), ("X", "x"), ("X", "x"),
        ("unknown", "unknown"), ("no-rule", "no-rule"), ("no-rule", "no-rule"),
    ]  # fmt: skip
    assert found[0].check is found[3].check


def test_a_check_holds_what_the_rule_says():
    rule = {
        "id": "py/sqli", "name": "SqlInjection", "shortDescription": {"text": "SQL built from input"},
        "fullDescription": {"text": "Long."}, "help": {"markdown": "Use parameters."}, "helpUri": "https://help",
        "properties": {"tags": ["security", "external/cwe/cwe-089", "CWE-564: Hibernate"], "cwe": ["cwe-20", 22]},
    }  # fmt: skip

    check = one(result(ruleId="py/sqli"), driver={"rules": [rule]}).check

    assert (check.title, check.description, check.remediation, check.remediation_url) == (
        "SQL built from input", "Long.", "Use parameters.", "https://help",
    )  # fmt: skip
    assert check.weaknesses == ("CWE-89", "CWE-564", "CWE-20", "CWE-22")
    assert check.categories == ("security",)


def test_weaknesses_come_from_taxonomies_and_from_results_too():
    rules = [
        {"id": "by-id", "relationships": [{"target": {"id": "79", "toolComponent": {"name": "CWE"}}}]},
        {"id": "by-index", "relationships": [{"target": {"index": 1, "toolComponent": {"index": 0}}}]},
        {"id": "of-another", "relationships": [{"target": {"id": "79", "toolComponent": {"name": "OWASP"}}}]},
        {"id": "by-result"},
        {"id": "by-taxon"},
    ]
    results = [result(ruleId=rule["id"]) for rule in rules]
    results[3]["properties"] = {"cwe": "CWE-532: Insertion"}
    results[4]["taxa"] = [{"id": "20", "toolComponent": {"name": "CWE"}}]
    taxonomies = [{"name": "CWE", "taxa": [{"id": "1"}, {"id": "352"}]}]

    found = of(Observation, parse(report(*results, driver={"rules": rules}, taxonomies=taxonomies)))

    assert [each.check.weaknesses for each in found] == [("CWE-79",), ("CWE-352",), (), ("CWE-532",), ("CWE-20",)]


def test_messages_are_made_of_text_markdown_or_id_with_arguments():
    rule = {"id": "R1", "shortDescription": {"text": "title"}, "messageStrings": {"default": {"text": "{0} is {{not}} {1}"}}}
    messages = [
        {"text": "plain {0} {{x}}"}, {"markdown": "**bold**"}, {"id": "default", "arguments": ["a", "b"]}, {"id": "global"},
        {"text": "see [the source](1) and [docs](https://x)"}, {"text": "{0}!", "arguments": ["=1+1"]}, {"text": ""}, {},
    ]  # fmt: skip
    driver = {"rules": [rule], "globalMessageStrings": {"global": {"text": "from the tool"}}}

    found = of(Observation, parse(report(*({"ruleId": "R1", "message": each} for each in messages), driver=driver)))

    assert [each.message for each in found] == [
        "plain {0} {{x}}", "**bold**", "a is {not} b", "from the tool", "see the source and [docs](https://x)", "=1+1!", "title", "title",
    ]  # fmt: skip


def test_broken_fields_of_a_result_are_said_and_cost_nothing_else():
    broken = result(uri="a.py", line=3) | {"message": None, "suppressions": "no", "fingerprints": ["x"], "properties": 7}

    outcomes = parse(report(broken, 5, result("fine", uri="b.py"), {"locations": {"uri": "c"}, "message": {"text": "m"}}))

    said = [(each.position, each.lost, str(each.reason)) for each in of(Skipped, outcomes)]
    assert [each.place.path for each in of(Observation, outcomes) if each.place] == ["a.py", "b.py"]
    assert said[0][:2] == ((0, 0), False)
    assert "message, properties, fingerprints" in said[0][2]
    assert said[1][:2] == ((0, 1), True)
    assert said[2] == ((0, 3), False, "Fields of the result are not what they should be and were ignored: locations.")


def test_half_characters_are_mended():
    data = json.dumps(report(result("ok"))).replace('"ok"', r'"a\ud800b"').encode()

    outcomes = parse(data)

    assert of(Observation, outcomes)[0].message == "a�b"
    assert not of(Skipped, outcomes)[0].lost


def test_a_formula_or_a_script_is_just_text():
    found = one(result("=cmd|' /C calc'!A0 <script>alert(1)</script>", uri="a.py"))

    assert found.message == "=cmd|' /C calc'!A0 <script>alert(1)</script>"


# --- places -------------------------------------------------------------------------------------------------------------------


def test_several_locations_are_one_finding_with_several_places():
    locations = [
        {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 5}}} for uri in ("a.java", "b.java")
    ]

    found = one(result(locations=locations))

    assert [place.path for place in found.places] == ["a.java", "b.java"]
    assert found.place is found.places[0]
    assert (found.asset, found.asset_name, found.asset_type) == ("a.java", "a.java", "file")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("src/a%20b.py", "src/a b.py"),
        ("./src//a.py", "src/a.py"),
        ("src/x/../a.py", "src/a.py"),
        ("../a.py", "a.py"),
        ("src\\a.py", "src/a.py"),
        ("file:///builds/src/a.py", "/builds/src/a.py"),
        ("file:/builds/a.py", "/builds/a.py"),
        ("file://host/share/a.py", "/share/a.py"),
        ("file:///c:/dev/a.py", "C:/dev/a.py"),
        ("C:\\dev\\a.py", "C:/dev/a.py"),
        ("100%.py", "100%.py"),
        ("https://shop.example/cart?x=%20", "https://shop.example/cart?x=%20"),
        ("", ""),
    ],
)
def test_paths_have_one_spelling(uri, path):
    assert _sarif_place.local_path(uri) == path


def paths(*uris, options=OPTIONS, **run):
    return [each.place.path for each in of(Observation, parse(report(*(result(uri=uri) for uri in uris), **run), options))]


def test_the_checkout_is_taken_off_absolute_paths():
    assert paths("file:///tmp/x1/repo/src/a.py", "file:///tmp/x1/repo/test/b.py") == ["src/a.py", "test/b.py"]
    assert paths("C:\\dev\\repo\\a.cs", "c:/dev/repo/x/b.cs") == ["a.cs", "x/b.cs"]
    assert paths("file:///home/runner/work/shop/shop/src/a.py") == ["src/a.py"]
    assert paths("/github/workspace/src/a.py") == ["src/a.py"]
    assert paths("/aws/x.tf", "/gcp/y.tf") == ["aws/x.tf", "gcp/y.tf"]
    assert paths("src/a.py", "/outside/b.py") == ["src/a.py", "b.py"]


def test_a_named_repository_or_folder_tells_the_checkout():
    options = ParseOptions(zone=UTC, repository="github.com/acme/shop")

    assert paths("/srv/ci/7/shop/src/only.py", options=options) == ["src/only.py"]
    assert paths("/srv/7/src/only.py", invocations=[{"workingDirectory": {"uri": "file:///srv/7"}}]) == ["src/only.py"]
    assert paths("file:///srv/7/src/a.py", originalUriBaseIds={"ROOT": {"uri": "file:///srv/7/"}}) == ["src/a.py"]


def test_listed_files_tell_the_checkout_when_results_are_in_one_corner():
    listed = [{"location": {"uri": f"file:///srv/ci/repo/{name}"}} for name in ("src/deep/a.js", "lib/b.js")]

    assert paths("file:///srv/ci/repo/src/deep/a.js", artifacts=listed) == ["src/deep/a.js"]


def test_bases_and_indexes_are_followed():
    locations = [
        {"uri": "list.h", "uriBaseId": "SRC"},
        {"uri": "list.h", "uriBaseId": "%SRCROOT%"},
        {"index": 1},
        {"index": 1, "uri": "own.h"},
        {"index": -1},
        {"uri": "a.h", "uriBaseId": "LOOP"},
    ]
    bases = {
        "ROOT": {"uri": "file:///builds/"}, "SRC": {"uri": "src/", "uriBaseId": "ROOT"}, "LOOP": {"uri": "x", "uriBaseId": "LOOP"},
    }  # fmt: skip
    results = [result(locations=[{"physicalLocation": {"artifactLocation": each}}]) for each in locations]
    artifacts = [{"location": {"uri": "zero.h"}}, {"location": {"uri": "one.h", "uriBaseId": "SRC"}}]

    found = of(Observation, parse(report(*results, originalUriBaseIds=bases, artifacts=artifacts)))

    assert [each.place.path if each.place else None for each in found][:5] == ["src/list.h", "list.h", "src/one.h", "own.h", None]
    assert found[5].place.path.endswith("a.h")


def test_regions_of_all_kinds_are_read():
    regions = [None, {}, {"startLine": 0}, {"startLine": 3}, {"startLine": 3, "endLine": 5, "startColumn": 2, "endColumn": 7}, {"charOffset": 9},
               {"startLine": "3"}, {"startLine": -1}, {"startLine": 10**30}]  # fmt: skip
    results = [
        result(locations=[{"physicalLocation": {"artifactLocation": {"uri": "a"}, "region": region}}]) for region in regions
    ]

    found = of(Observation, parse(report(*results)))

    assert [(each.place.start_line, each.place.end_line, each.place.start_column, each.place.end_column) for each in found] == [
        (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (3, 3, 0, 0), (3, 5, 2, 7), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0),
    ]  # fmt: skip


def test_the_flagged_text_comes_from_the_region_the_context_or_the_embedded_file():
    place = {"artifactLocation": {"uri": "a.js"}, "region": {"startLine": 2}}
    around = {"contextRegion": {"startLine": 1, "snippet": {"text": "one\ntwo\nthree\n"}}}

    said = one(result(locations=[{"physicalLocation": {**place, "region": {"startLine": 2, "snippet": {"text": "TWO"}}}}]))
    context = one(result(locations=[{"physicalLocation": place | around}]))
    embedded = one(
        result(locations=[{"physicalLocation": place}]),
        artifacts=[{"location": {"uri": "a.js"}, "contents": {"text": "1\n2\n3\n"}}],
    )

    assert (said.place.snippet, said.place.context) == ("TWO", "")
    assert (context.place.snippet, context.place.context) == ("two\n", "one\ntwo\nthree\n")
    assert (embedded.place.snippet, embedded.place.context) == ("2\n", "1\n2\n3\n")


def test_long_texts_are_cut():
    region = {"startLine": 1, "snippet": {"text": "x" * 10_000}}

    found = one(result("m" * 20_000, locations=[{"physicalLocation": {"artifactLocation": {"uri": "a"}, "region": region}}]))

    assert (len(found.place.snippet), len(found.message)) == (4_000, 8_000)


@pytest.mark.parametrize(
    ("snippet", "address"),
    [
        ('resource "aws_s3_bucket" "logs" {\n  acl = "private"\n}\n', "aws_s3_bucket.logs"),
        ('data "aws_iam_policy_document" "p" {', "data.aws_iam_policy_document.p"),
        ('module "vpc" {\n', "module.vpc"),
        ("  Bucket:\n    Type: AWS::S3::Bucket\n", "Bucket"),
        ('    "Bucket": {\n      "Type": "AWS::S3::Bucket"', "Bucket"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n  name: web\nspec:\n", "Pod.web"),
        ("FROM python:3.14\n", ""),
        ("", ""),
    ],
)
def test_the_resource_of_a_block_is_its_address(snippet, address):
    region = {"startLine": 1, "snippet": {"text": snippet}}

    found = one(result(locations=[{"physicalLocation": {"artifactLocation": {"uri": "a.tf"}, "region": region}}]))

    assert found.place.address == address


def test_logical_locations_are_addresses_too():
    locations = [
        {"logicalLocations": [{"fullyQualifiedName": "Boot.main(String[])", "name": "main"}]},
        {"logicalLocations": [{"index": 1}]},
        {"logicalLocations": [{"properties": {}}]},
    ]

    found = of(
        Observation,
        parse(report(*(result(locations=[each]) for each in locations), logicalLocations=[{"name": "zero"}, {"name": "one"}])),
    )

    assert [each.place.address if each.place else "" for each in found] == ["Boot.main(String[])", "one", ""]


def test_an_image_is_the_asset_by_name_without_tag_and_digest():
    name = "registry:5000/acme/app:1747457987@sha256:bf5d50c56774c36c6eae9c6c:/lib/apk/db/installed"
    grype_place = {"artifactLocation": {"uri": "app//lib/apk/db/installed"}, "region": {"startLine": 1}}
    grype = one(result(locations=[{"physicalLocation": grype_place, "logicalLocations": [{"fullyQualifiedName": name}]}]))
    trivy = one(
        result("Package: openssl\nInstalled Version: 1.1\n", uri="acme/app", line=1),
        properties={"imageName": "registry:5000/acme/app:2.0"},
    )

    assert (grype.asset, grype.asset_type) == ("registry:5000/acme/app", "image")
    assert grype.discriminator == "registry:5000/acme/app:/lib/apk/db/installed"
    assert (trivy.asset, trivy.asset_name, trivy.asset_type, trivy.discriminator) == (
        "registry:5000/acme/app", "app", "image", "openssl",
    )  # fmt: skip


def test_a_result_without_place_is_in_the_repository():
    run, found = parse(report(result()), ParseOptions(zone=UTC, repository="acme/shop"))

    assert (found.asset, found.asset_type, found.place) == (run.repository, "repository", None)
    assert one(result(analysisTarget={"uri": "bin/app.dll"})).asset == "bin/app.dll"


# --- fingerprints -------------------------------------------------------------------------------------------------------------


def test_placeholders_are_no_fingerprints():
    placeholders = {"a": "requires login", "b": "", "c": "0", "d": "Default", "e": None, "commitSha": "cafe"}

    found = one(result(uri="a", fingerprints=placeholders, partialFingerprints={"hash": "f00"}))

    assert found.place.fingerprints == (("hash", "f00"),)
    assert found.place.trusted == "hash"


def test_a_fingerprint_of_several_results_is_not_trusted_but_another_may_be():
    results = [result(uri="a", partialFingerprints={"file": "same", "line": f"l{number}"}) for number in (1, 1, 2, 3)]
    results[3]["fingerprints"] = {"whole": {"value": "wrapped"}}

    found = of(Observation, parse(report(*results)))

    assert [each.place.trusted for each in found] == ["", "", "line", "whole"]


def test_every_place_of_a_result_has_its_fingerprints():
    locations = [{"physicalLocation": {"artifactLocation": {"uri": uri}}} for uri in ("a", "b")]

    found = one(result(locations=locations, fingerprints={"f": "1a"}))

    assert [place.fingerprints for place in found.places] == [(("f", "1a"),)] * 2


# --- memory -------------------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_report():
    def peak(count):
        head = b'{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T"}}, "results": ['
        body = b",".join(
            b'{"ruleId": "R", "message": {"text": "%d %s"}, "partialFingerprints": {"h": "%x"}}' % (number, b"x" * 400, number)
            for number in range(count)
        )
        stream = io.BytesIO(head + body + b"]}]}")
        tracemalloc.start()
        assert sum(1 for _ in sarif.parse(stream, OPTIONS)) == count + 1
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(12_000) < peak(4_000) + 2_000_000


@pytest.mark.parametrize("value", ["9.0", 9, 9.5, 10])
def test_bands_begin_where_cvss_has_them(value):
    assert _sarif_rule.band(value) is Severity.CRITICAL


@pytest.mark.parametrize("value", [None, True, "", "high", "inf", float("nan"), -1, 11, 0, "0", "1e3", "9" * 5000])
def test_what_is_no_score_is_in_no_band(value):
    assert _sarif_rule.band(value) is None


# --- anything at all ----------------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id", "index", "uri", "name"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def nodes(value, path=()):
    """The path of each value inside a document."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(inner, (*path, key))


def put(value, path, other):
    """The document with another value at a path."""
    if not path:
        return other
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], other)
    return copied


MUTATED = [
    json.loads((SAMPLES / name).read_text(encoding="utf-8-sig"))
    for name in ("dd__appendix_k.sarif", "slack__codeql-ruby.sarif", "so__kics.sarif", "slack__osv-scanner-pip.sarif")
    if (SAMPLES / name).exists()
]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_value_anywhere_is_read_skipped_or_refused(data):
    document = data.draw(st.sampled_from(MUTATED))
    for _ in range(data.draw(st.integers(1, 3))):
        document = put(document, data.draw(st.sampled_from(list(nodes(document)))), data.draw(anything))

    try:
        outcomes = parse(document)
    except UnreadableReport:
        return

    assert all(isinstance(each, Run | Observation | Skipped) for each in outcomes)
    assert all(each.asset and each.check.key and each.message for each in of(Observation, outcomes))
