"""OCSF findings: Prowler's of v3 (Security Finding), v4 and v5 (Detection Finding), and those of any other producer.

Prowler's records are read into the same words as its CSV has, so that one estate has the same findings in either.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, BinaryIO

import msgspec
from django.utils.translation import gettext_noop as _

from integrations.parsers import _cloud, _json, _prowler
from integrations.parsers._json import NULL, read
from integrations.parsers._ocsf import (
    CLASSES,
    COMPLIANCE,
    SECURITY,
    VULNERABILITY,
    Account,
    Cloud,
    Data,
    Event,
    FindingInfo,
    Metadata,
    Moment,
    Organization,
    Origin,
    Owner,
    Pair,
    Remediation,
    Resource,
    Unmapped,
    Vulnerability,
)
from triage.ports import (
    AccountInfo,
    CheckInfo,
    Observation,
    ParseOptions,
    Run,
    Severity,
    Skipped,
    Text,
    UnreadableReport,
    Verdict,
)

LABEL = "OCSF"

WRAPPERS = ("findings", "Findings", "events", "records", "Records", "items", "detail.findings")

COMPLIANCE_REPORT = _(
    "This is a Prowler compliance report (output/compliance/…): it repeats each finding once for every requirement of a "
    "framework. Import the findings of the same run instead: output/prowler-output-*.ocsf.json."
)
NOT_A_FINDING = _("The record is of OCSF class “%(word)s”, which is not a finding. It was left out.")
NO_CHECK = _("The record does not say which check it is of. It was left out.")
NO_STATUS = _("The record has the status “%(word)s”, which Prowler does not use. It was left out.")
NO_ACCOUNT = _(
    "The record names no account, subscription or cluster. It was left out; state the account when you import the report."
)
NO_RESOURCE = _("The record names no resource. It was left out.")
NO_SEVERITY = _("The record has the severity “%(word)s”, which OCSF does not know; it was read as medium.")
ARCHIVED = _("The record was archived or deleted at its source without having passed: neither open nor fixed. It was left out.")

_PROWLER_UID = re.compile(r"prowler-([a-z0-9]+)-([A-Za-z0-9_]+)-(.*)", re.DOTALL)
_CONTROL_ID = re.compile(r"[A-Za-z][A-Za-z0-9]*\.\d+")
_COMMAND = re.compile(r"(?:aws|az|gcloud|gsutil|kubectl|gh|oci)\s|--\w")
_TERRAFORM = re.compile(r'\bresource\s+"|```(?:hcl|terraform|tf)\b')
# Keys that AWS gives have colons in them; in all others the first colon ends the key.
_RESERVED_KEY = re.compile(r"(aws:createdBy|aws:[a-z0-9]+:[A-Za-z-]+):")
_TWO_COLONS = re.compile(rb'"[^":]*:[^":]*:')


_SEVERITIES = {
    1: Severity.INFORMATIONAL,
    2: Severity.LOW,
    3: Severity.MEDIUM,
    4: Severity.HIGH,
    5: Severity.CRITICAL,
    6: Severity.CRITICAL,  # Fatal
}
_V3_VERDICTS = {
    "Success": (Verdict.PASS, False),
    "Failure": (Verdict.FAIL, False),
    "Other": (Verdict.FAIL, True),  # allow-listed
    "Unknown": (Verdict.MANUAL, False),
}
_COMPLIANCE_VERDICTS = {1: Verdict.PASS, 2: Verdict.MANUAL, 3: Verdict.FAIL}
_VERDICT_WORDS = {
    "pass": Verdict.PASS,
    "passed": Verdict.PASS,
    "compliant": Verdict.PASS,
    "success": Verdict.PASS,
    "fail": Verdict.FAIL,
    "failed": Verdict.FAIL,
    "non_compliant": Verdict.FAIL,
    "failure": Verdict.FAIL,
    "warning": Verdict.MANUAL,
    "manual": Verdict.MANUAL,
    "not_available": Verdict.MANUAL,
}
_SUPPRESSED, _RESOLVED, _ARCHIVED, _DELETED = 3, 4, 5, 6
_CLOSE = 3

Tags = tuple[tuple[str, str], ...]

_NO_INFO, _NO_RESOURCE, _NO_CLOUD = FindingInfo(), Resource(), Cloud()


def sniff(head: bytes) -> str | None:
    """The format's name for OCSF findings and for an empty list. Raises UnreadableReport for Prowler's compliance reports."""
    facts = _json.outline(head)
    if facts == {"": list} and _json.head_text(head).split() in ([], ["[]"], ["[", "]"]):
        return "JSON, an empty list"
    for place in ("[]", "", *(f"{path}[]" for path in WRAPPERS)):
        dot = f"{place}." if place else ""
        product = facts.get(f"{dot}metadata.product.name") or facts.get(f"{dot}metadata.product.vendor_name")
        kind = facts.get(f"{dot}class_uid")
        if not isinstance(product, str) or not (kind in CLASSES or f"{dot}finding_info" in facts or f"{dot}finding" in facts):
            continue
        if product != "Prowler":
            return f"OCSF {CLASSES.get(kind, 'finding')} ({product})"  # type: ignore[arg-type]
        if kind == COMPLIANCE:
            raise UnreadableReport(COMPLIANCE_REPORT)
        major = str(facts.get(f"{dot}metadata.product.version", "")).split(".")[0]
        return f"Prowler OCSF v{major}" if major.isdecimal() else "Prowler OCSF"
    return None


def parse(stream: BinaryIO, options: ParseOptions) -> Iterator[Run | Observation | Skipped]:
    """Yield a Run and then an Observation or a Skipped for each record; once for each product that wrote into the report.

    A vulnerability finding gives an Observation for each vulnerability that it names, all with the record's position.
    """
    reports = _cloud.Reports(
        wrappers=WRAPPERS,
        record=Event,
        origin=Origin,
        scanner=_scanner,
        version=_version,
        can_pass=_can_pass,
        time=lambda event: _seen_at(event, options),
        reject=_not_a_finding,
        reader=lambda scanner: (_Prowler(options) if scanner == _prowler.SCANNER else _AnyProduct(options)).observe,
    )
    return _cloud.runs(stream, reports)


def _scanner(event: Event | Origin) -> str:
    if event.class_uid not in CLASSES:
        return ""
    product = event.metadata.product if event.metadata else None
    return _cloud.slug((product.name or product.vendor_name or "") if product else "") or "ocsf"


def _version(event: Event) -> str:
    product = event.metadata.product if event.metadata else None
    return str(product.version or "") if product else ""


def _can_pass(event: Event | Origin) -> bool:
    return event.class_uid in (SECURITY, COMPLIANCE) or (event.status_code or "").lower() in _VERDICT_WORDS


def _seen_at(event: Event | Origin, options: ParseOptions) -> datetime | None:
    times = (_cloud.time_of(value, options.zone) for value in (event.time, event.time_dt, event.event_time))
    return next(filter(None, times), None)


def _not_a_finding(position: int, event: Event) -> Skipped:
    return Skipped(position, Text(NOT_A_FINDING, {"word": str(event.class_uid)}), field="class_uid")


# --- what all producers share -------------------------------------------------------------------------------------------------


class _Reader:
    """Turns records into observations; keeps one object for each check, account and set of tags."""

    def __init__(self, options: ParseOptions) -> None:
        self.options = options
        self.checks = _cloud.Checks()
        self.accounts: dict[tuple[str, str], AccountInfo] = {}
        self._tags: _prowler.Interned[Tags] = _prowler.Interned()
        self._last_time: tuple[tuple[Moment, ...], datetime | None] = ((), None)

    def observe(self, position: int, event: Event) -> tuple[_cloud.Outcome, ...]:
        raise NotImplementedError

    def account(self, provider: str, uid: str, cloud: Cloud) -> AccountInfo:
        known = self.accounts.get((provider, uid))
        if known is None:
            account, org = cloud.account or Account(), cloud.org or Organization()
            known = self.accounts[(provider, uid)] = AccountInfo(
                provider,
                uid,
                name=_prowler.account_name(account.name or ""),
                organization=org.name or org.uid or "",
                unit=org.ou_name or org.ou_uid or "",
                tags=_prowler.rejoin_tags(_pairs(read(account.labels, list[str | Pair], []), NULL)),
            )
        return known

    def tags(self, resource: Resource) -> Tags:
        """The resource's tags, from `labels` (texts or pairs) and from `tags` (pairs)."""
        labels = bytes(resource.labels)
        decides = bytes(resource.data) if _TWO_COLONS.search(labels) else b""
        return self._tags((labels, bytes(resource.tags), decides), lambda: _tags(resource))

    def seen_at(self, event: Event) -> datetime | None:
        value = (event.time, event.time_dt, event.event_time)
        if value != self._last_time[0]:
            self._last_time = value, _seen_at(event, self.options)
        return self._last_time[1]


