"""A real HTTP server on 127.0.0.1 for stand-ins, which can fail on purpose: before or after it has done what was asked."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


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
    """`kind`: drop, hang, truncate, html, or a status. `after`: what was asked was done before it fails."""

    kind: str | int
    method: str = ""
    path: str = ""
    times: int = 1
    after: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def fits(self, request: Request) -> bool:
        return self.times > 0 and self.method in ("", request.method) and bool(re.search(self.path, request.path))


class Server:
    """Subclasses answer requests in `answer`. `log`: (method, path, status) of each request, in order."""

    def __init__(self, clock: Callable[[], float] = time.time, port: int = 0) -> None:
        self.clock, self.faults, self.log = clock, [], []
        self.lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
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

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Request(handler.command, parts.path, query, handler.headers, raw)
        with self.lock:
            fault = next((each for each in self.faults if each.fits(request)), None)
            if fault:
                fault.times -= 1
            done = self.answer(request) if fault is None or fault.after else Answer()
            if fault:
                done = self._failing(handler, fault, done)
            self.log.append((request.method, request.path, done.status if done else fault.kind))
        if done is not None:
            self._write(handler, done)

    def _failing(self, handler: BaseHTTPRequestHandler, fault: Fault, done: Answer) -> Answer | None:
        if fault.kind == "html":
            return Answer(200, "<html>Sign in</html>", {"Content-Type": "text/html"})
        if isinstance(fault.kind, int):
            return Answer(fault.kind, {"errorMessages": ["no"]}, fault.headers)
        handler.close_connection = True
        if fault.kind == "hang":
            time.sleep(0.6)
        elif fault.kind == "truncate":
            text = json.dumps(done.body).encode()
            handler.wfile.write(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
            )
            handler.wfile.write(text[: len(text) // 2])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _write(self, handler: BaseHTTPRequestHandler, done: Answer) -> None:
        html = done.headers.get("Content-Type", "").startswith("text/")
        text = b"" if done.body is None else str(done.body).encode() if html else json.dumps(done.body).encode()
        handler.send_response(done.status)
        for name, value in {"Content-Type": "application/json", **done.headers, "Content-Length": str(len(text))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)
