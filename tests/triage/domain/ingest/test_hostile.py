"""Files that mean harm, or are none of ours: each ends in a clear refusal or a bounded import, and leaves nothing half-written."""

import gzip
import io
import json
import zipfile

import pytest

from tests.reports import imported, prowler, row, sarif
from triage.models import Asset, Finding, Scan

pytestmark = pytest.mark.django_db


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


def bomb(megabytes: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=9) as file:
        for _block in range(megabytes):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


REPORT = prowler([row("logs"), row("x", "PASS")])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"%PDF-1.7 ...", "PDF", id="pdf"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "picture", id="png"),
        pytest.param(b"\x7fELF\x02", "program", id="elf"),
        pytest.param(b"<?xml version='1.0'?><a/>", "XML", id="xml"),
        pytest.param(b"<!DOCTYPE html><html></html>", "HTML page", id="html"),
        pytest.param(b"hello world", "not known here", id="prose"),
        pytest.param(b'{"a": 1}', "no format that is known", id="json"),
        pytest.param(b"[" * 200_000, "", id="nesting"),
        pytest.param(b'{"version":"2.1.0","runs":' + b"[" * 100_000, "", id="sarif nesting"),
        pytest.param(bomb(200), "larger than allowed", id="gzip bomb"),
        pytest.param(gzip.compress(REPORT)[:-20], "broken or cut off", id="gzip cut off"),
        pytest.param(gzip.compress(gzip.compress(REPORT)), "inside an archive", id="gzip in gzip"),
        pytest.param(zipped(a=REPORT, b=REPORT), "2 reports", id="two reports"),
        pytest.param(b"PK\x03\x04broken", "broken or cut off", id="broken zip"),
        pytest.param(zipped(inner=zipped(a=REPORT)), "inside an archive", id="zip in zip"),
        pytest.param(sarif([{"path": "a.py"}])[:-30], "", id="sarif cut off"),
        pytest.param(json.dumps([{"FindingUniqueId": "x"}]).encode()[:-1], "", id="json cut off"),
        pytest.param(b'{"version": "1.0.0", "runs": [], "$schema": "sarif-1.0.0"}', "1.0.0", id="sarif 1"),
    ],
)
def test_refused_with_a_sentence_and_nothing_written(data, says):
    scan = imported(data, "../../etc/passwd")

    assert scan.state == "failed", scan.counts
    assert says in scan.problem["message"] % scan.problem["params"]
    assert scan.file_name == "passwd"
    assert not Finding.objects.exists()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gzip.compress(REPORT), id="gzip"),
        pytest.param(zipped(**{"..__..__evil.csv": REPORT}), id="zip with a travelling name"),
        pytest.param(
            zipped(**{"out__report.csv": REPORT, "out__readme.txt": b"hello", "out__report.html": b"<html>"}),
            id="zip of a folder",
        ),
        pytest.param(b"\xef\xbb\xbf" + REPORT, id="byte order mark"),
        pytest.param(REPORT.replace(b"\r\n", b"\r\r\n"), id="Windows line ends"),
    ],
)
def test_read_all_the_same(data):
    scan = imported(data, "x.bin")

    assert (scan.state, scan.counts["new"], scan.counts["passed"]) == ("done", 1, 1)


@pytest.mark.parametrize("data", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_report_without_a_byte_is_empty_and_closes_nothing(data):
    imported(REPORT)

    scan = imported(data)

    assert (scan.state, scan.counts["rows"]) == ("done", 0)
    assert Finding.objects.get().presence == "reported"


@pytest.mark.parametrize(
    "value",
    [
        "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "'; DROP TABLE triage_finding; --", "a" * 1_000_000, "nul\x00l", "\u202egnp.exe",
        "%s%n%(x)s", "{{ 7*7 }}",
    ],
)  # fmt: skip
def test_value_is_text_and_nothing_else(value):
    cells = {
        "STATUS_EXTENDED": value,
        "RESOURCE_NAME": value,
        "RESOURCE_TAGS": f"team={value}",
        "CHECK_TITLE": value,
        "REGION": value,
    }
    _header, hostile = prowler([{**row("logs"), **cells}]).split(b"\r\n", 1)

    scan = imported(prowler([row("x", "PASS")]) + hostile)

    assert scan.state == "done"
    assert Finding.objects.count() + scan.counts["skipped"] == 1
    assert Scan.objects.count() == 1
    assert all("\x00" not in name for name in Asset.objects.values_list("name", flat=True))


def test_half_a_surrogate_pair_is_replaced_or_its_record_left_out():
    data = sarif([{"path": "a.py", "message": "half \ud800 a pair", "snippet": "\udfff"}])
    assert b"\\ud800" in data

    scan = imported(data)

    assert scan.state == "done"
    assert Finding.objects.count() + scan.counts["skipped"] == 1
