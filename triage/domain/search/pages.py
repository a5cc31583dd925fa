"""Pages of findings by keyset: a page costs the same wherever it lies, and stays where it is while rows come and go."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, OrderBy, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid
from triage.domain.search.asking import any_of
from triage.domain.search.lookups import among
from triage.models import Finding, Severity

SIZE = 50
COUNTED = 2_000
WORDS_COUNTED = 500  # of free text: two common words take 25 µs a match in a million findings, and 15 ms before the first

# What a row of the queue shows besides the finding; texts of checks are long and stay where they are.
ROW = ("check_ref", "asset", "account", "team", "assignee")
NOT_SHOWN = tuple(
    f"check_ref__{name}"
    for name in (
        "description", "risk", "remediation", "remediation_url", "remediation_cli", "remediation_terraform", "remediation_other",
        "references", "words",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """A column of an order. `nullable`: empty ones come last. `levels`: its few values in order, asked one after the other."""

    column: str
    kind: type
    descending: bool = False
    nullable: bool = False
    levels: tuple[int, ...] = ()


_ID = Key("pk", int)
ORDERS: dict[str, tuple[Key, ...]] = {
    "score": (Key("score", int, descending=True), _ID),
    "due": (Key("due_at", datetime, nullable=True), _ID),
    "newest": (Key("pk", int, descending=True),),
    "severity": (
        Key("severity", int, descending=True, levels=tuple(sorted(Severity.values, reverse=True))),
        Key("score", int, descending=True),
        _ID,
    ),
}


@dataclass(frozen=True, slots=True)
class Page:
    """`next`, `previous`: cursors, None where there is no such page. `matches`: numbers of all that match, up to a limit; `capped`:
    there are more.
    """

    items: list[Finding]
    next: str | None
    previous: str | None
    matches: list[int]
    capped: bool

    @property
    def total(self) -> int:
        return len(self.matches)


def page(
    queryset: QuerySet[Finding], order: str = "score", cursor: str | None = None, size: int = SIZE, *, count_to: int = COUNTED
) -> Page:
    """One page of these findings, with what a row shows, and how many they are.

    `order`: score, due, newest or severity. Raises Invalid for another order and for a cursor that was not made by this order.

    Counting decides how the page is found. Up to `count_to` matches are sorted; of more, the order's index is walked, where the
    next match is never far. Left to itself the planner guesses, and a wrong guess walks a million rows for nothing.
    """
    if order not in ORDERS:
        raise Invalid(_("There is no sort order “%(order)s”. Possible: %(orders)s."), order=order, orders=", ".join(ORDERS))
    keys = ORDERS[order]
    forward, values = _read(order, cursor) if cursor else (True, None)
    matches = list(queryset.order_by().values_list("pk", flat=True)[: count_to + 1])
    capped = len(matches) > count_to
    ranges = _first(keys) if values is None else _beyond(keys, values, forward=forward)
    if capped:
        rows = _walk(queryset, keys, ranges, size + 1, forward=forward)
    else:
        rows = _walk(Finding.objects.filter(among("pk", matches)), keys, [any_of(ranges)], size + 1, forward=forward)
    more = len(rows) > size
    rows = rows[:size] if forward else rows[:size][::-1]
    return Page(
        items=_rows([row[-1] if keys[-1].column == "pk" else row[0] for row in rows]),
        next=_written(order, rows[-1], forward=True) if rows and (more or not forward) else None,
        previous=_written(order, rows[0], forward=False) if rows and (more if not forward else values is not None) else None,
        matches=matches[:count_to],
        capped=capped,
    )


def _rows(ids: Sequence[int]) -> list[Finding]:
    found = Finding.objects.select_related(*ROW).defer(*NOT_SHOWN).in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


def _walk(
    queryset: QuerySet[Finding], keys: Sequence[Key], ranges: Sequence[Q], wanted: int, *, forward: bool
) -> list[tuple[Any, ...]]:
    """The first rows of these ranges, which follow each other in the order: each is a stretch of the order's index."""
    rows: list[tuple[Any, ...]] = []
    for part in ranges:
        found = queryset.filter(part).order_by(*(_ordering(key, forward=forward) for key in keys))
        rows += found.values_list(*(key.column for key in keys))[: wanted - len(rows)]
        if len(rows) == wanted:
            break
    return rows


def _ordering(key: Key, *, forward: bool) -> OrderBy:
    descending = key.descending is forward
    if not key.nullable:
        return F(key.column).desc() if descending else F(key.column).asc()
    return F(key.column).desc(nulls_first=True) if descending else F(key.column).asc(nulls_last=True)


def _first(keys: Sequence[Key]) -> list[Q]:
    levels = keys[0].levels
    return [Q(**{keys[0].column: level}) for level in levels] if levels else [Q(pk__isnull=False)]


def _beyond(keys: Sequence[Key], values: Sequence[Any], *, forward: bool) -> list[Q]:
    """The ranges after (or before) a row: equal but for the last column, then equal but for the last two …"""
    ranges = []
    for place in reversed(range(len(keys))):
        same = Q()
        for key, value in zip(keys[:place], values[:place], strict=True):
            same &= Q(**{f"{key.column}__isnull": True}) if value is None else Q(**{key.column: value})
        ranges += [same & part for part in _beyond_in(keys[place], values[place], forward=forward)]
    return ranges


def _beyond_in(key: Key, value: Any, *, forward: bool) -> list[Q]:
    upward = key.descending is not forward
    if key.levels:
        levels = sorted(level for level in key.levels if (level > value if upward else level < value))
        return [Q(**{key.column: level}) for level in (levels if upward else reversed(levels))]
    if value is None:
        return [] if forward else [Q(**{f"{key.column}__isnull": False})]
    beyond = [Q(**{f"{key.column}__{'gt' if upward else 'lt'}": value})]
    return [*beyond, Q(**{f"{key.column}__isnull": True})] if key.nullable and forward else beyond


# --- cursors --------------------------------------------------------------------------------------------------------------------


def _written(order: str, row: Sequence[Any], *, forward: bool) -> str:
    values = [value.isoformat() if isinstance(value, datetime) else value for value in row]
    return base64.urlsafe_b64encode(json.dumps([order, forward, *values]).encode()).decode().rstrip("=")


def _read(order: str, cursor: str) -> tuple[bool, list[Any]]:
    """Direction and values. A cursor is no secret and no promise: it only has to have the right shape."""
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        made_by, forward, *raw = found
        values = [_value(key, value) for key, value in zip(ORDERS[order], raw, strict=True)]
    except (ValueError, TypeError, binascii.Error, RecursionError):
        made_by = forward = None
    if made_by != order or not isinstance(forward, bool):
        raise Invalid(_("This address of a page is damaged or belongs to another order. Begin with the first page."))
    return forward, values


def _value(key: Key, value: Any) -> Any:
    if value is None and key.nullable:
        return None
    if key.kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        return moment
    if type(value) is not int or abs(value) >= 2**63:
        raise ValueError(value)
    return value
