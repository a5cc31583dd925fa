"""Tickets in a Jira that fails in every way that is known: one ticket each, the right state at the end, one alarm, nothing lost."""

import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from tests.factories import AT, TRIAGER, Clock, change, finding, team
from tests.processes import ended, in_child
from tests.servers.jira import TOKEN, Jira
from triage.domain import connections, inbox, outbox, tickets
from triage.domain.access import Actor
from triage.domain.connections import Wanted
from triage.models import (
    Alarm,
    Connection,
    Event,
    Finding,
    InboxDelivery,
    OutboxMessage,
    RiskException,
    Role,
    Ticket,
    Verification,
)
from triage.ports import Forged

pytestmark = pytest.mark.django_db
ADMIN = Actor(name="user:9", door="page", roles=frozenset({Role.ADMINISTRATOR}), user=9)
SECRET = "webhook-secret-of-tests"


class World:
    """A Jira, a connection to it, and a worker whose clock is ours."""

    def __init__(self, jira, **given):
        self.jira, self.clock = jira, Clock()
        jira.clock = lambda: self.clock.at.timestamp()  # noqa: PLW0108 - of the clock as it stands then
        settings = {
            "server": jira.address, "deployment": "cloud" if jira.cloud else "server", "token": TOKEN, "project": "OPS",
            "webhook_secret": SECRET, **({"email": "bot@acme.example"} if jira.cloud else {}), **given,
        }  # fmt: skip
        self.put(**settings)

    def put(self, **given):
        wanted = Wanted(name="jira", kind="tickets", plugin="jira", given=given, per_second=100)
        self.connection = connections.put(wanted, actor=ADMIN, at=self.clock.at)
        return self.connection

    def open(self, *rows):
        return tickets.open_tickets(findings=[row.pk for row in rows], actor=TRIAGER, at=self.clock.at)

    def drain(self, **later):
        self.clock.pass_(**later)
        return outbox.drain(at=self.clock.at, clock=self.clock)

    def work(self, *steps):
        """Drain now and after each of these seconds; then what was read and what follows."""
        for seconds in (0, *steps):
            self.drain(seconds=seconds)

    def reconcile(self, **later):
        self.clock.pass_(**(later or {"minutes": 11}))
        tickets.reconcile(at=self.clock.at, clock=self.clock)
        self.drain(seconds=1)

    def alarms(self):
        return [(alarm.kind, alarm.subject) for alarm in Alarm.objects.filter(resolved_at=None).order_by("pk")]

    def states(self):
        return set(OutboxMessage.objects.values_list("state", flat=True))


@pytest.fixture
def jira(request):
    with Jira(**getattr(request, "param", {})) as server:
        yield server
        assert server.violations == []


@pytest.fixture
def world(jira):
    return World(jira)


def live():
    return set(Ticket.objects.values_list("state", flat=True)) == {"live"}


# --- the ordinary way ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jira", [{}, {"deployment": "Server"}], indirect=True, ids=["cloud", "server"])
def test_a_ticket_says_what_is_wrong_and_carries_our_mark(world, jira):
    (ticket,) = world.open(finding(bucket="b|1 {code}", owner=team("web")))
    world.work()

    ticket.refresh_from_db()
    issue = jira.only()
    assert (ticket.state, ticket.remote_id, ticket.key) == ("live", issue["id"], issue["key"])
    assert ticket.mark in issue["fields"]["labels"]
    assert issue["properties"] == {"cspm": {"mark": ticket.mark}}
    assert r"\{code\}" in issue["fields"]["description"]
    assert list(issue["links"].values()) == [f"http://127.0.0.1:8000/findings/{ticket.findings.get()}"]
    assert world.states() == {"sent"}


@pytest.mark.parametrize(
    "jira", [{"workflow": name} for name in ("simple", "strict", "german")] + [{"resolution": "required"}], indirect=True
)
def test_any_workflow_is_walked_to_done_and_back(world, jira):
    row = finding()
    world.open(row)
    world.work()
    change(row, at=world.clock(), status="verified", grade="proof", settled_at=world.clock())
    world.reconcile()
    issue = jira.only()
    assert jira._status(issue["status"])["statusCategory"]["key"] == "done"

    change(row, at=world.clock(), status="open", grade="", settled_at=None, regressions=1)
    world.reconcile()
    assert jira._status(issue["status"])["statusCategory"]["key"] != "done"
    assert live()
    assert world.alarms() == []


@pytest.mark.parametrize("jira", [{"workflow": "dead end"}], indirect=True)
def test_a_workflow_without_a_way_to_done_is_said_and_left_to_people(world, jira):
    row = finding()
    world.open(row)
    world.work()
    change(row, at=world.clock(), status="verified", grade="proof", settled_at=world.clock())
    world.reconcile()

    assert len(jira.only()["comments"]) == 1
    assert world.alarms() == [("dead", "")]


