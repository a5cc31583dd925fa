"""Security groups, network ACLs, VPCs and subnets, broken and repaired on moto."""

from datetime import UTC, datetime

import pytest

from integrations.verifiers import aws_network
from integrations.verifiers._aws_network import opens
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
ALL = {"IpProtocol": "-1"}
P = aws_network.PREFIX


def look(check, kind, name):
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{name}"
    return next(aws_network.verify([Target("prowler", check, "aws", ACCOUNT, REGION, arn, "")], AT))


def tcp(first, last=None, **ranges):
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last or first, **ranges}


def four(*cidrs):
    return {"IpRanges": [{"CidrIp": cidr} for cidr in cidrs]}


def six(*cidrs):
    return {"Ipv6Ranges": [{"CidrIpv6": cidr} for cidr in cidrs]}


class Net:
    """A VPC with a subnet and a group that an interface has."""

    def __init__(self, ec2):
        self.ec2 = ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        self.group = self.new_group("web")
        self.interface = ec2.create_network_interface(SubnetId=self.subnet, Groups=[self.group])["NetworkInterface"][
            "NetworkInterfaceId"
        ]

    def new_group(self, name):
        return self.ec2.create_security_group(GroupName=name, Description="x", VpcId=self.vpc)["GroupId"]

    def open(self, rule, group=None):
        self.ec2.authorize_security_group_ingress(GroupId=group or self.group, IpPermissions=[rule])

    def close(self, rule, group=None):
        self.ec2.revoke_security_group_ingress(GroupId=group or self.group, IpPermissions=[rule])


@pytest.fixture
def net(cloud):
    return Net(cloud.client("ec2"))


ANY4, ANY6 = four("0.0.0.0/0"), six("::/0")
RULES = [
    ("tcp_port_22", tcp(22, **ANY4), tcp(22, **four("203.0.113.0/24"))),
    ("tcp_port_22", tcp(22, **ANY6), tcp(22, **six("2001:db8::/32"))),
    ("tcp_port_22", tcp(20, 30, **ANY4), tcp(23, 30, **ANY4)),
    ("tcp_port_22", tcp(0, 65535, **ANY4), {"IpProtocol": "udp", "FromPort": 0, "ToPort": 65535, **ANY4}),
    ("tcp_port_22", {**ALL, **ANY4}, {**ALL, **four("10.0.0.0/8")}),  # Prowler passes it beside the check of all ports
    ("tcp_port_22", tcp(22, **four("0.0.0.0/1")), tcp(22, **four("198.51.0.0/16"))),  # half of the internet is the internet
    ("tcp_port_3389", tcp(3389, **ANY4), tcp(3390, **ANY4)),
    ("tcp_port_mysql_3306", tcp(3306, **ANY4), tcp(3306, **four("10.1.0.0/16"))),
    ("tcp_port_postgres_5432", tcp(5432, **ANY6), tcp(5433, **ANY6)),
    ("tcp_port_mongodb_27017_27018", tcp(27018, **ANY4), tcp(27019, **ANY4)),
    ("high_risk_tcp_ports", tcp(8080, **ANY4), tcp(8081, **ANY4)),
    ("all_ports", tcp(0, 65535, **ANY4), tcp(1, 65535, **ANY4)),
    ("all_ports", {**ALL, **ANY6}, {**ALL, **six("2001:db8::/32")}),
    ("any_port", tcp(443, **ANY4), tcp(443, **four("203.0.113.7/32"))),
    ("any_port_from_ip", tcp(443, **four("8.8.8.8/32")), tcp(443, **four("10.0.0.8/32"))),
    ("any_port_from_ip", tcp(443, **four("10.0.0.8/32", "0.0.0.0/0")), tcp(443, **ANY4)),
]  # fmt: skip


@pytest.mark.parametrize(("check", "wrong", "right"), RULES)
def test_a_group_that_is_open_fails_and_passes_when_it_is_narrowed(net, check, wrong, right):
    net.open(wrong)
    failing = look(P + check, "security-group", net.group)
    net.close(wrong)
    net.open(right)
    fixed = look(P + check, "security-group", net.group)
    assert (failing.outcome, fixed.outcome) == (Outcome.FAILING, Outcome.FIXED)
    assert fixed.exchanges[-1].operation in ("DescribeSecurityGroups", "DescribeNetworkInterfaces")
    net.ec2.delete_network_interface(NetworkInterfaceId=net.interface)
    net.ec2.delete_security_group(GroupId=net.group)
    assert look(P + check, "security-group", net.group).outcome == Outcome.GONE


def test_every_check_of_ports_answers(net):
    for name, ports in aws_network.PORTS.items():
        assert look(P + name, "security-group", net.group).outcome == Outcome.FIXED
        for port in ports:
            net.open(tcp(port, **ANY4))
            assert look(P + name, "security-group", net.group).outcome == Outcome.FAILING, (name, port)
            net.close(tcp(port, **ANY4))


def test_an_open_group_that_no_interface_has_lets_nobody_in(net):
    lonely = net.new_group("lonely")
    net.open(tcp(443, **ANY4), lonely)
    assert look(P + "any_port", "security-group", lonely).outcome == Outcome.FIXED
    assert look(P + "tcp_port_22", "security-group", lonely).outcome == Outcome.FIXED
    net.open(tcp(22, **ANY4), lonely)
    assert look(P + "tcp_port_22", "security-group", lonely).outcome == Outcome.FAILING  # it waits for its interface


