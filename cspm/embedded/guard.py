"""The process that owns the embedded PostgreSQL: makes it, starts it, restarts it when it dies, stops it when nobody is left.

Three locks in CSPM_HOME/run say who is there. They are flocks: the kernel drops them with whoever held them, however that one
ended, so nothing has to be counted and kill -9 leaves no wrong count.

    users   shared by each process that uses the database; the guard gets it for itself when nobody is left
    guard   held by the guard
    server  inherited by PostgreSQL and all its processes: free means that none of them lives, whatever postmaster.pid says
            (after a power cut, or in a new container, its number may be anybody's)

Started by `membership.join`; tells it in one line of JSON how the start went, then lives on without a terminal.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from cspm.embedded import cluster
from cspm.embedded.cluster import Account, DatabaseUnavailable
from cspm.language import gettext_noop

LOOK_SECONDS = 0.1
STOP_SECONDS = 60  # a fast shutdown writes out what is in memory
LONGEST_PAUSE = 15  # between attempts to bring a dead server back, while somebody still waits for it
LOG_LIMIT = 10 * cluster.MEGABYTE
TROUBLE = "trouble"  # file with the reason, while the server is down and can't be brought back
_PR_SET_PDEATHSIG = 1


def open_lock(run: Path, name: str) -> int:
    """A descriptor of the lock file, made when missing; under root it belongs to whoever owns CSPM_HOME."""
    path = run / f"{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    owner = run.stat()
    if os.geteuid() == 0 and owner.st_uid:
        os.fchown(handle, owner.st_uid, owner.st_gid)
    return handle


def taken(handle: int, mode: int) -> bool:
    """Take the lock if that is possible at once."""
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Server:
    """The running PostgreSQL: a child of this process."""

    def __init__(self, *, run: Path, folder: Path, program: Path, account: Account | None, socket: Path) -> None:
        self.run, self.folder, self.program, self.account, self.socket = run, folder, program, account, socket
        self.data = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it takes connections, however long its repair after a crash lasts. Raises DatabaseUnavailable."""
        lock = self._lock()
        try:
            # Nobody of ours lives, so these are left from a crash; PostgreSQL itself would trust the process number in them.
            for left in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*")):
                left.unlink(missing_ok=True)
            configuration = cluster.write_configuration(self.folder, self.socket, self.account)
            with self._log() as log:
                said_before = log.tell()
                self.process = subprocess.Popen(
                    [self.program / "bin" / "postgres", "-D", self.data, "-c", f"config_file={configuration}"],
                    **(self.account.process() if self.account else {}),
                    cwd="/",
                    env=cluster.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    umask=0o077,
                    pass_fds=[lock],
                    preexec_fn=_die_with_guard,  # noqa: PLW1509 - this process has one thread
                )
                while not self._ready():
                    if self.process.poll() is not None:
                        log.seek(said_before)
                        raise cluster.unavailable(log.read().decode(errors="replace"), self.data)
                    time.sleep(0.01)
        finally:
            os.close(lock)  # from here on PostgreSQL alone holds it

    def _lock(self) -> int:
        """The lock for the server to inherit, once no process of an earlier one is left."""
        handle = open_lock(self.run, "server")
        patience = time.monotonic() + 5
        asked = False
        while not taken(handle, fcntl.LOCK_EX):
            if time.monotonic() > patience and asked:
                os.close(handle)
                raise DatabaseUnavailable(
                    gettext_noop("An earlier PostgreSQL on %(folder)s doesn't stop. End its processes and start again."),
                    folder=str(self.data),
                )
            if time.monotonic() > patience:  # its guard was killed, and this system didn't take the server along
                cluster.run(
                    [str(self.program / "bin" / "pg_ctl"), "stop", "-D", str(self.data), "-m", "fast", "-W"], self.account
                )
                patience, asked = time.monotonic() + STOP_SECONDS, True
            time.sleep(0.05)
        return handle

    def _log(self) -> IO[bytes]:
        path = self.folder / "postgresql.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.rename(path.with_suffix(".log.1"))
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if self.account and self.account.uid != cluster.SERVER_ID:  # its owner may start the server without root next time
            self.account.own(path)
        return os.fdopen(handle, "a+b")

    def _ready(self) -> bool:
        """PostgreSQL writes its state into the eighth line of postmaster.pid."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Ask it to stop at once but cleanly; insist when it doesn't."""
        if self.process is None:
            return
        for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return


