"""Waits are ended in common: each on its nanosecond or hardly later, few in one turn, and none is forgotten."""

import asyncio
from contextlib import asynccontextmanager

from crossfade.core.agents import State
from crossfade.core.values import SECOND, Channel, Instant
from crossfade.engine.requests import ReceiveRequest
from crossfade.engine.timers import Timers
from crossfade.engine.views.directory import Member
from crossfade.engine.waits import GRAIN_BITS, LOOKS_MAX, Patience, Wait
from tests.kit.clock import EPOCH, FakeClock, settle
from tests.kit.hub import run

GRAIN = 1 << GRAIN_BITS
REQUEST = ReceiveRequest(channel=Channel.POLL)


class Noted(Wait):
    """A wait that notes when it is woken, and leaves."""

    __slots__ = ("clock", "woken_at")
    clock: FakeClock
    woken_at: list[Instant]

    def wake(self):
        self.woken_at.append(self.clock.now())
        self.member.mailbox.leave(self)


@asynccontextmanager
async def patience():
    clock = FakeClock()
    timers = Timers(clock)
    task = asyncio.ensure_future(timers.run())
    await settle()

    def wait(until, member=None):
        one = Noted(member or Member(State()), REQUEST, 0, Instant(until))
        one.clock, one.woken_at = clock, []
        one.member.mailbox.enter(one)
        those.watch(one.member.mailbox, one.until)
        return one

    those = Patience(timers, clock)
    yield clock, those, wait
    task.cancel()
    await settle()


@run
async def test_each_wait_ends_on_its_nanosecond_also_those_that_lie_together():
    async with patience() as (clock, _, wait):
        start = (EPOCH + SECOND >> GRAIN_BITS) + 1 << GRAIN_BITS
        waits = [wait(start + number * 3_000_000) for number in (5, 0, 9, 3, 30)]
        await clock.advance(3)
        assert [one.woken_at for one in waits] == [[one.until] for one in waits]


@run
async def test_of_two_waits_in_one_mailbox_each_ends_in_its_time():
    async with patience() as (clock, _, wait):
        first = wait(EPOCH + 9 * SECOND)
        second = wait(EPOCH + 3 * SECOND, first.member)
        third = wait(EPOCH + 3 * SECOND + 5, first.member)
        await clock.advance(20)
        assert [one.woken_at for one in (first, second, third)] == [[first.until], [second.until], [third.until]]


@run
async def test_who_left_and_came_again_is_woken_once_in_its_new_time():
    async with patience() as (clock, _, wait):
        gone = wait(EPOCH + 5 * SECOND)
        gone.member.mailbox.leave(gone)
        again = [wait(EPOCH + 5 * SECOND + more, gone.member) for more in (1, 2 * SECOND)]
        await clock.advance(20)
        assert gone.woken_at == []
        assert [one.woken_at for one in again] == [[one.until] for one in again]


@run
async def test_a_mailbox_lies_no_more_often_than_there_were_waits_in_it_and_is_forgotten_where_nobody_looks():
    async with patience() as (clock, those, wait):
        first = wait(EPOCH + 9 * SECOND)
        waits = [wait(EPOCH + seconds * SECOND, first.member) for seconds in (8, 7, 6, 5, 4)]
        for left in range(5, 0, -1):
            await clock.advance(4 if left == 5 else 1)
            assert len(those._grains) == left, "and none where its time was"
            assert max(len(grain.mailboxes) for grain in those._grains.values()) == 2
        await clock.advance(1)
        assert [one.woken_at for one in (first, *waits)] == [[one.until] for one in (first, *waits)]
        assert those._grains == {}


@run
async def test_a_mailbox_that_is_looked_at_elsewhere_by_then_is_not_taken_along():
    async with patience() as (clock, those, wait):
        late = wait(EPOCH + 9 * SECOND)
        early = wait(EPOCH + 3 * SECOND, late.member)
        early.member.mailbox.leave(late)
        await clock.advance(5)
        again = wait(EPOCH + 20 * SECOND, early.member)
        await clock.advance(5)
        assert [len(grain.mailboxes) for grain in those._grains.values()] == [1]
        await clock.advance(15)
        assert (early.woken_at, late.woken_at, again.woken_at) == ([early.until], [], [again.until])


@run
async def test_many_that_end_at_once_end_some_at_a_time_and_all():
    async with patience() as (clock, those, wait):
        waits = [wait(EPOCH + SECOND) for _ in range(2 * LOOKS_MAX + 1)]
        clock._now = Instant(EPOCH + SECOND)
        those._due(EPOCH + SECOND >> GRAIN_BITS)
        assert sum(bool(one.woken_at) for one in waits) == LOOKS_MAX
        await clock.advance(1)
        assert all(len(one.woken_at) == 1 for one in waits)
        assert those._grains == {}
