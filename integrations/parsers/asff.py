"""ASFF, the AWS Security Finding Format: Prowler's, Security Hub's own, and that of other products that write it.

Prowler's records lack the resource's name, which is part of a finding's identity where the ARN does not say it. It is put
together again from the ARN, the check and the sentence, as Prowler's other formats have it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import BinaryIO

import msgspec
from django.utils.translation import gettext_noop as _

from integrations.parsers import _cloud, _json, _prowler
from integrations.parsers._json import NULL, read
from triage.ports import AccountInfo, CheckInfo, Observation, ParseOptions, Run, Severity, Skipped, Text, Verdict

Tags = tuple[tuple[str, str], ...]

LABEL = "AWS Security Finding Format (ASFF)"

WRAPPERS = ("Findings", "findings", "detail.findings")

SECURITY_HUB = "security-hub"

NOT_A_FINDING = _("The record is not in the AWS Security Finding Format: it has no GeneratorId. It was left out.")
NO_ACCOUNT = _("The record names no AWS account. It was left out; state the account when you import the report.")
NO_RESOURCE = _("The record names no resource. It was left out.")
NO_STATUS = _("The record has the compliance status “%(word)s”, which ASFF does not know. It was left out.")
NO_SEVERITY = _("The record has no severity that ASFF knows; it was read as medium.")
ARCHIVED = _("The record is archived in Security Hub without having passed: neither open nor fixed. It was left out.")

_PROWLER_PREFIX = "prowler-"

_CONTROL = re.compile(r"(?:.*/)?([A-Za-z][A-Za-z0-9]*\.\d+)")
_TITLE_CONTROL = re.compile(r"[A-Za-z][A-Za-z0-9]*\.\d+ ")

_NO_CHECK = CheckInfo("")
_NO_URL = "https://docs.aws.amazon.com/securityhub/latest/userguide/what-is-securityhub.html"  # Prowler's, for checks without one
_ARN_PARTS = 6

_NORMALIZED = (
    (90, Severity.CRITICAL),
    (70, Severity.HIGH),
    (40, Severity.MEDIUM),
    (1, Severity.LOW),
    (float("-inf"), Severity.INFORMATIONAL),
)
_VERDICTS = {
    "PASSED": Verdict.PASS,
    "FAILED": Verdict.FAIL,
    "WARNING": Verdict.MANUAL,
    "NOT_AVAILABLE": Verdict.MANUAL,
    "INFOED": Verdict.MANUAL,  # Prowler 3.3.0
}

# The names that Prowler gives to what its ARN does not name.
_NAMES = {
    ("bedrock", "guardrails"): "bedrock-guardrails",
    ("bedrock", "prompt-management"): "prompt-management",
    ("sagemaker", "model-registry/unknown"): "SageMaker Model Registry",
    ("sagemaker", "monitoring-schedule/unknown"): "SageMaker Monitoring Schedules",
    ("sagemaker", "processing-job"): "sagemaker-clarify",
}
_ROOT_CHECKS = ("iam_root_", "iam_no_root_", "iam_avoid_root_")
_ACCOUNT_NAMED = frozenset({"iam_support_role_created", "iam_policy_cloudshell_admin_not_attached"})
# ARNs of these services have no type before the name; in all others a single word is a type, and the name is the account's.
_UNTYPED = frozenset({"codecommit", "codepipeline", "kms", "sns"})
# Names inside an ARN that ends in something else.
_INNER_NAMES = {
    "elasticloadbalancing": re.compile(r"(?:loadbalancer|targetgroup)/(?:app/|net/|gwy/)?([^/]+)/.+"),
    "cloudformation": re.compile(r"stack/([^/]+)/.+"),
    "secretsmanager": re.compile(r"secret:(.+)-[A-Za-z0-9]{6}"),
    "logs": re.compile(r"log-group:(.+):\*"),
}
# Checks with several rows for one ARN: what their failure says, and the name that Prowler gives to it.
_OBJECTS = {
    "iam_policy_attached_only_to_group_or_roles": (
        re.compile(r"User (\S+) has the (?:inline )?policy (\S+) attached"),
        "{0}/{1}",
    ),
    "iam_rotate_access_key_90_days": (re.compile(r"User (\S+) has not rotated access key (\d)"), "{0}-access-key-{1}"),
    "iam_inline_policy": (re.compile(r"Inline policy (\S+) attached to \w+ (\S+)"), "{1}/{0}"),
}


class Recommendation(msgspec.Struct, rename="pascal"):
    text: str | None = None
    url: str | None = None


class Remediation(msgspec.Struct, rename="pascal"):
    recommendation: Recommendation | None = None


class Severities(msgspec.Struct, rename="pascal"):
    label: str | None = None
    normalized: float | None = None


class Reason(msgspec.Struct, rename="pascal"):
    description: str | None = None


class Compliance(msgspec.Struct, rename="pascal"):
    status: str | None = None
    security_control_id: str | None = None
    related_requirements: msgspec.Raw = NULL
    status_reasons: list[Reason] | None = None


class Resource(msgspec.Struct, rename="pascal"):
    id: str | None = None
    type: str | None = None
    region: str | None = None
    tags: msgspec.Raw = NULL


class Workflow(msgspec.Struct, rename="pascal"):
    status: str | None = None


class Vulnerability(msgspec.Struct, rename="pascal"):
    id: str | None = None
    reference_urls: list[str] | None = None


class Origin(msgspec.Struct, rename="pascal"):
    """As much of a record as says who wrote it and when, and whether it can say PASS."""

    generator_id: str | None = None
    product_arn: str | None = None
    product_name: str | None = None
    updated_at: str | None = None
    compliance: Compliance | None = None


class Finding(msgspec.Struct, rename="pascal"):
    id: str | None = None
    generator_id: str | None = None
    product_arn: str | None = None
    product_name: str | None = None
    product_fields: msgspec.Raw = NULL
    aws_account_id: str | int | None = None
    aws_account_name: str | None = None
    region: str | None = None
    types: list[str] | None = None
    updated_at: str | None = None
    severity: Severities | None = None
    title: str | None = None
    description: str | None = None
    remediation: Remediation | None = None
    resources: list[Resource] | None = None
    compliance: Compliance | None = None
    vulnerabilities: list[Vulnerability] | None = None
    record_state: str | None = None
    workflow: Workflow | None = None


def sniff(head: bytes) -> str | None:
    """The format's name for a list of findings, `{"Findings": […]}`, or one finding a line."""
    facts = _json.outline(head)
    if facts.get("Findings") is list and "Findings[]" not in facts and '"Findings"' in _json.head_text(head)[:1000]:
        return "ASFF, an empty list"
    for place in ("[]", "", *(f"{path}[]" for path in WRAPPERS)):
        dot = f"{place}." if place else ""
        generator = facts.get(f"{dot}GeneratorId")
        if not isinstance(generator, str) and not (f"{dot}AwsAccountId" in facts and f"{dot}ProductArn" in facts):
            continue
        return "Prowler ASFF" if str(generator).startswith(_PROWLER_PREFIX) else "ASFF"
    return None


