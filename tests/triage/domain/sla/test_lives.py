"""Clocks and exceptions through the turns of a finding's life: what must not be lost, doubled or laundered on the way."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection

from tests.factories import change, finding, team
from tests.reports import imported, prowler
from tests.reports import row as report_row
from triage.domain import calendars, lifecycle
from triage.domain.access import Actor, of_machine
from triage.domain.audit import recording
from triage.domain.calendars import Draft
from triage.domain.configuration.applying import apply
from triage.domain.errors import Invalid, NotAllowed
from triage.domain.exceptions import deciding, keeping
from triage.domain.exceptions.requesting import About, preview, request
from triage.domain.sla import clocks, notices, policies, reporting, simulating
from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft
from triage.domain.sla.policies import Plan
from triage.models import ClockEntry, DailyCount, Event, ExceptionItem, Finding, RiskException, Role, SlaNotice, SlaVersion

AT = datetime(2026, 9, 7, 8, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ME = of_machine(0)
ASKER = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}), user=1)
SENIOR = Actor(name="user:3", door="page", roles=frozenset({Role.SENIOR_APPROVER}), user=3)
pytestmark = pytest.mark.django_db


def begun(bucket: str = "a", *, at: datetime = AT, **columns) -> Finding:
    row = finding(bucket=bucket, at=at, due_at=None, **{"severity": 4, "scanner_severity": 4, **columns})
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([row.pk], at=at)
    row.refresh_from_db()
    return row


def excepted(about: About, *, at: datetime = AT + DAY, days: int = 30, kind: str = "accepted") -> RiskException:
    asked = request(kind=kind, about=about, reason="later", until=at + days * DAY, actor=ASKER, at=at)
    return deciding.approve(exception=asked.pk, actor=SENIOR, at=at)


def by_evidence(verb, row: Finding, at: datetime, **said) -> Finding:
    with recording(actor="worker", at=at, door="task"):
        verb([row.pk], at=at, **said)
    row.refresh_from_db()
    return row


@pytest.mark.parametrize("looked", [True, False])
def test_what_is_gone_and_comes_back_while_excepted_is_open_again(looked):
    row = begun()
    exception = excepted(About(finding=row.pk))
    by_evidence(lifecycle.lose, row, AT + 3 * DAY)
    if looked:
        keeping.look(at=AT + 3 * DAY)
    by_evidence(lifecycle.return_, row, AT + 5 * DAY)
    assert (row.status, row.due_at, row.paused_at) == ("open", AT + 12 * DAY, None)
    keeping.look(at=AT + 5 * DAY)
    exception.refresh_from_db()
    assert exception.state == "fixed"
    assert not ExceptionItem.objects.filter(ended_at=None).exists()
    notices.look(at=AT + 13 * DAY)
    assert SlaNotice.objects.get().percent == 100


def test_a_manual_finding_that_was_gone_gets_no_clock_and_a_claim_is_forgotten():
    manual = finding(bucket="m", status="manual", due_at=None, clock_from=None, at=AT)
    claimed = begun("c")
    lifecycle.move(finding=claimed.pk, to="fix_claimed", actor=ME, at=AT + DAY)
    for row in (manual, claimed):
        by_evidence(lifecycle.lose, row, AT + 2 * DAY)
        by_evidence(lifecycle.return_, row, AT + 20 * DAY)
    assert (manual.status, manual.clock_from, manual.due_at) == ("manual", None, None)
    assert (claimed.status, claimed.claimed_at, claimed.verify_due, claimed.clock_from) == ("open", None, None, AT + 20 * DAY)


def test_a_new_clock_with_the_date_of_the_old_one_speaks():
    with recording(actor="os:0", at=AT - DAY, door="cli") as log:
        calendars.publish(Draft("utc", time_zone="UTC", hours={"mon": [("08:00", "09:00")]}), log=log, at=AT - DAY)
    policies.publish(PolicyDraft("default", targets=(TargetDraft("5 days", severity=4, calendar="utc"),)), actor=ME, at=AT - DAY)
    row = begun()
    by_evidence(lifecycle.settle, row, AT + HOUR, grade="proof")
    by_evidence(lifecycle.reopen, row, AT + 2 * HOUR)
    assert row.notice_at is not None
    for hour in range(220):
        notices.look(at=AT + hour * HOUR)
    assert list(SlaNotice.objects.order_by("pk").values_list("percent", flat=True)) == [50, 80, 100, 150]


def test_a_policy_whose_calendar_would_not_reach_is_refused():
    with recording(actor="os:0", at=AT, door="cli") as log:
        calendars.publish(Draft("rare", hours={"mon": [("09:00", "11:00")]}), log=log, at=AT)
    for hours in (3000, 1000):  # to the date, and to the last rung
        draft = PolicyDraft(
            "rare", targets=(TargetDraft(f"{hours} business hours", calendar="rare"),), ladder=((1000, ("owner",)),)
        )
        with pytest.raises(Invalid, match="hardly ever open"):
            policies.publish(draft, actor=ME, at=AT)
    assert not SlaVersion.objects.filter(policy__slug="rare").exists()


def test_a_new_policy_for_new_clocks_leaves_the_old_ones_alone():
    row = begun()
    policies.publish(PolicyDraft("strict", targets=(TargetDraft("1 hour"),)), actor=ME, at=AT + DAY, applies=Applies.NEW)
    lifecycle.move(finding=row.pk, to="fix_claimed", actor=ME, at=AT + DAY)
    row.refresh_from_db()
    assert row.due_at == AT + 7 * DAY
    assert begun("b", at=AT + 2 * DAY).due_at == AT + 2 * DAY + HOUR


def test_the_default_policy_is_there_before_any_other_and_in_the_trail():
    policies.publish(PolicyDraft("strict", targets=(TargetDraft("1 hour", severity=5),)), actor=ME, at=AT)
    assert list(SlaVersion.objects.order_by("pk").values_list("policy__slug", "applies_from")) == [
        ("default", None),
        ("strict", None),
    ]
    assert Event.objects.filter(subject="sla", kind="published").count() == 2


def test_history_does_not_change_with_what_comes_later():
    row = begun(owner=team("web"))
    notices.look(at=AT + 8 * DAY)
    change(row, AT + 9 * DAY, team=team("payments"))
    with recording(actor="worker", at=AT + 10 * DAY, door="task"):
        Finding.objects.filter(pk=row.pk).update(severity=5, changed_at=AT + 10 * DAY)
        clocks.recompute([row.pk], at=AT + 10 * DAY)
    draft = policies.drafted(policies.named("default"))
    policies.publish(draft, actor=ME, at=AT + 11 * DAY, applies=Applies.OPEN)
    (late,) = reporting.breaches(since=AT, until=AT + 60 * DAY, actor=ME, at=AT + 60 * DAY)
    assert (late.due, late.severity.value, late.team.slug, str(late.version)) == (AT + 7 * DAY, 4, "web", "Default v1")
    assert ClockEntry.objects.filter(kind="breach").count() == 1
    notices.look(at=AT + 12 * DAY)
    assert ClockEntry.objects.filter(kind="breach").count() == 1


def test_what_had_no_date_was_not_kept_and_what_stood_was():
    dateless, standing = begun("dateless"), begun("standing")
    clocks.pause(finding=standing.pk, until=AT + 20 * DAY, reason="vendor", actor=ME, at=AT + DAY)
    by_evidence(lifecycle.settle, standing, AT + 9 * DAY, grade="proof")
    policies.publish(PolicyDraft("default"), actor=ME, at=AT + 10 * DAY, applies=Applies.OPEN)
    by_evidence(lifecycle.settle, dateless, AT + 300 * DAY, grade="proof")
    found = reporting.attainment(since=AT, until=AT + 400 * DAY, actor=ME, at=AT + 400 * DAY)
    assert (found.met, found.missed) == (1, 1)  # the dateless one was late before its policy was retired
    assert not ClockEntry.objects.filter(kind="pause", resumption=None).exists()
    assert sum(DailyCount.objects.filter(kind="verified").values_list("in_time", flat=True)) == 1
    policies.publish(
        policies.drafted(SlaVersion.objects.get(policy__slug="default", number=1)),
        actor=ME,
        at=AT + 11 * DAY,
        applies=Applies.OPEN,
    )
    plan = Plan([policies.drafted(policies.named("default"))])
    found = simulating.simulate(plan, actor=ME, at=AT + 30 * DAY)
    assert sum(each.would_meet for each in found.tallies.values()) == 1
    assert standing.pk not in {row.pk for row in found.worse}


def test_only_pauses_by_hand_use_up_the_allowance():
    row = begun()
    exception = excepted(About(finding=row.pk), days=40)
    deciding.revoke(exception=exception.pk, actor=SENIOR, at=AT + 40 * DAY, reason="enough")
    assert (
        clocks.pause(finding=row.pk, until=AT + 60 * DAY, reason="vendor", actor=ME, at=AT + 41 * DAY).paused_at == AT + 41 * DAY
    )


def test_clocks_beside_the_main_one_speak_after_an_exception():
    policies.publish(PolicyDraft("default", targets=(TargetDraft("960 hours", "acknowledge"),)), actor=ME, at=AT - DAY)
    row = begun()
    exception = excepted(About(check=row.check_ref_id))
    notices.look(at=AT + 25 * DAY)
    deciding.revoke(exception=exception.pk, actor=SENIOR, at=AT + 26 * DAY, reason="enough")
    notices.look(at=AT + 41 * DAY)
    assert SlaNotice.objects.get().clock == "acknowledge"


def test_an_exposure_that_a_check_learns_of_starts_the_clock_to_contain():
    assert imported(prowler([report_row("b", "FAIL", severity="critical", check="ec2_x", CATEGORIES="")], AT)).state == "done"
    row = Finding.objects.get()
    assert row.contain_due is None
    later = [report_row("b", "FAIL", severity="critical", check="ec2_x", CATEGORIES="internet-exposed")]
    assert imported(prowler(later, AT + DAY)).state == "done"
    row.refresh_from_db()
    assert row.check_ref.exposes
    assert row.contain_due == row.first_seen + 24 * HOUR


def test_a_wide_exception_covers_the_kinds_of_risk_that_were_looked_at():
    dev = begun("dev", environment="dev")
    wide = excepted(About(check=dev.check_ref_id))
    prod, exposed = begun("prod", environment="prod", at=AT + 2 * DAY), begun("exposed", environment="dev", at=AT + 2 * DAY)
    same = begun("same", environment="dev", at=AT + 2 * DAY)
    exposed.asset.exposure = 1
    exposed.asset.save(update_fields=["exposure"])
    keeping.look(at=AT + 3 * DAY)
    states = [Finding.objects.get(pk=row.pk).status for row in (dev, prod, exposed, same)]
    assert states == ["accepted", "open", "open", "accepted"]
    # The check tests something else now: nobody has approved that.
    dev.check_ref.title = "Something else"
    dev.check_ref.save(update_fields=["title"])
    keeping.look(at=AT + 4 * DAY)
    wide.refresh_from_db()
    assert wide.state == "voided"
    assert set(Finding.objects.values_list("status", flat=True)) == {"open"}


@pytest.mark.parametrize(
    "query",
    ["is:overdue", "is:new", "-is:due_soon", "has:due", "âge>30j", "échéance<2026-10-01", "(env:prod or sla:ok)", "équipe:me", "score>80"],
)  # fmt: skip
def test_a_query_that_changes_by_itself_makes_no_exception(query):
    begun()
    with pytest.raises(Invalid, match="would mean something else tomorrow"):
        preview(about=About(query=query), actor=ASKER, at=AT)
    preview(about=About(query="account:metrics check:age"), actor=ASKER, at=AT)


def test_an_approval_after_a_regression_or_a_fix_says_what_is_so():
    row = begun()
    excepted(About(finding=row.pk))
    by_evidence(lifecycle.settle, row, AT + 2 * DAY, grade="proof")
    by_evidence(lifecycle.reopen, row, AT + 3 * DAY)
    again = request(kind="accepted", about=About(finding=row.pk), reason="x", until=AT + 30 * DAY, actor=ASKER, at=AT + 3 * DAY)
    deciding.approve(exception=again.pk, actor=SENIOR, at=AT + 3 * DAY)
    row.refresh_from_db()
    assert row.status == "accepted"

    other = begun("other")
    late = request(kind="accepted", about=About(finding=other.pk), reason="x", until=AT + 30 * DAY, actor=ASKER, at=AT + 3 * DAY)
    by_evidence(lifecycle.settle, other, AT + 4 * DAY, grade="proof")
    with pytest.raises(Invalid, match="is no longer open"):
        deciding.approve(exception=late.pk, actor=SENIOR, at=AT + 5 * DAY)


def test_a_failed_attestation_is_not_in_force():
    row = finding(status="manual", due_at=None, clock_from=None, at=AT)
    asked = request(
        kind="attested", about=About(finding=row.pk), reason="x", until=AT + 30 * DAY, actor=ASKER, at=AT, passed=False
    )
    assert deciding.approve(exception=asked.pk, actor=SENIOR, at=AT).state == "fixed"


def test_the_last_day_that_is_allowed_is_allowed():
    row = begun()
    end = (AT + 180 * DAY).replace(hour=23, minute=59)
    assert request(kind="accepted", about=About(finding=row.pk), reason="x", until=end, actor=ASKER, at=AT).until == end


def test_whoever_lost_his_rights_ends_nothing_and_machines_approve_nothing_of_their_own():
    row = begun(owner=team("web"))
    exception = excepted(About(finding=row.pk))
    former = Actor(name="user:1", door="page", roles=frozenset(), user=1)
    with pytest.raises(NotAllowed):
        deciding.revoke(exception=exception.pk, actor=former, at=AT + 2 * DAY, reason="x")
    asked = request(
        kind="accepted", about=About(finding=begun("b").pk), reason="x", until=AT + 9 * DAY, actor=of_machine(1000), at=AT
    )
    with pytest.raises(NotAllowed, match="requested it yourself"):
        deciding.approve(exception=asked.pk, actor=of_machine(0), at=AT)


def test_what_is_applied_twice_changes_nothing_the_second_time():
    text = """
