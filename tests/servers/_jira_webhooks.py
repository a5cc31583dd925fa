"""Jira's webhooks: signed, at least once, in no order that anyone promises. They are sent when a test says so, or at once."""

import hashlib
import hmac
import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

AGAIN = frozenset({0, 408, 409, 425, 429})  # and 5xx; 0: no answer
RETRIES = 5  # then Jira gives up
TIMEOUT = 5
FORGERIES = ("signature", "unsigned", "sha1", "body")
# Never by a proxy: receivers are on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Delivery:
    """Unpacks as (headers, body). `state`: waiting, taken, refused, lost or given up. `statuses`: what was answered, 0 for nothing."""

    url: str
    headers: dict[str, str]
    body: bytes
    retries: int = RETRIES
    state: str = "waiting"
    statuses: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.headers, self.body))

    def send(self, forge: str = "") -> int:
        headers, body = forged(self.headers, self.body, forge) if forge else (self.headers, self.body)
        if self.statuses:
            headers = headers | {"X-Atlassian-Webhook-Retry": str(len(self.statuses))}
        status = _post(self.url, headers, body)
        self.statuses.append(status)
        if status in AGAIN or status >= 500:
            self.state = "waiting" if len(self.statuses) <= self.retries else "given up"
        else:
            self.state = "taken" if status < 300 else "refused"
        return status


def signed(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def forged(headers: dict[str, str], body: bytes, how: str) -> tuple[dict[str, str], bytes]:
    """`how`: one of FORGERIES, or the secret of someone else."""
    if how == "unsigned":
        return {name: value for name, value in headers.items() if name != "X-Hub-Signature"}, body
    if how == "sha1":
        return headers | {"X-Hub-Signature": "sha1=" + hashlib.sha1(body).hexdigest()}, body
    if how == "body":
        return headers, json.dumps(json.loads(body) | {"forged": True}).encode()
    return headers | {"X-Hub-Signature": "sha256=" + "0" * 64 if how == "signature" else signed(how, body)}, body


def _post(url: str, headers: dict[str, str], body: bytes) -> int:
    try:
        with _OPENER.open(urllib.request.Request(url, body, headers), timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


class AtOnce:
    """A thread that sends deliveries as they come."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def put(self, delivery: Delivery) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._queue.put(delivery)

    def settle(self) -> None:
        """Wait until all that came has been sent."""
        self._queue.join()

    def stop(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(TIMEOUT)
            self._thread = None

    def _work(self) -> None:
        while (delivery := self._queue.get()) is not None:
            delivery.send()
            self._queue.task_done()
        self._queue.task_done()


def in_order(waiting: Sequence[Delivery], order: str | Sequence[int] | None) -> list[Delivery]:
    if order is None:
        return list(waiting)
    return list(reversed(waiting)) if order == "reversed" else [waiting[number] for number in order]
