"""A stand-in for Slack's Web API and its interactivity: keeps messages, refuses what Slack refuses, and presses buttons as people do."""

import hashlib
import hmac
import itertools
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.servers._http import Answer, Request, Server
from tests.servers._websocket import WebSocket

TOKEN, SIGNING, APP_TOKEN = "xoxb-token-of-tests", "signing-secret-of-tests", "xapp-token-of-tests"


class Slack(Server):
    """`users`: id -> e-mail; `channels`: id -> name. Messages are dicts with channel, ts, thread_ts, text, blocks, metadata."""

    def __init__(self, *, users: dict[str, str] | None = None, channels: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.users = {"U1ALICE": "alice@acme.example"} if users is None else users
        self.channels = {"C1WEB": "web", "C2SEC": "security"} if channels is None else channels
        self.archived: set[str] = set()
        self.deleted: set[str] = set()
        self.messages: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.error = ""
        self.per_channel = 0.0  # seconds between two messages that are allowed
        self.last: dict[str, float] = {}
        self.closed_until = 0.0
        self.disobeyed = 0
        self.stamps = itertools.count(1)
        self.url = self.address + "/api/"
        self.socket: WebSocket | None = None

    def answer(self, request: Request) -> Answer:
        if request.path.startswith("/response/"):
            self.answers.append(request.json)
            return Answer(200, "ok", {"Content-Type": "text/plain"})
        method = request.path.removeprefix("/api/")
        given = self._given(request)
        if self.clock() < self.closed_until:
            self.disobeyed += 1
        if method == "apps.connections.open" and request.headers.get("Authorization") == f"Bearer {APP_TOKEN}":
            self.socket = self.socket or WebSocket()
            return Answer(200, {"ok": True, "url": self.socket.url})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Answer(200, {"ok": False, "error": "invalid_auth"})
        if self.error:
            return Answer(200, {"ok": False, "error": self.error, "needed": "chat:write"})
        does = getattr(self, "_" + method.replace(".", "_"), None)
        if does is None:
            self.violations.append(f"unknown method {method}")
            return Answer(200, {"ok": False, "error": "unknown_method"})
        told = does(given)
        if isinstance(told, Answer):
            return told
        return Answer(200, {"ok": False, "error": told} if isinstance(told, str) else {"ok": True, **told})

    def _given(self, request: Request) -> dict[str, Any]:
        if "json" in request.headers.get("Content-Type", ""):
            return dict(request.json or {})
        form = {name: values[-1] for name, values in urllib.parse.parse_qs(request.raw.decode()).items()}
        return {**request.query, **form}

    # --- methods

    def _auth_test(self, _given: dict[str, Any]) -> Any:
        return {"user": "cspm", "team": "Acme", "user_id": "UBOT"}

    def _users_lookupByEmail(self, given: dict[str, Any]) -> Any:
        found = next((number for number, email in self.users.items() if email == given["email"].lower()), None)
        return {"user": self._person(found)} if found and found not in self.deleted else "users_not_found"

    def _users_info(self, given: dict[str, Any]) -> Any:
        return {"user": self._person(given["user"])} if given["user"] in self.users else "user_not_found"

    def _person(self, number: str) -> dict[str, Any]:
        return {"id": number, "deleted": number in self.deleted, "tz": "Europe/Paris", "profile": {"email": self.users[number]}}

    def _conversations_open(self, given: dict[str, Any]) -> Any:
        if given["users"] not in self.users:
            return "user_not_found"
        self.channels.setdefault("D" + given["users"], "")
        return {"channel": {"id": "D" + given["users"]}}

    def _conversations_info(self, given: dict[str, Any]) -> Any:
        if given["channel"] not in self.channels:
            return "channel_not_found"
        return {"channel": {"id": given["channel"], "is_archived": given["channel"] in self.archived}}

    def _conversations_list(self, given: dict[str, Any]) -> Any:
        rows = [{"id": number, "name": name} for number, name in self.channels.items() if name]
        start = int(given.get("cursor") or 0)
        following = str(start + 1) if start + 1 < len(rows) else ""
        return {"channels": rows[start : start + 1], "response_metadata": {"next_cursor": following}}

    def _conversations_history(self, given: dict[str, Any]) -> Any:
        rows = [each for each in self.messages if each["channel"] == given["channel"] and not each.get("thread_ts")]
        return self._page([each for each in rows if float(each["ts"]) >= float(given.get("oldest", 0))], given)

    def _conversations_replies(self, given: dict[str, Any]) -> Any:
        return self._page([each for each in self.messages if given["ts"] in (each["ts"], each.get("thread_ts"))], given)

    def _page(self, rows: list[dict[str, Any]], given: dict[str, Any]) -> Any:
        rows, start = rows[::-1], int(given.get("cursor") or 0)
        hide = str(given.get("include_all_metadata")).lower() not in ("true", "1")
        page = [{k: v for k, v in row.items() if not (hide and k == "metadata")} for row in rows[start : start + 2]]
        following = str(start + 2) if start + 2 < len(rows) else ""
        return {"messages": page, "response_metadata": {"next_cursor": following}}

    def _chat_postMessage(self, given: dict[str, Any]) -> Any:
        channel = given["channel"]
        if channel not in self.channels:
            return "channel_not_found"
        if channel in self.archived:
            return "is_archived"
        if wrong := self._check(given):
            return wrong
        now = self.clock()
        if self.per_channel and (now < self.closed_until or now - self.last.get(channel, 0.0) < self.per_channel):
            self.closed_until = now + 2
            return Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "2"})
        self.last[channel] = now
        message = {
            "channel": channel, "ts": f"{now:.0f}.{next(self.stamps):06d}", "text": given["text"], "blocks": given.get("blocks", []),
            "metadata": given.get("metadata", {}),
        }  # fmt: skip
        if given.get("thread_ts"):
            message["thread_ts"] = given["thread_ts"]
        self.messages.append(message)
        return {"ts": message["ts"], "channel": channel}

    def _chat_update(self, given: dict[str, Any]) -> Any:
        found = next((each for each in self.messages if (each["channel"], each["ts"]) == (given["channel"], given["ts"])), None)
        if found is None:
            return "message_not_found"
        found.update(text=given["text"], blocks=given.get("blocks", []), edited=True)
        return {"ts": given["ts"], "channel": given["channel"]}

    def _views_open(self, given: dict[str, Any]) -> Any:
        view = given["view"] if isinstance(given["view"], dict) else json.loads(given["view"])
        if len(view["title"]["text"]) > 24 or len(view["blocks"]) > 100:
            self.violations.append("a view's title has 24 characters, and it 100 blocks, at most")
        self.views.append(view)
        return {"view": view}

    def _check(self, given: dict[str, Any]) -> str:
        """Block Kit's limits."""
        blocks, wrong = given.get("blocks", []), []
        if not given.get("text"):
            wrong.append("a message has a text")
        if len(blocks) > 50:
            wrong.append("50 blocks")
        for block in blocks:
            text = (block.get("text") or {}).get("text", "x")
            most = {"header": 150, "section": 3000}.get(block["type"], 3000)
            if not text or len(text) > most:
                wrong.append(f"{block['type']}: {len(text)} characters")
            for element in block.get("elements", []):
                label = element.get("text")
                if isinstance(label, dict) and not 0 < len(label["text"]) <= 75:
                    wrong.append("a button's text has 1 to 75 characters")
                if len(element.get("value", "")) > 2000 or len(element.get("action_id", "")) > 255:
                    wrong.append("value 2000, action_id 255")
        self.violations += wrong
        return "invalid_blocks" if wrong else ""

    # --- people

    def press(self, to: str, message: dict[str, Any], action: str, *, user: str = "U1ALICE", **how: Any) -> tuple[int, str]:
        """Press a button; the answer's status and text. `how`: age (seconds), secret, stamp, body (to replay)."""
        buttons = [element for block in message["blocks"] if block["type"] == "actions" for element in block["elements"]]
        button = next(each for each in buttons if each["action_id"].startswith(action))
        payload = {
            "type": "block_actions", "user": {"id": user}, "trigger_id": f"t{next(self.stamps)}",
            "response_url": f"{self.address}/response/1", "container": {"message_ts": message["ts"], "channel_id": message["channel"]},
            "actions": [{"action_id": button["action_id"], "value": button.get("value", ""), "action_ts": str(next(self.stamps))}],
        }  # fmt: skip
        return self.send(to, self.body_of(payload), **how)

    def submit(self, to: str, view: dict[str, Any], fields: dict[str, str], *, user: str = "U1ALICE") -> tuple[int, str]:
        values = {
            name: {name: {"selected_date" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "value": text}}
            for name, text in fields.items()
        }
        payload = {"type": "view_submission", "user": {"id": user}, "view": {**view, "state": {"values": values}}}
        return self.send(to, self.body_of(payload))

    @staticmethod
    def body_of(payload: dict[str, Any]) -> bytes:
        return urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()

    @staticmethod
    def signed(body: bytes, *, age: float = 0, secret: str = SIGNING, stamp: str = "") -> dict[str, str]:
        stamp = stamp or str(int(time.time() - age))
        digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        return {
            "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}", "Content-Type": "application/x-www-form-urlencoded",
        }  # fmt: skip

    def send(self, to: str, body: bytes, **how: Any) -> tuple[int, str]:
        request = urllib.request.Request(to, body, self.signed(body, **how))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
