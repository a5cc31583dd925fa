"""`cspm config`: teams, members, accounts and owner rules as a file that can be kept in a repository."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain.configuration.applying import apply, compare, export, rehearse
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.configuration.sections import Change, ChangeKind
from triage.management.base import GATE_FAILED, NOT_UNDERSTOOD, USAGE, TriageCommand

SIGNS = {
    ChangeKind.CREATED: "+", ChangeKind.RESTORED: "+", ChangeKind.CHANGED: "~", ChangeKind.ARCHIVED: "-", ChangeKind.REMOVED: "-",
}  # fmt: skip


class Command(TriageCommand):
    help = gettext_lazy("Apply, compare and export the configuration as a YAML file.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        applied = verbs.add_parser("apply", help=_("make teams, accounts and owner rules match the file"))
        applied.add_argument("--dry-run", action="store_true", help=_("only say what would change, owners included"))
        applied.add_argument("--reason", default="", help=_("why, for the audit trail"))
        compared = verbs.add_parser("diff", help=_("what applying the file would change"))
        compared.add_argument("--exit-code", action="store_true", help=_("exit with 1 when there is a difference"))
        for verb in (applied, compared):
            verb.add_argument("file", metavar="FILE", help=_("a YAML file, or - for standard input"))
            verb.add_argument(
                "--prune", action="store_true", help=_("archive teams, and put accounts out of scope, that it does not name")
            )
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        exported = verbs.add_parser("export", help=_("write what is stored as a file"))
        exported.add_argument("--output", "-o", metavar="FILE", help=_("instead of standard output"))
        for verb in (applied, compared, exported):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except WrongConfiguration as error:
            for problem in error.problems[:-1]:
                self.stderr.write(self.render(problem.text))
            last = self.render(error.problems[-1].text)
            unchanged = gettext("Nothing was changed.")
            raise CommandError(f"{last} {unchanged}", returncode=NOT_UNDERSTOOD) from error

    def _apply(self, options: dict[str, Any]) -> None:
        actor, at, name, text = self.actor(options), self.at(), _name(options), read_file(options["file"])
        if options["dry_run"]:
            done = rehearse(text=text, actor=actor, at=at, name=name, prune=options["prune"])
        else:
            done = apply(text=text, actor=actor, at=at, name=name, prune=options["prune"], reason=options["reason"])
        self._show(done.changes, options)
        if options["json"]:
            return
        if done.preview:
            sentence = gettext("%(moved)s of %(assets)s assets would change their owner.")
            self.say(sentence % {"moved": done.preview.changed, "assets": done.preview.assets})
        if done.owners:
            sentence = gettext("%(moved)s of %(assets)s assets changed their owner, %(findings)s findings followed.")
            self.say(sentence % {"moved": done.owners.moved, "assets": done.owners.assets, "findings": done.owners.findings})

    def _diff(self, options: dict[str, Any]) -> None:
        changes = compare(text=read_file(options["file"]), actor=self.actor(options), name=_name(options), prune=options["prune"])
        self._show(changes, options)
        if changes and options["exit_code"]:
            sys.exit(GATE_FAILED)

    def _export(self, options: dict[str, Any]) -> None:
        text = export(actor=self.actor(options))
        if options["output"]:
            Path(options["output"]).write_text(text, encoding="utf-8")
        else:
            self.stdout.write(text, ending="")

    def _show(self, changes: Iterable[Change], options: dict[str, Any]) -> None:
        if options["json"]:
            for change in changes:
                values = {"before": dict(change.before), "after": dict(change.after)}
                line = {"section": change.section, "change": change.kind.value, "key": change.key, **values}
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        shown = False
        for change in changes:
            shown = True
            self.say(f"{SIGNS[change.kind]} {change.section} {change.key}")
            for name in change.after:
                if change.kind == ChangeKind.CREATED:
                    if change.after[name] not in ("", [], None):
                        self.say(f"    {name}: {_short(change.after[name])}")
                else:
                    self.say(f"    {name}: {_short(change.before.get(name))} → {_short(change.after[name])}")
        if not shown:
            self.say(gettext("The file says what is stored: nothing to change."))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"


def _name(options: dict[str, Any]) -> str:
    return gettext("standard input") if options["file"] == "-" else str(options["file"])


def read_file(name: str) -> str:
    """The text of a file, - for standard input."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        message = gettext("%(name)s cannot be read: %(problem)s") % {"name": name, "problem": error.strerror or error}
        raise CommandError(message, returncode=USAGE) from error
    except UnicodeDecodeError as error:
        raise CommandError(gettext("%(name)s is not UTF-8 text.") % {"name": name}, returncode=NOT_UNDERSTOOD) from error
