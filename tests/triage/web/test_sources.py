"""The page of sources."""

import os
import time

import pytest
from django.utils.timezone import now

from tests.reports import prowler, row
from triage.domain import connections
from triage.domain.access import of_machine
from triage.domain.connections import Wanted
from triage.models import SourceReport


@pytest.fixture
def inbox(settings, tmp_path, db):
    settings.SOURCE_FOLDERS = [str(tmp_path)]
    connections.put(
        Wanted("drop", "sources", "folder", {"folder": str(tmp_path), "pattern": "*.csv"}), actor=of_machine(0), at=now()
    )
    return tmp_path


def test_without_a_source_it_says_what_one_is(client, viewer):
    page = client.get("/sources").content.decode()
    assert "Reports are imported by hand" in page
    assert "Add a source" not in page


def test_a_look_is_taken_from_the_page(client, triager, inbox):
    path = inbox / "monday.csv"
    path.write_bytes(prowler([row()]))
    os.utime(path, (time.time() - 60, time.time() - 60))
    page = client.post("/sources/drop/run", follow=True).content.decode()
    assert "drop is running" in page
    assert "monday.csv" in page
    assert SourceReport.objects.count() == 1
    assert "has no new reports" in client.post("/sources/drop/run", follow=True).content.decode()


def test_who_may_not_import_has_no_button(client, viewer, inbox):
    assert "Look now" not in client.get("/sources").content.decode()
    assert client.post("/sources/drop/run").status_code == 403
    assert SourceReport.objects.count() == 0
