"""What a person chooses, with an account and before signing in."""

import pytest


def test_the_language_is_kept_on_the_person(client, viewer):
    answer = client.post("/preferences", {"language": "fr", "next": "/scans"})

    viewer.refresh_from_db()
    assert (answer["Location"], viewer.language) == ("/scans", "fr")
    page = client.get("/scans", headers={"accept-language": "en"})
    assert b'<html lang="fr"' in page.content


def test_before_signing_in_the_choice_is_a_cookie(client, db):
    client.post("/preferences", {"language": "fr", "next": "/sign-in"})
    client.post("/preferences", {"theme": "dark", "next": "/sign-in"})

    page = client.get("/sign-in", headers={"accept-language": "en"})

    assert b'<html lang="fr" data-theme="dark">' in page.content


@pytest.mark.parametrize(("accepted", "language"), [("fr-FR,fr;q=0.9", "fr"), ("de,en;q=0.5", "en"), ("", "en")])
def test_the_browser_chooses_the_first_language(client, db, accepted, language):
    page = client.get("/sign-in", headers={"accept-language": accepted})

    assert f'<html lang="{language}"'.encode() in page.content


def test_the_theme_can_go_back_to_the_system(client, viewer):
    client.post("/preferences", {"theme": "dark"})
    assert b'data-theme="dark"' in client.get("/scans").content

    client.post("/preferences", {"theme": "system"})
    assert b"data-theme" not in client.get("/scans").content


def test_times_are_told_in_the_chosen_zone(client, viewer):
    client.post("/preferences", {"time_zone": "Asia/Tokyo"})

    viewer.refresh_from_db()
    assert viewer.time_zone == "Asia/Tokyo"
    assert client.get("/scans").status_code == 200


@pytest.mark.parametrize("wrong", [{"language": "xx"}, {"theme": "pink"}, {"time_zone": "../../etc/passwd"}])
def test_what_does_not_exist_cannot_be_chosen(client, viewer, wrong):
    assert client.post("/preferences", wrong).status_code == 400


def test_single_keys_can_be_switched_off(client, viewer):
    client.post("/preferences", {"shortcuts": "off"})
    assert b'data-shortcuts="off"' in client.get("/scans").content

    client.post("/preferences", {"shortcuts": "on"})
    assert b'data-shortcuts="off"' not in client.get("/scans").content


@pytest.mark.parametrize("next_page", ["https://evil.example", "//evil.example"])
def test_the_choice_leads_back_to_our_own_pages_only(client, viewer, next_page):
    assert client.post("/preferences", {"theme": "dark", "next": next_page})["Location"] == "/preferences"
