"""Appointments are kept in order, on one sleeping task, and never starve whoever else has work."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crossfade.core.values import SECOND, Instant
from crossfade.engine.timers import DRAWER_BITS, TURN_MAX, Timers
from tests.kit.clock import EPOCH, FakeClock, settle
from tests.kit.hub import run


@asynccontextmanager
async def running(clock: FakeClock) -> AsyncIterator[Timers]:
    timers = Timers(clock)
    task = asyncio.ensure_future(timers.run())
    await settle()
    yield timers
    assert not task.done()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert all(future.done() for _, _, future in clock._sleepers), "a sleep was left behind"


def at(seconds: float) -> Instant:
    return Instant(EPOCH + int(seconds * SECOND))


@run
async def test_appointments_are_kept_in_order_and_those_of_one_instant_as_they_were_made() -> None:
    clock, kept = FakeClock(), list[str]()
    async with running(clock) as timers:
        for seconds, name in ((3, "c"), (1, "a"), (2, "b1"), (2, "b2"), (2, "b3")):
            timers.at(at(seconds), lambda name=name: kept.append(name))  # type: ignore[misc]
        await clock.advance(0.999)
        assert kept == []
        await clock.advance(0.001)
        assert kept == ["a"]
        await clock.advance(10)
        assert kept == ["a", "b1", "b2", "b3", "c"]
        assert len(timers) == 0


@run
async def test_an_earlier_appointment_made_later_is_kept_first() -> None:
    clock, kept = FakeClock(), list[int]()
    async with running(clock) as timers:
        timers.at(at(100), lambda: kept.append(100))
        await settle()
        timers.at(at(1), lambda: kept.append(1))
        await clock.advance(1)
        assert kept == [1]
        await clock.advance(99)
        assert kept == [1, 100]


@run
async def test_what_is_due_already_is_called_on_the_next_turn_and_not_within_the_call() -> None:
    clock, kept = FakeClock(), list[str]()
    async with running(clock) as timers:
        timers.at(at(-5), lambda: kept.append("late"))
        timers.at(at(0), lambda: kept.append("now"))
        assert kept == []
        await settle()
        assert kept == ["late", "now"]


@run
async def test_a_cancelled_appointment_is_not_kept_and_cancelling_it_later_does_nothing() -> None:
    clock, kept = FakeClock(), list[int]()
    async with running(clock) as timers:
        first, second = (timers.at(at(1), lambda n=n: kept.append(n)) for n in (1, 2))  # type: ignore[misc]
        first.cancel()
        await clock.advance(2)
        assert kept == [2]
        second.cancel()
        assert len(timers) == 0


@run
async def test_an_appointment_made_by_an_appointment_is_kept() -> None:
    clock, kept = FakeClock(), list[Instant]()
    async with running(clock) as timers:
        timers.at(at(1), lambda: timers.at(at(2), lambda: kept.append(clock.now())))
        await clock.advance(5)
        assert kept == [at(2)]


@run
async def test_ten_thousand_due_at_once_let_others_in_between() -> None:
    clock, kept, turns = FakeClock(), list[int](), list[int]()

    async def another() -> None:
        while len(kept) < 10_000:
            turns.append(len(kept))
            await asyncio.sleep(0)

    async with running(clock) as timers:
        for number in range(10_000):
            timers.at(at(1), lambda number=number: kept.append(number))  # type: ignore[misc]
        clock._now = at(1)
        timers.at(at(0), lambda: None)
        await another()
        assert kept == list(range(10_000))
        assert len(set(turns)) >= 10_000 // TURN_MAX
        assert max(later - earlier for earlier, later in itertools.pairwise(turns)) <= TURN_MAX


@run
async def test_one_task_sleeps_however_many_wait() -> None:
    clock = FakeClock()
    async with running(clock) as timers:
        for seconds in range(1, 500):
            timers.at(at(1_000 - seconds), lambda: None)
            if seconds % 50 == 0:
                await settle()
        await settle()
        assert len(timers) == 499
        assert sum(not future.done() for _, _, future in clock._sleepers) == 1


@run
async def test_cancelled_appointments_leave_nothing_and_those_that_stand_are_kept() -> None:
    clock, kept = FakeClock(), list[int]()
    async with running(clock) as timers:
        for number in range(10_000):
            timer = timers.at(at(600 + number), lambda number=number: kept.append(number))  # type: ignore[misc]
            if number % 100:
                timer.cancel()
                timer.cancel()
        assert len(timers) == 100
        await clock.advance(600 + 10_000)
        assert kept == list(range(0, 10_000, 100))
        assert len(timers) == 0


@run
async def test_one_that_is_cancelled_after_it_came_near_is_gone_a_drawer_later() -> None:
    clock, kept = FakeClock(), list[int]()
    async with running(clock) as timers:
        timers.at(at(1), lambda: kept.append(1))
        both = [timers.at(at(2), lambda n=n: kept.append(n)) for n in (2, 3)]  # type: ignore[misc]
        await clock.advance(1)
        both[0].cancel()
        await clock.advance((1 << DRAWER_BITS) / SECOND)
        assert kept == [1, 3]
        assert len(timers) == 0


@run
async def test_appointments_on_both_sides_of_every_edge_between_drawers_are_kept_in_order() -> None:
    clock, kept = FakeClock(), list[int]()
    edges = [(EPOCH >> DRAWER_BITS) + number << DRAWER_BITS for number in (5, 2, 1, 4, 3, 40)]
    instants = [edge + offset for edge in edges for offset in (1, 0, -1)]
    async with running(clock) as timers:
        for instant in instants:
            timers.at(Instant(instant), lambda instant=instant: kept.append(clock.now() - instant))  # type: ignore[misc]
            timers.at(Instant(instant), lambda instant=instant: kept.append(instant))  # type: ignore[misc]
        await clock.advance(41 * (1 << DRAWER_BITS) / SECOND)
        assert kept == [value for instant in sorted(instants) for value in (0, instant)]


@run
async def test_those_of_one_instant_keep_their_order_when_some_were_made_far_ahead_and_some_near() -> None:
    clock, kept = FakeClock(), list[str]()
    async with running(clock) as timers:
        for name in ("a", "b"):
            timers.at(at(60), lambda name=name: kept.append(name))  # type: ignore[misc]
        await clock.advance(59.999)
        timers.at(at(60), lambda: kept.append("c"))
        await clock.advance(0.001)
        assert kept == ["a", "b", "c"]


@run
async def test_a_drawer_that_opens_while_a_later_one_is_slept_for_is_kept_in_time() -> None:
    clock, kept = FakeClock(), list[int]()
    async with running(clock) as timers:
        timers.at(at(10_000), lambda: kept.append(10_000))
        await clock.advance(5_000)  # nothing came near for long
        timers.at(at(5_001), lambda: kept.append(5_001))
        timers.at(at(5_100), lambda: kept.append(5_100))
        await clock.advance(1)
        assert kept == [5_001]
        await clock.advance(99)
        assert kept == [5_001, 5_100]
        await clock.advance(5_000)
        assert kept == [5_001, 5_100, 10_000]
