"""The first page: three doors while there is nothing, then how the estate stands; and search everywhere."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.utils.timezone import now

from tests.factories import buckets, change, finding, person, team
from tests.reports import imported, prowler, row
from triage.domain import calendars, overview
from triage.domain.access import of_user
from triage.domain.audit import recording
from triage.domain.search import facets, words
from triage.models import ApiToken, Asset, Finding, Scan


@pytest.fixture
def admin(client, db):
    user = person("root@example.com", "administrator", name="Ada Root")
    client.force_login(user)
    return user


def seen(**columns):
    return Scan.objects.create(sha256=b"x" * 32, size=1, received_at=now(), actor="user:1", door="page", state="done", **columns)


def test_an_empty_house_has_three_doors(client, triager):
    page = client.get("/").content.decode()
    assert "Where do your findings come from?" in page
    assert 'action="/import"' in page
    assert "first/demo" not in page  # an administrator's


def test_a_token_is_made_and_shown_once(client, admin):
    page = client.post("/first/token").content.decode()
    assert "Authorization: Bearer cspm_" in page
    assert ApiToken.objects.get().scopes == ["imports:write"]
    assert "cspm_" not in client.get("/").content.decode()


@pytest.mark.parametrize("address", ["/first/token", "/first/demo"])
def test_who_may_not_administer_opens_no_door(client, triager, address):
    assert client.post(address).status_code == 403
    assert not ApiToken.objects.exists()


def test_the_demonstration_is_brought_by_a_worker(client, admin, monkeypatch):
    asked = []
    monkeypatch.setattr("triage.web.home.nudge", asked.append)
    assert client.post("/first/demo")["Location"] == "/scans"
    assert asked == ["demonstrate"]


def test_numbers_lead_to_what_they_count(client, triager):
    seen()
    at = now()
    late = finding(bucket="late", owner=team("web"), at=at - timedelta(days=9))
    change(late, due_at=at - timedelta(days=1))
    change(finding(bucket="soon", owner=team("web"), at=at), due_at=at + timedelta(hours=5))
    change(finding(bucket="later", at=at), due_at=at + timedelta(days=40))
    change(finding(bucket="claimed", owner=team("web"), at=at), status="fix_claimed", due_at=at + timedelta(days=40))
    facets.fold_counters()
    found = overview.overview(actor=triager_actor(triager), at=at)
    assert (found.overdue.n, found.due.n, found.unowned.n, found.claimed.n, found.open) == (1, 1, 1, 1, 4)
    for figure in (found.overdue, found.due, found.unowned, found.claimed):
        rows = client.get("/triage", {"q": figure.query}).content.decode().count("data-row=")
        assert rows == figure.n, figure.query
    page = client.get("/").content.decode()
    assert page.index("Nobody") < page.index("Team Web")  # nobody first


def triager_actor(user):
    return of_user(user, door="page")


def test_weeks_add_up_to_what_is_open(client, triager, db):
    imported(prowler([row(resource) for resource in ("a", "b", "c")]))
    facets.fold_counters()
    weeks = overview.overview(actor=triager_actor(triager), at=now()).weeks
    assert len(weeks) == 12
    assert weeks[-1].left == Finding.objects.to_fix().count()
    for before, after in pairwise(weeks):
        assert after.left == before.left + after.opened - after.closed


@pytest.mark.parametrize("count", [1, 5])
def test_the_overview_costs_the_same_for_any_estate(client, triager, count, django_assert_num_queries):
    seen()
    for number in range(count):
        buckets(f"b{number}", check=f"c{number}", owner=team(f"t{number}"))
    client.get("/")
    with django_assert_num_queries(20):
        client.get("/")


def test_first_steps_can_be_hidden(client, triager):
    seen()
    assert "First steps" in client.get("/").content.decode()
    client.post("/first/hide")
    assert "First steps" not in client.get("/").content.decode()


def test_five_working_days_are_those_of_the_house(db):
    friday = datetime(2026, 11, 27, 10, tzinfo=UTC)
    assert overview.within_working_days(5, friday).date().isoformat() == "2026-12-04"
    office = {day: [("09:00", "18:00")] for day in ("mon", "tue", "wed", "thu")}
    with recording(actor="user:1", at=friday, door="page") as log:
        calendars.publish(calendars.Draft("office", time_zone="Europe/Paris", hours=office), log=log, at=friday)
    assert overview.within_working_days(5, friday).date().isoformat() == "2026-12-07"


# --- search everywhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [("F-{pk}", "S3 bucket is not publicly accessible"), ("{pk}", "F-"), ("team w", "Team Web"), ("acme-pub", "acme-public-assets"), ("s3_bucket_pub", "s3_bucket_public_access"), ("overd", "Overdue"), ("scan", "Scans")],
)  # fmt: skip
def test_everything_is_found_by_its_name(client, viewer, text, said):
    found = finding(owner=team("web"))
    words.index_assets()
    page = client.get("/search", {"q": text.format(pk=found.pk)}, headers={"HX-Request": "true"}).content.decode()
    assert said in page
    assert 'role="option"' in page


def test_what_one_may_not_see_is_no_place_to_go(client, viewer, db):
    assert "Audit" not in client.get("/search", {"q": "audit"}).content.decode().split("<main", 1)[1].split("</main>")[0].replace(
        "Search the queue", ""
    )
    assert Asset.objects.count() == 0
