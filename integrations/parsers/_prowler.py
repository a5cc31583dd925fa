"""What Prowler's words mean, the same in every format it writes: verdicts, severities, tags, controls, times, stand-ins."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo

from triage.ports import Severity, Verdict

SCANNER = "prowler"

_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
}

# (verdict, muted). v2 and v3 write WARNING for an allow-listed failure and INFO for what a person has to look at.
_VERDICTS = {
    "PASS": (Verdict.PASS, False),
    "FAIL": (Verdict.FAIL, False),
    "MANUAL": (Verdict.MANUAL, False),
    "INFO": (Verdict.MANUAL, False),
    "WARNING": (Verdict.FAIL, True),
    "MUTED": (Verdict.FAIL, True),
}

# Names that Prowler gives to what does not exist; the others are the account's id or end in "/unknown".
_STAND_IN_NAMES = frozenset(
    {
        "unknown",
        "bedrock-guardrails",
        "prompt-management",
        "sagemaker-clarify",
        "SageMaker Model Registry",
        "SageMaker Monitoring Schedules",
    }
)

# Service and resource of the ARNs that stand for "there is none". The real thing has another ARN, so that its PASS has another
# identity. Account-wide settings (`s3:…:account`, `iam:…:password-policy`) look alike, keep their ARN and are not in here.
_STAND_IN_ARNS = frozenset(
    {
        ("backup", "backup-plan"),
        ("backup", "backup-vault"),
        ("backup", "report-plan"),
        ("bedrock", "guardrails"),
        ("bedrock", "prompt-management"),
        ("cloudtrail", "trail"),
        ("config", "config-aggregator/unknown"),
        ("config", "recorder"),
        ("directconnect", "dxcon"),
        ("iam", "root"),
        ("logs", "log-group"),
        ("organizations", "unknown"),
        ("rds", "account"),
        ("resource-explorer", "index"),
        ("sagemaker", "model-registry/unknown"),
        ("sagemaker", "monitoring-schedule/unknown"),
        ("sagemaker", "processing-job"),
        ("ssm-incidents", "replication-set"),
    }
)

# Controls are joined with ", ", and two ids of AWS-Account-Security-Onboarding hold that themselves.
_CONTROL = re.compile("(IDC integration, SSO configuration|Billing, emergency, security contacts|.*?)(?:, |$)", re.DOTALL)



def severity(word: str) -> Severity | None:
    """Severity for Prowler's word in any case, None for a word it does not use."""
    return _SEVERITIES.get(word.strip().lower())


def verdict(word: str) -> tuple[Verdict, bool] | None:
    """(verdict, muted) for a status of any generation, None for an unknown one."""
    return _VERDICTS.get(word.strip().upper())


def is_stand_in(asset_uid: str, asset_name: str, account: str) -> bool:
    """True if the row stands for something that does not exist, such as `detector/unknown` or an ARN that ends in `:trail`."""
    if asset_name != account and asset_name not in _STAND_IN_NAMES and not asset_name.endswith("/unknown"):
        return False
    parts = asset_uid.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return False
    resource = parts[5]
    # A user that is called "unknown" has the name "unknown" and the resource "user/unknown".
    return (parts[2], resource) in _STAND_IN_ARNS or (resource == asset_name and resource.endswith("/unknown"))


def clean_alias(uid: str) -> str:
    """The finding's uid, '' for the placeholder (`<finding_uid>`) of an anonymised report."""
    uid = uid.strip()
    return "" if uid.startswith("<") and uid.endswith(">") else uid


def account_uid(provider: str, uid: str) -> str:
    """The account's id; AWS ids get back the leading zeros that Prowler v3 and spreadsheets cut off."""
    return uid.zfill(12) if provider == "aws" and uid.isdecimal() else uid


def region_of(text: str) -> str:
    """The region; for Kubernetes the bare namespace, which CSV writes as `namespace: kube-system` and OCSF does not."""
    return text.removeprefix("namespace: ")


def account_name(text: str) -> str:
    """The account's name; for Kubernetes the bare context."""
    return text.removeprefix("context: ")


def rejoin_tags(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The pairs with KMS's `TagKey=Owner`, `TagValue=x` made `Owner=x` again."""
    tags: list[tuple[str, str]] = []
    key: str | None = None
    for name, value in pairs:
        if key is not None and name == "TagValue":
            tags.append((key, value))
            key = None
            continue
        if key is not None:
            tags.append(("TagKey", key))
        key = value if name == "TagKey" else None
        if key is None:
            tags.append((name, value))
    if key is not None:
        tags.append(("TagKey", key))
    return tuple(tags)


def tags_of(text: str, separator: str = "=") -> tuple[tuple[str, str], ...]:
    """Pairs of `Owner=x | team=y`. A value that holds ` | ` itself cannot be told apart and becomes a tag without a value."""
    if not text:
        return ()
    return rejoin_tags((key.strip(), value) for key, _, value in (pair.partition(separator) for pair in text.split(" | ")) if key)


def controls_of(mapping: Mapping[str, list[str]]) -> tuple[tuple[str, str], ...]:
    """(framework, control) pairs of `{"CIS-3.0": ["2.1.3", "2.1.4"]}`, in its order and each once."""
    return tuple(dict.fromkeys((framework, control) for framework, controls in mapping.items() for control in controls))


def controls_in(text: str) -> tuple[tuple[str, str], ...]:
    """(framework, control) pairs of `CIS-3.0: 2.1.3, 2.1.4 | ISO27001-2022: A.8.1`."""
    mapping: dict[str, list[str]] = {}
    for part in text.split(" | "):
        framework, colon, ids = part.partition(": ")
        if colon:
            mapping.setdefault(framework.strip(), []).extend(filter(None, map(str.strip, _CONTROL.findall(ids))))
    return controls_of(mapping)


def time_of(text: str, zone: tzinfo) -> datetime | None:
    """An aware time of ISO text or of seconds since 1970, None if it is neither. A time without a zone is in `zone`."""
    text = text.strip()
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=zone)
