"""Teams, the rules editor, and the two fixes in the row of what nobody owns."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.factories import AT, buckets, change, finding, person, team
from tests.reports import imported, prowler, row
from triage import tasks
from triage.domain import teams
from triage.domain.access import of_user
from triage.domain.configuration import rule_drafts
from triage.domain.ownership import assigning
from triage.domain.search import facets
from triage.models import Account, Asset, Connection, Event, Finding, Member, OwnerRule, Team
from triage.web import owners
from triage.web.owners import MOST_RULES

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


def squeezed(page):
    return " ".join(page.split())


def test_what_would_change_is_told_and_nothing_is_stored(client, admin, estate):
    before = Event.objects.count()
    page = client.post(RULES, form(PATTERN, do="try")).content.decode()
    assert "<strong>2</strong> findings to fix would change hands, on <strong>2</strong> assets of 3." in squeezed(page)
    assert "Team Data" in page
    assert '<span class="tiny faint">billing-a</span>' in page
    assert Event.objects.count() == before
    assert not OwnerRule.objects.exists()
    assert not Asset.objects.filter(team__isnull=False).exists()


def test_rules_are_published_with_a_reason_and_the_estate_follows(client, admin, estate):
    refused = client.post(RULES, form(PATTERN, do="publish"))
    assert "Say why" in refused.content.decode()
    page = client.post(RULES, form(PATTERN, do="publish", reason="billing moved"), follow=True).content.decode()
    assert "Another owner for 2 assets and 2 findings." in page
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


def test_a_problem_stands_at_its_rule_and_not_at_a_line_of_a_file(client, admin, estate):
    wrong = {"kind": "pattern", "name": "Ledger", "patterns": "arn:* = datta\narn:b = web"}
    page = client.post(RULES, form({"kind": "tag", "name": "Tags"}, wrong, do="try", subject="logs")).content.decode()
    assert "<strong>Ledger</strong> – There is no team “datta”. Did you mean “data”?" in squeezed(page)
    assert "Line" not in page
    assert page.count('<details class="fold rule-body" open>') == 1
    assert "Fix the errors in the rules" in page


def test_a_rule_says_what_it_does_with_its_own_words(client, viewer, estate):
    written(
        {"kind": "tag", "name": "1", "keys": ["squad"]},
        {"kind": "account_tag", "name": "2", "keys": ["owner", "team"]},
        {"kind": "path", "name": "3", "repository": "acme/infra", "patterns": [{"pattern": "/net/", "team": "web"}]},
        {"kind": "path", "name": "4", "codeowners": "/a @acme/web # the front\n# nothing\n/b @acme/data\n"},
        {"kind": "pattern", "name": "5", "patterns": [{"pattern": "arn:x"}]},
        {"kind": "fallback", "name": "6", "team": "data", "enabled": False},
    )
    page = squeezed(client.get(RULES).content.decode())
    for sentence in (
        "If the tag squad names a team, that team owns the asset.",
        "If one of the account&#x27;s tags owner, team names a team",
        "What is at /net/ in acme/infra belongs to Team Web.",
        "In any repository, 2 patterns say",
        "What fits arn:x belongs to nobody.",
        "Whatever no rule before gives away belongs to Team Data.",
    ):
        assert sentence in page


def written(*rules):
    rule_drafts.publish(rules, reason="x", actor=worker_with_rights(), at=AT)


def worker_with_rights():
    return of_user(person("boss@example.com", "administrator"), door="page")


@pytest.mark.parametrize(
    "rule",
    [
        {
            "kind": "pattern",
            "name": "x",
            "patterns": [{"pattern": "arn:a=b"}, {"pattern": "c=d", "team": "web"}, {"pattern": "e"}],
        },
        {"kind": "path", "name": "x", "repository": "a/*", "codeowners": "\n/a @acme/web\n\n/b c\n", "enabled": False},
        {"kind": "tag", "name": "x", "keys": ["a b", "c"]},
        {"kind": "fallback", "name": "x", "team": "web"},
    ],
)
def test_what_the_form_shows_is_what_it_sends(client, admin, estate, rule):
    written(rule)
    before = rule_drafts.stored()
    client.post(RULES, filled(client.get(RULES).content.decode()) | {"do": "publish", "reason": "nothing"})
    assert rule_drafts.stored() == before
    assert not Event.objects.filter(subject="rule", reason="nothing").exists()


def filled(page):
    """What a browser sends for the form as it stands."""
    said = {}
    for tag, rest, text in re.findall(r"<(input|textarea|option)\b([^>]*)>(?:\n?([^<]*)</textarea>)?", page):
        has = dict(re.findall(r'([\w-]+)="([^"]*)"', rest))
        if tag == "textarea":
            said[has["name"]] = unescape(text).replace("\n", "\r\n")
        elif tag == "option":
            said |= {"team-0": has["value"]} if " selected" in rest else {}
        elif "name" in has and has["name"] != "csrfmiddlewaretoken" and (has.get("type") != "checkbox" or " checked" in rest):
            said[has["name"]] = unescape(has.get("value", ""))
    return said


def test_an_unchanged_form_is_no_draft(client, admin, estate):
    usual = filled(client.get(RULES).content.decode())
    assert "This is a draft" not in client.post(RULES, usual | {"do": "try"}).content.decode()
    assert "This is a draft" in client.post(RULES, usual | {"do": "down:0"}).content.decode()


def test_nobody_s_rules_are_overwritten_unseen(client, admin, estate):
    mine = filled(client.get(RULES).content.decode())
    written({"kind": "fallback", "name": "Theirs", "team": "web"})

    refused = client.post(RULES, mine | {"do": "publish", "reason": "mine"})

    assert refused.status_code == 409
    assert "boss@example.com changed the rules while you were writing" in refused.content.decode()
    assert OwnerRule.objects.get().name == "Theirs"
    again = filled(refused.content.decode()) | {"do": "publish", "reason": "knowing it"}
    assert client.post(RULES, again).status_code == 302
    assert not OwnerRule.objects.filter(name="Theirs").exists()


def test_without_any_rule_the_usual_ones_are_asked(client, admin, estate):
    assert "If there are no rules, the defaults apply" in client.post(RULES, {"do": "remove:0"}).content.decode()
    written({"kind": "fallback", "name": "Rest", "team": "web"})
    page = squeezed(client.post(RULES, {"do": "try"}).content.decode())
    assert "<strong>3</strong> findings to fix would change hands" in page


def test_a_finding_that_a_person_assigned_says_so_beside_what_the_rules_say(client, viewer, estate):
    mine = Finding.objects.get(asset__name="logs")
    assigning.assign(finding=mine.pk, team=None, actor=worker_with_rights(), at=AT, reason="nobody yet")
    page = client.get(RULES, {"subject": str(mine)}).content.decode()
    assert "squad-x" in page
    assert "Assigned by hand" in page
    assert "nobody yet" in page
    assert "There is no finding F-999999" in client.get(RULES, {"subject": "F-999999"}).content.decode()


def test_what_the_form_does_not_hold_stays_with_the_file(client, admin, estate):
    written(*({"kind": "account", "name": f"Rule {n}"} for n in range(MOST_RULES + 1)))
    page = client.get(RULES).content.decode()
    assert "more rules than a form can hold" in page
    assert "Publish" not in page
    rules = [{"kind": "account"}] * MOST_RULES
    assert client.post(RULES, form(*rules, do="add:account")).status_code == 400


def test_a_large_estate_is_left_to_a_worker_with_the_reason(client, admin, estate, monkeypatch):
    monkeypatch.setattr(owners, "AT_ONCE", 2)
    asked = []
    monkeypatch.setattr(owners, "nudge", lambda *said: asked.append(said))
    page = client.post(RULES, form(PATTERN, do="publish", reason="billing moved"), follow=True).content.decode()
    assert "a worker is re-evaluating the rules" in page
    assert asked == [("resolve_owners", admin.pk, "billing moved")]
    assert not Finding.objects.filter(team__slug="data").exists()

    tasks.resolve_owners(admin.pk, "billing moved")

    assert Finding.objects.filter(team__slug="data").count() == 2
    assert Event.objects.filter(subject="finding", kind="owner", reason="billing moved").count() == 2


def test_who_may_not_configure_reads(client, triager, estate):
    page = client.get(RULES, {"subject": "logs"}).content.decode()
    assert "Publish" not in page
    assert "squad-x" in page
    assert client.post(RULES, form(PATTERN, do="publish", reason="x")).status_code == 403


def test_a_rule_can_be_begun_from_elsewhere(client, admin, estate):
    page = client.get(RULES, {"add": "pattern", "pattern": "*:123456789012:*"}).content.decode()
    assert "*:123456789012:*</textarea>" in page
    assert page.index("Owner tag of the account") < page.index("*:123456789012:*")  # what has an owner keeps it


def test_a_tag_s_value_means_a_team_from_now_on(client, admin, estate):
    assert "“squad-x” means" in client.get("/unowned").content.decode()
    client.post("/owners/fix", {"alias": "squad-x", "team": "web"})
    assert Team.objects.get(slug="web").aliases == ["squad-x"]
    assert Finding.objects.get(asset__name="logs").team.slug == "web"


def test_an_account_is_given_to_a_team(client, admin, estate):
    account = Asset.objects.first().account
    page = client.post("/owners/fix", {"account": account.pk, "team": "data", "next": "/unowned"}, follow=True).content.decode()
    assert "have another owner now" in page
    assert not Finding.objects.filter(team=None, asset__name__startswith="billing").exists()


@pytest.mark.parametrize("what", [{"alias": "x", "team": "nowhere"}, {"account": "999", "team": "web"}, {"team": "web"}])
def test_a_fix_that_means_nothing_is_said(client, admin, estate, what):
    assert "toast error" in client.post("/owners/fix", what, follow=True).content.decode()


def test_who_may_not_configure_fixes_nothing(client, triager, estate):
    assert client.post("/owners/fix", {"alias": "squad-x", "team": "web"}).status_code == 403


def test_a_group_is_given_to_a_team_by_hand_and_each_finding_tells_it(client, triager, estate):
    page = unescape(client.get("/unowned").content.decode())
    sheet = re.search(r'href="(/acts/new[^"]*squad-x[^"]*)"', page)[1]
    said = dict(parse_qsl(urlsplit(sheet).query)) | {"team": "web", "reason": "for now"}
    client.post("/acts/new", said)
    assert [row.asset.name for row in Finding.objects.filter(team__slug="web", pinned=True)] == ["logs"]
    whole = re.search(r'href="(/acts/new[^"]*)"', page)[1]
    client.post("/acts/new", dict(parse_qsl(urlsplit(whole).query)) | {"team": "data"})
    assert Event.objects.filter(subject="finding", kind="owner", after__pinned=True).count() == 3


def test_who_may_not_triage_gives_nothing(client, contributor, estate):
    page = client.get("/unowned").content.decode()
    assert "squad-x" in page
    assert "/acts/new" not in page
    assert "/owners/fix" not in page


def test_more_accounts_than_are_shown_are_told(client, viewer, monkeypatch):
    monkeypatch.setattr(owners, "ORPHANAGES", 1)
    finding(bucket="a")
    facets.fold_counters()
    assert "More accounts" not in client.get("/unowned").content.decode()
    buckets("b", "c", account="999999999999")
    facets.fold_counters()
    assert "More accounts" in client.get("/unowned").content.decode()


@pytest.mark.parametrize(("provider", "said"), [("aws", "*:1:*"), ("azure", "*1*"), ("code", "acme")])
def test_a_rule_for_a_part_of_an_account_fits_its_identifiers(provider, said):
    uid = "acme" if provider == "code" else "1"
    assert said in owners._rule_for(Account(provider=provider, uid=uid)).values()


def test_a_team_says_how_it_is_reached_and_what_comes_to_it(client, viewer):
    data = team("data")
    finding(bucket="late", owner=data, severity=5, at=AT - timedelta(days=9))
    finding(bucket="new", owner=data, severity=3, score=90)
    person("lead@example.com")
    Member.objects.create(team=data, email="lead@example.com", name="Lea Dupont", part="lead")
    Account.objects.update(team=data)
    Connection.objects.create(
        kind="tickets", plugin="jira", name="jira", created_at=AT,
        options={"server": "https://jira.example", "project": "OPS", "teams": {"data": {"project": "DATA"}}},
    )  # fmt: skip
    written(
        {"kind": "account", "name": "Account"},
        {"kind": "path", "name": "Code", "codeowners": "/etl/ @acme/data\n/web/ @acme/web"},
    )
    facets.fold_counters()

    page = client.get("/owners/data").content.decode()

    for word in ("Lea Dupont", "Jira", "DATA", "/etl/", "Median age", "8 h – 20 h", "Acme"):
        assert word in page
    assert "/web/" not in page
    assert "OPS" not in page
    assert "severity%3Acritical" in page
    assert order(client.get("/owners/data?by=age")) == ["late", "new"]
    assert order(client.get("/owners/data?by=risk")) == ["new", "late"]
    assert client.get("/owners/data?by=nonsense").status_code == 200


def order(answer):
    return re.findall(r'<span class="name cut">(\w+)</span>', answer.content.decode())


def test_an_archived_team_and_one_without_anything_have_pages(client, viewer):
    gone = team("gone")
    Team.objects.filter(pk=gone.pk).update(archived_at=AT)
    page = client.get("/owners/gone").content.decode()
    assert "archived" in page
    assert "Nothing to fix" in page
    assert "Team Gone" not in client.get("/owners").content.decode()


def test_teams_say_how_they_keep_deadlines_and_how_old_things_are(client, viewer):
    rows = buckets("a", "b", "c", owner=team("data"), due_at=AT, clock_from=AT - timedelta(days=40))
    for days, each in enumerate(rows):
        change(each, first_seen=AT - timedelta(days=10 * days))
    record = teams.records(actor=of_user(viewer, door="page"), at=AT + timedelta(days=1))[rows[0].team_id]
    assert (record.since, record.met, record.missed, record.percent) == (AT - timedelta(days=10), 0, 3, 0)


@pytest.mark.parametrize(("met", "missed", "percent"), [(0, 0, None), (999, 1, 99), (3, 0, 100), (0, 3, 0)])
def test_a_hundred_percent_are_all(met, missed, percent):
    assert teams.Record(None, met, missed).percent == percent


@pytest.mark.parametrize("path", ["/owners", "/owners/web", RULES, "/unowned"])
def test_strangers_see_no_owners(client, stranger, path):
    team("web")
    assert client.get(path).status_code == 403


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
    with django_assert_max_num_queries(13):
        client.get("/owners")
    with django_assert_max_num_queries(30):
        client.get("/owners/t0")
    with django_assert_max_num_queries(11):
        client.get("/unowned")


@pytest.mark.parametrize("count", [1, 12])
def test_the_editor_costs_the_same_for_any_number_of_rules_and_assets(client, admin, count, django_assert_num_queries):
    team("data")
    imported(prowler([row(f"billing-{n}") for n in range(count)]))
    said = form(*[PATTERN] * count, do="try", subject="arn:aws:s3:::billing-0")
    client.post(RULES, said)
    with django_assert_num_queries(35):
        client.post(RULES, said)