def _tags(resource: Resource) -> Tags:
    labels = read(resource.labels, list[str | Pair], []) + read(resource.tags, list[str | Pair], [])
    return _prowler.rejoin_tags(_pairs(labels, resource.data))


def _pairs(labels: list[str | Pair], data: msgspec.Raw) -> Iterator[tuple[str, str]]:
    """The pairs of `Owner:alice`, of `{"Key": "Owner", "Value": "alice"}` and of `{"name": "Owner", "value": "alice"}`."""
    keys: list[str] | None = None
    for label in labels:
        if isinstance(label, Pair):
            yield label.Key or label.TagKey or label.name or "", label.Value or label.TagValue or label.value or ""
            continue
        key, _colon, value = label.partition(":")
        if ":" in value:
            keys = _keys(data) if keys is None else keys
            key = next((known for known in keys if label.startswith(f"{known}:")), None) or _first_key(label)
            value = label[len(key) + 1 :]
        yield key, value


def _first_key(label: str) -> str:
    reserved = _RESERVED_KEY.match(label)
    return reserved[1] if reserved else label.partition(":")[0]


def _keys(data: msgspec.Raw) -> list[str]:
    """The keys of the tags in Prowler's copy of the resource, the longest first: where a label has several colons they decide."""
    metadata = read(data, Data, Data()).metadata or {}
    tags = read(metadata.get("tags", metadata.get("Tags", NULL)), object, None)
    keys: set[str] = set()
    for tag in tags if isinstance(tags, list) else [tags]:
        if isinstance(tag, dict):
            keys |= {tag["Key"]} if isinstance(tag.get("Key"), str) else tag.keys()
    return sorted(keys, key=len, reverse=True)


