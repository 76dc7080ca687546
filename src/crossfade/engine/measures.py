"""Measures: the coordination counters and histograms of a hub, folded from records and calls.

Histograms have fixed edges at the service levels, so they can be added up across hubs and blocks
without error. Everything here is exact counts; rates and quantiles are for whoever reads them.
"""

from bisect import bisect_left
from collections import Counter
from typing import Final

EDGES_MS: Final[tuple[float, ...]] = (
    1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000,
)  # fmt: skip
"""Upper edges in milliseconds, inclusive; one more bucket holds what is beyond."""

FAN_OUT_EDGES: Final[tuple[float, ...]] = (1, 2, 5, 10, 20, 50, 100, 200)
"""Upper edges in recipients, inclusive."""


class Histogram:
    """Counts by bucket, with sum; mergeable with any other of the same edges."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: tuple[float, ...] = EDGES_MS) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value, in the unit of the edges."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were added."""
        return sum(self.counts)


class Measures:
    """What the hub can tell about the coordination that went through it."""

    def __init__(self) -> None:
        self.registration_ms = Histogram()
        """From the first request of an unknown identity to its durable registration."""
        self.delivery_ms: dict[str, Histogram] = {"polling": Histogram(), "elicitation": Histogram()}
        """By lane: from asked to first offered."""
        self.exposure_ms: dict[str, Histogram] = {"new": Histogram(), "old": Histogram(), "mixed": Histogram()}
        """By exposure: from asked to first offered."""
        self.answer_ms: dict[str, Histogram] = {"polling": Histogram(), "elicitation": Histogram()}
        """By lane: from asked to answered, the answerer's own time included."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """By lane and exposure."""
        self.ended: Counter[tuple[str, str]] = Counter()
        """By lane and status."""
        self.offered: Counter[tuple[str, str]] = Counter()
        """By lane and channel; a text channel on the elicitation lane is a fallback."""
        self.dismissed: Counter[str] = Counter()
        """By reason."""
        self.requeued = 0
        """Questions taken back to polling by the rollout."""
        self.open: Counter[str] = Counter()
        """Open questions by lane."""
        self.messages = 0
        """Messages sent."""
        self.fan_out = Histogram(FAN_OUT_EDGES)
        """Recipients of one message."""
        self.waits: Counter[tuple[str, str]] = Counter()
        """Finished waits by channel and outcome (``items`` or ``empty``): empty ones are polls for nothing."""
        self.delivered: Counter[str] = Counter()
        """Items handed out, by channel."""
        self.refused: Counter[str] = Counter()
        """Refusals by code."""
        self.agents_present = 0
        self.streams_open = 0
        self.streams_cut = 0
        """Stream readers cut because they were too slow."""
