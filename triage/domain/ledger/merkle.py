"""Merkle trees as RFC 9162, section 2, has them: roots, proofs that a leaf is in, proofs that a tree grew out of another one."""

import hashlib
from collections.abc import Callable, Sequence

EMPTY = hashlib.sha256(b"").digest()

# The hash of the leaves [begin, end).
Subtree = Callable[[int, int], bytes]


class Inconsistent(Exception):
    """A proof that does not lead to the root."""


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below `size` (2 or more)."""
    return 1 << (size - 1).bit_length() - 1


def subtree_of(leaves: Sequence[bytes]) -> Subtree:
    """Over leaf hashes that are all here."""

    def subtree(begin: int, end: int) -> bytes:
        if end - begin == 1:
            return leaves[begin]
        if end == begin:
            return EMPTY
        middle = begin + split(end - begin)
        return node_hash(subtree(begin, middle), subtree(middle, end))

    return subtree


def inclusion(number: int, size: int, subtree: Subtree) -> list[bytes]:
    """The path that proves that leaf `number` is in the tree of `size` leaves (2.1.3.1)."""
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + split(end - begin)
        if number < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin = middle
    return path[::-1]


def consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The path that proves that the tree of `new` leaves begins with that of `old` ones (2.1.4.1); 0 < old <= new."""
    path: list[bytes] = []
    begin, end, whole = 0, new, True
    while old != end:
        middle = begin + split(end - begin)
        if old <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(subtree(begin, end))
    return path[::-1]


def root_by_inclusion(leaf: bytes, number: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that the path leads to (2.1.3.2). Raises Inconsistent for a path that fits no such tree."""
    if not 0 <= number < size:
        raise Inconsistent
    at, last, found = number, size - 1, leaf
    for part in path:
        if last == 0:
            raise Inconsistent
        if at & 1 or at == last:
            found = node_hash(part, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, part)
        at, last = at >> 1, last >> 1
    if last:
        raise Inconsistent
    return found


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Whether the path shows that the new tree begins with the old one (2.1.4.2). Raises Inconsistent."""
    if not 0 < old <= new or (old == new and (path or old_root != new_root)):
        raise Inconsistent
    if old == new:
        return
    parts = list(path) if old & (old - 1) else [old_root, *path]
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not parts:
        raise Inconsistent
    first = second = parts[0]
    for part in parts[1:]:
        if last == 0:
            raise Inconsistent
        if at & 1 or at == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, part)
        at, last = at >> 1, last >> 1
    if (first, second, last) != (old_root, new_root, 0):
        raise Inconsistent


class Frontier:
    """A tree that grows leaf by leaf and keeps the roots of its whole subtrees alone: as many hashes as the size has bits."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        found, size = leaf, self.size
        while size & 1:
            found, size = node_hash(self._parts.pop(), found), size >> 1
        self._parts.append(found)
        self.size += 1

    def root(self) -> bytes:
        if not self._parts:
            return EMPTY
        found = self._parts[-1]
        for part in reversed(self._parts[:-1]):
            found = node_hash(part, found)
        return found
