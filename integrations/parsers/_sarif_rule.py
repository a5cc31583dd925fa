"""What a SARIF run says of its rules: which one a result means, its texts, its severity, its weaknesses."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.parsers._sarif_place import as_dict, as_list, as_number, as_text
from triage.ports import CheckInfo, Severity

NO_RULE = "no-rule"
LONGEST_TEXT = 20_000
LONGEST_MESSAGE = 8_000
MOST_TAGS = 50

LEVELS = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.INFORMATIONAL}

_WORDS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "minor": Severity.LOW,
    "negligible": Severity.INFORMATIONAL,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
}

# Where tools keep a severity that is finer than the level: everybody, Bandit, zizmor, Black Duck.
_SEVERITY_PROPERTIES = ("security-severity", "issue_severity", "zizmor/severity", "securityRisk", "severity")

_number = re.compile(r"\s*(\d{1,3}(?:\.\d+)?)\s*$")
_cwe = re.compile(r"(?:^|[^a-z])cwe(?:-id)?[\s_:/#-]*0*([1-9]\d{0,4})\b", re.IGNORECASE)
_bare_cwe = re.compile(r"\s*0*([1-9]\d{0,4})\b")
_placeholder = re.compile(r"\{\{|\}\}|\{(\d{1,3})\}")
_link = re.compile(r"(?<!\\)\[((?:\\.|[^\]\\\n]){0,500})\]\((\d+)\)")
_unhelpful_title = re.compile(r"Semgrep Finding: ")


@dataclass(slots=True)
class Rule:
    """A rule as the report describes it. `weaknesses` may still grow while the first pass reads results and taxonomies."""

    id: str
    guid: str = ""
    title: str = ""
    description: str = ""
    help: str = ""
    url: str = ""
    level: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    weaknesses: list[str] = field(default_factory=list)
    targets: tuple[tuple[str, str, int, int], ...] = ()
    check: CheckInfo | None = None

    def size(self) -> int:
        """About how many characters it keeps."""
        return 300 + len(self.description) + len(self.help) + len(self.title) + sum(map(len, self.messages.values()))


@dataclass(slots=True)
class Component:
    """The driver or an extension of a tool with its rules by index, id and guid."""

    name: str = ""
    guid: str = ""
    rules: list[Rule | None] = field(default_factory=list)
    by_id: dict[str, Rule] = field(default_factory=dict)
    by_guid: dict[str, Rule] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def put(self, index: int, rule: Rule) -> None:
        self.rules.extend([None] * (index + 1 - len(self.rules)))
        self.rules[index] = rule
        self.by_id.setdefault(rule.id, rule)
        if rule.guid:
            self.by_guid.setdefault(rule.guid, rule)

    def at(self, index: int) -> Rule | None:
        return self.rules[index] if 0 <= index < len(self.rules) else None


@dataclass(slots=True)
class Rules:
    """All rules of a run: the driver's, then those of its extensions."""

    driver: Component = field(default_factory=Component)
    extensions: list[Component] = field(default_factory=list)

    def extension(self, index: int) -> Component:
        self.extensions.extend(Component() for _ in range(index + 1 - len(self.extensions)))
        return self.extensions[index]

    def find(self, rule_id: Any, rule_index: Any, reference: Any) -> tuple[Rule | None, str]:
        """The rule that a result means, if the report describes it, and the check's key.

        An id wins over an index that contradicts it; of a hierarchical id (`CA1000/1`) the parent's description serves.
        """
        fields = as_dict(reference)
        name = as_text(rule_id) or as_text(fields.get("id"))
        index = max(as_number(rule_index), as_number(fields.get("index")))
        component = self._component(as_dict(fields.get("toolComponent")))
        if name:
            return self._by_name(name, index, component), name
        rule = component.at(index) or component.by_guid.get(as_text(fields.get("guid")))
        return rule, (rule.id or rule.guid or NO_RULE) if rule else NO_RULE

    def message(self, rule: Rule | None, name: str) -> str:
        """The text of a message given by id: the rule's own, else a global one of the tool."""
        for messages in (rule.messages if rule else {}, self.driver.messages, *(e.messages for e in self.extensions)):
            if name in messages:
                return messages[name]
        return ""

    def every(self) -> Iterable[Rule]:
        for component in (self.driver, *self.extensions):
            yield from (rule for rule in component.rules if rule)

    def _component(self, reference: Mapping[str, Any]) -> Component:
        index = as_number(reference.get("index"))
        if 0 <= index < len(self.extensions):
            return self.extensions[index]
        for extension in self.extensions:
            for given, own in ((reference.get("guid"), extension.guid), (reference.get("name"), extension.name)):
                if own and given == own:
                    return extension
        return self.driver

    def _by_name(self, name: str, index: int, component: Component) -> Rule | None:
        at_index = component.at(index)
        if at_index and at_index.id == name:
            return at_index
        while name:
            for each in (component, self.driver, *self.extensions):
                if name in each.by_id:
                    return each.by_id[name]
            name = name.rpartition("/")[0]
        return None


