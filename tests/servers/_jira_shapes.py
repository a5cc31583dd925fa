"""What each operation of Jira's REST API takes and answers, as far as a ticket system needs it: names, types, what must be there.

Written by hand after the published description (and, for Data Center, its documentation). `Operation.wrong_request` and
`.wrong_answer` say what does not fit; what Jira itself would refuse with a sentence (lengths, screens, workflows) is not here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]
ANY: Schema = {}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
YES: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}$"}
NUMERIC: Schema = {"type": "string", "pattern": r"^\d+$"}
NOTHING: Schema = {"type": "null"}


def shape(members: Mapping[str, Schema], *, more: bool = False) -> Schema:
    """An object; a name that ends in ? may be missing. `more`: names that are not here may be there, too."""
    return {
        "type": "object", "properties": {name.rstrip("?"): each for name, each in members.items()},
        "required": [name for name in members if not name.endswith("?")], "additionalProperties": more,
    }  # fmt: skip


def many(of: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": of} | ({"maxItems": most} if most else {})


def named(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


DOCUMENT = shape({"type": {"const": "doc"}, "version": {"const": 1}, "content": many(shape({"type": TEXT}, more=True))})
ERRORS = shape({"errorMessages?": many(TEXT), "errors?": named(TEXT), "warningMessages?": many(TEXT), "status?": NUMBER})
PROPERTY = shape({"key": {"type": "string", "maxLength": 255, "minLength": 1}, "value": ANY})
USER = shape({
    "self": TEXT, "displayName": TEXT, "active": YES, "accountId?": TEXT, "accountType?": TEXT, "emailAddress?": TEXT, "name?": TEXT,
    "key?": TEXT, "timeZone?": TEXT, "locale?": TEXT,
})  # fmt: skip
CATEGORY = shape({"id": NUMBER, "key": {"enum": ["new", "indeterminate", "done", "undefined"]}, "name": TEXT, "colorName": TEXT, "self": TEXT})
STATUS = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "description": TEXT, "statusCategory": CATEGORY})
NAMED = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "description?": TEXT})
PROJECT = shape({"id": NUMERIC, "key": TEXT, "name": TEXT, "self": TEXT, "projectTypeKey?": TEXT, "issueTypes?": ANY, "archived?": YES})
TYPE_OF_FIELD = shape({"type": TEXT, "items?": TEXT, "system?": TEXT, "custom?": TEXT, "customId?": NUMBER})
FIELD = {
    "key": TEXT, "name": TEXT, "required": YES, "schema": TYPE_OF_FIELD, "operations": many(TEXT), "hasDefaultValue?": YES,
    "allowedValues?": many(ANY), "defaultValue?": ANY,
}  # fmt: skip
ISSUE_TYPE = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "subtask": YES, "description?": TEXT, "fields?": named(shape(FIELD))})
PAGE = {"maxResults": NUMBER, "startAt": NUMBER, "total": NUMBER}
CHANGE = shape({
    "field": TEXT, "fieldtype": TEXT, "fieldId?": TEXT, "from": {"type": ["string", "null"]}, "fromString": {"type": ["string", "null"]},
    "to": {"type": ["string", "null"]}, "toString": {"type": ["string", "null"]},
})  # fmt: skip
HISTORY = shape({"id": NUMERIC, "author": USER, "created": MOMENT, "items": many(CHANGE)})
ATTACHMENT = shape({
    "id": NUMERIC, "filename": TEXT, "size": NUMBER, "mimeType": TEXT, "content": TEXT, "created": MOMENT, "author": USER, "self": TEXT,
})  # fmt: skip
REMOTE_LINK = shape({
    "id": NUMBER, "self": TEXT, "globalId?": TEXT, "object": ANY, "application?": ANY, "relationship?": TEXT,
})  # fmt: skip
LINK_TYPE = shape({"id": NUMERIC, "name": TEXT, "inward": TEXT, "outward": TEXT, "self": TEXT})
UPDATE = named(many(shape({"add?": ANY, "set?": ANY, "remove?": ANY, "edit?": ANY, "copy?": ANY})))
ISSUE_ID = shape({"id?": TEXT, "key?": TEXT})
TRANSITION_ID = shape({"id": {"type": ["string", "integer"]}}, more=True)  # an integer is taken, and told as a violation
JQL_BODY = {"jql?": TEXT, "maxResults?": NUMBER, "fields?": many(TEXT), "properties?": many(TEXT), "fieldsByKeys?": YES}


@dataclass(frozen=True)
class Operation:
    """`path`: {issue} and the like stand for one part of it. `query`: names of parameters that there are."""

    does: str
    method: str
    path: str
    query: frozenset[str] = frozenset()
    body: Schema | None = None
    answers: Mapping[int, Schema] = field(default_factory=dict)
    on: str = "both"

    def fits(self, path: str) -> re.Match[str] | None:
        return re.fullmatch(re.sub(r"\{\w+\}", r"([^/]+)", self.path), path)

    def wrong_request(self, query: Mapping[str, str], body: Any) -> Iterator[str]:
        if unknown := query.keys() - self.query:
            yield f"there is no parameter {', '.join(sorted(unknown))}"
        for name in query.keys() & {"maxResults", "startAt"}:
            if not query[name].isdecimal():
                yield f"{name} is a number, not {query[name]!r}"
        if self.body is not None:
            yield from _wrong(self.body, body)

    def wrong_answer(self, status: int, body: Any) -> Iterator[str]:
        expected = self.answers.get(status)
        if expected is None and status < 400:
            yield f"it does not answer {status}"
        else:
            yield from _wrong(ERRORS if expected is None else expected, body)


def _wrong(schema: Schema, body: Any) -> Iterator[str]:
    for error in _validator(id(schema), _Kept(schema)).iter_errors(body):
        yield f"{error.json_path}: {error.message}"[:300]


class _Kept(dict):
    """A schema that can be a key of a cache: the same object is the same."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return True


@lru_cache(maxsize=None)
def _validator(_number: int, schema: _Kept) -> Draft202012Validator:
    return Draft202012Validator(dict(schema))
