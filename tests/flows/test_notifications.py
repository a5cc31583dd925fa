"""Who is told what, when and how often: once each, whatever Slack, mail servers and receivers do."""

import json
import threading
import urllib.parse
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from tests.factories import AT, Clock, change, finding, person, team
from tests.servers._websocket import WebSocket
from tests.servers.receiver import SECRET, Receiver
from tests.servers.slack import APP_TOKEN, SIGNING, TOKEN, Slack
from triage.domain import connections, inbox, outbox
from triage.domain.access import Actor
from triage.domain.connections import Wanted
from triage.domain.notifications import gathering, telling
from triage.domain.notifications.recipients import Recipient
from triage.domain.sla.targets import Targets
from triage.models import (
    Alarm,
    Finding,
    Member,
    OutboxMessage,
    Preference,
    Press,
    RiskException,
    Role,
    SlaNotice,
    SlaVersion,
    Told,
    Verification,
)
from triage.ports import Forged

pytestmark = pytest.mark.django_db
ADMIN = Actor(name="user:9", door="page", roles=frozenset({Role.ADMINISTRATOR}), user=9)
MONDAY = datetime(2026, 11, 23, 10, tzinfo=UTC)  # 11:00 in Paris


@pytest.fixture
def slack():
    with Slack() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server
        assert server.violations == []


class World:
    def __init__(self, at=MONDAY):
        self.clock = Clock(at)

    def connect(self, name, plugin, **given):
        wanted = Wanted(name=name, kind="notifiers", plugin=plugin, given=given, per_second=100)
        return connections.put(wanted, actor=ADMIN, at=self.clock.at)

    def slack(self, server, **more):
        server.clock = lambda: self.clock.at.timestamp()  # noqa: PLW0108 - of the clock as it stands then
        given = {"token": TOKEN, "signing_secret": SIGNING, "base_url": server.url, "channel": "C2SEC", **more}
        return self.connect("slack", "slack", **given)

    def work(self, **later):
        self.clock.pass_(**later)
        gathering.gather(at=self.clock.at)
        telling.tell(at=self.clock.at)
        for _second in range(4):
            self.clock.pass_(seconds=2)
            outbox.drain(at=self.clock.at, clock=self.clock)


@pytest.fixture
def world():
    return World()


def routed(slug, channel):
    web = team(slug)
    Preference.objects.create(team=web, address=channel)
    return web


def late(row, *, at, percent=100, tell=("owner",), clock="remediate"):
    version = SlaVersion.objects.first() or _version(at)
    return SlaNotice.objects.create(
        finding=row, clock=clock, started_at=row.first_seen, version=version, percent=percent, tell=list(tell), due_at=at, at=at
    )


def _version(at):
    Targets.load(at)
    return SlaVersion.objects.get()


def states():
    return set(OutboxMessage.objects.values_list("state", flat=True))


# --- Slack: once, whatever fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "drop", "truncate", "html", 500, 502, 503])
def test_a_missed_deadline_is_told_once(world, slack, fault):
    world.slack(slack)
    web = routed("web", "C1WEB")
    row = finding(bucket="<b>*1*", owner=web)
    late(row, at=world.clock.at)
    if fault:
        slack.fault(fault, path="postMessage")
    world.work()
    world.work(seconds=20)
    world.work(minutes=1)
    (message,) = slack.messages
    assert message["channel"] == "C1WEB"
    assert "deadline was missed" in message["text"]
    assert str(row) in str(message["blocks"])
    assert states() == {"sent"}
    assert set(Told.objects.values_list("state", flat=True)) == {"sent"}


def test_what_never_arrived_is_sent_after_looking_for_it(world, slack):
    world.slack(slack)
    late(finding(owner=routed("web", "C1WEB")), at=world.clock.at)
    slack.fault("drop", path="postMessage", after=False)
    for seconds in (0, 16, 60, 180, 5):
        world.work(seconds=seconds)
    assert len(slack.messages) == 1


