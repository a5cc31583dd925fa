import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import buckets, finding
from triage.models import Verification, VerificationRun

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


# --- all that a query means -----------------------------------------------------------------------------------------------------


def of_query(*more):
    call_command("verify", "-q", "check:named", *more)


def test_all_that_pass_exit_with_nothing_to_say(named_verifier, capsys):
    buckets("fixed-1", "gone-2")

    of_query("--wait", "--json")

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["outcome"] for line in lines[:-1]) == ["fixed", "gone"]
    assert lines[-1] == {
        "run": f"R-{VerificationRun.objects.get().pk}", "query": "check:named", "total": 2, "barred": 0, "unanswered": 0, "joined": 0,
        "waiting": 0, "running": 0, "withdrawn": 0, "outcomes": {"fixed": 1, "gone": 1},
    }  # fmt: skip


def test_one_that_fails_among_many_exits_with_six(named_verifier, capsys):
    buckets("fixed-1", "failing-2", "denied-3")

    with pytest.raises(CommandError, match="still fails") as failure:
        of_query("--wait")

    assert failure.value.returncode == 6
    said = capsys.readouterr().out
    assert "1  failing" in said
    assert "give s3:GetBucketAcl to arn:aws:sts::123456789012:assumed-role/auditor/x in account 123456789012: 1 finding\n" in said


def test_one_that_nobody_can_judge_exits_with_one(named_verifier, capsys):
    buckets("fixed-1", "denied-2")

    with pytest.raises(CommandError, match="Nobody could say") as failure:
        of_query("--wait")

    assert failure.value.returncode == 1


def test_what_no_verifier_answers_is_said_and_no_success(named_verifier, capsys):
    buckets("fixed-1")
    finding(check="iam_avoid_root_usage")

    with pytest.raises(CommandError, match="Nobody could say"):
        call_command("verify", "-q", "is:open", "--wait")

    assert "No verifier answers the checks of 1" in capsys.readouterr().err


def test_what_was_left_unfinished_goes_on(named_verifier, capsys):
    buckets("fixed-1", "interrupted-2", "fixed-3")
    with pytest.raises(CommandError, match="Interrupted") as failure:
        of_query("--wait")
    assert failure.value.returncode == 130

    of_query("--wait", "--json")

    run = VerificationRun.objects.get()
    said = capsys.readouterr()
    assert f"{run} is running: 1 of 3 are done." in said.err
    assert len(said.out.splitlines()[-4:]) == 4
    of_query("--wait")
    assert VerificationRun.objects.count() == 2


def test_without_waiting_the_workers_do_the_run(named_verifier, capsys):
    buckets("fixed-1", "fixed-2")

    of_query("--json", "--limit", "1")

    assert json.loads(capsys.readouterr().out)["total"] == 1
    assert Verification.objects.get().outcome == "fixed"  # the queue is in sync mode here


def test_a_query_that_makes_no_sense_is_wrong_usage(db):
    for wrong in (["-q", "severity:"], ["-q", "is:open", "--limit", "0"], ["F-1", "--limit", "3"]):
        with pytest.raises(CommandError) as failure:
            call_command("verify", *wrong)
        assert failure.value.returncode == 2


def test_a_viewer_may_not_verify_many(named_verifier):
    buckets("fixed-1")

    with pytest.raises(CommandError) as failure:
        of_query("--as", "viewer")

    assert failure.value.returncode == 4
    assert not VerificationRun.objects.exists()
