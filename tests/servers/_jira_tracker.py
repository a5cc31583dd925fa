"""What a Jira keeps and what people do to it: issues, their history, a search index that lags, and the webhooks that tell of it."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.servers import _jira_webhooks as hooks
from tests.servers._http import Server
from tests.servers._jira_fields import STANDARD, meta
from tests.servers._jql import Query

Issue = dict[str, Any]
# name -> (category, transitions: name -> to); the first is where issues begin.
Workflow = Mapping[str, tuple[str, Mapping[str, str]]]
SIMPLE: Workflow = {
    "To Do": ("new", {"Start": "In Progress", "Finish": "Done"}),
    "In Progress": ("indeterminate", {"Finish": "Done", "Stop": "To Do"}),
    "Done": ("done", {"Reopen": "To Do"}),
}
WORKFLOWS: Mapping[str, Workflow] = {
    "simple": SIMPLE,
    "no resolution": SIMPLE,
    "resolution required": SIMPLE,
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
# How done sets a resolution: by itself (and reopening takes it away), never, only when asked on the transition's screen, where it may be
# required, or by itself and reopening keeps it, as in many a workflow that was made by hand.
RESOLVING = ("set", "never", "optional", "required", "kept")
RESOLUTIONS = [
    {"id": str(number), "name": name} for number, name in enumerate(["Done", "Won't Do", "Duplicate", "Cannot Reproduce"], 10000)
]
CATEGORIES = {"new": (2, "To Do", "blue-gray"), "indeterminate": (4, "In Progress", "yellow"), "done": (3, "Done", "green")}
PROJECTS: Mapping[str, Sequence[str]] = {"OPS": ("Task", "Bug"), "SEC": ("Task", "Bug")}
# `hidden`: the e-mail address is nobody's to see. Two are called Alice.
USERS = (
    {"id": "712020:bot", "name": "CSPM bot", "email": "bot@acme.example"},
    {"id": "712020:alice", "name": "Alice Martin", "email": "alice@acme.example"},
    {"id": "712020:alice2", "name": "Alice Moreau", "email": "alice.moreau@acme.example", "hidden": True},
    {"id": "712020:bob", "name": "Bob Petit", "email": "bob@acme.example"},
)


class Tracker(Server):
    def __init__(
        self,
        *,
        deployment: str = "Cloud",
        workflow: str | Workflow = "simple",
        screen: Mapping[str, Any] | None = None,
        screens: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        resolution: str = "",
        projects: Mapping[str, Sequence[str]] = PROJECTS,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.cloud = deployment == "Cloud"
        self.workflow = WORKFLOWS[workflow] if isinstance(workflow, str) else workflow
        by_name = {"no resolution": "never", "resolution required": "required"}
        self.resolution = resolution or by_name.get(str(workflow), "set")
        if self.resolution not in RESOLVING:
            raise ValueError(f"resolution is one of {RESOLVING}, not {resolution!r}")
        self.projects = {key: list(types) for key, types in projects.items()}
        self.screen = {name: field for name, field in {**STANDARD, **(screen or {})}.items() if field is not None}
        self.screens = dict(screens or {})
        self.users = [dict(user) for user in USERS]
        self.bot = self.users[0]
        self.issues: dict[str, Issue] = {}
        self.aliases: dict[str, str] = {}
        self.lag = 0.0
        self.webhooks: list[tuple[str, str]] = []
        self.deliveries: list[hooks.Delivery] = []
        self._numbers, self._history, self._identifiers = itertools.count(10001), itertools.count(1), itertools.count(1)
        self._keys = {key: itertools.count(1) for key in self.projects}
        self._index: dict[str, list[tuple[float, dict[str, Any] | None]]] = {}
        self._told_at_once: set[str] = set()
        self._messenger = hooks.AtOnce()

    def __exit__(self, *more: object) -> None:
        self._messenger.stop()
        super().__exit__(*more)

    # --- what tests look at and people do

    def issue(self, key_or_id: str) -> Issue:
        return self.issues[self.id_of(key_or_id)]

    def only(self) -> Issue:
        (issue,) = self.issues.values()
        return issue

    def person(self, name: str = "Ana Human") -> "Person":
        user = next((each for each in self.users if each["name"] == name), None)
        if user is None:
            user = {
                "id": f"712020:{name.lower().replace(' ', '.')}",
                "name": name,
                "email": f"{name.split(maxsplit=1)[0].lower()}@acme.example",
            }
            self.users.append(user)
        return Person(self, user)

    def move_to(self, issue: Issue, status: str, resolution: str = "") -> None:
        self.person().transition(issue, status, resolution=resolution)

    def delete(self, issue: Issue) -> None:
        self.person().delete(issue)

    def rename(self, issue: Issue, key: str) -> None:
        self.person().move(issue, key.partition("-")[0], key=key)

    # --- settings of projects

    def type_id(self, name: str) -> str:
        names = list(dict.fromkeys(name for types in self.projects.values() for name in types))
        return str(10100 + names.index(name))

    def screen_of(self, project: str, kind: str) -> dict[str, Any]:
        """Of creating and editing: `screen`, and what `screens` says beside it for (project, type); None takes a field away."""
        fields = {**self.screen, **self.screens.get((project, kind), {})}
        return {name: field for name, field in fields.items() if field is not None}

    def project_id(self, key: str) -> str:
        return str(10000 + list(self.projects).index(key)) if key in self.projects else "10999"

    def category(self, issue: Issue) -> str:
        return self.workflow[issue["status"]][0]

    def ways(self, issue: Issue) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """(id, name, to, fields of its screen) of each transition from where it is."""
        numbers = {
            way: str(11 + 10 * number) for number, way in enumerate((a, b) for a in self.workflow for b in self.workflow[a][1])
        }
        for name, to in self.workflow[issue["status"]][1].items():
            asks = self.workflow[to][0] == "done" and self.resolution in ("optional", "required")
            field = {"required": self.resolution == "required", "schema": {"type": "resolution"}, "allowedValues": RESOLUTIONS}
            yield numbers[issue["status"], name], name, to, {"resolution": meta("resolution", field)} if asks else {}

    # --- what is kept

    def id_of(self, key_or_id: str) -> str:
        """Of an id, a key or a key from before a move; "" when there is none."""
        if key_or_id in self.issues:
            return key_or_id
        name = key_or_id.upper()
        return next((number for number, issue in self.issues.items() if issue["key"] == name), self.aliases.get(name, ""))

    def made(
        self, project: str, kind: str, fields: Mapping[str, Any], properties: Mapping[str, Any], by: Mapping[str, Any]
    ) -> Issue:
        number, now = str(next(self._numbers)), self.clock()
        issue = {
            "id": number, "key": f"{project}-{next(self._keys[project])}", "project": project, "type": kind, "fields": dict(fields),
            "status": next(iter(self.workflow)), "resolution": None, "resolved": None, "assignee": None, "comments": [], "attachments": [],
            "links": {}, "remote_links": [], "issue_links": [], "twins": [], "properties": dict(properties), "steps": [], "history": [],
            "made": now, "updated": now, "reporter": by["id"],
        }  # fmt: skip
        self.issues[number] = issue
        self._indexed(issue)
        self._tell("jira:issue_created", "issue_created", issue, by)
        return issue

    def changed(self, issue: Issue, what: str, by: Mapping[str, Any], *items: dict[str, Any], **more: Any) -> None:
        """Note it in history and index, and tell webhooks. `what`: issue_event_type_name."""
        issue["updated"] = self.clock()
        entry = {"id": str(next(self._history)), "author": by["id"], "created": issue["updated"], "items": list(items)}
        if items:
            issue["history"].append(entry)
        self._indexed(issue)
        self._tell(
            "jira:issue_updated",
            what,
            issue,
            by,
            **({"changelog": {"id": entry["id"], "items": list(items)}} if items else {}),
            **more,
        )

    def write(self, issue: Issue, fields: Mapping[str, Any], by: Mapping[str, Any]) -> None:
        before, fields = issue["fields"], dict(fields)
        items = [change(name, before.get(name), value) for name, value in fields.items() if before.get(name) != value]
        if "assignee" in fields:
            user = self.user(fields.pop("assignee"))
            items = [each for each in items if each["field"] != "assignee"]
            if (user or {}).get("id") != issue["assignee"]:
                items.append(change("assignee", issue["assignee"], (user or {}).get("id")))
            issue["assignee"] = user["id"] if user else None
        issue["fields"] = {**before, **fields}
        if items:
            self.changed(issue, "issue_updated", by, *items)

    def enter(self, issue: Issue, to: str, by: Mapping[str, Any], resolution: str | None = None) -> None:
        """The status `to`, with what the workflow does to the resolution; `resolution`: what was chosen on the screen."""
        done, was = self.workflow[to][0] == "done", issue["resolution"]
        if resolution:
            issue["resolution"] = resolution
        elif done and self.resolution in ("set", "kept"):
            issue["resolution"] = was or RESOLUTIONS[0]["name"]
        elif not done and self.resolution != "kept":
            issue["resolution"] = None
        numbers = list(self.workflow)
        before, issue["status"] = issue["status"], to
        items = [change("status", before, to, str(numbers.index(before) + 1), str(numbers.index(to) + 1))]
        if issue["resolution"] != was:
            issue["resolved"] = self.clock() if issue["resolution"] else None
            items.append(change("resolution", was, issue["resolution"]))
        self.changed(issue, "issue_generic", by, *items)

    def remark(self, issue: Issue, body: Any, by: Mapping[str, Any]) -> dict[str, Any]:
        comment = {"id": str(10000 + len(issue["comments"])), "body": body, "author": by["id"], "created": self.clock()}
        issue["comments"].append(comment)
        self.changed(issue, "issue_commented", by, comment={"id": comment["id"], "body": body})
        return comment

    def removed(self, issue: Issue, by: Mapping[str, Any]) -> None:
        del self.issues[issue["id"]]
        self._index[issue["id"]].append((self.clock(), None))
        self._tell("jira:issue_deleted", "issue_deleted", issue, by)

    def carried(self, issue: Issue, project: str, by: Mapping[str, Any], key: str = "") -> None:
        """To another project: a new key, the same id; the old key goes on to name it."""
        was, place = issue["key"], issue["project"]
        self.aliases[was] = issue["id"]
        issue["key"], issue["project"] = key or f"{project}-{next(self._keys[project])}", project
        items = [change("Key", was, issue["key"], None, None)]
        if place != project:
            items.insert(0, change("project", place, project, self.project_id(place), self.project_id(project)))
        self.changed(issue, "issue_moved", by, *items)

    def user(self, said: Any) -> dict[str, Any] | None:
        """By {"accountId": …} on Cloud, {"name": …} on Data Center; {} and None are nobody."""
        number = (said or {}).get("accountId" if self.cloud else "name")
        return next((user for user in self.users if number in (user["id"], self.login(user))), None) if number else None

    @staticmethod
    def login(user: Mapping[str, Any]) -> str:
        return str(user["email"].partition("@")[0])

    # --- the index

    def found(self, query: Query, reconciled: Sequence[str] = ()) -> list[Issue]:
        """As the index knows them, `lag` seconds behind, apart from those to be reconciled."""
        now = self.clock()
        views = [
            view for number in self._index
            if (view := self._view(self.issues.get(number)) if number in reconciled else self._seen(number, now - self.lag))
        ]  # fmt: skip
        rows = query.sorted([view for view in views if query.fits(view, now)])
        return [self.issues[view["id"]] for view in rows if view["id"] in self.issues]

    def _seen(self, number: str, at: float) -> dict[str, Any] | None:
        return next((view for written, view in reversed(self._index[number]) if written <= at), None)

    def _indexed(self, issue: Issue) -> None:
        self._index.setdefault(issue["id"], []).append((self.clock(), self._view(issue)))

    def _view(self, issue: Issue | None) -> dict[str, Any] | None:
        if issue is None:
            return None
        old = [key for key, number in self.aliases.items() if number == issue["id"]]
        category = self.category(issue)
        return {
            "id": issue["id"], "keys": [issue["id"], issue["key"], *old], "projects": [issue["project"], self.project_id(issue["project"])],
            "labels": list(issue["fields"].get("labels") or ()), "created": issue["made"], "updated": issue["updated"],
            "status": [issue["status"]], "category": [category, CATEGORIES[category][1]],
        }  # fmt: skip

    # --- webhooks

    def webhook(self, url: str, secret: str, *, at_once: bool = False) -> None:
        """From now on, changes are told to it: by `deliver`, or at once by a thread."""
        self.webhooks.append((url, secret))
        if at_once:
            self._told_at_once.add(url)

    def deliver(
        self, order: str | Sequence[int] | None = None, *, replay: int = 0, forge: str = "", drop: Sequence[int] = ()
    ) -> list[int]:
        """Send what waits, and answer the statuses. What was answered 5xx and the like waits again, as Jira tries five times more.

        `order`: "reversed", or numbers among what waits; `drop`: numbers of those that get lost; `replay`: how often each comes again;
        `forge`: "signature", "unsigned", "sha1", "body", or another secret.
        """
        with self.lock:
            waiting = [each for each in self.deliveries if each.state == "waiting"]
            lost = [waiting[number] for number in drop]
            for each in lost:
                each.state = "lost"
            wanted = [each for each in hooks.in_order(waiting, order) if each not in lost]
        # Not under the lock: a receiver may ask this Jira before it answers.
        return [each.send(forge) for each in wanted for _time in range(replay + 1)]

    def settle(self) -> None:
        """Wait until all that is sent at once has been sent."""
        self._messenger.settle()

    def _tell(self, event: str, what: str, issue: Issue, by: Mapping[str, Any], **more: Any) -> None:
        for url, secret in self.webhooks:
            payload = {
                "timestamp": int(self.clock() * 1000), "webhookEvent": event, "issue_event_type_name": what,
                "user": self.shown_user(by["id"]), "issue": self.shown_issue(issue), **more,
            }  # fmt: skip
            body = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
            headers = {
                "Content-Type": "application/json; charset=utf-8", "User-Agent": "Atlassian Webhook HTTP Client",
                "X-Hub-Signature": hooks.signed(secret, body), "X-Atlassian-Webhook-Identifier": f"webhook-{next(self._identifiers)}",
                **({"X-Atlassian-Webhook-Flow": "Primary"} if self.cloud else {}),
            }  # fmt: skip
            # Data Center tries once.
            delivery = hooks.Delivery(url, headers, body, retries=hooks.RETRIES if self.cloud else 0)
            self.deliveries.append(delivery)
            if url in self._told_at_once:
                self._messenger.put(delivery)

    def shown_user(self, number: str) -> dict[str, Any]:
        raise NotImplementedError

    def shown_issue(self, issue: Issue) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Person:
    """Someone who works in Jira's pages: bound by no transition, unlike the API. Issues by dict, id or key."""

    tracker: Tracker
    user: Mapping[str, Any]

    def transition(self, issue: Issue | str, to: str, *, resolution: str = "") -> None:
        with self._on(issue) as found:
            self.tracker.enter(found, to, self.user, resolution or None)

    def resolve(self, issue: Issue | str, resolution: str = "Won't Do") -> None:
        """Done, by that resolution."""
        with self._on(issue) as found:
            done = next(name for name, (category, _ways) in self.tracker.workflow.items() if category == "done")
            self.tracker.enter(found, done, self.user, resolution)

    def edit(self, issue: Issue | str, **fields: Any) -> None:
        with self._on(issue) as found:
            self.tracker.write(found, fields, self.user)

    def remove_label(self, issue: Issue | str, label: str) -> None:
        with self._on(issue) as found:
            self.tracker.write(
                found, {"labels": [each for each in found["fields"].get("labels", ()) if each != label]}, self.user
            )

    def comment(self, issue: Issue | str, text: str) -> None:
        with self._on(issue) as found:
            self.tracker.remark(found, text, self.user)

    def move(self, issue: Issue | str, project: str, *, key: str = "") -> None:
        with self._on(issue) as found:
            self.tracker.carried(found, project, self.user, key)

    def delete(self, issue: Issue | str) -> None:
        with self._on(issue) as found:
            self.tracker.removed(found, self.user)

    @contextmanager
    def _on(self, issue: Issue | str) -> Iterator[Issue]:
        with self.tracker.lock:
            yield issue if isinstance(issue, dict) else self.tracker.issue(issue)


def change(name: str, before: Any, after: Any, from_id: Any = "", to_id: Any = "") -> dict[str, Any]:
    """An item of a changelog."""
    was, now = _words(before), _words(after)
    return {
        "field": name, "fieldtype": "custom" if name.startswith("customfield_") else "jira", "fieldId": "issuekey" if name == "Key" else name,
        "from": was if from_id == "" else from_id, "fromString": was, "to": now if to_id == "" else to_id, "toString": now,
    }  # fmt: skip


def _words(value: Any) -> str | None:
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    if isinstance(value, dict):
        return str(value.get("name") or value.get("value") or value.get("id") or json.dumps(value))
    return None if value is None else str(value)


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
