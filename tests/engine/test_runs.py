"""Runs on a simulated clock, with a world that outlives the process: every event is a place to die."""

import pytest

from crossfade.core.runsheets import Gate, SignOff, Step
from tests.kit.hub import ok, run
from tests.kit.runs import ALL, HOUR, SIGNED, CutLog, Procedure, command, phase, ramp, sheet

SMALL = sheet(
    phase(
        "canary",
        command("deploy"),
        *ramp(0.05),
        Step(id="soak", kind="wait", wait=HOUR),
        entry=(Gate(id="ready", check="hub.ready"),),
        entry_signoffs=(SignOff(roles=ALL[:1], about="Begin?"),),
        bake=HOUR,
        exit=(Gate(id="lost", check="questions.none_lost"),),
    ),
    phase(
        "full",
        Step(id="go", kind="meeting", to=("role:devops", "role:security"), message="Go?", quorum=2, budget=4 * HOUR),
        *ramp(1.0),
        command("announce"),
        exit_signoffs=SIGNED,
    ),
)


@run
async def test_a_run_goes_from_the_first_gate_to_the_last_sign_off() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    ok(await it.create(SMALL))
    await it.through(24)
    view = it.view()
    assert (view.status, view.held, view.node) == ("completed", False, ""), view
    assert it.outside.effects == {"deploy": 1, "announce": 1}
    assert it.outside.shares == [0.05, 1.0]
    assert {node.status for node in view.nodes} == {"done"}
    await it.die()


def outcome(it: Procedure) -> object:
    """What a run came to: everything but who drove it when."""
    view = it.view()
    nodes = [(node.node, node.status, node.attempt, node.verdict, sorted(node.asked)) for node in view.nodes]
    return view.status, view.share, nodes, it.outside.effects, it.outside.shares, len(it.hub._c.views.questions)


async def killed_at(append: int, *, stored: bool) -> tuple[object, bool]:
    """The same run, its process dead at an append, and another that goes on; and whether it came to that."""
    it = Procedure()
    await it.begin()
    await it.staff()
    await it.die()
    log = CutLog(it.log, append, stored=stored)
    await it.begin(log)
    made = None
    try:
        made = await it.create(SMALL, key="once")
        while not log.cut and it.view().status != "completed":
            await it.clock.advance(600)
            while not log.cut and await it.reply():
                pass
    except Exception:
        assert log.cut
    await it.die()
    await it.begin()
    if made is None:
        ok(await it.create(SMALL, key="once"))
    await it.through(30, step_hours=1 / 6)
    found = outcome(it)
    await it.die()
    return found, log.cut


@pytest.mark.slow
@pytest.mark.requirement("P3")
def test_a_run_killed_at_any_event_comes_to_the_same_end_and_does_each_thing_once() -> None:
    import asyncio

    whole, _ = asyncio.run(killed_at(10_000, stored=True))
    for append in range(1, 200):
        cuts = [asyncio.run(killed_at(append, stored=stored)) for stored in (True, False)]
        for stored, (found, _) in zip((True, False), cuts, strict=True):
            assert found == whole, (append, stored)
        if not any(cut for _, cut in cuts):
            assert append > 25, "there are more events than that"
            return
    raise AssertionError("it never ended")
