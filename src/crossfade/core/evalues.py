"""Evidence as e-values: numbers that stay true while everybody watches. Mathematics on counts, nothing else.

An e-value E tests a null hypothesis: if that is true, E is at least 1/a with probability at most a, at any time one
cares to look and however often (Ville 1939). All are logarithms here, and all are rounded down: what floating point
cannot tell is never counted as evidence.

Not here: which evidence a gate needs and what it says about it (core/gates).

Sources: F1 Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 49(2), 2021; bounded means: Waudby-Smith,
Ramdas, JRSSB 86, 2024. F3 Lindon, Malek 2022; Turner, Ly, Gruenwald 2024. F4 Lindon, Malek 2022. F5 Shin, Ramdas,
Rinaldo 2023. The bound behind ``Bets.interval``: Fan, Grama, Liu, EJP 20, 2015, lemma 4.1.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

ODDS_BELOW: Final = (0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
"""Alternatives to "the rate is at least p0", as factors on the odds of p0."""
ODDS_ABOVE: Final = (1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Alternatives to "the rate is at most p0"."""
ODDS_CHANGED: Final = (1.3, 2.0, 4.0, 10.0)
"""Rates after a change that a detector looks for."""
BETS_BELOW: Final = (0.1, 0.3, 0.6, 0.95)
"""Stakes against "the mean is at least p0", as parts of what may be staked."""
BETS_ABOVE: Final = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.9)
"""Stakes against "the mean is at most p0"; small ones, because one bad unit pays up to 1/p0."""
PRIOR_UNITS: Final = (4.0, 100.0)
"""Alternatives in F4: a split that is far off, seen in a few dozen units, and one that is slightly off."""

NOTHING: Final = -1e300
"""Log of M before the first step: finite, so that it can be written down."""

_SUM_SLACK: Final = 1e-9
"""Relative error that sums of up to a million logarithms may have gathered."""
_FORM_SLACK: Final = 1e-14
"""Relative error of one closed form, of the largest number in it."""
_STEPS: Final = 80
"""Halvings of an interval: far beyond what a float can tell."""


def log_mean_exp(logs: Sequence[float]) -> float:
    """The logarithm of the mean of e-values; a mean of e-values is one, whatever depends on what."""
    top = max(logs)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(one - top) for one in logs) / len(logs))


def rounded_down(log_e: float) -> float:
    """A sum of many logarithms without what rounding may have added."""
    return log_e - _SUM_SLACK * (1.0 + abs(log_e))


def growth_to(logs: Sequence[float], threshold: float) -> float | None:
    """How many times as much of the same data gives evidence of ``threshold``; None if it never does.

    ``logs`` are the parts of the mixture so far; each grows in proportion to the data.
    """
    if max(logs) <= 0.0:
        return None
    low, high = 0.0, (threshold + math.log(len(logs))) / max(logs)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if log_mean_exp([one * middle for one in logs]) >= threshold else (middle, high)
    return high


# --- F1: the rate of a stream of independent yes-or-no observations ------------------------------------


def rate_logs(bad: float, n: float, p0: float, odds: Sequence[float]) -> tuple[float, ...]:
    """For each alternative the log likelihood ratio against the rate ``p0`` (0 < p0 < 1), rounded down."""
    return tuple(_rate_log(bad, n, p0, factor) for factor in odds)


def _rate_log(bad: float, n: float, p0: float, factor: float) -> float:
    won, paid = bad * math.log(factor), n * math.log1p((factor - 1.0) * p0)
    return won - paid - _FORM_SLACK * (abs(won) + abs(paid))


def log_e_below(bad: float, n: float, p0: float) -> float:
    """Evidence against "the rate is ``p0`` or more": that the stream is better."""
    return log_mean_exp(rate_logs(bad, n, p0, ODDS_BELOW))


def log_e_above(bad: float, n: float, p0: float) -> float:
    """Evidence against "the rate is ``p0`` or less": that the stream is worse."""
    return log_mean_exp(rate_logs(bad, n, p0, ODDS_ABOVE))


def rate_interval(bad: int, n: int, alpha: float) -> tuple[float, float]:
    """Rates that neither side's evidence rules out; each end is wrong with probability at most ``alpha``, ever."""
    if n == 0:
        return 0.0, 1.0
    wanted, rate = -math.log(alpha), bad / n
    high = border(lambda p: log_e_below(bad, n, p) >= wanted, 1.0, rate)
    low = border(lambda p: log_e_above(bad, n, p) >= wanted, 0.0, rate)
    return low, high