def test_a_limit_of_a_message_a_second_is_obeyed_and_breaches_overtake_digests(world, slack):
    world.slack(slack)
    slack.per_channel = 1.0
    web = routed("web", "C1WEB")
    rows = [finding(bucket=f"b-{number}", owner=web) for number in range(3)]
    late(rows[0], at=world.clock.at, percent=50)
    world.work()
    assert slack.messages == []
    for row, clock in zip(rows, ("remediate", "acknowledge", "contain"), strict=True):
        late(row, at=world.clock.at, clock=clock)
    Told.objects.filter(subject="due").update(due_at=world.clock.at)
    world.work()
    for _minute in range(3):
        world.work(minutes=1)
    assert slack.disobeyed == 0
    assert [("missed" in message["text"]) for message in slack.messages] == [True, False]


def test_five_hundred_findings_of_one_owner_are_one_message(world, slack):
    world.slack(slack)
    web = routed("web", "C1WEB")
    for number in range(500):
        late(finding(bucket=f"b-{number}", owner=web), at=world.clock.at)
    world.work()
    (message,) = slack.messages
    assert "500 deadlines were missed" in message["text"]
    assert "480" in str(message["blocks"][-1])


def test_one_finding_again_in_the_same_thread(world, slack):
    world.slack(slack)
    row = finding(owner=routed("web", "C1WEB"))
    late(row, at=world.clock.at)
    world.work()
    late(row, at=world.clock.at, percent=150)
    world.work(hours=2)
    first, second = slack.messages
    assert second["thread_ts"] == first["ts"]


def test_owner_lead_and_security_are_each_told_once(world, slack):
    world.slack(slack)
    web = routed("web", "C1WEB")
    Member.objects.create(team=web, email="alice@acme.example", part="lead")
    row = finding(owner=web)
    late(row, at=world.clock.at, tell=("owner", "lead"))
    late(row, at=world.clock.at, percent=150, tell=("lead", "security"))
    for _look in range(3):
        world.work()
    assert sorted(message["channel"] for message in slack.messages) == ["C1WEB", "C2SEC", "DU1ALICE"]


@pytest.mark.parametrize("error", ["is_archived", "channel_not_found"])
def test_a_channel_that_is_gone_is_one_alarm(world, slack, error):
    world.slack(slack)
    web = routed("web", "C1WEB")
    if error == "is_archived":
        slack.archived.add("C1WEB")
    else:
        slack.channels.pop("C1WEB")
    for number in range(3):
        late(finding(bucket=f"b-{number}", owner=web), at=world.clock.at)
        world.work(minutes=30)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.subject, alarm.times) == ("unreachable", "C1WEB", 3)
    # Each of the three to the channel for everybody, and the alarm once.
    assert [message["channel"] for message in slack.messages] == ["C2SEC"] * 4
    assert states() == {"sent"}


def test_nobody_of_that_address_means_the_channel_for_everybody(world, slack):
    world.slack(slack)
    web = team("web")
    web.email = "nobody@acme.example"
    web.save()
    late(finding(owner=web), at=world.clock.at)
    world.work()
    assert [message["channel"] for message in slack.messages] == ["C2SEC"]


def test_a_revoked_token_stops_all_with_one_alarm_and_nothing_is_lost(world, slack):
    world.slack(slack)
    web = routed("web", "C1WEB")
    slack.error = "token_revoked"
    for number in range(3):
        late(finding(bucket=f"b-{number}", owner=web), at=world.clock.at)
        world.work(minutes=1)
    assert Alarm.objects.get().kind == "refused"
    slack.error = ""
    world.slack(slack)
    for _minute in range(4):
        world.work(minutes=1)
    assert len([message for message in slack.messages if message["channel"] == "C1WEB"]) == 3
    assert states() == {"sent"}


# --- when ---------------------------------------------------------------------------------------------------------------------


