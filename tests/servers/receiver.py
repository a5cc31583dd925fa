"""A stand-in for whoever takes signed webhooks (standardwebhooks.com), and for PagerDuty's Events API v2."""

import base64
import hashlib
import hmac
from typing import Any

from tests.servers._http import Answer, Request, Server

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two characters").decode()


class Receiver(Server):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.deliveries: list[tuple[str, Any]] = []
        self.incidents: dict[str, list[str]] = {}
        self.violations: list[str] = []
        self.status = 200

    def answer(self, request: Request) -> Answer:
        if request.path == "/v2/enqueue":
            return self._event(request.json)
        number, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, f"{number}.{stamp}.".encode() + request.raw, hashlib.sha256).digest()).decode()
        if f"v1,{expected}" not in request.headers.get("webhook-signature", "").split():
            self.violations.append("the signature is not right")
            return Answer(401)
        if self.status == 200:
            self.deliveries.append((number, request.json))
        return Answer(self.status, {}, {"Location": "http://169.254.169.254/"} if self.status in (301, 302, 307) else {})

    def _event(self, event: dict[str, Any]) -> Answer:
        if event["event_action"] == "trigger" and not {"summary", "source", "severity"} <= event.get("payload", {}).keys():
            return Answer(400, {"status": "invalid event"})
        if event["event_action"] == "trigger" and event["payload"]["severity"] not in ("critical", "error", "warning", "info"):
            self.violations.append("severity")
        self.incidents.setdefault(event["dedup_key"], []).append(event["event_action"])
        return Answer(202, {"status": "success", "dedup_key": event["dedup_key"]})
