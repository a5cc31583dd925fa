"""How well results of two runs are recognised as one finding: parser and matcher on before/after pairs with known truth.

    python bench/identity.py [DIR ...]      (default: bench/pairs; pairs of your own come from make_pairs.py)

Prints precision and recall of "same finding" pairs, strict and with twins (same rule, file and text) interchangeable, by tool and
by kind of edit, beside a DefectDojo-like hash merge on the same reports. Exits 1 below the bars of 0.98 strict, 0.995 twins.
"""

import argparse
import gzip
import io
import json
import os
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")
django.setup()

from integrations.parsers import sarif
from triage.domain.ingest.code_matcher import Traits, match
from triage.ports import Observation, ParseOptions, Place, Run

BARS = {"strict": 0.98, "twins": 0.995}


@dataclass(slots=True)
class Score:
    """Counts of pairs: `right` strictly, `alike` with twins interchangeable."""

    true: int = 0
    said: int = 0
    right: int = 0
    alike: int = 0
    baseline_said: int = 0
    baseline_right: int = 0

    def add(self, other: "Score") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def line(self) -> str:
        def both(right: int, said: int) -> str:
            return f"{right / said if said else 1:.4f}/{right / self.true if self.true else 1:.4f}"

        baseline = both(self.baseline_right, self.baseline_said)
        return f"{self.true:7} {both(self.right, self.said)}  {both(self.alike, self.said)}  {baseline}"

    def reaches(self, bar: float, *, twins: bool) -> bool:
        right = self.alike if twins else self.right
        return right >= bar * self.said and right >= bar * self.true


@dataclass(slots=True)
class Report:
    """Observations by their index over all runs in file order."""

    results: dict[int, Observation] = field(default_factory=dict)


def load(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def read(path: Path) -> Report:
    report, counts = Report(), Counter()
    found = list(sarif.parse(io.BytesIO(load(path)), ParseOptions(zone=UTC)))
    for each in found:
        if not isinstance(each, Run) and isinstance(each.position, tuple):
            counts[each.position[0]] = max(counts[each.position[0]], each.position[1] + 1)
    starts = {run: sum(counts[before] for before in counts if before < run) for run in counts}
    for each in found:
        if isinstance(each, Observation):
            run, number = each.position
            report.results[starts[run] + number] = each
    return report


def traits(report: Report) -> dict[int, Traits]:
    return {
        index: Traits(each.check.key, each.message, each.place or Place(path=each.asset), index)
        for index, each in sorted(report.results.items())
    }


def defectdojo(old: Report, new: Report) -> set[tuple[int, int]]:
    """Pairs by equal tool id (first fingerprint, else all partial ones) or equal hash of title, CWE, line, file and description."""
    by_key: dict[Any, list[int]] = defaultdict(list)
    for index, each in old.results.items():
        for key in _dojo_keys(each):
            by_key[key].append(index)
    return {(i, j) for j, each in new.results.items() for key in _dojo_keys(each) for i in by_key.get(key, ())}


def _dojo_keys(each: Observation) -> list[Any]:
    place = each.place or Place(path="")
    keys: list[Any] = [
        (
            "hash",
            each.check.title,
            each.check.weaknesses[:1],
            place.start_line,
            place.path,
            each.message,
            place.snippet,
            each.check.key,
        )
    ]
    if place.fingerprints:
        keys.append(("uid", place.fingerprints))
    return keys


def score(folder: Path, truth: dict[str, Any]) -> tuple[Score, list[str]]:
    old, new = read(folder / truth["before"]), read(folder / truth["after"])
    old_traits, new_traits = traits(old), traits(new)
    numbers = sorted(new_traits)
    fates = dict(zip(numbers, match(list(old_traits.items()), [new_traits[n] for n in numbers]), strict=True))
    said = {(key, j) for j, (key, _stage) in fates.items() if key is not None}
    not_old = set(truth["ambiguous_old"]) | {each for each in truth.get("anomalies", []) if isinstance(each, int)}
    not_new = set(truth["ambiguous_new"])
    true = {(int(i), j) for i, j in truth["map"].items() if isinstance(j, int) and int(i) not in not_old}
    said = {(i, j) for i, j in said if i not in not_old and j not in not_new}
    dojo = {(i, j) for i, j in defectdojo(old, new) if i not in not_old and j not in not_new}

    def classes(i: int, j: int) -> tuple[Any, Any]:
        return _twins(old_traits[i], truth.get("old_texts"), i), _twins(new_traits[j], truth.get("new_texts"), j)

    alike = Counter(classes(*pair) for pair in said) & Counter(classes(*pair) for pair in true)
    wrong = [
        f"{folder.parent.name}/{folder.name} {fates[j][1]}: {_shown(old_traits[i])} => {_shown(new_traits[j])}; true: "
        f"{[_shown(new_traits[b]) for a, b in true if a == i]} {[_shown(old_traits[a]) for a, b in true if b == j]}"
        for i, j in sorted(said - true)
    ]
    wrong += [f"{folder.parent.name}/{folder.name} missed: {_shown(old_traits[i])} => {_shown(new_traits[j])}"
              for i, j in sorted(true - said) if not any(i == a or j == b for a, b in said)]  # fmt: skip
    return Score(len(true), len(said), len(said & true), alike.total(), len(dojo), len(dojo & true)), wrong


def _twins(each: Traits, texts: list[str] | None, index: int) -> tuple[str, str, str]:
    text = texts[index] if texts else "".join(each.place.snippet.split()) or each.message
    return each.rule, each.place.path, text


def _shown(each: Traits) -> str:
    place = each.place
    return (
        f"{each.rule} {place.path}:{place.start_line}:{place.start_column} {place.snippet.strip()[:60]!r} {each.message[:60]!r}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(__file__).parent / "pairs"])
    parser.add_argument("--errors", type=int, default=0, help="print so many wrong pairs of each kind and tool")
    parser.add_argument("--cross", action="store_true", help="a line for each tool and kind too")
    arguments = parser.parse_args()
    by: dict[tuple[str, str], Score] = defaultdict(Score)
    started = time.process_time()
    for folder in arguments.folders:
        for path in sorted([*folder.rglob("truth.json"), *folder.rglob("truth.json.gz")]):
            truth = json.loads(load(path))
            found, wrong = score(path.parent, truth)
            keys = [("tool", truth["tool"]), ("kind", truth["kind"]), ("", "ALL")]
            for key in keys + [(truth["tool"], truth["kind"])] * arguments.cross:
                by[key].add(found)
            for text in wrong[: arguments.errors]:
                print(text)
    print(f"{'':24}{'pairs':>7} strict P/R     twins P/R      DefectDojo-like")
    for key in sorted(by, key=lambda key: (not key[0], key)):
        print(f"{key[0]:8}{key[1]:16}{by[key].line()}")
    print(f"{time.process_time() - started:.1f} CPU seconds")
    total = by["", "ALL"]
    return 0 if all(total.reaches(BARS[name], twins=name == "twins") for name in BARS) else 1


if __name__ == "__main__":
    sys.exit(main())
