"""The thousand-fold simulations run the same evidence as the product: compared run by run, and with other libraries."""

import math
import sys
import types

import numpy as np
import pytest
import ville

from crossfade.core.evalues import Bets, Detector, log_e_above, log_e_below, log_sample_ratio
from crossfade.core.gates import Exposure, Kind, Spec, judge
from crossfade.core.gates.comparison import PROVES_WORSE, comparison
from tests.kit.gates import always, names, together, traffic
from tests.statistics import vectors

RNG = np.random.default_rng(12)


@pytest.mark.parametrize("p0", [0.001, 0.05, 0.4])
def test_rates_are_judged_alike(p0):
    n = RNG.integers(1, 100_000, 50)
    bad = RNG.binomial(n, p0)
    for theirs, ours, odds in (("below", log_e_below, vectors.BELOW), ("above", log_e_above, vectors.ABOVE)):
        told = [ours(int(s), int(m), p0) for s, m in zip(bad, n, strict=True)]
        assert told == pytest.approx(vectors.rate_log_e(bad, n, p0, odds), abs=1e-6), theirs


def test_units_are_judged_alike():
    shares, bad = vectors.bursty_shares(RNG, (3, 20, 40), 180, 0.01, 5.0)
    assert bad.sum() / (3 * 20 * 40 * 180) == pytest.approx(0.01, rel=0.2)
    theirs = vectors.bets_log_e(shares, 0.01)
    for run in range(3):
        bets = Bets(p0=0.01)
        for block in range(20):
            bets.take((180, round(share * 180)) for share in shares[run, block])
            assert bets.log_e_below() == pytest.approx(theirs[run, block], abs=1e-6)


def test_changes_are_detected_alike():
    bad = RNG.binomial(250, 0.05, 400)
    steps = np.exp(vectors.likelihoods(bad, np.full(400, 250), 0.05, vectors.CHANGED))[:, None, :]
    peak, end = vectors.detector_peaks(steps, np.zeros((1, 4)))
    detector, highest = Detector(p0=0.05), -math.inf
    for one in bad:
        detector.take(int(one), 250)
        highest = max(highest, detector.log_m())
    assert highest == pytest.approx(math.log(peak[0]), abs=1e-6)
    assert detector.logs == pytest.approx(np.log(end[0]), abs=1e-6)


@pytest.fixture
def savvi_split(monkeypatch):
    """Odds of savvi for (s, n, share, prior). It imports a plotting library that it does not declare."""
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    from savvi.multinomial import Multinomial

    def odds(s, n, share, prior):
        test = Multinomial(0.01, np.array([share, 1 - share]), k=prior)
        test.update(np.array([s, n - s]))
        return float(test.odds)

    return odds


def test_splits_are_judged_alike_also_by_savvi(savvi_split):
    for s, n, share in ((12, 400, 0.05), (130, 400, 0.25), (400, 400, 0.9)):
        ours = log_sample_ratio(s, n, share)
        assert ours == pytest.approx(float(vectors.split_log_e(np.array(s), np.array(n), share)), abs=1e-7)
        odds = [savvi_split(s, n, share, prior) for prior in (4.0, 100.0)]
        assert math.exp(ours) == pytest.approx(sum(odds) / 2, rel=1e-6)


def test_the_rate_is_bounded_about_as_ville_does_it():
    """Another mixture of the same likelihood ratios: within two and a half nats of evidence."""
    for s, n in ((0, 6_000), (10, 40_000), (60, 60_000)):
        test = ville.BernoulliTest(0.001, alpha=0.01, prior=(0.5, 500.0))
        stream = np.zeros(n)
        stream[np.linspace(0, n - 1, s, dtype=int)] = 1
        theirs = float(test.update(stream).log_e_values_[-1])
        ours = max(log_e_below(s, n, 0.001), log_e_above(s, n, 0.001))
        assert ours == pytest.approx(theirs, abs=2.5)


def test_sides_are_compared_alike():
    new = traffic(names(4), always(0.02), steps=80)
    old = traffic(names(6, "old"), always(0.01), steps=80, seed=3, exposure=Exposure.OLD)
    fold = comparison(Spec(name="x", kind=Kind.AB, margin=0.25, block_seconds=0))
    for count in together(new, old):
        fold.take(count)
    fold.close(old[-1].at + 60)

    def series(counts):
        return tuple(np.array([[sum(getattr(c, field) for c in counts if c.at == at) for at in instants]], float)
                     for field in ("n", "bad"))  # fmt: skip

    instants = sorted({one.at for one in new})
    factors = np.array([1.3, 1.6, 2.0, 3.0, 5.0, 10.0])
    logs = vectors.ratio_logs(series(new), series(old), 0.25, factors)
    assert fold.parts(PROVES_WORSE) == pytest.approx(logs[:, 0, -1], abs=1e-6)


def test_a_judgement_is_the_evidence_of_its_counts():
    counts = traffic(names(10), always(0.002), size=180, steps=72, seconds=3600)
    told = judge(Spec(name="x", kind=Kind.PROMOTION, max_rate=0.01), counts)
    shares = np.array([one.bad / one.n for one in counts]).reshape(1, 72, 10)
    assert told.log_evidence == pytest.approx(vectors.bets_log_e(shares, 0.01)[0, -1], abs=1e-6)
