"""A clock that stands still until a test moves it, and ids that repeat from run to run."""

import asyncio
import heapq
import random

from crossfade.core.values import SECOND, Instant
from crossfade.outbound.host import base32

EPOCH = Instant(1_800_000_000 * SECOND)
"""Where simulated time begins."""


class FakeClock:
    """``engine.ports.Clock`` under the test's control."""

    def __init__(self, start: Instant = EPOCH) -> None:
        self._now = start
        self._sleepers: list[tuple[Instant, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> Instant:
        """The simulated instant."""
        return self._now

    def monotonic(self) -> int:
        """The same, as a number."""
        return self._now

    def not_before(self, instant: Instant) -> None:
        """Go on from there."""
        self._now = Instant(max(self._now, instant))

    async def sleep_until(self, instant: Instant) -> None:
        """Until ``advance`` gets there."""
        if instant <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (instant, self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, stopping at each instant somebody sleeps until, and let everything settle there."""
        target = Instant(self._now + int(seconds * SECOND))
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            instant, _, future = heapq.heappop(self._sleepers)
            self._now = Instant(max(self._now, instant))
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = target
        await settle()


class FakeIds:
    """``engine.ports.Ids`` from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def new(self, prefix: str) -> str:
        """Ordered by call."""
        self._count += 1
        return f"{prefix}_{base32(self._count << 80 | self._random.getrandbits(80))}"

    def key(self) -> bytes:
        """16 bytes."""
        return self._random.randbytes(16)

    def secret(self) -> str:
        """43 characters."""
        return self._random.randbytes(32).hex()[:43]


async def settle(turns: int = 40) -> None:
    """Let every task that can run do so, and every thread that they wait for: how fast one is says the machine."""
    for _ in range(turns):
        await asyncio.sleep(0)
    while _threads_work():
        await asyncio.sleep(0.001)
        for _ in range(turns):
            await asyncio.sleep(0)


def _threads_work() -> bool:
    """Whether a thread of the loop's pool has something to do; the pool has no public word for it."""
    pool = getattr(asyncio.get_running_loop(), "_default_executor", None)
    return pool is not None and (not pool._work_queue.empty() or pool._idle_semaphore._value < len(pool._threads))
