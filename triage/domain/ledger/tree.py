"""The log's tree as it is stored: leaf hashes, and the hashes of whole subtrees of 256, 65,536 … leaves."""

from collections.abc import Sequence

from triage.domain.ledger import merkle
from triage.models import Leaf, Node

STEP = 8  # levels from one stored kind of subtree to the next
WIDTH = 1 << STEP


class Tree:
    """Reads what it is asked for, a tile of 256 hashes at a time, and keeps it: for one transaction, one export."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def subtree(self, begin: int, end: int) -> bytes:
        """The hash over the leaves [begin, end), where RFC 9162 splits."""
        size = end - begin
        if size == 0:
            return merkle.EMPTY
        if size & (size - 1) == 0:
            return self._whole(size.bit_length() - 1, begin // size)
        middle = begin + merkle.split(size)
        return merkle.node_hash(self.subtree(begin, middle), self.subtree(middle, end))

    def root(self, size: int) -> bytes:
        return self.subtree(0, size)

    def _whole(self, level: int, number: int) -> bytes:
        if level % STEP == 0:
            tile = self._tile(level, number // WIDTH)
            return tile[number % WIDTH]
        return merkle.node_hash(self._whole(level - 1, 2 * number), self._whole(level - 1, 2 * number + 1))

    def _tile(self, level: int, number: int) -> list[bytes]:
        known = self._tiles.get((level, number))
        if known is None:
            begin = number * WIDTH
            wanted = {"number__gte": begin, "number__lt": begin + WIDTH}
            rows = Leaf.objects.filter(**wanted) if level == 0 else Node.objects.filter(level=level, **wanted)
            known = [bytes(hashed) for hashed in rows.order_by("number").values_list("hash", flat=True)]
            self._tiles[level, number] = known
        return known


def grow(size: int, hashes: Sequence[bytes]) -> None:
    """Store the whole subtrees that the new leaves complete; `size`: leaves before them. A few statements a level."""
    level, first, new = 0, size, list(hashes)
    while new:
        begin = first // WIDTH * WIDTH
        if begin < first:
            older = Leaf.objects.all() if level == 0 else Node.objects.filter(level=level)
            rows = older.filter(number__gte=begin, number__lt=first).order_by("number").values_list("hash", flat=True)
            new = [bytes(hashed) for hashed in rows] + new
        whole = len(new) // WIDTH
        made = [merkle.subtree_of(new[at * WIDTH : (at + 1) * WIDTH])(0, WIDTH) for at in range(whole)]
        level, first, new = level + STEP, begin // WIDTH, made
        Node.objects.bulk_create(
            [Node(level=level, number=first + at, hash=hashed) for at, hashed in enumerate(made)], batch_size=5000
        )
