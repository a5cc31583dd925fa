"""What asks for verifications by itself: claims, reports, and time."""

from datetime import timedelta

import pytest

from tests.factories import AT, TRIAGER, Clock, buckets, change, finding
from tests.reports import DAY as REPORTED
from tests.reports import imported, prowler
from tests.reports import row as report_row
from triage.domain import access, lifecycle, verification
from triage.domain.audit import recording
from triage.domain.configuration.applying import apply, compare, export
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.verification import policy
from triage.models import Account, Event, Finding, Verification, VerificationPolicy

pytestmark = pytest.mark.django_db
ADMIN = access.of_machine(0)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _verifier(named_verifier):
    return named_verifier


def say(text):
    return apply(text=f"verification: {{{text}}}", actor=ADMIN, at=AT).changes


def waiting():
    return list(Verification.objects.filter(state="queued").order_by("pk").values_list("finding", "trigger", "actor"))


# --- a claim ------------------------------------------------------------------------------------------------------------------


def claimed(bucket="fixed-1", *, check="named", at=AT):
    row = finding(check=check, bucket=bucket)
    lifecycle.move(finding=row.pk, to="fix_claimed", actor=TRIAGER, at=at)
    return row


def test_a_claim_is_looked_at_once():
    row = claimed()
    claimed("x", check="iam_avoid_root_usage")

    assert policy.look_at_claims(at=AT + DAY) == 1
    assert waiting() == [(row.pk, "claim", "worker")]
    verification.drain(clock=Clock(AT + DAY))
    assert policy.look_at_claims(at=AT + 2 * DAY) == 0

    row.refresh_from_db()
    assert row.status == "verified"


def test_a_claim_that_was_refuted_and_comes_again_is_looked_at_again():
    row = claimed("failing-1")
    policy.look_at_claims(at=AT + DAY)
    verification.drain(clock=Clock(AT + DAY))
    row.refresh_from_db()
    assert row.status == "open"

    lifecycle.move(finding=row.pk, to="fix_claimed", actor=TRIAGER, at=AT + 2 * DAY)

    assert policy.look_at_claims(at=AT + 3 * DAY) == 1


def test_what_the_ticket_asked_for_is_not_asked_twice():
    row = claimed(at=AT)
    verification.request(finding=row.pk, trigger=Verification.Trigger.TICKET, actor=access.worker(), at=AT)
    verification.drain(clock=Clock(AT))

    assert policy.look_at_claims(at=AT + DAY) == 0


def test_a_policy_may_leave_claims_alone():
    claimed()
    say("on_claim: false")

    assert policy.look_at_claims(at=AT + DAY) == 0


@pytest.mark.parametrize("count", [1, 30])
def test_claims_take_a_number_of_statements(count, django_assert_num_queries):
    buckets(*(f"fixed-{number}" for number in range(count)))
    with recording(actor="worker", at=AT, door="task"):
        Finding.objects.update(status="fix_claimed", claimed_at=AT)

    with django_assert_num_queries(5):  # policy, checks, scanners that can be run again, claims, queue
        assert policy.look_at_claims(at=AT + DAY) == count


# --- a report -----------------------------------------------------------------------------------------------------------------


def test_what_a_report_says_is_fixed_is_looked_at_if_the_policy_wants_it():
    imported(prowler([report_row("fixed-1", "FAIL", check="named")]))
    scan = imported(prowler([report_row("fixed-1", "PASS", check="named")], at=REPORTED + DAY))
    row = Finding.objects.get()
    assert (row.status, row.grade) == ("verified", "proof")

    assert policy.look_at_report(scan.pk, at=AT + DAY) is None  # nobody said how to reach the account
    Account.objects.update(options={"role_arn": "arn:aws:iam::123456789012:role/x"})
    say("on_report: false")
    assert policy.look_at_report(scan.pk, at=AT + DAY) is None
    say("on_report: true")
    run = policy.look_at_report(scan.pk, at=AT + DAY)

    assert (run.total, run.trigger) == (1, "report")
    assert waiting() == [(row.pk, "report", "worker")]
    assert policy.look_at_report(scan.pk + 1, at=AT + DAY) is None


