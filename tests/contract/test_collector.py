"""The collector's policy, by counts: what a pass visits at most, and when memory is given back. Nothing is timed."""

import asyncio
import ctypes
import gc
import sys
from pathlib import Path

import pytest

from bench.trip import Desk
from crossfade.inbound.collector import LOOK_EVERY, THRESHOLDS, CollectorPolicy
from crossfade.inbound.ebb import CALM_LOOKS, LEAST, Ebb
from crossfade.outbound.memory import give_back
from tests.kit.clock import FakeClock, FakeIds

TRIPS_A_BEAT = 20
BEATS = 12


class Passes:
    """What each pass of the collector was about to visit: objects that are tracked and not frozen."""

    def __init__(self) -> None:
        self.visited: list[int] = []

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.visited.append(sum(len(gc.get_objects(one)) for one in range(info["generation"] + 1)))


async def beaten(held: list[list[int]]) -> tuple[list[int], int]:
    """What each pass visits while a hub works that holds ``held`` besides, and what is left unfrozen after the last."""
    policy, passes = CollectorPolicy(), Passes()
    async with Desk("2026-07-28", 4, FakeClock(), FakeIds(3)) as desk:
        await desk.trips(TRIPS_A_BEAT)
        policy.start()
        gc.callbacks.append(passes)
        try:
            for number in range(BEATS):
                held += [[number] for _ in range(len(held) // BEATS)]
                await desk.trips(TRIPS_A_BEAT)
                policy.beat()
            return passes.visited, sum(len(gc.get_objects(one)) for one in range(3))
        finally:
            gc.callbacks.remove(passes)
            policy.stop()


def test_a_pass_visits_at_most_what_came_since_the_last_ones_however_much_a_hub_holds() -> None:
    gc.collect()
    for size in (1_000, 100_000):
        visited, unfrozen = asyncio.run(beaten([[number] for number in range(size)]))
        assert len(visited) >= BEATS
        assert max(visited) <= THRESHOLDS[0] * (THRESHOLDS[1] + 3), size
        assert unfrozen < THRESHOLDS[0], "what a middle pass leaves is frozen: there is nothing for a full one"


def test_a_crowd_that_has_gone_is_told_of_once_and_some_looks_later() -> None:
    ebb = Ebb()
    counts = [1_000, 10_000, 6_000, *[1_000] * 20]
    told = [look for look, count in enumerate(counts) if ebb.over(count)]
    assert told == [2 + CALM_LOOKS]


def test_the_next_crowd_is_told_of_too() -> None:
    ebb = Ebb()
    for _ in range(3):
        assert not ebb.over(10_000)
        assert [ebb.over(1_000) for _ in range(CALM_LOOKS)] == [False] * (CALM_LOOKS - 1) + [True]


@pytest.mark.parametrize(
    "counts",
    [
        [10_000, *[5_001] * 20],  # more than half are left
        [LEAST, *[1] * 20],  # too few went to be a crowd
        [10_000, *[1_000] * (CALM_LOOKS - 1), 10_000, *[1_000] * (CALM_LOOKS - 1)],  # they came back
    ],
)
def test_no_crowd_has_gone(counts: list[int]) -> None:
    ebb = Ebb()
    assert not any(ebb.over(count) for count in counts)


def test_memory_is_given_back_at_the_beats_after_a_crowd_and_at_no_other() -> None:
    connected, given_at = 10_000, []
    policy = CollectorPolicy(give_back=lambda: given_at.append(beat))
    policy.start(connections=lambda: connected)
    try:
        for beat in range(1, 200):
            if beat == 2 * LOOK_EVERY + 1:
                connected = 10
            policy.beat()
    finally:
        policy.stop()
    assert given_at == [(2 + CALM_LOOKS) * LOOK_EVERY]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gives back where the C library is glibc")
def test_memory_that_the_c_library_keeps_is_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        assert give_back() is False
        return
    pieces = [b"x" * (4_000 + number % 2) for number in range(20_000)]
    survivors = pieces[::1_000]
    survivors.append(b"x" * (4_000 + len(survivors)))  # above them: the top of the heap goes back by itself
    used = resident()
    del pieces
    give_back()
    assert resident() < used - 10_000, "of some 20,000 pages that nobody uses"
    assert len(survivors) == 21


def resident() -> int:
    """Pages."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1])


def test_where_the_c_library_cannot_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in (object(), TypeError, OSError):

        def load(_name: None, library: object = library) -> object:
            if isinstance(library, type):
                raise library
            return library

        monkeypatch.setattr(ctypes, "CDLL", load)
        assert give_back() is False
