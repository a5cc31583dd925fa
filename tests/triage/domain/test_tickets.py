from datetime import timedelta

import pytest

from tests.factories import AT, TRIAGER, VIEWER, Clock, change, finding, team
from tests.plugins.tickets import faulty
from triage import plugins
from triage.domain import connections, outbox, tickets
from triage.domain.errors import NotAllowed, NotFound
from triage.models import Alarm, Connection, Event, Finding, OutboxMessage, RiskException, Ticket, Verification

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.TICKETS_DIR = tmp_path / "tickets"
    settings.PLUGIN_PACKAGES = settings.PLUGIN_PACKAGES | {"tickets": ["integrations.tickets", "tests.plugins.tickets"]}
    plugins._modules.cache_clear()
    faulty.FAULTS.clear()
    yield tmp_path / "tickets"
    plugins._modules.cache_clear()


@pytest.fixture
def clock():
    return Clock()


def open_(*findings, actor=TRIAGER, at=AT, **more):
    return tickets.open_tickets(findings=[row.pk for row in findings], actor=actor, at=at, **more)


def work(clock, **later):
    """What the worker does when it is nudged: deliver, read, follow, deliver."""
    clock.pass_(**later)
    outbox.drain(at=clock.at, clock=clock)
    tickets.reconcile(at=clock.at, clock=clock)
    outbox.drain(at=clock.at + timedelta(seconds=30), clock=clock)


def write(folder, before, after):
    """A person edits the only ticket."""
    (path,) = folder.glob("*.md")
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def only(folder):
    (path,) = folder.glob("*.md")
    return path.read_text()


def verified(row, at):
    return change(row, at=at, status="verified", grade="proof", settled_at=at, claimed_at=None)


def reopened(row, at):
    return change(row, at=at, status="open", grade="", settled_at=None, regressions=1)


# --- opening ------------------------------------------------------------------------------------------------------------------


def test_findings_of_one_owner_check_and_account_share_a_ticket(folder, clock):
    web, data = team("web"), team("data")
    rows = [
        finding(bucket="b-1", owner=web),
        finding(bucket="b-2", owner=web),
        finding(bucket="b-3", owner=data),
        finding(bucket="b-1", owner=web, check="s3_bucket_object_versioning"),
    ]

    opened = open_(*rows)
    work(clock)

    assert [(ticket.team, ticket.items.count()) for ticket in opened] == [(web, 2), (data, 1), (web, 1)]
    assert len(list(folder.glob("*.md"))) == 3
    assert set(Ticket.objects.values_list("state", flat=True)) == {"live"}


def test_opening_twice_is_one_ticket_and_a_new_finding_joins_it(folder, clock):
    first = finding(bucket="b-1")
    (ticket,) = open_(first)
    work(clock)

    (again,) = open_(first)
    (joined,) = open_(first, finding(bucket="b-2"))
    work(clock)

    assert ticket == again == joined
    assert list(OutboxMessage.objects.order_by("id").values_list("verb", flat=True)) == ["create", "comment"]
    assert "The same check fails on more assets" in only(folder)
    assert "arn:aws:s3:::b-2" in only(folder)


@pytest.mark.parametrize("count", [1, 30])
def test_opening_takes_as_many_statements_for_many_as_for_one(count, django_assert_num_queries):
    connections.default_tickets(AT)
    rows = [finding(bucket=f"b-{number}", owner=team(f"team-{number % 7}")) for number in range(count)]

    with django_assert_num_queries(15):
        opened = open_(*rows)

    assert len(opened) == min(count, 7)


def test_opening_needs_the_right_and_something_to_fix():
    row = finding()

    with pytest.raises(NotAllowed, match="no right"):
        open_(row, actor=VIEWER)
    with pytest.raises(NotFound):
        tickets.open_tickets(findings=[row.pk, 999_999], actor=TRIAGER, at=AT)
    with pytest.raises(NotAllowed, match="is not open"):
        open_(verified(row, AT))

    assert not Ticket.objects.exists()
    assert not OutboxMessage.objects.exists()


