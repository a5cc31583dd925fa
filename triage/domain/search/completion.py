"""What may follow where the cursor stands: names of fields, their values, values that are in use."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Func, QuerySet
from django.utils.translation import gettext

from triage.domain.search.fields import ALL, FIELDS, NONE, Field, Kind, folded, named
from triage.domain.search.lookups import like
from triage.domain.search.tree import Operator, written_value
from triage.models import Account, Check, Control, Team, User
from triage.models.account import UNNAMED

SHOWN = 10

_FIELD = re.compile(r"(?P<minus>-?)(?P<name>[^\W\d_][\w-]*)(?P<operator>:?(?:>=|<=|>|<)|!=|=|:)(?P<values>.*)", re.DOTALL)
_TIMES = {Kind.TIME: ("today", "yesterday", "-7d", "-30d"), Kind.DURATION: ("7d", "30d", "90d")}
_DUE = ("today", "tomorrow", "7d", "30d", "none")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` goes in the place of the query's characters from `start` to before `end`. `label`: message id, or a name."""

    text: str
    start: int
    end: int
    label: str


def complete(text: str, cursor: int) -> list[Suggestion]:
    """What may be written where the cursor (0-based, in characters) stands, at most SHOWN."""
    cursor = max(0, min(cursor, len(text)))
    begin = max(text.rfind(mark, 0, cursor) for mark in " \t\n()") + 1
    piece = text[begin:cursor]
    match = _FIELD.fullmatch(piece)
    if match is None:
        typed = piece.removeprefix("-")
        return [Suggestion(written, cursor - len(typed), cursor, label) for written, label in _fields(typed)][:SHOWN]
    field = named(match["name"])
    if field is None:
        return []
    typed = match["values"].rpartition(",")[2]
    found = _values(field, typed.lstrip('"'))
    return [Suggestion(written_value(value), cursor - len(typed), cursor, label) for value, label in found][:SHOWN]


def _fields(typed: str) -> Iterable[tuple[str, str]]:
    """Fields whose name begins so, then shortcuts of `is` whose name does."""
    start = folded(typed)
    for field in ALL:
        name = next((name for name in (field.name, *field.synonyms) if folded(name).startswith(start)), None)
        if name:
            sign = "." if field.keyed else ":" if Operator.MORE not in field.operators or field.kind is Kind.RANKED else ""
            yield name + sign, field.label
    if start:
        for choice in FIELDS["is"].choices:
            if any(folded(name).startswith(start) for name in (choice.name, *choice.synonyms)):
                yield f"is:{choice.name}", choice.label


def _values(field: Field, typed: str) -> Iterable[tuple[str, str]]:
    start = folded(typed)
    for choice in field.choices:
        name = next((name for name in (choice.name, *choice.synonyms) if folded(name).startswith(start)), None)
        if name:
            yield name, choice.label
    for written in _DUE if field.name == "due" else _TIMES.get(field.kind, ()):
        if written.startswith(start) and field.choice(written) is None:
            yield written, field.label
    if field.name in _IN_USE:
        yield from _IN_USE[field.name](typed)


# --- values in use: only of tables that stay small ------------------------------------------------------------------------------


def _teams(typed: str) -> list[tuple[str, str]]:
    rows = Team.objects.filter(like("slug", typed, after="%") | like("name", typed, after="%"), archived_at=None)
    return list(rows.order_by("slug").values_list("slug", "name")[:SHOWN])


def _people(typed: str) -> list[tuple[str, str]]:
    rows = User.objects.filter(like("email", typed, after="%") | like("name", typed, after="%"), is_active=True)
    return [(email, name or email) for email, name in rows.order_by("email").values_list("email", "name")[:SHOWN]]


def _accounts(typed: str) -> list[tuple[str, str]]:
    rows = Account.objects.filter(like("uid", typed, after="%") | like("name", typed, after="%"))
    found = rows.order_by("name", "uid").values_list("uid", "name")[:SHOWN]
    return [(uid or NONE.name, name or uid or gettext(UNNAMED)) for uid, name in found]


def _checks(typed: str) -> list[tuple[str, str]]:
    rows = Check.objects.filter(like("key", typed, after="%"))
    return list(rows.order_by("key").values_list("key", "title")[:SHOWN])


def _distinct(rows: QuerySet[Any, Any], column: str) -> Callable[[str], list[tuple[str, str]]]:
    def asked(typed: str) -> list[tuple[str, str]]:
        found = rows.filter(like(column, typed, after="%")).exclude(**{column: ""})
        return [(value, value) for value in found.order_by(column).values_list(column, flat=True).distinct()[:SHOWN]]

    return asked


def _elements(column: str) -> Callable[[str], list[tuple[str, str]]]:
    def asked(typed: str) -> list[tuple[str, str]]:
        found = Check.objects.annotate(element=Func(F(column), function="unnest")).order_by("element")
        start = typed.casefold()
        every = found.values_list("element", flat=True).distinct()
        return [(value, value) for value in every if value.casefold().startswith(start)][:SHOWN]

    return asked


_IN_USE: dict[str, Callable[[str], list[tuple[str, str]]]] = {
    "team": _teams,
    "assignee": _people,
    "account": _accounts,
    "provider": _distinct(Account.objects.all(), "provider"),
    "check": _checks,
    "scanner": _distinct(Check.objects.all(), "scanner"),
    "service": _distinct(Check.objects.all(), "service"),
    "category": _elements("categories"),
    "weakness": _elements("weaknesses"),
    "framework": _distinct(Control.objects.all(), "framework"),
}
