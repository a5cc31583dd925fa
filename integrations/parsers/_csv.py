"""Reads CSV records of any size and state from a stream, with the physical lines they begin at, in bounded memory."""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from triage.ports import Text, UnreadableReport

# So small that a chunk is still in the processor's cache when its rows are cut out of it.
CHUNK = 128 << 10
LONGEST_RECORD = 16 << 20
MOST_REREAD = 128 << 20

# The module's own limit of 128 KiB a cell is for the whole process and too small; LONGEST_RECORD bounds a cell here.
csv.field_size_limit(LONGEST_RECORD)

DELIMITERS = (";", ",", "\t", "|")

UNCLOSED = _(
    "The row that begins at line %(line)s is cut off: its quoted cell is never closed. It was left out; export the report again."
)
TOO_LONG = _("The row that begins at line %(line)s is longer than %(limit)s MiB. It was left out; no scanner writes such a row.")
MALFORMED = _("The row at line %(line)s is not valid CSV (%(problem)s). It was left out.")
HOPELESS = _(
    "From line %(line)s on the quotes of this CSV do not pair up, so that its rows cannot be told apart. Export the report again."
)

_PREAMBLE = re.compile(rb"(?:[ \t]*(?:sep=[^\r\n])?[\r\n]+)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a CSV: its cells, the bytes and lines up to and with it, and how lines end (LF, or a bare CR)."""

    names: tuple[str, ...]
    delimiter: str
    size: int
    lines: int
    line_end: bytes


class BrokenRecord(Exception):
    """A record that cannot be read. The next `record()` begins at the line after its first one."""

    def __init__(self, message: str, **params: str | int) -> None:
        self.text = Text(message, params)
        super().__init__(str(self.text))


class _TooLong(Exception):
    pass


def headers(head: bytes) -> Iterator[Header]:
    """Yield how the first line of `head` reads with each delimiter that it holds. Blank lines and Excel's `sep=;` are skipped."""
    start = _PREAMBLE.match(head).end()  # type: ignore[union-attr]
    newline, cr = head.find(b"\n", start), head.find(b"\r", start)
    bare_cr = cr >= 0 and newline < 0
    end = (cr if bare_cr else newline) + 1 or len(head)
    line = head[start:end].decode("utf-8", "replace")
    lines = head.count(b"\r" if bare_cr else b"\n", 0, end)
    for delimiter in DELIMITERS:
        if delimiter in line:
            try:
                names = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
            except csv.Error:
                continue
            while names and not names[-1]:
                names.pop()
            yield Header(tuple(names), delimiter, end, max(lines, 1), b"\r" if bare_cr else b"\n")


def plain_head(head: bytes) -> bytes:
    """The head of a report as UTF-8 without byte order mark, from UTF-8 or UTF-16."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "ignore").encode("utf-8", "replace")
    return head.removeprefix(codecs.BOM_UTF8)


def mended(cell: str) -> str:
    """A cell of a `foreign` record as text: what is not UTF-8 is read as Windows-1252."""
    try:
        cell.encode()
    except UnicodeEncodeError:
        return cell.encode(errors="surrogateescape").decode("cp1252", "replace")
    return cell


class Records:
    """The records of a stream, as csv.reader sees them, and the bytes they are made of.

    `data[at:]` is what is read and not yet consumed; `line` counts the physical lines consumed. A caller may read on by itself
    and set both. `start` and `first_line` tell where the record that `record()` gave last begins; its bytes are
    `data[start:at]`. `foreign`: it is not UTF-8; `mended` makes text of those of its cells that hold lone surrogates.
    """

    def __init__(self, stream: BinaryIO, chunk: int = CHUNK) -> None:
        beginning = stream.read(3)
        stream.seek(-len(beginning), 1)
        utf16 = beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        self._read = codecs.EncodedFile(stream, "utf-8", "utf-16", "replace").read if utf16 else stream.read
        # One byte of UTF-16 decodes to nothing, which would look like the end.
        self._chunk = max(chunk, 16) if utf16 else chunk
        self._margin = min(chunk // 4, 8 << 10)
        self._reread = 0
        self.data = b""
        self.at = self.start = 0
        self.line = 0
        self.first_line = 1
        self.ended = False
        self.foreign = False
        if self.peek(3) == codecs.BOM_UTF8:
            self.at += 3

    def begin(self, header: Header) -> None:
        """Go behind the header and read on with its delimiter and line ends."""
        self.at += header.size
        self.line = header.lines
        self._header = header
        self._rows = csv.reader(self._lines(), delimiter=header.delimiter)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, less at the end."""
        self.start = self.at
        while len(self.data) - self.at < size and not self.ended:
            self._fill()
        return self.data[self.at : self.at + size]

    def ahead(self) -> int:
        """Where in `data` a caller that reads on by itself has to stop and ask again: there is more, or nothing, behind it."""
        self.start = self.at
        while len(self.data) - self.at <= self._margin and not self.ended:
            self._fill()
        return len(self.data) if self.ended else len(self.data) - self._margin

    def record(self) -> list[str] | None:
        """The next record, [] for a blank line, None at the end. Raises BrokenRecord, and UnreadableReport after too many."""
        self.start, self.first_line, self.foreign = self.at, self.line + 1, False
        try:
            row = next(self._rows, None)
        except _TooLong:
            raise self._broken(TOO_LONG, limit=LONGEST_RECORD >> 20) from None
        except csv.Error as error:
            raise self._broken(MALFORMED, problem=str(error)) from error
        if row is not None and self._unclosed:
            raise self._broken(UNCLOSED)
        return row

    def text_line(self) -> str | None:
        """The next physical line as it stands, None at the end. Raises BrokenRecord if it is too long."""
        self.start, self.first_line, self.foreign = self.at, self.line + 1, False
        try:
            return next(self._lines(), None)
        except _TooLong:
            raise self._broken(TOO_LONG, limit=LONGEST_RECORD >> 20) from None

    def _fill(self) -> None:
        """Read more, and let go of what is before `start`."""
        rest = self.data[self.start :]
        more = self._read(max(self._chunk, len(rest)))
        self.ended = not more
        self.data = rest + more
        self.at -= self.start
        self.start = 0

    def _lines(self) -> Iterator[str]:
        """Feed csv.reader, which asks for another line only inside a quoted cell."""
        while True:
            self._unclosed = self.at > self.start
            end = self._end_of_line()
            if end == self.at:
                return
            self._unclosed = False
            raw = self.data[self.at : end]
            self.at = end
            self.line += 1
            yield self._text(raw)

    def _end_of_line(self) -> int:
        end = self.data.find(self._header.line_end, self.at) + 1
        while not end and not self.ended:
            if len(self.data) - self.start > LONGEST_RECORD:
                raise _TooLong
            searched = len(self.data) - self.at
            self._fill()
            end = self.data.find(self._header.line_end, self.at + searched) + 1
        if end - self.start > LONGEST_RECORD:
            raise _TooLong
        return end or len(self.data)

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.foreign = True
            return raw.decode(errors="surrogateescape")

    def _broken(self, message: str, **params: str | int) -> Exception:
        """The exception to raise, having gone back to the record's second line: a lost quote must not eat what follows."""
        self._reread += self.at - self.start
        if self._reread > MOST_REREAD:
            return UnreadableReport(HOPELESS, line=self.first_line)
        end = self.data.find(self._header.line_end, self.start) + 1
        self.at = end or len(self.data)
        self.line = self.first_line
        self._rows = csv.reader(self._lines(), delimiter=self._header.delimiter)
        return BrokenRecord(message, line=self.first_line, **params)
