"""What Prowler's words mean, the same in every format it writes: verdicts, severities, tags, controls, times, stand-ins."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Generic, TypeVar

from triage.ports import Severity, Verdict

T = TypeVar("T")

SCANNER = "prowler"
INTERNED = 16 << 20

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
_COMMAS_INSIDE = "AWS-Account-Security-Onboarding"
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


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
    pairs: list[tuple[str, str]] = []
    for framework, controls in mapping.items():
        pairs += [(framework, control) for control in dict.fromkeys(controls) if control]
    return tuple(pairs)


def controls_in(text: str) -> tuple[tuple[str, str], ...]:
    """(framework, control) pairs of `CIS-3.0: 2.1.3, 2.1.4 | ISO27001-2022: A.8.1`."""
    mapping: dict[str, list[str]] = {}
    for part in text.split(" | "):
        framework, colon, ids = part.partition(": ")
        if colon:
            controls = _CONTROL.findall(ids) if framework == _COMMAS_INSIDE else ids.split(", ")
            mapping[framework] = [*mapping[framework], *controls] if framework in mapping else controls
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


def unescaped(cell: str) -> str:
    """The text of a CSV cell without the `'` that Prowler 5 puts before what a spreadsheet would take for a formula."""
    if not cell.startswith("'"):
        return cell
    text = cell[1:]
    if not text.startswith(("\t", "\r")) and not text.lstrip().startswith(("=", "+", "-", "@")):
        return cell
    # A plain number gets no `'`, so that the one in front of it is the text's own.
    return cell if _NUMBER.fullmatch(text) else text


class Interned(Generic[T]):
    """One object for equal keys, in bounded memory: when the keys hold more than 16 MiB of text, all are let go."""

    def __init__(self) -> None:
        self._held: dict[tuple[str | bytes, ...], T] = {}
        self._room = INTERNED

    def __call__(self, key: tuple[str | bytes, ...], make: Callable[[], T]) -> T:
        """The object held for `key`, or what `make` gives."""
        found = self._held.get(key)
        if found is None:
            size = 200 + sum(map(len, key))
            if size > self._room:
                self._held.clear()
                self._room = INTERNED
            self._room -= size
            found = self._held[key] = make()
        return found
