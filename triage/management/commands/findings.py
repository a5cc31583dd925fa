"""`cspm findings`: what a query finds, worst first, as a table, JSON lines or CSV."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from triage.domain import search
from triage.domain.access import Right
from triage.domain.rows import FIELDS, rows
from triage.domain.search import QueryError
from triage.management.base import USAGE, TriageCommand, shown
from triage.models import Finding

CHUNK = 2_000
LIMIT = 50  # of a table for people, unless they say another
FORMULA = ("=", "+", "-", "@", "\t", "\r")
WIDTHS = {"id": 8, "severity": 8, "status": 14, "sla": 8, "due": 10, "team": 12, "check": 44, "asset": 0}
WIDE = 120  # a terminal that has room for all columns


class Command(TriageCommand):
    help = gettext_lazy("List findings: cspm findings -q 'severity>=high env:prod team:payments'.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-q", "--query", default="", metavar="QUERY", help=gettext("in the language of the search box"))
        parser.add_argument(
            "--limit", type=int, metavar="N", help=gettext("at most this many, 0 for all (a table: %d, else all)") % LIMIT
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))
        form.add_argument("--csv", action="store_true", help=gettext("CSV with a header, safe to open in a spreadsheet"))

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.VIEW)
        at = timezone.localtime(self.at())
        if (options["limit"] or 0) < 0:
            raise CommandError(gettext("--limit cannot be negative."), returncode=USAGE)
        try:
            found = search.findings(search.parse(options["query"]), at=at).order_by("-score", "id")
        except QueryError as error:
            raise CommandError(self._explained(error, options["query"]), returncode=USAGE) from error
        write = self._json if options["json"] else self._csv if options["csv"] else self._table
        # A transaction: the server-side cursor then needs no copy of what it finds.
        with transaction.atomic():
            write(found, at, options["limit"])

    def _explained(self, error: QueryError, query: str) -> str:
        """The sentence, and the place in the query."""
        text = self.render(error.text)
        if error.suggestions and not any(suggestion in text for suggestion in error.suggestions):
            text += " " + gettext("Possible are: %(these)s.") % {"these": ", ".join(error.suggestions)}
        line = shown(query).replace("\n", " ").replace("\t", " ")
        return f"{text}\n  {line}\n  {' ' * error.position}{'^' * max(error.length, 1)}"

    def _json(self, found: Any, at: datetime, limit: int | None) -> None:
        write, encode = self._raw(), json.JSONEncoder(ensure_ascii=False).encode
        for row in rows(_some(found, limit), at=at):
            write(encode(row) + "\n")

    def _csv(self, found: Any, at: datetime, limit: int | None) -> None:
        writer = csv.writer(_Lines(self._raw()))
        writer.writerow(FIELDS)
        for row in rows(_some(found, limit), at=at):
            writer.writerow([safe_cell(row[name]) for name in FIELDS])

    def _table(self, found: Any, at: datetime, limit: int | None) -> None:
        limit = LIMIT if limit is None else limit
        room = shutil.get_terminal_size().columns if self.stdout.isatty() else 0
        columns = [name for name in WIDTHS if not (0 < room < WIDE and name in ("status", "sla"))]
        titles = {"id": gettext("id"), "severity": gettext("severity"), "status": gettext("status"), "sla": gettext("deadline"),
                  "due": gettext("due"), "team": gettext("team"), "check": gettext("check"), "asset": gettext("asset")}  # fmt: skip
        count = 0
        # One more, to know whether there are more.
        for row in rows(_some(found, limit + 1 if limit else 0), at=at):
            if not count:
                self.say(_line(titles, columns, room))
            count += 1
            if count == limit + 1 and limit:
                break
            self.say(_line(_told(row), columns, room))
        self._say_more(more=bool(limit) and count > limit, limit=limit, none=not count)

    def _say_more(self, *, more: bool, limit: int, none: bool) -> None:
        if none:
            self.stderr.write(gettext("Nothing is found."))
        elif more:
            self.stderr.write(gettext("The first %(limit)s are shown; --limit 0 shows all.") % {"limit": limit})

    def _raw(self) -> Callable[[str], Any]:
        """Writing without the framework's look at each line: there may be a million."""
        stream = getattr(self.stdout, "_out", self.stdout)
        write: Callable[[str], Any] = stream.write
        return write


class _Lines:
    """What csv.writer writes to."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self.write = write


def _some(found: Any, limit: int | None) -> Iterator[Finding]:
    # What findings share (checks, accounts, teams, trails) is fetched once a chunk by `rows`, not once a row by a join.
    queryset = found.defer("identity", "qualifier", "message")
    iterator: Iterator[Finding] = (queryset[:limit] if limit else queryset).iterator(chunk_size=CHUNK)
    return iterator


def safe_cell(value: Any) -> Any:
    """A cell that a spreadsheet doesn't take for a formula."""
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as the table shows it; a star says that the last scan of its place did not report it."""
    return {
        **{name: str(row[name]) for name in ("id", "check", "asset", "sla")},
        "severity": "info" if row["severity"] == "informational" else row["severity"],
        "status": row["status"] + ("" if row["presence"] == "reported" else "*"),
        "due": (row["due_at"] or "")[:10],
        "team": row["team"] or "–",
    }


def _line(cells: Mapping[str, str], columns: Sequence[str], room: int) -> str:
    """The cells under one another. `room`: the terminal's width, into which check and asset share what is left; 0 cuts nothing."""
    taken = sum(WIDTHS[name] + 2 for name in columns if name not in ("check", "asset"))
    check = max((room - taken) * 3 // 5, 10) if room else WIDTHS["check"]
    asset = max(room - taken - check - 2, 10) if room else 0
    parts = [
        f"{_cut(cells[name], WIDTHS[name] if room else 0):{WIDTHS[name]}}" for name in columns if name not in ("check", "asset")
    ]
    parts.append(f"{_cut(cells['check'], check if room else 0):{check}}")
    # The end of an identifier tells more than its beginning.
    parts.append(cells["asset"] if not room or len(cells["asset"]) <= asset else f"…{cells['asset'][1 - asset :]}")
    return "  ".join(parts)


def _cut(text: str, width: int) -> str:
    return f"{text[: width - 1]}…" if 0 < width < len(text) else text
