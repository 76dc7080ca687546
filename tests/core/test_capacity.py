"""Capacity: the law is found again, needs come from the bad end, nothing is said beyond the measurements in silence."""

import math
import random

import msgspec
import pytest

from crossfade.core import capacity
from crossfade.core.capacity import Point, Rung, Stage, UndeterminedError, learn, misses, plan
from crossfade.core.decider import Refusal
from crossfade.core.regression import Fit

LAW = (100.0, 0.05, 0.0005)


def rate(in_flight: int) -> float:
    most, contention, coherency = LAW
    return most * in_flight / (1 + contention * (in_flight - 1) + coherency * in_flight * (in_flight - 1))


def point(agents: int, questions: float, share: float, dice: random.Random | None = None, noise: float = 0.0) -> Point:
    def off() -> float:
        return 1 + (dice.gauss(0, noise) if dice else 0)

    new, old = questions * share, questions * (1 - share)
    return Point(
        agents=agents,
        questions_per_second=questions,
        elicitation_share=share,
        cores=(0.01 + 2e-6 * agents + 0.0008 * old + 0.0005 * new) * off(),
        memory_mib=(80 + 0.02 * agents + 0.01 * questions) * off(),
        log_writes_per_second=(1 + 0.2 * questions + 9 * questions**0.5) * off(),
        log_mib_per_second=(0.001 + 0.002 * questions) * off(),
        connections=(10 + agents) * off(),
    )


def points(noise: float = 0.0, seed: int = 1) -> list[Point]:
    dice = random.Random(seed)
    return [
        point(agents, questions, share, dice, noise)
        for agents in (100, 1_000, 5_000)
        for questions in (10.0, 100.0, 400.0)
        for share in (0.0, 0.5, 1.0)
    ]


RUNGS = [Rung(in_flight=count, questions_per_second=rate(count)) for count in (1, 2, 4, 8, 16, 32, 64, 128)]
STAGE = Stage(agents=3_000, questions_per_second=200, elicitation_share=0.25)


def test_the_scalability_law_is_found_again_with_its_maximum() -> None:
    ceiling = learn(points(), RUNGS).ceiling
    assert ceiling.coefficients == pytest.approx(LAW)
    best = max(range(1, 129), key=rate)
    assert ceiling.peak.in_flight == best
    assert ceiling.peak.questions_per_second.value == pytest.approx(rate(best))


def test_a_stage_needs_what_its_lanes_cost_plus_headroom() -> None:
    need = plan(learn(points(), RUNGS), STAGE, 0.3)
    assert isinstance(need, capacity.Need)
    exact = point(3_000, 200, 0.25)
    assert need.uses["cores"].value == pytest.approx(exact.cores)
    assert need.provide["cores"] == pytest.approx(exact.cores / 0.7)
    assert need.uses["log_writes_per_second"].value == pytest.approx(exact.log_writes_per_second)
    assert (need.replicas, need.limited_by, need.beyond) == (1, "none", ())


def test_what_is_provided_covers_the_bad_end_of_the_prediction() -> None:
    need = plan(learn(points(0.08), RUNGS), STAGE, 0.0)
    assert isinstance(need, capacity.Need)
    for resource, use in need.uses.items():
        assert use.low < use.value < use.high
        assert need.provide[resource] == use.high


def test_held_out_points_are_predicted_within_15_percent() -> None:
    dice = random.Random(9)
    held_out = [point(a, q, s, dice, 0.03) for a, q, s in ((400, 50, 0.25), (2_500, 250, 0.75), (4_000, 30, 0.9))]
    assert max(misses(learn(points(0.03), RUNGS), held_out).values()) < 0.15


