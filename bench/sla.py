"""What deadlines cost: dates computed in SQL and in Python, a change of policy, a look of the worker, the report.

usage: python -m bench.sla [--findings 200000] [--keep]

About half of the findings are open. Without DATABASE_URL a scratch database is made in a temporary CSPM_HOME. The floor is a plain
UPDATE of as many rows of the same table, triggers and all, in the same run. Exits 1 when SQL and Python differ anywhere.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from bench.pages import prepare

TARGETS = (("critical", "8 business hours"), ("high", "40 business hours"), ("medium", "30 days"), ("low", "2160 hours"))


@contextmanager
def timed(what: str, rows: int) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    took = time.perf_counter() - begin
    print(f"{what:58} {rows:>8} rows {took:8.2f} s {1e6 * took / max(rows, 1):8.1f} µs a row", flush=True)


def measure() -> bool:
    import django

    django.setup()
    from django.db import connection
    from django.utils.timezone import now

    from triage.domain import calendars
    from triage.domain.access import of_machine
    from triage.domain.audit import recording
    from triage.domain.calendars import WEEK, Draft
    from triage.domain.sets import CHUNK
    from triage.domain.sla import notices, policies, reporting, sets
    from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft
    from triage.domain.sla.notices import circumstances
    from triage.domain.sla.policies import Plan
    from triage.domain.sla.targets import Targets
    from triage.models import Finding, Severity

    at, me = now(), of_machine(0)
    office = Draft(
        "office",
        time_zone="Europe/Paris",
        hours={day: [("09:00", "12:30"), ("14:00", "18:00")] for day in WEEK[:5]},
        country="FR",
    )
    with timed("a calendar of 50 years is laid out and stored", 1), recording(actor="os:0", at=at, door="cli") as log:
        calendars.publish(office, log=log, at=at)
    targets = tuple(
        TargetDraft(within, severity=Severity[name.upper()].value, calendar="" if within == "2160 hours" else "office")
        for name, within in TARGETS
    )
    with recording(actor="os:0", at=at, door="cli"), connection.cursor() as cursor:
        cursor.execute("UPDATE triage_finding SET clock_from = first_seen, paused_at = NULL WHERE settled_at IS NULL")
    running = Finding.objects.filter(clock_from__isnull=False, settled_at=None)
    ids = list(running.order_by("pk").values_list("pk", flat=True))
    policies.publish(PolicyDraft("default", "Default", targets), actor=me, at=at, applies=Applies.OPEN)

    connection.cursor().execute("VACUUM ANALYZE triage_finding")
    with timed("floor: UPDATE of as many rows, with events", len(ids)), recording(actor="os:0", at=at, door="cli"):
        for start in range(0, len(ids), CHUNK):
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE triage_finding SET due_at = clock_from, changed_at = %s WHERE id = ANY(%s)",
                    [at, ids[start : start + CHUNK]],
                )
    rules = sets.parameters(Targets.load(at))
    with timed("SQL: all dates computed, nothing written", len(ids)):
        for start in range(0, len(ids), CHUNK):
            with connection.cursor() as cursor:
                cursor.execute(sets.COMPARE, {"ids": ids[start : start + CHUNK], "rules": rules, "at": at, "restart": False})
    with timed("SQL: all dates computed and written, with events", len(ids)), recording(actor="os:0", at=at, door="cli"):
        sets.compute(ids, at=at, restart=True)
    with timed("again: nothing differs, nothing is written", len(ids)), recording(actor="os:0", at=at, door="cli"):
        written = sets.compute(ids, at=at)
    right = written == 0

    rows = list(running.select_related("asset", "check_ref").order_by("pk"))
    of = Targets.load(at)
    with timed("Python: the same dates, one after the other", len(rows)):
        dues = [of.strictest("remediate", circumstances(row, of), row.clock_from) for row in rows]
    differ = sum((due.at if due else None) != row.due_at for due, row in zip(dues, rows, strict=True))
    print(f"{'SQL and Python differ':58} {differ:>8} rows")
    right &= differ == 0

    changed = PolicyDraft("default", "Default", (TargetDraft("16 business hours", severity=5, calendar="office"), *targets[1:]))
    touched = sum(row.severity == 5 for row in rows)
    with timed("preview of a change of one severity", len(rows)):
        effect = policies.preview(Plan([changed]), actor=me, at=at)
    with timed("the change applied to running clocks", effect.moved):
        policies.publish(changed, actor=me, at=at, applies=Applies.OPEN)
    print(f"{'rows of that severity, and rows that moved':58} {touched:>8} {effect.moved:>8}")
    right &= effect.moved <= touched

    looked = 0
    begin = time.perf_counter()
    while (n := notices.look(at=at)) > 0:
        looked += n
    print(f"{'worker: all clocks looked at, what is reached told':58} {looked:>8} rows {time.perf_counter() - begin:8.2f} s")
    with timed("report of 90 days", 1):
        reporting.attainment(since=at - timedelta(days=90), until=at, actor=me, at=at)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=200_000)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")
    home = tempfile.mkdtemp(prefix="bench-sla") if not {"DATABASE_URL", "CSPM_HOME"} & os.environ.keys() else None
    if home:
        os.environ["CSPM_HOME"] = home
    prepare(options.findings)
    right = measure()
    if home and not options.keep:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(not right)


if __name__ == "__main__":
    main()
