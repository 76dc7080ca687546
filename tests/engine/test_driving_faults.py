"""What goes wrong around a plan: a dead process, a dead log, dead measurements, other hands, other releases."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest

from crossfade.core import plans, stages, watching
from crossfade.core.decider import Refusal
from crossfade.core.signoff_events import Stopped
from crossfade.core.signoffs import State as Signoff
from crossfade.core.stage_events import Status
from crossfade.core.values import SECOND
from crossfade.engine import saving
from crossfade.engine.driving import Driving
from crossfade.engine.facts import Facts
from crossfade.engine.ports import UnavailableError
from crossfade.engine.projector import Views
from crossfade.engine.requests import AnswerRequest
from crossfade.engine.streams import Streams
from crossfade.engine.views.signoffs import Entry
from tests.engine.test_driving import HURT, ended, held, lane
from tests.kit.faulty import CutLog
from tests.kit.hub import ROOT, World, ok, refused, run
from tests.kit.plans import PLAN, Driven, Rates, baking, read_plan

STORED = (True, False)
"""Whether what was being appended at the death is in the log."""
SMALL = PLAN.replace("  - {share: 50%}\n", "").replace("bake_seconds: 120", "bake_seconds: 60")


def outcome(it: Driven) -> object:
    """What a plan came to: everything but when."""
    rollout = it.hub._c.views.programme.rollout
    back = it.state.back
    fired = None if back is None else (back.said.name, back.stage, back.share)
    return it.state.status, it.state.stage, it.state.number, fired, rollout.share, rollout.held, rollout.epoch


async def killed_at(append: int, *, stored: bool, hurt: str) -> tuple[object, bool, list[str]]:
    """A whole plan, its process dead at an append, and another that goes on; and whether it came to that."""
    it = await Driven().begin()
    await it.staff()
    await it.die()
    log = CutLog(it.log, append, "plan", "rollout", stored=stored)
    await it.begin(log)  # type: ignore[arg-type]
    try:
        await it.accept(SMALL)
        while not log.cut and not ended(it.state):
            await step(it, hurt)
    except UnavailableError:
        assert log.cut
    await it.die()
    await it.begin()
    if not it.state.number:
        ok(await it.accept(SMALL))
    for _ in range(400):
        if ended(it.state):
            break
        await step(it, hurt)
    found = outcome(it), log.cut, [row.type for row in await it.log.read_stream(0, stages.STREAM)]  # type: ignore[arg-type]
    await it.die()
    return found


async def step(it: Driven, hurt: str) -> None:
    """Ten seconds; at the second stage the lane is hurt, if it is to be."""
    if hurt and it.state.stage == 1 and it.state.status is Status.BAKING:
        it.fleet.new = HURT[hurt]
    await it.clock.advance(10)


def killed(append: int, hurt: str, stored: bool) -> tuple[object, bool, list[str]]:
    """The same, for a process of its own."""
    return asyncio.run(killed_at(append, stored=stored, hurt=hurt))


@pytest.mark.slow
@pytest.mark.requirement("P9", "P14")
@pytest.mark.parametrize("hurt", ["", "p99"])
def test_a_plan_killed_at_any_event_comes_to_the_same_end_and_does_each_thing_once(hurt: str) -> None:
    whole, _, types = killed(10_000, hurt, stored=True)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as both:
        for append in range(1, 100):
            cuts = []
            for stored, said in zip(STORED, both.map(partial(killed, append, hurt), STORED), strict=True):
                found, cut, again = said
                assert found == whole, (append, stored, again)
                assert moves(again) == moves(types), (append, stored)
                cuts.append(cut)
            if not any(cuts):
                assert append > 10, "there are more events than that"
                return
    raise AssertionError("it never ended")


def moves(types: list[str]) -> list[str]:
    """What moved the plan; verdicts and holds come and go with the time a restart takes."""
    return [name for name in types if name not in ("plan.judged/1", "plan.held/1", "plan.resumed/1")]


# --- the kill switch and share 0 --------------------------------------------------------------------------


class Failing:
    """A log that takes nothing while it is told so."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.down = False

    async def append(self, shard: Any, txs: Any) -> Any:
        if self.down:
            raise UnavailableError("the disk is full")
        return await self._log.append(shard, txs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@pytest.mark.requirement("P14")
@pytest.mark.parametrize("how", ["kill", "set", "trigger"])
def test_share_0_is_in_force_at_once_with_measurements_and_log_dead_and_is_recorded_later(how: str) -> None:
    @run
    async def check() -> None:
        it = Driven()
        log = Failing(it.log)
        it.log = log  # type: ignore[assignment]
        await it.begin()
        await it.staff()
        ok(await it.accept())
        await it.until(lambda state: state.status is Status.BAKING)
        assert it.hub.rollout().agents_on_elicitation > 0
        if how == "trigger":
            it.fleet.new = HURT["errors"]
            await it.clock.advance(9.5)
            original = it.hub._projector.listeners[0]

            def dying(record: Any) -> None:
                original(record)
                log.down = it.hub._c.views.programme.killed

            it.hub._projector.listeners[0] = dying
            await it.until(lambda _: log.down, seconds=120, step=0.5)
            it.hub._projector.listeners[0] = original
            assert it.state.status is Status.BAKING, "the log does not have it"
        else:
            it.fleet.broken, log.down = True, True
            call = it.hub.rollout_kill(ROOT, "now") if how == "kill" else it.hub.rollout_set(ROOT, 0.0, "now")
            ok(await call)
        assert it.hub.rollout().share == 0.0, "no time has passed"
        assert it.hub.rollout().agents_on_elicitation == 0
        await it.clock.advance(30)
        assert it.hub.rollout().agents_on_elicitation == 0
        log.down = it.fleet.broken = False
        await it.clock.advance(5)
        assert it.hub._c.views.programme.rollout.share == 0.0, "and then the log says so"
        await it.clock.advance(10)
        assert it.state.status == ("rolled_back" if how == "trigger" else "aborted")
        await it.die()

    check()


@pytest.mark.requirement("P14")
@run
async def test_measurements_that_stop_hold_the_plan_and_going_back_still_works() -> None:
    it = await baking(stage=1)
    it.fleet.broken = True
    await it.clock.advance(100)
    assert held("stale")(it.state), it.state
    assert "nothing was measured for" in it.view().reason
    began = it.clock.now()
    ok(await it.hub.rollout_set(ROOT, 0.0, "it is dark"))
    assert (it.clock.now() - began) / SECOND < 1.0
    assert it.hub.rollout().agents_on_elicitation == 0
    await it.clock.advance(1)
    assert (it.state.status, it.share) == ("aborted", 0.0)
    await it.die()


@run
async def test_measurements_that_cannot_be_judged_hold_and_the_hub_goes_on() -> None:
    it = await baking(stage=1)
    watch = it.hub._c.views.plan.watch
    assert watch is not None

    def broken(*_: object) -> None:
        raise ValueError("a fault in a fold")

    watch.gates[0].read = broken  # type: ignore[assignment]
    await it.until(held("errored"))
    assert "a fault in a fold" in it.view().reason
    assert it.share == 0.25
    ok(await it.hub.rollout_resume(ROOT, "begin anew"))
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_a_clock_that_jumps_bakes_nothing() -> None:
    it = await baking(PLAN.replace("bake_seconds: 120", "bake_seconds: 1800"), stage=1)
    left = it.view().bake_left_seconds
    it.clock._now = it.clock._now + 3_000 * SECOND  # type: ignore[assignment, operator]
    await it.clock.advance(60)
    assert it.state.stage == 0
    assert it.view().bake_left_seconds > left - 120
    view = it.view()
    assert next(gate for gate in view.gates if gate.name == "gate.availability").verdict == "failed", "it was not there"
    await it.die()


# --- one driver ---------------------------------------------------------------------------------------------


@run
async def test_while_a_plan_drives_nobody_else_raises_the_share_and_everybody_may_lower_it() -> None:
    it = await baking(stage=2)
    assert refused(await it.hub.rollout_set(ROOT, 0.75, "hurry")) == "rollout.driven"
    assert refused(await it.accept()) == "plan.live"
    ok(await it.hub.rollout_set(ROOT, 0.05, "slower"))
    await it.clock.advance(0)
    assert (it.state.status, it.share) == ("aborted", 0.05)
    assert "root: slower" in it.view().reason
    ok(await it.hub.rollout_set(ROOT, 0.25, "by hand"))
    await it.die()


@run
async def test_a_kill_ends_the_plan_and_another_goes_on_when_it_is_resumed() -> None:
    it = await baking(stage=2)
    ok(await it.hub.rollout_kill(ROOT, "a bad feeling"))
    await it.clock.advance(0)
    assert (it.state.status, it.share) == ("aborted", 0.0)
    assert refused(await it.accept()) == "rollout.held"
    ok(await it.hub.rollout_resume(ROOT, "it was nothing"))
    ok(await it.accept())
    assert (await it.until(ended)).status == "finished"
    assert it.state.number == 2
    await it.die()


@run
async def test_a_plan_that_is_stopped_leaves_the_share_where_it_is() -> None:
    it = await baking(stage=2)
    ok(await it.hub.plans.stop(ROOT, "by hand from here"))
    await it.clock.advance(600)
    assert (it.state.status, it.share) == ("aborted", 0.5)
    assert refused(await it.hub.plans.stop(ROOT, "again")) == "plan.none"
    await it.die()


@run
async def test_of_plans_that_are_accepted_at_once_one_drives() -> None:
    it = await Driven().begin()
    await it.staff()
    texts = [PLAN.replace("name: quick", f"name: quick-{number}") for number in range(8)]
    made = await asyncio.gather(*(it.hub.plans.accept(ROOT, text) for text in texts))
    assert sorted(getattr(one, "code", "") for one in made) == ["", *["plan.live"] * 7]
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_two_drivers_do_each_thing_once() -> None:
    it = await baking(stage=1)
    first = it.hub.plans.driving
    second = Driving(it.hub._c, it.hub._migration, it.hub.measuring, first._facts)
    it.hub._projector.listeners.append(second.react)
    second.start()
    assert (await it.until(ended)).status == "finished"
    types = [row.type for row in await it.log.read_stream(0, stages.STREAM)]  # type: ignore[arg-type]
    assert types.count("plan.promoted/1") == 3
    assert types.count("plan.stage_entered/1") == 3
    assert types.count("plan.finished/1") == 1
    await it.die()


@run
async def test_a_run_that_moves_the_rollout_keeps_plans_away_and_the_other_way_round() -> None:
    it = await baking(stage=1)
    calls = it.hub.runs.runner.acts.calls  # type: ignore[union-attr]
    outcome = await calls.call("rollout.set", {"share": "75%"})  # type: ignore[union-attr]
    assert (outcome.ok, outcome.reason) == (False, "rollout.driven")
    await it.die()


# --- what a plan may not begin with -------------------------------------------------------------------------


@run
async def test_what_stands_in_the_way_of_a_plan_is_said_at_once() -> None:
    it = await Driven().begin()
    await it.staff()
    bad = await it.accept(PLAN.replace("max: 50}", "max: 60}"))
    assert refused(bad) == "plan.bad_plan"
    assert "plan.yaml:14:" in bad.message  # type: ignore[union-attr]
    assert refused(await it.hub.plans.accept(it.world.callers["team-0-agent"], PLAN)) == "auth.scope"  # type: ignore[union-attr]
    ok(await it.hub.rollout_start(ROOT, "by hand", salt="other"))
    assert refused(await it.accept()) == "plan.salt_differs"
    unsalted = PLAN.replace("salt: salt\n", "")
    late = unsalted.replace("  - {share: 25%}\n", "")
    ok(await it.hub.rollout_set(ROOT, 0.5, "by hand"))
    assert refused(await it.accept(unsalted)) == "plan.share_ahead"
    other = late.replace("bake_seconds: 120", "bake_seconds: 120\ncheck_seconds: 20")
    assert refused(await it.accept(other)) == "plan.check_differs"
    ok(await it.accept(late))
    await it.clock.advance(0)
    await it.die()


@pytest.mark.requirement("P4")
@run
async def test_a_plan_waits_for_its_baseline_and_goes_on_when_it_is_complete() -> None:
    it = await Driven().begin()
    await it.staff()
    ok(await it.accept(PLAN + "baseline: {seconds: 600, samples_min: 100}\n"))
    await it.clock.advance(30)
    assert held("baseline")(it.state), it.state
    assert "crossfade baseline start" in it.view().reason
    ok(await it.hub.baselines.start(ROOT, 600))
    await it.clock.advance(300)
    assert (it.state.status, it.share) == ("waiting", 0.0)
    view = await it.until(ended)
    assert view.status == "finished"
    await it.die()


# --- later releases ------------------------------------------------------------------------------------------


@run
async def test_a_parked_plan_goes_on_under_an_edited_engine_by_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    it = await baking(stage=1)
    ok(await it.hub.rollout_hold(ROOT, "over the weekend"))
    await it.clock.advance(20)
    before = it.view()
    await it.die()
    monkeypatch.setattr(plans, "GATES", {"p50": plans.Gate(metric="latency_p50_ms", max=1000)})
    monkeypatch.setattr(plans, "TRIGGERS", {})
    monkeypatch.setattr(stages, "REASON_LENGTH_MAX", 10)
    await it.begin()
    after = it.view()
    assert [gate.name for gate in after.gates] == [gate.name for gate in before.gates]
    assert (after.digest, after.stage, after.held) == (before.digest, before.stage, True)
    ok(await it.hub.rollout_resume(ROOT, "monday"))
    it.fleet.new = HURT["errors"]
    assert (await it.until(ended)).status == "rolled_back", "the trigger of the plan, not of the release"
    await it.die()


@run
async def test_the_same_log_gives_the_same_verdicts_whenever_it_is_folded() -> None:
    it = await baking(stage=2)
    it.fleet.new = Rates(over=(0.3, 0.04, 0.02, 0.0, 0.0, 0.0))
    await it.clock.advance(130)
    before = it.hub.plans.driving.reading(fresh=True)
    watch = it.hub._c.views.plan.watch
    assert watch is not None
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(watch.dump()), type=type(watch.dump()))
    again = type(watch)(watch.number, watch.plan)
    again.fill(saved)
    facts = it.hub.plans.driving._facts.of(watch.plan, it.state.accepted_at)
    assert again.reading(facts, fresh=True) == before
    await it.die()
    await it.begin()
    after = it.hub.plans.driving.reading(fresh=True)
    assert after.proofs == before.proofs
    assert [one for one in after.others if one.kind != "exact"] == [one for one in before.others if one.kind != "exact"]
    await it.die()


