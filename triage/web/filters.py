"""A query as chips that can be taken away, and as filters that can be switched: each is a link, the address is the state."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.translation import gettext

from triage.domain.search.fields import FIELDS
from triage.domain.search.tree import And, Clause, Node, Not, Operator, Or, Query, Value, Words, both

SIGNS = {Operator.MORE: ">", Operator.AT_LEAST: "≥", Operator.LESS: "<", Operator.AT_MOST: "≤"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition in the reader's words, and the query without it."""

    label: str
    without: str


def address(path: str, **params: str) -> str:
    """The path with those parameters that say something. An empty query says: everything."""
    said = {name: value for name, value in params.items() if value or name == "q"}
    return f"{path}?{urlencode(said)}" if said else path


def parts(query: Query) -> tuple[Node, ...]:
    """The conditions that all have to hold."""
    if query.root is None:
        return ()
    return query.root.parts if isinstance(query.root, And) else (query.root,)


def made(nodes: Iterable[Node]) -> Query:
    nodes = tuple(nodes)
    return Query(both(nodes) if nodes else None)


def chips(query: Query) -> list[Chip]:
    every = parts(query)
    return [Chip(label(node), made(other for other in every if other is not node).text()) for node in every]


def holds(query: Query, field: str, value: str) -> bool:
    """Whether the query asks for this value of the field, alone or beside others."""
    return any(value in _values(node) for node in parts(query) if _is_on(node, field))


def switched(query: Query, field: str, value: str) -> Query:
    """The query with this value of the field asked for; without it where it was asked for already."""
    every = parts(query)
    on = next((node for node in every if isinstance(node, Clause) and _is_on(node, field)), None)
    if on is None:
        return made([*every, Clause(field, Operator.IS, (Value(value),))])
    kept = [one for one in on.values if one.text != value]
    if len(kept) == len(on.values):
        kept.append(Value(value))
    changed = [Clause(field, Operator.IS, tuple(kept))] if kept else []
    return made(other for node in every for other in (changed if node is on else [node]))


def label(node: Node) -> str:
    """A condition in the reader's words."""
    match node:
        case Not(part):
            return gettext("not %(condition)s") % {"condition": label(part)}
        case Or(some):
            return gettext(" or ").join(label(part) for part in some)
        case And(some):
            return gettext(" and ").join(label(part) for part in some)
        case Words(text):
            return gettext("“%(text)s”") % {"text": text}
        case Clause(name, operator, values, key):
            said = ", ".join(_said(name, value) for value in values)
            if name in ("is", "has"):
                return said
            title = key or gettext(FIELDS[name].label)
            return f"{title} {SIGNS[operator]} {said}" if operator in SIGNS else gettext("%(field)s: %(value)s") % {"field": title, "value": said}


def _said(field: str, value: Value) -> str:
    if value.upto is not None:
        return f"{value.text}…{value.upto}"
    choice = None if value.prefix else FIELDS[field].choice(value.text)
    return gettext(choice.label) if choice else value.text + "*" * value.prefix


def _is_on(node: Node, field: str) -> bool:
    return isinstance(node, Clause) and node.field == field and node.operator == Operator.IS and not node.key


def _values(node: Node) -> frozenset[str]:
    return frozenset(value.text for value in node.values if value.upto is None and not value.prefix) if isinstance(node, Clause) else frozenset()
