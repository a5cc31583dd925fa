"""Sources by the API."""

import os
import time

import pytest
from django.utils.timezone import now

from tests.reports import prowler, row
from tests.triage.api.conftest import Caller
from triage.domain import connections
from triage.domain.access import of_machine
from triage.domain.connections import Wanted
from triage.models import SourceReport

LOOK = "/api/v1/sources/drop/looks"


@pytest.fixture
def inbox(settings, tmp_path, db):
    settings.SOURCE_FOLDERS = [str(tmp_path)]
    connections.put(
        Wanted("drop", "sources", "folder", {"folder": str(tmp_path), "pattern": "*.csv"}), actor=of_machine(0), at=now()
    )
    path = tmp_path / "monday.csv"
    path.write_bytes(prowler([row()]))
    os.utime(path, (time.time() - 60, time.time() - 60))


def test_a_look_finds_what_is_new_once(caller, inbox, nudges):
    first = caller.post(LOOK)
    assert (first.status_code, first.json()["found"], first.json()["reports"][0]["name"]) == (202, 1, "monday.csv")
    assert nudges == [("triage.tasks.fetch_report", SourceReport.objects.get().pk)]
    assert caller.post(LOOK).json()["found"] == 0
    [listed] = caller.get("/api/v1/sources").json()["sources"]
    assert (listed["state"], listed["waiting"], listed["last_report"]) == ("ready", 1, None)


def test_who_may_only_read_may_not_ask(caller, inbox):
    assert Caller(caller.user, "imports:read").post(LOOK).status_code == 403


def test_what_is_no_source_is_said(caller, inbox):
    assert caller.post("/api/v1/sources/nowhere/looks").status_code == 404