def _severity(word: str | None, number: int | None) -> Severity | None:
    return _prowler.severity(word or "") or _SEVERITIES.get(number or 0)


def _read_severity(position: int, event: Event) -> tuple[Severity, tuple[Skipped, ...]]:
    severity = _severity(event.severity, event.severity_id)
    if severity is not None:
        return severity, ()
    word = event.severity or str(event.severity_id)
    return Severity.MEDIUM, (Skipped(position, Text(NO_SEVERITY, {"word": word}), field="severity", lost=False),)


def _lost(position: int, message: str, field: str, word: str = "") -> tuple[Skipped]:
    return (Skipped(position, Text(message, {"word": word} if word else {}), field=field),)


def _fixes(references: list[str]) -> dict[str, Any]:
    """Where the references of a remediation belong. Until 5.12 Prowler put code among them; the recommendation's URL is last."""
    urls = [text for text in references if text.startswith(("http://", "https://"))]
    code = [text for text in references if text not in urls]
    commands = [text for text in code if _COMMAND.match(text)]
    terraform = [text for text in code if text not in commands and _TERRAFORM.search(text)]
    return {
        "remediation_url": urls[-1] if urls else "",
        "remediation_cli": "\n".join(commands),
        "remediation_terraform": "\n".join(terraform),
        "remediation_other": "\n".join(text for text in code if text not in commands and text not in terraform),
        "references": tuple(dict.fromkeys(urls[:-1])),
    }


