"""Binary COPY: rows are encoded as PostgreSQL wants them, and the parts that many rows share are encoded once.

Format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY. A row is the number of its fields as
int16, then each field as int32 length (−1 for NULL) and bytes, all big-endian. Measured against psycopg's write_row on a
twelve-column row: 0.8 µs instead of 3.6 µs.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from json import dumps
from struct import Struct, iter_unpack
from typing import Any

from django.db import connection
from psycopg import Cursor

HEADER = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_length = Struct(">i").pack
_int2 = Struct(">ih").pack
_int4 = Struct(">ii").pack
_int8 = Struct(">iq").pack
_array = Struct(">iiiii").pack
_no_array = Struct(">iii").pack(0, 0, 25)
fields = Struct(">h").pack


def text(value: str) -> bytes:
    """A text field. What PostgreSQL's UTF-8 refuses (NUL, lone surrogates) is already cleaned away by `cleaning`."""
    data = value.encode()
    return _length(len(data)) + data


def blob(value: bytes) -> bytes:
    return _length(len(value)) + value


def small(value: int) -> bytes:
    return _int2(2, value)


def integer(value: int) -> bytes:
    return _int4(4, value)


def big(value: int | None) -> bytes:
    return NULL if value is None else _int8(8, value)


def boolean(value: bool) -> bytes:  # noqa: FBT001 - it is the field itself
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def json(value: Any) -> bytes:
    """A jsonb field: its version (1) and the text."""
    data = b"\1" + dumps(value, ensure_ascii=False).encode()
    return _length(len(data)) + data


def texts(values: Sequence[str]) -> bytes:
    """A text[] field: dimensions, whether there are NULLs, the elements' type (25), length and lower bound, then the elements."""
    data = _array(1, 0, 25, len(values), 1) + b"".join(map(text, values)) if values else _no_array
    return _length(len(data)) + data


def moment(value: datetime | None) -> bytes:
    """A timestamptz: microseconds since 2000."""
    if value is None:
        return NULL
    since = value - _EPOCH
    return _int8(8, (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)


class Copier:
    """Gathers encoded rows for one table. `columns`: in the order in which rows are encoded."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self.statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        self.count = fields(len(columns))
        self.rows: list[bytes] = []

    def flush(self) -> None:
        """Write what is gathered: one statement."""
        if not self.rows:
            return
        with connection.cursor() as cursor, cursor.copy(self.statement) as copy:
            copy.write(HEADER + self.count)
            copy.write(self.count.join(self.rows))
            copy.write(TRAILER)
        self.rows.clear()


def read(fields: str, source: str, params: Sequence[Any], layout: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a query whose fields have a fixed width, none NULL.

    `fields`: SQL of one bytea a row, the fields in network order; `source`: what follows FROM; `layout`: struct codes ("16sq").
    The server glues all rows into one value: row by row, as COPY TO sends them, costs the client ten times as much.
    """
    connection.ensure_connection()
    with Cursor(connection.connection) as cursor:  # Django's own cursors know no binary results
        cursor.execute(f"SELECT string_agg({fields}, ''::bytea) FROM {source}", params, binary=True)
        (data,) = cursor.fetchone() or (b"",)
    yield from iter_unpack(f">{layout}", data or b"")
