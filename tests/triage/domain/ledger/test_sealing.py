"""Events in the log: each once, none missed, and whatever is changed afterwards is found."""

import base64
import contextlib
import threading
import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Count
from django.utils import timezone

from tests.factories import AT, TRIAGER, finding, team
from triage.domain import access, audit, ledger, lifecycle
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.ledger import keys, merkle, notes, sealing, tree
from triage.models import Checkpoint, Event, Leaf, LedgerCheck, LedgerKey, Node

OPERATOR = access.of_machine(0)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(settings, tmp_path):
    settings.CSPM_HOME = tmp_path


def tell(number, reason=""):
    with audit.recording(actor="user:1", at=AT, door="page", reason=reason) as log:
        log.tell("rule", number, "changed", after={"n": number}, reason=reason)


def write_and_fail(number):
    with contextlib.suppress(ZeroDivisionError), audit.recording(actor="user:1", at=AT, door="page") as log:
        log.tell("rule", number, "rolled back")
        raise ZeroDivisionError


def sealed(at=AT):
    """Seal until nothing waits: transactions of other tests, in other databases of the server, hold everything up."""
    added = 0
    for _attempt in range(200):
        added += ledger.seal(at=at).added
        if not ledger.waiting():
            return added
        time.sleep(0.05)
    raise AssertionError("something holds a transaction open")


def broken():
    found = ledger.verify(at=AT).fault
    return str(found) if found else None


@pytest.fixture
def owner():
    """Statements as whoever owns the database, past every trigger."""

    def run(statement, *params):
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE NONE; SET session_replication_role = replica")
            try:
                cursor.execute(statement, params)
            finally:
                cursor.execute("SET session_replication_role = DEFAULT; SET ROLE cspm_app")

    return run


def test_each_event_is_sealed_once_and_the_head_is_over_all_of_them():
    finding(owner=team("web"))
    for number in range(3):
        tell(number)
    size = sealed()
    assert size == Leaf.objects.count() == Event.objects.count()
    assert ledger.seal(at=AT).added == 0
    assert list(Leaf.objects.order_by("number").values_list("number", flat=True)) == list(range(size))
    head = Checkpoint.objects.latest("size")
    leaves = [bytes(leaf) for leaf in Leaf.objects.order_by("number").values_list("hash", flat=True)]
    assert bytes(head.root) == merkle.subtree_of(leaves)(0, len(leaves))
    key = LedgerKey.objects.get()
    assert notes.opened(head.note, bytes(key.public)) == notes.Head(key.origin, size, bytes(head.root), 1)
    assert broken() is None
    assert ledger.waiting() == 0


def test_a_late_commit_is_not_missed_and_a_rollback_leaves_no_gap():
    tell(0)
    sealed()
    begun, go_on = threading.Event(), threading.Event()

    def late():
        with audit.recording(actor="user:1", at=AT, door="page") as log:
            log.tell("rule", 1, "late")
            begun.set()
            go_on.wait(10)
        connections.close_all()

    thread = threading.Thread(target=late)
    thread.start()
    begun.wait(10)
    write_and_fail(2)
    tell(3)
    ledger.seal(at=AT)
    assert not Event.objects.filter(kind="late").exists()
    go_on.set()
    thread.join()
    sealed()
    covered = {row.event for row in Leaf.objects.all()}
    assert covered == set(Event.objects.values_list("pk", flat=True))
    assert list(Leaf.objects.order_by("number").values_list("number", flat=True)) == list(range(len(covered)))


def test_ten_writers_with_rollbacks_and_a_sealer_beside_them():
    stop = threading.Event()

    def write(writer):
        for number in range(30):
            if number % 5 == 0:
                write_and_fail(number)
            else:
                tell(writer * 100 + number)
        connections.close_all()

    def seal():
        at = AT
        while not stop.is_set():
            at += timedelta(minutes=11)
            sealing.seal(at=at)
        connections.close_all()

    sealers = [threading.Thread(target=seal) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(10)]
    for thread in sealers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()
    sealed(AT + timedelta(days=365))
    assert Event.objects.filter(subject="rule").count() == 10 * 24
    assert sorted(Leaf.objects.values_list("event", flat=True)) == sorted(Event.objects.values_list("pk", flat=True))
    assert broken() is None
    floors = [floor for floor in Checkpoint.objects.order_by("size").values_list("floor", flat=True) if floor]
    assert floors == sorted(floors)
    assert floors[-1] > 0


