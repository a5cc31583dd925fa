"""Bundles and the ledger, on pages."""

import io
import zipfile

import pytest
from django.db import connection
from django.urls import reverse

from tests.factories import AT, Clock, finding, person, sealed
from triage.domain import bundles, ledger
from triage.models import Bundle, Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(settings, tmp_path):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()


@pytest.fixture
def auditor(client):
    user = person("aud@example.com", "auditor", name="Aude")
    client.force_login(user)
    return user


def order(client, **fields):
    return client.post(reverse("bundles"), {"since": "2026-10-01", "until": "2026-12-31", **fields})


def test_an_auditor_orders_a_bundle_and_fetches_it(client, auditor):
    row = finding()
    sealed(AT)
    assert order(client, framework="", query=f"id:{row}", seed="42").status_code == 302
    ordered = Bundle.objects.get()
    assert (ordered.state, bundles.waiting(AT)) == ("done", [])  # in tests the queue is done at once
    bundles.make(bundle=ordered.pk, clock=Clock())
    page = client.get(reverse("bundles")).content.decode()
    assert f"{ordered}.zip" in page
    answer = client.post(reverse("bundle", args=[ordered.pk]))
    data = b"".join(answer.streaming_content)
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    assert list(Event.objects.filter(subject="bundle").order_by("pk").values_list("kind", "subject_id", "actor")) == [
        ("exported", ordered.pk, f"user:{auditor.pk}"), ("fetched", ordered.pk, f"user:{auditor.pk}"),
    ]  # fmt: skip
    assert client.get(reverse("bundle", args=[ordered.pk])).status_code == 405


def test_what_is_wrong_with_an_order_is_said(client, auditor):
    finding()
    sealed(AT)
    for fields, said in (
        ({"since": "soon"}, "is not a date"), ({"since": "2027-01-01"}, "ends before it begins"), ({"framework": "nonsense"}, "No check serves"),
        ({"query": "team:"}, "team"), ({"sample": "many"}, "is not a number"),
    ):  # fmt: skip
        answer = order(client, **fields)
        assert answer.status_code in (400, 404, 422), fields
        assert said in answer.content.decode(), fields
    assert not Bundle.objects.exists()
    order(client, query="severity:low")
    row = Bundle.objects.get()
    bundles.make(bundle=row.pk, clock=Clock())
    assert "No finding of this period fits" in client.get(reverse("bundles")).content.decode()


def test_a_worker_that_died_is_followed_three_times(client, auditor):
    finding()
    sealed(AT)
    order(client)
    row = Bundle.objects.get()
    Bundle.objects.update(state="running", attempts=1, lease_until=AT)
    assert bundles.waiting(AT) == [row.pk]
    Bundle.objects.update(attempts=3)
    bundles.make(bundle=row.pk, clock=Clock())
    row.refresh_from_db()
    assert (row.state, row.problem["params"]) == ("failed", {"n": 3})


def test_the_ledger_shows_its_head_and_the_first_broken_place(client, auditor):
    assert "Nothing is sealed yet" in client.get(reverse("ledger")).content.decode()
    finding()
    sealed(AT)
    ledger.verify(at=AT)
    page = client.get(reverse("ledger")).content.decode()
    assert "The ledger is intact" in page
    assert "No external witness has a head" in page
    head = client.get(reverse("ledger-head"))
    assert head["Content-Disposition"].startswith("attachment")
    assert "findings 1\n" in head.content.decode()
    assert client.post(reverse("ledger-verify")).status_code == 302
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE; SET session_replication_role = replica")
        cursor.execute("UPDATE triage_event SET actor = 'user:666' WHERE subject = 'finding'")
        cursor.execute("SET session_replication_role = DEFAULT; SET ROLE cspm_app")
    ledger.verify(at=AT)
    page = client.get(reverse("ledger")).content.decode()
    assert "The ledger is not intact" in page
    assert "is not what was sealed" in page


def test_both_are_for_auditors(client):
    client.force_login(person("tess@example.com", "triager"))
    for name in ("bundles", "ledger", "ledger-head"):
        assert client.get(reverse(name)).status_code == 403
    assert order(client).status_code == 403
    assert client.post(reverse("bundle", args=[1])).status_code == 403
    assert client.post(reverse("ledger-verify")).status_code == 403
