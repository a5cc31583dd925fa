"""A real HTTP server on 127.0.0.1 for stand-ins, which can fail on purpose: before or after it has done what was asked.

A process outside steers it over HTTP, too: GET /__control__/violations, /__control__/requests and what a stand-in adds;
POST /__control__/fault with what `Server.fault` takes.
"""

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONTROL = "/__control__/"
UNLOGGED = ("authorization", "cookie")
NO_ANSWER = frozenset({"drop", "hang", "truncate"})
KINDS = NO_ANSWER | {"cut", "html"}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw or b"null")


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """`kind`: a status, or
    drop (the connection closes without an answer), hang (the same after `seconds`), truncate (it breaks within the answer),
    cut (a whole answer, of half a JSON), html (200 and the page of a sign-in).
    `after`: what was asked was done before it fails. `retry_after`: as `wait_headers` takes it.
    """

    kind: str | int
    method: str = ""
    path: str = ""
    times: int = 1
    after: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.6
    retry_after: str | int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, int) and self.kind not in KINDS:
            raise ValueError(f"a fault is a status or one of {sorted(KINDS)}, not {self.kind!r}")

    def fits(self, request: Request) -> bool:
        return self.times > 0 and self.method in ("", request.method) and bool(re.search(self.path, request.path))


def wait_headers(said: str | int | None, now: float) -> tuple[float, dict[str, str]]:
    """How long to wait and the headers that say so. `said`: seconds ("1847"), "date" or "reset" (or "date:90", "reset:90"), None."""
    if said is None:
        return 1.0, {}
    kind, _colon, given = str(said).partition(":")
    if kind == "date":
        seconds = float(given or 2)
        return seconds, {"Retry-After": format_datetime(datetime.fromtimestamp(now + seconds, UTC), usegmt=True)}
    if kind == "reset":
        # Atlassian gives it by the minute (yyyy-MM-ddTHH:mmZ): the next whole one.
        until = (int(now + float(given or 2)) // 60 + 1) * 60
        return until - now, {"X-RateLimit-Reset": f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%MZ}"}
    return float(kind), {"Retry-After": kind}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up first is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """Subclasses answer requests in `answer`.

    `log`: (method, path, status) of each request, in order; `requests`: the same with time, query and headers.
    """

    def __init__(self, clock: Callable[[], float] = time.time, port: int = 0) -> None:
        self.clock, self.faults, self.log, self.requests = clock, [], [], []
        self.violations: list[str] = []
        self.lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go in two writes: the second would wait for the client's delayed ACK

            def handle_any(self) -> None:
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self.http = _Listener(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Any:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def fault(self, kind: str | int, method: str = "", path: str = "", **more: Any) -> None:
        self.faults.append(Fault(kind, method, path, **more))

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def controls(self) -> Mapping[str, Callable[[], Any]]:
        """What a process outside can read, by name."""
        return {"violations": lambda: self.violations, "requests": lambda: self.requests}

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Request(handler.command, unquote(parts.path), query, handler.headers, raw)
        if request.path.startswith(CONTROL):
            with self.lock:
                told = self._control(request)
                text = _json(told.body)
            self._write(handler, told, text)
            return
        with self.lock:
            fault = next((each for each in self.faults if each.fits(request)), None)
            if fault:
                fault.times -= 1
            done = self._answered(request) if fault is None or fault.after else Answer()
            if fault and fault.kind not in NO_ANSWER:
                done = self._spoilt(fault, done)
            self._note(request, fault.kind if fault and fault.kind in NO_ANSWER else done.status)
        if fault and fault.kind in NO_ANSWER:
            self._break_off(handler, fault, done)
        else:
            self._write(handler, done)

    def _answered(self, request: Request) -> Answer:
        try:
            return self.answer(request)
        except Exception as error:  # noqa: BLE001 - a hole in the stand-in must fail the test that found it, not hide as a 500
            self.violations.append(f"{request.method} {request.path}: the stand-in broke: {error!r}")
            return Answer(500, {"errorMessages": ["Internal server error"]})

    def _note(self, request: Request, status: int | str) -> None:
        self.log.append((request.method, request.path, status))
        self.requests.append({
            "method": request.method, "path": request.path, "query": request.query, "status": status, "at": self.clock(),
            "headers": {name: value for name, value in request.headers.items() if name.lower() not in UNLOGGED},
        })  # fmt: skip

    def _control(self, request: Request) -> Answer:
        name, controls = request.path.removeprefix(CONTROL), self.controls()
        if request.method == "GET" and name in controls:
            return Answer(200, controls[name]())
        if request.method == "POST" and name == "fault":
            try:
                self.fault(**request.json)
            except (TypeError, ValueError) as error:
                return Answer(400, {"error": str(error)})
            return Answer(201, {"faults": len(self.faults)})
        return Answer(404, {"error": f"GET {', '.join(sorted(controls))}; POST fault"})

    def _spoilt(self, fault: Fault, done: Answer) -> Answer:
        """Another answer than the one that was due."""
        if fault.kind == "html":
            return Answer(200, "<html>Sign in</html>", {"Content-Type": "text/html"})
        if fault.kind == "cut":
            text = _json(done.body).decode()
            return Answer(done.status, text[: len(text) // 2], {"Content-Type": "application/json"})
        _seconds, waiting = wait_headers(fault.retry_after, self.clock())
        return Answer(int(fault.kind), {"errorMessages": ["no"]}, waiting | fault.headers)

    def _break_off(self, handler: BaseHTTPRequestHandler, fault: Fault, done: Answer) -> None:
        handler.close_connection = True
        if fault.kind == "hang":
            time.sleep(fault.seconds)
        elif fault.kind == "truncate":
            text = _json(done.body)
            head = f"HTTP/1.1 {done.status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            handler.wfile.write(head.encode() + text[: len(text) // 2])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    def _write(self, handler: BaseHTTPRequestHandler, done: Answer, text: bytes | None = None) -> None:
        if text is None:
            as_it_is = isinstance(done.body, str) and "Content-Type" in done.headers
            plain = done.body.encode() if as_it_is else done.body
            text = plain if isinstance(plain, bytes) else b"" if plain is None else _json(plain)
        handler.send_response(done.status)
        for name, value in {"Content-Type": "application/json", **done.headers, "Content-Length": str(len(text))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)


def _json(body: Any) -> bytes:
    return json.dumps(body, default=_told).encode()


def _told(value: Any) -> Any:
    """Of what JSON has no form for: bytes by their number, a set as a list."""
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
