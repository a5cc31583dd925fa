"""Many verifications at once: asked for in a few statements, shared by any number of workers, taken back, and counted."""

import os
import signal
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils.timezone import now

from tests.factories import AT, TRIAGER, VIEWER, Clock, buckets, change, finding, person, team
from tests.processes import ended, in_child
from triage.domain import access, verification
from triage.domain.access import Actor
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.locking import turn
from triage.domain.search import QueryError
from triage.domain.verification import requesting, running, runs
from triage.domain.verification.runs import Wanted
from triage.models import Event, Finding, Role, Verification, VerificationRun

PERSON = Verification.Trigger.PERSON
ALL = "check:named"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def _verifier(named_verifier):
    return named_verifier


def asked(query=ALL, *, actor=TRIAGER, at=AT, **more):
    return verification.request_all(query=query, trigger=PERSON, actor=actor, at=at, **more)


# --- asking -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.django_db
def test_asking_takes_as_many_statements_for_many_as_for_one(count, django_assert_num_queries):
    buckets(*(f"fixed-{number}" for number in range(count)))

    with django_assert_num_queries(13):  # a chunk's one and twelve more
        run = asked()

    assert run.total == count == Verification.objects.filter(run=run, state="queued").count()


@pytest.mark.django_db
def test_what_may_not_or_cannot_be_verified_is_counted_and_said():
    web, shop = team("web"), team("shop")
    buckets("fixed-1", "fixed-2", owner=web)
    change(Finding.objects.latest("pk"), team=shop)
    finding(check="iam_avoid_root_usage", bucket="x", owner=web)
    contributor = Actor(name="user:7", door="page", roles=frozenset({Role.CONTRIBUTOR}), teams=frozenset({web.pk}))

    run = asked("is:open", actor=contributor)

    assert (run.total, run.barred, run.unanswered, run.joined) == (1, 1, 1, 0)
    event = Event.objects.get(subject="verification run", subject_id=run.pk)
    assert (event.kind, event.actor, event.after) == (
        "requested",
        "user:7",
        {"query": "is:open", "trigger": "person", "total": 1, "barred": 1, "unanswered": 1, "joined": 0},
    )


@pytest.mark.django_db
def test_what_is_on_its_way_is_not_asked_again():
    rows = buckets("fixed-1", "fixed-2", "fixed-3")
    first = verification.request(finding=rows[0].pk, trigger=PERSON, actor=TRIAGER, at=AT)

    run = asked()

    assert (run.total, run.joined) == (2, 1)
    assert Verification.objects.get(finding=rows[0]) == first


@pytest.mark.django_db
def test_a_limit_takes_the_worst():
    rows = buckets("fixed-1", "fixed-2", "fixed-3")
    change(rows[1], score=900)

    run = asked(limit=1)

    assert run.verifications.get().finding == rows[1]


@pytest.mark.django_db
def test_a_list_of_findings_is_a_run_too():
    rows = buckets("fixed-1", "fixed-2", "fixed-3")

    run = verification.request_all(findings=[rows[0].pk, rows[2].pk, 999_999], trigger=PERSON, actor=TRIAGER, at=AT)

    assert {each.finding_id for each in run.verifications.all()} == {rows[0].pk, rows[2].pk}
    assert run.query == ""


@pytest.mark.django_db
def test_mine_are_the_teams_that_the_pages_show():
    web = team("web")
    ana = person("ana@example.com", "triager")
    web.members.create(email="ana@example.com")
    buckets("fixed-1", owner=web)
    buckets("fixed-2", check="named", owner=None)

    run = asked("is:mine", actor=access.of_user(ana, door="page"))

    assert run.total == 1


@pytest.mark.django_db
def test_asking_for_many_needs_the_right_and_something_to_ask_for():
    buckets("fixed-1")

    with pytest.raises(NotAllowed):
        asked(actor=VIEWER)
    with pytest.raises(NotAllowed):
        asked(actor=Actor(name="user:7", door="page", roles=frozenset({Role.CONTRIBUTOR})))
    with pytest.raises(QueryError):
        asked("severity:")
    for nothing in ("", "  "):
        with pytest.raises(Invalid):
            asked(nothing)

    assert not VerificationRun.objects.exists()
    assert not Event.objects.filter(subject="verification run").exists()


# --- running ------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_how_far_a_run_is_and_what_came_of_it(clock):
    buckets("fixed-1", "failing-2", "gone-3", "denied-4", "cannot-5", "error-6")
    run = asked()
    waiting = runs.progress(run, at=clock())
    assert (waiting.waiting, waiting.done, waiting.percent, waiting.left, waiting.finished) == (6, 0, 0, None, False)

    assert verification.drain(clock=clock, of_run=run.pk) == 6

    done = runs.progress(run, at=clock())
    assert done.outcomes == dict.fromkeys(("fixed", "failing", "gone", "denied", "cannot", "error"), 1)
    assert (done.percent, done.finished) == (100, True)


