"""What plans and measurements write, and what a run writes seldom, for a log to keep as a recorded history."""

import hashlib
from collections.abc import Callable

import msgspec

from crossfade.core.runsheets import Role, RoleMembers, SignOff, Step
from crossfade.core.stages import State
from crossfade.core.values import SECOND, Instant
from crossfade.engine.run_ports import StepCall, StepOutcome
from crossfade.engine.run_views import MigrateRequest
from crossfade.runsheets.loader import Loaded, load
from tests.kit.history import Line, dump
from tests.kit.hub import ROOT, ok
from tests.kit.plans import PLAN, Driven, Fleet, Rates
from tests.kit.runs import ALL, HOUR, Outside, Procedure, canonical, command, phase, ramp, sheet

SHORT = PLAN.replace("hold_seconds_max: 900", "hold_seconds_max: 60").replace("  - {share: 50%}\n", "")
SLOW_SECONDS = 25


async def plans() -> list[Line]:
    """A baseline that the rollout ends; a plan that finishes, one that is rolled back, one that is aborted."""
    it = await Driven(Fleet(12)).begin()
    await it.staff()
    ok(await it.hub.baselines.start(ROOT, 60))
    await it.clock.advance(61)
    ok(await it.hub.baselines.start(ROOT, 600))
    await it.clock.advance(30)
    ok(await it.accept(SHORT))
    await it.until(_at("baking"))
    ok(await it.hub.rollout_hold(ROOT, "shift change"))
    await it.clock.advance(90)
    ok(await it.hub.rollout_resume(ROOT, "handed over"))
    await it.until(_at("finished"))
    ok(await it.hub.rollout_set(ROOT, 0.0, "once more"))
    ok(await it.accept(SHORT))
    await it.until(_at("baking"))
    it.fleet.new = Rates(faults=0.4)
    await it.until(_at("rolled_back"))
    it.fleet.new = Rates()
    ok(await it.hub.rollout_resume(ROOT, "repaired"))
    ok(await it.accept(SHORT))
    await it.until(_at("baking"))
    ok(await it.hub.plans.stop(ROOT, "the wrong fleet"))
    await it.clock.advance(1)
    lines = await dump(it.log)
    await it.die()
    return lines


def _at(status: str) -> Callable[[State], bool]:
    return lambda state: state.status == status


class Slowly(Outside):
    """An effect that takes longer than a lease is."""

    def __init__(self, it: Procedure) -> None:
        super().__init__()
        self._it = it

    async def command(self, line: str, call: StepCall) -> StepOutcome:
        if line == "do slow":
            await self._it.clock.sleep_until(Instant(self._it.clock.now() + SLOW_SECONDS * SECOND))
        return await super().command(line, call)


async def seldom() -> list[Line]:
    """A lease that is renewed, a sign-off that expires before it is needed, a run that gets another runsheet."""
    it = Procedure(checks=("event_store.consistent",))
    it.outside = Slowly(it)
    await it.begin()
    await it.staff()
    await _renewed_and_signed_again(it)
    await _migrated(it)
    lines = await dump(it.log)
    await it.die()
    return lines


async def _renewed_and_signed_again(it: Procedure) -> None:
    signed = SignOff(roles=ALL[:1], about="Begin?")
    roles = {Role.DEVOPS: RoleMembers(members=("ana",), valid_for=5 * HOUR, deadline=4 * HOUR)}
    soak = Step(id="soak", kind="wait", wait=9 * HOUR)
    one = phase("one", command("slow"), soak, *ramp(0.25), entry_signoffs=(signed,))
    ok(await it.create(sheet(one, roles=roles)))
    await it.through(24)
    assert it.view().status == "completed"


async def _migrated(it: Procedure) -> None:
    found = load("elicitation-v2")
    assert isinstance(found, Loaded)
    await it.staff(*sorted({name for panel in found.runsheet.roles.values() for name in panel.members}))
    ok(await it.create(found.runsheet, forced=""))
    ok(await it.hub.runs.pause(ROOT, it.run_id, "2.1"))
    source = canonical(msgspec.structs.replace(found.runsheet, version="2.1"))
    wanted = MigrateRequest(runsheet=source, digest=hashlib.sha256(source.encode()).hexdigest(), reason="2.1")
    ok(await it.hub.runs.migrate(ROOT, it.run_id, wanted))
    ok(await it.hub.runs.resume(ROOT, it.run_id, "go", wanted.digest))
    ok(await it.hub.runs.abort(ROOT, it.run_id, "recorded"))
    await it.clock.advance(1)
    assert it.view().status == "aborted"
