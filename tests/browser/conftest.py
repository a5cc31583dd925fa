"""A real Chromium looks at the pages. What it complains of on its console, or about the policy of contents, fails the test."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# Playwright keeps an event loop in this thread; nothing of ours runs in it.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WATCH = "addEventListener('securitypolicyviolation', e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`))"


@pytest.fixture(scope="module")  # no longer: tests that come later fork, and the loop must be gone by then
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CSPM_REQUIRE_BROWSER") == "1":
            pytest.fail("CSPM_REQUIRE_BROWSER=1, and there is no Chromium")
        pytest.skip("browser tests: no Chromium here")
    expect.set_options(timeout=10_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def enter(chromium, live_server, request):
    """A function that opens a browser window for a person (None: signed out) and watches it until the test ends."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_window(person=None, *, width: int = 1440, height: int = 900, **options) -> Page:
        options = {"locale": "en-GB", "base_url": live_server.url, **options}
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        if person is not None:
            client = Client()
            client.force_login(person)
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: _note(message, complaints))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


def _note(message, complaints: list[str]) -> None:
    # An answer such as 404 or 409 is not the page's fault: the tests ask for it.
    if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
        complaints.append(message.text)
