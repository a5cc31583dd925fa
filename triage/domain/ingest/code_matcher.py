"""Says which finding in code of the last scan each result of the new scan is, one to one, whatever moved in between.

A stored hash cannot do this: lines shift, files move, statements are copied and edited. So the results of two runs of one tool
and scope are matched in stages, the surest evidence first; what remains is new, or gone.
"""

import re
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from triage.ports import Place

SMALL = 64
MOST_CELLS = 100_000  # comparisons for one rule in one file; of larger groups only neighbours are compared
MOST_CELLS_IN_ALL = 1_500_000
NEIGHBOURS = 4
MOST_FUZZY = 2_000
NO_TEXT = "\0"
MOST_CANDIDATES = 40  # files that share a piece of evidence; more prove nothing
PIECES = 4093  # different pieces of text that are told apart
HEAD = 200  # characters of text that are still there when it was stored cut
NAMESAKE = 0.6  # likeness of two paths that makes them the same file's unless their results speak against it
LONGEST_SAID = 500  # characters of a message, which is stored with other white space and perhaps cut
SPEAKING = 24  # characters of text that do not meet by chance in two files

# What speaks for a pair in the alignment, in units of about "half the text is the same". Tuned on half of the made pairs.
MADE = 3.0  # it was made by a key
STEADY = 0.6  # it moved as far as the pair before it
WIDTH = 0.35  # it is as long, as far as columns tell
COLUMN = 0.35  # it begins in the same column
OTHER_ADDRESS = 1.0  # it is in another resource, function or package
TIE = 1e-6  # what differs by less is equal: then the earlier place is taken, as copies are pasted below
FAR = 0.01  # for each doubling of how far it moved otherwise than the pair before it: the nearer of two equal ones
EVEN = 0.3  # the rule has as many results in the file as before
BEFORE = 0.8  # the line before is the same
AFTER = 0.6  # the line after is the same
COPIED = 1.5  # the line before is the same as the flagged one, and was not
UNLIKE = -100.0
TEXT_NEEDED = 2.2
WORDS_NEEDED = 1.0