def test_quiet_hours_hold_everything_but_a_critical_deadline(slack):
    world = World(datetime(2026, 11, 23, 21, tzinfo=UTC))  # 22:00 in Paris
    world.slack(slack)
    web = routed("web", "C1WEB")
    late(finding(bucket="b-1", owner=web, severity=4), at=world.clock.at)
    world.work()
    assert slack.messages == []
    late(finding(bucket="b-2", owner=web, severity=5), at=world.clock.at)
    world.work()
    assert len(slack.messages) == 1
    world.work(hours=10)
    assert len(slack.messages) == 2


def test_a_digest_comes_in_the_morning_of_the_recipient_on_working_days(slack):
    world = World(datetime(2026, 11, 27, 15, tzinfo=UTC))  # a Friday
    world.slack(slack)
    Preference.objects.create(address="C2SEC", time_zone="America/New_York", digest_hour=8)
    web = routed("web", "C1WEB")
    for number in range(30):
        late(finding(bucket=f"b-{number}", owner=web, severity=3), at=world.clock.at, percent=50)
    world.work()
    for _hour in range(69):
        world.work(hours=1, seconds=-8)
    assert slack.messages == []  # Monday 07:00 in New York
    world.work(hours=1)
    (message,) = slack.messages
    assert "30 things about your findings" in message["text"]
    assert "10" in str(message["blocks"][-1])


def test_six_messages_in_an_hour_are_five_and_a_digest(world, slack):
    world.slack(slack)
    web = routed("web", "C1WEB")
    for number in range(7):
        late(finding(bucket=f"b-{number}", owner=web, severity=4, check=f"check_{number}"), at=world.clock.at)
        world.work(minutes=2)
    assert len(slack.messages) == 5
    world.work(hours=24)
    assert len(slack.messages) == 6


@pytest.mark.parametrize(
    ("at", "quiet"),
    [
        ("2026-11-23T07:59", True),
        ("2026-11-23T08:00", False),
        ("2026-11-23T19:59", False),
        ("2026-11-23T20:00", True),
        ("2026-11-22T12:00", True),
    ],
)
def test_quiet_is_by_the_recipients_own_clock(at, quiet):
    recipient = Recipient("team:1", None, zone="Europe/Paris")
    moment = datetime.fromisoformat(at + "+01:00")
    assert recipient.is_quiet(moment) == quiet
    assert not recipient.is_quiet(recipient.awake(moment))


def test_the_hour_that_comes_twice_has_one_digest():
    recipient = Recipient("team:1", None, zone="Europe/Paris", weekends=True, digest_hour=2)
    moment, digests = datetime(2026, 10, 24, 12, tzinfo=UTC), []
    for _digest in range(3):
        moment = recipient.next_digest(moment)
        digests.append(moment.astimezone(UTC).isoformat())
    assert [day[:10] for day in digests] == ["2026-10-25", "2026-10-26", "2026-10-27"]


# --- buttons ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hooked(world, slack, live_server, settings):
    world.slack(slack)
    web = routed("web", "C1WEB")
    user = person("alice@acme.example", "contributor", of=web)
    row = finding(owner=web)
    late(row, at=world.clock.at)
    world.work()
    return row, slack.messages[0], f"{live_server.url}/hooks/slack", user


def press(world, slack, hooked, action, **how):
    row, message, to, _user = hooked
    status, _text = slack.press(to, message, action, **how)
    inbox.drain(clock=world.clock)
    return status, Finding.objects.get(pk=row.pk)


@pytest.mark.django_db(transaction=True)
def test_a_press_acts_once_with_the_persons_rights(world, slack, hooked):
    status, row = press(world, slack, hooked, "acknowledge")
    assert (status, row.acknowledged_at is not None) == (200, True)
    assert [answer["response_type"] for answer in slack.answers] == ["ephemeral"]
    assert press(world, slack, hooked, "verify")[0] == 200
    assert Verification.objects.count() == 1
    assert Press.objects.count() == 2


