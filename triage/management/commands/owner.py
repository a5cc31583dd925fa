"""`cspm owner`: who owns what and why, the rules applied to the estate, owners by hand, and what nobody owns."""

import json
from datetime import date, datetime, time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain.ownership.assigning import assign, release, team_named
from triage.domain.ownership.explaining import FINDING, Explanation, explain
from triage.domain.ownership.resolving import resolve_all
from triage.domain.ownership.steps import Result, Step
from triage.domain.ownership.surveying import preview
from triage.domain.ownership.unowned import Orphanage, unowned
from triage.management.base import USAGE, TriageCommand

DATE = len("2026-11-02")
SIGNS = {Result.MATCHED: "✔", Result.NO_TEAM: "✘", Result.SKIPPED: "·"}


class Command(TriageCommand):
    help = gettext_lazy("Who owns what and why; apply the rules, assign by hand, list what nobody owns.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        told = verbs.add_parser("explain", help=_("who owns it, and each step that led there"))
        told.add_argument("name", metavar="ARN|F-12", help=_("identifier or name of an asset, repository:path, or a finding"))
        told.add_argument("--as-of", metavar="DATE", help=_("then instead of now: 2026-11-02 (its end) or 2026-11-02T09:00"))
        applied = verbs.add_parser("apply", help=_("ask the rules again for the whole estate"))
        applied.add_argument("--dry-run", action="store_true", help=_("only say what would change"))
        by_hand = verbs.add_parser("assign", help=_("give a finding to a team, whatever the rules say"))
        by_hand.add_argument("finding", metavar="F-12")
        by_hand.add_argument("team", metavar="TEAM", help=_("the team's slug"))
        back = verbs.add_parser("release", help=_("give a finding back to the rules"))
        back.add_argument("finding", metavar="F-12")
        for verb in (by_hand, back):
            verb.add_argument("--reason", default="", help=_("why, for the audit trail"))
        nobody = verbs.add_parser("unowned", help=_("findings without an owner, worst first, and how to fix that"))
        nobody.add_argument("--limit", type=int, default=20, metavar="N", help=_("accounts shown"))
        for verb in (told, applied, by_hand, back, nobody):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _explain(self, options: dict[str, Any]) -> None:
        as_of = moment(options["as_of"]) if options["as_of"] else None
        for told in explain(name=options["name"], actor=self.actor(options), as_of=as_of):
            if options["json"]:
                self.stdout.write(json.dumps(self._as_json(told), ensure_ascii=False))
            else:
                self._tell(told)

    def _tell(self, told: Explanation) -> None:
        self.say(told.name if told.name == told.asset else f"{told.name}  {told.asset}")
        when = f"  ({timezone.localtime(told.as_of):%Y-%m-%d %H:%M})" if told.as_of else ""
        owner, nobody, carried, since = gettext("Owner"), gettext("nobody"), gettext("Tags"), gettext("since")
        self.say(f"  {owner}: {told.team or nobody}{when}")
        if told.tags:
            pairs = ", ".join(f"{key}={value}" for key, value in told.tags)
            self.say(f"  {carried}: {pairs}" + (f"  ({since} {timezone.localtime(told.since):%Y-%m-%d})" if told.since else ""))
        for step in told.steps:
            self.say(f"  {SIGNS[step.result]} {self._name(step)}: {self.render(step.why)}")
        for note in told.notes:
            self.say(f"  ! {self.render(note)}")

    def _as_json(self, told: Explanation) -> dict[str, Any]:
        return {
            "name": told.name,
            "asset": told.asset,
            "account": {"provider": told.account.provider, "uid": told.account.uid},
            "owner": told.team,
            "stored": told.stored,
            "as_of": told.as_of and told.as_of.isoformat(),
            "since": told.since and told.since.isoformat(),
            "tags": [list(pair) for pair in told.tags],
            "steps": [
                {"rule": s.rule, "kind": s.kind, "name": self._name(s), "result": s.result.value, "why": self.render(s.why)}
                for s in told.steps
            ],
            "notes": [self.render(note) for note in told.notes],
        }

    def _name(self, step: Step) -> str:
        """Names of rules are people's own; those of the built-in steps are translated."""
        return step.name if step.rule is not None else gettext(step.name)

    def _apply(self, options: dict[str, Any]) -> None:
        actor = self.actor(options)
        if not options["dry_run"]:
            done = resolve_all(actor=actor, at=self.at())
            counts = {name: getattr(done, name) for name in ("assets", "moved", "explained", "rejudged", "findings")}
            self._report(
                counts, gettext("%(moved)s of %(assets)s assets changed their owner, %(findings)s findings followed."), options
            )
            return
        diff = preview(actor=actor)
        if options["json"]:
            for move in diff.moves:
                self.stdout.write(
                    json.dumps({"from": move.before, "to": move.after, "assets": move.assets, "samples": move.samples})
                )
            return
        self.say(
            gettext("%(moved)s of %(assets)s assets would change their owner.") % {"moved": diff.changed, "assets": diff.assets}
        )
        if diff.moves:
            nobody = gettext("nobody")
            self.table(
                [gettext("from"), gettext("to"), gettext("assets"), gettext("for example")],
                [[move.before or nobody, move.after or nobody, str(move.assets), move.samples[0]] for move in diff.moves],
            )

    def _assign(self, options: dict[str, Any]) -> None:
        given = assign(
            finding=number(options["finding"]), team=team_named(options["team"]), actor=self.actor(options), at=self.at(),
            reason=options["reason"],
        )  # fmt: skip
        owner = given.team.slug if given.team else None
        self._report(
            {"finding": str(given), "owner": owner}, gettext("%(finding)s belongs to %(owner)s until it is released."), options
        )

    def _release(self, options: dict[str, Any]) -> None:
        given = release(finding=number(options["finding"]), actor=self.actor(options), at=self.at(), reason=options["reason"])
        owner = given.team.slug if given.team else None
        text = gettext("%(finding)s follows the rules again: %(owner)s.")
        self._report({"finding": str(given), "owner": owner}, text, options)

    def _report(self, values: dict[str, Any], sentence: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(values))
        else:
            self.say(sentence % {name: gettext("nobody") if value is None else value for name, value in values.items()})

    def _unowned(self, options: dict[str, Any]) -> None:
        found = unowned(actor=self.actor(options), limit=options["limit"])
        for orphans in found:
            if options["json"]:
                self.stdout.write(json.dumps(self._orphans_as_json(orphans), ensure_ascii=False))
            else:
                self._tell_orphans(orphans)
        if not found and not options["json"]:
            self.say(gettext("Everything that is open has an owner."))

    def _tell_orphans(self, orphans: Orphanage) -> None:
        counts = ", ".join(f"{n} {severity.label}" for severity, n in orphans.by_severity)
        self.say(f"{orphans.account} ({orphans.account.provider} {orphans.account.uid}): {counts}")
        for cause in orphans.causes:
            self.say(f"  {cause.findings:>6}  {self.render(cause.fix)}")
        for finding in orphans.worst:
            self.say(f"          {finding}  {finding.check_ref}  {finding.asset}")

    def _orphans_as_json(self, orphans: Orphanage) -> dict[str, Any]:
        return {
            "provider": orphans.account.provider,
            "account": orphans.account.uid,
            "findings": orphans.findings,
            "by_severity": {severity.name.lower(): n for severity, n in orphans.by_severity},
            "causes": [{"findings": c.findings, "tag": c.tag, "fix": self.render(c.fix)} for c in orphans.causes],
            "worst": [str(finding) for finding in orphans.worst],
        }


def number(name: str) -> int:
    """The number of a finding, given as F-12 or 12."""
    found = FINDING.fullmatch(name if not name.isdecimal() else f"F-{name}")
    if found is None:
        raise CommandError(gettext("“%(name)s” is not a finding. Write it as F-12.") % {"name": name}, returncode=USAGE)
    return int(found[1])


def beginning(text: str) -> datetime:
    """As `moment`, but a date alone is its beginning."""
    found = moment(text)
    return datetime.combine(timezone.localtime(found).date(), time.min, tzinfo=found.tzinfo) if len(text) == DATE else found


def moment(text: str) -> datetime:
    """A moment in the person's time zone; a date alone is its end."""
    try:
        if len(text) == DATE:
            return timezone.make_aware(datetime.combine(date.fromisoformat(text), time.max))
        found = datetime.fromisoformat(text)
    except ValueError:
        message = gettext("“%(text)s” is not a date. Write it as 2026-11-02 or 2026-11-02T09:00.") % {"text": text}
        raise CommandError(message, returncode=USAGE) from None
    return found if timezone.is_aware(found) else timezone.make_aware(found)
