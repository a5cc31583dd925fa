"""What people do to many findings: planned, done, told item by item, taken back."""

from datetime import timedelta

import pytest

from tests.factories import AT, TRIAGER, VIEWER, Clock, buckets, change, finding, person, team
from triage.domain import acts
from triage.domain.access import Actor, of_user
from triage.domain.acts import doing
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale
from triage.domain.search import QueryError
from triage.models import Act, ActItem, Event, Finding, Role

pytestmark = pytest.mark.django_db
NAMES = [f"bucket-{number}" for number in range(12)]


def asked(verb, params, actor=TRIAGER, **what):
    act = acts.ask(verb=verb, params=params, actor=actor, at=AT, **what)
    return acts.run(act.pk, clock=Clock(), actor=actor)


def standing():
    return set(Finding.objects.values_list("team__slug", "status", "pinned"))


def test_all_that_a_query_means_is_given_to_a_team():
    buckets(*NAMES, owner=team("data"))
    team("web")
    act = asked("assign", {"team": "web"}, query="team:data", reason="moved house")
    assert (act.state, act.total, act.done, act.skipped) == ("done", 12, 12, 0)
    assert standing() == {("web", "open", True)}
    events = Event.objects.filter(subject="finding", actor=TRIAGER.name)
    assert {event.reason for event in events} == {"moved house"}


def test_what_would_come_of_it_is_told_before():
    buckets(*NAMES[:5], owner=team("data"))
    finding(bucket="mine", owner=team("web"), pinned=True)
    change(Finding.objects.first(), status="accepted")
    plan = acts.plan(verb="assign", params={"team": "web"}, actor=TRIAGER, at=AT, query="is:open or status:accepted")
    assert (plan.total, plan.changes, [(str(why), n) for why, n in plan.skipped]) == (6, 5, [("It is so already.", 1)])
    assert [(owner.slug, n) for owner, n in plan.teams] == [("data", 5)]
    moved = acts.plan(verb="move", params={"to": "in_progress"}, actor=TRIAGER, at=AT, query="severity:critical")
    assert (moved.changes, len(moved.skipped)) == (5, 1)


def test_a_plan_is_what_is_done():
    buckets(*NAMES, owner=team("data"))
    change(Finding.objects.first(), status="in_progress")
    change(Finding.objects.last(), status="verified", grade="proof")
    for verb, params in (("move", {"to": "in_progress"}), ("acknowledge", {}), ("assign", {"team": "-"}), ("release", {})):
        said = acts.plan(verb=verb, params=params, actor=TRIAGER, at=AT, query="severity:critical")
        act = asked(verb, params, query="severity:critical")
        assert (act.total, act.done) == (said.total, said.changes), verb


def test_who_may_not_changes_nothing():
    data, web = team("data"), team("web")
    buckets(*NAMES[:3], owner=data)
    finding(bucket="theirs", owner=web)
    cleo = of_user(person("cleo@example.com", "contributor", of=web), door="page")
    act = asked("move", {"to": "in_progress"}, cleo, query="is:open")
    assert (act.done, act.skipped) == (1, 3)
    assert ActItem.objects.filter(done=False).first().why["message"] == "You may not change findings of this team."
    with pytest.raises(NotAllowed):
        asked("acknowledge", {}, VIEWER, query="is:open")


def test_what_changed_since_it_was_looked_at_is_left_alone_and_said():
    rows = buckets(*NAMES[:2], owner=team("data"))
    seen = {row.pk: row.version for row in rows}
    change(rows[0], severity=2)
    act = asked("move", {"to": "in_progress"}, findings=seen)
    assert (act.done, act.skipped) == (1, 1)
    why = ActItem.objects.get(done=False).why
    assert "since you looked" in why["message"]
    assert "worker" in why["params"]["who"]


