"""How many findings of a query have which severity, status, team …: from counters where they know enough, else counted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet, Sum
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from triage.domain.search.asking import NotCounted, Viewer
from triage.domain.search.compiler import condition
from triage.domain.search.fields import FIELDS, NONE
from triage.domain.search.lookups import among
from triage.domain.search.pages import Page
from triage.domain.search.tree import Query
from triage.models import Account, Check, CheckCounter, Counter, Finding, Team
from triage.models.account import UNNAMED

COUNTED = 10_000
SHOWN = 20  # accounts and checks; of the others there are few

_FIELDS = ("severity", "status", "team", "env", "account", "check")
_OF_COUNTER = {"severity": "severity", "status": "status", "team": "team", "env": "environment", "account": "account"}
_OF_FINDING = {
    "severity": "severity", "status": "status", "team": "team_id", "env": "environment", "account": "account_id", "check": "check_ref_id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FacetValue:
    """`value`: as a query writes it after the field's name. `label`: for people."""

    value: str
    label: str | Promise
    n: int


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent first. `complete`: all matches are counted; otherwise some of them."""

    values: list[FacetValue]
    complete: bool


def facets(
    query: Query,
    *,
    at: datetime,
    user: int | None = None,
    teams: Collection[int] = frozenset(),
    count_to: int = COUNTED,
    page: Page | None = None,
) -> dict[str, Facet]:
    """By field: severity, status, team, env, account and check, the last two with their SHOWN most frequent values.

    What counters do not know is counted among the first `count_to` matches that come to hand; with a `page` of the same query,
    among those that it has found already, as finding them is what takes the time.
    Raises QueryError as `search.q` does.
    """
    viewer = Viewer(at=at, user=user, teams=frozenset(teams))
    counted = _from_counters(query, viewer) | _from_check_counters(query, viewer)
    missing = [name for name in _FIELDS if name not in counted]
    complete = True
    if missing:
        if page:
            found, complete = _from_findings(Finding.objects.filter(among("pk", page.matches)).order_by(), missing, count_to)
            complete = complete and not page.capped
        else:
            found, complete = _from_findings(Finding.objects.filter(condition(query, viewer)).order_by(), missing, count_to)
        counted |= found
    exact = {name: name not in missing or complete for name in _FIELDS}
    return {name: Facet(_values(name, counted[name]), exact[name]) for name in _FIELDS}


Counted = dict[str, dict[Any, int]]


def _from_counters(query: Query, viewer: Viewer) -> Counted:
    try:
        rows = Counter.objects.filter(condition(query, viewer, table=Counter))
    except NotCounted:
        return {}
    return _grouped(rows.values(*_OF_COUNTER.values(), "n"), _OF_COUNTER)


def _from_check_counters(query: Query, viewer: Viewer) -> Counted:
    try:
        rows = CheckCounter.objects.filter(condition(query, viewer, table=CheckCounter))
    except NotCounted:
        return {}
    sums = rows.values_list("check_ref").annotate(total=Sum("n")).filter(total__gt=0).order_by("-total")
    return {"check": dict(sums[:SHOWN])}


def _from_findings(rows: QuerySet[Finding], names: Sequence[str], count_to: int) -> tuple[Counted, bool]:
    """Of at most `count_to` findings, and whether these are all."""
    columns = {name: _OF_FINDING[name] for name in names}
    found = _grouped(rows.values(*columns.values())[: count_to + 1], columns, each="1")
    return found, sum(found[names[0]].values()) <= count_to


def _grouped(rows: QuerySet[Any, Any], columns: Mapping[str, str], *, each: str = "n") -> Counted:
    """Sums by each of the columns, in one pass."""
    try:
        inner, params = rows.query.sql_with_params()
    except EmptyResultSet:
        return {name: {} for name in columns}
    listed = ", ".join(columns.values())
    sets = ", ".join(f"({column})" for column in columns.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH matches AS MATERIALIZED ({inner}) SELECT GROUPING({listed}), coalesce({_as_text(columns)}), sum({each})::bigint"
            f" FROM matches GROUP BY GROUPING SETS ({sets}) HAVING sum({each}) > 0",
            params,
        )
        found: Counted = {name: {} for name in columns}
        # Of n columns that are grouped by one at a time, GROUPING has a bit for each that is not: the first column is the highest.
        places = {(1 << len(columns)) - 1 - (1 << (len(columns) - 1 - place)): name for place, name in enumerate(columns)}
        for bits, value, n in cursor.fetchall():
            found[places[bits]][value] = n
    return found


def _as_text(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{column}::text" for column in columns.values())


def _values(name: str, counted: Mapping[Any, int]) -> list[FacetValue]:
    ranked = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))[: SHOWN if name in ("account", "check") else None]
    named = _NAMED[name]([value for value, _n in ranked])
    return [FacetValue(*named.get(str(value), (str(value), str(value))), n) for value, n in ranked]


Names = dict[str, tuple[str, str | Promise]]


def _choices(field: str) -> Names:
    return {str(choice.stored): (choice.name, gettext_lazy(choice.label)) for choice in FIELDS[field].choices}


def _teams(ids: Sequence[Any]) -> Names:
    rows = Team.objects.filter(pk__in=[pk for pk in ids if pk is not None]).values_list("pk", "slug", "name")
    return {"None": (NONE.name, gettext_lazy(NONE.label))} | {str(pk): (slug, name) for pk, slug, name in rows}


def _accounts(ids: Sequence[Any]) -> Names:
    rows = Account.objects.filter(pk__in=ids).values_list("pk", "uid", "name")
    return {str(pk): (uid or NONE.name, name or uid or gettext_lazy(UNNAMED)) for pk, uid, name in rows}


def _checks(ids: Sequence[Any]) -> Names:
    rows = Check.objects.filter(pk__in=ids).values_list("pk", "key", "title")
    return {str(pk): (key, title or key) for pk, key, title in rows}


_NAMED = {
    "severity": lambda _ids: _choices("severity"),
    "status": lambda _ids: _choices("status"),
    "env": lambda _ids: _choices("env"),
    "team": _teams,
    "account": _accounts,
    "check": _checks,
}


# --- folding --------------------------------------------------------------------------------------------------------------------

_COUNTERS = {
    "triage_counter": (("team", "account", "severity", "status", "presence", "environment"), ("n",)),
    "triage_checkcounter": (("check_id", "team", "is_open"), ("n",)),
    "triage_dailycount": (("day", "kind", "team", "severity"), ("n", "seconds", "in_time")),
}


def fold_counters() -> int:
    """Add up the rows of the counters that stand for the same. Returns by how many rows they became fewer.

    One statement a table: a reader sees the rows before or after it, never both, and what is counted meanwhile is left alone.
    """
    fewer = 0
    with connection.cursor() as cursor:
        for table, (columns, sums) in _COUNTERS.items():
            by = ", ".join(columns)
            added = ", ".join(f"sum({column})" for column in sums)
            cursor.execute(
                f"WITH several AS (SELECT id FROM (SELECT id, n, count(*) OVER (PARTITION BY {by}) AS rows FROM {table}) r"
                " WHERE rows > 1 OR n = 0),"
                f" gone AS (DELETE FROM {table} t USING several WHERE t.id = several.id RETURNING t.*),"
                f" kept AS (INSERT INTO {table} ({by}, {', '.join(sums)}) SELECT {by}, {added} FROM gone GROUP BY {by}"
                " HAVING " + " OR ".join(f"sum({column}) <> 0" for column in sums) + " RETURNING 1)"
                " SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)"
            )
            fewer += cursor.fetchone()[0]
    return fewer