# --- 1 to 5: lost answers, twins, rivals, limits, outages ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "truncate", "html", 502, 503, 500])
def test_a_create_whose_answer_is_lost_is_looked_up(world, jira, fault):
    more = {"headers": {"Retry-After": "1"}} if fault == 503 else {}
    jira.fault(fault, "POST", r"/issue$", **more)
    world.open(finding())
    world.work(16, 60)
    assert len(jira.issues) == 1
    assert live()
    assert world.alarms() == []


def test_an_answer_that_never_comes_is_looked_up(world, jira, monkeypatch):
    monkeypatch.setattr("integrations.tickets._jira_client.READ", 0.3)
    jira.fault("hang", "POST", r"/issue$")
    world.open(finding())
    world.work(16)
    assert len(jira.issues) == 1
    assert live()


def test_what_never_arrived_is_sent_after_three_looks(world, jira):
    jira.fault("drop", "POST", r"/issue$", after=False)
    world.open(finding())
    world.work(16, 60, 180, 1, 1)
    assert len(jira.issues) == 1
    assert live()


def test_an_index_that_lags_a_minute_and_loses_answers_twice(world, jira):
    jira.lag = 60
    jira.fault("drop", "POST", r"/issue$", times=2)
    world.open(finding())
    world.work(16, 60, 180, 5, 16, 60, 180)
    assert len(jira.issues) == 1
    assert live()


def test_a_twin_that_an_endless_lag_makes_is_closed_and_told(world, jira):
    jira.lag = 400
    jira.fault("drop", "POST", r"/issue$")
    world.open(finding())
    world.work(16, 60, 180, 5)
    assert len(jira.issues) == 2
    world.work(15 * 60, 1)
    first, second = jira.issues.values()
    ticket = Ticket.objects.get()
    kept, other = (first, second) if ticket.remote_id == first["id"] else (second, first)
    assert (kept["status"], other["status"], other["twins"]) == ("To Do", "Done", [kept["key"]])
    assert [kind for kind, _subject in world.alarms()] == ["twin"]


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_the_middle_of_a_post(world, jira, monkeypatch):
    world.open(finding())
    jira.fault("hang", "POST", r"/issue$")

    def killed():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        world.drain()

    assert ended(in_child(killed)) == -9
    assert OutboxMessage.objects.filter(state="sending").count() == 1
    world.work(360, 16)
    assert len(jira.issues) == 1
    assert live()


@pytest.mark.slow
@pytest.mark.parametrize(("retry_after", "count"), [("1", 200), ("7", 40), (None, 40)])
def test_two_hundred_tickets_through_a_storm_of_429(world, jira, retry_after, count):
    jira.per_second, jira.retry_after = 5, retry_after
    world.open(*[finding(bucket=f"b-{number}", owner=team(f"team-{number}")) for number in range(count)])
    for _round in range(3000):
        world.drain(seconds=1)
        if world.states() == {"sent"}:
            break
    assert len(jira.issues) == count
    assert live()
    assert jira.disobeyed == 0
    assert world.alarms() == []


def test_a_date_to_wait_for_is_obeyed(jira):
    world = World(jira)
    jira.clock = time.time
    jira.per_second, jira.retry_after = 1, "date"
    jira.writes = [jira.clock()]
    world.open(finding())
    world.drain()
    paused = Connection.objects.get(name="jira").paused_until
    assert timedelta(0) < paused - world.clock.at <= timedelta(seconds=2.5)


def test_an_outage_is_one_alarm_and_one_probe_at_a_time(world, jira):
    jira.fault(500, times=10_000, after=False)
    world.open(*[finding(bucket=f"b-{number}", owner=team(f"team-{number}")) for number in range(20)])
    world.work(*[60] * 30)
    assert world.alarms() == [("down", "")]
    assert len(jira.log) < 60
    jira.faults.clear()
    world.work(*[60] * 40)
    assert len(jira.issues) == 20
    assert live()
    assert world.alarms() == []
    assert Connection.objects.get(name="jira").state == "ready"


def test_nobody_there(world, jira):
    world.put(server="http://127.0.0.1:9")
    world.open(finding())
    world.work(60)
    assert world.states() == {"pending"}


# --- 6 to 8: signed out, deleted, moved ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("anonymous", [False, True])
def test_an_expired_token_stops_everything_with_one_alarm_and_deletes_nothing(world, jira, anonymous):
    (ticket,) = world.open(finding(bucket="b-1"))
    world.work()
    jira.signed_in, jira.anonymous = False, anonymous
    world.open(finding(bucket="b-2", owner=team("web")))
    for _hour in range(5):
        world.reconcile(hours=1)
    ticket.refresh_from_db()
    assert ticket.state == "live"
    assert world.alarms() == [("refused", "")]
    asked = len(jira.log)
    world.drain(minutes=1)
    assert len(jira.log) == asked

    jira.signed_in = True
    world.clock.pass_(minutes=16)
    connections.look(at=world.clock.at)
    world.work(1, 1)
    assert world.alarms() == []
    assert len(jira.issues) == 2


