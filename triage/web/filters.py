"""A query as chips that can be taken away, and as filters that can be switched: each is a link, the address is the state."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain.search import parse
from triage.domain.search.facets import Facet
from triage.domain.search.fields import FIELDS
from triage.domain.search.tree import And, Clause, Node, Not, Operator, Or, Query, Value, Words, both
from triage.models import TO_FIX

DEFAULT = "is:open"

SIGNS = {Operator.MORE: ">", Operator.AT_LEAST: "≥", Operator.LESS: "<", Operator.AT_MOST: "≤"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition in the reader's words, and the query without it."""

    label: str
    without: str


def link(text: str, **params: str) -> str:
    """The address of the queue with this query, and those parameters that say something."""
    return f"{_queue(get_script_prefix())}?{urlencode({'q': text, **{name: value for name, value in params.items() if value}})}"


@cache
def _queue(prefix: str) -> str:  # noqa: ARG001 - of which the address is
    """A page has some hundreds of links to it."""
    return reverse("queue")


def load_links(slug: str) -> list[str]:
    """What a team has to fix, what is grave of it, and what is overdue. `slug`: “none” for nobody."""
    return [link(f"is:open team:{slug}{more}") for more in ("", " severity>=high", " is:overdue")]


def open_of(**values: str) -> str:
    """The address of the queue with what is to be fixed and has these values."""
    query = parse(DEFAULT)
    for field, value in values.items():
        query = switched(query, field, value)
    return link(query.text())


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


# The filters beside the list, in their order: field and title.
PANELS = {
    "severity": _("Severity"), "status": _("Status"), "team": _("Owner"), "env": _("Environment"), "account": _("Account"),
    "check": _("Check"),
}  # fmt: skip
WHOLE = frozenset({"severity", "status", "env"})  # few values: all of them are offered once one is chosen
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Switch:
    """One value of a filter. `stored`: as our tables have it; `n` None: not counted."""

    stored: object
    label: str
    n: int | None
    on: bool
    href: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`rest`: values behind a fold. `complete`: the numbers are not of the first matches alone."""

    name: str
    title: str
    values: list[Switch]
    rest: list[Switch]
    complete: bool


def panel(name: str, counted: Facet, query: Query, *, link: Callable[[Query], str]) -> Panel:
    """The filter of a field, with what is counted and what is asked for already."""
    choices = {choice.name: choice for choice in FIELDS[name].choices}
    values: list[tuple[str, str, int | None]] = [(each.value, str(each.label), each.n) for each in counted.values]
    asked = [value for node in parts(query) if _is_on(node, name) for value in _values(node)]
    missing = [*choices] if name in WHOLE and asked else asked
    seen = {value for value, _label, _n in values}
    values += [
        (value, gettext(choices[value].label) if value in choices else value, None) for value in missing if value not in seen
    ]
    if name in WHOLE:
        order = [*choices][:: -1 if name == "severity" else 1]
        values.sort(key=lambda value: order.index(value[0]) if value[0] in order else len(order))
    switches = [
        Switch(choices[value].stored if value in choices else value, label, n, value in asked, link(_chosen(query, name, value)))
        for value, label, n in values
    ]
    switches.sort(key=lambda switch: not switch.on and name not in WHOLE)
    return Panel(name, gettext(PANELS[name]), switches[:SHOWN], switches[SHOWN:], counted.complete)


def _chosen(query: Query, field: str, value: str) -> Query:
    """As `switched`; a status that is nothing to fix takes “to be fixed” away."""
    other = switched(query, field, value)
    if field == "status" and holds(other, field, value) and value not in TO_FIX:
        other = made(node for node in parts(other) if not (_is_on(node, "is") and _values(node) == {"open"}))
    return other


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
            return (
                f"{title} {SIGNS[operator]} {said}"
                if operator in SIGNS
                else gettext("%(field)s: %(value)s") % {"field": title, "value": said}
            )


def _said(field: str, value: Value) -> str:
    if value.upto is not None:
        return f"{value.text}…{value.upto}"
    choice = None if value.prefix else FIELDS[field].choice(value.text)
    return gettext(choice.label) if choice else value.text + "*" * value.prefix


def _is_on(node: Node, field: str) -> bool:
    return isinstance(node, Clause) and node.field == field and node.operator == Operator.IS and not node.key


def _values(node: Node) -> frozenset[str]:
    return (
        frozenset(value.text for value in node.values if value.upto is None and not value.prefix)
        if isinstance(node, Clause)
        else frozenset()
    )
