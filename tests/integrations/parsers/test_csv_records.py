"""CSV records must come out as csv.reader has them, whatever the chunks, and a broken one must cost no more than itself."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.parsers import _csv
from triage.ports import UnreadableReport

BROKEN = "broken"

# Bytes that mean something to CSV, alone and in the company that makes them mean something else.
NASTY = st.lists(
    st.sampled_from([b";", b'"', b'""', b"\n", b"\r\n", b"\r\r\n", b"\r", b"a", b"'", b"\0", "é€".encode(), b"\xe9", b" "])
)


def read(data, chunk=_csv.CHUNK, delimiter=";"):
    """[(first line, cells or BROKEN)] of what stands behind the header."""
    records = _csv.Records(io.BytesIO(data), chunk)
    records.begin(next(header for header in _csv.headers(records.peek(1 << 16)) if header.delimiter == delimiter))
    found = []
    while True:
        try:
            row = records.record()
        except _csv.BrokenRecord:
            row = BROKEN
        if row is None:
            return found
        found.append((records.first_line, row))


def expected(data):
    """The same by csv.reader alone: a record that is broken is given up, and its second line begins the next."""
    lines = io.StringIO(data.decode(errors="surrogateescape"), newline="\n").readlines()
    found, at = [], 1
    while at < len(lines):
        taken = 0

        def feed(begin=at):
            nonlocal taken
            for line in lines[begin:]:
                taken += 1
                yield line
            taken = -1  # it asked for more than there is: a quoted cell is still open

        try:
            row = next(csv.reader(feed(), delimiter=";"))
        except csv.Error:
            row, taken = BROKEN, 1
        if taken < 0:
            row, taken = BROKEN, 1
        found.append((at + 1, row))
        at += taken
    return found


@settings(max_examples=500, deadline=None)
@given(NASTY, st.integers(1, 40))
def test_records_are_those_of_csv_reader(parts, chunk):
    data = b"a;b\n" + b"".join(parts)

    assert read(data, chunk) == expected(data)


def test_an_open_quote_costs_one_record():
    found = read(b'a;b\n1;2\n3;"4\n5;6\n7;8\n')

    assert found == [(2, ["1", "2"]), (3, BROKEN), (4, ["5", "6"]), (5, ["7", "8"])]


def test_a_record_of_many_lines_begins_at_its_first():
    found = read(b'a;b\r\n"1\n1\r\n1";2\r\n3;4\r\n')

    assert found == [(2, ["1\n1\r\n1", "2"]), (5, ["3", "4"])]


def test_lines_of_windows_are_no_empty_rows():
    found = read(b"a;b\r\r\n1;2\r\r\n3;4\r\r\n")

    assert found == [(2, ["1", "2"]), (3, ["3", "4"])]


def test_lines_of_old_macintosh():
    found = read(b'a;b\r1;2\r"3\r3";4\r')

    assert found == [(2, ["1", "2"]), (3, ["3\r3", "4"])]


def test_a_cell_of_a_million_characters():
    found = read(b"a;b\n1;" + b"x" * 1_000_000 + b"\n3;4\n", chunk=1000)

    assert [len(row[1]) for _line, row in found] == [1_000_000, 1]


def test_a_record_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(_csv, "LONGEST_RECORD", 1000)

    found = read(b"a;b\n1;2\n3;" + b"x" * 5000 + b"\n5;6\n", chunk=100)

    assert found == [(2, ["1", "2"]), (3, BROKEN), (4, ["5", "6"])]


def test_quotes_that_never_pair_up_are_refused_in_bounded_time(monkeypatch):
    monkeypatch.setattr(_csv, "MOST_REREAD", 10_000)

    with pytest.raises(UnreadableReport, match="do not pair up"):
        read(b"a;b\n" + b'x";"z\n' * 2001)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_that_announce_themselves(encoding):
    text = "a;b\nné;€\n"
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}

    found = read(marks.get(encoding, b"") + text.encode(encoding), chunk=7)

    assert found == [(2, ["né", "€"])]


def test_what_is_not_utf8_is_windows_1252_cell_by_cell():
    records = _csv.Records(io.BytesIO(b"a;b\n\xe9t\xe9;" + "été".encode() + b"\n"))
    records.begin(next(_csv.headers(records.peek(100))))

    cells = records.record()

    assert records.foreign
    assert [_csv.mended(cell) for cell in cells] == ["été", "été"]


def test_the_preamble_of_a_spreadsheet_is_passed():
    (header,) = _csv.headers(b'\r\nsep=;\r\n"A";"B";;\r\n1;2;;\r\n')

    assert (header.names, header.delimiter, header.lines) == (("A", "B"), ";", 3)


def test_a_head_that_is_no_csv_has_no_header():
    assert list(_csv.headers(b"")) == []
    assert list(_csv.headers(b"{}")) == []
    assert list(_csv.headers(b"a;b\rc;d\n")) == []
