"""The register of exceptions, asking and deciding, from the pages."""

from datetime import timedelta
from hashlib import sha256

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.timezone import now

from tests.factories import finding, person, team
from triage.domain.audit import recording
from triage.domain.sla import clocks
from triage.models import Finding, RiskException


@pytest.fixture
def approver(db):
    return person("abe@example.com", "senior_approver", name="Abe")


def running(**columns) -> Finding:
    row = finding(at=now() - timedelta(hours=5), due_at=None, owner=team("web"), **columns)
    with recording(actor="worker", at=row.first_seen, door="task"):
        clocks.restart([row.pk], at=row.first_seen)
    row.refresh_from_db()
    return row


def later(days: int = 20) -> str:
    return (now() + timedelta(days=days)).date().isoformat()


def test_from_the_request_to_the_decision_and_back(client, triager, approver):
    row = running()
    assert "exceptions/request" in client.get(reverse("finding", args=[row.pk])).content.decode()
    form = client.get(reverse("exception-request"), {"finding": row.pk})
    assert "open finding now" in form.content.decode()

    proof = SimpleUploadedFile("minutes.pdf", b"%PDF-1.7 minutes of the meeting")
    said = {
        "finding": row.pk,
        "kind": "accepted",
        "reason": "Migration in March",
        "until": later(),
        "request": "1",
        "evidence": proof,
    }
    done = client.post(reverse("exception-request"), said, follow=True)

    asked = RiskException.objects.get()
    assert bytes(asked.evidence_id) == sha256(b"%PDF-1.7 minutes of the meeting").digest()
    text = done.content.decode()
    assert "somebody else has to decide" in text
    assert "Migration in March" in text
    where = reverse("exception-decide", args=[asked.pk])
    assert client.post(where, {"approve": "1"}).status_code == 403

    client.force_login(approver)
    assert "Waiting for a decision" in client.get(reverse("exceptions")).content.decode()
    client.post(where, {"approve": "1", "reason": "fine"})
    row.refresh_from_db()
    assert row.status == "accepted"
    page = client.get(reverse("finding", args=[row.pk])).content.decode()
    assert f"{asked} · Risk accepted" in page
    assert "In force" in client.get(reverse("exceptions"), {"on": later(1)}).content.decode()

    client.post(where, {"revoke": "1", "reason": "no more"})
    row.refresh_from_db()
    assert row.status == "open"
    assert "Revoked" in client.get(reverse("exception", args=[asked.pk])).content.decode()
    assert "No exceptions" in client.get(reverse("exceptions")).content.decode()
    assert str(asked) in client.get(reverse("exceptions"), {"all": "1"}).content.decode()


def test_a_query_is_previewed_and_what_is_wrong_is_said(client, triager):
    row = running()
    where = reverse("exception-request")
    seen = client.post(where, {"q": "team:web", "preview": "1"})
    assert str(row) in seen.content.decode()
    assert client.post(where, {"q": "colour:red", "preview": "1"}).status_code == 400
    moving = client.post(where, {"q": "age>30d", "preview": "1"})
    assert "something else tomorrow" in moving.content.decode()
    late = client.post(where, {"q": "team:web", "kind": "accepted", "reason": "x", "until": later(400), "request": "1"})
    assert "90 days at most" in late.content.decode()
    assert client.get(where, {"finding": "abc"}).status_code == 400
    assert client.get(where, {"check": "999999"}).status_code == 404
    assert not RiskException.objects.exists()


def test_a_manual_finding_is_attested(client, triager, approver):
    row = finding(status="manual", due_at=None, clock_from=None, at=now())
    form = client.get(reverse("exception-request"), {"finding": row.pk}).content.decode()
    assert "Attestation" in form
    assert "False positive" not in form
    client.post(
        reverse("exception-request"),
        {"finding": row.pk, "kind": "attested", "reason": "Looked at the contract", "until": later(80), "request": "1"},
    )
    client.force_login(approver)
    client.post(reverse("exception-decide", args=[RiskException.objects.get().pk]), {"approve": "1"})
    row.refresh_from_db()
    assert row.status == "attested"


def test_viewers_read_and_do_nothing(client, viewer):
    row = running()
    assert client.get(reverse("exceptions")).status_code == 200
    assert "exceptions/request" not in client.get(reverse("finding", args=[row.pk])).content.decode()
    said = {"finding": row.pk, "kind": "accepted", "reason": "x", "until": later(), "request": "1"}
    assert client.post(reverse("exception-request"), said).status_code == 403
    assert client.get(reverse("exception", args=[99])).status_code == 404
    assert client.get(reverse("exceptions"), {"on": "soon"}).status_code == 200


def test_strangers_see_nothing(client, stranger):
    for name in ("exceptions", "exception-request"):
        assert client.get(reverse(name)).status_code == 403
