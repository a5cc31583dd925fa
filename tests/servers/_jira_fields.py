"""Fields of Jira's screens: what createmeta says of them, and the sentences with which Jira refuses values.

Sentences are as quoted in public issues where there are such; those marked `guessed` are not.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

Screen = Mapping[str, Mapping[str, Any]]
PRIORITIES = [{"id": str(number), "name": name} for number, name in enumerate(["Highest", "High", "Medium", "Low", "Lowest"], 1)]
STANDARD: Screen = {
    "summary": {"required": True, "schema": {"type": "string"}},
    "project": {"required": True, "schema": {"type": "project"}},
    "issuetype": {"required": True, "schema": {"type": "issuetype"}, "name": "Issue Type"},
    "reporter": {"required": True, "schema": {"type": "user"}},
    "description": {"schema": {"type": "string"}},
    "labels": {"schema": {"type": "array", "items": "string"}},
    "duedate": {"schema": {"type": "date"}, "name": "Due date"},
    "priority": {"schema": {"type": "priority"}, "allowedValues": PRIORITIES},
    "assignee": {"schema": {"type": "user"}},
}
LONGEST_TEXT, LONGEST_LINE = 32_767, 255
NO_CHARACTER = re.compile(r"[\x00-\x08\ud800-\udfff]")
NOT_ON_SCREEN = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
NO_DOCUMENT = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"


def is_rich(name: str, field: Mapping[str, Any]) -> bool:
    """Wiki markup or a document: the description, and custom fields of several lines."""
    return name in ("description", "environment") or str(field.get("schema", {}).get("custom", "")).endswith(":textarea")


def meta(name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    """What createmeta and the like say of it."""
    kind = {"customId": int(name.rpartition("_")[2])} if name.startswith("customfield_") else {"system": name}
    if "customId" in kind:
        kind["custom"] = "com.atlassian.jira.plugin.system.customfieldtypes:" + str(field["schema"]["type"])
    operations = ["add", "set", "remove"] if field["schema"]["type"] == "array" else ["set"]
    return {
        "key": name, "name": name.title(), "required": False, "hasDefaultValue": False, "operations": operations, **field,
        "schema": {**kind, **field["schema"]},
    }  # fmt: skip


def called(name: str, screen: Screen) -> str:
    return str(screen.get(name, {}).get("name", name.title()))


def refusals(given: Mapping[str, Any], screen: Screen, *, version: str, creating: bool) -> dict[str, str]:
    """By field, the sentence with which Jira refuses; projects, types and users are looked at elsewhere."""
    refused = {name: NOT_ON_SCREEN.format(name) for name in given.keys() - screen.keys()}
    for name, field in screen.items():
        required = field.get("required") and not field.get("hasDefaultValue") and name != "reporter"
        if required and (given.get(name) in (None, "", []) if name in given else creating):
            refused[name] = f"{called(name, screen)} is required."
        elif given.get(name) is not None and (sentence := next(_wrong(name, given[name], field, version), "")):
            refused[name] = sentence
    if "summary" in refused and not str(given.get("summary") or "").strip():
        refused["summary"] = "You must specify a summary of the issue."
    return refused


def _wrong(name: str, value: Any, field: Mapping[str, Any], version: str) -> Iterator[str]:
    kind = field["schema"]["type"]
    if is_rich(name, field):
        yield from _wrong_text(value, version)
    elif name == "summary":
        yield from _wrong_summary(value)
    elif name == "labels":
        yield from _wrong_labels(value)
    elif kind == "array":
        if not isinstance(value, list):
            yield "data was not an array"
        else:
            yield from (sentence for each in value for sentence in _wrong_one(each, str(field["schema"].get("items")), field))
    else:
        yield from _wrong_one(value, kind, field)


def _wrong_text(value: Any, version: str) -> Iterator[str]:
    if version == "2" and not isinstance(value, str):
        yield "Operation value must be a string"
    elif version == "3" and not (isinstance(value, dict) and value.get("type") == "doc" and value.get("version") == 1):
        yield NO_DOCUMENT
    elif len(plain(value)) > LONGEST_TEXT:
        yield "The entered text is too long. It exceeds the allowed limit of 32,767 characters."


def _wrong_summary(value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield "Operation value must be a string"
    elif not value.strip():
        yield "You must specify a summary of the issue."
    elif "\n" in value or "\r" in value:
        yield "The summary is invalid because it contains newline characters."
    elif len(value) > LONGEST_LINE:
        yield "Summary can't exceed 255 characters."


def _wrong_labels(value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        yield "data was not an array"
        return
    for label in value:
        if re.search(r"\s", label):
            yield f"The label '{label}' contains spaces which is invalid."
        if len(label) > LONGEST_LINE:
            yield f"The label '{label}' exceeds the maximum length for labels, which is 255 characters."  # guessed


def _wrong_one(value: Any, kind: str, field: Mapping[str, Any]) -> Iterator[str]:
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        yield "Operation value must be a number"
    elif kind == "string" and not isinstance(value, str):
        yield "Operation value must be a string"
    elif kind == "string" and len(value) > LONGEST_LINE:
        yield "The entered text is too long. It exceeds the allowed limit of 255 characters."
    elif kind == "date" and not _is_date(value):
        yield f"Error parsing date string: {value}"
    elif kind in ("option", "priority", "resolution", "securitylevel", "component", "version"):
        yield from _wrong_choice(value, kind, field)


def _wrong_choice(value: Any, kind: str, field: Mapping[str, Any]) -> Iterator[str]:
    word = "value" if kind == "option" else "name"
    if not isinstance(value, dict) or not value.keys() & {"id", word}:
        yield f"Specify a valid 'id' or '{word}' for {field.get('name', kind)}"  # guessed
        return
    by = "id" if "id" in value else word
    if not isinstance(value[by], str):
        yield f"expected '{by}' property to be a string"  # guessed
    elif not any(each.get(by) == value[by] for each in field.get("allowedValues", ())):
        yield f"{kind.title()} {by} '{value[by]}' is not valid"


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
    except ValueError:
        return False


def unsayable(value: Any) -> bool:
    """Whether there is a character in it that Jira's database has no place for, or a node of a document that is none."""
    if isinstance(value, str):
        return bool(NO_CHARACTER.search(value))
    if isinstance(value, dict):
        marks = {mark.get("type") for mark in value.get("marks", ()) if isinstance(mark, dict)}
        of_code = "code" in marks and marks - {"code", "link"}
        if value.get("type") == "text" and (of_code or not value.get("text")):
            return True
        return any(unsayable(each) for each in value.values())
    return isinstance(value, list) and any(unsayable(each) for each in value)


def plain(value: Any) -> str:
    """The text of a document, or what is text already."""
    if isinstance(value, dict):
        if value.get("type") == "text":
            return str(value.get("text", ""))
        between = "\n" if value.get("type") == "doc" else ""
        return between.join(plain(each) for each in value.get("content", ()))
    return str(value or "")


def shown_text(value: Any, version: str) -> Any:
    """A rich text as this version of the REST API gives it, whichever it was written by."""
    if value is None or (version == "3") == isinstance(value, dict):
        return value
    if version == "2":
        return plain(value)
    paragraphs = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in value.split("\n") if line]
    return {"type": "doc", "version": 1, "content": paragraphs}
