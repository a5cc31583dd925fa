"""Conditions on the facts of one kind of asset: the grammar of search, with words for what facts need.

    permissions contains "*" and trust_policy allows "*"          open_ports allows 22, 3389 and not tag.exposed is "yes"
    permissions contient "*" et trust_policy autorise "*"         unused_days > 90 or unused_days > 3mo

Brackets, `and`, `or`, `not`, lists of values and quotation marks are as in search. A flag may stand alone. docs/custom-checks.md says
what each operator means for each type; `truth` is what it means in fact.
"""

import re
from collections.abc import Sequence
from functools import cache

from django.utils.translation import gettext_noop as _

from triage.domain.custom_checks.kinds import TAG, facts_of, kinds, nearly
from triage.domain.search import fields, reading, times
from triage.domain.search.grammar import SIGNS, Language
from triage.domain.search.tree import QUOTED, Clause, Node, Operator, Query, QueryError, Span, Value, negated
from triage.ports import Fact, FactType

LONGEST = 2_000  # characters, as of a query

# Operators in words: which one, and whether it is denied.
SAID: dict[str, tuple[Operator, bool]] = {
    "is": (Operator.IS, False), "is not": (Operator.IS, True), "est": (Operator.IS, False), "n'est pas": (Operator.IS, True),
    "contains": (Operator.CONTAINS, False), "does not contain": (Operator.CONTAINS, True), "doesn't contain": (Operator.CONTAINS, True),
    "contient": (Operator.CONTAINS, False), "ne contient pas": (Operator.CONTAINS, True),
    "allows": (Operator.ALLOWS, False), "does not allow": (Operator.ALLOWS, True), "doesn't allow": (Operator.ALLOWS, True),
    "autorise": (Operator.ALLOWS, False), "n'autorise pas": (Operator.ALLOWS, True),
    "matches": (Operator.MATCHES, False), "does not match": (Operator.MATCHES, True), "doesn't match": (Operator.MATCHES, True),
    "correspond à": (Operator.MATCHES, False), "ne correspond pas à": (Operator.MATCHES, True),
}  # fmt: skip
ORDER = frozenset({Operator.IS, Operator.EQUALS, Operator.MORE, Operator.AT_LEAST, Operator.LESS, Operator.AT_MOST})
OPERATORS: dict[FactType, frozenset[Operator]] = {
    FactType.FLAG: frozenset({Operator.IS, Operator.EQUALS}),
    FactType.NUMBER: ORDER,
    FactType.AGE: ORDER,
    FactType.TEXT: frozenset({Operator.IS, Operator.EQUALS, Operator.CONTAINS, Operator.MATCHES}),
    FactType.TEXTS: frozenset({Operator.IS, Operator.CONTAINS, Operator.MATCHES}),
    FactType.PATTERNS: frozenset({Operator.IS, Operator.CONTAINS, Operator.ALLOWS, Operator.MATCHES}),
    FactType.PORTS: frozenset({Operator.IS, Operator.CONTAINS, Operator.ALLOWS}),
}
LISTS = frozenset({FactType.TEXTS, FactType.PATTERNS, FactType.PORTS})
EXAMPLES = {
    FactType.FLAG: "%s is true", FactType.NUMBER: "%s > 3", FactType.AGE: "%s > 90", FactType.TEXT: '%s is "…"',
    FactType.TEXTS: '%s contains "…"', FactType.PATTERNS: '%s allows "…"', FactType.PORTS: "%s allows 22",
}  # fmt: skip
TYPES = {
    FactType.FLAG: _("true or false"), FactType.NUMBER: _("number"), FactType.AGE: _("days"), FactType.TEXT: _("text"),
    FactType.TEXTS: _("list of texts"), FactType.PATTERNS: _("list of patterns"), FactType.PORTS: _("list of ports"),
}  # fmt: skip
TRUE, FALSE = frozenset({"true", "yes", "oui", "vrai"}), frozenset({"false", "no", "non", "faux"})
EMPTY = frozenset({"empty", "none", "missing", "vide", "aucun", "aucune", "absent", "absente"})