def read_rule(fields: Mapping[str, Any]) -> Rule:
    """A reportingDescriptor, whatever state it is in."""
    name, rule_id = as_text(fields.get("name")), as_text(fields.get("id"))
    short, full = _message_text(fields.get("shortDescription")), _message_text(fields.get("fullDescription"))
    properties = as_dict(fields.get("properties"))
    tags = tuple(tag[:200] for tag in as_list(properties.get("tags")) if isinstance(tag, str))[:MOST_TAGS]
    rule = Rule(
        id=rule_id[:500],
        guid=as_text(fields.get("guid"))[:100],
        title=_title(rule_id, name, short, full),
        description=(full or short)[:LONGEST_TEXT],
        help=_message_text(fields.get("help"))[:LONGEST_TEXT],
        url=as_text(fields.get("helpUri"))[:2000],
        level=as_text(as_dict(fields.get("defaultConfiguration")).get("level")),
        properties={key: properties[key] for key in _SEVERITY_PROPERTIES if isinstance(properties.get(key), str | int | float)},
        tags=tags,
        messages={
            key: _message_text(text)[:LONGEST_MESSAGE] for key, text in list(as_dict(fields.get("messageStrings")).items())[:50]
        },
        targets=tuple(target for target in map(_target, as_list(fields.get("relationships"))[:20]) if target),
    )
    rule.weaknesses = weaknesses(tags, properties)
    return rule


def _message_text(value: Any) -> str:
    fields = as_dict(value)
    return (as_text(fields.get("text")) or as_text(fields.get("markdown"))).strip()


def _title(rule_id: str, name: str, short: str, full: str) -> str:
    if short and not _unhelpful_title.match(short):
        return short[:300]
    if name and name != rule_id:
        readable = name.replace("_", " ")
        return (readable[:1].upper() + readable[1:])[:300]
    last = rule_id.rpartition(".")[2] if "." in rule_id and " " not in rule_id else ""
    return (last or full.partition("\n")[0] or rule_id)[:300]


def _target(relationship: Any) -> tuple[str, str, int, int] | None:
    """What a rule (or a result's taxon) refers to: id, the taxonomy's name or guid, the taxonomy's index, the index in it."""
    fields = as_dict(relationship)
    target = as_dict(fields.get("target")) or fields
    component = as_dict(target.get("toolComponent"))
    name = as_text(component.get("name")) or as_text(component.get("guid"))
    found = (as_text(target.get("id")), name, as_number(component.get("index")), as_number(target.get("index")))
    return found if found[0] or found[3] >= 0 else None


def taxa_targets(taxa: Any) -> list[tuple[str, str, int, int]]:
    return [target for target in map(_target, as_list(taxa)[:20]) if target]


# --- severity -----------------------------------------------------------------------------------------------------------------


def effective_level(level: Any, kind: str, rule: Rule | None) -> str:
    """error, warning, note or none: the result's own, else the rule's, else warning; none for what is no failure."""
    own = as_text(level).lower()
    if own in LEVELS:
        return own
    if kind != "fail":
        return "none"
    default = rule.level.lower() if rule else ""
    return default if default in LEVELS else "warning"


