"""EC2: machines, their volumes, the networks and the rules around them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.collectors._aws_source import (
    Facts,
    Item,
    Part,
    Source,
    Tags,
    age,
    arn,
    flag,
    moment,
    number,
    ports,
    tags_of,
    text,
    texts,
)
from integrations.verifiers._aws import Account, asset_gone
from integrations.verifiers._aws_ec2 import VOLUME, where

EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})
ENDED = frozenset({"shutting-down", "terminated"})
CREATED = age("age_days", _("Days since it was created"))


def _all(operation: str, key: str, resource: str, id_: str) -> Callable[[Account], Iterator[Item]]:
    """The list of a kind whose answer is a list of them. `resource`: as in its ARN; `id_`: the member that is its id."""

    def listed(account: Account) -> Iterator[Item]:
        for raw in account.ask_all("ec2", operation, key):
            yield Item(arn(account, "ec2", f"{resource}/{raw[id_]}"), raw[id_], account.region, raw)

    return listed


def _one(operation: str, key: str, resource: str, id_: str, gone: frozenset[str]) -> Callable[[Account], Item]:
    def found(account: Account) -> Item:
        request: dict[str, Any] = {f"{id_}s": [account.name]}
        answer = account.ask("ec2", operation, gone=gone, **request)
        for raw in answer.get(key, []):
            return Item(arn(account, "ec2", f"{resource}/{raw[id_]}"), raw[id_], account.region, raw)
        raise asset_gone(account)

    return found


def _tags(_account: Account, raw: Any) -> Tags:
    return tags_of(raw.get("Tags"))


# --- instances ----------------------------------------------------------------------------------------------------------------


def _instances(account: Account) -> Iterator[Item]:
    for reservation in account.ask_all("ec2", "describe_instances", "Reservations"):
        yield from _living(account, reservation)


def _instance(account: Account) -> Item:
    gone = frozenset({"InvalidInstanceID.NotFound"})
    for reservation in account.ask("ec2", "describe_instances", gone=gone, InstanceIds=[account.name])["Reservations"]:
        for item in _living(account, reservation):
            return item
    raise asset_gone(account)


def _living(account: Account, reservation: Mapping[str, Any]) -> Iterator[Item]:
    for raw in reservation["Instances"]:
        if raw["State"]["Name"] not in ENDED:
            yield Item(arn(account, "ec2", f"instance/{raw['InstanceId']}"), raw["InstanceId"], account.region, raw)


def _about_instance(_account: Account, raw: Any) -> Facts:
    metadata = raw.get("MetadataOptions") or {}
    return {
        "state": raw["State"]["Name"],
        "instance_type": raw.get("InstanceType", ""),
        "image": raw.get("ImageId", ""),
        "public_ip": raw.get("PublicIpAddress", ""),
        "vpc": raw.get("VpcId", ""),
        "subnet": raw.get("SubnetId", ""),
        "security_groups": sorted(group["GroupId"] for group in raw.get("SecurityGroups", [])),
        "instance_profile": (raw.get("IamInstanceProfile") or {}).get("Arn", ""),
        "key_pair": raw.get("KeyName", ""),
        "imdsv2_required": metadata.get("HttpTokens") == "required" or metadata.get("HttpEndpoint") == "disabled",
        "monitoring": (raw.get("Monitoring") or {}).get("State") == "enabled",
        "started_days": moment(raw["LaunchTime"]),
    }


INSTANCE = Source(
    name="ec2_instance", label=_("EC2 instance"), type="AwsEc2Instance", service="ec2", listed=_instances, found=_instance, tags=_tags,
    parts=(
        Part(
            _about_instance,
            (
                text("state", _("pending, running, stopping or stopped")),
                text("instance_type", _("Type, such as t3.micro")),
                text("image", _("Image that it was started from")),
                text("public_ip", _("Public IPv4 address; empty without one")),
                text("vpc", _("Network that it is in")),
                text("subnet", _("Subnet that it is in")),
                texts("security_groups", _("Ids of its security groups")),
                text("instance_profile", _("ARN of the profile that gives it a role; empty without one")),
                text("key_pair", _("Name of its key pair; empty without one")),
                flag("imdsv2_required", _("Its metadata asks for a token, or is off")),
                flag("monitoring", _("Detailed monitoring is on")),
                age("started_days", _("Days since it was last started")),
            ),
        ),
    ),
)  # fmt: skip


# --- volumes ------------------------------------------------------------------------------------------------------------------


def _about_volume(_account: Account, raw: Any) -> Facts:
    return {
        "encrypted": bool(raw.get("Encrypted")),
        "kms_key": raw.get("KmsKeyId", ""),
        "attached": bool(raw.get("Attachments")),
        "size_gb": raw.get("Size", 0),
        "volume_type": raw.get("VolumeType", ""),
        "age_days": moment(raw["CreateTime"]),
    }


EBS_VOLUME = Source(
    name="ebs_volume", label=_("EBS volume"), type="AwsEc2Volume", service="ec2", tags=_tags,
    listed=_all("describe_volumes", "Volumes", "volume", "VolumeId"),
    found=_one("describe_volumes", "Volumes", "volume", "VolumeId", VOLUME.gone),
    parts=(
        Part(
            _about_volume,
            (
                flag("encrypted", _("It is encrypted")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
                flag("attached", _("It is attached to an instance")),
                number("size_gb", _("Size in GiB")),
                text("volume_type", _("Type, such as gp3")),
                CREATED,
            ),
        ),
    ),
)  # fmt: skip


# --- security groups ----------------------------------------------------------------------------------------------------------


def _sources(rule: Mapping[str, Any]) -> list[str]:
    return [source["CidrIp"] for source in rule.get("IpRanges", [])] + [
        source["CidrIpv6"] for source in rule.get("Ipv6Ranges", [])
    ]


def _ports(rule: Mapping[str, Any]) -> str:
    """`22`, `8000-8100`, `0-65535` for all protocols; '' for one without ports."""
    if rule["IpProtocol"] == "-1":
        return "0-65535"
    first, last = rule.get("FromPort"), rule.get("ToPort")
    if rule["IpProtocol"] not in ("tcp", "udp", "6", "17") or first is None or last is None:
        return ""
    return str(first) if first == last else f"{first}-{last}"


def _about_group(_account: Account, raw: Any) -> Facts:
    ingress, egress = raw.get("IpPermissions", []), raw.get("IpPermissionsEgress", [])
    opened = {_ports(rule) for rule in ingress if not EVERYWHERE.isdisjoint(_sources(rule))}
    return {
        "group_name": raw.get("GroupName", ""),
        "description": raw.get("Description", ""),
        "vpc": raw.get("VpcId", ""),
        "open_ports": sorted(opened - {""}),
        "ports": sorted({_ports(rule) for rule in ingress} - {""}),
        "sources": sorted({source for rule in ingress for source in _sources(rule)}),
        "open_egress": any(not EVERYWHERE.isdisjoint(_sources(rule)) for rule in egress),
        "rules": len(ingress) + len(egress),
    }


SECURITY_GROUP = Source(
    name="security_group", label=_("Security group"), type="AwsEc2SecurityGroup", service="ec2", tags=_tags,
    listed=_all("describe_security_groups", "SecurityGroups", "security-group", "GroupId"),
    found=_one(
        "describe_security_groups", "SecurityGroups", "security-group", "GroupId",
        frozenset({"InvalidGroup.NotFound", "InvalidGroupId.Malformed"}),
    ),
    parts=(
        Part(
            _about_group,
            (
                text("group_name", _("Its name; “name” is its id")),
                text("description", _("Its description")),
                text("vpc", _("Network that it is in")),
                ports("open_ports", _("TCP and UDP ports that are open to the whole internet")),
                ports("ports", _("TCP and UDP ports that are open to anybody at all")),
                texts("sources", _("Address ranges that are let in, such as 10.0.0.0/8")),
                flag("open_egress", _("Something may go out to the whole internet")),
                number("rules", _("Number of its rules, inward and outward")),
            ),
        ),
    ),
)  # fmt: skip


# --- networks -----------------------------------------------------------------------------------------------------------------


def _about_vpc(_account: Account, raw: Any) -> Facts:
    return {
        "default": bool(raw.get("IsDefault")),
        "ranges": sorted({raw["CidrBlock"], *(each["CidrBlock"] for each in raw.get("CidrBlockAssociationSet", []))}),
    }


def _flow_logs(account: Account, raw: Any) -> Facts:
    logs = account.ask_all("ec2", "describe_flow_logs", "FlowLogs", Filter=where("resource-id", raw["VpcId"]))
    return {"flow_logs": any(log.get("FlowLogStatus") == "ACTIVE" for log in logs)}


VPC = Source(
    name="vpc", label=_("Network (VPC)"), type="AwsEc2Vpc", service="vpc", tags=_tags,
    listed=_all("describe_vpcs", "Vpcs", "vpc", "VpcId"),
    found=_one("describe_vpcs", "Vpcs", "vpc", "VpcId", frozenset({"InvalidVpcID.NotFound"})),
    parts=(
        Part(_about_vpc, (flag("default", _("AWS made it when the region was opened")), texts("ranges", _("Its address ranges")))),
        Part(_flow_logs, (flag("flow_logs", _("Its traffic is logged")),)),
    ),
)  # fmt: skip
