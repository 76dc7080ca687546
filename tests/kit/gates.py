"""Made-up measurements for gates: seeded traffic of clusters, minute by minute, and things that happen to it."""

import random
from collections.abc import Callable, Iterable, Iterator

from crossfade.core.gates import Count, Exposure
from crossfade.core.values import SECOND, Instant

START = 1_767_571_200  # 2026-01-05T00:00:00Z
Rate = Callable[[str, float], float]
"""Cluster and seconds since the start to the rate of bad events."""
Size = Callable[[str, float], int]


def always(rate: float) -> Rate:
    return lambda _cluster, _at: rate


def names(many: int, side: str = "new") -> list[str]:
    return [f"{side}-{number:02}" for number in range(many)]


def drawn(dice: random.Random, n: int, rate: float) -> int:
    """About binomial: exact for small n·rate, by Poisson arrivals otherwise."""
    if n < 60:
        return sum(dice.random() < rate for _ in range(n))
    bad, left = 0, dice.expovariate(1.0)
    while left < n * rate and bad < n:
        bad, left = bad + 1, left + dice.expovariate(1.0)
    return bad


def traffic(
    clusters: Iterable[str], rate: Rate, size: Size | int = 50, *, steps: int = 60, seconds: int = 60, seed: int = 1,
    exposure: Exposure = Exposure.NEW, begin: int = 0,
) -> list[Count]:  # fmt: skip
    dice, found = random.Random(seed), []
    for step in range(begin, begin + steps):
        at = step * seconds
        for cluster in clusters:
            n = size if isinstance(size, int) else size(cluster, at)
            found.append(Count(Instant((START + at) * SECOND), cluster, exposure, n, drawn(dice, n, rate(cluster, at))))
    return found


def together(*series: Iterable[Count]) -> Iterator[Count]:
    """Series in the order of time."""
    return iter(sorted((count for one in series for count in one), key=lambda count: count.at))


def seconds_of(at: Instant | None) -> float:
    """Seconds since the start."""
    assert at is not None
    return at / SECOND - START
