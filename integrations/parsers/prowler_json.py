"""Prowler's own JSON, before it wrote OCSF: a list of records in v3, one object a line in v2."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO

import msgspec
from django.utils.translation import gettext_noop as _

from integrations.parsers import _json, _prowler, _prowler_v2
from integrations.parsers._json import NULL, read
from triage.ports import AccountInfo, CheckInfo, Observation, ParseOptions, Run, Severity, Skipped, Text, UnreadableReport

LABEL = "Prowler JSON (v2, v3)"

HEAD_SIZE = 64 << 10

EMPTY = _("The report is an empty list. Prowler writes that when no check ran, so it says nothing about what was fixed.")
NOTHING_READ = _("None of the report's records could be read, so it says nothing about what was fixed.")
NOT_PROWLER = _("The document is not Prowler's own JSON (v2 or v3): its first record has neither CheckID nor Control.")
NO_CHECK = _("Record %(record)s names no check. It was left out.")
NO_STATUS = _("Record %(record)s has the status “%(word)s”, which Prowler does not use. It was left out.")
NO_SEVERITY = _("Record %(record)s has the severity “%(word)s”, which Prowler does not use; such records were read as medium.")
NO_TIME = _("Record %(record)s has the time “%(word)s”, which is not ISO 8601 nor a Unix time; such records have no time.")

Tags = tuple[tuple[str, str], ...]


class Organization(msgspec.Struct):
    account_details_email: str | None = None
    account_details_name: str | None = None
    account_details_org: str | None = None
    account_details_tags: str | None = None


class Recommendation(msgspec.Struct, rename="pascal"):
    text: str | None = None
    url: str | None = None


class Code(msgspec.Struct):
    cli: str | None = msgspec.field(default=None, name="CLI")
    terraform: str | None = msgspec.field(default=None, name="Terraform")
    other: str | None = msgspec.field(default=None, name="Other")
    native: str | None = msgspec.field(default=None, name="NativeIaC")


class Remediation(msgspec.Struct, rename="pascal"):
    code: Code = msgspec.field(default_factory=Code)
    recommendation: Recommendation = msgspec.field(default_factory=Recommendation)


class Finding(msgspec.Struct, rename="pascal"):
    """A v3 record. Of what explains it, the bytes are kept: they are the same in all records of its check."""

    assessment_start_time: str | int | None = None
    finding_unique_id: str | None = None
    provider: str | None = None
    check_id: str | None = msgspec.field(default=None, name="CheckID")
    check_title: str | None = None
    service_name: str | None = None
    status: str | None = None
    status_extended: str | None = None
    severity: str | None = None
    resource_type: str | None = None
    description: str | None = None
    risk: str | None = None
    related_url: str | None = None
    remediation: msgspec.Raw = NULL
    compliance: msgspec.Raw = NULL
    categories: msgspec.Raw = NULL
    account_id: str | int | None = None
    subscription: str | None = None
    project_id: str | None = None
    tenant_domain: str | None = msgspec.field(default=None, name="Tenant_Domain")
    organizations_info: msgspec.Raw = NULL
    region: str | None = None
    location: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    resource_arn: str | None = None
    resource_tags: msgspec.Raw = NULL


class OldFinding(msgspec.Struct):
    """A v2 record."""

    account: str | int | None = msgspec.field(default=None, name="Account Number")
    control: str | None = msgspec.field(default=None, name="Control")
    message: str | None = msgspec.field(default=None, name="Message")
    severity: str | None = msgspec.field(default=None, name="Severity")
    status: str | None = msgspec.field(default=None, name="Status")
    region: str | None = msgspec.field(default=None, name="Region")
    timestamp: str | int | None = msgspec.field(default=None, name="Timestamp")
    compliance: str | None = msgspec.field(default=None, name="Compliance")
    service: str | None = msgspec.field(default=None, name="Service")
    risk: str | None = msgspec.field(default=None, name="Risk")
    remediation: str | None = msgspec.field(default=None, name="Remediation")
    doc: str | None = msgspec.field(default=None, name="Doc link")
    resource: str | None = msgspec.field(default=None, name="Resource ID")


def sniff(head: bytes) -> str | None:
    """The generation's name when the first record is one of Prowler's own. An empty list is not claimed: OCSF has it."""
    facts = _json.outline(head)
    if facts.get("") is dict and "Account Number" in facts and "Control" in facts:
        return "Prowler JSON v2"
    return "Prowler JSON v3" if "[].CheckID" in facts and "[].Status" in facts else None


def parse(stream: BinaryIO, options: ParseOptions) -> Iterator[Run | Observation | Skipped]:
    """Yield a Run, then an Observation or a Skipped for each record."""
    head = stream.read(HEAD_SIZE)
    stream.seek(-len(head), 1)
    generation = sniff(head)
    if generation is None and _json.outline(head) != {"": list}:
        raise UnreadableReport(NOT_PROWLER)
    notes = _Notes()
    version = _prowler_v2.VERSION if generation == "Prowler JSON v2" else "3"
    rows = _old_rows(stream, options, notes) if version == _prowler_v2.VERSION else _rows(stream, options, notes)
    unread = False
    for row in rows:
        if isinstance(row, Observation):
            yield Run(_prowler.SCANNER, "cloud", version=version, at=row.seen_at)
            yield row
            yield from rows
            return
        unread = unread or row.lost
        yield row
    because = Text(NOTHING_READ if unread else EMPTY)
    yield Run(_prowler.SCANNER, "cloud", version=version, conclusive=False, inconclusive_because=because)


class _Notes:
    """What was mended, each kind once a report."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[Skipped] = []

    def severity(self, word: str | None, position: int) -> Severity:
        """Medium for a word that Prowler does not use."""
        severity = _prowler.severity(word or "")
        if severity is None:
            self._add(NO_SEVERITY, word or "", position, "Severity")
        return severity or Severity.MEDIUM

    def time(self, value: str | int | None, options: ParseOptions, position: int, field: str) -> datetime | None:
        """None for what is no time."""
        text = "" if value is None else str(value)
        time = _prowler.time_of(text, options.zone)
        if time is None and text:
            self._add(NO_TIME, text, position, field)
        return time

    def take(self) -> list[Skipped]:
        """What is new since the last call."""
        taken, self._new = self._new, []
        return taken

    def _add(self, message: str, word: str, position: int, field: str) -> None:
        if message not in self._known:
            self._known.add(message)
            self._new.append(
                Skipped(position, Text(message, {"record": position + 1, "word": word[:40]}), field=field, lost=False)
            )


