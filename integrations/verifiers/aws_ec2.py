"""EC2 instances, volumes, snapshots, images and addresses, and the region's defaults. What is fixed here passes in Prowler."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, asset_gone, verified
from integrations.verifiers._aws_ec2 import ADDRESS, IMAGE, SNAPSHOT, VOLUME, found, where
from triage.ports import Judgement, Target, Text

LABEL = "AWS EC2"

NO_INSTANCE = frozenset({"InvalidInstanceID.NotFound"})
ENDED = frozenset({"shutting-down", "terminated"})
AT_REST = frozenset({"pending", "stopped"})  # Prowler asks no Systems Manager of these
MAX_AGE = 180  # days: Prowler's max_ec2_instance_age_in_days


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def public_image(account: Account) -> Verdict:
    """Deprecated and disabled images are hidden unless they are asked for; hidden is not gone."""
    image = found(account, IMAGE, Owners=["self"], IncludeDeprecated=True, IncludeDisabled=True)
    if image.get("Public"):
        return False, Text(_("The image is public."))
    return True, Text(_("The image is not public."))


def default_encryption(account: Account) -> Verdict:
    """Of the region: the asset stands for all its volumes."""
    if account.ask("ec2", "get_ebs_encryption_by_default").get("EbsEncryptionByDefault"):
        return True, Text(_("New volumes in %(region)s are encrypted by default."), {"region": account.region})
    return False, Text(_("New volumes in %(region)s are not encrypted by default."), {"region": account.region})


def public_snapshot(account: Account) -> Verdict:
    answer = account.ask(
        "ec2", "describe_snapshot_attribute", gone=SNAPSHOT.gone, Attribute="createVolumePermission", SnapshotId=account.name
    )
    if any(permission.get("Group") == "all" for permission in answer.get("CreateVolumePermissions", [])):
        return False, Text(_("The snapshot is public."))
    return True, Text(_("The snapshot is not public."))


def encrypted_snapshot(account: Account) -> Verdict:
    if found(account, SNAPSHOT).get("Encrypted"):
        return True, Text(_("The snapshot is encrypted."))
    return False, Text(_("The snapshot is not encrypted."))


def encrypted_volume(account: Account) -> Verdict:
    if found(account, VOLUME).get("Encrypted"):
        return True, Text(_("The volume is encrypted."))
    return False, Text(_("The volume is not encrypted."))


def has_snapshots(account: Account) -> Verdict:
    found(account, VOLUME)
    if account.ask_all("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=where("volume-id", account.name)):
        return True, Text(_("The volume has a snapshot."))
    return False, Text(_("The volume has no snapshot."))


def in_backup_plan(account: Account) -> Verdict:
    """Named by a plan's selection: by its ARN, as any volume, or as anything. Selections by tag do not count in Prowler.

    Plans of this region alone: Prowler counts those of other regions, too, but they cannot protect this volume.
    """
    found(account, VOLUME)
    partition = account.target.asset.split(":")[1]
    if not {account.target.asset, f"arn:{partition}:ec2:*:*:volume/*", "*"}.isdisjoint(_selected(account)):
        return True, Text(_("A backup plan names the volume."))
    return False, Text(_("No backup plan names the volume."))


def detailed_monitoring(account: Account) -> Verdict:
    if _instance(account).get("Monitoring", {}).get("State") == "enabled":
        return True, Text(_("The instance has detailed monitoring."))
    return False, Text(_("The instance has no detailed monitoring."))


def metadata_version_2(account: Account) -> Verdict:
    options = _instance(account).get("MetadataOptions", {})
    if options.get("HttpEndpoint") == "disabled":
        return True, Text(_("The instance's metadata service is off."))
    if options.get("HttpEndpoint") == "enabled" and options.get("HttpTokens") == "required":
        return True, Text(_("The instance requires IMDSv2."))
    return False, Text(_("The instance does not require IMDSv2."))


def managed(account: Account) -> Verdict:
    """An instance that does not run passes, as in Prowler."""
    state = _state(_instance(account))
    if state in AT_REST:
        return True, Text(_("The instance is %(state)s."), {"state": state})
    filters = [{"Key": "InstanceIds", "Values": [account.name]}]
    operation, key = "describe_instance_information", "InstanceInformationList"
    if account.ask_all("ssm", operation, key, absent="InvalidInstanceId", Filters=filters):
        return True, Text(_("Systems Manager manages the instance."))
    return False, Text(_("Systems Manager does not manage the instance."))


def has_profile(account: Account) -> Verdict:
    profile = _instance(account).get("IamInstanceProfile")
    if profile:
        return True, Text(_("The instance has the profile %(profile)s."), {"profile": profile.get("Arn", "")})
    return False, Text(_("The instance has no profile."))


def public_address(account: Account) -> Verdict:
    address = _instance(account).get("PublicIpAddress")
    if address:
        return False, Text(_("The instance has the public address %(address)s."), {"address": address})
    return True, Text(_("The instance has no public address."))


def assigned_address(account: Account) -> Verdict:
    if found(account, ADDRESS).get("AssociationId"):
        return True, Text(_("The address is assigned."))
    return False, Text(_("The address is not assigned."))


def age(account: Account) -> Verdict:
    """Since the last start; an instance that does not run passes, as in Prowler."""
    instance = _instance(account)
    state = _state(instance)
    if state != "running":
        return True, Text(_("The instance is %(state)s."), {"state": state})
    days = (account.at - instance["LaunchTime"]).days
    return days <= MAX_AGE, Text(
        _("The instance was started %(days)s days ago; allowed are %(allowed)s."), {"days": str(days), "allowed": str(MAX_AGE)}
    )


def snapshot_block(account: Account) -> Verdict:
    """Of the account in the region. A block of new sharing alone leaves what is shared already."""
    state = account.ask("ec2", "get_snapshot_block_public_access_state").get("State", "unblocked")
    said = Text(_("The block of public snapshots in %(region)s is: %(state)s."), {"region": account.region, "state": state})
    return state == "block-all-sharing", said


def default_metadata_version_2(account: Account) -> Verdict:
    """Of the account in the region."""
    if account.ask("ec2", "get_instance_metadata_defaults").get("AccountLevel", {}).get("HttpTokens") == "required":
        return True, Text(_("New instances in %(region)s require IMDSv2 by default."), {"region": account.region})
    return False, Text(_("New instances in %(region)s do not require IMDSv2 by default."), {"region": account.region})


JUDGES: dict[str, Judge] = {
    "ec2_ami_public": public_image,
    "ec2_ebs_default_encryption": default_encryption,
    "ec2_ebs_public_snapshot": public_snapshot,
    "ec2_ebs_snapshot_account_block_public_access": snapshot_block,
    "ec2_ebs_snapshots_encrypted": encrypted_snapshot,
    "ec2_ebs_volume_encryption": encrypted_volume,
    "ec2_ebs_volume_protected_by_backup_plan": in_backup_plan,
    "ec2_ebs_volume_snapshots_exists": has_snapshots,
    "ec2_elastic_ip_unassigned": assigned_address,
    "ec2_instance_account_imdsv2_enabled": default_metadata_version_2,
    "ec2_instance_detailed_monitoring_enabled": detailed_monitoring,
    "ec2_instance_imdsv2_enabled": metadata_version_2,
    "ec2_instance_managed_by_ssm": managed,
    "ec2_instance_older_than_specific_days": age,
    "ec2_instance_profile_attached": has_profile,
    "ec2_instance_public_ip": public_address,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _instance(account: Account) -> Mapping[str, Any]:
    """An ended instance is shown for an hour still; it is gone all the same."""
    answer = account.ask("ec2", "describe_instances", gone=NO_INSTANCE, InstanceIds=[account.name])
    for reservation in answer.get("Reservations", []):
        for instance in reservation.get("Instances", []):
            if _state(instance) not in ENDED:
                found: Mapping[str, Any] = instance
                return found
    raise asset_gone(account)


def _state(instance: Mapping[str, Any]) -> str:
    return str(instance.get("State", {}).get("Name", ""))


def _selected(account: Account) -> Iterator[str]:
    """What the region's backup plans name."""
    for plan in account.ask_all("backup", "list_backup_plans", "BackupPlansList"):
        of_plan = {"BackupPlanId": plan["BackupPlanId"]}
        for selection in account.ask_all("backup", "list_backup_selections", "BackupSelectionsList", **of_plan):
            answer = account.ask("backup", "get_backup_selection", SelectionId=selection["SelectionId"], **of_plan)
            yield from answer.get("BackupSelection", {}).get("Resources", [])
