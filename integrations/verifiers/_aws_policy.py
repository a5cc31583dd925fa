"""When a resource policy lets everybody in, as Prowler sees it: what is not public here is not public there."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

ANY_ROOT = "arn:aws:iam::*:root"
# A condition on one of these keys makes "everybody" a known circle.
RESTRICTING = frozenset(
    {
        "aws:sourceaccount", "aws:sourceowner", "aws:sourcearn", "aws:principalaccount", "aws:principalarn",
        "aws:principalorgid", "aws:principalorgpaths", "aws:resourceaccount", "aws:sourcevpc", "aws:sourcevpce",
        "aws:sourceorgid", "aws:sourceorgpaths", "aws:userid", "aws:username", "s3:resourceaccount", "lambda:eventsourcetoken",
    }
)  # fmt: skip
BY_ARN = frozenset({"aws:sourcearn", "aws:principalarn"})
OPERATORS = {"StringEquals": RESTRICTING, "StringLike": RESTRICTING, "ArnLike": BY_ARN, "ArnEquals": BY_ARN}


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A policy's statements; a single one may stand without a list."""
    found = policy.get("Statement", [])
    return found if isinstance(found, list) else [found]


def listed(value: Any) -> list[Any]:
    """One value may stand without a list, everywhere in a policy."""
    return value if isinstance(value, list) else [] if value is None else [value]


def is_public(policy: Mapping[str, Any], *, actions: Iterable[str] = ()) -> bool:
    """Whether a statement allows everybody, without a condition that restricts who that is.

    `actions`: only statements that allow one of these, or everything, count; empty: all count.
    """
    wanted = frozenset(actions)
    return any(
        statement.get("Effect") == "Allow"
        and for_everybody(statement)
        and (not wanted or "*" in listed(statement.get("Action")) or not wanted.isdisjoint(listed(statement.get("Action"))))
        and not _restricted(statement.get("Condition") or {})
        for statement in statements(policy)
    )


def for_everybody(statement: Mapping[str, Any]) -> bool:
    """Whether the principal is anybody."""
    principal = statement.get("Principal", "")
    if isinstance(principal, Mapping):
        named = [name for kind in ("AWS", "CanonicalUser") for name in listed(principal.get(kind))]
        return "*" in principal or any(_is_anybody(name, alone=len(named) == 1) for name in named)
    return any(_is_anybody(name, alone=True) for name in listed(principal))


def _is_anybody(name: Any, *, alone: bool) -> bool:
    """A single name with a star in it is read as everybody; in a list it is the star alone."""
    return isinstance(name, str) and (name in ("*", ANY_ROOT) or (alone and "*" in name))


def _restricted(condition: Mapping[str, Any]) -> bool:
    for operator, keys in OPERATORS.items():
        tested = {str(key).lower(): value for key, value in (condition.get(operator) or {}).items()}
        if any(isinstance(tested.get(key), str | list) for key in keys):
            return True
    addresses = {str(key).lower(): value for key, value in (condition.get("IpAddress") or {}).items()}.get("aws:sourceip")
    return bool(addresses) and all(_is_private(address) for address in listed(addresses))


def _is_private(address: Any) -> bool:
    try:
        return ip_network(address, strict=False).is_private if "/" in address else ip_address(address).is_private
    except (TypeError, ValueError):
        return False
