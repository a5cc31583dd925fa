"""The verbs that run the service: `run` (all of it), `web`, `worker`. No Django here: the children have it."""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cspm import paths
from cspm.embedded import membership
from cspm.language import gettext as _
from cspm.language import gettext_noop
from cspm.supervisor import Child, free_port, supervise, touched_within

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
HEARTBEAT = "worker.heartbeat"
HEARTBEAT_SECONDS = 15 * 60
"""Longer than anything a worker does without touching the file: a busy worker is no dead one."""


def run(arguments: Sequence[str]) -> int:
    """Database, migrations, first start, then web and worker until Ctrl-C."""
    parser = _parser("run")
    parser.add_argument("--report", metavar="PATH", help=_("import this report first, and no demonstration"))
    parser.add_argument("--no-demo", action="store_true", help=_("begin with nothing in it; CSPM_DEMO=0 says the same"))
    options = parser.parse_args(arguments)
    if options.report and not Path(options.report).is_file():
        parser.error(_("there is no file %(name)s") % {"name": options.report})
    home = paths.home()
    _keep_database(home)
    port = _port(options.host, options.port)
    address = _announce_address(options.host, port)
    _manage("migrate", "--noinput", "--verbosity=0", role="owner")
    begin = ["--report", str(Path(options.report).absolute())] if options.report else []
    greeting = _manage("welcome", *begin, *(["--no-demo"] if options.no_demo else []))

    def look() -> None:
        nonlocal greeting
        _keep_database(home)
        if greeting and _answers(options.host, port):
            sys.stdout.write(greeting)
            sys.stdout.flush()
            greeting = ""

    _say(_("Starting on %(address)s; Ctrl-C stops everything.") % {"address": address})
    return supervise([_web(options.host, port), _worker(home)], say=_say, each_tick=look)


def web(arguments: Sequence[str]) -> int:
    """The pages and the API alone."""
    options = _parser("web").parse_args(arguments)
    home = paths.home()
    _keep_database(home)
    port = _port(options.host, options.port)
    _say(_("Starting on %(address)s; Ctrl-C stops everything.") % {"address": _announce_address(options.host, port)})
    return supervise([_web(options.host, port)], say=_say, each_tick=lambda: _keep_database(home))


def worker(arguments: Sequence[str]) -> int:
    """What imports, delivers and verifies, alone. As many as needed, on any machine that reaches the database."""
    argparse.ArgumentParser(prog="cspm worker").parse_args(arguments)
    home = paths.home()
    _keep_database(home)
    return supervise([_worker(home)], say=_say, each_tick=lambda: _keep_database(home))


VERBS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "run": (run, gettext_noop("Start everything: database, web and worker, until Ctrl-C.")),
    "web": (web, gettext_noop("Start the web server alone.")),
    "worker": (worker, gettext_noop("Start a worker alone.")),
}


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"cspm {verb}", description=_(VERBS[verb][1]))
    parser.add_argument("--host", default="127.0.0.1", help=_("the address to listen on (default %(default)s)"))
    parser.add_argument(
        "--port", type=int, default=8000, help=_("the port; when it is taken, the next free one (default %(default)s)")
    )
    return parser


def _keep_database(home: Path) -> None:
    """The embedded server is up, and up again if its guard was killed; nothing to do for a server of one's own."""
    if not os.environ.get("DATABASE_URL"):
        membership.join(home, os.environ)


def _port(host: str, wanted: int) -> int:
    port = free_port(host, wanted)
    if port != wanted:
        _say(_("Port %(wanted)d is taken; using %(port)d.") % {"wanted": wanted, "port": port})
    return port


def _announce_address(host: str, port: int) -> str:
    """The address for people, which links in messages begin with, unless CSPM_BASE_URL says another."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104 - compared, not bound
    address = os.environ.setdefault("CSPM_BASE_URL", f"http://{f'[{name}]' if ':' in name else name}:{port}")
    # For commands beside the service, such as `cspm user link`.
    (paths.folder(paths.home(), "run") / "web-address").write_text(address, encoding="utf-8")
    return address


def _manage(*arguments: str, role: str = "app") -> str:
    """Run a management command to its end; what it printed. Raises CalledProcessError when it fails: it has said why."""
    done = subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env={**os.environ, "CSPM_DB_ROLE": role}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _web(host: str, port: int) -> Child:
    return Child(
        name="web",
        command=[
            sys.executable, "-m", "granian", "cspm.wsgi:application", "--interface=wsgi", f"--host={host}", f"--port={port}",
            # One thread a process is the fastest (measured), but then two slow uploads would stop every page.
            "--workers=2", "--blocking-threads=4", "--no-ws", "--http=1", "--log-level=warning",
            # A thread takes its database connection with it when it goes.
            "--blocking-threads-idle-timeout=600",
            "--respawn-failed-workers", f"--working-dir={MANAGE.parent}",
        ],
    )  # fmt: skip


def _worker(home: Path) -> Child:
    return Child(
        name="worker",
        command=[sys.executable, MANAGE, "qcluster"],
        # A cluster whose idle workers were killed lives on and never works again; only its silence tells.
        healthy=touched_within(paths.folder(home, "run") / HEARTBEAT, HEARTBEAT_SECONDS),
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