def test_more_than_a_chunk_and_stored_subtrees(monkeypatch):
    monkeypatch.setattr(sealing, "CHUNK", 300)
    with audit.recording(actor="user:1", at=AT, door="page") as log:
        log.tell_all("rule", [(number, "made", {}, {}) for number in range(700)])
    assert sealed() == 701  # with the key
    assert Node.objects.filter(level=8).count() == 2
    leaves = [bytes(leaf) for leaf in Leaf.objects.order_by("number").values_list("hash", flat=True)]
    stored = tree.Tree()
    assert stored.root(701) == merkle.subtree_of(leaves)(0, 701)
    for number in (0, 255, 256, 600, 700):
        path = merkle.inclusion(number, 701, stored.subtree)
        assert merkle.root_by_inclusion(leaves[number], number, 701, path) == stored.root(701)
    assert Checkpoint.objects.count() >= 3
    assert broken() is None


@pytest.mark.parametrize(
    ("level", "said"), [(2, "leaves 0 to 3 is not"), (4, "leaves 0 to 15 is not"), (6, "leaves 0 to 63 is not")]
)
def test_subtrees_of_subtrees_are_stored_and_computed_again(monkeypatch, owner, level, said):
    """With four leaves to a subtree in place of 256, a hundred events have three levels of them."""
    monkeypatch.setattr(tree, "STEP", 2)
    monkeypatch.setattr(tree, "WIDTH", 4)
    with audit.recording(actor="user:1", at=AT, door="page") as log:
        log.tell_all("rule", [(number, "made", {}, {}) for number in range(100)])
    for number in range(3):
        sealed()
        tell(number)
    size = 101 + 3 - 1
    assert Leaf.objects.count() == size
    assert dict(Node.objects.values_list("level").annotate(n=Count("pk"))) == {2: 25, 4: 6, 6: 1}
    leaves = [bytes(leaf) for leaf in Leaf.objects.order_by("number").values_list("hash", flat=True)]
    assert tree.Tree().root(size) == merkle.subtree_of(leaves)(0, size)
    sealed()
    assert broken() is None
    owner("UPDATE triage_node SET hash = sha256('x') WHERE level = %s AND number = 0", level)
    assert said in broken()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE triage_event SET actor = 'user:9' WHERE kind = 'status'", "is not what was sealed"),
        ("UPDATE triage_event SET at = at + interval '1 day' WHERE kind = 'status'", "is not what was sealed"),
        ("UPDATE triage_event SET reason = 'another' WHERE subject = 'rule'", "is not what was sealed"),
        ("UPDATE triage_event SET after = '{}' WHERE subject = 'rule'", "is not what was sealed"),
        ("DELETE FROM triage_event WHERE kind = 'status'", "is not what was sealed"),
        ("DELETE FROM triage_leaf WHERE number = 1", "Leaf 1 is missing"),
        ("UPDATE triage_leaf SET number = 100 - number", "Leaf 0 is missing"),
        ("UPDATE triage_leaf SET content = content || ' ' WHERE number = 1", "its hash is not that of its content"),
        (
            "UPDATE triage_leaf SET content = content || ' ', hash = sha256('\\x00'::bytea || content || ' ') WHERE number = 1",
            "is not what was sealed",
        ),
        ("DELETE FROM triage_leaf WHERE number > 1", "was signed, and there are only 2"),
        ("DELETE FROM triage_checkpoint", "the newest signed head is of 0"),
    ],
)
def test_what_was_changed_is_found(owner, statement, said):
    row = finding()
    lifecycle.move(finding=row.pk, to="in_progress", actor=TRIAGER, at=AT)
    tell(1, reason="because")
    sealed()
    assert broken() is None
    owner(statement)
    assert said in broken()
    assert LedgerCheck.objects.latest("pk").fault


