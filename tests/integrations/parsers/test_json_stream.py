"""The streaming reader: it must give what a whole-document reader gives, in bounded memory, and refuse what hides results."""

import io
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.parsers import _json
from triage.ports import Skipped, UnreadableReport


class Record(msgspec.Struct):
    id: int | None = None
    text: str | None = None
    kept: Any = None


def read(document: bytes, *paths: str) -> list[tuple[int, Any]]:
    return list(_json.records(io.BytesIO(document), Record, *paths))


def refusal(document: bytes, *paths: str) -> UnreadableReport:
    with pytest.raises(UnreadableReport) as refused:
        read(document, *paths)
    return refused.value


# --- the same as a whole-document reader --------------------------------------------------------------------------------------

traps = st.sampled_from(["},{", '"},{"id":', "][", "\\", '"', "\n", "é", "😀", '{"id": 1},\n{"id": 2}', ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | traps,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "kept", "other"]), inner, max_size=3),
    max_leaves=8,
)
documents = st.lists(st.fixed_dictionaries({"id": st.integers(0, 9), "kept": values, "other": values}), max_size=8)
layouts = st.sampled_from([{}, {"indent": 4}, {"indent": 0}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}])
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
blocks = st.sampled_from([4, 7, 32, 100, 1000])


@settings(max_examples=150, deadline=None)
@given(documents, layouts, encodings, blocks, st.booleans(), st.sampled_from(["list", "lines", "wrapped"]))
def test_records_are_those_of_a_whole_document_reader(records, layout, encoding, block, ascii_only, shape):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_json, "BLOCK", block)
        if shape == "lines":
            text = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records) or "[]"
        elif shape == "wrapped":
            text = json.dumps({"meta": records, "page": {"items": records}, "next": None}, ensure_ascii=ascii_only, **layout)
        else:
            text = json.dumps(records, ensure_ascii=ascii_only, **layout)

        found = read(text.encode(encoding), "page.items")

    assert found == [(n, Record(id=record["id"], kept=record["kept"])) for n, record in enumerate(records)]


@settings(max_examples=150, deadline=None)
@given(documents.filter(bool), layouts, blocks, st.booleans(), st.data())
def test_a_document_cut_anywhere_is_refused(records, layout, block, wrapped, data):
    whole = json.dumps({"page": records} if wrapped else records, **layout).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_json, "BLOCK", block)
        with pytest.raises(UnreadableReport):
            read(whole[:cut], "page")


def test_memory_does_not_grow_with_the_document():
    record = json.dumps({"id": 1, "other": [{"id": 2}, {"id": 3}], "filler": "x" * 3000}).encode()

    class Endless(io.RawIOBase):
        """A list of 20,000 records, 60 MB, that never is in memory."""

        left = 20_000
        begun = False

        def read(self, _size: int = -1) -> bytes:
            if not self.left:
                return b""
            self.left -= 100
            begin, self.begun = b"," if self.begun else b"[", True
            return begin + b",".join([record] * 100) + (b"" if self.left else b"]")

    tracemalloc.start()
    count = sum(1 for _ in _json.records(Endless(), Record))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 20_000
    assert peak < 8 << 20


# --- broken records, broken documents -----------------------------------------------------------------------------------------


def test_a_record_of_wrong_types_is_skipped_and_the_rest_goes_on():
    records = [{"id": n, "text": "x"} for n in range(200)]
    records[120]["id"] = "one hundred and twenty"

    found = read(json.dumps(records).encode())

    lost = [record for _, record in found if isinstance(record, Skipped)]
    assert len(found) == 200
    assert [(one.position, one.field, one.lost) for one in lost] == [(120, "id", True)]
    assert (
        str(lost[0].reason) == "The field “id” is not what it should be: Expected int | null, got str. The record was left out."
    )


def test_a_list_of_something_else_gives_skipped_records():
    assert [record.position for _, record in read(b'[1, "x", [], null]')] == [0, 1, 2, 3]


def test_a_document_of_nothing_but_lost_records_is_given_up():
    endless = b"[" + b"1," * 1_000_000 + b"1]"
    late = b"[" + b"1," * 9_999 + b'{"id": 1}' + b",1" * 100 + b"]"

    assert refusal(endless).text.message == _json.ALL_LOST
    assert len(read(late)) == 10_100


def test_half_a_character_is_mended_and_counted():
    (_, note), (_, record), (_, whole) = read(rb'[{"text": "cut \ud83d"}, {"text": "\ud83d\ude00 \\ud800"}]')

    assert (note.lost, note.position) == (False, 0)
    assert record.text == "cut �"
    assert whole.text == "😀 \\ud800"


def test_a_broken_line_is_skipped_with_its_number():
    found = read(b'\n{"id": 1}\nnot json\n\n{"id": 2}\n')

    assert [record if isinstance(record, Record) else record.line for _, record in found] == [Record(id=1), 3, Record(id=2)]


