"""Compute the whole log again: leaves from events, the tree from leaves, each signed head from the tree; then what findings are of."""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from triage.domain.ingest import identity
from triage.domain.ingest.cleaning import UID_LIMIT
from triage.domain.ledger import keys, merkle, notes, tree
from triage.domain.ledger.sealing import CHUNK
from triage.models import Checkpoint, LedgerCheck, LedgerKey, Node
from triage.ports import Text

# An event that no leaf covers after so long was written around the sealer, or nobody seals.
UNSEALED_FOR = timedelta(hours=1)

# `same`: the event still says what was sealed; its words count only while they have their salt.
LEAVES = """
SELECT l.number, l.event, l.content, l.hash, e.id IS NOT NULL AND l.content = cspm_leaf(
        e, l.salt, CASE WHEN cspm_opens(e) THEN cspm_opened(f.identity, (convert_from(l.content, 'UTF8')::jsonb ->> 'nth')::bigint) END,
        CASE WHEN l.salt IS NULL THEN convert_from(l.content, 'UTF8')::jsonb ->> 'words' END
    ) AS same, e.subject, e.subject_id, e.seq,
    CASE WHEN cspm_opens(e) THEN (convert_from(l.content, 'UTF8')::jsonb ->> 'nth')::bigint END
FROM triage_leaf l LEFT JOIN triage_event e ON e.id = l.event LEFT JOIN triage_finding f ON cspm_opens(e) AND f.id = e.subject_id
WHERE l.number >= %s ORDER BY l.number LIMIT %s
"""


FINDINGS = """
SELECT f.id, f.identity, c.scanner, c.key, f.qualifier, x.key, x.uid, x.name, x.type, a.provider, a.uid
FROM triage_finding f JOIN triage_check c ON c.id = f.check_id JOIN triage_asset x ON x.id = f.asset_id
JOIN triage_account a ON a.id = f.account_id WHERE f.id > %s AND a.provider <> 'code' ORDER BY f.id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """`size`: leaves that were computed again. `fault`: the first thing that is broken, None when nothing is."""

    size: int
    fault: Text | None


def verify(*, at: datetime, note: str = "", public: bytes = b"") -> Verified:
    """The whole log, at most 20,000 leaves in memory, from one snapshot of the database. Kept as a LedgerCheck.

    `note`: a head that somebody kept outside, which must be one of this log; `public`: the key that they trust, default the one on
    record. Nothing is believed of the database but its events.
    """
    begun = time.monotonic()
    frontier = merkle.Frontier()
    fault = None
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            _walk(frontier, _outside(note, public))
            _unsealed(at)
            _identities()
        except _Fault as found:
            fault = found.text
    kept = {"message": fault.message, "params": dict(fault.params)} if fault else {}
    LedgerCheck.objects.create(at=at, size=frontier.size, fault=kept, seconds=time.monotonic() - begun)
    return Verified(frontier.size, fault)


class _Fault(Exception):
    def __init__(self, message: str, **params: Any) -> None:
        super().__init__(message)
        self.text = Text(message, params)


def _outside(note: str, public: bytes) -> notes.Head | None:
    try:
        return notes.opened(note, public or bytes(keys.newest().public)) if note else None
    except notes.Unsigned:
        raise _Fault(_("The head that was given is not signed by the key.")) from None


def _walk(frontier: merkle.Frontier, wanted: notes.Head | None) -> None:
    heads = _heads()
    head, signed = next(heads, None), 0
    seen = _Seen()
    subtrees = _Subtrees()
    for row in _leaves():
        _leaf(row, frontier.size, seen)
        frontier.add(row[3])
        subtrees.add(row[3])
        while head is not None and head[0] == frontier.size:
            _head(head, frontier.root(), seen.findings)
            signed = head[0]
            head = next(heads, None)
        if wanted is not None and wanted.size == frontier.size and wanted.root != frontier.root():
            raise _Fault(
                _("The head of %(n)s leaves that was given is not one of this log: what came before it was changed."),
                n=wanted.size,
            )
    for size in (head[0] if head else 0, wanted.size if wanted else 0):
        if size > frontier.size:
            raise _Fault(_("A head of %(n)s leaves was signed, and there are only %(here)s."), n=size, here=frontier.size)
    if signed != frontier.size:
        raise _Fault(_("There are %(here)s leaves, and the newest signed head is of %(n)s."), n=signed, here=frontier.size)


def _leaves() -> Iterator[tuple[Any, ...]]:
    number = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(LEAVES, [number, CHUNK])
            rows = cursor.fetchall()
        for row in rows:
            yield (row[0], row[1], bytes(row[2]), bytes(row[3]), *row[4:])
        if len(rows) < CHUNK:
            return
        number = rows[-1][0] + 1


@dataclass(slots=True)
class _Seen:
    """So far: each finding's newest event number, and how many findings began."""

    seqs: dict[int, int] = field(default_factory=dict)
    findings: int = 0


