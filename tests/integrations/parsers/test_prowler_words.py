"""What Prowler's words mean must not depend on the format they come in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from integrations.parsers import _prowler, _prowler_v2
from triage.ports import Severity, Verdict

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail", ACCOUNT),
        (f"arn:aws-us-gov:config:us-gov-west-1:{ACCOUNT}:recorder", ACCOUNT),
        (f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group", ACCOUNT),
        (f"arn:aws:rds:eu-west-1:{ACCOUNT}:account", ACCOUNT),
        (f"arn:aws:backup:eu-west-1:{ACCOUNT}:backup-plan", ACCOUNT),
        (f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT),
        (f"arn:aws:guardduty:eu-west-1:{ACCOUNT}:detector/unknown", "detector/unknown"),
        (f"arn:aws:accessanalyzer:eu-west-1:{ACCOUNT}:analyzer/unknown", "analyzer/unknown"),
        (f"arn:aws:securityhub:eu-west-1:{ACCOUNT}:hub/unknown", "hub/unknown"),
        (f"arn:aws:config:eu-west-1:{ACCOUNT}:config-aggregator/unknown", "unknown"),
        (f"arn:aws:organizations::{ACCOUNT}:unknown", "unknown"),
        (f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:guardrails", "bedrock-guardrails"),
        (f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-registry/unknown", "SageMaker Model Registry"),
    ],
)
def test_what_stands_for_nothing(uid, name):
    assert _prowler.is_stand_in(uid, name, ACCOUNT)


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/audit", "audit"),
        (f"arn:aws:config:eu-west-1:{ACCOUNT}:recorder", "default"),
        (f"arn:aws:iam::{ACCOUNT}:root", "<root_account>"),
        (f"arn:aws:iam::{ACCOUNT}:user/unknown", "unknown"),
        ("arn:aws:s3:::unknown", "unknown"),
        # These are settings of the account: their ARN is the same once they are right.
        (f"arn:aws:iam:eu-west-1:{ACCOUNT}:password-policy", ACCOUNT),
        (f"arn:aws:s3:eu-west-1:{ACCOUNT}:account", ACCOUNT),
        (f"arn:aws:ec2:eu-west-1:{ACCOUNT}:volume", ACCOUNT),
        ("arn:aws:iam::aws:policy/AWSSupportAccess", ACCOUNT),
        (ACCOUNT, ACCOUNT),
        ("", "unknown"),
        ("/subscriptions/x/unknown", "x/unknown"),
    ],
)
def test_what_is_real(uid, name):
    assert not _prowler.is_stand_in(uid, name, ACCOUNT)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ()),
        ([("a", "b")], (("a", "b"),)),
        ([("TagKey", "Owner"), ("TagValue", "x"), ("TagKey", "env"), ("TagValue", "")], (("Owner", "x"), ("env", ""))),
        ([("TagKey", "a"), ("TagKey", "b"), ("TagValue", "x")], (("TagKey", "a"), ("b", "x"))),
        ([("TagValue", "x"), ("TagKey", "a")], (("TagValue", "x"), ("TagKey", "a"))),
        ([("TagKey", "a"), ("c", "d")], (("TagKey", "a"), ("c", "d"))),
    ],
)
def test_tags_are_put_together_again(pairs, expected):
    assert _prowler.rejoin_tags(pairs) == expected


def test_tags_of_a_cell():
    assert _prowler.tags_of("Owner=a=b | env= |  | lone | =x") == (("Owner", "a=b"), ("env", ""), ("lone", ""))
    assert _prowler.tags_of("key:a:b | team:web", ":") == (("key", "a:b"), ("team", "web"))
    assert _prowler.tags_of("") == ()


def test_controls_of_a_cell():
    text = (
        "CIS-3.0: 2.1.3, 2.1.4 | none | AWS-Account-Security-Onboarding: IDC integration, SSO configuration, "
        "Billing, emergency, security contacts, Alarms | CIS-3.0: 2.1.4, "
    )

    assert _prowler.controls_in(text) == (
        ("CIS-3.0", "2.1.3"),
        ("CIS-3.0", "2.1.4"),
        ("AWS-Account-Security-Onboarding", "IDC integration, SSO configuration"),
        ("AWS-Account-Security-Onboarding", "Billing, emergency, security contacts"),
        ("AWS-Account-Security-Onboarding", "Alarms"),
    )


def test_words():
    assert [_prowler.severity(word) for word in ("Critical", " low ", "INFORMATIONAL", "")] == [
        Severity.CRITICAL, Severity.LOW, Severity.INFORMATIONAL, None,
    ]  # fmt: skip
    assert [_prowler.verdict(word) for word in ("Pass", "WARNING", "Info", "?")] == [
        (Verdict.PASS, False), (Verdict.FAIL, True), (Verdict.MANUAL, False), None,
    ]  # fmt: skip
    assert [_prowler.clean_alias(uid) for uid in ("<finding_uid>", "prowler-<root_account>")] == ["", "prowler-<root_account>"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=1+1", "=1+1"),
        ("'-admission", "-admission"),
        ("'  @x", "  @x"),
        ("'\tx", "\tx"),
        ("'-5", "'-5"),
        ("'+1.5e3", "'+1.5e3"),
        ("'-inf", "-inf"),
        ("'plain", "'plain"),
        ("it's", "it's"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_the_guard_against_formulas_is_taken_off_where_prowler_puts_it(cell, text):
    assert _prowler.unescaped(cell) == text


def test_times():
    paris = timezone(timedelta(hours=1))

    assert _prowler.time_of("2026-11-21 19:58:32", paris) == datetime(2026, 11, 21, 19, 58, 32, tzinfo=paris)
    assert _prowler.time_of("2021-08-23T06:38:46Z", paris) == datetime(2021, 8, 23, 6, 38, 46, tzinfo=UTC)
    assert _prowler.time_of("0", paris) == datetime(1970, 1, 1, tzinfo=UTC)
    assert [_prowler.time_of(text, paris) for text in ("", "soon", "9" * 30, "9" * 5000, "21/11/2026 19:58")] == [None] * 5


def test_equal_things_are_one_object_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(_prowler, "INTERNED", 10_000)
    interned = _prowler.Interned()

    made = [interned((str(number),), object) for number in range(1000)]

    assert interned(("999",), object) is made[-1]
    assert interned(("0",), object) is not made[0]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("eu-west-1: key is 729 days old", "key is # days old"),
        ("not used since 2021-08-23T06:38:46+00:00 at all", "not used since # at all"),
        ("in the last 1 day", "in the last # day"),
        ("access key 2 of user9 in sg-0123 is old", "access key 2 of user9 in sg-0123 is old"),
        ("10.0.0.0/16 and vpc-12 on port 22", "10.0.0.0/16 and vpc-12 on port #"),
    ],
)
def test_sentences_of_v2_without_what_changes_daily(message, sentence):
    assert _prowler_v2.sentence(message, "eu-west-1") == sentence


def test_controls_of_v2_keep_their_check_ids():
    assert _prowler_v2.check_of("[check11] Avoid root") == ("check11", "Avoid root")
    assert _prowler_v2.check_of("Avoid root") == ("", "Avoid root")
