"""Heads of the ledger with witnesses outside, each head once, through the outbox."""

import base64
import subprocess
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from tests.cloud import REGION
from tests.factories import AT
from tests.servers.tsa import Tsa
from tests.triage.domain.ledger.test_sealing import sealed, tell
from triage.domain import connections, ledger, outbox
from triage.domain.access import Actor
from triage.domain.connections import Wanted
from triage.models import Alarm, Checkpoint, OutboxMessage, Publication, Role

pytestmark = pytest.mark.django_db(transaction=True)
ADMIN = Actor(name="user:9", door="page", roles=frozenset({Role.ADMINISTRATOR}), user=9)


@pytest.fixture(autouse=True)
def house(settings, tmp_path):
    settings.CSPM_HOME = tmp_path


def witness(plugin, **given):
    return connections.put(Wanted(plugin.replace("_", "-"), "witnesses", plugin, given), actor=ADMIN, at=AT)


def publish(at=AT):
    sealed(at)
    ledger.seal(at=at)
    outbox.drain(at=at, clock=lambda: at)


def test_a_folder_gets_each_head_once_an_hour(tmp_path):
    folder = tmp_path / "heads"
    folder.mkdir()
    witness("witness_folder", folder=str(folder))
    tell(1)
    publish()
    publish(AT + timedelta(minutes=5))
    tell(2)
    publish(AT + timedelta(minutes=10))
    assert len(list(folder.iterdir())) == 1
    publish(AT + timedelta(minutes=70))
    first, second = sorted(folder.iterdir())
    assert second.read_text() == Checkpoint.objects.latest("size").note
    assert oct(first.stat().st_mode & 0o777) == "0o444"
    assert Publication.objects.count() == 2
    for path in (first, second):
        assert ledger.verify(at=AT, note=path.read_text()).fault is None


def test_a_folder_with_another_history_is_an_alarm(tmp_path):
    folder = tmp_path / "heads"
    folder.mkdir()
    tell(1)
    sealed()
    witness("witness_folder", folder=str(folder), every="always")
    tell(2)
    for size in range(1, 9):  # whatever the next head's size is
        (folder / f"{size:012d}.checkpoint").write_text("another one")
    publish()
    dead = OutboxMessage.objects.filter(state="dead")
    assert dead
    assert all("not the same ledger" in message.last_answer for message in dead)
    assert Alarm.objects.get().kind == "dead"


def test_a_repository_has_a_commit_for_each_head(tmp_path):
    folder, remote = tmp_path / "clone", tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    subprocess.run(["git", "clone", "-q", str(remote), str(folder)], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(folder), "config", "push.autoSetupRemote", "true"], check=True)
    subprocess.run(["git", "-C", str(folder), "config", "push.default", "current"], check=True)
    connection = witness("witness_git", folder=str(folder), every="always")
    assert all(probe.passed for probe in connections.test(connection, actor=ADMIN, at=AT))  # of an empty clone, too
    tell(1)
    publish()
    tell(2)
    publish(AT + timedelta(minutes=1))
    commits = list(Publication.objects.order_by("pk").values_list("answer", flat=True))
    assert all(probe.passed for probe in connections.test(connection, actor=ADMIN, at=AT))
    assert len(set(commits)) == len(commits) >= 2
    for commit in commits:
        shown = subprocess.run(
            ["git", "--git-dir", str(remote), "show", f"{commit}:checkpoint"], capture_output=True, text=True, check=True
        )
        assert ledger.verify(at=AT, note=shown.stdout).fault is None
    assert shown.stdout == Checkpoint.objects.latest("size").note


def test_an_auditor_gets_a_head_by_mail_that_verifies(tmp_path):
    witness("witness_mail", to="auditor@acme.example")
    tell(1)
    publish()
    (message,) = mail.outbox
    head = Publication.objects.get().checkpoint
    assert message.to == ["auditor@acme.example"]
    begin = message.body.index(head.note[:40])
    assert message.body[begin : begin + len(head.note)] == head.note


def test_a_bucket_locks_heads(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="heads", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": REGION})
    connection = witness("witness_s3", bucket="heads", days="30", region=REGION, mode="COMPLIANCE")
    assert [probe.passed for probe in connections.test(connection, actor=ADMIN, at=AT)] == [True]
    now = timezone.now()
    tell(1)
    publish(now)
    head = Publication.objects.get().checkpoint
    kept = s3.get_object(Bucket="heads", Key=f"cspm-triage/{head.size:012d}.checkpoint")
    assert kept["Body"].read().decode() == head.note
    assert (kept["ObjectLockMode"], (kept["ObjectLockRetainUntilDate"] - now).days in (29, 30)) == ("COMPLIANCE", True)


def test_a_bucket_that_refuses_is_an_alarm(cloud):
    connection = witness("witness_s3", bucket="nowhere", region=REGION)
    assert [probe.passed for probe in connections.test(connection, actor=ADMIN, at=AT)] == [False]
    tell(1)
    publish()
    assert OutboxMessage.objects.get().state == "dead"
    assert Alarm.objects.get().detail == "NoSuchBucket"


@pytest.fixture(scope="module")
def tsa():
    with Tsa() as server:
        yield server


def stamper(tsa, **given):
    return witness("witness_rfc3161", url=tsa.address, allow_private="yes", certificates=str(tsa.root), **given)


def test_an_authority_stamps_heads_and_openssl_agrees(tsa, tmp_path):
    found = stamper(tsa)
    assert [probe.passed for probe in connections.probed(found, at=AT)] == [True]
    tell(1)
    publish()
    (row,) = Publication.objects.all()
    kind, stamp = row.answer.split(",")
    assert kind == "data:application/timestamp-reply;base64"
    assert OutboxMessage.objects.get(verb="publish").last_answer == kind
    (tmp_path / "head").write_text(row.checkpoint.note)
    (tmp_path / "tsr").write_bytes(base64.b64decode(stamp))
    said = subprocess.run(
        ["openssl", "ts", "-verify", "-data", "head", "-in", "tsr", "-CAfile", str(tsa.root)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Verification: OK" in said.stdout + said.stderr


@pytest.mark.parametrize(("how", "reason"), [("lies", "about something else"), ("refuses", "refused: status 2")])
def test_what_is_no_stamp_of_the_head_is_not_kept(tsa, how, reason):
    stamper(tsa)
    setattr(tsa, how, True)
    try:
        tell(1)
        publish()
    finally:
        setattr(tsa, how, False)
    assert not Publication.objects.exists()
    assert reason in OutboxMessage.objects.get(verb="publish").last_answer


def test_whom_we_do_not_trust_stamps_nothing(tsa, tmp_path):
    with Tsa() as other:
        stamper(tsa)
        connections.put(
            Wanted("witness-rfc3161", "witnesses", "witness_rfc3161",
                   {"url": tsa.address, "allow_private": "yes", "certificates": str(other.root)}),
            actor=ADMIN, at=AT,
        )  # fmt: skip
        tell(1)
        publish()
    assert not Publication.objects.exists()
    assert "not signed as it should be" in OutboxMessage.objects.get(verb="publish").last_answer
