"""Findings as rows: what they were last seen by, whose they are and why, how their clock stands."""

import hashlib
from datetime import UTC, timedelta

import pytest
from django.utils.translation import override

from tests.factories import ACCOUNT, AT, change, digest, finding, team
from triage.domain.rows import FIELDS, SLA, rows
from triage.domain.search import findings, parse
from triage.models import Account, Check, CheckSet, CodePlace, CodeStream, Finding, OwnerTrail, Scan, ScanScope

DAY = timedelta(days=1)


def row_of(one, at=AT):
    (row,) = rows([Finding.objects.get(pk=one.pk)], at=at)
    return row


def scope(at, *, checks=("s3_bucket_public_access",), regions=("eu-west-1",), complete=True, stream=None):
    """A scan that looked at these checks in these regions."""
    ids = sorted(Check.objects.filter(key__in=checks).values_list("pk", flat=True))
    name = hashlib.blake2b(str(ids).encode(), digest_size=16).digest()
    check_set = None if stream else CheckSet.objects.get_or_create(digest=name, defaults={"checks": ids})[0]
    scan = Scan.objects.create(
        state="done", sha256=digest(at, checks, regions) * 2, size=1, received_at=at, actor="worker", door="task"
    )
    return ScanScope.objects.create(
        scan=scan, scanner="prowler", account=Account.objects.get(uid=ACCOUNT), check_set=check_set, stream=stream, regions=list(regions),
        complete=complete, at=at,
    )  # fmt: skip


def test_a_row_says_everything_plainly(db):
    row = row_of(finding(owner=team("web"), environment="prod"))

    assert tuple(row) == FIELDS
    assert {name: value for name, value in row.items() if name != "id"} == {
        "status": "open", "presence": "reported", "severity": "critical", "check": "s3_bucket_public_access",
        "title": "S3 bucket is not publicly accessible", "asset": "arn:aws:s3:::acme-public-assets", "account": ACCOUNT,
        "region": "eu-west-1", "environment": "prod", "team": "web", "owner_reason": "No rule names a team.",
        "first_seen": "2026-11-21T10:00:00Z", "last_seen": "2026-11-21T10:00:00Z", "due_at": "2026-11-24T10:00:00Z", "sla": "ok",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("about", "seen"),
    [
        ({}, True),
        ({"complete": False}, False),
        ({"checks": ("another_check",)}, False),
        ({"regions": ("us-east-1",)}, False),
        ({"regions": ()}, True),
        ({"regions": ("us-east-1", "eu-west-1")}, True),
    ],
)
def test_a_reported_finding_was_seen_by_the_newest_complete_scan_that_covers_it(db, about, seen):
    one = finding()
    scope(AT + DAY, **about)

    assert row_of(one)["last_seen"] == ("2026-11-22T10:00:00Z" if seen else "2026-11-21T10:00:00Z")


def test_of_several_scans_the_newest_that_covers_counts_whatever_came_later(db):
    one = finding()
    scope(AT + 2 * DAY)
    scope(AT + DAY)
    scope(AT + 3 * DAY, checks=("another_check",))

    assert row_of(one)["last_seen"] == "2026-11-23T10:00:00Z"


def test_a_finding_of_a_global_service_is_seen_from_every_region(db):
    one = finding(region="")
    scope(AT + DAY, regions=("us-east-1",))

    assert row_of(one)["last_seen"] == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize("left", [{"presence": "unreported"}, {"presence": "gone"}, {"status": "verified", "grade": "proof"}])
def test_what_left_the_report_keeps_when_it_was_last_there(db, left):
    one = change(finding(), **left)
    scope(AT + DAY)

    assert row_of(one)["last_seen"] == "2026-11-21T10:00:00Z"


def test_code_is_seen_by_runs_of_its_own_stream_alone(db):
    one = finding()
    account = Account.objects.get(uid=ACCOUNT)
    main, other = (CodeStream.objects.create(scanner="prowler", account=account, branch=branch) for branch in ("main", "other"))
    CodePlace.objects.create(finding=one, stream=main, path="a.py", text_hash=bytes(16), context_hash=bytes(16))
    scope(AT + 2 * DAY, stream=other, regions=())
    assert row_of(one)["last_seen"] == "2026-11-21T10:00:00Z"

    scope(AT + DAY, stream=main, regions=())

    assert row_of(one)["last_seen"] == "2026-11-22T10:00:00Z"


def step(result, message, **params):
    return {"rule": 1, "kind": "tag", "name": "tags", "result": result, "why": {"message": message, "params": params}}


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (
            [step("skipped", "no tag"), step("no team", "says %(v)s", v="x"), step("matched", "is %(v)s", v="100% web")],
            "is 100% web",
        ),
        ([step("skipped", "no tag"), step("no team", "says %(v)s", v="x"), step("no team", "b")], "says x"),
        ([step("skipped", "no tag")], "No rule names a team."),
        ([], "No rule names a team."),
    ],
)
def test_the_reason_is_what_the_deciding_step_said(db, steps, reason):
    trail = OwnerTrail.objects.create(digest=digest("trail"), steps=steps)

    assert row_of(change(finding(), trail=trail))["owner_reason"] == reason


def test_the_reason_speaks_the_readers_language(db):
    one = finding()

    with override("fr"):
        assert row_of(one)["owner_reason"] == "Aucune règle ne nomme d’équipe."


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"due_at": None}, "none"),
        ({"due_at": AT - DAY}, "overdue"),
        ({"due_at": AT}, "due_soon"),
        ({"due_at": AT + 3 * DAY}, "ok"),
        ({"due_at": AT - DAY, "paused_at": AT}, "paused"),
        ({"status": "accepted"}, "stopped"),
        ({"status": "verified", "grade": "proof", "settled_at": AT}, "stopped"),
        ({"presence": "gone", "settled_at": AT}, "stopped"),
        ({"status": "manual", "due_at": None}, "none"),
    ],
)
def test_the_clock_is_told_as_the_search_tells_it(db, columns, state):
    one = finding(**{"due_at": AT + DAY, **columns})

    assert row_of(one)["sla"] == state
    assert state in SLA
    asked = "none" if state == "stopped" else state
    assert findings(parse(f"sla:{asked}"), at=AT).get() == one


def test_statements_do_not_grow_with_rows(db, django_assert_max_num_queries):
    for number in range(30):
        finding(bucket=f"bucket-{number}", check=f"check-{number % 7}", owner=team(f"team-{number % 5}"))
        scope(AT + number * DAY, checks=tuple(f"check-{n}" for n in range(7)))

    with django_assert_max_num_queries(9):
        told = list(rows(Finding.objects.order_by("-pk"), at=AT))

    assert len(told) == 30
    assert told[0]["id"] > told[-1]["id"]
    assert {row["last_seen"] for row in told} == {(AT + 29 * DAY).astimezone(UTC).isoformat().replace("+00:00", "Z")}
