from datetime import UTC, datetime

import pytest

from integrations.verifiers import aws_rds
from integrations.verifiers._aws_network import opens
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 30, 10, tzinfo=UTC)
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE
OF_ACCOUNT = {check for check in aws_rds.JUDGES if "subscription" in check}
OF_SNAPSHOTS = {"rds_snapshots_encrypted", "rds_snapshots_public_access"}


def arn(kind):
    return f"arn:aws:rds:{REGION}:{ACCOUNT}:{kind}"


ORDERS = arn("db:orders")


def look(check, asset=ORDERS):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=REGION, asset=asset, asset_name="orders",
    )  # fmt: skip
    return next(aws_rds.verify([target], AT))


def answering(monkeypatch, **answers):
    """What moto has not: the operation's answer."""
    ask = aws_rds.Account.ask
    monkeypatch.setattr(
        aws_rds.Account,
        "ask",
        lambda self, service, operation, **request: (
            answers[operation] if operation in answers else ask(self, service, operation, **request)
        ),
    )


@pytest.fixture
def rds(cloud):
    return cloud.client("rds")


def instance(rds, **more):
    rds.create_db_instance(
        **{
            "DBInstanceIdentifier": "orders", "DBInstanceClass": "db.t3.micro", "Engine": "postgres", "MasterUsername": "owner",
            "MasterUserPassword": "Correct-horse-9", "AllocatedStorage": 20,
        }
        | more
    )  # fmt: skip


# --- settings -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("rds_instance_backup_enabled", {"BackupRetentionPeriod": 0}, {"BackupRetentionPeriod": 7}),
        ("rds_instance_copy_tags_to_snapshots", {}, {"CopyTagsToSnapshot": True}),
        ("rds_instance_default_admin", {"MasterUsername": "postgres"}, {"MasterUsername": "owner"}),
        ("rds_instance_deletion_protection", {}, {"DeletionProtection": True}),
        ("rds_instance_iam_authentication_enabled", {}, {"EnableIAMDatabaseAuthentication": True}),
        ("rds_instance_integration_cloudwatch_logs", {}, {"EnableCloudwatchLogsExports": ["postgresql"]}),
        ("rds_instance_minor_version_upgrade_enabled", {"AutoMinorVersionUpgrade": False}, {"AutoMinorVersionUpgrade": True}),
        ("rds_instance_multi_az", {}, {"MultiAZ": True}),
        ("rds_instance_non_default_port", {"Port": 5432}, {"Port": 6000}),
        ("rds_instance_storage_encrypted", {"StorageEncrypted": False}, {"StorageEncrypted": True}),
    ],
)
def test_a_setting(rds, check, broken, repaired):
    assert look(check).outcome == GONE
    instance(rds, **broken)
    failing = look(check)
    rds.delete_db_instance(DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
    instance(rds, **repaired)

    assert (failing.outcome, look(check).outcome) == (FAILS, PASSES)


@pytest.mark.parametrize("check", sorted(set(aws_rds.JUDGES) - OF_ACCOUNT - OF_SNAPSHOTS))
def test_a_deleted_instance_is_gone(cloud, check):
    assert look(check).outcome == GONE


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("rds_instance_deletion_protection", {"DeletionProtection": False}, {"DeletionProtection": True}),
        ("rds_instance_multi_az", {"MultiAZ": False}, {"MultiAZ": True}),
        ("rds_instance_default_admin", {"MasterUsername": "admin"}, {"MasterUsername": "owner"}),
    ],
)
def test_a_setting_of_the_cluster(rds, monkeypatch, check, broken, repaired):
    known = {"DBInstances": [{"DBClusterIdentifier": "shop", "DeletionProtection": True, "MultiAZ": True, "MasterUsername": "x"}]}
    seen = []
    for clusters in ([], [broken], [repaired]):
        answering(monkeypatch, describe_db_instances=known, describe_db_clusters={"DBClusters": clusters})
        seen.append(look(check).outcome)

    assert seen == [FAILS, FAILS, PASSES]


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("rds_instance_enhanced_monitoring_enabled", {}, {"EnhancedMonitoringResourceArn": "arn:aws:logs:x"}),
        ("rds_instance_inside_vpc", {}, {"DBSubnetGroup": {"VpcId": "vpc-1"}}),
    ],
)
def test_what_moto_s_instances_always_have(rds, monkeypatch, check, broken, repaired):
    seen = []
    for known in (broken, repaired):
        answering(monkeypatch, describe_db_instances={"DBInstances": [known]})
        seen.append(look(check).outcome)

    assert seen == [FAILS, PASSES]