_ordinal_suffix = re.compile(r":\d{1,6}$")
_last_name = re.compile(r"[./]")
_version = re.compile(r"(?<=.)@[^@/]*$")
_quoted = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"|\b\d+\b")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a result is recognised by.

    `ordinal`: its number among the results of its report, which tells apart what stands at one place. `gone`: the last scan did
    not see it (a finding that was verified); such a one is only taken if no present one fits, and only for the same text.
    """

    rule: str
    message: str
    place: Place
    ordinal: int = 0
    gone: bool = False


Match = tuple[int | None, str]
Step = tuple["array[int]", "array[int]", "array[int]"]  # of a row: columns, and the row and column that each came from
Cell = tuple[float, int, int]  # what the best chain is worth that ends with this old and this new result


def match(old: Sequence[tuple[int, Traits]], new: Sequence[Traits]) -> list[Match]:
    """For each new result the key of the old one that it is and the stage that found it, or (None, "").

    Stages: file (nothing in the file changed), fingerprint, address, context, text, order (in rule and file, by all that is
    alike), elsewhere (moved to another file). The answer depends on no order of the arguments but for results that are equal
    in all traits.
    """
    state = _State([_Item(traits, key) for key, traits in old], [_Item(traits, index) for index, traits in enumerate(new)])
    state.match_present()
    state.match_gone()
    return [(item.partner.key, item.stage) if item.partner else (None, "") for item in state.new_in_order]


class _Item:
    """A result with what it is compared by. Costly traits are made when first asked for."""

    __slots__ = ("_around", "context", "file", "key", "partner", "place", "rule", "said", "stage", "text", "traits")

    def __init__(self, traits: Traits, key: int) -> None:
        self.traits = traits
        self.place = traits.place
        self.key = key
        self.rule = traits.rule
        self.file = traits.place.path
        self.said = " ".join(traits.message.split())[:LONGEST_SAID]
        self.text = "".join(traits.place.snippet.split())
        self.context = "".join(traits.place.context.split())
        self.partner: _Item | None = None
        self.stage = ""
        self._around: tuple[str, str] | None = None

    def order(self) -> tuple[int, int, int, str, str]:
        return (self.place.start_line, self.place.start_column, self.traits.ordinal, self.said, self.text)

    def around(self) -> tuple[str, str]:
        """The nearest lines before and after the flagged ones that are not empty, without white space."""
        if self._around is None:
            self._around = _around(self.place.snippet, self.place.context)
        return self._around


def _around(snippet: str, context: str) -> tuple[str, str]:
    flagged = ["".join(line.split()) for line in snippet.splitlines()]
    lines = ["".join(line.split()) for line in context.splitlines()]
    flagged = flagged or [""]
    # The flagged line may stand in its context twice: tools give as much before as after, so the middle one is meant.
    starts = [at for at, line in enumerate(lines) if line and (line == flagged[0] or flagged[0] in line)]
    if not starts or not flagged[0]:
        return "", ""
    start = min(starts, key=lambda at: abs(2 * at + len(flagged) - len(lines)))
    before = next((line for line in reversed(lines[:start]) if line), "")
    after = next((line for line in lines[start + len(flagged) :] if line), "")
    return before, after


class _State:
    """Both sides, and what is left of them."""

    def __init__(self, old: list[_Item], new: list[_Item]) -> None:
        self.new_in_order = new
        self.present = sorted((item for item in old if not item.traits.gone), key=_Item.order)
        self.gone = sorted((item for item in old if item.traits.gone), key=_Item.order)
        self.new = sorted(new, key=_Item.order)
        self.cells = 0

    def match_present(self) -> None:
        renamed = _renamed_rules(self.present, self.new)
        for item in self.new if renamed else ():
            item.rule = renamed.get(item.rule, item.rule)
        files = _by_file(self.present), _by_file(self.new)
        self._match_unchanged(*files)
        for target, source in _moved_files(*files).items():
            for item in files[1][target]:
                item.file = source
        self._match_by_keys(self.present)
        self._align(self.present, strict=False)
        self._match_elsewhere()

    def match_gone(self) -> None:
        """Regressions: what is left may be a finding that was gone, if it says the same at the same kind of place."""
        if self.gone:
            self._match_by_keys(self.gone)
            self._align(self.gone, strict=True)

    def _match_unchanged(self, old_files: dict[str, list[_Item]], new_files: dict[str, list[_Item]]) -> None:
        """A file in which each result stands where it stood is the file that it was: nearly all are, from day to day."""
        for path, items in new_files.items():
            before = old_files.get(path, [])
            if len(before) == len(items) and all(map(_is_same, before, items)):
                for old, new in zip(before, items, strict=True):
                    _pair(old, new, "file")

    def _match_by_keys(self, olds: list[_Item]) -> None:
        for stage, key in _KEYS:
            olds = _left(olds)
            news = _left(self.new)
            if not olds or not news:
                return
            for old, new in _unique_on_both_sides(olds, news, key):
                _pair(old, new, stage)

    def _align(self, olds: list[_Item], *, strict: bool) -> None:
        """File by file: what is left there, with the pairs already made to tell where its lines went."""
        files = {item.file for item in olds if item.partner is None} & {item.file for item in self.new if item.partner is None}
        before: dict[str, list[_Item]] = defaultdict(list)
        after: dict[str, list[_Item]] = defaultdict(list)
        for item in self.new:
            if item.file in files:
                after[item.file].append(item)
                if item.partner:
                    before[item.file].append(item.partner)
        for item in olds:
            if item.file in files and item.partner is None:
                before[item.file].append(item)
        reworded = _reworded_rules(olds, self.new)
        for file in sorted(files):
            chain = _Chain(before[file], after[file], reworded, strict=strict, budget=MOST_CELLS_IN_ALL - self.cells)
            for old, new in chain.pairs():
                _pair(old, new, "order")
            self.cells += chain.cells
            for old, new in _same_text(_left(before[file]), _left(after[file])):
                _pair(old, new, "text")

    def _match_elsewhere(self) -> None:
        """What moved to another file, if it says enough and is there once on both sides."""
        for old, new in _unique_on_both_sides(_left(self.present), _left(self.new), _elsewhere_key):
            _pair(old, new, "elsewhere")


def _pair(old: _Item, new: _Item, stage: str) -> None:
    old.partner, new.partner = new, old
    new.stage = stage


def _left(items: Iterable[_Item]) -> list[_Item]:
    return [item for item in items if item.partner is None]


def _by_file(items: Iterable[_Item]) -> dict[str, list[_Item]]:
    files: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        files[item.file].append(item)
    return files


def _is_same(old: _Item, new: _Item) -> bool:
    a, b = old.place, new.place
    return (
        a.start_line == b.start_line
        and a.start_column == b.start_column
        and old.rule == new.rule
        and old.said == new.said
        and old.text == new.text
        and a.address == b.address
    )


# --- stage 0: rules and files that are called otherwise -----------------------------------------------------------------------


def _renamed_rules(olds: list[_Item], news: list[_Item]) -> dict[str, str]:
    """New rule to old one, where a tool put another path before it (Semgrep names a rule after the folder that it is read from)."""
    before, after = _by_rule(olds), _by_rule(news)
    vanished, appeared = _by_last_name(before.keys() - after.keys()), _by_last_name(after.keys() - before.keys())
    renamed = {}
    for name, sources in vanished.items():
        targets = appeared.get(name, [])
        if len(sources) == 1 and len(targets) == 1:
            seen = {(item.file, item.text or item.said) for item in before[sources[0]]}
            found = {(item.file, item.text or item.said) for item in after[targets[0]]}
            if 2 * len(seen & found) >= min(len(seen), len(found)):
                renamed[targets[0]] = sources[0]
    return renamed


def _by_rule(items: Iterable[_Item]) -> dict[str, list[_Item]]:
    found: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        found[item.rule].append(item)
    return found


def _by_last_name(rules: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for rule in rules:
        found[_last_name.split(rule)[-1]].append(rule)
    return found


def _moved_files(old_files: dict[str, list[_Item]], new_files: dict[str, list[_Item]]) -> dict[str, str]:
    """New path to old path, of files that vanished here and appeared there with much the same results."""
    vanished = {path: items for path, items in old_files.items() if path and path not in new_files}
    appeared = {path: items for path, items in new_files.items() if path and path not in old_files}
    if not vanished or not appeared:
        return {}
    moved = _moved_roots(vanished, appeared)
    vanished = {path: items for path, items in vanished.items() if path not in set(moved.values())}
    appeared = {path: items for path, items in appeared.items() if path not in moved}
    before, after = (
        {path: _counted(items) for path, items in vanished.items()},
        {path: _counted(items) for path, items in appeared.items()},
    )
    scored, fuzzy = [], 0
    for source, target in sorted(_candidates(vanished, appeared)):
        path = _path_likeness(source, target)
        likeness = _likeness(before[source], after[target], path)
        if not likeness and path >= NAMESAKE and (fuzzy := fuzzy + 1) <= MOST_FUZZY:
            likeness = _fuzzy_likeness(vanished[source], appeared[target]) and path
        if likeness:
            scored.append((likeness, source, target))
    taken: set[str] = set()
    for _score, source, target in sorted(scored, key=lambda found: (-found[0], found[1], found[2])):
        if source not in taken and target not in moved:
            taken.add(source)
            moved[target] = source
    return moved


def _moved_roots(vanished: Iterable[str], appeared: Iterable[str]) -> dict[str, str]:
    """When the folder that the tool was started in is another one, all paths changed their beginning in the same way."""
    votes: dict[tuple[str, str], int] = defaultdict(int)
    appeared = set(appeared)
    before, after = _by_base(vanished), _by_base(appeared)
    for base, sources in before.items():
        if len(sources) == 1 and len(after.get(base, ())) == 1:
            votes[_beginnings(sources[0], after[base][0])] += 1
    if not votes:
        return {}
    (old_root, new_root), count = max(votes.items(), key=lambda vote: (vote[1], vote[0]))
    paths = sum(map(len, before.values()))
    if count < 3 or 2 * count < paths:
        return {}
    moved = {
        new_root + path[len(old_root) :]: path for sources in before.values() for path in sources if path.startswith(old_root)
    }
    return {target: source for target, source in moved.items() if target in appeared}


def _by_base(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        found[path.rpartition("/")[2]].append(path)
    return found


def _beginnings(source: str, target: str) -> tuple[str, str]:
    """What is left of two paths without the folders and the name that they have in common at their ends."""
    a, b = source.split("/"), target.split("/")
    while a and b and a[-1] == b[-1]:
        a.pop()
        b.pop()
    return "/".join(a) + "/" * bool(a), "/".join(b) + "/" * bool(b)


def _evidence(item: _Item) -> tuple[str, str]:
    if item.text:
        return (item.rule, item.text[:HEAD])
    width = item.place.end_column - item.place.start_column if item.place.end_column else 0
    return (item.rule, f"{NO_TEXT}{item.said} {width}")


def _candidates(vanished: dict[str, list[_Item]], appeared: dict[str, list[_Item]]) -> set[tuple[str, str]]:
    """Pairs of paths that have something to do with each other: results, name, folder."""
    found: set[tuple[str, str]] = set()
    for traits in (_traits_of_content, _traits_of_path):
        before, after = _paths_by(vanished, traits), _paths_by(appeared, traits)
        for trait, sources in before.items():
            targets = after.get(trait, [])
            if len(sources) <= MOST_CANDIDATES and len(targets) <= MOST_CANDIDATES:
                found.update((source, target) for source in sources for target in targets)
    return found


def _paths_by(files: dict[str, list[_Item]], traits: Callable[[str, list[_Item]], set[Hashable]]) -> dict[Hashable, list[str]]:
    found: dict[Hashable, list[str]] = defaultdict(list)
    for path, items in files.items():
        for trait in traits(path, items):
            found[trait].append(path)
    return found


def _traits_of_content(_path: str, items: list[_Item]) -> set[Hashable]:
    return {_evidence(item) for item in items}


def _traits_of_path(path: str, _items: list[_Item]) -> set[Hashable]:
    folder, _slash, base = path.rpartition("/")
    two = "/".join(path.split("/")[-2:])
    return {("name", base), ("end", two), ("folder", folder, base.partition(".")[0][:3])}


def _likeness(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int], path: float) -> float:
    """How sure it is that a file moved there, by its results and how alike the paths are; 0 if it is not."""
    shared = {key: min(count, after[key]) for key, count in before.items() if key in after}
    overlap = sum(shared.values()) / min(sum(before.values()), sum(after.values()))
    speaking = len(shared) > 2 or any(len(text) >= SPEAKING and text[:1] != NO_TEXT for _rule, text in shared)
    if overlap < (0.3 if path >= NAMESAKE else 0.5) or (path == 0 and not speaking):
        return 0
    return overlap + min(sum(shared.values()), 20) / 40 + path


def _fuzzy_likeness(olds: list[_Item], news: list[_Item]) -> bool:
    """Are three in ten results found again with a similar text? The first few are enough to know a file by."""
    by_rule = _by_rule(news[:60])
    sample = olds[:20]
    alike = sum(any(_gain(old, new, reworded=False, strict=False) > 0 for new in by_rule[old.rule]) for old in sample)
    return alike >= 0.3 * len(sample)


def _counted(items: Iterable[_Item]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        counts[_evidence(item)] += 1
    return counts


def _path_likeness(source: str, target: str) -> float:
    """1 and more for one name in another folder, up to 1 for another name in one folder, 0 for neither."""
    a, b = source.split("/"), target.split("/")
    if a[-1] == b[-1]:
        same = 0
        while same < min(len(a), len(b)) and a[-1 - same] == b[-1 - same]:
            same += 1
        return 1 + same / max(len(a), len(b))
    stem, other = a[-1].partition(".")[0], b[-1].partition(".")[0]
    alike = len(_common_prefix(stem, other)) / max(len(stem), len(other), 1)
    if len(stem) > 3 and (stem.startswith(other) or other.startswith(stem)):
        alike = max(alike, 0.8)
    if a[:-1] == b[:-1]:
        return alike
    return alike / 2 if alike > 0.7 else 0


def _common_prefix(a: str, b: str) -> str:
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return a[:length]


# --- stage 1: keys that both sides have once ----------------------------------------------------------------------------------


def _unique_on_both_sides(
    olds: Iterable[_Item], news: Iterable[_Item], key: Callable[[_Item], Hashable | None]
) -> list[tuple[_Item, _Item]]:
    before, after = _once(olds, key), _once(news, key)
    return [(old, new) for found, new in after.items() if new and (old := before.get(found))]


def _once(items: Iterable[_Item], key: Callable[[_Item], Hashable | None]) -> dict[Hashable, _Item | None]:
    """Item by key, None where several have it."""
    found: dict[Hashable, _Item | None] = {}
    for item in items:
        value = key(item)
        if value is not None:
            found[value] = None if value in found else item
    return found


def _fingerprint_key(item: _Item) -> Hashable | None:
    """The tool's own fingerprint without a running number (`…:2`): after the first of two twins is fixed it counts anew."""
    place = item.place
    for name, value in place.fingerprints:
        if name == place.trusted:
            return (item.rule, item.file, name, _ordinal_suffix.sub("", value), item.text)
    return None


