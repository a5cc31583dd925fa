import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import finding
from triage.models import Verification

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path
    settings.CSPM_HOME = tmp_path


@pytest.fixture
def row(cloud):
    cloud.bucket("acme-public-assets")
    cloud.open("acme-public-assets")
    return finding()


def test_a_check_that_still_fails_exits_with_six(row, capsys):
    with pytest.raises(CommandError, match="still fails") as failure:
        call_command("verify", str(row), "--wait", "--json")

    assert failure.value.returncode == 6
    said = json.loads(capsys.readouterr().out)
    assert (said["finding"], said["outcome"], said["status"], said["verifier"]) == (str(row), "failing", "open", "aws_s3")
    assert said["summary"] == "The bucket's ACL gives READ to AllUsers."
    assert len(said["evidence"]) == 64


def test_a_check_that_passes_verifies_the_finding(row, cloud, capsys):
    cloud.close("acme-public-assets")

    call_command("verify", f"f-{row.pk}", "--wait", "--json")

    assert json.loads(capsys.readouterr().out)["status"] == "verified"


def test_no_verdict_is_no_success(row, monkeypatch, capsys):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(CommandError, match="Nobody could say") as failure:
        call_command("verify", str(row), "--wait")

    assert failure.value.returncode == 1
    assert f"{row}: denied." in capsys.readouterr().out


def test_without_waiting_a_worker_does_it(row, capsys):
    call_command("verify", str(row))

    assert "waits for a worker" in capsys.readouterr().out
    assert Verification.objects.get().outcome == "failing"  # the queue is in sync mode here


def test_a_viewer_may_not_verify(row):
    with pytest.raises(CommandError) as failure:
        call_command("verify", str(row), "--as", "viewer")

    assert failure.value.returncode == 4


def test_an_unknown_finding_is_said(row):
    with pytest.raises(CommandError, match="There is no finding F-999999"):
        call_command("verify", "F-999999")