@pytest.mark.parametrize(
    ("document", "message", "position"),
    [
        (b'[{"id": 1}, {"id": 2', _json.TRUNCATED, 20),
        (b'{"id": 1}\n{"id": ', _json.TRUNCATED, 17),
        (b'[{"id": NaN}]', _json.MALFORMED, 8),
        (b'[{"other": -Infinity}]', _json.MALFORMED, 12),
        (b'[{"id": 1},]', _json.MALFORMED, 11),
        (b'[{"id": 1} {"id": 2}]', _json.MALFORMED, 11),
        (b"[{'id': 1}]", _json.MALFORMED, 2),
        (b'[{"id": 1}] and more', _json.MALFORMED, 12),
        (b'[{"id": 1}][{"id": 2}]', _json.GLUED, 11),
        (b'[{"id": 1}]{"id": 2}]', _json.GLUED, 11),
        (b'{"id": 1}\n[{"id": 2}]', _json.GLUED, 10),
        (b'{"page": [{"id": 1}]}{"page": []}', _json.GLUED, 21),
        ('[{"text": "café"}]'.encode("latin-1"), _json.NOT_TEXT, 14),
        (b'[{"text": "caf\xed\xa0\x80"}]', _json.NOT_TEXT, 14),
    ],
)
def test_a_broken_document_is_refused_with_the_place(document, message, position):
    text = refusal(document, "page").text

    assert (text.message, text.params["position"]) == (message, position)


def test_glued_documents_are_explained():
    assert "Prowler appends when it is run twice with the same -F name" in str(refusal(b"[{}][{}]"))


@pytest.mark.parametrize("document", [b'{"page": [{"id": 1}], "page": []}', b'{"page": [{"id": 1}], "p\\u0061ge": null}'])
def test_a_list_given_twice_is_refused_as_one_would_hide_the_other(document):
    assert refusal(document, "page").text.params["key"] == "page"


@pytest.mark.parametrize("document", [b"[" * 200_000, b'[{"other": ' + b"[" * 9_999 + b"]" * 9_999 + b"}]", b'{"page": ' * 5000])
def test_a_bomb_of_brackets_is_refused(document):
    assert refusal(document, "page").text.message == _json.TOO_DEEP


def test_a_number_of_a_million_digits_costs_one_record():
    found = read(b'[{"id": ' + b"9" * 1_000_000 + b'}, {"id": 2, "other": ' + b"9" * 1_000_000 + b"}]")

    assert isinstance(found[0][1], Skipped)
    assert found[1] == (1, Record(id=2))


def test_a_value_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(_json, "LONGEST_VALUE", 1 << 20)

    assert refusal(b'[{"text": "' + b"x" * (4 << 20)).text.message == _json.TOO_LONG


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", _json.EMPTY),
        (b" \n", _json.EMPTY),
        (b"id;text", _json.NO_RECORDS),
        (b"12", _json.NO_RECORDS),
        (b'{"page": {}}', _json.NO_LIST),
    ],
)
def test_what_holds_no_records_is_refused(document, message):
    assert refusal(document, "page").text.message == message


# --- values at paths ----------------------------------------------------------------------------------------------------------


def test_select_gives_values_in_the_order_of_the_document():
    document = {
        "version": "2.1.0",
        "runs": [
            {"tool": {"id": 1, "deep": [[{"runs": []}]]}, "results": [{"id": 10}, {"id": "eleven"}, {"id": 12}]},
            {"results": None},
            {"results": [], "tool": {"id": 2}},
        ],
    }

    wanted = {"version": str, "runs.*.tool": Record, "runs.*.results.*": Record}
    found = list(_json.select(io.BytesIO(json.dumps(document).encode()), wanted))

    assert [(path, value if not isinstance(value, Skipped) else value.position) for path, value in found] == [
        (("version",), "2.1.0"),
        (("runs",), None),
        (("runs", 0, "tool"), Record(id=1)),
        (("runs", 0, "results"), None),
        (("runs", 0, "results", 0), Record(id=10)),
        (("runs", 0, "results", 1), (0, 1)),
        (("runs", 0, "results", 2), Record(id=12)),
        (("runs", 2, "results"), None),
        (("runs", 2, "tool"), Record(id=2)),
    ]


def test_select_refuses_a_second_list_of_results():
    with pytest.raises(UnreadableReport, match="given twice"):
        list(_json.select(io.BytesIO(b'{"runs": [{"results": [{}], "results": []}]}'), {"runs.*.results.*": Record}))


# --- the head of a report -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_outline_copes_with_a_head_cut_anywhere(encoding):
    head = '[{"meta": {"name": "Prowlér", "flags": [true, 2]}, "uid": 2004}, {"uid": 1, "late": 1}]'.encode(encoding)

    whole = _json.outline(head)

    assert whole == {
        "": list, "[]": dict, "[].meta": dict, "[].meta.name": "Prowlér", "[].meta.flags": list, "[].meta.flags[]": True, "[].uid": 2004,
    }  # fmt: skip
    for cut in range(len(head)):
        partial = _json.outline(head[:cut])
        assert all(whole[path] == value or path == "[].uid" for path, value in partial.items())


@pytest.mark.parametrize("head", [b"", b"\xff", b"a;b;c", b"<xml/>", b"[" * 65536, b'{"a": NaN', b"\x00\x01\x02\x03"])
def test_outline_copes_with_anything(head):
    assert _json.outline(head) is not None
