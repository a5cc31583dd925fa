"""Make the demonstration's reports from real Prowler runs over a simulated AWS account: `python demo/make.py RUNS`.

RUNS is a folder with the outputs of Prowler over a moto server, none of which is needed to run or test the product:

    v546_before.csv            Prowler 5.46, the whole estate
    v546_after_7checks.csv     the same estate after repairs, seven checks only
    v46_before.csv             Prowler 4.6, the whole estate

and SARIF (`--sarif`) is what Semgrep said of a repository of Terraform. What is written, beside this file:

    production-1.csv.gz   the first run, without what was made only later (NEWCOMERS, LATECOMERS)
    production-2.csv.gz   the run with the newcomers; for the seven checks, the rows after the repairs
    production-3.csv.gz   the run with the latecomers too; BROKEN_AGAIN fails as before the repairs, GONE is no longer there, and the
                          check NOT_RUN did not run
    sandbox.csv.gz        the older Prowler's rows of one region, under another account number; no buckets, as their names exist once
    infrastructure.sarif.gz   the SARIF without results that quote access keys

Each row is one that Prowler wrote; nothing is made up but which of them stand together, the sandbox's account number, and that what was
repaired kept its tags (the simulator lost some). The times in them stay as they were: the import moves them
(triage/domain/installation.py).
"""

import argparse
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Row = dict[str, str]

PRODUCTION, SANDBOX = "123456789012", "210987654321"
SANDBOX_REGION = "eu-west-3"
NEWCOMERS = ("arn:aws:s3:::acme-paris-archive", "arn:aws:sqs:eu-west-1:123456789012:order-events")
LATECOMERS = ("arn:aws:ec2:eu-west-3:123456789012:security-group/sg-05934bfb1aee8b55f",)
GONE = (
    "arn:aws:iam::123456789012:user/charlie",
    "arn:aws:rds:eu-west-1:123456789012:snapshot:rds:billing-db-2026-11-21-19-58",
    "arn:aws:rds:eu-west-1:123456789012:snapshot:rds:orders-db-2026-11-21-19-58",
)
NOT_RUN = "kms_cmk_rotation_enabled"
BROKEN_AGAIN = (
    ("s3_bucket_public_access", "arn:aws:s3:::acme-public-assets"),
    ("s3_bucket_level_public_access_block", "arn:aws:s3:::acme-public-assets"),
)


def main() -> None:
    """Write the five files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--sarif", type=Path, required=True)
    given = parser.parse_args()
    before, after = read(given.runs / "v546_before.csv"), read(given.runs / "v546_after_7checks.csv")
    repaired = repair(before, after)
    write("production-1", without(before, assets=NEWCOMERS + LATECOMERS))
    write("production-2", without(repaired, assets=LATECOMERS))
    write("production-3", [row for row in without(break_again(repaired, before), assets=GONE) if row["CHECK_ID"] != NOT_RUN])
    older = [
        row for row in read(given.runs / "v46_before.csv") if row["REGION"] == SANDBOX_REGION and row["SERVICE_NAME"] != "s3"
    ]
    write("sandbox", [{name: value.replace(PRODUCTION, SANDBOX) for name, value in row.items()} for row in older])
    pack("infrastructure.sarif", json.dumps(without_keys(json.loads(given.sarif.read_text()))).encode())


def read(path: Path) -> list[Row]:
    """The rows of a Prowler CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=";"))


def place(row: Row) -> tuple[str, str]:
    """What a row is about: check and asset."""
    return row["CHECK_ID"], row["RESOURCE_UID"]


def repair(before: list[Row], after: list[Row]) -> list[Row]:
    """The run before, with the rows of the run after for the checks that it has. The estate was listed in the same order."""
    checks = {row["CHECK_ID"] for row in after}
    tags = {row["RESOURCE_UID"]: row["RESOURCE_TAGS"] for row in before}
    kept = [{**row, "RESOURCE_TAGS": tags.get(row["RESOURCE_UID"], row["RESOURCE_TAGS"])} for row in after]
    return sorted([row for row in before if row["CHECK_ID"] not in checks] + kept, key=lambda row: row["CHECK_ID"])


def break_again(rows: list[Row], before: list[Row]) -> list[Row]:
    """The rows as they were before, for what is broken again."""
    failing = {place(row): row for row in before if place(row) in BROKEN_AGAIN}
    if len(failing) != len(BROKEN_AGAIN) or any(row["STATUS"] != "FAIL" for row in failing.values()):
        raise SystemExit("What is to be broken again does not fail in the run before.")
    return [failing.get(place(row), row) for row in rows]


def without(rows: Iterable[Row], *, assets: Iterable[str]) -> list[Row]:
    """The rows of everything but these assets."""
    names: Callable[[str], bool] = set(assets).__contains__
    return [row for row in rows if not names(row["RESOURCE_UID"])]


def without_keys(sarif: dict[str, Any]) -> dict[str, Any]:
    """A scanner of secrets that reads this repository should find none: results that quote one are left out."""
    for run in sarif["runs"]:
        run["results"] = [result for result in run["results"] if "aws-key" not in result["ruleId"]]
    return sarif


def write(name: str, rows: list[Row]) -> None:
    """A CSV as Prowler writes it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    pack(f"{name}.csv", text.getvalue().encode())


def pack(name: str, content: bytes) -> None:
    """Compressed, and the same bytes each time."""
    (HERE / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
