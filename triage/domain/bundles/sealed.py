"""Sealed events as a bundle takes them: the bytes that were hashed, the words that belong to them, and one proof for all."""

import json
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from django.db import connection

from triage.domain.bundles.verifier import Said
from triage.domain.ledger import merkle, tree
from triage.domain.sets import chunks

CHUNK = 5_000  # findings

EVENTS = """
SELECT e.subject_id, l.number, convert_from(l.content, 'UTF8'), encode(l.salt, 'hex'), convert_from(cspm_words(e), 'UTF8')
FROM triage_event e JOIN triage_leaf l ON l.event = e.id
WHERE e.subject = %s AND e.subject_id = ANY(%s) AND l.number < %s ORDER BY e.subject_id, e.seq, e.id
"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event of a subject: its line in the bundle, and what it says."""

    subject: int
    leaf: int
    line: str
    said: Said


def of(subject: str, numbers: Iterable[int], *, size: int) -> Iterator[tuple[int, list[Sealed]]]:
    """The subjects that have events among the first `size` leaves, with them in order. One statement for 5,000 subjects."""
    for chunk in chunks(numbers, CHUNK):
        with connection.cursor() as cursor:
            cursor.execute(EVENTS, [subject, sorted(chunk), size])
            rows = cursor.fetchall()
        for number, events in groupby(rows, key=lambda row: row[0]):
            yield int(number), [_sealed(*row) for row in events]


def _sealed(subject: int, leaf: int, content: str, salt: str | None, words: str) -> Sealed:
    told = words if salt else None
    line = json.dumps({"leaf": leaf, "content": content, "salt": salt, "words": told}, ensure_ascii=False, separators=(",", ":"))
    return Sealed(subject, leaf, line, Said(leaf, json.loads(content), json.loads(words) if salt else {}))


def nodes(leaves: Collection[int], size: int, subtree: merkle.Subtree) -> Iterator[bytes]:
    """What `verifier.root_of` needs beside these leaves: the hashes of the largest parts that hold none of them, left to right."""
    numbers = sorted(leaves)

    def over(begin: int, end: int) -> Iterator[bytes]:
        first = bisect_left(numbers, begin)
        if first == len(numbers) or numbers[first] >= end:
            yield subtree(begin, end)
        elif end - begin > 1:
            middle = begin + merkle.split(end - begin)
            yield from over(begin, middle)
            yield from over(middle, end)

    return over(0, size)


def path(old: int, new: int, stored: tree.Tree) -> list[str]:
    """The proof that the first `new` leaves begin with the first `old`."""
    return [part.hex() for part in merkle.consistency(old, new, stored.subtree)] if old < new else []
