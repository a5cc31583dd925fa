"""Bringing a report by the API."""

import gc
import hashlib
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.factories import person
from tests.triage.api.conftest import Caller
from triage import tasks
from triage.models import Event, IdempotencyKey, Scan

IMPORTS = "/api/v1/imports"
REPORT = Path(__file__).parents[2].joinpath("samples/prowler/v5.46.csv").read_bytes()


def form(content=b"not a report", name="report.csv", **fields):
    return {"file": SimpleUploadedFile(name, content), **fields}


def test_a_report_is_kept_and_answered_at_once_with_the_job_to_poll(caller, nudges, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = caller.post(IMPORTS, form(b"anything", zone="Asia/Tokyo", complete="true", mapping='{"check": "rule"}'))

    scan = Scan.objects.get()
    job = answer.json()
    assert (answer.status_code, answer["Location"]) == (202, f"{IMPORTS}/S-{scan.pk}")
    assert (job["id"], job["state"], job["file_name"]) == (f"S-{scan.pk}", "received", "report.csv")
    assert job["sha256"] == hashlib.sha256(b"anything").hexdigest()
    assert job["declared"] == scan.declared == {"zone": "Asia/Tokyo", "complete": True, "mapping": {"check": "rule"}}
    assert nudges == [("triage.tasks.run_import", scan.pk)]


def test_what_was_brought_bears_the_tokens_name_not_the_persons(caller, nudges):
    caller.post(IMPORTS, form())

    event = Event.objects.get(kind="received")
    assert (event.actor, event.door) == (f"token:{caller.token.pk}", "api")
    assert Scan.objects.get().actor == event.actor


def test_the_body_may_be_the_report_itself(caller, nudges):
    answer = caller.post(f"{IMPORTS}?name=nightly.csv&category=nightly", b"a;b", content_type="text/csv; charset=utf-8")

    assert answer.status_code == 202
    assert (answer.json()["file_name"], answer.json()["size"], answer.json()["declared"]) == (
        "nightly.csv",
        3,
        {"category": "nightly"},
    )


def test_the_job_tells_what_became_of_it_and_the_same_bytes_change_nothing(caller, nudges):
    first = caller.post(IMPORTS, form(REPORT, "prowler.csv")).json()
    waiting = caller.get(f"{IMPORTS}/{first['id']}")
    tasks.run_import(Scan.objects.get().pk)
    done = caller.get(f"{IMPORTS}/{first['id']}")
    second = caller.post(IMPORTS, form(REPORT, "again.csv")).json()
    tasks.run_import(Scan.objects.latest("pk").pk)
    again = caller.get(f"{IMPORTS}/{second['id'].removeprefix('S-')}").json()

    assert waiting["Retry-After"] == "2"
    assert "Retry-After" not in done.headers
    assert (done.json()["state"], done.json()["scanner"]) == ("done", "prowler")
    assert done.json()["counts"]["new"] > 0
    assert (again["state"], again["duplicate_of"], again["counts"]["new"]) == ("duplicate", first["id"], 0)


def test_a_refusal_is_told_in_the_callers_language(caller, nudges):
    job = caller.post(IMPORTS, form(b"%PDF-1.7", "report.csv")).json()
    tasks.run_import(Scan.objects.get().pk)

    told = caller.get(f"{IMPORTS}/{job['id']}").json()

    assert told["state"] == "failed"
    assert told["problem"].startswith("This is a PDF document.")


def test_the_list_pages_from_the_newest(caller, nudges):
    for number in range(3):
        caller.post(IMPORTS, form(str(number).encode(), f"{number}.csv"))

    first = caller.get(IMPORTS, {"limit": 2})
    second = caller.get(first.json()["next"].removeprefix("http://testserver"))

    assert [job["file_name"] for job in first.json()["results"]] == ["2.csv", "1.csv"]
    assert first["Link"] == f'<{first.json()["next"]}>; rel="next"'
    assert [job["file_name"] for job in second.json()["results"]] == ["0.csv"]
    assert second.json()["next"] is None


def test_listing_costs_the_same_whatever_is_listed(caller, nudges, django_assert_max_num_queries):
    for number in range(8):
        caller.post(IMPORTS, form(str(number).encode()))

    with django_assert_max_num_queries(6):
        caller.get(IMPORTS)


# --- what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "pointer", "said"),
    [
        ({"zone": "Mars\nOlympus"}, "#/zone", "one line"),
        ({"branch": "b" * 301}, "#/branch", "at most 300"),
        ({"complete": "perhaps"}, "#/complete", "true or false"),
        ({"mapping": "{"}, "#/mapping", "not valid JSON"),
        ({"mapping": "[1]"}, "#/mapping", "JSON object"),
        ({"mapping": '{"check": NaN}'}, "#/mapping", "not valid JSON"),
        ({"mapping": '{"check": "\\u0000"}'}, "#/mapping", "JSON object"),
        ({"mapping": '{"check": "\\ud800"}'}, "#/mapping", "not valid JSON"),
        ({"mapping": "[" * 100_000}, "#/mapping", "not valid JSON"),
        ({"account": "1\x002"}, "#/account", "one line"),
        ({"acount": "1"}, "#/acount", "There are: complete"),
        ({"zone": ["UTC", "UTC"]}, "#/zone", "one text"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(caller, fields, pointer, said):
    answer = caller.post(IMPORTS, form(**fields))

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert said in answer.json()["detail"]
    assert not Scan.objects.exists()


def test_a_time_zone_that_does_not_exist_is_refused_before_anything_is_kept(caller):
    answer = caller.post(IMPORTS, form(zone="Mars/Olympus"))

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not Scan.objects.exists()


@pytest.mark.parametrize("data", [{}, {"zone": "UTC"}, {"report": "x"}])
def test_a_form_without_a_report_says_which_field_lacks(caller, data):
    assert caller.post(IMPORTS, data).json()["code"] == "invalid"


def test_two_reports_are_not_one(caller):
    answer = caller.post(IMPORTS, {"file": [SimpleUploadedFile("a", b"1"), SimpleUploadedFile("b", b"2")]})

    assert answer.json()["errors"][0]["pointer"] == "#/file"


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/html", "multipart/mixed; boundary=x", "application/xml", "nonsense", ""]
)
def test_a_body_of_another_kind_is_refused_with_the_kinds_that_are_read(caller, kind):
    answer = caller.post(IMPORTS, b"a=b", content_type=kind)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert "multipart/form-data" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=é", b"x"),
        ("multipart/form-data; boundary=x", b"no part at all"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="zone"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n--x--\r\n',
        ),
    ],
)
def test_a_broken_form_is_the_callers_problem(caller, kind, body):
    answer = caller.post(IMPORTS, body, content_type=kind)

    assert answer.status_code == 400
    assert not Scan.objects.exists()


