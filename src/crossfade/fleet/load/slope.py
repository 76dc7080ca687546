"""Whether something grows with time: the slope of a series, with a bound that knows that neighbours are alike.

Ordinary least squares on means of equal stretches. The standard error allows for neighbours that resemble each other
over a quarter of the series, since memory that is high now will be high in a minute, and the bound is wider for it
(fixed-b). A leak is a slope whose whole interval lies above 0; anything else is *not distinguishable from 0*, which is
not a proof that there is none: the interval says what was excluded.

Source: Kiefer, Vogelsang, "A New Asymptotic Theory for Heteroskedasticity-Autocorrelation Robust Tests", Econometric
Theory 21 (2005), of which the weights (Bartlett's) and the idea are taken.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

STRETCHES_MAX: Final = 120
STRETCHES_MIN: Final = 30
BANDWIDTH: Final = 0.25
"""Share of the series over which neighbours may be alike."""
CRITICAL: Final = 3.52
"""Quantile 0.975 for that bandwidth and a slope: by simulation, 1,500 level series of 120 independent points. The
polynomial of the source is for a mean, and too narrow for a slope (2.72)."""


class Slope(msgspec.Struct, frozen=True, kw_only=True):
    """How fast something grows; per hour."""

    per_hour: float
    low: float
    """Bounds of the interval at 95 %."""
    high: float
    n: int
    """Stretches it rests on."""
    grows: bool
    """The whole interval is above 0."""


def slope(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Slope of (seconds, value); None with fewer than thirty points."""
    means = _stretches(points)
    count = len(means)
    if count < STRETCHES_MIN:
        return None
    middle_x = sum(x for x, _ in means) / count
    middle_y = sum(y for _, y in means) / count
    spread = sum((x - middle_x) ** 2 for x, _ in means)
    if not spread:
        return None
    steep = sum((x - middle_x) * (y - middle_y) for x, y in means) / spread
    scores = [(x - middle_x) * (y - middle_y - steep * (x - middle_x)) for x, y in means]
    variance = _long_run(scores) / spread**2 * count / (count - 2)
    half = CRITICAL * math.sqrt(max(0.0, variance))
    low, high = ((steep + side) * 3_600 for side in (-half, half))
    return Slope(per_hour=round(steep * 3_600, 4), low=round(low, 4), high=round(high, 4), n=count, grows=low > 0)


def _stretches(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal stretches of the points, at most STRETCHES_MAX."""
    size = max(1, math.ceil(len(points) / STRETCHES_MAX))
    whole = len(points) // size * size
    groups = [points[at : at + size] for at in range(0, whole, size)]
    return [(sum(x for x, _ in group) / size, sum(y for _, y in group) / size) for group in groups]


def _long_run(scores: Sequence[float]) -> float:
    """Sum of autocovariances with Bartlett's weights."""
    count = len(scores)
    lags = max(1, math.floor(BANDWIDTH * count))
    total = sum(score * score for score in scores)
    for lag in range(1, lags + 1):
        together = sum(scores[at] * scores[at - lag] for at in range(lag, count))
        total += 2 * (1 - lag / (lags + 1)) * together
    return total
