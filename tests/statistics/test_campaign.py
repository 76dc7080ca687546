"""The acceptance of gates with few runs; `make gates` has them with thousands, docs/gate-figures.md the figures."""

import pytest

from tests.statistics import campaign

pytestmark = pytest.mark.requirement("P14", "P17")


def test_nine_triggers_at_their_thresholds_stay_quiet_for_a_week():
    told = campaign.twelve_weeks(20, steps=60_480 // 4)
    assert told["runs with a false alarm"] == 0
    assert told["highest ln M"] < told["ln c"]


@pytest.mark.parametrize(("after", "within"), [(0.1, 90), (0.5, 20)])
@pytest.mark.parametrize("hours", [0, 3])
def test_a_breakage_is_found_in_time_at_any_hour(after, within, hours):
    told = campaign.delays(200, after, hours)
    assert told["95 % s"] <= within
    assert told["false before"] == 0


@pytest.mark.parametrize("burst", [1.0, 5.0, 25.0])
def test_a_service_at_the_gate_is_not_promoted_whatever_its_bursts(burst):
    told = campaign.false_promotions(100, burst)
    assert told["false, by cluster and hour"] <= 0.01
    if burst > 1:
        assert told["false, i.i.d. evidence"] > 0.2, "the counts are bursty enough to fool what they should fool"


def test_independent_observations_are_certified_in_time_and_not_falsely():
    assert campaign.certified(400, 0.0005)["95 % messages"] <= 80_000
    assert campaign.false_promotions_counted(200, looks=1000)["false"] <= 0.03


def test_large_bad_clusters_are_not_outvoted():
    told = campaign.false_promotions_uneven(40)
    assert told["false, weighed by messages"] == 0
    assert told["false, equal weights"] > 0.5


def test_an_outage_of_both_sides_blames_nobody_though_an_absolute_rule_would():
    told = campaign.shared_outage(100, 0.05)
    assert told["blames new"] <= 0.02
    assert told["absolute rule goes back"] > 0.9


def test_sides_that_differ_by_the_margin_are_not_called_equal_whatever_their_bursts():
    assert campaign.bursty_sides(12, 5.0, "1.25 times") == {"runs": 12, "passed": 0.0, "failed": 0.0}
    assert campaign.bursty_sides(6, 5.0, "3.75 times")["failed"] == 1.0


def test_a_ramp_as_meant_is_quiet_and_a_wrong_share_is_found():
    assert campaign.ramp(100)["false"] == 0
    assert campaign.split(100, 0.25, 0.25)["found"] <= 0.02
    assert campaign.split(100, 0.25, 0.2)["median units"] <= 1_500


def test_one_noisy_cluster_never_fires():
    told = campaign.noisy_cluster(3)
    assert (told["fired"], told["held"]) == (0.0, 1.0)
