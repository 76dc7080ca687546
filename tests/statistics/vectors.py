"""The same evidence as crossfade.core, for thousands of runs at once with numpy; compared with it in test_vectors.py.

Written apart from the product: a mistake would have to be made twice, in two ways.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

Floats = NDArray[np.float64]

BELOW = np.array([0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9])
ABOVE = np.array([1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0, 30.0])
CHANGED = np.array([1.3, 2.0, 4.0, 10.0])
STAKES = np.array([0.1, 0.3, 0.6, 0.95])


def log_mean_exp(logs: Floats, axis: int) -> Floats:
    top = logs.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(logs - top).mean(axis=axis))


def likelihoods(bad: Floats, n: Floats, p0: float, odds: Floats) -> Floats:
    """Last axis: alternatives. Written with the alternative rate itself."""
    theta = odds * p0 / (1 - p0 + odds * p0)
    bad, n = np.asarray(bad, float)[..., None], np.asarray(n, float)[..., None]
    return bad * np.log(theta / p0) + (n - bad) * np.log((1 - theta) / (1 - p0))


def rate_log_e(bad: Floats, n: Floats, p0: float, odds: Floats = BELOW) -> Floats:
    return log_mean_exp(likelihoods(bad, n, p0, odds), -1)


def bets_log_e(shares: Floats, p0: float, weights: Floats | float = 1.0) -> Floats:
    """Evidence below ``p0`` after each block; ``shares`` by run, block, cluster."""
    edge = weights * (shares - p0) / (1 - p0)
    logs = np.stack([np.log1p(-stake * edge).sum(-1).cumsum(-1) for stake in STAKES])
    return log_mean_exp(logs, 0)


def detector_peaks(steps: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Shiryaev-Roberts over ``steps`` (likelihood ratios by time, stream, alternative) from M = ``start``.

    The greatest mean over alternatives of each stream, and M at the end.
    """
    m, peak = start, np.zeros(start.shape[0])
    for step in steps:
        m = (1.0 + m) * step
        peak = np.maximum(peak, m.mean(-1))
    return peak, m


def ratio_logs(new: tuple[Floats, Floats], old: tuple[Floats, Floats], margin: float, factors: Floats) -> Floats:
    """Log likelihoods so far of the rate ratios ``(1+margin)·factors`` against ``1+margin``; (n, bad) by run, time."""
    (n_new, bad_new), (n_old, bad_old) = new, old
    null = n_new * (1 + margin) / (n_new * (1 + margin) + n_old)
    found = []
    for factor in factors:
        ratio = (1 + margin) * factor
        share = n_new * ratio / (n_new * ratio + n_old)
        found.append(np.cumsum(bad_new * np.log(share / null) + bad_old * np.log((1 - share) / (1 - null)), axis=-1))
    return np.stack(found)


def split_log_e(s: Floats, n: Floats, share: float, priors: tuple[float, ...] = (4.0, 100.0)) -> Floats:
    """Evidence against a split of ``share``."""
    logs = [
        betaln(k * share + s, k * (1 - share) + n - s)
        - betaln(k * share, k * (1 - share))
        - s * np.log(share)
        - (n - s) * np.log1p(-share)
        for k in priors
    ]
    return log_mean_exp(np.stack(logs), 0)


def burst_sizes(rng: np.random.Generator, many: int, mean: float) -> NDArray[np.int64]:
    """Geometric sizes with the given mean; all 1 for a mean of 1."""
    return rng.geometric(1 / mean, many) if mean > 1 else np.ones(many, np.int64)


def bursty_shares(
    rng: np.random.Generator, shape: tuple[int, int, int], n: int, rate: float, mean: float
) -> tuple[Floats, Floats]:
    """Bad shares by run, block, cluster with marginal ``rate``, and bad events by run and block.

    A burst that does not fit into its unit goes on in the next block, so that no event is cut off.
    """
    runs, blocks, clusters = shape
    bad = np.zeros(shape)
    for run in range(runs):
        many = rng.poisson(clusters * blocks * n * rate / mean)
        at, who = rng.integers(0, blocks, many), rng.integers(0, clusters, many)
        np.add.at(bad[run], (at, who), burst_sizes(rng, many, mean))
        for block in range(blocks - 1):
            over = np.maximum(bad[run, block] - n, 0)
            bad[run, block + 1] += over
            bad[run, block] -= over
    bad = np.minimum(bad, n)
    return bad / n, bad.sum(-1)
