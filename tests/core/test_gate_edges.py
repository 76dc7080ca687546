"""Gates, instruments and plans at their edges: the first value that makes no sense, and nothing to look at."""

from hashlib import sha256

import msgspec
import pytest

from crossfade.core import instruments, measurements, stages, watching
from crossfade.core.decider import Refusal
from crossfade.core.gates.comparison import blames_new
from crossfade.core.gates.judging import SPACINGS_MAX, Judging, judge, judging, phases
from crossfade.core.gates.specs import Count, Exposure, Kind, Ruling, SharePhase, Spec, contradictions, slips
from crossfade.core.histograms import EDGES, Histogram
from crossfade.core.plans import Plan, SampleRatio, Stage, Trigger, resolved
from crossfade.core.stage_events import Cause
from crossfade.core.values import SECOND, Instant
from tests.core.test_rollouts import Planted
from tests.core.test_watching import PLAN, START, block
from tests.kit.gates import always, names, together, traffic

PROMOTION = Spec(name="errors", kind=Kind.PROMOTION, max_rate=0.01)
SPLIT = Spec(name="split", kind=Kind.SAMPLE_RATIO, expected_share=0.25)


def count(second: float, *, exposure: Exposure = Exposure.NEW, n: int = 10) -> Count:
    return Count(Instant(round(second * SECOND)), "a", exposure, n, 0)


def watched(spec: Spec) -> Judging:
    made = judging(spec)
    assert isinstance(made, Judging)
    return made


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (msgspec.structs.replace(PROMOTION, block_seconds=0.5), "block_seconds"),
        (msgspec.structs.replace(SPLIT, expected_share=1.0), "expected_share"),
        (msgspec.structs.replace(SPLIT, expected_share=0.0), "expected_share"),
        (msgspec.structs.replace(SPLIT, expected_share=()), "expected_share"),
        (msgspec.structs.replace(PROMOTION, alpha=0.6), "alpha"),
        (msgspec.structs.replace(PROMOTION, check_seconds=61.0, horizon_seconds=60.0), "check_seconds"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(spec: Spec, path: str) -> None:
    assert path in [slip.path for slip in slips(spec)]
    made = judging(spec)
    assert isinstance(made, Ruling)
    assert path in made.explanation


def test_an_instant_that_is_none_is_named_and_the_others_are_still_compared() -> None:
    days = ("2026-11-30T08:00:00Z", "soon", "2026-11-30T08:00:00Z")
    made = judging(msgspec.structs.replace(SPLIT, expected_share=tuple(SharePhase(at=day, share=0.25) for day in days)))
    assert isinstance(made, Ruling)
    assert "expected_share.1.at: 'soon' is no instant" in made.explanation
    assert "expected_share.2.at" in made.explanation
    assert len(list(phases(SPLIT))) == 1


def test_only_so_many_distances_of_instants_are_remembered_and_the_frequent_one_stays() -> None:
    watch = watched(PROMOTION)
    at = 0.0
    for number in range(SPACINGS_MAX + 5):
        watch.take(count(at := at + 60.0))
        watch.take(count(at := at + 61.0 + number))
    assert len(watch.seen.spacings) == SPACINGS_MAX
    assert watch.seen.spacing_seconds == 60.0


def test_clusters_seen_before_the_first_phase_are_judged_by_none() -> None:
    later = msgspec.structs.replace(SPLIT, expected_share=(SharePhase(at="2030-01-01T00:00:00Z", share=0.25),))
    watch = watched(later)
    watch.take(count(60))
    watch.take(count(120))
    assert watch.ruling().verdict == "errored", "nothing was measured in any phase"


def test_a_trigger_that_has_seen_nothing_has_nothing_to_close() -> None:
    watch = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05))
    watch.fold.close()  # type: ignore[call-arg]
    watch.take(count(60))
    watch.fold.close()  # type: ignore[call-arg]
    watch.fold.close()  # type: ignore[call-arg]
    assert watch.fold.steps == 1  # type: ignore[union-attr]


def test_a_difference_that_too_few_clusters_show_is_not_proven() -> None:
    spec = Spec(name="errors", kind=Kind.AB, block_seconds=600, min_clusters=8)
    new = traffic(names(2), always(0.5), steps=200)
    old = traffic(names(2, "old"), always(0.01), steps=200, seed=2, exposure=Exposure.OLD)
    ruling = judge(spec, together(new, old))
    assert (ruling.verdict, ruling.reason) == ("inconclusive", "too_few_clusters")


def test_a_comparison_that_is_closed_twice_counts_its_step_once() -> None:
    watch = watched(Spec(name="errors", kind=Kind.AB))
    watch.take(count(60))
    watch.take(count(60, exposure=Exposure.OLD))
    for _ in range(2):
        watch.fold.close(Instant(120 * SECOND))  # type: ignore[call-arg]
    assert watch.fold.n == [10, 10]  # type: ignore[union-attr]


def test_a_side_without_traffic_is_blamed_for_nothing() -> None:
    assert blames_new((0, 0), (10, 1)) == blames_new((10, 9), (0, 0)) == 0.0
    assert blames_new((100, 90), (100, 1)) > 0.0


def test_gates_without_a_metric_contradict_nobody_and_two_limits_of_one_do() -> None:
    named = [msgspec.structs.replace(PROMOTION, name=name) for name in ("a", "b")]
    assert list(contradictions([*named, SPLIT])) == []
    measured = [msgspec.structs.replace(one, metric="error_rate") for one in named]
    wider = msgspec.structs.replace(measured[1], max_rate=0.02)
    assert [(place, slip.path) for place, slip in contradictions([measured[0], wider])] == [(1, "max_rate")]
    assert list(phases(PROMOTION)) == []


