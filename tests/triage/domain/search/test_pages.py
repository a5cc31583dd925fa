"""Pages follow each other without a gap and without a repetition, in every order, in both directions, whatever the plan."""

import base64
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import change
from triage.domain import search
from triage.domain.errors import Invalid
from triage.domain.search import pages
from triage.models import Finding

from .world import AT, World, build


@pytest.fixture
def world(db: None) -> World:
    return build()


def everything():
    return search.findings(search.parse(""), at=AT)


SORTED = {
    "score": lambda row: (-row.score, row.pk),
    "due": lambda row: (row.due_at is None, row.due_at and row.due_at.timestamp(), row.pk),
    "newest": lambda row: -row.pk,
    "severity": lambda row: (-row.severity, -row.score, row.pk),
}


@pytest.mark.parametrize("order", pages.ORDERS)
def test_there_and_back(world: World, order: str) -> None:
    for count_to in (10, 1000):  # walked along the index, sorted
        for size in (1, 7, 50):
            there_and_back(order, count_to, size)


def there_and_back(order: str, count_to: int, size: int) -> None:
    wanted = [row.pk for row in sorted(Finding.objects.all(), key=SORTED[order])]
    there, cursor = [], None
    while True:
        page = pages.page(everything(), order, cursor, size, count_to=count_to)
        there.append([row.pk for row in page.items])
        assert (page.previous is None) == (cursor is None)
        assert (page.total, page.capped) == ((10, True) if count_to == 10 else (48, False))
        if page.next is None:
            break
        cursor = page.next
    back = [there[-1]]
    while page.previous:
        page = pages.page(everything(), order, page.previous, size, count_to=count_to)
        back.append([row.pk for row in page.items])
        assert page.next

    assert [pk for page in there for pk in page] == wanted
    assert back[::-1] == there


def test_a_page_stays_where_it_is_while_rows_come_and_go(world: World) -> None:
    first = pages.page(everything(), "score", size=5)
    rest = [row.pk for row in pages.page(everything(), "score", first.next, size=50).items]

    change(first.items[1], score=-1)
    change(first.items[4], score=1000)  # the row that the cursor was made of

    found = [row.pk for row in pages.page(everything(), "score", first.next, size=50).items]
    assert found == [*rest, first.items[1].pk]


def test_the_number_of_statements_does_not_depend_on_the_rows(world: World) -> None:
    def asked(size: int, order: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            for row in pages.page(everything(), order, size=size).items:
                assert (row.check_ref.title, row.asset.name, row.account.name, row.team and row.team.name) is not None
        return len(queries)

    assert [asked(2, order) for order in pages.ORDERS] == [asked(40, order) for order in pages.ORDERS] == [3, 3, 3, 3]


def test_nothing_is_a_page_too(world: World) -> None:
    nothing = search.findings(search.parse("nothinglikeit"), at=AT)

    assert pages.page(nothing, "due") == pages.Page([], None, None, [], capped=False)


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "%%%", "ä", "=" * 9, forged(), forged("score"), forged("score", True, 1), forged("score", True, 1, 2, 3),
        forged("score", 1, 1, 2), forged("newest", True, 1), forged("score", True, "1", 2), forged("score", True, 1.5, 2),
        forged("score", True, None, 2), forged("score", True, 2**63, 2), forged("score", True, [1], 2), forged("score", True, True, 2),
        base64.b64encode(b"[" * 500).decode(), base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b'"score"').decode(),
        base64.b64encode(b"1" * 5000).decode(),
    ],
)  # fmt: skip
def test_a_damaged_cursor_is_said_to_be_one(db: None, cursor: str) -> None:
    with pytest.raises(Invalid, match="Begin with the first page"):
        pages.page(everything(), "score", cursor)


@pytest.mark.parametrize("moment", ["2026-01-01", "x", 5, "2026-01-01T00:00:00"])
def test_a_damaged_moment_too(db: None, moment: object) -> None:
    with pytest.raises(Invalid, match="Begin with the first page"):
        pages.page(everything(), "due", forged("due", True, moment, 2))


def test_an_order_that_does_not_exist(db: None) -> None:
    with pytest.raises(Invalid, match="no sort order “colour”"):
        pages.page(everything(), "colour")
