"""A/B: new against old in the same instants (F3), so that what hurts both is nobody's fault.

Bad events come in bursts of one cluster on one side. Given that a burst begins at some instant, under the null
hypothesis it is on the new side with a probability that the exposures of that instant and the ratio decide. Its
likelihood ratio to the power q = size / b, over the mean Z(q) of that power, has a mean of 1 while q <= 1; the evidence
is the average over b.

What is seen is a unit: all bad events of one cluster and side in one block, which may be several bursts. log Z is
convex and Z(0) = Z(1) = 1, so one Z for the whole unit is no more than one for each burst. If a unit is larger than b,
it speaks for the claim with one whole burst only, and against it with all its events. So it does not matter how many
bursts a unit was; bursts larger than b have to be as frequent on both sides.

Rules
-----
1. An instant is a minute. One with observations on one side only says nothing.
2. On the side that looks bad, the loudest k - 1 clusters say no more than the one that comes next, k = min(breadth,
   clusters of that side): one noisy cluster forces nothing, and makes nothing look better than it is.
3. With blocks of 0 seconds every bad event counts by itself.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from crossfade.core.evalues import growth_to, log_mean_exp, rounded_down
from crossfade.core.gates.specs import Count, Exposure, Spec, blocks_of
from crossfade.core.values import SECOND, Instant

BETTER: Final = (0.1, 0.18, 0.25, 0.35, 0.5, 0.6, 0.7, 0.78, 0.85, 0.92)
WORSE: Final = (1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0)
LADDER: Final = (*BETTER, 1.0, *WORSE)
"""Ratios of the rates, as factors on 1 + margin."""
NULL: Final = len(BETTER)
"""Where the null hypothesis stands on the ladder."""
PROVES_BETTER: Final = tuple(LADDER.index(r) for r in (0.25, 0.5, 0.7, 0.85))
PROVES_WORSE: Final = tuple(LADDER.index(r) for r in (1.3, 1.6, 2.0, 3.0, 5.0, 10.0))
SIZES: Final = tuple(4**power for power in range(11))
"""Sizes b of bursts, from 1 to a million."""
ONE_EACH: Final = (1,)
"""Without blocks: every bad event is a burst of its own."""
PROVES: Final = (*PROVES_BETTER, *PROVES_WORSE)
MINUTE: Final = 60 * SECOND
Arms = tuple[tuple[float, ...], tuple[float, ...]]
"""At each place of the ladder, log probabilities that a bad event is on the new and on the old side."""
Row = list[float]
"""A sum for each place of the ladder, or for each of PROVES."""


class Unit(msgspec.Struct, kw_only=True):
    """Bad events of one cluster and side in the open block."""

    size: int = 0
    shares: float = 0.0
    """Sum over events of the new side's share of the observations in their instant."""


class Voice(msgspec.Struct, kw_only=True):
    """What the units of one cluster and side say: for each size b and each of PROVES a log of evidence."""

    said: list[Row]


class Choir(msgspec.Struct, kw_only=True):
    """What all units of a side say at each place of the ladder, without Z: for the interval."""

    whole: Row = msgspec.field(default_factory=lambda: [0.0] * len(LADDER))
    """With all their events."""
    capped: list[Row] = msgspec.field(default_factory=lambda: [[0.0] * len(LADDER) for _ in SIZES])
    """For each size b: with at most one burst of that size a unit."""


