"""Kinds of assets and the facts that collectors give of them: what a check can be written about."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.ports import AssetKind, Collector, Fact, FactType

TAG = "tag"
# What is known of each asset, whatever its kind.
COMMON = (
    Fact("name", FactType.TEXT, _("Its name, or its id where it has no name")),
    Fact("arn", FactType.TEXT, _("What the cloud calls it, everywhere")),
    Fact("region", FactType.TEXT, _("Its region; of what has none, the one that it is asked in")),
    Fact("account", FactType.TEXT, _("Number of its account")),
    Fact(TAG, FactType.TEXT, _("Its tag of that key, as in tag.owner; empty where it has none")),
)


@cache
def kinds() -> Mapping[str, AssetKind]:
    """All kinds by name."""
    return {name: kind for each in plugins.names("collectors") for name, kind in plugins.get("collectors", each).KINDS.items()}


@cache
def collector_of(kind: str) -> Collector:
    """Who enumerates a kind. Raises KeyError for one that nobody knows."""
    for each in plugins.names("collectors"):
        collector: Collector = plugins.get("collectors", each)
        if kind in collector.KINDS:
            return collector
    raise KeyError(kind)


def collector_for(provider: str) -> Collector | None:
    """Who enumerates accounts of a provider; None if nobody does."""
    found = (plugins.get("collectors", each) for each in plugins.names("collectors"))
    return next((collector for collector in found if provider == collector.PROVIDER), None)


@cache
def facts_of(kind: str) -> Mapping[str, Fact]:
    """What a check about the kind can ask for, by name."""
    return {fact.name: fact for fact in (*kinds()[kind].facts, *COMMON)}


def nearly(name: str, known: Mapping[str, object]) -> list[str]:
    """Names that are spelled nearly so, or that share a word."""
    word = name.casefold().replace("-", "_")
    parts = {part for part in word.split("_") if len(part) > 3}
    return get_close_matches(word, known, n=3, cutoff=0.7) or [each for each in known if parts & set(each.split("_"))][:3]