# --- v3 -----------------------------------------------------------------------------------------------------------------------


def _rows(stream: BinaryIO, options: ParseOptions, notes: _Notes) -> Iterator[Observation | Skipped]:
    checks: _prowler.Interned[CheckInfo] = _prowler.Interned()
    accounts: _prowler.Interned[AccountInfo] = _prowler.Interned()
    tags: _prowler.Interned[Tags] = _prowler.Interned()
    for position, record in _json.records(stream, Finding):
        if isinstance(record, Skipped):
            yield record
            continue
        verdict = _prowler.verdict(record.status or "")
        if not record.check_id:
            yield Skipped(position, Text(NO_CHECK, {"record": position + 1}), field="CheckID")
        elif verdict is None:
            text = Text(NO_STATUS, {"record": position + 1, "word": (record.status or "")[:40]})
            yield Skipped(position, text, field="Status")
        else:
            account = _account(record, options, accounts)
            asset = record.resource_arn or record.resource_id or record.resource_name or ""
            name = record.resource_name or record.resource_id or ""
            row = Observation(
                position, _check(record, checks), verdict[0], notes.severity(record.severity, position), account,
                _prowler.region_of(record.region or record.location or ""), asset, name, record.resource_type or "",
                tags((bytes(record.resource_tags),), _tags_maker(record.resource_tags)), record.status_extended or "",
                notes.time(record.assessment_start_time, options, position, "AssessmentStartTime"), verdict[1],
                _prowler.clean_alias(record.finding_unique_id or ""), "", _prowler.is_stand_in(asset, name, account.uid),
            )  # fmt: skip
            yield from notes.take()
            yield row


