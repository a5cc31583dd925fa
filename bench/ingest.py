"""What an import costs, against its floor in the same run: CPU of client and server, memory, statements, and whether it is right.

    python bench/ingest.py [ROWS] [--repeat N] [--first CSV] [--again CSV] [--beside CSV] [--floor floor.py] [--json OUT]

Without files it writes its own (`workload.py`): day 0 for the first import, day 1 for the next. Beside each report stands its
truth (REPORT.truth.json). `--beside`: a large report that is in the table before. Each repetition has a new CSPM_HOME with the
embedded PostgreSQL, as installed; floor and import take turns. Counted is `ingest.run` (parse, match, merge, settle); receiving
(hashing, keeping the file as evidence) stands beside it, and the ratio with it. Exits 1 when a count or an owner is wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench import workload
from bench.floor import Spent, cpu_of

TARGETS = {"first": ("load", 3.0), "again": ("parse", 1.6)}
# Every finding whose tag names a team, and how many of them that team does not own.
OWNED = """
SELECT count(*), count(*) FILTER (WHERE owner.slug IS DISTINCT FROM named.slug)
FROM triage_finding f JOIN triage_asset a ON a.id = f.asset_id JOIN triage_tagset t ON t.id = a.tag_set_id
LEFT JOIN triage_team owner ON owner.id = f.team_id
JOIN LATERAL (SELECT split_part(value, '@', 1) AS slug FROM jsonb_each_text(t.folded)
    WHERE key IN ('owner', 'team', 'costcenter:owner')) named ON named.slug = ANY(%s)
"""
# Findings, those with an event each, open ones with a clock, and what the counters say of the open ones.
KEPT = """
SELECT (SELECT count(*) FROM triage_finding),
    (SELECT count(DISTINCT subject_id) FROM triage_event WHERE subject = 'finding' AND kind = 'opened'),
    (SELECT count(*) FROM triage_finding WHERE is_open), (SELECT count(*) FROM triage_finding WHERE is_open AND due_at IS NOT NULL),
    (SELECT sum(n) FROM triage_checkcounter WHERE is_open)
"""


# --- one import, in a process of its own ------------------------------------------------------------------------------------------


def import_one(report: Path) -> dict[str, Any]:
    """Import a report into the database that the environment names, and measure it."""
    begun = Spent()
    import django

    django.setup()
    from django.db import connections
    from django.utils import timezone

    from triage.domain import access, ingest
    from triage.models import Team

    Team.objects.bulk_create([Team(slug=slug, name=slug) for slug in workload.TEAMS], ignore_conflicts=True)
    backends = []
    for name in ("default", "progress"):
        connections[name].ensure_connection()
        backends.append(connections[name].connection.info.backend_pid)
    start, received = begun.cpu(), Spent()
    scan = ingest.receive(stream=report, name=report.name, declared={}, actor=access.of_machine(0), at=timezone.now())
    receiving = received.cpu()
    own, others, spent = sum(map(cpu_of, backends)), _other_cpu(backends), Spent()
    with _counted() as statements:
        scan = ingest.run(scan.pk, clock=timezone.now)
    with connections["default"].cursor() as cursor:
        measured = {
            "client": spent.cpu(), "server": sum(map(cpu_of, backends)) - own, "other": _other_cpu(backends) - others,
            "wall": spent.wall(), "start": start, "receive": receiving, "statements": statements[0], "mb": _peak_mb(),
        }  # fmt: skip
        cursor.execute(OWNED, [list(workload.TEAMS)])
        tagged, astray = cursor.fetchone()
        cursor.execute(KEPT)
        kept = cursor.fetchone()
    return {
        **measured,
        "state": scan.state,
        "counts": scan.counts,
        "tagged": tagged,
        "astray": astray,
        "kept": [int(n) for n in kept],
    }


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Counts what is sent to the server, COPY and Django's own included."""
    import psycopg

    count, execute, copy = [0], psycopg.Cursor.execute, psycopg.Cursor.copy

    def counted(call: Any) -> Any:
        def one(*args: Any, **options: Any) -> Any:
            count[0] += 1
            return call(*args, **options)

        return one

    psycopg.Cursor.execute, psycopg.Cursor.copy = counted(execute), counted(copy)  # type: ignore[method-assign]
    try:
        yield count
    finally:
        psycopg.Cursor.execute, psycopg.Cursor.copy = execute, copy  # type: ignore[method-assign]


def _other_cpu(backends: list[int]) -> float:
    """CPU seconds of the same server's other processes: checkpointer, writers, autovacuum as far as it is still there."""
    postmaster = _parent(backends[0])
    return sum(cpu_of(pid) for pid, parent in _parents() if parent == postmaster and pid not in backends)


def _peak_mb() -> int:
    """The largest that this process and those that it started have been, each by itself, without PostgreSQL."""
    family = {os.getpid()}
    while more := {pid for pid, parent in _parents() if parent in family} - family:
        family |= more
    return sum(_high_water(pid) for pid in family) // 1024


def _high_water(pid: int) -> int:
    try:
        said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0  # it has ended
    return 0 if said["Name"].strip() == "postgres" else int(said.get("VmHWM", "0").split()[0])


def _parents() -> list[tuple[int, int]]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, _parent(pid)) for pid in pids]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


