"""Bringing a report through the page."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from triage.models import Scan


def report(content=b"not a report", name="report.csv"):
    return SimpleUploadedFile(name, content)


@pytest.fixture
def nudges(monkeypatch):
    """Names and arguments of the tasks that were asked for."""
    asked = []
    monkeypatch.setattr("triage.web.requests.async_task", lambda *task: asked.append(task))
    return asked


def test_the_upload_is_answered_at_once_with_the_scans_page(client, triager, nudges, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/import", {"report": report()})

    scan = Scan.objects.get()
    assert answer["Location"] == f"/scans/{scan.pk}"
    assert (scan.state, scan.file_name, scan.actor) == ("received", "report.csv", f"user:{triager.pk}")
    assert nudges == [("triage.tasks.run_import", scan.pk)]


def test_what_the_report_does_not_say_can_be_declared(client, triager, nudges):
    client.post("/import", {
        "report": report(), "zone": "Asia/Tokyo", "repository": " github.com/acme/shop ", "branch": "", "complete": "yes",
        "mapping": '{"check": "rule"}',
    })  # fmt: skip

    assert Scan.objects.get().declared == {
        "zone": "Asia/Tokyo",
        "repository": "github.com/acme/shop",
        "complete": True,
        "mapping": {"check": "rule"},
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "No file came with the form"),
        ({"report": True, "zone": "Mars/Olympus"}, "is not a time zone"),
        ({"report": True, "mapping": "{"}, "is not valid JSON"),
        ({"report": True, "mapping": "[1]"}, "has to be a JSON object"),
        ({"report": True, "mapping": "[" * 100_000}, "is not valid JSON"),
    ],
)
def test_a_form_that_makes_no_sense_says_what_to_do_and_keeps_what_was_typed(client, triager, fields, said):
    fields = {**fields, **({"report": report()} if fields.get("report") else {})}

    answer = client.post("/import", {**fields, "branch": "main<b>"})

    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert 'value="main&lt;b&gt;"' in answer.content.decode()
    assert not Scan.objects.exists()


def test_a_name_with_a_path_is_only_a_name(client, triager, nudges):
    client.post("/import", {"report": report(name="..\\..\\etc\\passwd.csv")})

    assert "/" not in Scan.objects.get().file_name


def test_viewers_do_not_import(client, viewer):
    assert client.get("/import").status_code == 403
    assert client.post("/import", {"report": report()}).status_code == 403
    assert b'href="/import"' not in client.get("/scans").content
    assert not Scan.objects.exists()