def _address_key(item: _Item) -> Hashable | None:
    return (item.rule, item.file, item.place.address) if item.place.address else None


def _package_key(item: _Item) -> Hashable | None:
    """A package's address without its version: an upgrade that is still vulnerable fixes nothing."""
    address = item.place.address
    return (item.rule, item.file, _version.sub("", address)) if "@" in address else None


def _context_key(item: _Item) -> Hashable | None:
    if item.text and item.context:
        return (item.rule, item.file, item.text, item.context, item.said)
    return None


def _reworded_context_key(item: _Item) -> Hashable | None:
    return (item.rule, item.file, item.text, item.context) if item.text and item.context else None


def _text_key(item: _Item) -> Hashable | None:
    return (item.rule, item.file, item.text, item.said) if item.text else None


def _reworded_text_key(item: _Item) -> Hashable | None:
    return (item.rule, item.file, item.text) if item.text else None


def _cut_text_key(item: _Item) -> Hashable | None:
    return (item.rule, item.file, item.text[:HEAD]) if len(item.text) >= HEAD else None


def _before_key(item: _Item) -> Hashable | None:
    """The line before: what was copied is pasted below, more often than not."""
    before = item.around()[0] if item.text and item.context else ""
    return (item.rule, item.file, item.text, before) if before else None


