"""A stand-in for Jira, Cloud or Data Center, that keeps what it is told and refuses what Jira refuses.

Shapes are those of the published description (REST v2); each request to a path is checked against what it may hold, and what is not
right is kept in `violations`. Texts of errors are as quoted in public issues where there are such; the others are guesses.
"""

import base64
import hashlib
import hmac
import itertools
import json
import re
import urllib.request
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tests.servers._http import Answer, Request, Server

# name -> (category, transitions: name -> to); the first is where issues begin.
WORKFLOWS: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "simple": {
        "To Do": ("new", {"Start": "In Progress", "Finish": "Done"}),
        "In Progress": ("indeterminate", {"Finish": "Done", "Stop": "To Do"}),
        "Done": ("done", {"Reopen": "To Do"}),
    },
    "strict": {
        "Open": ("new", {"Begin": "In Progress"}),
        "In Progress": ("indeterminate", {"To review": "In Review", "Back": "Open"}),
        "In Review": ("indeterminate", {"Accept": "Closed", "Reject": "In Progress"}),
        "Closed": ("done", {"Take up": "In Progress"}),
    },
    "german": {
        "Offen": ("new", {"Anfangen": "In Arbeit"}),
        "In Arbeit": ("indeterminate", {"Erledigen": "Erledigt"}),
        "Erledigt": ("done", {"Wieder öffnen": "Offen"}),
    },
    "dead end": {"Open": ("new", {"Wait": "Waiting"}), "Waiting": ("indeterminate", {"Back": "Open"})},
}
STANDARD = {
    "summary": {"required": True, "schema": {"type": "string"}},
    "project": {"required": True, "schema": {"type": "project"}},
    "issuetype": {"required": True, "schema": {"type": "issuetype"}},
    "reporter": {"required": True, "schema": {"type": "user"}},
    "description": {"schema": {"type": "string"}},
    "labels": {"schema": {"type": "array", "items": "string"}},
    "duedate": {"schema": {"type": "date"}},
    "priority": {
        "schema": {"type": "priority"},
        "allowedValues": [
            {"id": str(n), "name": name} for n, name in enumerate(["Highest", "High", "Medium", "Low", "Lowest"], 1)
        ],
    },
}
RESOLUTIONS = [{"id": "10000", "name": "Done"}, {"id": "10001", "name": "Won't Do"}]
TOKEN = "secret-token-of-tests"