@run
async def test_an_emergency_stop_by_security_takes_everybody_back_however_few_are_exposed() -> None:
    it = await baking(stage=1)
    stop = Stopped(by="sec", role="security", given_at=it.clock.now(), comment="a key leaked")  # type: ignore[arg-type]
    entry = Entry("s_1", Signoff(stop=stop), it.clock.now())
    it.hub._c.views.signoffs.entries["s_1"] = entry
    view = await it.until(ended, seconds=60)
    assert (view.status, it.share) == ("rolled_back", 0.0)
    assert "a key leaked" in view.reason
    await it.die()


def test_the_lanes_of_a_test_fleet_are_both_there() -> None:
    @run
    async def check() -> None:
        it = await baking(stage=1)
        assert len(lane(it, new=True)) >= 3
        assert len(lane(it, new=False)) >= 3
        await it.die()

    check()


# --- with what the hub itself counts ------------------------------------------------------------------------


@run
async def test_a_snapshot_in_the_middle_of_a_stage_gives_the_same_plan_and_the_same_evidence() -> None:
    it = await baking(stage=2)
    await it.clock.advance(130)
    hub = it.hub
    content = saving.dump(hub._streams, hub._views, {}, it.clock.now())
    views = Views()
    saving.fill(msgspec.msgpack.decode(content, type=saving.Saved), Streams(hub._log, 10), views)
    assert views.plan.state == it.state
    facts = hub.plans.facts.of(it.state.plan, it.state.accepted_at)
    assert views.plan.watch is not None
    assert views.plan.watch.reading(facts, fresh=True) == hub.plans.driving.reading(fresh=True)
    await it.die()


