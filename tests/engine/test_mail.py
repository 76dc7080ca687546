"""Messages and waits: what is addressed to somebody arrives, in order, at least once, and at once."""

import asyncio

from crossfade.core.values import Channel
from crossfade.engine.limits import Limits
from crossfade.engine.requests import ReceiveRequest, SendRequest
from tests.kit.faulty import FaultyLog
from tests.kit.hub import World, ok, refused, run, started


def contents(batch: object) -> list[str]:
    return [item.content for item in batch.items]  # type: ignore[attr-defined]


@run
async def test_messages_arrive_in_the_order_sent() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for number in range(5):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body=str(number))))
        batch = await world.poll(bo)
        assert contents(batch) == ["0", "1", "2", "3", "4"]
        assert [item.sequence for item in batch.items] == sorted(item.sequence for item in batch.items)


@run
async def test_a_wait_wakes_at_once_when_something_arrives() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        waiting = await started(world.hub.receive(bo, ReceiveRequest(channel=Channel.POLL, wait_seconds=25)), world)
        assert not waiting.done()
        before = world.clock.now()
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="now")))
        assert contents(ok(await waiting)) == ["now"]
        assert world.clock.now() == before  # no interval passed


@run
async def test_an_empty_wait_ends_with_its_cursor_and_no_error() -> None:
    async with World() as world:
        bo = await world.join("bo")
        waiting = await started(world.hub.receive(bo, ReceiveRequest(channel=Channel.POLL, wait_seconds=25)), world)
        await world.clock.advance(25)
        batch = ok(await waiting)
        assert (batch.items, batch.has_more) == ((), False)


@run
async def test_the_same_items_come_again_until_they_are_acknowledged() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="one")))
        first = await world.poll(bo, after=0)
        assert contents(await world.poll(bo, after=0)) == ["one"]
        assert contents(await world.poll(bo, after=first.cursor)) == []
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="two")))
        assert contents(await world.poll(bo, after=first.cursor)) == ["two"]


@run
async def test_a_caller_without_a_cursor_confirms_by_calling_again() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="one")))
        assert contents(await world.poll(bo)) == ["one"]
        assert contents(await world.poll(bo)) == []


@run
async def test_a_carrier_that_broke_gets_its_items_again() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="one")))
        assert contents(await world.poll(bo)) == ["one"]
        world.hub.release(bo, ())
        assert contents(await world.poll(bo)) == ["one"]


@run
async def test_a_cancelled_wait_takes_nothing_with_it() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        waiting = await started(world.hub.receive(bo, ReceiveRequest(channel=Channel.POLL, wait_seconds=25)), world)
        waiting.cancel()
        await world.clock.advance(0)
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="one")))
        assert contents(await world.poll(bo)) == ["one"]
        assert world.hub._views.directory.member("bo").mailbox.wakers == ()


@run
async def test_a_reader_that_lost_its_cursor_reads_again_from_the_log() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for number in range(250):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body=str(number))))
        cursor = 0
        while batch := await world.poll(bo, after=cursor):  # type: ignore[truthy-bool]
            if not batch.items:
                break
            cursor = batch.cursor
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="last")))
        seen: list[str] = []
        cursor = 0
        while True:
            batch = await world.poll(bo, after=cursor)
            seen += contents(batch)
            cursor = batch.cursor
            if not batch.has_more:
                break
        assert seen == [*map(str, range(250)), "last"]


@run
async def test_pages_say_whether_there_is_more() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for number in range(3):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body=str(number))))
        first = await world.poll(bo, after=0, limit=2)
        assert (contents(first), first.has_more) == (["0", "1"], True)
        rest = await world.poll(bo, after=first.cursor, limit=2)
        assert (contents(rest), rest.has_more) == (["2"], False)


@run
async def test_a_cursor_of_another_hub_is_refused() -> None:
    async with World() as world:
        bo = await world.join("bo")
        for after, code in ((10_000, "cursor.ahead"), (-1, "cursor.bad")):
            request = ReceiveRequest(channel=Channel.POLL, wait_seconds=0, after=after)
            assert refused(await world.hub.receive(bo, request)) == code


@run
async def test_one_message_reaches_each_of_its_recipients_once() -> None:
    async with World() as world:
        ana = await world.join("ana")
        others = [await world.join(f"w{number}") for number in range(4)]
        names = tuple(caller.name for caller in others)
        ok(await world.hub.send(ana, SendRequest(to=(*names, names[0]), body="hi all")))
        for caller in others:
            assert contents(await world.poll(caller)) == ["hi all"]
            assert contents(await world.poll(caller)) == []


