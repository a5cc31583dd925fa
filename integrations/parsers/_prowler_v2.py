"""What a record of Prowler 2 says, whether it came as CSV or as JSON: no ARN, no tags, often no resource but in its sentence."""

import re
from dataclasses import dataclass
from datetime import datetime

from integrations.parsers import _prowler
from triage.ports import AccountInfo, CheckInfo, Observation, Severity

VERSION = "2"

_bracket = re.compile(r"\s*\[(\w+)\]")
_count = re.compile(
    r"(?<![\w./:@-])(?:\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-][\d:]+)?)?|\d{2,}|\d(?= (?:days?|hours?|minutes?)\b))(?![\w/:@-]|\.\d)"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A record's texts as written. `control`: `[check11] Avoid the use of the root account`. `labels`: the account's tags."""

    account: str
    region: str
    control: str
    status: str
    message: str
    severity: Severity
    service: str
    kind: str
    compliance: str
    risk: str
    remediation: str
    doc: str
    resource: str
    at: datetime | None
    email: str = ""
    name: str = ""
    organization: str = ""
    labels: str = ""


class Observer:
    """Makes observations of records, with one object for equal checks and accounts."""

    def __init__(self) -> None:
        self._checks = _prowler.Interned[CheckInfo]()
        self._accounts = _prowler.Interned[AccountInfo]()

    def __call__(self, record: Record, position: int) -> Observation:
        """Raises ValueError, with the text at fault, if the record names no check or has no status of Prowler's."""
        key, title = check_of(record.control)
        verdict = _prowler.verdict(record.status)
        if not key or verdict is None:
            raise ValueError(record.status if key else record.control)
        about = (key, title, record.service, record.risk, record.remediation, record.doc, record.compliance)
        uid = _prowler.account_uid("aws", record.account)
        account = self._accounts((uid,), lambda: _account(uid, record))
        return Observation(
            position, self._checks(about, lambda: _check(about)), verdict[0], record.severity, account, record.region,
            record.resource or uid, record.resource, record.kind, (), record.message, record.at, verdict[1],
            discriminator="" if record.resource else sentence(record.message, record.region),
        )  # fmt: skip


def check_of(control: str) -> tuple[str, str]:
    """(check, title) of a control's text; the check is '' if it has no bracket. Ids are kept: v3 gave them other meanings."""
    match = _bracket.match(control)
    return (match[1], control[match.end() :].strip()) if match else ("", control.strip())


def sentence(message: str, region: str) -> str:
    """What tells two findings of a check apart that name no resource: the sentence without region, dates and counts.

    Numbers go that stand alone and are no single digit: `729 days` changes daily, `sg-0123` and `access key 2` are names.
    """
    return _count.sub("#", message.strip().removeprefix(f"{region}:").strip())


def _check(texts: tuple[str, ...]) -> CheckInfo:
    key, title, service, risk, remediation, doc, compliance = texts
    # `ens-op.acc.1.aws.iam.3 ens-op.acc.5.aws.iam.4`; the other texts of this column name no framework.
    controls = tuple(("ENS", word.removeprefix("ens-")) for word in compliance.split() if word.startswith("ens-"))
    return CheckInfo(key, title, service, risk=risk, remediation=remediation, remediation_url=doc, controls=controls)


def _account(uid: str, record: Record) -> AccountInfo:
    tags = _prowler.tags_of(record.labels.strip(",").replace(",", " | "), ":")
    return AccountInfo("aws", uid, record.name, record.email, record.organization, tags=tags)
