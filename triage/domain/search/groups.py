"""Findings of a query put together by check, asset, owner or account: how many of which severity, and what is due first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid
from triage.domain.search.asking import NotCounted, Viewer
from triage.domain.search.compiler import condition
from triage.domain.search.lookups import among
from triage.domain.search.pages import Page
from triage.domain.search.tree import Query
from triage.models import Account, Asset, Check, Counter, Finding, Severity, Team

COUNTED = 5_000
WORDS_COUNTED = 2_500  # of free text, see pages
SIZE = 50
# Column of a finding, model, and the field of a query that asks for one of them.
BY: dict[str, tuple[str, Any, str]] = {
    "check": ("check_ref", Check, "check"), "asset": ("asset", Asset, "asset"), "owner": ("team", Team, "team"),
    "account": ("account", Account, "account"),
}  # fmt: skip
LEVELS = tuple(sorted(Severity, reverse=True))


@dataclass(frozen=True, slots=True)
class Group:
    """`of`: the check, asset, team or account; None is nobody. `value`: as a query writes it. `due`: the earliest deadline."""

    of: Any
    value: str
    n: int
    severities: Sequence[tuple[Severity, int]]
    score: int
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Groups:
    """The gravest first, at most SIZE. `matches`: the findings that were counted; `complete`: these are all that match."""

    items: Sequence[Group]
    matches: list[int]
    complete: bool
    more: bool

    @property
    def counted(self) -> int:
        return len(self.matches)

    @property
    def page(self) -> Page:
        """What was found, for whoever counts it otherwise (`facets`)."""
        return Page([], None, None, self.matches, not self.complete)


def groups(query: Query, *, by: str, at: datetime, user: int | None = None, teams: Collection[int] = frozenset()) -> Groups:
    """Four statements. Of more than COUNTED matches (WORDS_COUNTED), the gravest are counted, or those that come to hand where
    finding the gravest would mean to look at all. Raises Invalid for another grouping, QueryError.
    """
    if by not in BY:
        raise Invalid(_("Findings can be grouped by %(names)s."), names=", ".join(BY))
    viewer = Viewer(at=at, user=user, teams=frozenset(teams))
    rows = Finding.objects.filter(condition(query, viewer))
    if _is_dense(query, viewer):
        rows = rows.order_by("-score", "pk")
    limit = WORDS_COUNTED if query.has_words else COUNTED
    found = list(rows.values_list("pk", flat=True)[: limit + 1])
    complete, matches = len(found) <= limit, found[:limit]
    column, _model, _field = BY[by]
    counted = _counted(Finding.objects.filter(among("pk", matches)), column)
    return Groups(_named(counted[:SIZE], by), matches, complete, len(counted) > SIZE)


def _is_dense(query: Query, viewer: Viewer) -> bool:
    """Whether matches are frequent along the index of the order: the counters know such queries."""
    try:
        condition(query, viewer, table=Counter)
    except NotCounted:
        return False
    return True


def _counted(rows: QuerySet[Finding], column: str) -> list[dict[str, Any]]:
    """SIZE + 1 at most."""
    levels = {f"s{level.value}": Count("pk", filter=Q(severity=level)) for level in LEVELS}
    found = rows.order_by().values(column).annotate(n=Count("pk"), top=Max("score"), due=Min("due_at"), **levels)
    worst = [f"-s{level.value}" for level in LEVELS[:2]]
    return list(found.order_by(*worst, "-top", "-n", F(column).asc(nulls_first=True))[: SIZE + 1])


def _named(rows: Sequence[dict[str, Any]], by: str) -> list[Group]:
    column, model, _field = BY[by]
    found = model.objects.in_bulk([row[column] for row in rows if row[column] is not None])
    return [
        Group(
            of=found.get(row[column]),
            value=_value(found.get(row[column])),
            n=row["n"],
            severities=[(level, row[f"s{level.value}"]) for level in LEVELS if row[f"s{level.value}"]],
            score=row["top"],
            due=row["due"],
        )
        for row in rows
    ]


def _value(of: Any) -> str:
    if isinstance(of, Check):
        return of.key
    if isinstance(of, Account):
        return of.asked
    if isinstance(of, Asset):
        return of.uid
    return str(of.slug) if isinstance(of, Team) else "none"
