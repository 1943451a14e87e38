"""How many more names it takes until the machine is right as often as wanted, told from how it did with fewer.

The share of wrong names falls with the number of names as a power of it: twice the names, always the same part of the mistakes left.
Three models that learned from different numbers of names are enough to see how fast here; without them nothing is foretold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEAST_POINTS = 3
LEAST_JUDGED = 30
"""Photos that a model was judged by; with fewer its share of wrong names is chance."""

FARTHEST = 10
"""Nothing is foretold of more than so many times the names that there are."""

_MOST_MODELS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """One model: how many names it had, and how many of the photos that judged it were named right (0-1)."""

    labels: int
    right: float
    judged: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the curve says.

    Attributes:
        kind: reached: the wanted share is reached; to-go: it takes about so many more names; far: more than can be foretold;
            untold: too few models, or no model did better with more names.
        labels: names that there are.
        more: for to-go.
        right: the latest share, 0-1; None without one.
    """

    kind: Literal["reached", "to-go", "far", "untold"]
    labels: int
    more: int = 0
    right: float | None = None


def forecast(points: Sequence[Point], wanted: float) -> Forecast:
    """Look ahead.

    Args:
        points: of models, in any order.
        wanted: share of right names, 0-1.
    """
    usable = sorted(
        (one for one in points if one.labels > 0 and one.judged >= LEAST_JUDGED), key=lambda one: one.labels
    )[-_MOST_MODELS:]
    if not usable:
        return Forecast("untold", 0)
    last = usable[-1]
    if last.right >= wanted:
        return Forecast("reached", last.labels, right=last.right)
    if len({one.labels for one in usable}) < LEAST_POINTS:
        return Forecast("untold", last.labels, right=last.right)
    slope, level = _line([(math.log(one.labels), math.log(_wrong(one)), one.judged) for one in usable])
    if slope >= -0.02:
        return Forecast("untold", last.labels, right=last.right)
    needed = (math.log(1 - wanted) - level) / slope if wanted < 1 else math.inf
    if needed > math.log(FARTHEST * last.labels):
        return Forecast("far", last.labels, right=last.right)
    more = math.ceil(math.exp(needed)) - last.labels
    return Forecast("to-go", last.labels, more=max(1, more), right=last.right)


def _wrong(point: Point) -> float:
    """The share of wrong names, never none at all: it was not judged by all photos there are."""
    return (point.judged * (1 - point.right) + 0.5) / (point.judged + 1)


def _line(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Slope and level by least squares; each point is (x, y, weight)."""
    total = sum(weight for *_, weight in points)
    x_mean = sum(x * weight for x, _, weight in points) / total
    y_mean = sum(y * weight for _, y, weight in points) / total
    spread = sum(weight * (x - x_mean) ** 2 for x, _, weight in points)
    slope = sum(weight * (x - x_mean) * (y - y_mean) for x, y, weight in points) / spread
    return slope, y_mean - slope * x_mean
