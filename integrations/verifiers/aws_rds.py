"""RDS instances, clusters and snapshots: reach, encryption, protection, upkeep, events. What is fixed here passes in Prowler."""

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, asset_gone, verified
from integrations.verifiers._aws_network import has_public_route, opens
from triage.ports import Judgement, Target, Text

LABEL = "AWS RDS"

Fact = Mapping[str, Any]
GONE = frozenset(
    {
        "DBInstanceNotFound", "DBInstanceNotFoundFault", "DBSnapshotNotFound", "DBSnapshotNotFoundFault",
        "DBClusterSnapshotNotFoundFault",
    }
)  # fmt: skip
NO_CLUSTER = "DBClusterNotFoundFault"
DEFAULT_NAMES = ("admin", "postgres")
DEFAULT_PORTS = {
    3306: ("mysql", "mariadb", "aurora-mysql"),
    5432: ("postgres", "aurora-postgresql"),
    1521: ("oracle",),
    1433: ("sqlserver",),
    50000: ("db2",),
}
FORCE_SSL = ("sqlserver-se", "sqlserver-ee", "sqlserver-ex", "sqlserver-web", "postgres", "aurora-postgresql")
WARNING = 3  # months before a certificate ends


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


# --- settings -----------------------------------------------------------------------------------------------------------------


def setting(account: Account, *, name: str, of_cluster: bool = False, holds: Callable[[Any], bool] = bool) -> Verdict:
    """`of_cluster`: in a cluster, it is the cluster's."""
    instance = _instance(account)
    cluster = instance.get("DBClusterIdentifier", "") if of_cluster else ""
    value = (_cluster(account, cluster) if cluster else instance).get(name)
    said = {"setting": name, "value": "–" if value in (None, "", []) else str(value)}
    if cluster:
        return value is not None and holds(value), Text(_("The cluster's %(setting)s is: %(value)s."), said)
    return holds(value), Text(_("The instance's %(setting)s is: %(value)s."), said)


def inside_vpc(account: Account) -> Verdict:
    vpc = _instance(account).get("DBSubnetGroup", {}).get("VpcId")
    return bool(vpc), Text(_("The instance's %(setting)s is: %(value)s."), {"setting": "VpcId", "value": vpc or "–"})


def non_default_port(account: Account) -> Verdict:
    instance = _instance(account)
    port, engine = instance.get("Endpoint", {}).get("Port"), instance["Engine"]
    is_default = any(name in engine.lower() for name in DEFAULT_PORTS.get(port, ()))
    return not is_default, Text(_("The instance listens on port %(port)s for %(engine)s."), {"port": str(port), "engine": engine})


def engine_version(account: Account) -> Verdict:
    instance = _instance(account)
    engine, version = instance["Engine"], instance["EngineVersion"]
    offered = account.ask_all("rds", "describe_db_engine_versions", "DBEngineVersions", Engine=engine)
    said = {"engine": engine, "version": version}
    if any(known["EngineVersion"] == version for known in offered):
        return True, Text(_("AWS still offers %(engine)s %(version)s."), said)
    return False, Text(_("AWS no longer offers %(engine)s %(version)s."), said)


def certificate(account: Account) -> Verdict:
    authority = _instance(account).get("CACertificateIdentifier")
    found = account.ask("rds", "describe_certificates", CertificateIdentifier=authority)["Certificates"] if authority else []
    if not found:
        return False, Text(_("The instance's certificate is not known to AWS."))
    ends = found[-1]["ValidTill"]
    return ends > _later(account.at, WARNING), Text(_("The instance's certificate ends at %(at)s."), {"at": ends.isoformat()})


def transport_encrypted(account: Account) -> Verdict:
    if _kind(account) == "cluster":
        cluster = _cluster(account, _id(account))
        if not cluster:
            raise asset_gone(account)
        group = cluster["DBClusterParameterGroup"]
        found = account.ask_all("rds", "describe_db_cluster_parameters", "Parameters", DBClusterParameterGroupName=group)
        wanted = {"rds.force_ssl": "1", "require_secure_transport": "ON"}
    else:
        instance = _instance(account)
        groups = [group["DBParameterGroupName"] for group in instance["DBParameterGroups"]]
        found = [
            parameter
            for group in groups
            for parameter in account.ask_all("rds", "describe_db_parameters", "Parameters", DBParameterGroupName=group)
        ]
        wanted = {"rds.force_ssl" if instance["Engine"] in FORCE_SSL else "require_secure_transport": "1"}
    if any(wanted.get(one["ParameterName"], "") == one.get("ParameterValue") for one in found):
        return True, Text(_("The parameter groups demand TLS."))
    return False, Text(_("The parameter groups do not demand TLS."))


