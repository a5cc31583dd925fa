"""`cspm exceptions`: what is not to be fixed for now; asked for, decided, listed."""

import csv
import json
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain.exceptions import deciding, registering
from triage.domain.exceptions.registering import Entry
from triage.domain.exceptions.requesting import About, preview, request
from triage.domain.queries import Who
from triage.domain.search import QueryError
from triage.management.base import USAGE, TriageCommand, shown
from triage.management.commands.findings import safe_cell
from triage.management.commands.owner import moment, number
from triage.management.commands.sla import proof
from triage.models import Asset, Check, ExceptionKind, RiskException

COLUMNS = (
    "exception", "state", "kind", "about", "severity", "until", "requested_by", "requested_at", "decided_by", "decided_at", "ended_at",
    "end_reason", "covered", "reason", "compensation",
)  # fmt: skip


class Command(TriageCommand):
    help = gettext_lazy("Risks accepted, false positives, attestations: ask, decide, list.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        listed = verbs.add_parser("list", help=_("the register"))
        listed.add_argument("--on", metavar="DATE", help=_("what was in force then: 2026-11-03 (its end) or 2026-11-03T09:00"))
        listed.add_argument("--living", action="store_true", help=_("only what waits for a decision or is in force"))
        listed.add_argument("--csv", action="store_true", help=_("CSV with a header, safe to open in a spreadsheet"))
        told = verbs.add_parser("show", help=_("one of them with its findings and its trail"))
        told.add_argument("exception", metavar="X-12")
        hidden = verbs.add_parser("preview", help=_("what an exception would hide, now and in the last 90 days"))
        asked = verbs.add_parser("request", help=_("ask for one; somebody else decides"))
        for verb in (hidden, asked):
            about = verb.add_mutually_exclusive_group(required=True)
            about.add_argument("--finding", metavar="F-12")
            about.add_argument("--check", metavar="KEY", help=_("all findings of a check"))
            about.add_argument("--asset", metavar="UID", help=_("all findings of an asset"))
            about.add_argument("-q", "--query", metavar="QUERY", help=_("all that a query finds, also later"))
        asked.add_argument("--kind", choices=ExceptionKind.values, default=ExceptionKind.ACCEPTED.value)
        asked.add_argument("--until", required=True, metavar="DATE", help=_("when it ends"))
        asked.add_argument("--reason", required=True, help=_("why"))
        asked.add_argument("--compensation", default="", help=_("the control that compensates for it"))
        asked.add_argument(
            "--evidence", metavar="FILE|SHA256", help=_("a file to be kept, or the SHA-256 of what is kept already")
        )
        asked.add_argument("--failed", action="store_true", help=_("of an attestation: reviewed and not compliant"))
        decisions = []
        for name, what in (("approve", _("allow it")), ("refuse", _("do not allow it")), ("revoke", _("end it before its time"))):
            decision = verbs.add_parser(name, help=what)
            decision.add_argument("exception", metavar="X-12")
            decision.add_argument("--reason", required=name != "approve", default="", help=_("why"))
            decisions.append(decision)
        for verb in (listed, told, hidden, asked, *decisions):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except QueryError as error:
            raise CommandError(self.render(error.text), returncode=USAGE) from error

    def _list(self, options: dict[str, Any]) -> None:
        on = moment(options["on"]) if options["on"] else None
        entries = registering.register(actor=self.actor(options), on=on, living=options["living"], limit=100_000)
        rows = [as_row(entry) for entry in entries]
        if options["json"]:
            for row in rows:
                self.stdout.write(json.dumps(row, ensure_ascii=False))
        elif options["csv"]:
            writer = csv.writer(self.stdout)
            writer.writerow(COLUMNS)
            writer.writerows([safe_cell("" if row[name] is None else str(row[name])) for name in COLUMNS] for row in rows)
        else:
            self.table(
                [gettext("exception"), gettext("state"), gettext("about"), gettext("until"), gettext("asked by"), gettext("decided by")],
                [
                    [str(e.exception), str(e.exception.get_state_display()), about_of(e.exception), _day(e.exception.until),
                     _who(e.requester), _who(e.approver)]
                    for e in entries
                ],
            )  # fmt: skip

    def _show(self, options: dict[str, Any]) -> None:
        story = registering.story(exception_number(options["exception"]), actor=self.actor(options))
        row = as_row(story.entry)
        if options["json"]:
            items = [
                {"finding": str(item.finding), "covered_at": _iso(item.covered_at), "ended": item.ended or None}
                for item in story.items
            ]
            trail = [
                {"kind": event.kind, "at": _iso(event.at), "by": _who(who), "reason": event.reason} for event, who in story.events
            ]
            self.stdout.write(json.dumps({**row, "items": items, "trail": trail}, ensure_ascii=False))
            return
        entry = story.entry.exception
        self.say(
            f"{entry}  {entry.get_kind_display()}  {entry.get_state_display()}  {about_of(entry)}  {gettext('until')} {_day(entry.until)}"
        )
        self.say(f"  {entry.reason}")
        if entry.compensation:
            self.say(f"  {gettext('compensated by')}: {entry.compensation}")
        for event, who in story.events:
            self.say(f"  {_day(event.at)}  {event.kind}  {_who(who)}  {event.reason}")
        for item in story.items:
            self.say(f"  {item.finding}  {item.finding.check_ref}  {item.finding.asset}  {item.ended}")

    def _preview(self, options: dict[str, Any]) -> None:
        seen = preview(about=about(options), actor=self.actor(options), at=self.at())
        if options["json"]:
            by_severity = {severity.name.lower(): n for severity, n in seen.by_severity}
            self.stdout.write(json.dumps({"now": seen.now, "by_severity": by_severity, "last_90_days": seen.lately}))
            return
        self.say(
            gettext("It would hide %(now)s open findings, and %(lately)s of those of the last 90 days.")
            % {"now": seen.now, "lately": seen.lately}
        )
        for severity, n in seen.by_severity:
            self.say(f"  {n:>6}  {severity.label}")
        for row in seen.samples:
            self.say(f"  {row}  {row.check_ref}  {row.asset}")

    def _request(self, options: dict[str, Any]) -> None:
        asked = request(
            kind=options["kind"], about=about(options), reason=options["reason"], until=moment(options["until"]),
            actor=self.actor(options), at=self.at(), compensation=options["compensation"],
            **proof(options["evidence"]), passed=not options["failed"],
        )  # fmt: skip
        self._done(asked, gettext("%(exception)s is requested; somebody else has to decide."), options)

    def _approve(self, options: dict[str, Any]) -> None:
        self._decide(deciding.approve, gettext("%(exception)s is in force until %(until)s."), options)

    def _refuse(self, options: dict[str, Any]) -> None:
        self._decide(deciding.refuse, gettext("%(exception)s is refused."), options)

    def _revoke(self, options: dict[str, Any]) -> None:
        self._decide(deciding.revoke, gettext("%(exception)s has ended."), options)

    def _decide(self, verb: Any, sentence: str, options: dict[str, Any]) -> None:
        said = {"exception": exception_number(options["exception"]), "actor": self.actor(options), "at": self.at()}
        self._done(verb(**said, reason=options["reason"]), sentence, options)

    def _done(self, row: RiskException, sentence: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"exception": str(row), "state": row.state, "until": _iso(row.until)}))
        else:
            self.say(sentence % {"exception": row, "until": _day(row.until)})


