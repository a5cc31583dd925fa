"""Security groups, network ACLs, VPCs and their subnets: what lets the internet in. What is fixed here passes in Prowler.

In Prowler the verdict of a check on one port depends on its siblings: a group that is open on all ports passes there, as another check
failed already, and a group that nothing uses is left out of a scan. Here a check says what its name says, whatever the others do.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from ipaddress import ip_network

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, verified
from integrations.verifiers._aws_ec2 import Kind, found, where
from integrations.verifiers._aws_network import (
    EVERYWHERE,
    Fact,
    entries,
    from_anywhere,
    has_public_route,
    is_all_ports,
    is_all_traffic,
    is_global,
    opens,
    sources,
)
from triage.ports import Judgement, Target, Text

LABEL = _("AWS network")

GROUP = Kind(
    "describe_security_groups", "SecurityGroups", "GroupIds", frozenset({"InvalidGroup.NotFound", "InvalidGroupId.NotFound"})
)
ACL = Kind("describe_network_acls", "NetworkAcls", "NetworkAclIds", frozenset({"InvalidNetworkAclID.NotFound"}))
NETWORK = Kind("describe_vpcs", "Vpcs", "VpcIds", frozenset({"InvalidVpcID.NotFound"}))
SUBNET = Kind("describe_subnets", "Subnets", "SubnetIds", frozenset({"InvalidSubnetID.NotFound"}))

PREFIX = "ec2_securitygroup_allow_ingress_from_internet_to_"
PORTS = {
    "tcp_port_22": (22,),
    "tcp_port_3389": (3389,),
    "tcp_port_cassandra_7199_9160_8888": (7199, 9160, 8888),
    "tcp_port_elasticsearch_kibana_9200_9300_5601": (9200, 9300, 5601),
    "tcp_port_ftp_20_21": (20, 21),
    "tcp_port_kafka_9092": (9092,),
    "tcp_port_memcached_11211": (11211,),
    "tcp_port_mongodb_27017_27018": (27017, 27018),
    "tcp_port_mysql_3306": (3306,),
    "tcp_port_oracle_1521_2483": (1521, 2483),
    "tcp_port_postgres_5432": (5432,),
    "tcp_port_redis_6379": (6379,),
    "tcp_port_sql_server_1433_1434": (1433, 1434),
    "tcp_port_telnet_23": (23,),
    "high_risk_tcp_ports": (25, 110, 135, 143, 445, 3000, 4333, 5000, 5500, 8080, 8088),  # Prowler's ec2_high_risk_ports
}
HARMLESS_INTERFACES = frozenset({"api_gateway_managed", "vpc_endpoint"})  # Prowler's ec2_allowed_interface_types
HARMLESS_OWNERS = frozenset({"amazon-elb"})  # Prowler's ec2_allowed_instance_owners
NARROW = 24  # bits of a range: shorter ones are wide


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


# --- security groups --------------------------------------------------------------------------------------------------------------


def open_ports(account: Account, *, ports: Sequence[int]) -> Verdict:
    rules = found(account, GROUP)["IpPermissions"]
    open_ = [port for port in ports if any(opens(rule, port) for rule in rules)]
    if open_:
        return False, Text(_("Everybody reaches: TCP %(ports)s."), {"ports": ", ".join(map(str, open_))})
    return True, Text(_("Nobody from the internet reaches: TCP %(ports)s."), {"ports": ", ".join(map(str, ports))})


def all_ports(account: Account) -> Verdict:
    if any(from_anywhere(rule) and is_all_ports(rule) for rule in found(account, GROUP)["IpPermissions"]):
        return False, Text(_("All ports are open to everybody."))
    return True, Text(_("No rule opens all ports to everybody."))


def any_port(account: Account) -> Verdict:
    """Interfaces of load balancers and endpoints may be open; a group that no interface has lets nobody in."""
    if not any(from_anywhere(rule) and _has_ports(rule) for rule in found(account, GROUP)["IpPermissions"]):
        return True, Text(_("No port is open to everybody."))
    attached = account.ask_all("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=where("group-id", account.name))
    exposed = [each for each in attached if not _is_harmless(each)]
    if exposed:
        return False, Text(_("A port is open to everybody, at %(interfaces)s."),
                           {"interfaces": ", ".join(each["NetworkInterfaceId"] for each in exposed[:5])})  # fmt: skip
    return True, Text(_("A port is open to everybody, but no interface of an instance has the group."))


def from_public_address(account: Account) -> Verdict:
    """A rule that names an address and lets one of the internet in; 0.0.0.0/0 alone is for the other checks."""
    for rule in found(account, GROUP)["IpPermissions"]:
        named = [source for source in sources(rule) if source not in EVERYWHERE]
        if named and _has_ports(rule) and any(is_global(source) for source in sources(rule)):
            return False, Text(_("A port is open to %(addresses)s."), {"addresses": ", ".join(named[:5])})
    return True, Text(_("No port is open to an address of the internet."))


def wide_ranges(account: Account) -> Verdict:
    group = found(account, GROUP)
    rules = [*group["IpPermissions"], *group["IpPermissionsEgress"]]
    ranges = [ip_network(each["CidrIp"], strict=False) for rule in rules for each in rule.get("IpRanges", [])]
    wide = [str(each) for each in ranges if each.is_global and 0 < each.prefixlen < NARROW]
    if wide:
        return False, Text(_("A rule names %(ranges)s."), {"ranges": ", ".join(wide[:5])})
    return True, Text(_("No rule names a wide range of the internet."))


def default_group(account: Account) -> Verdict:
    group = found(account, GROUP)
    if group["IpPermissions"] or group["IpPermissionsEgress"]:
        return False, Text(_("The default group has rules."))
    return True, Text(_("The default group has no rules."))


# --- network ACLs -------------------------------------------------------------------------------------------------------------------


def acl_lets_in(account: Account, *, protocol: str, port: int) -> Verdict:
    """The first entry about everybody and this port decides, for each family of addresses."""
    acl = found(account, ACL)
    if any(_lets_in(entries(acl, family), family, everybody, protocol, port) for family, everybody in FAMILIES):
        return False, Text(_("The network ACL lets everybody in."))
    return True, Text(_("The network ACL does not let everybody in."))


FAMILIES = (("CidrBlock", "0.0.0.0/0"), ("Ipv6CidrBlock", "::/0"))


def _lets_in(rules: Iterator[Fact], family: str, everybody: str, protocol: str, port: int) -> bool:
    for rule in rules:
        if rule[family] == everybody and _is_about(rule, protocol, port):
            return bool(rule["RuleAction"] == "allow")
    return False


def _is_about(rule: Fact, protocol: str, port: int) -> bool:
    if rule["Protocol"] == "-1":
        return True
    ports = rule.get("PortRange")
    return bool(rule["Protocol"] == protocol and ports and ports["From"] <= port <= ports["To"])


# --- VPCs and subnets ---------------------------------------------------------------------------------------------------------------


def flow_logs(account: Account) -> Verdict:
    found(account, NETWORK)
    if account.ask_all("ec2", "describe_flow_logs", "FlowLogs", Filters=where("resource-id", account.name)):
        return True, Text(_("The VPC has flow logs."))
    return False, Text(_("The VPC has no flow logs."))


def ec2_endpoint(account: Account) -> Verdict:
    found(account, NETWORK)
    endpoints = account.ask_all("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=where("vpc-id", account.name))
    if any("ec2" in each["ServiceName"] for each in endpoints):
        return True, Text(_("The VPC has an endpoint for EC2."))
    return False, Text(_("The VPC has no endpoint for EC2."))


def separate_subnets(account: Account) -> Verdict:
    found(account, NETWORK)
    subnets = account.ask_all("ec2", "describe_subnets", "Subnets", Filters=where("vpc-id", account.name))
    if {has_public_route(account, subnet["SubnetId"]) for subnet in subnets} == {True, False}:
        return True, Text(_("The VPC has private and public subnets."))
    return False, Text(_("The VPC does not have both private and public subnets."))


def no_public_addresses(account: Account) -> Verdict:
    if found(account, SUBNET).get("MapPublicIpOnLaunch"):
        return False, Text(_("The subnet gives public addresses by itself."))
    return True, Text(_("The subnet gives no public addresses by itself."))


def _has_ports(rule: Fact) -> bool:
    return is_all_traffic(rule) or "FromPort" in rule


def _is_harmless(interface: Fact) -> bool:
    return (
        interface.get("InterfaceType") in HARMLESS_INTERFACES
        or interface.get("Attachment", {}).get("InstanceOwnerId") in HARMLESS_OWNERS
    )


JUDGES: dict[str, Judge] = {
    **{PREFIX + name: partial(open_ports, ports=ports) for name, ports in PORTS.items()},
    PREFIX + "all_ports": all_ports,
    PREFIX + "any_port": any_port,
    PREFIX + "any_port_from_ip": from_public_address,
    "ec2_securitygroup_allow_wide_open_public_ipv4": wide_ranges,
    "ec2_securitygroup_default_restrict_traffic": default_group,
    "ec2_networkacl_allow_ingress_any_port": partial(acl_lets_in, protocol="-1", port=0),
    "ec2_networkacl_allow_ingress_tcp_port_22": partial(acl_lets_in, protocol="6", port=22),
    "ec2_networkacl_allow_ingress_tcp_port_3389": partial(acl_lets_in, protocol="6", port=3389),
    "vpc_flow_logs_enabled": flow_logs,
    "vpc_endpoint_for_ec2_enabled": ec2_endpoint,
    "vpc_subnet_separate_private_public": separate_subnets,
    "vpc_subnet_no_public_ip_by_default": no_public_addresses,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)