# --- Prowler ------------------------------------------------------------------------------------------------------------------


class _Prowler(_Reader):
    """Prowler's records of v3, v4 and v5."""

    def observe(self, position: int, event: Event) -> tuple[_cloud.Outcome, ...]:
        if event.class_uid == COMPLIANCE:
            raise UnreadableReport(COMPLIANCE_REPORT)
        info = event.finding_info or event.finding or _NO_INFO
        resource = event.resources[0] if event.resources else _NO_RESOURCE
        cloud = (event.cloud.cloud or event.cloud) if event.cloud else _NO_CLOUD
        key = _event_code(event.metadata) or _part_of_uid(info, 2)
        if not key:
            return _lost(position, NO_CHECK, "metadata.event_code")
        verdict = _prowler_verdict(event)
        if verdict is None:
            return _lost(position, NO_STATUS, "status_code", event.status_code or event.status or "-")
        severity, notes = _read_severity(position, event)
        asset, name = resource.uid or resource.name or "", resource.name or ""
        if not asset:
            return _lost(position, NO_RESOURCE, "resources")
        account = self._home(event, info, cloud, resource)
        if account is None:
            return _lost(position, NO_ACCOUNT, "cloud.account.uid")
        observation = Observation(
            position=position,
            check=self.checks(key, lambda: _prowler_check(key, event, info, resource)),
            verdict=verdict[0],
            severity=severity,
            account=account,
            region=_prowler.region_of(resource.region or cloud.region or resource.namespace or ""),
            asset=asset,
            asset_name=name,
            asset_type=resource.type or "",
            tags=self._old_tags(resource) if _has_old_tags(_version(event)) else self.tags(resource),
            message=event.status_detail or event.message or "",
            seen_at=self.seen_at(event),
            muted=verdict[1],
            alias=_prowler.clean_alias(info.uid or ""),
            stand_in=_prowler.is_stand_in(asset, name, account.uid),
        )
        return (*notes, observation) if notes else (observation,)

    def _home(self, event: Event, info: FindingInfo, cloud: Cloud, resource: Resource) -> AccountInfo | None:
        """The account. Kubernetes' records have no `cloud`: the cluster is in `unmapped`, before 5.19 in the uid alone."""
        provider, uid = cloud.provider or "", str(cloud.account.uid or "") if cloud.account else ""
        if not provider or not uid:
            unmapped = read(event.unmapped, Unmapped, Unmapped())
            provider = provider or unmapped.provider or _part_of_uid(info, 1) or ("kubernetes" if resource.namespace else "aws")
            uid = uid or cloud.project_uid or unmapped.provider_uid or _cluster(info, resource) or self.options.account
        if not uid:
            return None
        return self.account(provider, _prowler.account_uid(provider, uid), cloud)

    def _old_tags(self, resource: Resource) -> Tags:
        """4.0 to 4.3 wrote the CSV's text, split at its commas."""
        return _prowler.tags_of(",".join(read(resource.labels, list[str], [])))


def _prowler_check(key: str, event: Event, info: FindingInfo, resource: Resource) -> CheckInfo:
    unmapped = read(event.unmapped, Unmapped, Unmapped())
    remediation = read(info.remediation if event.class_uid == SECURITY else event.remediation, Remediation, Remediation())
    fixes = _fixes(remediation.references or remediation.kb_articles or [])
    further = [url for url in (unmapped.related_url, *_texts(unmapped.additional_urls)) if url]
    categories = tuple(_texts(unmapped.categories))
    return CheckInfo(
        key=key,
        title=info.title or "",
        service=(resource.group.name if resource.group else "") or "",
        description=read(info.desc, str, ""),
        risk=read(event.risk_details, str, "") or read(info.supporting_data, dict[str, str], {}).get("Risk", ""),
        remediation=remediation.desc or "",
        categories=categories,
        controls=_prowler_controls(event, unmapped),
        exposes="internet-exposed" in categories,
        **fixes | {"references": tuple(dict.fromkeys((*fixes["references"], *further)))},
    )


