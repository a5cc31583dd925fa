"""Frameworks and controls: what they are called, in both languages, and what follows from one for another.

Which controls a check serves is what scanners say in their own column. What they leave out for NIS 2, RGPD, SecNumCloud and HDS follows
from the control of ISO/IEC 27001 that they name, by the table in `crosswalk.yaml`; such links are marked as ours wherever they are shown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

HDS = "HDS-2024"
OF_HDS = "ISO27001-2022"
_TITLES = Path(__file__).with_name("titles.yaml")
_CROSSWALK = Path(__file__).with_name("crosswalk.yaml")
_NOT_PLAIN = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Titled:
    """A control with its titles: '' where we have none, as for texts that are protected."""

    framework: str
    reference: str
    name: str
    title: str
    source: str


def titled(framework: str, reference: str, *, language: str) -> Titled:
    """A control as the scanner spells it, with its framework's name and its own title in the language (`fr`, else English)."""
    french = int(language.startswith("fr"))
    known = _framework(framework)
    if known is None:
        return Titled(framework, reference, framework, "", "")
    return Titled(framework, reference, known["name"][french], _title(known["controls"], reference, french), known["source"])


def derived(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What follows from the controls that a scanner names, for the frameworks of which it says nothing."""
    named = tuple(pairs)
    said = {framework for framework, _reference in named}
    found: dict[tuple[str, str], None] = {}
    for framework, reference in named:
        if framework == OF_HDS:
            found[HDS, reference] = None
            for other, references in _crosswalk().get(_plain(reference), {}).items():
                found |= dict.fromkeys((other, each) for each in references)
    return tuple(pair for pair in found if not any(_same_framework(pair[0], framework) for framework in said))


def _same_framework(ours: str, theirs: str) -> bool:
    """`SecNumCloud-3.2` is said by `SecNumCloud`, of whatever version, and `GDPR` by `GDPR` alone."""
    return _plain(theirs).startswith(_plain(ours.partition("-")[0]))


def _plain(name: str) -> str:
    return _NOT_PLAIN.sub("", name.casefold())


@cache
def _crosswalk() -> dict[str, dict[str, list[str]]]:
    return dict(yaml.safe_load(_CROSSWALK.read_text(encoding="utf-8")))


def _title(controls: dict[str, list[str]], reference: str, french: int) -> str:
    plain = _plain(reference)
    if plain in controls:
        return controls[plain][french]
    chapter = re.match(r"\d+", reference)  # frameworks that are titled by chapter
    return controls[chapter[0]][french] if chapter and chapter[0] in controls else ""


@cache
def _frameworks() -> dict[str, dict]:  # type: ignore[type-arg]
    return dict(yaml.safe_load(_TITLES.read_text(encoding="utf-8")))


@cache
def _framework(name: str) -> dict | None:  # type: ignore[type-arg]
    """Spelled as it may be: `SOC2`, `ISO27001-2022`, `SecNumCloud-3.2`."""
    plain = _plain(name)
    known = _frameworks()
    return known.get(plain) or next((known[key] for key in known if key != "iso270012022" and plain.startswith(key)), None)
