"""`cspm checks`: the catalogue, and what this house says of a check."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain import check_catalogue
from triage.domain.check_catalogue import Saying
from triage.domain.configuration.sla import SEVERITIES
from triage.management.base import USAGE, TriageCommand, shown
from triage.models import Check, Severity


class Command(TriageCommand):
    help = gettext_lazy("Checks with their findings and noise; give one another severity, a runbook, a guard.")

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
        for verb in (listed, said):
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
            [gettext("check"), gettext("severity"), gettext("open"), gettext("ever"), gettext("declared false")],
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
