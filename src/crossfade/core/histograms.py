"""Mergeable histograms of times: a fixed grid of steps of 2 %, with the edges that promises are made of exactly on it.

How many took longer than 50, 100, 200, 300, 500 or 1000 ms is exact, whatever was merged in whatever order.
Quantiles are right to 1 %. Not here: rates and verdicts (core/gates).

Rules
-----
1. The grid never changes; another grid has another id, and histograms of different grids do not merge.
2. A value that lies on an edge belongs below it: "longer than 300 ms" is strict.
3. What is kept and sent is the compact form: ``[grid, [[bucket, count], …]]`` with buckets rising.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

import msgspec

GRID: Final = "log1.02+slo/1"
"""Id of the grid: steps of 2 % from 0.01 ms to ten minutes, and EXACT_MS."""
EXACT_MS: Final = (50.0, 100.0, 200.0, 300.0, 500.0, 1000.0)
"""Edges at which exceed counts are exact."""
_LOW_MS, _HIGH_MS, _STEP = 0.01, 600_000.0, 1.02


def _edges() -> tuple[float, ...]:
    """By multiplication only, which every machine does alike; ``pow`` and ``log`` may differ in the last digit."""
    found, edge = set(EXACT_MS), _LOW_MS
    while edge < _HIGH_MS:
        found.add(edge)
        edge *= _STEP
    return (*sorted(found), _HIGH_MS)


EDGES: Final = _edges()
BUCKETS: Final = len(EDGES) + 1
"""Bucket i holds values in (EDGES[i-1], EDGES[i]]; the last one all beyond ten minutes."""


class GridError(ValueError):
    """The histogram is of another grid, or is not one."""


class Histogram:
    """Counts by bucket; adds, merges, counts exactly at EXACT_MS."""

    __slots__ = ("counts", "n")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})
        self.n = sum(self.counts.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def add(self, value_ms: float, times: int = 1) -> None:
        """Count a value (0 or more, finite)."""
        if not 0.0 <= value_ms < float("inf"):
            raise ValueError(f"{value_ms!r} is no time")
        bucket = bisect_left(EDGES, value_ms)
        self.counts[bucket] = self.counts.get(bucket, 0) + times
        self.n += times

    def merge(self, other: "Histogram") -> None:
        """Add all that ``other`` holds."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.n += other.n

    def above(self, edge_ms: float) -> int:
        """How many were strictly greater than ``edge_ms``, which is one of EXACT_MS. Exact."""
        if edge_ms not in EXACT_MS:
            raise ValueError(f"{edge_ms:g} ms is no exact edge; they are {', '.join(f'{e:g}' for e in EXACT_MS)}")
        first = bisect_left(EDGES, edge_ms)
        return sum(count for bucket, count in self.counts.items() if bucket > first)

    def quantile(self, part: float) -> float | None:
        """The value that ``part`` (0 to 1) of all do not exceed, to 1 %; None if there are none."""
        if not self.n:
            return None
        rank = max(1, min(self.n, -int(-part * self.n // 1)))
        buckets = sorted(self.counts)
        seen = accumulate(self.counts[bucket] for bucket in buckets)
        return _middle(next(bucket for bucket, so_far in zip(buckets, seen, strict=True) if so_far >= rank))

    def compact(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """The form for events: grid id, then (bucket, count) with buckets rising and counts positive."""
        return GRID, tuple(sorted((bucket, count) for bucket, count in self.counts.items() if count))


def _middle(bucket: int) -> float:
    """A value that is within 1 % of all in the bucket."""
    if bucket == 0:
        return EDGES[0]
    if bucket >= len(EDGES):
        return EDGES[-1]
    return math.sqrt(EDGES[bucket - 1] * EDGES[bucket])


def read(compact: object) -> Histogram:
    """The histogram of a compact form, also after JSON. Raises GridError for another grid or a broken form."""
    try:
        grid, pairs = msgspec.convert(compact, tuple[str, tuple[tuple[int, int], ...]])
    except msgspec.ValidationError as fault:
        raise GridError(f"this is no histogram: {fault}") from None
    if grid != GRID:
        raise GridError(f"the histogram is of the grid {grid!r}; this version reads {GRID!r}")
    buckets = [bucket for bucket, _ in pairs]
    if buckets != sorted(set(buckets)) or any(not 0 <= b < BUCKETS or count <= 0 for b, count in pairs):
        raise GridError("the buckets of a histogram rise, lie on the grid, and hold something")
    return Histogram(dict(pairs))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All in one."""
    whole = Histogram()
    for one in histograms:
        whole.merge(one)
    return whole
