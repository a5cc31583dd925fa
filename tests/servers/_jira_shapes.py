"""What each operation of Jira's REST API takes and answers, as far as a ticket system needs it: names, types, what must be there.

Written by hand after the published description (and, for Data Center, its documentation). `Operation.wrong_request` and
`.wrong_answer` say what does not fit; what Jira itself would refuse with a sentence (lengths, screens, workflows) is not here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
CATEGORY_KEY: Schema = {"enum": ["new", "indeterminate", "done", "undefined"]}
CATEGORY = shape({"id": NUMBER, "key": CATEGORY_KEY, "name": TEXT, "colorName": TEXT, "self": TEXT})
STATUS = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "description": TEXT, "statusCategory": CATEGORY})
NAMED = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "description?": TEXT})
PROJECT = shape({"id": NUMERIC, "key": TEXT, "name": TEXT, "self": TEXT, "projectTypeKey?": TEXT, "issueTypes?": ANY})
TYPE_OF_FIELD = shape({"type": TEXT, "items?": TEXT, "system?": TEXT, "custom?": TEXT, "customId?": NUMBER})
FIELD = {
    "key": TEXT, "name": TEXT, "required": YES, "schema": TYPE_OF_FIELD, "operations": many(TEXT), "hasDefaultValue?": YES,
    "allowedValues?": many(ANY), "defaultValue?": ANY,
}  # fmt: skip
ISSUE_TYPE = shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "subtask": YES, "fields?": named(shape(FIELD))})
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
JQL_BODY = {"jql?": TEXT, "maxResults?": NUMBER, "fields?": many(TEXT), "properties?": many(TEXT), "fieldsByKeys?": YES}


@dataclass(frozen=True)
class Operation:
    """`path`: {issue} and the like stand for one part of it. `query`: names of parameters that there are. `on`: one kind of Jira."""

    does: str
    method: str
    path: str
    query: str = ""
    body: Schema | None = None
    answers: Mapping[int, Schema] = field(default_factory=dict)
    on: str = "both"

    @cached_property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.query.split())

    @cached_property
    def _way(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{\w+\}", r"([^/]+)", self.path))

    @cached_property
    def _of_body(self) -> Draft202012Validator | None:
        return None if self.body is None else Draft202012Validator(self.body)

    @cached_property
    def _of_answers(self) -> Mapping[int, Draft202012Validator]:
        return {status: Draft202012Validator(schema) for status, schema in self.answers.items()}

    def parts(self, path: str) -> tuple[str, ...] | None:
        """What stands for {issue} and the like in this path; None when it is another's."""
        found = self._way.fullmatch(path)
        return found and found.groups()

    def wrong_request(self, query: Mapping[str, str], body: Any) -> Iterator[str]:
        if unknown := query.keys() - self.parameters:
            yield f"there is no parameter {', '.join(sorted(unknown))}"
        for name in sorted(query.keys() & {"maxResults", "startAt"}):
            if not query[name].isdecimal():
                yield f"$query.{name}: {query[name]!r} is not a number"
        if self._of_body:
            yield from _wrong(self._of_body, body)

    def wrong_answer(self, status: int, body: Any) -> Iterator[str]:
        if status not in self._of_answers and status < 400:
            yield f"it does not answer {status}"
        else:
            yield from _wrong(self._of_answers.get(status, _OF_ERRORS), body)


def _wrong(validator: Draft202012Validator, body: Any) -> Iterator[str]:
    for error in validator.iter_errors(body):
        yield f"{error.json_path}: {error.message}"[:300]


_OF_ERRORS = Draft202012Validator({"anyOf": [ERRORS, NOTHING]})


def either(schema: Schema) -> Schema:
    """It, or null."""
    return {"anyOf": [schema, NOTHING]}