class Jira(Server):
    """`project`: its key; `screen`: fields of the create screen beside or instead of STANDARD (None takes one away)."""

    def __init__(
        self,
        *,
        deployment: str = "Cloud",
        workflow: str = "simple",
        screen: dict[str, Any] | None = None,
        resolution: str = "",
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.cloud, self.workflow, self.resolution = deployment == "Cloud", WORKFLOWS[workflow], resolution
        self.screen = {k: v for k, v in {**STANDARD, **(screen or {})}.items() if v is not None}
        self.issues: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.numbers = itertools.count(10001)
        self.keys = itertools.count(1)
        self.signed_in, self.anonymous, self.lag, self.may = True, False, 0.0, True
        self.per_second = 0
        self.retry_after: str | None = "1"
        self.writes: list[float] = []
        self.closed_until = 0.0
        self.disobeyed = 0
        self.violations: list[str] = []
        self.webhooks: list[tuple[str, str]] = []
        self.deliveries: list[tuple[dict[str, str], bytes]] = []

    # --- what people do

    def issue(self, key_or_id: str) -> dict[str, Any]:
        return self.issues[self._id(key_or_id)]

    def only(self) -> dict[str, Any]:
        (issue,) = self.issues.values()
        return issue

    def move_to(self, issue: dict[str, Any], status: str, resolution: str = "") -> None:
        issue["status"] = status
        issue["resolution"] = resolution or None
        self._touch(issue)

    def delete(self, issue: dict[str, Any]) -> None:
        del self.issues[issue["id"]]

    def rename(self, issue: dict[str, Any], key: str) -> None:
        self.aliases[issue["key"]] = issue["id"]
        issue["key"] = key
        self._touch(issue)

    def deliver(self, number: int, *, secret: str = "", to: str = "") -> int:
        """Send a stored delivery (again); its answer's status."""
        headers, body = self.deliveries[number]
        if secret:
            headers = headers | {"X-Hub-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
        request = urllib.request.Request(to or self.webhooks[0][0], body, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def _touch(self, issue: dict[str, Any]) -> None:
        issue["updated"] = self.clock()
        body = json.dumps({"webhookEvent": "jira:issue_updated", "issue": {"id": issue["id"], "key": issue["key"]}}).encode()
        secret = self.webhooks[0][1] if self.webhooks else "?"
        signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        self.deliveries.append((
            {"X-Hub-Signature": f"sha256={signed}", "X-Atlassian-Webhook-Identifier": f"d{len(self.deliveries)}",
             "Content-Type": "application/json"}, body,
        ))  # fmt: skip

    # --- HTTP

    def answer(self, request: Request) -> Answer:
        found = re.fullmatch(r"/rest/api/(2|3)/(.*)", request.path)
        if not found:
            return Answer(404, {"errorMessages": ["no such path"]})
        if limited := self._limit(request):
            return limited
        path, known = found[2], self._knows(request)
        if not known and not self.anonymous:
            return Answer(401, {"errorMessages": ["Client must be authenticated to access this resource."]})
        if path == "myself":
            return Answer(200, {"accountId": "me", "displayName": "CSPM bot"}) if known else Answer(401, {"errorMessages": []})
        if not known:
            return Answer(404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."]})
        for pattern, answers in self._routes():
            if match := re.fullmatch(pattern, f"{request.method} {path}"):
                return answers(request, *match.groups())
        self.violations.append(f"{request.method} {path}")
        return Answer(405, {"errorMessages": ["no"]})

    def _routes(self) -> list[tuple[str, Any]]:
        return [
            (r"POST issue", self._create), (r"GET issue/([\w-]+)", self._get), (r"PUT issue/([\w-]+)", self._edit),
            (r"GET issue/([\w-]+)/editmeta", self._editmeta), (r"POST issue/bulkfetch", self._bulk),
            (r"GET issue/createmeta/(\w+)/issuetypes", self._types), (r"GET issue/createmeta/(\w+)/issuetypes/(\d+)", self._fields),
            (r"GET issue/([\w-]+)/transitions", self._transitions), (r"POST issue/([\w-]+)/transitions", self._transit),
            (r"GET issue/([\w-]+)/comment", self._comments), (r"POST issue/([\w-]+)/comment", self._comment),
            (r"POST issue/([\w-]+)/attachments", self._attach), (r"POST issue/([\w-]+)/remotelink", self._link),
            (r"GET search/jql", self._search), (r"GET search", self._old_search), (r"GET mypermissions", self._permissions),
            (r"POST issueLink", self._issue_link),
        ]  # fmt: skip

    def _limit(self, request: Request) -> Answer | None:
        now = self.clock()
        if now < self.closed_until:
            self.disobeyed += 1
        if not self.per_second or request.method == "GET":
            return None
        self.writes = [at for at in self.writes if at > now - 1] + [now]
        if len(self.writes) <= self.per_second and now >= self.closed_until:
            return None
        self.writes.pop()
        wait = 1.0
        headers = {"RateLimit-Reason": "jira-burst-based"}
        if self.retry_after == "date":
            wait = 2.0
            headers["Retry-After"] = format_datetime(datetime.fromtimestamp(now + wait, UTC), usegmt=True)
        elif self.retry_after:
            wait = float(self.retry_after)
            headers["Retry-After"] = self.retry_after
        self.closed_until = now + wait
        return Answer(429, {"errorMessages": ["Rate limit exceeded"]}, headers)

    def _knows(self, request: Request) -> bool:
        if not self.signed_in:
            return False
        given = request.headers.get("Authorization", "")
        basic = base64.b64encode(f"bot@acme.example:{TOKEN}".encode()).decode()
        return given == (f"Basic {basic}" if self.cloud else f"Bearer {TOKEN}")

    def _id(self, key_or_id: str) -> str:
        if key_or_id in self.aliases:
            return self.aliases[key_or_id]
        return next((number for number, issue in self.issues.items() if key_or_id in (number, issue["key"])), "")

    def _create(self, request: Request) -> Answer:
        body = request.json
        fields, errors = body.get("fields", {}), {}
        if body.keys() - {"fields", "properties", "update"}:
            self.violations.append(f"create: {sorted(body)}")
        if not self.may:
            return Answer(403, {"errorMessages": ["You do not have permission to create issues in this project."]})
        for name, field in self.screen.items():
            if field.get("required") and not field.get("hasDefaultValue") and name != "reporter" and name not in fields:
                errors[name] = f"{field.get('name', name)} is required."
        for name in fields.keys() - self.screen.keys():
            errors[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        summary = fields.get("summary", "")
        if "\n" in summary or len(summary) > 255 or not summary.strip():
            errors["summary"] = "The summary is invalid because it contains newline characters, or is too long."
        if len(fields.get("description") or "") > 32767:
            errors["description"] = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
        if re.search(r"[\x00-\x08\ud800-\udfff]", json.dumps(fields, ensure_ascii=False)):
            return Answer(400, {"errorMessages": ["INVALID_INPUT"]})
        for label in fields.get("labels", []):
            if " " in label or len(label) > 255:
                errors["labels"] = f"The label '{label}' contains spaces which is invalid."
        if errors:
            return Answer(400, {"errorMessages": [], "errors": errors})
        number, key = str(next(self.numbers)), f"OPS-{next(self.keys)}"
        self.issues[number] = {
            "id": number, "key": key, "fields": fields, "status": next(iter(self.workflow)), "resolution": None, "comments": [],
            "attachments": [], "links": {}, "properties": {p["key"]: p["value"] for p in body.get("properties", [])},
            "made": self.clock(), "updated": self.clock(), "twins": [], "steps": [],
        }  # fmt: skip
        return Answer(201, {"id": number, "key": key, "self": f"{self.address}/rest/api/2/issue/{number}"})

    def _status(self, name: str) -> dict[str, Any]:
        category = self.workflow[name][0]
        return {
            "id": str(list(self.workflow).index(name) + 1),
            "name": name,
            "statusCategory": {"key": category, "name": category},
        }

    def _shown(self, issue: dict[str, Any]) -> dict[str, Any]:
        moment = datetime.fromtimestamp(issue["updated"], UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        known = {k: v for k, v in issue["fields"].items() if k in ("summary", "labels", "duedate", "priority", "description")}
        more = {
            "status": self._status(issue["status"]), "updated": moment, "assignee": None,
            "resolution": {"name": issue["resolution"]} if issue["resolution"] else None, "project": {"key": "OPS"},
            "attachment": [{"filename": name} for name, _data in issue["attachments"]],
        }  # fmt: skip
        return {"id": issue["id"], "key": issue["key"], "fields": known | more}

    def _found(self, name: str) -> dict[str, Any] | None:
        return self.issues.get(self._id(name))

    def _gone(self) -> Answer:
        return Answer(404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."]})

    def _get(self, _request: Request, name: str) -> Answer:
        issue = self._found(name)
        return Answer(200, self._shown(issue)) if issue else self._gone()

    def _edit(self, request: Request, name: str) -> Answer:
        issue = self._found(name)
        if not issue:
            return self._gone()
        issue["fields"].update(request.json["fields"])
        self._touch(issue)
        return Answer(204)

    def _editmeta(self, _request: Request, name: str) -> Answer:
        return Answer(200, {"fields": self.screen}) if self._found(name) else self._gone()

    def _bulk(self, request: Request) -> Answer:
        if not self.cloud:
            return Answer(404, {"errorMessages": ["no such path"]})
        wanted = request.json["issueIdsOrKeys"]
        if len(wanted) > 100:
            self.violations.append("bulkfetch of more than 100")
        return Answer(200, {"issues": [self._shown(found) for name in wanted if (found := self._found(name))], "issueErrors": []})

    def _types(self, _request: Request, project: str) -> Answer:
        if project != "OPS":
            return Answer(404, {"errorMessages": ["No project could be found with key or id"]})
        rows = [{"id": "10100", "name": "Task"}, {"id": "10101", "name": "Bug"}]
        return Answer(200, {"issueTypes" if self.cloud else "values": rows, "total": 2, "startAt": 0, "isLast": True})

    def _fields(self, request: Request, _project: str, _number: str) -> Answer:
        rows = [{"fieldId": name, "key": name, "name": name.title(), **field} for name, field in self.screen.items()]
        start, most = int(request.query.get("startAt", 0)), int(request.query.get("maxResults", 50))
        page = rows[start : start + min(most, 5)]  # small pages, so that paging is needed
        return Answer(200, {"fields" if self.cloud else "values": page, "total": len(rows), "startAt": start})

    def _transitions(self, _request: Request, name: str) -> Answer:
        issue = self._found(name)
        if not issue:
            return self._gone()
        return Answer(200, {"transitions": self._ways(issue)})

    def _ways(self, issue: dict[str, Any]) -> list[dict[str, Any]]:
        ways = []
        for number, (label, to) in enumerate(self.workflow[issue["status"]][1].items()):
            status = self._status(to)
            wants = self.resolution and status["statusCategory"]["key"] == "done"
            screen = {"resolution": {"required": self.resolution == "required", "allowedValues": RESOLUTIONS}} if wants else {}
            ways.append({"id": str(100 + number), "name": label, "to": status, "fields": screen})
        return ways

    def _transit(self, request: Request, name: str) -> Answer:
        issue, body = self._found(name), request.json
        if not issue:
            return self._gone()
        number = body["transition"]["id"]
        if not isinstance(number, str):
            self.violations.append("a transition's id is a string")
        way = next((each for each in self._ways(issue) if each["id"] == str(number)), None)
        if way is None:
            return Answer(400, {"errorMessages": ["It seems that you have tried to perform an illegal workflow operation."]})
        given = body.get("fields", {})
        if any(field["required"] and field_name not in given for field_name, field in way["fields"].items()):
            return Answer(400, {"errorMessages": [], "errors": {"resolution": "Resolution is required."}})
        issue["status"] = way["to"]["name"]
        issue["steps"].append(way["to"]["name"])
        done = way["to"]["statusCategory"]["key"] == "done"
        number = given.get("resolution", {}).get("id")
        issue["resolution"] = (
            next((each["name"] for each in RESOLUTIONS if each["id"] == number), None) if done else issue["resolution"]
        )
        self._touch(issue)
        return Answer(204)

    def _comments(self, request: Request, name: str) -> Answer:
        issue = self._found(name)
        if not issue:
            return self._gone()
        most = int(request.query.get("maxResults", 50))
        return Answer(
            200, {"comments": [{"body": body} for body in issue["comments"][::-1][:most]], "total": len(issue["comments"])}
        )

    def _comment(self, request: Request, name: str) -> Answer:
        issue = self._found(name)
        if not issue:
            return self._gone()
        body = request.json["body"]
        if not isinstance(body, str) or len(body) > 32767:
            self.violations.append("a comment is a string of at most 32,767 characters")
        issue["comments"].append(body)
        self._touch(issue)
        return Answer(201, {"id": str(len(issue["comments"]))})

    def _attach(self, request: Request, name: str) -> Answer:
        issue = self._found(name)
        if not issue:
            return self._gone()
        if request.headers.get("X-Atlassian-Token") != "no-check":
            return Answer(403, {"errorMessages": ["XSRF check failed"]})
        file = re.search(rb'name="file"; filename="([^"]+)"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', request.raw, re.DOTALL)
        if not file:
            self.violations.append("an attachment is a part called file")
            return Answer(400)
        issue["attachments"].append((file[1].decode(), file[2]))
        return Answer(200, [{"filename": file[1].decode()}])

    def _link(self, request: Request, name: str) -> Answer:
        issue, body = self._found(name), request.json
        if not issue:
            return self._gone()
        if not {"url", "title"} <= body["object"].keys():
            self.violations.append("a remote link has an url and a title")
        new = body["globalId"] not in issue["links"]
        issue["links"][body["globalId"]] = body["object"]["url"]
        return Answer(201 if new else 200, {"id": 1})

    def _issue_link(self, request: Request) -> Answer:
        body = request.json
        self.issue(body["inwardIssue"]["key"])["twins"].append(body["outwardIssue"]["key"])
        return Answer(201)

    def _labelled(self, request: Request) -> list[dict[str, Any]]:
        jql = request.query["jql"]
        if "labels" not in jql and "id in" not in jql:
            self.violations.append(f"unbounded: {jql}")
        label, ids = re.search(r'labels = "([^"]+)"', jql), re.search(r"id in \(([\d, ]+)\)", jql)
        if ids:
            return [issue for number in ids[1].split(",") if (issue := self._found(number.strip()))]
        visible = [issue for issue in self.issues.values() if issue["made"] <= self.clock() - self.lag]
        return [issue for issue in visible if label and label[1] in issue["fields"]["labels"]]

    def _search(self, request: Request) -> Answer:
        if not self.cloud:
            return Answer(404, {"errorMessages": ["no such path"]})
        rows, start = self._labelled(request), int(request.query.get("nextPageToken", 0))
        page = rows[start : start + 1]  # small pages
        more = {"nextPageToken": str(start + 1)} if start + 1 < len(rows) else {}
        return Answer(200, {"issues": [self._shown(issue) for issue in page], **more})

    def _old_search(self, request: Request) -> Answer:
        if self.cloud:
            said = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            return Answer(410, {"errorMessages": [said]})
        rows = self._labelled(request)
        return Answer(200, {"issues": [self._shown(issue) for issue in rows], "total": len(rows), "startAt": 0})

    def _permissions(self, request: Request) -> Answer:
        names = request.query["permissions"].split(",")
        return Answer(200, {"permissions": {name: {"havePermission": self.may} for name in names}})
