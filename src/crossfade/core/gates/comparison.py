"""A/B: new against old in the same instants (F3), so that what hurts both is nobody's fault.

A clump is all bad events of one cluster on one side in one block. Given that a clump begins at some instant, under the
null hypothesis it is on the new side with a probability that only the exposures of that instant and the ratio decide.
Its likelihood ratio is raised to a power q = min(size, b)/b of at most 1, which by Jensen's inequality only lowers its
mean; the evidence is the average over b. Large bursts count more, and never more than they may.

Rules
-----
1. An instant with observations on one side only says nothing.
2. On the side that looks bad, the worst k - 1 clusters say no more than the one that comes next, k = min(breadth,
   clusters of that side): one noisy cluster forces nothing, and makes nothing look better than it is.
3. With blocks of 0 seconds every bad event counts by itself.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from crossfade.core.evalues import growth_to, log_mean_exp, rounded_down
from crossfade.core.gates.specs import Count, Exposure, Spec, blocks_of
from crossfade.core.values import Instant

BETTER: Final = (0.1, 0.18, 0.25, 0.35, 0.5, 0.6, 0.7, 0.78, 0.85, 0.92)
WORSE: Final = (1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0)
LADDER: Final = (*BETTER, 1.0, *WORSE)
"""Ratios of the rates, as factors on 1 + margin."""
NULL: Final = len(BETTER)
"""Where the null hypothesis stands on the ladder."""
PROVES_BETTER: Final = tuple(LADDER.index(r) for r in (0.25, 0.5, 0.7, 0.85))
PROVES_WORSE: Final = tuple(LADDER.index(r) for r in (1.3, 1.6, 2.0, 3.0, 5.0, 10.0))
SIZES: Final = (1, 4, 16, 64, 256, 1024)
"""Sizes b at which a clump counts fully."""
ONE_EACH: Final = (1,)
"""Without blocks: every bad event is a clump."""
Table = list[list[float]]
"""Sums by size and by place on the ladder."""


class Clump(msgspec.Struct, kw_only=True):
    """Bad events of one cluster and side in the open block."""

    logs: tuple[float, ...]
    """At each place of the ladder, the log probability that a clump of that instant is on this side."""
    size: int = 0


class Comparison(msgspec.Struct, kw_only=True, tag=True):
    """The fold of counts, ordered by time, into evidence for and against the new side."""

    spec: Spec
    step_at: Instant | None = None
    step: list[Count] = msgspec.field(default_factory=list)
    block: int | None = None
    clumps: dict[str, Clump] = msgspec.field(default_factory=dict)
    """By side and cluster, of the open block."""
    tables: dict[str, Table] = msgspec.field(default_factory=dict)
    """By side and cluster: what its clumps say."""
    blocks: int = 0
    n: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    """New, old; of instants with both."""
    bad: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    clusters: dict[str, set[str]] = msgspec.field(default_factory=lambda: {"new": set(), "old": set()})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes at which clumps count fully."""
        return SIZES if self.spec.block_seconds else ONE_EACH

    def take(self, count: Count) -> None:
        """One count; mixed ones are left aside."""
        if count.exposure is Exposure.MIXED:
            return
        if self.step_at is not None and count.at > self.step_at:
            self.close(count.at)
        self.step_at = count.at
        self.step.append(count)

    def close(self, now: Instant) -> None:
        """Count the open step, and the open block if it is over at ``now``."""
        step, self.step = self.step, []
        if step:
            self._step(step)
        seconds = self.spec.block_seconds
        if self.block is not None and (not seconds or blocks_of(now, seconds) > self.block):
            self._block()

    def _step(self, step: Sequence[Count]) -> None:
        sides = [[c for c in step if c.exposure is side] for side in (Exposure.NEW, Exposure.OLD)]
        totals = [sum(c.n for c in side) for side in sides]
        for side in sides:
            self.clusters["new" if side is sides[0] else "old"].update(c.cluster for c in side if c.n)
        if not all(totals):
            return
        seconds = self.spec.block_seconds
        self.block = blocks_of(step[0].at, seconds) if seconds else 0
        self.n = [have + more for have, more in zip(self.n, totals, strict=True)]
        ladder: tuple[tuple[float, ...], ...] | None = None
        for place, side in enumerate(sides):
            for count in side:
                if count.bad:
                    ladder = ladder or arm_logs(totals[0], totals[1], 1.0 + self.spec.margin_or_default)
                    self.bad[place] += count.bad
                    key = f"{count.exposure.value}/{count.cluster}"
                    self.clumps.setdefault(key, Clump(logs=ladder[place])).size += count.bad

    def _block(self) -> None:
        for key, clump in self.clumps.items():
            table = self.tables.setdefault(key, [[0.0] * len(LADDER) for _ in self.sizes])
            for row, size in zip(table, self.sizes, strict=True):
                power = min(clump.size, size) / size if self.spec.block_seconds else float(clump.size)
                for place, log in enumerate(clump.logs):
                    row[place] += power * log
        self.clumps, self.block = {}, None
        self.blocks += 1

    def parts(self, proves: Sequence[int], *, clipped: str = "", null: int = NULL) -> tuple[float, ...]:
        """Logs of all components for the alternatives ``proves`` against ``null``.

        With ``clipped``, the side that looks bad, its k - 1 loudest clusters of each component are no louder than
        the next one.
        """
        tables = list(self.tables.values())
        loud = [table for key, table in self.tables.items() if key.startswith(f"{clipped}/")] if clipped else []
        many = self._spared(clipped) if clipped else 0
        found = []
        for size in range(len(self.sizes)):
            for place in proves:
                whole = math.fsum(table[size][place] - table[size][null] for table in tables)
                told = sorted((table[size][place] - table[size][null] for table in loud), reverse=True)
                bound = max(0.0, told[many]) if len(told) > many else 0.0
                found.append(whole - math.fsum(max(0.0, one - bound) for one in told[:many]))
        return tuple(found)

    def _spared(self, side: str) -> int:
        return min(self.spec.breadth, max(1, len(self.clusters[side]))) - 1

    def loudest(self, side: str) -> tuple[str, ...]:
        """The k - 1 clusters that make a side look worst."""
        best = PROVES_WORSE if side == "new" else PROVES_BETTER
        told = {
            key: max(row[place] - row[NULL] for row in table for place in best)
            for key, table in self.tables.items()
            if key.startswith(f"{side}/")
        }
        ordered = sorted(told, key=lambda key: (-told[key], key))
        return tuple(key.partition("/")[2] for key in ordered[: self._spared(side)])

    def log_e(self, proves: Sequence[int], *, clipped: str = "", null: int = NULL) -> float:
        """Evidence for the alternatives ``proves``; see ``parts``."""
        return rounded_down(log_mean_exp(self.parts(proves, clipped=clipped, null=null)))

    def needed(self, threshold: float) -> int | None:
        """More observations, of both sides, until "not worse" is proven at these rates; None: never."""
        growth = growth_to(self.parts(PROVES_BETTER, clipped="old"), threshold)
        total = sum(self.n)
        return max(1, int((growth - 1.0) * total) + 1) if growth is not None and growth < 1e9 else None

    def interval(self) -> tuple[float | None, float | None]:
        """Ratios of the rates that are not ruled out, as far as the ladder tells."""
        wanted, scale = -math.log(self.spec.alpha), 1.0 + self.spec.margin_or_default
        low = high = None
        for null in range(len(LADDER)):
            above, below = range(null + 1, len(LADDER)), range(null)
            if above and self.log_e(above, null=null) >= wanted:
                low = scale * LADDER[null]
            if high is None and below and self.log_e(below, null=null) >= wanted:
                high = scale * LADDER[null]
        return low, high


def comparison(spec: Spec) -> Comparison:
    """The empty fold."""
    return Comparison(spec=spec)


def arm_logs(new: float, old: float, scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For each ratio of the ladder, times ``scale``: log probabilities that a bad event is on the new and old side."""
    share = [new * scale * ratio / (new * scale * ratio + old) for ratio in LADDER]
    return tuple(math.log(one) for one in share), tuple(math.log1p(-one) for one in share)


def blames_new(new: Sequence[float], old: Sequence[float]) -> float:
    """Evidence that the new side (n, bad) is worse than the old one in the same time; no margin, no clumps."""
    if not new[0] or not old[0]:
        return 0.0
    on_new, on_old = arm_logs(new[0], old[0], 1.0)
    logs = [new[1] * (on_new[r] - on_new[NULL]) + old[1] * (on_old[r] - on_old[NULL]) for r in PROVES_WORSE]
    return rounded_down(log_mean_exp(logs))
