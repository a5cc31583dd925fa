"""Writes a Prowler CSV report of any size, the same for the same arguments, and the truth about it beside it.

    python bench/workload.py ROWS OUT.csv [--day D] [--seed S]

A simulated estate lives day by day: of its failures 4 % are fixed, of its resources 2 % vanish, of what passes 4 % breaks, of what
was fixed 1 % breaks again, and 3 % new rows appear. Order, times and messages change as a scanner's do. OUT.csv.truth.json holds
what an import must say of the last day: rows, open, passed, and new, fixed, gone, regressed since the day before.
"""

import argparse
import csv
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

TEAMS = ("payments", "identity", "data-platform", "mobile", "search", "web", "sre", "ml", "billing", "partners")
REGIONS = ("eu-west-3", "eu-west-1", "eu-central-1", "us-east-1")
TAG_KEYS = ("owner", "Owner", "team", "Team", "CostCenter:owner")
SERVICES = ("s3", "ec2", "iam", "rds", "kms", "lambda", "sqs", "sns", "ecs", "eks", "dynamodb", "cloudtrail", "vpc", "elb")
SEVERITIES = ("critical", "high", "high", "medium", "medium", "medium", "low", "low", "informational")
ACCOUNTS, CHECKS = 50, 600
FAILING = 0.4
DAY_ZERO = datetime(2026, 11, 2, 3, tzinfo=UTC)
HEADER = (
    "AUTH_METHOD TIMESTAMP ACCOUNT_UID ACCOUNT_NAME ACCOUNT_EMAIL ACCOUNT_ORGANIZATION_UID ACCOUNT_ORGANIZATION_NAME ACCOUNT_TAGS"
    " FINDING_UID PROVIDER CHECK_ID CHECK_TITLE CHECK_TYPE STATUS STATUS_EXTENDED MUTED SERVICE_NAME SUBSERVICE_NAME SEVERITY"
    " RESOURCE_TYPE RESOURCE_UID RESOURCE_NAME RESOURCE_DETAILS RESOURCE_TAGS PARTITION REGION DESCRIPTION RISK RELATED_URL"
    " REMEDIATION_RECOMMENDATION_TEXT REMEDIATION_RECOMMENDATION_URL REMEDIATION_CODE_NATIVEIAC REMEDIATION_CODE_TERRAFORM"
    " REMEDIATION_CODE_CLI REMEDIATION_CODE_OTHER COMPLIANCE CATEGORIES DEPENDS_ON RELATED_TO NOTES PROWLER_VERSION ADDITIONAL_URLS"
    " ACCOUNT_OU_UID ACCOUNT_OU_NAME"
).split()
_WORDS = (
    "access the of public encryption key policy resource account logging is enabled should be rotated least privilege network open"
    " **trust** identity and exposure; data `at rest` blast radius without review credentials, lateral movement"
).split()


@dataclass(frozen=True, slots=True)
class Check:
    """`tail`: the cells from DESCRIPTION to the end, the same in all rows of the check."""

    key: str
    title: str
    service: str
    severity: str
    kind: str
    tail: tuple[str, ...]


