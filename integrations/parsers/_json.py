"""Reads JSON documents of any size record by record: typed, in bounded memory, and strict about what could hide a result.

A list is decoded in chunks of a block that end where the separator of the first two records is seen again; a chunk
that decodes as `[...]` was cut between two records (a cut inside a string or a nested list cannot decode), any other is measured
bracket by bracket. Positions in messages count bytes of the document in UTF-8.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeVar, cast

import ijson
import msgspec
from django.utils.translation import gettext_noop as _

from triage.ports import Skipped, Text, UnreadableReport

BLOCK = 1 << 18  # what fits the processor's cache decodes fastest
LONGEST_VALUE = 16 << 20
DEEPEST = 500
HOPELESS = 10_000

T = TypeVar("T")
Outcomes = tuple[Any, ...]  # what came of one record: itself, a Skipped, or a Skipped and itself
_Decoder = msgspec.json.Decoder
Path = tuple[str | int, ...]  # keys, and numbers of list elements

_SPACES = (b" ", b"\n", b"\r", b"\t")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_string = re.compile(_STRING, re.DOTALL)
_scalar = re.compile(rb'[^][{}",:\s]++')
_to_bracket = re.compile(rb'[^][{}"]*+(?:' + _STRING + rb'[^][{}"]*+)*+[][{}]', re.DOTALL)
_next_record = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+" + _STRING + rb"[ \t\r\n]*+:", re.DOTALL)
_escape = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_HALF = len(rb"\ud800")

NULL = msgspec.Raw(b"null")

_text = _Decoder(str)
_raw_list = _Decoder(list[msgspec.Raw])
_raw_object = _Decoder(dict[str, msgspec.Raw])

TRUNCATED = _(
    "The document ends at byte %(position)s in the middle of a value: the file was cut short. Export or upload it again."
)
TOO_LONG = _(
    "The value that begins at byte %(position)s is longer than %(limit)s MiB. That is not a scanner's record: check the file."
)
TOO_DEEP = _("At byte %(position)s the document is nested deeper than %(limit)s levels. No scanner writes that: check the file.")
MALFORMED = _("The document is not valid JSON at byte %(position)s: %(problem)s. Export it again with the scanner's own writer.")
GLUED = _(
    "A second document begins at byte %(position)s, behind the end of the first: the tool was run twice "
    "into one file, and the result is not valid JSON (Prowler appends when it is run twice with the same "
    "-F name). Run it again with a new file name."
)
GIVEN_TWICE = _(
    "The key “%(key)s” is given twice in one object, the second time at byte %(position)s: most readers see only one of the two. "
    "Export the report again."
)
NOT_TEXT = _(
    "Byte %(position)s is not %(encoding)s text (Latin-1, or no text at all). Save the file as UTF-8 and upload it again."
)
EMPTY = _("The file is empty. Check that the scanner ended well and wrote its report.")
NO_RECORDS = _("The document is neither a JSON list nor a JSON object: it begins with %(beginning)s. Choose another format.")
NO_LIST = _("The document is one object without a list at %(paths)s: it holds no records. Choose another format.")
WRONG_TYPE = _("The field “%(field)s” is not what it should be: %(problem)s. The record was left out.")
BROKEN_LINE = _("Line %(line)s is not a JSON object: %(problem)s. It was left out.")
ALL_LOST = _("None of the first %(count)s records could be read, the last for this: %(reason)s Choose another format.")
MENDED = _("Half a character (a lone surrogate) was replaced by “�”.")


class _TooLong(UnreadableReport):
    """A single value does not fit in memory's bound."""


def records(stream: BinaryIO, kind: type[T], *paths: str) -> Iterator[tuple[int, T | Skipped]]:
    """Yield (position, record) for each record of a top-level list, of one object a line, or of a list inside an object.

    `paths`: where such lists may stand in a wrapping object, dotted (`Findings`, `detail.findings`); an object without any of
    them is itself a record. `kind`: what msgspec decodes a record into. A record of other types gives a lost Skipped; one that
    had to be mended gives a Skipped that is not lost and then itself. Raises UnreadableReport for a document that is broken,
    cut short, glued of several, nested too deep, not UTF-8/16/32, that gives a key on a path twice, or begins with ten thousand
    records that all are lost.
    """
    any_read = False
    for position, record in _records(_Window(stream), kind, paths):
        if position == HOPELESS and isinstance(record, Skipped) and not any_read:
            raise UnreadableReport(ALL_LOST, count=HOPELESS, reason=str(record.reason))
        any_read = any_read or not isinstance(record, Skipped)
        yield position, record


