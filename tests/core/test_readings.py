"""What a watched plan reads out of made-up measurements, word for word: every gate, trigger, comparison and worry.

``python -m tests.core.test_readings`` writes tables/readings.txt anew; read what changed before it is kept.
"""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from crossfade.core.gates import Exposure
from crossfade.core.instruments import beside, fold_of_ratio, fold_of_trigger, gates_of, meaning, triggers_of
from crossfade.core.measurement_events import BlockRecorded, Slice
from crossfade.core.plans import Comparison, Gate, Plan, SampleRatio, Stage, Trigger, resolved
from crossfade.core.stage_events import Cause, Said
from crossfade.core.stage_next import Reading
from crossfade.core.values import SECOND, Instant
from crossfade.core.watching import Watch
from tests.core.test_watching import KEPT as NOTHING_LOST
from tests.core.test_watching import LOST, MIXED, NEW, OLD, PLAN, START, block
from tests.kit.tables import TABLES
from tests.kit.written import written

FILE = TABLES / "readings.txt"
ALL = resolved(msgspec.structs.replace(PLAN, gates={}, triggers={}, ab=Comparison(margin=0.5)))
"""Every requirement and the whole rollback matrix."""
FEW = resolved(
    msgspec.structs.replace(
        PLAN,
        sample_ratio=SampleRatio(required=False),
        ab=Comparison(required=False),
        gates={"up": Gate(metric="availability", min=1.0), "delivery": Gate(metric="delivery_rate", min=0.5)},
        triggers={"slow": Trigger(metric="latency_p99_ms", exposure="mixed", investigate=100, roll_back=500)},
    )
)
INCIDENT = msgspec.structs.replace(LOST, name="security_incidents", metric="security_incidents")


def begun(plan: Plan = PLAN, threshold: float = 0.5) -> Watch:
    watch = Watch(3, plan)
    watch.begin_bake(START, threshold, 8)
    return watch


def fed(watch: Watch, many: int = 30, first: int = 0, **more: object) -> Watch:
    for number in range(first, first + many):
        watch.take(block(number, **more))  # type: ignore[arg-type]
    return watch


def late(one: BlockRecorded, over: tuple[int, ...]) -> BlockRecorded:
    """With so many of its ten deliveries over each edge, and some that never arrived."""
    slices = tuple(msgspec.structs.replace(each, over=over, delivered=8, undelivered=2) for each in one.slices)
    return msgspec.structs.replace(one, slices=slices)


def slow(plan: Plan, over: tuple[int, ...]) -> Watch:
    watch = begun(plan)
    for number in range(30):
        watch.take(late(block(number), over))
    return watch


def with_a_hole() -> Watch:
    return fed(fed(begun(), 3), 3, 5, down=2.5)


def relieved(cause: Cause, bad: dict[object, float]) -> Watch:
    watch = fed(begun(), bad=bad)
    watch.relieve(cause, Instant(START + 300 * SECOND))
    return fed(watch, 3, 30, bad=bad)


KNOWN = (NOTHING_LOST,)
CASES: dict[str, Callable[[], Reading]] = {
    "before a share is in force": lambda: fed(Watch(3, PLAN)).reading(KNOWN),
    "nothing measured": lambda: begun().reading(KNOWN),
    "healthy": lambda: fed(begun()).reading(KNOWN),
    "healthy, the last stage": lambda: fed(begun(threshold=1.0)).reading(KNOWN),
    "healthy, every gate there is": lambda: fed(begun(ALL)).reading((NOTHING_LOST, INCIDENT)),
    "healthy, few gates": lambda: fed(begun(FEW)).reading(),
    "nobody knows what was lost": lambda: fed(begun()).reading(),
    "something was lost": lambda: fed(begun(), 3).reading((LOST,)),
    "the new lane fails": lambda: fed(begun(), bad={NEW: 1.0}).reading(KNOWN),
    "the new lane fails a little": lambda: fed(begun(), bad={NEW: 0.4}).reading(KNOWN),
    "both lanes fail": lambda: fed(begun(), bad={NEW: 1.0, OLD: 1.0}).reading(KNOWN),
    "mixed conversations fail": lambda: fed(begun(), bad={MIXED: 1.0}).reading(KNOWN),
    "one cluster fails": lambda: fed(begun(), clusters=1, bad={NEW: 1.0}).reading(KNOWN),
    "far more on the new lane than the share says": lambda: fed(begun(threshold=0.05)).reading(KNOWN),
    "slow": lambda: slow(ALL, (9, 8, 6, 4, 2, 1)).reading(KNOWN),
    "very slow": lambda: slow(FEW, (10, 10, 10, 10, 10, 10)).reading(KNOWN),
    "idle": lambda: fed(begun(), idle=True).reading(KNOWN),
    "a hole, and down": lambda: with_a_hole().reading(KNOWN),
    "only just up": lambda: fed(begun(FEW), 5, down=0.001).reading(),
    **{
        f"somebody looked: {cause}": partial(lambda one: relieved(one, {NEW: 0.4}).reading(KNOWN, fresh=True), cause)
        for cause in Cause
    },
}


