"""`cspm import`: a report in, in this process, and what it changed."""  # noqa: N999 - a command is named as its file

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django_q.tasks import async_task

from triage.domain import ingest
from triage.domain.exceptions import keeping
from triage.domain.ingest.summary import Report
from triage.domain.search import words
from triage.management.base import NOT_UNDERSTOOD, USAGE, TriageCommand
from triage.management.scopes import SCOPE_HELP, declared
from triage.models import Scan, ScanProgress, ScanState
from triage.ports import Text, UnreadableReport

BLOCK = 1 << 20
LINES = 5_000  # of matches held before they are written
POLL = 0.5
# In the order in which people read them; `import --json` has them all.
COUNTS = (
    "rows", "observations", "fail", "passed", "manual", "muted", "new", "open", "fixed", "regressed", "unreported", "skipped",
    "warnings",
)  # fmt: skip
ENDED = (ScanState.DONE, ScanState.DUPLICATE, ScanState.FAILED)


class Matches:
    """One JSON line an observation, in a file that appears when it is whole. An import that begins anew begins it anew."""

    def __init__(self, path: Path, *, rehearsal: bool) -> None:
        self._path, self._rehearsal = path, rehearsal
        self._first: int | tuple[int, int] | None = None
        self._lines: list[str] = []
        self._draft = tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115 - as long as the import

    def __call__(self, position: int | tuple[int, int], finding: int | None, change: str, stage: str, /) -> None:
        if self._first is None:
            self._first = position
        elif position == self._first:
            self._lines.clear()
            self._draft.seek(0)
            self._draft.truncate()
        place = position if position.__class__ is int else json.dumps(position)
        # In a rehearsal a new finding has a number that it will never have.
        name = "null" if finding is None or (self._rehearsal and change == "new") else f'"F-{finding:06d}"'
        self._lines.append(f'{{"position": {place}, "finding": {name}, "change": "{change}", "stage": "{stage}"}}\n')
        if len(self._lines) >= LINES:
            self._write()

    def _write(self) -> None:
        self._draft.writelines(self._lines)
        self._lines.clear()

    def keep(self) -> None:
        """The file is whole."""
        self._write()
        self._draft.close()
        mask = os.umask(0)
        os.umask(mask)
        Path(self._draft.name).chmod(0o666 & ~mask)
        Path(self._draft.name).replace(self._path)

    def forget(self) -> None:
        """Leave nothing behind, unless it was kept."""
        self._draft.close()
        Path(self._draft.name).unlink(missing_ok=True)