_WORDS = "|".join(re.escape(words).replace(r"\ ", r"\s+").replace("'", "['’]") for words in sorted(SAID, key=len, reverse=True))
_ENDED = r"(?=[\s(\"“«]|$)"
FIELD = (
    r"(?!(?:arn|https?):)[^\W\d_][\w-]*(?:\.(?:\"[^\"]*\"|[^\s()\",:<>=!“”«»]+))?"
    rf"(?=\s*(?:!=|[:<>=])|\s+(?i:{_WORDS}){_ENDED})"
)
OPERATOR = rf"{SIGNS}|(?i:{_WORDS}){_ENDED}"

_RULE = re.compile(
    r"\s*(?:if|si)\s(?P<condition>.+)\s(?:then|alors)\s+(?P<what>\w+)\s*(?:=|:|\sis\s|\sest\s)\s*(?P<severity>[\w-]+)\s*\.?\s*",
    re.IGNORECASE | re.DOTALL,
)
_QUALIFIED = re.compile(r"(?<![\w.-])([^\W\d_]\w*)\.")
_IS_QUOTED = re.compile(QUOTED, re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?")
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_SEVERITY = ("severity", "gravite", "severite")


def condition(text: str, kind: str) -> Query:
    """The condition on assets of this kind that the text writes. Raises QueryError, and nothing else, whatever the text."""
    query = _language(kind).parse(text)
    if query.root is None:
        raise QueryError(_("A condition is missing here. An example: %(example)s"), example=_example(kind))
    return query


def rule(text: str) -> tuple[str, int, str]:
    """The condition, where it begins, and the severity of `if … then severity = high`, also in French. Raises QueryError."""
    if len(text) > LONGEST:
        raise QueryError(_("The rule is longer than %(most)s characters."), position=LONGEST, most=LONGEST)
    found = _RULE.fullmatch(text)
    if found is None or fields.folded(found["what"]) not in _SEVERITY:
        raise QueryError(
            _("A rule is written: if CONDITION then severity = high. Or: si CONDITION alors gravité = haute."), length=len(text)
        )
    return found["condition"], found.start("condition"), severity(found["severity"], found.start("severity"))


def severity(text: str, position: int = 0) -> str:
    """The severity's name, from its name in English or French. Raises QueryError."""
    field = fields.named("severity")
    choice = field.choice(text) if field else None
    if field is None or choice is None:
        names = ", ".join(choice.name for choice in field.choices) if field else ""
        raise QueryError(
            _("“%(text)s” is not a severity. It may be: %(names)s."),
            position=position,
            length=len(text),
            text=text[:50],
            names=names,
        )
    return choice.name


def example(fact: Fact) -> str:
    """A comparison of the fact, as it may be written."""
    return EXAMPLES[fact.type] % _shown(fact)


def kind_in(text: str) -> str:
    """The kind that a condition names: `iam_role.permissions …` is about roles. '' where it names none. Raises QueryError."""
    bare = _IS_QUOTED.sub(lambda found: " " * len(found[0]), text)
    for found in _QUALIFIED.finditer(bare):
        name = found[1].casefold()
        if name in kinds():
            return name
        if name != TAG:
            raise _no_kind(name, Span(found.start(1), len(name)))
    return ""


def check_kind(name: str) -> str:
    """The kind of that name. Raises QueryError, with those that are spelled nearly so."""
    if name not in kinds():
        raise _no_kind(name, Span(0, len(name)))
    return name


# --- reading ------------------------------------------------------------------------------------------------------------------


@cache
def _language(kind: str) -> Language:
    reader = _Reader(kind)
    return Language(field=FIELD, operator=OPERATOR, clause=reader.clause, words=reader.words)


class _Reader:
    """Reads the leaves of a condition on one kind."""

    def __init__(self, kind: str) -> None:
        self._kind, self._facts = kind, facts_of(kind)

    def words(self, text: str, span: Span) -> Node:
        """A flag that stands alone."""
        if text[:1] in ('"', "“", "«"):
            raise QueryError(
                _("A text alone is not a condition. Say of which fact: %(example)s"), position=span.position, length=span.length,
                example=_example(self._kind),
            )  # fmt: skip
        fact, key = self._fact(text, span)
        if fact.type is not FactType.FLAG or key:
            raise QueryError(
                _("“%(fact)s” alone is not a condition. An example: %(example)s"), position=span.position, length=span.length,
                fact=fact.name, example=example(fact),
            )  # fmt: skip
        return Clause(fact.name, Operator.IS, (Value("true", span=span),), span=span)

    def clause(self, name: str, operator: str, values: Sequence[tuple[str, Span]], span: Span) -> Node:
        """A comparison. Raises QueryError where the fact does not exist, or cannot be compared so, or with that."""
        fact, key = self._fact(name, Span(span.position, len(name)))
        meant, denied = _operator(operator)
        if meant not in OPERATORS[fact.type]:
            raise QueryError(
                _("“%(fact)s” can't be compared with “%(operator)s”. An example: %(example)s"),
                position=span.position, length=span.length, fact=fact.name, operator=operator, example=example(fact),
            )  # fmt: skip
        if len(values) > reading.MAX_VALUES:
            raise QueryError(
                _("There are more than %(most)s values."), position=span.position, length=span.length, most=reading.MAX_VALUES
            )
        if len(values) > 1 and meant in ORDER - {Operator.IS, Operator.EQUALS}:
            raise QueryError(
                _("After “%(operator)s” there can be one value only."), position=values[1][1].position, length=values[1][1].length,
                operator=operator,
            )  # fmt: skip
        made = Clause(fact.name, meant, tuple(_value(fact, meant, raw, where) for raw, where in values), key, span)
        return negated(made) if denied else made

    def _fact(self, name: str, span: Span) -> tuple[Fact, str]:
        """The fact and, of a tag, its key. The kind may stand before: `iam_role.permissions`."""
        head, _dot, rest = name.partition(".")
        if rest and head.casefold() == self._kind:
            head, _dot, rest = rest.partition(".")
        elif rest and head.casefold() in kinds():
            raise QueryError(
                _("This check is about %(kind)s, and “%(other)s” is another kind: write a check for each."),
                position=span.position, length=len(head), kind=self._kind, other=head,
            )  # fmt: skip
        elif rest and head.casefold() not in self._facts:
            raise _no_kind(head, Span(span.position, len(head)))
        fact = self._facts.get(head.casefold())
        if fact is None:
            raise self._no_fact(head, span)
        if rest and fact.name != TAG:
            raise QueryError(
                _("“%(fact)s” has no parts: write %(example)s."), position=span.position, length=span.length, fact=fact.name,
                example=example(fact),
            )  # fmt: skip
        key = rest[1:-1] if rest[:1] == '"' else rest
        if fact.name == TAG and not key.strip():
            raise QueryError(_("Say which tag: tag.owner, for example."), position=span.position, length=span.length)
        return fact, reading.sane(tag_key(key), span)

    def _no_fact(self, name: str, span: Span) -> QueryError:
        close = nearly(name, self._facts)
        message = (
            _("%(kind)s has no fact “%(name)s”. Did you mean %(close)s?")
            if close
            else _("%(kind)s has no fact “%(name)s”. `cspm checks facts %(kind)s` lists them.")
        )
        return QueryError(
            message, position=span.position, length=span.length, suggestions=close, kind=self._kind, name=name[:50],
            close=", ".join(close),
        )  # fmt: skip


def tag_key(key: str) -> str:
    """A tag's key as it is compared: whatever its case."""
    return " ".join(key.split()).casefold()


def _operator(text: str) -> tuple[Operator, bool]:
    words = " ".join(text.casefold().replace("’", "'").split())
    if words in SAID:
        return SAID[words]
    sign = words.removeprefix(":") or ":"
    return (Operator.IS, True) if sign == "!=" else (Operator(sign), False)


def _value(fact: Fact, operator: Operator, raw: str, span: Span) -> Value:
    text, quoted, star = reading.unquoted(raw)
    reading.sane(text, span)
    word = "" if quoted or star else fields.folded(text)
    if fact.type in LISTS and operator is Operator.IS:
        if word not in EMPTY and text:
            raise _unfit(fact, raw, span, _("“%(fact)s” is a list, which can be empty; or write %(example)s."))
        return Value("", span=span)
    if fact.type is FactType.FLAG:
        if word not in TRUE | FALSE:
            raise _unfit(fact, raw, span, _("“%(value)s” does not fit “%(fact)s”, which is true or false."))
        return Value("true" if word in TRUE else "false", span=span)
    if fact.type in (FactType.NUMBER, FactType.AGE):
        return _number(fact, operator, "" if star else text, span)
    if fact.type is FactType.PORTS:
        return Value(_port(fact, "" if star else text, span), span=span)
    return _text(fact, operator, raw, span)


def _text(fact: Fact, operator: Operator, raw: str, span: Span) -> Value:
    """A text as it is: in quotation marks a star is a star, as in search. Only `matches` reads `*` and `?` for others."""
    text, quoted, star = reading.unquoted(raw)
    if operator is Operator.MATCHES or (operator is Operator.ALLOWS and not quoted):
        text, star = (f"{text}*" if star else text), False
    if operator in (Operator.IS, Operator.EQUALS) and not quoted and not star and fields.folded(text) in EMPTY:
        return Value("", span=span)
    if star and (operator is not Operator.IS):
        raise _unfit(
            fact,
            raw,
            span,
            _('A star outside of quotation marks: write "%(text)s*" for the star itself, or “matches”.'),
            text=text,
        )
    if not text and not star and operator not in (Operator.IS, Operator.EQUALS):
        raise _unfit(fact, raw, span, _("There is nothing to look for in these quotation marks."))
    return Value(text, prefix=star, span=span)


def _number(fact: Fact, operator: Operator, text: str, span: Span) -> Value:
    if operator is Operator.IS and ".." in text:
        low, high = (_figure(fact, end, span) if end else "" for end in text.split("..", 1))
        if low or high:
            return Value(low, high, span=span)
    return Value(_figure(fact, text, span), span=span)


def _figure(fact: Fact, text: str, span: Span) -> str:
    if _NUMBER.fullmatch(text):
        return text
    length = times.length(text) if fact.type is FactType.AGE else None
    if length is None:
        raise _unfit(fact, text, span, _("“%(value)s” is not a number, which “%(fact)s” is. An example: %(example)s"))
    return f"{times.duration(length).total_seconds() / 86_400:g}"


def _port(fact: Fact, text: str, span: Span) -> str:
    found = _PORT.fullmatch(text)
    if found is None or not int(found[1]) <= int(found[2] or found[1]) <= 65_535:
        raise _unfit(fact, text, span, _("“%(value)s” is neither a port nor a range of ports. An example: %(example)s"))
    return text


def _unfit(fact: Fact, value: str, span: Span, message: str, **more: str) -> QueryError:
    return QueryError(
        message, position=span.position, length=span.length, suggestions=[example(fact)], value=value[:50], fact=fact.name,
        example=example(fact),
        **more,
    )  # fmt: skip


def _no_kind(name: str, span: Span) -> QueryError:
    close = nearly(name, kinds())
    message = (
        _("There is no kind “%(name)s”. Did you mean %(close)s?")
        if close
        else _("There is no kind “%(name)s”. There are: %(kinds)s.")
    )
    return QueryError(
        message, position=span.position, length=span.length, suggestions=close, name=name[:50], close=", ".join(close),
        kinds=", ".join(kinds()),
    )  # fmt: skip


def _shown(fact: Fact) -> str:
    return "tag.owner" if fact.name == TAG else fact.name


def _example(kind: str) -> str:
    return example(next(iter(facts_of(kind).values())))
