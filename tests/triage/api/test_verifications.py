"""Verifications by the API: asked for once, watched until they are over, taken back."""

import pytest
from django.utils.timezone import now

from tests.factories import buckets, change, finding, person, team
from tests.triage.api.conftest import Caller
from triage.domain import verification
from triage.models import Event, Finding, Verification, VerificationRun

MANY = "/api/v1/verifications"


@pytest.fixture(autouse=True)
def _verifier(named_verifier):
    return named_verifier


def ask(caller, **body):
    key = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    return caller.post(MANY, body, content_type="application/json", headers=key)


def test_a_finding_is_verified_and_watched(caller, nudges, django_capture_on_commit_callbacks):
    (row,) = buckets("denied-1")

    with django_capture_on_commit_callbacks(execute=True):
        asked = caller.post(f"/api/v1/findings/{row}/verifications")

    job = asked.json()
    assert (asked.status_code, job["state"], job["finding"], job["outcome"]) == (202, "queued", str(row), None)
    assert asked["Location"] == f"/api/v1/verifications/{job['id']}"
    found = Verification.objects.get()
    assert nudges == [("triage.tasks.verify", found.pk)]
    assert found.actor == f"token:{caller.token.pk}"
    assert caller.get(asked["Location"])["Retry-After"] == "2"

    verification.drain(clock=now)

    done = caller.get(asked["Location"])
    assert "Retry-After" not in done.headers
    said = done.json()
    assert (said["state"], said["outcome"], said["missing"]) == ("done", "denied", "s3:GetBucketAcl")
    assert said["principal"] == "arn:aws:sts::123456789012:assumed-role/auditor/x"
    assert said["summary"] == "The bucket is denied."
    assert len(said["evidence"]) == 64


def test_asking_twice_is_one_verification(caller, nudges):
    (row,) = buckets("fixed-1")

    answers = [caller.post(f"/api/v1/findings/{row}/verifications") for _twice in range(2)]

    assert answers[0].json() == answers[1].json()
    assert Verification.objects.count() == 1


def test_a_query_is_a_run(caller, nudges, django_capture_on_commit_callbacks):
    buckets("fixed-1", "failing-2", "gone-3")
    finding(check="iam_avoid_root_usage", bucket="x")

    with django_capture_on_commit_callbacks(execute=True):
        asked = ask(caller, query="is:open")

    run = asked.json()
    assert (asked.status_code, run["state"], run["total"], run["unanswered"], run["waiting"]) == (202, "running", 3, 1, 3)
    assert nudges == [("triage.tasks.verify_waiting",)]
    assert caller.get(asked["Location"])["Retry-After"] == "2"

    verification.drain(clock=now)

    done = caller.get(asked["Location"]).json()
    assert (done["state"], done["percent"], done["outcomes"]) == ("done", 100, {"fixed": 1, "failing": 1, "gone": 1})


def test_the_same_key_is_the_same_run(caller, nudges):
    buckets("fixed-1")

    first, again = ask(caller, query="is:open", key="k-1"), ask(caller, query="is:open", key="k-1")
    other = ask(caller, query="check:named", key="k-1")

    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
    assert other.json()["code"] == "key-reused"
    assert VerificationRun.objects.count() == 1


def test_a_limit_takes_the_worst(caller, nudges):
    rows = buckets("fixed-1", "fixed-2")
    change(rows[1], score=900)

    ask(caller, query="is:open", limit=1)

    assert Verification.objects.get().finding == rows[1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/query"),
        ({"query": "  "}, "#/query"),
        ({"query": 7}, "#/query"),
        ({"query": "is:open", "limit": 0}, "#/limit"),
        ({"query": "is:open", "limit": True}, "#/limit"),
        ({"query": "is:open", "limit": 2**40}, "#/limit"),
        ({"query": "is:open", "findings": []}, "#/findings"),
        ({"query": "severity:terrible"}, "#/query"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(caller, body, pointer):
    buckets("fixed-1")

    answer = ask(caller, **body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not VerificationRun.objects.exists()


@pytest.mark.parametrize(
    ("data", "kind", "status"), [("[]", "json", 400), ("{", "json", 400), ("query=x", "x-www-form-urlencoded", 415)]
)
def test_a_body_that_is_no_object_is_refused(caller, data, kind, status):
    assert caller.post(MANY, data, content_type=f"application/{kind}").status_code == status


def test_the_own_team_and_no_other(db, nudges):
    web = team("web")
    own, other = buckets("fixed-1", "fixed-2")
    change(own, team=web)
    caller = Caller(person("cleo@example.com", "contributor", of=web))

    assert caller.post(f"/api/v1/findings/{own}/verifications").status_code == 202
    assert caller.post(f"/api/v1/findings/{other}/verifications").status_code == 403
    run = ask(caller, query="is:open").json()

    assert (run["total"], run["barred"], run["joined"]) == (0, 1, 1)


def test_a_run_is_cancelled_once(caller, nudges):
    buckets("fixed-1", "fixed-2")
    run = ask(caller, query="is:open").json()

    answer = caller.post(f"/api/v1/verification-runs/{run['id']}/cancellation")
    again = caller.post(f"/api/v1/verification-runs/{run['id']}/cancellation")

    assert (answer.status_code, answer.json()["state"], answer.json()["withdrawn"]) == (200, "cancelled", 2)
    assert (again.status_code, again.json()["code"]) == (400, "invalid")
    assert Event.objects.get(subject="verification run", kind="cancelled").door == "api"
    assert Finding.objects.filter(status="open").count() == 2


@pytest.mark.parametrize(
    "path", ["/api/v1/verifications/V-9", "/api/v1/verification-runs/R-9", "/api/v1/findings/F-9/verifications"]
)
def test_what_there_is_not(caller, path):
    answer = caller.post(path) if path.endswith("verifications") else caller.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_the_letter_of_another_thing_is_no_address(caller):
    assert caller.get("/api/v1/verification-runs/V-9").status_code == 404
