"""Who counts as there, what its client can do, and where it goes on reading."""

from crossfade.core.values import Channel
from crossfade.engine.limits import Limits
from crossfade.engine.requests import AgentView, ReceiveRequest, SendRequest
from tests.kit.hub import ROOT, World, ok, run, started


async def look(world: World, name: str) -> AgentView:
    [view] = await world.hub.agents(ROOT, name)
    return view


@run
async def test_whoever_holds_a_call_open_is_there_and_is_away_a_lease_after_it_ended() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        bo = await world.join("bo")
        request = ReceiveRequest(channel=Channel.POLL, wait_seconds=300)
        waiting = await started(world.hub.receive(bo, request), world)
        await world.clock.advance(250)
        assert (await look(world, "bo")).status == "present"
        await world.clock.advance(60)
        assert waiting.done()
        await world.clock.advance(200)
        assert (await look(world, "bo")).status == "away"


@run
async def test_whoever_was_there_before_a_restart_keeps_one_lease_and_no_more() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        await world.join("bo", native=True)
        await world.clock.advance(80)
        again = await world.restart()
        await again.clock.advance(80)
        assert (await look(again, "bo")).status == "present"
        await again.clock.advance(20)
        assert (await look(again, "bo")).status == "away"
        await again.hub.stop()


@run
async def test_a_client_without_elicitation_beside_one_with_it_changes_nothing_for_a_lease() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        bo = await world.join("bo", native=True)
        for seconds, native in ((80, True), (20, False)):
            await world.clock.advance(seconds)
            world.hub.touch(bo, native=False)
            await world.clock.advance(0)
            assert (await look(world, "bo")).native is native


@run
async def test_a_restart_does_not_take_elicitation_from_whoever_had_it() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        bo = await world.join("bo", native=True)
        again = await world.restart()
        again.hub.touch(bo, native=False)
        await again.clock.advance(0)
        assert (await look(again, "bo")).native
        await again.hub.stop()


@run
async def test_a_call_with_a_cursor_takes_back_what_one_without_would_have_confirmed() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi")))
        for after, contents in ((None, ["hi"]), (0, ["hi"]), (None, ["hi"]), (None, [])):
            assert [item.content for item in (await world.poll(bo, after=after)).items] == contents


@run
async def test_an_empty_wait_from_an_old_sequence_goes_on_from_the_cursor_held() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for _ in range(3):
            ok(await world.hub.send(bo, SendRequest(to=("ana",), body="hi")))
        head = (await world.poll(ana, after=0)).cursor
        assert world.hub.acknowledge(bo, head) is None
        assert (await world.poll(bo, after=head - 1)).cursor == head
