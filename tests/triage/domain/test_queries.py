"""Long reads: a finding's story, a scan's diff, who is who."""

from datetime import timedelta

import pytest
from django.db import connection

from tests.factories import AT, change, finding, person, team
from triage.domain import queries
from triage.domain.audit import recording
from triage.domain.errors import NotFound
from triage.domain.queries import TooLong, Who
from triage.models import CheckSet, Event, Finding, FindingAlias, Member, Scan, ScanScope, Status

pytestmark = pytest.mark.django_db


def scan(day=0, **counts):
    at = AT + timedelta(days=day)
    return Scan.objects.create(
        state="done", scanner="prowler", sha256=b"x", size=1, declared={"n": Scan.objects.count()}, at=at, received_at=at, actor="worker",
        door="task", counts=counts,
    )  # fmt: skip


def scope(found, row, *, checks=None, regions=("eu-west-1",), complete=True):
    checks = [row.check_ref_id] if checks is None else checks
    check_set = CheckSet.objects.get_or_create(digest=str(checks).encode()[:16], defaults={"checks": checks})[0]
    return ScanScope.objects.create(
        scan=found,
        scanner="prowler",
        account=row.account,
        check_set=check_set,
        regions=list(regions),
        complete=complete,
        at=found.at,
    )


def by(found, row, **columns):
    with recording(actor="worker", at=found.at, door="task", scan=found.pk):
        Finding.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()


def test_a_retired_number_finds_what_it_was_merged_into():
    row = finding()
    FindingAlias.objects.create(finding=row, name="F-000999")

    assert queries.finding(999) == row
    with pytest.raises(NotFound, match="F-000998"):
        queries.finding(998)


def test_each_scan_that_covered_it_says_what_it_saw():
    row = finding()
    scans = [scan(day) for day in range(5)]
    for found in scans:
        scope(found, row)
    by(scans[1], row, presence="unreported")
    by(scans[2], row, presence="reported")
    by(scans[3], row, status=Status.VERIFIED, grade="proof")

    story = queries.story(queries.finding(row.pk))

    assert [(one.scan, one.said) for one in story.occurrences] == list(
        zip(scans[::-1], ["fixed", "fixed", "reported", "unreported", "reported"], strict=True)
    )


def test_a_scan_that_looked_elsewhere_or_not_at_all_says_nothing():
    row = finding()
    scope(scan(1), row, checks=[0])
    scope(scan(2), row, regions=["us-east-1"])
    scope(scan(3), row, complete=False)
    scope(scan(-9), row)

    story = queries.story(row)

    assert story.occurrences == []
    assert story.last_seen == row.last_seen


def test_an_unchanged_finding_was_seen_by_the_newest_scan_that_covers_it():
    row = finding()
    scope(scan(4), row)

    assert queries.story(row).last_seen == AT + timedelta(days=4)

    change(row, presence="unreported")
    assert queries.story(row).last_seen == AT


def test_a_regression_says_how_long_the_fix_held_and_who_had_claimed_it():
    ana = person(name="Ana")
    row = finding()
    with recording(actor=ana.actor, at=AT, door="page"):
        Finding.objects.filter(pk=row.pk).update(status=Status.FIX_CLAIMED)
    by(scan(1), row, status=Status.VERIFIED, grade="proof")
    by(scan(11), row, status=Status.OPEN, grade="")

    regression = queries.story(row).timeline[0]

    assert (regression.kind, regression.held, regression.fixed_by) == ("regressed", timedelta(days=10), Who("user", "Ana"))


def test_owners_in_the_story_are_teams_and_not_numbers():
    row = finding(owner=team("web"))
    change(row, team=team("data"))

    moment = queries.story(row).timeline[0]

    assert (moment.before["team"].slug, moment.after["team"].slug) == ("web", "data")


@pytest.mark.parametrize("dense", [True, False])
def test_the_diff_shows_the_worst_first(monkeypatch, dense):
    monkeypatch.setattr(queries, "DENSE", 1 if dense else 99)
    found = scan(new=3)
    rows = [finding(bucket=f"b{number}", score=number, first_scan=found) for number in range(3)]
    with recording(actor="worker", at=AT, door="task", scan=found.pk):
        Event.objects.bulk_create(
            Event(subject="finding", subject_id=row.pk, seq=9, kind="opened", actor="worker", door="task", scan=found.pk, at=AT)
            for row in rows
        )

    new = queries.scan_story(found).columns[0]

    assert (new.name, new.findings, new.rest) == ("new", rows[::-1], 0)


def test_a_long_diff_is_shown_in_part(monkeypatch):
    monkeypatch.setattr(queries, "DIFF_SHOWN", 2)
    found = scan(fixed=3)
    for number in range(3):
        by(found, finding(bucket=f"b{number}"), status=Status.VERIFIED, grade="proof")

    fixed = queries.scan_story(found).columns[1]

    assert (len(fixed.findings), fixed.rest) == (2, 1)


def test_actors_are_people_tokens_and_machines():
    ana = person(name="Ana")

    assert queries.who([ana.actor, "user:999", "worker", "os:0", "token:7"]) == {
        ana.actor: Who("user", "Ana"), "user:999": Who("user"), "worker": Who("worker"), "os:0": Who("os"), "token:7": Who("token")
    }  # fmt: skip


def test_own_teams_are_those_of_membership_and_of_contribution():
    ana = person("ana@example.com", "contributor", of=team("web"))
    Member.objects.create(team=team("data"), email="ANA@example.com")
    Member.objects.create(team=team("ml"), email="bob@example.com")

    assert queries.own_teams(ana) == {team("web").pk, team("data").pk}


def test_patience_ends():
    with pytest.raises(TooLong, match="too long"), queries.patience(1), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3)")

    with connection.cursor() as cursor:  # and is over afterwards
        cursor.execute("SELECT 1")