_KEYS: tuple[tuple[str, Callable[[_Item], Hashable | None]], ...] = (
    ("fingerprint", _fingerprint_key),
    ("address", _address_key),
    ("address", _package_key),
    ("context", _context_key),
    ("text", _text_key),
    ("context", _reworded_context_key),
    ("text", _reworded_text_key),
    ("context", _before_key),
    ("text", _cut_text_key),
)


def _elsewhere_key(item: _Item) -> Hashable | None:
    """Short texts (`import os`) meet by chance: those need the lines around them as well."""
    if len(item.text) >= SPEAKING:
        return (item.rule, item.text[:HEAD])
    if item.text and len(item.context) >= len(item.text) + SPEAKING:
        return (item.rule, item.context)
    return None


# --- stage 2: order-keeping alignment in a file -------------------------------------------------------------------------------


class _Chain:
    """The pairs of a file's results, none crossing another, that are most alike in all and need the fewest edits.

    An edit moves all that follows it by as many lines: a pair that moved as far as the pair before it is worth `STEADY` more.
    """

    def __init__(self, olds: list[_Item], news: list[_Item], reworded: set[str], *, strict: bool, budget: int) -> None:
        self._olds = sorted(olds, key=_chain_order)
        self._news = sorted(news, key=_chain_order)
        self._reworded = reworded
        self._strict = strict
        self._budget = budget
        self.cells = 0

    def pairs(self) -> list[tuple[_Item, _Item]]:
        """The pairs that were not made before."""
        ends: dict[int, Cell] = {0: (0.0, -1, -1)}  # best chain by how far its last pair moved
        tops = _Tops(len(self._news))
        steps: list[Step] = []
        best: Cell = (0.0, -1, -1)
        for i, row in enumerate(self._rows()):
            found, step = [], (array("i"), array("i"), array("i"))
            for j, gain in row:
                shift = _moved(self._olds[i], self._news[j])
                came = self._best_before(j, shift, tops, ends)
                found.append(((came[0] + gain, i, j), shift))
                for column, number in zip(step, (j, came[1], came[2]), strict=True):
                    column.append(number)
            steps.append(step)
            for cell, shift in found:
                tops.put(cell)
                if shift not in ends or cell[0] > ends[shift][0] + TIE:
                    ends[shift] = cell
                if cell[0] > best[0] + TIE:
                    best = cell
        return self._walk_back(best, steps)

    def _best_before(self, j: int, shift: int, tops: "_Tops", ends: dict[int, Cell]) -> Cell:
        """The best chain that a pair with new result `j`, moved by `shift`, can follow, with what following it is worth."""
        value, row, column = tops.best(j)
        value -= self._jump(row, column, shift)
        steady = ends.get(shift)
        if steady and steady[2] < j and steady[0] + STEADY > value + TIE:
            return steady[0] + STEADY, steady[1], steady[2]
        return value, row, column

    def _walk_back(self, last: Cell, steps: list[Step]) -> list[tuple[_Item, _Item]]:
        chain = []
        _value, row, column = last
        while row >= 0:
            old = self._olds[row]
            if old.partner is None:
                chain.append((old, self._news[column]))
            columns, rows_before, columns_before = steps[row]
            at = columns.index(column)
            row, column = rows_before[at], columns_before[at]
        return chain[::-1]

    def _jump(self, row: int, column: int, shift: int) -> float:
        """What speaks against the lines having moved otherwise than for the pair before: the nearer of two is likelier."""
        further = shift - (_moved(self._olds[row], self._news[column]) if row >= 0 else 0)
        return FAR * abs(further).bit_length()

    def _rows(self) -> Iterator[list[tuple[int, float]]]:
        """For each old result the new ones that it may be (their numbers, ascending) and how much that gains."""
        numbers = {id(item): j for j, item in enumerate(self._news)}
        groups: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, items in enumerate((self._olds, self._news)):
            for number, item in enumerate(items):
                if item.partner is None:
                    groups[item.rule][side].append(number)
        candidates = {rule: self._candidates(*group) for rule, group in groups.items()}
        for old in self._olds:
            if old.partner:
                yield [(numbers[id(old.partner)], MADE)]
                continue
            before, after = groups[old.rule]
            even = EVEN if len(before) == len(after) else 0
            gains = (
                (j, even + _gain(old, self._news[j], reworded=old.rule in self._reworded, strict=self._strict))
                for j in next(candidates[old.rule])
            )
            yield [(j, gain) for j, gain in gains if gain > -STEADY]

    def _candidates(self, before: list[int], after: list[int]) -> Iterator[list[int]]:
        """For each old one all of the rule, or in a large group those that say the same and stand about there."""
        cells = len(before) * len(after)
        if cells <= SMALL or (cells <= MOST_CELLS and self.cells + cells <= self._budget):
            self.cells += cells
            return repeat(after)
        return self._near(before, after)

    def _near(self, before: list[int], after: list[int]) -> Iterator[list[int]]:
        """Those about where the line should be now, and those that say the same at about the same rank."""
        alike: dict[Hashable, list[int]] = defaultdict(list)
        at_line: dict[int, list[int]] = defaultdict(list)
        for j in after:
            alike[_said(self._news[j])].append(j)
            at_line[self._news[j].place.start_line].append(j)
        lines = self._known_lines(before, after)
        starts = [line for line, _now in lines]
        stands = [self._news[j].place.start_line for j in after]
        seen: dict[Hashable, int] = defaultdict(int)
        counts = _count(_said(self._olds[i]) for i in before)
        for i in before:
            said, line = _said(self._olds[i]), self._olds[i].place.start_line
            bucket = alike.get(said, [])
            rank = seen[said] * len(bucket) // counts[said]
            seen[said] += 1
            near = set(bucket[max(rank - NEIGHBOURS, 0) : rank + NEIGHBOURS])
            at = bisect_left(starts, line)
            for known, now in [(0, 0), *lines[max(at - 2, 0) : at + 2]]:
                near.update(at_line.get(line + now - known, [])[:NEIGHBOURS])
                place = bisect_left(stands, line + now - known)
                near.update(after[max(place - 2, 0) : place + 2])
            yield sorted(near)

    def _known_lines(self, before: list[int], after: list[int]) -> list[tuple[int, int]]:
        """Lines before and now, rising: of pairs already made, and of results whose distances to the next ones are unique."""
        pairs = [(item, item.partner) for item in self._olds if item.partner]
        gaps, new_gaps = _gaps([self._olds[i] for i in before]), _gaps([self._news[j] for j in after])
        pairs += [(old, new) for gap, new in new_gaps.items() if new and (old := gaps.get(gap))]
        return _longest_rising(sorted({(old.place.start_line, new.place.start_line) for old, new in pairs}))