def parse(stream: BinaryIO, options: ParseOptions) -> Iterator[Run | Observation | Skipped]:
    """Yield a Run and then an Observation or a Skipped for each record; once for each product that wrote into the report.

    A finding has one asset, the first of its resources; the others are named in its message. (An observation for each would come
    and go as the list changes, though the product has one finding.) A finding with vulnerabilities gives an Observation for each
    of them. An archived finding that did not pass is left out with a note: its product stopped looking, which is no fix.
    """
    reports = _cloud.Reports(
        wrappers=WRAPPERS,
        record=Finding,
        origin=Origin,
        scanner=_scanner,
        version=_version,
        can_pass=lambda finding: finding.compliance is not None and bool(finding.compliance.status),
        time=lambda finding: _cloud.time_of(finding.updated_at, options.zone),
        reject=lambda position, _finding: Skipped(position, Text(NOT_A_FINDING), field="GeneratorId"),
        reader=lambda scanner: (_Prowler(options) if scanner == _prowler.SCANNER else _SecurityHub(options)).observe,
    )
    return _cloud.runs(stream, reports)


def _scanner(finding: Finding | Origin) -> str:
    """Prowler, another company's product, or Security Hub for all that AWS itself sends through it."""
    if not finding.generator_id:
        return ""
    if finding.generator_id.startswith(_PROWLER_PREFIX):
        return _prowler.SCANNER
    company, _slash, product = (finding.product_arn or "").partition(":product/")[2].partition("/")
    if company.isdecimal():  # an integration of the account's own; all of these are called "default"
        return _cloud.slug(finding.product_name or product)
    return _cloud.slug(product) if company not in ("", "aws") and product else SECURITY_HUB