def operations(version: str) -> tuple[Operation, ...]:
    """Of REST 2, where rich text is wiki markup, or 3, where it is a document."""
    rich = DOCUMENT if version == "3" else TEXT
    comment = shape({"id": NUMERIC, "self": TEXT, "author": USER, "body": rich, "created": MOMENT, "updated": MOMENT})
    comments = shape({"comments": many(comment), **PAGE, "self?": TEXT})
    linked = shape({"id": NUMERIC, "key": TEXT, "self": TEXT, "fields": ANY})
    fields = shape({
        "summary?": TEXT, "description?": either(rich), "labels?": many(TEXT), "duedate?": either(TEXT), "priority?": either(NAMED),
        "status?": STATUS, "resolution?": either(NAMED), "resolutiondate?": either(MOMENT), "created?": MOMENT, "updated?": MOMENT,
        "project?": PROJECT, "issuetype?": ISSUE_TYPE, "assignee?": either(USER), "reporter?": USER, "creator?": USER,
        "comment?": comments, "attachment?": many(ATTACHMENT), "issuelinks?": many(
            shape({"id": NUMERIC, "self": TEXT, "type": LINK_TYPE, "inwardIssue?": linked, "outwardIssue?": linked})
        ),
    }, more=True)  # fmt: skip
    issue = shape({
        "id": NUMERIC, "key?": TEXT, "self?": TEXT, "expand?": TEXT, "fields?": fields, "properties?": named(ANY),
        "changelog?": shape({"histories": many(HISTORY), **PAGE}),
    })  # fmt: skip
    transition = shape({
        "id": NUMERIC, "name": TEXT, "to": STATUS, "hasScreen": YES, "isGlobal": YES, "isInitial": YES, "isConditional": YES, "isAvailable": YES,
        "looped": YES, "fields?": named(shape(FIELD)),
    })  # fmt: skip
    writing = shape({
        "fields?": {"type": "object"}, "update?": UPDATE, "properties?": many(PROPERTY), "historyMetadata?": ANY, "transition?": ANY,
    })  # fmt: skip
    found = shape({"issues": many(issue), "nextPageToken?": TEXT, "isLast": YES})
    found_of_old = shape({"issues": many(issue), **PAGE, "expand?": TEXT, "warningMessages?": many(TEXT)})
    reading = "fields expand properties fieldsByKeys"
    return (
        Operation("about", "GET", "serverInfo", "doHealthCheck", None, {200: shape({
            "baseUrl": TEXT, "version": TEXT, "versionNumbers": many(NUMBER), "deploymentType": {"enum": ["Cloud", "Server"]},
            "buildNumber": NUMBER, "buildDate": MOMENT, "serverTime": MOMENT, "scmInfo": TEXT, "serverTitle": TEXT,
        })}),
        Operation("who", "GET", "myself", "expand", None, {200: USER}),
        Operation("rights", "GET", "mypermissions", "projectKey projectId issueKey issueId permissions", None, {200: shape({"permissions": named(
            shape({"id": TEXT, "key": TEXT, "name": TEXT, "type": {"enum": ["GLOBAL", "PROJECT"]}, "description": TEXT, "havePermission": YES})
        )})}),
        Operation("projects", "GET", "project", "expand recent properties", None, {200: many(PROJECT)}),
        Operation("projects_paged", "GET", "project/search", "startAt maxResults orderBy id keys query typeKey action expand status", None, {
            200: shape({"self": TEXT, **PAGE, "isLast": YES, "values": many(PROJECT), "nextPage?": TEXT}),
        }, on="Cloud"),
        Operation("project", "GET", "project/{project}", "expand properties", None, {200: PROJECT}),
        Operation("statuses", "GET", "project/{project}/statuses", "", None, {200: many(
            shape({"id": NUMERIC, "name": TEXT, "self": TEXT, "subtask": YES, "statuses": many(STATUS)})
        )}),
        Operation("create", "POST", "issue", "updateHistory", writing, {201: shape({"id": NUMERIC, "key": TEXT, "self": TEXT})}),
        Operation("bulk", "POST", "issue/bulkfetch", "", shape(
            {"issueIdsOrKeys": many(TEXT), "fields?": many(TEXT), "expand?": many(TEXT), "properties?": many(TEXT), "fieldsByKeys?": YES}
        ), {200: shape({"issues": many(issue), "issueErrors": many(ANY)})}, on="Cloud"),
        Operation("createmeta", "GET", "issue/createmeta", "projectIds projectKeys issuetypeIds issuetypeNames expand", None, {200: shape({
            "expand?": TEXT, "projects": many(shape({"id": NUMERIC, "key": TEXT, "name": TEXT, "self": TEXT, "issuetypes": many(ISSUE_TYPE)})),
        })}),
        Operation("types", "GET", "issue/createmeta/{project}/issuetypes", "startAt maxResults", None, {200: shape(
            {**PAGE, "issueTypes?": many(ISSUE_TYPE), "values?": many(ISSUE_TYPE), "isLast?": YES}
        )}),
        Operation("fields", "GET", "issue/createmeta/{project}/issuetypes/{type}", "startAt maxResults", None, {200: shape(
            {**PAGE, "fields?": many(shape({**FIELD, "fieldId": TEXT})), "values?": many(shape({**FIELD, "fieldId": TEXT})), "isLast?": YES}
        )}),
        Operation("get", "GET", "issue/{issue}", f"{reading} updateHistory failFast", None, {200: issue}),
        Operation("edit", "PUT", "issue/{issue}", "notifyUsers overrideScreenSecurity overrideEditableFlag returnIssue expand", writing, {
            204: NOTHING, 200: issue,
        }),
        Operation("remove", "DELETE", "issue/{issue}", "deleteSubtasks", None, {204: NOTHING}),
        Operation("assign", "PUT", "issue/{issue}/assignee", "", shape({"accountId?": ANY, "name?": ANY}), {204: NOTHING}),
        Operation("editmeta", "GET", "issue/{issue}/editmeta", "overrideScreenSecurity overrideEditableFlag", None, {
            200: shape({"fields": named(shape(FIELD))}),
        }),
        Operation("changelog", "GET", "issue/{issue}/changelog", "startAt maxResults", None, {
            200: shape({"self": TEXT, **PAGE, "isLast": YES, "values": many(HISTORY)}),
        }, on="Cloud"),
        Operation("transitions", "GET", "issue/{issue}/transitions", "expand transitionId skipRemoteOnlyCondition sortByOpsBarAndStatus", None, {
            200: shape({"expand": TEXT, "transitions": many(transition)}),
        }),
        Operation("transit", "POST", "issue/{issue}/transitions", "", shape({
            "transition": shape({"id": {"type": ["string", "integer"]}}, more=True), "fields?": {"type": "object"}, "update?": UPDATE,
            "historyMetadata?": ANY, "properties?": many(PROPERTY),
        }), {204: NOTHING}),
        Operation("comments", "GET", "issue/{issue}/comment", "startAt maxResults orderBy expand", None, {200: comments}),
        Operation("comment", "POST", "issue/{issue}/comment", "expand", shape(
            {"body": ANY, "visibility?": ANY, "properties?": many(PROPERTY)}, more=True
        ), {201: comment}),
        Operation("attach", "POST", "issue/{issue}/attachments", "", None, {200: many(ATTACHMENT)}),
        Operation("remote_links", "GET", "issue/{issue}/remotelink", "globalId", None, {200: {"anyOf": [many(REMOTE_LINK), REMOTE_LINK]}}),
        Operation("remote_link", "POST", "issue/{issue}/remotelink", "", shape({
            "globalId?": {"type": "string", "maxLength": 255}, "object": shape({"url": TEXT, "title": TEXT}, more=True), "application?": ANY,
            "relationship?": TEXT,
        }), {200: shape({"id": NUMBER, "self": TEXT}), 201: shape({"id": NUMBER, "self": TEXT})}),
        Operation("properties", "GET", "issue/{issue}/properties", "", None, {200: shape({"keys": many(shape({"key": TEXT, "self": TEXT}))})}),
        Operation("property", "GET", "issue/{issue}/properties/{key}", "", None, {200: PROPERTY}),
        Operation("put_property", "PUT", "issue/{issue}/properties/{key}", "", ANY, {200: ANY, 201: ANY}),
        Operation("drop_property", "DELETE", "issue/{issue}/properties/{key}", "", None, {204: NOTHING}),
        Operation("search", "GET", "search/jql", f"jql nextPageToken maxResults failFast reconcileIssues {reading}", None, {200: found}, on="Cloud"),
        Operation("search", "POST", "search/jql", "", shape({
            **JQL_BODY, "expand?": TEXT, "nextPageToken?": TEXT, "reconcileIssues?": many(NUMBER, 50),
        }), {200: found}, on="Cloud"),
        Operation("old_search", "GET", "search", f"jql startAt maxResults validateQuery {reading}", None, {200: found_of_old}),
        Operation("old_search", "POST", "search", "", shape({
            **JQL_BODY, "expand?": many(TEXT), "startAt?": NUMBER, "validateQuery?": {"type": ["boolean", "string"]},
        }), {200: found_of_old}),
        Operation("assignable", "GET", "user/assignable/search", (
            "query username accountId project issueKey issueId startAt maxResults actionDescriptorId"
        ), None, {200: many(USER)}),
        Operation("all_fields", "GET", "field", "", None, {200: many(shape({
            "id": TEXT, "key?": TEXT, "name": TEXT, "custom": YES, "orderable": YES, "navigable": YES, "searchable": YES,
            "clauseNames": many(TEXT), "schema": TYPE_OF_FIELD,
        }))}),
        Operation("priorities", "GET", "priority", "", None, {200: many(NAMED)}),
        Operation("resolutions", "GET", "resolution", "", None, {200: many(NAMED)}),
        Operation("link_types", "GET", "issueLinkType", "", None, {200: shape({"issueLinkTypes": many(LINK_TYPE)})}),
        Operation("link_issues", "POST", "issueLink", "", shape({
            "type": shape({"name?": TEXT, "id?": TEXT}, more=True), "inwardIssue": ISSUE_ID, "outwardIssue": ISSUE_ID, "comment?": ANY,
        }), {201: NOTHING}),
    )  # fmt: skip
