"""`cspm verify`: run the check of a finding again, on its asset; or those of all findings that a query means."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext
from django_q.tasks import async_task

from triage.domain import queries, verification
from triage.domain.access import Actor
from triage.domain.search import QueryError
from triage.domain.verification import runs
from triage.domain.verification.runs import UNFINISHED, Wanted
from triage.management.base import GATE_FAILED, STILL_FAILING, USAGE, TriageCommand, shown
from triage.management.commands.owner import number
from triage.models import Verification, VerificationRun
from triage.ports import Outcome, Text

POLL = 0.5
AT_A_TIME = 50  # verifications between two looks at how far it is
CLOSED = (Outcome.FIXED, Outcome.GONE)


class Command(TriageCommand):
    help = gettext_lazy("Run the check of a finding again, on its asset: 0 it passes, 6 it still fails, 1 nobody can say.")

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("findings", nargs="*", default=[], metavar="F-12")
        which.add_argument("-q", "--query", metavar="QUERY", help=gettext("all that the query means, worst first, as one run"))
        parser.add_argument("--limit", type=int, metavar="N", help=gettext("with a query: at most this many"))
        parser.add_argument("--wait", action="store_true", help=gettext("run it here and now, and exit with its outcome"))
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["limit"] is not None and (options["query"] is None or options["limit"] < 1):
            raise CommandError(gettext("--limit is for a query, and at least 1."), returncode=USAGE)
        if options["query"] is None:
            self._each(options)
        else:
            self._run(options)

    def _each(self, options: dict[str, Any]) -> None:
        actor = self.actor(options)
        asked = [
            verification.request(
                finding=queries.finding(number(name)).pk, trigger=Verification.Trigger.PERSON, actor=actor, at=self.at()
            )
            for name in options["findings"]
        ]
        if options["wait"]:
            asked = [self._done(each) for each in asked]
            _nudge("follow_tickets")
        else:
            _nudge("verify_waiting")
        for each in asked:
            self._report(each, options)
        if options["wait"]:
            self._exit(each.outcome for each in asked)

    def _done(self, asked: Verification) -> Verification:
        """Run it in this process; if a worker was first, wait for what it says."""
        asked = verification.run(verification=asked.pk, clock=self.at)
        while asked.state in UNFINISHED:
            time.sleep(POLL)
            asked = verification.run(verification=asked.pk, clock=self.at)
        return asked

    # --- a run of many ------------------------------------------------------------------------------------------------------------

    def _run(self, options: dict[str, Any]) -> None:
        run = self._asked(self.actor(options), options)
        if not options["wait"]:
            if options["json"]:
                self._write(as_row(run, runs.progress(run, at=self.at())))
            _nudge("verify_waiting")
            return
        told: set[int] = set()
        with self._meter(run) as far:
            while not (progress := runs.progress(run, at=self.at())).finished:
                far(progress)
                ran = verification.drain(clock=self.at, limit=AT_A_TIME, of_run=run.pk)
                if options["json"]:
                    self._tell(run, told, options)
                if not ran:
                    time.sleep(POLL)  # other workers have what is left
            far(progress)
        _nudge("follow_tickets")
        if options["json"]:
            self._tell(run, told, options)
            self._write(as_row(run, progress))
        else:
            self._sum_up(run, progress)
        silent = [Outcome.CANNOT.value] * bool(run.barred + run.unanswered + run.joined + progress.withdrawn)
        self._exit([*progress.outcomes, *silent])

    def _asked(self, actor: Actor, options: dict[str, Any]) -> VerificationRun:
        """The run that was left unfinished, or a new one."""
        at = timezone.localtime(self.at())
        found = runs.unfinished(query=options["query"], actor=actor)
        if found is not None:
            progress = runs.progress(found, at=at)
            said = {"run": found, "done": progress.done, "total": found.total}
            self._aside(gettext("%(run)s is running: %(done)s of %(total)s are done.") % said)
            return found
        try:
            run = verification.request_all(
                query=options["query"], trigger=Verification.Trigger.PERSON, actor=actor, at=at, limit=options["limit"]
            )
        except QueryError as error:
            raise CommandError(self.render(error.text), returncode=USAGE) from error
        counted = ngettext("%(run)s: %(n)s verification.", "%(run)s: %(n)s verifications.", run.total)
        self._aside(counted % {"run": run, "n": run.total})
        for n, sentence in (
            (run.barred, gettext("You may not verify %(n)s of them.")),
            (run.unanswered, gettext("No verifier answers the checks of %(n)s. The next scan that covers them will.")),
            (run.joined, gettext("%(n)s are on their way already.")),
        ):
            if n:
                self._aside("  " + sentence % {"n": n})
        return run

    def _tell(self, run: VerificationRun, told: set[int], options: dict[str, Any]) -> None:
        """What is done and was not told yet."""
        rows = Verification.objects.filter(run=run, state=Verification.State.DONE).select_related("finding")
        for each in rows.exclude(pk__in=told).order_by("finished_at", "pk"):
            told.add(each.pk)
            self._report(each, options)

    def _sum_up(self, run: VerificationRun, progress: runs.Progress) -> None:
        counted = [(str(outcome), progress.outcomes.get(outcome, 0)) for outcome in Outcome]
        for word, n in (*counted, (gettext("withdrawn"), progress.withdrawn)):
            if n:
                self.say(f"{n:>7}  {word}")
        for lack in runs.lacks(Wanted(run=run.pk)):
            said = {"missing": lack.missing, "principal": lack.principal or "?", "account": lack.account.uid, "n": lack.findings}
            line = ngettext(
                "give %(missing)s to %(principal)s in account %(account)s: %(n)s finding",
                "give %(missing)s to %(principal)s in account %(account)s: %(n)s findings",
                lack.findings,
            )
            self.say("  " + line % said)

    @contextmanager
    def _meter(self, run: VerificationRun) -> Iterator[Any]:
        """Draws on a terminal how far the run is; elsewhere nothing."""
        if not sys.stderr.isatty():
            yield lambda _progress: None
            return
        from rich.console import Console  # noqa: PLC0415 - slow to import
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as Meter  # noqa: PLC0415

        columns = (
            TextColumn(str(run)),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Meter(*columns, console=Console(stderr=True)) as meter:
            task = meter.add_task("", total=run.total, left="")

            def draw(progress: runs.Progress) -> None:
                minutes = -(-int(progress.left.total_seconds()) // 60) if progress.left else 0
                left = (
                    ngettext("about %(n)s minute left", "about %(n)s minutes left", minutes) % {"n": minutes} if minutes else ""
                )
                meter.update(task, completed=progress.done + progress.withdrawn, left=left)

            yield draw

    def _aside(self, line: str) -> None:
        """What is no result."""
        self.stderr.write(shown(line), self.style.NOTICE)

    def _write(self, row: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(row, ensure_ascii=False))

    # --- one of them --------------------------------------------------------------------------------------------------------------

    def _report(self, each: Verification, options: dict[str, Any]) -> None:
        summary = self.render(Text(each.summary["message"], each.summary["params"])) if each.summary else ""
        if options["json"]:
            self._write(self._as_json(each, summary))
        elif each.state == Verification.State.DONE:
            self.say(f"{each.finding}: {each.outcome}. {summary}")
            if each.missing:
                self.say(gettext("  missing: %(missing)s") % {"missing": each.missing})
        else:
            self.say(gettext("%(finding)s: waits for a worker (verification %(n)s).") % {"finding": each.finding, "n": each.pk})

    def _as_json(self, each: Verification, summary: str) -> dict[str, Any]:
        return {
            "finding": str(each.finding),
            "verification": each.pk,
            "state": each.state,
            "outcome": each.outcome or None,
            "summary": summary,
            "missing": each.missing or None,
            "verifier": each.verifier or None,
            "evidence": bytes(each.evidence_id).hex() if each.evidence_id else None,
            "status": each.finding.status,
            "presence": each.finding.presence,
        }

    def _exit(self, outcomes: Iterable[str]) -> None:
        found = set(outcomes)
        if Outcome.FAILING in found:
            raise CommandError(gettext("The check still fails."), returncode=STILL_FAILING)
        if not found.issubset(CLOSED):
            raise CommandError(gettext("Nobody could say whether the check passes."), returncode=GATE_FAILED)


def as_row(run: VerificationRun, progress: runs.Progress) -> dict[str, Any]:
    """A run as JSON: what was asked for, what of it could not be, and how far the rest is."""
    return {
        "run": str(run), "query": run.query, "total": run.total, "barred": run.barred, "unanswered": run.unanswered,
        "joined": run.joined, "waiting": progress.waiting, "running": progress.running, "withdrawn": progress.withdrawn,
        "outcomes": dict(progress.outcomes),
    }  # fmt: skip


def _nudge(task: str) -> None:
    transaction.on_commit(partial(async_task, f"triage.tasks.{task}"))
