"""`cspm listen`: hear what people press in Slack where it cannot call us (Socket Mode)."""

import signal
from threading import Event
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import close_old_connections
from django.utils.timezone import now
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from triage.domain import connections, inbox
from triage.domain.access import Right
from triage.management.base import OUT_OF_REACH, TriageCommand
from triage.ports import DeliveryError


class Command(TriageCommand):
    help = gettext_lazy("Open a connection to Slack and hear buttons and commands by it, for servers that Slack cannot call.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="CONNECTION", help=_("of Slack, with an app token"))

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.ADMINISTER)
        connection = connections.named(options["name"])
        plugin = connections.plugin_of(connection)
        if not hasattr(plugin, "listen") or "app_token" not in connection.secrets:
            raise CommandError(gettext("“%(name)s” has no app token to listen with.") % {"name": connection.name})
        stopped = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())

        def take(body: bytes, delivery_id: str) -> str:
            close_old_connections()
            try:
                received = inbox.take(connection, delivery_id=delivery_id, body=body, at=now())
                if received.fresh:
                    async_task("triage.tasks.read_inbox")
                return received.reply
            finally:
                close_old_connections()

        self.say(gettext("Listening to %(name)s. Ctrl-C ends it.") % {"name": connection.name})
        try:
            plugin.listen(connections.options(connection), take, stopped)
        except DeliveryError as error:
            raise CommandError(connections.hidden(connection, str(error)), returncode=OUT_OF_REACH) from None
