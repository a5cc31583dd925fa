"""What a query means: a small immutable tree, and the one text that says the same."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from triage.domain.errors import TriageError


class QueryError(TriageError):
    """The query cannot be understood, or names something that does not exist.

    `position` (0-based) and `length` say which part of the text, in characters. `suggestions`: what may stand there instead.
    """

    def __init__(
        self, message: str, *, position: int = 0, length: int = 0, suggestions: Sequence[str] = (), **params: str | int
    ) -> None:
        super().__init__(message, **params)
        self.position = position
        self.length = length
        self.suggestions = tuple(suggestions)


class Operator(StrEnum):
    """How a field is compared. `!=` is no operator: it is the negation of IS. The words are for facts alone (`domain.custom_checks`)."""

    IS = ":"
    EQUALS = "="
    MORE = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="
    CONTAINS = "contains"
    ALLOWS = "allows"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class Span:
    """Where in the text it was written. Two trees of the same meaning are equal wherever their parts stood."""

    position: int = 0
    length: int = 0


NOWHERE = Span()


@dataclass(frozen=True, slots=True)
class Value:
    """`upto`: the other end of a range, then one of the two may be ''. `prefix`: it was written with a star behind."""

    text: str
    upto: str | None = None
    prefix: bool = False
    span: Span = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Clause:
    """One field compared with one value or with any of several. `field`: its English name; `key`: of a tag."""

    field: str
    operator: Operator
    values: tuple[Value, ...]
    key: str = ""
    span: Span = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Words:
    """Free text. `exact`: in quotation marks, whole words one after the other; otherwise all words, as prefixes."""

    text: str
    exact: bool = False
    span: Span = dataclasses.field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    part: "Node"


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple["Node", ...]


Node = Clause | Words | Not | And | Or


@dataclass(frozen=True, slots=True)
class Query:
    """`root` None: no condition, all findings."""

    root: Node | None = None

    def text(self) -> str:
        """The canonical text: parsing it gives an equal query."""
        return "" if self.root is None else _written(self.root)

    @property
    def has_words(self) -> bool:
        """Whether free text is asked for: finding those takes a join, which a counter or an index does not."""
        return self.root is not None and _has_words(self.root)


def _has_words(node: Node) -> bool:
    match node:
        case Words():
            return True
        case Not(part):
            return _has_words(part)
        case And(parts) | Or(parts):
            return any(_has_words(part) for part in parts)
        case Clause():
            return False


def negated(node: Node) -> Node:
    """The opposite; twice negated is not negated."""
    return node.part if isinstance(node, Not) else Not(node)


def both(parts: Sequence[Node]) -> Node:
    """All of these, without an And inside an And."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def either(parts: Sequence[Node]) -> Node:
    """Any of these, without an Or inside an Or."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


# How the text is cut up: the grammar's terminals, here because writing must know what reading does.
FIELD = r"(?!(?:arn|https?):)[^\W\d_][\w-]*(?:\.(?:\"[^\"]*\"|[^\s()\",:<>=!“”«»]+))?(?=\s*(?:!=|[:<>=]))"
QUOTED = r'"(?:[^"\\]|\\.)*"\*?|“[^”]*”\*?|«[^»]*»\*?'
BARE = r"[^\s,()\"“”«»]+"
KEYWORDS = {"AND": "and|et", "OR": "or|ou", "NOT": "not|non"}
ENDED = r"(?=[\s()\"“«]|$)"  # where a keyword ends
WORD = rf"-(?=[\s)]|$)|(?!(?i:{'|'.join(KEYWORDS.values())}){ENDED})[^\s()\",:<>=\-“”«»][^\s()\"“”«»]*"

_WORD = re.compile(WORD)
_FIELD = re.compile(FIELD)
_BARE = re.compile(r"[^\s,()\"“”«»*\\]+")
_BARE_KEY = re.compile(r"[^\s()\",:<>=!“”«»]+")


def quoted(text: str) -> str:
    """In quotation marks, with those inside escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written_value(text: str) -> str:
    """A value as it stands in a query: bare where that is read back as the same."""
    return text if _BARE.fullmatch(text) and text[0] not in "<>=" and ".." not in text else quoted(text)


def _written(node: Node) -> str:
    match node:
        case Or(parts):
            return " or ".join(_written(part) for part in parts)
        case And(parts):
            return " ".join(_in_brackets(part) if isinstance(part, Or) else _written(part) for part in parts)
        case Not(part):
            return "-" + (_in_brackets(part) if isinstance(part, And | Or) else _written(part))
        case Words(text, exact):
            return quoted(text) if exact or not _is_word(text) else text
        case Clause(name, operator, values, key):
            sign = f" {operator} " if operator.isalpha() else operator
            return f"{_written_field(name, key)}{sign}{','.join(_written_item(value) for value in values)}"


def _is_word(text: str) -> bool:
    return bool(_WORD.fullmatch(text)) and not _FIELD.match(text)


def _in_brackets(node: Node) -> str:
    return f"({_written(node)})"


def _written_field(name: str, key: str) -> str:
    if not key:
        return name
    return f"{name}.{key if _BARE_KEY.fullmatch(key) else quoted(key)}"


def _written_item(value: Value) -> str:
    if value.upto is not None:
        return f"{value.text}..{value.upto}"
    return written_value(value.text) + "*" * value.prefix if value.text else ("*" if value.prefix else '""')
