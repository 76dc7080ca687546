"""Group commit: many commands, few writes, in order, and each caller hears of its own."""

import asyncio

import pytest

from crossfade.core import questions
from crossfade.core.records import Event, Recorded, encode, type_name
from crossfade.core.values import SPACE, Channel, Instant, Sequence, StreamName
from crossfade.engine.committer import Committer
from crossfade.engine.limits import Limits
from crossfade.engine.ports import (
    Committed,
    Conflict,
    Duplicate,
    LogError,
    NewEvent,
    Result,
    Tx,
    UnavailableError,
    UnknownOutcomeError,
)
from tests.kit.clock import settle
from tests.kit.faulty import FaultyLog
from tests.kit.hub import run

Arguments = tuple[Tx, tuple[Event, ...]]
OFFERED = questions.Offered(channel=Channel.POLL)


class Bench:
    """A committer on a faulty log, and what its projector was given."""

    def __init__(self, **limits: int) -> None:
        self.log = FaultyLog()
        self.projected: list[Recorded] = []
        self.calls: list[int] = []
        self.committer = Committer(self.log, SPACE, Limits(**limits), self.project, Sequence(0))  # type: ignore[arg-type]

    def project(self, records: object) -> None:
        assert isinstance(records, list)
        self.projected += records
        self.calls.append(len(records))

    def arguments(self, number: int, *, expect: int = 0, events: int = 1, stream: str = "") -> Arguments:
        name = StreamName(stream or f"question/q_{number}")
        new = tuple(
            NewEvent(name, type_name(OFFERED), Instant(number), f"by-{number}", f"cause-{number}", encode(OFFERED))
            for _ in range(events)
        )
        return Tx(number.to_bytes(16, "big"), ((name, expect),), new), (OFFERED,) * events

    async def submit(self, number: int, **more: object) -> Result:
        return await self.committer.submit(*self.arguments(number, **more))  # type: ignore[arg-type]

    async def started(self, number: int, **more: object) -> "asyncio.Task[Result]":
        task = asyncio.ensure_future(self.submit(number, **more))
        await settle()
        return task

    def sequences(self) -> list[int]:
        return [record.sequence for record in self.projected]


@run
async def test_commands_that_arrive_together_share_one_write() -> None:
    bench = Bench()
    results = await asyncio.gather(*(bench.submit(number) for number in range(100)))
    assert bench.log.batches == [100]
    assert results == [Committed(Sequence(place), Sequence(place)) for place in range(1, 101)]
    assert [record.stream for record in bench.projected] == [f"question/q_{number}" for number in range(100)]


@run
async def test_what_arrives_a_turn_later_shares_it_too() -> None:
    bench = Bench()
    first = asyncio.ensure_future(bench.submit(1))
    await asyncio.sleep(0)
    await asyncio.gather(first, bench.submit(2))
    assert bench.log.batches == [2]


@run
async def test_what_arrives_during_a_write_gathers_for_the_next() -> None:
    bench = Bench()
    bench.log.open.clear()
    first = await bench.started(0)
    others = [await bench.started(number) for number in range(1, 51)]
    assert bench.committer.pending == 50
    assert bench.projected == []  # nothing is told or seen before it is durable
    assert not first.done()
    bench.log.open.set()
    await asyncio.gather(first, *others)
    assert bench.log.batches == [1, 50]
    assert bench.sequences() == list(range(1, 52))


@run
async def test_one_write_is_not_larger_than_its_limit() -> None:
    bench = Bench(events_per_batch_max=10)
    await asyncio.gather(*(bench.submit(number) for number in range(25)))
    assert bench.log.batches == [10, 10, 5]


