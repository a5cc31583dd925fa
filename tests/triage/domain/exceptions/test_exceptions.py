"""Exceptions: who may ask and decide, what they cover, and how they end."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.factories import change, finding, team
from tests.reports import imported, prowler
from tests.reports import row as report_row
from triage.domain import lifecycle, search
from triage.domain.access import Actor
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale
from triage.domain.exceptions import deciding, keeping, registering
from triage.domain.exceptions.requesting import About, preview, request
from triage.domain.sla import clocks, notices
from triage.models import ClockEntry, Event, ExceptionItem, Finding, RiskException, Role, SlaNotice, Status

AT = datetime(2026, 9, 7, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def actor(number: int, *roles: str, teams: frozenset[int] = frozenset(), name: str = "") -> Actor:
    return Actor(name=name or f"user:{number}", door="page", roles=frozenset(roles), teams=teams, user=number)


TRIAGER = actor(1, Role.TRIAGER)
APPROVER = actor(2, Role.APPROVER)
SENIOR = actor(3, Role.SENIOR_APPROVER)
VIEWER = actor(4, Role.VIEWER)
BOTH = actor(1, Role.TRIAGER, Role.SENIOR_APPROVER)


def begun(bucket: str = "a", *, at: datetime = AT, **columns) -> Finding:
    row = finding(bucket=bucket, at=at, due_at=None, **{"severity": 4, "scanner_severity": 4, **columns})
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([row.pk], at=at)
    row.refresh_from_db()
    return row


def asked(
    about: About, *, at: datetime = AT + DAY, kind: str = "accepted", days: float = 30, by: Actor = TRIAGER, **said
) -> RiskException:
    return request(kind=kind, about=about, reason="until the migration", until=at + timedelta(days=days), actor=by, at=at, **said)


def kinds(row: Finding) -> list[str]:
    return list(Event.objects.filter(subject="finding", subject_id=row.pk).order_by("seq").values_list("kind", flat=True))


@pytest.mark.django_db
def test_an_approved_exception_stops_the_clock_and_its_end_gives_it_back():
    row = begun()
    assert row.due_at == AT + 7 * DAY
    wanted = asked(About(finding=row.pk))
    row.refresh_from_db()
    assert row.status == Status.OPEN

    deciding.approve(exception=wanted.pk, actor=APPROVER, at=AT + 2 * DAY, reason="agreed")

    row.refresh_from_db()
    assert (row.status, row.is_open, row.due_at, row.paused_at) == ("accepted", False, None, AT + 2 * DAY)
    notices.look(at=AT + 20 * DAY)
    assert not SlaNotice.objects.exists()

    keeping.look(at=AT + 31 * DAY - timedelta(seconds=1))
    row.refresh_from_db()
    assert row.status == "accepted"
    keeping.look(at=AT + 31 * DAY)

    row.refresh_from_db()
    wanted.refresh_from_db()
    assert (wanted.state, wanted.ended_by) == ("expired", "worker")
    # Two of seven days had passed; five are left. The clock is the one that began on the first day.
    assert (row.status, row.clock_from, row.due_at, row.due_original) == ("open", AT, AT + 36 * DAY, AT + 7 * DAY)
    assert kinds(row) == ["opened", "due", "acknowledged", "exception asked", "status", "paused", "status", "resumed", "due"]
    told = list(Event.objects.filter(subject="exception", subject_id=wanted.pk).order_by("pk").values_list("kind", "actor"))
    assert told == [
        ("requested", "user:1"), ("approved", "user:2"), ("ends soon", "worker"), ("expired", "worker"),
    ]  # fmt: skip
    assert (
        Event.objects.filter(subject="finding", subject_id=row.pk, after__status="accepted").get().reason
        == f"{wanted}: until the migration"
    )


@pytest.mark.django_db
def test_who_asked_never_decides_and_rank_goes_by_severity():
    high, critical = begun("high"), begun("critical", severity=5)
    wanted = asked(About(finding=high.pk), by=BOTH)
    for same in (BOTH, actor(1, Role.ADMINISTRATOR, name="token:9")):
        with pytest.raises(NotAllowed, match="requested it yourself"):
            deciding.approve(exception=wanted.pk, actor=same, at=AT + DAY)
        with pytest.raises(NotAllowed):
            deciding.refuse(exception=wanted.pk, actor=same, at=AT + DAY, reason="no")
    for powerless in (VIEWER, actor(5, Role.TRIAGER)):
        with pytest.raises(NotAllowed):
            deciding.approve(exception=wanted.pk, actor=powerless, at=AT + DAY)
    worse = asked(About(finding=critical.pk))
    with pytest.raises(NotAllowed, match="your role may not decide"):
        deciding.approve(exception=worse.pk, actor=APPROVER, at=AT + DAY)
    deciding.approve(exception=worse.pk, actor=SENIOR, at=AT + DAY)
    with pytest.raises(Invalid, match="decided already"):
        deciding.approve(exception=worse.pk, actor=SENIOR, at=AT + DAY)
    high.refresh_from_db()
    assert high.status == "open"
    with pytest.raises(NotFound):
        deciding.approve(exception=999_999, actor=SENIOR, at=AT)


@pytest.mark.django_db
def test_asking_needs_a_reason_an_end_and_a_right():
    web = team("web")
    row = begun(owner=web)
    about = About(finding=row.pk)
    with pytest.raises(Invalid, match="Say why"):
        request(kind="accepted", about=about, reason=" ", until=AT + 2 * DAY, actor=TRIAGER, at=AT)
    with pytest.raises(Invalid, match="over already"):
        asked(about, days=0)
    with pytest.raises(Invalid, match="180 days at most"):
        asked(about, days=181)
    with pytest.raises(Invalid, match="compensates"):
        asked(about, kind="compensated")
    with pytest.raises(Invalid, match="no exception “forever”"):
        asked(about, kind="forever")
    with pytest.raises(Invalid, match="no evidence"):
        asked(about, evidence=bytes(32))
    with pytest.raises(NotAllowed):
        asked(about, by=VIEWER)
    own, other = actor(6, Role.CONTRIBUTOR, teams=frozenset({web.pk})), actor(7, Role.CONTRIBUTOR, teams=frozenset({web.pk + 1}))
    with pytest.raises(NotAllowed):
        asked(about, by=other)
    with pytest.raises(NotAllowed):
        asked(About(check=row.check_ref_id), by=own)
    assert not RiskException.objects.exists()
    wanted = asked(about, by=own)
    with pytest.raises(Invalid, match=r"exception for F-\d+ is already requested"):
        asked(about)
    deciding.revoke(exception=wanted.pk, actor=own, at=AT + DAY, reason="never mind")
    wanted.refresh_from_db()
    assert wanted.state == "withdrawn"
    with pytest.raises(Invalid, match="nothing to except"):
        asked(About(asset=row.asset_id + 1))


@pytest.mark.django_db
def test_an_approval_after_a_material_change_is_refused_and_the_request_is_void():
    row = begun()
    wanted = asked(About(finding=row.pk))
    change(row, AT + DAY, severity=5)
    with pytest.raises(Stale, match="severity 4 → 5"):
        deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    wanted.refresh_from_db()
    row.refresh_from_db()
    assert (wanted.state, row.status) == ("voided", "open")


@pytest.mark.parametrize("what", ["severity", "environment", "exposure", "check"])
@pytest.mark.django_db
def test_what_becomes_worse_after_the_approval_voids_it(what):
    row = begun()
    wanted = asked(About(finding=row.pk))
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    later = AT + 4 * DAY
    if what == "severity":
        change(row, later, severity=5)
    elif what == "environment":
        change(row, later, environment="prod")
    elif what == "exposure":
        row.asset.exposure = 1
        row.asset.save(update_fields=["exposure"])
    else:
        row.check_ref.title = "Something else is tested"
        row.check_ref.save(update_fields=["title"])

    assert keeping.look(at=later) == 1

    row.refresh_from_db()
    wanted.refresh_from_db()
    assert (wanted.state, row.status, row.paused_at, row.clock_from) == ("voided", "open", None, AT)
    # Five of seven days are left; of three when it is critical now, one.
    assert row.due_at == later + (1 if what == "severity" else 5) * DAY
    assert "the risk changed: " in wanted.end_reason
    assert keeping.look(at=later) == 0


@pytest.mark.django_db
def test_what_lowers_the_risk_voids_nothing():
    row = begun()
    wanted = asked(About(finding=row.pk))
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    change(row, AT + 3 * DAY, severity=2)
    assert keeping.look(at=AT + 4 * DAY) == 0
    row.refresh_from_db()
    assert row.status == "accepted"


@pytest.mark.django_db
def test_a_report_that_raises_the_severity_voids_with_the_next_look():
    assert imported(prowler([report_row("b1", "FAIL", severity="high")], AT)).state == "done"
    row = Finding.objects.get()
    wanted = asked(About(finding=row.pk))
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + DAY)
    assert imported(prowler([report_row("b1", "FAIL", severity="critical")], AT + 2 * DAY)).state == "done"
    keeping.look(at=AT + 2 * DAY)
    row.refresh_from_db()
    wanted.refresh_from_db()
    assert (row.status, wanted.state) == ("open", "voided")


@pytest.mark.django_db
def test_a_check_wide_exception_covers_later_matches_up_to_what_was_approved():
    first = begun("first", severity=3)
    wanted = asked(About(check=first.check_ref_id))
    deciding.approve(exception=wanted.pk, actor=APPROVER, at=AT + DAY)
    later, worse = begun("later", at=AT + 3 * DAY, severity=3), begun("worse", at=AT + 3 * DAY, severity=4)

    assert keeping.look(at=AT + 3 * DAY) == 1

    later.refresh_from_db()
    worse.refresh_from_db()
    assert (later.status, worse.status) == ("accepted", "open")
    assert set(ExceptionItem.objects.filter(exception=wanted, ended_at=None).values_list("finding", flat=True)) == {
        first.pk,
        later.pk,
    }
    # One of them becomes more severe: it alone is let go of, and not taken back.
    change(later, AT + 4 * DAY, severity=4)
    assert keeping.look(at=AT + 4 * DAY) == 1
    change(later, AT + 5 * DAY, severity=3)
    assert keeping.look(at=AT + 5 * DAY) == 0
    later.refresh_from_db()
    first.refresh_from_db()
    wanted.refresh_from_db()
    assert (later.status, first.status, wanted.state) == ("open", "accepted", "approved")

    deciding.revoke(exception=wanted.pk, actor=APPROVER, at=AT + 6 * DAY, reason="a leak elsewhere")
    first.refresh_from_db()
    assert (first.status, first.clock_from) == ("open", AT)
    with pytest.raises(Invalid, match="over already"):
        deciding.revoke(exception=wanted.pk, actor=APPROVER, at=AT + 6 * DAY, reason="again")


@pytest.mark.django_db
def test_a_query_says_what_it_would_hide_and_must_mean_the_same_tomorrow():
    one, other = begun("one", owner=team("web"), severity=4), begun("other", owner=team("payments"), severity=3)
    done = begun("done", owner=team("web"), severity=3)
    with recording(actor="worker", at=AT + DAY, door="task"):
        lifecycle.settle([done.pk], at=AT + DAY, grade="proof")
    seen = preview(about=About(query="team:web"), actor=VIEWER, at=AT + 2 * DAY)
    assert (seen.now, seen.lately, [(level.value, n) for level, n in seen.by_severity]) == (1, 2, [(4, 1)])
    assert [row.pk for row in seen.samples] == [one.pk]
    for moving in ("age>30d", "sla:overdue", "is:mine", "due<3d"):
        with pytest.raises(Invalid, match="something else tomorrow"):
            preview(about=About(query=moving), actor=VIEWER, at=AT)
    with pytest.raises(search.QueryError):
        preview(about=About(query="colour:red"), actor=VIEWER, at=AT)
    wanted = asked(About(query="team:web severity>=medium"), kind="false_positive")
    deciding.approve(exception=wanted.pk, actor=APPROVER, at=AT + 2 * DAY)
    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.status, other.status) == ("false_positive", "open")


@pytest.mark.django_db
def test_what_is_fixed_meanwhile_ends_its_exception_and_a_regression_begins_anew():
    row = begun()
    wanted = asked(About(finding=row.pk))
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    with recording(actor="worker", at=AT + 3 * DAY, door="task"):
        lifecycle.settle([row.pk], at=AT + 3 * DAY, grade="proof")
    assert keeping.look(at=AT + 3 * DAY) == 1
    wanted.refresh_from_db()
    assert wanted.state == "fixed"
    stop = ClockEntry.objects.get(finding=row, kind="stop")
    assert stop.due_before == stop.at  # it stood when it was not late: in time
    with recording(actor="worker", at=AT + 9 * DAY, door="task"):
        lifecycle.reopen([row.pk], at=AT + 9 * DAY)
    row.refresh_from_db()
    assert (row.status, row.due_at, row.paused_at) == ("open", AT + 16 * DAY, None)


@pytest.mark.django_db
def test_a_hand_and_an_exception_may_hold_the_same_clock():
    row = begun()
    clocks.pause(finding=row.pk, until=AT + 10 * DAY, reason="vendor", actor=TRIAGER, at=AT + DAY)
    wanted = asked(About(finding=row.pk), days=4)
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    keeping.look(at=AT + 5 * DAY)
    row.refresh_from_db()
    assert (row.status, row.due_at, row.paused_at) == ("open", None, AT + DAY)
    notices.look(at=AT + 11 * DAY)
    row.refresh_from_db()
    assert (row.paused_at, row.due_at) == (None, AT + 16 * DAY)  # nine days stood, counted once


@pytest.mark.django_db
def test_an_end_in_the_night_of_the_clock_change_is_an_instant():
    paris = ZoneInfo("Europe/Paris")
    at = datetime(2026, 10, 20, 8, tzinfo=UTC)
    row = begun(at=at)
    until = datetime(2026, 10, 25, 2, 30, tzinfo=paris, fold=1)  # the second half past two
    wanted = request(kind="accepted", about=About(finding=row.pk), reason="x", until=until, actor=TRIAGER, at=at)
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=at)
    keeping.look(at=datetime(2026, 10, 25, 0, 45, tzinfo=UTC))  # after the first
    row.refresh_from_db()
    assert row.status == "accepted"
    keeping.look(at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    row.refresh_from_db()
    assert (row.status, row.due_at) == ("open", datetime(2026, 11, 1, 1, 30, tzinfo=UTC))


@pytest.mark.django_db
def test_notices_come_once_before_the_end():
    row = begun()
    wanted = asked(About(finding=row.pk), days=30)
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + DAY)
    told = []
    for day in range(1, 31):
        for _twice in range(2):
            keeping.look(at=AT + day * DAY)
        told.append(Event.objects.filter(subject="exception", kind="ends soon").count())
    assert [day for day, (before, now) in enumerate(zip([0, *told], told, strict=False), 1) if now > before] == [17, 28]


@pytest.mark.parametrize("passed", [True, False])
@pytest.mark.django_db
def test_a_manual_finding_is_attested_by_two_and_for_ninety_days(passed):
    row = finding(status="manual", due_at=None, clock_from=None, at=AT)
    with pytest.raises(Invalid, match="90 days at most"):
        asked(About(finding=row.pk), kind="attested", days=91, passed=passed)
    wanted = asked(About(finding=row.pk), kind="attested", days=90, passed=passed)
    deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    row.refresh_from_db()
    assert row.status == ("attested" if passed else "open")
    if passed:
        keeping.look(at=AT + 92 * DAY)
        row.refresh_from_db()
        assert row.status == "manual"
    else:
        assert row.due_at == AT + 2 * DAY + timedelta(hours=72)


@pytest.mark.django_db
def test_the_register_answers_what_was_in_force_on_a_day():
    one, two = begun("one"), begun("two")
    first, second = asked(About(finding=one.pk)), asked(About(finding=two.pk))
    deciding.approve(exception=first.pk, actor=SENIOR, at=AT + 2 * DAY)
    deciding.refuse(exception=second.pk, actor=SENIOR, at=AT + 2 * DAY, reason="fix it")
    deciding.revoke(exception=first.pk, actor=SENIOR, at=AT + 9 * DAY, reason="changed my mind")

    def on(days: int) -> list[int]:
        return [entry.exception.pk for entry in registering.register(actor=VIEWER, on=AT + days * DAY)]

    assert (on(1), on(5), on(10)) == ([], [first.pk], [])
    assert [entry.exception.pk for entry in registering.register(actor=VIEWER)] == [second.pk, first.pk]
    story = registering.story(first.pk, actor=VIEWER)
    assert [event.kind for event, _who in story.events] == ["requested", "approved", "revoked"]
    assert [found.finding_id for found in story.items] == [one.pk]
    with pytest.raises(NotFound):
        registering.story(999_999, actor=VIEWER)


@pytest.mark.django_db
def test_statements_do_not_grow_with_what_is_covered(django_assert_max_num_queries):
    for number in range(30):
        begun(f"b{number}")
    check = Finding.objects.first().check_ref_id
    wanted = asked(About(check=check))
    with django_assert_max_num_queries(32):
        deciding.approve(exception=wanted.pk, actor=SENIOR, at=AT + 2 * DAY)
    assert Finding.objects.filter(status="accepted").count() == 30
    with django_assert_max_num_queries(34):
        keeping.look(at=AT + 60 * DAY)
    assert Finding.objects.filter(status="open").count() == 30
