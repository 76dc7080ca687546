"""Timers: every wait and deadline of the engine, on one sleeping task.

Nearly every appointment is cancelled: a question is answered long before its deadline, a wait is over long before
its time. So what lies further ahead than a few seconds is not put in order at all: it lies in a drawer with all else
of the same seconds, from which it is taken again at the cost of one look-up, leaving nothing. Only when a drawer's
time comes near does what is left in it go into the heap. The only thing waited on is ``Clock.sleep_until``, so the
engine runs as well on a simulated clock.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, Final

import msgspec

from crossfade.core.values import Instant
from crossfade.engine.ports import Clock

TURN_MAX: Final = 256
"""Callbacks in one turn of the loop."""
DRAWER_BITS: Final = 32
"""A drawer holds 2**32 nanoseconds, some four seconds: so long a cancelled appointment may lie in the heap at most."""


class Timer(msgspec.Struct, eq=False):
    """One appointment; ``cancel`` makes it void."""

    instant: Instant
    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    drawer: "dict[Timer, None] | None" = None
    """Where it lies while it is far ahead."""

    def cancel(self) -> None:
        """Do not call back; allowed at any time, also after the call."""
        self.callback, self.args = None, ()
        drawer = self.drawer
        if drawer is not None:
            del drawer[self]
            self.drawer = None


class Timers:
    """Calls back at instants, in their order; callbacks are quick and do not raise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[Instant, int, Timer]] = []
        """What lies before ``_near``, by instant, and by number where that is the same."""
        self._count = 0
        self._near = Instant(0)
        """Where the drawers begin."""
        self._far: dict[int, dict[Timer, None]] = {}
        """What lies beyond, by drawer."""
        self._drawers: list[int] = []
        """A heap of the keys of ``_far``."""
        self._earlier = asyncio.Event()
        self._sleeping_until: Instant | None = None

    def at(self, instant: Instant, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback`` with ``args`` once at ``instant``, or on the next turn if it has passed."""
        if instant < self._near:
            timer = Timer(instant, callback, args)
            self._push(timer)
            self._call(instant)
            return timer
        drawer = self._far.get(instant >> DRAWER_BITS)
        if drawer is None:
            drawer = self._open(instant >> DRAWER_BITS)
        timer = Timer(instant, callback, args, drawer)
        drawer[timer] = None
        return timer

    def __len__(self) -> int:
        return len(self._heap) + sum(map(len, self._far.values()))

    async def run(self) -> None:
        """Keep the appointments until cancelled."""
        while True:
            if self._fire_due():
                await asyncio.sleep(0)  # let requests in between: ten thousand may be due at once
                continue
            self._earlier.clear()
            self._sleeping_until = self._next()
            await self._sleep()

    def _push(self, timer: Timer) -> None:
        self._count += 1
        heapq.heappush(self._heap, (timer.instant, self._count, timer))

    def _open(self, number: int) -> dict[Timer, None]:
        drawer = self._far[number] = {}
        heapq.heappush(self._drawers, number)
        self._call(Instant(number << DRAWER_BITS))
        return drawer

    def _call(self, instant: Instant) -> None:
        """See to it that nobody sleeps beyond ``instant``."""
        if self._sleeping_until is None or instant < self._sleeping_until:
            self._earlier.set()

    def _next(self) -> Instant | None:
        """When there is something to do: the first appointment, or the first drawer coming near."""
        if self._heap:
            return self._heap[0][0]
        return Instant(self._drawers[0] << DRAWER_BITS) if self._drawers else None

    def _come_near(self, now: Instant) -> None:
        """Put what is left in the drawers up to the present one into the heap."""
        present = now >> DRAWER_BITS
        self._near = Instant(present + 1 << DRAWER_BITS)
        while self._drawers and self._drawers[0] <= present:
            for timer in self._far.pop(heapq.heappop(self._drawers)):
                timer.drawer = None
                self._push(timer)

    def _fire_due(self) -> bool:
        """Call back what is due, at most ``TURN_MAX``; whether there may be more."""
        now = self._clock.now()
        if now >= self._near:
            self._come_near(now)
        heap = self._heap
        for _ in range(TURN_MAX):
            if not heap or (heap[0][0] > now and heap[0][2].callback is not None):
                return False
            timer = heapq.heappop(heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(*timer.args)
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
