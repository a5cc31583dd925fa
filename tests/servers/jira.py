"""A stand-in for Jira, Cloud or Data Center, that keeps what it is told, refuses what Jira refuses, and fails as Jira fails.

Requests and answers are checked against `_jira_shapes`; what does not fit is kept in `violations`. Sentences of errors are as quoted in
public issues where there are such; the others are guesses. Alone: `python -m tests.servers.jira --port 8099`.
"""

import argparse
import base64
import mimetypes
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from tests.servers import _jira_shapes as shapes
from tests.servers import _jql
from tests.servers._http import Answer, Request, wait_headers
from tests.servers._jira_fields import PRIORITIES, is_rich, meta, refusals, shown_text, unsayable
from tests.servers._jira_tracker import CATEGORIES, RESOLUTIONS, RESOLVING, WORKFLOWS, Issue, Tracker, change, moment

TOKEN = "secret-token-of-tests"
NOT_THERE = "Issue does not exist or you do not have permission to see it."
SEARCH_IS_GONE = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
UNBOUNDED = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
ILLEGAL = "It seems that you have tried to perform an illegal workflow operation."
TOKEN_LIFE = 7 * 86400  # seconds that the token of a page holds
LINK_TYPES = [
    {"id": "10000", "name": "Blocks", "inward": "is blocked by", "outward": "blocks"},
    {"id": "10001", "name": "Duplicate", "inward": "is duplicated by", "outward": "duplicates"},
    {"id": "10002", "name": "Relates", "inward": "relates to", "outward": "relates to"},
]
WANTS = {
    "create": "CREATE_ISSUES", "edit": "EDIT_ISSUES", "put_property": "EDIT_ISSUES", "drop_property": "EDIT_ISSUES", "remove": "DELETE_ISSUES",
    "transit": "TRANSITION_ISSUES", "comment": "ADD_COMMENTS", "attach": "CREATE_ATTACHMENTS", "remote_link": "LINK_ISSUES",
    "link_issues": "LINK_ISSUES", "assign": "ASSIGN_ISSUES",
}  # fmt: skip
PERMISSIONS = sorted({*WANTS.values(), "BROWSE_PROJECTS", "CLOSE_ISSUES", "RESOLVE_ISSUES", "ADMINISTER_PROJECTS"})
OPERATIONS = {version: shapes.operations(version) for version in ("2", "3")}