class Command(TriageCommand):
    help = gettext_lazy("Import a scanner's report: 0 it is in, or was already; 5 it can't be read.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("report", metavar="FILE|-", help=gettext("the report, packed or not; - for standard input"))
        parser.add_argument("--scope", action="append", default=[], metavar="SCOPE", help=gettext(SCOPE_HELP))
        parser.add_argument("--zone", metavar="ZONE", help=gettext("of times without one, such as Europe/Paris"))
        parser.add_argument(
            "--mapping", metavar="FILE", help=gettext("JSON or YAML that says which column holds what (any CSV or JSON)")
        )
        whole = parser.add_mutually_exclusive_group()
        whole.add_argument(
            "--complete",
            action="store_true",
            help=gettext("the report names all that fails in its scope: what it lacks is no longer reported"),
        )
        whole.add_argument("--partial", action="store_true", help=gettext("the report is of a part: what it lacks says nothing"))
        parser.add_argument("--format", choices=["auto"], default="auto", help=gettext("found out by the content"))
        parser.add_argument("--dry-run", action="store_true", help=gettext("say what it would change, and change nothing"))
        parser.add_argument(
            "--matches", metavar="OUT.jsonl", type=Path, help=gettext("what each record became and why, one a line")
        )
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object"))

    def handle(self, *_args: Any, **options: Any) -> None:
        said = declared(options["scope"])
        said |= {"zone": options["zone"], "mapping": _mapping(options["mapping"])}
        if options["complete"] or options["partial"]:
            said["complete"] = options["complete"]
        with ExitStack() as stack:
            stream = stack.enter_context(_opened(options["report"]))
            matches = None
            if options["matches"]:
                matches = _matches(options["matches"], rehearsal=options["dry_run"])
                stack.callback(matches.forget)
            name = "stdin" if options["report"] == "-" else Path(options["report"]).name
            if options["dry_run"]:
                self._rehearse(stream, name, said, matches, options)
            else:
                self._import(stream, name, said, matches, options)

    def _rehearse(
        self, stream: BinaryIO, name: str, said: Mapping[str, Any], matches: Matches | None, options: dict[str, Any]
    ) -> None:
        try:
            scan, report = ingest.preview(
                stream=stream, name=name, declared=said, actor=self.actor(options), at=self.at(), matches=matches
            )
        except UnreadableReport as refusal:
            if options["json"]:
                empty = {**dict.fromkeys(COUNTS, 0), "problem": self.render(refusal.text)}
                self.stdout.write(
                    json.dumps({"scan": None, "state": ScanState.FAILED, **empty, "dry_run": True}, ensure_ascii=False)
                )
            raise
        if matches:
            matches.keep()
        scan.counts, scan.state = report.summary.as_json(), ScanState.DONE
        self._report(scan, _notes(report), options)

    def _import(
        self, stream: BinaryIO, name: str, said: Mapping[str, Any], matches: Matches | None, options: dict[str, Any]
    ) -> None:
        received = ingest.receive(stream=stream, name=name, declared=said, actor=self.actor(options), at=self.at())
        with _shown_progress(received) if sys.stderr.isatty() else ExitStack():
            scan = ingest.run(received.pk, clock=timezone.now, matches=matches)
            scan = self._ended(scan)
        if scan.state == ScanState.DONE:
            if matches:
                matches.keep()
            while words.index_assets():
                pass
            keeping.look(at=self.at())
            async_task("triage.tasks.tidy")
            async_task("triage.tasks.follow_tickets")
        self._report(scan, [Text(note["message"], note["params"]) for note in scan.notes], options)
        if scan.state == ScanState.FAILED:
            raise CommandError(self._problem(scan), returncode=NOT_UNDERSTOOD)

    def _ended(self, scan: Scan) -> Scan:
        """A worker may have been first; then it is the one who says how it went."""
        while scan.state not in ENDED:
            time.sleep(POLL)
            scan = Scan.objects.get(pk=scan.pk)
        return scan

    def _problem(self, scan: Scan) -> str:
        return self.render(Text(scan.problem["message"], scan.problem["params"])) if scan.problem else ""

    # --- what is printed ----------------------------------------------------------------------------------------------------

    def _report(self, scan: Scan, notes: list[Text], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(self._as_json(scan, notes, options), ensure_ascii=False))
        elif scan.state == ScanState.DUPLICATE:
            self.say(
                gettext("This report was imported before, as scan %(scan)s: nothing changed.") % {"scan": scan.duplicate_of_id}
            )
        elif scan.state == ScanState.DONE:
            self._tell(scan, notes, options)

    def _as_json(self, scan: Scan, notes: list[Text], options: dict[str, Any]) -> dict[str, Any]:
        return {
            "scan": None if options["dry_run"] else scan.pk,
            "state": str(scan.state),
            "format": scan.format,
            "scanner": scan.scanner,
            "at": scan.at.isoformat() if scan.at else None,
            **dict.fromkeys(COUNTS, 0),
            **scan.counts,
            "notes": [self.render(note) for note in notes],
            "problem": self._problem(scan) or None,
            "duplicate_of": scan.duplicate_of_id,
            "dry_run": options["dry_run"],
        }

    def _tell(self, scan: Scan, notes: list[Text], options: dict[str, Any]) -> None:
        n = scan.counts
        seen = f" · {timezone.localtime(scan.at):%Y-%m-%d %H:%M}" if scan.at else ""
        title = gettext("Dry run, nothing is changed") if options["dry_run"] else gettext("Scan %(scan)s") % {"scan": scan.pk}
        kind = scan.format or gettext("empty")
        self.say(f"{title} · {kind}{seen}")
        self.say(gettext("  %(rows)s records: %(fail)s fail, %(passed)s pass, %(manual)s manual, %(muted)s muted") % n)
        self.say(
            gettext("  %(new)s new, %(fixed)s fixed, %(regressed)s regressed, %(unreported)s no longer reported; %(open)s open")
            % n
        )
        if n["warnings"]:
            self.say(gettext("  %(skipped)s records could not be read, %(mended)s were read with something mended") % {
                "skipped": n["skipped"], "mended": n["warnings"] - n["skipped"]
            } + ("" if options["dry_run"] else f" (cspm scans {scan.pk})"))  # fmt: skip
        for note in notes:
            self.say(f"  ! {self.render(note)}")


def _notes(report: Report) -> list[Text]:
    return list(report.notes)


def _mapping(path: str | None) -> dict[str, Any] | None:
    """The mapping as an object; JSON is YAML, too."""
    if path is None:
        return None
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unopened(path, error) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        message = gettext("%(name)s is not JSON or YAML: %(problem)s") % {
            "name": path,
            "problem": " ".join(str(error).split())[:300],
        }
        raise CommandError(message, returncode=NOT_UNDERSTOOD) from error
    if not isinstance(found, dict):
        raise CommandError(gettext('%(name)s holds no mapping: {"fields": {…}}.') % {"name": path}, returncode=NOT_UNDERSTOOD)
    return found


def _matches(path: Path, *, rehearsal: bool) -> Matches:
    try:
        return Matches(path, rehearsal=rehearsal)
    except OSError as error:
        message = gettext("%(name)s cannot be written: %(problem)s") % {"name": path, "problem": error.strerror or error}
        raise CommandError(message, returncode=USAGE) from error


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """The report as a seekable stream; standard input is written to disk first."""
    if name != "-":
        try:
            stream = Path(name).open("rb")  # noqa: SIM115 - closed below; an error while reading it is another one
            stream.peek(1)  # a folder can be opened on some systems, but not read
        except OSError as error:
            raise _unopened(name, error) from error
        with stream:
            yield stream
        return
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as spool:
        size = 0
        while block := sys.stdin.buffer.read(BLOCK):
            size += len(block)
            if size > settings.REPORT_MAX_BYTES:
                message = gettext("Standard input is larger than a report may be (%(size)s bytes; CSPM_REPORT_MAX_BYTES).")
                raise CommandError(message % {"size": settings.REPORT_MAX_BYTES}, returncode=NOT_UNDERSTOOD)
            spool.write(block)
        spool.seek(0)
        yield spool


def _unopened(name: str, error: OSError) -> CommandError:
    message = gettext("%(name)s cannot be read: %(problem)s") % {"name": name, "problem": error.strerror or error}
    return CommandError(message, returncode=USAGE)


@contextmanager
def _shown_progress(scan: Scan) -> Iterator[None]:
    """A bar on the terminal, from what the import writes of its progress."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    stages = {"reading": gettext("reading"), "settling": gettext("settling")}
    done = threading.Event()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,}"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip

    def follow() -> None:
        task = bar.add_task(gettext("reading"), total=scan.size or None, rows=0)
        try:
            while not done.wait(POLL):
                row = ScanProgress.objects.using("progress").filter(pk=scan.pk).first()
                if row is not None:
                    # A packed report is longer unpacked than its size says: then nobody knows how much is left; nor while settling.
                    total = scan.size if row.stage == "reading" and row.bytes <= scan.size else None
                    bar.update(
                        task, description=stages.get(row.stage, row.stage), completed=row.bytes, total=total, rows=row.rows
                    )
        finally:
            connections["progress"].close()

    thread = threading.Thread(target=follow, daemon=True)
    with bar:
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