def _gaps(items: list[_Item]) -> dict[Hashable, _Item | None]:
    """Item by what it says and by how far off its neighbours are, None for several."""
    found: dict[Hashable, _Item | None] = {}
    lines = [item.place.start_line for item in items]
    for at, item in enumerate(items[1:-2], 1):
        gap = (_said(item), lines[at] - lines[at - 1], lines[at + 1] - lines[at], lines[at + 2] - lines[at + 1])
        found[gap] = None if gap in found else item
    return found


def _longest_rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs, sorted by the first, in which the second rises too: code that did not cross other code."""
    ends: list[int] = []
    at_end: list[int] = []
    previous: list[int] = []
    for index, (_before, after) in enumerate(pairs):
        place = bisect_left(ends, after)
        if place == len(ends):
            ends.append(after)
            at_end.append(index)
        else:
            ends[place] = after
            at_end[place] = index
        previous.append(at_end[place - 1] if place else -1)
    chain = []
    index = at_end[-1] if at_end else -1
    while index >= 0:
        chain.append(pairs[index])
        index = previous[index]
    return chain[::-1]


class _Tops:
    """The best chain that ends before a column: a Fenwick tree of maxima."""

    def __init__(self, size: int) -> None:
        self._cells: list[Cell] = [(0.0, -1, -1)] * (size + 1)

    def best(self, column: int) -> Cell:
        found = self._cells[0]
        while column > 0:
            if self._cells[column][0] > found[0] + TIE:
                found = self._cells[column]
            column &= column - 1
        return found

    def put(self, cell: Cell) -> None:
        at = cell[2] + 1
        while at < len(self._cells):
            if cell[0] > self._cells[at][0] + TIE:
                self._cells[at] = cell
            at += at & -at


def _chain_order(item: _Item) -> tuple[int, int, str, str, str, int]:
    """Rules of one line in the same order on both sides, whatever order a report has them in."""
    place = item.place
    return (place.start_line, place.start_column, item.rule, item.said, item.text, item.traits.ordinal)


def _moved(old: _Item, new: _Item) -> int:
    before, after = old.place.start_line, new.place.start_line
    return after - before if before and after else 0


def _count(values: Iterable[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return counts


def _said(item: _Item) -> Hashable:
    return item.text[:HEAD], _message_parts(item.said)[0]


def _reworded_rules(olds: Iterable[_Item], news: Iterable[_Item]) -> set[str]:
    """Rules whose messages are all others than they were: a new version of the tool words them differently."""
    before, after = _templates(olds), _templates(news)
    return {rule for rule, found in before.items() if rule in after and not found & after[rule]}


def _templates(items: Iterable[_Item]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        found[item.rule].add(_message_parts(item.said)[1])
    return found


def _gain(old: _Item, new: _Item, *, reworded: bool, strict: bool) -> float:
    """How much better than none this pair is, wherever it stands; `STEADY` and `EVEN` may yet speak for it if it is below 0."""
    if strict and not _says_the_same(old, new):
        return UNLIKE
    said = _message_likeness(old.said, new.said, reworded=reworded)
    a, b = old.place, new.place
    shape = COLUMN * (a.start_column == b.start_column) + 0.1 * (a.end_line - a.start_line == b.end_line - b.start_line)
    if a.address and b.address and a.address != b.address:
        shape -= OTHER_ADDRESS
    if old.text and new.text:
        alike = text_likeness(old.text[:HEAD], new.text[:HEAD])
        if alike < 1 and min(len(old.text), len(new.text)) < SPEAKING and old.context and new.context:
            alike = max(alike, 0.8 * text_likeness(old.context[: 2 * HEAD], new.context[: 2 * HEAD]))
        return 3 * alike + 0.5 * said + shape + _around_likeness(old, new) - TEXT_NEEDED
    return 1.5 * said + shape + _width_likeness(a, b) - WORDS_NEEDED


def _says_the_same(old: _Item, new: _Item) -> bool:
    """The same text, or without text the same words, in the same column and as long."""
    if old.text or new.text:
        return old.text[:HEAD] == new.text[:HEAD]
    a, b = old.place, new.place
    return old.said == new.said and a.start_column == b.start_column and _width_likeness(a, b) >= 0


def _width_likeness(a: Place, b: Place) -> float:
    """Without the text its length still tells one from another."""
    if not a.end_column or not b.end_column:
        return 0
    return WIDTH if a.end_column - a.start_column == b.end_column - b.start_column else -WIDTH


def _around_likeness(old: _Item, new: _Item) -> float:
    """The line before counts more than the line after, and what follows its own like is the copy: copies are pasted below."""
    if not old.context or not new.context:
        return 0
    a, b = old.around(), new.around()
    copied = bool(b[0]) and new.text.endswith(b[0]) and not (a[0] and old.text.endswith(a[0]))
    return BEFORE * (a[0] == b[0]) + AFTER * (a[1] == b[1]) - COPIED * copied


def _message_likeness(a: str, b: str, *, reworded: bool) -> float:
    if a == b:
        return 1
    names, template = _message_parts(a)
    other_names, other_template = _message_parts(b)
    if names == other_names and (names or reworded):
        return 0.95
    return 0.5 if template == other_template or reworded or text_likeness(a, b) > 0.6 else 0


@lru_cache(maxsize=10_000)
def _message_parts(message: str) -> tuple[tuple[str, ...], str]:
    """The names that a message quotes, without quotes, and the message without them."""
    return tuple(name.strip("`'\"") for name in _quoted.findall(message)), _quoted.sub("…", message)


def text_likeness(a: str, b: str) -> float:
    """0 to 1: what share of three-letter pieces two texts have in common; near 1 if one only goes on where the other ends."""
    if a == b:
        return 1
    if min(len(a), len(b)) >= 12 and (a.startswith(b) or b.startswith(a)):
        return 0.9
    one, other = _pieces(a), _pieces(b)
    return (one & other).bit_count() / ((one | other).bit_count() or 1)


@lru_cache(maxsize=10_000)
def _pieces(text: str) -> int:
    """The three-letter pieces of a text, each a bit: small to keep, quick to compare, the same in each process."""
    letters = text.encode("utf-8", "replace")
    bits = bytearray(PIECES // 8 + 1)
    for a, b, c in zip(letters, letters[1:], letters[2:], strict=False):
        piece = (a * 961 + b * 31 + c) % PIECES
        bits[piece >> 3] |= 1 << (piece & 7)
    return int.from_bytes(bits)


def _same_text(olds: list[_Item], news: list[_Item]) -> list[tuple[_Item, _Item]]:
    """What is left of a rule with equal text in a file, in order: code that crossed other code."""
    waiting: dict[Hashable, list[_Item]] = defaultdict(list)
    for new in reversed(news):
        if new.text:
            waiting[new.rule, new.text[:HEAD]].append(new)
    return [(old, found.pop()) for old in olds if (found := waiting.get((old.rule, old.text[:HEAD])))]
