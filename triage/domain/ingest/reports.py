"""A report as a stream: out of its container, within limits, and in the hands of the parser that knows it."""

import gzip
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.conf import settings
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.ports import UnreadableReport

HEAD = 64 * 1024
BLOCK = 1 << 20
# Reports repeat themselves: 60 to 1 was seen. A bomb is made of one byte and reaches 1,000 to 1.
MAX_RATIO = 300
MAX_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class Format:
    """The parser that claimed a report, and the exact format's name."""

    parser: Any
    name: str


@contextmanager
def opened(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The report itself, seekable, at its start; unpacked to a temporary file where it is a .gz or a .zip.

    What is inside counts, not a file name. Raises UnreadableReport for archives that are broken, too large or ambiguous.
    """
    magic = stream.read(4)
    stream.seek(0)
    if magic[:2] == b"\x1f\x8b":
        with _unpacked(gzip.GzipFile(fileobj=stream), packed=_size(stream)) as inner:
            yield inner
    elif magic == b"PK\x03\x04":
        with _entry(stream) as entry, _unpacked(entry, packed=_size(stream)) as inner:
            yield inner
    else:
        yield stream


def detect(stream: BinaryIO, *, mapped: bool) -> Format | None:
    """Who reads this report, by its content alone; None for a report without a byte. Raises UnreadableReport for anything else.

    `mapped`: the importer brought a mapping of columns, so the generic parser reads it.
    """
    head = stream.read(HEAD)
    stream.seek(0)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        return None
    # A parser that is not asked is not loaded, which takes longer than a small import. So the likeliest by name comes first; which of
    # them reads a report does not depend on the order.
    shape = "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "csv"
    likeliest = sorted(plugins.names("parsers"), key=lambda name: shape not in name)
    parsers = (plugins.get("parsers", name) for name in likeliest)
    if mapped:
        return next(Format(parser, parser.LABEL) for parser in parsers if getattr(parser, "BY_MAPPING", False))
    for parser in parsers:
        if name := parser.sniff(head):
            return Format(parser, name)
    raise _unknown(head)


_SIGNATURES = (
    (b"%PDF", _("This is a PDF document. Give the scanner's machine-readable report instead (CSV, JSON or SARIF).")),
    (b"PK\x03\x04", _("This is an archive inside an archive. Unpack it and give the report itself.")),
    (b"\x1f\x8b", _("This is an archive inside an archive. Unpack it and give the report itself.")),
    (b"\x89PNG", _("This is a picture. Give the scanner's machine-readable report instead (CSV, JSON or SARIF).")),
    (b"SQLite format 3", _("This is a database file. Give the scanner's machine-readable report instead (CSV, JSON or SARIF).")),
    (b"\x7fELF", _("This is a program. Give the scanner's machine-readable report instead (CSV, JSON or SARIF).")),
)


def _unknown(head: bytes) -> UnreadableReport:
    for signature, sentence in _SIGNATURES:
        if head.startswith(signature):
            return UnreadableReport(sentence)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return UnreadableReport(
            _("This is an HTML page. Give the machine-readable report that the scanner writes beside it (CSV, JSON or SARIF).")
        )
    if start.startswith(b"<"):
        return UnreadableReport(_("This is an XML document, which is not read here. Give the report as SARIF, JSON or CSV."))
    if start.startswith((b"{", b"[")):
        return UnreadableReport(
            _("This is JSON, but of no format that is known here (Prowler, OCSF, ASFF, SARIF 2.1.0). If it holds findings, import it "
              "with a mapping file that names its fields.")
        )  # fmt: skip
    return UnreadableReport(
        _("The format is not known here. Known are Prowler (CSV, JSON), OCSF, ASFF and SARIF 2.1.0; any other CSV or JSON can be "
          "imported with a mapping file that names its columns.")
    )  # fmt: skip


def _size(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(here)
    return size


@contextmanager
def _unpacked(source: Any, *, packed: int) -> Iterator[BinaryIO]:
    limit = settings.REPORT_MAX_BYTES
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as file:
        written = 0
        try:
            while block := source.read(BLOCK):
                written += len(block)
                if written > limit or written > max(packed * MAX_RATIO, 64 * BLOCK):
                    raise UnreadableReport(
                        _("Unpacked, this archive is larger than allowed (more than %(size)s MB from %(packed)s MB). If it is a real "
                          "report, give it unpacked."),
                        size=written // BLOCK, packed=max(packed // BLOCK, 1),
                    )  # fmt: skip
                file.write(block)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise UnreadableReport(
                _("The archive is broken or cut off (%(reason)s). Pack or transfer it again."), reason=str(error)[:200]
            ) from error
        file.seek(0)
        yield file


@contextmanager
def _entry(stream: BinaryIO) -> Iterator[Any]:
    """The one report in a zip. Names in it are read and never used as paths."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and entry.file_size]
            if len(entries) > MAX_ENTRIES:
                raise UnreadableReport(_("The archive contains %(count)s files. Send the report alone."), count=len(entries))
            if any(entry.flag_bits & 0x1 for entry in entries):
                raise UnreadableReport(_("The archive is encrypted. Unpack it and give the report itself."))
            reports = entries if len(entries) == 1 else [entry for entry in entries if _is_report(archive, entry)]
            if len(reports) != 1:
                names = ", ".join(entry.filename for entry in reports[:5])
                raise UnreadableReport(
                    _("The archive contains %(count)s reports (%(names)s). Send one report at a time."),
                    count=len(reports),
                    names=names,
                )
            with archive.open(reports[0]) as entry:
                yield entry
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UnreadableReport(
            _("The archive is broken or cut off (%(reason)s). Pack or transfer it again."), reason=str(error)[:200]
        ) from error


def _is_report(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    with archive.open(entry) as stream:
        head = stream.read(HEAD)
    try:
        return any(plugins.get("parsers", name).sniff(head) for name in plugins.names("parsers"))
    except UnreadableReport:
        return False