def rewrite(owner):
    """An administrator who changes history and computes everything again, with the key."""
    owner("UPDATE triage_event SET actor = 'user:9' WHERE kind = 'status'")
    owner("DELETE FROM triage_leaf")
    owner("DELETE FROM triage_node")
    owner("DELETE FROM triage_checkpoint")


def test_a_history_written_anew_is_found_by_the_head_that_is_kept_outside(owner):
    row = finding()
    lifecycle.move(finding=row.pk, to="in_progress", actor=TRIAGER, at=AT)
    sealed()
    kept = Checkpoint.objects.latest("size").note
    rewrite(owner)
    sealed()
    assert ledger.verify(at=AT).fault is None
    assert "is not one of this log" in str(ledger.verify(at=AT, note=kept).fault)


def test_a_tail_that_was_cut_off_is_found_by_the_head_that_is_kept_outside(owner):
    tell(1)
    tell(2)
    sealed()
    kept = Checkpoint.objects.latest("size").note
    rewrite(owner)
    owner("DELETE FROM triage_event WHERE subject_id = 2 OR subject = 'ledger'")
    sealed()
    assert "there are only" in str(ledger.verify(at=AT, note=kept).fault)


def test_an_event_that_nobody_sealed_is_found():
    tell(1)
    sealed()
    tell(2)
    assert "no leaf covers it" in str(ledger.verify(at=AT + timedelta(days=3650)).fault)


def test_nothing_is_sealed_on_top_of_a_log_that_was_changed(owner):
    tell(1)
    tell(2)
    sealed()
    owner("UPDATE triage_leaf SET hash = sha256('x') WHERE number = 0")
    tell(3)
    with pytest.raises(sealing.Broken):
        sealed()


def test_words_can_be_erased_and_the_log_holds():
    tell(1, reason="Alice Martin is on leave")
    sealed()
    event = Event.objects.get(subject="rule")
    with pytest.raises(NotAllowed):
        ledger.erase(event=event.pk, reason="asked for by the person", actor=TRIAGER, at=AT)
    with pytest.raises(Invalid, match="Say why"):
        ledger.erase(event=event.pk, reason=" ", actor=OPERATOR, at=AT)
    with pytest.raises(NotFound):
        ledger.erase(event=event.pk + 1000, reason="asked for by the person", actor=OPERATOR, at=AT)
    ledger.erase(event=event.pk, reason="asked for by the person", actor=OPERATOR, at=AT)
    event.refresh_from_db()
    assert (event.reason, event.after) == ("", None)
    assert Leaf.objects.get(event=event.pk).salt is None
    assert Event.objects.filter(subject="event", subject_id=event.pk, kind="words erased").exists()
    sealed()
    assert broken() is None


def test_what_a_finding_went_through_cannot_be_erased():
    row = finding()
    lifecycle.move(finding=row.pk, to="in_progress", actor=TRIAGER, at=AT, reason="Bob looks at it")
    event = Event.objects.get(kind="status")
    ledger.erase(event=event.pk, reason="asked for", actor=OPERATOR, at=AT)
    event.refresh_from_db()
    assert event.reason == ""
    assert event.after["status"] == "in_progress"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE triage_leaf SET salt = NULL",
        "DELETE FROM triage_leaf",
        "UPDATE triage_checkpoint SET note = ''",
        "DELETE FROM triage_node",
        "DELETE FROM triage_ledgerkey",
        "SELECT set_config('cspm.erasing', 'on', true); UPDATE triage_event SET reason = ''",
        "SELECT cspm_erase(1)",
    ],
)
def test_the_application_cannot_rewrite_the_log(statement):
    tell(1)
    sealed()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_new_key_is_vouched_for_by_the_old_one(tmp_path):
    tell(1)
    sealed()
    old = LedgerKey.objects.get()
    sealing.rotate(actor="os:0", at=AT)
    new = LedgerKey.objects.latest("pk")
    assert notes.opened(new.vouched, bytes(old.public)) == notes.opened(new.vouched, bytes(new.public))
    tell(2)
    sealed()
    assert notes.opened(Checkpoint.objects.latest("size").note, bytes(new.public)).size > 1
    assert broken() is None
    assert len(list((tmp_path / "ledger").iterdir())) == 1
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "ledger").iterdir()] == [0o600]


