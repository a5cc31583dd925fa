"""A week of somebody who triages, in a real browser: Monday's report, triage by keyboard, an owner rule, Tuesday's diff, a breach."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from tests import reports
from tests.browser.conftest import chromium, enter  # noqa: F401 - fixtures
from tests.factories import change, person, team
from triage.domain.search import facets, words
from triage.models import Finding

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORD = "correct horse battery"
MONDAY = [
    *(reports.row(f"site-{number}", RESOURCE_TAGS="owner=web") for number in range(6)),
    *(reports.row(f"billing-{number}") for number in range(3)),
    reports.row("logs", RESOURCE_TAGS="owner=squad-lumen"),
]
TUESDAY = [
    reports.row("site-0", "PASS", RESOURCE_TAGS="owner=web"),
    *(reports.row(f"site-{number}", RESOURCE_TAGS="owner=web") for number in range(1, 6)),
    *(reports.row(f"billing-{number}") for number in range(3)),
    reports.row("logs", RESOURCE_TAGS="owner=squad-lumen"),
    reports.row("brand-new", RESOURCE_TAGS="owner=web"),
]


def settled():
    """What the worker does after an import."""
    facets.fold_counters()
    words.index_assets()


def told(page, text):
    expect(page.get_by_role("status").get_by_text(text)).to_be_visible()


def test_a_week(enter, tmp_path):  # noqa: F811
    team("web"), team("data"), team("observability")
    ada = person("ada@example.com", "administrator", name="Ada Root", password=WORD)
    monday, tuesday = tmp_path / "monday.csv", tmp_path / "tuesday.csv"
    monday.write_bytes(reports.prowler(MONDAY, now() - timedelta(days=1)))
    tuesday.write_bytes(reports.prowler(TUESDAY, now() - timedelta(minutes=5)))
    page = enter()

    # Monday: she comes in by keyboard, and brings the report through the first door.
    page.goto("/sign-in")
    page.get_by_label("E-mail address").press_sequentially("ada@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type(WORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where do your findings come from?")).to_be_visible()
    page.set_input_files("#report", monday)
    expect(page.get_by_role("heading", name="monday.csv")).to_be_visible()
    expect(page.locator("main")).to_contain_text("New10")
    settled()

    # The queue, by keyboard alone: three are given away, one of the acts is taken back, one she takes herself.
    page.keyboard.type("gt")
    expect(page.locator("[data-row]")).to_have_count(10)
    page.keyboard.type("jxJJ")
    expect(page.locator(".row.chosen")).to_have_count(3)
    page.keyboard.press("a")
    expect(page.locator("#act-sheet").get_by_label("Team")).to_be_focused()
    page.keyboard.press("T")  # the first of the teams, Data
    expect(page.locator("#act-sheet").get_by_text("3 findings change")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("their buckets now")
    page.keyboard.press("Enter")
    told(page, "3 findings: Team Data.")
    page.keyboard.press("z")
    told(page, "3 findings: undone.")
    page.keyboard.press("j")
    page.keyboard.press("m")
    told(page, re.compile("Ada Root"))
    assert Finding.objects.get(assignee=ada).team.slug == "web"

    # What nobody owns: a tag's value is given its meaning, and a rule is written for the rest.
    page.keyboard.press("Control+k")
    page.keyboard.type("without an owner")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Without an owner")
    page.goto("/unowned")
    page.get_by_label("“squad-lumen” means").select_option("observability")
    page.get_by_role("button", name="Apply from now on").first.click()
    told(page, "1 finding has another owner now.")
    page.goto("/owners/rules?add=pattern&pattern=arn:aws:s3:::billing-*&team=data")
    page.get_by_label("An ARN, a name, a path or a finding").press_sequentially("billing-1")
    expect(page.locator("#explained")).to_contain_text("The identifier fits")
    page.get_by_role("button", name="See what would change").click()
    expect(page.locator("main")).to_contain_text("3 findings to fix would change hands, on 3 assets of 10.")
    page.get_by_label("Why").fill("billing moved to data")
    page.get_by_role("button", name="Publish the rules").click()
    told(page, re.compile("Another owner for 3 assets and 3 findings"))
    assert not Finding.objects.filter(team=None).exists()

    # Tuesday: what is new, what is fixed, and where it leads.
    page.goto("/import")
    page.set_input_files("#report", tuesday)
    expect(page.get_by_role("heading", name="tuesday.csv")).to_be_visible()
    expect(page.locator("main")).to_contain_text("New1")
    expect(page.locator("main")).to_contain_text("Fixed1")
    expect(page.locator("main").get_by_role("link", name=re.compile("brand-new"))).to_be_visible()
    settled()

    # A deadline passes: she sees it on the first page, goes there, says something, and begins.
    late = Finding.objects.get(asset__name="site-3")
    change(late, at=now(), due_at=now() - timedelta(hours=2))
    page.keyboard.type("gd")
    page.get_by_role("link", name=re.compile("Overdue")).first.click()
    expect(page.locator("[data-row]")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("overdue")
    page.get_by_role("textbox", name="Comment").fill("The fix is in review, see https://git.example/42")
    page.get_by_role("button", name="Comment", exact=True).click()
    told(page, "Comment posted.")
    page.get_by_role("button", name="Start work").click()
    expect(page.locator(".head .status")).to_have_text("In progress")
    late.refresh_from_db()
    assert (late.status, late.acknowledged_at is not None) == ("in_progress", True)

    page.locator(".me summary").press("Enter")
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page).to_have_url(re.compile("/sign-in$"))
