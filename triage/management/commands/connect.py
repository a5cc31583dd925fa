"""`cspm connect`: Jira, Slack, e-mail, webhooks; tested right by right."""

import getpass
import json
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage import plugins
from triage.domain import connections, deliveries, outbox
from triage.domain.connections import KINDS, Wanted
from triage.management.base import OUT_OF_REACH, USAGE, TriageCommand
from triage.models import Connection, Disclosure


class Command(TriageCommand):
    help = gettext_lazy("Connect Jira, Slack, e-mail, webhooks; test them; see what was delivered.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        listed = verbs.add_parser("list", help=_("connections, where they lead and how they are"))
        kinds = verbs.add_parser("settings", help=_("what a plugin is configured with"))
        kinds.add_argument("plugin", metavar="PLUGIN")
        put = verbs.add_parser("set", help=_("make a connection, or change it; what is not given stays"))
        put.add_argument("name", metavar="NAME")
        put.add_argument("plugin", nargs="?", metavar="PLUGIN", help=_("jira, slack, email …; needed for a new one"))
        put.add_argument(
            "-s", "--setting", action="append", default=[], metavar="NAME=VALUE",
            help=_("a setting; a secret as env:NAME, or - to type it"),
        )  # fmt: skip
        put.add_argument("--disclosure", choices=Disclosure.values, help=_("what this connection may share"))
        put.add_argument("--per-second", type=float, metavar="N", help=_("maximum calls per second"))
        test = verbs.add_parser("test", help=_("ask for each right that it needs; nothing is written over there"))
        test.add_argument("name", metavar="NAME")
        for word, words in (("on", _("let messages leave by it")), ("off", _("keep its messages here"))):
            verbs.add_parser(word, help=words).add_argument("name", metavar="NAME")
        rotate = verbs.add_parser("rotate", help=_("seal all secrets under the first of CSPM_ENCRYPTION_KEYS"))
        log = verbs.add_parser("log", help=_("messages, the newest first"))
        log.add_argument("--connection", default="", metavar="NAME")
        log.add_argument("--state", action="append", default=[], choices=[state.value for state in outbox.State])
        again = verbs.add_parser("retry", help=_("try a message again that was given up"))
        again.add_argument("message", type=int, metavar="NUMBER")
        for verb in (listed, kinds, put, test, log):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        for verb in (listed, kinds, put, test, rotate, log, again):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = deliveries.traffic(actor=self.actor(options))
        if options["json"]:
            for row in rows:
                counts = {"waiting": row.waiting, "dead": row.dead, "sent": row.sent, "heard": row.heard}
                line = connections.described(row.connection) | {"state": row.connection.state, "host": row.host} | counts
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        heads = [
            gettext("name"),
            gettext("plugin"),
            gettext("leads to"),
            gettext("state"),
            gettext("waiting"),
            gettext("given up"),
        ]
        self.table(
            heads,
            [
                [row.connection.name, row.connection.plugin, row.host, str(row.connection.get_state_display()), str(row.waiting),
                 str(row.dead)]
                for row in rows
            ],
        )  # fmt: skip
        for alarm in connections.alarms():
            self.say(f"! {alarm.connection.name}: {alarm.get_kind_display()} {alarm.subject} {alarm.detail[:200]}")

    def _settings(self, options: dict[str, Any]) -> None:
        kind = _kind_of(options["plugin"])
        known = (*plugins.get(kind, options["plugin"]).SETTINGS, *connections.COMMON[kind])
        if options["json"]:
            for each in known:
                line = {"name": each.name, "label": gettext(each.label), "required": each.required, "secret": each.secret,
                        "default": each.default, "choices": list(each.choices), "team": each.team}  # fmt: skip
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        self.table(
            [gettext("setting"), gettext("what it is")],
            [[each.name + ("*" if each.required else ""), gettext(each.label)] for each in known],
        )

    def _set(self, options: dict[str, Any]) -> None:
        name = options["name"]
        found = Connection.objects.filter(name=name).first()
        plugin = options["plugin"] or (found.plugin if found else "")
        if not plugin:
            raise CommandError(
                gettext("Which plugin? There are: %(names)s.") % {"names": ", ".join(_plugins())}, returncode=USAGE
            )
        kind = found.kind if found else _kind_of(plugin)
        kept = connections.put(
            Wanted(
                name=name, kind=kind, plugin=plugin, given=dict(map(_pair, options["setting"])),
                disclosure=options["disclosure"] or (found.disclosure if found else Disclosure.FULL),
                per_second=options["per_second"], off=found is not None and found.state == Connection.State.OFF,
            ),
            actor=self.actor(options), at=self.at(),
        )  # fmt: skip
        if options["json"]:
            self.stdout.write(json.dumps(connections.described(kept), ensure_ascii=False))
        else:
            self.say(gettext("Kept. “cspm connect test %(name)s” says whether it works.") % {"name": name})

    def _test(self, options: dict[str, Any]) -> None:
        probes = connections.test(connections.named(options["name"]), actor=self.actor(options), at=self.at())
        for probe in probes:
            said = self.render(probe.said) if probe.said else ""
            if options["json"]:
                line = {"what": self.render(probe.what), "passed": probe.passed, "said": said}
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            else:
                self.say(f"{'✓' if probe.passed else '✗'} {self.render(probe.what)}" + (f": {said}" if said else ""))
        if not all(probe.passed for probe in probes):
            raise CommandError(gettext("Not everything is there."), returncode=OUT_OF_REACH)

    def _on(self, options: dict[str, Any]) -> None:
        connections.switch(name=options["name"], on=True, actor=self.actor(options), at=self.at())

    def _off(self, options: dict[str, Any]) -> None:
        connections.switch(name=options["name"], on=False, actor=self.actor(options), at=self.at())

    def _rotate(self, options: dict[str, Any]) -> None:
        count = connections.rotate(actor=self.actor(options), at=self.at())
        self.say(gettext("Sealed anew: %(count)s.") % {"count": count})

    def _log(self, options: dict[str, Any]) -> None:
        rows = deliveries.log(actor=self.actor(options), states=tuple(options["state"]), connection=options["connection"])
        if options["json"]:
            for row in rows:
                line = {
                    "message": row.pk, "connection": row.connection.name, "verb": row.verb, "lane": row.lane, "state": row.state,
                    "attempts": row.attempts, "created_at": row.created_at.isoformat(), "due_at": row.due_at.isoformat(),
                    "sent_at": row.sent_at.isoformat() if row.sent_at else None, "answer": row.last_answer,
                }  # fmt: skip
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        heads = [
            gettext("number"),
            gettext("connection"),
            gettext("message"),
            gettext("state"),
            gettext("attempts"),
            gettext("answer"),
        ]
        self.table(
            heads,
            [
                [str(row.pk), row.connection.name, row.verb, str(row.get_state_display()), str(row.attempts), row.last_answer[:60]]
                for row in rows
            ],
        )  # fmt: skip

    def _retry(self, options: dict[str, Any]) -> None:
        row = outbox.retry(message=options["message"], actor=self.actor(options), at=self.at())
        self.say(gettext("%(key)s is tried again.") % {"key": row.key})


def _plugins() -> list[str]:
    return [name for kind in KINDS for name in plugins.names(kind)]


def _kind_of(plugin: str) -> str:
    for kind in KINDS:
        if plugin in plugins.names(kind):
            return kind
    raise CommandError(
        gettext("There is no plugin “%(name)s”. There are: %(names)s.") % {"name": plugin, "names": ", ".join(_plugins())},
        returncode=USAGE,
    )


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise CommandError(gettext("“%(given)s” is not NAME=VALUE.") % {"given": given}, returncode=USAGE)
    if value == "-":
        value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    return name, value.replace("\\n", "\n")