def test_a_deleted_ticket_counts_as_deleted_after_three_looks(world, jira):
    (ticket,) = world.open(finding())
    world.work()
    jira.delete(jira.only())
    for number in range(3):
        ticket.refresh_from_db()
        assert ticket.state == "live", number
        world.reconcile()
    ticket.refresh_from_db()
    assert ticket.state == "deleted"
    assert Finding.objects.get().is_open
    world.reconcile()
    assert jira.issues == {}


def test_a_moved_ticket_keeps_its_identity(world, jira):
    (ticket,) = world.open(finding())
    world.work()
    jira.rename(jira.only(), "SEC-77")
    world.reconcile()
    ticket.refresh_from_db()
    assert (ticket.key, ticket.state) == ("SEC-77", "live")
    assert ticket.url.endswith("/browse/SEC-77")


# --- 10, 11: fields and texts -------------------------------------------------------------------------------------------------

COST = {
    "customfield_1": {
        "name": "Cost centre",
        "required": True,
        "schema": {"type": "option"},
        "allowedValues": [{"id": "7", "value": "IT"}],
    }
}


@pytest.mark.parametrize("jira", [{"screen": COST}], indirect=True)
def test_a_required_field_that_nobody_mapped_parks_all_and_opens_none(world, jira):
    world.open(*[finding(bucket=f"b-{number}", owner=team(f"team-{number}")) for number in range(12)])
    world.work(60, 600)
    assert jira.issues == {}
    assert world.alarms() == [("unconfigured", "OPS/Task")]
    assert not [line for line in jira.log if line[0] == "POST"]

    world.put(fields="Cost centre=IT")
    world.work(1, 1, 1)
    assert len(jira.issues) == 12
    assert {str(issue["fields"]["customfield_1"]) for issue in jira.issues.values()} == {"{'id': '7'}"}
    assert world.alarms() == []


@pytest.mark.parametrize("jira", [{"screen": {"priority": None, "duedate": None, "description": None}}], indirect=True)
def test_optional_fields_that_the_screen_lacks_are_left_out(world, jira):
    world.open(finding())
    world.work()
    assert jira.only()["fields"].keys() == {"project", "issuetype", "summary", "labels"}


def test_a_screen_that_changed_since_is_asked_anew(world, jira):
    world.open(finding(bucket="b-1"))
    world.work()
    jira.screen.pop("duedate")
    jira.screen.pop("priority")
    world.open(finding(bucket="b-2", owner=team("web")))
    world.work()
    assert len(jira.issues) == 2


def test_a_text_of_forty_thousand_characters_with_nul_and_emoji(world, jira):
    row = finding()
    row.check_ref.description = "🔥 \x01 {panic} " + "x" * 3000
    row.check_ref.save()
    rows = [finding(bucket="ü🔥" * 300 + str(number)) for number in range(60)]
    world.open(row, *rows)
    world.work(1, 1)
    issue = jira.only()
    assert 20_000 < len(issue["fields"]["description"]) <= 32_767
    assert [name for name, _data in issue["attachments"]] == ["findings.csv"]
    assert issue["attachments"][0][1].count(b"\n") == 62


# --- 12 to 15: what people do, and webhooks ------------------------------------------------------------------------------------


def hooked(world, jira, settings):
    jira.webhooks = [("http://example.invalid", SECRET)]
    world.open(finding())
    world.work()
    jira.deliveries.clear()
    return jira.only()


def hear(world, number, **headers):
    given, body = world.jira.deliveries[number]
    return inbox.receive(name="jira", headers=given | headers, body=body, at=world.clock())


def test_a_signed_webhook_is_a_hint_and_done_means_claimed(world, jira, settings):
    issue = hooked(world, jira, settings)
    jira.move_to(issue, "In Progress")
    jira.move_to(issue, "Done")
    # The second comes first, twice; then the first: what counts is what is there.
    for number in (1, 1, 0):
        hear(world, number)
    inbox.drain(clock=world.clock)
    assert InboxDelivery.objects.count() == 2
    assert Finding.objects.get().status == "fix_claimed"
    assert Verification.objects.get().state == "queued"


def test_forged_webhooks_change_nothing(world, jira, settings):
    issue = hooked(world, jira, settings)
    jira.move_to(issue, "Done")
    for headers in ({"X-Hub-Signature": "sha256=00"}, {"X-Hub-Signature": ""}, {"X-Hub-Signature": "sha1=00"}):
        with pytest.raises(Forged):
            hear(world, 0, **headers)
    assert not InboxDelivery.objects.exists()
    world.put(webhook_secret="", webhook_secret_old=SECRET)
    with pytest.raises(Forged):
        inbox.receive(name="jira", headers={}, body=b"{}", at=world.clock())
    assert hear(world, 0).fresh