def checks(seed: str) -> list[Check]:
    """As many checks as Prowler has for AWS, each with some 3 KB of prose, as long and as full of quotes and semicolons as its."""
    rng = random.Random(f"{seed}:checks")

    def prose(size: int) -> str:
        return " ".join(rng.choices(_WORDS, k=size // 7))

    made = []
    for number in range(CHECKS):
        service = SERVICES[number % len(SERVICES)]
        # Of a few checks the title holds what CSV has to quote, and so do their rows.
        title = f"{service} check {number}{'; quoted' if number % 40 == 7 else ''}: {prose(40)}"
        code = f'resource "aws_{service}" "it" {{\n  enabled = true\n}}\n{prose(500)}' if number % 3 else ""
        controls = " | ".join(f"Framework-{n}: {number}.{n}, {number}.{n + 1}" for n in range(12))
        exposing = "internet-exposed" if number % 9 == 0 else "encryption"
        tail = (
            prose(500), prose(500), "https://docs.example.com", prose(400), f"https://hub.example.com/{number}", "", code, prose(150),
            f"1. Open the console\n2. {prose(400)}", controls, exposing, "", "", "", "5.31.0", "", "", "",
        )  # fmt: skip
        made.append(
            Check(f"{service}_check_{number}", title, service, rng.choice(SEVERITIES), f"Aws{service.title()}Thing", tail)
        )
    return made


class Estate:
    """Rows by number; row n is the same check on the same resource for ever. `failing`: None for what is not there (any more)."""

    def __init__(self, rows: int, seed: str) -> None:
        self.seed = seed
        self.checks = checks(seed)
        self.failing: list[bool | None] = []
        self._rows: list[tuple[Check, str, str, str, str]] = []
        self._rng = random.Random(f"{seed}:rows")
        self._seen: set[int] = set()
        self._fixed: set[int] = set()
        self._step = max(1, rows * 3 // 100)
        self.changes = {"new": self._appear(rows), "fixed": 0, "gone": 0, "regressed": 0}

    def live(self, day: int) -> None:
        """What happens on one more day."""
        rng = random.Random(f"{self.seed}:day {day}")
        changes = {"new": 0, "fixed": 0, "gone": 0, "regressed": 0}
        for number, failing in enumerate(self.failing):
            roll = rng.random()
            if failing is None:
                continue
            if roll < 0.02:
                self.failing[number] = None
                changes["gone"] += failing
            elif failing and roll < 0.06:
                self.failing[number] = False
                self._fixed.add(number)
                changes["fixed"] += 1
            elif not failing and roll < (0.03 if number in self._fixed else 0.06):
                self.failing[number] = True
                changes["regressed" if number in self._seen else "new"] += 1
                self._seen.add(number)
        changes["new"] += self._appear(self._step)
        self.changes = changes

    def write(self, out: Path, day: int) -> dict[str, object]:
        """The day's report, in an order of its own; the truth about it."""
        order = [number for number, failing in enumerate(self.failing) if failing is not None]
        random.Random(f"{self.seed}:order {day}").shuffle(order)
        when = (DAY_ZERO + timedelta(days=day)).strftime("%Y-%m-%d %H:%M:%S.%f")
        with out.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(HEADER)
            writer.writerows(self._cells(number, when) for number in order)
        open_now = sum(self.failing[number] is True for number in order)
        return {
            "day": day, "rows": len(order), "open": open_now, "passed": len(order) - open_now, "since_yesterday": self.changes,
        }  # fmt: skip

    def _appear(self, rows: int) -> int:
        rng, new = self._rng, 0
        for _ in range(rows):
            check = rng.choice(self.checks)
            tags = []
            if rng.random() < 0.8:
                tags.append(f"{rng.choice(TAG_KEYS)}={rng.choice(TEAMS)}{rng.choice(('', '@example.com'))}")
            if rng.random() < 0.7:
                tags.append(f"env={rng.choice(('prod', 'staging', 'dev'))}")
            number = len(self._rows)
            name = f"{check.service}-{rng.choice(TEAMS)}-{number:07d}"
            account = f"{100_000_000_000 + rng.randrange(ACCOUNTS)}"
            self._rows.append((check, account, rng.choice(REGIONS), name, " | ".join(tags)))
            failing = rng.random() < FAILING
            self.failing.append(failing)
            if failing:
                self._seen.add(number)
                new += 1
        return new

    def _cells(self, number: int, when: str) -> tuple[str, ...]:
        check, account, region, name, tags = self._rows[number]
        status = "FAIL" if self.failing[number] else "PASS"
        return (
            "profile: default", when, account, f"acct-{account[-3:]}", "", "o-demo", "Demo", "",
            f"prowler-aws-{check.key}-{account}-{region}-{name}", "aws", check.key, check.title, "Software and Configuration Checks",
            status, f"{check.kind} {name} {'violates' if status == 'FAIL' else 'meets'}: {check.title}", "False", check.service, "",
            check.severity, check.kind, f"arn:aws:{check.service}:{region}:{account}:{check.kind}/{name}", name, "", tags, "aws",
            region, *check.tail,
        )  # fmt: skip


def make(rows: int, out: Path, *, day: int = 0, seed: str = "workload") -> dict[str, object]:
    """Write the report of a day and its truth; the truth."""
    estate = Estate(rows, seed)
    for passed in range(day):
        estate.live(passed + 1)
    truth = estate.write(out, day)
    truth_of(out).write_text(json.dumps(truth))
    return truth


def truth_of(report: Path) -> Path:
    return report.with_name(report.name + ".truth.json")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("rows", type=int)
    cli.add_argument("out", type=Path)
    cli.add_argument("--day", type=int, default=0)
    cli.add_argument("--seed", default="workload")
    asked = cli.parse_args()
    print(json.dumps(make(asked.rows, asked.out, day=asked.day, seed=asked.seed)))


if __name__ == "__main__":
    main()