def _die_with_guard() -> None:
    """On Linux the server stops when the guard is killed; a new guard starts it again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def main(home: Path, package: Path) -> None:
    """Keep the server of this CSPM_HOME until nobody uses it; at once over when it has a guard already."""
    run = home / "run"
    if not taken(open_lock(run, "guard"), fcntl.LOCK_EX):
        _tell(started=False)
        return
    address = run / "address"
    for left in (address, run / TROUBLE):
        left.unlink(missing_ok=True)
    try:
        server, notes = _prepare(home, package, run)
        trouble = _start(server)
        if not trouble:
            address.write_text(str(server.socket))
    except DatabaseUnavailable as error:
        trouble = error
    except OSError as error:
        trouble = _explained(error, home / "database" / "data")
    if trouble:
        _tell(started=False, message=trouble.message, params=trouble.params)
        return
    _tell(started=True, notes=notes)
    with _nobody_left(server, open_lock(run, "users")):  # whoever comes now waits until the server has stopped
        server.stop()
        address.unlink(missing_ok=True)
        if server.socket.parent != server.folder:
            shutil.rmtree(server.socket, ignore_errors=True)


def _prepare(home: Path, package: Path, run: Path) -> tuple[Server, list[str]]:
    account = cluster.account_for(home)
    folder, moved = cluster.database_folder(home, account)
    data = folder / "data"
    program = cluster.installation(package, data, account)
    if not data.exists():
        cluster.create(data, program, account)
    elif account and data.stat().st_uid != account.uid:  # copied back by root, or CSPM_HOME has a new owner
        account.own_tree(data)
    data.chmod(0o700)  # PostgreSQL insists; a copy may have lost it
    socket = cluster.socket_folder(folder, account)
    server = Server(run=run, folder=folder, program=program, account=account, socket=socket)
    return server, [str(folder)] if moved else []


@contextmanager
def _nobody_left(server: Server, users: int) -> Iterator[None]:
    """Wait, with the server kept up, until no process uses it."""
    pause, again_at = 1.0, 0.0
    while not taken(users, fcntl.LOCK_EX):
        if not server.alive() and time.monotonic() >= again_at:
            trouble = _start(server)
            (server.run / TROUBLE).unlink(missing_ok=True)
            if trouble:  # a full disk, say: somebody may be making room
                with suppress(OSError):
                    (server.run / TROUBLE).write_text(json.dumps({"message": trouble.message, "params": trouble.params}))
                again_at = time.monotonic() + pause
            pause = min(2 * pause, LONGEST_PAUSE) if trouble else 1.0
        time.sleep(LOOK_SECONDS)
    yield


def _start(server: Server) -> DatabaseUnavailable | None:
    """Start it; why not, if it doesn't."""
    try:
        server.start()
    except DatabaseUnavailable as error:
        return error
    except OSError as error:
        return _explained(error, server.data)
    return None


def _explained(error: OSError, data: Path) -> DatabaseUnavailable:
    return cluster.unavailable(f"{error.filename or ''}: {error.strerror or error}", data)


def _tell(**how: Any) -> None:
    """Answer the process that started this one; it may be gone."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(how).encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # the end of the answer
    os.close(nothing)


def _live_on() -> None:
    """Whatever ends those who use the server doesn't end this; their end does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # When a machine or service stops, the users get the signal too and leave; then this ends. A handler, since an ignored
        # signal would be ignored by PostgreSQL's programs as well.
        signal.signal(number, lambda *_: None)
    os.chdir("/")


if __name__ == "__main__":
    _live_on()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
