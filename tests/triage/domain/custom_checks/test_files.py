"""Check files: what they may say, and that all that is wrong is said at once, with file, line and column."""

import textwrap

import pytest

from triage.domain.configuration.document import WrongConfiguration
from triage.domain.custom_checks import files
from triage.domain.custom_checks.files import WrongChecks, active, load, read
from triage.ports import Severity

GOOD = """\
- id: role_open_to_all
  applies_to: iam_role
  fails_when: permissions contains "*" and trust_policy allows "*"
  severity: high
  title: {en: A role lets everybody in, fr: Un rôle est ouvert à tous}
  risk: Anybody can do anything.
  remediation:
    en: Name who may assume it.
    fr: Nommez qui peut l’endosser.
  controls: {CIS-3.0: [1.16, 1.17], ISO27001-2022: A.5.15}
  url: https://wiki.example/roles
  exposes: true
- id: the_same
  rule: si iam_role.permissions contient "*" et iam_role.trust_policy autorise "*" alors gravité = critique
"""


def problems(text):
    with pytest.raises(WrongConfiguration) as caught:
        read(textwrap.dedent(text))
    return [str(problem.text) for problem in caught.value.problems]


def test_a_check_is_read_whole():
    check, same = read(GOOD, name="roles.yaml")
    assert (check.id, check.kind, check.severity, check.file, check.line) == (
        "role_open_to_all", "iam_role", Severity.HIGH, "roles.yaml", 1,
    )  # fmt: skip
    assert check.controls == (("CIS-3.0", "1.16"), ("CIS-3.0", "1.17"), ("ISO27001-2022", "A.5.15"))
    assert (check.exposes, check.url) == (True, "https://wiki.example/roles")
    assert check.texts["fr"] == {"title": "Un rôle est ouvert à tous", "remediation": "Nommez qui peut l’endosser."}
    assert [check.said(name) for name in ("title", "risk", "description")] == [
        "A role lets everybody in", "Anybody can do anything.", "",
    ]  # fmt: skip
    assert (same.kind, same.severity, same.condition) == ("iam_role", Severity.CRITICAL, check.condition)


