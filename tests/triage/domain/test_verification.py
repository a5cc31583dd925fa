import hashlib
import json

import pytest

from tests.factories import ACCOUNT, AT, TRIAGER, VIEWER, Clock, change, finding
from tests.plugins.verifiers import told
from tests.processes import ended, in_child
from tests.servers.prowler import lay
from triage import plugins
from triage.domain import evidence, lifecycle, verification
from triage.domain.errors import NotAllowed, NotFound
from triage.domain.verification import requesting, running
from triage.models import Account, Check, Event, Evidence, Verification
from triage.ports import Outcome

PERSON = Verification.Trigger.PERSON


@pytest.fixture(autouse=True)
def verifiers(settings, tmp_path):
    settings.EVIDENCE_DIR = tmp_path
    settings.PLUGIN_PACKAGES = settings.PLUGIN_PACKAGES | {"verifiers": ["integrations.verifiers", "tests.plugins.verifiers"]}
    plugins._modules.cache_clear()
    requesting.answers.cache_clear()
    told.ANSWERS.clear()
    told.ASKED.clear()
    yield
    plugins._modules.cache_clear()
    requesting.answers.cache_clear()


@pytest.fixture
def clock():
    return Clock()


def verify(row, answer, clock):
    told.ANSWERS.append(answer)
    asked = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=clock())
    done = verification.run(verification=asked.pk, clock=clock)
    row.refresh_from_db()
    return done


def claimed(clock):
    row = finding(check="told")
    lifecycle.move(finding=row.pk, to="fix_claimed", actor=TRIAGER, at=clock())
    return row


# --- what an outcome makes of a finding ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_check_that_passes_verifies_the_fix_with_proof(clock):
    row = claimed(clock)

    done = verify(row, told.judgement(Outcome.FIXED, AT), clock)

    assert (row.status, row.grade, row.settled_at) == ("verified", "proof", done.finished_at)
    event = Event.objects.get(kind="verified", subject_id=row.pk)
    assert (event.actor, event.door, bytes(event.evidence), event.reason) == (
        "worker",
        "task",
        bytes(done.evidence_id),
        "The bucket is fixed.",
    )
    assert (done.state, done.outcome, done.verifier, done.attempts) == ("done", "fixed", "told", 1)


@pytest.mark.django_db
def test_a_check_that_fails_reopens_a_claimed_fix_with_its_evidence(clock):
    row = claimed(clock)
    due = row.due_at

    done = verify(row, told.judgement(Outcome.FAILING, AT), clock)

    assert (row.status, row.due_at) == ("open", due)
    event = Event.objects.filter(subject_id=row.pk, kind="status").latest("seq")
    assert bytes(event.evidence) == bytes(done.evidence_id)


@pytest.mark.django_db
def test_a_verified_fix_that_fails_again_is_a_regression(clock):
    row = claimed(clock)
    verify(row, told.judgement(Outcome.FIXED, AT), clock)

    verify(row, told.judgement(Outcome.FAILING, AT), clock)

    assert (row.status, row.regressions, row.grade) == ("open", 1, "")
    assert Event.objects.filter(subject_id=row.pk, kind="regressed").count() == 1


@pytest.mark.django_db
def test_an_asset_that_is_gone_is_gone_and_not_fixed(clock):
    row = claimed(clock)

    verify(row, told.judgement(Outcome.GONE, AT), clock)

    assert (row.status, row.presence, row.is_open) == ("fix_claimed", "gone", False)


@pytest.mark.django_db
def test_what_was_gone_and_fails_is_reported_again(clock):
    row = finding(check="told", presence="gone")

    verify(row, told.judgement(Outcome.FAILING, AT), clock)

    assert (row.status, row.presence) == ("open", "reported")


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.ERROR, Outcome.CANNOT])
@pytest.mark.django_db
def test_what_is_no_verdict_changes_nothing_and_says_why(clock, outcome):
    row = claimed(clock)
    row.refresh_from_db()
    before = {name: value for name, value in vars(row).items() if name not in ("_state", "event_seq")}

    done = verify(row, told.judgement(outcome, AT, missing="s3:GetBucketAcl"), clock)

    row.refresh_from_db()
    after = {name: value for name, value in vars(row).items() if name in before}
    assert after == before
    assert (done.outcome, done.missing) == (outcome, "s3:GetBucketAcl")
    assert done.summary == {"message": "The bucket is %(state)s.", "params": {"state": outcome}}
    event = Event.objects.get(subject_id=row.pk, kind="checked")
    assert event.after == {"verification": done.pk, "outcome": outcome, "evidence": bytes(done.evidence_id).hex()}


