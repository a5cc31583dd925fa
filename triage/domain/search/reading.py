"""From the pieces of a query to its tree: which field is meant, whether its values make sense; what is wrong, where, what else."""

import re
from collections.abc import Callable, Sequence

from django.utils.translation import gettext_noop as _

from triage.domain.search import fields, times, words
from triage.domain.search.fields import Field, Kind
from triage.domain.search.tree import Clause, Node, Operator, QueryError, Span, Value, Words, negated

MAX_VALUES = 100
MAX_VALUE = 500  # characters

_UNPRINTABLE = re.compile("[\0-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_QUOTES = {'"': '"', "“": "”", "«": "»"}
_PUBLIC_ID = {
    "id": re.compile(r"(?:f-)?([0-9]{1,18})", re.IGNORECASE),
    "scan": re.compile(r"(?:s-)?([0-9]{1,18})", re.IGNORECASE),
}
_NUMBER = re.compile(r"-?[0-9]{1,9}")


def unquoted(text: str) -> tuple[str, bool, bool]:
    """The text inside quotation marks, whether it stood in some, and whether a star follows."""
    star = text.endswith("*")
    if text[:1] not in _QUOTES:
        return (text[:-1] if star else text), False, star
    inner = text[1 : -2 if star else -1]
    if text[0] == '"':
        return _ESCAPED.sub(r"\1", inner), True, star
    return inner.strip(), True, star


def free_text(text: str, span: Span) -> Words:
    """Words to search for."""
    inner, exact, _star = unquoted(text)
    return Words(sane(inner if exact else text, span), exact, span)


def clause(name: str, operator: str, values: Sequence[tuple[str, Span]], span: Span) -> Node:
    """A condition on a field. Raises QueryError where field, operator or value do not exist or do not fit."""
    field, key = _field(name, Span(span.position, len(name)))
    sign = operator.removeprefix(":") or ":"
    unequal = sign == "!="
    meant = Operator.IS if unequal or (sign == "=" and Operator.EQUALS not in field.operators) else Operator(sign)
    if meant not in field.operators:
        raise QueryError(
            _("“%(field)s” can't be compared with “%(operator)s”. An example: %(example)s"),
            position=span.position, length=span.length, suggestions=[field.example],
            field=field.name, operator=operator, example=field.example,
        )  # fmt: skip
    if len(values) > MAX_VALUES:
        raise QueryError(_("There are more than %(most)s values."), position=span.position, length=span.length, most=MAX_VALUES)
    if len(values) > 1 and meant not in (Operator.IS, Operator.EQUALS):
        raise QueryError(
            _("After “%(operator)s” there can be one value only."), position=values[1][1].position, length=values[1][1].length,
            operator=operator,
        )  # fmt: skip
    read = _READERS[field.kind]
    made = Clause(
        field.name, meant, tuple(_value(field, meant, text, where, read) for text, where in values), sane(key, span), span
    )
    return negated(made) if unequal else made


def _field(name: str, span: Span) -> tuple[Field, str]:
    head, _dot, key = name.partition(".")
    field = fields.named(head)
    if field is None:
        close = fields.close(head)
        message = (
            _("There is no field “%(name)s”. Did you mean %(close)s?")
            if close
            else _("There is no field “%(name)s”. To search for the text itself, put it in quotation marks.")
        )
        raise QueryError(message, position=span.position, length=span.length, suggestions=close, name=head, close=_listed(close))
    if key and not field.keyed:
        raise QueryError(
            _("“%(field)s” has no parts: write %(example)s."), position=span.position, length=span.length,
            suggestions=[field.example], field=field.name, example=field.example,
        )  # fmt: skip
    key = key[1:-1] if key[:1] == '"' else key
    return field, " ".join(key.split()).casefold()


def _value(field: Field, operator: Operator, raw: str, span: Span, read: "Reader") -> Value:
    text, quoted, star = unquoted(raw)
    sane(text, span)
    if not quoted and not star and (choice := field.choice(text)):
        if operator in (Operator.IS, Operator.EQUALS) or field.kind is Kind.RANKED:
            return Value(choice.name, span=span)
        raise _unfit(field, text, span)
    if not quoted and not star and operator is Operator.IS and Operator.MORE in field.operators and ".." in text:
        return _range(field, text, span, read)
    return read(field, operator, text, star, span)


def _range(field: Field, text: str, span: Span, read: "Reader") -> Value:
    ends = []
    for end in text.split("..", 1):
        if not end:
            ends.append("")
        elif field.kind is Kind.RANKED and (choice := field.choice(end)):
            ends.append(choice.name)
        else:
            ends.append(read(field, Operator.AT_LEAST, end, False, span).text)
    if not any(ends):
        raise _unfit(field, text, span)
    return Value(ends[0], ends[1], span=span)


# --- values by kind -----------------------------------------------------------------------------------------------------------

Reader = Callable[[Field, Operator, str, bool, Span], Value]


def _choice(field: Field, _operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    choice = None if star else field.choice(text)  # quoted: `est:"en retard"`
    if choice is None:
        raise _unfit(field, text, span)
    return Value(choice.name, span=span)


def _text(field: Field, operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    if not text and not star:
        raise _unfit(field, text, span)
    if field.name == "asset" and operator is Operator.IS and not words.split(text):
        raise QueryError(
            _("“%(value)s” contains no letter or digit to search for."), position=span.position, length=span.length, value=text
        )
    if field.name == "weakness" and text.isdecimal():
        text = f"CWE-{text}"
    if star and operator is Operator.EQUALS:
        raise QueryError(
            _("“=” wants the whole value: write “:” before a value with a star."), position=span.position, length=span.length
        )
    return Value(text, prefix=star, span=span)


def _number(field: Field, _operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    if star or not _NUMBER.fullmatch(text):
        raise _unfit(field, text, span)
    return Value(str(int(text)), span=span)


def _public_id(field: Field, _operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    match = _PUBLIC_ID[field.name].fullmatch(text)
    if star or not match:
        raise _unfit(field, text, span)
    return Value(f"F-{int(match[1]):06d}" if field.name == "id" else f"S-{int(match[1])}", span=span)


def _time(field: Field, operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    canonical = None if star else times.time(text)
    is_length = canonical is not None and times.length(canonical) is not None
    if canonical is None or (operator is Operator.IS and (is_length or canonical == "now")):
        raise _unfit(field, text, span)
    if is_length and field.name != "due" and not canonical.startswith("-"):
        raise QueryError(
            _("“%(field)s” is in the past: write -%(value)s, or use “age”."), position=span.position, length=span.length,
            suggestions=[f"-{canonical}"], field=field.name, value=canonical,
        )  # fmt: skip
    return Value(canonical, span=span)


def _duration(field: Field, operator: Operator, text: str, star: bool, span: Span) -> Value:  # noqa: FBT001 - a Reader
    canonical = None if star else times.length(text)
    if canonical is None or canonical.startswith("-") or operator is Operator.IS:
        raise _unfit(field, text, span)
    return Value(canonical, span=span)


_READERS: dict[Kind, Reader] = {
    Kind.CHOICE: _choice,
    Kind.RANKED: _choice,
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.PUBLIC_ID: _public_id,
    Kind.TIME: _time,
    Kind.DURATION: _duration,
}

# --- what goes wrong ----------------------------------------------------------------------------------------------------------


def _unfit(field: Field, text: str, span: Span) -> QueryError:
    suggestions = field.close(text)
    if suggestions:
        message = _("“%(value)s” is not a value of “%(field)s”. Did you mean %(close)s?")
    elif field.kind in (Kind.CHOICE, Kind.RANKED):
        suggestions = [choice.name for choice in field.choices]
        message = _("“%(value)s” is not a value of “%(field)s”. Possible values: %(close)s.")
    else:
        suggestions = [field.example]
        message = _("“%(value)s” is not a value of “%(field)s”. An example: %(close)s.")
    return QueryError(
        message, position=span.position, length=span.length, suggestions=suggestions,
        value=text[:50], field=field.name, close=_listed(suggestions),
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def sane(text: str, span: Span) -> str:
    """The text, if it can be kept and shown. Raises QueryError."""
    if len(text) > MAX_VALUE or _UNPRINTABLE.search(text):
        message = (
            _("This value is longer than %(most)s characters.")
            if len(text) > MAX_VALUE
            else _("There is a character here that can't be printed. Type the value instead of pasting it.")
        )
        raise QueryError(message, position=span.position, length=span.length, most=MAX_VALUE)
    return text
