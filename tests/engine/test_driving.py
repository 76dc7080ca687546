"""A plan drives a rollout on a simulated clock: forward on proof, held on doubt, back on a trigger."""

from collections.abc import Callable

import pytest

from crossfade.core import cohorts
from crossfade.core.stage_events import Status
from crossfade.core.stages import State
from crossfade.core.values import SECOND
from tests.kit.hub import ROOT, ok, refused, run
from tests.kit.plans import PLAN, QUICK, Driven, Fleet, Rates, baking

ENDED = frozenset({Status.FINISHED, Status.ROLLED_BACK, Status.ABORTED})
SLOW = (0.4, 0.2, 0.2, 0.2, 0.2, 0.2)


def ended(state: State) -> bool:
    return state.status in ENDED


def held(cause: str) -> Callable[[State], bool]:
    return lambda state: state.hold is not None and state.hold.cause == cause


def lane(it: Driven, *, new: bool) -> list[str]:
    """The clusters of a lane."""
    rollout = it.hub._c.views.programme.rollout
    return [name for name in it.fleet.names if (cohorts.point(rollout.salt, name) < rollout.threshold) is new]


@pytest.mark.requirement("P8", "P9")
@run
async def test_a_healthy_fleet_goes_from_nobody_to_everybody_by_itself() -> None:
    it = await Driven().begin()
    await it.staff()
    ok(await it.accept())
    shares: list[float] = []

    def done(state: State) -> bool:
        if it.share not in shares:
            shares.append(it.share)
        return ended(state)

    view = await it.until(done)
    assert (view.status, shares) == ("finished", [0.25, 0.5, 1.0]), view
    assert it.hub.rollout().status == "elicitation"
    assert [stage.status for stage in view.stages] == ["done", "done", "done"]
    assert not it.hub.rollout().held
    await it.die()


HURT = {
    "errors": Rates(faults=0.4),
    "p99": Rates(over=SLOW),
    "delivery": Rates(undelivered=0.4),
}


@pytest.mark.requirement("P8", "P14")
@pytest.mark.parametrize("name", HURT)
def test_each_trigger_takes_everybody_back_in_the_turn_that_measured_it(name: str) -> None:
    @run
    async def check() -> None:
        it = await baking(stage=2)
        await it.clock.advance(30)
        assert (it.share, it.state.hold) == (0.5, None)
        it.fleet.new = HURT[name]
        began = it.clock.now()
        view = await it.until(ended, seconds=200, step=0.5)
        assert view.status == "rolled_back"
        assert (it.clock.now() - began) / SECOND <= 60, "a tenth of the fleet is hurt in every block"
        assert (it.share, it.hub.rollout().agents_on_elicitation) == (0.0, 0)
        assert it.hub.rollout().held, "nobody goes forward by habit"
        back = it.state.back
        assert back is not None
        assert back.said.name == f"trigger.{name}"
        assert (it.state.ended_at - back.until_at) / SECOND <= 1.0
        assert len(back.said.named) >= 3
        assert back.said.log_evidence is not None
        assert back.said.log_evidence >= (back.said.log_threshold or 0) > 10
        await it.die()

    check()


@run
async def test_the_story_of_a_rollback_can_be_read_by_somebody_who_was_asleep() -> None:
    it = await baking(stage=2)
    it.fleet.new = HURT["p99"]
    await it.until(ended)
    told = ok(await it.hub.plans.gate("trigger.p99"))
    story = "\n".join(told.story)
    for part in (
        "Rolled back at 2027-01-15T", "from 0.5 of the fleet (stage 2 of 3) to 0, because trigger.p99 fired.",
        "deliveries slower than 1000 ms, of which 1 % may be", "Clusters that showed it most: team-",
        "Everybody was on the polling lane again at", "the probability that any of 10 triggers fires", "E = ",
        "stage 1 of 3: share 0.25", "stage 2 of 3: share 0.5", "ROLLED BACK from 0.5: trigger.p99",
    ):  # fmt: skip
        assert part in story, story
    assert told.gate.verdict == "failed"
    assert len(told.history) >= 2, "the records it rests on"
    assert refused(await it.hub.plans.gate("nothing")) == "gate.unknown"
    await it.die()


