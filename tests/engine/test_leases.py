"""Leases are looked at in common: each when it is due or hardly later, few in one turn, and none is forgotten."""

import asyncio
import itertools
from contextlib import asynccontextmanager

from crossfade.core.agents import State
from crossfade.core.values import SECOND, Instant
from crossfade.engine.leases import GRAIN_BITS, LOOKS_MAX, Leases
from crossfade.engine.timers import Timers
from crossfade.engine.views.directory import Member
from tests.kit.clock import EPOCH, FakeClock, settle
from tests.kit.hub import run

GRAIN = 1 << GRAIN_BITS


@asynccontextmanager
async def leases(clock, look):
    timers = Timers(clock)
    task = asyncio.ensure_future(timers.run())
    yield Leases(timers, look)
    task.cancel()
    await settle()


@run
async def test_who_is_alone_is_looked_at_on_the_nanosecond():
    clock, seen = FakeClock(), []
    async with leases(clock, lambda _: seen.append(clock.now())) as them:
        member = Member(State())
        due = Instant(EPOCH + 90 * SECOND + 1)
        them.watch(member, due)
        assert member.watched
        await clock.advance(90)
        assert seen == []
        await clock.advance(1)
        assert seen == [due]
        assert not member.watched


@run
async def test_everybody_is_looked_at_never_before_a_grain_is_over_and_at_most_two_later():
    clock, due_at, seen = FakeClock(), {}, []

    def look(member):
        seen.append((member, clock.now() - due_at[member]))

    async with leases(clock, look) as them:
        for number in range(200):
            member = Member(State())
            due_at[member] = Instant(EPOCH + SECOND + number * 7_000_000)
            them.watch(member, due_at[member])
        await clock.advance(4)
        assert {member for member, _ in seen} == set(due_at)
        assert len(seen) == len(due_at)
        assert all(-GRAIN < late <= 2 * GRAIN for _, late in seen)


@run
async def test_who_is_to_be_looked_at_again_is_so_in_a_later_grain():
    clock, seen = FakeClock(), []

    def look(member):
        seen.append(clock.now())
        if len(seen) < 4:
            them.watch(member, Instant(EPOCH + SECOND))  # past already

    async with leases(clock, look) as them:
        them.watch(Member(State()), Instant(EPOCH + SECOND))
        await clock.advance(2)
        assert len(seen) == 4
        assert all(later > sooner for sooner, later in itertools.pairwise(seen))


@run
async def test_many_that_are_due_at_once_are_looked_at_some_at_a_time():
    clock, seen = FakeClock(), []
    async with leases(clock, lambda _: seen.append(clock.now())) as them:
        for _ in range(3 * LOOKS_MAX + 1):
            them.watch(Member(State()), Instant(EPOCH + SECOND))
        await clock.advance(2)
        assert [seen.count(instant) for instant in sorted(set(seen))] == [LOOKS_MAX, LOOKS_MAX, LOOKS_MAX, 1]


@run
async def test_somebody_who_shares_a_grain_with_an_earlier_one_is_looked_at_again_not_lost():
    """What ``identity`` does with one whose lease has not lapsed yet."""
    clock, lapsed = FakeClock(), []
    due = {}

    def look(member):
        if clock.now() < due[member]:
            them.watch(member, due[member])
        else:
            lapsed.append(member)

    async with leases(clock, look) as them:
        start = (EPOCH + SECOND >> GRAIN_BITS) + 1 << GRAIN_BITS
        members = [Member(State()) for _ in range(20)]
        for number, member in enumerate(members):
            due[member] = Instant(start + number * 3_000_000)
            them.watch(member, due[member])
        await clock.advance(3)
        assert sorted(map(id, lapsed)) == sorted(map(id, members))