def test_a_report_above_the_limit_is_refused_before_it_is_read(caller, settings):
    settings.REPORT_MAX_BYTES = 1000
    announced = caller.post(IMPORTS, b"x", content_type="text/csv", CONTENT_LENGTH=str(10**10))
    sent = caller.post(IMPORTS, form(b"x" * 1001))
    raw = caller.post(IMPORTS, b"x" * 1001, content_type="application/json")

    assert {answer.status_code for answer in (announced, sent, raw)} == {413}
    assert sent.json()["detail"] == "The report is larger than the limit of 1000 bytes."
    assert not Scan.objects.exists()


def test_a_body_of_unknown_length_is_refused(caller):
    answer = caller.post(IMPORTS, b"", content_type="text/csv", headers={"Transfer-Encoding": "chunked"}, CONTENT_LENGTH="")

    assert (answer.status_code, answer.json()["code"]) == (411, "length-required")


class Sending(io.RawIOBase):
    """A body that is made while it is sent: `size` bytes, of which no more than `sent` arrive."""

    def __init__(self, size, sent=None, head=b"", tail=b""):
        self.size = len(head) + size + len(tail)
        self.left = [head, size if sent is None else sent, tail]

    def read(self, wanted=-1):
        head, rows, tail = self.left
        if head:
            self.left[0] = head[wanted:]
            return head[:wanted]
        if rows:
            block = min(wanted, rows)
            self.left[1] -= block
            return b"x" * block
        self.left[2] = tail[wanted:]
        return tail[:wanted]


def sent(caller, stream, kind):
    """The answer to a body that is nowhere in memory: straight through WSGI, past the test client, which would hold it."""
    environ = {
        **caller.client._base_environ(), "REQUEST_METHOD": "POST", "PATH_INFO": IMPORTS, "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(stream.size), "HTTP_AUTHORIZATION": f"Bearer {caller.secret}", "wsgi.input": stream,
    }  # fmt: skip
    told = []
    for signal in (request_started, request_finished):  # the test's connection has to outlive the request
        signal.disconnect(close_old_connections)
    try:
        answer = WSGIHandler()(environ, lambda status, _headers: told.append(int(status[:3])))
        body = b"".join(answer)
        answer.close()
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
    return told[0], json.loads(body)