def severity(level: str, properties: Mapping[str, Any], rule: Rule | None) -> Severity:
    """The CVSS-like number where there is one, else a word that the tool keeps in its properties, else the level's."""
    bags = (properties, rule.properties if rule else {})
    for bag in bags:
        banded = band(bag.get("security-severity"))
        if banded:
            return banded
    for bag in bags:
        for key in _SEVERITY_PROPERTIES:
            word = bag.get(key)
            if isinstance(word, str) and word.strip().lower() in _WORDS:
                return _WORDS[word.strip().lower()]
    for tag in rule.tags if rule else ():
        if tag.startswith("severity/") and tag[9:].lower() in _WORDS:
            return _WORDS[tag[9:].lower()]
    return LEVELS[level]


def band(value: Any) -> Severity | None:
    """The severity of a security-severity number ("7.5", 7.5); None for 0, NaN and words."""
    if isinstance(value, str):
        found = _number.match(value)
        value = float(found[1]) if found else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 10:
        return None
    if value >= 9:
        return Severity.CRITICAL
    if value >= 7:
        return Severity.HIGH
    return Severity.MEDIUM if value >= 4 else Severity.LOW


# --- weaknesses ---------------------------------------------------------------------------------------------------------------


def weaknesses(tags: Iterable[str], properties: Mapping[str, Any]) -> list[str]:
    """`CWE-79` style ids from tags (`external/cwe/cwe-079`, `CWE-78: …`) and from properties named after CWE."""
    found = [f"CWE-{number}" for tag in tags for number in _cwe.findall(tag)]
    for key, value in properties.items():
        if "cwe" in key.lower() and len(key) < 40:
            for each in value if isinstance(value, list) else [value]:
                found += _cwe_numbers(each)
    return list(dict.fromkeys(found))[:20]


def _cwe_numbers(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("id", "")
    text = str(value) if isinstance(value, str | int) else ""
    numbers = _cwe.findall(text) or _bare_cwe.findall(text)[:1]
    return [f"CWE-{number}" for number in numbers]


def taxon_weakness(target: tuple[str, str, int, int], taxonomies: Mapping[int, tuple[str, str, list[str]]]) -> str:
    """`CWE-…` if the target is an entry of a CWE taxonomy, else "". `taxonomies`: index to name, guid, ids."""
    taxon, component, at, index = target
    for number, (name, guid, ids) in taxonomies.items():
        if (component and component in (name, guid)) or (not component and number == at):
            component = name or component
            taxon = taxon or (ids[index] if 0 <= index < len(ids) else "")
    found = _cwe.fullmatch(taxon) or ("cwe" in component.lower() and (_cwe.search(taxon) or _bare_cwe.match(taxon)))
    return f"CWE-{found[1]}" if found else ""


# --- messages -----------------------------------------------------------------------------------------------------------------


def message(value: Any, rule: Rule | None, rules: Rules) -> str:
    """The sentence that a result's message comes to, "" if it has none."""
    fields = as_dict(value)
    arguments = as_list(fields.get("arguments"))
    text = as_text(fields.get("text")) or as_text(fields.get("markdown"))
    if not text and isinstance(fields.get("id"), str):
        text = rules.message(rule, fields["id"])
        text = _filled(text, arguments) if text else ", ".join(as_text(argument) for argument in arguments)
    elif arguments:
        text = _filled(text, arguments)
    if "](" in text:
        text = _link.sub(r"\1", text)
    return text[:LONGEST_MESSAGE].strip()


def _filled(text: str, arguments: list[Any]) -> str:
    def fill(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        number = int(found[1])
        return as_text(arguments[number])[:2000] if number < len(arguments) else found[0]

    return _placeholder.sub(fill, text)


# --- checks -------------------------------------------------------------------------------------------------------------------


def check_of(rule: Rule | None, key: str) -> CheckInfo:
    """What is stored of a rule; for one without description the key is all."""
    if rule is None:
        return CheckInfo(key=key, title=key)
    return CheckInfo(
        key=key,
        title=rule.title or key,
        description=rule.description,
        remediation=rule.help,
        remediation_url=rule.url,
        categories=tuple(tag for tag in rule.tags if not _cwe.search(tag)),
        weaknesses=tuple(rule.weaknesses),
    )
