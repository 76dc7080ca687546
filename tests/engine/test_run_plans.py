"""A step of a runsheet lets a plan drive the rollout: begun once, waited for in silence, taken back with the run."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from crossfade.core.records import type_name
from crossfade.core.runsheets import Freeze, Step, Target
from crossfade.core.stage_events import Cause
from crossfade.core.stages import STREAM
from crossfade.core.values import PROGRAMME, SECOND
from crossfade.engine.plan_views import ReadPlan
from crossfade.engine.run_views import CreateRequest
from crossfade.engine.streams import recorded
from tests.kit.faulty import CutLog
from tests.kit.hub import ROOT, ok, refused, run
from tests.kit.plans import PLAN, Driven, Rates, read_plan
from tests.kit.runs import canonical, phase, sheet

NODE = "ramp/step/drive"


def step(**args: str) -> Step:
    return Step(
        id="drive", kind="hub", run="rollout.plan", share=1.0, args={"plan": PLAN, **args}, budget=timedelta(days=1)
    )


async def create(it: Driven, made: Step | None = None, **more: object) -> str:
    """A run of one phase with that step."""
    source = canonical(sheet(phase("ramp", made or step(), share=1.0), target=Target(), roles={}, **more))
    digest = hashlib.sha256(source.encode()).hexdigest()
    view = ok(await it.hub.runs.create(ROOT, CreateRequest(runsheet=source, digest=digest, forced="a test")))
    await it.clock.advance(0)
    return view.run_id


async def records(it: Driven, stream: str) -> list[str]:
    rows = await it.log.read_stream(PROGRAMME, stream)
    return [type_name(recorded(PROGRAMME, row).event) for row in rows]


async def started(made: Step | None = None) -> tuple[Driven, str]:
    it = await Driven().begin()
    await it.staff()
    return it, await create(it, made)


async def settled(it: Driven, run_id: str, *, hours: float = 3) -> tuple[str, bool, str]:
    """What the run comes to: its status, whether it is held, and why."""
    for _ in range(int(hours * 60)):
        view = ok(it.hub.runs.run(run_id))
        if view.held or view.status != "running":
            return view.status, view.held, view.reason
        await it.clock.advance(60)
    raise AssertionError(ok(it.hub.runs.run(run_id)))


@pytest.mark.requirement("P9")
@run
async def test_a_run_is_done_when_its_plan_has_finished_and_writes_nothing_while_it_drives() -> None:
    it, run_id = await started()
    await it.until(lambda state: state.status == "baking")
    await it.clock.advance(60)
    written = len(await records(it, f"run/{run_id}"))
    await it.until(lambda state: state.stage == 1)
    assert len(await records(it, f"run/{run_id}")) == written, "whoever only waits writes nothing"
    assert await settled(it, run_id) == ("completed", False, "")
    assert (it.share, it.state.status) == (1.0, "finished")
    assert (await records(it, STREAM)).count("plan.accepted/1") == 1
    await it.die()


@run
async def test_while_a_run_has_its_plan_drive_nobody_else_does() -> None:
    it, run_id = await started()
    other = PLAN.replace("name: quick", "name: other")
    assert refused(await it.accept(other)) == "plan.live"
    assert refused(await it.hub.rollout_set(ROOT, 0.9, "faster")) == "rollout.driven"
    ok(await it.hub.plans.stop(ROOT, "by hand"))
    assert refused(await it.accept(other)) == "plan.contends", "the run has not ended"
    assert await settled(it, run_id) == ("running", True, "plan aborted")
    await it.die()


@run
async def test_a_plan_that_is_rolled_back_holds_the_run_and_is_begun_again_only_when_somebody_says_so() -> None:
    it, run_id = await started()
    await it.until(lambda state: state.status == "baking")
    it.fleet.new = Rates(faults=0.5)
    assert await settled(it, run_id) == ("running", True, "plan rolled_back")
    [node] = [one for one in ok(it.hub.runs.run(run_id)).nodes if one.node == NODE]
    assert b"trigger.errors" in bytes(node.evidence)
    it.fleet.new = Rates()
    await it.clock.advance(600)
    assert (it.state.number, it.share) == (1, 0.0)
    ok(await it.hub.rollout_resume(ROOT, "the proxy was restarted"))
    ok(await it.hub.runs.release(ROOT, run_id, NODE, "looked at"))
    assert await settled(it, run_id) == ("completed", False, "")
    assert it.state.number == 2
    await it.die()


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("append", [1, 2, 4])
def test_a_hub_that_dies_on_the_way_has_begun_the_plan_once(append: int, stored: bool) -> None:
    @run
    async def check() -> None:
        it = await Driven().begin()
        await it.staff()
        await it.die()
        log = CutLog(it.log, append, "plan", "rollout", stored=stored)
        await it.begin(log)  # type: ignore[arg-type]
        run_id = await create(it)
        for _ in range(20):
            await it.clock.advance(10)
        assert log.cut
        await it.die()
        await it.begin()
        assert await settled(it, run_id) == ("completed", False, "")
        assert (it.share, (await records(it, STREAM)).count("plan.accepted/1")) == (1.0, 1)
        await it.die()

    check()


@run
async def test_a_plan_does_not_begin_in_a_freeze() -> None:
    it = await Driven().begin()
    await it.staff()
    frozen = (Freeze(id="audit", start=date(2027, 1, 15), end=date(2027, 1, 15)),)
    await create(it, freezes=frozen)
    await it.clock.advance(15 * 3_600)
    assert it.state.number == 0
    await it.clock.advance(2 * 3_600)
    assert it.state.number == 1
    await it.die()


@run
async def test_while_a_run_is_paused_its_plan_raises_nothing_and_goes_on_with_the_run() -> None:
    it, run_id = await started()
    await it.until(lambda state: state.status == "baking")
    share = it.share
    ok(await it.hub.runs.pause(ROOT, run_id, "lunch"))
    await it.clock.advance(3_600)
    assert it.share == share
    assert it.state.hold is not None
    assert it.state.hold.reason == f"the rollout is held: the run {run_id} is paused by root: lunch"
    ok(await it.hub.runs.resume(ROOT, run_id, "back"))
    assert await settled(it, run_id) == ("completed", False, "back")
    await it.die()


@run
async def test_a_trigger_takes_the_lanes_back_also_while_its_run_is_paused() -> None:
    it, run_id = await started()
    await it.until(lambda state: state.status == "baking")
    ok(await it.hub.runs.pause(ROOT, run_id, "lunch"))
    it.fleet.new = Rates(faults=0.5)
    await it.until(lambda state: state.status == "rolled_back")
    assert it.share == 0.0
    await it.die()


@run
async def test_a_plan_under_way_raises_nothing_in_a_freeze_of_its_run() -> None:
    it = await Driven().begin()
    midnight = datetime(2027, 1, 16, tzinfo=UTC).timestamp()
    await it.clock.advance(midnight - 200 - it.clock.now() / SECOND)
    await it.staff()
    run_id = await create(it, freezes=(Freeze(id="audit", start=date(2027, 1, 16), end=date(2027, 1, 16)),))
    await it.until(lambda state: state.status == "baking")
    await it.until(lambda state: state.hold is not None and state.hold.cause is Cause.OPERATOR)
    assert it.state.hold is not None
    assert it.state.hold.reason == f"the rollout is held: the run {run_id} is in the freeze audit"
    assert it.hub.plans.driving.ground().held_until == (midnight + 86_400) * SECOND
    share = it.share
    await it.clock.advance(1_200)  # long enough to prove the gates
    assert it.share == share
    await it.die()


@run
async def test_an_aborted_run_ends_its_plan_and_puts_the_share_back() -> None:
    it, run_id = await started()
    await it.until(lambda state: state.status == "baking")
    ok(await it.hub.runs.abort(ROOT, run_id, "not today"))
    await it.clock.advance(60)
    view = ok(it.hub.runs.run(run_id))
    assert (view.status, it.state.status, it.share) == ("aborted", "aborted", 0.0)
    assert [one.status for one in view.nodes] == ["undone"]
    await it.die()


@run
async def test_a_plan_that_has_not_moved_anything_yet_is_ended_with_its_run_as_well() -> None:
    waiting = PLAN + "baseline: {seconds: 86400}\n"
    it, run_id = await started(step(plan=waiting))
    assert it.state.status == "waiting"
    ok(await it.hub.runs.abort(ROOT, run_id, "not today"))
    await it.clock.advance(60)
    assert it.state.status == "aborted", "else it would begin when the baseline is complete"
    await it.die()


@run
async def test_a_plan_that_takes_longer_than_its_budget_holds_the_run_and_can_be_waited_for_again() -> None:
    it, run_id = await started(msgspec.structs.replace(step(), budget=timedelta(minutes=5)))
    assert await settled(it, run_id) == ("running", True, "budget")
    assert it.state.live
    await it.until(lambda state: state.status == "finished")
    ok(await it.hub.runs.release(ROOT, run_id, NODE, "looked at"))
    await it.clock.advance(60)
    assert (await settled(it, run_id), it.state.number) == (("completed", False, ""), 1), "it is so already"
    await it.die()


@run
async def test_a_step_that_is_pinned_to_another_plan_begins_nothing() -> None:
    it, run_id = await started(step(digest="0" * 64))
    assert await settled(it, run_id) == ("running", True, "plan.bad_digest")
    assert it.state.number == 0
    await it.die()
    read = read_plan(PLAN, "plan.yaml")
    assert isinstance(read, ReadPlan)
    it, run_id = await started(step(digest=read.digest))
    assert it.state.live
    await it.die()
