"""Says which finding in code of the last scan each result of the new scan is, one to one, whatever moved in between.

A stored hash cannot do this: lines shift, files move, statements are copied and edited. So the results of two runs of one tool
and scope are matched in stages, the surest evidence first; what remains is new, or gone.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from triage.ports import Place

MOST_CELLS = 60_000  # of one alignment; a larger group of results of one rule in one file is swept instead
MOST_CELLS_IN_ALL = 2_000_000
MOST_CANDIDATES = 40  # files that share a piece of evidence; more prove nothing
HEAD = 200  # characters of text that are still there when it was stored cut
SPEAKING = 24  # characters of text that do not meet by chance in two files

_ordinal_suffix = re.compile(r":\d{1,6}$")
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

    __slots__ = ("_around", "context", "file", "key", "partner", "place", "stage", "text", "traits")

    def __init__(self, traits: Traits, key: int) -> None:
        self.traits = traits
        self.place = traits.place
        self.key = key
        self.file = traits.place.path
        self.text = "".join(traits.place.snippet.split())
        self.context = "".join(traits.place.context.split())
        self.partner: _Item | None = None
        self.stage = ""
        self._around: tuple[str, str] | None = None

    def order(self) -> tuple[int, int, int, str, str]:
        return (self.place.start_line, self.place.start_column, self.traits.ordinal, self.traits.message, self.text)

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
        left: dict[str, dict[str, tuple[list[_Item], list[_Item]]]] = defaultdict(lambda: defaultdict(lambda: ([], [])))
        for side, items in enumerate((olds, self.new)):
            for item in items:
                if item.partner is None:
                    left[item.file][item.traits.rule][side].append(item)
        files = {file for file, groups in left.items() if any(a and b for a, b in groups.values())}
        matched: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for item in self.new:
            if item.partner and item.file in files and item.place.start_line:
                matched[item.file].append((item.partner.place.start_line, item.place.start_line))
        for file in sorted(files):
            groups = [group for _rule, group in sorted(left[file].items()) if group[0] and group[1]]
            self._align_file(groups, matched[file], strict=strict)

    def _align_file(
        self, groups: list[tuple[list[_Item], list[_Item]]], lines: list[tuple[int, int]], *, strict: bool
    ) -> None:
        """Groups as many before as after first: their pairs tell where the lines of the others went."""
        groups.sort(key=lambda group: (abs(len(group[0]) - len(group[1])), len(group[0]) * len(group[1])))
        shift, known = _Shift(lines), len(lines)
        for olds, news in groups:
            if len(lines) > known + known // 8:
                shift, known = _Shift(lines), len(lines)
            cells = len(olds) * len(news)
            self.cells += cells if cells <= MOST_CELLS else 0
            if cells <= MOST_CELLS and self.cells <= MOST_CELLS_IN_ALL:
                pairs = _aligned(olds, news, shift, strict=strict)
            else:
                pairs = _swept(olds, news, shift, strict=strict)
            for old, new in pairs:
                _pair(old, new, "order")
                lines.append((old.place.start_line, new.place.start_line))
            for old, new in _same_text(_left(olds), _left(news)):
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
        and old.traits.rule == new.traits.rule
        and old.traits.message == new.traits.message
        and old.text == new.text
        and a.address == b.address
    )


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
            return (item.traits.rule, item.file, name, _ordinal_suffix.sub("", value), item.text)
    return None


def _address_key(item: _Item) -> Hashable | None:
    return (item.traits.rule, item.file, item.place.address) if item.place.address else None


def _package_key(item: _Item) -> Hashable | None:
    """A package's address without its version: an upgrade that is still vulnerable fixes nothing."""
    address = item.place.address
    return (item.traits.rule, item.file, _version.sub("", address)) if "@" in address else None


def _context_key(item: _Item) -> Hashable | None:
    if item.text and item.context:
        return (item.traits.rule, item.file, item.text, item.context, item.traits.message)
    return None


def _reworded_context_key(item: _Item) -> Hashable | None:
    return (item.traits.rule, item.file, item.text, item.context) if item.text and item.context else None


def _text_key(item: _Item) -> Hashable | None:
    return (item.traits.rule, item.file, item.text, item.traits.message) if item.text else None


def _reworded_text_key(item: _Item) -> Hashable | None:
    return (item.traits.rule, item.file, item.text) if item.text else None


def _cut_text_key(item: _Item) -> Hashable | None:
    return (item.traits.rule, item.file, item.text[:HEAD]) if len(item.text) >= HEAD else None


def _before_key(item: _Item) -> Hashable | None:
    """The line before: what was copied is pasted below, more often than not."""
    before = item.around()[0] if item.text and item.context else ""
    return (item.traits.rule, item.file, item.text, before) if before else None


