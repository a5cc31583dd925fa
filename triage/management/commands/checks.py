"""`cspm checks`: the catalogue, what this house says of a check, and checks of one's own: what they can ask, what they would find."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy, gettext_noop
from django.utils.translation import gettext as _

from triage.domain import check_catalogue
from triage.domain.access import Right
from triage.domain.check_catalogue import Saying
from triage.domain.configuration.sla import SEVERITIES
from triage.domain.custom_checks import files, kinds, language, trying
from triage.domain.custom_checks.language import TYPES
from triage.management.base import USAGE, TriageCommand, shown
from triage.management.check_files import told
from triage.models import Check, Severity
from triage.ports import Verdict

VERDICTS = {Verdict.FAIL: gettext_noop("fails"), Verdict.PASS: gettext_noop("passes"), Verdict.UNKNOWN: gettext_noop("unknown")}


class Command(TriageCommand):
    help = gettext_lazy(
        "Checks with their findings and noise; give one another severity, a runbook, a guard; try checks of your own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        listed = verbs.add_parser("list", help=_("checks that have findings, most open first"))
        listed.add_argument("words", nargs="*", metavar="WORD", help=_("of the key or the title"))
        said = verbs.add_parser("set", help=_("what is said of a check here; what is not given stays"))
        said.add_argument("check", metavar="KEY")
        said.add_argument(
            "--severity", choices=[*SEVERITIES, "scanner"], help=_("of its findings here; scanner: as the scanner says")
        )
        said.add_argument("--reason", default="", help=_("why another severity"))
        said.add_argument("--runbook", metavar="URL", help=_("how to fix it here"))
        said.add_argument("--guard", metavar="URL", help=_("the rule that would have prevented it"))
        tried = verbs.add_parser("try", help=_("what check files would find in the facts that are kept; nothing is changed"))
        tried.add_argument("files", nargs="*", metavar="FILE", help=_("YAML; by default those of this installation"))
        tried.add_argument("--all", action="store_true", help=_("also the assets that pass"))
        known = verbs.add_parser("facts", help=_("kinds of assets, and the facts that a check can ask for"))
        known.add_argument("kind", nargs="?", metavar="KIND")
        for verb in (listed, said, tried, known):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = check_catalogue.catalogue(actor=self.actor(options), text=" ".join(options["words"]), limit=100_000)
        if options["json"]:
            for row in rows:
                line = {
                    "scanner": row.check.scanner, "check": row.check.key, "title": row.check.title, "open": row.open, "ever": row.ever,
                    "declared_false": row.false, "severity": Severity(row.check.override or row.check.severity).name.lower(),
                    "overridden": row.check.override is not None, "runbook": row.check.runbook, "guard": row.check.guard,
                    "exception": str(row.off) if row.off else None,
                }  # fmt: skip
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        self.table(
            [gettext("check"), gettext("severity"), gettext("open"), gettext("ever"), gettext("false positives")],
            [
                [f"{row.check.scanner}:{row.check.key}", str(Severity(row.check.override or row.check.severity).label)
                 + ("*" if row.check.override else ""), str(row.open), str(row.ever), f"{row.noise} %" if row.false else "–"]
                for row in rows
            ],
        )  # fmt: skip

    def _set(self, options: dict[str, Any]) -> None:
        row = named(options["check"])
        override, reason = row.override, row.override_reason
        if options["severity"]:
            override, reason = SEVERITIES.get(options["severity"]), options["reason"]
        saying = Saying(
            override, reason, row.runbook if options["runbook"] is None else options["runbook"],
            row.guard if options["guard"] is None else options["guard"],
        )  # fmt: skip
        row = check_catalogue.say(check=row.pk, saying=saying, actor=self.actor(options), at=self.at())
        if options["json"]:
            self.stdout.write(json.dumps({"check": row.key, **{name: getattr(row, name) for name in check_catalogue.FIELDS}}))
        else:
            self.say(gettext("Saved; the findings of the check follow."))

    def _try(self, options: dict[str, Any]) -> None:
        with told(self):
            checks = files.load(Path(name) for name in options["files"]) if options["files"] else files.active()
        counts: Counter[tuple[str, Verdict]] = Counter()
        for tried in trying.attempt(checks=checks, actor=self.actor(options), at=self.at()):
            counts[tried.check.id, tried.verdict] += 1
            if tried.verdict is Verdict.PASS and not options["all"]:
                continue
            if options["json"]:
                line = {
                    "check": tried.check.id, "verdict": tried.verdict, "account": tried.account, "asset": tried.uid, "name": tried.name,
                    "severity": tried.check.severity.name.lower(), "facts": tried.said,
                }  # fmt: skip
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            else:
                self.say(f"{gettext(VERDICTS[tried.verdict])}  {tried.check.id}  {tried.uid}  {tried.said}")
        if not options["json"]:
            for check in checks:
                said = {verdict.value: counts[check.id, verdict] for verdict in VERDICTS}
                self.say(f"{check.id}: " + gettext("%(fail)s fail, %(pass)s pass, %(unknown)s unknown") % said)
            if not counts:
                self.say(gettext("There are no facts of these kinds yet: `cspm collect` gathers them."))

    def _facts(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.VIEW)
        chosen = [options["kind"]] if options["kind"] else list(kinds.kinds())
        for name in chosen:
            language.check_kind(name)
        if options["json"]:
            for name in chosen:
                facts = [
                    {"name": fact.name, "type": fact.type, "description": gettext(fact.description)}
                    for fact in kinds.facts_of(name).values()
                ]
                line = {"kind": name, "label": gettext(kinds.kinds()[name].label), "facts": facts}
                self.stdout.write(json.dumps(line, ensure_ascii=False))
        elif options["kind"]:
            self.table(
                [gettext("fact"), gettext("type"), gettext("what it is"), gettext("an example")],
                [
                    [fact.name, gettext(TYPES[fact.type]), gettext(fact.description), language.example(fact)]
                    for fact in kinds.facts_of(options["kind"]).values()
                ],
            )
        else:
            self.table(
                [gettext("kind"), gettext("what it is"), gettext("facts")],
                [[name, gettext(kinds.kinds()[name].label), str(len(kinds.facts_of(name)))] for name in chosen],
            )


def named(name: str) -> Check:
    """A check by its key, or scanner:key."""
    scanner, colon, key = name.partition(":")
    found = list(Check.objects.filter(key=name)[:2]) or (
        list(Check.objects.filter(scanner=scanner, key=key)[:2]) if colon else []
    )
    if len(found) != 1:
        message = gettext("“%(name)s” names %(n)s checks. Write it as prowler:s3_bucket_public_access.")
        raise CommandError(message % {"name": shown(name), "n": len(found)}, returncode=USAGE)
    return found[0]
