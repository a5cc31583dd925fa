"""Reports that were taken in."""

import hashlib
from datetime import timedelta

import pytest

from tests.factories import AT, change, finding
from triage.domain import evidence
from triage.domain.audit import recording
from triage.models import Scan, ScanProgress, ScanWarning, Status


def scan(state="done", *, at=AT, **columns):
    counts = {"rows": 3, "fail": 2, "passed": 1, "new": 0, "fixed": 0, "regressed": 0, "unreported": 0, "open": 2, "unchanged": 0}
    values = {
        "scanner": "prowler", "format": "Prowler CSV v5", "file_name": "report.csv", "sha256": hashlib.sha256(str(at).encode()).digest(),
        "size": 1000, "at": at, "received_at": at, "actor": "worker", "door": "task", "counts": counts if state == "done" else {},
    }  # fmt: skip
    return Scan.objects.create(state=state, declared={"zone": str(Scan.objects.count())}, **{**values, **columns})


def told(found, rows, **columns):
    """The scan changed these findings."""
    with recording(actor="worker", at=found.at, door="task", scan=found.pk):
        type(rows[0]).objects.filter(pk__in=[row.pk for row in rows]).update(**columns)


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_any_number_of_scans(client, viewer, count, django_assert_num_queries):
    for number in range(count):
        scan(at=AT + timedelta(days=number), actor=f"user:{viewer.pk}")
    client.get("/scans")

    with django_assert_num_queries(5):  # session, person, rights, scans, who brought them
        page = client.get("/scans")

    assert page.content.count(b'<li class="scan">') == count
    assert b"Vic Durand" in page.content


def test_pages_of_scans_follow_each_other(client, viewer):
    for number in range(51):
        scan(at=AT + timedelta(hours=number))

    first = client.get("/scans")
    assert first.content.count(b'<li class="scan">') == 50
    following = f"/scans?before={first.context['following']}"
    assert client.get(following).content.count(b'<li class="scan">') == 1


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "²"])
def test_an_address_that_makes_no_sense_is_the_first_page(client, viewer, before):
    scan()

    assert client.get("/scans", {"before": before}).content.count(b'<li class="scan">') == 1


def test_no_scan_yet_says_what_to_do_next(client, triager):
    assert b'href="/import"' in client.get("/scans").content


@pytest.mark.parametrize("count", [1, 3])
def test_the_diff_costs_the_same_for_any_number_of_changes(client, viewer, count, django_assert_num_queries):
    found = scan(
        counts={
            "new": 0,
            "fixed": count,
            "regressed": count,
            "unreported": count,
            "rows": 9,
            "fail": 9,
            "passed": 0,
            "open": 0,
            "unchanged": 0,
        }
    )
    fixed, back, silent = ([finding(bucket=f"{name}{number}") for number in range(count)] for name in ("fixed", "back", "silent"))
    for row in back:
        change(row, status=Status.VERIFIED, grade="proof")
    told(found, fixed, status=Status.VERIFIED, grade="proof")
    told(found, back, status=Status.OPEN, grade="")
    told(found, silent, presence="unreported")
    client.get(f"/scans/{found.pk}")

    # session, person, rights, scan, diff, what else changed, findings, warnings, scopes
    with django_assert_num_queries(9):
        page = client.get(f"/scans/{found.pk}")

    shown = {column.name: {row.pk for row in column.findings} for column in page.context["story"].columns}
    assert shown == {
        "new": set(),
        "fixed": {row.pk for row in fixed},
        "regressed": {row.pk for row in back},
        "unreported": {row.pk for row in silent},
    }


def test_what_was_not_reported_stands_apart_and_is_called_no_fix(client, viewer):
    found = scan(
        counts={
            "new": 0,
            "fixed": 0,
            "regressed": 0,
            "unreported": 1,
            "rows": 1,
            "fail": 0,
            "passed": 1,
            "open": 1,
            "unchanged": 0,
        }
    )
    told(found, [finding(bucket="silent")], presence="unreported")

    page = client.get(f"/scans/{found.pk}").content.decode()

    assert "Absence does not prove a fix" in page
    assert page.index("diff-regressed") < page.index("diff-unreported")


def test_warnings_name_their_line(client, viewer):
    found = scan(
        counts={
            "rows": 2,
            "fail": 1,
            "passed": 0,
            "new": 0,
            "fixed": 0,
            "regressed": 0,
            "unreported": 0,
            "open": 1,
            "unchanged": 0,
            "skipped": 1,
            "warnings": 1,
        }
    )
    ScanWarning.objects.create(
        scan=found,
        position="7",
        line=9,
        field="STATUS",
        lost=True,
        reason={"message": "“%(value)s” is no status.", "params": {"value": "<b>WHAT</b>"}},
    )

    page = client.get(f"/scans/{found.pk}").content.decode()

    assert "line 9" in page
    assert "“&lt;b&gt;WHAT&lt;/b&gt;” is no status." in page


def test_a_refused_report_says_why(client, viewer):
    found = scan("failed", problem={"message": "This is a PDF document.", "params": {}})

    assert b"This is a PDF document." in client.get(f"/scans/{found.pk}").content


def test_a_report_that_was_imported_before_leads_there(client, viewer):
    before = scan()
    again = scan("duplicate", duplicate_of=before)

    assert f'href="/scans/{before.pk}"'.encode() in client.get(f"/scans/{again.pk}").content


def test_progress_is_polled_and_ends_by_itself(client, viewer):
    found = scan("running", size=1000)
    ScanProgress.objects.create(scan=found, stage="reading", rows=48_210, bytes=500, at=AT)

    page = client.get(f"/scans/{found.pk}").content
    assert b'<noscript><meta http-equiv="refresh"' in page
    part = client.get(f"/scans/{found.pk}/progress", headers={"hx-request": "true"})
    assert b'value="50"' in part.content
    assert b"48,210 rows read" in part.content
    assert b"<html" not in part.content

    Scan.objects.filter(pk=found.pk).update(state="done")
    assert client.get(f"/scans/{found.pk}/progress", headers={"hx-request": "true"})["HX-Refresh"] == "true"


def test_the_original_is_given_back_as_it_came_and_never_shown(client, viewer):
    kept = evidence.keep(b"<script>alert(1)</script>", media_type="application/octet-stream", at=AT)
    found = scan(sha256=kept.sha256, file_name='"><script>alert(1)</script>.html')

    answer = client.get(f"/scans/{found.pk}/original")

    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("address", ["/scans/99", "/scans/99/progress", "/scans/99/original"])
def test_a_scan_that_does_not_exist_is_not_found(client, viewer, address):
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("address", ["/scans", "/scans/1", "/scans/1/progress", "/scans/1/original"])
def test_without_a_role_nothing_is_shown(client, stranger, address):
    scan()

    assert client.get(address).status_code == 403


def test_pages_of_a_person_are_kept_by_no_one_else(client, viewer):
    assert client.get("/scans")["Cache-Control"] == "private, no-cache"


def test_a_hostile_report_name_is_text(client, viewer):
    found = scan(file_name="<script>alert(1)</script>.csv", format="<b>x</b>", scanner="<i>", version="<u>")

    for address in ("/scans", f"/scans/{found.pk}"):
        page = client.get(address).content.decode()
        assert "<script>alert" not in page
        assert "<b>x" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in page