@run
async def test_beyond_its_limit_the_queue_turns_commands_away_and_takes_them_again_later() -> None:
    bench = Bench(pending_commits_max=3)
    bench.log.open.clear()
    first = await bench.started(0)
    waiting = [await bench.started(number) for number in range(1, 4)]
    told: list[Result | LogError] = []
    with pytest.raises(UnavailableError, match="3 commands are waiting"):
        await bench.submit(4)
    bench.committer.post(*bench.arguments(5), told.append)
    assert [type(one) for one in told] == [UnavailableError]
    bench.log.open.set()
    await asyncio.gather(first, *waiting)
    assert await bench.submit(4) == Committed(Sequence(5), Sequence(5))
    assert [record.stream for record in bench.projected][-1] == "question/q_4"


@run
async def test_a_submitter_that_is_cancelled_does_not_undo_its_command_nor_disturb_the_others() -> None:
    bench = Bench()
    bench.log.open.clear()
    tasks = [await bench.started(number) for number in range(4)]
    for task in tasks[:2]:  # one being written, one still in the queue
        task.cancel()
    await settle()
    bench.log.open.set()
    assert await asyncio.gather(*tasks[2:]) == [Committed(Sequence(place), Sequence(place)) for place in (3, 4)]
    assert bench.sequences() == [1, 2, 3, 4]
    assert await bench.submit(1) == Duplicate(Sequence(2), Sequence(2))


@run
async def test_nobody_is_told_before_the_projector_has_seen_it() -> None:
    bench = Bench()
    seen: list[int] = []
    bench.committer.post(*bench.arguments(1), lambda _: seen.append(len(bench.projected)))
    await bench.committer.flush()
    assert seen == [1]


@run
async def test_a_record_is_projected_with_everything_that_was_stored() -> None:
    bench = Bench()
    await bench.submit(7, events=2)
    stored = await bench.log.read(SPACE, Sequence(0), 10)
    assert [record.version for record in bench.projected] == [1, 2]
    for record, row in zip(bench.projected, stored, strict=True):
        assert record == Recorded(
            shard=SPACE,
            sequence=row.sequence,
            stream=row.stream,
            version=row.version,
            at=Instant(7),
            actor="by-7",
            cause="cause-7",
            event=OFFERED,
        )


@run
async def test_a_conflict_or_duplicate_in_the_middle_stores_nothing_and_shifts_nothing() -> None:
    bench = Bench()
    await bench.submit(1)
    results = await asyncio.gather(
        bench.submit(2), bench.submit(1), bench.submit(3, expect=5), bench.submit(4, events=3), bench.submit(5)
    )
    assert list(results) == [
        Committed(Sequence(2), Sequence(2)),
        Duplicate(Sequence(1), Sequence(1)),
        Conflict(StreamName("question/q_3"), 0),
        Committed(Sequence(3), Sequence(5)),
        Committed(Sequence(6), Sequence(6)),
    ]
    assert bench.sequences() == [1, 2, 3, 4, 5, 6]
    assert bench.committer.head == 6


@pytest.mark.parametrize("fault", ["unavailable", "fenced", "lost"])
def test_a_fault_is_told_to_everyone_in_the_batch_and_forgotten_after_the_next_success(fault: str) -> None:
    @run
    async def body() -> None:
        bench = Bench()
        bench.log.faults.append(fault)
        told = await asyncio.gather(*(bench.submit(number) for number in range(3)), return_exceptions=True)
        assert all(isinstance(one, LogError) for one in told)
        assert bench.committer.failed is told[0]
        assert bench.projected == []
        assert await bench.submit(1) == Committed(Sequence(1), Sequence(1))
        assert bench.committer.failed is None

    body()


@run
async def test_what_was_stored_under_an_unknown_outcome_is_projected_once_before_anything_else() -> None:
    bench = Bench()
    await bench.submit(0)
    bench.log.faults.append("stored")
    told = await asyncio.gather(bench.submit(1), bench.submit(2), return_exceptions=True)
    assert [type(one) for one in told] == [UnknownOutcomeError, UnknownOutcomeError]
    again = await asyncio.gather(bench.submit(1), bench.submit(3))
    assert list(again) == [Duplicate(Sequence(2), Sequence(2)), Committed(Sequence(4), Sequence(4))]
    assert bench.sequences() == [1, 2, 3, 4]
    assert bench.committer.head == 4
    reads = bench.log.reads
    await bench.submit(4)
    assert bench.log.reads == reads  # once it is certain again, nothing is read any more