def border(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where exclusion ends between ``outside`` and ``inside``; ``outside`` itself if nothing is excluded.

    ``excluded`` never begins anew on the way inwards. The end that is returned is not cut short.
    """
    last_out = outside
    for _ in range(_STEPS):
        middle = (last_out + inside) / 2
        if not 0.0 < middle < 1.0 or middle in (last_out, inside):
            break
        last_out, inside = (middle, inside) if excluded(middle) else (last_out, middle)
    return last_out


# --- F1 for bounded means: units whose observations may depend on each other in any way ----------------


class Bets(msgspec.Struct, kw_only=True):
    """Evidence about a rate from units (one cluster in one block), each a share of bad events between 0 and 1.

    A unit is weighed by its observations over the most that any unit has had, so that the rate is that of
    observations: a large bad cluster is not outvoted by many small ones. Clusters have to be independent of each
    other within a block, given the past; within a unit anything goes.
    """

    p0: float
    n_cap: int = 0
    """Most observations of one unit so far."""
    units: int = 0
    n: int = 0
    bad: int = 0
    below: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS_BELOW))
    above: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS_ABOVE))
    moments: list[float] = msgspec.field(default_factory=lambda: [0.0] * 5)
    """Sums over units of w, wx, w², w²x, w²x² with weight w and share x: what the interval needs."""

    def take(self, units: Iterable[tuple[int, int]]) -> None:
        """One whole block: observations and bad ones of each cluster."""
        block = [(n, bad) for n, bad in units if n > 0]
        self.n_cap = max(self.n_cap, max((n for n, _ in block), default=0))
        for n, bad in block:
            self._take(n / self.n_cap, bad / n)
            self.units, self.n, self.bad = self.units + 1, self.n + n, self.bad + bad

    def _take(self, weight: float, share: float) -> None:
        edge = weight * (share - self.p0)
        log1p, below, above = math.log1p, self.below, self.above
        under, over = edge / (1.0 - self.p0), edge / self.p0
        for index, stake in enumerate(BETS_BELOW):
            below[index] += log1p(-stake * under)
        for index, stake in enumerate(BETS_ABOVE):
            above[index] += log1p(stake * over)
        square = weight * weight
        parts = (weight, weight * share, square, square * share, square * share * share)
        self.moments = [old + part for old, part in zip(self.moments, parts, strict=True)]

    def log_e_below(self) -> float:
        """Evidence against "the rate is p0 or more"."""
        return rounded_down(log_mean_exp(self.below))

    def log_e_above(self) -> float:
        """Evidence against "the rate is p0 or less"."""
        return rounded_down(log_mean_exp(self.above))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Rates not ruled out, each end wrong with probability at most ``alpha``, ever; somewhat wide."""
        if not self.n:
            return 0.0, 1.0
        wanted, weight = -math.log(alpha), self.moments[0]
        centre = self.moments[1] / weight
        high = border(lambda p: self._fan(p, 1.0 / (1.0 - p), BETS_BELOW, -1.0) >= wanted, 1.0, centre)
        low = border(lambda p: self._fan(p, 1.0 / p, BETS_ABOVE, 1.0) >= wanted, 0.0, centre)
        return low, high

    def _fan(self, p: float, scale: float, stakes: Sequence[float], sign: float) -> float:
        """The evidence against the mean p, from below: log(1+ly) >= ly + (log(1-l)+l)y² for y >= -1."""
        w, wx, ww, wwx, wwxx = self.moments
        first = sign * scale * (wx - p * w)
        second = scale * scale * (wwxx - 2.0 * p * wwx + p * p * ww)
        return rounded_down(log_mean_exp([s * first + (math.log1p(-s) + s) * second for s in stakes]))


# --- F4: is the split as it was meant to be? -----------------------------------------------------------


def log_sample_ratio(s: int, n: int, share: float) -> float:
    """Evidence that ``s`` of ``n`` units were not assigned with probability ``share`` (0 < share < 1)."""
    return log_mean_exp([_log_split(s, n, share, prior) for prior in PRIOR_UNITS])


def _log_split(s: int, n: int, share: float, prior: float) -> float:
    """Beta-binomial against binomial, rounded down."""
    a, b = prior * share, prior * (1.0 - share)
    parts = (
        math.lgamma(a + s), math.lgamma(b + n - s), -math.lgamma(prior + n),
        -math.lgamma(a), -math.lgamma(b), math.lgamma(prior),
        -s * math.log(share), -(n - s) * math.log1p(-share),
    )  # fmt: skip
    return math.fsum(parts) - _FORM_SLACK * math.fsum(abs(part) for part in parts)


# --- F5: did the rate change? --------------------------------------------------------------------------


class Detector(msgspec.Struct, kw_only=True):
    """Shiryaev-Roberts: while the rate is at most ``p0``, the mean of M after T steps is at most T."""

    p0: float
    logs: list[float] = msgspec.field(default_factory=lambda: [NOTHING] * len(ODDS_CHANGED))
    """Log of M for each alternative."""

    def take(self, bad: float, n: float) -> tuple[float, ...]:
        """One step; the log likelihood ratio of each alternative in this step."""
        steps = rate_logs(bad, n, self.p0, ODDS_CHANGED)
        self.logs = [_log1p_exp(old) + step for old, step in zip(self.logs, steps, strict=True)]
        return steps

    def log_m(self) -> float:
        """Log of M; compare it with ``log_alarm``."""
        return rounded_down(log_mean_exp(self.logs))


def log_alarm(steps: float, detectors: int, alpha: float) -> float:
    """Log of M at which to alarm: the probability that any of ``detectors`` ever does falsely is at most ``alpha``."""
    return math.log(max(1.0, steps)) + math.log(detectors) - math.log(alpha)


def _log1p_exp(log: float) -> float:
    """log(1 + e^log) without overflow."""
    return log + math.log1p(math.exp(-log)) if log > 0.0 else math.log1p(math.exp(log))