@pytest.mark.requirement("P9")
@run
async def test_a_plan_is_judged_on_the_questions_that_agents_really_ask() -> None:
    async with World() as world:
        world.hub.plans.read = read_plan
        agents = [await world.join(f"a{number}", label=f"team-{number // 2}") for number in range(12)]
        plan = PLAN.replace("  - {share: 50%}\n  - {share: 100%}\n", "").replace("share: 25%", "share: 50%")
        ok(await world.hub.plans.accept(ROOT, plan))
        await world.clock.advance(1)
        assert world.hub.rollout().share == 0.5
        for _ in range(12):
            for asker, addressee in zip(agents[::2], agents[1::2], strict=True):
                asked = await world.ask(asker, addressee.name)
                await world.poll(addressee)
                ok(await world.answer(addressee, asked.question_id))
                await world.hub.measuring.request(asker.name, world.hub.question(asker, asked.question_id))
            await world.clock.advance(10)
        gates = {gate.name: gate for gate in ok(world.hub.plans.plan()).gates}
        assert gates["gate.errors"].n >= 12
        assert gates["gate.p50"].n >= 12
        assert (gates["gate.p50"].bad, gates["gate.errors"].bad) == (0, 0)
        assert gates["trigger.errors"].verdict == "passed"
        assert gates["gate.loss"].verdict == "passed"