def test_a_body_that_was_cut_off_is_not_imported(caller, settings):
    status, problem = sent(caller, Sending(1000, sent=10), "text/csv")

    assert (status, problem["code"]) == (400, "unreadable")
    assert not Scan.objects.exists()
    assert list(Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


def test_a_character_set_that_does_not_exist_is_the_callers_problem(caller):
    head = b'--x\r\nContent-Disposition: form-data; name="zone"\r\n\r\nUTC\r\n--x--\r\n'

    status, _problem = sent(caller, Sending(0, head=head), "multipart/form-data; boundary=x; charset=klingon")

    assert status == 400


def test_a_form_that_was_cut_off_is_not_imported(caller, settings):
    head = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'

    status, problem = sent(caller, Sending(10**6, sent=2 * 10**5, head=head), "multipart/form-data; boundary=bound")

    assert (status, problem["code"]) == (400, "invalid")
    assert not Scan.objects.exists()
    gc.collect()
    assert list(Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


@pytest.mark.parametrize("way", ["form", "body"])
def test_a_large_report_never_stands_in_memory(caller, nudges, way):
    size = 30 * 2**20
    head, tail = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n', b"\r\n--x--\r\n"
    stream = Sending(size, head=head, tail=tail) if way == "form" else Sending(size)

    tracemalloc.start()
    status, job = sent(caller, stream, "multipart/form-data; boundary=x" if way == "form" else "text/csv")
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (status, job["size"]) == (202, size)
    assert peak < 6 * 2**20


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/cron.d/x", "x"),
        ("a." + "b" * 400, "a." + "b" * 198),
        ("<script>alert(1)</script>.csv", "script>.csv"),
        ("re\u202evsc.exe", "revsc.exe"),
        ("日本" * 110, "日本" * 100),
        ("=cmd|' /C calc'!A0.csv", " C calc'!A0.csv".strip()),
    ],
)
@pytest.mark.parametrize("way", ["form", "body"])
def test_a_hostile_name_is_only_a_name(caller, nudges, settings, name, kept, way):
    if way == "form":
        body = (
            f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\nrows\r\n--x--\r\n'.encode(),
            "multipart/form-data; boundary=x",
        )
        answer = caller.post(IMPORTS, body[0], content_type=body[1])
    else:
        answer = caller.post(IMPORTS, b"rows", content_type="text/csv", query_params={"name": name})

    assert answer.status_code == 202, answer.content
    assert answer.json()["file_name"] == kept
    assert list(Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "///"])
def test_a_name_that_says_nothing_is_replaced(caller, nudges, name):
    answer = caller.post(IMPORTS, b"rows", content_type="text/csv", query_params={"name": name})

    assert answer.json()["file_name"] == "report"


def test_a_nul_in_the_address_is_refused(caller):
    assert caller.post(f"{IMPORTS}?name=a%00b", b"rows", content_type="text/csv").status_code == 400
    assert caller.get(f"{IMPORTS}?cursor=%00").status_code == 400


@pytest.mark.parametrize(
    "asked", [{"cursor": "x"}, {"cursor": "9" * 30}, {"cursor": "²"}, {"limit": "0"}, {"limit": "201"}, {"page": "2"}]
)
def test_a_list_asked_wrongly_says_which_parameter(caller, asked):
    answer = caller.get(IMPORTS, asked)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == next(iter(asked))


@pytest.mark.parametrize("number", ["999", "S-999", "F-1", "S-0", "x", "9" * 18])
def test_a_job_that_does_not_exist_is_not_found(caller, number):
    assert caller.get(f"{IMPORTS}/{number}").status_code == 404


# --- the same request twice ---------------------------------------------------------------------------------------------------


def test_the_same_key_with_the_same_request_is_done_once_and_answered_the_same(
    caller, nudges, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        answers = [caller.post(IMPORTS, form(zone="UTC"), headers={"Idempotency-Key": key}) for key in ("k1", '"k1"', "k1")]

    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert len({answer["Location"] for answer in answers}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true", "true"]
    assert (Scan.objects.count(), len(nudges)) == (1, 1)


@pytest.mark.parametrize(
    "other", [form(b"other bytes"), form(name="other.csv"), form(zone="UTC")], ids=["bytes", "name", "fields"]
)
def test_the_same_key_with_another_request_is_refused(caller, nudges, other):
    caller.post(IMPORTS, form(), headers={"Idempotency-Key": "k1"})

    answer = caller.post(IMPORTS, other, headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")
    assert Scan.objects.count() == 1


def test_two_tokens_may_use_the_same_key(caller, nudges):
    other = Caller(person("ben@example.com", "triager"))
    for one in (caller, other):
        assert one.post(IMPORTS, form(), headers={"Idempotency-Key": "k1"}).status_code == 202

    assert Scan.objects.count() == 2


def test_what_was_refused_leaves_the_key_free(caller, nudges):
    refused = caller.post(IMPORTS, form(zone="Mars/Olympus"), headers={"Idempotency-Key": "k1"})
    corrected = caller.post(IMPORTS, form(zone="UTC"), headers={"Idempotency-Key": "k1"})

    assert (refused.status_code, corrected.status_code) == (400, 202)


@pytest.mark.parametrize("key", ["x" * 256, '""', "clé"])
def test_a_key_that_is_none_is_refused(caller, key):
    assert caller.post(IMPORTS, form(), headers={"Idempotency-Key": key}).status_code == 400
    assert not IdempotencyKey.objects.exists()


def test_without_a_queue_the_report_is_accepted_all_the_same(caller, monkeypatch, django_capture_on_commit_callbacks):
    def down(*_task):
        raise ConnectionError("redis is down")

    monkeypatch.setattr("triage.api.imports.async_task", down)
    with django_capture_on_commit_callbacks(execute=True):
        answer = caller.post(IMPORTS, form())

    assert answer.status_code == 202
    assert Scan.objects.get().state == "received"
