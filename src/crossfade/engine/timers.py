"""Timers: one heap of instants for every wait and deadline in the engine.

Ten thousand held calls cost ten thousand heap entries, not ten thousand tasks. The only thing waited
on is ``Clock.sleep_until``, so the engine runs as well on a simulated clock.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

from crossfade.core.values import Instant
from crossfade.engine.ports import Clock

TURN_MAX: Final = 256
"""Callbacks in one turn of the loop."""


class Timer:
    """One appointment; ``cancel`` makes it void."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call back; allowed at any time, also after the call."""
        self.callback = None


class Timers:
    """Calls back at instants, in their order; callbacks are quick and do not raise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[Instant, int, Timer]] = []
        self._count = 0
        self._earlier = asyncio.Event()
        self._sleeping_until: Instant | None = None

    def at(self, instant: Instant, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once at ``instant``, or on the next turn if it has passed."""
        timer = Timer(callback)
        self._count += 1
        heapq.heappush(self._heap, (instant, self._count, timer))
        if self._sleeping_until is None or instant < self._sleeping_until:
            self._earlier.set()
        return timer

    def __len__(self) -> int:
        return len(self._heap)

    async def run(self) -> None:
        """Keep the appointments until cancelled."""
        while True:
            if self._fire_due():
                await asyncio.sleep(0)  # let requests in between: ten thousand may be due at once
                continue
            self._earlier.clear()
            self._sleeping_until = self._heap[0][0] if self._heap else None
            await self._sleep()

    def _fire_due(self) -> bool:
        """Call back what is due, at most ``TURN_MAX``; whether there may be more."""
        now = self._clock.now()
        heap = self._heap
        for _ in range(TURN_MAX):
            if not heap or heap[0][0] > now:
                return False
            callback = heapq.heappop(heap)[2].callback
            if callback is not None:
                callback()
        return True

    async def _sleep(self) -> None:
        """Until the first appointment, or until an earlier one is made."""
        if self._sleeping_until is None:
            await self._earlier.wait()
            return
        nap = asyncio.ensure_future(self._clock.sleep_until(self._sleeping_until))
        call = asyncio.ensure_future(self._earlier.wait())
        try:
            await asyncio.wait((nap, call), return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            call.cancel()