@pytest.mark.requirement("P14")
@run
async def test_a_rollback_that_a_crash_cut_short_is_finished_at_the_start_with_nothing_measured() -> None:
    it = await baking(stage=1)
    it.fleet.new = HURT["errors"]
    await it.die()
    log = CutLog(it.log, 1, "plan", "rollout", stored=True)  # the decision is stored, the share 0 is not
    await it.begin(log)  # type: ignore[arg-type]
    for _ in range(40):
        await it.clock.advance(1)
        if log.cut:
            break
    await it.die()
    it.fleet.broken = True
    await it.begin()
    assert (it.state.status, it.hub._c.views.programme.rollout.share) == (Status.ROLLING_BACK, 0.25)
    await it.clock.advance(0)
    assert (it.state.status, it.share, it.hub.rollout().agents_on_elicitation) == (Status.ROLLED_BACK, 0.0, 0)
    await it.die()


@pytest.mark.requirement("P14")
@run
async def test_what_a_hostile_agent_says_and_does_is_no_evidence_against_the_lane() -> None:
    async with World() as world:
        world.hub.plans.read = read_plan
        agents = [await world.join(f"a{number}", label=f"team-{number // 2}") for number in range(12)]
        plan = PLAN.replace("  - {share: 25%}\n  - {share: 50%}\n", "")
        ok(await world.hub.plans.accept(ROOT, plan))
        await world.clock.advance(1)
        assert world.hub.rollout().share == 1.0
        for _ in range(6):
            for hostile in agents[1::2]:
                asked = await world.ask(agents[0], hostile.name)
                await world.poll(hostile)
                wrong = AnswerRequest(question_id=asked.question_id, content=msgspec.Raw(b'{"verdict":"error 500"}'))
                for _ in range(20):
                    assert refused(await world.hub.measuring.request(hostile.name, world.hub.answer(hostile, wrong)))
                decline = AnswerRequest(question_id=asked.question_id, action="decline", reason="the hub is broken")
                ok(await world.hub.measuring.request(hostile.name, world.hub.answer(hostile, decline)))
            await world.clock.advance(10)
        view = ok(world.hub.plans.plan())
        gates = {gate.name: gate for gate in view.gates}
        assert gates["trigger.errors"].n > 500
        assert {gate.bad for name, gate in gates.items() if name.startswith(("trigger.", "gate."))} == {0}
        assert (view.status, world.hub.rollout().share) == ("baking", 1.0)


