"""A role that nobody reported: found by a check in our own words, fixed, proven, broken again, deleted; and never closed unseen."""

import json
from datetime import UTC, datetime

import pytest

from tests.cloud import ACCOUNT, REGION
from tests.factories import Clock, team
from triage.domain import access, evidence, verification
from triage.domain.custom_checks import collecting, files
from triage.domain.custom_checks.collecting import Place
from triage.models import Account, AssetFacts, Event, Finding, Verification

OPERATOR = access.of_machine(0)
ANYBODY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
OURSELVES = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}],
}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
RULE = """\
id: role_open_to_all
rule: if iam_role.permissions contains "*" and iam_role.trust_policy allows "*" then severity = high
title: {en: A role lets everybody in, fr: Un rôle est ouvert à tous}
"""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    return Clock(datetime(2026, 11, 21, 19, tzinfo=UTC))


@pytest.fixture(autouse=True)
def house(cloud, tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.CHECKS_DIR = tmp_path / "checks"
    for folder in (settings.EVIDENCE_DIR, settings.CHECKS_DIR):
        folder.mkdir()
    (settings.CHECKS_DIR / "roles.yaml").write_text(RULE)
    team("web")
    for name, trust in (("forgotten", ANYBODY), ("deploy", OURSELVES)):
        cloud.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=[{"Key": "team", "Value": "web"}]
        )
        cloud.client("iam").put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    Account.objects.create(provider="aws", uid=ACCOUNT, created_at=datetime(2026, 1, 1, tzinfo=UTC), options={"regions": REGION})


def collect(clock):
    """A day later, the account is collected."""
    clock.pass_(days=1)
    (place,) = collecting.places(actor=OPERATOR)
    done = collecting.collect(place=place, checks=files.active(), actor=OPERATOR, clock=clock)
    assert done.scan is None or done.scan.state == "done", done.scan.problem
    return done


def edits():
    return [(told.before, told.after) for told in Event.objects.filter(subject="custom check").order_by("pk")]


def verify(clock):
    clock.pass_(hours=1)
    verification.request(finding=the_finding().pk, trigger=Verification.Trigger.PERSON, actor=OPERATOR, at=clock())
    verification.drain(clock=clock)
    return Verification.objects.latest("pk")


def trust(cloud, policy):
    cloud.client("iam").update_assume_role_policy(RoleName="forgotten", PolicyDocument=json.dumps(policy))


def the_finding():
    return Finding.objects.get(check_ref__scanner="cspm")


def state():
    found = the_finding()
    return found.status, found.presence


def test_from_a_role_that_nobody_reported_to_a_proven_fix_and_back(cloud, clock):
    # Nobody reported it; the collector finds it, its tag says whose it is.
    done = collect(clock)
    found = the_finding()
    assert (found.asset.name, found.severity, found.status) == ("forgotten", 4, "open")
    assert (found.team.slug, found.due_at is not None) == ("web", True)
    assert found.message == "permissions: *; trust_policy: *"
    assert (done.assets["iam_role"], done.results["fail"], done.results["pass"], done.notes) == (2, 1, 1, [])
    assert AssetFacts.objects.get(asset__name="deploy").facts["trust_policy"] == [f"arn:aws:iam::{ACCOUNT}:root"]

    # Not fixed yet: verification says so. Fixed: it is proven, with the answers of AWS as evidence.
    assert verify(clock).outcome == "failing"
    trust(cloud, OURSELVES)
    run = verify(clock)
    assert (run.outcome, run.verifier, state()) == ("fixed", "facts", ("verified", "reported"))
    proof = json.loads(evidence.read(bytes(run.evidence_id)))
    assert {"GetCallerIdentity", "GetRole", "GetRolePolicy"} <= {exchange["operation"] for exchange in proof["exchanges"]}
    assert proof["tools"]["check"] == 'iam_role: iam_role.permissions contains "*" and iam_role.trust_policy allows "*"'
    assert proof["summary"]["params"]["facts"] == f"permissions: *; trust_policy: arn:aws:iam::{ACCOUNT}:root"
    collect(clock)
    assert state() == ("verified", "reported")

    # Somebody opens it again: the next collection knows.
    trust(cloud, ANYBODY)
    collect(clock)
    assert (state(), the_finding().regressions) == (("open", "reported"), 1)

    # It is deleted: a collection that listed all roles misses it, and looking at it alone settles that it is gone.
    cloud.client("iam").delete_role_policy(RoleName="forgotten", PolicyName="all")
    cloud.client("iam").delete_role(RoleName="forgotten")
    collect(clock)
    assert state() == ("open", "unreported")
    assert not AssetFacts.objects.filter(asset__name="forgotten").exists()
    assert (verify(clock).outcome, state()) == ("gone", ("open", "gone"))


