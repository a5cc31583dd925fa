"""The same request from several threads at once, over a real server's real transactions."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.utils.timezone import now

from tests.factories import person
from tests.triage.api.conftest import Caller
from tests.triage.api.test_imports import IMPORTS, form
from triage.domain import ingest
from triage.models import Evidence, IdempotencyKey, Scan


@pytest.fixture
def at_once(transactional_db, nudges):
    """Runs calls at the same moment, each with a connection of its own; their answers."""

    def run(*calls):
        gate = threading.Barrier(len(calls))

        def work(call):
            gate.wait()
            try:
                return call()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(work, calls))

    return run


def caller_of(user, token):
    return Caller(user, secret=token)


def test_of_many_at_once_one_is_done_and_the_others_repeat_its_answer_or_wait(at_once, nudges):
    user = person("tess@example.com", "triager")
    first = Caller(user)

    def call():
        return caller_of(user, first.secret).post(IMPORTS, form(b"x" * 2_000_000), headers={"Idempotency-Key": "k"})

    answers = at_once(*[call] * 6)

    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) <= {202, 409}
    assert 202 in codes
    assert len({answer["Location"] for answer in answers if answer.status_code == 202}) == 1
    assert all(answer["Retry-After"] == "1" for answer in answers if answer.status_code == 409)
    assert (Scan.objects.count(), IdempotencyKey.objects.count(), len(nudges)) == (1, 1, 1)
    assert call().status_code == 202
    assert Scan.objects.count() == 1


def test_while_the_first_is_at_work_the_second_is_told_to_wait(at_once, monkeypatch):
    user = person("tess@example.com", "triager")
    first = Caller(user)
    working, finish = threading.Event(), threading.Event()
    receive = ingest.receive

    def slow(**said):
        working.set()
        assert finish.wait(10)
        return receive(**said)

    monkeypatch.setattr(ingest, "receive", slow)

    def begin():
        return first.post(IMPORTS, form(), headers={"Idempotency-Key": "k"})

    def repeat():
        assert working.wait(10)
        try:
            return caller_of(user, first.secret).post(IMPORTS, form(), headers={"Idempotency-Key": "k"})
        finally:
            finish.set()

    done, told = at_once(begin, repeat)

    assert (done.status_code, told.status_code, told.json()["code"]) == (202, 409, "in-flight")


def test_a_worker_that_dies_leaves_the_key_free_and_nothing_done(at_once, monkeypatch):
    user = person("tess@example.com", "triager")
    caller = Caller(user)
    receive = ingest.receive

    def dying(**said):
        receive(**said)
        raise RuntimeError("killed")

    monkeypatch.setattr(ingest, "receive", dying)
    died = caller.post(IMPORTS, form(), headers={"Idempotency-Key": "k"})
    left = (Scan.objects.count(), IdempotencyKey.objects.count(), Evidence.objects.count())
    monkeypatch.setattr(ingest, "receive", receive)
    again = caller.post(IMPORTS, form(), headers={"Idempotency-Key": "k"})

    assert (died.status_code, left, again.status_code) == (500, (0, 0, 0), 202)


def test_different_keys_do_not_wait_for_each_other(at_once):
    user = person("tess@example.com", "triager")
    callers = [Caller(user) for _ in range(4)]

    answers = at_once(*[
        lambda caller=caller, key=f"k{number}": caller.post(IMPORTS, form(str(key).encode()), headers={"Idempotency-Key": key})
        for number, caller in enumerate(callers)
    ])  # fmt: skip

    assert [answer.status_code for answer in answers] == [202] * 4
    assert Scan.objects.count() == 4


def test_keys_are_forgotten_after_a_week(db, caller, nudges):
    caller.post(IMPORTS, form(), headers={"Idempotency-Key": "old"})
    IdempotencyKey.objects.update(created_at=now().replace(year=2020))

    caller.post(IMPORTS, form(b"new"), headers={"Idempotency-Key": "new"})

    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["new"]