def about(options: dict[str, Any]) -> About:
    """What the options name. Raises CommandError for a check or an asset that does not exist, or is several."""
    if options["finding"]:
        return About(finding=number(options["finding"]))
    if options["query"]:
        return About(query=options["query"])
    model, column = (Check, "key") if options["check"] else (Asset, "uid")
    name = options["check"] or options["asset"]
    found = list(model.objects.filter(**{column: name}).values_list("pk", flat=True)[:2])
    if len(found) != 1:
        raise CommandError(
            gettext("“%(name)s” names %(n)s things. Ask with a query.") % {"name": shown(name), "n": len(found)}, returncode=USAGE
        )
    return About(check=found[0]) if options["check"] else About(asset=found[0])


def about_of(of: RiskException) -> str:
    """What it is about, on a line."""
    return str(of.finding or of.check_ref or of.asset or of.query)


def as_row(entry: Entry) -> dict[str, Any]:
    """One dict of COLUMNS: what the register says of an exception."""
    of = entry.exception
    return {
        "exception": str(of), "state": of.state, "kind": of.kind, "about": about_of(of), "severity": of.ceiling, "until": _iso(of.until),
        "requested_by": _who(entry.requester), "requested_at": _iso(of.requested_at), "decided_by": _who(entry.approver) or None,
        "decided_at": _iso(of.decided_at), "ended_at": _iso(of.ended_at), "end_reason": of.end_reason or None, "covered": entry.covered,
        "reason": of.reason, "compensation": of.compensation or None,
    }  # fmt: skip


def exception_number(name: str) -> int:
    """The number of an exception, given as X-12 or 12."""
    plain = name.upper().removeprefix("X-")
    if not plain.isdecimal() or len(plain) > 18:
        raise CommandError(gettext("“%(name)s” is not an exception. Write it as X-12.") % {"name": shown(name)}, returncode=USAGE)
    return int(plain)


def _who(who: Who | None) -> str:
    return (who.name or who.kind) if who else ""


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _day(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else ""