# --- the run ----------------------------------------------------------------------------------------------------------------------


class Installation:
    """A new CSPM_HOME with a migrated, empty database, whose server runs until it is closed."""

    def __init__(self, folder: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "CSPM_"))}
        self.environment = {**plain, "CSPM_HOME": folder, "DJANGO_SETTINGS_MODULE": "cspm.settings", "PYTHONPATH": str(ROOT)}
        migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "--skip-checks", "--verbosity", "0"]
        subprocess.run(migrate, env={**self.environment, "CSPM_DB_ROLE": "owner"}, check=True)
        # The first process starts the server and the last one stops it: this one lives as long as the installation.
        hold = (
            "import django; django.setup(); from django.db import connection; connection.ensure_connection();"
            " print(flush=True); input()"
        )
        self._holder = subprocess.Popen(
            [sys.executable, "-c", hold], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._holder.stdout.readline()  # type: ignore[union-attr]

    def run(self, report: Path) -> dict[str, Any]:
        command = [sys.executable, str(Path(__file__)), "--one", str(report)]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    def close(self) -> None:
        self._holder.communicate(b"\n")


def floor_of(floor: Path, mode: str, report: Path) -> float:
    command = [sys.executable, str(floor), mode, str(report)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu"])


def turn(asked: argparse.Namespace, folder: str) -> list[dict[str, Any]]:
    """One repetition: floor and import of each report in turn."""
    installation = Installation(folder)
    results = []
    try:
        if asked.beside:
            installation.run(asked.beside)
        for name, report in (("first", asked.first), ("again", asked.again)):
            mode, target = TARGETS[name]
            floor = floor_of(asked.floor, mode, report)
            result = installation.run(report)
            cpu = result["client"] + result["server"]
            result |= {
                "import": name, "floor": floor, "ratio": cpu / floor, "with_receiving": (cpu + result["receive"]) / floor,
                "target": target, "wrong": wrong(result, json.loads(workload.truth_of(report).read_text()), beside=bool(asked.beside)),
            }  # fmt: skip
            results.append(result)
            print(line_of(result), flush=True)
    finally:
        installation.close()
    return results


def wrong(result: dict[str, Any], truth: dict[str, Any], *, beside: bool) -> list[str]:
    """What does not equal the truth. A finding that the truth calls gone is unreported here: absence is no proof."""
    counts, since = result["counts"], truth["since_yesterday"]
    expected = {
        "rows": truth["rows"], "fail": truth["open"], "passed": truth["passed"], "new": since["new"], "fixed": since["fixed"],
        "unreported": since["gone"], "regressed": since["regressed"], "open": truth["open"],
    }  # fmt: skip
    said = [f"{name} {counts[name]}, not {value}" for name, value in expected.items() if counts[name] != value]
    findings, opened, to_fix, due, counted = result["kept"]
    if result["astray"] or not result["tagged"]:
        said.append(f"{result['astray']} of {result['tagged']} tagged findings have another owner")
    if findings != opened or to_fix != counted or (due == 0 and to_fix):
        said.append(f"{findings} findings, {opened} events, {to_fix} open, {due} with a clock, {counted} counted")
    if not beside and since["gone"] == 0 and findings != since["new"]:
        said.append(f"{findings} findings are kept")
    return said


HEAD = "import   client  server   other   floor   ratio (target)  +receive  receive  start    wall  peak MB  statements  counts"


def line_of(result: dict[str, Any]) -> str:
    return (
        f"{result['import']:6} {result['client']:8.2f}{result['server']:8.2f}{result['other']:8.2f}{result['floor']:8.2f}"
        f"{result['ratio']:8.2f} ({result['target']:.1f})   {result['with_receiving']:9.2f}{result['receive']:9.2f}"
        f"{result['start']:7.2f}{result['wall']:8.1f}{result['mb']:9d}{result['statements']:12d}  {'; '.join(result['wrong']) or 'right'}"
    )


def main() -> int:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = ROOT.parent / "shared" / "bench" / "floor.py"
    cli.add_argument("rows", type=int, nargs="?", default=100_000)
    cli.add_argument("--repeat", type=int, default=3)
    for name in ("first", "again", "beside", "json", "one"):
        cli.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS if name == "one" else None)
    cli.add_argument("--floor", type=Path, default=shared if shared.exists() else ROOT / "bench" / "floor.py")
    asked = cli.parse_args()
    if asked.one:
        print(json.dumps(import_one(asked.one)))
        return 0
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        Path(folder).chmod(0o755)  # under root, PostgreSQL runs as a user of its own who has to get in
        for day, name in enumerate(("first", "again")):
            if getattr(asked, name) is None:
                setattr(asked, name, Path(folder) / f"day{day}.csv")
                workload.make(asked.rows, getattr(asked, name), day=day)
        print(f"floor: {asked.floor}\n{HEAD}", flush=True)
        for number in range(asked.repeat):
            home = Path(folder) / f"home{number}"
            home.mkdir(mode=0o755)
            results += turn(asked, str(home))
    for name in TARGETS:
        ratios = [result["ratio"] for result in results if result["import"] == name]
        print(f"{name}: median {median(ratios):.2f} × the floor, best {min(ratios):.2f}, worst {max(ratios):.2f}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1))
    return 1 if any(result["wrong"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
