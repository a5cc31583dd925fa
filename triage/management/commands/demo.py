"""`cspm demo`: a cloud, a Jira and a Slack to try everything with, without any account. They forget everything when they end."""

import io
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain import connections, ingest, outbox, reach, tickets, verification
from triage.domain.connections import Wanted
from triage.domain.ownership.explaining import explain
from triage.management.base import OUT_OF_REACH, USAGE, TriageCommand
from triage.management.commands.owner import number
from triage.models import Account, Finding, Member, Ticket, Verification
from triage.ports import Outcome

CHANNELS = {"C0SECURITY": "security"}
ROUNDS = 20


class Command(TriageCommand):
    help = gettext_lazy(
        "Start a simulated AWS account, Jira and Slack on this machine, connect them, and show what happens. Ctrl-C ends it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--walk", action="store_true", help=_("lead one finding through the whole loop, step by step, and end")
        )
        parser.add_argument("--yes", action="store_true", help=_("do not wait for Enter between the steps"))
        parser.add_argument("--jira-port", type=int, default=8099, metavar="PORT", help=_("of the stand-in Jira (8099)"))
        parser.add_argument("--slack-port", type=int, default=8098, metavar="PORT", help=_("of the stand-in Slack (8098)"))
        parser.add_argument("--cloud-port", type=int, default=8097, metavar="PORT", help=_("of the simulated AWS (8097)"))
        parser.add_argument("--seconds", type=int, default=0, metavar="N", help=_("stop after this many seconds; 0: never"))

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            jiras, slacks = import_module("tests.servers.jira"), import_module("tests.servers.slack")
        except ImportError:
            raise CommandError(
                gettext("The stand-ins lie in tests/servers of the source: run this there."), returncode=OUT_OF_REACH
            ) from None
        users = {f"U{pk}": email for pk, email in Member.objects.values_list("pk", "email")}
        with ExitStack() as stack:
            jira = stack.enter_context(jiras.Jira(port=options["jira_port"]))
            slack = stack.enter_context(slacks.Slack(users=users, channels=CHANNELS, port=options["slack_port"]))
            estate = self._cloud(stack, options)
            self._connect(jira, slack, jiras.TOKEN, slacks.TOKEN, options)
            try:
                if options["walk"]:
                    self._walk(_Loop(self, estate, jira, options))
                else:
                    self.say(gettext("Jira: %(jira)s, Slack: %(slack)s. Open a ticket, on a page or by “cspm ticket open F-1”.")
                             % {"jira": jira.address, "slack": slack.address})  # fmt: skip
                    self._show(_Loop(self, estate, jira, options), slack, options["seconds"])
            finally:
                for name in ("demo-jira", "demo-slack"):
                    connections.switch(name=name, on=False, actor=self.actor(options), at=self.at())

    def _cloud(self, stack: ExitStack, options: dict[str, Any]) -> Any:
        """The simulated account, scanned once. Raises CommandError without moto."""
        try:
            clouds = import_module("demo.cloud")
            import_module("moto.server")
        except ImportError:
            raise CommandError(
                gettext("The simulated cloud needs moto, which is not part of the product: make setup-dev"),
                returncode=OUT_OF_REACH,
            ) from None
        return stack.enter_context(clouds.running(options["cloud_port"]))

    def _connect(self, jira: Any, slack: Any, token: str, bot: str, options: dict[str, Any]) -> None:
        me, at = self.actor(options), self.at()
        given = {"server": jira.address, "email": "bot@acme.example", "token": token, "project": "OPS"}
        connections.put(Wanted("demo-jira", "tickets", "jira", given), actor=me, at=at)
        given = {"token": bot, "base_url": slack.url, "channel": "C0SECURITY"}
        connections.put(Wanted("demo-slack", "notifiers", "slack", given), actor=me, at=at)

    def _show(self, loop: "_Loop", slack: Any, seconds: int) -> None:
        """Each ticket and message as it comes; what is typed is done to the cloud."""
        known: dict[str, str] = {}
        told, begun = 0, time.monotonic()
        self.say(gettext("%(n)s findings of the simulated AWS account %(account)s. Type: fix F-12, break F-12, scan.")
                 % {"n": loop.scan(), "account": loop.account})  # fmt: skip
        while not seconds or time.monotonic() - begun < seconds:
            for issue in list(loop.jira.issues.values()):
                state = f"{issue['status']}, {len(issue['comments'])}"
                if known.get(issue["id"]) != state:
                    known[issue["id"]] = state
                    self.say(f"Jira   {issue['key']:8} {issue['status']:12} {issue['fields']['summary']}")
            for message in slack.messages[told:]:
                self.say(f"Slack  #{slack.channels.get(message['channel']) or message['channel']:9} {message['text']}")
            told = len(slack.messages)
            for line in _typed(0.5):
                try:
                    self.say(loop.do(line))
                except CommandError as error:
                    self.say(str(error))

    def _walk(self, loop: "_Loop") -> None:
        for title, step in loop.steps():
            self.say()
            self.say(title)
            if not loop.options["yes"] and sys.stdin.isatty():
                input(gettext("  Enter … "))
            for line in step():
                self.say(f"  {line}")


