"""Trigger: detect that the rate has risen above the threshold, at any time in twelve weeks (F5), and who is hurt.

Rules
-----
1. It fires if M reaches the alarm level *and* enough clusters are hurt: without the worst k - 1 of them, what is left
   since the change is proven to be above the threshold; k = min(breadth, clusters exposed).
2. In one step a cluster weighs at most an even share among k, or half an average step: a loop of retries, or a flood
   of successes, drowns nobody.
3. One that reaches the level alone is set aside for later steps and named; the verdict is inconclusive meanwhile.
4. If the old side is hurt as well, without its worst k - 1 clusters, and the comparison does not blame the new one, the
   verdict is inconclusive: shared.
5. Once fired it stays fired.
"""

import math
from typing import Final

import msgspec

from crossfade.core.evalues import Detector, log_alarm, log_e_above
from crossfade.core.gates.comparison import blames_new
from crossfade.core.gates.specs import Count, Exposure, Spec
from crossfade.core.values import SECOND, Instant

LEAST: Final = 5.0
"""Observations of one cluster that always count in a step, so that sparse traffic is not lost."""
CAUTION: Final = 10.0
"""The bound behind the level is attained by a service that sits on its threshold for twelve weeks. Alarming ten times
less often than alpha allows costs one look in seven, and going back is dear."""
QUIET: Final = 3600
"""Seconds below the threshold after which a cluster that was set aside counts again, if blocks are shorter."""
Sums = dict[str, list[float]]
"""By cluster: observations and bad ones, weighed."""
OLD: Final = "\0old/"
"""Before a cluster of the old side in a window."""


class Since(msgspec.Struct, kw_only=True):
    """What happened since the last change that one alternative sees."""

    log: float = 0.0
    """Log likelihood ratio since then; at 0 the window is empty."""
    sums: Sums = msgspec.field(default_factory=dict)
    began: Instant | None = None


class Aside(msgspec.Struct, kw_only=True):
    """A noisy cluster that does not count for now."""

    since: Instant
    loud_at: Instant
    """When it was last above the threshold."""