@pytest.mark.django_db
def test_the_end_is_foreseen_by_the_pace_of_late(clock):
    buckets(*(f"fixed-{number}" for number in range(4)))
    run = asked()
    rows = list(run.verifications.order_by("pk"))
    for number, minutes in ((0, 4), (1, 2)):
        Verification.objects.filter(pk=rows[number].pk).update(
            state="done", outcome="fixed", finished_at=AT - timedelta(minutes=minutes)
        )

    assert runs.progress(run, at=AT).left == timedelta(minutes=4)


@pytest.mark.django_db
def test_what_somebody_asked_for_by_itself_does_not_wait_for_a_run(clock):
    buckets("fixed-1", "fixed-2")
    asked()
    urgent = finding(check="named", bucket="fixed-3")
    alone = verification.request(finding=urgent.pk, trigger=PERSON, actor=TRIAGER, at=AT)

    claimed = running._claim(running.Q(), at=clock())

    assert claimed[0] == alone


@pytest.mark.django_db(transaction=True)
def test_ten_drains_at_once_run_each_once(named_verifier):
    buckets(*(f"fixed-{number}" for number in range(200)))
    buckets(*(f"failing-{number}" for number in range(100)), account="210987654321")
    run = asked()

    children = [in_child(lambda: _drain_until_over(run)) for _number in range(10)]

    assert [ended(child) for child in children] == [0] * 10
    assert runs.progress(run, at=AT).outcomes == {"fixed": 200, "failing": 100}
    assert set(run.verifications.values_list("attempts", flat=True)) == {1}
    assert Event.objects.filter(kind="verified").count() == 200


@pytest.mark.django_db(transaction=True)
def test_no_account_is_asked_by_more_than_two_at_once(named_verifier):
    buckets(*(f"fixed-{number}" for number in range(240)))
    buckets(*(f"fixed-{number}" for number in range(240, 320)), account="210987654321")
    run = asked()

    children = [in_child(lambda: _drain_until_over(run)) for _number in range(8)]

    assert [ended(child) for child in children] == [0] * 8
    assert runs.progress(run, at=AT).outcomes == {"fixed": 320}
    assert named_verifier.at_once("123456789012") == running.AT_ONCE
    assert 1 <= named_verifier.at_once("210987654321") <= running.AT_ONCE


@pytest.mark.django_db(transaction=True)
def test_a_turn_of_the_dead_is_free_again(clock):
    buckets("killed-1", "fixed-2")
    asked()
    for _twice in range(running.AT_ONCE):
        ended(in_child(lambda: verification.drain(clock=clock)))

    clock.pass_(minutes=11)

    assert verification.drain(clock=clock) == 2


@pytest.mark.django_db(transaction=True)
def test_a_full_account_does_not_stop_the_others(clock):
    buckets("fixed-1", "fixed-2")
    buckets("fixed-3", "fixed-4", account="210987654321")
    asked()
    rows = Finding.objects.filter(account__uid="123456789012")
    others = [in_child(lambda: _hold(rows[0].account_id)) for _number in range(running.AT_ONCE)]
    for _look in range(200):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            if cursor.fetchone() == (running.AT_ONCE,):
                break
        time.sleep(0.02)

    assert verification.drain(clock=clock) == Finding.objects.exclude(pk__in=rows).count()

    assert not Verification.objects.filter(finding__in=rows, state="done").exists()
    for other in others:
        os.kill(other, signal.SIGKILL)
        assert ended(other) == -9


def _hold(account):
    with turn(f"cspm verification {account}", places=running.AT_ONCE):
        time.sleep(60)


def _drain_until_over(run):
    """By the real time: clocks of their own would run ahead of each other's leases."""
    while not runs.progress(run, at=now()).finished:
        verification.drain(clock=now)


@pytest.mark.django_db(transaction=True)
def test_what_a_killed_worker_left_is_resumed_and_nothing_is_asked_twice(clock):
    buckets("fixed-1", "killed-2", "fixed-3")
    run = asked()

    assert ended(in_child(lambda: verification.drain(clock=clock))) == -9
    left = runs.progress(run, at=clock())
    assert (left.done, left.running) == (1, 2)
    assert verification.drain(clock=clock) == 0
    clock.pass_(minutes=11)
    assert verification.drain(clock=clock) == 2

    assert runs.progress(run, at=clock()).outcomes == {"fixed": 3}
    assert sorted(run.verifications.values_list("attempts", flat=True)) == [1, 2, 2]


@pytest.mark.django_db(transaction=True)
def test_who_interrupts_leaves_the_rest_waiting(clock):
    buckets("fixed-1", "interrupted-2", "fixed-3")
    run = asked()

    with pytest.raises(KeyboardInterrupt):
        verification.drain(clock=clock)

    left = runs.progress(run, at=clock())
    assert (left.done, left.waiting, left.running) == (1, 2, 0)
    assert runs.unfinished(query=f" {ALL} ", actor=TRIAGER) == run
    verification.drain(clock=clock)
    assert runs.progress(run, at=clock()).outcomes == {"fixed": 3}
    assert runs.unfinished(query=ALL, actor=TRIAGER) is None