class _Loop:
    """One finding's way, each step as a person or a worker would take it."""

    def __init__(self, command: Command, estate: Any, jira: Any, options: dict[str, Any]) -> None:
        self.command, self.estate, self.jira, self.options = command, estate, jira, options
        self.actor, self.account = command.actor(options), import_module("demo.cloud").ACCOUNT

    def steps(self) -> Iterator[tuple[str, Callable[[], Iterator[str]]]]:
        yield gettext("1. A scanner looks at the account."), self._first_scan
        yield gettext("2. Whose is it, and why?"), self._owner
        yield gettext("3. A ticket for the owner."), self._ticket
        yield gettext("4. Somebody says that it is done, and nothing was done."), self._claimed_too_early
        yield gettext("5. Now it is fixed in the simulated cloud, and said again."), self._fixed
        yield gettext("6. Someone breaks it again; the next scan tells."), self._broken_again

    def scan(self) -> int:
        """Import what a scanner would report now; how many findings are open."""
        at = self.command.at()
        received = ingest.receive(
            stream=io.BytesIO(self.estate.scan(at)), name="simulated.csv", declared={"zone": "UTC"}, actor=self.actor, at=at
        )
        scan = ingest.run(received.pk, clock=self.command.at)
        row = Account.objects.get(provider="aws", uid=self.account)
        reach.reach(account=row.pk, given=self.estate.options, actor=self.actor, at=at)
        return int(scan.counts.get("open", 0))

    def do(self, line: str) -> str:
        """`fix F-12`, `break F-12`, `scan`; what came of it. Raises CommandError."""
        verb, _space, name = line.strip().partition(" ")
        if verb == "scan":
            return gettext("%(n)s findings are open.") % {"n": self.scan()}
        if verb not in ("fix", "break"):
            raise CommandError(gettext("Type: fix F-12, break F-12, scan."), returncode=USAGE)
        row = Finding.objects.filter(pk=number(name)).select_related("check_ref", "asset").first()
        try:
            problem = self.estate.about(row.check_ref.key, row.asset.uid) if row else None
        except LookupError:
            problem = None
        if problem is None:
            raise CommandError(
                gettext("%(finding)s is nothing that the simulated cloud could mend.") % {"finding": name}, returncode=USAGE
            )
        (problem.mend if verb == "fix" else problem.spoil)()
        return gettext("Done: %(title)s, %(asset)s.") % {"title": problem.title, "asset": problem.asset}

    @property
    def finding(self) -> Finding:
        return Finding.objects.select_related("check_ref", "asset", "team").get(
            account__uid=self.account, check_ref__key="s3_bucket_public_access", asset__name="acme-simulated-assets"
        )

    def _first_scan(self) -> Iterator[str]:
        yield gettext("%(n)s findings are open in account %(account)s.") % {"n": self.scan(), "account": self.account}
        row = self.finding
        yield f"{row}  {row.check_ref}: {row.asset.uid}"

    def _owner(self) -> Iterator[str]:
        told = explain(name=str(self.finding), actor=self.actor)[0]
        for step in told.steps:
            yield f"{step.name}: {self.command.render(step.why)}"

    def _ticket(self) -> Iterator[str]:
        tickets.open_tickets(findings=[self.finding.pk], actor=self.actor, at=self.command.at())
        self._work()
        yield from self._standing()

    def _claimed_too_early(self) -> Iterator[str]:
        yield from self._said_done()

    def _fixed(self) -> Iterator[str]:
        yield self.do(f"fix {self.finding}")
        yield from self._said_done()

    def _broken_again(self) -> Iterator[str]:
        yield self.do(f"break {self.finding}")
        self.scan()
        self._work()
        yield from self._standing()

    def _said_done(self) -> Iterator[str]:
        self.jira.move_to(self._issue(), "Done", "Done")
        yield gettext("The ticket is moved to Done.")
        self._work()
        run = Verification.objects.filter(finding=self.finding).latest("pk")
        summary = gettext(run.summary["message"]) % run.summary["params"] if run.summary else ""
        yield gettext("The check is run again: %(outcome)s. %(summary)s") % {"outcome": run.outcome, "summary": summary}
        if run.outcome in (Outcome.FIXED, Outcome.FAILING) and run.evidence_id:
            yield gettext("Evidence: SHA-256 %(digest)s") % {"digest": bytes(run.evidence_id).hex()}
        yield from self._standing()

    def _standing(self) -> Iterator[str]:
        row, issue = self.finding, self._issue()
        yield gettext("%(finding)s: %(status)s, regressions: %(n)s. Ticket %(key)s: %(state)s, comments: %(comments)s.") % {
            "finding": row, "status": row.get_status_display(), "n": row.regressions, "key": issue["key"], "state": issue["status"],
            "comments": len(issue["comments"]),
        }  # fmt: skip

    def _issue(self) -> Any:
        ticket = Ticket.objects.filter(items__finding=self.finding, connection__name="demo-jira").latest("pk")
        return next(issue for issue in self.jira.issues.values() if issue["id"] == ticket.remote_id)

    def _remote(self) -> list[str]:
        """The ticket over there, looked at as its webhook would have us do."""
        return [row for row in Ticket.objects.filter(items__finding=self.finding).values_list("remote_id", flat=True) if row]

    def _work(self) -> None:
        """What workers do by and by, until nothing waits."""
        clock = self.command.at
        for _round in range(ROUNDS):
            outbox.drain(at=clock(), clock=clock)
            tickets.mirror(at=clock(), clock=clock, only=self._remote())
            verification.drain(clock=clock)
            if not tickets.follow(at=clock()) and not outbox.due(clock()) and not verification.waiting(clock()):
                break
            time.sleep(0.3)


def _typed(seconds: float) -> list[str]:
    """Lines that were typed within so long."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return []
    ready, _write, _error = select.select([sys.stdin], [], [], seconds)
    line = sys.stdin.readline() if ready else ""
    return [line] if line.strip() else []