class Comparison(msgspec.Struct, kw_only=True, tag=True):
    """The fold of counts, ordered by time, into evidence for and against the new side."""

    spec: Spec
    step_at: Instant | None = None
    step: list[Count] = msgspec.field(default_factory=list)
    block: int | None = None
    units: dict[str, Unit] = msgspec.field(default_factory=dict)
    """By side and cluster, of the open block."""
    voices: dict[str, Voice] = msgspec.field(default_factory=dict)
    """By side and cluster: what its closed blocks say."""
    new: Choir = msgspec.field(default_factory=Choir)
    old: Choir = msgspec.field(default_factory=Choir)
    blocks: int = 0
    n: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    """New, old; of instants with both."""
    bad: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    clusters: dict[str, set[str]] = msgspec.field(default_factory=lambda: {"new": set(), "old": set()})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of bursts that are thought of."""
        return SIZES if self.spec.block_seconds else ONE_EACH

    def take(self, count: Count) -> None:
        """One count; mixed ones are left aside."""
        if count.exposure is Exposure.MIXED:
            return
        minute = Instant(count.at - count.at % MINUTE)
        if self.step_at is not None and minute > self.step_at:
            self.close(minute)
        self.step_at = minute
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
        for place, side in enumerate(sides):
            for count in side:
                if count.bad:
                    self.bad[place] += count.bad
                    unit = self.units.setdefault(f"{count.exposure.value}/{count.cluster}", Unit())
                    unit.size += count.bad
                    unit.shares += count.bad * totals[0] / sum(totals)

    def _block(self) -> None:
        scale = 1.0 + self.spec.margin_or_default
        arms, rows = dict[float, Arms](), dict[tuple[float, int, bool], list[Row]]()
        for key, unit in self.units.items():
            share, new = unit.shares / unit.size, key.startswith("new/")
            if share not in arms:
                arms[share] = arm_logs(share, 1.0 - share, scale)
            alike = (share, unit.size, new)
            if alike not in rows:
                rows[alike] = self._said(unit.size, arms[share], new=new)
            voice = self.voices.setdefault(key, Voice(said=[[0.0] * len(PROVES) for _ in self.sizes]))
            voice.said = [_sum(*both) for both in zip(voice.said, rows[alike], strict=True)]
            self._sing(self.new if new else self.old, unit.size, arms[share][0 if new else 1])
        self.units, self.block = {}, None
        self.blocks += 1

    def _said(self, size: int, arms: Arms, *, new: bool) -> list[Row]:
        """What a unit says: for each size of bursts and each of PROVES."""
        own, (on_new, on_old) = arms[0 if new else 1], arms
        gains = [own[place] - own[NULL] for place in PROVES]
        if not self.spec.block_seconds:
            return [[size * gain for gain in gains]]
        loud = [new is (place > NULL) for place in PROVES]
        ways = [(on_new[place] - on_new[NULL], on_old[place] - on_old[NULL]) for place in PROVES]
        found = []
        for power in (size / full for full in self.sizes):
            if power >= 1.0:
                found.append([gain if aloud else power * gain for gain, aloud in zip(gains, loud, strict=True)])
            else:
                found.append([
                    power * gain - log_z(power, on_new[NULL], on_old[NULL], way)
                    for gain, way in zip(gains, ways, strict=True)
                ])  # fmt: skip
        return found

    def _sing(self, choir: Choir, size: int, logs: Sequence[float]) -> None:
        choir.whole = [have + size * log for have, log in zip(choir.whole, logs, strict=True)]
        for index, full in enumerate(self.sizes):
            power = min(1.0, size / full) if self.spec.block_seconds else float(size)
            choir.capped[index] = [have + power * log for have, log in zip(choir.capped[index], logs, strict=True)]

    def parts(self, proves: Sequence[int], *, clip: bool = False) -> tuple[float, ...]:
        """Logs of all components for the alternatives ``proves``, PROVES_BETTER or PROVES_WORSE.

        With ``clip`` the k - 1 loudest clusters of each component are no louder than the next one.
        """
        side = "new" if proves[0] > NULL else "old"
        voices, loud = list(self.voices.values()), [v for k, v in self.voices.items() if k.startswith(f"{side}/")]
        many, found = self._spared(side), []
        for index in range(len(self.sizes)):
            for number in (PROVES.index(place) for place in proves):
                whole = math.fsum(voice.said[index][number] for voice in voices)
                told = [voice.said[index][number] for voice in loud] if clip else []
                found.append(whole - _excess(told, many))
        return tuple(found)

    def _spared(self, side: str) -> int:
        return min(self.spec.breadth, max(1, len(self.clusters[side]))) - 1

    def loudest(self, side: str) -> tuple[str, ...]:
        """The k - 1 clusters that make a side look worst."""
        numbers = [PROVES.index(place) for place in (PROVES_WORSE if side == "new" else PROVES_BETTER)]
        told = {
            key: max(row[number] for row in voice.said for number in numbers)
            for key, voice in self.voices.items()
            if key.startswith(f"{side}/")
        }
        ordered = sorted(told, key=lambda key: (-told[key], key))
        return tuple(key.partition("/")[2] for key in ordered[: self._spared(side)])

    def log_e(self, proves: Sequence[int], *, clip: bool = False) -> float:
        """Evidence for the alternatives ``proves``; see ``parts``."""
        return rounded_down(log_mean_exp(self.parts(proves, clip=clip)))

    def needed(self, threshold: float) -> int | None:
        """More observations, of both sides, until "not worse" is proven at these rates; None: never."""
        growth = growth_to(self.parts(PROVES_BETTER, clip=True), threshold)
        total = sum(self.n)
        return max(1, int((growth - 1.0) * total) + 1) if growth is not None and growth < 1e9 else None

    def interval(self) -> tuple[float | None, float | None]:
        """Ratios of the rates that are not ruled out, as far as the ladder tells; without Z, so somewhat wide."""
        wanted, scale = -math.log(self.spec.alpha), 1.0 + self.spec.margin_or_default
        low = high = None
        for null, ratio in enumerate(LADDER):
            above, below = range(null + 1, len(LADDER)), range(null)
            if above and self._against(null, above, self.new, self.old) >= wanted:
                low = scale * ratio
            if high is None and below and self._against(null, below, self.old, self.new) >= wanted:
                high = scale * ratio
        return low, high

    def _against(self, null: int, places: Sequence[int], loud: Choir, other: Choir) -> float:
        """Evidence against the ratio at ``null``, for those at ``places``."""
        return rounded_down(log_mean_exp([
            loud.capped[index][place] - loud.capped[index][null] + (other.whole[place] - other.whole[null]) / size
            for index, size in enumerate(self.sizes)
            for place in places
        ]))  # fmt: skip


def comparison(spec: Spec) -> Comparison:
    """The empty fold."""
    return Comparison(spec=spec)


def _excess(told: list[float], many: int) -> float:
    """What the ``many`` loudest say beyond the next one."""
    ordered = sorted(told, reverse=True)
    bound = max(0.0, ordered[many]) if len(ordered) > many else 0.0
    return math.fsum(max(0.0, one - bound) for one in ordered[:many])


def _sum(left: Row, right: Row) -> Row:
    return [one + other for one, other in zip(left, right, strict=True)]


def log_z(power: float, null_new: float, null_old: float, way: tuple[float, float]) -> float:
    """Log of the mean under the null hypothesis of a likelihood ratio to a power between 0 and 1.

    ``way`` are the logs of the ratio on the new and on the old side, the others those of the null hypothesis.
    """
    return math.log(math.exp(null_new + power * way[0]) + math.exp(null_old + power * way[1]))


def arm_logs(new: float, old: float, scale: float) -> Arms:
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