# --- taking back --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_cancelling_withdraws_what_waits_and_lets_the_rest_be(clock):
    buckets("fixed-1", "fixed-2", "fixed-3")
    run = asked()
    verification.run(verification=run.verifications.latest("pk").pk, clock=clock)

    assert runs.cancel(run, actor=TRIAGER, at=clock()) == 2

    far = runs.progress(run, at=clock())
    assert (far.done, far.withdrawn, far.waiting, far.percent) == (1, 2, 0, 100)
    assert not verification.waiting(clock())
    event = Event.objects.filter(subject="verification run").latest("pk")
    assert (event.kind, event.after, event.actor) == ("cancelled", {"withdrawn": 2}, "user:1")
    with pytest.raises(Invalid, match="is waiting any more"):
        runs.cancel(run, actor=TRIAGER, at=clock())
    assert asked().total == 3


@pytest.mark.django_db
def test_what_is_given_back_after_the_run_was_cancelled_is_withdrawn(clock):
    buckets("fixed-1", "fixed-2")
    run = asked()
    claimed = running._claim(running.Q(), at=clock())
    other = asked("check:named score>=0")
    assert other.joined == 2
    VerificationRun.objects.filter(pk=run.pk).update(cancelled_at=clock())

    running._give_back(claimed)

    assert set(run.verifications.values_list("state", "attempts")) == {("withdrawn", 0)}


@pytest.mark.django_db
def test_who_asked_or_may_verify_anything_cancels():
    web = team("web")
    buckets("fixed-1", owner=web)
    contributor = Actor(name="user:7", door="page", roles=frozenset({Role.CONTRIBUTOR}), teams=frozenset({web.pk}))
    another = Actor(name="user:8", door="page", roles=frozenset({Role.CONTRIBUTOR}), teams=frozenset({web.pk}))
    run = asked(actor=contributor)

    for no in (VIEWER, another):
        with pytest.raises(NotAllowed):
            runs.cancel(run, actor=no, at=AT)

    assert runs.cancel(run, actor=contributor, at=AT) == 1
    assert runs.may_cancel(run, TRIAGER)


# --- what was missing ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_was_denied_is_told_by_permission_and_account_until_it_is_given(clock):
    buckets("denied-1", "denied-2", "fixed-3")
    buckets("denied-4", account="210987654321")
    run = asked()
    verification.drain(clock=clock)

    told = [(lack.missing, lack.account.uid, lack.findings) for lack in runs.lacks(Wanted())]
    assert told == [("s3:GetBucketAcl", "123456789012", 2), ("s3:GetBucketAcl", "210987654321", 1)]
    assert runs.lacks(Wanted())[0].principal.endswith("assumed-role/auditor/x")
    assert len(runs.lacks(Wanted(run=run.pk))) == 2

    denied = Verification.objects.filter(outcome="denied").earliest("pk")
    Verification.objects.create(
        finding=denied.finding, trigger=PERSON, actor="x", state="done", outcome="failing", requested_at=AT, finished_at=AT
    )
    assert [lack.findings for lack in runs.lacks(Wanted())] == [1, 1]


@pytest.mark.django_db
def test_a_later_denial_counts_for_what_it_lacked_alone(clock):
    buckets("denied-1", "denied-2")
    run = asked()
    verification.drain(clock=clock)
    run.verifications.update(missing="s3:GetBucketPolicy")
    asked()
    verification.drain(clock=clock)

    assert [(lack.missing, lack.findings) for lack in runs.lacks(Wanted())] == [("s3:GetBucketAcl", 2)]
    assert [(lack.missing, lack.findings) for lack in runs.lacks(Wanted(run=run.pk))] == [("s3:GetBucketPolicy", 2)]
    assert runs.lacking("s3:GetBucketPolicy", account="123456789012") == []
    assert len(runs.lacking("s3:GetBucketAcl", account="123456789012")) == 2


@pytest.mark.django_db
def test_verifications_are_found_by_outcome_account_verifier_and_run(clock):
    buckets("denied-1", "fixed-2")
    run = asked()
    verification.drain(clock=clock)
    asked("check:named status:open")

    def found(**wanted):
        return [str(each.finding.asset) for each in runs.verifications(Wanted(**wanted))[0]]

    assert len(found()) == 3
    assert len(found(outcome="queued")) == 1
    assert len(found(outcome="fixed")) == 1
    assert len(found(verifier="named", run=run.pk)) == 2
    assert len(found(account="123456789012", outcome="denied")) == 1
    assert found(account="0") == []
    rows, following = runs.verifications(Wanted(), size=2)
    assert [each.pk for each in runs.verifications(Wanted(), before=following, size=2)[0]] == [rows[-1].pk - 1]


@pytest.mark.django_db
def test_a_run_that_is_none_is_said():
    with pytest.raises(NotFound, match="R-7"):
        runs.named(7)


def test_each_check_has_one_verifier():
    assert requesting.answers()["prowler", "named"] == "named"
