"""`cspm sources`: where reports come from by themselves, what they brought, and another look now."""

import json
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from triage.domain import connections, ingest, sources
from triage.domain.access import Right
from triage.domain.sources import Standing
from triage.management.base import GATE_FAILED, TriageCommand
from triage.models import SourceReport
from triage.ports import Text


class Command(TriageCommand):
    help = gettext_lazy("List the sources of reports, or fetch from one now: 0 everything was imported, 1 not everything.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source", nargs="?", metavar="NAME", help=gettext("fetch from this source now, and import what it has")
        )
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options)
        if options["source"] is None:
            actor.demand(Right.VIEW)
            self._list(options)
            return
        sources.ask(name=options["source"], actor=actor, at=self.at())
        connection, failed = connections.named(options["source"]), False
        for number in sources.waiting(at=self.at()):
            if not SourceReport.objects.filter(pk=number, connection=connection).exists():
                continue
            row = sources.fetch(number, clock=timezone.now)
            scan = ingest.run(row.scan_id, clock=timezone.now) if row.scan_id else None
            failed = failed or scan is None or scan.problem is not None
            self._tell(row, options)
        connection.refresh_from_db()
        if connection.state_reason:
            self.say(f"! {connection.state_reason}")
        if failed or connection.state in (connection.State.REFUSED, connection.State.BROKEN):
            raise SystemExit(GATE_FAILED)

    def _list(self, options: dict[str, Any]) -> None:
        found = sources.standings(at=self.at())
        if options["json"]:
            for each in found:
                self.stdout.write(json.dumps(_as_json(each), ensure_ascii=False))
        elif found:
            heads = [
                gettext("source"),
                gettext("plugin"),
                gettext("state"),
                gettext("last report"),
                gettext("next"),
                gettext("waiting"),
            ]
            self.table(heads, [_cells(each) for each in found])
        else:
            self.say(gettext("No source yet: cspm connect set NAME folder -s folder=FOLDER"))
        for alarm in connections.alarms().filter(connection__kind="sources"):
            self.say(f"! {alarm.connection.name}: {alarm.get_kind_display()} {alarm.subject} {alarm.detail[:200]}")

    def _tell(self, row: SourceReport, options: dict[str, Any]) -> None:
        said = [self.render(Text(each["message"], each["params"])) for each in [*row.notes, *([row.said] if row.said else [])]]
        if options["json"]:
            line = {"name": row.name, "version": row.version, "state": str(row.state), "scan": row.scan_id, "said": said}
            self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        scan = f"S-{row.scan_id}" if row.scan_id else ""
        self.say(" · ".join(filter(None, [row.name, str(row.get_state_display()), scan, *said])))


def _cells(each: Standing) -> list[str]:
    connection = each.connection
    return [
        connection.name, connection.plugin, str(connection.get_state_display()), _time(each.last_report), _time(each.next_at),
        str(each.waiting),
    ]  # fmt: skip


def _time(at: Any) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else "–"


def _as_json(each: Standing) -> dict[str, Any]:
    return connections.described(each.connection) | {
        "state": each.connection.state,
        "last_report": each.last_report.isoformat() if each.last_report else None,
        "next": each.next_at.isoformat() if each.next_at else None,
        "waiting": each.waiting,
    }