@pytest.mark.django_db
def test_fixed_without_evidence_does_not_count(clock):
    row = claimed(clock)

    done = verify(row, told.judgement(Outcome.FIXED, AT, evidence=False), clock)

    assert (row.status, done.outcome, done.evidence) == ("fix_claimed", "error", None)


@pytest.mark.django_db
def test_an_accepted_risk_that_still_fails_stays_accepted(clock):
    row = finding(check="told", status="accepted")

    verify(row, told.judgement(Outcome.FAILING, AT), clock)

    assert row.status == "accepted"


@pytest.mark.django_db
def test_a_bug_of_a_verifier_is_an_error(clock):
    row = claimed(clock)

    done = verify(row, KeyError("Grants"), clock)

    assert (done.state, done.outcome, row.status) == ("done", "error", "fix_claimed")
    assert done.summary["params"] == {"error": "KeyError"}


@pytest.mark.django_db
def test_a_check_without_verifier_cannot_be_verified_and_says_so(clock):
    row = finding(check="iam_avoid_root_usage")

    done = verify(row, told.judgement(Outcome.FIXED, AT), clock)

    assert (done.outcome, row.status) == ("cannot", "open")
    assert "iam_avoid_root_usage" in str(done.summary)
    assert verification.fitting("prowler", "iam_avoid_root_usage") is None
    assert verification.fitting("prowler", "told") == "told"


@pytest.mark.django_db
def test_who_names_a_check_comes_before_who_answers_a_family_and_that_only_where_it_can(clock, settings):
    """The answers of a family hang on the server's settings, so that they are asked anew each time."""
    for check in ("told", "iam_avoid_root_usage", "AVD-AWS-0001"):
        finding(check=check)
    settings.PROWLER = "/opt/prowler/bin/python"
    assert [verification.fitting("prowler", check) for check in ("told", "s3_bucket_public_access", "iam_avoid_root_usage")] == [
        "told", "aws_s3", "prowler",
    ]  # fmt: skip
    assert verification.fitting("checkov", "iam_avoid_root_usage") is None
    answered = Check.objects.filter(pk__in=requesting.answered_checks())
    assert set(answered.values_list("key", flat=True)) == {"told", "iam_avoid_root_usage"}
    settings.PROWLER = ""
    assert verification.fitting("prowler", "iam_avoid_root_usage") is None
    answered = Check.objects.filter(pk__in=requesting.answered_checks())
    assert set(answered.values_list("key", flat=True)) == {"told"}


@pytest.mark.django_db
def test_a_check_of_prowler_alone_is_verified_by_prowler_with_proof(clock, settings, tmp_path_factory):
    theirs = lay(tmp_path_factory.mktemp("prowler"))
    settings.PROWLER = theirs.python
    row = finding(check="vpc_peering_least_privilege")
    theirs.told(rows=[{"status": "PASS", "status_extended": "Least privilege.", "resource_arn": row.asset.uid, "resource_id": "pcx-1",
                       "region": row.region}])  # fmt: skip

    asked = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=clock())
    done = verification.run(verification=asked.pk, clock=clock)

    row.refresh_from_db()
    assert (done.verifier, done.outcome, row.status, row.grade) == ("prowler", "fixed", "verified", "proof")
    kept = json.loads(evidence.read(bytes(done.evidence_id)))
    assert kept["exchanges"][0]["response"]["rows"][0]["said"] == "Least privilege."
    assert kept["tools"]["prowler"] == "5.46.0"


# --- asking -------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_target_says_what_to_look_at_and_how_to_reach_it(clock):
    row = finding(check="told")
    Account.objects.update(options={"role_arn": "arn:aws:iam::123456789012:role/auditor"})

    verify(row, told.judgement(Outcome.FAILING, AT), clock)

    target = told.ASKED[0]
    assert (target.account, target.region, target.asset) == (ACCOUNT, "eu-west-1", "arn:aws:s3:::acme-public-assets")
    assert target.options == {"role_arn": "arn:aws:iam::123456789012:role/auditor"}


@pytest.mark.django_db
def test_asking_twice_is_one_verification(clock):
    row = finding(check="told")

    first = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=AT)
    second = verification.request(finding=row.pk, trigger=Verification.Trigger.TICKET, actor=TRIAGER, at=AT)

    assert first == second
    assert (first.actor, first.trigger) == ("user:1", "person")


@pytest.mark.django_db
def test_asking_needs_the_right_and_a_finding():
    row = finding(check="told")

    with pytest.raises(NotAllowed):
        verification.request(finding=row.pk, trigger=PERSON, actor=VIEWER, at=AT)
    with pytest.raises(NotFound, match="F-999999"):
        verification.request(finding=999_999, trigger=PERSON, actor=TRIAGER, at=AT)

    assert not Verification.objects.exists()


