"""The door: forms for coming in and going out."""

import pytest
from django.test import Client
from django.utils.timezone import now

from tests.factories import person
from triage.domain import sign_in
from triage.models import Event

WORD = "correct horse battery"


@pytest.fixture
def ana(db):
    return person("ana@example.com", "triager", password=WORD)


@pytest.mark.parametrize("address", ["/", "/triage", "/findings/F-000001", "/scans", "/scans/1", "/import", "/unowned"])
def test_every_page_asks_who_you_are_first(client, db, address):
    answer = client.get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in?next=/")


def test_the_password_opens_the_page_that_was_asked_for(client, ana):
    answer = client.post("/sign-in", {"email": "ana@example.com", "password": WORD, "next": "/scans"})

    assert (answer.status_code, answer["Location"]) == (302, "/scans")
    assert client.get("/scans").status_code == 200


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "http:///evil.example"])
def test_nobody_is_sent_to_another_site(client, ana, next_page):
    answer = client.post("/sign-in", {"email": "ana@example.com", "password": WORD, "next": next_page})

    assert answer["Location"] == "/"


def test_a_wrong_password_says_so_and_keeps_the_address(client, ana):
    answer = client.post("/sign-in", {"email": "ana@example.com", "password": "wrong"})

    assert answer.status_code == 400
    assert b"do not belong together" in answer.content
    assert b'value="ana@example.com"' in answer.content
    assert b"wrong" not in answer.content


def test_too_many_attempts_are_told_to_wait(client, ana):
    for _attempt in range(10):
        client.post("/sign-in", {"email": "x@example.com", "password": "wrong"})

    answer = client.post("/sign-in", {"email": "ana@example.com", "password": WORD})

    assert answer.status_code == 429
    assert b"Wait 15 minutes" in answer.content


def test_behind_a_proxy_its_word_counts_and_nobody_elses(client, ana, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for attempt in range(10):
        forged = f"10.0.0.{attempt}, 203.0.113.7"
        client.post("/sign-in", {"email": "x@example.com", "password": "wrong"}, headers={"x-forwarded-for": forged})

    answer = client.post(
        "/sign-in", {"email": "x@example.com", "password": "wrong"}, headers={"x-forwarded-for": "10.9.9.9, 203.0.113.7"}
    )

    assert answer.status_code == 429


def test_looking_at_a_link_does_not_use_it(client, ana):
    token = sign_in.issue_link(user=ana, at=now())

    for _scanner in range(3):
        assert b"Sign me in" in client.get(f"/sign-in/{token}").content
    answer = client.post(f"/sign-in/{token}")

    assert answer["Location"] == "/"
    assert client.get("/scans").status_code == 200


def test_a_used_link_says_so(client, ana):
    token = sign_in.issue_link(user=ana, at=now())
    client.post(f"/sign-in/{token}")

    assert b"used already" in client.get(f"/sign-in/{token}").content
    assert client.post(f"/sign-in/{token}").status_code == 400


def test_signing_out_ends_the_session(client, ana):
    client.force_login(ana)

    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out")["Location"] == "/sign-in"
    assert client.get("/scans").status_code == 302
    assert Event.objects.filter(kind="signed out").exists()


def test_a_part_of_a_page_reloads_the_whole_when_the_session_is_over(client, db):
    answer = client.get("/sign-in?next=/scans/1/progress", headers={"hx-request": "true"})

    assert answer["HX-Refresh"] == "true"


def test_forms_need_their_token(ana):
    strict = Client(enforce_csrf_checks=True)

    assert strict.post("/sign-in", {"email": "ana@example.com", "password": WORD}).status_code == 403


def test_a_character_that_cannot_be_kept_is_refused(client, ana):
    assert client.post("/sign-in", {"email": "a\0@example.com", "password": WORD}).status_code == 400


def test_health_needs_no_one(client, db):
    assert client.get("/health").json() == {"database": True}