def _records(window: "_Window", kind: type[T], paths: tuple[str, ...]) -> Iterator[tuple[int, T | Skipped]]:
    beginning = window.peek()
    if beginning == b"[":
        window.at += 1
        yield from _elements(window, kind, ())
        _expect_end(window)
    elif beginning == b"{" and _wraps(window, paths):
        yield from _inside(window, kind, paths)
        _expect_end(window)
    elif beginning == b"{":
        yield from _lines(window, kind)
    else:
        raise _not_json(window)


def select(stream: BinaryIO, wanted: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for all values at the wanted paths, in the document's order; the rest is skipped unread.

    `wanted`: dotted path to the type that msgspec decodes there; `*` stands for each element of a list, which may be of any
    length: `{"version": str, "runs.*.tool": Tool, "runs.*.results.*": Result}`. Paths come back with numbers for `*`. A value
    of another type comes as a lost Skipped, a mended one after a Skipped that is not lost. A list on a path with `*` is
    announced by (its path, None). Raises UnreadableReport as `records` does.
    """
    window = _Window(stream)
    if window.peek() not in (b"[", b"{"):
        raise _not_json(window)
    yield from _walk(window, _tree(wanted), ())
    _expect_end(window)


def head_text(head: bytes) -> str:
    """The head of a report as text: by its BOM or its zeros UTF-8, UTF-16 or UTF-32, a cut last character left out."""
    decoder = codecs.getincrementaldecoder(json.detect_encoding(head))("replace")
    return decoder.decode(head)


def outline(head: bytes) -> dict[str, Any]:
    """What the head of a document shows of its first record: dotted path to scalar, or to the type `dict` or `list`.

    `[]` stands for the elements of a list, of which the first to have a path gives the value: `[].class_uid`,
    `runs[].tool.driver.name`, `Findings[]`. The top is `""`. Copes with a head cut anywhere and with what is not JSON (`{}`).
    """
    found: dict[str, Any] = {}
    path: list[str] = [""]
    text = io.BytesIO(head_text(head).encode(errors="replace"))
    try:
        for event, value in ijson.basic_parse(text, multiple_values=True, use_float=True):
            if event == "map_key":
                path[-1] = value
                continue
            if event.startswith("end_"):
                path.pop()
                if len(path) == (2 if found.get("") is list else 1):
                    break
                continue
            found.setdefault(_dotted(path), {"start_map": dict, "start_array": list}.get(event, value))
            if event.startswith("start_"):
                path.append("[]" if event == "start_array" else "")
                if len(path) > 64:  # no scanner's record is as deep, and a bomb would make long paths
                    break
    except (ijson.JSONError, UnicodeDecodeError):
        return found
    return found


def _dotted(path: list[str]) -> str:
    return ".".join(part for part in path if part).replace(".[]", "[]")


def read(raw: msgspec.Raw, kind: type[T], otherwise: T) -> T:
    """`raw` as a `kind`, `otherwise` when it is null or something else: for what explains a record and does not make it."""
    if raw == NULL:
        return otherwise
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError:
        return otherwise


# --- the document as a moving window ------------------------------------------------------------------------------------------


class _Window:
    """The part of the document that is in memory: `data`, in UTF-8, read up to `at`."""

    def __init__(self, stream: BinaryIO) -> None:
        self.data = b""
        self.at = 0
        self._dropped = 0
        self._kept: int | None = None
        self._stream = stream
        self._pending = stream.read(BLOCK)
        self._encoding = json.detect_encoding(self._pending)
        if self._encoding == "utf-8-sig":
            self._encoding, self._dropped = "utf-8", len(codecs.BOM_UTF8)
            self._pending = self._pending.removeprefix(codecs.BOM_UTF8) or stream.read(BLOCK)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")
        self._read = self._dropped

    @property
    def position(self) -> int:
        """Offset in the document of the next byte."""
        return self._dropped + self.at

    def more(self) -> bool:
        """Read a block behind what is there, drop what is done with; False at the document's end."""
        block = self._block()
        if not block:
            return False
        done = self.at if self._kept is None else self._kept
        self.data = self.data[done:] + block
        self.at -= done
        self._dropped += done
        if self._kept is not None:
            self._kept = 0
        return True

    def fill(self) -> None:
        """Have a block ahead, if the document has as much."""
        while len(self.data) - self.at < BLOCK and self.more():
            pass

    def peek(self) -> bytes:
        """The next byte that is no white space, b"" at the document's end; white space is passed."""
        while True:
            while self.data[self.at : self.at + 1] in _SPACES:
                self.at += 1
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self.more():
                return b""

    def take(self) -> bytes:
        """The value that begins here, passing it. Raises _TooLong, and stays, when it does not fit in memory's bound."""
        self.peek()
        self._kept = self.at
        try:
            self.skip()
            return self.data[self._kept : self.at]
        except _TooLong:
            self.at = self._kept
            raise
        finally:
            self._kept = None

    def skip(self) -> None:
        """Pass the value that begins here; only its brackets and quotes are looked at."""
        beginning = self.peek()
        if beginning in (b"{", b"["):
            self._skip_brackets()
            return
        pattern = _string if beginning == b'"' else _scalar
        if not (beginning == b'"' or pattern.match(self.data, self.at)):
            raise self.broken("a value was expected")
        while True:
            found = pattern.match(self.data, self.at)
            if found and (beginning == b'"' or found.end() < len(self.data)):
                self.at = found.end()
                return
            self._grow()

    def lengthen(self) -> bool:
        """Read a block more of the value that is looked at; False at the document's end."""
        begin = self.at if self._kept is None else self._kept
        if len(self.data) - begin > LONGEST_VALUE:
            raise _TooLong(TOO_LONG, position=self._dropped + begin, limit=LONGEST_VALUE >> 20)
        return self.more()

    def broken(self, problem: str) -> UnreadableReport:
        """The error for what stands here, or for the document ending here."""
        if not self.peek():
            return UnreadableReport(TRUNCATED, position=self.position)
        return UnreadableReport(MALFORMED, position=self.position, problem=problem)

    def _grow(self) -> None:
        if not self.lengthen():
            raise UnreadableReport(TRUNCATED, position=self._dropped + len(self.data))

    def _skip_brackets(self) -> None:
        depth = 0
        while True:
            found = _to_bracket.match(self.data, self.at)
            if found is None:
                self._grow()
                continue
            self.at = found.end()
            if self.data[self.at - 1] in b"[{":
                depth += 1
                if depth > DEEPEST:
                    raise UnreadableReport(TOO_DEEP, position=self.position, limit=DEEPEST)
            else:
                depth -= 1
                if depth == 0:
                    return

    def _block(self) -> bytes:
        """The next bytes of the document, known to be text and in UTF-8."""
        while True:
            block, self._pending = self._pending or self._stream.read(BLOCK), b""
            held = len(self._decoder.getstate()[0])
            text = ""
            if held or self._encoding != "utf-8" or not block.isascii():
                try:
                    text = self._decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    at = self._read - held + error.start
                    raise UnreadableReport(NOT_TEXT, position=at, encoding=self._encoding.upper()) from None
            self._read += len(block)
            if self._encoding == "utf-8" or not block:
                return block
            if text:
                return text.encode()


# --- the document's grammar ---------------------------------------------------------------------------------------------------


def _not_json(window: _Window) -> UnreadableReport:
    if not window.peek():
        return UnreadableReport(EMPTY)
    return UnreadableReport(NO_RECORDS, beginning=repr(window.data[window.at : window.at + 20].decode(errors="replace")))


def _expect_end(window: _Window) -> None:
    behind = window.peek()
    if behind in (b"[", b"{"):
        raise UnreadableReport(GLUED, position=window.position)
    if behind:
        raise window.broken("something stands behind the end of the document")


def _goes_on(window: _Window, closing: bytes) -> bool:
    """Pass the comma behind an element, or the closing bracket: then False."""
    behind = window.peek()
    if behind not in (b",", closing):
        raise window.broken(f"“,” or “{closing.decode()}” was expected")
    window.at += 1
    return behind == b","


def _items(window: _Window) -> Iterator[int]:
    """Stand at each element of the list that begins here, yielding its number; who asks for the next has passed it."""
    window.at += 1
    number = 0
    going = window.peek() != b"]" or _goes_on(window, b"]")
    while going:
        yield number
        number += 1
        going = _goes_on(window, b"]")


def _members(window: _Window) -> Iterator[str]:
    """Stand at each value of the object that begins here, yielding its key; who asks for the next has passed it."""
    window.at += 1
    going = window.peek() != b"}" or _goes_on(window, b"}")
    while going:
        if window.peek() != b'"':
            raise window.broken("a key was expected")
        raw = window.take()
        if window.peek() != b":":
            raise window.broken("“:” was expected")
        window.at += 1
        try:
            yield _text.decode(raw)
        except msgspec.DecodeError:  # half a character in a key: no key that anybody looks for
            yield raw.decode()
        going = _goes_on(window, b"}")


def _tree(wanted: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, kind in wanted.items():
        *parents, last = path.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = kind
    return tree


def _walk(window: _Window, node: Any, trail: Path) -> Iterator[tuple[Path, Any]]:
    beginning = window.peek()
    if not isinstance(node, dict):
        offset = window.position
        for value in _decoded(msgspec.json.Decoder(node), window.take(), trail, offset):
            yield trail, value
    elif beginning == b"[" and "*" in node:
        yield trail, None
        if isinstance(node["*"], dict):
            for number in _items(window):
                yield from _walk(window, node["*"], (*trail, number))
        else:
            window.at += 1
            for number, value in _elements(window, node["*"], trail):
                yield (*trail, number), value
    elif beginning == b"{":
        yield from _walk_object(window, node, trail)
    else:
        window.skip()


def _walk_object(window: _Window, node: dict[str, Any], trail: Path) -> Iterator[tuple[Path, Any]]:
    seen = set()
    for key in _members(window):
        if key not in node:
            window.skip()
            continue
        if key in seen:
            raise UnreadableReport(GIVEN_TWICE, key=key, position=window.position)
        seen.add(key)
        yield from _walk(window, node[key], (*trail, key))


# --- records ------------------------------------------------------------------------------------------------------------------


def _wraps(window: _Window, paths: tuple[str, ...]) -> bool:
    """Has the object that begins here one of the paths? One too long for a record must be a wrapper."""
    if not paths:
        return False
    try:
        raw = window.take()
    except _TooLong:
        return True
    window.at -= len(raw)
    return any(_has(raw, path.split(".")) for path in paths)


def _has(raw: bytes | msgspec.Raw, path: list[str]) -> bool:
    try:
        members = _raw_object.decode(raw)
    except (msgspec.DecodeError, RecursionError):  # who reads it next says what is wrong with it
        return False
    return path[0] in members and (len(path) == 1 or _has(members[path[0]], path[1:]))


def _inside(window: _Window, kind: type[T], paths: tuple[str, ...]) -> Iterator[tuple[int, T | Skipped]]:
    any_list = False
    for path, record in _walk(window, _tree({f"{path}.*": kind for path in paths}), ()):
        if record is None:
            any_list = True
        else:
            yield cast("int", path[-1]), record
    if not any_list:
        raise UnreadableReport(NO_LIST, paths=", ".join(paths))


def _elements(window: _Window, kind: type[T], trail: Path) -> Iterator[tuple[int, T | Skipped]]:
    """The elements of the list whose `[` was just passed, in chunks where that works."""
    one, many = msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    separator, doubted, number = b"", 0, 0
    going = window.peek() != b"]" or _goes_on(window, b"]")
    while going:
        offset, chunk = window.position, b""
        if separator and offset >= doubted:
            window.fill()
            chunk = window.data[window.at : window.data.rfind(separator, window.at) + 1]
        batch = _decoded_chunk(many, one, chunk, trail, number) if chunk else None
        if batch is not None:
            window.at += len(chunk)
        else:
            doubted = max(doubted, offset + len(chunk))
            batch = [_decoded(one, window.take(), (*trail, number), offset)]
        for outcomes in batch:
            for outcome in outcomes:
                yield number, outcome
            number += 1
        separator = separator or _separator(window)
        going = _goes_on(window, b"]")


def _separator(window: _Window) -> bytes:
    """What stands between the record just passed and the next, up to the next one's first key; b"" if it is no such list."""
    found = _next_record.match(window.data, window.at)
    return b"}" + found.group() if found and window.data[window.at - 1 : window.at] == b"}" else b""


def _decoded_chunk(many: _Decoder[Any], one: _Decoder[Any], chunk: bytes, trail: Path, number: int) -> list[Outcomes] | None:
    """What comes of each record of a chunk, or None if it was not cut between two records."""
    text = b"[" + chunk + b"]"
    try:
        return [(record,) for record in many.decode(text)]
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        pieces = _raw_list.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    # Its grammar is known to be good: nothing can be raised that would need an offset.
    return [_decoded(one, piece, (*trail, number + n), 0) for n, piece in enumerate(pieces)]


def _decoded(decoder: _Decoder[Any], raw: bytes | msgspec.Raw, path: Path, offset: int) -> Outcomes:
    try:
        return (decoder.decode(raw),)
    except msgspec.ValidationError as error:
        return (_wrong_type(error, path),)
    except RecursionError:
        raise UnreadableReport(TOO_DEEP, position=offset, limit=DEEPEST) from None
    except msgspec.DecodeError as error:
        mended = _whole_characters(bytes(raw))
        if mended == raw:
            problem, at = _problem(error)
            raise UnreadableReport(MALFORMED, position=offset + at, problem=problem) from None
    return (Skipped(_place(path), Text(MENDED), lost=False), *_decoded(decoder, mended, path, offset))


def _place(path: Path) -> int | tuple[int, int]:
    """A record's position as ports has it: its number, or the numbers of the two lists that it stands in."""
    numbers = [part for part in path if isinstance(part, int)]
    return (numbers[0], numbers[1]) if len(numbers) > 1 else (numbers[0] if numbers else 0)


def _wrong_type(error: msgspec.ValidationError, path: Path, line: int = 0) -> Skipped:
    problem, _separator, field = str(error).partition(" - at `$")
    name = field.rstrip("`").removeprefix(".")
    return Skipped(
        _place(path), Text(WRONG_TYPE, {"problem": problem.replace("`", ""), "field": name or "-"}), line=line, field=name
    )


def _problem(error: msgspec.DecodeError) -> tuple[str, int]:
    """What msgspec says, and at which byte of what it read."""
    problem, _separator, at = str(error).removeprefix("JSON is malformed: ").partition(" (byte ")
    return problem, int(at.rstrip(")") or 0)


def _whole_characters(raw: bytes) -> bytes:
    r"""`raw` with each escape of half a character (`\ud800` without its other half) made the escape of `�`."""
    return _escape.sub(lambda found: rb"\ufffd" if len(found[0]) == _HALF else found[0], raw)


# --- one object a line --------------------------------------------------------------------------------------------------------


def _lines(window: _Window, kind: type[T]) -> Iterator[tuple[int, T | Skipped]]:
    decoder = msgspec.json.Decoder(kind)
    line = 1 + window.data.count(b"\n", 0, window.at)
    offset = window.position
    first = window.take()
    if b"\n" in first:  # one object, written over several lines
        for outcome in _decoded(decoder, first, (0,), offset):
            yield 0, outcome
        _expect_end(window)
        return
    window.at -= len(first)
    number = 0
    for chunk in _chunks_of_lines(window):
        for outcomes in _decoded_lines(decoder, chunk, number, line, window.position):
            for outcome in outcomes:
                yield number, outcome
            number += 1
        line += chunk.count(b"\n")


def _chunks_of_lines(window: _Window) -> Iterator[bytes]:
    """Whole lines, as many as are in memory; only the document's last may lack its line end."""
    while True:
        window.fill()
        end = window.data.rfind(b"\n", window.at) + 1
        while not end and window.lengthen():
            end = window.data.rfind(b"\n", window.at) + 1
        chunk = window.data[window.at : end or len(window.data)]
        if not chunk:
            return
        window.at += len(chunk)
        yield chunk


def _decoded_lines(decoder: _Decoder[Any], chunk: bytes, number: int, line: int, end: int) -> list[Outcomes]:
    """What comes of each of some lines. `number`, `line`: of the first; `end`: the document's offset behind the last."""
    try:
        batch = decoder.decode_lines(chunk)
    except (msgspec.DecodeError, RecursionError):
        batch = []
    if len(batch) == chunk.count(b"\n") + (not chunk.endswith(b"\n")):
        return [(record,) for record in batch]
    outcomes: list[Outcomes] = []
    texts = chunk.split(b"\n")
    for n, text in enumerate(texts):
        if not text.strip():
            continue
        if text.lstrip().startswith(b"["):
            raise UnreadableReport(GLUED, position=end - len(chunk) + sum(map(len, texts[:n])) + n)
        outcome = _decoded_line(decoder, text, number + len(outcomes), line + n)
        if n == len(texts) - 1 and isinstance(outcome[0], Skipped) and outcome[0].reason.message == BROKEN_LINE:
            raise UnreadableReport(TRUNCATED, position=end)
        outcomes.append(outcome)
    return outcomes


def _decoded_line(decoder: _Decoder[Any], text: bytes, number: int, line: int) -> Outcomes:
    try:
        return (decoder.decode(text),)
    except msgspec.ValidationError as error:
        return (_wrong_type(error, (number,), line),)
    except (msgspec.DecodeError, RecursionError) as error:
        mended = _whole_characters(text)
        if mended == text:
            problem = str(error).removeprefix("JSON is malformed: ")
            return (Skipped(number, Text(BROKEN_LINE, {"line": line, "problem": problem}), line=line),)
    return (Skipped(number, Text(MENDED), line=line, lost=False), *_decoded_line(decoder, mended, number, line))
