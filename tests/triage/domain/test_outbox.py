from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction

from tests.factories import AT, Clock, finding
from tests.plugins.tickets import faulty
from tests.processes import ended, in_child
from triage import plugins
from triage.domain import outbox
from triage.models import Connection, Event, OutboxMessage, Ticket, TicketItem

State = OutboxMessage.State


@pytest.fixture
def folder(tmp_path, settings):
    settings.PLUGIN_PACKAGES = settings.PLUGIN_PACKAGES | {"tickets": ["integrations.tickets", "tests.plugins.tickets"]}
    plugins._modules.cache_clear()
    faulty.FAULTS.clear()
    faulty.LAG.clear()
    yield tmp_path / "tickets"
    plugins._modules.cache_clear()


@pytest.fixture
def connection(folder):
    return Connection.objects.create(
        kind="tickets", plugin="faulty", name="faulty", options={"folder": str(folder)}, created_at=AT
    )


def wanted(connection, number=1):
    """A ticket with its first message, as `tickets.open_tickets` writes them."""
    with transaction.atomic():
        ticket = Ticket.objects.create(connection=connection, group_key=f"g{number}", mark=f"cspm-mark-{number}", created_at=AT)
        TicketItem.objects.create(ticket=ticket, finding=finding(bucket=f"bucket-{number}"), added_at=AT)
        draft = {"title": f"Bucket {number}", "body": "Close it.", "severity": 5, "due_at": None, "labels": [], "fields": {}}
        enqueue(ticket, "create", 1, **draft)
    return ticket


def enqueue(ticket, verb, number, **payload):
    lane = f"ticket:{ticket.mark}"
    with transaction.atomic():
        outbox.enqueue(
            [outbox.Letter(ticket.connection_id, verb, f"{lane}:{number}:{verb}", lane, {"ticket": ticket.pk, **payload})],
            actor="user:1",
            at=AT,
        )


def calls(folder):
    log = Path(f"{folder}.log")
    return log.read_text().splitlines() if log.exists() else []


def drain(clock, **later):
    clock.pass_(**later)
    return outbox.drain(at=clock.at, clock=clock)


def message():
    return OutboxMessage.objects.exclude(verb="twins").get()


# --- the ordinary way ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_message_is_sent_once_and_told_in_the_finding(connection, folder):
    ticket = wanted(connection)
    clock = Clock()

    assert drain(clock) == 1
    assert drain(clock, days=1) == 0

    ticket.refresh_from_db()
    assert (message().state, ticket.state, ticket.remote_id, ticket.category) == (State.SENT, "live", ticket.mark, "new")
    assert len(list(folder.glob("*.md"))) == 1
    told = Event.objects.get(kind="ticketed")
    assert (told.subject_id, told.actor, told.door, told.after["ticket"]) == (
        ticket.items.get().finding_id,
        "user:1",
        "task",
        ticket.key,
    )


@pytest.mark.django_db
def test_the_same_key_is_the_same_message(connection):
    ticket = wanted(connection)

    enqueue(ticket, "create", 1)

    assert OutboxMessage.objects.count() == 1


@pytest.mark.django_db
def test_a_rolled_back_change_leaves_no_message(connection):
    ticket = wanted(connection)
    with transaction.atomic():
        enqueue(ticket, "comment", 2, body="Verified.")
        transaction.set_rollback(True)

    assert OutboxMessage.objects.count() == 1


@pytest.mark.django_db
def test_a_lane_keeps_its_order_and_lanes_do_not_wait_for_each_other(connection, folder):
    first, second = wanted(connection, 1), wanted(connection, 2)
    enqueue(first, "comment", 2, body="Fixed.")
    enqueue(first, "close", 3)
    faulty.FAULTS.append("down")
    clock = Clock()

    drain(clock)
    assert calls(folder) == [f"create {first.mark}", f"create {second.mark}"]
    drain(clock, minutes=1)

    assert calls(folder)[2:] == [f"create {first.mark}", f"comment ticket:{first.mark}:2:comment", f"close {first.mark}"]


# --- failures of which the outcome is known -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_was_surely_not_taken_is_tried_again_later_and_later(connection, folder):
    wanted(connection)
    faulty.FAULTS += ["down"] * 4
    clock = Clock()

    for longest in (30, 60, 120, 240):
        clock.pass_(minutes=15)
        before = clock.at  # it goes on while the outside is asked
        drain(clock)
        assert before + timedelta(seconds=longest / 2) <= message().due_at <= clock.at + timedelta(seconds=longest)
    drain(clock, minutes=15)
    assert (message().state, message().attempts) == (State.SENT, 5)


@pytest.mark.django_db
def test_the_outsides_own_wait_is_obeyed_by_all_that_goes_there(connection, folder):
    wanted(connection, 1)
    wanted(connection, 2)
    faulty.FAULTS.append("busy")
    clock = Clock()

    assert drain(clock) == 1
    assert drain(clock, minutes=29) == 0
    assert drain(clock, minutes=2) == 2


@pytest.mark.django_db
def test_a_permanent_refusal_is_given_up_and_said(connection, folder):
    ticket = wanted(connection)
    enqueue(ticket, "comment", 2, body="More.")
    faulty.FAULTS.append("refused")
    clock = Clock()

    drain(clock)
    drain(clock, days=1)

    ticket.refresh_from_db()
    assert ticket.state == "failed"
    assert [(row.state, row.last_answer) for row in OutboxMessage.objects.order_by("id")] == [
        (State.DEAD, "project does not exist"), (State.DEAD, "the ticket was never opened"),
    ]  # fmt: skip
    assert Event.objects.filter(kind="ticket failed").count() == 2