@pytest.mark.parametrize(
    ("stage", "limited_by"),
    [
        (Stage(agents=100, questions_per_second=5_000, elicitation_share=1), "questions_per_second"),
        (Stage(agents=60_000, questions_per_second=10, elicitation_share=1), "connections"),
        (Stage(agents=1, questions_per_second=0, elicitation_share=0), "none"),
    ],
)
def test_replicas_come_from_what_runs_out_first(stage: Stage, limited_by: str) -> None:
    need = plan(learn(points(), RUNGS), stage, 0.3, beyond=True)
    assert isinstance(need, capacity.Need)
    assert need.limited_by == limited_by
    assert need.replicas > 1 or limited_by == "none"
    assert need.beyond, "all three lie outside"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agents": 5_001}, "5001 agents were not measured, 100 to 5000 were"),
        ({"agents": 99}, "agents"),
        ({"questions_per_second": 401.0}, "questions a second"),
    ],
)
def test_nothing_is_predicted_beyond_the_measurements_unless_asked_for(change: dict[str, float], said: str) -> None:
    stage = msgspec.structs.replace(STAGE, **change)
    model = learn(points(), RUNGS)
    refused = plan(model, stage, 0.3)
    assert isinstance(refused, Refusal)
    assert refused.code == "capacity.not_measured"
    assert said in refused.message
    allowed = plan(model, stage, 0.3, beyond=True)
    assert isinstance(allowed, capacity.Need)
    assert said in allowed.beyond[0]


def test_a_share_beyond_the_measured_ones_is_refused_too() -> None:
    model = learn([each for each in points() if each.elicitation_share < 1], RUNGS)
    refused = plan(model, msgspec.structs.replace(STAGE, elicitation_share=0.9), 0.3)
    assert isinstance(refused, Refusal)
    assert "elicitation share" in refused.message


@pytest.mark.parametrize("headroom", [-0.1, 1.0, float("nan")])
def test_a_headroom_that_makes_no_sense_is_refused(headroom: float) -> None:
    refused = plan(learn(points(), RUNGS), STAGE, headroom)
    assert isinstance(refused, Refusal)
    assert refused.code == "capacity.bad_headroom"


