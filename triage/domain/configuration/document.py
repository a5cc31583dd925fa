"""A YAML document read with its line numbers: all that is wrong in it is said at once, each with its line and what was meant."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid
from triage.ports import Text

DEEPEST = 20
LARGEST = 10 * 2**20  # characters
SHOWN = 80  # of a wrong value

NOT_YAML = _("Line %(line)s: this is not YAML: %(problem)s.")
TOO_LARGE = _("Line %(line)s: the file is larger than 10 MB.")
TOO_DEEP = _("Line %(line)s: the file is nested too deeply.")
EMPTY = _("Line %(line)s: the file is empty. `cspm config export` writes one to begin with.")
NO_MAPPING = _("Line %(line)s: %(where)s should be a mapping (key: value), and is %(found)s.")
NO_LIST = _("Line %(line)s: %(where)s should be a list, and is %(found)s.")
NO_TEXT = _("Line %(line)s: %(where)s should be a text, and is %(found)s.")
NO_FLAG = _("Line %(line)s: %(where)s should be true or false, and is “%(found)s”.")
UNKNOWN_KEY = _("Line %(line)s: %(where)s has no key “%(key)s”. It may have: %(keys)s.")
UNKNOWN_KEY_CLOSE = _("Line %(line)s: %(where)s has no key “%(key)s”. Did you mean “%(close)s”?")
TWICE = _("Line %(line)s: “%(key)s” is here twice in %(where)s.")
MISSING = _("Line %(line)s: %(where)s has no “%(key)s”.")
TOO_LONG = _("Line %(line)s: %(where)s is longer than %(longest)s characters.")
CONTROL = _("Line %(line)s: %(where)s has a control character in it.")
BLANK = _("Line %(line)s: %(where)s is empty.")
NO_CHOICE = _("Line %(line)s: %(where)s cannot be “%(found)s”. It may be: %(choices)s.")
NO_CHOICE_CLOSE = _("Line %(line)s: %(where)s cannot be “%(found)s”. Did you mean “%(close)s”?")
NO_ADDRESS = _("Line %(line)s: %(where)s is not an e-mail address: “%(found)s”.")
UNKNOWN_TEAM = _("Line %(line)s: there is no team “%(team)s”, neither in the file nor stored.")
UNKNOWN_TEAM_CLOSE = _("Line %(line)s: there is no team “%(team)s”. Did you mean “%(close)s”?")

UNKNOWN_CALENDAR = _("Line %(line)s: there is no calendar “%(calendar)s”, neither in the file nor stored.")

# Signs instead of words: they stand in sentences of two languages. So does `where`, which names keys of the file.
SIGNS: dict[type[yaml.Node], str] = {yaml.MappingNode: "{…}", yaml.SequenceNode: "[…]"}
TRUE, FALSE = ("true", "yes", "on", "oui", "vrai"), ("false", "no", "off", "non", "faux")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the file. Lines are 1-based."""

    line: int
    text: Text


