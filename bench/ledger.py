"""What sealing costs whoever writes: ten writers, each event a transaction, one in ten rolled back; with the sealer at work, and without.

usage: python -m bench.ledger [--seconds 20] [--writers 10] [--rounds 3]

Floor: the same inserts into the same table while nobody seals; both in turns in the same run. Then the whole log is computed again.
Exits 1 when an event is missing or twice in the log, when the log does not hold, or when sealing took more than a tenth of the throughput.
"""

import argparse
import atexit
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Event as Signal

SEALS_EVERY = 1.0  # seconds; the product's worker does once a minute


def write(number: int, seconds: float, go: Signal, counts) -> None:  # type: ignore[no-untyped-def]
    """Events, one a transaction, until the time is over."""
    import django

    django.setup()
    from django.db import connection
    from django.utils.timezone import now

    from triage.domain import audit

    connection.ensure_connection()
    go.wait()
    end, done, tried = time.perf_counter() + seconds, 0, 0
    while time.perf_counter() < end:
        tried += 1
        try:
            with audit.recording(actor=f"user:{number}", at=now(), door="api") as log:
                log.tell("rule", number, "changed", before={"n": tried - 1}, after={"n": tried})
                if tried % 10 == 0:
                    raise ZeroDivisionError
            done += 1
        except ZeroDivisionError:
            pass
    counts[number] = done
    connection.close()


def seal(stop: Signal, busy) -> None:  # type: ignore[no-untyped-def]
    import django

    django.setup()
    from django.utils.timezone import now

    from triage.domain import ledger

    while not stop.wait(SEALS_EVERY):
        begin = time.perf_counter()
        ledger.seal(at=now())
        busy.value += time.perf_counter() - begin


def run(writers: int, seconds: float, *, sealing: bool) -> tuple[float, int, float]:
    """Events a second, events, and the seconds that the sealer was at work."""
    go, stop = multiprocessing.Event(), multiprocessing.Event()
    counts, busy = multiprocessing.Array("q", writers), multiprocessing.Value("d", 0.0)
    hands = [multiprocessing.Process(target=write, args=(number, seconds, go, counts)) for number in range(writers)]
    sealer = multiprocessing.Process(target=seal, args=(stop, busy))
    for hand in hands:
        hand.start()
    if sealing:
        sealer.start()
    time.sleep(5)
    go.set()
    for hand in hands:
        hand.join()
    stop.set()
    if sealing:
        sealer.join()
    return sum(counts) / seconds, sum(counts), busy.value


def measure(writers: int, seconds: float, rounds: int) -> bool:
    import django

    django.setup()
    from django.db import connection
    from django.utils.timezone import now

    from triage.domain import ledger
    from triage.models import Event, Leaf

    plain, sealed, written = [], [], 0
    for number in range(rounds):
        for sealing in (False, True) if number % 2 == 0 else (True, False):
            rate, count, busy = run(writers, seconds, sealing=sealing)
            written += count
            (sealed if sealing else plain).append(rate)
            told = f"with the sealer ({busy:.1f} s at work)" if sealing else "plain"
            print(f"round {number + 1}: {rate:8.0f} events a second {told}", flush=True)
            ledger.seal(at=now())
    begin = time.perf_counter()
    while ledger.waiting():
        ledger.seal(at=now())
    print(f"{Leaf.objects.count()} leaves; the rest was sealed in {time.perf_counter() - begin:.2f} s")
    begin = time.perf_counter()
    found = ledger.verify(at=now())
    print(f"computed again in {time.perf_counter() - begin:.2f} s: {found.fault or 'it holds'}")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(l.event), count(DISTINCT l.number) FROM triage_event e LEFT JOIN triage_leaf l ON l.event = e.id"
        )
        events, leaves, numbers = cursor.fetchone()
    told = Event.objects.filter(subject="rule").count()
    share = statistics.median(sealed) / statistics.median(plain)
    print(f"{told} of {written} written events are there; {events} events, {leaves} leaves, {numbers} numbers")
    print(f"throughput with the sealer: {100 * share:.1f} % of plain inserts (median of {rounds})")
    return told == written and events == leaves == numbers and found.fault is None and share >= 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    home = tempfile.mkdtemp(prefix="cspm-bench-")
    os.environ.update(CSPM_HOME=home, DJANGO_SETTINGS_MODULE="cspm.settings")
    atexit.register(shutil.rmtree, home, ignore_errors=True)  # after the embedded server has let go of it
    own = os.environ | {"CSPM_DB_ROLE": "owner"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"], check=True, env=own)
    sys.exit(0 if measure(given.writers, given.seconds, given.rounds) else 1)


if __name__ == "__main__":
    main()
