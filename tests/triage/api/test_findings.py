"""Findings by the API."""

from datetime import timedelta

import pytest

from tests.factories import AT, finding, team
from triage.domain.rows import FIELDS
from triage.models import FindingAlias

FINDINGS = "/api/v1/findings"


@pytest.fixture
def estate(db):
    """Five findings of one check, the last the worst; two of them of team web."""
    return [
        finding(
            bucket=f"bucket-{number}",
            score=number,
            owner=team("web") if number < 2 else None,
            due_at=AT + timedelta(days=5 - number),
        )
        for number in range(5)
    ]


def ids(answer):
    return [row["id"] for row in answer.json()["results"]]


def test_a_finding_has_the_fields_of_the_command_line(caller, estate):
    answer = caller.get(f"{FINDINGS}/{estate[0]}")

    assert tuple(answer.json()) == FIELDS
    assert answer["Content-Location"] == f"{FINDINGS}/{estate[0]}"
    assert (answer.json()["team"], answer.json()["asset"]) == ("web", "arn:aws:s3:::bucket-0")


def test_the_query_of_the_page_is_the_query_of_the_api(caller, estate):
    assert ids(caller.get(FINDINGS, {"q": "team:web"})) == [str(estate[1]), str(estate[0])]
    assert ids(caller.get(FINDINGS, {"q": "équipe:web"})) == [str(estate[1]), str(estate[0])]


def test_pages_lead_to_each_other_there_and_back(caller, estate):
    first = caller.get(FINDINGS, {"limit": 2, "q": "status:open"})
    second = caller.get(first.json()["next"].removeprefix("http://testserver"))
    third = caller.get(second.json()["next"].removeprefix("http://testserver"))
    back = caller.get(third.json()["previous"].removeprefix("http://testserver"))

    assert ids(first) + ids(second) + ids(third) == [str(row) for row in estate[::-1]]
    assert ids(back) == ids(second)
    assert (first.json()["previous"], third.json()["next"]) == (None, None)
    assert first.json()["total"] == 5
    assert second["Link"] == f'<{second.json()["next"]}>; rel="next", <{second.json()["previous"]}>; rel="prev"'


def test_another_order_may_be_asked(caller, estate):
    assert ids(caller.get(FINDINGS, {"order": "newest"}))[0] == str(estate[-1])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"q": "severity>="}, ""),
        ({"q": "team:nobody-here"}, ""),
        ({"order": "random"}, "Possible: score"),
        ({"cursor": "x"}, "first page"),
        ({"cursor": "AAAA", "order": "due"}, "first page"),
        ({"limit": "1e3"}, "1 to 200"),
        ({"filter": "x"}, "There are: cursor"),
        ({"q": ["a", "b"]}, "one text"),
        ({"q": "a\0b"}, "one text"),
        ({"q": "(" * 5000}, ""),
    ],
)
def test_what_makes_no_sense_is_refused_and_never_ignored(caller, estate, asked, said):
    answer = caller.get(FINDINGS, asked)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert said in answer.json()["detail"]


def test_a_finding_that_was_merged_is_found_under_its_old_id(caller, estate):
    FindingAlias.objects.create(name="F-999999", finding=estate[0])

    answer = caller.get(f"{FINDINGS}/F-999999")

    assert (answer.json()["id"], answer["Content-Location"]) == (str(estate[0]), f"{FINDINGS}/{estate[0]}")


@pytest.mark.parametrize("number", ["F-999999", "S-1", "F-x", "F-", "9" * 18, "9" * 19])
def test_a_finding_that_does_not_exist_is_not_found(caller, number):
    assert caller.get(f"{FINDINGS}/{number}").status_code == 404


def test_a_page_costs_the_same_whatever_is_on_it(caller, estate, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        caller.get(FINDINGS, {"q": "status:open"})
