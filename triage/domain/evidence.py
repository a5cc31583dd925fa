"""Bytes that prove something, kept by their SHA-256: written once, never changed, checked when read.

They are on disk first. Where there is an archive, a worker copies them to it (`archiving`), and what is missing here is read there.
"""

import contextlib
import errno
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import zstandard
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop as _

from triage.domain import archives
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.models import Evidence
from triage.ports import Absent, ArchiveError

BLOCK = 2**20
ZSTD = "zstd"
LEVEL = 3


class Damaged(TriageError):
    """What is on disk, or in the archive, is not what was kept."""


class Unreachable(TriageError):
    """It is in the archive alone, and that does not give it now."""


def keep(data: bytes | BinaryIO, *, media_type: str, at: datetime) -> Evidence:
    """Keep bytes, compressed. The same bytes are kept once, whoever brings them.

    The file is complete and on disk before its row exists: a crash in between leaves a file that the next `keep` takes over.
    """
    return _store(io.BytesIO(data) if isinstance(data, bytes) else data, ZSTD, media_type=media_type, at=at, limit=None)


def keep_file(source: Path | BinaryIO, *, media_type: str, at: datetime, limit: int | None = None) -> Evidence:
    """Keep a large file as it is, hashing while copying in blocks of 1 MiB; `compress` makes it small later.

    `limit`: bytes; Invalid is raised, and nothing kept, as soon as there are more.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        return _store(stream, "", media_type=media_type, at=at, limit=limit)


def take_file(source: Path, *, media_type: str, at: datetime, limit: int | None = None) -> Evidence:
    """Keep a file that nobody needs any more, such as an upload: hashed and renamed, not copied. It is gone afterwards.

    `limit`: bytes; Invalid is raised, and the file left, when there are more.
    """
    with source.open("rb") as stream:
        _within(limit, os.fstat(stream.fileno()).st_size)
        sha256, size = hashlib.file_digest(stream, "sha256").digest(), os.fstat(stream.fileno()).st_size
        known = _known(sha256)
        if known is None:
            try:
                os.fchmod(stream.fileno(), 0o600)
                _place(stream, path_of(sha256, ""))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                stream.seek(0)
                known = keep_file(stream, media_type=media_type, at=at)
    source.unlink(missing_ok=True)
    return known or _row(sha256, "", size=size, media_type=media_type, at=at)


def read(sha256: bytes, *, here: bool = False) -> bytes:
    """The bytes, hashed again. Raises NotFound, or Damaged when they are not the ones that were kept; Unreachable.

    `here`: on disk alone, for whoever is in a transaction and must not wait for the archive.
    """
    with open_stored(sha256, here=here) as stream:
        data = stream.read()
    if hashlib.sha256(data).digest() != bytes(sha256):
        raise changed(bytes(sha256))
    return data


def open_stored(sha256: bytes, *, here: bool = False) -> BinaryIO:
    """The bytes as a seekable stream, for large files: not hashed again, unless they come from the archive. The caller closes it.

    Raises NotFound, Damaged, Unreachable. `here` as for `read`.
    """
    row = Evidence.objects.filter(pk=bytes(sha256), deleted_at=None).first()
    if row is None:
        raise NotFound(_("There is no evidence with SHA-256 %(sha256)s."), sha256=bytes(sha256).hex())
    stored = on_disk(row)
    if stored is None and not here and row.archived_at is not None:
        stored = _from_archive(row)
    if stored is None:
        raise missing(row)
    return stored


def on_disk(row: Evidence) -> BinaryIO | None:
    """The bytes that lie here as a seekable stream, None where there is no file. Asks no database. Raises Damaged."""
    for encoding in (row.encoding, ZSTD):  # `compress` may have replaced the file since the row was read
        with contextlib.suppress(FileNotFoundError):
            stored = path_of(bytes(row.sha256), encoding).open("rb")
            return stored if encoding == "" else _decompressed(stored, bytes(row.sha256))
    return None


def hashed(stream: BinaryIO) -> bytes:
    """SHA-256 of the rest of a stream."""
    found = hashlib.sha256()
    while block := stream.read(BLOCK):
        found.update(block)
    return found.digest()


def missing(row: Evidence) -> Damaged:
    return Damaged(_("Evidence %(sha256)s is missing on disk. Restore it from a backup."), sha256=bytes(row.sha256).hex())


def changed(sha256: bytes) -> Damaged:
    return Damaged(_("Evidence %(sha256)s was changed on disk: its content has another SHA-256."), sha256=sha256.hex())


def unreadable(sha256: bytes, error: OSError) -> Damaged:
    said = error.strerror or type(error).__name__
    return Damaged(_("Evidence %(sha256)s cannot be read from disk: %(error)s."), sha256=sha256.hex(), error=said)


def drop(sha256: bytes) -> None:
    """Give up the local copy of what the archive has. Whoever has it open reads on."""
    with transaction.atomic():
        row = Evidence.objects.select_for_update().get(pk=bytes(sha256))
        if row.archived_at is None or row.deleted_at is not None:
            return
        row.on_disk = False
        row.save(update_fields=["on_disk"])
        transaction.on_commit(lambda: _unlink(bytes(row.sha256)))


def compress(sha256: bytes) -> Evidence:
    """Replace a file that was kept as it is by its compressed form. Whoever has it open reads on."""
    with transaction.atomic():
        row = Evidence.objects.select_for_update().get(pk=bytes(sha256))
        if row.encoding == ZSTD or row.deleted_at is not None:
            return row
        plain = path_of(bytes(row.sha256), "")
        if row.archived_at is not None and not plain.exists():  # the disk was lost, the archive has it
            row.on_disk = False
            row.save(update_fields=["on_disk"])
            return row
        with plain.open("rb") as stream, _draft() as draft:
            hashed, _size = _copy(stream, draft, ZSTD, limit=None)
            if hashed != bytes(row.sha256):
                raise changed(bytes(row.sha256))
            _place(draft, path_of(hashed, ZSTD))
        row.encoding = ZSTD
        row.save(update_fields=["encoding"])
        # Only then: a row that says '' must have its file, and a rollback has to find it.
        transaction.on_commit(lambda: plain.unlink(missing_ok=True))
    return row


def compress_older(*, than: datetime, limit: int = 10) -> int:
    """Compress some of the files that were kept as they are before `than`, when nobody reads them any more; how many."""
    waiting = Evidence.objects.filter(encoding="", on_disk=True, deleted_at=None, kept_at__lt=than).order_by("kept_at")
    rows = list(waiting.values_list("pk", flat=True)[:limit])
    for sha256 in rows:
        compress(bytes(sha256))
    return len(rows)


def path_of(sha256: bytes, encoding: str) -> Path:
    """Where the bytes lie: EVIDENCE_DIR/ab/cdef…, with `.zst` when compressed."""
    name = sha256.hex()
    return Path(settings.EVIDENCE_DIR) / name[:2] / (name[2:] + (".zst" if encoding == ZSTD else ""))


def _store(stream: BinaryIO, encoding: str, *, media_type: str, at: datetime, limit: int | None) -> Evidence:
    with _draft() as draft:
        sha256, size = _copy(stream, draft, encoding, limit=limit)
        known = _known(sha256)
        if known is not None:
            return known
        _place(draft, path_of(sha256, encoding))
    return _row(sha256, encoding, size=size, media_type=media_type, at=at)


def _known(sha256: bytes) -> Evidence | None:
    """The row of these bytes, if their file is there, too."""
    row = Evidence.objects.filter(pk=sha256, deleted_at=None).first()
    return row if row is not None and path_of(sha256, row.encoding).exists() else None


def _row(sha256: bytes, encoding: str, *, size: int, media_type: str, at: datetime) -> Evidence:
    Evidence.objects.filter(pk=sha256, deleted_at__isnull=False).update(kept_at=at)  # its time is counted anew
    row, _made = Evidence.objects.update_or_create(
        sha256=sha256,
        defaults={"encoding": encoding, "deleted_at": None, "on_disk": True},
        create_defaults={"size": size, "media_type": media_type, "encoding": encoding, "kept_at": at},
    )
    return row


def _from_archive(row: Evidence) -> BinaryIO:
    """Into a temporary file that has no name, hashed on its way."""
    place, sha256 = archives.configured(), bytes(row.sha256)
    if place is None:
        raise missing(row)
    plain = tempfile.TemporaryFile(dir=settings.EVIDENCE_DIR)  # noqa: SIM115 - the caller's
    with contextlib.ExitStack() as unless_whole:
        unless_whole.callback(plain.close)
        try:
            place.plugin.fetch(archives.name_of(sha256), row.archive_version, plain, place.options)
        except Absent:
            raise Damaged(
                _("Evidence %(sha256)s is missing on disk and in the archive. Restore it from a backup."), sha256=sha256.hex()
            ) from None
        except ArchiveError as error:
            raise Unreachable(
                _("Evidence %(sha256)s is in the archive alone, which does not give it now: %(said)s"),
                sha256=sha256.hex(), said=str(error),
            ) from None  # fmt: skip
        plain.seek(0)
        if hashed(plain) != sha256:
            raise Damaged(
                _("Evidence %(sha256)s was changed in the archive: its content has another SHA-256."), sha256=sha256.hex()
            )
        plain.seek(0)
        unless_whole.pop_all()
    return plain


def _unlink(sha256: bytes) -> None:
    for encoding in ("", ZSTD):
        path_of(sha256, encoding).unlink(missing_ok=True)


@contextlib.contextmanager
def _draft() -> Iterator[BinaryIO]:
    """A file beside the evidence, private to this process, gone afterwards unless `_place` gave it its name."""
    path = Path(settings.EVIDENCE_DIR) / f".draft-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with open(path, "xb", opener=_private) as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _copy(stream: BinaryIO, draft: BinaryIO, encoding: str, *, limit: int | None) -> tuple[bytes, int]:
    """Copy in blocks; SHA-256 and size of what was read."""
    hashed, size = hashlib.sha256(), 0
    with contextlib.ExitStack() as stack:
        out = draft
        if encoding == ZSTD:
            writer = zstandard.ZstdCompressor(level=LEVEL).stream_writer(draft, closefd=False)
            out = stack.enter_context(writer)
        while block := stream.read(BLOCK):
            size += len(block)
            _within(limit, size)
            hashed.update(block)
            out.write(block)
    return hashed.digest(), size


def _within(limit: int | None, size: int) -> None:
    if limit is not None and size > limit:
        raise Invalid(_("The file is larger than the limit of %(limit)s bytes."), limit=limit)


def _place(draft: BinaryIO, path: Path) -> None:
    """Give the draft its name, after its bytes are on disk; then see to it that the name is on disk, too."""
    if draft.writable():
        draft.flush()
    os.fsync(draft.fileno())
    path.parent.mkdir(mode=0o700, exist_ok=True)
    Path(draft.name).replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _decompressed(stored: BinaryIO, sha256: bytes) -> BinaryIO:
    """Into a temporary file that has no name, as a compressed stream cannot seek."""
    plain = tempfile.TemporaryFile(dir=settings.EVIDENCE_DIR)  # noqa: SIM115 - the caller's
    try:
        with stored:
            zstandard.ZstdDecompressor().copy_stream(stored, plain, read_size=BLOCK, write_size=BLOCK)
    except zstandard.ZstdError:
        plain.close()
        raise Damaged(_("Evidence %(sha256)s was changed on disk: it cannot be decompressed."), sha256=sha256.hex()) from None
    plain.seek(0)
    return plain
