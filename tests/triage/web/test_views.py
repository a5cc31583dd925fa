"""Searches kept under a name."""

import pytest
from django.utils.timezone import now

from tests.factories import finding, person
from triage.domain import views
from triage.domain.access import of_user
from triage.models import SavedView

KEEP = "/triage/views"


def keep(client, **said):
    return client.post(KEEP, {"name": "Open buckets", "q": "type:AwsS3Bucket is:open", **said}, follow=True)


def test_a_view_is_kept_shown_and_taken_away(client, triager):
    finding()
    page = keep(client, order="due").content.decode()
    view = SavedView.objects.get()
    assert "is saved" in page
    assert "/triage?q=type%3AAwsS3Bucket+is%3Aopen&amp;order=due" in page
    keep(client, q="is:overdue")
    assert SavedView.objects.get().query == "is:overdue"
    client.post(KEEP, {"forget": view.pk})
    assert not SavedView.objects.exists()


def test_who_triages_shares_and_others_see_it(client, triager):
    keep(client, shared="1", group="check")
    client.force_login(person("vera@example.com", "viewer"))
    page = client.get("/triage").content.decode()
    assert "Open buckets" in page
    assert 'name="forget"' not in page
    assert client.post(KEEP, {"forget": SavedView.objects.get().pk}, follow=True).status_code == 200
    assert SavedView.objects.exists()


def test_a_viewer_keeps_for_himself_and_shares_nothing(client, viewer):
    keep(client)
    assert "no right" in keep(client, name="All", shared="1").content.decode()
    assert list(SavedView.objects.values_list("name", "shared")) == [("Open buckets", False)]
    client.force_login(person("else@example.com", "triager"))
    assert "Open buckets" not in client.get("/triage").content.decode()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"name": " "}, "needs a name"),
        ({"q": "is:("}, ""),
        ({"order": "colour"}, "no such sort order"),
        ({"name": "x" * 90}, "at most 80"),
    ],
)
def test_what_cannot_be_kept_is_said(client, viewer, said, why):
    page = keep(client, **said).content.decode()
    assert "toast error" in page
    assert why in page
    assert not SavedView.objects.exists()


def test_nobody_keeps_more_than_fifty(viewer):
    actor = of_user(viewer, door="page")
    SavedView.objects.bulk_create(
        SavedView(user=viewer, name=f"v{n}", query="is:open", created_at=now()) for n in range(views.MOST)
    )
    with pytest.raises(views.Invalid):
        views.keep(user=viewer, name="one more", query="is:open", actor=actor, at=now())
    views.keep(user=viewer, name="v1", query="is:overdue", actor=actor, at=now())
