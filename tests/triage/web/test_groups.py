"""The queue put together by check, asset, owner or account."""

import pytest

from tests.factories import buckets, finding, team


@pytest.mark.django_db
@pytest.mark.parametrize(("group", "heads"), [("check", 2), ("asset", 4), ("owner", 2), ("account", 1)])
def test_groups_say_how_many_and_lead_to_their_findings(client, triager, group, heads):
    buckets("a", "b", "c", owner=team("data"))
    finding(check="other", bucket="d")
    page = client.get("/triage", {"group": group}).content.decode()
    assert page.count('class="group"') == heads
    assert "/triage/rows?q=is%3Aopen" in page


@pytest.mark.django_db
def test_a_group_is_opened_where_it_stands(client, triager):
    buckets("a", "b", "c", owner=team("data"))
    rows = client.get("/triage/rows", {"q": "is:open team:data"}).content.decode()
    assert rows.count("data-row=") == 3
    assert "data-pick" in rows


@pytest.mark.django_db
def test_nonsense_is_said(client, triager):
    assert client.get("/triage", {"group": "colour"}).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 9])
def test_many_groups_cost_as_many_statements_as_one(client, triager, count, django_assert_max_num_queries):
    buckets(*[f"b{number}" for number in range(count)])
    with django_assert_max_num_queries(18):
        client.get("/triage", {"group": "asset"})