def _account(record: Finding, options: ParseOptions, accounts: _prowler.Interned[AccountInfo]) -> AccountInfo:
    provider = (record.provider or "aws").strip().lower()
    raw = record.account_id if record.account_id is not None else record.subscription or record.project_id or options.account
    uid = _prowler.account_uid(provider, str(raw) or options.account)

    def make() -> AccountInfo:
        details = read(record.organizations_info, Organization, Organization())
        labels = (details.account_details_tags or "").strip(",").replace(",", " | ")
        return AccountInfo(
            provider, uid, details.account_details_name or "", details.account_details_email or "",
            details.account_details_org or record.tenant_domain or "", tags=_prowler.tags_of(labels, ":"),
        )  # fmt: skip

    return accounts((provider, uid), make)


def _check(record: Finding, checks: _prowler.Interned[CheckInfo]) -> CheckInfo:
    key, title, service = record.check_id or "", record.check_title or "", record.service_name or ""
    description, risk, related = record.description or "", record.risk or "", record.related_url or ""
    raws = (bytes(record.remediation), bytes(record.compliance), bytes(record.categories))

    def make() -> CheckInfo:
        remediation = read(record.remediation, Remediation, Remediation())
        code, advice = remediation.code, remediation.recommendation
        categories = tuple(read(record.categories, list[str], []))
        return CheckInfo(
            key, title, service, description, risk, advice.text or "", advice.url or "", code.cli or "", code.terraform or "",
            remediation_other="\n\n".join(filter(None, (code.other, code.native))),
            categories=categories,
            controls=_prowler.controls_of(read(record.compliance, dict[str, list[str]], {})),
            references=(related,) if related else (),
            exposes="internet-exposed" in categories,
        )  # fmt: skip

    return checks((key, title, service, description, risk, related, *raws), make)


def _tags_maker(raw: msgspec.Raw) -> Callable[[], Tags]:
    """What makes the tags of a dict, or of the list of `{"Key": …, "Value": …}` or `{key: value}` of early v3."""

    def make() -> Tags:
        plain = read(raw, dict[str, str | None], {})
        if plain:
            return _prowler.rejoin_tags((key, value or "") for key, value in plain.items())
        pairs: list[tuple[str, str]] = []
        for tag in read(raw, list[dict[str, str | None]], []):
            if tag.keys() >= {"Key", "Value"}:
                pairs.append((tag["Key"] or "", tag["Value"] or ""))
            else:
                pairs += [(key, value or "") for key, value in tag.items()]
        return _prowler.rejoin_tags(pairs)

    return make


# --- v2 -----------------------------------------------------------------------------------------------------------------------


def _old_rows(stream: BinaryIO, options: ParseOptions, notes: _Notes) -> Iterator[Observation | Skipped]:
    observer = _prowler_v2.Observer()
    for position, record in _json.records(stream, OldFinding):
        if isinstance(record, Skipped):
            yield record
            continue
        control = record.control or ""
        old = _prowler_v2.Record(
            account=str(record.account or options.account),
            region=record.region or "",
            control=control,
            status=record.status or "",
            message=record.message or "",
            severity=notes.severity(record.severity, position),
            service=record.service or "",
            kind="",
            compliance=record.compliance or "",
            risk=record.risk or "",
            remediation=record.remediation or "",
            doc=record.doc or "",
            resource=record.resource or "",
            at=notes.time(record.timestamp, options, position, "Timestamp"),
        )
        yield from notes.take()
        try:
            yield observer(old, position)
        except ValueError as error:
            fault, field = (NO_STATUS, "Status") if _prowler_v2.check_of(control)[0] else (NO_CHECK, "Control")
            yield Skipped(position, Text(fault, {"record": position + 1, "word": str(error)[:40]}), field=field)