class WrongConfiguration(Invalid):
    """The file cannot be applied. `problems`: all that is wrong with it, by line; its own text is the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        first = self.problems[0].text
        super().__init__(first.message, **first.params)


@dataclass(slots=True)
class Document:
    """What is read, and what is found wrong while reading. A value that is wrong is read as if it were empty.

    `teams`, `calendars`: (node, slug) of each reference to one, checked when all sections are read.
    """

    problems: list[Problem] = field(default_factory=list)
    teams: list[tuple[yaml.Node, str]] = field(default_factory=list)
    calendars: list[tuple[yaml.Node, str]] = field(default_factory=list)

    def wrong(self, node: yaml.Node, message: str, **params: str | int) -> None:
        """Note a problem at the node's line."""
        line = line_of(node)
        self.problems.append(Problem(line, Text(message, {"line": line, **params})))

    def check(self) -> None:
        """Raises WrongConfiguration if anything was wrong."""
        if self.problems:
            raise WrongConfiguration(self.problems)

    def mapping(self, node: yaml.Node, keys: Sequence[str] | None, where: str) -> dict[str, yaml.Node]:
        """The values by key. `keys`: those that there may be, None for any."""
        if not isinstance(node, yaml.MappingNode):
            if not is_null(node):
                self.wrong(node, NO_MAPPING, where=where, found=_found(node))
            return {}
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.text(key_node, where=where)
            if key in found:
                self.wrong(key_node, TWICE, key=_short(key), where=where)
            elif keys is not None and key not in keys:
                self._unknown_key(key_node, key, keys, where)
            else:
                found[key] = value
        return found

    def _unknown_key(self, node: yaml.Node, key: str, keys: Sequence[str], where: str) -> None:
        if close := difflib.get_close_matches(key, keys, n=1):
            self.wrong(node, UNKNOWN_KEY_CLOSE, where=where, key=_short(key), close=close[0])
        else:
            self.wrong(node, UNKNOWN_KEY, where=where, key=_short(key), keys=", ".join(keys))

    def items(self, node: yaml.Node, where: str) -> list[yaml.Node]:
        """The items of a list; nothing for null."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if not is_null(node):
            self.wrong(node, NO_LIST, where=where, found=_found(node))
        return []

    def text(self, node: yaml.Node, *, where: str, longest: int = 1000, required: bool = False) -> str:
        """A scalar as it is written: `018` keeps its zero and `no` is a word. '' for null."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, NO_TEXT, where=where, found=_found(node))
            return ""
        text = "" if is_null(node) else str(node.value).strip()
        if len(text) > longest:
            self.wrong(node, TOO_LONG, where=where, longest=longest)
        elif any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t" for character in text):
            self.wrong(node, CONTROL, where=where)
        elif required and not text:
            self.wrong(node, BLANK, where=where)
        else:
            return text
        return ""

    def texts(self, node: yaml.Node, *, where: str, longest: int) -> list[str]:
        """A list of texts, none of them empty."""
        return [
            text for item in self.items(node, where) if (text := self.text(item, where=where, longest=longest, required=True))
        ]

    def flag(self, node: yaml.Node, *, where: str) -> bool:
        """True or false, in YAML's words or in French; true when it is neither."""
        value = str(node.value).casefold() if isinstance(node, yaml.ScalarNode) else ""
        if value not in (*TRUE, *FALSE):
            self.wrong(node, NO_FLAG, where=where, found=_short(value) or _found(node))
        return value not in FALSE

    def choice(self, node: yaml.Node, choices: Iterable[str], *, where: str) -> str:
        """One of the words, whatever its case; '' when it is none of them."""
        value = self.text(node, where=where).casefold()
        known = list(choices)
        if value in known or not value:
            return value
        if close := difflib.get_close_matches(value, known, n=1):
            self.wrong(node, NO_CHOICE_CLOSE, where=where, found=_short(value), close=close[0])
        else:
            self.wrong(node, NO_CHOICE, where=where, found=_short(value), choices=", ".join(known))
        return ""

    def address(self, node: yaml.Node, *, where: str, required: bool = False) -> str:
        """An e-mail address, case-folded."""
        value = self.text(node, where=where, longest=254, required=required).casefold()
        if value:
            try:
                validate_email(value)
            except ValidationError:
                self.wrong(node, NO_ADDRESS, where=where, found=_short(value))
                return ""
        return value

    def team(self, node: yaml.Node, *, where: str) -> str:
        """A team's slug; '' for none. That there is such a team is checked at the end."""
        slug = self.text(node, where=where, longest=80)
        if slug:
            self.teams.append((node, slug))
        return slug

    def check_teams(self, known: Iterable[str]) -> None:
        """Note each reference to a team that is not known."""
        slugs = set(known)
        for node, slug in self.teams:
            if slug not in slugs:
                if close := difflib.get_close_matches(slug, slugs, n=1):
                    self.wrong(node, UNKNOWN_TEAM_CLOSE, team=_short(slug), close=close[0])
                else:
                    self.wrong(node, UNKNOWN_TEAM, team=_short(slug))

    def check_calendars(self, known: Iterable[str]) -> None:
        """Note each reference to a calendar that is not known."""
        slugs = set(known)
        for node, slug in self.calendars:
            if slug not in slugs:
                self.wrong(node, UNKNOWN_CALENDAR, calendar=_short(slug))

    def require(self, node: yaml.Node, found: Mapping[str, object], key: str, *, where: str) -> bool:
        """Whether the key is there; noted when it is not."""
        if key not in found:
            self.wrong(node, MISSING, where=where, key=key)
        return key in found


def compose(text: str) -> yaml.Node:
    """The document's root. Raises WrongConfiguration for what is no YAML, or none that we read."""
    if len(text) > LARGEST:
        raise WrongConfiguration([Problem(1, Text(TOO_LARGE, {"line": 1}))])
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(text, loader)
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise WrongConfiguration([_not_yaml(error)]) from error
    if root is None or is_null(root):
        raise WrongConfiguration([Problem(1, Text(EMPTY, {"line": 1}))])
    return root


def _check_depth(text: str, loader: Any) -> None:
    """Composing recurses, in C without a limit: a hundred thousand brackets would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise WrongConfiguration([Problem(line, Text(TOO_DEEP, {"line": line}))])


def _not_yaml(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    return Problem(line, Text(NOT_YAML, {"line": line, "problem": str(problem)}))


def line_of(node: yaml.Node) -> int:
    """The node's line, 1-based."""
    return node.start_mark.line + 1


def is_null(node: yaml.Node) -> bool:
    """Whether the value is left out: `key:`, `key: null`, `key: ~`."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _found(node: yaml.Node) -> str:
    return SIGNS.get(type(node)) or f'"{_short(str(node.value))}"'  # as the file quotes it, in any language


def _short(text: str) -> str:
    text = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