def test_wide_ranges_in_and_out(net):
    check = "ec2_securitygroup_allow_wide_open_public_ipv4"
    assert look(check, "security-group", net.group).outcome == Outcome.FIXED  # everybody is for other checks
    wide = tcp(443, **four("8.0.0.0/9"))
    net.open(wide)
    assert look(check, "security-group", net.group).outcome == Outcome.FAILING
    net.close(wide)
    net.ec2.authorize_security_group_egress(GroupId=net.group, IpPermissions=[wide])
    assert look(check, "security-group", net.group).outcome == Outcome.FAILING


def test_the_default_group_has_no_rules(net):
    check = "ec2_securitygroup_default_restrict_traffic"
    groups = net.ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [net.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )
    (group,) = groups["SecurityGroups"]
    assert look(check, "security-group", group["GroupId"]).outcome == Outcome.FAILING
    if group["IpPermissions"]:
        net.ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    net.ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
    assert look(check, "security-group", group["GroupId"]).outcome == Outcome.FIXED


@pytest.mark.parametrize(
    ("check", "denied"),
    [
        ("ec2_networkacl_allow_ingress_any_port", {"Protocol": "-1"}),
        ("ec2_networkacl_allow_ingress_tcp_port_22", {"Protocol": "6", "PortRange": {"From": 22, "To": 22}}),
        ("ec2_networkacl_allow_ingress_tcp_port_3389", {"Protocol": "6", "PortRange": {"From": 3000, "To": 4000}}),
    ],
)
def test_a_network_acl_is_read_in_order(net, check, denied):
    acl = net.ec2.create_network_acl(VpcId=net.vpc)["NetworkAcl"]["NetworkAclId"]
    assert look(check, "network-acl", acl).outcome == Outcome.FIXED
    entry = {"NetworkAclId": acl, "Egress": False}
    net.ec2.create_network_acl_entry(**entry, RuleNumber=100, Protocol="-1", RuleAction="allow", CidrBlock="0.0.0.0/0")
    assert look(check, "network-acl", acl).outcome == Outcome.FAILING
    net.ec2.create_network_acl_entry(**entry, RuleNumber=90, RuleAction="deny", CidrBlock="0.0.0.0/0", **denied)
    assert look(check, "network-acl", acl).outcome == Outcome.FIXED
    net.ec2.create_network_acl_entry(**entry, RuleNumber=110, Protocol="-1", RuleAction="allow", Ipv6CidrBlock="::/0")
    assert look(check, "network-acl", acl).outcome == Outcome.FAILING
    net.ec2.delete_network_acl(NetworkAclId=acl)
    assert look(check, "network-acl", acl).outcome == Outcome.ERROR  # moto answers with the code of a route table


def test_flow_logs(net, cloud):
    assert look("vpc_flow_logs_enabled", "vpc", net.vpc).outcome == Outcome.FAILING
    cloud.client("logs").create_log_group(logGroupName="flows")
    net.ec2.create_flow_logs(
        ResourceType="VPC", ResourceIds=[net.vpc], TrafficType="ALL", LogGroupName="flows",
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/flows",
    )  # fmt: skip
    assert look("vpc_flow_logs_enabled", "vpc", net.vpc).outcome == Outcome.FIXED
    assert look("vpc_flow_logs_enabled", "vpc", "vpc-0123456789abcdef0").outcome == Outcome.GONE


def test_an_endpoint_for_ec2(net):
    assert look("vpc_endpoint_for_ec2_enabled", "vpc", net.vpc).outcome == Outcome.FAILING
    net.ec2.create_vpc_endpoint(VpcId=net.vpc, ServiceName=f"com.amazonaws.{REGION}.ec2", VpcEndpointType="Interface")
    assert look("vpc_endpoint_for_ec2_enabled", "vpc", net.vpc).outcome == Outcome.FIXED


def test_subnets_private_and_public(net):
    check = "vpc_subnet_separate_private_public"
    assert look(check, "vpc", net.vpc).outcome == Outcome.FAILING
    public = net.ec2.create_subnet(VpcId=net.vpc, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    gateway = net.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    net.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    table = net.ec2.create_route_table(VpcId=net.vpc)["RouteTable"]["RouteTableId"]
    net.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    net.ec2.associate_route_table(RouteTableId=table, SubnetId=public)
    assert look(check, "vpc", net.vpc).outcome == Outcome.FIXED


def test_a_subnet_that_gives_public_addresses(net):
    check = "vpc_subnet_no_public_ip_by_default"
    net.ec2.modify_subnet_attribute(SubnetId=net.subnet, MapPublicIpOnLaunch={"Value": True})
    assert look(check, "subnet", net.subnet).outcome == Outcome.FAILING
    net.ec2.modify_subnet_attribute(SubnetId=net.subnet, MapPublicIpOnLaunch={"Value": False})
    assert look(check, "subnet", net.subnet).outcome == Outcome.FIXED
    assert look(check, "subnet", "subnet-0123456789abcdef0").outcome == Outcome.GONE


def test_without_rights_nothing_is_judged(net, cloud, monkeypatch):
    with cloud.allowing_nothing(monkeypatch):
        for check in sorted(aws_network.JUDGES):
            kind = {"ec2_networkacl": "network-acl", "vpc_subnet_no": "subnet", "vpc": "vpc"}.get(check[:14], "security-group")
            answer = look(check, kind, net.group)
            assert (answer.outcome, answer.missing[:12]) == (Outcome.DENIED, "ec2:Describe"), check


def test_what_has_no_ports_opens_none():
    assert not opens({"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, **ANY4}, 22)
    assert not opens({"IpProtocol": "58", **ANY6}, 22)