def _leaf(row: tuple[Any, ...], expected: int, seen: _Seen) -> None:
    number, event, content, hashed, same, subject, subject_id, seq, nth = row
    if number != expected:
        raise _Fault(_("Leaf %(n)s is missing."), n=expected)
    if merkle.leaf_hash(content) != hashed:
        raise _Fault(_("Leaf %(n)s (event %(event)s): its hash is not that of its content."), n=number, event=event)
    if not same:
        said = json.loads(content)
        raise _Fault(
            _("Event %(event)s (leaf %(n)s, %(subject)s %(id)s, %(kind)s) is not what was sealed: it was changed or deleted."),
            n=number, event=event, subject=said["subject"], id=said["subject_id"], kind=said["kind"],
        )  # fmt: skip
    if subject == "finding" and seq is not None:
        before = seen.seqs.get(subject_id, 0)
        if seq != before + 1:
            raise _Fault(
                _("Event %(event)s of finding %(id)s is number %(seq)s, after %(before)s."),
                event=event, id=subject_id, seq=seq, before=before,
            )  # fmt: skip
        seen.seqs[subject_id] = seq
    if nth is not None:
        seen.findings += 1
        if nth != seen.findings:
            raise _Fault(_("Event %(event)s says that it begins finding number %(nth)s, it is number %(n)s."),
                         event=event, nth=nth, n=seen.findings)  # fmt: skip


class _Subtrees:
    """The hashes of whole subtrees, computed again as leaves come, level by level, and compared with those that are stored."""

    def __init__(self) -> None:
        self._levels: dict[int, list[bytes]] = defaultdict(list)
        self._done: dict[int, int] = defaultdict(int)

    def add(self, leaf: bytes) -> None:
        level, hashed = 0, leaf
        while True:
            part = self._levels[level]
            part.append(hashed)
            if len(part) < tree.WIDTH:
                return
            hashed = merkle.subtree_of(part)(0, tree.WIDTH)
            level += tree.STEP
            self._levels[level - tree.STEP] = []
            self._compare(level, hashed)

    def _compare(self, level: int, hashed: bytes) -> None:
        number = self._done[level]
        self._done[level] += 1
        stored = Node.objects.filter(level=level, number=number).values_list("hash", flat=True).first()
        if stored is None or bytes(stored) != hashed:
            begin = number << level
            raise _Fault(_("The stored hash over leaves %(a)s to %(b)s is not theirs."), a=begin, b=begin + (1 << level) - 1)


def _heads() -> Iterator[tuple[int, bytes, str, list[bytes]]]:
    """Heads in order, with the keys that may have signed them."""
    known = [bytes(row.public) for row in LedgerKey.objects.order_by("-pk")]
    for size, root, note in Checkpoint.objects.order_by("size").values_list("size", "root", "note").iterator(2000):
        yield size, bytes(root), note, known


def _head(head: tuple[int, bytes, str, list[bytes]], root: bytes, findings: int) -> None:
    size, stored, note, known = head
    if stored != root:
        raise _Fault(_("The head of %(n)s leaves says another root than theirs: something before it was changed."), n=size)
    for public in known:
        with contextlib.suppress(notes.Unsigned):
            said = notes.opened(note, public)
            if (said.size, said.root, said.findings) == (size, root, findings):
                return
    raise _Fault(
        _("The head of %(n)s leaves is not signed by a key of this ledger, or counts other findings than there are."), n=size
    )


def _identities() -> None:
    """Each finding of a cloud is about the check, account and asset that its identity, which is sealed, was made of."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(FINDINGS, [last, CHUNK])
            rows = cursor.fetchall()
        for number, sealed, scanner, check, qualifier, key, uid, name, kind, provider, account in rows:
            asset = bytes(key)
            if identity.finding_key(f"{scanner}\x1f{check}", asset, qualifier) != bytes(sealed) or not _is_of(
                asset, identity.prefix(provider, account), uid, name, kind
            ):
                raise _Fault(
                    _("F-%(id)s was opened for another check or asset than the one that stands there now (%(check)s, %(asset)s)."),
                    id=f"{number:06d}", check=check, asset=uid,
                )  # fmt: skip
        if len(rows) < CHUNK:
            return
        last = rows[-1][0]


def _is_of(key: bytes, prefix: str, uid: str, name: str, kind: str) -> bool:
    if any(identity.asset_key(prefix, text) == key for text in identity.spellings(uid, name, kind)):
        return True
    # What a database refuses was taken out of the text after the key was made of it.
    return "\N{REPLACEMENT CHARACTER}" in uid + name or len(uid) >= UID_LIMIT


def _unsealed(at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM triage_event e LEFT JOIN triage_leaf l ON l.event = e.id"
            " WHERE l.event IS NULL AND e.recorded_at < %s ORDER BY e.id LIMIT 1",
            [at - UNSEALED_FOR],
        )
        row = cursor.fetchone()
    if row:
        raise _Fault(_("Event %(event)s is older than an hour and no leaf covers it."), event=row[0])
