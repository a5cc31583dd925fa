"""When a resource policy lets everybody in, as Prowler sees it: what is not public here is not public there."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

ANY_ROOT = "arn:aws:iam::*:root"
# A condition on one of these keys makes "everybody" a known circle.
RESTRICTING = (
    "aws:sourceaccount", "aws:sourceowner", "aws:sourcearn", "aws:principalaccount", "aws:principalarn", "aws:principalorgid",
    "aws:principalorgpaths", "aws:resourceaccount", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceorgid", "aws:sourceorgpaths",
    "aws:userid", "aws:username", "aws:calledvia", "aws:calledviafirst", "aws:calledvialast", "kms:calleraccount",
    "kms:viaservice", "s3:resourceaccount", "lambda:eventsourcetoken",
)  # fmt: skip
BY_ARN = ("aws:sourcearn", "aws:principalarn")
BY_NETWORK = frozenset({"aws:sourcevpc", "aws:sourcevpce"})
# AWS calls these for resources of the same account only.
OWN_SERVICES = frozenset({"secretsmanager.amazonaws.com", "eks.amazonaws.com"})
OPERATORS = {"StringEquals": RESTRICTING, "StringLike": RESTRICTING, "ArnLike": BY_ARN, "ArnEquals": BY_ARN}


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A policy's statements; a single one may stand without a list."""
    found = policy.get("Statement", [])
    return found if isinstance(found, list) else [found]


def listed(value: Any) -> list[Any]:
    """One value may stand without a list, everywhere in a policy."""
    return value if isinstance(value, list) else [] if value is None else [value]


def is_public(policy: Mapping[str, Any], *, actions: Iterable[str] = (), owner: str = "", deputy: bool = False) -> bool:
    """Whether a statement allows everybody, without a condition that restricts who that is.

    `actions`: only statements that allow one of these, or everything, count; empty: all count. `owner`: other accounts than this
    count as everybody. `deputy`: a service of AWS counts as everybody, as it may act for anyone.
    """
    wanted = frozenset(actions)
    return any(
        statement.get("Effect") == "Allow"
        and (for_everybody(statement) or (owner and _for_others(statement, owner)) or (deputy and _for_service(statement)))
        and (not wanted or "*" in listed(statement.get("Action")) or not wanted.isdisjoint(listed(statement.get("Action"))))
        and not restricts(statement.get("Condition") or {}, owner=owner)
        and not _from_private_addresses(statement.get("Condition") or {})
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


def restricts(condition: Mapping[str, Any], *, owner: str = "") -> bool:
    """Whether a condition tells who everybody is; `owner`: it has to be this account, or one organization.

    Then a source that is not narrow and no list undoes what came before it, in the order of RESTRICTING: Prowler reads it so.
    """
    found = False
    for operator, keys in OPERATORS.items():
        tested = _tested(condition, operator)
        for key in keys:
            value = tested.get(key)
            if isinstance(value, str | list):
                undoes = bool(owner) and key == "aws:sourcearn" and isinstance(value, str)
                found = _narrows(key, listed(value), owner) or (found and not undoes)
    return found or (bool(owner) and one_organization(condition))


def one_organization(condition: Mapping[str, Any]) -> bool:
    found = [_tested(condition, operator).get("aws:principalorgid") for operator in ("StringEquals", "StringLike")]
    return any(("*" not in value) for value in found if isinstance(value, str | list))


def is_narrow(arns: Iterable[Any], owner: str = "") -> bool:
    """Whether ARNs of a source name something, and nothing of another account than the owner's."""
    return not any(arn == "*" or arn.count("*") >= 3 or arn.endswith(":*") or (owner and not _is_of(arn, owner)) for arn in arns)


def _is_of(arn: str, owner: str) -> bool:
    account = ([*arn.split(":"), "", "", "", "", ""])[4]
    return not account or (owner in arn if account.isdigit() else account == owner)


def _narrows(key: str, values: list[Any], owner: str) -> bool:
    if not owner or key in BY_NETWORK:
        return True
    return is_narrow(values, owner) if key == "aws:sourcearn" else all(owner in value for value in values)


def _tested(condition: Mapping[str, Any], operator: str) -> dict[str, Any]:
    """The keys of a condition are the same in capitals."""
    return {str(key).lower(): value for key, value in (condition.get(operator) or {}).items()}


def _for_others(statement: Mapping[str, Any], owner: str) -> bool:
    principal = statement.get("Principal")
    return isinstance(principal, Mapping) and any(owner not in name for name in listed(principal.get("AWS")))


def _for_service(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = listed(principal.get("Service")) if isinstance(principal, Mapping) else []
    return OWN_SERVICES.isdisjoint(services) and any(
        name == "*" or name.endswith((".amazonaws.com", ".amazon.com")) for name in services
    )


def _from_private_addresses(condition: Mapping[str, Any]) -> bool:
    addresses = _tested(condition, "IpAddress").get("aws:sourceip")
    return bool(addresses) and all(_is_private(address) for address in listed(addresses))


def _is_private(address: Any) -> bool:
    try:
        return ip_network(address, strict=False).is_private if "/" in address else ip_address(address).is_private
    except (TypeError, ValueError):
        return False
