"""How commands say what is wrong in check files: all of it, each with its file."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from triage.domain.custom_checks.files import WrongChecks
from triage.management.base import NOT_UNDERSTOOD, TriageCommand


@contextmanager
def told(command: TriageCommand) -> Iterator[None]:
    """Problems one a line, the last as the command's failure."""
    try:
        yield
    except WrongChecks as error:
        lines = [f"{file}: {command.render(each.text)}" for file, found in error.problems.items() for each in found]
        for line in lines[:-1]:
            command.stderr.write(line)
        raise CommandError(lines[-1], returncode=NOT_UNDERSTOOD) from error
