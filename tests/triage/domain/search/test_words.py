"""Identifiers are split the same way in the index and in a question; the worker catches up by itself."""

import random

import pytest
from django.db import connection

from tests.factories import finding
from triage.domain import search
from triage.domain.search import lookups, words
from triage.models import AssetSearch

from .world import AT


def lexemes(text: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lexeme FROM (SELECT %s::text AS t) x, unnest(" + words.vector_sql(["t"]) + ") u(lexeme, positions, weights), "
            "unnest(positions) p ORDER BY p",
            [text],
        )
        return [lexeme for (lexeme,) in cursor.fetchall()]


def test_the_database_splits_as_we_do(db: None) -> None:
    rng = random.Random(5)
    for _ in range(300):
        text = "".join(rng.choice("ab1e5x09Zé_-./:@% =,;()[]{}<>|\\\"'`#&*+?!~^$\t") for _ in range(rng.randrange(1, 25)))

        assert lexemes(text) == [word.lower() for word in words.split(text)], text


@pytest.mark.parametrize(
    "text", ["it's", "a & b", "a | !b", "x:*", "<->", "a\\'b", "½ ²", "(", "'", "\u200b", "漢字", "ﬁ", "a" * 500, "é" * 500]
)
def test_no_word_breaks_a_question(db: None, text: str) -> None:
    search.findings(search.parse(search.tree.quoted(text)), at=AT).exists()
    for piece in words.split(text):
        lookups.checks_with(lookups.tsquery([piece]))


def test_a_very_long_name_is_indexed_as_far_as_it_goes(db: None) -> None:
    row = finding(bucket="first " + "x" * 5_000 + " y" * 700_000)

    assert words.index_assets() == 1
    assert search.findings(search.parse("first"), at=AT).get() == row


def test_the_worker_writes_what_is_missing_in_portions(db: None) -> None:
    for number in range(5):
        finding(bucket=f"bucket-{number}", check=f"check_{number}")

    assert [words.index_assets(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert AssetSearch.objects.count() == 5


def test_renamed_assets_are_found_by_their_new_names(db: None) -> None:
    row, other = finding(bucket="old-name"), finding(bucket="other")
    words.index_assets()

    type(row.asset).objects.filter(pk=row.asset_id).update(name="fresh", uid="arn:aws:s3:::fresh")
    words.forget(assets=[row.asset_id])
    assert words.index_assets() == 1

    assert search.findings(search.parse("fresh"), at=AT).get() == row
    assert not search.findings(search.parse('"old name"'), at=AT).exists()
    type(row.account).objects.update(name="Renamed")
    words.forget(accounts=[row.account_id])
    assert words.index_assets() == 2
    assert set(search.findings(search.parse("renamed"), at=AT)) == {row, other}