@run
async def test_measurements_begin_as_often_as_the_plan_is_sized_for() -> None:
    it = await Driven().begin()
    await it.staff()
    ok(await it.accept(PLAN.replace("bake_seconds: 120", "bake_seconds: 120\ncheck_seconds: 20")))
    await it.until(lambda state: state.status is Status.BAKING)
    kept = it.hub._c.views.measurements.kept
    assert (kept.check_seconds, [str(one) for one in kept.reasons]) == (20, ["rollout"])
    assert (await it.until(ended)).status == "finished"
    await it.die()


@run
async def test_a_trigger_that_fires_before_anybody_moved_ends_the_plan_and_leaves_no_switch_thrown() -> None:
    it = await Driven().begin()
    await it.staff()
    ok(await it.hub.rollout_start(ROOT, "by hand", salt="salt"))
    ok(await it.hub.rollout_hold(ROOT, "not yet"))
    ok(await it.hub.rollout_resume(ROOT, "now"))
    entry = Entry("s_1", Signoff(), it.clock.now())
    it.hub._c.views.signoffs.entries["s_1"] = entry
    it.hub._migration.set_share = never  # type: ignore[method-assign]
    ok(await it.accept())
    await it.clock.advance(1)
    assert it.state.status is Status.ENTERING
    entry.state = Signoff(stop=Stopped(by="sec", role="security", given_at=it.clock.now(), comment="x"))  # type: ignore[arg-type]
    await it.until(ended, seconds=60)
    assert (it.state.status, it.share) == (Status.ROLLED_BACK, 0.0)
    assert not it.hub._c.views.programme.killed
    await it.die()


