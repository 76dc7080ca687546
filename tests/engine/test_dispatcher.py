"""A command becomes events once, whatever the log does meanwhile."""

import asyncio

import pytest

from crossfade.core import questions
from crossfade.core.records import decode
from crossfade.core.values import SECOND, SPACE, Caller, Channel, Instant
from crossfade.engine.limits import Limits
from crossfade.engine.ports import StoredEvent, UnavailableError, UnknownOutcomeError
from crossfade.engine.requests import SendRequest
from tests.kit.clock import FakeClock
from tests.kit.faulty import FaultyLog
from tests.kit.hub import ROOT, SHIP, World, ok, refused, run


async def pair(world: World) -> tuple[Caller, Caller]:
    return await world.join("ana"), await world.join("bo")


async def stored(log: FaultyLog, *types: str) -> list[StoredEvent]:
    rows = await log.read(SPACE, 0, 10_000)  # type: ignore[arg-type]
    return [row for row in rows if row.type.removesuffix("/1") in types]


@run
async def test_a_command_that_loses_the_race_is_decided_again_until_it_wins() -> None:
    log = FaultyLog()
    async with World(log, limits=Limits(retries_max=5)) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo")
        log.faults.extend(["conflict"] * 4)
        assert ok(await world.answer(bo, asked.question_id)).status == "answered"
        assert len(await stored(log, "question.answered")) == 1


@run
async def test_a_storm_of_lost_races_ends_in_a_word_to_come_back() -> None:
    log = FaultyLog()
    async with World(log, limits=Limits(retries_max=5)) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo")
        log.batches.clear()
        log.always = "conflict"
        with pytest.raises(UnavailableError, match="too busy"):
            await world.answer(bo, asked.question_id)
        assert len(log.batches) == 5
        log.always = "fine"
        assert ok(await world.answer(bo, asked.question_id)).status == "answered"


@run
async def test_a_deadline_is_kept_by_a_hub_that_starts_with_its_clock_set_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with World() as world:
        await world.join("ana")
        await world.join("bo")
        last = world.clock.now()
    again = World(world.log, FakeClock(Instant(last - 3_600 * SECOND)))
    again.callers = world.callers
    assert "hub.clock_behind" not in caplog.messages
    async with again:
        asked = await again.ask(again.callers["ana"], "bo", deadline_seconds=60)
        await again.clock.advance(61)
        assert ok(await again.hub.question(ROOT, asked.question_id)).status == "expired"
    assert "hub.clock_behind" in caplog.messages


@pytest.mark.parametrize("fault", ["stored", "lost"])
def test_the_same_key_resolves_an_unknown_outcome_to_one_question(fault: str) -> None:
    @run
    async def body() -> None:
        log = FaultyLog()
        async with World(log) as world:
            ana, bo = await pair(world)
            log.faults.append(fault)
            with pytest.raises(UnknownOutcomeError):
                await world.ask(ana, "bo", key="k")
            asked = await world.ask(ana, "bo", key="k")
            assert [row.stream for row in await stored(log, "question.asked")] == [f"question/{asked.question_id}"]
            assert [item.id for item in (await world.poll(bo)).items] == [asked.question_id]
            log.faults.append(fault)
            with pytest.raises(UnknownOutcomeError):
                await world.answer(bo, asked.question_id, key="a")
            assert ok(await world.answer(bo, asked.question_id, key="a")).status == "answered"
            assert refused(await world.answer(bo, asked.question_id, key="b")) == "question.closed"
            assert len(await stored(log, "question.answered")) == 1

    body()


@pytest.mark.parametrize("fault", ["stored", "lost"])
def test_the_same_key_resolves_an_unknown_outcome_to_one_message(fault: str) -> None:
    @run
    async def body() -> None:
        log = FaultyLog()
        async with World(log) as world:
            ana, bo = await pair(world)
            log.faults.append(fault)
            request = SendRequest(to=("bo",), body="hi", key="k")
            with pytest.raises(UnknownOutcomeError):
                await world.hub.send(ana, request)
            sent = ok(await world.hub.send(ana, request))
            assert [item.id for item in (await world.poll(bo)).items] == [sent.message_id]
            assert len(await stored(log, "message.sent")) == 1

    body()


@run
async def test_a_hub_is_not_ready_from_a_fault_until_the_next_success() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, _ = await pair(world)
        ready = [world.hub.ready]
        log.faults.append("unavailable")
        with pytest.raises(UnavailableError):
            await world.ask(ana, "bo")
        ready.append(world.hub.ready)
        await world.ask(ana, "bo")
        ready.append(world.hub.ready)
        assert ready == [True, False, True]


@pytest.mark.parametrize("fault", ["unavailable", "lost", "stored", "conflict"])
def test_an_expiry_that_meets_a_failing_log_comes_again(fault: str) -> None:
    @run
    async def body() -> None:
        log = FaultyLog()
        async with World(log) as world:
            ana, bo = await pair(world)
            asked = await world.ask(ana, "bo", deadline_seconds=10)
            log.always = fault  # type: ignore[assignment]
            await world.clock.advance(12)
            assert await stored(log, "question.expired") == [] or fault == "stored"
            log.always = "fine"
            await world.clock.advance(3)
            assert ok(await world.hub.question(ana, asked.question_id)).status == "expired"
            assert refused(await world.answer(bo, asked.question_id)) == "question.closed"
            assert len(await stored(log, "question.expired")) == 1

    body()