@pytest.mark.parametrize("name", ["errors", "gate.errors"])
def test_a_gate_that_is_not_judged_yet_is_told_from_one_that_is_not_there(name: str) -> None:
    @run
    async def check() -> None:
        it = await Driven().begin()
        assert "There is no gate" in str(await it.hub.plans.gate(name))
        ok(await it.accept(PLAN + "baseline: {seconds: 600, samples_min: 100}\n"))
        assert it.state.stage < 0
        said = await it.hub.plans.gate(name)
        assert refused(said) == "gate.unknown"
        assert "is not judged now: it is from the plan's first stage" in str(said)
        assert "There is no gate" in str(await it.hub.plans.gate("nothing"))
        await it.die()

    check()


@run
async def test_between_gate_and_trigger_it_holds_until_somebody_has_looked_and_then_goes_on() -> None:
    it = await baking(stage=1)
    it.fleet.new = Rates(faults=0.11)
    view = await it.until(held("investigate"))
    assert (view.status, view.held, view.owner, it.share) == ("baking", True, "ops", 0.25)
    it.fleet.new = Rates()
    await it.clock.advance(600)
    assert held("investigate")(it.state), "it does not settle by itself"
    ok(await it.hub.rollout_resume(ROOT, "the proxy was restarted"))
    await it.clock.advance(10)
    assert not held("investigate")(it.state)
    ok(await it.hub.rollout_resume(ROOT, "begin the evidence anew"))
    view = await it.until(ended)
    assert view.status == "finished"
    await it.die()


@pytest.mark.requirement("P8", "P9")
@run
async def test_a_broken_bridge_between_healthy_lanes_is_held_by_its_name_and_then_takes_everybody_back() -> None:
    it = await baking(stage=2)
    it.fleet.mixed = Rates()
    await it.clock.advance(30)
    assert it.state.hold is None
    it.fleet.mixed = Rates(faults=0.11)
    view = await it.until(held("investigate"))
    assert (view.share, "mixed conversations" in view.reason) == (0.5, True), view.reason
    it.fleet.mixed = Rates(faults=0.5)
    view = await it.until(ended, seconds=200)
    assert (view.status, it.share) == ("rolled_back", 0.0)
    back = it.state.back
    assert back is not None
    assert back.said.name == "trigger.mixed_errors"
    told = ok(await it.hub.plans.gate("trigger.mixed_errors"))
    assert any("mixed conversations" in line for line in told.story), told.story
    await it.die()


@pytest.mark.requirement("P9")
@run
async def test_what_hurts_both_lanes_alike_holds_and_does_not_blame_the_canary() -> None:
    it = await baking(stage=2)
    it.fleet.new = it.fleet.old = Rates(over=SLOW)
    await it.until(held("shared"))
    await it.clock.advance(300)
    assert (it.share, it.state.status) == (0.5, "baking")
    it.fleet.new = it.fleet.old = Rates()
    assert (await it.until(ended, seconds=20_000)).status == "finished", "it settles by itself, if slowly"
    await it.die()


@run
async def test_somebody_who_has_looked_at_what_hurt_both_lanes_need_not_wait_until_it_is_forgotten() -> None:
    it = await baking(stage=2)
    it.fleet.new = it.fleet.old = Rates(over=SLOW)
    await it.until(held("shared"))
    it.fleet.new = it.fleet.old = Rates()
    await it.clock.advance(30)
    ok(await it.hub.rollout_resume(ROOT, "the disk was replaced"))
    await it.clock.advance(20)
    assert not held("shared")(it.state)
    assert it.state.status == "baking"
    await it.die()


@run
async def test_one_noisy_cluster_can_force_neither_a_rollback_nor_a_promotion() -> None:
    it = await baking(stage=2)
    noisy = lane(it, new=True)[0]
    it.fleet.special[noisy] = Rates(over=(1.0,) * 6, faults=1.0, undelivered=1.0, requests=400, asked=200)
    await it.clock.advance(1_800)
    assert (it.share, it.state.status, it.state.stage) == (0.5, "baking", 1)
    hold = it.state.hold
    assert hold is not None
    assert hold.cause in ("narrow", "gates")
    assert noisy in it.view().reason
    await it.die()


