"""What a hub keeps does not grow with how long it has run: of what has its end, a bounded part stays."""

import gc

import pytest

from crossfade.core.values import Channel
from crossfade.engine.limits import Limits
from crossfade.engine.requests import ReceiveRequest
from tests.kit.hub import World, ok, run, started

KEPT = 20
"""Ended questions held in memory."""
APPOINTMENTS = 8
"""The hub's own, two members' leases, and what lies within seconds: none for each question."""


async def trips(world: World, times: int) -> None:
    """Questions, each awaited by its asker, received by its addressee, and answered."""
    ana, bo = world.callers["ana"], world.callers["bo"]
    cursor: int | None = None
    for _ in range(times):
        request = ReceiveRequest(channel=Channel.POLL, wait_seconds=25, after=cursor)
        waiting = await started(world.hub.receive(bo, request), world)
        asked = await world.ask(ana, "bo")
        reading = await started(world.hub.question(ana, asked.question_id, 25), world)
        batch = ok(await waiting)
        cursor = batch.cursor
        ok(await world.answer(bo, batch.items[-1].id))
        assert ok(await reading).status == "answered"
        await world.clock.advance(0.01)


def sizes(world: World) -> dict[str, int]:
    """How much there is of everything that a question leaves behind."""
    hub = world.hub
    mailboxes = [member.mailbox for member in hub._views.directory]
    return {
        "questions": len(hub._views.questions),
        "streams": len(hub._streams._slots),
        "mail": sum(len(mailbox.mail) + len(mailbox.news) + len(mailbox.native) for mailbox in mailboxes),
        "wakers": sum(len(mailbox.wakers) for mailbox in mailboxes),
        "open": sum(len(member.open) + member.asked_open for member in hub._views.directory),
        "behind": len(hub._mail._behind),
        "refused": len(hub._views.measures.refused),
        "talk": len(hub._views.programme.talk),
    }


@run
async def test_ten_times_the_questions_leave_no_more_behind() -> None:
    async with World(limits=Limits(ended_questions_kept=KEPT)) as world:
        for name in ("ana", "bo"):
            await world.join(name)
        await trips(world, 10 * KEPT)
        first = sizes(world)
        await trips(world, 90 * KEPT)
        assert sizes(world) == first
        assert len(world.hub._c.timers) <= APPOINTMENTS, len(world.hub._c.timers)


@pytest.mark.parametrize("times", [50])
def test_questions_leave_nothing_for_the_collector_to_find(times: int) -> None:
    """Cycles would be frozen with whatever survives, and then never be freed."""

    @run
    async def scenario() -> None:
        async with World(limits=Limits(ended_questions_kept=KEPT)) as world:
            for name in ("ana", "bo"):
                await world.join(name)
            await trips(world, KEPT)
            gc.collect()
            gc.disable()
            try:
                await trips(world, times)
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
                ours = [type(o) for o in gc.garbage if type(o).__module__.startswith("crossfade")]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
        assert ours == []

    scenario()
