"""OSCAL assessment results (NIST, model version 1.1.2) of a bundle's population: one finding for each control.

https://pages.nist.gov/OSCAL-Reference/models/v1.1.2/assessment-results/json-reference/
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from triage.domain.bundles.population import Served, Wanted
from triage.domain.rows import written
from triage.models import Check, Checkpoint

VERSION = "1.1.2"
NAMESPACE = uuid.UUID("6f1d8f86-5b0d-4c39-8d0c-0f3b7f1f4a55")  # of our own identifiers: the same content has the same ones
OBSERVED = 2_000  # findings that are written out; population.csv has all of them
CLOSED = ("verified", "accepted", "false_positive", "attested")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._-]+")


def assessment_results(
    rows: Sequence[Mapping[str, str]], served: Mapping[int, Sequence[Served]], *, wanted: Wanted, head: Checkpoint, at: datetime
) -> dict[str, Any]:
    """A control is satisfied when nothing of the population that tests it is open any more."""
    open_rows = [row for row in rows if row["status"] not in CLOSED and row["presence"] != "gone"]
    worst = sorted(rows, key=lambda row: (row["status"] in CLOSED, row["finding"]))[:OBSERVED]
    observations = {row["finding"]: _observation(row) for row in worst}
    result: dict[str, Any] = {
        "uuid": _uuid("result", head.size, wanted),
        "title": "Cloud misconfigurations and their remediation",
        "description": f"{len(rows)} findings of the period, {len(open_rows)} of them open; as of the signed head of {head.size} leaves.",
        "start": written(wanted.since),
        "end": written(wanted.to),
        "reviewed-controls": {"control-selections": [{"include-all": {}}]},
    }
    findings = _findings(rows, served, observations)
    if observations:
        result["observations"] = list(observations.values())
    if findings:
        result["findings"] = findings
    return {
        "assessment-results": {
            "uuid": _uuid("assessment", head.size, wanted),
            "metadata": {
                "title": "Assessment results",
                "last-modified": written(at),
                "version": "1",
                "oscal-version": VERSION,
            },
            "import-ap": {
                "href": "#" + _uuid("plan"),
                "remarks": "Findings are assessed continuously, without a plan of their own.",
            },
            "results": [result],
            "back-matter": {
                "resources": [{"uuid": _uuid("plan"), "title": "Continuous assessment by scanners and by running checks again"}]
            },
        }
    }


def _findings(
    rows: Sequence[Mapping[str, str]], served: Mapping[int, Sequence[Served]], observations: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    checks = {(check.scanner, check.key): check.pk for check in Check.objects.filter(pk__in=list(served)).only("scanner", "key")}
    by_control: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        for control in served.get(checks.get((row["scanner"], row["check"]), 0), ()):
            by_control.setdefault((control.framework, control.reference), []).append(row)
    return [_finding(control, these, observations) for control, these in sorted(by_control.items())]


def _finding(
    control: tuple[str, str], rows: Sequence[Mapping[str, str]], observations: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    left = [row for row in rows if row["status"] not in CLOSED and row["presence"] != "gone"]
    target = _NO_TOKEN.sub("-", "_".join(control))
    found: dict[str, Any] = {
        "uuid": _uuid("control", *control, *(row["finding"] for row in rows)),
        "title": " ".join(control),
        "description": f"{len(rows)} findings, {len(left)} open.",
        "target": {
            "type": "objective-id",
            "target-id": target if target[:1].isalpha() else f"_{target}",
            "status": {"state": "not-satisfied" if left else "satisfied"},
        },
    }
    related = [{"observation-uuid": observations[row["finding"]]["uuid"]} for row in rows if row["finding"] in observations]
    if related:
        found["related-observations"] = related
    return found


def _observation(row: Mapping[str, str]) -> dict[str, Any]:
    props = [
        {"name": name, "ns": "https://cspm-triage.example/oscal", "value": row[column]}
        for name, column in (("severity", "severity"), ("status", "status"), ("due", "due_at"), ("breached", "breached"))
        if row[column]
    ]
    found: dict[str, Any] = {
        "uuid": _uuid("finding", row["finding"], row["detected_at"]),
        "title": f"{row['finding']} {row['title'] or row['check']}",
        "description": f"{row['check']} on {row['asset']}",
        "props": props,
        "methods": ["TEST"],
        "types": ["finding"],
        "collected": row["fixed_at"] or row["detected_at"],
    }
    if row["fixed_evidence"]:
        found["relevant-evidence"] = [
            {"href": f"evidence/{row['fixed_evidence']}", "description": "The answer to the check that was run again."}
        ]
    return found


def _uuid(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(map(str, parts))))
