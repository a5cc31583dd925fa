"""Small reports, written as the scanners write them."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from django.utils import timezone

from triage.domain import access, ingest
from triage.models import Scan

DAY = datetime(2026, 11, 2, 3, tzinfo=UTC)
ACCOUNT = "123456789012"
COLUMNS = [
    "AUTH_METHOD",
    "TIMESTAMP",
    "ACCOUNT_UID",
    "ACCOUNT_NAME",
    "ACCOUNT_EMAIL",
    "ACCOUNT_ORGANIZATION_UID",
    "ACCOUNT_ORGANIZATION_NAME",
    "ACCOUNT_TAGS",
    "FINDING_UID",
    "PROVIDER",
    "CHECK_ID",
    "CHECK_TITLE",
    "CHECK_TYPE",
    "STATUS",
    "STATUS_EXTENDED",
    "MUTED",
    "SERVICE_NAME",
    "SUBSERVICE_NAME",
    "SEVERITY",
    "RESOURCE_TYPE",
    "RESOURCE_UID",
    "RESOURCE_NAME",
    "RESOURCE_DETAILS",
    "RESOURCE_TAGS",
    "PARTITION",
    "REGION",
    "DESCRIPTION",
    "RISK",
    "RELATED_URL",
    "REMEDIATION_RECOMMENDATION_TEXT",
    "REMEDIATION_RECOMMENDATION_URL",
    "REMEDIATION_CODE_NATIVEIAC",
    "REMEDIATION_CODE_TERRAFORM",
    "REMEDIATION_CODE_CLI",
    "REMEDIATION_CODE_OTHER",
    "COMPLIANCE",
    "CATEGORIES",
    "DEPENDS_ON",
    "RELATED_TO",
    "NOTES",
    "PROWLER_VERSION",
    "ADDITIONAL_URLS",
    "ACCOUNT_OU_UID",
    "ACCOUNT_OU_NAME",
]


def row(
    name: str = "logs",
    status: str = "FAIL",
    *,
    check: str = "s3_bucket_public_access",
    service: str = "s3",
    account: str = ACCOUNT,
    region: str = "eu-west-3",
    severity: str = "high",
    uid: str = "",
    **cells: str,
) -> dict[str, str]:
    """One row of a Prowler CSV; `cells` by column name overrule what follows from the rest."""
    uid = uid or f"arn:aws:{service}:{'' if service == 's3' else region}:{'' if service == 's3' else account}:{name}"
    return {
        "AUTH_METHOD": "profile: default", "ACCOUNT_UID": account, "ACCOUNT_NAME": f"acct-{account[-3:]}", "PROVIDER": "aws",
        "FINDING_UID": f"prowler-aws-{check}-{account}-{region}-{name}", "CHECK_ID": check, "CHECK_TITLE": f"Title of {check}",
        "STATUS": status, "STATUS_EXTENDED": f"{name} says {status}.", "MUTED": "False", "SERVICE_NAME": service, "SEVERITY": severity,
        "RESOURCE_TYPE": "AwsS3Bucket", "RESOURCE_UID": uid, "RESOURCE_NAME": name, "REGION": region, "PARTITION": "aws",
        "DESCRIPTION": f"Description of {check}", "RISK": "Risk", "REMEDIATION_RECOMMENDATION_TEXT": "Mend it.",
        "COMPLIANCE": "CIS-3.0: 2.1.4 | ISO27001-2022: A.8.1", "CATEGORIES": "internet-exposed", **cells,
    }  # fmt: skip


def prowler(rows: Iterable[dict[str, str]], at: datetime = DAY) -> bytes:
    """A Prowler v5 CSV of these rows."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, delimiter=";", restval="")
    writer.writeheader()
    writer.writerows({"TIMESTAMP": at.strftime("%Y-%m-%d %H:%M:%S.%f"), **cells} for cells in rows)
    return file.getvalue().encode()


def sarif(
    results: Iterable[dict], *, repository: str = "", at: datetime = DAY, successful: bool = True, tool: str = "lint"
) -> bytes:
    """A SARIF report. `results`: rule, path, line, snippet, message."""
    run = {
        "tool": {"driver": {"name": tool, "rules": []}},
        "invocations": [{"executionSuccessful": successful, "endTimeUtc": at.isoformat().replace("+00:00", "Z")}],
        "results": [
            {
                "ruleId": result.get("rule", "R1"),
                "level": "warning",
                "message": {"text": result.get("message", "Do not do this.")},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": result["path"]},
                            "region": {
                                "startLine": result.get("line", 1),
                                "snippet": {"text": result.get("snippet", "x = eval(y)")},
                            },
                        }
                    }
                ],
            }
            for result in results
        ],
    }
    if repository:
        run["versionControlProvenance"] = [{"repositoryUri": repository, "branch": "main"}]
    return json.dumps({"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [run]}).encode()


def received(data: bytes, name: str = "report", **declared: object) -> Scan:
    return ingest.receive(stream=io.BytesIO(data), name=name, declared=declared, actor=access.of_machine(0), at=timezone.now())


def imported(data: bytes, name: str = "report", **declared: object) -> Scan:
    """Receive and import; the scan as it ended."""
    return ingest.run(received(data, name, **declared).pk, clock=timezone.now)


def collection(assets: Iterable[dict], checks: Iterable[dict] = (), *, at: datetime = DAY, covered: dict | None = None) -> bytes:
    """A report of `cspm collect`. `covered`: regions by kind; by default all kinds everywhere that the tests use."""
    checks = list(checks)
    scopes = {"iam_role": [""], "s3_bucket": ["eu-west-1", "eu-west-3"]} if covered is None else covered
    head = {
        "format": "cspm-collection/1", "at": at.isoformat(), "provider": "aws", "account": ACCOUNT,
        "kinds": {"iam_role": {"type": "AwsIamRole", "service": "iam"}, "s3_bucket": {"type": "AwsS3Bucket", "service": "s3"}},
        "checks": [{name: value for name, value in check.items() if name != "kind"} for check in checks],
        "covered": [
            {"kind": kind, "regions": regions, "checks": [check["key"] for check in checks if check["kind"] == kind]}
            for kind, regions in scopes.items()
        ],
    }  # fmt: skip
    return b"".join(json.dumps(line).encode() + b"\n" for line in (head, *assets))


def bucket(name: str = "logs", result: str | None = None, *, region: str = "eu-west-3", tags: list | None = (), **facts) -> dict:
    """An asset of a collection. `tags` None: they could not be read."""
    return {
        "kind": "s3_bucket", "uid": f"arn:aws:s3:::{name}", "name": name, "region": region, "facts": facts,
        "tags": None if tags is None else list(tags), "results": {"open_bucket": result} if result else {},
        "messages": {"open_bucket": "public = true"} if result == "fail" else {},
    }  # fmt: skip
