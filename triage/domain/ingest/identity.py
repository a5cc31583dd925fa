"""What makes two observations the same cloud finding: a key computed from its parts, never taken from the report.

The rules and why each is needed are in docs/identity.md; measured on one estate scanned by three generations of Prowler. The parts
are stored (check, asset, account and the qualifier), so that a better rule is a re-key and no loss. KEY_VERSION names this rule.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b

from triage.domain.ingest.cleaning import one_line
from triage.ports import AccountInfo, Observation

KEY_VERSION = 1

# Services without regions: the region in a row, and even in some ARNs, is that of the scanner's session.
GLOBAL_SERVICES = frozenset({
    "account", "artifact", "budgets", "ce", "chatbot", "cloudfront", "globalaccelerator", "health", "iam", "networkmanager",
    "organizations", "route53", "route53domains", "shield", "sts", "support", "tag", "trustedadvisor", "waf",
})  # fmt: skip
_JOINTS = frozenset({":", "/", ""})
_POD_HASH = re.compile(r"-[a-f0-9]{6,10}-[a-z0-9]{5}$|-[a-z0-9]{5}$")


def aws(observation: Observation) -> tuple[str, str, str]:
    """(uid for the key, qualifier, region the finding is at) of an AWS observation.

    The region is part of the key when the ARN has none and the service has regions, or when the row stands in for a missing
    thing. The name is when it is not the tail of the ARN (policies of a user share the user's ARN).
    """
    uid, name = observation.asset, observation.asset_name
    region = home = observation.region
    parts = uid.split(":", 5)
    if len(parts) == 6 and parts[0] == "arn":
        if parts[2] in GLOBAL_SERVICES:
            region = home = ""
            if parts[3]:
                parts[3] = ""
                uid = ":".join(parts)
        elif parts[3] and not observation.stand_in:
            region = ""
    if uid.endswith(name) and uid[: -len(name) or None][-1:] in _JOINTS:
        name = ""
    return uid, _qualifier(region, name, observation.discriminator), home


def kubernetes(observation: Observation) -> tuple[str, str, str]:
    """Kind and name instead of the object's uid, which each roll-out changes; so does the hash at the end of a pod's name."""
    name = observation.asset_name or observation.asset
    if observation.asset_type.casefold().endswith("pod"):
        name = _POD_HASH.sub("", name)
    region = observation.region
    return f"{observation.asset_type}/{name}", _qualifier(region, "", observation.discriminator), region


def other(observation: Observation) -> tuple[str, str, str]:
    """Azure, GCP, M365, GitHub …: uid and name both, as either alone collides."""
    region = observation.region
    return observation.asset.lower(), _qualifier(region, observation.asset_name, observation.discriminator), region


def spellings(uid: str, name: str, kind: str) -> Iterator[str]:
    """How an asset that was reported so may be spelled in its key: what the rules above make of it, whatever the provider."""
    yield uid
    yield uid.lower()
    parts = uid.split(":", 5)
    if len(parts) == 6:
        yield ":".join([*parts[:3], "", *parts[4:]])
    yield f"{kind}/{name or uid}"
    yield f"{kind}/{_POD_HASH.sub('', name or uid)}"


def _qualifier(region: str, name: str, discriminator: str) -> str:
    """As it is stored beside the key: without what a database refuses, so that the key can be computed again from it."""
    return "\x1f".join((one_line(region), one_line(name), one_line(discriminator))) if region or name or discriminator else ""


RULES: dict[str, Callable[[Observation], tuple[str, str, str]]] = {"aws": aws, "kubernetes": kubernetes}


def account_uid(account: AccountInfo) -> str:
    """AWS accounts have twelve digits; a spreadsheet or Prowler 3 drops leading zeros."""
    uid = account.uid.strip()
    return uid.zfill(12) if account.provider == "aws" and uid.isdigit() else uid


def prefix(provider: str, account: str) -> str:
    """What an asset's uid is unique in."""
    return f"{provider}\x1f{account}\x1f"


def asset_key(prefix: str, uid: str) -> bytes:
    """16 bytes that identify an asset."""
    return blake2b(f"{prefix}{uid}".encode(), digest_size=16).digest()


def finding_key(check: str, asset: bytes, qualifier: str) -> bytes:
    """16 bytes that identify a finding: the check (`scanner` U+001F `key`), the asset, and what else tells it apart."""
    return blake2b(asset + f"{check}\x1f{qualifier}".encode(), digest_size=16).digest()
