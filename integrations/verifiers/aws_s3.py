"""S3 buckets: who may read and write them, encryption, versions, transport. What is fixed here passes in Prowler."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import REACH as AWS_REACH
from integrations.verifiers._aws import Account, Judge, Stop, Verdict, verified
from integrations.verifiers._aws_calls import policy, trust
from integrations.verifiers._aws_policy import is_public, listed, statements
from triage.ports import Judgement, Outcome, Target, Text

LABEL = "AWS S3"
# Of all AWS verifiers; one of them says it.
REACH = AWS_REACH
GRANTS = {"aws": (policy, trust)}

GONE = frozenset({"NoSuchBucket"})
EVERYBODY = ("AllUsers", "AuthenticatedUsers")
WRITES = ("s3:PutObject", "s3:DeleteObject", "s3:*", "s3:Put*", "s3:Delete*")
EVENTS = frozenset({"TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations", "EventBridgeConfiguration"})
EVERYTHING = frozenset({"s3:PutObject", "s3:*", "*"})


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def public_access(account: Account) -> Verdict:
    """By ACL or policy; a block at the bucket or at the account stops both."""
    if _blocks(_bucket_block(account)):
        return True, Text(_("The bucket blocks public access."))
    grants = _public_grants(account)
    if grants:
        return _unless_account_blocks(account, Text(_("The bucket's ACL gives %(grants)s."), {"grants": ", ".join(grants)}))
    if is_public(_policy(account)):
        return _unless_account_blocks(account, Text(_("The bucket's policy lets everybody in.")))
    return True, Text(_("Neither the bucket's ACL nor its policy lets everybody in."))


def public_list_acl(account: Account) -> Verdict:
    return _public_acl(account, frozenset({"READ", "READ_ACP", "FULL_CONTROL"}))


def public_write_acl(account: Account) -> Verdict:
    return _public_acl(account, frozenset({"WRITE", "WRITE_ACP", "FULL_CONTROL"}))


def public_write_policy(account: Account) -> Verdict:
    if not is_public(_policy(account), actions=WRITES):
        return True, Text(_("The bucket's policy lets nobody unknown write."))
    if _bucket_block(account).get("RestrictPublicBuckets"):
        return True, Text(_("The bucket restricts public policies."))
    summary = Text(_("The bucket's policy lets everybody write."))
    return _unless_account_blocks(account, summary, settings=("RestrictPublicBuckets",))


def bucket_block(account: Account) -> Verdict:
    if _blocks(_bucket_block(account)):
        return True, Text(_("The bucket blocks public access."))
    return False, Text(_("The bucket does not block public access: it needs IgnorePublicAcls and RestrictPublicBuckets."))


def account_block(account: Account) -> Verdict:
    if _blocks(_account_block(account)):
        return True, Text(_("The account blocks public access to all its buckets."))
    return False, Text(_("The account does not block public access: it needs IgnorePublicAcls and RestrictPublicBuckets."))


def encryption(account: Account) -> Verdict:
    algorithm = _algorithm(account)
    if algorithm:
        return True, Text(_("The bucket encrypts with %(algorithm)s."), {"algorithm": algorithm})
    return False, Text(_("The bucket has no encryption by default."))


def kms_encryption(account: Account) -> Verdict:
    algorithm = _algorithm(account)
    said = Text(_("The bucket encrypts with %(algorithm)s."), {"algorithm": algorithm or "–"})
    return algorithm in ("aws:kms", "aws:kms:dsse"), said


def versioning(account: Account) -> Verdict:
    status = _versioning(account).get("Status", "never enabled")
    return status == "Enabled", Text(_("The bucket's versioning is: %(status)s."), {"status": status})


def mfa_delete(account: Account) -> Verdict:
    status = _versioning(account).get("MFADelete", "Disabled")
    return status == "Enabled", Text(_("The bucket's MFA delete is: %(status)s."), {"status": status})


def tls_only(account: Account) -> Verdict:
    """A statement that denies everything, or writing at least, to requests without TLS."""
    if any(_denies_plain(statement) for statement in statements(_policy(account))):
        return True, Text(_("The bucket's policy denies requests without TLS."))
    return False, Text(_("The bucket's policy does not deny requests without TLS."))


def acl_disabled(account: Account) -> Verdict:
    answer = _of_bucket(account, "get_bucket_ownership_controls", "OwnershipControlsNotFoundError")
    rules = answer.get("OwnershipControls", {}).get("Rules", [])
    ownership = rules[0].get("ObjectOwnership", "") if rules else "ObjectWriter"
    return "BucketOwnerEnforced" in ownership, Text(
        _("The bucket's object ownership is: %(ownership)s."), {"ownership": ownership}
    )


def access_logging(account: Account) -> Verdict:
    if "LoggingEnabled" in _of_bucket(account, "get_bucket_logging"):
        return True, Text(_("The bucket logs access."))
    return False, Text(_("The bucket does not log access."))


def cross_account(account: Account) -> Verdict:
    if is_public(_policy(account), owner=account.target.account):
        return False, Text(_("The bucket's policy lets other accounts in."))
    return True, Text(_("The bucket's policy lets no other account in."))


def cross_region_replication(account: Account) -> Verdict:
    """An enabled rule to a bucket of this account in another region; whether a foreign bucket is elsewhere cannot be seen."""
    status = _versioning(account).get("Status", "never enabled")
    if status != "Enabled":
        return False, Text(_("The bucket's versioning is: %(status)s."), {"status": status})
    answer = _of_bucket(account, "get_bucket_replication", "ReplicationConfigurationNotFoundError")
    rules = answer.get("ReplicationConfiguration", {}).get("Rules", [])
    targets = {rule["Destination"]["Bucket"].rpartition(":")[2] for rule in rules if rule["Status"] == "Enabled"}
    if not targets:
        return False, Text(_("The bucket has no enabled rule for replication."))
    ours = {bucket["Name"] for bucket in account.ask_all("s3", "list_buckets", "Buckets")}
    here = _location(account, account.name)
    for bucket in sorted(targets & ours):
        there = _location(account, bucket)
        if there != here:
            return True, Text(_("The bucket replicates to %(bucket)s in %(region)s."), {"bucket": bucket, "region": there})
    if targets - ours:
        buckets = ", ".join(sorted(targets - ours))
        raise Stop(Outcome.CANNOT, Text(_("The bucket replicates to another account: %(buckets)s."), {"buckets": buckets}))
    return False, Text(_("The bucket replicates within its region alone."))


def event_notifications(account: Account) -> Verdict:
    if not EVENTS.isdisjoint(_of_bucket(account, "get_bucket_notification_configuration")):
        return True, Text(_("The bucket notifies of events."))
    return False, Text(_("The bucket notifies of no events."))


def lifecycle(account: Account) -> Verdict:
    answer = _of_bucket(account, "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    if any(rule["Status"] == "Enabled" for rule in answer.get("Rules", [])):
        return True, Text(_("The bucket has an enabled lifecycle rule."))
    return False, Text(_("The bucket has no enabled lifecycle rule."))


def object_lock(account: Account) -> Verdict:
    if _of_bucket(account, "get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"):
        return True, Text(_("The bucket can lock objects."))
    return False, Text(_("The bucket cannot lock objects."))


JUDGES: dict[str, Judge] = {
    "s3_bucket_public_access": public_access,
    "s3_bucket_public_list_acl": public_list_acl,
    "s3_bucket_public_write_acl": public_write_acl,
    "s3_bucket_policy_public_write_access": public_write_policy,
    "s3_bucket_level_public_access_block": bucket_block,
    "s3_account_level_public_access_blocks": account_block,
    "s3_bucket_default_encryption": encryption,
    "s3_bucket_kms_encryption": kms_encryption,
    "s3_bucket_object_versioning": versioning,
    "s3_bucket_no_mfa_delete": mfa_delete,
    "s3_bucket_secure_transport_policy": tls_only,
    "s3_bucket_acl_prohibited": acl_disabled,
    "s3_bucket_server_access_logging_enabled": access_logging,
    "s3_bucket_cross_account_access": cross_account,
    "s3_bucket_cross_region_replication": cross_region_replication,
    "s3_bucket_event_notifications_enabled": event_notifications,
    "s3_bucket_lifecycle_enabled": lifecycle,
    "s3_bucket_object_lock": object_lock,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _public_acl(account: Account, permissions: frozenset[str]) -> Verdict:
    if _blocks(_bucket_block(account)):
        return True, Text(_("The bucket blocks public access."))
    grants = _public_grants(account, permissions)
    if grants:
        return _unless_account_blocks(account, Text(_("The bucket's ACL gives %(grants)s."), {"grants": ", ".join(grants)}))
    return True, Text(_("The bucket's ACL gives nothing of this to everybody."))


def _public_grants(account: Account, permissions: frozenset[str] | None = None) -> list[str]:
    """Such as “READ to AllUsers”."""
    grants = _of_bucket(account, "get_bucket_acl").get("Grants", [])
    return [
        f"{grant.get('Permission', '')} to {grant['Grantee']['URI'].rsplit('/', 1)[-1]}"
        for grant in grants
        if grant.get("Grantee", {}).get("Type") == "Group"
        and any(name in grant["Grantee"].get("URI", "") for name in EVERYBODY)
        and (permissions is None or grant.get("Permission") in permissions)
    ]


def _unless_account_blocks(
    account: Account, summary: Text, *, settings: tuple[str, ...] = ("IgnorePublicAcls", "RestrictPublicBuckets")
) -> Verdict:
    """The bucket is open by itself; the account may block it all the same. If nobody can say, the bucket counts."""
    try:
        block = _account_block(account)
    except Stop as stop:
        if stop.outcome == Outcome.GONE:
            raise
        return False, summary
    if all(block.get(setting) for setting in settings):
        return True, Text(_("The account blocks public access to all its buckets."))
    return False, summary


def _blocks(block: Mapping[str, Any]) -> bool:
    return bool(block.get("IgnorePublicAcls") and block.get("RestrictPublicBuckets"))


def _bucket_block(account: Account) -> Mapping[str, Any]:
    answer = _of_bucket(account, "get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    block: Mapping[str, Any] = answer.get("PublicAccessBlockConfiguration", {})
    return block


def _account_block(account: Account) -> Mapping[str, Any]:
    answer = account.ask(
        "s3control",
        "get_public_access_block",
        absent="NoSuchPublicAccessBlockConfiguration",
        AccountId=account.target.account,
    )
    block: Mapping[str, Any] = answer.get("PublicAccessBlockConfiguration", {})
    return block


def _policy(account: Account) -> Mapping[str, Any]:
    answer = _of_bucket(account, "get_bucket_policy", "NoSuchBucketPolicy")
    policy: Mapping[str, Any] = json.loads(answer.get("Policy") or "{}")
    return policy


def _algorithm(account: Account) -> str:
    absent = "ServerSideEncryptionConfigurationNotFoundError"
    answer = _of_bucket(account, "get_bucket_encryption", absent)
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    return str(rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "")) if rules else ""


def _versioning(account: Account) -> Mapping[str, Any]:
    return _of_bucket(account, "get_bucket_versioning")


def _location(account: Account, bucket: str) -> str:
    """The oldest regions have names of their own here."""
    answer = account.ask("s3", "get_bucket_location", Bucket=bucket, ExpectedBucketOwner=account.target.account)
    place = answer.get("LocationConstraint") or "us-east-1"
    return "eu-west-1" if place == "EU" else str(place)


def _denies_plain(statement: Mapping[str, Any]) -> bool:
    tested = (statement.get("Condition") or {}).get("Bool") or {}
    return (
        statement.get("Effect") == "Deny"
        and not EVERYTHING.isdisjoint(listed(statement.get("Action")))
        and tested.get("aws:SecureTransport") == "false"
    )


def _of_bucket(account: Account, operation: str, absent: str = "") -> dict[str, Any]:
    """A bucket of the same name in a foreign hand is not this bucket, hence the expected owner."""
    target = account.target
    bucket = target.asset.rpartition(":::")[2] if ":::" in target.asset else target.asset_name or target.asset
    return account.ask("s3", operation, absent=absent, gone=GONE, Bucket=bucket, ExpectedBucketOwner=target.account)