class Refusal(Exception):
    """An answer that ends the work on a request."""

    def __init__(self, status: int, *messages: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(messages)
        self.answer = Answer(status, {"errorMessages": list(messages), "errors": dict(fields or {})})


@dataclass
class Call:
    version: str
    query: Mapping[str, str]
    body: Any
    request: Request
    by: Mapping[str, Any] | None  # None: nobody is signed in

    def number(self, name: str, default: int) -> int:
        return int({**self.query, **(self.body if isinstance(self.body, dict) else {})}.get(name, default))


class Jira(Tracker):
    """`with Jira(...) as jira`: `jira.url` is its address, TOKEN its token (with `jira.email` on Cloud).

    What is there: issues (by id), webhooks, deliveries, requests, log, violations, disobeyed (requests during a wait that was asked for).
    To be set at any time: screen, screens, lag (seconds of the index), signed_in and anonymous (what a token that does not hold leads to:
    401 or anonymity), may and denied (permissions), per_second (writes of the tenant), per_issue ((writes, seconds) or None), retry_after
    (as `wait_headers` takes it), largest_attachment, search_page and fields_page (rows of a page at most).
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.url, self.email = self.address, self.bot["email"]
        self.signed_in, self.anonymous, self.may = True, False, True
        self.denied: set[str] = set()
        self.per_second = 0
        self.per_issue: tuple[int, float] | None = (20, 2.0)
        self.retry_after: str | int | None = "1"
        self.writes: list[float] = []
        self.closed_until = 0.0
        self.disobeyed = 0
        self.largest_attachment = 10 * 1024 * 1024
        self.search_page, self.fields_page = 1, 5  # small, so that paging is needed
        self._issue_writes: dict[str, list[float]] = {}
        self._issue_closed_until: dict[str, float] = {}

    def controls(self) -> Mapping[str, Callable[[], Any]]:
        more = {"issues": lambda: list(self.issues.values()), "deliveries": lambda: [vars(each) for each in self.deliveries]}
        return {**super().controls(), **more}

    # --- from a request to an operation

    def answer(self, request: Request) -> Answer:
        found = re.fullmatch(r"/rest/api/(2|3|latest)/(.*)", request.path)
        version = {"latest": "3" if self.cloud else "2"}.get(found[1], found[1]) if found else ""
        if not found or (version == "3" and not self.cloud):
            self.violations.append(f"{request.method} {request.path}: no such path")
            return Answer(404, {"errorMessages": [f"null for uri: {request.path}"]})
        if limited := self._limited(request, found[2]):
            return limited
        known = self._knows(request)
        if not known and not self.anonymous:
            return Answer(401, {"errorMessages": ["Client must be authenticated to access this resource."]})
        operation, parts = self._operation(request, version, found[2])
        if operation is None:
            self.violations.append(f"{request.method} {request.path}: no such operation")
            return Answer(405, {"errorMessages": ["Method Not Allowed"]})
        done = self._done(operation, parts, request, version, self.bot if known else None)
        for wrong in operation.wrong_answer(done.status, done.body):
            self.violations.append(f"{request.method} {request.path} -> {done.status}: {wrong}")
        return done

    def _operation(self, request: Request, version: str, path: str) -> tuple[shapes.Operation | None, tuple[str, ...]]:
        for operation in OPERATIONS[version]:
            here = operation.on in ("both", "Cloud" if self.cloud else "Server")
            parts = operation.parts(path) if here and operation.method == request.method else None
            if parts is not None:
                return operation, parts
        return None, ()

    def _done(
        self, operation: shapes.Operation, parts: tuple[str, ...], request: Request, version: str, by: Mapping[str, Any] | None
    ) -> Answer:
        media = "multipart/form-data" if operation.does == "attach" else "application/json"
        given_as = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if request.method in ("POST", "PUT") and given_as != media:
            self.violations.append(f"{request.method} {request.path}: it takes {media}, not {given_as or 'what has no type'}")
            return Refusal(415, "Unsupported Media Type").answer
        try:
            body = request.json if operation.body is not None else None
        except ValueError:
            self.violations.append(f"{request.method} {request.path}: not JSON")
            return Refusal(400, "There was an error parsing JSON. Check that your request body is valid.").answer
        wrong = list(operation.wrong_request(request.query, body))
        self.violations += [f"{request.method} {request.path}: {each}" for each in wrong]
        if any(each.startswith("$") for each in wrong):
            return Refusal(400, "Invalid request payload. Refer to the REST API documentation and try again.").answer
        try:
            call = Call(version, request.query, body, request, by)
            given: list[Any] = list(parts)
            if by is None and operation.does not in (
                "about",
                "who",
                "rights",
                "bulk",
                "search",
                "old_search",
                "projects",
                "projects_paged",
            ):
                raise Refusal(404, NOT_THERE)
            if "{issue}" in operation.path:
                given[0] = self._issue(parts[0])
            if (wanted := WANTS.get(operation.does)) and not self._may(wanted):
                raise Refusal(403, f"You do not have the permission {wanted}.")
            return getattr(self, f"_does_{operation.does}")(call, *given)
        except _jql.BadQuery as error:
            return Refusal(400, str(error)).answer
        except Refusal as refusal:
            return refusal.answer

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("Authorization", "")
        basic = base64.b64encode(f"{self.email}:{TOKEN}".encode()).decode()
        return self.signed_in and given == (f"Basic {basic}" if self.cloud else f"Bearer {TOKEN}")

    def _may(self, permission: str) -> bool:
        return self.may and permission not in self.denied

    # --- limits

    def _limited(self, request: Request, path: str) -> Answer | None:
        now = self.clock()
        if now < self.closed_until:
            self.disobeyed += 1
        if request.method == "GET":
            return None
        return self._limited_tenant(now) or self._limited_issue(path, now)

    def _limited_tenant(self, now: float) -> Answer | None:
        if not self.per_second:
            return None
        self.writes = [at for at in self.writes if at > now - 1]
        if len(self.writes) < self.per_second and now >= self.closed_until:
            self.writes.append(now)
            return None
        seconds, headers = wait_headers(self.retry_after, now)
        self.closed_until = now + seconds
        return self._too_many("jira-burst-based", headers, self.per_second)

    def _limited_issue(self, path: str, now: float) -> Answer | None:
        named = re.match(r"issue/([^/]+)", path)
        number = self.id_of(named[1]) if named else ""
        if not number or not self.per_issue:
            return None
        most, seconds = self.per_issue
        if now < self._issue_closed_until.get(number, 0.0):
            self.disobeyed += 1
        writes = self._issue_writes[number] = [at for at in self._issue_writes.get(number, []) if at > now - seconds]
        if len(writes) < most:
            writes.append(now)
            return None
        wait, headers = wait_headers(self.retry_after, now)
        self._issue_closed_until[number] = now + wait
        return self._too_many("jira-per-issue-on-write", headers, most)

    @staticmethod
    def _too_many(reason: str, headers: Mapping[str, str], most: int) -> Answer:
        said = {"RateLimit-Reason": reason, "X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": "0"}
        return Answer(429, {"errorMessages": ["Rate limit exceeded"]}, {**said, **headers})

    # --- the server, its people and projects

    def _does_about(self, _call: Call) -> Answer:
        version = [1001, 0, 0] if self.cloud else [9, 12, 15]
        now = moment(self.clock())
        return Answer(200, {
            "baseUrl": self.address, "version": "1001.0.0-SNAPSHOT" if self.cloud else "9.12.15", "versionNumbers": version,
            "deploymentType": "Cloud" if self.cloud else "Server", "buildNumber": 100000, "buildDate": now, "serverTime": now, "scmInfo": "0",
            "serverTitle": "Jira of tests",
        })  # fmt: skip

    def _does_who(self, call: Call) -> Answer:
        if call.by is None:
            raise Refusal(401, "Client must be authenticated to access this resource.")
        return Answer(200, self.shown_user(call.by["id"]))

    def _does_rights(self, call: Call) -> Answer:
        if self.cloud and not call.query.get("permissions"):
            raise Refusal(400, "The 'permissions' query parameter is required.")
        names = call.query.get("permissions", "").split(",") if call.query.get("permissions") else PERMISSIONS
        return Answer(200, {"permissions": {
            name: {
                "id": str(number), "key": name, "name": name.replace("_", " ").title(), "type": "PROJECT", "description": "",
                "havePermission": call.by is not None and self._may(name),
            }
            for number, name in enumerate(names, 10)
        }})  # fmt: skip

    def _does_assignable(self, call: Call) -> Answer:
        if not call.query.keys() & {"project", "issueKey", "issueId"}:
            raise Refusal(400, "Either issueKey, issueId or project is required.")
        if "project" in call.query:
            self._project(call.query["project"])
        words = call.query.get("query" if self.cloud else "username", "").casefold()
        hits = [user for user in self.users if user.get("active", True) and self._matches(user, words)]
        start = call.number("startAt", 0)
        return Answer(200, [self.shown_user(user["id"]) for user in hits[start : start + call.number("maxResults", 50)]])

    def _matches(self, user: Mapping[str, Any], words: str) -> bool:
        """By the beginning of a word of the name, or of the e-mail address, even of one that is hidden."""
        return any(
            each.casefold().startswith(words) for each in (*user["name"].split(), user["name"], user["email"], self.login(user))
        )

    def _project(self, key_or_id: str) -> str:
        key = next((key for key in self.projects if key_or_id in (key, self.project_id(key))), None)
        if key is None:
            raise Refusal(404, f"No project could be found with key '{key_or_id}'.")
        return key

    def _does_projects(self, call: Call) -> Answer:
        return Answer(200, [self._shown_project(key) for key in self.projects] if call.by else [])

    def _does_projects_paged(self, call: Call) -> Answer:
        rows = [self._shown_project(key) for key in self.projects] if call.by else []
        words = call.query.get("query", "").casefold()
        rows = [row for row in rows if words in row["key"].casefold() or words in row["name"].casefold()]
        page = self._page(rows, call)
        return Answer(
            200, {"self": self._link("project/search"), **page, "isLast": page["startAt"] + len(page["values"]) >= len(rows)}
        )

    def _does_project(self, _call: Call, key: str) -> Answer:
        name = self._project(key)
        return Answer(200, {**self._shown_project(name), "issueTypes": [self._shown_type(each) for each in self.projects[name]]})

    def _does_statuses(self, _call: Call, key: str) -> Answer:
        statuses = [self._status(name) for name in self.workflow]
        return Answer(200, [{**self._shown_type(each), "statuses": statuses} for each in self.projects[self._project(key)]])

    def _does_priorities(self, _call: Call) -> Answer:
        return Answer(200, [self._named(each, "priority") for each in PRIORITIES])

    def _does_resolutions(self, _call: Call) -> Answer:
        return Answer(200, [self._named(each, "resolution") for each in RESOLUTIONS])

    # --- what issues are made of

    def _does_createmeta(self, call: Call) -> Answer:
        keys = [each for each in call.query.get("projectKeys", "").split(",") if each] or list(self.projects)
        wanted = {*filter(None, call.query.get("issuetypeNames", "").split(","))}
        deep = "projects.issuetypes.fields" in call.query.get("expand", "")
        return Answer(200, {"expand": "projects", "projects": [
            {
                "id": self.project_id(key), "key": key, "name": self._shown_project(key)["name"], "self": self._link(f"project/{key}"),
                "issuetypes": [
                    self._shown_type(kind) | ({"fields": self._screen_shown(key, kind)} if deep else {})
                    for kind in self.projects[key] if not wanted or kind in wanted
                ],
            }
            for key in keys if key in self.projects
        ]})  # fmt: skip

    def _does_all_fields(self, _call: Call) -> Answer:
        screens = (self.screen_of(key, kind) for key, kinds in self.projects.items() for kind in kinds)
        fields = {name: meta(name, field) for screen in screens for name, field in screen.items()}
        return Answer(200, [
            {
                "id": name, "key": name, "name": field["name"], "custom": "customId" in field["schema"], "orderable": True, "navigable": True,
                "searchable": True, "clauseNames": [name], "schema": field["schema"],
            }
            for name, field in fields.items()
        ])  # fmt: skip

    def _does_types(self, call: Call, key: str) -> Answer:
        return self._meta_page(call, "issueTypes", [self._shown_type(each) for each in self.projects[self._project(key)]])

    def _does_fields(self, call: Call, key: str, number: str) -> Answer:
        project = self._project(key)
        kind = next((each for each in self.projects[project] if self.type_id(each) == number), None)
        if kind is None:
            raise Refusal(404, f"No issue type could be found with id '{number}'.")
        return self._meta_page(
            call, "fields", [{"fieldId": name, **field} for name, field in self._screen_shown(project, kind).items()]
        )

    def _meta_page(self, call: Call, name: str, rows: Sequence[Any]) -> Answer:
        page = self._page(rows, call, self.fields_page)
        values = page.pop("values")
        if self.cloud:
            return Answer(200, {**page, name: values})
        return Answer(200, {**page, "isLast": page["startAt"] + len(values) >= len(rows), "values": values})

    def _screen_shown(self, project: str, kind: str) -> dict[str, Any]:
        return {name: meta(name, field) for name, field in self.screen_of(project, kind).items()}

    @staticmethod
    def _page(rows: Sequence[Any], call: Call, most: int = 50) -> dict[str, Any]:
        start, size = call.number("startAt", 0), min(call.number("maxResults", 50), most)
        return {"maxResults": size, "startAt": start, "total": len(rows), "values": list(rows[start : start + size])}

    # --- issues

    def _issue(self, name: str) -> Issue:
        issue = self.issues.get(self.id_of(name))
        if issue is None:
            raise Refusal(404, NOT_THERE)
        return issue

    def _does_create(self, call: Call) -> Answer:
        fields, properties = dict(call.body.get("fields") or {}), call.body.get("properties") or []
        if unsayable(fields):
            raise Refusal(400, "INVALID_INPUT")
        project, kind = self._place(fields)
        for name, change_of in (call.body.get("update") or {}).items():
            fields[name] = self._updated(fields.get(name), name, change_of)
        self._check(fields, project, kind, call, creating=True)
        self._check_properties(properties)
        issue = self.made(project, kind, fields, {each["key"]: each["value"] for each in properties}, call.by)
        if "assignee" in fields:
            issue["assignee"] = (self.user(fields["assignee"]) or {}).get("id")
        return Answer(201, {"id": issue["id"], "key": issue["key"], "self": self._link(f"issue/{issue['id']}")})

    def _place(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        said, kind = fields.get("project") or {}, fields.get("issuetype") or {}
        project = next((key for key in self.projects if said.get("key") == key or said.get("id") == self.project_id(key)), None)
        if project is None:
            raise Refusal(400, fields={"project": "valid project is required" if said else "Specify a valid project ID or key"})
        name = next(
            (each for each in self.projects[project] if kind.get("name") == each or kind.get("id") == self.type_id(each)), None
        )
        if name is None:
            raise Refusal(400, fields={"issuetype": "Specify a valid issue type"})
        return project, name

    def _check(self, fields: Mapping[str, Any], project: str, kind: str, call: Call, *, creating: bool) -> None:
        screen = self.screen_of(project, kind)
        refused = refusals(fields, screen, version=call.version, creating=creating)
        for name in fields.keys() & {"assignee", "reporter"} - refused.keys():
            if fields[name] and self.user(fields[name]) is None:
                refused[name] = f"User '{'; '.join(str(each) for each in fields[name].values())}' does not exist."
        if refused:
            raise Refusal(400, fields=refused)

    @staticmethod
    def _check_properties(properties: Iterable[Mapping[str, Any]]) -> None:
        for each in properties:
            if len(str(each["value"])) > 32_768:
                raise Refusal(400, "The property value is too long. It exceeds the allowed limit of 32768 characters.")

    def _does_get(self, call: Call, issue: Issue) -> Answer:
        return Answer(200, self.shown_issue(issue, call.version, _names(call.query.get("fields")) or ["*all"], call.query))

    def _does_edit(self, call: Call, issue: Issue) -> Answer:
        fields, updates = dict(call.body.get("fields") or {}), dict(call.body.get("update") or {})
        if unsayable(call.body):
            raise Refusal(400, "INVALID_INPUT")
        if both := fields.keys() & updates.keys():
            raise Refusal(400, fields={name: f"Field '{name}' cannot be set both ways." for name in both})  # guessed
        remarks = self._remarks(updates, call)
        for name, change_of in updates.items():
            before = issue["fields"].get(name)
            fields[name] = self._updated(before, name, change_of)
        self._check(fields, issue["project"], issue["type"], call, creating=False)
        self._check_properties(call.body.get("properties") or [])
        self.write(issue, fields, call.by)
        issue["properties"] |= {each["key"]: each["value"] for each in call.body.get("properties") or []}
        for body in remarks:
            self.remark(issue, body, call.by)
        if call.query.get("returnIssue") == "true":
            return Answer(200, self.shown_issue(issue, call.version))
        return Answer(204)

    @staticmethod
    def _updated(before: Any, name: str, changes: Sequence[Mapping[str, Any]]) -> Any:
        after = before
        for each in changes:
            ((verb, value),) = each.items()
            if verb == "set":
                after = value
            elif verb == "add" and isinstance(after or [], list):
                after = [*(after or []), value]
            elif verb == "remove" and isinstance(after or [], list):
                after = [one for one in after or [] if one != value]
            else:
                raise Refusal(400, fields={name: f"Field '{name}' does not support operation '{verb}'."})
        return after

    def _remarks(self, updates: dict[str, Any], call: Call) -> list[Any]:
        bodies = [each.get("add", {}).get("body") for each in updates.pop("comment", [])]
        for body in bodies:
            self._check_remark(body, call)
        return bodies

    def _does_remove(self, call: Call, issue: Issue) -> Answer:
        self.removed(issue, call.by)
        return Answer(204)

    def _does_assign(self, call: Call, issue: Issue) -> Answer:
        if any(call.body.values()) and self.user(call.body) is None:
            raise Refusal(400, fields={"assignee": f"User '{next(iter(call.body.values()))}' does not exist."})
        self.write(issue, {"assignee": call.body}, call.by)
        return Answer(204)

    def _does_editmeta(self, _call: Call, issue: Issue) -> Answer:
        screen = self._screen_shown(issue["project"], issue["type"])
        return Answer(200, {"fields": {name: field for name, field in screen.items() if name != "project"}})

    def _does_changelog(self, call: Call, issue: Issue) -> Answer:
        page = self._page([self._shown_history(each) for each in issue["history"]], call)
        is_last = page["startAt"] + len(page["values"]) >= page["total"]
        return Answer(200, {"self": self._link(f"issue/{issue['id']}/changelog"), **page, "isLast": is_last})

    def _does_bulk(self, call: Call) -> Answer:
        wanted = call.body["issueIdsOrKeys"]
        if len(wanted) > 100:
            self.violations.append(f"bulkfetch of {len(wanted)}, more than 100")
            raise Refusal(400, "The maximum number of issues that can be fetched is 100.")
        numbers = {number for name in wanted if (number := self.id_of(name)) in self.issues} if call.by else set()
        fields = _names(call.body.get("fields")) or ["*navigable"]
        found = [self.shown_issue(self.issues[number], call.version, fields, call.body) for number in sorted(numbers, key=int)]
        return Answer(200, {"issues": found, "issueErrors": []})

    # --- through the workflow

    def _does_transitions(self, call: Call, issue: Issue) -> Answer:
        with_fields = "transitions.fields" in call.query.get("expand", "")
        rows = [
            {
                "id": number, "name": name, "to": self._status(to), "hasScreen": bool(fields), "isGlobal": False, "isInitial": False,
                "isConditional": False, "isAvailable": True, "looped": False, **({"fields": fields} if with_fields else {}),
            }
            for number, name, to, fields in self.ways(issue)
            if call.query.get("transitionId") in (None, number)
        ]  # fmt: skip
        return Answer(200, {"expand": "transitions", "transitions": rows if self._may("TRANSITION_ISSUES") else []})

    def _does_transit(self, call: Call, issue: Issue) -> Answer:
        number, given = call.body["transition"]["id"], call.body.get("fields") or {}
        if not isinstance(number, str):
            self.violations.append(f"POST {call.request.path}: a transition's id is a string")  # Jira takes it all the same
        way = next((each for each in self.ways(issue) if each[0] == str(number)), None)
        if way is None:
            raise Refusal(400, ILLEGAL)
        _number, _name, to, screen = way
        refused = refusals(given, screen, version=call.version, creating=True)
        if refused:
            raise Refusal(400, fields=refused)
        chosen = given.get("resolution") or {}
        resolution = next(
            (each["name"] for each in RESOLUTIONS if chosen.get("id") == each["id"] or chosen.get("name") == each["name"]), None
        )
        remarks = self._remarks(dict(call.body.get("update") or {}), call)
        self.enter(issue, to, call.by, resolution)
        issue["steps"].append(to)
        for body in remarks:
            self.remark(issue, body, call.by)
        return Answer(204)

    # --- what hangs on an issue

    def _does_comments(self, call: Call, issue: Issue) -> Answer:
        return Answer(200, self._comments(issue, call.version, call))

    def _comments(self, issue: Issue, version: str, call: Call | None = None) -> dict[str, Any]:
        rows = [self._shown_comment(issue, each, version) for each in issue["comments"]]
        if call is None:
            return {"comments": rows, "maxResults": len(rows), "startAt": 0, "total": len(rows)}
        if call.query.get("orderBy", "").startswith("-"):
            rows.reverse()
        page = self._page(rows, call, 5000)
        return {"comments": page.pop("values"), **page}

    def _does_comment(self, call: Call, issue: Issue) -> Answer:
        self._check_remark(call.body["body"], call)
        return Answer(201, self._shown_comment(issue, self.remark(issue, call.body["body"], call.by), call.version))

    @staticmethod
    def _check_remark(body: Any, call: Call) -> None:
        if unsayable(body):
            raise Refusal(400, "INVALID_INPUT")
        if isinstance(body, dict) != (call.version == "3") or not body:
            raise Refusal(400, fields={"comment": "Comment body is not valid!"})
        if refused := refusals(
            {"description": body}, {"description": {"schema": {"type": "string"}}}, version=call.version, creating=False
        ):
            raise Refusal(400, fields={"comment": refused["description"]})

    def _does_attach(self, call: Call, issue: Issue) -> Answer:
        headers = call.request.headers
        if headers.get("X-Atlassian-Token") != "no-check":
            raise Refusal(403, "XSRF check failed")
        head = f"Content-Type: {headers.get('Content-Type', '')}\r\n\r\n".encode()
        whole = message_from_bytes(head + call.request.raw, policy=HTTP)
        files = [part for part in whole.iter_parts() if part.get_param("name", header="Content-Disposition") == "file"]
        if not files:
            self.violations.append(f"POST {call.request.path}: an attachment is a part called file")
            raise Refusal(400, "No file was attached.")
        kept = [(str(part.get_filename()), part.get_payload(decode=True)) for part in files]
        if any(len(data) > self.largest_attachment for _name, data in kept):
            raise Refusal(413, "The attachment exceeds the maximum size.")
        first = len(issue["attachments"])
        issue["attachments"] += kept
        self.changed(issue, "issue_updated", call.by, *[change("Attachment", None, name) for name, _data in kept])
        return Answer(200, self._shown_attachments(issue)[first:])

    def _does_remote_links(self, call: Call, issue: Issue) -> Answer:
        rows = [self._shown_remote_link(issue, number) for number in range(len(issue["remote_links"]))]
        if "globalId" in call.query:
            one = next((row for row in rows if row.get("globalId") == call.query["globalId"]), None)
            return Answer(200, one) if one else Refusal(404, "No remote link was found.").answer
        return Answer(200, rows)

    def _does_remote_link(self, call: Call, issue: Issue) -> Answer:
        links, named = issue["remote_links"], call.body.get("globalId")
        number = next((at for at, each in enumerate(links) if named and each.get("globalId") == named), None)
        status = 201 if number is None else 200
        if number is None:
            number = len(links)
            links.append({})
        links[number] = call.body
        issue["links"] = {str(each.get("globalId", at)): each["object"]["url"] for at, each in enumerate(links)}
        return Answer(status, {key: self._shown_remote_link(issue, number)[key] for key in ("id", "self")})

    def _does_properties(self, _call: Call, issue: Issue) -> Answer:
        base = self._link(f"issue/{issue['id']}/properties/")
        return Answer(200, {"keys": [{"key": key, "self": base + key} for key in issue["properties"]]})

    def _does_property(self, _call: Call, issue: Issue, key: str) -> Answer:
        if key not in issue["properties"]:
            raise Refusal(404, f"The property with key '{key}' does not exist.")
        return Answer(200, {"key": key, "value": issue["properties"][key]})

    def _does_put_property(self, call: Call, issue: Issue, key: str) -> Answer:
        self._check_properties([{"value": call.body}])
        new = key not in issue["properties"]
        issue["properties"][key] = call.body
        return Answer(201 if new else 200)

    def _does_drop_property(self, _call: Call, issue: Issue, key: str) -> Answer:
        if issue["properties"].pop(key, None) is None:
            raise Refusal(404, f"The property with key '{key}' does not exist.")
        return Answer(204)

    def _does_link_types(self, _call: Call) -> Answer:
        return Answer(200, {"issueLinkTypes": [self._link_type(each) for each in LINK_TYPES]})

    def _does_link_issues(self, call: Call) -> Answer:
        said = call.body["type"]
        kind = next((each for each in LINK_TYPES if said.get("name") == each["name"] or said.get("id") == each["id"]), None)
        if kind is None:
            raise Refusal(404, f"No issue link type with name '{said.get('name')}' found.")
        inward, outward = (
            self._issue(str(call.body[name].get("id") or call.body[name].get("key"))) for name in ("inwardIssue", "outwardIssue")
        )
        number = str(10000 + sum(len(each["issue_links"]) for each in self.issues.values()))
        # The direction is a guess: the inward issue "duplicates" the outward one.
        inward["issue_links"].append((number, kind, "outwardIssue", outward["id"]))
        outward["issue_links"].append((number, kind, "inwardIssue", inward["id"]))
        inward["twins"].append(outward["key"])
        return Answer(201)

    # --- searching

    def _does_search(self, call: Call) -> Answer:
        said = call.body or call.query
        query = _jql.parse(said.get("jql") or "")
        if not query.terms:
            raise Refusal(400, UNBOUNDED)
        reconciled = [str(each) for each in _names(said.get("reconcileIssues"))]
        if len(reconciled) > 50:
            raise Refusal(400, "The maximum number of issues to be reconciled is 50.")
        self._check_values(query, call)
        start = self._start(said["nextPageToken"]) if said.get("nextPageToken") else 0
        rows = self.found(query, reconciled) if call.by else []
        size = min(call.number("maxResults", 50), self.search_page)
        fields = _names(said.get("fields")) or ["id"]
        shown = [self.shown_issue(issue, call.version, fields, said) for issue in rows[start : start + size]]
        if start + size >= len(rows):
            return Answer(200, {"issues": shown, "isLast": True})
        token = base64.urlsafe_b64encode(f"{start + size}:{self.clock()}".encode()).decode()
        return Answer(200, {"issues": shown, "nextPageToken": token, "isLast": False})

    def _start(self, token: str) -> int:
        try:
            start, made = base64.urlsafe_b64decode(token).decode().split(":")
            if self.clock() - float(made) <= TOKEN_LIFE:
                return int(start)
        except ValueError:
            pass
        raise Refusal(400, "The nextPageToken is invalid or has expired.")

    def _does_old_search(self, call: Call) -> Answer:
        if self.cloud:
            raise Refusal(410, SEARCH_IS_GONE)
        said = call.body or call.query
        query = _jql.parse(said.get("jql") or "")
        if str(said.get("validateQuery", "strict")).lower() in ("strict", "true"):
            self._check_values(query, call)
        rows = self.found(query) if call.by else []
        page = self._page(rows, call, 1000)
        shown = [
            self.shown_issue(issue, call.version, _names(said.get("fields")) or ["*navigable"], said)
            for issue in page.pop("values")
        ]
        return Answer(200, {**page, "issues": shown})

    def _check_values(self, query: _jql.Query, call: Call) -> None:
        """Jira refuses a query that names what is not there, or what one may not see."""
        for term in query.terms:
            for value in term.values:
                if term.field == "key" and (call.by is None or self.id_of(value) not in self.issues):
                    what = ("A value with ID", "id") if value.isdecimal() else ("An issue with key", "key")
                    raise _jql.BadQuery(f"{what[0]} '{value}' does not exist for the field '{what[1]}'.")
                known = {name for key in self.projects for name in (key, self.project_id(key))}
                if term.field == "project" and (call.by is None or value.upper() not in known):
                    raise _jql.BadQuery(f"The value '{value}' does not exist for the field 'project'.")

    # --- how it is shown

    def _link(self, path: str) -> str:
        return f"{self.address}/rest/api/2/{path}"

    def _named(self, each: Mapping[str, str], what: str) -> dict[str, str]:
        return {**each, "self": self._link(f"{what}/{each['id']}")}

    def _chosen(self, said: Any, among: Sequence[Mapping[str, str]], what: str) -> dict[str, str] | None:
        found = next(
            (each for each in among if said and (said.get("id") == each["id"] or said.get("name") == each["name"])), None
        )
        return self._named(found, what) if found else None

    def _shown_project(self, key: str) -> dict[str, Any]:
        number = self.project_id(key)
        return {
            "id": number,
            "key": key,
            "name": key.title(),
            "self": self._link(f"project/{number}"),
            "projectTypeKey": "software",
        }

    def _shown_type(self, name: str) -> dict[str, Any]:
        number = self.type_id(name)
        return {"id": number, "name": name, "self": self._link(f"issuetype/{number}"), "subtask": False}

    def _status(self, name: str) -> dict[str, Any]:
        category = self.workflow[name][0]
        number, of, colour = CATEGORIES[category]
        here = str(list(self.workflow).index(name) + 1)
        kind = {"id": number, "key": category, "name": of, "colorName": colour, "self": self._link(f"statuscategory/{number}")}
        return {"id": here, "name": name, "description": "", "self": self._link(f"status/{here}"), "statusCategory": kind}

    def _link_type(self, kind: Mapping[str, str]) -> dict[str, str]:
        return self._named(kind, "issueLinkType")

    def shown_user(self, number: str) -> dict[str, Any]:
        user = next(each for each in self.users if each["id"] == number)
        shown = {"displayName": user["name"], "active": user.get("active", True), "timeZone": "Europe/Paris"}
        if not (self.cloud and user.get("hidden")):
            shown["emailAddress"] = user["email"]
        if self.cloud:
            return {**shown, "self": self._link(f"user?accountId={number}"), "accountId": number, "accountType": "atlassian"}
        login = self.login(user)
        return {
            **shown,
            "self": self._link(f"user?username={login}"),
            "name": login,
            "key": f"JIRAUSER{10000 + self.users.index(user)}",
        }

    def shown_issue(
        self, issue: Issue, version: str = "2", names: Sequence[str] = ("*all",), more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """With the fields of `names` (which may be *all, *navigable, or -name), and of `more` its expand and properties."""
        if list(names) == ["id"]:
            return {"id": issue["id"]}
        shown = {
            "id": issue["id"],
            "key": issue["key"],
            "self": self._link(f"issue/{issue['id']}"),
            "expand": "changelog,transitions",
        }
        whole = self._fields_of(issue, version)
        left_out = {name[1:] for name in names if name.startswith("-")}
        if "*all" in names:
            wanted = set(whole)
        elif "*navigable" in names or left_out.issuperset(name[1:] for name in names):
            wanted = whole.keys() - {"comment", "attachment"} | set(names)
        else:
            wanted = set(names)
        shown["fields"] = {name: value for name, value in whole.items() if name in wanted - left_out}
        asked = _names((more or {}).get("expand"))
        if "changelog" in asked:
            rows = [self._shown_history(each) for each in reversed(issue["history"])]
            shown["changelog"] = {"histories": rows, "maxResults": len(rows), "startAt": 0, "total": len(rows)}
        if of := _names((more or {}).get("properties")):
            shown["properties"] = {key: value for key, value in issue["properties"].items() if key in of or "*all" in of}
        return shown

    def _fields_of(self, issue: Issue, version: str) -> dict[str, Any]:
        screen = self.screen_of(issue["project"], issue["type"])
        given = {
            name: shown_text(value, version) if is_rich(name, screen.get(name, {})) else value
            for name, value in issue["fields"].items()
        }
        resolution = next((each for each in RESOLUTIONS if each["name"] == issue["resolution"]), None)
        if issue["resolution"] and resolution is None:
            resolution = {"id": "10099", "name": issue["resolution"]}
        return {
            "labels": [], "description": None, "duedate": None, **given,
            "priority": self._chosen(issue["fields"].get("priority") or {"name": "Medium"}, PRIORITIES, "priority"),
            "project": self._shown_project(issue["project"]), "issuetype": self._shown_type(issue["type"]),
            "status": self._status(issue["status"]), "resolution": self._named(resolution, "resolution") if resolution else None,
            "resolutiondate": moment(issue["resolved"]) if issue["resolved"] else None,
            "created": moment(issue["made"]), "updated": moment(issue["updated"]),
            "assignee": self.shown_user(issue["assignee"]) if issue["assignee"] else None,
            "reporter": self.shown_user(issue["reporter"]), "creator": self.shown_user(issue["reporter"]),
            "comment": self._comments(issue, version), "attachment": self._shown_attachments(issue), "issuelinks": self._shown_links(issue),
        }  # fmt: skip

    def _shown_history(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, "author": self.shown_user(entry["author"]), "created": moment(entry["created"])}

    def _shown_comment(self, issue: Issue, comment: Mapping[str, Any], version: str) -> dict[str, Any]:
        at = moment(comment["created"])
        return {
            "id": comment["id"], "self": self._link(f"issue/{issue['id']}/comment/{comment['id']}"), "author": self.shown_user(comment["author"]),
            "body": shown_text(comment["body"], version), "created": at, "updated": at,
        }  # fmt: skip

    def _shown_attachments(self, issue: Issue) -> list[dict[str, Any]]:
        return [
            {
                "id": f"{issue['id']}{number}", "filename": name, "size": len(data), "self": self._link(f"attachment/{issue['id']}{number}"),
                "mimeType": mimetypes.guess_type(name)[0] or "application/octet-stream", "created": moment(issue["made"]),
                "content": self._link(f"attachment/content/{issue['id']}{number}"), "author": self.shown_user(self.bot["id"]),
            }
            for number, (name, data) in enumerate(issue["attachments"])
        ]  # fmt: skip

    def _shown_links(self, issue: Issue) -> list[dict[str, Any]]:
        rows = []
        for number, kind, side, other in issue["issue_links"]:
            if other in self.issues:
                there = self.issues[other]
                fields = {"summary": there["fields"].get("summary"), "status": self._status(there["status"])}
                linked = {"id": other, "key": there["key"], "self": self._link(f"issue/{other}"), "fields": fields}
                rows.append(
                    {"id": number, "self": self._link(f"issueLink/{number}"), "type": self._link_type(kind), side: linked}
                )
        return rows

    def _shown_remote_link(self, issue: Issue, number: int) -> dict[str, Any]:
        return {
            "id": 10000 + number,
            "self": self._link(f"issue/{issue['key']}/remotelink/{10000 + number}"),
            **issue["remote_links"][number],
        }


def _names(said: Any) -> list[Any]:
    """A list, or names separated by commas."""
    if isinstance(said, str):
        return [each.strip() for each in said.split(",") if each.strip()]
    return [part for each in said or () for part in (_names(each) if isinstance(each, str) else [each])]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--deployment", choices=("Cloud", "Server"), default="Cloud")
    options.add_argument("--workflow", choices=sorted(WORKFLOWS), default="simple")
    options.add_argument("--resolution", choices=RESOLVING, default="")
    options.add_argument("--project", action="append", help="its key; several times for several")
    options.add_argument("--lag", type=float, default=0.0, help="seconds until the search finds what was written")
    options.add_argument("--per-second", type=int, default=0, help="writes; more are answered 429")
    options.add_argument("--webhook", nargs=2, metavar=("URL", "SECRET"), help="told of changes at once")
    given = options.parse_args()
    projects = {"projects": dict.fromkeys(given.project, ("Task", "Bug"))} if given.project else {}
    made = Jira(deployment=given.deployment, workflow=given.workflow, resolution=given.resolution, port=given.port, **projects)
    made.lag, made.per_second = given.lag, given.per_second
    if given.webhook:
        made.webhook(*given.webhook, at_once=True)
    with made as jira:
        print(f"{jira.url}  {jira.email if jira.cloud else '(Bearer)'}  {TOKEN}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