@pytest.mark.parametrize("how", [{"age": 400}, {"secret": "another"}, {"stamp": "yesterday"}])
@pytest.mark.django_db(transaction=True)
def test_forged_and_old_presses_change_nothing(world, slack, hooked, how):
    status, row = press(world, slack, hooked, "acknowledge", **how)
    assert (status, row.acknowledged_at) == (401, None)
    assert not Press.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_delivery_twice_acts_once(world, slack, hooked):
    _row, message, to, _user = hooked
    body = slack.body_of({
        "type": "block_actions", "user": {"id": "U1ALICE"}, "response_url": f"{slack.address}/response/1",
        "container": {"message_ts": message["ts"], "channel_id": "C1WEB"},
        "actions": [{"action_id": "acknowledge:0", "value": f"{_row.pk}:1", "action_ts": "1"}],
    })  # fmt: skip
    assert [slack.send(to, body)[0] for _time in range(3)] == [200, 200, 200]
    inbox.drain(clock=world.clock)
    assert (Press.objects.count(), len(slack.answers)) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_stale_button_says_so(world, slack, hooked):
    change(hooked[0], at=world.clock(), status="verified", grade="proof", settled_at=world.clock())
    press(world, slack, hooked, "acknowledge")
    assert "by now. Nothing was changed." in slack.answers[0]["text"]


@pytest.mark.django_db(transaction=True)
def test_somebody_without_an_account_or_a_right_is_told_so(world, slack, hooked):
    slack.users["U9EVE"] = "eve@acme.example"
    _status, row = press(world, slack, hooked, "acknowledge", user="U9EVE")
    person("eve@acme.example", "viewer")
    _status, row = press(world, slack, hooked, "acknowledge", user="U9EVE")
    assert row.acknowledged_at is None
    assert ["no account" in answer["text"] or "no right" in answer["text"] for answer in slack.answers] == [True, True]


@pytest.mark.django_db(transaction=True)
def test_an_exception_is_asked_for_in_a_form(world, slack, hooked):
    row, _message, to, user = hooked
    press(world, slack, hooked, "except")
    until = (world.clock.at + timedelta(days=10)).date().isoformat()
    assert slack.submit(to, slack.views[0], {"reason": "Later", "compensation": "WAF", "until": until})[0] == 200
    inbox.drain(clock=world.clock)
    asked = RiskException.objects.get()
    assert (asked.state, asked.finding_id, asked.requested_user, asked.reason) == ("requested", row.pk, user.pk, "Later")


@pytest.mark.django_db(transaction=True)
def test_presses_are_heard_by_a_connection_of_our_own(world, slack, hooked):
    row, message, _to, _user = hooked
    connection = world.slack(slack, app_token=APP_TOKEN)
    slack.socket = WebSocket()
    stopped, taken = threading.Event(), []
    options, plugin = connections.options(connection), connections.plugin_of(connection)
    take = lambda body, number: taken.append((body, number)) or ""  # noqa: E731
    listener = threading.Thread(target=plugin.listen, args=(options, take, stopped), daemon=True)
    listener.start()
    payload = {
        "type": "block_actions", "user": {"id": "U1ALICE"}, "response_url": f"{slack.address}/response/1",
        "container": {"message_ts": message["ts"], "channel_id": "C1WEB"},
        "actions": [{"action_id": "acknowledge:0", "value": f"{row.pk}:1", "action_ts": "1"}],
    }  # fmt: skip
    for number in ("e1", "e2"):  # the same press, delivered twice
        slack.socket.send(json.dumps({"type": "interactive", "envelope_id": number, "payload": payload}))
    slack.socket.wait_for(2)
    stopped.set()
    listener.join(5)
    slack.socket.close()
    assert [json.loads(text)["envelope_id"] for text in slack.socket.heard] == ["e1", "e2"]
    fresh = [inbox.take(connection, delivery_id=number, body=body, at=world.clock()).fresh for body, number in taken]
    inbox.drain(clock=world.clock)
    assert fresh == [True, False]
    assert Finding.objects.get(pk=row.pk).acknowledged_at is not None


