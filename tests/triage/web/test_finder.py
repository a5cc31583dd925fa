"""What the search box says may follow."""

import pytest

from triage.models import Team

pytestmark = pytest.mark.django_db


def test_what_may_follow_where_the_cursor_stands(client, triager):
    Team.objects.create(slug="payments", name="Payments <b>")
    page = client.get("/search/completion", {"q": "team:pay is:open", "at": "8"}).content.decode()
    assert 'data-text="payments" data-start="5" data-end="8"' in page
    assert "Payments &lt;b&gt;" in page
    assert client.get("/search/completion", {"q": "is:open"}).content == b""  # it is there already
    for at in ("x", "-1", "99999"):
        assert client.get("/search/completion", {"q": "sev", "at": at}).status_code == 200


def test_who_is_nobody_is_told_nothing(client):
    assert client.get("/search/completion", {"q": "team:"}).status_code == 302