def test_lost_webhooks_are_made_up_for(world, jira, settings):
    issue = hooked(world, jira, settings)
    jira.move_to(issue, "Done")
    world.reconcile()
    assert Finding.objects.get().status == "fix_claimed"


def test_a_fix_that_does_not_hold_reopens_once_and_then_is_left_to_people(world, jira, settings):
    issue = hooked(world, jira, settings)
    for _claim in range(4):
        jira.move_to(issue, "Done")
        world.reconcile()
        Verification.objects.update(state="done", outcome="failing", finished_at=world.clock())
        change(Finding.objects.get(), at=world.clock(), status="open", claimed_at=None)
        world.reconcile()
    assert issue["steps"].count("To Do") == 1
    assert [kind for kind, _subject in world.alarms()] == ["contested"]


def test_wont_do_asks_for_an_exception(world, jira, settings):
    issue = hooked(world, jira, settings)
    jira.move_to(issue, "Done", "Won't Do")
    world.reconcile()
    row = Finding.objects.get()
    assert row.status == "open"
    assert RiskException.objects.get().state == "requested"
    assert Event.objects.filter(subject_id=row.pk, kind="ticket declined").count() == 1


def test_what_we_do_ourselves_comes_back_as_an_echo_that_changes_nothing(world, jira, settings):
    hooked(world, jira, settings)
    row = Finding.objects.get()
    change(row, at=world.clock(), status="verified", grade="proof", settled_at=world.clock())
    world.reconcile()
    events = Event.objects.count()
    for number in range(len(jira.deliveries)):
        hear(world, number)
    inbox.drain(clock=world.clock)
    world.reconcile()
    assert Event.objects.count() == events
    assert Ticket.objects.get().state == "closed"


def test_people_open_what_we_closed_and_the_check_says_who_is_right(world, jira, settings):
    issue = hooked(world, jira, settings)
    row = Finding.objects.get()
    change(row, at=world.clock(), status="verified", grade="proof", settled_at=world.clock())
    world.reconcile()
    jira.move_to(issue, "To Do")
    world.reconcile()
    assert Ticket.objects.get().state == "live"
    assert Verification.objects.get().state == "queued"
    Verification.objects.update(state="done", outcome="fixed", finished_at=world.clock())
    world.reconcile()
    assert Ticket.objects.get().state == "closed"


# --- testing, secrets, disclosure ---------------------------------------------------------------------------------------------


def test_each_right_is_tested_and_named(world, jira):
    probes = {str(probe.what): probe for probe in connections.test(world.connection, actor=ADMIN, at=AT)}
    assert all(probe.passed for probe in probes.values())
    jira.may = False
    failing = [str(probe.said) for probe in connections.test(world.connection, actor=ADMIN, at=AT) if not probe.passed]
    assert "The account has no permission CREATE_ISSUES in OPS." in failing
    jira.signed_in = False
    assert [probe.passed for probe in connections.test(world.connection, actor=ADMIN, at=AT)] == [True, False]


def test_what_changed_over_there_is_found_once_a_day(world, jira):
    assert connections.test_all(at=world.clock.at) == 0
    jira.screen |= COST
    assert connections.test_all(at=world.clock.at) == 1
    assert connections.test_all(at=world.clock.at) == 1
    assert world.alarms() == [("unconfigured", "test")]
    world.put(fields="Cost centre=IT")
    assert connections.test_all(at=world.clock.at) == 0
    assert world.alarms() == []


def test_no_secret_is_kept_in_the_clear_or_told(world, jira, caplog):
    jira.fault(400, "POST", r"/issue$", times=3)
    world.open(finding())
    world.work(60)
    kept = Connection.objects.values().get(name="jira")
    assert TOKEN not in str(kept)
    assert SECRET not in str(kept)
    assert TOKEN not in str(list(OutboxMessage.objects.values())) + str(list(Event.objects.values())) + caplog.text
    assert connections.options(world.connection)["token"] == TOKEN


@pytest.mark.parametrize(("disclosure", "says"), [("minimal", "Bucket"), ("link", "")])
def test_what_leaves_the_house_is_chosen(world, jira, disclosure, says):
    Connection.objects.filter(name="jira").update(disclosure=disclosure)
    row = finding(bucket="crown-jewels", owner=team("web"))
    world.open(row)
    world.work()
    issue = jira.only()
    whole = str(issue)
    assert "crown-jewels" not in whole
    assert row.account.uid not in whole
    assert str(row) in issue["fields"]["description"]
