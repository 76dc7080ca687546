"""One wait from the asking to the end: the caller is woken once, and in no case is anything lost or doubled."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from crossfade.core.values import Caller, Channel
from crossfade.engine.mail import OFFER, OFFER_SECONDS
from crossfade.engine.ports import UnavailableError
from crossfade.engine.requests import AnswerRequest, AskRequest, QuestionView, ReceiveRequest
from tests.kit.faulty import FaultyLog
from tests.kit.hub import SHIP, YES_NO, World, ok, refused, run, started


class Asker:
    """Asks with a wait, and notes what is shown once the question is stored."""

    def __init__(self, world: World, caller: Caller) -> None:
        self.world = world
        self.caller = caller
        self.stored: list[Callable[[], QuestionView]] = []

    async def ask(self, wait_seconds: float = 25.0, **more: object) -> QuestionView:
        request = msgspec.structs.replace(AskRequest(to="bo", message="Ship it?", schema=YES_NO), **more)
        return ok(await self.world.hub.ask(self.caller, request, wait_seconds=wait_seconds, asked=self.stored.append))


async def pair(world: World) -> tuple[Asker, Caller]:
    ana, bo = await world.join("ana"), await world.join("bo")
    return Asker(world, ana), bo


@run
async def test_it_returns_with_the_end_and_leaves_no_news_of_it_in_the_mailbox() -> None:
    async with World() as world:
        asker, bo = await pair(world)
        waiting = await started(asker.ask(), world)
        assert [now().status for now in asker.stored] == ["open"]
        ok(await world.answer(bo, asker.stored[0]().question_id))
        ended = await waiting
        assert (ended.status, ended.ended_by) == ("answered", "bo")
        assert asker.stored[0]() == ended
        assert (await world.poll(asker.caller)).items == ()
        assert world.hub._views.questions[ended.question_id].collectors == 0


@run
async def test_without_an_end_it_returns_the_open_question_and_the_news_comes_by_mail() -> None:
    async with World() as world:
        asker, bo = await pair(world)
        waiting = await started(asker.ask(10.0), world)
        await world.clock.advance(9.999)
        assert not waiting.done()
        await world.clock.advance(0.001)
        asked = await waiting
        assert asked.status == "open"
        ok(await world.answer(bo, asked.question_id))
        assert [item.kind for item in (await world.poll(asker.caller)).items] == ["answer"]


@run
async def test_a_wait_is_no_longer_than_the_longest_allowed() -> None:
    async with World() as world:
        asker, _ = await pair(world)
        waiting = await started(asker.ask(1e6), world)
        await world.clock.advance(world.limits.wait_seconds_max)
        assert (await waiting).status == "open"


@run
async def test_a_caller_that_leaves_is_waited_for_no_more_and_its_question_stands() -> None:
    async with World() as world:
        asker, bo = await pair(world)
        waiting = await started(asker.ask(), world)
        waiting.cancel()
        await world.clock.advance(0)
        entry = world.hub._views.questions[asker.stored[0]().question_id]
        assert (entry.collectors, entry.waiters) == (0, {})
        ok(await world.answer(bo, entry.question_id))
        assert [item.kind for item in (await world.poll(asker.caller)).items] == ["answer"]


@run
async def test_a_caller_that_leaves_before_it_is_stored_is_not_told_of_it() -> None:
    log = FaultyLog()
    async with World(log) as world:
        asker, _ = await pair(world)
        log.open.clear()
        waiting = await started(asker.ask(), world)
        waiting.cancel()
        await world.clock.advance(0)
        log.open.set()
        await world.clock.advance(0)
        assert asker.stored == []
        (entry,) = world.hub._views.questions.values()
        assert (entry.open, entry.collectors, entry.waiters) == (True, 0, None)


@run
async def test_while_the_disk_fails_nobody_is_told_that_it_is_stored() -> None:
    log = FaultyLog()
    async with World(log) as world:
        asker, _ = await pair(world)
        log.faults.append("unavailable")
        with pytest.raises(UnavailableError):
            await asker.ask()
        assert asker.stored == []


@pytest.mark.parametrize("wait_seconds", [0.0, 25.0])
def test_the_same_key_waits_for_the_end_of_the_first(wait_seconds: float) -> None:
    @run
    async def body() -> None:
        async with World() as world:
            asker, bo = await pair(world)
            first = await asker.ask(0.0, key="k")
            assert asker.stored == [], "who does not wait has the result itself"
            again = await started(asker.ask(wait_seconds, key="k"), world)
            assert again.done() is (wait_seconds == 0)
            assert len(asker.stored) == (wait_seconds > 0)
            ok(await world.answer(bo, first.question_id))
            assert (await again).question_id == first.question_id
            assert (await again).status == ("answered" if wait_seconds else "open")
            ended = await started(asker.ask(25.0, key="k"), world)
            assert (await ended).status == "answered"
            assert len(asker.stored) == (wait_seconds > 0), "it has its end: nobody waits"
            assert refused(await ask_otherwise(world, asker.caller)) == "key.reused"

    body()


async def ask_otherwise(world: World, caller: Caller) -> object:
    request = AskRequest(to="bo", message="Another?", schema=YES_NO, key="k")
    return await world.hub.ask(caller, request, wait_seconds=25.0)


@run
async def test_a_reply_to_nothing_is_refused_before_anything_is_stored() -> None:
    async with World() as world:
        asker, _ = await pair(world)
        request = AskRequest(to="bo", message="And?", schema=YES_NO, reply_to="q_unknown")
        assert refused(await world.hub.ask(asker.caller, request, wait_seconds=25.0)) == "reply.unknown"
        assert world.hub._views.questions == {}


@run
async def test_a_hub_that_stops_lets_go_of_it() -> None:
    world = World()
    await world.hub.start()
    asker, _ = await pair(world)
    waiting = await started(asker.ask(), world)
    await world.hub.stop()
    assert (await waiting).status == "open"


# --- what a trip costs, in counts ----------------------------------------------------------------------------------


@run
async def test_in_a_whole_trip_each_of_its_three_calls_sleeps_once() -> None:
    """The asker until the end, the addressee until the question is there, and until its answer stands."""
    async with World() as world:
        asker, bo = await pair(world)
        for _ in range(2):  # the second one acknowledges the first
            await trip(world, asker, bo)
        appointments = len(world.hub._c.timers)
        loop, made = asyncio.get_running_loop(), [0]
        create = loop.create_future

        def counted() -> "asyncio.Future[object]":
            made[0] += 1
            return create()

        loop.create_future = counted  # type: ignore[method-assign]
        try:
            await trip(world, asker, bo)
        finally:
            del loop.create_future
        assert made == [3]
        assert len(world.hub._c.timers) == appointments, "no appointment is left of it"


@run
async def test_one_look_is_enough_for_all_that_were_shown_and_answered_before_it() -> None:
    """And a question among them that stays open is recorded as shown when its time comes, not before, not later."""
    async with World() as world:
        asker, bo = await pair(world)
        mail, looks = world.hub._mail, []
        look = mail._record_lately

        def counted() -> None:
            looks.append(world.clock.now())
            look()

        mail._record_lately = counted  # type: ignore[method-assign]
        first = world.clock.now()
        for _ in range(4):
            await trip(world, asker, bo)
            await world.clock.advance(0.01)
        stays = await world.ask(asker.caller, "bo")
        await world.poll(bo)
        entry, due = world.hub._views.questions[stays.question_id], world.clock.now() + OFFER
        await world.clock.advance(OFFER_SECONDS - 1e-9)
        early = entry.state.offered
        await world.clock.advance(1e-9)
        assert (early, entry.state.offered) == ((), (Channel.POLL,))
        await world.clock.advance(1.0)
        assert looks == [first + OFFER, due]


async def trip(world: World, asker: Asker, bo: Caller) -> None:
    """Driven by hand, without tasks, so that no other future is made than the hub's own."""
    receive = world.hub.receive(bo, ReceiveRequest(channel=Channel.POLL))
    ask = asker.ask()
    received, ended = receive.send(None), ask.send(None)
    await turns(received.done)
    batch = over(receive)
    answer = world.hub.answer(bo, AnswerRequest(question_id=batch.items[0].id, content=SHIP, channel=Channel.POLL))
    stands = answer.send(None)
    await turns(stands.done)
    await turns(ended.done)
    assert over(answer).status == over(ask).status == "answered"


def over(call: Any) -> Any:
    """What the call comes to now that it is woken; it must not wait a second time."""
    with pytest.raises(StopIteration) as caught:
        call.send(None)
    return caught.value.value


async def turns(done: Callable[[], bool]) -> None:
    """Let the loop turn until it is done."""
    for _ in range(100):
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody was woken")
