"""The log, bundles and evidence by the API."""

import hashlib
import io
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from django.utils.timezone import now

from tests.factories import AT, finding, person, sealed
from tests.triage.api.conftest import Caller
from triage.domain import bundles, evidence
from triage.models import Bundle, Event, Verification

AUDITOR = ("audit:read", "audit:write", "verifications:read")


@pytest.fixture
def auditor(db, nudges):
    return Caller(person("aude@example.com", "auditor"), *AUDITOR)


def period():
    today = now().date()
    return {"since": (today - timedelta(days=30)).isoformat(), "until": today.isoformat()}


@pytest.mark.django_db(transaction=True)
def test_the_log_tells_how_it_stands(auditor):
    before = auditor.get("/api/v1/ledger").json()
    assert (before["head"], before["fault"], before["waiting"] > 0) == (None, None, True)
    sealed(now())
    after = auditor.get("/api/v1/ledger").json()
    assert after["size"] == int(after["head"].splitlines()[1])
    assert after["keys"]


@pytest.mark.django_db(transaction=True)
def test_a_bundle_is_ordered_made_and_fetched(auditor, nudges):
    finding()
    sealed(now())
    ordered = auditor.post("/api/v1/bundles", {**period(), "sample": 0}, content_type="application/json")
    number = Bundle.objects.get().pk
    assert (ordered.status_code, ordered.json()["state"], ordered["Location"]) == (202, "waiting", f"/api/v1/bundles/B-{number}")
    assert nudges == [("triage.tasks.make_bundle", number)]
    assert auditor.get(f"/api/v1/bundles/B-{number}/file").status_code == 404

    bundles.make(bundle=number, clock=now)

    made = auditor.get(f"/api/v1/bundles/B-{number}").json()
    assert (made["state"], made["findings"], made["problem"]) == ("done", 1, None)
    file = b"".join(auditor.get(f"/api/v1/bundles/{number}/file").streaming_content)
    assert hashlib.sha256(file).hexdigest() == made["sha256"]
    assert "verify.py" in " ".join(zipfile.ZipFile(io.BytesIO(file)).namelist())
    assert Event.objects.filter(subject="bundle", kind="fetched").exists()
    assert [each["id"] for each in auditor.get("/api/v1/bundles").json()["bundles"]] == [f"B-{number}"]


def test_the_period_is_of_whole_days_where_the_person_is(auditor):
    auditor.user.time_zone = "Europe/Paris"
    auditor.user.save()
    wanted = {"since": "2026-01-01", "until": "2026-03-31"}
    assert auditor.post("/api/v1/bundles", wanted, content_type="application/json").status_code == 202
    row = Bundle.objects.get()
    assert row.since == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert row.to == datetime(2026, 3, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"since": "soon"}, "#/since"), ({"until": None}, "#/until"), ({"sample": "many"}, "#/sample"),
        ({"query": "severity:bad"}, "#/query"), ({"from": "x"}, "#/from"),
        ({"until": "9999-12-31"}, "#/until"), ({"since": "0001-01-01"}, "#/since"), ({"query": "a " * 1_001}, "#/query"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_order_is_pointed_at(auditor, body, pointer):
    answer = auditor.post("/api/v1/bundles", {**period(), **body}, content_type="application/json")
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not Bundle.objects.exists()


def test_evidence_is_given_as_it_was_kept(auditor):
    kept = evidence.keep(b'{"outcome": "FIXED"}', media_type="application/json", at=AT)
    run = Verification.objects.create(
        finding=finding(), trigger="person", actor="user:0", requested_at=AT, evidence=kept, state="done", outcome="fixed"
    )
    answer = auditor.get(f"/api/v1/verifications/V-{run.pk}/evidence")
    assert answer.content == b'{"outcome": "FIXED"}'
    assert hashlib.sha256(answer.content).hexdigest() in answer["ETag"]
    assert Event.objects.filter(kind="evidence read").exists()
    assert auditor.get("/api/v1/verifications/V-999999/evidence").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "triager"])
def test_who_does_not_audit_sees_no_log_and_no_bundle(db, nudges, role):
    caller = Caller(person("vic@example.com", role), *AUDITOR)
    for path in ("/api/v1/ledger", "/api/v1/bundles", "/api/v1/bundles/B-1", "/api/v1/bundles/B-1/file"):
        assert caller.get(path).status_code == 403
    assert caller.post("/api/v1/bundles", period(), content_type="application/json").status_code == 403


def test_who_may_read_may_not_order(auditor):
    reader = Caller(auditor.user, "audit:read")
    assert reader.post("/api/v1/bundles", period(), content_type="application/json").status_code == 403
