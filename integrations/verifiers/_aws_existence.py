"""Whether what an ARN names is still there, asked of AWS itself: for scanners that say nothing of what they do not see."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from integrations.verifiers._aws import Account, asset_gone
from integrations.verifiers._aws_ec2 import IMAGE, SNAPSHOT, VOLUME, Kind, found


class Call(NamedTuple):
    """One call, what it is asked with, and the codes that say that there is none."""

    service: str
    operation: str
    request: Callable[[Account], Mapping[str, Any]]
    gone: frozenset[str]


def _called(parameter: str) -> Callable[[Account], Mapping[str, Any]]:
    return lambda account: {parameter: account.name}


def _arn(parameter: str) -> Callable[[Account], Mapping[str, Any]]:
    return lambda account: {parameter: account.target.asset}


NO_ENTITY = frozenset({"NoSuchEntity"})
EC2 = {
    "image": IMAGE,
    "network-interface": Kind(
        "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceIds", frozenset({"InvalidNetworkInterfaceID.NotFound"})
    ),
    "network-acl": Kind("describe_network_acls", "NetworkAcls", "NetworkAclIds", frozenset({"InvalidNetworkAclID.NotFound"})),
    "security-group": Kind(
        "describe_security_groups", "SecurityGroups", "GroupIds", frozenset({"InvalidGroup.NotFound", "InvalidGroupId.NotFound"})
    ),
    "snapshot": SNAPSHOT,
    "subnet": Kind("describe_subnets", "Subnets", "SubnetIds", frozenset({"InvalidSubnetID.NotFound"})),
    "volume": VOLUME,
    "vpc": Kind("describe_vpcs", "Vpcs", "VpcIds", frozenset({"InvalidVpcID.NotFound"})),
}  # fmt: skip
CALLS = {
    ("iam", "policy"): Call("iam", "get_policy", _arn("PolicyArn"), NO_ENTITY),
    ("iam", "role"): Call("iam", "get_role", _called("RoleName"), NO_ENTITY),
    ("iam", "user"): Call("iam", "get_user", _called("UserName"), NO_ENTITY),
    ("kms", "key"): Call("kms", "describe_key", _arn("KeyId"), frozenset({"NotFoundException"})),
    ("rds", "db"): Call(
        "rds",
        "describe_db_instances",
        _called("DBInstanceIdentifier"),
        frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"}),
    ),
    ("s3", ""): Call("s3", "get_bucket_location", _called("Bucket"), frozenset({"NoSuchBucket"})),
    ("sns", ""): Call("sns", "get_topic_attributes", _arn("TopicArn"), frozenset({"NotFound", "NotFoundException"})),
    ("sqs", ""): Call(
        "sqs", "get_queue_url", _called("QueueName"), frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
    ),
}


def is_there(account: Account) -> bool:
    """True: it is. False: nobody here knows how to ask for its kind. Enters the account. Raises Stop, which says that it is gone, too."""
    parts = account.target.asset.split(":", 5)
    if len(parts) < 6:
        return False
    service, resource = parts[2], parts[5]
    kind = resource.replace(":", "/").partition("/")[0] if "/" in resource or ":" in resource else ""
    account.enter()
    if service == "ec2" and kind in EC2:
        found(account, EC2[kind])
    elif service == "ec2" and kind == "instance":
        _instance(account)
    elif (service, kind) in CALLS:
        call = CALLS[service, kind]
        account.ask(call.service, call.operation, gone=call.gone, **call.request(account))
    else:
        return False
    return True


def _instance(account: Account) -> None:
    """For an hour, a terminated one is still listed."""
    answer = account.ask("ec2", "describe_instances", gone=frozenset({"InvalidInstanceID.NotFound"}), InstanceIds=[account.name])
    for reservation in answer["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] not in ("shutting-down", "terminated"):
                return
    raise asset_gone(account)
