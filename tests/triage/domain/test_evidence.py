import hashlib
import io
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import transaction

from triage.domain import evidence
from triage.domain.errors import Invalid, NotFound
from triage.models import Evidence

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
DATA = b'{"PublicAccessBlock": false}' * 1000
SHA = hashlib.sha256(DATA).digest()

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path
    return tmp_path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_kept_is_read_back(folder):
    row = evidence.keep(DATA, media_type="application/json", at=AT)

    assert (bytes(row.sha256), row.size, row.media_type, row.encoding, row.kept_at) == (
        SHA,
        len(DATA),
        "application/json",
        "zstd",
        AT,
    )
    assert evidence.read(SHA) == DATA
    assert files(folder) == [f"{SHA.hex()[:2]}/{SHA.hex()[2:]}.zst"]


def test_evidence_is_private_and_small(folder):
    evidence.keep(DATA, media_type="application/json", at=AT)

    path = evidence.path_of(SHA, "zstd")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_size < len(DATA) / 10


def test_the_same_bytes_are_kept_once(folder):
    first = evidence.keep(DATA, media_type="application/json", at=AT)
    written = evidence.path_of(SHA, "zstd").stat().st_mtime_ns

    again = evidence.keep_file(io.BytesIO(DATA), media_type="text/csv", at=AT)

    assert again == first
    assert again.media_type == "application/json"
    assert len(files(folder)) == 1
    assert evidence.path_of(SHA, "zstd").stat().st_mtime_ns == written


def test_what_was_deleted_and_is_kept_again_is_as_old_as_that(folder):
    row = evidence.keep(DATA, media_type="application/json", at=AT)
    Evidence.objects.filter(pk=row.pk).update(deleted_at=AT)
    evidence.path_of(SHA, "zstd").unlink()

    again = evidence.keep(DATA, media_type="application/json", at=AT + timedelta(days=900))

    assert (again.deleted_at, again.kept_at) == (None, AT + timedelta(days=900))


def test_a_large_file_is_kept_as_it_is_and_can_seek(folder, tmp_path):
    report = tmp_path / "report.csv"
    report.write_bytes(DATA)

    row = evidence.keep_file(report, media_type="text/csv", at=AT)

    assert (row.encoding, row.size) == ("", len(DATA))
    with evidence.open_stored(SHA) as stream:
        stream.seek(5)
        assert stream.read(7) == DATA[5:12]
    assert report.exists()


def test_a_finished_upload_is_taken_without_a_copy(folder, tmp_path):
    upload = tmp_path / "upload.csv"
    upload.write_bytes(DATA)
    upload.chmod(0o644)
    inode = upload.stat().st_ino

    row = evidence.take_file(upload, media_type="text/csv", at=AT)

    assert (bytes(row.sha256), row.size, row.encoding) == (SHA, len(DATA), "")
    assert not upload.exists()
    assert evidence.path_of(SHA, "").stat().st_ino == inode
    assert stat.S_IMODE(evidence.path_of(SHA, "").stat().st_mode) == 0o600
    upload.write_bytes(DATA)
    assert evidence.take_file(upload, media_type="text/csv", at=AT) == row
    assert not upload.exists()


def test_an_upload_on_another_file_system_is_copied(folder, settings):
    upload = Path(tempfile.mkstemp(dir="/dev/shm")[1])
    upload.write_bytes(DATA)

    row = evidence.take_file(upload, media_type="text/csv", at=AT)

    assert evidence.read(row.pk) == DATA
    assert not upload.exists()


def test_a_file_above_the_limit_is_refused_and_leaves_nothing(folder):
    with pytest.raises(Invalid, match="larger than the limit of 100 bytes"):
        evidence.keep_file(io.BytesIO(DATA), media_type="text/csv", at=AT, limit=100)
    upload = folder / "upload.csv"
    upload.write_bytes(DATA)
    with pytest.raises(Invalid, match="larger than the limit of 100 bytes"):
        evidence.take_file(upload, media_type="text/csv", at=AT, limit=100)
    upload.unlink()

    assert files(folder) == []
    assert not Evidence.objects.exists()


def test_compressing_keeps_content_and_readers(folder, django_capture_on_commit_callbacks):
    evidence.keep_file(io.BytesIO(DATA), media_type="text/csv", at=AT)
    reader = evidence.open_stored(SHA)

    with django_capture_on_commit_callbacks(execute=True):
        evidence.compress(SHA)

    assert reader.read() == DATA
    reader.close()
    assert evidence.read(SHA) == DATA
    with evidence.open_stored(SHA) as stream:
        stream.seek(-5, io.SEEK_END)
        assert stream.read() == DATA[-5:]
    assert files(folder) == [f"{SHA.hex()[:2]}/{SHA.hex()[2:]}.zst"]
    assert evidence.compress(SHA).encoding == "zstd"


def test_files_are_compressed_by_and_by(folder, django_capture_on_commit_callbacks):
    for hours in range(3):
        evidence.keep_file(io.BytesIO(DATA + bytes([hours])), media_type="text/csv", at=AT + timedelta(hours=hours))

    with django_capture_on_commit_callbacks(execute=True):
        assert evidence.compress_older(than=AT + timedelta(hours=2)) == 2
        assert evidence.compress_older(than=AT + timedelta(hours=2)) == 0

    assert [name.endswith(".zst") for name in files(folder)].count(True) == 2
    assert len(files(folder)) == 3


def test_a_reader_that_read_the_row_before_compression_finds_the_file(folder):
    evidence.keep_file(io.BytesIO(DATA), media_type="text/csv", at=AT)
    plain = evidence.path_of(SHA, "")
    evidence.compress(SHA)
    plain.unlink()
    Evidence.objects.update(encoding="")

    assert evidence.read(SHA) == DATA


@pytest.mark.parametrize("encoding", ["", "zstd"])
def test_a_change_on_disk_is_found(encoding):
    if encoding:
        evidence.keep(DATA, media_type="application/json", at=AT)
    else:
        evidence.keep_file(io.BytesIO(DATA), media_type="application/json", at=AT)
    path = evidence.path_of(SHA, encoding)
    bytes_ = bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    path.write_bytes(bytes_)

    with pytest.raises(evidence.Damaged, match="was changed on disk"):
        evidence.read(SHA)


def test_missing_evidence_is_said_and_healed_by_keeping_it_again():
    evidence.keep(DATA, media_type="application/json", at=AT)
    evidence.path_of(SHA, "zstd").unlink()

    with pytest.raises(evidence.Damaged, match="is missing on disk"):
        evidence.read(SHA)
    evidence.keep(DATA, media_type="application/json", at=AT)

    assert evidence.read(SHA) == DATA


def test_unknown_evidence_is_not_found():
    with pytest.raises(NotFound):
        evidence.read(SHA)


def test_a_crash_between_file_and_row_is_taken_over(folder):
    with transaction.atomic():
        evidence.keep(DATA, media_type="application/json", at=AT)
        transaction.set_rollback(True)
    assert not Evidence.objects.exists()
    assert len(files(folder)) == 1

    evidence.keep(DATA, media_type="application/json", at=AT)

    assert evidence.read(SHA) == DATA
    assert len(files(folder)) == 1
