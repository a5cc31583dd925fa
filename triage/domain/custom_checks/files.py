"""Check files: YAML in `CSPM_HOME/checks`, one check or a list of them in each. Nothing in them is ever run.

- id: role_open_to_all                          # what findings and configuration know it by; it never changes
  applies_to: iam_role                          # `cspm checks facts` lists kinds and facts
  fails_when: permissions contains "*" and trust_policy allows "*"
  severity: high
  title: {en: A role lets everybody in, fr: Un rôle est ouvert à tous}
  remediation: {en: …, fr: …}                   # as are description and risk; or a plain text
  controls: {CIS-3.0: [1.16]}
- id: the_same
  rule: if iam_role.permissions contains "*" and iam_role.trust_policy allows "*" then severity = high
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain.configuration.document import Document, Problem, WrongConfiguration, compose, line_of
from triage.domain.custom_checks import language
from triage.domain.errors import Invalid
from triage.domain.search.tree import Node, QueryError
from triage.ports import Severity, Text

LARGEST = 2**20  # bytes of a file
MOST = 2_000  # checks
ID = re.compile(r"[a-z][a-z0-9_-]{2,99}")
KEYS = (
    "id", "applies_to", "fails_when", "rule", "severity", "title", "description", "risk", "remediation", "url", "controls", "exposes",
)  # fmt: skip
TEXTS = {"title": 300, "description": 5_000, "risk": 5_000, "remediation": 5_000}  # with their longest
LANGUAGES = ("en", "fr")

WRONG = _("Line %(line)s, column %(column)s: %(what)s")
NO_ID = _(
    "Line %(line)s: “%(id)s” is not an id: small letters, digits, “_” and “-”, from 3 to 100 of them, beginning with a letter."
)
ID_TWICE = _("Line %(line)s: there is another check “%(id)s”, in %(file)s.")
BOTH = _("Line %(line)s: the check “%(id)s” has both “rule” and “fails_when”. One says it all.")
NEITHER = _("Line %(line)s: the check “%(id)s” has no “fails_when”: a condition such as %(example)s.")
NO_KIND = _("Line %(line)s: say in “applies_to” what the check “%(id)s” is about. `cspm checks facts` lists what there is.")
NO_SEVERITY = _("Line %(line)s: the check “%(id)s” has no “severity”.")
TWO_SEVERITIES = _("Line %(line)s: the severity is in the rule already.")
NO_LANGUAGE = _("Line %(line)s: %(where)s is in no language that is known here: en or fr.")
NO_ADDRESS = _("Line %(line)s: “%(address)s” is not an address. It begins with https://.")
LARGE = _("Line %(line)s: the file is larger than 1 MB.")
TOO_MANY = _("Line %(line)s: there are more than %(most)s checks.")
NOT_TEXT = _("Line %(line)s: the file is not UTF-8 text.")
UNREADABLE = _("Line %(line)s: the file cannot be read: %(problem)s.")


@dataclass(frozen=True, slots=True)
class CustomCheck:
    """A check that somebody wrote. `texts`: title, description, risk, remediation by language ('' for one that is not said)."""

    id: str
    kind: str
    severity: Severity
    condition: Node
    written: str
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    url: str = ""
    controls: tuple[tuple[str, str], ...] = ()
    exposes: bool = False
    file: str = ""
    line: int = 0

    def said(self, name: str) -> str:
        """A text in the first language that has it: the one without a name, English, French."""
        return next((self.texts[each][name] for each in ("", *LANGUAGES) if self.texts.get(each, {}).get(name)), "")


class WrongChecks(Invalid):
    """Check files cannot be used. `problems`: all that is wrong in them, by file; its own text is the first."""

    def __init__(self, problems: Mapping[str, Sequence[Problem]]) -> None:
        self.problems = {file: tuple(found) for file, found in problems.items() if found}
        file, found = next(iter(self.problems.items()))
        super().__init__(_("%(file)s: %(what)s"), file=file, what=gettext(found[0].text.message) % found[0].text.params)


def active() -> list[CustomCheck]:
    """The checks that this installation has. Raises WrongChecks."""
    folder = Path(settings.CHECKS_DIR)
    return load(sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml") and path.is_file()))


def load(paths: Iterable[Path]) -> list[CustomCheck]:
    """The checks of these files. Raises WrongChecks with all that is wrong in any of them."""
    checks: dict[str, CustomCheck] = {}
    problems: dict[str, list[Problem]] = {}
    for path in paths:
        try:
            found = read(_text(path), name=path.name)
        except WrongConfiguration as error:
            problems[path.name] = list(error.problems)
            continue
        for check in found:
            if check.id in checks:
                twin = Text(ID_TWICE, {"line": check.line, "id": check.id, "file": checks[check.id].file})
                problems.setdefault(path.name, []).append(Problem(check.line, twin))
            checks.setdefault(check.id, check)
            if len(checks) > MOST:
                raise WrongChecks({path.name: [Problem(check.line, Text(TOO_MANY, {"line": check.line, "most": MOST}))]})
    if problems:
        raise WrongChecks(problems)
    return list(checks.values())


def read(text: str, *, name: str = "") -> list[CustomCheck]:
    """The checks of a file's text. Raises WrongConfiguration with all that is wrong in it."""
    if len(text) > LARGEST:
        raise WrongConfiguration([Problem(1, Text(LARGE, {"line": 1}))])
    root = compose(text)
    reader = _Reader(text, name)
    items = root.value if isinstance(root, yaml.SequenceNode) else [root]
    checks: dict[str, CustomCheck] = {}
    for item in items:
        check = reader.check(item)
        if check and check.id in checks:
            reader.document.wrong(item, ID_TWICE, id=check.id, file=name)
        elif check:
            checks[check.id] = check
    reader.document.check()
    return list(checks.values())


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST + 1).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongConfiguration([Problem(1, Text(NOT_TEXT, {"line": 1}))]) from None
    except OSError as error:
        raise WrongConfiguration([Problem(1, Text(UNREADABLE, {"line": 1, "problem": error.strerror or str(error)}))]) from error