# --- drift --------------------------------------------------------------------------------------------------------------------


def proven(*names, since=AT, **columns):
    rows = buckets(*names, **columns)
    with recording(actor="worker", at=AT, door="task"):
        Finding.objects.filter(pk__in=[row.pk for row in rows]).update(status="verified", grade="proof", settled_at=since)
    return rows


def test_what_was_verified_is_looked_at_again_and_drift_is_a_regression():
    still, drifted = proven("fixed-1", "failing-2")
    assert policy.look_for_drift(at=AT + 29 * DAY) is None

    run = policy.look_for_drift(at=AT + 31 * DAY)
    assert (run.total, run.trigger, run.actor) == (2, "schedule", "worker")
    verification.drain(clock=Clock(AT + 31 * DAY))

    still.refresh_from_db()
    drifted.refresh_from_db()
    assert (still.status, still.settled_at) == ("verified", AT)
    assert (drifted.status, drifted.regressions) == ("open", 1)
    assert Event.objects.filter(subject_id=drifted.pk, kind="regressed").count() == 1
    assert policy.look_for_drift(at=AT + 32 * DAY) is None
    assert policy.look_for_drift(at=AT + 62 * DAY).verifications.get().finding == still


def test_what_was_denied_is_not_asked_every_hour():
    proven("denied-1")
    policy.look_for_drift(at=AT + 31 * DAY)
    verification.drain(clock=Clock(AT + 31 * DAY))

    assert policy.look_for_drift(at=AT + 32 * DAY) is None


def test_a_few_at_a_time_the_oldest_first(monkeypatch):
    monkeypatch.setattr(policy, "AGAIN_AT_ONCE", 2)
    rows = proven("fixed-1", "fixed-2", "fixed-3")
    change(rows[2], settled_at=AT - DAY)

    first = policy.look_for_drift(at=AT + 40 * DAY)
    second = policy.look_for_drift(at=AT + 40 * DAY + timedelta(hours=1))

    assert {each.finding_id for each in first.verifications.all()} == {rows[2].pk, rows[0].pk}
    assert second.verifications.get().finding_id == rows[1].pk


def test_what_proves_nothing_or_is_out_of_scope_is_left_alone():
    rows = proven("fixed-1", "fixed-2")
    change(rows[0], grade="absence")
    finding(check="iam_avoid_root_usage", bucket="x", status="verified", grade="proof", settled_at=AT)
    assert policy.look_for_drift(at=AT + 40 * DAY).verifications.get().finding_id == rows[1].pk

    Verification.objects.all().update(requested_at=AT, state="done")
    Account.objects.update(in_scope=False)
    assert policy.look_for_drift(at=AT + 40 * DAY) is None


def test_nothing_is_looked_at_again_if_the_policy_says_so():
    proven("fixed-1")
    say("again_days: 0")

    assert policy.look_for_drift(at=AT + 400 * DAY) is None


# --- the configuration file ---------------------------------------------------------------------------------------------------


def test_the_policy_is_a_section_of_the_configuration_file():
    assert say("on_claim: true, again_days: 30") == ()
    assert "verification:\n  on_claim: true\n  on_report: true\n  again_days: 30\n" in export(actor=ADMIN)

    (changed,) = say("again_days: 7")

    assert (changed.before, changed.after) == ({"again_days": 30}, {"again_days": 7})
    assert VerificationPolicy.objects.get().again_days == 7
    event = Event.objects.get(subject="verification policy")
    assert (event.kind, event.before, event.after, event.actor) == ("changed", {"again_days": 30}, {"again_days": 7}, "os:0")
    assert compare(text=export(actor=ADMIN), actor=ADMIN) == []


@pytest.mark.parametrize("wrong", ["again_days: 366", "again_days: -1", "again_days: soon", "on_claim: perhaps", "on_clam: true"])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(WrongConfiguration):
        say(wrong)
