"""Reading tags as people write them: keys in any spelling, values with or without accents, KMS pairs put together again."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

Tags = tuple[tuple[str, str], ...]

LONGEST = 300  # characters of a key or value that are looked at; clouds allow 256, a hostile report a million
CACHED = 4096


def fold(text: str) -> str:
    """Lower case, without accents, spaces trimmed and single: `Équipe  Paiements ` becomes `equipe paiements`."""
    text = text[:LONGEST]
    if not text.isascii():
        text = "".join(character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def plain(text: str) -> str:
    """Folded, and nothing but letters and digits: `Data_Platform` and `data-platform` are the same."""
    return "".join(character for character in fold(text) if character.isalnum())


@lru_cache(maxsize=CACHED)
def spellings(key: str) -> tuple[str, ...]:
    """What a tag key may be compared as: whole, and its last segment: `CostCenter:owner` is `costcenterowner` and `owner`."""
    key = key[:LONGEST]
    whole = plain(key)
    last = plain(key.replace("/", ":").rpartition(":")[2])
    return (whole,) if last in ("", whole) else (whole, last)


def joined(tags: Tags) -> Tags:
    """The tags, with what Prowler writes for a KMS key (`TagKey=team`, `TagValue=web`) as the pair that it was."""
    if not any(key in ("TagKey", "TagValue") for key, _value in tags):
        return tags
    pairs: list[tuple[str, str]] = []
    name = ""
    for key, value in tags:
        if key == "TagKey":
            name = value
        elif key == "TagValue" and name:
            pairs.append((name, value))
            name = ""
        else:
            pairs.append((key, value))
    return tuple(pairs)


def of_json(stored: Iterable[Iterable[str]]) -> Tags:
    """Tags as TagSet keeps them."""
    return tuple((key, value) for key, value in stored)


def values(tags: Tags, keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """The (key, value) pairs whose key is one of `keys` (as `plain` writes them), in the order of `keys`, whole matches first."""
    found: list[tuple[int, int, int, str, str]] = []
    for place, (key, value) in enumerate(tags):
        for part, spelling in enumerate(spellings(key)):
            if spelling in keys:
                found.append((keys.index(spelling), part, place, key, value))
                break
    found.sort()
    return [(key, value) for _rank, _part, _place, key, value in found]
