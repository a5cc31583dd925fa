"""What EC2 calls by an id: found by its id, or gone."""

from typing import Any, NamedTuple

from integrations.verifiers._aws import Account, asset_gone


class Kind(NamedTuple):
    """How a kind of asset is asked for, where the answer is, and the codes and states that say that there is none."""

    operation: str
    key: str
    ids: str
    gone: frozenset[str]
    states: frozenset[str] = frozenset()


ADDRESS = Kind(
    "describe_addresses",
    "Addresses",
    "AllocationIds",
    frozenset({"InvalidAddress.NotFound", "InvalidAddressID.NotFound", "InvalidAllocationID.NotFound"}),
)
IMAGE = Kind(
    "describe_images",
    "Images",
    "ImageIds",
    frozenset({"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"}),
    frozenset({"deregistered"}),
)
SNAPSHOT = Kind("describe_snapshots", "Snapshots", "SnapshotIds", frozenset({"InvalidSnapshot.NotFound"}))
VOLUME = Kind(
    "describe_volumes", "Volumes", "VolumeIds", frozenset({"InvalidVolume.NotFound"}), frozenset({"deleting", "deleted"})
)


def found(account: Account, kind: Kind, **request: Any) -> dict[str, Any]:
    """The asset itself. Raises Stop: gone, if AWS knows no such id or is about to forget it."""
    request[kind.ids] = [account.name]
    answer = account.ask("ec2", kind.operation, gone=kind.gone, **request)
    for asset in answer.get(kind.key, []):
        if asset.get("State") not in kind.states:
            return dict(asset)
    raise asset_gone(account)


def where(name: str, *values: str) -> list[dict[str, Any]]:
    """A filter of a list."""
    return [{"Name": name, "Values": list(values)}]
