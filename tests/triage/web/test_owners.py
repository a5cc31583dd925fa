"""Teams, the rules editor, and the two fixes in the row of what nobody owns."""

import pytest

from tests.factories import buckets, finding, person, team
from tests.reports import imported, prowler, row
from triage.domain.search import facets
from triage.models import Asset, Event, Finding, OwnerRule, Team

RULES = "/owners/rules"


@pytest.fixture
def admin(client, db):
    user = person("root@example.com", "administrator", name="Ada Root")
    client.force_login(user)
    return user


@pytest.fixture
def estate(db):
    """Three buckets that nobody owns: one says a team that is not known."""
    team("web"), team("data")
    imported(prowler([row("billing-a"), row("billing-b"), row("logs", RESOURCE_TAGS="owner=squad-x")]))
    facets.fold_counters()


def form(*rules, **more):
    """What the page sends for these rules."""
    said = dict(more)
    for place, rule in enumerate(rules):
        said |= {f"{name}-{place}": value for name, value in {"on": "1", "name": "A rule", **rule}.items()}
    return said


PATTERN = {"kind": "pattern", "name": "Billing", "patterns": "arn:aws:s3:::billing-* = data"}


def test_what_would_change_is_told_and_nothing_is_stored(client, admin, estate):
    page = client.post(RULES, form(PATTERN, do="try")).content.decode()
    assert "<strong>2</strong>" in page
    assert "arn:aws:s3:::billing-" in page
    assert not OwnerRule.objects.exists()
    assert not Asset.objects.filter(team__isnull=False).exists()


def test_rules_are_published_with_a_reason_and_the_estate_follows(client, admin, estate):
    refused = client.post(RULES, form(PATTERN, do="publish"))
    assert "Say why" in refused.content.decode()
    page = client.post(RULES, form(PATTERN, do="publish", reason="billing moved"), follow=True).content.decode()
    assert "2 assets changed their owner, 3 findings followed." in page
    assert Finding.objects.filter(team__slug="data").count() == 2
    assert OwnerRule.objects.get().params == {"patterns": [{"pattern": "arn:aws:s3:::billing-*", "team": "data"}]}
    assert Event.objects.filter(subject="rule", reason="billing moved").exists()


def test_a_draft_is_moved_changed_and_shortened_without_being_stored(client, admin, estate):
    other = {"kind": "tag", "name": "Tags", "keys": "owner, squad"}
    page = client.post(RULES, form(PATTERN, other, do="up:1")).content.decode()
    assert page.index('value="Tags"') < page.index('value="Billing"')
    assert 'value="Billing"' not in client.post(RULES, form(PATTERN, other, do="remove:0")).content.decode()
    fallback = {"kind": "fallback", "name": "Rest", "team": "web"}
    page = client.post(RULES, form(fallback, do="add:account")).content.decode()
    assert page.index("Team of the account") < page.index('value="Rest"')  # what comes after it is never asked
    assert not OwnerRule.objects.exists()


def test_the_draft_explains_an_asset_step_by_step(client, admin, estate):
    said = form(PATTERN, do="explain", subject="arn:aws:s3:::billing-a")
    page = client.post(RULES, said, headers={"HX-Request": "true"}).content.decode()
    assert "The identifier fits “arn:aws:s3:::billing-*”" in page
    stored = client.get(RULES, {"subject": "arn:aws:s3:::billing-a"}).content.decode()
    assert "There is none of the tags" in stored
    assert "Nothing here is called" in client.get(RULES, {"subject": "nowhere"}).content.decode()


def test_what_is_wrong_with_a_rule_is_said(client, admin, estate):
    answer = client.post(RULES, form({"kind": "pattern", "name": "x", "patterns": "arn:* = nobody-here"}, do="try"))
    assert answer.status_code == 400
    assert "nobody-here" in answer.content.decode()


def test_who_may_not_configure_reads(client, triager, estate):
    page = client.get(RULES, {"subject": "logs"}).content.decode()
    assert "Publish" not in page
    assert "squad-x" in page
    assert client.post(RULES, form(PATTERN, do="publish", reason="x")).status_code == 403


def test_a_rule_can_be_begun_from_elsewhere(client, admin, estate):
    page = client.get(RULES, {"add": "pattern", "pattern": "*:123456789012:*"}).content.decode()
    assert "*:123456789012:*</textarea>" in page


def test_a_tag_s_value_means_a_team_from_now_on(client, admin, estate):
    assert "“squad-x” means" in client.get("/unowned").content.decode()
    client.post("/owners/fix", {"alias": "squad-x", "team": "web"})
    assert Team.objects.get(slug="web").aliases == ["squad-x"]
    assert Finding.objects.get(asset__name="logs").team.slug == "web"


def test_an_account_is_given_to_a_team(client, admin, estate):
    account = Asset.objects.first().account
    page = client.post("/owners/fix", {"account": account.pk, "team": "data", "next": "/unowned"}, follow=True).content.decode()
    assert "have an owner now" in page
    assert not Finding.objects.filter(team=None, asset__name__startswith="billing").exists()


@pytest.mark.parametrize("what", [{"alias": "x", "team": "nowhere"}, {"account": "999", "team": "web"}, {"team": "web"}])
def test_a_fix_that_means_nothing_is_said(client, admin, estate, what):
    assert "toast error" in client.post("/owners/fix", what, follow=True).content.decode()


def test_who_may_not_configure_fixes_nothing(client, triager, estate):
    assert client.post("/owners/fix", {"alias": "squad-x", "team": "web"}).status_code == 403


def test_teams_say_what_they_carry_nobody_first(client, viewer):
    buckets("a", "b", owner=team("data"))
    finding(bucket="c")
    team("idle")
    facets.fold_counters()
    page = client.get("/owners").content.decode()
    assert page.index("Nobody") < page.index("Team Data") < page.index("With nothing to fix") < page.index("Team Idle")
    one = client.get("/owners/data").content.decode()
    assert one.count("data-row=") == 2
    assert client.get("/owners/nowhere").status_code == 404


@pytest.mark.parametrize("count", [1, 4])
def test_pages_cost_the_same_for_any_number_of_teams(client, viewer, count, django_assert_max_num_queries):
    for number in range(count):
        finding(bucket=f"b{number}", owner=team(f"t{number}"))
    facets.fold_counters()
    with django_assert_max_num_queries(11):
        client.get("/owners")
    with django_assert_max_num_queries(18):
        client.get("/owners/t0")
