"""The acceptance simulations: each a function that returns figures, for the tests (few runs) and for `make gates`.

Traffic is Poisson, bursts are geometric, everything is seeded. The figures are in docs/gate-figures.md.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from crossfade.core.evalues import log_alarm
from crossfade.core.gates import Kind, Spec
from crossfade.core.gates.trigger import CAUTION
from crossfade.fleet.gate_traffic import Traffic, simulate
from tests.statistics import vectors

Figures = dict[str, float]
ALPHA = 0.01
ENOUGH = math.log(1 / ALPHA)
WEEKS_12 = 84 * 86_400
STEP = 10
LEVEL = log_alarm(WEEKS_12 / STEP, 9, ALPHA / CAUTION)
TRIGGERS = tuple((line, traffic) for line in (0.05, 0.01, 0.001) for traffic in (2.5, 25.0, 250.0))
"""Nine triggers: threshold and messages a second."""


def twelve_weeks(runs: int, seed: int = 1, steps: int = WEEKS_12 // STEP) -> Figures:
    """A1: nine triggers in twelve weeks of ten-second looks, each exactly at its threshold all the time."""
    rng = np.random.default_rng(seed)
    likely = [vectors.likelihoods(np.arange(n + 1), n, p0, vectors.CHANGED) for n, p0 in _sizes()]
    tables = [np.exp(np.minimum(one, 500.0)) for one in likely]
    m = np.zeros((len(TRIGGERS) * runs, len(vectors.CHANGED)))
    highest = np.zeros(len(m))
    for begin in range(0, steps, 500):
        many = min(500, steps - begin)
        parts = [table[rng.binomial(n, p0, (many, runs))] for (n, p0), table in zip(_sizes(), tables, strict=True)]
        peak, m = vectors.detector_peaks(np.concatenate(parts, axis=1), m)
        highest = np.maximum(highest, peak)
    by_run = highest.reshape(len(TRIGGERS), runs).max(0)
    fired, bound = by_run >= math.exp(LEVEL), by_run >= math.exp(LEVEL) / CAUTION
    alarms = {"runs with a false alarm": int(fired.sum()), "with the bare bound": int(bound.sum())}
    return {"runs": runs, **alarms, "highest ln M": float(np.log(highest.max())), "ln c": LEVEL}


def _sizes() -> list[tuple[int, float]]:
    return [(round(traffic * STEP), line) for line, traffic in TRIGGERS]


def delays(runs: int, after: float, hours: float, seed: int = 2, traffic: float = 25.0) -> Figures:
    """A2: seconds from the change to the alarm; threshold 5 %, 0.05 % before."""
    runs, rng = min(runs, 500) if hours > 24 else runs, np.random.default_rng(seed)
    m, line, before = np.zeros((runs, len(vectors.CHANGED))), 0.05, round(hours * 3600 / STEP)
    early, at = 0, np.full(runs, np.inf)
    for step in range(before + 2_000):
        n = rng.poisson(traffic * STEP, runs)
        bad = rng.binomial(n, 0.0005 if step < before else after)
        m = (1.0 + m) * np.exp(vectors.likelihoods(bad, n, line, vectors.CHANGED))
        fired = m.mean(-1) >= math.exp(LEVEL)
        early += int(fired.any()) if step < before else 0
        at[fired & np.isinf(at)] = (step - before + 1) * STEP
        if step >= before and np.isfinite(at).all():
            break
    return {"runs": runs, "false before": early, **_quantiles(at, "s")}


def _quantiles(values: vectors.Floats, unit: str) -> Figures:
    ranks = np.sort(values)
    high = ranks[math.ceil(0.95 * len(ranks)) - 1]
    return {f"median {unit}": float(ranks[len(ranks) // 2]), f"95 % {unit}": float(high)}


def false_promotions(runs: int, burst: float, seed: int = 3, hours: int = 72) -> Figures:
    """A3: passed although the rate is exactly at the gate (0.1 %); 500 clusters, 180 messages an hour each, looks at
    the end of every hour; beside it what the i.i.d. evidence would have done with the same counts."""
    rng = np.random.default_rng(seed)
    by_unit = by_count = 0
    for _ in range(0, runs, 50):
        shares, bad = vectors.bursty_shares(rng, (min(50, runs), hours, 500), 180, 0.001, burst)
        by_unit += int((vectors.bets_log_e(shares, 0.001) >= ENOUGH).any(-1).sum())
        n = 500 * 180 * np.arange(1, hours + 1)
        by_count += int((vectors.rate_log_e(bad.cumsum(-1), n, 0.001) >= ENOUGH).any(-1).sum())
    return {"runs": runs, "false, by cluster and hour": by_unit / runs, "false, i.i.d. evidence": by_count / runs}


def false_promotions_counted(runs: int, seed: int = 4, looks: int = 4_000) -> Figures:
    """A3, i.i.d.: a million independent observations exactly at the gate, looked at every 250."""
    rng = np.random.default_rng(seed)
    false = 0
    n = 250 * np.arange(1, looks + 1)
    for _ in range(runs):
        bad = rng.binomial(250, 0.001, looks).cumsum()
        false += bool((vectors.rate_log_e(bad, n, 0.001) >= ENOUGH).any())
    return {"runs": runs, "false": false / runs}


def certified(runs: int, true: float, seed: int = 5, looks: int = 4_000) -> Figures:
    """A4: observations until 0.1 % is proven, independent, looked at every 250."""
    rng = np.random.default_rng(seed)
    n = 250 * np.arange(1, looks + 1)
    at = np.full(runs, np.inf)
    for run in range(runs):
        proven = vectors.rate_log_e(rng.binomial(250, true, looks).cumsum(), n, 0.001) >= ENOUGH
        at[run] = n[proven.argmax()] if proven.any() else np.inf
    return {"runs": runs, **_quantiles(at, "messages")}


def certified_by_unit(runs: int, true: float, burst: float, seed: int = 6, hours: int = 120) -> Figures:
    """The price of evidence by cluster and hour: hours until 0.1 % is proven; 500 clusters, 25 messages a second."""
    runs, rng = min(runs, 200), np.random.default_rng(seed)
    shares, _ = vectors.bursty_shares(rng, (runs, hours, 500), 180, true, burst)
    proven = vectors.bets_log_e(shares, 0.001) >= ENOUGH
    at = np.where(proven.any(-1), proven.argmax(-1) + 1.0, np.inf)
    return {"runs": runs, **_quantiles(at, "hours")}


def shared_outage(runs: int, share: float, ratio: float = 1.0, seed: int = 7) -> Figures:
    """A5: 500 messages a second for a day, 0.05 % bad, ten minutes at 8 % on both; an absolute rule beside."""
    rng = np.random.default_rng(seed)
    minutes, false, naive = 1440, 0, 0
    cycle = 1 + 0.6 * np.sin(2 * np.pi * np.arange(minutes) / minutes)
    worse = np.array([1.3, 1.6, 2.0, 3.0, 5.0, 10.0])
    for _ in range(0, runs, 100):
        many = min(100, runs)
        new, old = (rng.poisson(30_000 * part * cycle, (many, minutes)) for part in (share, 1 - share))
        rate = np.full((many, minutes), 0.0005)
        for run, begin in enumerate(rng.integers(60, minutes - 60, many)):
            rate[run, begin : begin + 10] = 0.08
        bad_new, bad_old = rng.binomial(new, np.minimum(rate * ratio, 1)), rng.binomial(old, rate)
        logs = vectors.ratio_logs((new, bad_new), (old, bad_old), 0.0, worse)
        false += int((vectors.log_mean_exp(logs, 0) >= ENOUGH).any(-1).sum())
        window = np.apply_along_axis(np.convolve, 1, bad_new, np.ones(5), "valid")
        seen = np.apply_along_axis(np.convolve, 1, new, np.ones(5), "valid")
        naive += int((window > 0.05 * seen).any(-1).sum())
    return {"runs": runs, "blames new": false / runs, "absolute rule goes back": naive / runs}


def false_promotions_uneven(runs: int, seed: int = 8, hours: int = 72) -> Figures:
    """A3, sizes that differ a thousandfold: all bad events lie in the largest twentieth of 500 clusters, in bursts of
    25, and the rate of all messages is at the gate; beside it what equal weights would do."""
    rng = np.random.default_rng(seed)
    weighed = equal = 0
    for _ in range(runs):
        n = np.sort(np.maximum(1, rng.lognormal(3, 1.2, 500).astype(int)))
        large, p0 = n[-25:], 0.001
        many = rng.poisson(hours * n.sum() * p0 / 25)
        bad = np.zeros((hours, 25))
        who = rng.choice(25, many, p=large / large.sum())
        np.add.at(bad, (rng.integers(0, hours, many), who), vectors.burst_sizes(rng, many, 25))
        shares = np.zeros((1, hours, 500))
        shares[0, :, -25:] = np.minimum(bad / large, 1)
        weighed += bool((vectors.bets_log_e(shares, p0, n / n.max()) >= ENOUGH).any())
        equal += bool((vectors.bets_log_e(shares, p0) >= ENOUGH).any())
    return {"runs": runs, "false, weighed by messages": weighed / runs, "false, equal weights": equal / runs}


def bursty_sides(runs: int, burst: float, only: str, seed: int = 11) -> Figures:
    """A/B by cluster and hour, by the product itself: 12 clusters and 10 messages a second on each side, 0.2 % bad in
    bursts, three days, margin 25 %, a look whenever a tenth of the time has been added."""
    runs = min(runs, 200)
    spec = Spec(name="ab", kind=Kind.AB, margin=0.25, block_seconds=3600)
    traffic = Traffic(rate=0.002, clusters=12, per_second=10, burst=burst, days=3, runs=runs, seed=seed)
    (told,) = simulate(spec, traffic, only)
    return {"runs": runs, "passed": told.passed, "failed": told.failed}


def noisy_cluster(runs: int, seed: int = 12) -> Figures:
    """One cluster all bad among 12, by the product itself: six hours, looks each minute; it must never fire."""
    runs = min(runs, 50)
    spec = Spec(name="t", kind=Kind.TRIGGER, max_rate=0.05)
    traffic = Traffic(rate=0.0005, clusters=12, per_second=10, burst=1, days=0.25, runs=runs, seed=seed)
    (told,) = simulate(spec, traffic, "one cluster")
    return {"runs": runs, "fired": told.failed, "held": told.inconclusive}


SHARES = (0.05, 0.25, 0.5, 0.75)
SPLIT_ALPHA = 0.001


def split(runs: int, meant: float, real: float, seed: int = 9, units: int = 15_000) -> Figures:
    """A6: units until a share of ``real`` instead of ``meant`` is found; looked at every 50."""
    rng = np.random.default_rng(seed)
    n = np.arange(50, units + 1, 50)
    at = np.full(runs, np.inf)
    for run in range(runs):
        found = vectors.split_log_e(rng.binomial(50, real, len(n)).cumsum(), n, meant) >= math.log(1 / SPLIT_ALPHA)
        at[run] = n[found.argmax()] if found.any() else np.inf
    return {"runs": runs, "found": float(np.isfinite(at).mean()), **_quantiles(at, "units")}


def ramp(runs: int, seed: int = 10, clusters: int = 500) -> Figures:
    """A6: false alarms over 5-25-50-75 % of one fleet whose clusters come first always in the same order: each phase
    with a quarter of alpha, beside the product of the phases and a chi-square test at each phase."""
    rng = np.random.default_rng(seed)
    apart = product = chi = 0
    n = np.arange(1, clusters + 1)
    for _ in range(runs):
        order = rng.random(clusters)
        counts = [np.cumsum((order < share)[rng.permutation(clusters)]) for share in SHARES]
        logs = [vectors.split_log_e(s, n, share) for s, share in zip(counts, SHARES, strict=True)]
        apart += any(log.max() >= math.log(len(SHARES) / SPLIT_ALPHA) for log in logs)
        ends = np.concatenate(([0.0], np.cumsum([log[-1] for log in logs])))
        product += any(before + log.max() >= math.log(1 / SPLIT_ALPHA) for before, log in zip(ends, logs, strict=False))
        both = zip(counts, SHARES, strict=True)
        chi += any((((s - n * p) ** 2 / (n * p * (1 - p)))[20:] > 10.83).any() for s, p in both)
    return {"runs": runs, "false": apart / runs, "product of phases": product / runs, "chi-square p<.001": chi / runs}


Work = Callable[[int], Figures]
"""A number of runs to what they show."""


def figures() -> Iterator[tuple[str, Work]]:
    """Everything but the twelve weeks, by name."""
    for burst in (1.0, 5.0, 25.0):
        yield f"A3 at the gate, bursts of {burst:g}, blocks of 60 min", partial(false_promotions, burst=burst)
    yield "A3 at the gate, independent", false_promotions_counted
    yield "A3 at the gate, sizes differ, large clusters bad", false_promotions_uneven
    for true in (0.0, 0.0002, 0.0005):
        yield f"A4 independent, true rate {true:.2%}", partial(certified, true=true)
    for burst in (1.0, 25.0):
        name = f"price of blocks: true rate 0.05 %, bursts of {burst:g}"
        yield name, partial(certified_by_unit, true=0.0005, burst=burst)
    for hours in (0.0, 72.0):
        for after in (0.1, 0.5):
            name = f"A2 errors to {after:.0%} at hour {hours:g}"
            yield name, partial(delays, after=after, hours=hours)
    for share in (0.05, 0.5):
        yield f"A5 shared outage, share {share:.0%}", partial(shared_outage, share=share)
    for burst in (1.0, 5.0, 25.0):
        for only in ("both sides equal", "1.25 times", "3.75 times"):
            name = f"A/B by cluster and hour, bursts of {burst:g}, {only}"
            yield name, partial(bursty_sides, burst=burst, only=only)
    yield "one noisy cluster among 12", noisy_cluster
    yield "A6 a ramp as it should be", ramp
    for meant, real in ((0.25, 0.25), (0.25, 0.2), (0.05, 0.04), (0.5, 0.45)):
        yield f"A6 {real:.0%} instead of {meant:.0%}", partial(split, meant=meant, real=real)
