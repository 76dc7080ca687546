"""Sign-offs and runs of runsheets in which nearly everything happens once, for a log to keep as a recorded history."""

import msgspec

from crossfade.core.runsheets import Gate, Role, SignOff, Step
from crossfade.engine.requests import AnswerRequest
from crossfade.engine.run_views import SkipRequest, WaiveRequest
from tests.kit.history import Line, dump
from tests.kit.hub import ROOT, World, ok
from tests.kit.runs import ALL, HOUR, SIGNED, Procedure, command, phase, ramp, sheet
from tests.kit.signing import OTHER, form, panel, request, sign

HOUR_SECONDS = 3_600.0


async def procedures() -> list[Line]:
    """The log of all of them, one after the other."""
    it = Procedure()
    await it.begin()
    await it.staff()
    await _completed(it)
    await _held(it)
    await _waived(it)
    await _aborted(it)
    assert it.world is not None
    await _signed(it.world)
    lines = await dump(it.log)
    await it.die()
    return lines


async def _completed(it: Procedure) -> None:
    both = ("role:devops", "role:security")
    meeting = Step(id="go", kind="meeting", to=both, message="Go?", quorum=2, budget=4 * HOUR)
    canary = phase(
        "canary", command("deploy"), *ramp(0.05), Step(id="soak", kind="wait", wait=HOUR),
        entry=(Gate(id="ready", check="hub.ready"),), entry_signoffs=(SignOff(roles=ALL[:1], about="Begin?"),),
        bake=HOUR, exit=(Gate(id="lost", check="questions.none_lost"),),
    )  # fmt: skip
    ok(await it.create(sheet(canary, phase("full", meeting, *ramp(1.0), command("announce"), exit_signoffs=SIGNED))))
    await it.through(24)
    assert it.view().status == "completed"


async def _held(it: Procedure) -> None:
    it.outside.failing["do build"] = 3
    soak = Step(id="soak", kind="wait", wait=9 * HOUR)
    ok(await it.create(sheet(phase("one", command("build", retries=2), soak, command("publish")))))
    await it.clock.advance(10)
    ok(await it.hub.runs.release(ROOT, it.run_id, "one/step/build", "made room"))
    await it.clock.advance(0)
    ok(await it.hub.runs.pause(ROOT, it.run_id, "lunch"))
    ok(await it.hub.runs.resume(ROOT, it.run_id, "after lunch"))
    ok(await it.hub.runs.skip(ROOT, it.run_id, SkipRequest(node="one/step/soak", reason="soaked elsewhere")))
    await it.clock.advance(1)
    assert it.view().status == "completed"


async def _waived(it: Procedure) -> None:
    ok(await it.create(sheet(phase("one", command("measure"), exit=(Gate(id="p99", slo="p99"),)))))
    node = "one/exit/gate/p99"
    it.outcome["bo"] = b'{"outcome":"emergency_stop","comment":"no"}'
    ok(await it.hub.runs.waive(ROOT, it.run_id, WaiveRequest(node=node, reason="hurry")))
    while await it.reply():
        pass
    del it.outcome["bo"]
    ok(await it.hub.runs.waive(ROOT, it.run_id, WaiveRequest(node=node, reason="no traffic yet")))
    await it.reply()
    assert it.view().status == "completed"


async def _aborted(it: Procedure) -> None:
    it.outside.share = 0.0
    it.outside.failing["undo second"] = 1
    steps = (command("first"), *ramp(0.25), command("second"), Step(id="soak", kind="wait", wait=HOUR))
    ok(await it.create(sheet(phase("one", *steps))))
    ok(await it.hub.runs.abort(ROOT, it.run_id, "the wrong fleet"))
    await it.clock.advance(1)
    assert it.view().status == "aborted"


async def _signed(world: World) -> None:
    """Approved with controls, suspended, reinstated; renewed; stopped; abstained from; withdrawn; expired."""
    dora, sam = await world.join("dora"), await world.join("sam")
    signing = world.hub.signing
    given = await request(world, {Role.DEVOPS: panel("dora")})
    await sign(world, dora, "approved_with_controls", controls="a, b")
    for control in ("a", "b"):
        ok(await signing.suspend(given.signoff_id, control, "red"))
    for control in ("a", "b"):
        ok(await signing.reinstate(given.signoff_id, control))
    stale = await request(world, {Role.DEVOPS: panel("dora")}, subject="run/r_1/phase/full/entry")
    await world.clock.advance(1)
    ok(await signing.renew(ROOT, stale.signoff_id, OTHER, "p99 250 ms"))
    await sign(world, dora)
    ill = await request(world, {Role.DEVOPS: panel("dora", "sam")}, subject="run/r_1/phase/full/exit")
    question = await form(world, dora)
    ok(await world.hub.answer(dora, AnswerRequest(question_id=question.question_id, action="decline", reason="ill")))
    await world.clock.advance(0)
    await sign(world, sam, "emergency_stop", comment="token in the log")
    moved = await request(world, {Role.DEVOPS: panel("sam")}, subject="moved")
    ok(await signing.withdraw(ROOT, moved.signoff_id, "moved"))
    await request(world, {Role.DEVOPS: panel("sam")}, subject="late")
    back = await request(world, {Role.DEVOPS: panel("dora")}, subject="back")
    form_of = await form(world, dora)
    nothing = msgspec.Raw(b'{"outcome":"conditional"}')  # without conditions it contradicts itself and is given back
    await world.hub.answer(dora, AnswerRequest(question_id=form_of.question_id, content=nothing))
    await world.clock.advance(2 * HOUR_SECONDS)
    assert ok(signing.signoff(ill.signoff_id)).status == "stopped"
    assert ok(signing.signoff(back.signoff_id)).status == "expired"
