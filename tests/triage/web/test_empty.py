"""A page on which nothing stands says what to do next."""

import re

import pytest

from tests.factories import person

PAGES = (
    "/triage", "/triage?q=zzz", "/scans", "/assets", "/assets?all=1", "/assets?all=1&q=zzz", "/checks", "/checks?q=zzz", "/owners", "/unowned",
    "/sla", "/exceptions", "/verifications", "/me", "/me/inbox", "/deliveries", "/acts", "/ledger",
)  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("address", PAGES)
def test_what_is_empty_leads_on(client, address):
    client.force_login(person("root@example.com", "administrator", "triager"))
    page = client.get(address).content.decode()
    empty = re.findall(r'<div class="empty">.*?</div>', page, re.DOTALL)
    assert empty
    for part in empty:
        assert re.search("<a |<button", part), part
