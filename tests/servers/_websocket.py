"""One end of a WebSocket (RFC 6455) for a stand-in: takes a client in, sends it texts, and keeps what it says."""

import base64
import hashlib
import socket
import struct
import threading
from contextlib import suppress

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class WebSocket:
    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/link"
        self.heard: list[str] = []
        self.client: socket.socket | None = None
        self.joined = threading.Event()
        self.answered = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def send(self, text: str) -> None:
        assert self.joined.wait(5)
        data = text.encode()
        head = bytes([0x81]) + (bytes([len(data)]) if len(data) < 126 else bytes([126]) + struct.pack(">H", len(data)))
        self.client.sendall(head + data)

    def wait_for(self, count: int) -> None:
        with self.answered:
            assert self.answered.wait_for(lambda: len(self.heard) >= count, timeout=5)

    def close(self) -> None:
        for each in (self.client, self._listener):
            if each is not None:
                with suppress(OSError):
                    each.close()

    def _serve(self) -> None:
        with suppress(OSError):
            self.client, _address = self._listener.accept()
            request = b""
            while b"\r\n\r\n" not in request:
                request += self.client.recv(4096)
            key = next(
                line.partition(b":")[2].strip()
                for line in request.split(b"\r\n")
                if line.lower().startswith(b"sec-websocket-key")
            )
            accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            self.client.sendall(head + accept + b"\r\n\r\n")
            self.joined.set()
            while True:
                self._frame()

    def _frame(self) -> None:
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        mask = self._read(4) if second & 0x80 else bytes(4)
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self._read(length)))
        if first & 0x0F == 1:
            with self.answered:
                self.heard.append(data.decode())
                self.answered.notify_all()
        elif first & 0x0F == 9:
            self.client.sendall(bytes([0x8A, len(data)]) + data)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            some = self.client.recv(count - len(data))
            if not some:
                raise OSError("gone")
            data += some
        return data
