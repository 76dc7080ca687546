"""The fold of measurements into verdicts: which counts count for what, when evidence begins anew, what is kept."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import watching
from crossfade.core.instruments import fold_of_trigger
from crossfade.core.measurement_events import BlockRecorded, Slice
from crossfade.core.plans import Comparison, Gate, Plan, Stage, Trigger, resolved
from crossfade.core.question_events import Exposure
from crossfade.core.stage_events import Cause, Said
from crossfade.core.values import SECOND, Instant
from crossfade.core.watching import Watch
from crossfade.runsheets.plan_files import PlanFile, parse_plan

START = Instant(1_800_000_000 * SECOND)
PLAN = resolved(
    Plan(
        plan=1,
        name="p",
        stages=(Stage(share=0.5), Stage(share=1.0)),
        block_seconds=60,
        programme_seconds=86_400,
        gates={
            "p50": Gate(metric="latency_p50_ms", max=50),
            "errors": Gate(metric="error_rate", max=0.2),
            "up": Gate(metric="availability", min=0.99),
            "loss": Gate(metric="data_loss", max=0),
        },
        triggers={
            "errors": Trigger(metric="error_rate", investigate=0.25, roll_back=0.5),
            "loss": Trigger(metric="data_loss", roll_back=0),
        },
    )
)
NEW, OLD, MIXED = Exposure.NEW, Exposure.OLD, Exposure.MIXED


def block(
    number: int, *, bad: dict[Exposure, float] | None = None, clusters: int = 8, down: float = 0.0, idle: bool = False
) -> BlockRecorded:
    """Ten seconds; each exposure has its clusters, of whose requests a part failed."""
    failed = bad or {}
    slices = [
        Slice(
            cluster=f"{exposure}-{place}", exposure=exposure, asked=10, delivered=10, timed=10,
            over=(1, 0, 0, 0, 0, 0), requests=20, faults=round(20 * failed.get(exposure, 0.0)),
        )
        for exposure in (NEW, OLD, MIXED)
        for place in range(clusters)
    ]  # fmt: skip
    return BlockRecorded(
        from_at=Instant(START + number * 10 * SECOND), until_at=Instant(START + (number + 1) * 10 * SECOND),
        slices=() if idle else tuple(slices), down_seconds=down,
    )  # fmt: skip


def begun(threshold: float = 0.5) -> Watch:
    watch = Watch(1, PLAN)
    watch.begin_bake(START, threshold, 8)
    return watch


def verdicts(watch: Watch, *facts: Said) -> dict[str, str]:
    reading = watch.reading(facts, fresh=True)
    return {said.name: said.verdict for said in (*reading.proofs, *reading.others)}


LOST = Said(name="data_loss", kind="exact", verdict="failed", reason="found", metric="data_loss", bad=1)
KEPT = Said(name="data_loss", kind="exact", verdict="passed", reason="none", metric="data_loss")


def test_a_healthy_stage_is_proven_by_its_own_clusters_and_blocks() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number))
    told = verdicts(watch, KEPT)
    assert {told[name] for name in ("gate.p50", "gate.errors", "gate.up", "gate.loss", "ab.error_rate")} == {"passed"}
    assert watch.reading().baked_seconds == 600


def test_mixed_conversations_are_nobody_s_evidence_and_have_a_guardrail_of_their_own() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number, bad={MIXED: 1.0}))
    told = verdicts(watch, KEPT)
    assert told["gate.errors"] == "passed"
    assert told["trigger.errors"] == "passed"
    fired = watch.reading((KEPT,)).fired
    assert fired is not None
    assert (fired.name, fired.clusters) == ("trigger.mixed_errors", 8)
    assert fired.explanation.startswith("mixed conversations (one end on each lane): requests that the server failed")


def test_mixed_conversations_beyond_what_somebody_looks_at_are_a_worry_that_names_them() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number, bad={MIXED: 0.4}))
    reading = watch.reading((KEPT,))
    assert reading.fired is None
    [worry] = reading.worries
    assert (worry.cause, worry.said.name) == (Cause.INVESTIGATE, "trigger.mixed_errors.investigate")
    assert "mixed conversations" in worry.said.explanation


def test_without_mixed_conversations_their_guardrail_has_looked_and_seen_nothing() -> None:
    watch = begun()
    for number in range(6):
        whole = block(number)
        apart = tuple(one for one in whole.slices if one.exposure is not MIXED)
        watch.take(msgspec.structs.replace(whole, slices=apart))
    reading = watch.reading((KEPT,))
    [said] = [one for one in reading.others if one.name == "trigger.mixed_errors"]
    assert (said.verdict, said.reason, said.n) == ("inconclusive", "no_traffic", 0)
    assert not reading.worries


def test_one_cluster_of_mixed_conversations_takes_nobody_back() -> None:
    watch = begun()
    for number in range(60):
        whole = block(number, bad={MIXED: 1.0})
        few = tuple(one for one in whole.slices if one.exposure is not MIXED or one.cluster == "mixed-0")
        watch.take(msgspec.structs.replace(whole, slices=few))
    reading = watch.reading((KEPT,))
    assert reading.fired is None
    assert {worry.cause for worry in reading.worries} == {Cause.NARROW}


def test_what_nobody_measures_never_passes() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number))
    assert verdicts(watch)["gate.loss"] == "errored"


def test_one_loss_rolls_back_however_few_clusters_there_are() -> None:
    watch = begun()
    watch.take(block(0, clusters=1))
    fired = watch.reading((LOST,)).fired
    assert fired is not None
    assert fired.name == "trigger.loss"


def test_a_trigger_of_a_broken_lane_fires_and_one_that_asks_for_a_look_does_not() -> None:
    watch = begun()
    for number in range(3):
        watch.take(block(number, bad={NEW: 1.0}))
    reading = watch.reading((KEPT,))
    assert reading.fired is not None
    assert reading.fired.name == "trigger.errors"
    looked = begun()
    for number in range(60):
        looked.take(block(number, bad={NEW: 0.4}))
    reading = looked.reading((KEPT,))
    assert reading.fired is None
    assert {worry.cause for worry in reading.worries} == {Cause.INVESTIGATE}


def test_both_lanes_hurt_alike_are_a_worry_and_no_rollback() -> None:
    watch = begun()
    for number in range(10):
        watch.take(block(number, bad={NEW: 1.0, OLD: 1.0}))
    reading = watch.reading((KEPT,))
    assert reading.fired is None
    assert Cause.SHARED in {worry.cause for worry in reading.worries}


def test_a_stage_begins_with_no_evidence_and_triggers_go_on() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number))
    watch.begin_bake(Instant(START + 600 * SECOND), 1.0, 16)
    told = verdicts(watch, KEPT)
    assert told["gate.errors"] == "errored", "nothing was counted of this stage"
    assert "ab.error_rate" not in told, "there is no polling lane to compare with"
    assert watch.triggers[0].said().n > 0
    watch.take(block(59))
    assert watch.reading().baked_seconds == 0, "a block that began before the stage is not its own"


def test_time_without_measurements_is_down_and_does_not_bake() -> None:
    watch = begun()
    watch.take(block(0))
    watch.take(block(30, down=4.0))
    assert watch.baked_seconds == 16
    assert watch.down_seconds == 294
    told = {said.name: said for said in watch.reading((KEPT,)).proofs}
    assert told["gate.up"].verdict == "failed"
    assert (told["gate.up"].eta_seconds or 0) > 10_000, "time heals it"


def test_idle_blocks_bake_and_prove_nothing() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number, idle=True))
    told = verdicts(watch, KEPT)
    assert watch.baked_seconds == 600
    assert {told[name] for name in ("gate.p50", "gate.errors", "ab.error_rate", "trigger.errors")} == {"inconclusive"}


def test_whoever_has_looked_begins_anew_what_they_looked_at_and_nothing_else() -> None:
    watch = begun()
    for number in range(60):
        watch.take(block(number, bad={NEW: 0.4}))
    n = watch.triggers[0].said().n
    watch.relieve(Cause.INVESTIGATE, Instant(START + 600 * SECOND))
    assert {fold_of_trigger(one).exposed for one in watch.triggers} == {8}, "as many are exposed as before"
    assert not [worry for worry in watch.reading((KEPT,)).worries if worry.cause is Cause.INVESTIGATE]
    assert watch.triggers[0].said().n == n, "the trigger that goes back remembers"
    assert watch.reading((KEPT,), fresh=True).proofs[1].verdict == "failed", "so does the gate"
    watch.relieve(Cause.GATES, Instant(START + 600 * SECOND))
    assert watch.baked_seconds == 0
    assert verdicts(watch, KEPT)["gate.errors"] == "errored"


def test_a_fault_of_a_fold_is_kept_as_a_word_and_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = begun()
    monkeypatch.setattr(watch.gates[0], "read", lambda _: 1 / 0)
    watch.take(block(0))
    watch.take(block(1))
    assert watch.reading().fault == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("seed", range(5))
def test_a_watch_put_away_anywhere_says_the_same_as_one_that_was_not(seed: int) -> None:
    dice = random.Random(seed)
    blocks = [block(number, bad={NEW: dice.random() / 3, OLD: dice.random() / 3}) for number in range(40)]
    whole, cut = begun(), begun()
    place = dice.randrange(1, 39)
    for one in blocks[:place]:
        whole.take(one)
        cut.take(one)
    again = Watch(1, PLAN)
    again.fill(msgspec.msgpack.decode(msgspec.msgpack.encode(cut.dump()), type=watching.Saved))
    for one in blocks[place:]:
        whole.take(one)
        again.take(one)
        assert again.reading((KEPT,)).fired == whole.reading((KEPT,)).fired
    assert again.reading((KEPT,), fresh=True) == whole.reading((KEPT,), fresh=True)


def test_asking_in_between_changes_nothing() -> None:
    asked, silent = begun(), begun()
    for number in range(40):
        one = block(number, bad={NEW: 0.1})
        asked.take(one)
        silent.take(one)
        asked.reading((KEPT,), fresh=True)
    assert asked.reading((KEPT,), fresh=True) == silent.reading((KEPT,), fresh=True)


def test_a_plan_of_exact_gates_alone_can_be_proven() -> None:
    gates = {"up": Gate(metric="availability", min=0.99), "loss": Gate(metric="data_loss", max=0)}
    watch = Watch(1, resolved(msgspec.structs.replace(PLAN, gates=gates, ab=Comparison())))
    watch.begin_bake(START, 1.0, 8)
    watch.take(block(0))
    reading = watch.reading((KEPT,))
    assert [said.verdict for said in reading.proofs] == ["passed", "passed"]


def test_a_release_that_cannot_judge_a_pinned_plan_says_so_and_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(_: Plan) -> None:
        raise ValueError("a later release knows better")

    monkeypatch.setattr(watching, "gates_of", strict)
    watch = begun()
    watch.take(block(0))
    watch.relieve(Cause.GATES, START)
    reading = watch.reading((KEPT,))
    assert reading.fault == "ValueError: a later release knows better"
    assert reading.proofs == ()
    again = Watch(1, PLAN)
    again.fill(watch.dump())
    assert again.reading((KEPT,)).fault == reading.fault


def test_a_plan_that_begins_with_everybody_can_be_judged() -> None:
    assert Watch(1, msgspec.structs.replace(PLAN, stages=(Stage(share=1.0),))).sound


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_plan_that_makes_sense_can_be_judged(data: st.DataObject) -> None:
    shares = data.draw(st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True).map(sorted))
    stages = ", ".join(f"{{share: {share}%, bake_seconds: {data.draw(st.integers(0, 9))}}}" for share in shares)
    numbers = {
        "check_seconds": st.integers(1, 60), "block_seconds": st.integers(60, 86_400), "breadth": st.integers(1, 100),
        "alpha": st.sampled_from(["1%", "20%", "0.000001%"]), "programme_seconds": st.integers(100, 10**7),
    }  # fmt: skip
    lines = [f"{name}: {data.draw(kind)}" for name, kind in numbers.items()]
    ab = data.draw(st.sampled_from(["{required: no}", "{margin: 0}", "{margin: 10, metrics: [delivery_rate]}"]))
    ratio = data.draw(st.sampled_from(["{required: no}", "{alpha: 20%}"]))
    text = "\n".join(["plan: 1", "name: x", f"stages: [{stages}]", f"ab: {ab}", f"sample_ratio: {ratio}", *lines])
    found = parse_plan(text.encode())
    assert isinstance(found, PlanFile), found
    watch = Watch(1, found.plan)
    watch.begin_bake(START, shares[0] / 100, 8)
    watch.take(block(0))
    assert watch.reading((KEPT,), fresh=True).fault == ""