def test_a_version_that_aws_does_not_offer_any_more(rds, monkeypatch):
    instance(rds, EngineVersion="12.5")
    seen = []
    for version in ("16.4", "12.5"):
        answering(monkeypatch, describe_db_engine_versions={"DBEngineVersions": [{"EngineVersion": version}]})
        seen.append(look("rds_instance_deprecated_engine_version").outcome)

    assert seen == [FAILS, PASSES]


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [((2027, 2, 28), FAILS), ((2027, 3, 1), PASSES), ((2026, 11, 1), FAILS), ((2061, 5, 1), PASSES)],
)
def test_a_certificate_is_good_for_three_months(rds, monkeypatch, ends, outcome):
    known = {"Certificates": [{"ValidTill": datetime(*ends, tzinfo=UTC)}]}
    one = {"DBInstances": [{"CACertificateIdentifier": "rds-ca-rsa2048-g1"}]}
    answering(monkeypatch, describe_db_instances=one, describe_certificates=known)

    assert look("rds_instance_certificate_expiration").outcome == outcome


def test_tls_is_demanded_by_the_parameter_group(rds):
    rds.create_db_parameter_group(DBParameterGroupName="tls", DBParameterGroupFamily="postgres16", Description="x")
    instance(rds, DBParameterGroupName="tls")
    failing = look("rds_instance_transport_encrypted")
    wanted = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}]
    rds.modify_db_parameter_group(DBParameterGroupName="tls", Parameters=wanted)

    assert (failing.outcome, look("rds_instance_transport_encrypted").outcome) == (FAILS, PASSES)


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [("rds.force_ssl", "1", PASSES), ("require_secure_transport", "ON", PASSES), ("require_secure_transport", "OFF", FAILS)],
)
def test_tls_of_a_cluster(rds, monkeypatch, name, value, outcome):
    cluster = arn("cluster:shop")
    assert look("rds_instance_transport_encrypted", cluster).outcome == GONE
    parameters = {"Parameters": [{"ParameterName": name, "ParameterValue": value}, {"ParameterName": "other"}]}
    clusters = {"DBClusters": [{"DBClusterParameterGroup": "tls"}]}
    answering(monkeypatch, describe_db_clusters=clusters, describe_db_cluster_parameters=parameters)

    assert look("rds_instance_transport_encrypted", cluster).outcome == outcome


# --- reach --------------------------------------------------------------------------------------------------------------------


