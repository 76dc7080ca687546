"""Gates, instruments and plans at their edges: the first value that makes no sense, and nothing to look at."""

import math
from hashlib import sha256

import msgspec
import pytest

from crossfade.core import instruments, measurements, stages, watching
from crossfade.core.decider import Refusal
from crossfade.core.gates.comparison import blames_new
from crossfade.core.gates.judging import SPACINGS_MAX, Judging, instant_of, judge, judging, phases
from crossfade.core.gates.specs import Count, Exposure, Kind, Ruling, SharePhase, Spec, SpecSlip, contradictions, slips
from crossfade.core.gates.trigger import Aside
from crossfade.core.gates.trigger import Trigger as Alarm
from crossfade.core.histograms import EDGES, Histogram
from crossfade.core.plans import Plan, SampleRatio, Stage, Trigger, resolved
from crossfade.core.stage_events import Cause
from crossfade.core.values import SECOND, Instant
from tests.core.test_rollouts import Planted
from tests.core.test_watching import PLAN, START, block
from tests.kit.gates import always, names, together, traffic
from tests.kit.zones import standing_in

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


def test_an_instant_is_read_to_the_microsecond_and_without_an_offset_it_is_utc_wherever_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = 1_767_571_200 * SECOND
    with standing_in("Asia/Tokyo", monkeypatch):
        assert instant_of("2026-01-05T00:00:00.000007") == instant_of("2026-01-05T00:00:00.000007Z") == day + 7_000
        assert instant_of("2026-01-05T09:00:00+09:00") == day
        assert instant_of("1969-12-31T23:59:59.5Z") == -SECOND // 2


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


@pytest.mark.parametrize(
    ("new", "old"), [((100, 30), (80, 5)), ((10, 0), (10, 5)), ((10, 5), (10, 0)), ((7, 2), (9, 2))]
)
def test_the_blame_is_the_mean_likelihood_ratio_that_a_bad_event_is_on_the_new_side(
    new: tuple[int, int], old: tuple[int, int]
) -> None:
    fair = new[0] / (new[0] + old[0])
    ratios = []
    for ratio in (1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0):
        share = new[0] * ratio / (new[0] * ratio + old[0])
        ratios.append((share / fair) ** new[1] * ((1 - share) / (1 - fair)) ** old[1])
    blame = math.log(math.fsum(ratios[1:]) / 6)
    assert blames_new(new, old) == pytest.approx(blame, rel=1e-7, abs=1e-8)


def test_what_contradicts_itself_in_a_list_of_gates_is_told_at_the_later_place() -> None:
    def gate(name: str, kind: Kind = Kind.PROMOTION, max_rate: float | None = 0.01, **more: object) -> Spec:
        return Spec(name=name, kind=kind, max_rate=max_rate, metric="error_rate", **more)  # type: ignore[arg-type]

    specs = [
        gate("a", max_rate=0.02), gate("b", Kind.AB, None), Spec(name="c", kind=Kind.TRIGGER, max_rate=0.5),
        gate("d", Kind.TRIGGER), gate("a", max_rate=0.03), gate("e", Kind.TRIGGER, exposure=Exposure.OLD),
        gate("f", max_rate=0.01, exposure=Exposure.OLD), gate("d", max_rate=0.02),
    ]  # fmt: skip
    back = "error_rate goes back above 0.01, which promotion still lets pass (below 0.02)"
    assert list(contradictions(specs)) == [
        (4, SpecSlip("name", "the gate 'a' stands here twice", "rename one of them")),
        (4, SpecSlip("max_rate", "error_rate has two thresholds for promotion: 0.02 and 0.03", "keep one")),
        (7, SpecSlip("name", "the gate 'd' stands here twice", "rename one of them")),
        (3, SpecSlip("max_rate", back, "put the trigger's threshold at or above the promotion's")),
    ]


