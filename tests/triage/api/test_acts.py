"""Acts by the API."""

import pytest

from tests.factories import buckets, finding, team
from tests.triage.api.conftest import Caller
from triage import tasks
from triage.models import Act, Finding

ACTS = "/api/v1/acts"


@pytest.fixture
def writer(caller):
    return Caller(caller.user, "findings:write")


def ask(caller, **body):
    key = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    return caller.post(ACTS, body, content_type="application/json", headers=key)


@pytest.fixture
def rows(db):
    team("web")
    return buckets("a", "b", "c", owner=team("data"))


def test_what_would_follow_is_answered_and_nothing_done(writer, rows):
    plan = ask(writer, verb="assign", team="web", query="is:open", dry_run=True)
    assert (plan.status_code, plan.json()["changes"], plan.json()["teams"]) == (200, 3, [{"team": "data", "n": 3}])
    assert not Act.objects.exists()


def test_it_is_asked_for_once_done_and_taken_back(writer, rows, nudges, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        asked = [ask(writer, verb="assign", team="web", query="is:open", reason="moved", key="k") for _time in range(2)]
    assert [each.status_code for each in asked] == [202, 202]
    act = Act.objects.get()
    assert nudges == [("triage.tasks.do_act", act.pk)]
    assert writer.get(asked[0]["Location"])["Retry-After"] == "2"
    tasks.do_act(act.pk)
    assert writer.get(asked[0]["Location"]).json()["done"] == 3
    assert Finding.objects.filter(team__slug="web").count() == 3
    back = writer.post(f"{ACTS}/{act}/undo")
    assert (back.status_code, back.json()["verb"], back.json()["done"]) == (200, "undo", 3)
    assert Finding.objects.filter(team__slug="data").count() == 3
    assert writer.post(f"{ACTS}/{act}/undo").status_code == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"verb": "sing", "query": "is:open"}, 400), ({"verb": "assign", "team": "nowhere", "query": "is:open"}, 404),
        ({"verb": "acknowledge", "query": "is:("}, 400), ({"verb": "acknowledge"}, 400), ({"verb": "move", "to": "verified", "query": "is:open"}, 403),
        ({"verb": "acknowledge", "query": "is:open", "colour": "red"}, 400), ({"verb": 1, "query": "is:open"}, 400),
        ({"verb": "acknowledge", "query": "is:open", "dry_run": "false"}, 400), ({"verb": "acknowledge", "query": "is:\0"}, 400),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_problem(writer, rows, body, code):
    assert ask(writer, **body).status_code == code
    assert not Act.objects.exists()


def test_a_token_that_may_only_read_changes_nothing(caller, rows):
    assert ask(Caller(caller.user, "findings:read"), verb="acknowledge", query="is:open").status_code == 403
    assert not Act.objects.exists()


def test_acts_of_others_are_for_who_triages(writer, db):
    finding()
    other = Act.objects.create(verb="acknowledge", actor="user:99", door="page", at=finding(bucket="b").first_seen, state="done")
    assert writer.get(f"{ACTS}/{other}").status_code in (200, 403)
    assert writer.get(f"{ACTS}/A-999999").status_code == 404