def test_public_is_what_is_reached_from_everywhere(rds, cloud):
    check, ec2 = "rds_instance_no_public_access", cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    group = ec2.create_security_group(GroupName="db", Description="x", VpcId=vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    rds.create_db_subnet_group(DBSubnetGroupName="db", DBSubnetGroupDescription="x", SubnetIds=[subnet])
    instance(rds, PubliclyAccessible=True, Port=5432, VpcSecurityGroupIds=[group], DBSubnetGroupName="db")
    assert look(check).outcome == FAILS

    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    assert look(check).outcome == PASSES
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert look(check).outcome == PASSES
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert look(check).outcome == FAILS
    rds.modify_db_instance(DBInstanceIdentifier="orders", PubliclyAccessible=False)
    assert look(check).outcome == PASSES


@pytest.mark.parametrize(
    ("rule", "open_"),
    [
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, True),
        ({"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}, True),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "8.8.8.0/24"}]}, False),
        ({"IpProtocol": "udp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, False),
        ({"IpProtocol": "tcp", "FromPort": 5433, "ToPort": 6000, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, False),
        ({"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, True),
    ],
)
def test_which_rule_opens_a_port(rule, open_):
    assert opens(rule, 5432) is open_


# --- backup plans and events --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "outcome"),
    [
        ([arn("db:orders")], PASSES),
        (["*"], PASSES),
        (["arn:aws:rds:*:*:instance:*"], PASSES),
        ([arn("db:other")], FAILS),
        ([], FAILS),
    ],
)
def test_a_backup_plan(rds, monkeypatch, resources, outcome):
    instance(rds)
    answering(
        monkeypatch,
        list_backup_plans={"BackupPlansList": [{"BackupPlanId": "1", "BackupPlanName": "daily"}]},
        list_backup_selections={"BackupSelectionsList": [{"SelectionId": "2"}]},
        get_backup_selection={"BackupSelection": {"Resources": resources}},
    )

    assert look("rds_instance_protected_by_backup_plan").outcome == outcome


@pytest.mark.parametrize(
    ("check", "source", "broken", "repaired"),
    [
        (
            "rds_instance_critical_event_subscription",
            "db-instance",
            ["maintenance", "failure"],
            ["maintenance", "failure", "configuration change"],
        ),
        ("rds_instance_event_subscription_parameter_groups", "db-parameter-group", ["other"], ["configuration change"]),
        ("rds_instance_event_subscription_security_groups", "db-security-group", ["failure"], []),
    ],
)
def test_one_subscription_of_the_region_will_do(rds, check, source, broken, repaired):
    def subscribe(name, source, categories):
        rds.create_event_subscription(
            SubscriptionName=name, SnsTopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:x", SourceType=source, EventCategories=categories,
            Enabled=True, SourceIds=[],
        )  # fmt: skip

    account = arn("account")
    assert look(check, account).outcome == FAILS
    subscribe("a", source, broken)
    subscribe("b", "db-snapshot", [])
    assert look(check, account).outcome == FAILS
    subscribe("c", source, repaired)
    assert look(check, account).outcome == PASSES


# --- snapshots ----------------------------------------------------------------------------------------------------------------


def test_a_snapshot(rds):
    asset = arn("snapshot:orders-1")
    assert [look(check, asset).outcome for check in sorted(OF_SNAPSHOTS)] == [GONE, GONE]
    instance(rds, StorageEncrypted=False)
    rds.create_db_snapshot(DBSnapshotIdentifier="orders-1", DBInstanceIdentifier="orders")
    share = {"DBSnapshotIdentifier": "orders-1", "AttributeName": "restore"}
    rds.modify_db_snapshot_attribute(**share, ValuesToAdd=["all"])
    assert [look(check, asset).outcome for check in sorted(OF_SNAPSHOTS)] == [FAILS, FAILS]

    rds.modify_db_snapshot_attribute(**share, ValuesToRemove=["all"])
    instance(rds, DBInstanceIdentifier="safe", StorageEncrypted=True)
    rds.create_db_snapshot(DBSnapshotIdentifier="safe-1", DBInstanceIdentifier="safe")

    assert look("rds_snapshots_public_access", asset).outcome == PASSES
    assert look("rds_snapshots_encrypted", arn("snapshot:safe-1")).outcome == PASSES


def test_a_snapshot_of_a_cluster(rds):
    asset = arn("cluster-snapshot:shop-1")
    assert [look(check, asset).outcome for check in sorted(OF_SNAPSHOTS)] == [GONE, GONE]
    cluster = {"Engine": "aurora-postgresql", "MasterUsername": "owner", "MasterUserPassword": "Correct-horse-9"}
    for name, encrypted in (("shop", False), ("safe", True)):
        rds.create_db_cluster(DBClusterIdentifier=name, StorageEncrypted=encrypted, **cluster)
        rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=f"{name}-1", DBClusterIdentifier=name)
    share = {"DBClusterSnapshotIdentifier": "shop-1", "AttributeName": "restore"}
    rds.modify_db_cluster_snapshot_attribute(**share, ValuesToAdd=["all"])
    assert [look(check, asset).outcome for check in sorted(OF_SNAPSHOTS)] == [FAILS, FAILS]

    rds.modify_db_cluster_snapshot_attribute(**share, ValuesToRemove=["all"])

    assert look("rds_snapshots_public_access", asset).outcome == PASSES
    assert look("rds_snapshots_encrypted", arn("cluster-snapshot:safe-1")).outcome == PASSES


def test_the_name_of_an_automated_snapshot_holds_a_colon(rds):
    answer = look("rds_snapshots_encrypted", arn("snapshot:rds:orders-2026-11-21"))

    assert answer.exchanges[-1].request == {"DBSnapshotIdentifier": "rds:orders-2026-11-21"}


@pytest.mark.parametrize("check", sorted(aws_rds.JUDGES))
def test_a_missing_permission_is_never_a_verdict(rds, cloud, monkeypatch, check):
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check, arn("snapshot:x") if check in OF_SNAPSHOTS else arn("db:orders"))

    assert (answer.outcome, answer.missing.partition("Describe")[0]) == (Outcome.DENIED, "rds:")