# --- done over there ----------------------------------------------------------------------------------------------------------


def test_done_means_claimed_and_asks_for_proof(folder, clock):
    row = finding()
    (ticket,) = open_(row)
    work(clock)

    write(folder, "status: open", "status: done")
    work(clock)

    row.refresh_from_db()
    ticket.refresh_from_db()
    assert (row.status, ticket.state, ticket.category) == ("fix_claimed", "live", "done")
    asked = Verification.objects.get()
    assert (asked.finding_id, asked.trigger, asked.actor, asked.state) == (row.pk, "ticket", "worker", "queued")
    event = Event.objects.filter(subject_id=row.pk, kind="status").latest("seq")
    assert (event.actor, event.reason) == ("worker", f"ticket {ticket.key}: done")


def test_the_same_state_is_taken_in_once(folder, clock):
    row = finding()
    open_(row)
    work(clock)
    write(folder, "status: open", "status: done")
    work(clock)
    events = Event.objects.count()

    work(clock)
    work(clock, hours=1)

    assert Event.objects.count() == events
    assert Verification.objects.count() == 1


def test_work_that_began_over_there_began_here(folder, clock):
    row = finding()
    open_(row)
    work(clock)

    write(folder, "status: open", "status: in progress")
    work(clock)

    row.refresh_from_db()
    assert row.status == "in_progress"


def test_a_deleted_ticket_is_said_and_never_made_again_by_itself(folder, clock):
    row = finding()
    (ticket,) = open_(row)
    work(clock)

    next(folder.glob("*.md")).unlink()
    for _look in range(2):
        work(clock)
        ticket.refresh_from_db()
        assert ticket.state == "live"  # a 404 may mean: not for you, now
    work(clock)
    work(clock, days=1)

    ticket.refresh_from_db()
    row.refresh_from_db()
    assert (ticket.state, row.status) == ("deleted", "open")
    assert Event.objects.filter(kind="ticket deleted", subject_id=row.pk).count() == 1
    assert list(folder.glob("*.md")) == []
    (new,) = open_(row)
    assert new != ticket


def test_a_declined_ticket_is_no_acceptance(folder, clock):
    row = finding()
    open_(row)
    work(clock)

    write(folder, "status: open", "status: won't do")
    work(clock)

    row.refresh_from_db()
    assert row.status == "open"
    assert Event.objects.filter(kind="ticket declined", subject_id=row.pk).count() == 1
    asked = RiskException.objects.get()
    assert (asked.state, asked.finding_id, asked.kind) == ("requested", row.pk, "accepted")
    assert asked.reason.endswith("won't do")
    work(clock)
    assert RiskException.objects.count() == 1


def test_a_system_that_does_not_answer_stops_nobody_else(folder, clock):
    files = connections.default_tickets(AT)
    broken = Connection.objects.create(
        kind="tickets", plugin="faulty", name="faulty", options={"folder": str(folder) + "-faulty"}, created_at=AT
    )
    open_(finding(bucket="b-1"), connection=broken)
    open_(finding(bucket="b-2"), connection=files)
    work(clock)
    write(folder, "status: open", "status: done")

    faulty.FAULTS.append("unreadable")
    work(clock)

    assert sorted(Finding.objects.values_list("status", flat=True)) == ["fix_claimed", "open"]


# --- what the findings say ----------------------------------------------------------------------------------------------------


def test_a_ticket_is_closed_when_all_its_findings_are_settled(folder, clock):
    rows = [finding(bucket="b-1"), finding(bucket="b-2")]
    (ticket,) = open_(*rows)
    work(clock)

    verified(rows[0], clock())
    work(clock)
    assert "status: open" in only(folder)
    change(rows[1], at=clock(), presence="gone")
    work(clock)

    ticket.refresh_from_db()
    assert (ticket.state, ticket.category) == ("closed", "done")
    assert "status: done" in only(folder)
    assert "Nothing is left to fix here, so this ticket is closed." in only(folder)
    assert f"- {rows[0]}: Verified" in only(folder)
    assert f"- {rows[1]}: the asset is gone" in only(folder)
    assert Event.objects.filter(kind="ticket closed").count() == 2


