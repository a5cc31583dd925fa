"""The editor of the owner rules, as a person with a keyboard meets it."""

import re

import pytest
from playwright.sync_api import expect

from tests.factories import person, team
from tests.reports import imported, prowler, row
from triage.domain.search import facets
from triage.models import Finding

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_rule_is_written_asked_tried_and_published(enter, transactional_db):
    team("data")
    imported(prowler([row("billing-a"), row("logs")]))
    facets.fold_counters()
    page = enter(person("root@example.com", "administrator"))
    page.goto("/owners/rules")
    page.get_by_role("button", name="Identifier of the asset").click()
    expect(page.locator("#name-3")).to_be_focused()  # what is new is what one goes on with
    page.fill("#patterns-3", "arn:aws:s3:::billing-* = data")

    page.get_by_label("An ARN, a name, a path or a finding").fill("billing-a")
    expect(page.locator(".told .matched")).to_contain_text("which belongs to the team data")

    page.locator("#up-3").press("Enter")
    expect(page.locator("#up-2")).to_be_focused()  # it went up, and the keyboard with it
    page.get_by_role("button", name="See what would change").click()
    expect(page.locator("#changes")).to_contain_text("1 finding to fix would change hands, on 1 asset of 2.")
    page.get_by_label("Why", exact=True).fill("billing is theirs")
    page.get_by_role("button", name="Publish the rules").click()
    expect(page.locator("#toasts")).to_contain_text("Another owner for 1 asset and 1 finding.")
    expect(page).to_have_url(re.compile("/owners/rules$"))
    assert Finding.objects.get(team__slug="data").asset.name == "billing-a"
