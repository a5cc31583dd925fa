"""Reads JSON documents of any size record by record: typed, in bounded memory, and strict about what could hide a result.

A list is decoded in chunks of about a megabyte that end where the separator of the first two records is seen again; a chunk
that decodes as `[...]` was cut between two records (a cut inside a string or a nested list cannot decode), any other is measured
bracket by bracket. Positions in messages count bytes of the document in UTF-8.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

import ijson
import msgspec
from django.utils.translation import gettext_noop as _

from triage.ports import Skipped, Text, UnreadableReport

BLOCK = 1 << 20
LONGEST_VALUE = 16 << 20
DEEPEST = 500

T = TypeVar("T")
Path = tuple[str | int, ...]

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_string = re.compile(_STRING, re.DOTALL)
_scalar = re.compile(rb'[^][{}",:\s]++')
_space = re.compile(rb"[ \t\r\n]*+")
_to_bracket = re.compile(rb'[^][{}"]*+(?:' + _STRING + rb'[^][{}"]*+)*+[][{}]', re.DOTALL)
_next_record = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+" + _STRING + rb"[ \t\r\n]*+:", re.DOTALL)
_escape = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL)

_text = msgspec.json.Decoder(str)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])

TRUNCATED = _(
    "The document ends at byte %(position)s in the middle of a value: the file was cut short. Export it again, or upload it again."
)
TOO_LONG = _("The value that begins at byte %(position)s is longer than %(limit)s MiB. That is no scanner's record; check the file.")
TOO_DEEP = _("At byte %(position)s the document is nested deeper than %(limit)s levels. No scanner writes that; the file is refused.")
MALFORMED = _("The document is not valid JSON at byte %(position)s: %(problem)s. Export it again with the scanner's own writer.")
GLUED = _(
    "A second document begins at byte %(position)s, right behind the first: the tool was run twice into one file, which is no longer "
    "JSON (Prowler appends when it is run twice with the same -F name). Run it again with a new file name."
)
GIVEN_TWICE = _(
    "The key “%(key)s” is given twice in one object, at byte %(position)s: most readers would see only one of the two. "
    "Export the report again."
)
NOT_UTF8 = _("Byte %(position)s is not %(encoding)s text. Save the file as UTF-8 (it looks like Latin-1 or a binary file).")
EMPTY = _("The file is empty. Check that the scanner ended well and wrote its report.")
NO_RECORDS = _("The document is neither a JSON list nor a JSON object: it begins with %(beginning)s. Choose another format.")
WRONG_TYPE = _("A field is not of its type: %(problem)s. The record was left out.")
BROKEN_LINE = _("Line %(line)s is not a JSON object: %(problem)s. It was left out.")
MENDED = _("Half a character (a lone surrogate) was replaced by “�”.")


class _TooLong(UnreadableReport):
    """A single value does not fit in memory's bound."""


def records(stream: BinaryIO, kind: type[T], *paths: str) -> Iterator[tuple[int, T | Skipped]]:
    """Yield (position, record) for each record of a top-level list, of one object a line, or of a list inside an object.

    `paths`: where such lists may stand in a wrapping object, dotted (`Findings`, `detail.findings`); an object without any of
    them is itself a record. `kind`: what msgspec decodes a record into. A record of other types gives a lost Skipped; one that
    had to be mended gives a Skipped that is not lost and then itself. Raises UnreadableReport for a document that is broken,
    cut short, glued of several, nested too deep, not UTF-8/16/32, or that gives a key on a path twice.
    """
    window = _Window(stream)
    beginning = window.peek()
    if beginning == b"[":
        window.at += 1
        yield from _elements(window, kind)
        _expect_end(window)
    elif beginning == b"{" and _wraps(window, paths):
        yield from _inside(window, kind, paths)
        _expect_end(window)
    elif beginning == b"{":
        yield from _lines(window, kind)
    else:
        _refuse_beginning(window)


