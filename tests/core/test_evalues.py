"""E-values against what defines them: their mean under the null hypothesis is at most 1, summed exactly."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from crossfade.core.evalues import (
    BETS_ABOVE,
    BETS_BELOW,
    ODDS_CHANGED,
    PRIOR_UNITS,
    Bets,
    Detector,
    growth_to,
    log_alarm,
    log_e_above,
    log_e_below,
    log_mean_exp,
    log_sample_ratio,
    rate_interval,
    rate_logs,
)

RATES = (0.0005, 0.01, 0.05, 0.5, 0.9)
ULPS = 1e-14
"""What scipy and the sum may add."""


def mean_of(log_e, n: int, p: float) -> float:
    """The exact mean of an e-value over a binomial number of bad events."""
    return math.fsum(stats.binom.pmf(s, n, p) * math.exp(log_e(s, n)) for s in range(n + 1))


@pytest.mark.parametrize("p0", RATES)
@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("beyond", [1.0, 1.3, 5.0])
def test_the_mean_under_the_null_hypothesis_is_at_most_one(p0, n, beyond):
    odds = p0 / (1 - p0) * beyond
    assert mean_of(lambda s, n: log_e_below(s, n, p0), n, odds / (1 + odds)) <= 1.0 + ULPS
    odds = p0 / (1 - p0) / beyond
    assert mean_of(lambda s, n: log_e_above(s, n, p0), n, odds / (1 + odds)) <= 1.0 + ULPS


@pytest.mark.parametrize("p0", RATES)
def test_at_the_border_the_mean_is_one_so_nothing_is_given_away(p0):
    assert mean_of(lambda s, n: log_e_below(s, n, p0), 40, p0) == pytest.approx(1.0, abs=1e-9)
    assert mean_of(lambda s, n: log_e_above(s, n, p0), 40, p0) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("bad", "n", "p0"), [(0, 6000, 1e-3), (3, 10_000, 1e-3), (120, 2000, 0.05), (9, 10, 0.5)])
def test_evidence_is_the_mean_likelihood_ratio_of_scipy(bad, n, p0):
    for odds, log in zip(ODDS_CHANGED, rate_logs(bad, n, p0, ODDS_CHANGED), strict=True):
        theta = odds * p0 / (1 - p0 + odds * p0)
        assert log == pytest.approx(stats.binom.logpmf(bad, n, theta) - stats.binom.logpmf(bad, n, p0), abs=1e-6)


def test_what_rounding_cannot_tell_is_no_evidence():
    assert log_e_below(0, 0, 0.001) <= 0.0
    assert log_e_above(0, 0, 0.001) <= 0.0
    huge = 10**15
    assert log_e_below(huge // 1000, huge, 0.001) < 0.0
    assert log_e_above(huge, huge, 0.001) < math.inf
    assert log_mean_exp([-math.inf, -math.inf]) == -math.inf


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([0.001, 0.05, 0.3]))
def test_no_evidence_points_both_ways_at_once(bad, good, p0):
    n = bad + good
    assert min(log_e_below(bad, n, p0), log_e_above(bad, n, p0)) < math.log(2)


@given(st.integers(1, 5000), st.data())
def test_the_interval_holds_the_rates_that_neither_side_excludes(n, data):
    bad = data.draw(st.integers(0, n))
    low, high = rate_interval(bad, n, 0.01)
    assert 0.0 <= low <= bad / n <= high <= 1.0
    for p in (low * 0.99, high + (1 - high) * 0.01):
        if 0 < p < 1 and not low <= p <= high:
            assert max(log_e_below(bad, n, p), log_e_above(bad, n, p)) >= math.log(100)
    for p in (low + (bad / n - low) * 0.01, high - (high - bad / n) * 0.01):
        if 0 < p < 1:
            assert max(log_e_below(bad, n, p), log_e_above(bad, n, p)) < math.log(100)


@pytest.mark.parametrize(("p0", "n"), [(0.1, (3, 2)), (0.4, (2, 4)), (0.01, (5, 1))])
def test_bets_are_fair_whatever_happens_inside_a_unit(p0, n):
    """All or nothing inside a unit is the most dependence there can be; the mean over two clusters in two blocks."""
    for shares in (((0, p0), (1, 1 - p0)), ((0, 1 - 2 * p0), (0.5, 2 * p0))):
        values = [(share, chance) for share, chance in shares if 0 <= chance <= 1]
        if not math.isclose(sum(share * chance for share, chance in values), p0):
            values = [(0, 1 - p0), (1, p0)]
        below = above = 0.0
        for first, second, third, fourth in itertools.product(values, repeat=4):
            bets = Bets(p0=p0)
            bets.take([(n[0] * 2, round(n[0] * 2 * first[0])), (n[1] * 2, round(n[1] * 2 * second[0]))])
            bets.take([(n[0] * 2, round(n[0] * 2 * third[0])), (n[1] * 4, round(n[1] * 4 * fourth[0]))])
            chance = first[1] * second[1] * third[1] * fourth[1]
            below += chance * math.exp(bets.log_e_below())
            above += chance * math.exp(bets.log_e_above())
        assert below == pytest.approx(1.0, abs=1e-6)
        assert below <= 1.0
        assert above == pytest.approx(1.0, abs=1e-6)
        assert above <= 1.0


def test_a_large_bad_cluster_is_not_outvoted_by_many_small_good_ones():
    """Two thirds of all messages are one cluster's, and 3 % of those are bad; 40 small clusters have no error."""
    bets = Bets(p0=0.01)
    for _ in range(400):
        bets.take([(8000, 240), *[(100, 0)] * 40])
    assert bets.bad / bets.n == pytest.approx(0.02)
    assert bets.log_e_below() < 0.0
    assert bets.log_e_above() > math.log(100)


