"""The command `cspm`: its verbs are the management commands of `triage` and those that run the service.

Exit codes: 0 done or gate passed, 1 gate failed, 2 usage, 3 server out of reach, 4 not authorised, 5 input not understood,
6 verification says still failing, 7 evidence chain broken, 130 interrupted. A command that ends otherwise than by an exception
listed here raises CommandError with its `returncode`.
"""

import difflib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from cspm import service
from cspm.database import DatabaseUnavailable
from cspm.language import gettext as _
from cspm.language import gettext_noop, preferred

USAGE, OUT_OF_REACH, NOT_AUTHORISED, NOT_UNDERSTOOD, PIPE_CLOSED, INTERRUPTED = 2, 3, 4, 5, 141, 130

NO_SUCH_TABLE_OR_COLUMN = ("42P01", "42703")

OWNER_COMMANDS = frozenset({
    "migrate", "makemigrations", "showmigrations", "sqlmigrate", "squashmigrations", "createcachetable", "flush", "test",
})  # fmt: skip
"""Those that change or judge the schema connect as its owner; everything else as the application, which can't."""

DJANGO_VERBS = {"migrate": gettext_noop("Bring the database's schema up to date.")}


def main(arguments: Sequence[str] | None = None) -> int:
    """`cspm VERB …`; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["help"] and len(given) > 1:
        given = [given[1], "--help"]
    if not given or given[0] in ("help", "-h", "--help"):
        return _guarded(_print_verbs)
    return _guarded(lambda: _perform(given))


def manage(arguments: Sequence[str] | None = None) -> int:
    """`python manage.py COMMAND …`: the same verbs with the same exit codes, and all of Django's commands."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in service.VERBS:
        return main(given)
    return _guarded(lambda: _django(given))


def _perform(given: Sequence[str]) -> int:
    verb = given[0]
    if verb in service.VERBS:
        return service.VERBS[verb][0](given[1:])
    _set_up(verb)
    if verb not in (known := _commands()):
        near = difflib.get_close_matches(verb, [*known, *service.VERBS], n=1)
        hint = _(" Did you mean `cspm %(verb)s`?") % {"verb": near[0]} if near else ""
        _complain(_("There is no verb %(verb)s.%(hint)s `cspm` alone lists them.") % {"verb": repr(verb), "hint": hint})
        return USAGE
    from django.core.management import load_command_class  # noqa: PLC0415 - slow, and needs the settings

    load_command_class(known[verb], verb).run_from_argv(["cspm", *given])
    return 0


def _django(given: Sequence[str]) -> int:
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    _set_up(given[0] if given else "")
    execute_from_command_line(["manage.py", *given])
    return 0


def _set_up(verb: str) -> None:
    """Django, as the right role and in the person's language."""
    import django  # noqa: PLC0415
    from django.utils import translation  # noqa: PLC0415

    _choose_role(verb)
    django.setup()
    translation.activate(preferred(os.environ))


def _choose_role(verb: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")
    if verb in OWNER_COMMANDS:
        os.environ["CSPM_DB_ROLE"] = "owner"


def _commands() -> dict[str, str]:
    """Verb to the application that has it."""
    from django.apps import apps  # noqa: PLC0415
    from django.core.management import find_commands  # noqa: PLC0415

    found = dict.fromkeys(find_commands(f"{apps.get_app_config('triage').path}/management"), "triage")
    return {**found, **dict.fromkeys(DJANGO_VERBS, "django.core")}


def _print_verbs() -> int:
    _set_up("")
    from django.core.management import load_command_class  # noqa: PLC0415

    lines = {verb: _(text) for verb, (_run, text) in service.VERBS.items()}
    lines |= {verb: _(text) for verb, text in DJANGO_VERBS.items()}
    lines |= {verb: str(load_command_class(app, verb).help) for verb, app in _commands().items() if verb not in lines}
    width = max(map(len, lines))
    sys.stdout.write(_("Usage: cspm VERB …   (cspm VERB --help says more)") + "\n\n")
    sys.stdout.writelines(f"  {verb:{width}}  {text.strip().partition(chr(10))[0]}\n" for verb, text in sorted(lines.items()))
    return 0


def _guarded(perform: Callable[[], int]) -> int:
    """Perform it; an expected failure becomes a sentence and its exit code, anything else is a bug and keeps its traceback."""
    try:
        code = perform()
        sys.stdout.flush()  # a closed pipe should show here, not when the interpreter is past caring
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # cspm findings | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at exit
        return PIPE_CLOSED
    except subprocess.CalledProcessError as error:  # a step of `cspm run`, which has said why
        return error.returncode if error.returncode > 0 else 1
    except DatabaseUnavailable as error:
        _complain(_(error.message) % error.params)
        return OUT_OF_REACH
    except Exception as error:  # only to look whether it is one that is expected; all others go on
        expected = _expected(error)
        if expected is None:
            raise
        return expected
    return code


def _expected(error: Exception) -> int | None:
    """The exit code of a failure that isn't a bug, having said what it is; None for a bug."""
    from django.core.exceptions import PermissionDenied  # noqa: PLC0415
    from django.db import InterfaceError, OperationalError, ProgrammingError  # noqa: PLC0415

    from triage.domain.errors import NotAllowed, TriageError  # noqa: PLC0415
    from triage.ports import UnreadableReport  # noqa: PLC0415

    if isinstance(error, OperationalError | InterfaceError):
        _complain(_("The database can't be reached: %(error)s") % {"error": str(error).strip()})
        return OUT_OF_REACH
    if isinstance(error, ProgrammingError) and getattr(error.__cause__, "sqlstate", "") in NO_SUCH_TABLE_OR_COLUMN:
        _complain(_("The database's schema is not that of this version. Bring it up to date: cspm migrate"))
        return OUT_OF_REACH
    if isinstance(error, PermissionDenied):
        _complain(str(error) or _("This isn't allowed."))
        return NOT_AUTHORISED
    if isinstance(error, TriageError | UnreadableReport):
        _complain(_(error.text.message) % error.text.params)
        return NOT_AUTHORISED if isinstance(error, NotAllowed) else NOT_UNDERSTOOD
    return None


def _complain(text: str) -> None:
    sys.stderr.write(f"cspm: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
