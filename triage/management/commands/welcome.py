"""`cspm welcome`: what `cspm run` does before it serves, and what it prints when the first page answers."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django_q.tasks import async_task

from triage.domain import ingest, installation, sign_in
from triage.domain.search import words
from triage.management.base import NOT_UNDERSTOOD, USAGE, TriageCommand
from triage.models import Scan, ScanState, User
from triage.ports import Text

# Larger reports are left to a worker: the first page should not wait for them.
AT_ONCE = 20 * 2**20
LINK_HOURS = 24


class Command(TriageCommand):
    help = gettext_lazy("Prepare an installation for its first visitor (part of `cspm run`).")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--report", metavar="PATH", help=gettext("import this report, and no demonstration"))
        parser.add_argument("--no-demo", action="store_true", help=gettext("begin empty; CSPM_DEMO=0 says the same"))

    def handle(self, *_args: Any, **options: Any) -> None:
        actor, at = self.actor(options), self.at()
        async_task("triage.tasks.schedule")
        administrator = installation.administrator(actor=actor, at=at)
        lines: list[str] = []
        if options["report"]:
            lines.append(self._import(Path(options["report"]), options))
            installation.refuse_demonstration(actor=actor, at=at)
        elif options["no_demo"] or not settings.DEMO:
            installation.refuse_demonstration(actor=actor, at=at)
        elif installation.demonstration_is_due():
            lines.append(self._demonstrate(options))
        self._greet(administrator, lines, options)

    def _demonstrate(self, options: dict[str, Any]) -> str:
        self.stderr.write(gettext("First start: importing the demonstration (three weeks of a simulated account)."))
        count = 0
        for scan in installation.demonstrate(actor=self.actor(options), at=self.at()):
            if scan.state == ScanState.FAILED:
                self.stderr.write(f"{scan.file_name}: {self._problem(scan)}")
            count += scan.state == ScanState.DONE
        return gettext("Demonstration data is in: %(count)d reports of the last three weeks. `make demo-reset` forgets it.") % {
            "count": count
        }

    def _import(self, path: Path, options: dict[str, Any]) -> str:
        try:
            scan = ingest.receive(stream=path, name=path.name, declared={}, actor=self.actor(options), at=self.at())
        except OSError as error:
            message = gettext("%(name)s cannot be read: %(problem)s") % {"name": path, "problem": error.strerror or error}
            raise CommandError(message, returncode=USAGE) from error
        if scan.size > AT_ONCE:
            async_task("triage.tasks.run_import", scan.pk)
            page = settings.BASE_URL + reverse("scan", args=[scan.pk])
            return gettext("%(name)s is being imported: %(page)s") % {"name": path.name, "page": page}
        scan = ingest.run(scan.pk, clock=self.at)
        if scan.state == ScanState.FAILED:
            raise CommandError(f"{path.name}: {self._problem(scan)}", returncode=NOT_UNDERSTOOD)
        while words.index_assets():
            pass
        if scan.state == ScanState.DUPLICATE:
            return gettext("%(name)s was imported before: nothing changed.") % {"name": path.name}
        counts = {"name": path.name, "new": scan.counts["new"], "open": scan.counts["open"], "fixed": scan.counts["fixed"]}
        return gettext("%(name)s is imported: %(new)d new, %(open)d open, %(fixed)d fixed.") % counts

    def _problem(self, scan: Scan) -> str:
        return self.render(Text(scan.problem["message"], scan.problem["params"])) if scan.problem else ""

    def _greet(self, administrator: User, lines: list[str], options: dict[str, Any]) -> None:
        self.say()
        for line in lines:
            self.say(f"  {line}")
        ready = gettext("CSPM Triage is ready: %(address)s")
        self.say(f"  {ready % {'address': settings.BASE_URL}}")
        # Who has a password needs no link, and a link in a log of the service would be one too many.
        if administrator.email == installation.ADMINISTRATOR and not administrator.has_usable_password():
            token = sign_in.issue_link(user=administrator, at=self.at(), hours=LINK_HOURS, actor=self.actor(options).name)
            how = gettext("Sign in as administrator (works once, %(hours)s hours):")
            self.say(f"  {how % {'hours': LINK_HOURS}}")
            self.say(f"  {settings.BASE_URL}{reverse('sign-in-link', args=[token])}")
        self.say()