def test_a_file_may_hold_one_check():
    (check,) = read("id: open_bucket\nrule: if s3_bucket.public then severity = high\n")
    assert check.kind == "s3_bucket"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: abc\napplies_to: iam_rolle\nfails_when: public\nseverity: high", "Line 2, column 13: There is no kind “iam_rolle”. Did you mean iam_role"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: publik\nseverity: high", "Line 3, column 13: s3_bucket has no fact “publik”. Did you mean public"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: public and versioning contains 3\nseverity: high", "Line 3, column 24: “versioning” can't be compared"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: 'name is ''x'' and publik'\nseverity: high", "Line 3, column 32: s3_bucket has no fact"),
        ('id: abc\napplies_to: s3_bucket\nfails_when: "name is \\"x\\" and publik"\nseverity: high', "Line 3, column 32: s3_bucket has no fact"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: |\n  public\n  and publik\nseverity: high", "Line 5, column 7: s3_bucket has no fact"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: >-\n  public\n  and\n    publik\nseverity: high", "Line 6, column 5: s3_bucket has no fact"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: public\n  and publik\nseverity: high", "Line 4, column 7: s3_bucket has no fact"),
        ("id: abc\napplies_to: s3_bucket\nfails_when: public and\nseverity: high", "Line 3, column 23: Something is missing at the end."),
        ("id: abc\nrule: if s3_bucket.publik then severity = high", "Line 2, column 10: s3_bucket has no fact “publik”"),
        ("id: abc\nrule: if s3_bucket.public then severity = enormous", "Line 2, column 43: “enormous” is not a severity. It may be: informational"),
        ("id: abc\nrule: s3_bucket.public", "Line 2, column 7: A rule is written: if CONDITION then severity = high."),
        ("id: abc\nrule: if s3_bucket.public then severity = high\nseverity: low", "Line 3: the severity is in the rule already."),
        ("id: abc\nrule: if x then severity = high\nfails_when: x", "Line 2: the check “abc” has both"),
        ("id: abc\nrule: if public then severity = high", "Line 1: say in “applies_to” what the check “abc” is about."),
        ("id: abc\nfails_when: s3_bucket.public", "Line 1: the check “abc” has no “severity”."),
        ("id: abc\nseverity: high", "Line 1: the check “abc” has no “fails_when”"),
        ("id: abc\nfails_when: s3_bucket.public\nseverity: huge", "Line 3, column 11: “huge” is not a severity."),
        ("id: Abc!\nfails_when: s3_bucket.public\nseverity: high", "Line 1: “Abc!” is not an id"),
        ("fails_when: s3_bucket.public", "Line 1: a check has no “id”."),
        ("id: abc\nfail_when: s3_bucket.public", "Did you mean “fails_when”?"),
        ("id: abc\nfails_when: s3_bucket.public\nseverity: high\ntitle: {de: Offen}", "Line 4: title.de is in no language"),
        ("id: abc\nfails_when: s3_bucket.public\nseverity: high\nurl: javascript:x", "Line 4: “javascript:x” is not an address."),
        ("- id: abc\n  fails_when: s3_bucket.public\n  severity: low\n- id: abc\n  fails_when: s3_bucket.public\n  severity: low", "Line 4: there is another check “abc”"),
        ("just a text", "Line 1: a check should be a mapping"),
        ("- 3", "Line 1: a check should be a mapping"),
        ("id: [", "this is not YAML"),
        ("", "the file is empty"),
        ("id: !!python/object/apply:os.system [echo]\nfails_when: s3_bucket.public\nseverity: low", "Line 1: id should be a text"),
    ],
)  # fmt: skip
def test_it_is_said_what_is_wrong_and_where(text, said):
    found = problems(text)
    assert said in found[0]
    assert len(found) == 1


def test_all_that_is_wrong_is_said_at_once():
    found = problems("""\
        - id: one
          applies_to: s3_bucket
          fails_when: publik
          severity: huge
        - id: two
          applies_to: nothing
          fails_when: x
          severity: low
        """)
    assert [each.split(":")[0] for each in found] == ["Line 3, column 15", "Line 4, column 13", "Line 6, column 15"]


def test_the_folder_is_read_whole_or_not_at_all(tmp_path, settings):
    settings.CHECKS_DIR = tmp_path
    assert active() == []
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no check")
    assert [check.id for check in active()] == ["role_open_to_all", "the_same"]

    (tmp_path / "b.yml").write_text("id: the_same\nrule: if s3_bucket.public then severity = high")
    (tmp_path / "c.yaml").write_bytes(b"id: \xff")
    with pytest.raises(WrongChecks) as caught:
        active()
    assert {file: [str(each.text) for each in found] for file, found in caught.value.problems.items()} == {
        "b.yml": ["Line 1: there is another check “the_same”, in a.yaml."], "c.yaml": ["Line 1: the file is not UTF-8 text."],
    }  # fmt: skip
    assert str(caught.value) == "b.yml: Line 1: there is another check “the_same”, in a.yaml."


def test_hostile_files_are_refused(tmp_path, monkeypatch):
    deep, large, missing = tmp_path / "deep.yaml", tmp_path / "large.yaml", tmp_path / "missing.yaml"
    deep.write_text("[" * 100_000)
    large.write_text("#" * (files.LARGEST + 10))
    with pytest.raises(WrongChecks) as caught:
        load([deep, large, missing])
    assert list(caught.value.problems) == ["deep.yaml", "large.yaml", "missing.yaml"]
    monkeypatch.setattr(files, "MOST", 1)
    (tmp_path / "a.yaml").write_text(GOOD)
    with pytest.raises(WrongChecks, match="more than 1 checks"):
        load([tmp_path / "a.yaml"])
