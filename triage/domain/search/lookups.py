"""Small tables asked first: checks, accounts, teams and people become numbers, so that the planner knows what it is looking for.

A list of numbers is planned with the statistics of the column it is compared with; a subquery over another table is planned
blindly: measured at a million findings, the queue of one framework took 600 ms that way and 40 ms this way.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db import connection
from django.db.models import CharField, F, Func, Lookup, Model, Q, QuerySet, Value
from django.db.models.functions import Concat

from triage.domain.search import words
from triage.domain.search.tree import Operator
from triage.domain.search.tree import Value as Term
from triage.models import Asset, AssetSearch, Check

INLINE = 20  # ids in a plain IN, whose estimates and single-value plans are better; more go as one array
UNINDEXED = 5_000  # at most so many assets are found while the worker has not written their words yet
_MARK = "\x1f"  # stands in no value that is imported

_PHRASE = " <-> "
_ALL_OF = " & "


class Among(Lookup):
    """`column = ANY(array)`: one parameter, however many numbers."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} = ANY(%s::bigint[])", (*params, self.rhs)


class Like(Lookup):
    """`column ILIKE pattern`: unlike UPPER(column) = …, it is estimated from the column's statistics."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} ILIKE %s", (*params, self.rhs)


def like_pattern(text: str) -> str:
    """The text with nothing in it that LIKE takes for a wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def like(column: str, text: str, *, before: str = "", after: str = "") -> Q:
    """The column is, whatever its case, this text between `before` and `after`, which may be patterns."""
    return Q(Like(F(column), before + like_pattern(text) + after))


def among(column: str, numbers: Iterable[int]) -> Q:
    """The column is one of these."""
    found = sorted(set(numbers))
    if len(found) <= INLINE:
        return Q(**{f"{column}__in": found})
    return Q(
        Among(F(column), "{" + ",".join(map(str, found)) + "}")
    )  # a list of numbers is written one by one, which takes ten times as long


def matches(column: str, term: Term, operator: Operator) -> Q:
    """The text column is the term: exactly for EQUALS, else whatever the case; or begins with it, where it has a star."""
    if operator is Operator.EQUALS:
        return Q(**{column: term.text})
    return like(column, term.text, after="%" if term.prefix else "")


def contains(column: str, term: Term, operator: Operator) -> Q:
    """The same, but without a star the term may stand anywhere."""
    if operator is Operator.EQUALS or term.prefix:
        return matches(column, term, operator)
    return like(column, term.text, before="%", after="%")


def element_matches(column: str, term: Term, operator: Operator) -> Q:
    """One element of the array column is the term."""
    if operator is Operator.EQUALS:
        return Q(**{f"{column}__contains": [term.text]})
    elements = Func(F(column), Value(_MARK), function="array_to_string", output_field=CharField())
    joined = Concat(Value(_MARK), elements, Value(_MARK), output_field=CharField())
    return Q(Like(joined, f"%{_MARK}{like_pattern(term.text)}{'' if term.prefix else _MARK}%"))


def ids(model: type[Model], condition: Q) -> list[int]:
    """Numbers of the rows of a small table."""
    return list(QuerySet(model).filter(condition).order_by().values_list("pk", flat=True).distinct())


def types_spelled(term: Term) -> list[str]:
    """Types of assets as the reports spell them. As typed, if there is such a one: only a wrong case costs a look at all assets."""
    if Asset.objects.filter(type=term.text).exists():
        return [term.text]
    return list(Asset.objects.filter(like("type", term.text)).order_by().values_list("type", flat=True).distinct())


# --- words --------------------------------------------------------------------------------------------------------------------


def tsquery(pieces: Sequence[str], *, phrase: bool = False, prefix: bool = True, last_only: bool = False) -> str:
    """Text of a tsquery. `pieces` are words as `words.split` makes them: they hold no quote and no operator.

    `phrase`: one after the other. `prefix`: a word that begins so is enough; with `last_only`, of the last.
    """
    star = [prefix and (not last_only or place == len(pieces) - 1) for place in range(len(pieces))]
    return (_PHRASE if phrase else _ALL_OF).join(
        f"'{piece}'{':*' if starred else ''}" for piece, starred in zip(pieces, star, strict=True)
    )


def search(query: str) -> SearchQuery:
    """The tsquery as an expression."""
    return SearchQuery(query, config="simple", search_type="raw")


def checks_with(query: str) -> list[int]:
    """Checks whose key and title have the words."""
    return ids(Check, Q(words=search(query)))


def assets_with(query: str, most: int) -> list[int] | None:
    """Indexed assets that have the words, or None when they are more than `most`."""
    with connection.cursor() as cursor:
        cursor.execute(  # one text: thousands of rows of one number each take longer to read than to find
            "SELECT coalesce(string_agg(asset_id::text, ','), '') FROM (SELECT asset_id FROM triage_assetsearch"
            " WHERE words @@ to_tsquery('simple', %s) LIMIT %s) found",
            [query, most + 1],
        )
        (text,) = cursor.fetchone()
    found = [int(number) for number in text.split(",")] if text else []
    return found if len(found) <= most else None


def unindexed_with(query: str, longest: str) -> list[int]:
    """Assets of the newest imports whose words the worker has not written yet, and which have these. Usually there are none.

    `longest`: one of the words, by which most assets are left out before their words are computed.
    """
    names = ", ".join(words.ASSET_COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH newest AS MATERIALIZED (SELECT a.id FROM {words.ASSETS} WHERE a.id > (SELECT coalesce(max(asset_id), 0)"
            f" FROM triage_assetsearch) AND concat_ws(' ', {names}) ILIKE %s ORDER BY a.id DESC LIMIT %s)"
            f" SELECT a.id FROM {words.ASSETS} JOIN newest n ON n.id = a.id"
            f" WHERE {words.vector_sql(words.ASSET_COLUMNS)} @@ to_tsquery('simple', %s)",
            [f"%{longest}%", UNINDEXED, query],
        )
        return [number for (number,) in cursor.fetchall()]


def unindexed_exist() -> bool:
    """Whether there are assets above the newest indexed one."""
    newest = Asset.objects.order_by("-pk").values_list("pk", flat=True).first()
    indexed = AssetSearch.objects.order_by("-pk").values_list("pk", flat=True).first()
    return newest is not None and newest > (indexed or 0)