def _version(finding: Finding) -> str:
    return read(finding.product_fields, dict[str, str | None], {}).get("ProviderVersion") or ""


# --- what all products share --------------------------------------------------------------------------------------------------


class _Reader:
    """Turns findings into observations; keeps one object for each check, account and set of tags."""

    def __init__(self, options: ParseOptions) -> None:
        self.options = options
        self.checks = _cloud.Checks()
        self.tags: _prowler.Interned[Tags] = _prowler.Interned()
        self._accounts: dict[str, AccountInfo] = {}

    def observe(self, position: int, finding: Finding) -> tuple[_cloud.Outcome, ...]:
        resource = finding.resources[0] if finding.resources else None
        if resource is None or not resource.id:
            return (Skipped(position, Text(NO_RESOURCE), field="Resources"),)
        account = self._account(finding, resource.id)
        if account is None:
            return (Skipped(position, Text(NO_ACCOUNT), field="AwsAccountId"),)
        status = (finding.compliance.status if finding.compliance else "") or ""
        verdict = _VERDICTS.get(status) if status else Verdict.FAIL
        if verdict is None:
            return (Skipped(position, Text(NO_STATUS, {"word": status}), field="Compliance.Status"),)
        if finding.record_state == "ARCHIVED" and verdict is not Verdict.PASS:
            return (Skipped(position, Text(ARCHIVED), field="RecordState", lost=False),)
        severity = _severity(finding.severity)
        notes = () if severity else (Skipped(position, Text(NO_SEVERITY), field="Severity", lost=False),)
        found = Observation(
            position=position,
            check=_NO_CHECK,
            verdict=verdict,
            severity=severity or Severity.MEDIUM,
            account=account,
            region=resource.region or finding.region or "",
            asset=resource.id,
            asset_name=_cloud.tail_of(resource.id),
            asset_type=resource.type or "",
            tags=self.tags((bytes(resource.tags),), lambda: _tags(resource)),
            message="",
            seen_at=_cloud.time_of(finding.updated_at, self.options.zone),
            muted=finding.workflow is not None and finding.workflow.status == "SUPPRESSED",
            alias=finding.id or "",
        )
        return (*notes, *self.complete(found, finding))

    def complete(self, found: Observation, finding: Finding) -> tuple[Observation, ...]:
        """`found` with what each product says in its own way: the check, the message, and what follows from them."""
        raise NotImplementedError

    def _account(self, finding: Finding, asset: str) -> AccountInfo | None:
        uid = str(finding.aws_account_id or "") or _cloud.account_of(asset) or self.options.account
        if not uid:
            return None
        uid = _prowler.account_uid("aws", uid)
        if uid not in self._accounts:
            self._accounts[uid] = AccountInfo("aws", uid, name=finding.aws_account_name or "")
        return self._accounts[uid]


def _severity(severity: Severities | None) -> Severity | None:
    if severity is None:
        return None
    word = _prowler.severity(severity.label or "")
    if word or severity.normalized is None:
        return word
    return next(level for limit, level in _NORMALIZED if severity.normalized >= limit)


def _tags(resource: Resource) -> Tags:
    return _prowler.rejoin_tags((key, value or "") for key, value in read(resource.tags, dict[str, str | None], {}).items())


def _recommendation(finding: Finding) -> Recommendation:
    return (finding.remediation.recommendation if finding.remediation else None) or Recommendation()


# --- Prowler ------------------------------------------------------------------------------------------------------------------


class _Prowler(_Reader):
    """Prowler's records: a check, and a sentence as the description."""

    def complete(self, found: Observation, finding: Finding) -> tuple[Observation, ...]:
        key = (finding.generator_id or "").removeprefix(_PROWLER_PREFIX)
        found.check = self.checks(key, lambda: _prowler_check(key, finding))
        found.message = finding.description or ""
        if finding.compliance and finding.compliance.status == "WARNING":
            found.verdict, found.muted = Verdict.FAIL, True
        found.asset_name, found.discriminator = _name(key, found)
        found.stand_in = _prowler.is_stand_in(found.asset, found.asset_name, found.account.uid)
        return (found,)


def _prowler_check(key: str, finding: Finding) -> CheckInfo:
    """The check without controls: ASFF has only the first twenty, each cut at 63 characters."""
    recommendation = _recommendation(finding)
    url = recommendation.url or ""
    return CheckInfo(
        key=key,
        title=finding.title or "",
        service=key.partition("_")[0],
        remediation=recommendation.text or "",
        remediation_url="" if url == _NO_URL else url,
    )