@run
async def test_a_noisy_cluster_of_the_polling_lane_lets_nobody_pass_who_is_not_healthy() -> None:
    it = await baking(stage=1)
    noisy = lane(it, new=False)[0]
    it.fleet.special[noisy] = Rates(over=(1.0,) * 6, faults=1.0, undelivered=1.0, requests=400, asked=200)
    it.fleet.new = Rates(over=SLOW)
    view = await it.until(ended)
    assert view.status == "rolled_back", "one loud cluster of the control does not make it everybody's fault"
    await it.die()


@pytest.mark.parametrize("how", ["operator", "gates", "investigate"])
def test_triggers_watch_while_the_plan_holds(how: str) -> None:
    @run
    async def check() -> None:
        it = await baking(stage=1)
        if how == "operator":
            ok(await it.hub.rollout_hold(ROOT, "shift change"))
        elif how == "gates":
            it.fleet.new = Rates(over=(0.6, 0.01, 0.0, 0.0, 0.0, 0.0))
        else:
            it.fleet.new = Rates(faults=0.11)
        await it.until(held(how))
        it.fleet.new = Rates(faults=0.5)
        view = await it.until(ended, seconds=120)
        assert (view.status, it.share) == ("rolled_back", 0.0)
        await it.die()

    check()


@run
async def test_without_traffic_on_the_new_lane_nothing_is_promoted() -> None:
    it = await baking(stage=1)
    it.fleet.silent = True
    await it.clock.advance(1_200)
    assert (it.state.stage, it.share) == (0, 0.25)
    assert held("gates")(it.state), it.view()
    it.fleet.silent = False
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_a_hold_that_lasts_too_long_is_overdue_and_says_so_once() -> None:
    it = await baking(stage=1)
    ok(await it.hub.rollout_hold(ROOT, "shift change"))
    await it.clock.advance(890)
    assert not it.view().overdue
    await it.clock.advance(60)
    assert it.view().overdue
    ok(await it.hub.rollout_resume(ROOT, "handed over"))
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_the_hold_of_a_gate_says_what_it_needs() -> None:
    it = await baking(PLAN.replace("max: 5%", "max: 3%"), stage=1)
    await it.until(held("gates"))
    await it.clock.advance(180)
    view = it.view()
    assert view.held
    assert "gate.errors inconclusive" in view.reason
    gate = next(one for one in view.gates if one.name == "gate.errors")
    assert (gate.needed or 0) > 0
    assert gate.eta_seconds is not None
    assert "at this rate" in view.reason
    assert (view.eta_seconds or 0) > 0
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_a_lane_that_is_proven_worse_than_its_gate_is_not_promoted_and_not_rolled_back() -> None:
    it = await baking(stage=1)
    it.fleet.new = Rates(over=(0.7, 0.12, 0.1, 0.0, 0.0, 0.0))
    await it.until(held("gates"))
    await it.clock.advance(1_200)
    assert (it.share, it.state.stage) == (0.25, 0)
    assert "gate.p50 failed" in it.view().reason or "gate.p95 failed" in it.view().reason
    await it.die()


@run
async def test_new_that_is_worse_than_old_is_not_promoted_though_both_are_below_the_gate() -> None:
    it = await baking(stage=2)
    it.fleet.old = Rates(over=(0.1, 0.003, 0.001, 0.0, 0.0, 0.0))
    it.fleet.new = Rates(over=(0.1, 0.02, 0.015, 0.0, 0.0, 0.0))
    await it.clock.advance(1_800)
    gates = {gate.name: gate.verdict for gate in it.view().gates}
    assert gates["gate.p95"] == "passed", "below 5 % by itself"
    assert gates["ab.latency_p95_ms"] == "failed"
    assert (it.share, it.state.stage) == (0.5, 1)
    await it.die()


@run
async def test_clusters_that_are_not_where_the_threshold_says_stop_everything_until_somebody_looks() -> None:
    it = await baking(fleet=Fleet(80), stage=1)
    it.fleet.special = {name: Rates(requests=0, asked=0) for name in lane(it, new=True)[2:]}
    view = await it.until(held("sample_ratio"))
    assert (it.share, view.stage) == (0.25, 1)
    it.fleet.special = {}
    await it.clock.advance(300)
    assert held("sample_ratio")(it.state), "somebody has to look"
    ok(await it.hub.rollout_resume(ROOT, "the label was wrong, it is right now"))
    assert (await it.until(ended)).status == "finished"
    await it.die()


def test_quick_rates_are_those_of_a_healthy_fleet() -> None:
    assert Rates().over == QUICK
