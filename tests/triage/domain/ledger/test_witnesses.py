"""Heads of the ledger with witnesses outside, each head once, through the outbox."""

import subprocess
from datetime import timedelta

import pytest

from tests.factories import AT
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
    (folder / f"{Checkpoint.objects.latest('size').size:012d}.checkpoint").write_text("another one")
    witness("witness_folder", folder=str(folder), every="head")
    tell(2)
    for size in range(1, 9):
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
    witness("witness_git", folder=str(folder), every="head")
    tell(1)
    publish()
    tell(2)
    publish(AT + timedelta(minutes=1))
    log = subprocess.run(
        ["git", "--git-dir", str(remote), "log", "--format=%s", "--all"], capture_output=True, text=True, check=True
    )
    assert len(log.stdout.splitlines()) == Publication.objects.count() >= 2
    shown = subprocess.run(
        ["git", "--git-dir", str(remote), "show", "HEAD:checkpoint"], capture_output=True, text=True, check=False
    )
    assert ledger.verify(at=AT, note=shown.stdout or (folder / "checkpoint").read_text()).fault is None
