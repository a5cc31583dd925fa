"""Free text: where words are looked for, and in which shape the question is answered through indexes at any size."""

from collections.abc import Sequence

from django.db.models import Q

from triage.domain.search import lookups, words
from triage.domain.search.asking import EVERYTHING, Asker, all_of, any_of
from triage.domain.search.lookups import among
from triage.domain.search.tree import Words
from triage.models import AssetSearch, FindingAlias

# Up to so many assets of a word are named one by one; more are common enough for findings to be walked and each one asked.
NAMED_ASSETS = 20_000


def condition(asker: Asker, texts: Sequence[Words]) -> Q:
    """Each of these matches in the check, in the asset with its account, or names the finding.

    A text that nothing but assets can match goes with the others of its kind into one question, which the index answers together.
    """
    asker.column("asset_id")
    conditions: list[Q] = []
    asset_queries: list[str] = []
    asset_pieces: list[str] = []
    for text in texts:
        pieces = words.split(text.text)
        if not pieces:
            continue
        query = lookups.tsquery(pieces, phrase=text.exact, prefix=not text.exact)
        elsewhere = _elsewhere(text, query) if asker.has("check_ref_id") else None
        if elsewhere is None:
            asset_queries.append(query)
            asset_pieces += pieces
        else:
            conditions.append(elsewhere | _assets_beside(asker, query, pieces))
    if asset_queries:
        conditions.append(assets(asker, asset_queries, asset_pieces))
    return all_of(conditions) if conditions else EVERYTHING


def _elsewhere(text: Words, query: str) -> Q | None:
    """Where the text matches besides assets, or None when nowhere."""
    found = {"check_ref_id": lookups.checks_with(query), "pk": findings_named([text.text])}
    return any_of(among(column, numbers) for column, numbers in found.items() if numbers) if any(found.values()) else None


def findings_named(names: Sequence[str]) -> list[int]:
    """Findings of these public ids or other names; one that was merged into another is found under its old id."""
    numbers = [int(name[2:]) for name in names if name[:2].upper() == "F-" and name[2:].isdecimal() and len(name) <= 20]
    aliases = FindingAlias.objects.filter(name__in=[*names, *(f"F-{number:06d}" for number in numbers)])
    return [*numbers, *aliases.values_list("finding_id", flat=True)]


def _assets_beside(asker: Asker, query: str, pieces: Sequence[str]) -> Q:
    """Assets with the words, as one side of an OR: few are named one by one, so that both sides are answered by indexes."""
    named = lookups.assets_with(query, NAMED_ASSETS)
    if named is None:
        return assets(asker, [query], pieces)
    return among("asset_id", [*named, *waiting(asker, query, pieces)])


def assets(asker: Asker, queries: Sequence[str], pieces: Sequence[str]) -> Q:
    """The finding's asset answers all these text queries. `pieces`: their words."""
    answers = all_of(Q(words=lookups.search(query)) for query in queries)
    found = asker.related(AssetSearch, answers, by="pk", mine="asset_id")
    late = waiting(asker, " & ".join(f"({query})" for query in queries), pieces)
    return found | among(asker.column("asset_id"), late) if late else found


def waiting(asker: Asker, query: str, pieces: Sequence[str]) -> list[int]:
    """Assets with the words that are not indexed yet."""
    return lookups.unindexed_with(query, max(pieces, key=len)) if asker.assets_wait else []
