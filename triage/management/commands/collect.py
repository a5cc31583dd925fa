"""`cspm collect`: enumerate accounts, keep facts and tags, judge by one's own checks, and import the result."""

import json
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django_q.tasks import async_task

from triage.domain.custom_checks import collecting, files
from triage.domain.custom_checks.collecting import Harvest
from triage.domain.exceptions import keeping
from triage.domain.search import words
from triage.management.base import GATE_FAILED, NOT_UNDERSTOOD, OUT_OF_REACH, TriageCommand
from triage.management.check_files import told
from triage.models import ScanState
from triage.ports import Text, Verdict

POLL = 0.5
CHANGES = ("new", "fixed", "regressed", "unreported", "open")


class Command(TriageCommand):
    help = gettext_lazy(
        "Enumerate accounts and judge them by your own checks: 0 all was read, 1 in part, 3 an account was not reached."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "accounts", nargs="*", metavar="ACCOUNT", help=gettext("number, name or aws:NUMBER; all accounts in scope by default")
        )
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options)
        with told(self):
            checks = files.active()
        places = collecting.places(names=options["accounts"], actor=actor)
        if not places:
            message = gettext("No account in scope can be collected. Name one: cspm collect aws:123456789012")
            raise CommandError(message, returncode=NOT_UNDERSTOOD)
        done = []
        for place in places:
            done.append(collecting.collect(place=place, checks=checks, actor=actor, clock=timezone.now))
            self._wait(done[-1])
            self._report(done[-1], options)
        while words.index_assets():
            pass
        keeping.look(at=self.at())
        async_task("triage.tasks.tidy")
        async_task("triage.tasks.follow_tickets")
        self._exit(done)

    def _wait(self, done: Harvest) -> None:
        """A worker may have taken the import first; then it is the one who says how it went."""
        while done.scan is not None and done.scan.state in (ScanState.RECEIVED, ScanState.RUNNING):
            time.sleep(POLL)
            done.scan.refresh_from_db()

    def _report(self, done: Harvest, options: dict[str, Any]) -> None:
        problem = self._problem(done)
        if options["json"]:
            self.stdout.write(json.dumps(self._as_json(done, problem), ensure_ascii=False))
            return
        name = f"{done.place.provider}:{done.place.uid} {done.place.name}".strip()
        if done.scan is None or problem:
            self.say(gettext("%(account)s: not collected.") % {"account": name})
        else:
            said = {"account": name, "assets": done.assets.total(), "kinds": len(done.assets), "scan": done.scan.pk}
            self.say(gettext("%(account)s: %(assets)s assets of %(kinds)s kinds, scan %(scan)s") % said)
            counts = {verdict.value: done.results[verdict] for verdict in Verdict}
            self.say("  " + gettext("results of your checks: %(fail)s fail, %(pass)s pass, %(unknown)s unknown") % counts)
            changes = gettext(
                "%(new)s new, %(fixed)s fixed, %(regressed)s regressed, %(unreported)s no longer reported; %(open)s open"
            )
            self.say("  " + changes % done.scan.counts)
        for warning in [*([problem] if problem else []), *(self.render(note) for note in done.notes)]:
            self.say(f"  ! {warning}")

    def _as_json(self, done: Harvest, problem: str) -> dict[str, Any]:
        counts = done.scan.counts if done.scan else {}
        return {
            "provider": done.place.provider,
            "account": done.place.uid,
            "scan": done.scan.pk if done.scan else None,
            "assets": dict(done.assets),
            "results": {verdict.value: done.results[verdict] for verdict in (Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN)},
            **{name: counts.get(name, 0) for name in CHANGES},
            "missing": sorted(done.missing),
            "notes": [self.render(note) for note in done.notes],
            "problem": problem or None,
        }

    def _problem(self, done: Harvest) -> str:
        scan = done.scan
        return self.render(Text(scan.problem["message"], scan.problem["params"])) if scan and scan.problem else ""

    def _exit(self, done: list[Harvest]) -> None:
        if any(each.scan is None or each.scan.state != ScanState.DONE for each in done):
            raise CommandError(gettext("An account could not be collected."), returncode=OUT_OF_REACH)
        if any(each.notes for each in done):
            raise SystemExit(GATE_FAILED)
