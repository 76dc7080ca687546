"""Promotion: prove that the rate is below the threshold, whatever the looking (F1).

The unit of evidence is one cluster in one block: an agent that loops, or an outage of one team, is one unit, however
many errors it makes. With blocks of 0 seconds every observation is a unit, if somebody declares them independent.

Rules
-----
1. Only the exposure of the spec counts; mixed observations are nobody's evidence of health.
2. A block counts when it is over, so a look in its middle neither helps nor harms.
3. Evidence is that of now: what was proven once and is not any more does not pass.
"""

from typing import Final

import msgspec

from crossfade.core.evalues import (
    ODDS_BELOW,
    Bets,
    growth_to,
    log_e_above,
    log_e_below,
    rate_interval,
    rate_logs,
)
from crossfade.core.gates.specs import Count, Spec, blocks_of
from crossfade.core.values import SECOND, Instant


class Promotion(msgspec.Struct, kw_only=True, tag=True):
    """The fold of counts, ordered by time, into evidence."""

    spec: Spec
    n: int = 0
    bad: int = 0
    bets: Bets
    block: int | None = None
    """The block that is open."""
    open_units: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """By cluster: observations and bad ones in the open block."""
    blocks: int = 0
    clusters: set[str] = msgspec.field(default_factory=set)

    def take(self, count: Count) -> None:
        """One count; those of other exposures are left aside."""
        if count.exposure is not self.spec.exposure:
            return
        self.n, self.bad = self.n + count.n, self.bad + count.bad
        if count.n:
            self.clusters.add(count.cluster)
        if not self.spec.block_seconds:
            return
        self.close(count.at)
        self.block = blocks_of(count.at, self.spec.block_seconds)
        unit = self.open_units.setdefault(count.cluster, [0, 0])
        unit[0] += count.n
        unit[1] += count.bad

    def close(self, now: Instant) -> None:
        """Count the open block if it is over at ``now``."""
        if self.block is None or not self.spec.block_seconds or blocks_of(now, self.spec.block_seconds) <= self.block:
            return
        self.bets.take((n, bad) for n, bad in self.open_units.values())
        self.open_units, self.block, self.blocks = {}, None, self.blocks + 1

    def both(self) -> tuple[float, float]:
        """Evidence that the rate is below, and above, the threshold, as logarithms; no more than that."""
        if self.spec.block_seconds:
            return self.bets.log_e_below(), self.bets.log_e_above()
        return log_e_below(self.bad, self.n, self.bets.p0), log_e_above(self.bad, self.n, self.bets.p0)

    def evidence(self) -> "Evidence":
        """Both sides' evidence, as it stands."""
        below, above = self.both()
        if self.spec.block_seconds:
            logs, counted, interval = tuple(self.bets.below), self.bets.n, self.bets.interval(self.spec.alpha)
        else:
            logs, counted = rate_logs(self.bad, self.n, self.bets.p0, ODDS_BELOW), self.n
            interval = rate_interval(self.bad, self.n, self.spec.alpha)
        return Evidence(below=below, above=above, logs=logs, counted=counted, interval=interval)


MANY: Final = 10**15
"""More observations than anybody will make."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence for both ends, as logarithms."""

    below: float
    above: float
    logs: tuple[float, ...]
    """Components of ``below``."""
    counted: int
    """Observations that it rests on."""
    interval: tuple[float, float]

    def needed(self, threshold: float) -> int | None:
        """More observations until "below" is proven at the rate observed; None: never, or nothing is counted yet."""
        growth = growth_to(self.logs, threshold) if self.counted else None
        if growth is None or growth * self.counted > MANY:
            return None
        return max(1, int((growth - 1.0) * self.counted) + 1)


def promotion(spec: Spec) -> Promotion:
    """The empty fold; the spec has a threshold."""
    assert spec.max_rate is not None, "slips() refuses a promotion without max_rate"
    return Promotion(spec=spec, bets=Bets(p0=spec.max_rate))


def ends_at(at: Instant, spacing_seconds: float) -> Instant:
    """When the counts of ``at`` are over."""
    return Instant(at + int(spacing_seconds * SECOND))
