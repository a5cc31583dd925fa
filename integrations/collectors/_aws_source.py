"""How a kind of AWS asset is listed, found again and described: what the kinds beside this file are made of.

The calls go through the verifiers' frame, so that they stand in the same table of permissions, and a fact and a verification that
are about the same thing say the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from integrations.verifiers._aws import Account
from integrations.verifiers._aws_policy import listed, statements
from triage.ports import AssetKind, Fact, FactType, FactValue

Tags = tuple[tuple[str, str], ...]
Facts = Mapping[str, FactValue]


class Item(NamedTuple):
    """An asset in a list. `raw`: as AWS describes it, the same whether it was listed or found by its id."""

    uid: str
    name: str
    region: str
    raw: Any


@dataclass(frozen=True, slots=True)
class Part:
    """Facts that are read together, and are missing together where a call is denied."""

    read: Callable[[Account, Any], Facts]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A kind and where it comes from.

    `listed`: all of the account's region, or of the account when the kind is not `regional`. `found`: the one that the account's
    target names; raises Stop, GONE when there is none.
    """

    name: str
    label: str
    type: str
    service: str
    listed: Callable[[Account], Iterable[Item]]
    found: Callable[[Account], Item]
    parts: tuple[Part, ...]
    tags: Callable[[Account, Any], Tags]
    regional: bool = True

    @property
    def kind(self) -> AssetKind:
        facts = tuple(fact for part in self.parts for fact in part.facts)
        return AssetKind(self.name, self.label, self.type, self.service, facts)


def flag(name: str, description: str) -> Fact:
    return Fact(name, FactType.FLAG, description)


def number(name: str, description: str) -> Fact:
    return Fact(name, FactType.NUMBER, description)


def text(name: str, description: str) -> Fact:
    return Fact(name, FactType.TEXT, description)


def age(name: str, description: str) -> Fact:
    return Fact(name, FactType.AGE, description)


def texts(name: str, description: str) -> Fact:
    return Fact(name, FactType.TEXTS, description)


def patterns(name: str, description: str) -> Fact:
    return Fact(name, FactType.PATTERNS, description)


def ports(name: str, description: str) -> Fact:
    return Fact(name, FactType.PORTS, description)


def arn(account: Account, service: str, resource: str) -> str:
    """The ARN of something in the account's region, in the partition of who asks."""
    partition = account.principal.split(":")[1]
    return f"arn:{partition}:{service}:{account.region}:{account.target.account}:{resource}"


def moment(at: datetime) -> str:
    """As a fact of type AGE holds it."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def tags_of(raw: Iterable[Mapping[str, str]] | None, key: str = "Key", value: str = "Value") -> Tags:
    """AWS's list of tags, in its order."""
    return tuple((tag[key], tag.get(value, "")) for tag in raw or ())


def principals(policy: Mapping[str, Any]) -> list[str]:
    """Whom a policy lets in, as it is written there, sorted. All but some (NotPrincipal) is everybody; conditions are not looked at."""
    found: set[str] = set()
    for statement in _allowing(policy):
        principal = statement.get("Principal", "*" if "NotPrincipal" in statement else [])
        of_kinds = list(principal.values()) if isinstance(principal, Mapping) else [principal]
        found.update(str(name) for names in of_kinds for name in listed(names))
    return sorted(found)


def actions(policies: Iterable[Mapping[str, Any]], *, everywhere: bool = False) -> list[str]:
    """What policies allow, as it is written there, sorted. All but some (NotAction) is `*`; what another statement denies stays.

    `everywhere`: only what is allowed on all resources.
    """
    found: set[str] = set()
    for policy in policies:
        for statement in _allowing(policy):
            if everywhere and "*" not in listed(statement.get("Resource")) and "NotResource" not in statement:
                continue
            found.update(map(str, listed(statement.get("Action"))))
            if "NotAction" in statement:
                found.add("*")
    return sorted(found)


def _allowing(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [statement for statement in statements(policy) if str(statement.get("Effect", "")).casefold() == "allow"]