WHOLE = ("healthy", "the new lane fails a little", "slow")
"""Elsewhere the explanations are left out; test_rulings has those of the statistics."""


def told(name: str, reading: Reading) -> str:
    """A line for each part, proofs and others in their order."""
    parts = [msgspec.structs.replace(reading, proofs=(), others=(), worries=(), fired=None)]
    lines = [*map(written, parts), f"fired: {reading.fired.name if reading.fired else '-'}"]
    lines += [f"worry: {worry.cause} {worry.said.name}" for worry in reading.worries]
    said = [*reading.proofs, *reading.others]
    if name not in WHOLE:
        said = [
            msgspec.structs.replace(one, guarantee="", explanation="") if one.kind != "exact" else one for one in said
        ]
    return "\n".join([*lines, *map(written, said)])


def kept_parts() -> dict[str, str]:
    parts = FILE.read_text("utf-8").split("\n\n") if FILE.exists() else []
    return {part.partition("\n")[0].removeprefix("## "): part.partition("\n")[2].strip() for part in parts[1:]}


KEPT = kept_parts()


@pytest.mark.parametrize("name", CASES)
def test_a_plan_reads_word_for_word_what_it_read(name: str) -> None:
    assert told(name, CASES[name]()) == KEPT[name]


def test_every_reading_that_is_kept_is_of_a_case() -> None:
    assert list(KEPT) == list(CASES)


# --- what begins anew --------------------------------------------------------------------------------------


def test_the_sample_ratio_begins_anew_at_the_share_that_is_in_force_alone() -> None:
    watch = begun()
    watch.begin_bake(Instant(START + 60 * SECOND), 0.75, 12)
    watch.relieve(Cause.SAMPLE_RATIO, Instant(START + 90 * SECOND))
    assert watch.ratio is not None
    phases = fold_of_ratio(watch.ratio).phases
    assert [(phase.since, phase.share) for phase in phases] == [(START + 90 * SECOND, 0.75)]


def test_who_looked_at_one_cause_has_not_looked_at_another() -> None:
    watch = begun()
    for number in range(60):
        whole = block(number, bad={NEW: 0.4, MIXED: 1.0})
        few = tuple(one for one in whole.slices if one.exposure is not MIXED or one.cluster == "mixed-0")
        watch.take(msgspec.structs.replace(whole, slices=few))
    assert {worry.cause for worry in watch.reading().worries} == {Cause.INVESTIGATE, Cause.NARROW}
    watch.relieve(Cause.INVESTIGATE, Instant(START + 600 * SECOND))
    assert {worry.cause for worry in watch.reading().worries} == {Cause.NARROW}
    watch.relieve(Cause.NARROW, Instant(START + 600 * SECOND))
    assert watch.reading().worries == ()


@pytest.mark.parametrize("cause", [Cause.GATES, Cause.ERRORED])
def test_after_a_fault_that_somebody_looked_at_everything_of_the_stage_begins_anew(cause: Cause) -> None:
    watch = fed(begun(), 3, down=4.0)
    watch.fault = "x"
    watch.take(block(3))
    assert (watch.checks, watch.baked_seconds, watch.down_seconds) == (3, 18.0, 12.0), "nothing is judged any more"
    watch.relieve(cause, Instant(START + 40 * SECOND))
    assert (watch.fault, watch.baked_from) == ("", START + 40 * SECOND)
    assert (watch.baked_seconds, watch.down_seconds) == (0.0, 0.0)
    watch.take(block(4))
    assert (watch.checks, watch.baked_seconds, watch.down_seconds) == (4, 10.0, 0.0)


