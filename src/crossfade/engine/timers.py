"""Timers: one heap of instants for every wait and deadline in the engine.

Ten thousand held calls cost ten thousand heap entries, not ten thousand tasks. The only thing waited
on is ``Clock.sleep_until``, so the engine runs as well on a simulated clock.

Nearly every appointment is cancelled: a question is answered long before its deadline. What is void is
therefore swept out as soon as it is the greater part, or ten minutes of answered questions would lie in the heap.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

from crossfade.core.values import Instant
from crossfade.engine.ports import Clock

TURN_MAX: Final = 256
"""Callbacks in one turn of the loop."""
VOID_MIN: Final = 1_024
"""Fewer void appointments than this are not worth a sweep."""


class Timer:
    """One appointment; ``cancel`` makes it void."""

    __slots__ = ("_timers", "callback")

    def __init__(self, timers: "Timers", callback: Callable[[], None]) -> None:
        self._timers = timers
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call back; allowed at any time, also after the call."""
        if self.callback is not None:
            self.callback = None
            self._timers.voided()


class Timers:
    """Calls back at instants, in their order; callbacks are quick and do not raise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[Instant, int, Timer]] = []
        self._count = 0
        self._void = 0
        """Cancelled appointments that are still in the heap."""
        self._earlier = asyncio.Event()
        self._sleeping_until: Instant | None = None

    def at(self, instant: Instant, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once at ``instant``, or on the next turn if it has passed."""
        timer = Timer(self, callback)
        self._count += 1
        heapq.heappush(self._heap, (instant, self._count, timer))
        if self._sleeping_until is None or instant < self._sleeping_until:
            self._earlier.set()
        return timer

    def __len__(self) -> int:
        return len(self._heap)

    def voided(self) -> None:
        """Count a cancelled appointment, and sweep once they are more than the others."""
        self._void += 1
        if self._void >= VOID_MIN and 2 * self._void > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._void = 0

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
            if not heap or (heap[0][0] > now and heap[0][2].callback is not None):
                return False
            timer = heapq.heappop(heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._void -= 1
            else:
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
