"""The parts of OCSF's records that are read, of all versions of the schema; the rest is passed over unread.

What differs from record to record is typed here. What is the same in each record of a check stays `Raw`, to be decoded once.
"""

import msgspec

Moment = str | int | float | None

SECURITY, VULNERABILITY, COMPLIANCE, DETECTION, DATA_SECURITY, POSTURE = 2001, 2002, 2003, 2004, 2006, 2007
CLASSES = {
    SECURITY: "Security Finding",
    VULNERABILITY: "Vulnerability Finding",
    COMPLIANCE: "Compliance Finding",
    DETECTION: "Detection Finding",
    DATA_SECURITY: "Data Security Finding",
    POSTURE: "Application Security Posture Finding",
}

_NULL = msgspec.Raw(b"null")


class Named(msgspec.Struct):
    uid: str | None = None
    name: str | None = None


class Product(msgspec.Struct):
    name: str | None = None
    vendor_name: str | None = None
    version: str | int | float | None = None
    feature: Named | None = None


class Metadata(msgspec.Struct):
    event_code: str | None = None
    product: Product | None = None


class Account(msgspec.Struct):
    uid: str | int | None = None
    name: str | None = None
    labels: msgspec.Raw = _NULL


class Organization(msgspec.Struct):
    uid: str | None = None
    name: str | None = None
    ou_uid: str | None = None
    ou_name: str | None = None


class Cloud(msgspec.Struct):
    account: Account | None = None
    org: Organization | None = None
    provider: str | None = None
    region: str | None = None
    project_uid: str | None = None
    cloud: "Cloud | None" = None  # Prowler 4.0 wrote the object into itself


class Resource(msgspec.Struct):
    uid: str | None = None
    name: str | None = None
    type: str | None = None
    region: str | None = None
    namespace: str | None = None
    group: Named | None = None
    labels: msgspec.Raw = _NULL
    tags: msgspec.Raw = _NULL
    owner: msgspec.Raw = _NULL
    data: msgspec.Raw = _NULL


class FindingInfo(msgspec.Struct):
    uid: str | None = None
    title: str | None = None
    desc: msgspec.Raw = _NULL
    types: msgspec.Raw = _NULL
    analytic: Named | None = None
    created_time: Moment = None
    supporting_data: msgspec.Raw = _NULL  # Prowler v3: the risk
    remediation: msgspec.Raw = _NULL  # Prowler v3


class Compliance(msgspec.Struct):
    status: str | None = None
    status_id: int | None = None
    control: str | None = None
    requirements: msgspec.Raw = _NULL
    standards: msgspec.Raw = _NULL


class Event(msgspec.Struct):
    class_uid: int | None = None
    metadata: Metadata | None = None
    message: str | None = None
    severity: str | None = None
    severity_id: int | None = None
    status: str | None = None
    status_id: int | None = None
    status_code: str | None = None
    status_detail: str | None = None
    activity_id: int | None = None
    finding_info: FindingInfo | None = None
    finding: FindingInfo | None = None  # Prowler v3
    resources: list[Resource] | None = None
    resource: Resource | None = None  # OCSF 1.0
    cloud: Cloud | None = None
    compliance: Compliance | None = None
    vulnerabilities: msgspec.Raw = _NULL
    remediation: msgspec.Raw = _NULL
    risk_details: msgspec.Raw = _NULL
    unmapped: msgspec.Raw = _NULL
    time: Moment = None
    time_dt: Moment = None
    event_time: Moment = None  # Prowler 4.0 to 4.4


class Origin(msgspec.Struct):
    """As much of a record as says who wrote it and when, and whether it can say PASS."""

    class_uid: int | None = None
    metadata: Metadata | None = None
    status_code: str | None = None
    time: Moment = None
    time_dt: Moment = None
    event_time: Moment = None


class Remediation(msgspec.Struct):
    desc: str | None = None
    references: list[str] | None = None
    kb_articles: list[str] | None = None  # Prowler v3, and vulnerabilities


class Vulnerability(msgspec.Struct):
    title: str | None = None
    desc: str | None = None
    severity: str | None = None
    references: list[str] | None = None
    cve: Named | None = None
    advisory: Named | None = None
    cwe: Named | None = None
    related_cwes: list[Named] | None = None
    remediation: Remediation | None = None


class Unmapped(msgspec.Struct):
    """What Prowler says outside of the schema; the first of 4.x wrote lists as its CSV does."""

    categories: list[str] | str | None = None
    compliance: dict[str, list[str]] | str | None = None
    related_url: str | None = None
    additional_urls: list[str] | str | None = None
    provider: str | None = None
    provider_uid: str | None = None


class Pair(msgspec.Struct):
    """A tag as an object: of AWS (`Key`), of AWS KMS (`TagKey`), or of OCSF (`name`)."""

    Key: str | None = None
    Value: str | None = None
    TagKey: str | None = None
    TagValue: str | None = None
    name: str | None = None
    value: str | None = None


class Owner(msgspec.Struct):
    account: Account | None = None


class Data(msgspec.Struct):
    """What Prowler keeps of the resource as the cloud's API answered: its tags as pairs, as an object, or as several objects."""

    metadata: dict[str, msgspec.Raw] | None = None
