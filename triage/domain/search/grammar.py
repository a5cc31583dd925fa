"""The grammar of queries (LALR, so that time grows with length alone), with limits that no text can get around.

Queries for findings and conditions on facts are two languages of one grammar: they differ in what a field and an operator look like
and in what reads them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext_noop as _
from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from triage.domain.search import reading
from triage.domain.search.tree import (
    BARE,
    ENDED,
    FIELD,
    KEYWORDS,
    QUOTED,
    WORD,
    Node,
    Query,
    QueryError,
    Span,
    both,
    either,
    negated,
)

MAX_LENGTH = 2_000
MAX_DEPTH = 20
MAX_CLAUSES = 100


def _terminal(pattern: str) -> str:
    return "/" + pattern.replace("/", r"\/") + "/"


_GRAMMAR = rf"""
start: any?
any: all (_OR all)*
all: _one (_AND? _one)*
_one: denied | "(" any ")" | clause | words
denied: _NOT _one
clause: FIELD OPERATOR value (_COMMA value)*
value: BARE | QUOTED
words: WORD | QUOTED

_AND.5: /(?:{KEYWORDS["AND"]}){ENDED}/i
_OR.5: /(?:{KEYWORDS["OR"]}){ENDED}/i
_NOT.5: /(?:{KEYWORDS["NOT"]}){ENDED}|-(?=[^\s)])/i
_COMMA.3: ","
QUOTED.2: {_terminal(QUOTED)}s
BARE: {_terminal(BARE)}
WORD: {_terminal(WORD)}
%ignore /\s+/
"""


SIGNS = r":?(?:>=|<=|>|<)|!=|=|:"

# The name, the operator, the values and where they stand, where all of it stands.
ClauseReader = Callable[[str, str, Sequence[tuple[str, Span]], Span], Node]
WordsReader = Callable[[str, Span], Node]


class _Reader(Transformer[Token, Any]):
    """Called by the parser from the inside out: no tree is walked, so that no depth can overflow the stack."""

    def __init__(self, clause: ClauseReader, words: WordsReader) -> None:
        super().__init__()
        self._clause, self._words = clause, words

    def start(self, children: list[Node]) -> Query:
        return Query(children[0] if children else None)

    def any(self, children: Sequence[Node]) -> Node:
        return either(children)

    def all(self, children: Sequence[Node]) -> Node:
        return both(children)

    def denied(self, children: list[Node]) -> Node:
        return negated(children[0])

    @v_args(inline=True)
    def clause(self, name: Token, operator: Token, *values: Token) -> Node:
        last = values[-1]
        span = Span(_start(name), _start(last) + len(last) - _start(name))
        return self._clause(str(name), str(operator), [(str(value), _span(value)) for value in values], span)

    @v_args(inline=True)
    def value(self, token: Token) -> Token:
        return token

    @v_args(inline=True)
    def words(self, token: Token) -> Node:
        return self._words(str(token), _span(token))


class Language:
    """The grammar with what its leaves look like, as regular expressions, and who reads them. They raise QueryError."""

    def __init__(self, *, field: str, operator: str, clause: ClauseReader, words: WordsReader) -> None:
        grammar = f"{_GRAMMAR}FIELD.4: {_terminal(field)}\nOPERATOR.2: {_terminal(operator)}\n"
        reader = _Reader(clause, words)
        self._lark = Lark(grammar, parser="lalr", lexer="contextual", transformer=reader, maybe_placeholders=False)

    def parse(self, text: str) -> Query:
        """The query that this text writes. Raises QueryError, and nothing else, whatever the text."""
        return _parsed(self._lark, text)


_FINDINGS = Language(field=FIELD, operator=SIGNS, clause=reading.clause, words=reading.free_text)


def parse(text: str) -> Query:
    """The query for findings that this text writes. Raises QueryError, and nothing else, whatever the text."""
    return _FINDINGS.parse(text)


def _parsed(lark: Lark, text: str) -> Query:
    if len(text) > MAX_LENGTH:
        raise QueryError(
            _("The query is longer than %(most)s characters."),
            position=MAX_LENGTH,
            length=len(text) - MAX_LENGTH,
            most=MAX_LENGTH,
        )
    parser = lark.parse_interactive(text)
    limits = _Limits()
    try:
        for token in parser.iter_parse():
            limits.check(token)
        read: Query = parser.feed_eof(limits.last)  # type: ignore[no-untyped-call]
    except UnexpectedInput as problem:
        raise _explained(problem, text) from None
    return read


class _Limits:
    """Counts what the parser reads. Brackets and negations both make depth."""

    def __init__(self) -> None:
        self.last: Token | None = None
        self._clauses = 0
        self._brackets = 0
        self._negations = 0

    def check(self, token: Token) -> None:
        self.last = token
        if token.type == "_NOT":
            self._negations += 1
        elif token.type == "LPAR":
            self._brackets += 1
        elif token.type == "RPAR":
            self._brackets -= 1
        elif token.type in ("FIELD", "WORD", "QUOTED"):
            self._clauses += 1
            self._negations = 0
        if self._brackets + self._negations > MAX_DEPTH:
            raise QueryError(
                _("The query is nested more than %(most)s levels deep."),
                position=_start(token),
                length=len(token),
                most=MAX_DEPTH,
            )
        if self._clauses > MAX_CLAUSES:
            raise QueryError(
                _("The query has more than %(most)s conditions."), position=_start(token), length=len(token), most=MAX_CLAUSES
            )


def _explained(problem: UnexpectedInput, text: str) -> QueryError:
    at_end = isinstance(problem, UnexpectedToken) and problem.token.type == "$END"
    position = len(text) if at_end or problem.pos_in_stream is None else problem.pos_in_stream
    rest = text[position:]
    found = (_PIECE.match(rest) or [rest])[0]
    expected = set(problem.expected if isinstance(problem, UnexpectedToken) else getattr(problem, "allowed", None) or ())
    if rest[:1] in ('"', "“", "«") and isinstance(problem, UnexpectedCharacters):
        message, found = _("This quotation mark is never closed."), rest
    elif "BARE" in expected:
        message = _("A value is missing here.")
    elif at_end and "RPAR" in expected:
        message = _("A bracket is never closed.")
    elif at_end:
        message = _("Something is missing at the end.")
    elif found == ")":
        message = (
            _("There is nothing in these brackets.")
            if text[:position].rstrip()[-1:] == "("
            else _("This bracket was never opened.")
        )
    else:
        message = _("“%(found)s” can't stand here. To search for the text itself, put it in quotation marks.")
    return QueryError(message, position=position, length=len(found), found=found[:50])


_PIECE = re.compile(r"[()]|[^\s()]+")


def _start(token: Token) -> int:
    return token.start_pos or 0


def _span(token: Token) -> Span:
    return Span(_start(token), len(token))
