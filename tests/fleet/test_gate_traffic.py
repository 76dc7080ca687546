"""Made-up traffic has the rate, the bursts and the spread that it says it has."""

import statistics

import pytest

from crossfade.core.gates import Exposure, Kind, Spec
from crossfade.fleet.dice import Dice
from crossfade.fleet.gate_traffic import Traffic, counts, counts_of, poisson, scenarios, simulate

SPEC = Spec(name="x", kind=Kind.PROMOTION, max_rate=0.02)


def traffic(**change):
    return Traffic(**{
        "rate": 0.01, "clusters": 10, "per_second": 5.0, "burst": 1.0, "days": 5.0, "runs": 5, "seed": 1, **change
    })  # fmt: skip


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 49.0, 51.0, 2000.0])
def test_arrivals_have_the_mean_and_the_spread_of_poisson(mean):
    dice = Dice(3)
    drawn = [poisson(dice, mean) for _ in range(4000)]
    assert statistics.fmean(drawn) == pytest.approx(mean, abs=4 * (mean / 4000) ** 0.5 + 1e-9)
    assert statistics.pvariance(drawn) == pytest.approx(mean, rel=0.12)


@pytest.mark.parametrize("burst", [1.0, 25.0])
def test_bad_events_have_their_rate_whatever_their_bursts(burst):
    made = traffic(burst=burst)
    found = list(counts(SPEC, made, scenarios(SPEC, made)["at the rate given"], Dice(1)))
    n, bad = sum(one.n for one in found), sum(one.bad for one in found)
    assert len(found) == 10 * 5 * 24
    assert n == pytest.approx(5 * 86_400 * 5, rel=0.01)
    assert bad / n == pytest.approx(0.01, rel=0.1)
    assert all(0 <= one.bad <= one.n for one in found)
    spread = statistics.pvariance([one.bad for one in found]) / statistics.fmean([one.bad for one in found])
    assert spread == pytest.approx(2 * burst - 1, rel=0.3), "geometric bursts spread by 2·mean - 1"


def test_a_burst_that_does_not_fit_goes_on_in_the_next_count():
    made = traffic(rate=0.3, burst=20.0, per_second=0.01, days=20.0)
    found = list(counts(SPEC, made, scenarios(SPEC, made)["at the rate given"], Dice(1)))
    assert sum(one.bad for one in found) / sum(one.n for one in found) == pytest.approx(0.3, rel=0.15)
    assert all(one.bad <= one.n for one in found)


def test_the_same_seed_is_the_same_traffic_and_counts_are_foretold():
    made = traffic(days=1.0, runs=2)
    assert list(simulate(SPEC, made)) == list(simulate(SPEC, made))
    assert counts_of(SPEC, made) == 3 * 2 * 24 * 10


def test_sides_are_made_for_what_compares_them():
    ab = Spec(name="x", kind=Kind.AB)
    made = traffic(days=1.0)
    for name, ratio in (("both sides equal", 1.0), ("new 3.75 times as bad", 3.75)):
        found = list(counts(ab, made, scenarios(ab, made)[name], Dice(2)))
        new, old = (sum(c.bad for c in found if c.exposure is side) for side in (Exposure.NEW, Exposure.OLD))
        assert new / old == pytest.approx(ratio, rel=0.1)
