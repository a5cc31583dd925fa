"""Patterns over paths as CODEOWNERS files write them, and over identifiers as a shell would."""

import fnmatch
import re
from collections.abc import Callable

LONGEST = 4096  # characters of a path that are looked at


def code_pattern(pattern: str) -> Callable[[str], bool]:
    """A matcher of one CODEOWNERS pattern, for paths relative to the repository.

    `*` and `?` stay within a folder, `**` crosses folders, a slash at the start or inside ties the pattern to the root, one at
    the end means the folder and all below it. A name alone fits files and folders of that name; `folder/*` its files only.
    """
    matches = re.compile(_expression(pattern)).fullmatch
    return lambda path: matches(path[:LONGEST].removeprefix("./").lstrip("/")) is not None


def identifier_pattern(pattern: str) -> Callable[[str], bool]:
    """A matcher of an asset's identifier by `*`, `?` and `[…]`. Letter case does not matter: not all clouds keep it."""
    matches = re.compile(fnmatch.translate(pattern.casefold())).match
    return lambda identifier: matches(identifier[:LONGEST].casefold()) is not None


def codeowners(text: str) -> list[dict[str, str]]:
    """The lines of a CODEOWNERS file as patterns with their first owner; '' for a pattern that belongs to nobody."""
    entries = []
    for line in text.splitlines():
        words = re.findall(r"(?:\\.|[^\s\\])+", re.sub(r"(?:^|(?<=\s))#.*", "", line))
        if words and not words[0].startswith(("[", "^[")):  # a heading of GitLab's
            entries.append({"pattern": words[0], "team": words[1] if len(words) > 1 else ""})
    return entries


def _expression(pattern: str) -> str:
    folder = pattern.endswith("/")
    body = pattern.strip("/")
    segments = body.split("/")
    anchored = pattern.startswith("/") or len(segments) > 1
    parts = [] if anchored or segments[0] == "**" else ["(?:.*/)?"]
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment == "**":
            parts.append(".*" if last else "(?:.*/)?")
        else:
            parts.append(_segment(segment) + ("" if last else "/"))
    if folder:
        parts.append("/.*")
    elif segments[-1] not in ("*", "**") or not anchored:
        parts.append("(?:/.*)?")
    return "".join(parts)


def _segment(segment: str) -> str:
    parts: list[str] = []
    characters = iter(re.sub(r"\*+", "*", segment))
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        elif character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        else:
            parts.append(re.escape(character))
    return "".join(parts)