def test_the_next_stage_counts_from_its_own_begin_and_tells_the_triggers_who_is_exposed() -> None:
    watch = fed(begun(), 3, down=4.0)
    watch.begin_bake(Instant(START + 30 * SECOND), 1.0, 16)
    assert (watch.baked_from, watch.compared) == (START + 30 * SECOND, False)
    assert (watch.baked_seconds, watch.down_seconds) == (0.0, 0.0)
    assert {fold_of_trigger(one).exposed for one in watch.triggers} == {16}


def test_of_a_fault_so_much_is_kept_as_fits_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ValueError("x" * 300)

    watch = begun()
    monkeypatch.setattr(watch, "_take", broken)
    watch.take(block(0))
    assert watch.fault == "ValueError: " + "x" * 188


@pytest.mark.parametrize("plan", [PLAN, FEW])
def test_what_is_put_away_is_everything(plan: Plan) -> None:
    watch = fed(begun(plan), 4, down=0.5)
    watch.fault = "y"
    saved = watch.dump()
    assert set(saved.instruments) == {
        one.name for one in (*watch.triggers, *watch.gates, *watch.comparisons, *([watch.ratio] if watch.ratio else []))
    }
    again = Watch(3, plan)
    again.fill(saved)
    assert again.reading(fresh=True) == watch.reading(fresh=True)
    assert msgspec.structs.replace(again.dump(), instruments={}) == msgspec.structs.replace(saved, instruments={})
    assert (saved.number, saved.checks, saved.compared, saved.fault) == (3, 4, True, "y")
    assert (saved.baked_from, saved.until_at) == (START, START + 40 * SECOND)
    assert (saved.baked_seconds, saved.down_seconds) == (38.0, 2.0)


def test_a_block_bakes_from_the_instant_the_share_is_in_force_and_what_was_missed_since_is_down() -> None:
    watch = Watch(3, PLAN)
    watch.take(block(0))
    assert (watch.checks, watch.baked_seconds, watch.until_at) == (1, 0.0, START + 10 * SECOND)
    watch.begin_bake(Instant(START + 15 * SECOND), 0.5, 8)
    watch.take(block(2))
    assert (watch.baked_seconds, watch.down_seconds) == (10.0, 5.0), "five seconds since the share was set"
    watch.take(block(3, down=11.0))
    assert (watch.baked_seconds, watch.down_seconds) == (10.0, 16.0), "never less than nothing"


# --- a comparison beside its gate -----------------------------------------------------------------------------

FEW_BAD = Said(
    name="ab.x", kind="ab", verdict="inconclusive", reason="not_enough", metric="error_rate", needed=5,
    eta_seconds=90.0, explanation="Not proven.",
)  # fmt: skip
GATE = Said(name="gate.x", kind="promotion", verdict="inconclusive", reason="not_enough", eta_seconds=30.0)


def test_a_comparison_with_too_little_to_compare_passes_where_its_gate_has_and_says_so() -> None:
    why = "too few bad events on either lane to compare; gate.x is proven, so any difference is below its limit. "
    change = msgspec.structs.replace
    passed = change(GATE, verdict="passed", reason="proven")
    assert beside(FEW_BAD, passed) == change(
        FEW_BAD, verdict="passed", reason="below_limit", needed=None, eta_seconds=None, explanation=f"{why}Not proven."
    )
    worse = change(FEW_BAD, reason="proven_worse", verdict="failed")
    assert beside(worse, passed) == worse
    assert beside(worse, None) == worse
    assert beside(FEW_BAD, None) == FEW_BAD


@pytest.mark.parametrize(
    ("own", "of_the_gate", "eta"), [(90.0, 30.0, 30.0), (20.0, 30.0, 20.0), (None, 30.0, 30.0), (None, None, None)]
)
def test_a_comparison_is_expected_when_the_first_of_both_is(
    own: float | None, of_the_gate: float | None, eta: float | None
) -> None:
    gate = msgspec.structs.replace(GATE, eta_seconds=of_the_gate)
    said = msgspec.structs.replace(FEW_BAD, eta_seconds=own)
    assert beside(said, gate) == msgspec.structs.replace(said, eta_seconds=eta)


# --- what an instrument says ----------------------------------------------------------------------------------


def counts_of(one: BlockRecorded) -> list[tuple[Slice, Exposure]]:
    return [(each, Exposure(each.exposure.value)) for each in one.slices]


