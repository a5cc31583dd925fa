"""Seal events into the log: one worker at a time, every event once, none missed however late its transaction commits.

An event is sealed when its transaction is older than all that are running (`pg_snapshot_xmin`): a number that is missing then was
rolled back. Leaves have numbers of their own, without gaps.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction

from triage.domain.ledger import keys, merkle, notes, tree, witnessing
from triage.models import Checkpoint

CHUNK = 20_000
LOCK = 0x6C656467  # "ledg"
# A transaction takes its number a moment after its events took theirs: a floor is this old before it counts.
SETTLED = timedelta(minutes=10)
PATIENCE = timedelta(minutes=10)  # a worker seals every minute

SEAL = """
WITH fresh AS (
    SELECT e.id, cspm_opens(e) AS opens FROM triage_event e LEFT JOIN triage_leaf l ON l.event = e.id
    WHERE e.id > %s AND e.xid < pg_snapshot_xmin(pg_current_snapshot()) AND l.event IS NULL ORDER BY e.id LIMIT %s
), salted AS MATERIALIZED (
    SELECT id, opens, row_number() OVER (ORDER BY id) - 1 AS place, %s + count(*) FILTER (WHERE opens) OVER (ORDER BY id) AS nth,
        uuid_send(gen_random_uuid()) AS salt FROM fresh
), worded AS MATERIALIZED (
    SELECT s.place, s.id, s.nth, s.salt, cspm_leaf(e, s.salt, cspm_opened(f.identity, s.nth)) AS content
    FROM salted s JOIN triage_event e USING (id) LEFT JOIN triage_finding f ON s.opens AND f.id = e.subject_id
), added AS (
    INSERT INTO triage_leaf (number, event, salt, content, hash)
        SELECT %s + place, id, salt, content, sha256('\\x00'::bytea || content) FROM worded ORDER BY place
    RETURNING number, event, hash
)
SELECT event, hash, (SELECT max(nth) FROM worded) FROM added ORDER BY number
"""


class Broken(Exception):
    """The log is not the one that was signed: nothing is sealed on top of it."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a round did. `size`: leaves now; `added`: of this round. `held`: another process was sealing."""

    size: int
    added: int
    held: bool = False


@dataclass(slots=True)
class _Round:
    floor: int
    last_event: int
    next_xid: int
    next_floor: int


def seal(*, at: datetime) -> Sealed:
    """Seal what is settled, in chunks of 20,000, each with a signed head. Raises Broken, Invalid (the key)."""
    added, this = 0, None
    while True:
        with transaction.atomic(durable=True):
            if not _locked():
                return Sealed(_size(), added, held=True)
            this = this or _begin(at)
            number = _seal(this, at=at)
            witnessing.publish(at=at)
        added += number
        if number < CHUNK:
            return Sealed(_size(), added)


def rotate(*, actor: str, at: datetime, lost: bool = False) -> str:
    """Sign with a new key from now on, which the old one vouches for unless it is `lost`. The verifier's key.

    Raises Invalid, NotFound before the first sealing.
    """
    if not lost:
        seal(at=at)
    with transaction.atomic():
        keys.newest()
        head = Checkpoint.objects.order_by("-size").first()
        row = keys.rotate(head=head, actor=actor, at=at) if head and not lost else keys.lost(actor=actor, at=at)
    return keys.described(row)


def waiting() -> int:
    """Events that no leaf covers yet, at most counted to 100,000."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM triage_event e LEFT JOIN triage_leaf l ON l.event = e.id"
            " WHERE e.id > %s AND l.event IS NULL LIMIT 100000) AS unsealed",
            [_floor()],
        )
        return int(cursor.fetchone()[0])


def stalled(*, at: datetime) -> datetime | None:
    """Since when an event waits that should have been sealed long ago; None while sealing keeps up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.recorded_at FROM triage_event e LEFT JOIN triage_leaf l ON l.event = e.id"
            " WHERE e.id > %s AND l.event IS NULL ORDER BY e.id LIMIT 1",
            [_floor()],
        )
        row = cursor.fetchone()
    return row[0] if row and row[0] < at - PATIENCE else None


def _begin(at: datetime) -> _Round:
    """What the round goes on from, and what the next ones may.

    When a round begins, all transactions before `next_xid` have taken numbers up to `last_event`. Once they are over, and a round
    that began after that has sealed them, nothing up to that number can come any more.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM triage_event_id_seq")
        last = int(cursor.fetchone()[0])
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        xid = int(cursor.fetchone()[0])
        cursor.execute(
            "SELECT max(last_event) FROM triage_checkpoint WHERE at < %s"
            " AND next_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
            [at - SETTLED],
        )
        over = cursor.fetchone()[0] or 0
    floor = _floor()
    return _Round(floor=floor, last_event=last, next_xid=xid, next_floor=max(over, floor))


def _seal(this: _Round, *, at: datetime) -> int:
    """A chunk; how many."""
    key, private = keys.current(actor="worker", at=at)
    before = Checkpoint.objects.order_by("-size").first()
    size, findings = (before.size, before.findings) if before else (0, 0)
    with connection.cursor() as cursor:
        cursor.execute(SEAL, [this.floor, CHUNK, findings, size])
        rows = cursor.fetchall()
    if rows:
        tree.grow(size, [bytes(hashed) for _event, hashed, _findings in rows])
        this.floor = rows[-1][0]
        _sign(before, size + len(rows), rows[-1][2], key.origin, private, at=at, ended=this if len(rows) < CHUNK else None)
    return len(rows)


def _sign(
    before: Checkpoint | None,
    new: int,
    findings: int,
    origin: str,
    private: Ed25519PrivateKey,
    *,
    at: datetime,
    ended: _Round | None,
) -> None:
    """The new head, once it is shown to begin with the old one."""
    stored = tree.Tree()
    root = stored.root(new)
    if before is not None:
        try:
            merkle.check_consistency(
                before.size, bytes(before.root), new, root, merkle.consistency(before.size, new, stored.subtree)
            )
        except merkle.Inconsistent:
            raise Broken(f"the log does not begin with the {before.size} leaves that were signed") from None
    note = notes.signed(notes.Head(origin, new, root, findings), private)
    went_on = {"last_event": ended.last_event, "next_xid": ended.next_xid, "floor": ended.next_floor} if ended else {}
    Checkpoint.objects.create(size=new, root=root, findings=findings, note=note, at=at, **went_on)


def _size() -> int:
    head = Checkpoint.objects.order_by("-size").values_list("size", flat=True).first()
    return head or 0


def _floor() -> int:
    """Events up to this number are all sealed, or were rolled back."""
    return Checkpoint.objects.exclude(floor=None).order_by("-size").values_list("floor", flat=True).first() or 0


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])
