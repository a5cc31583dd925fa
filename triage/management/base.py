"""What all of our commands have in common: who acts, when, in which words, and what a failure exits with."""

import io
import os
import shutil
import sys
import unicodedata
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, handle_default_options
from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext

from triage.domain import access
from triage.domain.access import Actor
from triage.domain.errors import NotAllowed, TriageError
from triage.models import Role
from triage.ports import Text, UnreadableReport

GATE_FAILED, USAGE, OUT_OF_REACH, NOT_AUTHORISED, NOT_UNDERSTOOD, STILL_FAILING, BROKEN_CHAIN = 1, 2, 3, 4, 5, 6, 7
INTERRUPTED = 130


class TriageCommand(BaseCommand):
    """A verb of `cspm`. Expected failures become a sentence and an exit code; anything else is a bug and keeps its traceback."""

    help: Any = ""  # lazily translated
    requires_system_checks = []  # they import each plugin; `cspm check` runs them

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        self.help = str(self.help)  # argparse takes no lazy text
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        self.add_role(parser)
        return parser

    @staticmethod
    def add_role(parser: ArgumentParser) -> None:
        """`--as ROLE`, also after a verb's own arguments: call it for each parser of a verb."""
        parser.add_argument(
            "--as", dest="role", choices=Role.values, default=SUPPRESS, help=gettext("act with the rights of this role only")
        )

    def verbs(self, parser: CommandParser) -> "_SubParsersAction[CommandParser]":
        """Where verbs are added: `self.verbs(parser).add_parser("apply", help=…)`; the one given is in options["verb"]."""
        return parser.add_subparsers(dest="verb", required=True, metavar=gettext("VERB"), title=gettext("verbs"))

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django's, but a failure is a sentence without the name of a class."""
        self._called_from_command_line = True
        parser = self.create_parser(argv[0], argv[1])
        options = parser.parse_args(argv[2:])
        handle_default_options(options)
        given = vars(options)
        try:
            self.execute(*given.pop("args", ()), **given)
        except CommandError as error:
            if options.traceback:
                raise
            self.stderr.write(f"cspm: {error}")
            sys.exit(error.returncode)
        finally:
            connections.close_all()

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except TriageError as error:
            code = NOT_AUTHORISED if isinstance(error, NotAllowed) else NOT_UNDERSTOOD
            raise CommandError(self.render(error.text), returncode=code) from error
        except UnreadableReport as error:
            raise CommandError(self.render(error.text), returncode=NOT_UNDERSTOOD) from error
        except KeyboardInterrupt as error:
            raise CommandError(gettext("Interrupted."), returncode=INTERRUPTED) from error

    def actor(self, options: dict[str, Any]) -> Actor:
        """The operating-system user, an administrator unless `--as` says less."""
        role = options.get("role")
        return access.of_machine(os.getuid(), roles=frozenset({role}) if role else None)

    def at(self) -> datetime:
        """Now."""
        return timezone.now()

    def render(self, text: Text) -> str:
        """The sentence in the person's language, fit for a terminal."""
        return shown(gettext(text.message) % text.params if text.message else "")

    def say(self, line: str = "") -> None:
        """A line of output, fit for a terminal."""
        self.stdout.write(shown(line))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows under headers: ruled on a terminal, columns parted by spaces anywhere else."""
        cells = [[shown(cell) for cell in row] for row in rows]
        if self.stdout.isatty():
            self.stdout.write(_ruled(headers, cells), ending="")
            return
        widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
        for row in (headers, *cells):
            self.stdout.write("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def shown(text: str) -> str:
    """The text without what a terminal would obey: control characters and marks that turn its direction."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t" else c for c in text)


def _ruled(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text as Cell  # noqa: PLC0415

    table = Table(*headers)
    for row in rows:
        table.add_row(*map(Cell, row))  # as text: what stands in [brackets] is no markup
    output = io.StringIO()
    Console(file=output, force_terminal=True, width=shutil.get_terminal_size().columns).print(table)
    return output.getvalue()