@pytest.mark.django_db
def test_draining_runs_all_that_wait(clock):
    rows = [finding(check="told", bucket=f"bucket-{number}") for number in range(3)]
    for row in rows:
        told.ANSWERS.append(told.judgement(Outcome.FIXED, AT))
        verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=AT)
    assert verification.waiting(AT)

    assert verification.drain(clock=clock) == 3

    assert not verification.waiting(clock.at)
    assert {row.status for row in type(rows[0]).objects.all()} == {"verified"}


# --- what is kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_evidence_says_who_asked_what_and_what_the_answer_was(clock):
    row = claimed(clock)

    done = verify(row, told.judgement(Outcome.FIXED, AT), clock)

    data = evidence.read(bytes(done.evidence_id))
    assert hashlib.sha256(data).digest() == bytes(done.evidence_id)
    assert Evidence.objects.get().media_type == "application/json"
    content = json.loads(data)
    assert (content["finding"], content["outcome"], content["verifier"], content["requested_by"]) == (
        str(row),
        "fixed",
        "told",
        "user:1",
    )
    assert content["principal"] == "arn:aws:sts::123456789012:assumed-role/auditor/x"
    assert content["target"]["asset"] == "arn:aws:s3:::acme-public-assets"
    assert content["tools"] == {"boto3": "1"}
    (exchange,) = content["exchanges"]
    assert (exchange["operation"], exchange["request_id"], exchange["region"]) == ("GetBucketAcl", "REQ-1", "eu-west-1")
    assert (exchange["request"], exchange["response"]) == ({"Bucket": "acme"}, {"Grants": []})
    assert content["finished_at"] == done.finished_at.isoformat()
    assert data == json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.django_db
def test_secrets_are_cleaned_out_of_evidence_and_facts_are_not(clock):
    row = claimed(clock)
    response = {
        "Credentials": {"AccessKeyId": "AKIA1", "SecretAccessKey": "s3cr3t-a", "SessionToken": "s3cr3t-b"},
        "MasterUserPassword": "s3cr3t-c",
        "Headers": [{"Authorization": "AWS4 s3cr3t-d"}],
        "Url": "https://x/?X-Amz-Signature=s3cr3t-e&X-Amz-Expires=60",
        "PasswordPolicy": {"MinimumPasswordLength": 8, "PasswordReusePrevention": 24},
        "PasswordLastUsed": "2026-11-20",
    }

    done = verify(row, told.judgement(Outcome.FAILING, AT, response=response), clock)

    data = evidence.read(bytes(done.evidence_id)).decode()
    assert "s3cr3t" not in data
    kept = json.loads(data)["exchanges"][0]["response"]
    assert kept["PasswordPolicy"] == {"MinimumPasswordLength": 8, "PasswordReusePrevention": 24}
    assert kept["PasswordLastUsed"] == "2026-11-20"
    assert kept["Credentials"]["AccessKeyId"] == "AKIA1"
    assert kept["Url"].endswith("&X-Amz-Expires=60")


# --- real deaths --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_verification_whose_worker_is_killed_is_taken_up_and_given_up_after_three(clock):
    row = finding(check="told")
    asked = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=AT)
    told.ANSWERS += ["killed"] * 3

    for _again in range(3):
        assert ended(in_child(lambda: verification.run(verification=asked.pk, clock=clock))) == -9
        assert not verification.waiting(clock.at)
        clock.pass_(minutes=11)
        assert verification.waiting(clock.at)
    done = verification.run(verification=asked.pk, clock=clock)

    assert (done.state, done.outcome, done.attempts) == ("done", "error", 4)
    row.refresh_from_db()
    assert row.status == "open"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_comes_back_late_judges_nothing(clock):
    row = finding(check="told")
    asked = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=AT)
    slow = running._claim(running.Q(pk=asked.pk), at=clock())
    clock.pass_(minutes=11)
    told.ANSWERS += [told.judgement(Outcome.FAILING, AT), told.judgement(Outcome.FIXED, AT)]

    verification.run(verification=asked.pk, clock=clock)
    running._run(slow, clock)

    row.refresh_from_db()
    assert row.status == "open"
    assert Verification.objects.get().outcome == "failing"


@pytest.mark.django_db(transaction=True)
def test_a_running_verification_is_left_alone(clock):
    row = finding(check="told")
    asked = verification.request(finding=row.pk, trigger=PERSON, actor=TRIAGER, at=AT)
    running._claim(running.Q(pk=asked.pk), at=clock())

    assert verification.run(verification=asked.pk, clock=clock).state == "running"
    assert told.ASKED == []
    assert change(row).status == "open"