class Trigger(msgspec.Struct, kw_only=True, tag=True):
    """The fold of counts, ordered by time, into an alarm."""

    spec: Spec
    detector: Detector
    windows: list[Since] = msgspec.field(default_factory=lambda: [Since() for _ in range(4)])
    step_at: Instant | None = None
    is_open: bool = False
    """The step is not judged yet."""
    step: Sums = msgspec.field(default_factory=dict)
    old_step: Sums = msgspec.field(default_factory=dict)
    spacing: int | None = None
    """Least distance of two steps, nanoseconds."""
    steps: int = 0
    exposed: int = 0
    """Clusters known to be exposed, whether or not they were seen yet."""
    weighed: float = 0.0
    """Sum over steps of what was weighed."""
    n: int = 0
    bad: int = 0
    clusters: set[str] = msgspec.field(default_factory=set)
    aside: dict[str, Aside] = msgspec.field(default_factory=dict)
    named: tuple[str, ...] = ()
    """Those that stood out when M last was at the level."""
    holds: str = ""
    """``shared`` or ``narrow`` while M is at the level and it does not fire."""
    fired_at: Instant | None = None
    peak: float = 0.0
    """Log of M when it fired."""
    rest_log: float = 0.0
    """Evidence that was left without the worst clusters, at that time."""

    def take(self, count: Count) -> None:
        """One count; those of the old side serve the comparison."""
        if self.step_at is not None and count.at > self.step_at:
            self.close()
            self.spacing = min(self.spacing or count.at - self.step_at, count.at - self.step_at)
        self.step_at, self.is_open = count.at, True
        if count.exposure is self.spec.exposure:
            _add(self.step, count.cluster, count.n, count.bad)
        elif count.exposure is Exposure.OLD:
            _add(self.old_step, count.cluster, count.n, count.bad)

    @property
    def level(self) -> float:
        """Log of M at which it alarms."""
        seconds = self.spec.check_seconds or (self.spacing or 60 * SECOND) / SECOND
        steps = max(self.spec.horizon_seconds / seconds, self.steps)
        return log_alarm(steps, self.spec.triggers, self.spec.alpha / CAUTION)

    @property
    def breadth(self) -> int:
        """Clusters that have to be hurt."""
        return min(self.spec.breadth, max(1, self.exposed, len(self.clusters)))

    def close(self) -> None:
        """Judge the step that is open, if one is; counts that come later are of later instants."""
        step, old, at = self.step, self.old_step, self.step_at
        if at is None or not self.is_open:
            return
        self.step, self.old_step, self.is_open = {}, {}, False
        self.steps += 1
        n, bad = _total(step)
        self.n, self.bad = self.n + int(n), self.bad + int(bad)
        self.clusters.update(cluster for cluster, (n, _) in step.items() if n)
        if self.fired_at is not None:
            return
        least = max(LEAST, self.weighed / self.steps / 2)
        counted = _capped(self._without_aside(step, at), self.breadth, least)
        n, bad = _total(counted)
        self.weighed += n
        logs = self.detector.take(bad, n)
        beside = {f"{OLD}{cluster}": both for cluster, both in old.items() if both[0]}
        for window, log in zip(self.windows, logs, strict=True):
            _slide(window, log, at, {**counted, **beside})
        self._judge(at)

    def _without_aside(self, step: Sums, at: Instant) -> Sums:
        """What counts of a step; those set aside come back when they have been quiet for long enough."""
        if not self.aside:
            return step
        quiet = int(max(self.spec.block_seconds, QUIET) * SECOND)
        for cluster in list(self.aside):
            n, bad = step.get(cluster, (0, 0))
            if bad > self.detector.p0 * n:
                self.aside[cluster].loud_at = at
            elif at - self.aside[cluster].loud_at > quiet:
                del self.aside[cluster]
        return {cluster: sums for cluster, sums in step.items() if cluster not in self.aside}

    def _judge(self, at: Instant) -> None:
        self.holds = "narrow" if self.aside else ""
        self.named = tuple(sorted(self.aside))
        if self.detector.log_m() < self.level:
            return
        best = max(range(len(self.windows)), key=lambda index: self.detector.logs[index])
        both_sides = self.windows[best].sums
        sums = {cluster: both for cluster, both in both_sides.items() if not cluster.startswith(OLD)}
        old = {cluster: both for cluster, both in both_sides.items() if cluster.startswith(OLD)}
        if not self._broad(sums):
            self._set_aside(sums, at)
        elif self._shared(sums, old):
            self.holds = "shared"
        else:
            self.fired_at, self.peak, self.holds = at, self.detector.log_m(), ""
            self.named = tuple(cluster for cluster in self._worst(sums, 10) if sums[cluster][1])

    def _worst(self, sums: Sums, many: int) -> list[str]:
        excess = {cluster: bad - self.detector.p0 * n for cluster, (n, bad) in sums.items()}
        return sorted(excess, key=lambda cluster: (-excess[cluster], cluster))[:many]

    def _broad(self, sums: Sums) -> bool:
        """Enough clusters are hurt, and those left without the worst are proven to be above the threshold."""
        hurt = sum(bad > 0 for _, bad in sums.values()) + len(self.aside)
        worst = set(self._worst(sums, max(0, self.breadth - 1 - len(self.aside))))
        n, bad = _total({cluster: both for cluster, both in sums.items() if cluster not in worst})
        self.rest_log = log_e_above(bad, n, self.detector.p0)
        return hurt >= self.breadth and self.rest_log >= log_alarm(1, 1, self.spec.alpha)

    def _shared(self, sums: Sums, old: Sums) -> bool:
        """The old side is hurt, too, and the new one is not proven to be worse.

        The worst k - 1 clusters of the old side say nothing here: one that is noisy excuses nobody.
        """
        worst = set(self._worst(old, min(self.spec.breadth, max(1, len(old))) - 1))
        n, bad = _total({cluster: both for cluster, both in old.items() if cluster not in worst})
        if bad <= self.detector.p0 * n:
            return False
        return blames_new(_total(sums), (n, bad)) < log_alarm(1, 1, self.spec.alpha)

    def _set_aside(self, sums: Sums, at: Instant) -> None:
        """Leave out, from the next step on, those that reach the level alone; the detector begins anew."""
        worst = self._worst(sums, max(0, self.breadth - 1 - len(self.aside)))
        alone = [
            cluster
            for cluster in worst
            if log_e_above(sums[cluster][1], sums[cluster][0], self.detector.p0) >= log_alarm(1, 1, self.spec.alpha)
        ]
        self.holds, self.named = "narrow", tuple(sorted({*self.aside, *(alone or worst)}))
        if alone:
            self.aside.update({cluster: Aside(since=at, loud_at=at) for cluster in alone})
            self.detector = Detector(p0=self.detector.p0)
            self.windows = [Since() for _ in self.windows]


def trigger(spec: Spec, exposed: int = 0) -> Trigger:
    """The empty fold; the spec has a threshold."""
    assert spec.max_rate is not None, "slips() refuses a trigger without max_rate"
    return Trigger(spec=spec, exposed=exposed, detector=Detector(p0=spec.max_rate))


def _add(sums: Sums, cluster: str, n: float, bad: float) -> None:
    both = sums.setdefault(cluster, [0, 0])
    both[0] += n
    both[1] += bad


def _total(sums: Sums) -> tuple[float, float]:
    return math.fsum(n for n, _ in sums.values()), math.fsum(bad for _, bad in sums.values())


def _capped(step: Sums, breadth: int, least: float) -> Sums:
    """A step in which, of a cluster that has too many observations, a part stands for it.

    The likelihood ratio is convex, so a part gives at most the evidence that a sample of as many would give.
    """
    if breadth <= 1:
        return step
    total, found = _total(step)[0], {}
    for cluster, (n, bad) in step.items():
        part = min(1.0, max(least, (total - n) / (breadth - 1)) / n) if n else 0.0
        found[cluster] = [n * part, bad * part]
    return found


def _slide(window: Since, log: float, at: Instant, step: Sums) -> None:
    """Add a step to a window, or empty it if it tells of no change."""
    if window.log + log <= 0.0:
        if window.began is not None:
            window.log, window.sums, window.began = 0.0, {}, None
        return
    window.log += log
    window.began = at if window.began is None else window.began
    for cluster, (n, bad) in step.items():
        _add(window.sums, cluster, n, bad)