def test_a_challenge_is_answered(world, slack, live_server):
    world.slack(slack)
    body = b'{"type":"url_verification","challenge":"abc"}'
    assert slack.send(f"{live_server.url}/hooks/slack", body) == (200, "abc")


# --- e-mail, webhooks, PagerDuty ----------------------------------------------------------------------------------------------


def test_mail_has_a_stable_id_a_thread_and_no_header_of_others(world):
    world.connect("mail", "email")
    web = team("web")
    web.email = "web@acme.example"
    web.save()
    row = finding(bucket="b\nBcc: eve@acme.example", owner=web)
    late(row, at=world.clock.at)
    world.work()
    late(row, at=world.clock.at, percent=150)
    world.work(hours=2)
    first, second = mail.outbox
    assert (first.to, first.bcc) == (["web@acme.example"], [])
    assert second.extra_headers["In-Reply-To"] == first.extra_headers["Message-ID"]
    assert first.extra_headers["Auto-Submitted"] == "auto-generated"
    assert first.extra_headers["List-Unsubscribe"].startswith("<http")


def test_a_signed_webhook_is_told_everything_with_one_id(world, receiver):
    world.connect("siem", "webhook", url=receiver.address, secret=SECRET, allow_private="yes")
    late(finding(owner=team("web")), at=world.clock.at)
    receiver.fault("drop", times=1)
    world.work()
    for _minute in range(3):
        world.work(minutes=1)
    assert len({number for number, _body in receiver.deliveries}) == 1
    assert receiver.deliveries[0][1]["type"] == "finding.breach"


def test_an_address_of_the_inside_is_refused(world, receiver):
    world.connect("siem", "webhook", url=receiver.address, secret=SECRET)
    late(finding(owner=team("web")), at=world.clock.at)
    world.work()
    assert receiver.deliveries == []
    assert OutboxMessage.objects.get().state == "dead"


def test_a_redirect_is_not_followed(world, receiver):
    world.connect("siem", "webhook", url=receiver.address, secret=SECRET, allow_private="yes")
    receiver.status = 302
    late(finding(owner=team("web")), at=world.clock.at)
    world.work()
    assert OutboxMessage.objects.get().state == "dead"


def test_whoever_wants_no_more_webhooks_is_left_alone_until_switched_on(world, receiver):
    world.connect("siem", "webhook", url=receiver.address, secret=SECRET, allow_private="yes")
    receiver.status = 410
    late(finding(bucket="b-1", owner=team("web")), at=world.clock.at)
    world.work()
    late(finding(bucket="b-2", owner=team("web")), at=world.clock.at)
    world.work(minutes=30)  # there is no way to tell this one
    assert (connections.named("siem").state, Alarm.objects.get().kind, states()) == ("off", "refused", {"pending"})
    receiver.status = 200
    connections.switch(name="siem", on=True, actor=ADMIN, at=world.clock.at)
    world.work()
    assert (len(receiver.deliveries), states()) == (1, {"sent"})


def test_what_was_sent_can_be_sent_again_where_its_number_tells(world, receiver):
    world.connect("siem", "webhook", url=receiver.address, secret=SECRET, allow_private="yes")
    late(finding(owner=team("web")), at=world.clock.at)
    world.work()
    outbox.retry(message=OutboxMessage.objects.get().pk, actor=ADMIN, at=world.clock.at)
    world.work()
    (first, _), (second, _) = receiver.deliveries
    assert first == second


def test_pagerduty_is_for_critical_deadlines_that_were_missed(world, receiver):
    world.connect("pager", "pagerduty", routing_key="R0UTING", base_url=receiver.address, allow_private="yes")
    late(finding(bucket="b-1", severity=4), at=world.clock.at)
    row = finding(bucket="b-2", severity=5)
    late(row, at=world.clock.at)
    world.work()
    assert receiver.incidents == {f"cspm-{row}": ["trigger"]}


def test_forged_is_an_error_of_the_port():
    assert issubclass(Forged, Exception)
    assert AT < MONDAY


