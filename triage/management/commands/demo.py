"""`cspm demo`: a Jira and a Slack to try tickets and messages with, without any account. They forget everything when they end."""

import time
from importlib import import_module
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain import connections
from triage.domain.connections import Wanted
from triage.management.base import OUT_OF_REACH, TriageCommand
from triage.models import Member

CHANNELS = {"C0SECURITY": "security"}


class Command(TriageCommand):
    help = gettext_lazy(
        "Start a stand-in Jira and Slack on this machine, connect them, and show what they are told. Ctrl-C ends it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jira-port", type=int, default=8099, metavar="PORT", help=_("of the stand-in Jira (8099)"))
        parser.add_argument("--slack-port", type=int, default=8098, metavar="PORT", help=_("of the stand-in Slack (8098)"))
        parser.add_argument("--seconds", type=int, default=0, metavar="N", help=_("end after so many; 0: never"))

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            jiras, slacks = import_module("tests.servers.jira"), import_module("tests.servers.slack")
        except ImportError:
            raise CommandError(
                gettext("The stand-ins lie in tests/servers of the source: run this there."), returncode=OUT_OF_REACH
            ) from None
        users = {f"U{number}": email for number, email in Member.objects.values_list("pk", "email")}
        with (
            jiras.Jira(port=options["jira_port"]) as jira,
            slacks.Slack(users=users, channels=CHANNELS, port=options["slack_port"]) as slack,
        ):
            self._connect(jira, slack, jiras.TOKEN, slacks.TOKEN, options)
            self.say(gettext("Jira: %(jira)s, Slack: %(slack)s. Open a ticket, on a page or by “cspm ticket open F-1”.")
                     % {"jira": jira.address, "slack": slack.address})  # fmt: skip
            try:
                self._show(jira, slack, options["seconds"])
            finally:
                for name in ("demo-jira", "demo-slack"):
                    connections.switch(name=name, on=False, actor=self.actor(options), at=self.at())

    def _connect(self, jira: Any, slack: Any, token: str, bot: str, options: dict[str, Any]) -> None:
        me, at = self.actor(options), self.at()
        given = {"server": jira.address, "email": "bot@acme.example", "token": token, "project": "OPS"}
        connections.put(Wanted("demo-jira", "tickets", "jira", given), actor=me, at=at)
        given = {"token": bot, "base_url": slack.url, "channel": "C0SECURITY"}
        connections.put(Wanted("demo-slack", "notifiers", "slack", given), actor=me, at=at)

    def _show(self, jira: Any, slack: Any, seconds: int) -> None:
        """Each ticket and message as it comes."""
        known: dict[str, str] = {}
        told, begun = 0, time.monotonic()
        while not seconds or time.monotonic() - begun < seconds:
            for issue in list(jira.issues.values()):
                state = f"{issue['status']}, {len(issue['comments'])}"
                if known.get(issue["id"]) != state:
                    known[issue["id"]] = state
                    self.say(f"Jira   {issue['key']:8} {issue['status']:12} {issue['fields']['summary']}")
            for message in slack.messages[told:]:
                self.say(f"Slack  #{slack.channels.get(message['channel']) or message['channel']:9} {message['text']}")
            told = len(slack.messages)
            time.sleep(0.5)