def _prowler_controls(event: Event, unmapped: Unmapped) -> tuple[tuple[str, str], ...]:
    if isinstance(unmapped.compliance, dict):
        return _prowler.controls_of(unmapped.compliance)
    v3 = read(event.compliance.requirements, list[str], []) if event.compliance else []
    return _prowler.controls_in(unmapped.compliance or " | ".join(v3))


def _texts(value: list[str] | str | None) -> list[str]:
    return value.split(" | ") if isinstance(value, str) and value else list(value or ())


def _event_code(metadata: Metadata | None) -> str:
    """The check's id. v3 has it in the product's feature, 4.0 in the finding's uid alone."""
    if metadata is None:
        return ""
    feature = metadata.product.feature if metadata.product else None
    return metadata.event_code or (feature.uid if feature else "") or ""


def _part_of_uid(info: FindingInfo, number: int) -> str:
    """Part of `prowler-<provider>-<check>-<account>-<region>-<name>`: 1 the provider, 2 the check, 3 the rest."""
    found = _PROWLER_UID.fullmatch(info.uid or "")
    return found[number] if found else ""


def _cluster(info: FindingInfo, resource: Resource) -> str:
    """The cluster in `<cluster>-namespace: <namespace>-<name>`. Both ends may hold hyphens, so all of the tail must be known."""
    rest, tail = _part_of_uid(info, 3), f"-namespace: {resource.namespace}-{resource.name}"
    return rest.removesuffix(tail) if rest.endswith(tail) else ""


def _prowler_verdict(event: Event) -> tuple[Verdict, bool] | None:
    if event.class_uid == SECURITY:
        return _V3_VERDICTS.get(event.status or "")
    found = _prowler.verdict(event.status_code or event.status or "")
    return (found[0], found[1] or event.status == "Suppressed" or event.status_id == _SUPPRESSED) if found else None


@lru_cache(1000)
def _has_old_tags(version: str) -> bool:
    return version.startswith(("4.0.", "4.1.", "4.2.", "4.3."))


# --- any other product --------------------------------------------------------------------------------------------------------


class _AnyProduct(_Reader):
    """Vulnerability, Compliance, Detection … findings of producers that keep to the schema."""

    def observe(self, position: int, event: Event) -> tuple[_cloud.Outcome, ...]:
        info = event.finding_info or event.finding or _NO_INFO
        resources = event.resources or ([event.resource] if event.resource else [])
        if not resources or not (resources[0].uid or resources[0].name):
            return _lost(position, NO_RESOURCE, "resources")
        cloud = event.cloud or _NO_CLOUD
        asset = resources[0].uid or resources[0].name or ""
        account = self._home(cloud, resources[0], asset)
        if account is None:
            return _lost(position, NO_ACCOUNT, "cloud.account.uid")
        checks = self._named(event, info, resources[0])
        if not checks:
            return _lost(position, NO_CHECK, "finding_info")
        verdict = _product_verdict(event)
        if verdict is not Verdict.PASS and event.status_id in (_ARCHIVED, _DELETED):
            return (Skipped(position, Text(ARCHIVED), field="status", lost=False),)
        severity, notes = _read_severity(position, event)
        message = event.status_detail or event.message or info.title or ""
        tags, seen_at = self.tags(resources[0]), self.seen_at(event)
        found = (
            Observation(
                position=position,
                check=check,
                verdict=verdict,
                severity=own or severity,
                account=account,
                region=resources[0].region or cloud.region or resources[0].namespace or "",
                asset=asset,
                asset_name=resources[0].name or "",
                asset_type=resources[0].type or "",
                tags=tags,
                message=_cloud.with_others(message, [other.uid or other.name or "" for other in resources[1:]]),
                seen_at=seen_at,
                muted=event.status_id == _SUPPRESSED or event.status == "Suppressed",
                alias=info.uid or "",
            )
            for check, own in checks
        )
        return (*notes, *found)

    def _home(self, cloud: Cloud, resource: Resource, asset: str) -> AccountInfo | None:
        provider = _cloud.provider_of(cloud.provider or "", asset)
        owner = read(resource.owner, Owner, Owner()).account or Account()
        uid = (
            str((cloud.account.uid if cloud.account else "") or owner.uid or "")
            or _cloud.account_of(asset)
            or self.options.account
        )
        return self.account(provider, _prowler.account_uid(provider, uid), cloud) if uid else None

    def _named(self, event: Event, info: FindingInfo, resource: Resource) -> list[tuple[CheckInfo, Severity | None]]:
        """The checks that the record is of, each with its own severity if it has one."""
        found = []
        for vulnerability in read(event.vulnerabilities, list[Vulnerability], []) if event.class_uid == VULNERABILITY else []:
            key = _vulnerability_key(vulnerability)
            if key:
                check = self.checks(key, partial(_vulnerability_check, key, vulnerability))
                found.append((check, _severity(vulnerability.severity, None)))
        key = _rule(event, info)
        if found or not key:
            return found
        return [(self.checks(key, lambda: _product_check(key, event, info, resource)), None)]