@pytest.mark.parametrize(
    ("verb", "params", "said"),
    [
        ("assign", {"team": "nowhere"}, "no team"), ("assign", {}, "which team"), ("move", {"to": "verified"}, "by hand"),
        ("sing", {}, "nothing that can be done"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_before_anything_is_written(verb, params, said):
    finding()
    with pytest.raises((Invalid, NotAllowed, NotFound), match=said):
        asked(verb, params, query="is:open")
    with pytest.raises(QueryError):
        asked("acknowledge", {}, query="is:(")
    with pytest.raises(Invalid, match="Say which"):
        asked("acknowledge", {}, query=" ")
    assert not Act.objects.exists()


# --- taking back --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "params"),
    [
        ("assign", {"team": "web"}),
        ("assign", {"team": "-"}),
        ("move", {"to": "fix_claimed"}),
        ("move", {"to": "in_progress"}),
        ("acknowledge", {}),
    ],
)
def test_what_is_taken_back_stands_as_before(verb, params):
    team("web")
    buckets(*NAMES, owner=team("data"))
    columns = ("pk", "team", "trail", "pinned", "status", "claimed_at", "due_at", "verify_due")
    before = list(Finding.objects.order_by("pk").values(*columns))
    act = asked(verb, params, query="is:open")
    back = acts.undo(act=act.pk, actor=TRIAGER, at=AT + timedelta(minutes=1))
    assert (back.done, back.skipped, back.state) == (12, 0, "done")
    assert list(Finding.objects.order_by("pk").values(*columns)) == before
    assert Event.objects.filter(reason=f"↩ {act}").values("subject_id").distinct().count() == 12


def test_what_somebody_changed_since_is_not_taken_back():
    rows = buckets(*NAMES[:3], owner=team("data"))
    act = asked("assign", {"team": "-"}, query="is:open")
    change(rows[1], status="in_progress")
    back = acts.undo(act=act.pk, actor=TRIAGER, at=AT)
    assert (back.done, back.skipped) == (2, 1)
    rows[1].refresh_from_db()
    assert (rows[1].team_id, rows[1].status) == (None, "in_progress")


def test_it_is_taken_back_once_and_within_a_day():
    buckets(*NAMES[:2], owner=team("data"))
    act = asked("assign", {"team": "-"}, query="is:open")
    with pytest.raises(Invalid, match="older than a day"):
        acts.undo(act=act.pk, actor=TRIAGER, at=AT + timedelta(days=2))
    back = acts.undo(act=act.pk, actor=TRIAGER, at=AT)
    for number in (act.pk, back.pk):
        with pytest.raises(Invalid, match="already"):
            acts.undo(act=number, actor=TRIAGER, at=AT)


def test_only_whoever_did_it_or_triages_takes_it_back():
    web = team("web")
    buckets(*NAMES[:2], owner=web)
    cleo, carl = (of_user(person(f"{name}@example.com", "contributor", of=web), door="page") for name in ("cleo", "carl"))
    act = asked("move", {"to": "in_progress"}, cleo, query="is:open")
    with pytest.raises(NotAllowed):
        acts.undo(act=act.pk, actor=carl, at=AT)
    assert acts.undo(act=act.pk, actor=cleo, at=AT).done == 2


# --- one, many, and again -----------------------------------------------------------------------------------------------------


def test_one_is_refused_as_a_whole_and_can_be_taken_back():
    row = finding(owner=team("data"))
    act = acts.one(verb="move", params={"to": "in_progress"}, finding=row.pk, version=row.version, actor=TRIAGER, at=AT)
    with pytest.raises(Stale):
        acts.one(verb="move", params={"to": "open"}, finding=row.pk, version=row.version, actor=TRIAGER, at=AT)
    assert Act.objects.count() == 1
    acts.undo(act=act.pk, actor=TRIAGER, at=AT)
    row.refresh_from_db()
    assert row.status == "open"


def test_a_worker_that_died_is_gone_on_from(monkeypatch):
    monkeypatch.setattr(doing, "CHUNK", 5)
    buckets(*NAMES, owner=team("data"))
    act = acts.ask(verb="assign", params={"team": "-"}, actor=TRIAGER, at=AT, query="is:open")
    Act.objects.filter(pk=act.pk).update(state="running", lease_until=AT)
    doing._chunk(act, TRIAGER, AT)
    clock = Clock()
    assert acts.waiting(at=clock()) == [act.pk]
    done = acts.run(act.pk, clock=clock, actor=TRIAGER)
    assert (done.done, done.skipped, done.state) == (12, 0, "done")
    assert acts.waiting(at=clock()) == []


def test_rights_are_those_of_the_moment_it_is_done():
    buckets(*NAMES[:2])
    tess = person("tess@example.com", Role.TRIAGER)
    act = acts.ask(verb="assign", params={"team": "-"}, actor=of_user(tess, door="page"), at=AT, query="is:open")
    tess.rolegrant_set.all().delete() if hasattr(tess, "rolegrant_set") else tess.grants.all().delete()
    assert acts.run(act.pk, clock=Clock()).skipped == 2


@pytest.mark.parametrize("count", [2, 12])
def test_many_cost_as_many_statements_as_few(count, django_assert_max_num_queries):
    buckets(*NAMES[:count], owner=team("data"))
    with django_assert_max_num_queries(4):
        acts.plan(verb="assign", params={"team": "-"}, actor=TRIAGER, at=AT, query="is:open")
    act = acts.ask(verb="assign", params={"team": "-"}, actor=TRIAGER, at=AT, query="is:open")
    with django_assert_max_num_queries(40):
        acts.run(act.pk, clock=Clock(), actor=TRIAGER)


def test_an_actor_without_a_person_can_act():
    buckets(*NAMES[:2])
    machine = Actor(name="os:0", door="cli", roles=frozenset({Role.ADMINISTRATOR}))
    assert asked("assign", {"team": "-"}, machine, query="is:open").done == 2