@pytest.mark.parametrize(
    "change",
    [
        {"agents": 0},
        {"elicitation_share": 1.5},
        {"questions_per_second": float("nan")},
        {"questions_per_second": -1.0},
        {"questions_per_second": float("inf")},
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    refused = plan(learn(points(), RUNGS), msgspec.structs.replace(STAGE, **change), 0.3, beyond=True)
    assert isinstance(refused, Refusal)
    assert refused.code == "capacity.bad_stage"


def test_of_several_sets_of_causes_the_one_counts_that_predicts_best() -> None:
    dice = random.Random(4)

    def written(one: Point) -> Point:
        reached = one.agents * (1 - math.exp(-one.questions_per_second / one.agents))
        writes = (20 + 6 * one.questions_per_second + 8 * reached) * (1 + dice.gauss(0, 0.02))
        return msgspec.structs.replace(one, log_writes_per_second=writes)

    fleets = [
        point(agents, rate, share) for agents in (50, 200, 1_000) for rate in (20.0, 90.0, 300.0) for share in (0, 1)
    ]
    model = learn([written(one) for one in fleets], RUNGS)
    assert model.uses["log_writes_per_second"].causes == ("rate", "mailboxes")
    held_out = [written(point(agents, rate, 0.5)) for agents, rate in ((100, 60.0), (600, 200.0), (900, 40.0))]
    assert misses(model, held_out)["log_writes_per_second"] < 0.08
    assert model.uses["cores"].causes == ("agents", "old", "new"), "what has a cost on one lane only is told apart"


def test_few_measurements_are_enough_for_few_causes() -> None:
    some = [point(a, q, s) for a, q, s in ((100, 10, 0), (900, 20, 0.5), (300, 90, 1), (700, 50, 0), (500, 70, 1))]
    model = learn(some, RUNGS)
    assert len(model.uses["cores"].causes) <= 3
    with pytest.raises(UndeterminedError, match="cores: 3 measurements"):
        learn(some[:3], RUNGS)


def test_too_few_measurements_are_refused_and_named() -> None:
    with pytest.raises(UndeterminedError, match="nothing measured"):
        learn([], RUNGS)
    with pytest.raises(UndeterminedError, match="cores: 3 measurements"):
        learn(points()[:3], RUNGS)
    with pytest.raises(UndeterminedError, match=r"most questions a second: 2 measurements"):
        learn(points(), RUNGS[:2])
    with pytest.raises(UndeterminedError, match="a rung needs"):
        learn(points(), [*RUNGS, Rung(in_flight=1, questions_per_second=0)])


def test_one_measurement_copied_often_is_still_one() -> None:
    """Its interval would have no width, and beyond it everything would be as it is there."""
    with pytest.raises(UndeterminedError, match="cores: 1 measurements"):
        learn(points()[:1] * 12, RUNGS)
    with pytest.raises(UndeterminedError, match=r"most questions a second: 3 measurements"):
        learn(points(), list(RUNGS[:3]) * 3)
    assert learn([*points(), *points()], [*RUNGS, *RUNGS]) == learn(points(), RUNGS)


def test_measurements_of_too_few_settings_do_not_determine_anything_however_many_they_are() -> None:
    first, *_, second = points()
    scattered = [
        msgspec.structs.replace(one, cores=one.cores * (1 + number / 100))
        for number in range(6)
        for one in (first, second)
    ]
    with pytest.raises(UndeterminedError, match="at 2 settings"):
        learn(scattered, RUNGS)


def test_a_law_in_which_one_alone_would_be_infinitely_fast_is_refused() -> None:
    rungs = [Rung(in_flight=count, questions_per_second=1 / (count - 1)) for count in (2, 4, 8, 16)]
    with pytest.raises(UndeterminedError, match="one in flight was not measured"):
        learn(points(), rungs)


# --- at the edges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stage",
    [
        Stage(agents=100, questions_per_second=10.0, elicitation_share=0.0),
        Stage(agents=5_000, questions_per_second=400.0, elicitation_share=1.0),
    ],
)
def test_what_was_measured_is_not_beyond_the_measurements(stage: Stage) -> None:
    need = plan(learn(points(), RUNGS), stage, 0.0)
    assert isinstance(need, capacity.Need)
    assert (need.stage, need.beyond) == (stage, ())


def test_what_lies_beyond_is_told_with_what_was_measured() -> None:
    model = learn([each for each in points() if each.elicitation_share], RUNGS)
    need = plan(model, Stage(agents=9, questions_per_second=400.5, elicitation_share=0.25), 0.0, beyond=True)
    assert isinstance(need, capacity.Need)
    assert need.beyond == (
        "9 agents were not measured, 100 to 5000 were",
        "400.5 questions a second were not measured, 10 to 400 were",
        "0.25 elicitation share were not measured, 0.5 to 1 were",
    )


def test_the_ceiling_lies_in_its_interval_which_is_that_of_the_seconds_turned_round() -> None:
    dice = random.Random(3)
    noisy = [
        Rung(in_flight=rung.in_flight, questions_per_second=rung.questions_per_second * (1 + dice.gauss(0, 0.05)))
        for rung in RUNGS
    ]
    ceiling = learn(points(), noisy).ceiling
    for count in (1, 5, 100):
        took = ceiling.fitted.predict((1.0, count - 1.0, count * (count - 1.0)))
        rates = ceiling.at(count)
        assert 0 < rates.low < rates.value < rates.high
        assert (rates.low, rates.value) == pytest.approx((count / took.high, count / took.value))
        assert rates.high == pytest.approx(count / took.low)


def test_a_ceiling_that_nothing_bounds_from_above_is_infinite() -> None:
    law = Fit(coefficients=(0.01, 0.0, 0.0), relative_error=1.0, freedom=2, used=(0,), inverse=((1e-6,),))
    ceiling = capacity.Ceiling(fitted=law, in_flight_max=8)
    assert ceiling.fitted.predict((1.0, 0.0, 0.0)).low == 0.0
    assert ceiling.at(1).high == float("inf")


def test_the_most_of_a_hub_is_looked_for_in_what_was_measured_ends_included() -> None:
    few = [rung for rung in RUNGS if rung.in_flight <= 16]
    assert learn(points(), few).ceiling.peak.in_flight == 16, "still rising there"
    falling = [Rung(in_flight=n, questions_per_second=100.0 / (1 + 0.5 * n * (n - 1))) for n in (1, 2, 3, 4)]
    assert learn(points(), falling).ceiling.peak.in_flight == 1


def crossing() -> list[Point]:
    """A law in which questions that cross from one lane to the other cost more."""
    return [
        msgspec.structs.replace(
            each,
            cores=each.cores
            + 0.003 * each.questions_per_second * each.elicitation_share * (1 - each.elicitation_share),
            memory_mib=each.memory_mib + 0.004 * each.questions_per_second * each.elicitation_share,
        )
        for each in points()
    ]


def test_an_exact_law_is_missed_nowhere_and_by_as_much_as_a_point_is_off() -> None:
    model = learn(crossing(), RUNGS)
    assert max(misses(model, crossing()).values()) < 1e-6
    off = msgspec.structs.replace(crossing()[4], connections=crossing()[4].connections / 1.25)
    found = misses(model, [crossing()[3], off, crossing()[5]])
    assert found["connections"] == pytest.approx(0.25)
    assert list(found) == list(capacity.RESOURCES)


@pytest.mark.parametrize(
    ("stage", "headroom", "replicas", "limited_by"),
    [
        (Stage(agents=53_970, questions_per_second=10, elicitation_share=1), 0.0, 3, "connections"),
        (Stage(agents=54_010, questions_per_second=10, elicitation_share=1), 0.0, 4, "connections"),
        (Stage(agents=26_950, questions_per_second=10, elicitation_share=1), 0.5, 3, "connections"),
        (Stage(agents=300_000, questions_per_second=0, elicitation_share=0), 0.0, 17, "connections"),
    ],
)
def test_replicas_are_as_many_as_the_scarcest_resource_asks_for(
    stage: Stage, headroom: float, replicas: int, limited_by: str
) -> None:
    need = plan(learn(points(), RUNGS), stage, headroom, beyond=True)
    assert isinstance(need, capacity.Need)
    assert (need.replicas, need.limited_by) == (replicas, limited_by)


def test_cores_can_be_what_runs_out_first() -> None:
    costly = [msgspec.structs.replace(each, cores=each.cores * 10) for each in points()]
    need = plan(learn(costly, RUNGS), Stage(agents=5_000, questions_per_second=400, elicitation_share=0), 0.5)
    assert isinstance(need, capacity.Need)
    assert need.limited_by == "cores"
    assert need.replicas == math.ceil(need.uses["cores"].high / 0.5) > 1


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        ([], "there is nothing measured yet"),
        ([*RUNGS, Rung(in_flight=0, questions_per_second=1)], "a rung needs one or more in flight and a rate above 0"),
        (
            [Rung(in_flight=n, questions_per_second=1 / (n - 1)) for n in (2, 3, 4, 5)],
            "most questions a second: one in flight was not measured",
        ),
    ],
)
def test_what_is_missing_of_the_ladder_is_said(rungs: list[Rung], said: str) -> None:
    with pytest.raises(UndeterminedError) as caught:
        learn(points(), rungs)
    assert str(caught.value).removeprefix("most questions a second: ") == said.removeprefix("most questions a second: ")


def test_a_stage_that_takes_two_hubs_says_what_it_is_that_takes_two() -> None:
    need = plan(
        learn(points(), RUNGS), Stage(agents=20_000, questions_per_second=10, elicitation_share=1), 0.0, beyond=True
    )
    assert isinstance(need, capacity.Need)
    assert (need.replicas, need.limited_by) == (2, "connections")
