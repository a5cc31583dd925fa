"""The auditor's questions, on a page."""

from datetime import timedelta

import pytest
from django.urls import reverse

from tests.factories import AT, finding, person, team
from triage.domain import access


@pytest.fixture
def auditor(client, db):
    user = person("aud@example.com", "auditor", name="Aude")
    client.force_login(user)
    return user


def test_owners_and_roles_are_told_for_a_day(client, auditor):
    row = finding(owner=team("web"))
    ana = person("ana@example.com")
    access.give(user=ana, role="triager", team=None, actor=access.of_machine(0), at=AT)
    access.take(user=ana, role="triager", team=None, actor=access.of_machine(0), at=AT + timedelta(days=5))
    day = (AT + timedelta(days=1)).date().isoformat()
    page = client.get(reverse("audit"), {"on": day, "asset": row.asset.uid, "person": "ana@example.com"}).content.decode()
    assert "Triager" in page
    assert row.asset.uid in page
    later = (AT + timedelta(days=6)).date().isoformat()
    assert "No role at that time" in client.get(reverse("audit"), {"on": later, "person": "ana@example.com"}).content.decode()


def test_what_is_wrong_is_said_and_it_is_for_auditors(client, auditor):
    assert client.get(reverse("audit")).status_code == 200
    assert client.get(reverse("audit"), {"on": "soon"}).status_code == 400
    assert client.get(reverse("audit"), {"person": "nobody@example.com"}).status_code == 404
    assert client.get(reverse("audit"), {"asset": "arn:nothing"}).status_code == 404
    client.force_login(person("vic@example.com", "viewer"))
    assert client.get(reverse("audit")).status_code == 403
