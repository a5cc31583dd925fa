import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import change, finding
from triage.models import Ticket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path
    settings.TICKETS_DIR = tmp_path / "tickets"
    return settings.TICKETS_DIR


def test_opening_prints_the_ticket_and_the_worker_writes_it(folder, capsys):
    row, other = finding(bucket="b-1"), finding(bucket="b-2")

    call_command("ticket", "open", str(row), str(other), "--json")

    said = json.loads(capsys.readouterr().out)
    assert (said["findings"], said["connection"]) == ([str(row), str(other)], "files")
    assert [path.suffixes[0] for path in folder.glob("*.md")] == [f".{said['mark']}"]


def test_syncing_brings_findings_and_tickets_in_step(folder, capsys):
    row = finding()
    call_command("ticket", "open", str(row))
    (path,) = folder.glob("*.md")
    path.write_text(path.read_text().replace("status: open", "status: in progress"))

    call_command("ticket", "sync")
    row.refresh_from_db()
    assert row.status == "in_progress"
    change(row, presence="gone")
    call_command("ticket", "sync")

    assert Ticket.objects.get().state == "closed"
    assert "status: done" in path.read_text()


def test_a_viewer_may_neither_open_nor_sync():
    row = finding()

    for arguments in (("open", str(row)), ("sync",)):
        with pytest.raises(CommandError) as failure:
            call_command("ticket", *arguments, "--as", "viewer")
        assert failure.value.returncode == 4

    assert not Ticket.objects.exists()