@run
async def test_an_offer_that_meets_a_failing_log_costs_nothing_and_is_recorded_later_as_of_when_it_was() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo")
        assert [item.id for item in (await world.poll(bo, after=0)).items] == [asked.question_id]
        shown_at = world.clock.now()
        assert ok(await world.hub.question(ana, asked.question_id)).delivery == "offered"
        log.faults.append("unavailable")
        await world.clock.advance(1)
        assert await stored(log, "question.offered") == []
        await world.clock.advance(1)
        [row] = await stored(log, "question.offered")
        offered = decode(row.type, row.payload)
        assert isinstance(offered, questions.Offered)
        assert offered.shown_at == shown_at


@run
async def test_a_dialog_without_a_reply_is_given_up_even_if_the_log_fails_at_that_moment() -> None:
    log = FaultyLog()
    async with World(log, limits=Limits(native_patience_seconds=60)) as world:
        ana, bo = await world.join("ana"), await world.join("bo", native=True)
        await world.rollout(1.0)
        asked = await world.ask(ana, "bo")
        batch = await world.poll(bo, channel=Channel.NATIVE, native=True)
        assert [question.question_id for question in batch.questions] == [asked.question_id]
        log.always = "unavailable"
        await world.clock.advance(62)
        log.always = "fine"
        await world.clock.advance(2)
        assert [item.id for item in (await world.poll(bo)).items] == [asked.question_id]


@run
async def test_an_acknowledgement_that_meets_a_failing_log_is_delivered_again_only_after_a_restart() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await pair(world)
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi")))
        batch = await world.poll(bo, after=0)
        log.faults.append("unavailable")
        assert (await world.poll(bo, after=batch.cursor)).items == ()
        again = await world.restart()
        assert [item.content for item in (await again.poll(bo)).items] == ["hi"]
        await again.hub.stop()


@run
async def test_a_command_with_nothing_new_writes_nothing() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo")
        await world.hub.seen(bo, asked.question_id, Channel.CONSOLE)
        await world.clock.advance(0)
        log.batches.clear()
        await world.hub.seen(bo, asked.question_id, Channel.CONSOLE)
        world.hub.touch(bo, native=False)
        await world.clock.advance(0)
        outcome = await world.hub._c.dispatcher.run(
            f"question/{asked.question_id}",  # type: ignore[arg-type]
            questions.Offer(channel=Channel.CONSOLE),
            by="system",
        )
        assert (ok(outcome).first, ok(outcome).last) == (1, 0)
        assert log.batches == []


@run
async def test_a_record_says_who_and_because_of_what_and_has_a_key_of_its_own() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, _ = await pair(world)
        for _ in range(2):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi"), cause="trace-1"))
        first, second = await stored(log, "message.sent")
        assert (first.actor, first.cause, first.at) == ("ana", "trace-1", world.clock.now())
        assert first.key != second.key
        assert len(first.key) == 16


@run
async def test_records_never_go_back_in_time_though_the_clock_does_nor_after_a_restart() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, _ = await pair(world)
        ahead = Instant(world.clock.now() + 100 * SECOND)
        world.clock._now = ahead
        await world.ask(ana, "bo")
        world.clock._now = Instant(ahead - 50 * SECOND)
        await world.ask(ana, "bo")
        again = await world.restart()
        await again.ask(ana, "bo")
        instants = [row.at for row in await stored(log, "question.asked")]
        assert instants == [ahead] * 3
        await again.hub.stop()


@run
async def test_a_key_of_one_verb_says_nothing_about_another() -> None:
    async with World(FaultyLog()) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo", key="k")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi", key="k")))
        ok(await world.hub.withdraw(ana, asked.question_id, key="k"))
        back = await world.ask(bo, "ana")
        ok(await world.answer(ana, back.question_id, key="k"))


@run
async def test_of_many_answers_at_once_each_caller_hears_what_became_of_it() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await pair(world)
        asked = await world.ask(ana, "bo")
        log.batches.clear()
        outcomes = await asyncio.gather(*(world.answer(bo, asked.question_id, SHIP, key=f"{n % 4}") for n in range(20)))
        accepted = [outcome for outcome in outcomes if getattr(outcome, "status", "") == "answered"]
        assert len(accepted) == 5  # the first, and the four others with its key
        assert {refused(outcome) for outcome in outcomes if outcome not in accepted} == {"question.closed"}
        assert len(await stored(log, "question.answered")) == 1
        assert len(log.batches) <= 2


@pytest.mark.parametrize("reply_to", ["q_" + "x" * 300, "m_" + "x" * 300, "ä" * 150, "q_" + "😀" * 62])
def test_a_reply_to_something_that_cannot_exist_is_refused(reply_to: str) -> None:
    @run
    async def body() -> None:
        async with World(FaultyLog()) as world:
            ana, _ = await pair(world)
            assert (
                refused(await world.hub.send(ana, SendRequest(to=("bo",), body="x", reply_to=reply_to)))
                == "reply.unknown"
            )

    body()


@run
async def test_a_question_that_cannot_exist_is_unknown_from_every_side() -> None:
    async with World(FaultyLog()) as world:
        ana, _ = await pair(world)
        for question_id in ("q_" + "😀" * 62, "q_" + "x" * 300, "nonsense", ""):
            assert refused(await world.hub.question(ana, question_id)) == "question.unknown"
            assert refused(await world.answer(ana, question_id)) == "question.unknown"
            assert refused(await world.hub.withdraw(ana, question_id)) == "question.unknown"