def _after_key(item: _Item) -> Hashable | None:
    after = item.around()[1] if item.text and item.context else ""
    return (item.traits.rule, item.file, item.text, after) if after else None


_KEYS: tuple[tuple[str, Callable[[_Item], Hashable | None]], ...] = (
    ("fingerprint", _fingerprint_key),
    ("address", _address_key),
    ("address", _package_key),
    ("context", _context_key),
    ("text", _text_key),
    ("context", _reworded_context_key),
    ("text", _reworded_text_key),
    ("context", _before_key),
    ("context", _after_key),
    ("text", _cut_text_key),
)


def _elsewhere_key(item: _Item) -> Hashable | None:
    """Short texts (`import os`) meet by chance: those need the lines around them as well."""
    if len(item.text) >= SPEAKING:
        return (item.traits.rule, item.text[:HEAD])
    if item.text and len(item.context) >= len(item.text) + SPEAKING:
        return (item.traits.rule, item.context)
    return None


# --- stage 0: files that moved ------------------------------------------------------------------------------------------------


def _moved_files(old_files: dict[str, list[_Item]], new_files: dict[str, list[_Item]]) -> dict[str, str]:
    """New path to old path, of files that vanished here and appeared there with much the same results."""
    vanished = {path: items for path, items in old_files.items() if path and path not in new_files}
    appeared = {path: items for path, items in new_files.items() if path and path not in old_files}
    if not vanished or not appeared:
        return {}
    moved = _moved_roots(vanished, appeared)
    vanished = {path: items for path, items in vanished.items() if path not in set(moved.values())}
    appeared = {path: items for path, items in appeared.items() if path not in moved}
    scored = [
        (score, source, target)
        for source, target in _candidates(vanished, appeared)
        if (score := _likeness(source, vanished[source], target, appeared[target])) > 0
    ]
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
    moved = {new_root + path[len(old_root) :]: path for sources in before.values() for path in sources if path.startswith(old_root)}
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


def _evidence(item: _Item) -> Hashable:
    return (item.traits.rule, item.text[:HEAD] or item.traits.message)


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


def _paths_by(
    files: dict[str, list[_Item]], traits: Callable[[str, list[_Item]], set[Hashable]]
) -> dict[Hashable, list[str]]:
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


def _likeness(source: str, olds: list[_Item], target: str, news: list[_Item]) -> float:
    """How sure it is that a file moved there; 0 if it is not."""
    before, after = _counted(olds), _counted(news)
    shared = {key: min(count, after[key]) for key, count in before.items() if key in after}
    overlap = sum(shared.values()) / min(len(olds), len(news))
    speaking = any(len(text) >= SPEAKING for _rule, text in shared) if olds[0].text else len(shared) > 2
    path = _path_likeness(source, target)
    needed = 0.3 if path >= 1 else 0.5
    if overlap < needed or (path == 0 and not speaking):
        return 0
    return overlap + min(sum(shared.values()), 20) / 40 + path


