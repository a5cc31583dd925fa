"""`cspm ticket`: open tickets for findings, and bring tickets and findings in step."""

import json
from functools import partial
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils.translation import get_language, gettext, gettext_lazy
from django_q.tasks import async_task

from triage.domain import outbox, queries, tickets, verification
from triage.domain.access import Right
from triage.management.base import TriageCommand
from triage.management.commands.owner import number


class Command(TriageCommand):
    help = gettext_lazy("Open tickets for findings; synchronise tickets and findings.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        opened = verbs.add_parser("open", help=gettext("a ticket for each owner, check and account of these findings"))
        opened.add_argument("findings", nargs="+", metavar="F-12")
        opened.add_argument("--json", action="store_true", help=gettext("one JSON object a line"))
        synced = verbs.add_parser("sync", help=gettext("read what people did to the tickets, and tell them what was found"))
        for verb in (opened, synced):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _open(self, options: dict[str, Any]) -> None:
        wanted = [queries.finding(number(name)).pk for name in options["findings"]]
        language = (get_language() or "en").partition("-")[0]
        for ticket in tickets.open_tickets(findings=wanted, actor=self.actor(options), at=self.at(), language=language):
            items = [str(finding) for finding in ticket.findings.order_by("pk")]
            if options["json"]:
                named = {"ticket": ticket.key or None, "mark": ticket.mark, "state": ticket.state, "findings": items}
                self.stdout.write(json.dumps(named | {"connection": ticket.connection.name}))
            else:
                self.say(f"{ticket} ({ticket.connection}, {ticket.get_state_display()}): {', '.join(items)}")
        transaction.on_commit(partial(async_task, "triage.tasks.drain_outbox"))

    def _sync(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.ADMINISTER)
        outbox.drain(at=self.at(), clock=self.at)
        tickets.reconcile(at=self.at(), clock=self.at)
        sent = outbox.drain(at=self.at(), clock=self.at)
        self.say(gettext("Tickets and findings are in step (%(n)s messages).") % {"n": sent})
        if verification.waiting(self.at()):
            transaction.on_commit(partial(async_task, "triage.tasks.verify_waiting"))
