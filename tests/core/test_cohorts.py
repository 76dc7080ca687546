"""Who is on the elicitation lane: fixed points, nested cohorts, and shares of weight."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import cohorts
from crossfade.core.values import Lane

pytestmark = pytest.mark.requirement("P8")

GOLDEN = [
    ("s", "team-a", 0.5081540651836794),
    ("s", "team-b", 0.703622093108014),
    ("t", "team-a", 0.9210401602412255),
    ("", "", 0.5818916442384907),
    ("2026-w03", "payments", 0.7520431113994439),
    ("2026-w03", "~agent-0001", 0.5173254434546825),
    ("Ä", "größe", 0.3553666429379188),
    ("s", "x" * 64, 0.25787480944964464),
]
"""Salt, cluster, point. Computed once by hand from the definition; a change would move running fleets."""

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 50), min_size=1, max_size=12)
SHARES = st.floats(0, 1)
SALTS = st.sampled_from(["s", "t", "2026-w03"])


@pytest.mark.parametrize(("salt", "cluster", "place"), GOLDEN)
def test_the_points_of_clusters_never_change(salt: str, cluster: str, place: float) -> None:
    assert cohorts.point(salt, cluster) == place
    assert cohorts.HASH_VERSION == 1


def test_a_cluster_is_on_the_lane_only_below_the_threshold() -> None:
    place = cohorts.point("s", "team-a")
    assert cohorts.lane_of("s", place, "team-a") is Lane.POLLING
    assert cohorts.lane_of("s", place + 2**-53, "team-a") is Lane.ELICITATION
    assert cohorts.lane_of("s", 0.0, "team-a") is Lane.POLLING
    assert cohorts.lane_of("s", 1.0, "team-a") is Lane.ELICITATION


def test_salt_and_cluster_do_not_run_into_each_other() -> None:
    assert cohorts.point("ab", "c") != cohorts.point("a", "bc")


def test_share_nothing_and_share_everything_are_exact() -> None:
    weights = {"a": 3, "b": 5}
    assert cohorts.threshold_for("s", weights, 0.0) == 0.0
    assert cohorts.threshold_for("s", weights, 1.0) == 1.0
    assert cohorts.achieved("s", weights, 0.0) == 0.0
    assert cohorts.achieved("s", weights, 1.0) == 1.0


def test_a_fleet_without_weight_gets_the_share_as_its_threshold() -> None:
    assert cohorts.threshold_for("s", {}, 0.25) == 0.25
    assert cohorts.threshold_for("s", {"a": 0}, 0.25, floor=0.5) == 0.5
    assert cohorts.achieved("s", {}, 0.25) == 0.25


def heavy_tailed(seed: int) -> dict[str, int]:
    """10,000 agents in clusters of heavy-tailed size, none above 0.5 %."""
    chance = random.Random(seed)
    weights: dict[str, int] = {}
    left = 10_000
    while left:
        size = min(left, 50, max(1, round(chance.lognormvariate(2.5, 1.2))))
        weights[f"team-{len(weights)}"] = size
        left -= size
    return weights


def test_the_first_canary_of_ten_thousand_agents_is_within_half_a_point_of_five_per_cent() -> None:
    weights = heavy_tailed(7)
    for number in range(200):
        salt = f"salt-{number}"
        share = cohorts.achieved(salt, weights, cohorts.threshold_for(salt, weights, 0.05))
        assert abs(share - 0.05) <= 0.005, (salt, share)


@settings(max_examples=60, deadline=None)
@given(SALTS, WEIGHTS, SHARES)
def test_no_other_threshold_comes_closer_to_the_share(salt: str, weights: dict[str, int], share: float) -> None:
    threshold = cohorts.threshold_for(salt, weights, share)
    if not sum(weights.values()) or share in (0.0, 1.0):
        return
    distance = abs(cohorts.achieved(salt, weights, threshold) - share)
    others = [cohorts.point(salt, cluster) for cluster in weights] + [1.0]
    assert distance <= min(abs(cohorts.achieved(salt, weights, other) - share) for other in others) + 1e-12
    assert all(abs(cohorts.point(salt, cluster) - threshold) > 2**-53 for cluster in weights)


@settings(max_examples=60, deadline=None)
@given(SALTS, WEIGHTS, SHARES, SHARES)
def test_going_forward_only_adds_clusters(salt: str, weights: dict[str, int], one: float, other: float) -> None:
    low = cohorts.threshold_for(salt, weights, min(one, other))
    high = cohorts.threshold_for(salt, weights, max(one, other), floor=low)
    assert high >= low
    lane = {cluster: cohorts.lane_of(salt, low, cluster) for cluster in weights}
    for cluster in weights:
        if lane[cluster] is Lane.ELICITATION:
            assert cohorts.lane_of(salt, high, cluster) is Lane.ELICITATION


@settings(max_examples=40, deadline=None)
@given(SALTS, WEIGHTS, SHARES, SHARES)
def test_no_threshold_is_below_its_floor(salt: str, weights: dict[str, int], share: float, floor: float) -> None:
    assert cohorts.threshold_for(salt, weights, share, floor) >= floor


def test_clusters_at_one_point_come_together_and_nothing_lies_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "point", lambda _, cluster: 0.5 if cluster < "c" else 0.75)
    weights = {"a": 1, "b": 2, "c": 3}
    assert list(cohorts._gaps("s", weights)) == [(0.0, 0.5, 0), (0.5, 0.75, 3), (0.75, 1.0, 6)]
    assert cohorts.threshold_for("s", weights, 0.4) == 0.625


def test_two_points_without_a_float_between_them_are_parted_at_the_upper_one(monkeypatch: pytest.MonkeyPatch) -> None:
    upper = math.nextafter(0.5, 1)
    monkeypatch.setattr(cohorts, "point", lambda _, cluster: 0.5 if cluster == "a" else upper)
    threshold = cohorts.threshold_for("s", {"a": 1, "b": 1}, 0.5)
    assert threshold == upper
    assert cohorts.achieved("s", {"a": 1, "b": 1}, threshold) == 0.5


def test_what_lies_at_the_threshold_is_not_below_it() -> None:
    place = cohorts.point("s", "team-a")
    assert cohorts.achieved("s", {"team-a": 1}, place) == 0.0
    assert cohorts.achieved("s", {"team-a": 1}, math.nextafter(place, 1)) == 1.0


@pytest.mark.parametrize("share", [-0.5, 0.0])
def test_a_share_of_nothing_or_less_is_the_floor_and_of_all_or_more_is_all(share: float) -> None:
    assert cohorts.threshold_for("s", {"a": 1}, share, floor=0.25) == 0.25
    assert cohorts.threshold_for("s", {"a": 1}, 1 - share, floor=0.25) == 1.0
