import json
import os
import time

import pytest
from django.core.management import call_command
from django.utils.timezone import now

from tests.reports import prowler, row
from triage.domain import connections
from triage.domain.access import of_machine
from triage.domain.connections import Wanted
from triage.models import Finding

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def inbox(settings, tmp_path):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.SOURCE_FOLDERS = [str(tmp_path)]
    connections.put(
        Wanted("drop", "sources", "folder", {"folder": str(tmp_path), "pattern": "*.csv"}), actor=of_machine(0), at=now()
    )
    return tmp_path


def lay(path, data):
    path.write_bytes(data)
    os.utime(path, (time.time() - 60, time.time() - 60))


def test_a_look_imports_what_is_there(inbox, capsys):
    lay(inbox / "monday.csv", prowler([row()]))
    call_command("sources", "drop")
    assert "monday.csv · Accepted · S-" in capsys.readouterr().out
    assert Finding.objects.count() == 1
    call_command("sources", "--json")
    assert json.loads(capsys.readouterr().out)["last_report"]


def test_a_report_that_cannot_be_read_is_a_failure(inbox):
    lay(inbox / "monday.csv", b"neither this nor that")
    with pytest.raises(SystemExit) as end:
        call_command("sources", "drop")
    assert end.value.code == 1


def test_without_a_source_it_says_how_to_make_one(capsys):
    call_command("sources")
    assert "cspm connect set" in capsys.readouterr().out
