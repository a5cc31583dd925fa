"""`cspm verify`: run the check of a finding again, on its asset."""

import json
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils.translation import gettext, gettext_lazy
from django_q.tasks import async_task

from triage.domain import queries, verification
from triage.management.base import GATE_FAILED, STILL_FAILING, TriageCommand
from triage.management.commands.owner import number
from triage.models import Verification
from triage.ports import Outcome, Text

POLL = 0.5
CLOSED = (Outcome.FIXED, Outcome.GONE)


class Command(TriageCommand):
    help = gettext_lazy("Run the check of a finding again, on its asset: 0 it passes, 6 it still fails, 1 nobody can say.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("findings", nargs="+", metavar="F-12")
        parser.add_argument("--wait", action="store_true", help=gettext("run it here and now, and exit with its outcome"))
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options)
        runs = [
            verification.request(
                finding=queries.finding(number(name)).pk, trigger=Verification.Trigger.PERSON, actor=actor, at=self.at()
            )
            for name in options["findings"]
        ]
        if options["wait"]:
            runs = [self._done(run) for run in runs]
            transaction.on_commit(partial(async_task, "triage.tasks.follow_tickets"))
        else:
            transaction.on_commit(partial(async_task, "triage.tasks.verify_waiting"))
        for run in runs:
            self._report(run, options)
        if options["wait"]:
            self._exit(run.outcome for run in runs)

    def _done(self, run: Verification) -> Verification:
        """Run it in this process; if a worker was first, wait for what it says."""
        run = verification.run(verification=run.pk, clock=self.at)
        while run.state != Verification.State.DONE:
            time.sleep(POLL)
            run = verification.run(verification=run.pk, clock=self.at)
        return run

    def _report(self, run: Verification, options: dict[str, Any]) -> None:
        summary = self.render(Text(run.summary["message"], run.summary["params"])) if run.summary else ""
        if options["json"]:
            self.stdout.write(json.dumps(self._as_json(run, summary), ensure_ascii=False))
        elif run.state == Verification.State.DONE:
            self.say(f"{run.finding}: {run.outcome}. {summary}")
            if run.missing:
                self.say(gettext("  missing: %(missing)s") % {"missing": run.missing})
        else:
            self.say(gettext("%(finding)s: waits for a worker (verification %(n)s).") % {"finding": run.finding, "n": run.pk})

    def _as_json(self, run: Verification, summary: str) -> dict[str, Any]:
        return {
            "finding": str(run.finding),
            "verification": run.pk,
            "state": run.state,
            "outcome": run.outcome or None,
            "summary": summary,
            "missing": run.missing or None,
            "verifier": run.verifier or None,
            "evidence": bytes(run.evidence_id).hex() if run.evidence_id else None,
            "status": run.finding.status,
            "presence": run.finding.presence,
        }

    def _exit(self, outcomes: Iterable[str]) -> None:
        found = set(outcomes)
        if Outcome.FAILING in found:
            raise CommandError(gettext("The check still fails."), returncode=STILL_FAILING)
        if not found.issubset(CLOSED):
            raise CommandError(gettext("Nobody could say whether the check passes."), returncode=GATE_FAILED)