def select(stream: BinaryIO, wanted: Mapping[str, type]) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for all values at the wanted paths, in the document's order; the rest is skipped unread.

    `wanted`: dotted path to the type that msgspec decodes there; `*` stands for each element of a list, which may be of any
    length: `{"version": str, "runs.*.tool": Tool, "runs.*.results.*": Result}`. Paths come back with numbers for `*`. A value
    of another type comes as a lost Skipped, a mended one after a Skipped that is not lost. A list that is wanted by its elements
    is announced by (its path, None). Raises UnreadableReport as `records` does.
    """
    window = _Window(stream)
    if window.peek() not in (b"[", b"{"):
        _refuse_beginning(window)
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
    try:
        for event, value in ijson.basic_parse(io.BytesIO(head_text(head).encode(errors="replace")), multiple_values=True, use_float=True):
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
                if len(path) > 64:  # noqa: PLR2004 - no scanner's record is as deep; a bomb would make long paths
                    break
    except (ijson.JSONError, UnicodeDecodeError):
        return found
    return found


def _dotted(path: list[str]) -> str:
    return ".".join(part for part in path if part).replace(".[]", "[]")


# --- the document as a moving window ------------------------------------------------------------------------------------------


class _Window:
    """The part of the document that is in memory: `data`, in UTF-8, read up to `at`."""

    def __init__(self, stream: BinaryIO) -> None:
        self.data = b""
        self.at = 0
        self._dropped = 0
        self._kept: int | None = None
        self._stream = stream
        self._read = 0
        self._first = stream.read(BLOCK)
        self._encoding = json.detect_encoding(self._first)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")

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
        """The next byte that is no white space, b"" at the document's end."""
        while True:
            self.at = _space.match(self.data, self.at).end()  # type: ignore[union-attr] - matches the empty text
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self.more():
                return b""

    def take(self) -> bytes:
        """The value that begins here, passing it."""
        self._kept = self.at
        self.skip()
        value = self.data[self._kept : self.at]
        self._kept = None
        return value

    def rewind(self) -> None:
        """Go back to where a `take` began that failed for length."""
        if self._kept is not None:
            self.at, self._kept = self._kept, None

    def skip(self) -> None:
        """Pass the value that begins here; only its brackets and quotes are looked at."""
        beginning = self.peek()
        if beginning in (b"{", b"["):
            self._skip_brackets()
            return
        pattern = _string if beginning == b'"' else _scalar
        while True:
            found = pattern.match(self.data, self.at)
            if found and (beginning == b'"' or found.end() < len(self.data)):
                break
            if not found and beginning not in (b'"', b""):
                raise self.malformed("a value was expected")
            self._grow()
        self.at = found.end()

    def malformed(self, problem: str, offset: int = 0) -> UnreadableReport:
        return UnreadableReport(MALFORMED, position=self.position + offset, problem=problem)

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

    def _grow(self) -> None:
        begin = self.at if self._kept is None else self._kept
        if len(self.data) - begin > LONGEST_VALUE:
            raise _TooLong(TOO_LONG, position=self._dropped + begin, limit=LONGEST_VALUE >> 20)
        if not self.more():
            raise UnreadableReport(TRUNCATED, position=self._dropped + len(self.data))

    def _block(self) -> bytes:
        while True:
            block, self._first = self._first or self._stream.read(BLOCK), b""
            try:
                pending = len(self._decoder.getstate()[0])
                plain = self._encoding == "utf-8" and not pending and block.isascii()
                text = "" if plain else self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = self._read - pending + error.start
                raise UnreadableReport(NOT_UTF8, position=at, encoding=self._encoding.upper().removesuffix("-SIG")) from None
            self._read += len(block)
            if plain or not block:
                return block
            if text:
                return text.encode()


# --- walking ------------------------------------------------------------------------------------------------------------------


def _refuse_beginning(window: _Window) -> None:
    beginning = window.peek()
    if not beginning:
        raise UnreadableReport(EMPTY)
    raise UnreadableReport(NO_RECORDS, beginning=repr(window.data[window.at : window.at + 20].decode(errors="replace")))


def _expect_end(window: _Window) -> None:
    behind = window.peek()
    if behind in (b"[", b"{"):
        raise UnreadableReport(GLUED, position=window.position)
    if behind:
        raise window.malformed("something stands behind the document's end")


def _wraps(window: _Window, paths: tuple[str, ...]) -> bool:
    """Is the object that begins here a wrapper around a list at one of the paths? One too long for a record must be."""
    if not paths:
        return False
    try:
        raw = window.take()
    except _TooLong:
        window.rewind()
        return True
    window.at -= len(raw)
    return any(_holds(raw, path.split(".")) for path in paths)


def _holds(raw: bytes | msgspec.Raw, path: list[str]) -> bool:
    try:
        members = _raw_object.decode(raw)
    except (msgspec.DecodeError, RecursionError):  # whoever reads it next says what is wrong with it
        return False
    value = members.get(path[0])
    if value is None:
        return False
    return _holds(value, path[1:]) if len(path) > 1 else bytes(value).lstrip().startswith(b"[")


def _inside(window: _Window, kind: type[T], paths: tuple[str, ...]) -> Iterator[tuple[int, T | Skipped]]:
    position = 0
    for _path, record in _walk(window, _tree({f"{path}.*": kind for path in paths}), ()):
        if isinstance(record, Skipped):
            record = msgspec.structs.replace(record, position=position) if False else record  # noqa: PLW2901
        if record is not None:
            yield position, record
            position += 1
