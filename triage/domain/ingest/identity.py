"""What makes two observations the same cloud finding: a key computed from its parts, never taken from the report.

The rules and why each is needed are in docs/identity.md; measured on one estate scanned by three generations of Prowler. The parts
are stored (check, asset, account and the qualifier), so that a better rule is a re-key and no loss. KEY_VERSION names this rule.
"""

import re
from hashlib import blake2b

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
    """(uid for the key, region that counts, name that counts) of an AWS observation.

    The region counts when the ARN has none and the service has regions, or when the row stands in for a missing thing. The name
    counts when it is not the tail of the ARN (policies of a user share the user's ARN).
    """
    uid, name = observation.asset, observation.asset_name
    parts = uid.split(":", 5)
    region = observation.region
    if len(parts) == 6 and parts[0] == "arn":
        if parts[2] in GLOBAL_SERVICES:
            region = ""
            if parts[3]:
                parts[3] = ""
                uid = ":".join(parts)
        elif parts[3] and not observation.stand_in:
            region = ""
    if uid.endswith(name) and uid[: -len(name) or None][-1:] in _JOINTS:
        name = ""
    return uid, region, name


def kubernetes(observation: Observation) -> tuple[str, str, str]:
    """Kind and name instead of the object's uid, which each roll-out changes; so does the hash at the end of a pod's name."""
    name = observation.asset_name or observation.asset
    if observation.asset_type.casefold().endswith("pod"):
        name = _POD_HASH.sub("", name)
    return f"{observation.asset_type}/{name}", observation.region, ""


def other(observation: Observation) -> tuple[str, str, str]:
    """Azure, GCP, M365, GitHub …: uid and name both, as either alone collides."""
    return observation.asset.lower(), observation.region, observation.asset_name


RULES = {"aws": aws, "kubernetes": kubernetes}


def account_uid(account: AccountInfo) -> str:
    """AWS accounts have twelve digits; a spreadsheet or Prowler 3 drops leading zeros."""
    uid = account.uid.strip()
    return uid.zfill(12) if account.provider == "aws" and uid.isdigit() else uid


def asset_key(provider: str, account: str, uid: str) -> bytes:
    """16 bytes that identify an asset."""
    return blake2b(f"{provider}\x1f{account}\x1f{uid}".encode(), digest_size=16).digest()


def finding_key(scanner: str, check: str, asset: bytes, qualifier: str) -> bytes:
    """16 bytes that identify a finding: the check, the asset, and what else tells it apart."""
    return blake2b(asset + f"{scanner}\x1f{check}\x1f{qualifier}".encode(), digest_size=16).digest()
