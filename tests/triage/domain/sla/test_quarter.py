"""A quarter of an estate's life, with each date, notice and entry of the ledger computed by hand.

The calendar is Paris, Monday to Friday 9 to 18, without holidays but the first of January. The policy gives critical findings 18
business hours (two days), high ones 5 days; 50, 80, 100 and 150 %; pauses of 10 days in all.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.factories import change, finding, team
from triage.domain import calendars, lifecycle
from triage.domain.access import Actor, of_machine
from triage.domain.audit import recording
from triage.domain.calendars import WEEK, Draft
from triage.domain.errors import Invalid, NotAllowed, Stale
from triage.domain.sla import clocks, explaining, notices, policies, reporting, simulating
from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft
from triage.domain.sla.policies import Plan
from triage.models import ClockEntry, Event, Finding, Role, SlaNotice, Status

PARIS = ZoneInfo("Europe/Paris")
ME = of_machine(0)
CONTRIBUTOR = Actor(name="user:7", door="page", roles=frozenset({Role.CONTRIBUTOR}))
TARGETS = (
    TargetDraft("18 business hours", severity=5, calendar="office"), TargetDraft("5 days", severity=4, calendar="office"),
)  # fmt: skip


def paris(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=PARIS)


MONDAY = paris(9, 7, 10)


@pytest.fixture
def office(db):
    draft = Draft("office", time_zone="Europe/Paris", hours={day: [("09:00", "18:00")] for day in WEEK[:5]})
    with recording(actor="os:0", at=MONDAY - timedelta(days=30), door="cli") as log:
        calendars.publish(draft, log=log, at=MONDAY - timedelta(days=30))
    policies.publish(PolicyDraft("default", "Default", TARGETS, 10), actor=ME, at=MONDAY - timedelta(days=30))


def begun(bucket: str, at: datetime = MONDAY, severity: int = 5, **columns) -> Finding:
    row = finding(bucket=bucket, at=at, severity=severity, due_at=None, **columns)
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([row.pk], at=at)
    row.refresh_from_db()
    return row


def told(row: Finding, clock: str = "remediate") -> list[tuple[int, datetime]]:
    return list(SlaNotice.objects.filter(finding=row, clock=clock).order_by("pk").values_list("percent", "at"))


def ledger(row: Finding) -> list[tuple]:
    return list(row.clock_entries.order_by("at", "pk").values_list("kind", "at", "due_before", "due_after"))


def every_hour(since: datetime, until: datetime) -> None:
    """What the worker does, over again: nothing happens twice."""
    while since <= until:
        notices.look(at=since)
        notices.look(at=since)
        since += timedelta(hours=1)


def test_warned_breached_escalated_once_each(office):
    row = begun("a")
    # 8 h on Monday, 9 on Tuesday, 1 on Wednesday.
    assert row.due_at == row.due_original == paris(9, 9, 10)

    every_hour(paris(9, 7, 10), paris(9, 12))

    # Half of 18 h is 9 h: Tuesday 10:00. 14.4 h: Tuesday 15:24, noticed at 16:00. 27 h: Thursday 10:00.
    assert told(row) == [(50, paris(9, 8, 10)), (80, paris(9, 8, 16)), (100, paris(9, 9, 10)), (150, paris(9, 10, 10))]
    kinds = Event.objects.filter(subject="finding", subject_id=row.pk, kind__in=["warned", "breached", "escalated"]).order_by(
        "seq"
    )
    assert [(event.kind, event.after["percent"], event.after["tell"]) for event in kinds] == [
        ("warned", 50, ["owner"]), ("warned", 80, ["owner"]), ("breached", 100, ["owner", "lead"]),
        ("escalated", 150, ["lead", "security"]),
    ]  # fmt: skip
    row.refresh_from_db()
    assert row.notice_at is None
    # A clock that was set back, and a worker that looks again: silence.
    change(row, notice_at=paris(9, 7, 10))
    every_hour(paris(9, 8), paris(9, 9))
    assert len(told(row)) == 4


def test_a_worker_that_slept_tells_the_highest_rung_alone(office):
    row = begun("a")
    notices.look(at=paris(9, 9, 12))
    assert told(row) == [(100, paris(9, 9, 12))]
    row.refresh_from_db()
    assert row.notice_at == paris(9, 10, 10)


def test_a_pause_takes_what_it_stood_and_no_more(office):
    row = begun("a")
    clocks.pause(finding=row.pk, until=paris(9, 14, 12), reason="the vendor answers", actor=ME, at=paris(9, 7, 16))
    row.refresh_from_db()
    assert (row.due_at, row.due_original, row.paused_at) == (None, paris(9, 9, 10), paris(9, 7, 16))
    every_hour(paris(9, 7, 16), paris(9, 11))
    assert told(row) == []

    clocks.resume(finding=row.pk, actor=ME, at=paris(9, 11, 17), reason="answered")

    row.refresh_from_db()
    # 6 h had passed; 12 are left: 1 on Friday, 9 on Monday, 2 on Tuesday.
    assert (row.due_at, row.due_original, row.paused_at) == (paris(9, 15, 11), paris(9, 9, 10), None)
    assert ledger(row) == [
        ("pause", paris(9, 7, 16), paris(9, 9, 10), None), ("resume", paris(9, 11, 17), None, None),
        ("recompute", paris(9, 11, 17), None, paris(9, 15, 11)),
    ]  # fmt: skip
    assert list(Event.objects.filter(subject="finding", subject_id=row.pk).order_by("seq").values_list("kind", flat=True)) == [
        "opened", "due", "acknowledged", "paused", "resumed", "due",
    ]  # fmt: skip


def test_a_pause_ends_by_itself_at_its_end(office):
    row = begun("a")
    clocks.pause(finding=row.pk, until=paris(9, 8, 12), reason="freeze", actor=ME, at=paris(9, 7, 16))
    notices.look(at=paris(9, 10, 9))  # the worker comes late; the pause ended on Tuesday at noon all the same
    row.refresh_from_db()
    # 6 h until the pause, 6 on Tuesday, 6 on Wednesday.
    assert (row.paused_at, row.due_at) == (None, paris(9, 9, 15))
    assert told(row) == [(100, paris(9, 10, 9))]


def test_pauses_are_capped_and_need_a_right_and_a_reason(office):
    row = begun("a", owner=team("web"))
    with pytest.raises(NotAllowed, match="allows 10 days"):
        clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=11), reason="long", actor=ME, at=MONDAY)
    with pytest.raises(NotAllowed):
        clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=1), reason="mine", actor=CONTRIBUTOR, at=MONDAY)
    with pytest.raises(Invalid, match="Say why"):
        clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=1), reason=" ", actor=ME, at=MONDAY)
    with pytest.raises(Invalid, match="over already"):
        clocks.pause(finding=row.pk, until=MONDAY, reason="x", actor=ME, at=MONDAY)
    with pytest.raises(Stale):
        clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=1), reason="x", actor=ME, at=MONDAY, version=0)
    assert not ClockEntry.objects.exists()
    clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=6), reason="x", actor=ME, at=MONDAY)
    with pytest.raises(Invalid, match="is already paused"):
        clocks.pause(finding=row.pk, until=MONDAY + timedelta(days=7), reason="x", actor=ME, at=MONDAY)
    clocks.resume(finding=row.pk, actor=ME, at=MONDAY + timedelta(days=6))
    later = MONDAY + timedelta(days=7)
    with pytest.raises(NotAllowed, match="6 are taken"):
        clocks.pause(finding=row.pk, until=later + timedelta(days=5), reason="more", actor=ME, at=later)
    with pytest.raises(Invalid, match="was not paused"):
        clocks.resume(finding=row.pk, actor=ME, at=MONDAY + timedelta(days=8))


def test_a_severity_that_rises_keeps_the_start_and_says_why(office):
    row = begun("a", severity=4)
    assert row.due_at == paris(9, 12, 23, 59, 59)  # five days after Monday the 7th, to its end
    with recording(actor="worker", at=paris(9, 8, 9), door="task", reason="the scanner changed the severity"):
        Finding.objects.filter(pk=row.pk).update(severity=5, changed_at=paris(9, 8, 9))
        clocks.recompute([row.pk], at=paris(9, 8, 9))
    row.refresh_from_db()
    assert (row.clock_from, row.due_at, row.due_original) == (MONDAY, paris(9, 9, 10), paris(9, 12, 23, 59, 59))
    entry = row.clock_entries.get()
    assert (entry.kind, entry.reason, entry.actor) == ("recompute", "the scanner changed the severity", "worker")


def test_a_regression_starts_a_new_clock_and_its_own_notices(office):
    row = begun("a")
    every_hour(paris(9, 7, 10), paris(9, 8, 12))
    with recording(actor="worker", at=paris(9, 8, 14), door="task"):
        lifecycle.settle([row.pk], at=paris(9, 8, 14), grade="proof")
    row.refresh_from_db()
    assert ledger(row) == [("stop", paris(9, 8, 14), paris(9, 9, 10), None)]
    assert row.notice_at is None
    with recording(actor="worker", at=paris(9, 21, 9), door="task"):
        lifecycle.reopen([row.pk], at=paris(9, 21, 9))
    row.refresh_from_db()
    assert (row.clock_from, row.due_at, row.due_original) == (paris(9, 21, 9), paris(9, 22, 18), paris(9, 22, 18))
    every_hour(paris(9, 21, 9), paris(9, 24))
    assert [percent for percent, _at in told(row)] == [50, 50, 80, 100, 150]


def test_a_policy_applies_to_new_clocks_or_to_those_that_run_as_chosen(office):
    old, late = begun("old"), begun("late", at=MONDAY - timedelta(days=10))
    stricter = PolicyDraft("default", "Default", (TargetDraft("4 hours", severity=5),), 10)

    effect = policies.preview(Plan([stricter]), actor=ME, at=paris(9, 7, 15))
    assert (effect.moved, effect.breached, effect.relieved) == (2, 1, 0)

    policies.publish(stricter, actor=ME, at=paris(9, 7, 15), applies=Applies.NEW)
    with recording(actor="worker", at=paris(9, 7, 15), door="task"):
        assert clocks.recompute([old.pk, late.pk], at=paris(9, 7, 15)) == 0
    new = begun("new", at=paris(9, 7, 16))
    assert new.due_at == paris(9, 7, 20)
    assert str(new.sla) == "Default v2"

    done = policies.publish(stricter, actor=ME, at=paris(9, 8, 9), applies=Applies.OPEN, reason="as announced")
    assert (done.effect.moved, done.effect.breached) == (2, 1)
    old.refresh_from_db()
    assert (old.due_at, old.due_original, str(old.sla)) == (paris(9, 7, 14), paris(9, 9, 10), "Default v3")
    assert old.clock_entries.get().reason == "policy Default v3"
    # A policy without targets asks nothing any more.
    policies.publish(PolicyDraft("default"), actor=ME, at=paris(9, 9, 9), applies=Applies.OPEN)
    old.refresh_from_db()
    assert (old.due_at, old.sla, old.due_original) == (None, None, paris(9, 9, 10))


def test_the_report_tells_what_was_kept_by_the_policy_of_the_time(office):
    kept, missed, open_, paused = begun("kept", owner=team("web")), begun("missed"), begun("open"), begun("paused")
    with recording(actor="worker", at=paris(9, 8), door="task"):
        lifecycle.settle([kept.pk], at=paris(9, 8), grade="proof")
    clocks.pause(finding=paused.pk, until=paris(9, 16), reason="freeze", actor=ME, at=paris(9, 9, 15))  # when it was late already
    with recording(actor="worker", at=paris(9, 30), door="task"):
        lifecycle.settle([missed.pk], at=paris(9, 30), grade="proof")
    policies.publish(
        PolicyDraft("default", "Default", (TargetDraft("900 days", calendar="office"),), 10),
        actor=ME,
        at=paris(10, 5),
        applies=Applies.OPEN,
    )

    found = reporting.attainment(since=paris(9, 1), until=paris(10, 1), actor=ME, at=paris(10, 20))
    assert [(row.team and row.team.slug, str(row.version), row.met, row.missed) for row in found.rows] == [
        (None, "Default v1", 0, 3), ("web", "Default v1", 1, 0),
    ]  # fmt: skip
    assert found.percent == 25.0
    late = reporting.breaches(since=paris(9, 1), until=paris(10, 1), actor=ME, at=paris(10, 20))
    assert [(breach.finding.pk, breach.due, breach.stopped, str(breach.version)) for breach in late] == [
        (missed.pk, paris(9, 9, 10), paris(9, 30), "Default v1"), (open_.pk, paris(9, 9, 10), None, "Default v1"),
        (paused.pk, paris(9, 9, 10), None, "Default v1"),
    ]  # fmt: skip
    assert reporting.attainment(since=paris(10, 1), until=paris(11, 1), actor=ME, at=paris(11, 1)).rows == []


def test_a_date_that_is_moved_into_the_past_is_missed_when_it_is_moved(office):
    row = begun("a")
    strict = PolicyDraft("default", "Default", (TargetDraft("1 hour"),), 10)
    policies.publish(strict, actor=ME, at=paris(9, 8, 9), applies=Applies.OPEN)
    assert reporting.attainment(since=paris(9, 7), until=paris(9, 8), actor=ME, at=paris(9, 9)).rows == []
    found = reporting.breaches(since=paris(9, 8), until=paris(9, 9), actor=ME, at=paris(9, 9))
    assert [(breach.finding.pk, breach.due, str(breach.version)) for breach in found] == [(row.pk, paris(9, 7, 11), "Default v2")]


def test_a_simulation_judges_the_own_history_and_leaves_no_trace(office):
    fast, slow, running = begun("fast"), begun("slow"), begun("running")
    for row, at in ((fast, paris(9, 7, 12)), (slow, paris(9, 8, 12))):
        with recording(actor="worker", at=at, door="task"):
            lifecycle.settle([row.pk], at=at, grade="proof")
    strict = Plan([PolicyDraft("default", "Default", (TargetDraft("3 hours"),), 10)])
    before = Event.objects.count()

    found = simulating.simulate(strict, actor=ME, at=paris(9, 8, 15))

    (tally,) = found.tallies.values()
    assert (tally.clocks, tally.met, tally.missed, tally.would_meet, tally.would_miss) == (3, 3, 0, 1, 2)
    assert {row.pk for row in found.worse} == {slow.pk, running.pk}
    assert (found.effect.moved, found.effect.breached) == (1, 1)
    assert Event.objects.count() == before
    assert policies.named("default").number == 1


def test_an_explanation_names_the_targets_that_fit_and_the_one_that_won(office):
    row = begun("a")
    policies.publish(
        PolicyDraft("pci", "PCI", (TargetDraft("900 hours", severity=5),), 10), actor=ME, at=paris(9, 1), applies=Applies.OPEN
    )
    notices.look(at=paris(9, 8, 10))
    story = explaining.explain(Finding.objects.select_related("asset", "check_ref").get(pk=row.pk), actor=ME, at=paris(9, 8, 12))
    clock = next(told for told in story.clocks if told.clock == "remediate")
    assert (clock.state, clock.due, clock.original) == ("running", paris(9, 9, 10), paris(9, 9, 10))
    assert [(str(c.target.version), c.due, c.won) for c in clock.candidates] == [
        ("Default v1", paris(9, 9, 10), True), ("PCI v1", MONDAY + timedelta(hours=900), False),
    ]  # fmt: skip
    assert [(step.percent, step.at, step.told) for step in clock.steps] == [
        (50, paris(9, 8, 10), paris(9, 8, 10)), (80, paris(9, 8, 15, 24), None), (100, paris(9, 9, 10), None),
        (150, paris(9, 10, 10), None),
    ]  # fmt: skip


def test_an_exposure_is_contained_acknowledged_and_verified_on_clocks_of_their_own(office):
    targets = (
        TargetDraft("8 hours", "acknowledge"), TargetDraft("24 hours", "contain", exposed=True), TargetDraft("72 hours", "verify"),
    )  # fmt: skip
    policies.publish(PolicyDraft("default", "Default", TARGETS + targets, 10), actor=ME, at=MONDAY - timedelta(days=1))
    row = finding(bucket="a", at=MONDAY, due_at=None)
    row.check_ref.exposes = True
    row.check_ref.save(update_fields=["exposes"])
    with recording(actor="worker", at=MONDAY, door="task"):
        clocks.restart([row.pk], at=MONDAY)
    row.refresh_from_db()
    assert (row.acknowledge_due, row.contain_due, row.verify_due) == (paris(9, 7, 18), paris(9, 8, 10), None)

    kept = clocks.contain(
        finding=row.pk, done="Blocked by policy", exploited="no", actor=ME, at=paris(9, 7, 12), when=paris(9, 7, 11)
    )
    row.refresh_from_db()
    assert (kept.at, row.contained_at, row.acknowledged_at) == (paris(9, 7, 11), paris(9, 7, 12), paris(9, 7, 12))
    event = Event.objects.get(subject="finding", subject_id=row.pk, kind="contained")
    assert event.reason == "Blocked by policy (exploited: no)"
    every_hour(paris(9, 7, 12), paris(9, 8, 12))
    assert told(row, "contain") == told(row, "acknowledge") == []

    lifecycle.move(finding=row.pk, to=Status.FIX_CLAIMED, actor=ME, at=paris(9, 8, 12))
    row.refresh_from_db()
    assert row.verify_due == paris(9, 11, 12)
    every_hour(paris(9, 8, 12), paris(9, 10))
    assert told(row, "verify") == [(50, paris(9, 10, 0))]
    with recording(actor="worker", at=paris(9, 10, 9), door="task"):
        lifecycle.refute([row.pk], at=paris(9, 10, 9))
    row.refresh_from_db()
    assert row.verify_due is None

    with pytest.raises(Invalid, match="is in the future"):
        clocks.contain(finding=row.pk, done="x", actor=ME, at=paris(9, 10), when=paris(9, 11))
    with pytest.raises(Invalid, match="no evidence"):
        clocks.contain(finding=row.pk, done="x", actor=ME, at=paris(9, 10), evidence=bytes(32))


def test_a_calendar_published_again_takes_its_policies_along(office):
    row = begun("a")
    closed = Draft(
        "office", time_zone="Europe/Paris", hours={day: [("09:00", "18:00")] for day in WEEK[:5]},
        closures=((paris(9, 8).date(), paris(9, 8).date(), "Séminaire"),),
    )  # fmt: skip
    with recording(actor="os:0", at=paris(9, 7, 12), door="cli") as log:
        version = calendars.publish(closed, log=log, at=paris(9, 7, 12))
        published = policies.follow(version, log=log, at=paris(9, 7, 12), applies=Applies.OPEN)
        assert policies.follow(version, log=log, at=paris(9, 7, 12), applies=Applies.OPEN) == []
    assert [str(done.version) for done in published] == ["Default v2"]
    row.refresh_from_db()
    assert row.due_at == paris(9, 10, 10)


def test_looking_takes_the_same_statements_whatever_their_number(office, django_assert_max_num_queries):
    for number in range(25):
        begun(f"b{number}")
    with django_assert_max_num_queries(24):
        assert notices.look(at=paris(9, 9, 12)) == 25
    assert SlaNotice.objects.count() == 25