def test_a_fix_that_did_not_work_opens_the_ticket_again_and_says_why(folder, clock):
    row = finding()
    (ticket,) = open_(row)
    work(clock)
    write(folder, "status: open", "status: done")
    work(clock)
    said = {"message": "The bucket's ACL gives %(grants)s.", "params": {"grants": "READ to AllUsers"}}
    Verification.objects.update(state="done", outcome="failing", summary=said, finished_at=clock())
    change(row, at=clock(), status="open", claimed_at=None)

    work(clock)

    ticket.refresh_from_db()
    assert (ticket.state, ticket.category) == ("live", "new")
    assert "status: open" in only(folder)
    assert f"- {row}: The bucket's ACL gives READ to AllUsers." in only(folder)


def test_a_ticket_waits_as_long_as_proof_is_on_its_way(folder, clock):
    rows = [finding(bucket="b-1"), finding(bucket="b-2")]
    open_(*rows)
    work(clock)
    write(folder, "status: open", "status: done")
    work(clock)
    change(rows[0], at=clock(), status="open", claimed_at=None)

    work(clock)

    assert "status: done" in only(folder)


def test_people_who_insist_are_left_alone_after_a_while(folder, clock):
    row = finding()
    open_(row)
    work(clock)

    for _claim in range(5):
        write(folder, "status: open", "status: done") if "status: open" in only(folder) else None
        work(clock)
        Verification.objects.update(state="done", outcome="failing", finished_at=clock())
        change(row, at=clock(), status="open", claimed_at=None)
        work(clock)

    assert OutboxMessage.objects.filter(verb="reopen").count() == 1
    assert "status: done" in only(folder)
    assert only(folder).count("The ticket stays unchanged; its deadline keeps running.") == 1
    assert Alarm.objects.get().kind == "contested"


def test_a_regression_opens_the_same_ticket_again(folder, clock):
    row = finding()
    (ticket,) = open_(row)
    work(clock)
    verified(row, clock())
    work(clock)

    reopened(row, clock.pass_(days=29))
    work(clock)

    ticket.refresh_from_db()
    assert (ticket.state, ticket.closed_at, ticket.category) == ("live", None, "new")
    assert "What was fixed here is back" in only(folder)
    assert Event.objects.filter(kind="ticket reopened", subject_id=row.pk).count() == 1


def test_a_regression_after_a_month_gets_a_new_ticket(folder, clock):
    row = finding()
    (ticket,) = open_(row)
    work(clock)
    verified(row, clock())
    work(clock)

    reopened(row, clock.pass_(days=31))
    work(clock)
    work(clock)

    ticket.refresh_from_db()
    assert ticket.state == "closed"
    assert len(list(folder.glob("*.md"))) == 2
    assert sorted(Ticket.objects.values_list("state", flat=True)) == ["closed", "live"]


def test_a_regression_under_another_owner_goes_to_that_owner(folder, clock):
    row = finding(owner=team("web"))
    open_(row)
    work(clock)
    verified(row, clock())
    work(clock)

    reopened(change(row, team=team("data")), clock())
    work(clock)
    work(clock)

    assert [(ticket.team.slug, ticket.state) for ticket in Ticket.objects.order_by("pk")] == [("web", "closed"), ("data", "live")]


def test_an_accepted_risk_closes_the_ticket_and_its_end_opens_it(folder, clock):
    row = finding()
    open_(row)
    work(clock)

    change(row, at=clock(), status="accepted")
    work(clock)
    assert "status: done" in only(folder)
    change(row, at=clock(), status="open")
    work(clock)

    assert "status: open" in only(folder)


def test_nothing_is_written_while_something_is_on_its_way(folder, clock):
    row = finding()
    open_(row)
    verified(row, clock())

    assert tickets.follow(at=clock.at) == 0
    work(clock)

    assert list(OutboxMessage.objects.order_by("id").values_list("verb", flat=True)) == ["create", "comment", "close"]
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {"sent"}