calendars:
  office: {name: , hours: {weekdays: ["09:00-18:00"]}}
sla:
  default: {name: "", targets: [{severity: high, within: 8 heures ouvrées, calendar: office}]}
"""
    assert len(apply(text=text, actor=ME, at=AT).changes) == 2
    assert apply(text=text, actor=ME, at=AT + DAY).changes == ()


def test_voids_take_the_same_statements_whatever_their_number(django_assert_max_num_queries):
    for number in range(30):
        begun(f"b{number}", environment="dev")
    excepted(About(query="env:dev"))
    with recording(actor="worker", at=AT + 2 * DAY, door="task"):
        Finding.objects.update(severity=5, changed_at=AT + 2 * DAY)
    with django_assert_max_num_queries(45):
        keeping.look(at=AT + 2 * DAY)
    assert set(Finding.objects.values_list("status", flat=True)) == {"open"}


@pytest.mark.django_db(transaction=True)
def test_a_recomputation_does_not_undo_what_others_commit_meanwhile():
    """A policy is applied while a clock is being paused: whoever comes second sees what the first did."""
    row = begun()
    policies.publish(PolicyDraft("default", targets=(TargetDraft("100 hours"),)), actor=ME, at=AT + HOUR)
    paused = Barrier(2)

    def pause() -> None:
        with recording(actor="os:0", at=AT + DAY, door="cli"):
            clocks.hold([row.pk], until=None, at=AT + DAY, actor="os:0", reason="vendor")
            paused.wait(10)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
        connection.close()

    thread = Thread(target=pause)
    thread.start()
    paused.wait(10)
    with recording(actor="os:0", at=AT + DAY, door="cli"):
        clocks.recompute([row.pk], at=AT + DAY)
    thread.join()
    row.refresh_from_db()
    assert (row.paused_at, row.due_at) == (AT + DAY, None)