def test_a_fix_is_seen_by_the_next_collection_as_well(cloud, clock):
    collect(clock)
    trust(cloud, OURSELVES)
    done = collect(clock)
    assert (state(), done.scan.counts["fixed"]) == (("verified", "reported"), 1)


def test_without_permission_nothing_is_closed_and_the_permission_is_named(cloud, clock, monkeypatch):
    collect(clock)
    trust(cloud, OURSELVES)

    but = {"Effect": "Deny", "Action": ["iam:GetAccountAuthorizationDetails", "iam:GetRole"], "Resource": "*"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    with cloud.enforcing({"Version": "2012-10-17", "Statement": [everything, but]}) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        done = collect(clock)
        run = verify(clock)

    assert state() == ("open", "reported")
    assert done.missing == {"iam:GetAccountAuthorizationDetails"}
    assert AssetFacts.objects.get(asset__name="forgotten").facts["trust_policy"] == ["*"]
    assert (run.outcome, run.missing) == ("denied", "iam:GetRole")
    assert "iam:GetAccountAuthorizationDetails" in str(list(done.scan.warnings.values_list("reason", flat=True)))


def test_a_fact_that_cannot_be_read_neither_fails_nor_fixes(cloud, clock, monkeypatch):
    collect(clock)
    cloud.client("iam").put_role_policy(
        RoleName="forgotten", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING).replace('"*"', '"s3:*"', 1)
    )
    arn = cloud.client("iam").create_policy(PolicyName="more", PolicyDocument=json.dumps(EVERYTHING))["Policy"]["Arn"]
    cloud.client("iam").attach_role_policy(RoleName="forgotten", PolicyArn=arn)

    but = {"Effect": "Deny", "Action": "iam:GetPolicyVersion", "Resource": "*"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    with cloud.enforcing({"Version": "2012-10-17", "Statement": [everything, but]}) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        done = collect(clock)
        run = verify(clock)

    assert state() == ("open", "reported")
    assert done.results == {"unknown": 1, "pass": 1}
    assert (run.outcome, run.missing, run.summary["params"]) == ("denied", "iam:GetPolicyVersion", {"facts": "permissions"})


def test_nobody_there_is_no_news(cloud, clock):
    stranger = Place("aws", "999999999999")
    done = collecting.collect(place=stranger, checks=files.active(), actor=OPERATOR, clock=clock)
    assert done.scan is None
    assert "belong to account" in str(done.notes[0])
    assert not Finding.objects.exists()


def test_with_broken_check_files_verification_says_so(cloud, clock, settings):
    collect(clock)
    (settings.CHECKS_DIR / "roles.yaml").write_text("id: role_open_to_all\nrule: if iam_role.permisions then severity = high")
    run = verify(clock)
    assert (run.outcome, state()) == ("error", ("open", "reported"))
    assert "roles.yaml: Line 2, column 10" in run.summary["params"]["problem"]


def test_a_check_of_ours_that_a_verifier_knows_is_judged_as_it_is_written(settings):
    assert verification.fitting("cspm", "iam_role_trust_anyone") == "aws_iam_policies"
    (settings.CHECKS_DIR / "own.yaml").write_text(
        "id: iam_role_trust_anyone\nrule: if iam_role.trusts_anyone then severity = high"
    )
    assert verification.fitting("cspm", "iam_role_trust_anyone") == "facts"
    assert verification.fitting("prowler", "role_open_to_all") is None


def test_edited_rules_are_events(cloud, clock, settings):
    everything = 'if iam_role.permissions contains "*" and iam_role.trust_policy allows "*" then severity = high'
    collect(clock)
    collect(clock)
    [(nothing, first)] = edits()
    assert (nothing, first) == ({}, {"role_open_to_all": everything})

    narrower = "if iam_role.trusts_anyone then severity = medium"
    (settings.CHECKS_DIR / "roles.yaml").write_text(f"- {{id: role_open_to_all, rule: '{narrower}', title: Open}}")
    collect(clock)
    assert edits()[1] == ({"role_open_to_all": everything}, {"role_open_to_all": narrower})

    (settings.CHECKS_DIR / "roles.yaml").unlink()
    collect(clock)
    collect(clock)
    assert edits()[2:] == [({"role_open_to_all": narrower}, {"role_open_to_all": None})]
