"""What lets the internet in: rules of security groups, routes of subnets."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from integrations.verifiers._aws import Account
from integrations.verifiers._aws_ec2 import where

Fact = Mapping[str, Any]

EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})
ALL_PORTS = 65536
# Halves and quarters of the internet are the internet, too; Prowler knows the whole alone.
WIDE = {4: 4, 6: 4}


def sources(rule: Fact) -> list[str]:
    """The address ranges of a rule, of both families."""
    four = [each["CidrIp"] for each in rule.get("IpRanges", [])]
    return four + [each["CidrIpv6"] for each in rule.get("Ipv6Ranges", [])]


def from_anywhere(rule: Fact) -> bool:
    return any(_is_everywhere(source) for source in sources(rule))


def opens(rule: Fact, port: int) -> bool:
    """Whether everybody reaches this TCP port by the rule."""
    return from_anywhere(rule) and (
        is_all_traffic(rule) or (rule["IpProtocol"] == "tcp" and rule["FromPort"] <= port <= rule["ToPort"])
    )


def is_all_traffic(rule: Fact) -> bool:
    return bool(rule["IpProtocol"] == "-1")


def is_all_ports(rule: Fact) -> bool:
    return is_all_traffic(rule) or ("FromPort" in rule and rule["ToPort"] - rule["FromPort"] + 1 == ALL_PORTS)


def is_global(source: str) -> bool:
    """Whether it is of the internet's addresses."""
    return source in EVERYWHERE or ip_network(source, strict=False).is_global


def has_public_route(account: Account, subnet: str) -> bool:
    """By its route table; without one of its own, Prowler looks at the main tables of all networks of the region."""
    tables = account.ask_all("ec2", "describe_route_tables", "RouteTables", Filters=where("association.subnet-id", subnet))
    tables = tables or account.ask_all("ec2", "describe_route_tables", "RouteTables", Filters=where("association.main", "true"))
    return any(
        (route.get("GatewayId") or "").startswith("igw-") and route.get("DestinationCidrBlock") == "0.0.0.0/0"
        for table in tables
        for route in table["Routes"]
    )


def entries(acl: Fact, family: str) -> Iterator[Fact]:
    """What a network ACL says of what comes in, in order. `family`: the name of its range, `CidrBlock` or `Ipv6CidrBlock`."""
    inward: Sequence[Fact] = [entry for entry in acl["Entries"] if not entry["Egress"] and family in entry]
    yield from sorted(inward, key=lambda entry: entry["RuleNumber"])


def _is_everywhere(source: str) -> bool:
    network = ip_network(source, strict=False)
    return source in EVERYWHERE or (network.prefixlen <= WIDE[network.version] and not network.is_private)