def test_a_gate_is_judged_anew_when_a_block_of_its_own_is_over_or_somebody_wants_it_fresh() -> None:
    [gate] = [one for one in gates_of(PLAN) if one.metric == "error_rate"]
    for number in range(7):
        gate.take(counts_of(block(number)), block(number).from_at)
    first = gate.said()
    gate.take(counts_of(block(7)), block(7).from_at)
    assert gate.said() is first, "the block of a minute is still open"
    assert gate.said(fresh=True).n > first.n
    fresh = gate.said()
    assert fresh is not first, "what was said last is remembered"
    for number in range(8, 14):
        gate.take(counts_of(block(number)), block(number).from_at)
    assert gate.said().n > fresh.n


def test_a_trigger_is_judged_at_every_look() -> None:
    trigger = next(iter(triggers_of(PLAN)))
    seen = []
    for number in range(3):
        trigger.take(counts_of(block(number)), block(number).from_at)
        seen.append(trigger.said().n)
    assert seen == [160, 320, 480]
    assert trigger.said() is not trigger.said()


def test_a_sample_ratio_is_judged_anew_when_somebody_is_seen_for_the_first_time() -> None:
    watch = begun()
    ratio = watch.ratio
    assert ratio is not None
    watch.take(block(0, clusters=2))
    first = ratio.said()
    watch.take(block(1, clusters=2))
    assert ratio.said() is first
    watch.take(block(2, clusters=3))
    assert ratio.said().clusters == 6


@pytest.mark.parametrize(
    ("metric", "limit", "mixed", "told"),
    [
        ("error_rate", 0.0125, False, "requests that the server failed, of which 1.250% may be"),
        ("delivery_rate", 0.999, False, "questions that were not delivered, of which 0.100% may be"),
        ("latency_p99_ms", 300.0, False, "deliveries slower than 300 ms, of which 1 % may be"),
        (
            "latency_p50_ms", 50.0, True,
            "mixed conversations (one end on each lane): deliveries slower than 50 ms, of which half may be",
        ),
        ("latency_p99_ms", None, False, ""),
        ("luck", 1.0, True, ""),
    ],
)  # fmt: skip
def test_what_is_bad_is_told_with_its_limit(metric: str, limit: float | None, mixed: bool, told: str) -> None:
    assert meaning(metric, limit, mixed=mixed) == told
    if not mixed:
        assert meaning(metric, limit) == told


# --- plans -------------------------------------------------------------------------------------------------


def test_a_plan_is_pinned_with_every_default_written_out() -> None:
    bare = Plan(plan=1, name="p", stages=(Stage(share=0.5), Stage(share=1.0, bake_seconds=7)), bake_seconds=60)
    whole = resolved(bare)
    assert [stage.bake_seconds for stage in whole.stages] == [60, 7]
    assert (set(whole.gates), set(whole.triggers)) == (set(ALL.gates), set(ALL.triggers))
    assert (whole.ab.metrics, whole.ab.required) == (("error_rate", "latency_p99_ms"), True)
    assert resolved(whole) == whole
    alone = resolved(msgspec.structs.replace(bare, gates={"up": Gate(metric="availability", min=0.9)}))
    assert (alone.ab.metrics, alone.ab.required) == ((), False)
    chosen = msgspec.structs.replace(bare, ab=Comparison(metrics=("delivery_rate",), margin=2.0, required=False))
    assert resolved(chosen).ab == Comparison(metrics=("delivery_rate",), margin=2.0, required=False)


def test_a_trigger_for_mixed_conversations_gets_a_name_that_is_free() -> None:
    slow_one = Trigger(metric="latency_p99_ms", roll_back=500)
    written_out = Trigger(metric="error_rate", exposure="mixed", roll_back=0.5)
    triggers = {
        "errors": Trigger(metric="error_rate", roll_back=0.5), "own": written_out, "delivery": Trigger(
            metric="delivery_rate", roll_back=0.5
        ), "slow": slow_one, "mixed_slow": Trigger(metric="data_loss", roll_back=0), "mixed_slow_": Trigger(
            metric="data_loss", roll_back=0
        ),
    }  # fmt: skip
    found = resolved(msgspec.structs.replace(PLAN, triggers=triggers)).triggers
    assert list(found) == [*triggers, "mixed_slow__"]
    assert found["mixed_slow__"] == msgspec.structs.replace(slow_one, exposure="mixed")


if __name__ == "__main__":
    parts = [f"## {name}\n{told(name, reading())}" for name, reading in CASES.items()]
    FILE.write_text("\n\n".join(["# What tests/core/test_readings.py keeps.", *parts]) + "\n", "utf-8")