def _vulnerability_check(key: str, vulnerability: Vulnerability) -> CheckInfo:
    remediation = vulnerability.remediation or Remediation()
    weaknesses = [weakness.uid for weakness in (vulnerability.cwe, *(vulnerability.related_cwes or ())) if weakness]
    urls = (*(vulnerability.references or ()), *(remediation.references or ()), *(remediation.kb_articles or ()))
    return CheckInfo(
        key=key,
        title=vulnerability.title or key,
        description=vulnerability.desc or "",
        remediation=remediation.desc or "",
        weaknesses=tuple(dict.fromkeys(uid for uid in weaknesses if uid)),
        references=tuple(dict.fromkeys(urls)),
    )


def _product_check(key: str, event: Event, info: FindingInfo, resource: Resource) -> CheckInfo:
    remediation = read(event.remediation, Remediation, Remediation())
    requirements = read(event.compliance.requirements, list[str], []) if event.compliance else []
    return CheckInfo(
        key=key,
        title=info.title or (info.analytic.name if info.analytic else "") or key,
        service=(resource.group.name if resource.group else "") or "",
        description=read(info.desc, str, ""),
        risk=read(event.risk_details, str, ""),
        remediation=remediation.desc or "",
        controls=_cloud.requirement_controls(requirements),
        **_fixes(remediation.references or []),
    )


def _vulnerability_key(vulnerability: Vulnerability) -> str:
    names = (vulnerability.cve, vulnerability.advisory)
    return next((name.uid for name in names if name and name.uid), vulnerability.title or "")


def _rule(event: Event, info: FindingInfo) -> str:
    """What the producer calls its rule, by the most lasting name: a control's id, the analytic's, the event's; last the title."""
    control = (event.compliance.control if event.compliance else "") or ""
    if _CONTROL_ID.fullmatch(control):
        return control
    analytic = info.analytic
    code = event.metadata.event_code if event.metadata else ""
    return (analytic.uid if analytic else "") or code or control or (analytic.name if analytic else "") or info.title or ""


def _product_verdict(event: Event) -> Verdict:
    """The verdict of a compliance check, or of a `status_code` that is one; other findings are failures until they are closed."""
    if event.compliance is not None:
        found = _COMPLIANCE_VERDICTS.get(event.compliance.status_id or 0) or _VERDICT_WORDS.get(
            (event.compliance.status or "").lower()
        )
        if found:
            return found
    word = _VERDICT_WORDS.get((event.status_code or "").lower())
    if word:
        return word
    if event.class_uid == COMPLIANCE:
        return Verdict.MANUAL
    closed = event.status_id == _RESOLVED or event.status == "Resolved" or event.activity_id == _CLOSE
    return Verdict.PASS if closed else Verdict.FAIL
