"""What a condition means for an asset: true, false, or unknown where a fact is missing that would decide it.

Kleene's logic: not unknown is unknown; false and unknown is false; true or unknown is true. So a fact that could not be read never
makes a check pass, and never makes it fail. https://en.wikipedia.org/wiki/Three-valued_logic#Kleene_and_Priest_logics
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from triage.domain.custom_checks.kinds import TAG, facts_of
from triage.domain.custom_checks.language import tag_key
from triage.domain.search.tree import And, Clause, Node, Not, Operator, Or, Value, Words
from triage.ports import Collected, FactType, FactValue

LONGEST_SAID = 300  # characters of a fact in a sentence


@dataclass(frozen=True, slots=True)
class Subject:
    """An asset with its facts. `tags`: by key as `tag_key` writes it; None where they could not be read."""

    kind: str
    facts: Mapping[str, FactValue]
    tags: Mapping[str, str] | None

    def value(self, name: str, key: str = "") -> FactValue | None:
        """None for what is not known. A tag that the asset does not have is known, and empty."""
        if name == TAG:
            return None if self.tags is None else self.tags.get(key, "")
        return self.facts.get(name)


def subject(read: Collected, account: str) -> Subject:
    """A collected asset, with what is known of all of them."""
    common: dict[str, FactValue] = {"name": read.name, "arn": read.uid, "region": read.region, "account": account}
    tags = None if read.tags is None else {tag_key(key): value for key, value in read.tags}
    return Subject(read.kind, {**read.facts, **common}, tags)


def holds(node: Node, of: Subject, at: datetime) -> bool | None:
    """Whether the condition holds; None when nobody can tell. Time grows with the lengths of condition and facts alone."""
    match node:
        case And(parts):
            return reduce(_both, (holds(part, of, at) for part in parts))
        case Or(parts):
            return _not(reduce(_both, (_not(holds(part, of, at)) for part in parts)))
        case Not(part):
            return _not(holds(part, of, at))
        case Clause():
            return _compared(node, of, at)
        case Words():
            raise AssertionError("conditions on facts have no free text")


def asked(node: Node) -> list[tuple[str, str]]:
    """The facts that a condition is about, with the keys of tags, each once, in order."""
    return list(dict.fromkeys(_asked(node)))


def said(node: Node, of: Subject, at: datetime) -> str:
    """The facts that a condition is about, with their values: `trust_policy: *; unused_days: 120`."""
    return "; ".join(f"{_named(name, key)}: {_shown(of, name, key, at)}" for name, key in asked(node))


def missing(node: Node, of: Subject) -> list[str]:
    """Names of the facts that a condition is about and that are not known."""
    return [_named(name, key) for name, key in asked(node) if of.value(name, key) is None]


def _not(value: bool | None) -> bool | None:  # noqa: FBT001 - a truth value
    return None if value is None else not value


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - truth values
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _asked(node: Node) -> Iterator[tuple[str, str]]:
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _asked(part)
        case Not(part):
            yield from _asked(part)
        case Clause(name, _operator, _values, key):
            yield name, key


def _compared(clause: Clause, of: Subject, at: datetime) -> bool | None:
    value = of.value(clause.field, clause.key)
    if value is None:
        return None
    type_ = facts_of(of.kind)[clause.field].type
    if type_ is FactType.AGE:
        value = days(value, at)
        if value is None:
            return None
    if isinstance(value, list):
        return any(_list_is(clause.operator, type_, value, wanted) for wanted in clause.values)
    if isinstance(value, str):
        return any(_text_is(clause.operator, value, wanted) for wanted in clause.values)
    if isinstance(value, bool):
        return any(value is (wanted.text == "true") for wanted in clause.values)
    return any(_number_is(clause.operator, value, wanted) for wanted in clause.values)


def days(moment: FactValue, at: datetime) -> int | None:
    """Whole days since the moment; 0 for '', as nothing has no age. None for what is no moment."""
    try:
        return max((at - datetime.fromisoformat(str(moment))).days, 0) if moment else 0
    except (ValueError, TypeError):  # facts may come from a report that somebody else wrote
        return None


def _list_is(operator: Operator, type_: FactType, value: list[str], wanted: Value) -> bool:
    if operator is Operator.IS:
        return not value
    text = wanted.text.casefold()
    if type_ is FactType.PORTS:
        return any(_covers_ports(each, text) for each in value)
    if operator is Operator.ALLOWS:
        return any(covers(each.casefold(), text) for each in value)
    if operator is Operator.MATCHES:
        return any(matches(text, each.casefold()) for each in value)
    return any(each.casefold() == text for each in value)


def _text_is(operator: Operator, value: str, wanted: Value) -> bool:
    value, text = value.casefold(), wanted.text.casefold()
    if operator is Operator.MATCHES:
        return matches(text, value)
    if operator is Operator.CONTAINS:
        return text in value
    return value != "" and value.startswith(text) if wanted.prefix else value == text


def _number_is(operator: Operator, value: float, wanted: Value) -> bool:
    if wanted.upto is not None:
        return (not wanted.text or value >= float(wanted.text)) and (not wanted.upto or value <= float(wanted.upto))
    limit = float(wanted.text)
    if operator is Operator.MORE:
        return value > limit
    if operator is Operator.AT_LEAST:
        return value >= limit
    if operator is Operator.LESS:
        return value < limit
    return value <= limit if operator is Operator.AT_MOST else value == limit


def matches(pattern: str, text: str) -> bool:
    """Whether the text is of the pattern: `*` stands for any text, `?` for one character. At most len(pattern) * len(text) steps."""
    return _fits(pattern, text, literal="")


def covers(pattern: str, other: str) -> bool:
    """Whether all that `other` stands for is of the pattern: `s3:*` covers `s3:Get*`, and only `*` covers `*`."""
    return _fits(pattern, other, literal="*")


def _fits(pattern: str, text: str, *, literal: str) -> bool:
    """Two places, and back to the last star when they part. A `literal` character of the text is of no `?`."""
    place = at = 0
    star, resumed = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, resumed = place, at
            place += 1
        elif place < len(pattern) and (pattern[place] == text[at] or (pattern[place] == "?" and text[at] not in literal)):
            place += 1
            at += 1
        elif star >= 0:
            resumed += 1
            place, at = star + 1, resumed
        else:
            return False
    return not pattern[place:].strip("*")


def _covers_ports(range_: str, wanted: str) -> bool:
    (low, high), (first, last) = _ends(range_), _ends(wanted)
    return low <= first and last <= high


def _ends(range_: str) -> tuple[int, int]:
    """The first and the last port; none at all for what is no range."""
    first, _dash, last = range_.partition("-")
    last = last or first
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else (1, 0)


def _named(name: str, key: str) -> str:
    return f"{name}.{key}" if key else name


def _shown(of: Subject, name: str, key: str, at: datetime) -> str:
    value = of.value(name, key)
    if value is None:
        return "?"
    if name != TAG and facts_of(of.kind)[name].type is FactType.AGE:
        value = str(days(value, at))
    if isinstance(value, list):
        value = ", ".join(value) or "–"
    text = str(value).lower() if isinstance(value, bool) else str(value) or "–"
    return text if len(text) <= LONGEST_SAID else text[: LONGEST_SAID - 1] + "…"