async def never(*_: object, **__: object) -> Any:
    return Refusal("rollout.no_clusters", "not now")


@run
async def test_a_plan_that_this_release_cannot_judge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(_: plans.Plan) -> None:
        raise ValueError("not here")

    it = await Driven().begin()
    monkeypatch.setattr(watching, "gates_of", strict)
    assert refused(await it.accept()) == "plan.bad_plan"
    assert it.state.number == 0
    await it.die()


# --- what is known exactly -----------------------------------------------------------------------------------


@run
async def test_a_question_without_an_end_is_lost_only_when_the_hub_had_its_time_to_end_it() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        facts = world.hub.plans.facts
        asked = await world.ask(ana, "bo", deadline_seconds=10.0)
        entry = world.hub._c.views.questions[asked.question_id]
        assert entry.deadline_timer is not None
        entry.deadline_timer.cancel()
        await world.clock.advance(35)
        assert facts.loss().verdict == "passed", "it is late, not lost"
        await world.clock.advance(10)
        lost = facts.loss()
        assert (lost.verdict, lost.bad) == ("failed", 1)
        assert asked.question_id in lost.explanation
        restarted = Facts(world.hub._c, lambda: "", lambda: True)
        assert restarted.loss().verdict == "passed", "a hub that has just begun may still end it"
        failing = Facts(world.hub._c, lambda: "", lambda: False)
        await world.clock.advance(60)
        assert failing.loss().verdict == "passed", "a log that takes nothing cannot end it"
        assert restarted.loss().verdict == "failed"


@run
async def test_a_damaged_log_is_a_loss() -> None:
    async with World() as world:
        found = Facts(world.hub._c, lambda: "shard 1: sequence 7 is not as it was written", lambda: False).loss()
        assert (found.verdict, found.bad) == ("failed", 1)
        assert "sequence 7" in found.explanation
