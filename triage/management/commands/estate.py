"""`cspm estate`: accounts from where they are kept, which of them are scanned, applications, and what is known of vulnerabilities."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain import coverage, directories, reach, threat
from triage.domain.access import Right
from triage.domain.coverage import Coverage
from triage.management.base import GATE_FAILED, USAGE, TriageCommand
from triage.management.commands.owner import moment
from triage.models import Account, Application


class Command(TriageCommand):
    help = gettext_lazy("Accounts and who scans them, applications, known vulnerabilities.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        taken = verbs.add_parser("import", help=_("accounts from an AWS Organizations listing, a CSV or a Backstage catalogue"))
        taken.add_argument("--dry-run", action="store_true", help=_("only say what would change"))
        threats = verbs.add_parser(
            "vulnerabilities", help=_("EPSS scores (CSV) or CISA's KEV catalogue (JSON), for the risk score")
        )
        for verb in (taken, threats):
            verb.add_argument("file", metavar="FILE")
        covered = verbs.add_parser("coverage", help=_("which accounts are scanned, by what, and how recently"))
        covered.add_argument("--days", type=int, default=7, metavar="N", help=_("days that count as recent (7)"))
        covered.add_argument("--scanner", default="", metavar="NAME", help=_("only its scans"))
        covered.add_argument("--on", metavar="DATE", help=_("as it was then"))
        covered.add_argument(
            "--gaps", action="store_true", help=_("only accounts in scope that were not scanned recently; exit with 1 if any")
        )
        scoped = verbs.add_parser("scope", help=_("take an account out of scope, with a reason, or in again"))
        scoped.add_argument("account", metavar="UID")
        way = scoped.add_mutually_exclusive_group(required=True)
        way.add_argument("--in", dest="in_scope", action="store_true", help=_("into scope"))
        way.add_argument("--out", metavar="REASON", help=_("out of scope, and why"))
        self.add_role(scoped)
        reached = verbs.add_parser(
            "reach", help=_("how verifications reach an account: role_arn=… external_id=…; without any, as it is")
        )
        reached.add_argument("account", metavar="UID")
        reached.add_argument("settings", nargs="*", metavar="NAME=VALUE", help=_("an empty value forgets it"))
        self.add_role(reached)
        listed = verbs.add_parser("applications", help=_("applications with their assets and open findings"))
        for verb in (taken, threats, covered, listed):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _scope(self, options: dict[str, Any]) -> None:
        row = coverage.scope(
            account=_account(options["account"]).pk,
            in_scope=options["in_scope"],
            reason=options["out"] or "",
            actor=self.actor(options),
            at=self.at(),
        )
        said = gettext("%(account)s is in scope.") if row.in_scope else gettext("%(account)s is out of scope.")
        self.say(said % {"account": row})

    def _reach(self, options: dict[str, Any]) -> None:
        row = _account(options["account"])
        given = dict(each.partition("=")[::2] for each in options["settings"])
        if given:
            row = reach.reach(account=row.pk, given=given, actor=self.actor(options), at=self.at())
        else:
            self.actor(options).demand(Right.VIEW)
        for setting in reach.settings_of(row.provider):
            self.say(f"{setting.name:14} {row.options.get(setting.name) or '–'}")
        if not reach.settings_of(row.provider):
            self.say(gettext("No verifier here reaches accounts of %(provider)s.") % {"provider": row.provider})

    def _import(self, options: dict[str, Any]) -> None:
        done = directories.take_in(
            read_bytes(options["file"]), actor=self.actor(options), at=self.at(), name=options["file"], dry_run=options["dry_run"]
        )
        if options["json"]:
            counts = {"format": done.format, "read": done.read, "created": done.created, "changed": done.changed}
            self.stdout.write(
                json.dumps({**counts, "unknown_owners": done.unknown, "skipped": len(done.skipped)}, ensure_ascii=False)
            )
            return
        summary = gettext("%(format)s: %(read)s accounts read, %(created)s new, %(changed)s changed.")
        self.say(summary % {"format": done.format, "read": done.read, "created": len(done.created), "changed": len(done.changed)})
        for owner, accounts in sorted(done.unknown.items()):
            told = gettext("No team is called “%(owner)s” (%(accounts)s).")
            self.say("  " + told % {"owner": owner, "accounts": ", ".join(accounts[:5]) + ("…" if len(accounts) > 5 else "")})
        for skipped in done.skipped:
            self.say(f"  {gettext('entry')} {skipped.position}: {self.render(skipped.reason)}")

    def _vulnerabilities(self, options: dict[str, Any]) -> None:
        number = threat.take_in(read_bytes(options["file"]), actor=self.actor(options), at=self.at())
        if options["json"]:
            self.stdout.write(json.dumps({"vulnerabilities": number}))
        else:
            self.say(gettext("%(n)s vulnerabilities were taken in; scores follow.") % {"n": number})

    def _coverage(self, options: dict[str, Any]) -> None:
        at = moment(options["on"]) if options["on"] else self.at()
        rows = coverage.survey(
            actor=self.actor(options),
            at=at,
            lately=timedelta(days=min(max(options["days"], 1), 3650)),
            scanner=options["scanner"],
        )
        if options["gaps"]:
            rows = [row for row in rows if row.state in (Coverage.NEVER, Coverage.STALE)]
        lines = [
            {
                "provider": row.account.provider, "account": row.account.uid, "name": row.account.name, "state": row.state.value,
                "environment": row.account.environment, "team": row.account.team.slug if row.account.team else None,
                "scans": {scan.scanner: scan.newest.isoformat() for scan in row.scans}, "open": row.open,
                "scope_reason": row.account.scope_reason or None,
            }
            for row in rows
        ]  # fmt: skip
        if options["json"]:
            for line in lines:
                self.stdout.write(json.dumps(line, ensure_ascii=False))
        else:
            self.table(
                [gettext("account"), gettext("environment"), gettext("state"), gettext("last scans"), gettext("open")],
                [
                    [f"{row.account.provider}:{row.account.uid} {row.account.name}".strip(), row.account.environment or "–",
                     gettext(coverage.STATES[row.state]),
                     ", ".join(f"{scan.scanner} {timezone.localtime(scan.newest):%Y-%m-%d}" for scan in row.scans), str(row.open)]
                    for row in rows
                ],
            )  # fmt: skip
        if options["gaps"] and rows:
            raise SystemExit(GATE_FAILED)

    def _applications(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.VIEW)
        open_ = Count("assets__findings", filter=Q(assets__findings__is_open=True), distinct=True)
        rows = Application.objects.filter(archived_at=None).annotate(held=Count("assets", distinct=True), open=open_)
        for row in rows:
            if options["json"]:
                line = {"application": row.slug, "criticality": row.criticality, "data": row.data, "frameworks": row.frameworks}
                self.stdout.write(json.dumps({**line, "assets": row.held, "open": row.open}))
            else:
                about = " · ".join(
                    filter(None, [str(row.get_criticality_display()), str(row.get_data_display()), *row.frameworks])
                )
                counts = gettext("%(assets)s assets, %(open)s open findings") % {"assets": row.held, "open": row.open}
                self.say(f"{row.slug:20} {row}  {about}  {counts}")


def _account(uid: str) -> Account:
    rows = list(Account.objects.filter(uid=uid)[:2])
    if len(rows) != 1:
        raise CommandError(gettext("There is no account “%(uid)s”, or more than one.") % {"uid": uid}, returncode=USAGE)
    return rows[0]


def read_bytes(name: str) -> bytes:
    """The bytes of a file."""
    try:
        return Path(name).read_bytes()
    except OSError as error:
        message = gettext("%(name)s cannot be read: %(problem)s") % {"name": name, "problem": error.strerror or error}
        raise CommandError(message, returncode=USAGE) from error
