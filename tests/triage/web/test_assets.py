"""The inventory, an asset, an account."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils.timezone import now

from tests.factories import buckets, change, finding, person, team
from tests.reports import DAY, imported, prowler, row
from triage.domain import assets
from triage.domain.search import facets, words
from triage.models import Account, Asset


@pytest.fixture
def admin(client, db):
    user = person("root@example.com", "administrator", name="Ada Root")
    client.force_login(user)
    return user


def names(answer):
    page = answer.content.decode()
    return [name for name in ("quiet", "worse", "worst") if f">{name}</a>" in page]


@pytest.fixture
def estate(db):
    """Three buckets: two with findings, one without."""
    finding(bucket="worse", severity=3, owner=team("data"))
    finding(bucket="worst", severity=5, owner=team("web"), environment="prod")
    change(finding(bucket="quiet"), status="verified", grade="proof")
    Asset.objects.filter(name="worst").update(team=team("web"), environment="prod", exposure=1)
    words.index_assets()
    facets.fold_counters()


def test_the_gravest_come_first_and_the_quiet_on_demand(client, viewer, estate):
    page = client.get("/assets").content.decode()
    assert page.index(">worst</a>") < page.index(">worse</a>")
    assert ">quiet<" not in page
    assert names(client.get("/assets", {"all": "1"})) == ["quiet", "worse", "worst"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team:web", ["worst"]), ("env:prod", ["worst"]), ("exposure:internet", ["worst"]), ("wors", ["worse", "worst"]),
        ("type:AwsS3Bucket -team:web", ["quiet", "worse"]), ("account:123456789012 region:eu-west-1", ["quiet", "worse", "worst"]),
        ("is:unowned", ["quiet", "worse"]), ("asset:quiet", ["quiet"]),
    ],
)  # fmt: skip
def test_assets_are_asked_in_the_language_of_findings(client, viewer, estate, query, found):
    assert names(client.get("/assets", {"all": "1", "q": query})) == found


@pytest.mark.parametrize("query", ["severity:critical", "status:open", "is:overdue"])
def test_what_no_asset_knows_is_said(client, viewer, estate, query):
    answer = client.get("/assets", {"all": "1", "q": query})
    assert answer.status_code == 400
    assert "Assets know nothing of this" in answer.content.decode()


def test_a_mistake_in_the_query_is_pointed_at(client, viewer, estate):
    answer = client.get("/assets", {"q": "env:prdo"})
    assert answer.status_code == 400
    assert "/assets?q=env%3Aprod" in answer.content.decode()


def test_pages_follow_each_other(client, viewer, monkeypatch):
    monkeypatch.setattr("triage.domain.assets.SIZE", 2)
    buckets("a", "b", "c")
    first = client.get("/assets", {"all": "1"}).content.decode()
    assert first.count("asset-row") == 2
    following = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert client.get(following).content.decode().count("asset-row") == 1


def test_an_asset_tells_what_stands_around_it(client, viewer):
    team("web"), team("data")
    imported(prowler([row("logs", RESOURCE_TAGS="owner=web")], DAY))
    imported(prowler([row("logs", RESOURCE_TAGS="owner=data")], DAY + timedelta(days=3)))
    asset = Asset.objects.get()
    page = client.get(f"/assets/{asset.pk}").content.decode()
    assert page.count("data-row=") == 1
    assert "Previous tags" in page
    assert "says “data”" in page
    then = client.get(f"/assets/{asset.pk}", {"on": (DAY + timedelta(days=1)).date().isoformat()}).content.decode()
    assert "says “web”" in then
    before = client.get(f"/assets/{asset.pk}", {"on": (DAY - timedelta(days=30)).date().isoformat()}).content.decode()
    assert "was not known on" in before
    assert "is not a date" in client.get(f"/assets/{asset.pk}", {"on": "x"}).content.decode()
    assert client.get("/assets/999999").status_code == 404


def test_what_became_of_an_asset_is_told_by_week(client, viewer):
    at = datetime(2026, 11, 27, 10, tzinfo=UTC)
    first = finding(at=at - timedelta(weeks=3))
    finding(check="s3_bucket_acl_prohibited", at=at - timedelta(weeks=1))
    finding(check="s3_bucket_versioning", at=at - timedelta(weeks=30))
    change(first, at=at - timedelta(weeks=2), status="accepted")
    change(first, at=at - timedelta(days=1), status="open")
    change(first, at=at, message="of no account here")
    weeks = assets.weeks(Asset.objects.get(), open_now=3, at=at)
    assert [(week.opened, week.closed, week.left) for week in weeks[-4:]] == [(1, 0, 2), (0, 1, 1), (1, 0, 2), (1, 0, 3)]
    assert {week.left for week in weeks[:8]} == {1}
    assert "Twelve weeks" in client.get(f"/assets/{first.asset_id}").content.decode()


def test_an_account_tells_how_it_stands_and_how_it_is_reached(client, admin, estate):
    account = Account.objects.get()
    page = client.get(f"/accounts/{account.pk}").content.decode()
    assert page.count("data-row=") == 2
    assert "Team Web" in page
    client.post(f"/accounts/{account.pk}", {"role_arn": "arn:aws:iam::123456789012:role/triage", "region": "eu-west-3"})
    account.refresh_from_db()
    assert account.options == {"role_arn": "arn:aws:iam::123456789012:role/triage", "region": "eu-west-3"}
    assert client.get("/accounts/999999").status_code == 404


def test_who_may_not_configure_changes_no_way(client, triager, estate):
    account = Account.objects.get()
    assert client.post(f"/accounts/{account.pk}", {"role_arn": "x"}).status_code == 403
    account.refresh_from_db()
    assert account.options == {}
    assert '<fieldset class="stack snug" disabled>' in client.get(f"/accounts/{account.pk}").content.decode()


@pytest.mark.parametrize("count", [1, 6])
def test_pages_cost_the_same_for_any_number_of_assets(client, viewer, count, django_assert_max_num_queries):
    buckets(*[f"b{number}" for number in range(count)])
    facets.fold_counters()
    for address, most in (
        ("/assets", 17),
        ("/assets?all=1", 16),
        (f"/assets/{Asset.objects.first().pk}", 20),
        (f"/accounts/{Account.objects.get().pk}", 21),
    ):
        with django_assert_max_num_queries(most):
            client.get(address)


def test_strangers_see_nothing(client, stranger, db):
    finding(at=now())
    for address in ("/assets", f"/assets/{Asset.objects.get().pk}", f"/accounts/{Account.objects.get().pk}"):
        assert client.get(address).status_code == 403