def test_clusters_on_both_sides_are_counted_by_their_first_and_that_is_said() -> None:
    new, old = Exposure.NEW, Exposure.OLD
    counts = [
        Count(Instant(step * 60 * SECOND), f"c{place}", new if place % 4 == 0 or (place == 1 < step) else old, 10, 0)
        for step in (1, 2, 3)
        for place in range(40)
    ]
    ruling = judge(SPLIT, counts)
    assert "1 clusters stand on both sides; each counts by its first." in ruling.explanation


def test_a_detector_that_nobody_alone_sets_off_remembers_them_all_and_names_the_worst() -> None:
    fold = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05)).fold
    fold._set_aside({"a": [100, 6], "b": [100, 5]}, Instant(0))  # type: ignore[union-attr]
    assert (fold.aside, fold.holds) == ({}, "narrow")  # type: ignore[union-attr]


def test_the_ends_of_a_histogram_are_its_outermost_edges() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    assert histogram.quantile(0.5) == EDGES[0]
    histogram.add(EDGES[-1] * 2)
    assert (histogram.quantile(0.5), histogram.quantile(1.0)) == (EDGES[0], EDGES[-1])
    assert Histogram().quantile(0.5) is None


def test_an_instrument_of_a_spec_that_makes_no_sense_is_not_built() -> None:
    with pytest.raises(ValueError, match="alpha"):
        instruments.Instrument("errors", "error_rate", 0.01, msgspec.structs.replace(PROMOTION, alpha=0.6))


@pytest.mark.parametrize(
    ("trigger", "names"),
    [
        (Trigger(metric="error_rate", roll_back=0.5), ["trigger.t", "trigger.mixed_t"]),
        (
            Trigger(metric="error_rate", investigate=0.25),
            ["trigger.t.investigate", "trigger.mixed_t.investigate"],
        ),
        (
            Trigger(metric="error_rate", investigate=0.25, roll_back=0.5),
            ["trigger.t", "trigger.t.investigate", "trigger.mixed_t", "trigger.mixed_t.investigate"],
        ),
        (Trigger(metric="error_rate", exposure="mixed", roll_back=0.5), ["trigger.t"]),
        (Trigger(metric="delivery_rate", roll_back=0.5), ["trigger.t"]),
        (Trigger(metric="data_loss", roll_back=0), []),
    ],
)
def test_a_trigger_has_a_detector_for_each_of_its_levels(trigger: Trigger, names: list[str]) -> None:
    plan = resolved(msgspec.structs.replace(PLAN, triggers={"t": trigger}))
    found = list(instruments.triggers_of(plan))
    assert [one.name for one in found] == names
    assert {one.judging.spec.triggers for one in found} <= {len(names)}, "all of them share alpha"


def test_a_slice_without_requests_is_no_evidence() -> None:
    [gate] = [one for one in instruments.gates_of(PLAN) if one.metric == "error_rate"]
    idle = msgspec.structs.replace(block(0).slices[0], requests=0, faults=0)
    gate.take([(idle, Exposure.NEW)], START)
    assert gate.judging.seen.last is not None
    assert gate.judging.seen.last.n == 0


@pytest.mark.parametrize("cause", list(Cause))
def test_whatever_somebody_has_looked_at_can_begin_anew(cause: Cause) -> None:
    for plan in (PLAN, msgspec.structs.replace(PLAN, sample_ratio=SampleRatio(required=False))):
        watch = watching.Watch(1, plan)
        watch.begin_bake(START, 0.5, 8)
        watch.relieve(cause, Instant(START + 5 * SECOND))
        anew = cause in (Cause.GATES, Cause.ERRORED)
        assert watch.baked_from == (START + 5 * SECOND if anew else START)
        if watch.ratio is not None:
            begun = [phase.since for phase in instruments.fold_of_ratio(watch.ratio).phases]
            assert begun == [START + 5 * SECOND if cause is Cause.SAMPLE_RATIO else START]


@pytest.mark.parametrize(
    "plan",
    [
        msgspec.structs.replace(PLAN, stages=()),
        msgspec.structs.replace(PLAN, gates={}),
        msgspec.structs.replace(PLAN, triggers={}),
        msgspec.structs.replace(PLAN, plan=2),
    ],
)
def test_a_plan_with_nothing_to_go_through_or_to_judge_by_is_refused(plan: Plan) -> None:
    source = msgspec.json.encode(plan)
    command = stages.Accept(plan=msgspec.Raw(source), digest=sha256(source).hexdigest())
    outcome = stages.decide(stages.State(), command, START)
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.message) == ("plan.bad_plan", "The plan has no stages, gates or triggers.")


def test_a_hold_is_overdue_at_its_instant_and_nothing_else_is_a_matter_of_time() -> None:
    assert stages.deadline(stages.State()) is None
    assert Stage(share=0.5).bake_seconds is None


def test_an_event_that_a_table_allows_and_nothing_folds_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine in (stages, measurements):
        state = machine.State()
        monkeypatch.setitem(machine.NEXT, (state.status, Planted), state.status)  # type: ignore[misc]
        with pytest.raises(KeyError, match="Planted"):
            machine.evolve(state, Planted())