@pytest.mark.django_db
def test_an_outside_that_never_answers_is_given_up_after_a_day(connection, folder):
    wanted(connection)
    faulty.FAULTS += ["down"] * 200
    clock = Clock()

    while message().state == State.PENDING:
        drain(clock, minutes=15)

    assert message().state == State.DEAD
    assert clock.at - AT > timedelta(days=1)


@pytest.mark.django_db
def test_a_connection_that_is_switched_off_keeps_its_messages(connection, folder):
    wanted(connection)
    Connection.objects.update(state=Connection.State.OFF)

    assert not outbox.due(AT + timedelta(days=1))
    assert drain(Clock(), days=1) == 0


# --- lost answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["dropped", "bug"])
@pytest.mark.django_db
def test_a_lost_answer_is_looked_up_and_nothing_is_sent_twice(connection, folder, fault):
    ticket = wanted(connection)
    faulty.FAULTS.append(fault)
    clock = Clock()

    drain(clock)
    assert message().state == State.UNKNOWN
    assert drain(clock, seconds=5) == 0
    drain(clock, seconds=15)

    ticket.refresh_from_db()
    assert (message().state, ticket.state, ticket.remote_id) == (State.SENT, "live", ticket.mark)
    assert calls(folder) == [f"create {ticket.mark}", f"find {ticket.mark}"]
    assert len(list(folder.glob("*.md"))) == 1


@pytest.mark.django_db
def test_an_index_that_lags_does_not_make_a_second_ticket(connection, folder):
    ticket = wanted(connection)
    faulty.FAULTS.append("dropped")
    faulty.LAG += [True, True]
    clock = Clock()

    for seconds in (0, 20, 60, 180):
        drain(clock, seconds=seconds)

    assert calls(folder) == [f"create {ticket.mark}"] + [f"find {ticket.mark}"] * 3
    assert message().state == State.SENT
    assert len(list(folder.glob("*.md"))) == 1


@pytest.mark.django_db
def test_what_is_not_found_after_the_last_look_is_sent_again_with_the_same_mark(connection, folder):
    ticket = wanted(connection)
    faulty.FAULTS.append("dropped")
    clock = Clock()
    drain(clock)
    for file in folder.glob("*.md"):
        file.unlink()

    for seconds in (20, 60, 180, 5):
        drain(clock, seconds=seconds)

    assert calls(folder) == [f"create {ticket.mark}", *[f"find {ticket.mark}"] * 3, f"create {ticket.mark}"]
    assert message().state == State.SENT


@pytest.mark.django_db
def test_a_lost_comment_is_repeated_because_its_key_makes_that_harmless(connection, folder):
    ticket = wanted(connection)
    clock = Clock()
    drain(clock)
    enqueue(ticket, "comment", 2, body="Verified by us.")
    faulty.FAULTS.append("dropped")

    drain(clock)
    drain(clock, minutes=1)

    assert [call.split()[0] for call in calls(folder)] == ["create", "comment", "comment"]
    assert next(folder.glob("*.md")).read_text().count("Verified by us.") == 1


# --- real deaths and real rivals ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_after_the_outside_took_it_makes_no_second_ticket(connection, folder):
    ticket = wanted(connection)
    faulty.FAULTS.append("killed")
    clock = Clock()

    assert ended(in_child(lambda: drain(clock))) == -9
    faulty.FAULTS.clear()
    assert message().state == State.SENDING
    assert drain(clock, minutes=4) == 0
    drain(clock, minutes=2)

    ticket.refresh_from_db()
    assert (message().state, ticket.state) == (State.SENT, "live")
    assert calls(folder) == [f"create {ticket.mark}", f"find {ticket.mark}"]
    assert len(list(folder.glob("*.md"))) == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_is_looked_after_even_when_the_index_lags(connection, folder):
    ticket = wanted(connection)
    faulty.FAULTS.append("killed")
    clock = Clock()
    assert ended(in_child(lambda: drain(clock))) == -9
    faulty.FAULTS.clear()
    faulty.LAG += [True, True, True]

    for seconds in (360, 20, 60, 180):
        drain(clock, seconds=seconds)

    assert calls(folder) == [f"create {ticket.mark}", *[f"find {ticket.mark}"] * 4]
    assert message().state == State.SENT
    assert len(list(folder.glob("*.md"))) == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_comes_back_after_its_lease_does_not_overrule(connection, folder):
    wanted(connection)
    clock = Clock()
    slow = outbox._claim(connection.pk, until=clock.at, at=clock.at)
    clock.pass_(minutes=6)
    drain(clock)
    assert message().state == State.UNKNOWN

    outbox._deliver(slow, clock)

    assert message().state == State.UNKNOWN
    drain(clock, seconds=16)
    assert message().state == State.SENT
    assert len(list(folder.glob("*.md"))) == 1


@pytest.mark.django_db(transaction=True)
def test_rivals_share_the_work_and_keep_the_order(connection, folder):
    tickets = [wanted(connection, number) for number in range(12)]
    for ticket in tickets:
        enqueue(ticket, "comment", 2, body="Fixed.")
        enqueue(ticket, "close", 3)

    children = [in_child(lambda: drain(Clock())) for _rival in range(3)]

    assert [ended(child) for child in children] == [0, 0, 0]
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {State.SENT}
    made = calls(folder)
    assert len(made) == 36
    for ticket in tickets:
        assert [call.split()[0] for call in made if ticket.mark in call.replace(":", " ").split()] == [
            "create",
            "comment",
            "close",
        ]


@pytest.mark.django_db(transaction=True)
def test_a_message_outside_of_a_transaction_is_refused(connection):
    with pytest.raises(RuntimeError, match="in the transaction that causes it"):
        outbox.enqueue([], actor="worker", at=AT)
