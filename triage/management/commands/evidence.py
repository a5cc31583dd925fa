"""`cspm evidence`: bundles for auditors, and how long evidence is kept."""

import json
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext, gettext_lazy, gettext_noop, ngettext
from django.utils.translation import gettext as _

from triage.domain import archiving, bundles, ledger, retention
from triage.domain.access import Right
from triage.domain.rows import written
from triage.management.base import BROKEN_CHAIN, OUT_OF_REACH, USAGE, TriageCommand
from triage.management.commands.owner import number

NO_ARCHIVE = gettext_noop("Evidence stays on disk alone: CSPM_EVIDENCE_ARCHIVE names no archive.")


class Command(TriageCommand):
    help = gettext_lazy("What proves that findings were fixed: bundles that an auditor checks without this software.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        export = verbs.add_parser("export", help=_("write a bundle: a period's findings with the proof of each"))
        export.add_argument("--from", dest="since", required=True, metavar="YYYY-MM-DD", help=_("the first day of the period"))
        export.add_argument("--to", required=True, metavar="YYYY-MM-DD", help=_("its last day"))
        export.add_argument("-q", "--query", default="", metavar="QUERY", help=_("only findings that it finds"))
        export.add_argument(
            "--framework", default="", metavar="NAME", help=_("only findings of its controls: soc2, iso27001, hds, nis2 …")
        )
        export.add_argument(
            "--sample",
            type=int,
            default=bundles.SAMPLE,
            metavar="N",
            help=_("this many findings with their evidence, 0 for all (%d)") % bundles.SAMPLE,
        )
        export.add_argument("--seed", default="", help=_("what the auditor draws the sample with; else the newest head does"))
        export.add_argument(
            "--head", type=Path, action="append", default=[], metavar="FILE", help=_("a head that the auditor kept")
        )
        export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip")
        verify = verbs.add_parser("verify", help=_("check a bundle as an auditor does; exit with 7 if it is not intact"))
        verify.add_argument("bundle", metavar="BUNDLE.zip")
        verify.add_argument("--key", action="append", default=[], help=_("the key to trust; else those of this installation"))
        verify.add_argument("--head", type=Path, metavar="FILE", help=_("a head that was kept outside"))
        hold = verbs.add_parser(
            "hold",
            help=_("nothing of a finding, an account, a query's findings, or nothing at all, is deleted until it is released"),
        )
        about = hold.add_mutually_exclusive_group(required=True)
        about.add_argument("finding", nargs="?", metavar="F-12|all")
        about.add_argument("--account", metavar="aws:123456789012", help=_("all findings that the account has, or will have"))
        about.add_argument("-q", "--query", metavar="QUERY", help=_("findings that it finds now, or at any later pruning"))
        release = verbs.add_parser("release", help=_("release a hold"))
        release.add_argument("hold", metavar="H-3")
        for verb in (hold, release):
            verb.add_argument("--reason", required=True, help=_("why: it stays in the trail"))
        holds = verbs.add_parser("holds", help=_("holds in force"))
        prune = verbs.add_parser(
            "prune", help=_("delete what was kept long enough and nothing needs, as the worker does twice a day")
        )
        prune.add_argument("--dry-run", action="store_true", help=_("only say what would go"))
        archive = verbs.add_parser("archive", help=_("copy to the archive what waits, as the worker does every five minutes"))
        archive.add_argument("--now", action="store_true", help=_("also what failed and would be tried again later"))
        status = verbs.add_parser("status", help=_("what the archive has, what waits, and whether it takes what it gets"))
        status.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        for verb in (export, verify, hold, release, holds, prune, archive, status):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _export(self, options: dict[str, Any]) -> None:
        if options["sample"] < 0:
            raise CommandError(gettext("--sample cannot be negative."), returncode=USAGE)
        wanted = bundles.Wanted(
            _midnight(options["since"], "--from"),
            _midnight(options["to"], "--to", days=1),
            options["query"],
            options["framework"],
        )
        made = bundles.export(
            path=options["output"], wanted=wanted, sample=options["sample"], seed=options["seed"],
            heads=[_text(path) for path in options["head"]], actor=self.actor(options), at=self.at(),
        )  # fmt: skip
        said = gettext("%(path)s: %(findings)s findings, %(sampled)s of them with evidence, %(events)s sealed events.")
        self.say(said % {"path": made.path, "findings": made.findings, "sampled": made.sampled, "events": made.events})
        for digest, why in made.absent.items():
            self.say(gettext("  not in it: %(digest)s (%(why)s)") % {"digest": digest, "why": why})
        self.say()
        self.say(gettext("Give the auditor through a separate channel:"))
        self.say(gettext("  key        %(key)s") % {"key": made.key})
        self.say(gettext("  verify.py  SHA-256 %(digest)s") % {"digest": made.verifier})
        self.say(gettext("  bundle     SHA-256 %(digest)s") % {"digest": made.sha256})

    def _verify(self, options: dict[str, Any]) -> None:
        keys = options["key"]
        if not keys:
            keys = [said for _row, said in ledger.keys_on_record(actor=self.actor(options))]
            if not keys:
                raise CommandError(gettext("This installation has no key yet: give the bundle's with --key."), returncode=USAGE)
        else:
            self.actor(options).demand(Right.VIEW)
        try:
            found = bundles.verify(options["bundle"], keys=keys, head=_text(options["head"]) if options["head"] else "")
        except bundles.Refused as refused:
            said = bundles.told(refused.message) % refused.params
            raise CommandError(gettext("Refused: %(why)s") % {"why": said}, returncode=BROKEN_CHAIN) from None
        for line in bundles.report(found):
            self.say(line)

    def _hold(self, options: dict[str, Any]) -> None:
        finding, account, query = options.get("finding"), options.get("account"), options.get("query")
        if query is not None and not query.strip():
            raise CommandError(gettext("--query is empty. Everything is held with: cspm evidence hold all"), returncode=USAGE)
        actor = self.actor(options)
        actor.demand(Right.AUDIT)
        placed = retention.hold(
            finding=number(finding) if finding and finding != "all" else None,
            account=retention.account_of(account).pk if account else None,
            query=query or "", reason=options["reason"], actor=actor, at=self.at(),
        )  # fmt: skip
        self.say(gettext("%(hold)s is in force.") % {"hold": placed})

    def _release(self, options: dict[str, Any]) -> None:
        digits = options["hold"].upper().removeprefix("H-")
        if not digits.isdecimal():
            raise CommandError(gettext("“%(text)s” is not a hold, such as H-3.") % {"text": options["hold"]}, returncode=USAGE)
        ended = retention.release(number=int(digits), reason=options["reason"], actor=self.actor(options), at=self.at())
        self.say(gettext("%(hold)s is released.") % {"hold": ended})

    def _holds(self, options: dict[str, Any]) -> None:
        for row in retention.holds(actor=self.actor(options)):
            about = row.finding or row.account or row.query or gettext("everything")
            self.say(f"{row}  {about}  {row.placed_at:%Y-%m-%d}  {row.placed_by}  {row.reason}")

    def _prune(self, options: dict[str, Any]) -> None:
        actor = self.actor(options)
        if not options["dry_run"]:
            done = retention.prune(at=self.at(), actor=actor)
            self.say(gettext("Deleted: %(n)s.") % {"n": done.deleted})
            if done.locked:
                said = ngettext(
                    "Kept: %(n)s piece that the archive still has under lock.",
                    "Kept: %(n)s pieces that the archive still has under lock.",
                    done.locked,
                )
                self.say(said % {"n": done.locked})
            if done.problem:
                raise CommandError(self.render(done.problem), returncode=OUT_OF_REACH)
            return
        actor.demand(Right.ADMINISTER)
        for item in retention.due(at=self.at()):
            self.say(f"{item.sha256.hex()}  {item.size}  {item.kept_at:%Y-%m-%d}")

    def _archive(self, options: dict[str, Any]) -> None:
        if not settings.EVIDENCE_ARCHIVE:
            raise CommandError(gettext(NO_ARCHIVE), returncode=USAGE)
        actor, at = self.actor(options), self.at()
        done = archiving.archive(actor=actor, at=at, clock=timezone.now, impatient=options["now"])
        said = gettext("Stored: %(stored)s. Not taken: %(aside)s. Legal holds: %(held)s set, %(lifted)s lifted.")
        self.say(said % {"stored": done.stored, "aside": done.aside, "held": done.held, "lifted": done.lifted})
        if done.problem:
            raise CommandError(self.render(done.problem), returncode=OUT_OF_REACH)

    def _status(self, options: dict[str, Any]) -> None:
        found = archiving.standing(actor=self.actor(options))
        row, place = found.row, found.place
        if options["json"]:
            self.say(json.dumps({
                "archive": place.address if place else None, "mode": place.options["mode"] if place else None,
                "days": place.days if place else None, "archived": found.archived, "waiting": found.waiting,
                "waiting_since": written(found.since), "not_taken": found.aside, "stored_at": written(row.stored_at) if row else None,
                "problem": str(found.problem) if found.problem else None, "again_at": written(row.due_at) if row else None,
            }))  # fmt: skip
            return
        if place is None:
            self.say(gettext(NO_ARCHIVE))
            return
        self.say(
            f"{place.address}  {place.options['mode']}  " + ngettext("%(n)s day", "%(n)s days", place.days) % {"n": place.days}
        )
        self.say(
            gettext("Archived: %(archived)s. Waiting: %(waiting)s.") % {"archived": found.archived, "waiting": found.waiting}
        )
        if found.since:
            self.say(gettext("The oldest that waits was kept %(at)s.") % {"at": _minute(found.since)})
        if row and row.stored_at:
            self.say(gettext("It last took something %(at)s.") % {"at": _minute(row.stored_at)})
        if found.because:
            self.say(gettext("Not taken: %(n)s, such as: %(said)s") % {"n": found.aside, "said": self.render(found.because)})
        if row and found.problem:
            since, again = _minute(row.problem_at), _minute(row.due_at)
            self.say(gettext("It fails since %(since)s: %(said)s") % {"since": since, "said": self.render(found.problem)})
            self.say(gettext("It is tried again %(at)s, or at once with: cspm evidence archive --now") % {"at": again})


def _minute(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}" if moment else "–"


def _midnight(text: str, option: str, days: int = 0) -> datetime:
    """The day's beginning in our time zone, or that of a later one."""
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise CommandError(
            gettext("%(option)s: “%(text)s” is not a date, such as 2026-09-30.") % {"option": option, "text": text},
            returncode=USAGE,
        )
    return timezone.make_aware(datetime.combine(day + timedelta(days=days), time.min))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise CommandError(
            gettext("%(file)s cannot be read: %(error)s.") % {"file": path, "error": error}, returncode=USAGE
        ) from None