def test_what_nobody_could_be_told_waits_two_days_for_a_way(world, slack):
    late(finding(bucket="b-1", owner=routed("web", "C1WEB")), at=world.clock.at)
    world.work()
    assert Told.objects.filter(recipient__startswith="team:").get().state == "waiting"
    world.slack(slack)
    world.work(minutes=2)
    assert len(slack.messages) == 1
    connections.switch(name="slack", on=False, actor=ADMIN, at=world.clock.at)
    late(finding(bucket="b-2", owner=team("web")), at=world.clock.at)
    world.work()
    world.work(days=3)
    assert Told.objects.filter(subject="breach").order_by("pk").last().why == "cannot be notified"


# --- over, quieter, counted ---------------------------------------------------------------------------------------------------


def test_what_is_over_is_said_where_it_was_told_and_its_buttons_go(world, slack, receiver):
    world.slack(slack)
    world.connect("pager", "pagerduty", routing_key="R0UTING", base_url=receiver.address, allow_private="yes")
    row = finding(owner=routed("web", "C1WEB"), severity=5)
    late(row, at=world.clock.at)
    world.work()
    change(row, at=world.clock.at, status="verified", grade="proof", settled_at=world.clock.at)
    for _look in range(3):
        world.work(minutes=1)
    first, second = slack.messages
    assert second["thread_ts"] == first["ts"]
    assert "proven fixed" in second["text"]
    assert first["edited"]
    assert [block["type"] for block in first["blocks"]].count("actions") == 0
    assert receiver.incidents == {f"cspm-{row}": ["trigger", "resolve"]}


def test_one_click_makes_it_quieter(world, client):
    world.connect("mail", "email")
    web = team("web")
    web.email = "web@acme.example"
    web.save()
    late(finding(owner=web), at=world.clock.at)
    world.work()
    address = mail.outbox[0].extra_headers["List-Unsubscribe"].strip("<>").partition("8000")[2]
    assert "web" in client.get(address).content.decode().lower()
    assert Preference.objects.count() == 0
    assert client.post(address, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert sorted(Preference.objects.get(team=web).subjects) == ["breach", "new"]
    assert client.post(address + "x").status_code == 400


def test_a_command_lists_what_is_mine(world, slack, hooked):
    row, _message, to, user = hooked
    Member.objects.create(team=row.team, email=user.email, user=user)
    form = {
        "command": "/findings",
        "text": "mine",
        "user_id": "U1ALICE",
        "response_url": f"{slack.address}/response/1",
        "trigger_id": "t1",
    }
    assert slack.send(to, urllib.parse.urlencode(form).encode())[0] == 200
    inbox.drain(clock=world.clock)
    assert str(row) in slack.answers[0]["text"]


def test_a_lead_says_where_and_when(world, slack, client):
    world.slack(slack)
    web = routed("web", "C1WEB")
    lead = person("alice@acme.example", "contributor", of=web)
    Member.objects.create(team=web, email="Alice@acme.example", part="lead", user=lead)
    client.force_login(lead)
    assert client.post("/notifications/me", {"address": "C1WEB", "subjects": ["breach"], "quiet_from": "25"}).status_code == 400
    assert client.post("/notifications/me", {"address": "C1WEB", "subjects": ["breach"]}).status_code == 302
    assert client.post("/notifications/everybody", {"address": "C1WEB"}).status_code == 403
    late(finding(owner=web), at=world.clock.at, tell=("lead",))
    world.work()
    assert [message["channel"] for message in slack.messages if "missed" in message["text"]] == ["C1WEB"]


def test_numbers_are_for_whoever_has_the_token(world, client, settings):
    world.connect("mail", "email")
    late(finding(owner=team("web")), at=world.clock.at)
    world.work()
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "numbers"
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 404
    told = client.get("/metrics", headers={"Authorization": "Bearer numbers"}).content.decode()
    assert 'cspm_outbox_messages{connection="mail",state="dead"}' in told