def test_without_its_key_nothing_is_sealed_and_a_lost_one_is_replaced(tmp_path):
    tell(1)
    sealed()
    for path in (tmp_path / "ledger").iterdir():
        path.unlink()
    tell(2)
    with pytest.raises(Invalid):
        ledger.seal(at=AT)
    sealing.rotate(actor="os:0", at=AT, lost=True)
    assert sealed() > 0
    assert LedgerKey.objects.latest("pk").vouched == ""
    assert keys.described(LedgerKey.objects.latest("pk")).startswith("cspm-triage/")
    assert broken() is None


def seed():
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


@pytest.mark.parametrize("lost", [False, True])
def test_a_key_of_the_environment_is_changed_there(settings, tmp_path, lost):
    first, second = seed(), seed()
    settings.LEDGER_KEY = first
    tell(1)
    sealed()
    assert not (tmp_path / "ledger").exists()
    with pytest.raises(Invalid, match="holds the key that signs now"):
        sealing.rotate(actor="os:0", at=AT, lost=lost)
    settings.LEDGER_KEY = second
    if not lost:
        path = keys._path(bytes(LedgerKey.objects.get().public))
        path.parent.mkdir()
        path.write_text(first)
    sealing.rotate(actor="os:0", at=AT, lost=lost)
    assert bool(LedgerKey.objects.latest("pk").vouched) is not lost
    tell(2)
    sealed()
    assert notes.opened(Checkpoint.objects.latest("size").note, bytes(LedgerKey.objects.latest("pk").public)).size > 1
    assert broken() is None


def test_changes_of_findings_hold_what_changed_and_no_words():
    row = finding()
    lifecycle.move(finding=row.pk, to="in_progress", actor=TRIAGER, at=AT, reason="Bob looks")
    tell(1, reason="words")
    sealed()
    contents = [bytes(content).decode() for content in Leaf.objects.order_by("number").values_list("content", flat=True)]
    (moved,) = [content for content in contents if '"kind": "status"' in content]
    assert '"status": "in_progress"' in moved
    assert "Bob" not in moved
    (told,) = [content for content in contents if '"subject": "rule"' in content]
    assert '"words": "' in told  # their salted hash
    assert '"after"' not in told


def test_that_nobody_seals_is_seen():
    tell(1)
    sealed()
    assert ledger.standing(actor=OPERATOR, at=timezone.now()).stalled is None
    tell(2)
    later = timezone.now() + timedelta(minutes=11)
    assert ledger.standing(actor=OPERATOR, at=timezone.now()).stalled is None
    assert ledger.standing(actor=OPERATOR, at=later).stalled is not None
    told = dict(line.split(" ") for line in ledger.metrics(at=later).splitlines() if not line.startswith("#"))
    assert (told["cspm_ledger_waiting"], told["cspm_ledger_holds"]) == ("1", "1")
    assert float(told["cspm_ledger_stalled_seconds"]) > 600


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE triage_asset SET uid = 'arn:aws:s3:::harmless'",
        "UPDATE triage_check SET key = 's3_bucket_harmless'",
        "UPDATE triage_account SET uid = '210987654321'",
        "UPDATE triage_finding SET qualifier = 'elsewhere'",
    ],
)
def test_a_finding_cannot_become_one_of_another_thing(owner, statement):
    finding()
    sealed()
    assert broken() is None
    owner(statement)
    assert "was opened for another check or asset" in broken()
