"""From the tree of a query to a condition of the database: of findings, or of their counters where those know enough.

Every condition made here is true or false for a row and never unknown: a negation is then right, whatever is null.
"""

from typing import Any

from django.db.models import CharField, Model, Q
from django.db.models import Value as Constant
from django.db.models.functions import Concat

from triage.domain.search import lookups, texts
from triage.domain.search.asking import Asker, Viewer, all_of, any_of
from triage.domain.search.fields import FIELDS, Field, Kind
from triage.domain.search.lookups import Like, among, like
from triage.domain.search.meanings import MEANINGS
from triage.domain.search.tree import And, Clause, Node, Not, Operator, Or, Query, Value, Words
from triage.models import Account, Asset, Check, Finding

_COMPARED = {Operator.MORE: "gt", Operator.AT_LEAST: "gte", Operator.LESS: "lt", Operator.AT_MOST: "lte"}
_ARRAYS = ("aliases", "categories", "weaknesses")
_ASKED_FIRST: dict[str, type[Model]] = {"check_ref": Check, "account": Account}


def condition(query: Query, viewer: Viewer, *, table: type[Model] = Finding) -> Q:
    """The query as a condition on `table`. Small tables are asked on the way.

    Raises QueryError for a team or a person that does not exist, and NotCounted where `table` is a counter that knows too little.
    """
    return Q() if query.root is None else _condition(query.root, Asker(viewer, table))


def _condition(node: Node, asker: Asker) -> Q:
    match node:
        case Or(parts):
            return any_of(_condition(part, asker) for part in parts)
        case And(parts):
            words = [part for part in parts if isinstance(part, Words)]
            conditions = [_condition(part, asker) for part in parts if not isinstance(part, Words)]
            return all_of([*conditions, texts.condition(asker, words)] if words else conditions)
        case Not(part):
            return ~_condition(part, asker)
        case Words():
            return texts.condition(asker, [node])
        case Clause():
            return _clause(node, asker)


def _clause(clause: Clause, asker: Asker) -> Q:
    field = FIELDS[clause.field]
    if meaning := MEANINGS.get(field.name):
        return meaning(asker, clause)
    if field.kind is not Kind.TEXT:
        return _compared(clause, field, asker)
    head, _dots, inner = field.paths[0].partition("__")
    if not inner:
        return _spelled(asker.column(head), clause)
    model = _ASKED_FIRST.get(head, Asset)
    columns = [path.partition("__")[2] for path in field.paths]
    found = any_of(_matching(column, clause, value) for column in columns for value in clause.values)
    return asker.asset(found) if model is Asset else among(asker.column(f"{head}_id"), lookups.ids(model, found))


def _compared(clause: Clause, field: Field, asker: Asker) -> Q:
    """Choices and numbers, of the finding or of its asset."""
    head, _dots, inner = field.paths[0].partition("__")
    column = inner or asker.column(head)

    def stored(text: str) -> Any:
        choice = field.choice(text)
        return int(text) if choice is None else choice.stored

    def compared(value: Value) -> Q:
        if value.upto is None:
            return Q(**{f"{column}__{_COMPARED[clause.operator]}": stored(value.text)})
        ends = {"gte": value.text, "lte": value.upto}
        return Q(**{f"{column}__{lookup}": stored(end) for lookup, end in ends.items() if end})

    equal = [stored(value.text) for value in clause.values if clause.operator is Operator.IS and value.upto is None]
    parts = [compared(value) for value in clause.values if clause.operator is not Operator.IS or value.upto is not None]
    found = any_of([Q(**{f"{column}__in": equal}), *parts] if equal else parts)
    return asker.asset(found) if inner else found


def _spelled(column: str, clause: Clause) -> Q:
    """A text of the finding: as it is typed or in lower case, which can be estimated and compared cheaply."""

    def spellings(text: str) -> list[str]:
        return [text] if clause.operator is Operator.EQUALS else sorted({text, text.lower()})

    begun = [Q(**{f"{column}__startswith": text}) for value in clause.values if value.prefix for text in spellings(value.text)]
    whole = [text for value in clause.values if not value.prefix for text in spellings(value.text)]
    return any_of([*begun, Q(**{f"{column}__in": whole})] if whole else begun)


def _matching(column: str, clause: Clause, value: Value) -> Q:
    if column in _ARRAYS:
        return lookups.element_matches(column, value, clause.operator)
    if (choice := FIELDS[clause.field].choice(value.text)) and not value.prefix:
        return Q(**{FIELDS[clause.field].paths[0].partition("__")[2]: choice.stored})
    if clause.field == "title":
        return lookups.contains(column, value, clause.operator)
    found = lookups.matches(column, value, clause.operator)
    if clause.field == "control":  # `control:"CIS-3.0 2.1.4"`: of that framework
        whole = Concat("controls__framework", Constant(" "), "controls__reference", output_field=CharField())
        found |= Q(Like(whole, lookups.like_pattern(value.text) + "%" * value.prefix))
    if clause.field == "framework" and clause.operator is Operator.IS and not value.prefix:
        found |= like(column, value.text, after="-%") | like(column, value.text, after=" %")  # `framework:CIS`: any version of it
    return found