@run
async def test_one_recipients_messages_are_not_anothers() -> None:
    async with World() as world:
        ana, bo, cy = await world.join("ana"), await world.join("bo"), await world.join("cy")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="for bo")))
        assert contents(await world.poll(cy)) == []
        assert contents(await world.poll(bo)) == ["for bo"]


@run
async def test_a_message_to_nobody_or_too_many_is_refused() -> None:
    async with World(limits=Limits(fan_out_max=2)) as world:
        ana = await world.join("ana")
        for name in ("a1", "a2", "a3"):
            await world.join(name)
        assert refused(await world.hub.send(ana, SendRequest(to=(), body="x"))) == "message.no_recipient"
        assert refused(await world.hub.send(ana, SendRequest(to=("a1", "a2", "a3"), body="x"))) == "limit.fan_out"
        assert refused(await world.hub.send(ana, SendRequest(to=("a1", "nobody"), body="x"))) == "recipient.unknown"
        assert refused(await world.hub.send(ana, SendRequest(to=("a1",), body="x" * 70_000))) == "limit.size"


@run
async def test_a_full_mailbox_refuses_instead_of_growing() -> None:
    async with World(limits=Limits(mailbox_items_max=3)) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for _ in range(3):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body="x")))
        assert refused(await world.hub.send(ana, SendRequest(to=("bo",), body="x"))) == "limit.mailbox"
        batch = await world.poll(bo, after=0)
        await world.poll(bo, after=batch.cursor)
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="x")))


@run
async def test_sent_is_never_reported_as_delivered() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        here = ok(await world.hub.send(ana, SendRequest(to=("bo",), body="x")))
        assert here.delivery == {"bo": "queued"}
        await world.clock.advance(200)
        away = ok(await world.hub.send(ana, SendRequest(to=("bo",), body="x")))
        assert away.delivery["bo"].startswith("queued, away since 20")


@run
async def test_a_polling_asker_gets_the_answer_in_its_mailbox() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        [question] = (await world.poll(bo)).items
        assert (question.kind, question.id, question.content) == ("question", asked.question_id, "Ship it?")
        ok(await world.answer(bo, asked.question_id))
        [answer] = (await world.poll(ana)).items
        assert (answer.kind, answer.reply_to, answer.content) == ("answer", asked.question_id, '{"verdict":"ship"}')


@run
async def test_everything_is_there_again_after_a_restart() -> None:
    async with World() as first:
        ana, bo = await first.join("ana"), await first.join("bo")
        ok(await first.hub.send(ana, SendRequest(to=("bo",), body="acknowledged")))
        read = await first.poll(bo, after=0)
        await first.poll(bo, after=read.cursor)
        ok(await first.hub.send(ana, SendRequest(to=("bo",), body="waiting")))
        asked = await first.ask(ana, "bo", deadline_seconds=100)
        world = await first.restart()
        batch = await world.poll(bo)
        assert contents(batch) == ["waiting", "Ship it?"]
        await world.clock.advance(101)
        assert ok(await world.hub.question(ana, asked.question_id)).status == "expired"
        await world.hub.stop()


@run
async def test_a_stopping_hub_lets_go_of_every_wait() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        waits = [
            await started(world.hub.receive(ana, ReceiveRequest(channel=Channel.POLL, wait_seconds=50)), world),
            await started(world.hub.question(ana, asked.question_id, 50), world),
        ]
        stream = ok(await world.hub.subscribe(bo, None))
        world.hub.drain()
        await asyncio.gather(*waits)
        while item := await stream.next():
            assert item.event in {"hello", "question"}


@run
async def test_only_those_who_take_part_may_reply() -> None:
    async with World() as world:
        ana, bo, cy = await world.join("ana"), await world.join("bo"), await world.join("cy")
        sent = ok(await world.hub.send(ana, SendRequest(to=("bo",), body="secret")))
        asked = await world.ask(ana, "bo")
        for reply_to in (sent.message_id, asked.question_id):
            request = SendRequest(to=("ana",), body="me too", reply_to=reply_to)
            assert refused(await world.hub.send(cy, request)) == "reply.unknown"
        reply = ok(await world.hub.send(bo, SendRequest(to=(), body="yes", reply_to=sent.message_id)))
        assert reply.conversation == sent.message_id
        assert [item.reply_to for item in (await world.poll(ana)).items] == [sent.message_id]


@run
async def test_a_cursor_that_the_log_did_not_take_is_written_when_it_takes_writes_again() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="once")))
        batch = await world.poll(bo, after=0)
        log.always = "unavailable"
        await world.poll(bo, after=batch.cursor)
        log.always = "fine"
        await world.clock.advance(2)
        again = await world.restart()
        assert contents(await again.poll(bo)) == []
        await again.hub.stop()