def _name(check: str, found: Observation) -> tuple[str, str]:
    """(name, discriminator) that tell findings apart as Prowler's other formats do; a name that ends the ARN does not count."""
    parts = found.asset.split(":", 5)
    if len(parts) < _ARN_PARTS or parts[0] != "arn":
        return found.asset, ""
    _arn, _partition, service, region, account, resource = parts
    sentence, form = next((known for prefix, known in _OBJECTS.items() if check.startswith(prefix)), (None, ""))
    if sentence:
        said = sentence.search(found.message)
        if said:
            return form.format(*said.groups()), ""
        return _cloud.tail_of(found.asset), "" if found.verdict is Verdict.PASS else _digest(found.message)
    if service == "sqs":
        url = re.search(rf"https?://\S+/{re.escape(account)}/{re.escape(resource)}(?=\s|$)", found.message)
        return url[0] if url else f"https://sqs.{region}.amazonaws.com/{account}/{resource}", ""
    if check in _ACCOUNT_NAMED:
        return found.account.uid, ""
    return _name_in_arn(check, service, account, resource) or _cloud.tail_of(found.asset), ""


def _name_in_arn(check: str, service: str, account: str, resource: str) -> str:
    """The name where it is not the ARN's tail, '' where it is."""
    if (service, resource) in _NAMES:
        return _NAMES[service, resource]
    if check.startswith(_ROOT_CHECKS):
        return "<root_account>"
    if resource.endswith("/unknown") and service not in ("iam", "config"):
        return resource
    if account and service not in _UNTYPED and not re.search("[/:]", resource):
        return account
    inner = _INNER_NAMES[service].fullmatch(resource) if service in _INNER_NAMES else None
    return inner[1] if inner else ""


def _digest(sentence: str) -> str:
    """16 hexadecimal digits for a sentence, the same tomorrow when it counts days."""
    return blake2b(re.sub(r"\d+ days?", "days", sentence).encode(errors="replace"), digest_size=8).hexdigest()


# --- Security Hub and others --------------------------------------------------------------------------------------------------


class _SecurityHub(_Reader):
    """Findings of Security Hub's controls, of AWS services and of other products: the description is that of the check."""

    def complete(self, found: Observation, finding: Finding) -> tuple[Observation, ...]:
        reasons = (finding.compliance.status_reasons if finding.compliance else None) or []
        message = next((reason.description for reason in reasons if reason.description), "") or finding.title or ""
        found.message = _cloud.with_others(message, [other.id or "" for other in (finding.resources or [])[1:]])
        named = [vulnerability for vulnerability in finding.vulnerabilities or () if vulnerability.id]
        if not named:
            found.check = self.checks(_rule(finding), partial(_check, finding))
            return (found,)
        return tuple(
            replace(found, check=self.checks(vulnerability.id or "", partial(_vulnerability_check, finding, vulnerability)))
            for vulnerability in named
        )


def _rule(finding: Finding) -> str:
    """The control's id ("S3.8"), whatever standard it was checked for; else the generator, if that is a rule and no resource."""
    generator = finding.generator_id or ""
    control = (finding.compliance.security_control_id if finding.compliance else "") or ""
    if not control:
        found = _CONTROL.fullmatch(generator)
        control = found[1] if found else ""
    if control or not _cloud.account_of(generator):
        return control or generator
    return next(iter(finding.types or ()), "") or finding.title or generator


def _check(finding: Finding) -> CheckInfo:
    key, recommendation = _rule(finding), _recommendation(finding)
    requirements = read(finding.compliance.related_requirements, list[str], []) if finding.compliance else []
    return CheckInfo(
        key=key,
        title=_TITLE_CONTROL.sub("", finding.title or key),
        service=key.partition(".")[0].lower() if _CONTROL.fullmatch(key) else "",
        description=finding.description or "",
        remediation=recommendation.text or "",
        remediation_url=recommendation.url or "",
        controls=_cloud.requirement_controls(requirements),
    )


def _vulnerability_check(finding: Finding, vulnerability: Vulnerability) -> CheckInfo:
    recommendation = _recommendation(finding)
    return CheckInfo(
        key=vulnerability.id or "",
        title=finding.title or "",
        description=finding.description or "",
        remediation=recommendation.text or "",
        remediation_url=recommendation.url or "",
        references=tuple(vulnerability.reference_urls or ()),
    )
