"""Sample ratio: are clusters divided between new and old as they were meant to be (F4)? If not, no comparison holds.

Rules
-----
1. A cluster counts once in a phase, by the first side it is seen on; mixed observations say nothing of a side.
2. Phases depend on each other (whoever was new at 5 % is new at 25 %), so their e-values are not multiplied: each has
   the same part of alpha. A share of 0 or 1 leaves nothing to chance and is not tested.
3. If most clusters of a phase stand on both sides, clusters are not what was assigned, and observations are the unit.
4. Evidence is looked at when an instant is over, since the order within it may depend on the side.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from crossfade.core.evalues import border, log_sample_ratio
from crossfade.core.gates.specs import Count, Exposure, Spec
from crossfade.core.values import Instant

FOREVER: Final = 1 << 40


class Phase(msgspec.Struct, kw_only=True):
    """One share, and who was seen while it was in force."""

    since: Instant
    share: float
    sides: dict[str, Exposure] = msgspec.field(default_factory=dict)
    """The first side of each cluster."""
    both: set[str] = msgspec.field(default_factory=set)
    """Clusters seen on both sides."""
    firsts: int = 0
    """Clusters first seen on the new side."""
    new: int = 0
    """Observations."""
    n: int = 0
    peak: float = 0.0
    """Most evidence at any look, by clusters."""
    observed_peak: float = 0.0
    """The same, by observations."""

    @property
    def tested(self) -> bool:
        """There is something left to chance."""
        return 0.0 < self.share < 1.0

    @property
    def by_cluster(self) -> bool:
        """The unit is the cluster."""
        return len(self.both) * 2 <= len(self.sides)

    @property
    def counted(self) -> tuple[int, int]:
        """Units on the new side, and all."""
        return (self.firsts, len(self.sides)) if self.by_cluster else (self.new, self.n)

    @property
    def evidence(self) -> float:
        """Log of the most evidence so far."""
        return self.peak if self.by_cluster else self.observed_peak

    def take(self, count: Count) -> None:
        """One count of the new or the old side, with observations."""
        new = count.exposure is Exposure.NEW
        first = self.sides.get(count.cluster)
        if first is None:
            self.sides[count.cluster] = count.exposure
            self.firsts += new
        elif first is not count.exposure:
            self.both.add(count.cluster)
        self.n += count.n
        self.new += count.n if new else 0

    def look(self) -> None:
        """The instant is over."""
        if self.tested and self.sides:
            self.peak = max(self.peak, log_sample_ratio(self.firsts, len(self.sides), self.share))
            self.observed_peak = max(self.observed_peak, log_sample_ratio(self.new, self.n, self.share))


class SampleRatio(msgspec.Struct, kw_only=True, tag=True):
    """The fold of counts, ordered by time."""

    spec: Spec
    phases: list[Phase]
    step_at: Instant | None = None

    def take(self, count: Count) -> None:
        """One count; what was seen before the first phase says nothing."""
        if self.step_at is not None and count.at > self.step_at:
            self.close()
        self.step_at = count.at
        phase = self._phase(count.at)
        if phase is not None and count.n and count.exposure is not Exposure.MIXED:
            phase.take(count)

    def _phase(self, at: Instant) -> Phase | None:
        return next((phase for phase in reversed(self.phases) if phase.since <= at), None)

    def close(self) -> None:
        """Look at the evidence; the instant is over."""
        phase = None if self.step_at is None else self._phase(self.step_at)
        if phase is not None:
            phase.look()

    @property
    def level(self) -> float:
        """Log of the e-value at which a phase does not fit its share."""
        return math.log(max(1, self.tested)) - math.log(self.spec.alpha)

    @property
    def tested(self) -> int:
        """Phases that leave something to chance."""
        return sum(phase.tested for phase in self.phases)

    @property
    def worst(self) -> Phase | None:
        """The phase with the most evidence; the last of several."""
        seen = [phase for phase in self.phases if phase.tested and phase.sides]
        return max(reversed(seen), key=lambda phase: phase.evidence, default=None)

    @property
    def latest(self) -> Phase:
        """The last phase in which somebody was seen and something was left to chance. There is one."""
        return next(phase for phase in reversed(self.phases) if phase.tested and phase.sides)

    def needed(self) -> int | None:
        """More units until the most extreme split of the latest phase would be evidence enough; None: there are."""
        phase = self.latest
        have = phase.counted[1]
        if _extreme(have, phase.share) >= self.level:
            return None
        return next(more for more in range(1, FOREVER) if _extreme(have + more, phase.share) >= self.level)

    def interval(self, phase: Phase) -> tuple[float, float]:
        """Shares that the split of a phase does not rule out."""
        s, n = phase.counted
        rate = s / n
        high = border(lambda share: log_sample_ratio(s, n, share) >= self.level, 1.0, rate)
        low = border(lambda share: log_sample_ratio(s, n, share) >= self.level, 0.0, rate)
        return low, high


def sample_ratio(spec: Spec, phases: Sequence[tuple[Instant, float]]) -> SampleRatio:
    """The empty fold; ``phases`` as (since, share), in the order of time."""
    return SampleRatio(spec=spec, phases=[Phase(since=since, share=share) for since, share in phases])


def _extreme(n: int, share: float) -> float:
    return max(log_sample_ratio(0, n, share), log_sample_ratio(n, n, share)) if n else 0.0
