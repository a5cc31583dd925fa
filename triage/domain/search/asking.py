"""Who asks and of which table: what every part of a query needs to become a condition."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet

from triage.domain.search import lookups
from triage.domain.tags import fold
from triage.models import Asset, CheckCounter, Counter, Finding, Team

# What other tables know of a finding: the finding's column and theirs.
_COLUMNS: dict[type[Model], Mapping[str, str]] = {
    Counter: {
        name: name.removesuffix("_id") for name in ("team_id", "account_id", "severity", "status", "presence", "environment")
    },
    CheckCounter: {"team_id": "team", "check_ref_id": "check_ref", "is_open": "is_open"},
    # Assets are asked what they know themselves, as their findings would be.
    Asset: {"asset_id": "pk"} | {name: name for name in ("team_id", "account_id", "environment", "region", "first_seen")},
}

EVERYTHING = Q(pk__isnull=False)  # an empty Q is not the opposite of anything
NOTHING = Q(pk__in=[])


class NotCounted(Exception):
    """The table doesn't know what the query asks. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and when: what `me`, `mine` and relative times mean. Days begin in the time zone of `at`."""

    at: datetime
    user: int | None = None
    teams: frozenset[int] = frozenset()


class Asker:
    """One query being asked of one table: findings, their counters, or assets, where those know enough."""

    def __init__(self, viewer: Viewer, table: type[Model] = Finding) -> None:
        self.viewer = viewer
        self._columns = _COLUMNS.get(table)

    def column(self, name: str) -> str:
        """The table's own name of a finding's column. Raises NotCounted when it has none."""
        if self._columns is None:
            return name
        if name not in self._columns:
            raise NotCounted(name)
        return self._columns[name]

    def has(self, name: str) -> bool:
        """Whether the table knows that column of a finding."""
        return self._columns is None or name in self._columns

    def related(self, model: type[Model], condition: Q, *, by: str, mine: str = "pk") -> Q:
        """The finding has such a row in another table, whose column `by` equals the finding's `mine`."""
        rows: QuerySet[Model] = QuerySet(model).filter(condition, **{by: OuterRef(self.column(mine))})
        return Q(Exists(rows.order_by()))

    def asset(self, condition: Q) -> Q:
        """The finding's asset is such a one."""
        return self.related(Asset, condition, by="pk", mine="asset_id")

    @cached_property
    def teams(self) -> dict[str, int]:
        """Teams by everything they are called, folded. Slugs go before names and aliases, living teams before archived ones."""
        rows = list(
            Team.objects.order_by(F("archived_at").asc(nulls_last=True), "-pk").values_list("pk", "slug", "name", "aliases")
        )
        found = {fold(alias): pk for pk, _slug, _name, aliases in rows for alias in aliases}
        found |= {fold(name): pk for pk, _slug, name, _aliases in rows}
        return found | {fold(slug): pk for pk, slug, _name, _aliases in rows}

    @cached_property
    def assets_wait(self) -> bool:
        """Whether words of new assets are still to be written."""
        return lookups.unindexed_exist()


def all_of(conditions: Iterable[Q]) -> Q:
    """All of these; of none, always."""
    joined = Q()
    for condition in conditions:
        joined &= condition
    return joined or EVERYTHING


def any_of(conditions: Iterable[Q]) -> Q:
    """At least one of these; of none, never."""
    joined = Q()
    for condition in conditions:
        joined |= condition
    return joined or NOTHING