@run
async def test_flush_returns_when_nothing_is_waiting() -> None:
    bench = Bench(events_per_batch_max=1)
    await bench.committer.flush()
    bench.log.open.clear()
    tasks = [await bench.started(number) for number in range(3)]
    flushing = asyncio.ensure_future(bench.committer.flush())
    await settle()
    assert not flushing.done()
    bench.log.open.set()
    await flushing
    assert bench.committer.pending == 0
    assert all(task.done() for task in tasks)


@run
async def test_a_command_that_follows_from_a_record_is_written_too() -> None:
    bench = Bench()
    told: list[Result | LogError] = []
    bench.committer.post(*bench.arguments(1), lambda _: bench.committer.post(*bench.arguments(2), told.append))
    await bench.committer.flush()
    assert told == [Committed(Sequence(2), Sequence(2))]


@run
async def test_what_was_stored_under_an_unknown_outcome_is_seen_without_another_command() -> None:
    bench = Bench()
    bench.log.faults.append("stored")
    with pytest.raises(UnknownOutcomeError):
        await bench.submit(0)
    await settle()
    assert bench.sequences() == [1]


# --- faults that are not the log's ---------------------------------------------------------------------------


async def outcomes(tasks: "list[asyncio.Task[Result]]") -> list[Result | BaseException]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)


@run
async def test_a_fault_of_our_own_while_storing_is_told_to_everybody_and_nothing_is_taken_any_more() -> None:
    bench = Bench(events_per_batch_max=2)

    async def broken(_shard: object, _txs: object) -> list[Result]:
        raise ZeroDivisionError("planted")

    bench.log.append = broken  # type: ignore[method-assign, assignment]
    tasks = [asyncio.ensure_future(bench.submit(number)) for number in range(5)]
    await asyncio.sleep(0)
    heard: list[object] = []
    bench.committer.post(*bench.arguments(9), heard.append)
    found = await outcomes(tasks)
    assert [type(one) for one in found] == [UnknownOutcomeError] * 2 + [UnavailableError] * 3
    assert [type(one) for one in heard] == [UnavailableError]
    assert bench.committer.failed is not None
    with pytest.raises(UnavailableError, match="start it again"):
        await bench.submit(10)
    await bench.committer.recovered()
    assert bench.committer.failed is not None, "what our own fault left behind does not heal"


@run
async def test_a_fault_of_our_own_while_projecting_is_told_to_everybody() -> None:
    bench = Bench()

    def broken(_records: object) -> None:
        raise ZeroDivisionError("planted")

    bench.committer._project = broken  # type: ignore[assignment]
    found = await outcomes([asyncio.ensure_future(bench.submit(number)) for number in range(3)])
    assert [type(one) for one in found] == [UnknownOutcomeError] * 3


@run
async def test_a_fault_in_one_callback_leaves_nobody_else_waiting() -> None:
    bench = Bench()

    def broken(_result: object) -> None:
        raise ZeroDivisionError("planted")

    first = asyncio.ensure_future(bench.submit(1))
    await asyncio.sleep(0)
    bench.committer.post(*bench.arguments(2), broken)
    last = asyncio.ensure_future(bench.submit(3))
    found = await outcomes([first, last])
    assert isinstance(found[0], Committed)
    assert isinstance(found[1], UnknownOutcomeError)


@run
async def test_a_worker_that_is_cancelled_leaves_nobody_waiting() -> None:
    bench = Bench()
    tasks = [asyncio.ensure_future(bench.submit(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert bench.committer._worker is not None
    bench.committer._worker.cancel()
    found = await outcomes(tasks)
    assert all(isinstance(one, LogError) for one in found)