def _counted(items: Iterable[_Item]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        counts[item.traits.rule, item.text[:HEAD] or item.traits.message] += 1
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
    if a[:-1] == b[:-1]:
        return alike
    return alike / 2 if alike > 0.7 else 0


def _common_prefix(a: str, b: str) -> str:
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return a[:length]


# --- stage 2: order-keeping alignment in a rule and file ----------------------------------------------------------------------


class _Shift:
    """Where lines of a file went, told by the pairs already made in it."""

    def __init__(self, lines: Iterable[tuple[int, int]]) -> None:
        chain = _longest_rising(sorted(pair for pair in set(lines) if pair[0] and pair[1]))
        self._old = [before for before, _after in chain]
        self._new = [after for _before, after in chain]

    def expected(self, before: int) -> tuple[int, ...]:
        """The lines where line `before` may be now, by the pair before it and the pair behind it."""
        at = bisect_left(self._old, before)
        shifts = {self._new[each] - self._old[each] for each in (at - 1, at) if 0 <= each < len(self._old)}
        return tuple(before + shift for shift in sorted(shifts, key=abs)) or (before,)

    def distance(self, before: int, after: int) -> tuple[float, bool]:
        """How far `after` is from where line `before` should be now, and if pairs on both sides of it say so."""
        at = bisect_left(self._old, before)
        left = self._new[at - 1] - self._old[at - 1] if at else None
        right = self._new[at] - self._old[at] if at < len(self._old) else None
        if left is None or right is None:
            shift = left if left is not None else right or 0
            return abs(after - before - shift), False
        low, high = sorted((left, right))
        moved = after - before
        if moved in (low, high):
            return 0, True
        if low < moved < high:
            return 1, True
        return max(low - moved, moved - high) + 1, True


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


def _aligned(olds: list[_Item], news: list[_Item], shift: _Shift, *, strict: bool) -> list[tuple[_Item, _Item]]:
    """The pairs, none crossing another, that are most alike in all; of equal ones the earlier."""
    gains = [[_gain(old, new, shift, strict=strict) for new in news] for old in olds]
    width = len(news)
    best = [[0.0] * (width + 1) for _ in range(len(olds) + 1)]
    for i in range(len(olds) - 1, -1, -1):
        row, below, gain = best[i], best[i + 1], gains[i]
        for j in range(width - 1, -1, -1):
            value = below[j] if below[j] > row[j + 1] else row[j + 1]
            if gain[j] > 0 and gain[j] + below[j + 1] > value:
                value = gain[j] + below[j + 1]
            row[j] = value
    pairs = []
    i = j = 0
    while i < len(olds) and j < width:
        if gains[i][j] > 0 and best[i][j] <= gains[i][j] + best[i + 1][j + 1] + 1e-9:
            pairs.append((olds[i], news[j]))
            i, j = i + 1, j + 1
        elif best[i][j] <= best[i + 1][j] + 1e-9:
            i += 1
        else:
            j += 1
    return pairs


def _gain(old: _Item, new: _Item, shift: _Shift, *, strict: bool) -> float:
    """How much better than none this pair is; not above 0 if they are too unlike."""
    if strict:
        same = old.text[:HEAD] == new.text[:HEAD] and (bool(old.text) or old.traits.message == new.traits.message)
        if not same:
            return 0
    near = _nearness(old.place.start_line, new.place.start_line, shift)
    column = 0.2 if old.place.start_column == new.place.start_column else 0
    said = _message_likeness(old.traits.message, new.traits.message)
    if old.text and new.text:
        alike = 1.0 if old.text == new.text else text_likeness(old.text[:HEAD], new.text[:HEAD])
        return 3 * alike + 0.5 * said + near + column + _around_likeness(old, new) - 2.2
    return 1.5 * said + 1.6 * near + column - 1.6


def _nearness(before: int, after: int, shift: _Shift) -> float:
    """1 where the line should be, falling with the distance, below 0 where pairs on both sides say that it cannot be."""
    if not before or not after:
        return 0.3
    distance, bracketed = shift.distance(before, after)
    if distance == 0:
        return 1
    near = 0.7 / (1 + distance / 4)
    return near - 0.4 if bracketed and distance > 1 else near


def _around_likeness(old: _Item, new: _Item) -> float:
    """The line before counts more than the line after: copies are pasted below."""
    if not old.context or not new.context:
        return 0
    a, b = old.around(), new.around()
    return 0.8 * (a[0] == b[0]) + 0.6 * (a[1] == b[1])


def _message_likeness(a: str, b: str) -> float:
    if a == b:
        return 1
    names, template = _message_parts(a)
    other_names, other_template = _message_parts(b)
    if names and names == other_names:
        return 0.9
    return 0.5 if template == other_template else 0


@lru_cache(maxsize=20_000)
def _message_parts(message: str) -> tuple[tuple[str, ...], str]:
    """The names that a message quotes, without quotes, and the message without them."""
    return tuple(name.strip("`'\"") for name in _quoted.findall(message)), _quoted.sub("…", message)


def text_likeness(a: str, b: str) -> float:
    """0 to 1: what share of three-letter pieces two texts have in common."""
    one, other = _pieces(a), _pieces(b)
    return len(one & other) / (len(one | other) or 1)


@lru_cache(maxsize=20_000)
def _pieces(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 3] for at in range(max(len(text) - 2, 1)))


def _swept(olds: list[_Item], news: list[_Item], shift: _Shift, *, strict: bool) -> list[tuple[_Item, _Item]]:
    """For groups too large to align: equal text and message first where the lines should be, then in order."""
    pairs: list[tuple[_Item, _Item]] = []
    used: set[int] = set()
    places: dict[tuple[str, str, int], list[_Item]] = defaultdict(list)
    for new in reversed(news):
        places[new.text[:HEAD], new.traits.message, new.place.start_line].append(new)
    for old in olds:
        for line in shift.expected(old.place.start_line):
            waiting = places.get((old.text[:HEAD], old.traits.message, line))
            if waiting:
                new = waiting.pop()
                used.update((id(old), id(new)))
                pairs.append((old, new))
                break
    rest_old = [old for old in olds if id(old) not in used]
    rest_new = [new for new in news if id(new) not in used]
    return pairs + ([] if strict else _same_text(rest_old, rest_new))


def _same_text(olds: list[_Item], news: list[_Item]) -> list[tuple[_Item, _Item]]:
    """What is left of one rule and file with equal text, in order: code that crossed other code."""
    waiting: dict[str, list[_Item]] = defaultdict(list)
    for new in reversed(news):
        if new.text:
            waiting[new.text[:HEAD]].append(new)
    return [(old, waiting[old.text[:HEAD]].pop()) for old in olds if waiting.get(old.text[:HEAD])]
