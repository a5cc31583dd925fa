"""`cspm scans`: the reports that were taken in, and what one of them changed."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from triage.domain import queries
from triage.domain.access import Right
from triage.domain.queries import ScanStory
from triage.management.base import USAGE, TriageCommand
from triage.models import Scan
from triage.ports import Text

SHOWN = 20  # findings of a column
HEADINGS = {
    "new": gettext_noop("new"),
    "fixed": gettext_noop("fixed"),
    "regressed": gettext_noop("regressed"),
    "unreported": gettext_noop("no longer reported"),
}


class Command(TriageCommand):
    help = gettext_lazy("List the scans that were imported, or show what one of them changed.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scan", nargs="?", metavar="N", help=gettext("one scan, with its diff and warnings"))
        parser.add_argument("--limit", type=int, default=20, metavar="N", help=gettext("at most this many (%(default)s)"))
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.VIEW)
        if options["scan"] is None:
            self._list(options)
            return
        number = options["scan"].upper().removeprefix("S-")
        if not number.isascii() or not number.isdecimal() or len(number) > 18:
            raise CommandError(
                gettext("“%(name)s” is not a scan. Write its number, such as 12.") % {"name": options["scan"]}, returncode=USAGE
            )
        story = queries.scan_story(queries.scan(int(number)))
        if options["json"]:
            self.stdout.write(json.dumps({**self._as_json(story.scan), **self._diff(story)}, ensure_ascii=False))
        else:
            self._tell(story)

    def _list(self, options: dict[str, Any]) -> None:
        found, _more = queries.scans(before=None, size=max(options["limit"], 1))
        if options["json"]:
            for scan, _who in found:
                self.stdout.write(json.dumps(self._as_json(scan), ensure_ascii=False))
        elif found:
            headers = ("scan", "seen", "state", "scanner", "rows", *HEADINGS, "file")
            names = {"scan": gettext("scan"), "seen": gettext("seen"), "state": gettext("state"), "scanner": gettext("scanner"),
                     "rows": gettext("rows"), "file": gettext("file"), **{n: gettext(h) for n, h in HEADINGS.items()}}  # fmt: skip
            self.table([names[name] for name in headers], [self._cells(scan) for scan, _who in found])
        else:
            self.say(gettext("Nothing was imported yet: cspm import FILE."))

    def _cells(self, scan: Scan) -> list[str]:
        counts = [str(scan.counts.get(name, "")) for name in ("rows", *HEADINGS)]
        return [str(scan.pk), _time(scan), str(scan.get_state_display()), scan.scanner, *counts, scan.file_name]

    def _tell(self, story: ScanStory) -> None:
        scan = story.scan
        title = gettext("Scan %(scan)s") % {"scan": scan.pk}
        self.say(" · ".join([title, str(scan.get_state_display()), scan.format, _time(scan), scan.file_name]))
        if scan.problem:
            self.say(f"  {self.render(Text(scan.problem['message'], scan.problem['params']))}")
        if scan.duplicate_of_id:
            self.say(gettext("  the same report as scan %(scan)s") % {"scan": scan.duplicate_of_id})
        for note in scan.notes:
            self.say(f"  ! {self.render(Text(note['message'], note['params']))}")
        for column in story.columns:
            self.say(f"{gettext(HEADINGS[column.name])}: {column.count}")
            for row in column.findings[:SHOWN]:
                self.say(f"  {row}  {row.check_ref.key}  {row.asset.uid}")
            if column.count > min(len(column.findings), SHOWN):
                self.say("  …")
        for warning in story.warnings:
            reason = self.render(Text(warning.reason["message"], warning.reason["params"]))
            where = (
                gettext("line %(line)s") % {"line": warning.line}
                if warning.line
                else gettext("record %(n)s") % {"n": warning.position}
            )
            self.say(f"  ! {where}: {reason}")

    def _as_json(self, scan: Scan) -> dict[str, Any]:
        return {
            "scan": scan.pk,
            "state": str(scan.state),
            "at": scan.at.isoformat() if scan.at else None,
            "received_at": scan.received_at.isoformat(),
            "scanner": scan.scanner,
            "version": scan.version,
            "format": scan.format,
            "file": scan.file_name,
            "size": scan.size,
            "sha256": bytes(scan.sha256).hex(),
            "declared": scan.declared,
            **scan.counts,
            "notes": [self.render(Text(note["message"], note["params"])) for note in scan.notes],
            "problem": self.render(Text(scan.problem["message"], scan.problem["params"])) if scan.problem else None,
            "duplicate_of": scan.duplicate_of_id,
        }

    def _diff(self, story: ScanStory) -> dict[str, Any]:
        """The first findings of each kind of change, and the warnings."""
        return {
            "diff": {column.name: [str(row) for row in column.findings] for column in story.columns},
            "warned": [
                {
                    "position": w.position, "line": w.line, "field": w.field, "lost": w.lost,
                    "reason": self.render(Text(w.reason["message"], w.reason["params"])),
                }
                for w in story.warnings
            ],
        }  # fmt: skip


def _time(scan: Scan) -> str:
    return f"{timezone.localtime(scan.at or scan.received_at):%Y-%m-%d %H:%M}"
