import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cspm import supervisor
from cspm.supervisor import Child, free_port, supervise, touched_within

ROOT = Path(__file__).resolve().parents[2]
STEADY = "import time\nopen({note!r}, 'a').write(f'{{__import__(\"os\").getpid()}}\\n')\ntime.sleep(60)\n"
FAMILY = (
    "import os, signal, sys, time\n"
    "stubborn = 'stubborn' in sys.argv\n"
    "if os.fork() == 0 or stubborn:\n"
    "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "open({note!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    "time.sleep(60)\n"
)
SUPERVISE = (
    "import sys\nfrom cspm import supervisor\nsupervisor.GRACE_SECONDS = 0.5\n"
    "sys.exit(supervisor.supervise([supervisor.Child(name='web', command=[sys.executable, *sys.argv[1:]])], say=print))\n"
)


def lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(what, *, seconds=10):
    until = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return result


def pids(note, count=1):
    return eventually(lambda: note.exists() and len(found := note.read_text().split()) >= count and [int(pid) for pid in found])


@pytest.fixture
def note(tmp_path):
    """Where the stand-in children write who they are."""
    return tmp_path / "note"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def service(note):
    """A supervisor in a process of its own, over a family of two, one of which ignores SIGTERM."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, "-c", FAMILY.format(note=str(note)), *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, pids(note, 2)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def meanwhile(what):
    """Do it beside the supervisor, which then stops."""

    def do():
        try:
            what()
        finally:
            stop_this()

    thread = threading.Thread(target=do)
    thread.start()
    return thread


def stop_this(*_):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_whole_family(service, number):
    process, family = service()

    process.send_signal(number)

    assert process.wait(10) == 0
    assert [pid for pid in family if lives(pid)] == []


def test_stubborn_child_is_killed_after_the_grace(service):
    process, family = service("stubborn")
    began = time.monotonic()

    process.terminate()

    assert process.wait(10) == 0
    assert 0.5 <= time.monotonic() - began < 5
    assert [pid for pid in family if lives(pid)] == []


def test_killed_supervisor_leaves_no_orphans(service):
    process, family = service("stubborn")

    process.kill()

    eventually(lambda: not any(lives(pid) for pid in family))


def test_dead_child_is_started_again_without_its_old_family(quick, note):
    said = []

    def kill_the_first():
        os.kill(os.getpgid(pids(note, 2)[0]), signal.SIGKILL)
        pids(note, 4)

    beside = meanwhile(kill_the_first)
    code = supervise([Child(name="web", command=[sys.executable, "-c", FAMILY.format(note=str(note))])], say=said.append)
    beside.join()

    assert code == 0
    assert said == ["web ended (signal SIGKILL): starting it again in 0.02 s."]
    assert [pid for pid in pids(note, 4) if lives(pid)] == []


def test_child_that_never_starts_ends_everything(quick, note):
    said = []
    steady = Child(name="worker", command=[sys.executable, "-c", STEADY.format(note=str(note))])

    code = supervise([steady, Child(name="web", command=[sys.executable, "-c", "raise SystemExit(3)"])], say=said.append)

    assert code == 1
    assert said == ["web ended (exit code 3): starting it again in 0.02 s."] * 5 + [
        "web ended 5 times in a row right after its start. Stopping everything."
    ]
    assert [pid for pid in (note.read_text().split() if note.exists() else []) if lives(int(pid))] == []


def test_program_that_does_not_exist_ends_everything(quick):
    said = []

    assert supervise([Child(name="web", command=["/nowhere/granian"])], say=said.append) == 1
    assert said[0].startswith("web can't be started: ")


def test_child_that_was_steady_once_is_never_given_up(quick, note, monkeypatch):
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.05)
    starts = 0

    def count():
        nonlocal starts
        starts += 1

    script = (
        f"import time\nopen({str(note)!r}, 'a').write('x\\n')\ntime.sleep(0.2 if len(open({str(note)!r}).read()) == 2 else 0)\n"
    )
    beside = meanwhile(lambda: eventually(lambda: note.exists() and note.read_text().count("x") >= 8))
    code = supervise([Child(name="web", command=[sys.executable, "-c", script])], say=lambda _text: count())
    beside.join()

    assert code == 0
    assert starts >= 7


def test_hanging_child_is_started_again(quick, note):
    said = []
    well = iter([True, False])

    def healthy():
        if (answer := next(well, None)) is None:
            stop_this()
            return True
        return answer

    child = Child(name="worker", command=[sys.executable, "-c", STEADY.format(note=str(note))], healthy=healthy, patience=0.5)
    code = supervise([child], say=said.append)

    assert code == 0
    assert said == ["worker no longer answers: starting it again."]
    assert [pid for pid in pids(note, 2) if lives(pid)] == []


def test_child_that_cannot_be_asked_is_left_alone(quick, note):
    said = []

    def healthy():
        stop_this()
        raise ConnectionError("the database is down")

    child = Child(name="worker", command=[sys.executable, "-c", STEADY.format(note=str(note))], healthy=healthy, patience=0.1)
    supervise([child], say=said.append)

    assert said[0] == "worker: can't tell whether it is well (the database is down)."
    assert "worker no longer answers: starting it again." not in said


def test_killed_orphan_watch_is_replaced_and_knows_the_family(service):
    process, family = service("stubborn")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    watch = next(int(pid) for pid in children if b"cspm.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(watch, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{watch}").exists())
    time.sleep(0.5)

    process.kill()

    eventually(lambda: not any(lives(pid) for pid in family))


def test_each_tick_is_called_and_its_failure_is_said(quick, note):
    said = []

    def each_tick():
        stop_this()
        raise RuntimeError("no database")

    supervise(
        [Child(name="web", command=[sys.executable, "-c", STEADY.format(note=str(note))])], say=said.append, each_tick=each_tick
    )

    assert said == ["no database"]


@pytest.mark.enable_socket
def test_taken_port_gives_way_to_the_next_free_one():
    with socket.create_server(("127.0.0.1", 0)) as first:
        taken = first.getsockname()[1]

        found = free_port("127.0.0.1", taken)

    assert taken < found < taken + supervisor.PORTS_TRIED
    assert free_port("127.0.0.1", taken) == taken


@pytest.mark.enable_socket
def test_address_of_another_machine_is_no_taken_port():
    with pytest.raises(OSError, match="Cannot assign"):
        free_port("192.0.2.1", 8000)


def test_touched_file_is_a_heartbeat(tmp_path):
    beat = tmp_path / "beat"
    check = touched_within(beat, 60)
    assert check()  # never touched: nothing to judge by

    beat.touch()
    assert check()

    long_ago = time.time() - 3600
    os.utime(beat, (long_ago, long_ago))
    assert check()  # from before this check began

    impatient = touched_within(beat, 0.05)
    assert impatient()
    time.sleep(0.1)
    assert not impatient()
