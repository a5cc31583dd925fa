"""Charts as shapes for server-made SVG: numbers in, coordinates out. The same numbers stand in a table beside each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triage.domain.overview import Kept, Week

WIDTH, HEIGHT = 720, 220
LEFT, BOTTOM, TOP = 44, 34, 12
STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Burndown:
    """`grid`: (y, value) of its lines. `labels`: (x, week). `line`: points of what was left, as SVG writes them."""

    opened: Sequence[Bar]
    closed: Sequence[Bar]
    line: str
    dots: Sequence[tuple[float, float]]
    grid: Sequence[tuple[float, int]]
    labels: Sequence[tuple[float, Any]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def burndown(weeks: Sequence[Week]) -> Burndown:
    """Bars of what was opened and closed in each week, and a line of what was left at its end."""
    highest = max([1, *(max(week.opened, week.closed, week.left) for week in weeks)])
    step = _step(highest)
    top = step * -(-highest // step)
    inner, room = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - 8) / max(len(weeks), 1)
    thick = min(room * 0.3, 16)

    def y(n: int) -> float:
        return round(TOP + inner * (1 - n / top), 1)

    def bar(x: float, n: int) -> Bar:
        return Bar(round(x, 1), y(n), round(thick, 1), round(HEIGHT - BOTTOM - y(n), 1))

    middles = [LEFT + room * (place + 0.5) for place in range(len(weeks))]
    dots = [(round(x, 1), y(week.left)) for x, week in zip(middles, weeks, strict=True)]
    return Burndown(
        opened=[bar(x - thick - 1, week.opened) for x, week in zip(middles, weeks, strict=True)],
        closed=[bar(x + 1, week.closed) for x, week in zip(middles, weeks, strict=True)],
        line=" ".join(f"{x},{height}" for x, height in dots),
        dots=dots,
        grid=[(y(value), value) for value in range(0, top + 1, step)],
        labels=[(round(x, 1), week.begins) for x, week in zip(middles, weeks, strict=True)][:: 2 if len(weeks) > 6 else 1],
    )


def _step(highest: int) -> int:
    """Of lines that are three to five and say round numbers."""
    size = 1
    while True:
        for step in STEPS:
            if highest / (step * size) <= 5:
                return step * size
        size *= 10


def attainment(kept: Sequence[Kept]) -> list[tuple[Kept, float]]:
    """Each with the width of its bar, of 100."""
    return [(each, round(100 * each.met / (each.met + each.missed), 1)) for each in kept]
