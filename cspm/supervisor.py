"""One process tree: starts web and worker, starts them again when they die or hang, and takes everything down with it.

Standard library only, no Django: it lives as long as the service and should cost little.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cspm.language import gettext as _

TICK_SECONDS = 0.2
GRACE_SECONDS = 6  # with the goodbye to the database, everything is gone within 10
STEADY_SECONDS = 10  # a child that lived this long has started
GIVE_UP_AFTER = 5  # starts in a row of a child that never got that far
LONGEST_PAUSE = 30
PORTS_TRIED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program to keep running.

    `healthy` is asked while it runs and must answer at once; False has it started anew. It isn't asked in the first
    `patience` seconds, nor believed when it raises: what can't be asked (a database that is down) is no proof of a hang.
    """

    name: str
    command: Sequence[str | Path]
    environ: Mapping[str, str] = field(default_factory=dict)
    healthy: Callable[[], bool] | None = None
    patience: float = 60


class _Running:
    """A child's process, and what is known of its earlier starts."""

    def __init__(self, child: Child, say: Callable[[str], None], orphans: "Orphans") -> None:
        self.child, self.say, self.orphans = child, say, orphans
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = self.next_start = time.monotonic()
        self.failures = 0
        self.was_steady = False

    @property
    def hopeless(self) -> bool:
        return self.failures >= GIVE_UP_AFTER and not self.was_steady

    def look(self) -> None:
        """Start it when it is due, notice when it ended or hangs."""
        if self.process is None:
            if time.monotonic() >= self.next_start:
                self._start()
            return
        lived = time.monotonic() - self.started_at
        code = self.process.poll()
        if code is None and lived >= STEADY_SECONDS:
            self.was_steady, self.failures = True, 0
        if code is None and lived >= self.child.patience and self._hangs():
            self.say(_("%(name)s no longer answers: starting it again.") % {"name": self.child.name})
            self.kill()
            self._plan_next()
        elif code is not None:
            self.kill()  # what it left behind may hold the port
            self._plan_next()
            how = {"name": self.child.name, "how": _how_it_ended(code), "seconds": f"{self._pause():g}"}
            self.say(_("%(name)s ended (%(how)s): starting it again in %(seconds)s s.") % how)

    def _start(self) -> None:
        self.started_at = time.monotonic()
        try:
            self.process = subprocess.Popen(
                self.child.command,
                env={**os.environ, **self.child.environ},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that the whole family can be signalled, and Ctrl-C reaches us alone
            )
        except OSError as error:
            self.say(_("%(name)s can't be started: %(error)s") % {"name": self.child.name, "error": error})
            self._plan_next()
        else:
            self.orphans.adopt_later(self.process.pid)

    def _hangs(self) -> bool:
        if self.child.healthy is None:
            return False
        try:
            return not self.child.healthy()
        except Exception as error:  # noqa: BLE001 - asked of injected code; see Child
            self.say(_("%(name)s: can't tell whether it is well (%(error)s).") % {"name": self.child.name, "error": error})
            return False

    def _plan_next(self) -> None:
        self.failures += 1
        self.next_start = time.monotonic() + self._pause()

    def _pause(self) -> float:
        return float(min(2 ** (self.failures - 2), LONGEST_PAUSE))

    def ask_to_stop(self) -> None:
        """Only its first process is told: it knows best in which order to stop the others."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End the whole family now."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a family of zombies
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.orphans.forget(self.process.pid)
        self.process = None


def _how_it_ended(code: int) -> str:
    if code < 0:
        return _("signal %(name)s") % {"name": signal.Signals(-code).name}
    return _("exit code %(code)d") % {"code": code}


class Orphans:
    """A small process that ends the children when the supervisor was killed and couldn't. It learns of that by a pipe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._families: set[int] = set()

    def look(self) -> None:
        """Have it running."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-s", "-m", "cspm.supervisor", str(GRACE_SECONDS)],
                cwd=Path(__file__).resolve().parent.parent, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            for family in self._families:
                self._tell("+", family)

    def adopt_later(self, family: int) -> None:
        self._families.add(family)
        self._tell("+", family)

    def forget(self, family: int) -> None:
        self._families.discard(family)
        self._tell("-", family)

    def _tell(self, sign: str, family: int) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # `look` starts a new one, and tells it everything
                self._process.stdin.write(f"{sign}{family}\n".encode())
                self._process.stdin.flush()

    def close(self) -> None:
        if self._process:
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


def mourn(pipe: IO[bytes], grace: float) -> None:
    """The small process: remember the families named in the pipe until it ends, then end those that are left."""
    families: set[int] = set()
    for line in pipe:
        number = int(line[1:])
        (families.add if line.startswith(b"+") else families.discard)(number)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for family in families:
            with suppress(ProcessLookupError, PermissionError):
                # The first process alone at first, as the supervisor would have done.
                (os.kill if number == signal.SIGTERM else os.killpg)(family, number)
        until = time.monotonic() + grace
        while time.monotonic() < until and any(_lives(family) for family in families):
            time.sleep(0.05)


def _lives(family: int) -> bool:
    try:
        os.killpg(family, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def supervise(children: Sequence[Child], *, say: Callable[[str], None], each_tick: Callable[[], None] | None = None) -> int:
    """Keep the children running until SIGTERM, SIGINT or SIGHUP, then stop them all. Answers the exit code.

    0 after a signal; 1 when a child never managed to start. `each_tick` is called about once a second (it keeps the embedded
    database up); what it raises is said, not raised. Call it in the main thread.
    """
    orphans = Orphans()
    running = [_Running(child, say, orphans) for child in children]
    with _until_signal() as stop:
        try:
            tick = 0
            while not stop.wait(TICK_SECONDS if tick else 0):
                orphans.look()
                for each in running:
                    each.look()
                    if each.hopeless:
                        how_often = {"name": each.child.name, "times": each.failures}
                        say(_("%(name)s ended %(times)d times in a row right after its start. Stopping everything.") % how_often)
                        return 1
                if each_tick and tick % 5 == 4:
                    _try(each_tick, say)
                tick += 1
        finally:
            _stop(running)
            orphans.close()
    return 0


def _try(what: Callable[[], None], say: Callable[[str], None]) -> None:
    try:
        what()
    except Exception as error:  # noqa: BLE001 - the service must outlive a database that is down for a while
        say(str(error))


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    stop = threading.Event()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # else it was started by nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(running: Sequence[_Running]) -> None:
    for each in running:
        each.ask_to_stop()
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until and any(each.process and each.process.poll() is None for each in running):
        time.sleep(0.05)
    for each in running:
        each.kill()


def free_port(host: str, wanted: int) -> int:
    """The wanted port of this address, or the next free one. Raises OSError when none is, or when it isn't ours to take."""
    family, kind, protocol, _name, address = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM)[0]
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket(family, kind, protocol) as attempt:
            # Past connections that linger don't count; a server that listens does.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((host, port, *address[2:]))
                attempt.listen(1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    ports = {"host": host, "first": wanted, "last": wanted + PORTS_TRIED - 1}
    raise OSError(_("No port of %(host)s from %(first)d to %(last)d is free.") % ports)


def touched_within(path: Path, seconds: float) -> Callable[[], bool]:
    """A check for `Child.healthy`: the child touches this file regularly. What it did before it was first asked counts as now."""
    asked_first = 0.0

    def check() -> bool:
        nonlocal asked_first
        asked_first = asked_first or time.time()
        return not path.exists() or time.time() - max(path.stat().st_mtime, asked_first) <= seconds

    return check


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mourn(sys.stdin.buffer, float(sys.argv[1]))