# --- reach --------------------------------------------------------------------------------------------------------------------


def public_access(account: Account) -> Verdict:
    """Public is what is set so, in a public subnet, with its port open to everybody."""
    instance = _instance(account)
    port = instance.get("Endpoint", {}).get("Port")
    if not instance.get("PubliclyAccessible"):
        return True, Text(_("The instance is not publicly accessible."))
    if not port or not _is_open(account, instance, port):
        return True, Text(_("No security group opens the instance's port to everybody."))
    for subnet in instance.get("DBSubnetGroup", {}).get("Subnets", []):
        if subnet["SubnetStatus"] == "Active" and has_public_route(account, subnet["SubnetIdentifier"]):
            said = {"subnet": subnet["SubnetIdentifier"], "port": port}
            return False, Text(_("Port %(port)s is open to everybody, in the public subnet %(subnet)s."), said)
    return True, Text(_("The instance is in no public subnet."))


def _is_open(account: Account, instance: Fact, port: int) -> bool:
    groups = [group["VpcSecurityGroupId"] for group in instance["VpcSecurityGroups"] if group["Status"] == "active"]
    if not groups:
        return False
    wanted = [{"Name": "group-id", "Values": groups}]
    found = account.ask_all("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted)
    return any(opens(rule, port) for group in found for rule in group["IpPermissions"])


# --- backup plans and events --------------------------------------------------------------------------------------------------


def backup_plan(account: Account) -> Verdict:
    """A plan of the region names the instance, all instances or everything; what it selects by tags does not count in Prowler."""
    _instance(account)
    partition = account.target.asset.split(":")[1]
    wanted = {account.target.asset, f"arn:{partition}:rds:*:*:instance:*", "*"}
    for plan in account.ask_all("backup", "list_backup_plans", "BackupPlansList"):
        plan_id = plan["BackupPlanId"]
        for selection in account.ask_all("backup", "list_backup_selections", "BackupSelectionsList", BackupPlanId=plan_id):
            one = account.ask("backup", "get_backup_selection", BackupPlanId=plan_id, SelectionId=selection["SelectionId"])
            if not wanted.isdisjoint(one["BackupSelection"].get("Resources", [])):
                return True, Text(_("The backup plan %(plan)s protects the instance."), {"plan": plan.get("BackupPlanName", "")})
    return False, Text(_("No backup plan names the instance."))


def subscription(account: Account, *, source: str, categories: frozenset[str]) -> Verdict:
    """One of the region that is for these categories or for all."""
    found = account.ask_all("rds", "describe_event_subscriptions", "EventSubscriptionsList")
    for one in found:
        subscribed = frozenset(one.get("EventCategoriesList", []))
        if one.get("SourceType") == source and one["Enabled"] and subscribed in (frozenset(), categories):
            return True, Text(_("The subscription %(name)s is for these events."), {"name": one["CustSubscriptionId"]})
    return False, Text(_("No subscription is for these events: %(events)s."), {"events": ", ".join(sorted(categories))})


# --- snapshots ----------------------------------------------------------------------------------------------------------------


def snapshot_encrypted(account: Account) -> Verdict:
    if _kind(account) == "cluster-snapshot":
        found = account.ask("rds", "describe_db_cluster_snapshots", gone=GONE, DBClusterSnapshotIdentifier=_id(account))
        encrypted = [one.get("StorageEncrypted", False) for one in found["DBClusterSnapshots"]]
    else:
        found = account.ask("rds", "describe_db_snapshots", gone=GONE, DBSnapshotIdentifier=_id(account))
        encrypted = [one.get("Encrypted", False) for one in found["DBSnapshots"]]
    if not encrypted:
        raise asset_gone(account)
    if all(encrypted):
        return True, Text(_("The snapshot is encrypted."))
    return False, Text(_("The snapshot is not encrypted."))


def snapshot_public(account: Account) -> Verdict:
    if _kind(account) == "cluster-snapshot":
        found = account.ask(
            "rds", "describe_db_cluster_snapshot_attributes", gone=GONE, DBClusterSnapshotIdentifier=_id(account)
        )["DBClusterSnapshotAttributesResult"]["DBClusterSnapshotAttributes"]
    else:
        found = account.ask("rds", "describe_db_snapshot_attributes", gone=GONE, DBSnapshotIdentifier=_id(account))[
            "DBSnapshotAttributesResult"
        ]["DBSnapshotAttributes"]
    if any("all" in attribute["AttributeValues"] for attribute in found):
        return False, Text(_("The snapshot is for everybody."))
    return True, Text(_("The snapshot is not for everybody."))


JUDGES: dict[str, Judge] = {
    "rds_instance_backup_enabled": partial(setting, name="BackupRetentionPeriod"),
    "rds_instance_certificate_expiration": certificate,
    "rds_instance_copy_tags_to_snapshots": partial(setting, name="CopyTagsToSnapshot"),
    "rds_instance_critical_event_subscription": partial(
        subscription, source="db-instance", categories=frozenset({"maintenance", "configuration change", "failure"})
    ),
    "rds_instance_default_admin": partial(
        setting, name="MasterUsername", of_cluster=True, holds=lambda name: name not in DEFAULT_NAMES
    ),
    "rds_instance_deletion_protection": partial(setting, name="DeletionProtection", of_cluster=True),
    "rds_instance_deprecated_engine_version": engine_version,
    "rds_instance_enhanced_monitoring_enabled": partial(setting, name="EnhancedMonitoringResourceArn"),
    "rds_instance_event_subscription_parameter_groups": partial(
        subscription, source="db-parameter-group", categories=frozenset({"configuration change"})
    ),
    "rds_instance_event_subscription_security_groups": partial(
        subscription, source="db-security-group", categories=frozenset({"failure", "configuration change"})
    ),
    "rds_instance_iam_authentication_enabled": partial(setting, name="IAMDatabaseAuthenticationEnabled"),
    "rds_instance_inside_vpc": inside_vpc,
    "rds_instance_integration_cloudwatch_logs": partial(setting, name="EnabledCloudwatchLogsExports"),
    "rds_instance_minor_version_upgrade_enabled": partial(setting, name="AutoMinorVersionUpgrade"),
    "rds_instance_multi_az": partial(setting, name="MultiAZ", of_cluster=True),
    "rds_instance_no_public_access": public_access,
    "rds_instance_non_default_port": non_default_port,
    "rds_instance_protected_by_backup_plan": backup_plan,
    "rds_instance_storage_encrypted": partial(setting, name="StorageEncrypted"),
    "rds_instance_transport_encrypted": transport_encrypted,
    "rds_snapshots_encrypted": snapshot_encrypted,
    "rds_snapshots_public_access": snapshot_public,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _kind(account: Account) -> str:
    """`db`, `cluster`, `snapshot` or `cluster-snapshot`."""
    return account.target.asset.split(":")[5]


def _id(account: Account) -> str:
    """Names of automated snapshots hold a colon: `rds:orders-2026-11-21`."""
    return account.target.asset.split(":", 6)[6]


def _instance(account: Account) -> Fact:
    found: list[Fact] = account.ask("rds", "describe_db_instances", gone=GONE, DBInstanceIdentifier=_id(account))["DBInstances"]
    if not found:
        raise asset_gone(account)
    return found[0]


def _cluster(account: Account, name: str) -> Fact:
    found = account.ask("rds", "describe_db_clusters", absent=NO_CLUSTER, DBClusterIdentifier=name).get("DBClusters", [])
    return found[0] if found else {}


def _later(at: datetime, months: int) -> datetime:
    years, month = divmod(at.month - 1 + months, 12)
    return at.replace(year=at.year + years, month=month + 1, day=min(at.day, monthrange(at.year + years, month + 1)[1]))
