"""The part of JQL that a ticket system asks with: terms joined by AND, and ORDER BY. Anything else is refused, as is what is not JQL."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TOKENS = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(!=|>=|<=|[=<>(),])|([^\s=!<>(),"']+))""")
WORDS_OF_KEY = {"key": "key", "issuekey": "key", "issue": "key", "id": "key"}
FIELDS = {
    **WORDS_OF_KEY, "labels": "labels", "project": "project", "updated": "updated", "created": "created", "status": "status",
    "statuscategory": "category",
}  # fmt: skip
SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class BadQuery(Exception):
    """Jira answers 400 with this sentence."""


@dataclass(frozen=True)
class Term:
    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    terms: tuple[Term, ...]
    order: tuple[tuple[str, bool], ...]  # field, descending

    def fits(self, issue: Mapping[str, Any], now: float) -> bool:
        return all(_fits(term, issue, now) for term in self.terms)

    def sorted(self, issues: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Last created first, unless said otherwise."""
        rows = sorted(issues, key=lambda issue: -int(issue["id"]))
        for field, descending in reversed(self.order):
            rows.sort(key=lambda issue: int(issue["id"]) if field == "key" else issue[field], reverse=descending)
        return rows


def parse(text: str) -> Query:
    head, _by, tail = re.sub(r"(?i)(?:^|\s)order\s+by\s", "\0", text, count=1).partition("\0")
    tokens = _Tokens(head)
    terms = []
    while not tokens.at_end:
        if terms and tokens.word() != "and":
            raise BadQuery(f"Error in the JQL Query: expecting AND, in {text!r}. (This stand-in reads no OR, NOT and functions.)")
        terms.append(_term(tokens))
    return Query(tuple(terms), tuple(_order(part) for part in tail.split(",") if part.strip()))


class _Tokens:
    """`kind` of the next one: quoted, sign, word."""

    def __init__(self, text: str) -> None:
        self.all: list[tuple[str, str]] = []
        text, at = text.strip(), 0
        while at < len(text):
            found = TOKENS.match(text, at)
            if not found:
                raise BadQuery(f"Error in the JQL Query: the character {text[at]!r} at position {at + 1} is not expected.")
            double, single, sign, word = found.groups()
            quoted = double if double is not None else single
            self.all.append(
                ("sign", sign) if sign else ("word", word) if word else ("quoted", re.sub(r"\\(.)", r"\1", quoted or ""))
            )
            at = found.end()

    @property
    def at_end(self) -> bool:
        return not self.all

    def next(self) -> tuple[str, str]:
        if not self.all:
            raise BadQuery("Error in the JQL Query: it ends too early.")
        return self.all.pop(0)

    def word(self) -> str:
        kind, text = self.next()
        return text.lower() if kind == "word" else ""

    def value(self) -> str:
        kind, text = self.next()
        if kind == "sign":
            raise BadQuery(f"Error in the JQL Query: expecting a value, not {text!r}.")
        return text


def _term(tokens: _Tokens) -> Term:
    name = tokens.value()
    field = FIELDS.get(name.lower())
    if field is None:
        raise BadQuery(f"Field '{name}' does not exist or you do not have permission to view it.")
    _kind, operator = tokens.next()
    operator = operator.lower()
    if operator == "not":
        operator = f"not {tokens.word()}"
    if operator in ("in", "not in"):
        return Term(field, operator, _list(tokens))
    comparing = ("=", "!=", ">", ">=", "<", "<=") if field in ("updated", "created") else ("=", "!=")
    if operator not in comparing:
        raise BadQuery(f"The operator '{operator}' is not supported by the '{name}' field.")
    return Term(field, operator, (tokens.value(),))


def _list(tokens: _Tokens) -> tuple[str, ...]:
    if tokens.next()[1] != "(":
        raise BadQuery("Error in the JQL Query: expecting '('.")
    values = [tokens.value()]
    while (sign := tokens.next()[1]) == ",":
        values.append(tokens.value())
    if sign != ")":
        raise BadQuery(f"Error in the JQL Query: expecting ')', not {sign!r}.")
    return tuple(values)


def _order(part: str) -> tuple[str, bool]:
    name, _space, way = part.strip().partition(" ")
    if FIELDS.get(name.lower()) not in ("key", "created", "updated") or way.strip().lower() not in ("", "asc", "desc"):
        raise BadQuery(f"Not able to sort using field '{part.strip()}'.")
    return FIELDS[name.lower()], way.strip().lower() == "desc"


def _fits(term: Term, issue: Mapping[str, Any], now: float) -> bool:
    if term.field in ("updated", "created"):
        return _compares(term.operator)(issue[term.field], _moment(term.values[0], now))
    has = {str(each).casefold() for each in issue[term.field + "s" if term.field in ("key", "project") else term.field]}
    hit = bool(has & {value.casefold() for value in term.values})
    # What has no label at all is not found by what its labels are not.
    return bool(has) and not hit if term.operator in ("!=", "not in") else hit


def _compares(operator: str) -> Callable[[float, float], bool]:
    return {
        "=": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    }[operator]  # fmt: skip


def _moment(said: str, now: float) -> float:
    """`-30m`, or a date with or without a time, in UTC."""
    if found := re.fullmatch(r"([+-]?)(\d+)([mhdw])", said):
        seconds = int(found[2]) * SECONDS[found[3]]
        return now - seconds if found[1] == "-" else now + seconds
    for form in ("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%d", "%Y/%m/%d"):
        try:
            return datetime.strptime(said, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise BadQuery(f"Date value '{said}' for field is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', '-5d'.")