class _Reader:
    """Reads the checks of one file, and gathers what is wrong."""

    def __init__(self, source: str, name: str) -> None:
        self.document = Document()
        self._source, self._name = source, name

    def check(self, node: yaml.Node) -> CustomCheck | None:
        """None for one that is wrong, which is noted."""
        document = self.document
        before = len(document.problems)
        fields = document.mapping(node, KEYS, gettext("a check"))
        if not isinstance(node, yaml.MappingNode) or not document.require(node, fields, "id", where=gettext("a check")):
            return None
        id_ = document.text(fields["id"], where="id", longest=100, required=True)
        if id_ and not ID.fullmatch(id_):
            document.wrong(fields["id"], NO_ID, id=id_)
        if len(document.problems) > before:  # of a key that is misspelled nothing more is to be said
            return None
        judges = self._judges(node, fields, id_)
        exposes = "exposes" in fields and document.flag(fields["exposes"], where="exposes")
        texts, url, controls = self._texts(fields), self._address(fields), tuple(self._controls(fields))
        if judges is None or len(document.problems) > before:
            return None
        kind, severity, condition, written = judges
        return CustomCheck(
            id=id_, kind=kind, severity=severity, condition=condition, written=written, texts=texts, url=url, controls=controls,
            exposes=exposes, file=self._name, line=line_of(node),
        )  # fmt: skip

    def _judges(self, node: yaml.Node, fields: Mapping[str, yaml.Node], id_: str) -> tuple[str, Severity, Node, str] | None:
        """The kind, the severity, the condition, and how it was written. None for what is wrong."""
        severity = self._named(fields["severity"], "severity", language.severity) if "severity" in fields else ""
        where = self._rule_or_condition(node, fields, id_)
        text = self.document.text(where, where="fails_when", longest=language.LONGEST, required=True) if where else ""
        if where is None or not text:
            return None
        written, offset = text, 0
        try:
            if where is fields.get("rule"):
                written, offset, severity = language.rule(text)
            kind = self._kind(node, fields, id_, written)
            root = language.condition(written, kind).root if kind else None
        except QueryError as error:
            self._wrong(where, text, error, offset)
            return None
        if not severity and "severity" not in fields:
            self.document.wrong(node, NO_SEVERITY, id=id_)
        return (kind, Severity[severity.upper()], root, written.strip()) if root and severity else None

    def _rule_or_condition(self, node: yaml.Node, fields: Mapping[str, yaml.Node], id_: str) -> yaml.Node | None:
        """The one that the check has."""
        if "rule" in fields and "fails_when" in fields:
            self.document.wrong(fields["rule"], BOTH, id=id_)
            return None
        if "rule" in fields and "severity" in fields:
            self.document.wrong(fields["severity"], TWO_SEVERITIES)
        elif "rule" not in fields and "fails_when" not in fields:
            self.document.wrong(node, NEITHER, id=id_, example='trust_policy allows "*"')
        return fields.get("rule", fields.get("fails_when"))

    def _kind(self, node: yaml.Node, fields: Mapping[str, yaml.Node], id_: str, written: str) -> str:
        """Raises QueryError for a condition that names a kind which does not exist."""
        named = language.kind_in(written)
        if "applies_to" in fields:
            return self._named(fields["applies_to"], "applies_to", language.check_kind)
        if not named:
            self.document.wrong(node, NO_KIND, id=id_)
        return named

    def _named(self, node: yaml.Node, where: str, read: Callable[[str], str]) -> str:
        text = self.document.text(node, where=where, longest=100, required=True)
        try:
            return read(text) if text else ""
        except QueryError as error:
            self._wrong(node, text, error, 0)
            return ""

    def _texts(self, fields: Mapping[str, yaml.Node]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name, longest in TEXTS.items():
            node = fields.get(name)
            if isinstance(node, yaml.MappingNode):
                for code, value in self.document.mapping(node, None, name).items():
                    if code not in LANGUAGES:
                        self.document.wrong(value, NO_LANGUAGE, where=f"{name}.{code[:20]}")
                    found.setdefault(code, {})[name] = self.document.text(value, where=f"{name}.{code[:20]}", longest=longest)
            elif node is not None:
                found.setdefault("", {})[name] = self.document.text(node, where=name, longest=longest)
        return found

    def _address(self, fields: Mapping[str, yaml.Node]) -> str:
        if "url" not in fields:
            return ""
        address = self.document.text(fields["url"], where="url", longest=1000)
        if address and not (address.startswith(("https://", "http://")) and address.isprintable() and " " not in address):
            self.document.wrong(fields["url"], NO_ADDRESS, address=address[:100])
        return address

    def _controls(self, fields: Mapping[str, yaml.Node]) -> Iterator[tuple[str, str]]:
        if "controls" not in fields:
            return
        for framework, node in self.document.mapping(fields["controls"], None, "controls").items():
            where = f"controls.{framework[:40]}"
            if isinstance(node, yaml.ScalarNode):
                yield framework, self.document.text(node, where=where, longest=300, required=True)
            else:
                for reference in self.document.texts(node, where=where, longest=300):
                    yield framework, reference

    def _wrong(self, node: yaml.Node, text: str, error: QueryError, offset: int) -> None:
        line, column = placed(self._source, node, text, error.position + offset)
        what = gettext(error.text.message) % error.text.params
        self.document.problems.append(Problem(line, Text(WRONG, {"line": line, "column": column, "what": what})))


def placed(source: str, node: yaml.Node, text: str, position: int) -> tuple[int, int]:
    """Line and column, 1-based, of a place in a scalar's text, however YAML writes it: what is no space is counted in both."""
    mark = node.start_mark
    lines = source.split("\n")
    line, column = mark.line, mark.column
    style = getattr(node, "style", None)
    if style in ("|", ">"):
        line, column = line + 1, 0
    elif style in ('"', "'"):
        column += 1
    left = len("".join(text[:position].split()))
    at_end = position >= len(text)
    while line < len(lines):
        row = lines[line]
        while column < len(row):
            if not row[column].isspace():
                if left == 0:
                    return line + 1, column + 1
                escaped = (style == '"' and row[column] == "\\") or (style == "'" and row[column : column + 2] == "''")
                column += escaped
                left -= 1
                if left == 0 and at_end:
                    return line + 1, column + 2
            column += 1
        line, column = line + 1, 0
    return mark.line + 1, mark.column + 1