NOUGHT = "no count of observations proves 0; for things that must never happen reconcile every one"
SLIPS = {
    "no name": ({"name": "  "}, ("name", "the gate has no name", "say what it guards")),
    "no such metric": ({"metric": "luck"}, ("metric", "there is no metric 'luck'", "")),
    "a margin": (
        {"margin": 0.5}, ("margin", "a gate of kind promotion has no margin", "leave it out; it belongs to ab"),
    ),
    "a margin of 0": (
        {"margin": 0.0}, ("margin", "a gate of kind promotion has no margin", "leave it out; it belongs to ab"),
    ),
    "triggers": (
        {"triggers": 8},
        ("triggers", "a gate of kind promotion has no triggers", "leave it out; it belongs to trigger"),
    ),
    "a horizon": (
        {"horizon_seconds": 5.0},
        ("horizon_seconds", "a gate of kind promotion has no horizon_seconds", "leave it out; it belongs to trigger"),
    ),
    "no threshold": ({"max_rate": None}, ("max_rate", "a gate of kind promotion needs max_rate", "add max_rate:")),
    "a threshold of a comparison": (
        {"kind": Kind.AB},
        ("max_rate", "a gate of kind ab has no max_rate", "leave it out; it belongs to promotion and trigger"),
    ),
    "a share of 1": (
        {"kind": Kind.SAMPLE_RATIO, "max_rate": None, "expected_share": 1.0},
        ("expected_share", "a share of 1 leaves nothing to chance", "write the share at which clusters are divided"),
    ),
    "no phase": (
        {"kind": Kind.SAMPLE_RATIO, "max_rate": None, "expected_share": ()},
        ("expected_share", "the list is empty", "write a share, or {at, share} for each phase"),
    ),
    "no share": (
        {"kind": Kind.SAMPLE_RATIO, "max_rate": None},
        ("expected_share", "a gate of kind sample-ratio needs expected_share", "add expected_share:"),
    ),
    "alpha 0": ({"alpha": 0.0}, ("alpha", "alpha is 0", "write more than 0 and at most 0.5, like 0.01")),
    "alpha above a half": ({"alpha": 0.51}, ("alpha", "alpha is 0.51", "write more than 0 and at most 0.5, like 0.01")),
    "rate 0": ({"max_rate": 0.0}, ("max_rate", "max_rate is 0", NOUGHT)),
    "rate 1": ({"max_rate": 1.0}, ("max_rate", "max_rate is 1", "write a rate below 1")),
    "gap of 0": ({"max_gap_seconds": 0.0}, ("max_gap_seconds", "max_gap_seconds is 0", "write a time, in seconds")),
    "looks of 0": (
        {"kind": Kind.TRIGGER, "check_seconds": 0.0},
        ("check_seconds", "check_seconds is 0", "write a time, in seconds"),
    ),
    "looks beyond the horizon": (
        {"kind": Kind.TRIGGER, "check_seconds": 61.0, "horizon_seconds": 60.0},
        ("check_seconds", "longer than the horizon", "look more often than once"),
    ),
    "half a second of a block": (
        {"block_seconds": 0.5}, ("block_seconds", "block_seconds is 0.5", "write 0, or a second or more"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLIPS)
def test_what_makes_no_sense_is_said_with_what_to_write(name: str) -> None:
    change, slip = SLIPS[name]
    assert list(slips(msgspec.structs.replace(PROMOTION, **change))) == [SpecSlip(*slip)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {}, {"alpha": 0.5}, {"alpha": 1e-9}, {"max_rate": 0.999}, {"block_seconds": 1.0}, {"block_seconds": 0.0},
        {"kind": Kind.TRIGGER, "check_seconds": 60.0, "horizon_seconds": 60.0, "triggers": 1},
        {"kind": Kind.AB, "max_rate": None, "margin": 0.0}, {"kind": Kind.AB, "max_rate": None},
        {"kind": Kind.SAMPLE_RATIO, "max_rate": None, "expected_share": 0.001}, {"metric": "error_rate"},
    ],
)  # fmt: skip
def test_what_makes_sense_at_its_limit_is_taken(change: dict[str, object]) -> None:
    assert list(slips(msgspec.structs.replace(PROMOTION, **change))) == []


def test_a_key_that_somebody_wrote_is_not_overlooked_because_it_holds_what_it_would_hold_anyway() -> None:
    assert list(slips(PROMOTION, ("name", "max_rate"))) == []
    assert [slip.path for slip in slips(PROMOTION, ("margin", "triggers"))] == ["margin", "triggers"]


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


@pytest.mark.parametrize(("bad", "aside"), [(18, True), (17, False)])
def test_a_cluster_is_set_aside_if_it_alone_reaches_the_level_and_is_then_remembered_since_when(
    bad: int, aside: bool
) -> None:
    fold = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05)).fold
    assert isinstance(fold, Alarm)
    fold.clusters = {"a", "b", "c"}
    before = fold.detector
    fold._set_aside({"a": [140, bad], "b": [140, 7], "c": [140, 6]}, Instant(7))
    assert fold.aside == ({"a": Aside(since=Instant(7), loud_at=Instant(7))} if aside else {})
    assert fold.named == (("a",) if aside else ("a", "b")), "nobody alone: the worst are named"
    assert (fold.detector is before) is not aside, "the detector begins anew"


def test_of_many_noisy_clusters_no_more_are_set_aside_than_may_be_noisy() -> None:
    fold = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05)).fold
    assert isinstance(fold, Alarm)
    fold.clusters = set("abcdef")
    loud: dict[str, list[float]] = {name: [140, bad] for name, bad in zip("abcd", (90, 80, 70, 60), strict=True)}
    fold._set_aside(loud, Instant(7))
    assert set(fold.aside) == {"a", "b"}, "breadth 3: two may be noisy"
    fold._set_aside({name: loud[name] for name in "cd"}, Instant(9))
    assert set(fold.aside) == {"a", "b"}
    assert (fold.holds, fold.named) == ("narrow", ("a", "b"))


@pytest.mark.parametrize(("bad", "shared"), [(31, True), (32, False), (60, False)])
def test_the_old_side_excuses_the_new_one_unless_that_is_proven_to_be_worse(bad: int, shared: bool) -> None:
    fold = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05, breadth=1)).fold
    assert isinstance(fold, Alarm)
    assert fold._shared({"a": [100, bad]}, {"b": [100, 10]}) is shared
    assert fold._shared({"a": [100, bad]}, {"b": [200, 10]}) is False, "5 % is no more than allowed"


def test_the_noisy_clusters_of_the_old_side_excuse_nobody() -> None:
    fold = watched(Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05)).fold
    assert isinstance(fold, Alarm)
    new: dict[str, list[float]] = {"a": [100, 20]}
    assert fold._shared(new, {"x": [50, 40], "y": [50, 30], "z": [100, 2]}) is False
    assert fold._shared(new, {"x": [50, 40], "y": [50, 30], "z": [100, 12]}) is True
    assert fold._shared(new, {"x": [50, 10]}) is True, "one cluster alone is the old side"


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
