"""What is done to many findings, by page: the sheet, the message with its undo, the list, the CSV."""

import re

import pytest

from tests.factories import buckets, change, finding, team
from triage.models import Act, Finding, VerificationRun

NEW = "/acts/new"


@pytest.fixture
def rows(db):
    return buckets("a", "b", "c", owner=team("data"))


def picked(rows):
    return [f"{row.pk}.{row.version}" for row in rows]


def test_the_sheet_tells_what_will_follow_and_changes_nothing(client, triager, rows):
    team("web")
    page = client.get(NEW, {"verb": "assign", "f": picked(rows), "team": "web"}).content.decode()
    assert "3 findings change" in page
    assert "Team Data" in page
    assert not Act.objects.exists()


def test_it_is_done_told_and_taken_back(client, triager, rows):
    team("web")
    page = client.post(NEW, {"verb": "assign", "f": picked(rows), "team": "web", "next": "/triage"}, follow=True)
    assert "3 findings: Team Web." in page.content.decode()
    act = Act.objects.get()
    assert Finding.objects.filter(team__slug="web", pinned=True).count() == 3
    assert f'action="/acts/{act.pk}/undo"' in page.content.decode()
    page = client.post(f"/acts/{act.pk}/undo", {"next": "/triage"}, follow=True).content.decode()
    assert "3 findings: undone." in page
    assert Finding.objects.filter(team__slug="data", pinned=False).count() == 3
    assert "undone" in client.get("/acts").content.decode()


def test_one_finding_s_buttons_can_be_taken_back_too(client, triager, rows):
    row = rows[0]
    page = client.post(f"/findings/{row}/status", {"to": "in_progress", "version": row.version}, follow=True).content.decode()
    assert f"{row}: In progress" in page
    client.post(f"/acts/{Act.objects.get().pk}/undo")
    row.refresh_from_db()
    assert row.status == "open"


def test_what_somebody_changed_meanwhile_is_left_and_said(client, triager, rows):
    seen = picked(rows)
    change(rows[0], severity=2)
    page = client.post(NEW, {"verb": "move", "f": seen, "to": "in_progress"}, follow=True).content.decode()
    assert "1 was left unchanged." in page
    table = client.get(f"/acts/{Act.objects.get().pk}").content.decode()
    assert "It was changed since you looked at it" in table
    assert "(severity, the service)" in table
    french = client.get(f"/acts/{Act.objects.get().pk}", headers={"Accept-Language": "fr"}).content.decode()
    assert "(gravité, le service)" in french
    sheet = b"".join(client.get(f"/acts/{Act.objects.get().pk}/csv").streaming_content).decode()
    assert sheet.count("\n") == 4
    assert 'no,"It was changed' in sheet


def test_all_that_match_and_the_number_typed_where_they_are_many(client, triager, rows, monkeypatch):
    monkeypatch.setattr("triage.web.acts.TYPED_ABOVE", 2)
    what = {"verb": "acknowledge", "all": "1", "q": "is:open"}
    refused = client.post(NEW, what)
    assert refused.status_code == 400
    assert "Type the number of findings, 3" in refused.content.decode()
    client.post(NEW, {**what, "count": "3"})
    assert Act.objects.get().done == 3


def test_many_are_left_to_the_worker(client, triager, rows, monkeypatch, mailoutbox):
    monkeypatch.setattr("triage.domain.acts.AT_ONCE", 2)
    answer = client.post(NEW, {"verb": "acknowledge", "all": "1", "q": "is:open"})
    act = Act.objects.get()
    assert answer["Location"] == f"/acts/{act.pk}"
    assert "of 3" in client.get(f"/acts/{act.pk}", headers={"HX-Request": "true"}).content.decode()


def test_checks_are_run_again_for_the_chosen(client, triager):
    chosen = [finding(bucket="a"), finding(bucket="b")]
    answer = client.post(NEW, {"verb": "verify", "f": picked(chosen)})
    assert answer["Location"] == f"/verifications/runs/{VerificationRun.objects.get().pk}"
    one = client.post(NEW, {"verb": "verify", "f": picked(chosen[:1]), "next": "/triage"})
    assert one["Location"] == "/triage"


def test_an_exception_is_asked_for_them(client, triager, rows):
    answer = client.get(NEW, {"verb": "except", "f": picked(rows)})
    assert answer.status_code == 302
    assert client.get(answer["Location"]).status_code == 200


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ({"verb": "assign"}, 400, "No findings are selected"),
        ({"verb": "assign", "f": "x.1"}, 400, "is not a finding"),
        ({"verb": "assign", "all": "1", "q": "is:("}, 400, ""),
        ({"verb": "sing"}, 404, ""),
    ],
)
def test_what_makes_no_sense_is_said(client, triager, what, code, said):
    answer = client.get(NEW, what)
    assert answer.status_code == code
    assert said in answer.content.decode()


def test_a_viewer_has_no_boxes_and_may_not(client, viewer, rows):
    assert "data-pick" not in client.get("/triage").content.decode()
    assert client.post(NEW, {"verb": "acknowledge", "f": picked(rows)}).status_code == 403
    assert not Act.objects.exists()


def test_acts_of_others_are_for_who_triages(client, contributor, rows):
    act = Act.objects.create(verb="acknowledge", actor="user:99", door="page", at=rows[0].first_seen, state="done")
    assert client.get(f"/acts/{act.pk}").status_code == 403
    assert client.get(f"/acts/{act.pk}/csv").status_code == 403
    assert "A-" not in re.sub(r"<[^>]+>", "", client.get("/acts").content.decode())