def test_units_weigh_by_what_they_hold_also_when_traffic_is_low():
    """Bad by day with 100 messages a unit, good by night with 2: the messages are bad, most units are good."""
    bets = Bets(p0=0.01)
    for _ in range(100):
        bets.take([(100, 2)] * 10)
        for _ in range(5):
            bets.take([(2, 0)] * 10)
    assert bets.log_e_below() < 0.0


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=30))
def test_the_interval_of_bets_is_never_narrower_than_the_bets_themselves(units):
    """Rates inside it are excluded by nobody; the product of bets at each rate is the judge."""
    units = [(n, min(n, bad)) for n, bad in units]
    exact = {p: Bets(p0=p) for p in (0.001, 0.01, 0.1, 0.3, 0.6, 0.9)}
    for bets in exact.values():
        bets.take(units)
    low, high = exact[0.1].interval(0.05)
    for p, bets in exact.items():
        if p < low:
            assert bets.log_e_above() >= math.log(20) - 1e-6
        if p > high:
            assert bets.log_e_below() >= math.log(20) - 1e-6


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_a_split_is_tested_as_beta_binomial_against_binomial(share):
    assert mean_of(lambda s, n: log_sample_ratio(s, n, share), 50, share) == pytest.approx(1.0, abs=1e-9)
    assert mean_of(lambda s, n: log_sample_ratio(s, n, share), 50, share) <= 1.0
    for s, n in ((0, 30), (17, 40), (900, 1000)):
        logs = [
            betaln(k * share + s, k * (1 - share) + n - s) - betaln(k * share, k * (1 - share))
            - s * math.log(share) - (n - s) * math.log(1 - share)
            for k in PRIOR_UNITS
        ]  # fmt: skip
        assert log_sample_ratio(s, n, share) == pytest.approx(log_mean_exp(logs), abs=1e-7)


def test_a_detector_in_t_steps_has_a_mean_of_at_most_t():
    """Every path of three steps of four observations, exactly."""
    p0, n = 0.2, 4
    mean = 0.0
    for path in itertools.product(range(n + 1), repeat=3):
        detector = Detector(p0=p0)
        for bad in path:
            detector.take(bad, n)
        mean += math.prod(float(stats.binom.pmf(bad, n, p0)) for bad in path) * math.exp(detector.log_m())
    assert mean == pytest.approx(3.0, abs=1e-6)
    assert mean <= 3.0


def test_a_detector_forgets_good_times_and_finds_a_change_at_any_hour():
    early, late = Detector(p0=0.05), Detector(p0=0.05)
    for _ in range(30_000):
        late.take(0, 250)
    for _ in range(6):
        early.take(25, 250)
        late.take(25, 250)
    assert late.log_m() == pytest.approx(early.log_m(), abs=1.0)
    assert late.log_m() > log_alarm(84 * 8640, 9, 0.01)


def test_the_level_is_that_of_the_study():
    assert log_alarm(84 * 86_400 / 10, 9, 0.01) == pytest.approx(20.3, abs=0.01)


def test_growth_says_how_much_more_of_the_same_is_needed():
    logs = rate_logs(5, 10_000, 0.001, (0.1, 0.5))
    times = growth_to(logs, math.log(100))
    assert times is not None
    assert log_mean_exp(rate_logs(5 * times, 10_000 * times, 0.001, (0.1, 0.5))) == pytest.approx(math.log(100))
    assert growth_to((-1.0, 0.0), math.log(100)) is None


def test_stakes_never_bring_ruin():
    assert max(*BETS_BELOW, *BETS_ABOVE) < 1.0
    bets = Bets(p0=0.5)
    bets.take([(10, 10), (10, 0)])
    assert math.isfinite(bets.log_e_below())
    assert math.isfinite(bets.log_e_above())
