"""The schedule of a load: fixed in advance, Poisson, of the wished rate; and who asks whom."""

import math
import statistics
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.profile import Phase, Profile, ProfileError
from crossfade.fleet.load.scenarios import SCENARIOS, Wish, of_name, profiles
from crossfade.fleet.load.schedule import SECOND_NS, Shape, arrivals, asks_of
from crossfade.fleet.model import ASSISTANT, ATTENTIVE


def steady(rate: float, seconds: float, **more: object) -> Profile:
    return Profile(agents=100, phases=(Phase("steady", seconds, rate),), **more)  # type: ignore[arg-type]


def due_of(profile: Profile, seed: int = 1) -> list[int]:
    return list(arrivals(profile.phases, asks_of(profile), profile.burst, Dice(seed)))


def test_the_same_seed_gives_the_same_schedule_and_another_gives_another() -> None:
    profile = steady(50, 20)
    assert due_of(profile, 1) == due_of(profile, 1)
    assert due_of(profile, 1) != due_of(profile, 2)


def test_arrivals_are_poisson_of_the_wished_number_and_in_order() -> None:
    due = due_of(steady(200, 100), 7)
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] < 100 * SECOND_NS
    assert len(due) == 20_000
    counts = [0] * 100
    for at in due:
        counts[at // SECOND_NS] += 1
    dispersion = statistics.variance(counts) / statistics.mean(counts)
    assert 0.6 < dispersion < 1.5
    gaps = sorted(late - early for early, late in pairwise(due))
    assert gaps[len(gaps) // 2] * 200 / SECOND_NS == pytest.approx(math.log(2), rel=0.05)  # exponential
    assert statistics.mean(due) / SECOND_NS == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("rate", "seconds", "more", "asks"),
    [
        (1, 1, {}, 1),
        (0.5, 2, {}, 1),
        (2.5, 1, {}, 3),
        (20, 1, {"burst": 10_000.0}, 20),
        (20, 5, {"burst": 7.0}, 100),
        (2, 1, {"fan_out": 9}, 1),
        (30, 4, {"fan_out": 2}, 60),
    ],
)
def test_a_short_run_has_as_many_questions_as_its_rate_and_seconds_say(
    rate: float, seconds: float, more: dict[str, Any], asks: int
) -> None:
    """Neither none nor half as many again, as it would be if the number were random, too."""
    profile = steady(rate, seconds, **more)
    for seed in range(20):
        assert len(due_of(profile, seed)) == asks


@pytest.mark.parametrize("asks", [1, 2, 4])
def test_few_arrivals_lie_anywhere_in_their_time(asks: int) -> None:
    """As so many independent instants in order: the n-th of them is due n / (asks + 1) of the way on average."""
    runs = [due_of(steady(asks, 1), seed) for seed in range(4_000)]
    for place, due in enumerate(zip(*runs, strict=True), 1):
        assert statistics.mean(due) / SECOND_NS == pytest.approx(place / (asks + 1), abs=0.03)


def test_bursts_keep_the_number_and_come_together() -> None:
    due = due_of(steady(200, 200, burst=10.0), 3)
    assert len(due) == 40_000
    batches = Counter(due)
    assert len(batches) == 4_000
    assert statistics.stdev(batches.values()) == pytest.approx(math.sqrt(90), rel=0.1)  # geometric of mean 10


def test_every_phase_has_its_own_rate() -> None:
    profile = Profile(agents=10, phases=(Phase("before", 10, 20), Phase("spike", 10, 200), Phase("after", 10, 20)))
    due = due_of(profile)
    thirds = [sum(1 for at in due if start <= at / SECOND_NS < start + 10) for start in (0, 10, 20)]
    assert thirds == [200, 2_000, 200]


@pytest.mark.parametrize("rate", [100.0, 0.7, 0.1])
@pytest.mark.parametrize("askers", [(50, 50), (0, 1), (34, 33, 33), (1, 1, 1, 1)])
def test_the_parts_of_the_processes_make_the_whole(rate: float, askers: tuple[int, ...]) -> None:
    phases = (Phase("before", 10, rate), Phase("spike", 10, 5 * rate), Phase("after", 10, rate))
    whole = Profile(agents=100, phases=phases)
    parts = [asks_of(whole, sum(askers[:n]), mine, sum(askers)) for n, mine in enumerate(askers)]
    assert [sum(each) for each in zip(*parts, strict=True)] == asks_of(whole)
    assert sum(map(sum, parts)) == round(70 * rate)
    assert all(not any(part) for part, mine in zip(parts, askers, strict=True) if not mine)


def test_a_schedule_of_a_week_takes_no_memory() -> None:
    profile = steady(1_000_000, 604_800)
    due = arrivals(profile.phases, asks_of(profile), profile.burst, Dice(1))
    assert 0 <= next(due) < next(due) < SECOND_NS


def test_an_asker_asks_fan_out_different_agents_and_never_itself() -> None:
    shape = Shape(steady(1, 1, fan_out=5, clusters=10))
    dice = Dice(5)
    for index in range(100):
        peers = list(shape.peers(index, dice))
        assert len(set(peers)) == len(peers) == 5
        assert index not in peers
        assert all(0 <= peer < 100 for peer in peers)


@pytest.mark.parametrize(
    "narrow",
    [
        {"fan_out": 4, "experts": 4},
        {"fan_out": 3, "clusters": 25, "within": 1.0},
        {"fan_out": 9, "clusters": 50, "within": 0.99},
    ],
)
def test_as_many_are_asked_as_there_should_be_even_where_there_are_hardly_as_many(narrow: dict[str, Any]) -> None:
    """Not fewer without a word: the rate would be another than the one that is asked for."""
    shape = Shape(steady(1, 1, **narrow))
    dice = Dice(7)
    for index in range(narrow.get("experts", 0), 100):
        peers = list(shape.peers(index, dice))
        assert len({index, *peers}) == 1 + narrow["fan_out"]
        if narrow.get("within") == 1.0:
            assert {shape.cluster(peer) for peer in peers} == {shape.cluster(index)}
        if "experts" in narrow:
            assert set(peers) <= set(range(narrow["experts"]))


def test_most_questions_stay_in_the_cluster() -> None:
    shape = Shape(steady(1, 1, clusters=10, within=0.8))
    dice = Dice(5)
    asked = [(index, next(shape.peers(index, dice))) for index in range(100) for _ in range(50)]
    inside = sum(shape.cluster(index) == shape.cluster(peer) for index, peer in asked) / len(asked)
    assert 0.75 < inside < 0.87


def test_experts_are_asked_and_ask_nobody() -> None:
    shape = Shape(steady(1, 1, experts=4))
    dice = Dice(5)
    assert [index for index in range(100) if not shape.asks(index)] == [0, 1, 2, 3]
    assert {next(shape.peers(50, dice)) for _ in range(200)} == {0, 1, 2, 3}


def test_every_scenario_gives_profiles_that_make_sense() -> None:
    for scenario in SCENARIOS.values():
        found = profiles(scenario, Wish())
        assert [profile.agents for profile in found] == list(scenario.steps or (scenario.agents,))
    coordination = profiles(of_name("coordination"), Wish())[0]
    assert (coordination.agents, coordination.experts) == (10_100, 100)
    spike = profiles(of_name("spike"), Wish(rate=10, seconds=30))[0]
    assert [phase.questions_per_second for phase in spike.phases] == [10, 50, 10]
    assert profiles(of_name("reconnect-storm"), Wish(seconds=8))[0].storm_at_seconds == 4


def test_fewer_agents_end_the_steps_early() -> None:
    assert [profile.agents for profile in profiles(of_name("scaling"), Wish(agents=2_000))] == [100, 1_000, 2_000]
    assert [profile.agents for profile in profiles(of_name("baseline"), Wish(steps=(3, 5)))] == [3, 5]
    with pytest.raises(ProfileError, match="exclude each other"):
        profiles(of_name("scaling"), Wish(agents=5, steps=(3,)))


def test_rates_are_a_run_each_for_each_number_of_agents() -> None:
    found = profiles(of_name("baseline"), Wish(steps=(3, 5), rates=(10.0, 20.0)))
    assert [(profile.agents, profile.rate) for profile in found] == [(3, 10.0), (3, 20.0), (5, 10.0), (5, 20.0)]
    with pytest.raises(ProfileError, match="exclude each other"):
        profiles(of_name("baseline"), Wish(rate=1.0, rates=(3.0,)))


def test_an_unknown_scenario_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ProfileError) as caught:
        of_name("stampede")
    assert "reconnect-storm" in caught.value.hint


def test_the_model_is_one_for_both_lanes_and_draws_what_it_says() -> None:
    assert ATTENTIVE.poll_timeout_seconds == ATTENTIVE.attend_wait_seconds == 30
    assert (ATTENTIVE.think(Dice(1)), ATTENTIVE.work(Dice(1)), ATTENTIVE.busy_fraction) == (0.0, 0.0, 0.0)
    dice = Dice(9)
    drawn = statistics.mean(ASSISTANT.think(dice) for _ in range(5_000))
    assert 1.85 < drawn < 2.15
    assert ASSISTANT.busy_fraction == pytest.approx(20 / 50)
