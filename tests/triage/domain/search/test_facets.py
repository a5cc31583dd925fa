"""Facets say the same from counters as from the findings themselves; folding changes no sum."""

from collections import Counter as Tally

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from tests.factories import AT as MOMENT
from tests.factories import finding
from triage.domain import search
from triage.domain.audit import recording
from triage.domain.search import facets, pages
from triage.models import CheckCounter, Counter, DailyCount, Finding

from .world import AT, World, build

COUNTED = [
    "",
    "is:open",
    "is:open severity>=high",
    "team:web,none -env:prod",
    "-(is:open account:payments-prod)",
    "provider:aws is:unowned",
    "presence:gone or status:verified",
]
COMPUTED = ["bucket", "is:overdue", "tag.env:prod -severity:low", "nothinglikeit", "check:s3_* severity:critical"]


@pytest.fixture
def world(db: None) -> World:
    return build()


def tallied(text: str, world: World) -> dict[str, dict[str, int]]:
    rows = search.findings(search.parse(text), at=AT, user=world.user, teams=world.teams).select_related(
        "team", "account", "check_ref"
    )
    names = {
        name: {choice.stored: choice.name for choice in search.FIELDS[name].choices} for name in ("severity", "status", "env")
    }
    return {
        "severity": Tally(names["severity"][row.severity] for row in rows),
        "status": Tally(names["status"][row.status] for row in rows),
        "team": Tally(row.team.slug if row.team else "none" for row in rows),
        "env": Tally(names["env"][row.environment] for row in rows),
        "account": Tally(row.account.asked for row in rows),
        "check": Tally(row.check_ref.key for row in rows),
    }


def asked(text: str, world: World, **options: int) -> dict[str, facets.Facet]:
    return facets.facets(search.parse(text), at=AT, user=world.user, teams=world.teams, **options)


@pytest.mark.parametrize("folded", [False, True])
def test_facets_add_up(world: World, folded: bool) -> None:
    with recording(actor="worker", at=AT, door="task"):
        Finding.objects.filter(status="open", presence="reported").update(severity=5)
    if folded:
        assert facets.fold_counters() > 0
    for text in COUNTED + COMPUTED:
        found = asked(text, world)

        assert {name: {value.value: value.n for value in facet.values} for name, facet in found.items()} == tallied(
            text, world
        ), text
        assert all(facet.complete for facet in found.values())
        for facet in found.values():
            assert [value.n for value in facet.values] == sorted((value.n for value in facet.values), reverse=True)


def test_what_counters_know_is_not_asked_of_findings(world: World) -> None:
    with CaptureQueriesContext(connection) as queries:
        asked("is:open team:web", world)

    assert not [query["sql"] for query in queries if "triage_finding" in query["sql"]]


def test_a_part_is_said_to_be_a_part(world: World) -> None:
    found = asked("severity>=low", world, count_to=5)

    assert {name for name, facet in found.items() if not facet.complete} == {"check"}
    assert {name for name, facet in asked("-is:muted", world, count_to=5).items() if not facet.complete} == set(found)


@pytest.mark.parametrize("count_to", [2000, 3])
def test_a_page_has_found_what_its_facets_count(world: World, count_to: int) -> None:
    for text in COMPUTED:
        page = pages.page(search.findings(search.parse(text), at=AT, user=world.user, teams=world.teams), count_to=count_to)

        found = asked(text, world, page=page)

        assert {facet.complete for facet in found.values()} == {not page.capped}, text
        if not page.capped:
            assert found == asked(text, world), text


def test_labels_are_for_people(world: World) -> None:
    found = asked("", world)

    assert {value.value: str(value.label) for value in found["team"].values}["payments"] == "Équipe Paiements"
    assert {value.value: str(value.label) for value in found["account"].values}["222222222222"] == "222222222222"
    assert {value.value: str(value.label) for value in found["severity"].values}["high"] == "High"


def test_folding_keeps_every_sum_and_nothing_twice(world: World) -> None:
    for table, columns in (
        (Counter, ("team", "account", "severity", "status", "presence", "environment")),
        (CheckCounter, ("check_ref", "team", "is_open")),
    ):
        with recording(actor="worker", at=AT, door="task"):
            Finding.objects.update(team=None, severity=1)
        before = {row[:-1]: row[-1] for row in table.objects.values_list(*columns).annotate(total=Sum("n")) if row[-1]}

        facets.fold_counters()

        rows = list(table.objects.values_list(*columns, "n"))
        assert {row[:-1]: row[-1] for row in rows} == before
        assert len(rows) == len(before)
    assert facets.fold_counters() == 0


def test_days_are_folded_with_their_seconds(db: None) -> None:
    for number in range(3):
        finding(bucket=f"b{number}", check=f"c{number}")
    row = finding(bucket="fixed")
    with recording(actor="worker", at=MOMENT, door="task"):
        Finding.objects.filter(pk=row.pk).update(status="verified", grade="proof", settled_at=MOMENT)

    facets.fold_counters()

    assert list(DailyCount.objects.filter(kind="opened").values_list("n", flat=True)) == [4]
    assert DailyCount.objects.get(kind="verified").in_time == 1
