"""Evidence for people: before and after, side by side; and that it was read is an event."""

import json

import pytest
from django.urls import reverse

from tests.factories import Clock, finding, person
from tests.plugins.verifiers import told
from triage.domain import access, evidence, verification
from triage.models import Event

OPERATOR = access.of_machine(0)


@pytest.fixture(autouse=True)
def house(settings, tmp_path, named_verifier):
    settings.CSPM_HOME = tmp_path
    told.ANSWERS.clear()
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()


def look(row, clock, outcome, **response):
    told.ANSWERS.append(told.judgement(outcome, clock(), response=response))
    run = verification.request(finding=row.pk, trigger="person", actor=OPERATOR, at=clock())
    return verification.run(verification=run.pk, clock=clock)


def read_events(row):
    return list(Event.objects.filter(subject="finding", subject_id=row.pk, kind="evidence read").values_list("actor", "after"))


@pytest.mark.django_db(transaction=True)
def test_before_and_after_stand_side_by_side(client):
    row, clock, user = finding(check="told"), Clock(), person("vic@example.com", "viewer")
    client.force_login(user)
    address = reverse("before-after", args=[row.pk])
    assert client.get(address).status_code == 404
    before = look(row, clock, "failing", Grants=[{"Grantee": "AllUsers", "Permission": "READ"}], Owner="<b>acme</b>")
    assert "No rerun check has passed so far" in client.get(address).content.decode()
    after = look(row, clock, "fixed", Grants=[], Owner="<b>acme</b>")
    page = client.get(address).content.decode()
    assert "<del>" in page
    assert "&quot;Permission&quot;: &quot;READ&quot;" in page
    assert "<b>acme</b>" not in page
    assert "answers differ" in page
    digests = [bytes(run.evidence_id).hex() for run in (before, after)]
    assert read_events(row) == [(user.actor, {"sha256": [digests[0]]}), (user.actor, {"sha256": sorted(digests)})]
    assert reverse("before-after", args=[row.pk]) in client.get(reverse("finding", args=[row.pk])).content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_file_is_what_was_kept_and_fetching_it_is_an_event(client):
    row, clock, user = finding(check="told"), Clock(), person("vic@example.com", "viewer")
    run = look(row, clock, "failing")
    client.force_login(user)
    answer = client.post(reverse("proof", args=[run.pk]))
    assert answer.content == evidence.read(bytes(run.evidence_id))
    assert json.loads(answer.content)["outcome"] == "failing"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream"
    assert len(read_events(row)) == 1
    assert client.get(reverse("proof", args=[run.pk])).status_code == 405
    assert client.post(reverse("proof", args=[0])).status_code == 404
    client.force_login(person("sam@example.com"))
    assert client.post(reverse("proof", args=[run.pk])).status_code == 403
    assert client.get(reverse("before-after", args=[row.pk])).status_code == 403
    assert len(read_events(row)) == 1
