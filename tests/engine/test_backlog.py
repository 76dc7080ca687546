"""A reader who goes back finds everything that was for it, and only that is read of the log."""

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import StoredEvent
from crossfade.engine.requests import Batch, SendRequest
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import World, ok, run


class CountingLog(MemoryLog):
    """Counts the records it hands out."""

    handed_out = 0

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """As the memory log."""
        rows = await super().read(shard, after, limit)
        self.handed_out += len(rows)
        return rows


def contents(batch: Batch) -> list[str]:
    return [item.content for item in batch.items]


async def chatter(world: World, times: int) -> None:
    """Questions and messages between two others."""
    eve, dan = world.callers["eve"], world.callers["dan"]
    for number in range(times):
        asked = await world.ask(eve, "dan", str(number))
        ok(await world.answer(dan, asked.question_id))
        ok(await world.hub.send(dan, SendRequest(to=("eve",), body=str(number))))


async def history(world: World) -> list[str]:
    """What bo finds from the beginning, page by page."""
    found: list[str] = []
    after, more = 0, True
    while more:
        batch = await world.poll(world.callers["bo"], after=after, limit=2)
        found += contents(batch)
        after, more = batch.cursor, batch.has_more
    return found


async def lived(between: int, log: CountingLog) -> World:
    """A world in which bo has acknowledged a few things that lie ``between`` other things apart."""
    world = World(log)
    await world.hub.start()
    for name in ("ana", "bo", "eve", "dan"):
        await world.join(name)
    ana, bo = world.callers["ana"], world.callers["bo"]
    for number in range(3):
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body=f"m{number}")))
        await chatter(world, between)
    answered = await world.ask(ana, "bo", "answered")
    ok(await world.answer(bo, answered.question_id))
    await world.ask(ana, "bo", "open", deadline_seconds=9_000)
    own = await world.ask(bo, "ana", "own")
    await chatter(world, between)
    ok(await world.answer(ana, own.question_id))
    await chatter(world, between)
    ok(await world.hub.send(ana, SendRequest(to=("bo",), body="last")))
    batch = await world.poll(bo, after=0)
    await world.poll(bo, after=batch.cursor)
    return world


WHOLE = ["m0", "m1", "m2", "open", '{"verdict":"ship"}', "last"]


@run
async def test_going_back_reads_no_more_of_a_log_ten_times_as_long() -> None:
    read = []
    for between in (10, 100):
        log = CountingLog()
        world = await lived(between, log)
        log.handed_out = 0
        assert await history(world) == WHOLE
        read.append(log.handed_out)
        await world.hub.stop()
    assert read[0] == read[1] <= 2 * len(WHOLE)


@run
async def test_going_back_finds_the_same_after_a_restart() -> None:
    world = await lived(3, CountingLog())
    again = await world.restart()
    assert await history(again) == WHOLE
    await again.hub.stop()


@run
async def test_a_question_that_has_its_end_does_not_come_again_and_its_end_does() -> None:
    world = await lived(1, CountingLog())
    bo = world.callers["bo"]
    [question] = await world.hub.open_questions(bo)
    ok(await world.answer(bo, question.question_id))
    assert await history(world) == [content for content in WHOLE if content != "open"]
    assert contents(await world.poll(world.callers["ana"], after=0, limit=99)).count('{"verdict":"ship"}') == 2
    await world.hub.stop()
