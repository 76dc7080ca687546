"""When the garbage collector runs in a process that holds thousands of connections, and how long it stops it.

A full collection visits every object: with default settings it paused the loop for 32 ms at 1,500
streams and 239 ms at 9,700. What a hub holds lives long and is freed by reference counts, so whatever
has survived is moved out of the collector's sight, as connections grow and after each collection of the
middle generation. A pass then visits what came since, however much there is (docs/adr/0023). The price: a cycle
among frozen objects is never freed, so whoever closes a connection breaks its cycles.

The collector counts objects made minus objects freed, and what is freed may be older than the last pass: a hub that
replaces as much as it makes would gather hundreds of thousands of young objects before one. So there is a young pass
at every beat as well, small because it is often.

When a crowd has gone, memory is given back to the machine (docs/adr/0034); how, is told by whoever makes the policy.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, Final

from crossfade.engine.measures import Histogram
from crossfade.inbound.ebb import Ebb

FREEZE_EVERY: Final = 500
"""Connections accepted between two freezes."""
THRESHOLDS: Final = (5_000, 2, 1_000_000)
"""Objects more than before until a young collection, how many of those until one of the middle, and of those
until a full one, of which there is none."""
BEAT_SECONDS: Final = 0.1
MIDDLE_EVERY: Final = 2
"""Beats until a pass visits the middle generation too, and freezes what is left."""
LOOK_EVERY: Final = 5
"""Beats until it is looked whether a crowd has gone: half a second, unless the hub waits for a processor."""
PAUSE_EDGES_MS: Final[tuple[float, ...]] = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Upper edges in milliseconds, inclusive."""
_NANOSECONDS: Final = 1_000_000
"""In a millisecond."""


class Pauses:
    """How long the collector stopped everything else, each time; since the process was the server's own."""

    def __init__(self) -> None:
        self.by_length_ms = Histogram(PAUSE_EDGES_MS)
        self.longest_ms = 0.0

    def add(self, length_ms: float) -> None:
        """Count one."""
        self.by_length_ms.add(length_ms)
        self.longest_ms = max(self.longest_ms, length_ms)


class CollectorPolicy:
    """The policy while a server runs. Affects the whole process; ``stop`` puts everything back."""

    def __init__(
        self, monotonic: Callable[[], int] | None = None, give_back: Callable[[], object] | None = None
    ) -> None:
        """``monotonic``: nanoseconds of a clock, without which no pause is measured.

        ``give_back`` gives memory that nobody uses back to the machine.
        """
        self.pauses = Pauses()
        self._monotonic = monotonic
        self._give_back = give_back
        self._ebb = Ebb()
        self._connections: Callable[[], int] | None = None
        self._began = 0
        self._before: tuple[int, int, int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.TimerHandle | None = None
        self._beats = 0

    def start(
        self, loop: asyncio.AbstractEventLoop | None = None, connections: Callable[[], int] | None = None
    ) -> None:
        """Collect what start-up left behind, freeze the rest, raise the thresholds; beat if there is a loop.

        ``connections``: how many are open now; without it no memory is given back.
        """
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collected)
        self._loop, self._connections = loop, connections
        self._wind()

    def beat(self) -> None:
        """One young pass; every other one visits the middle generation as well."""
        self._beats += 1
        gc.collect(int(self._beats % MIDDLE_EVERY == 0))
        if self._beats % LOOK_EVERY == 0:
            self._look()
        self._wind()

    def _look(self) -> None:
        """Give memory back, if a crowd has gone."""
        if self._give_back is not None and self._connections is not None and self._ebb.over(self._connections()):
            self._give_back()

    def _wind(self) -> None:
        if self._loop is not None:
            self._next = self._loop.call_later(BEAT_SECONDS, self.beat)

    def admitted(self, count: int) -> None:
        """Note that connection number ``count`` was accepted."""
        if self._before is not None and count % FREEZE_EVERY == 0:
            gc.freeze()

    def stop(self) -> None:
        """Return to what was before ``start``."""
        if self._next is not None:
            self._next.cancel()
        self._loop = self._next = None
        if self._before is not None:
            gc.callbacks.remove(self._collected)
            gc.unfreeze()
            gc.set_threshold(*self._before)
            self._before = None

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Called by the collector before and after each pass."""
        now = 0 if self._monotonic is None else self._monotonic()
        if phase == "start":
            self._began = now
            return
        if self._monotonic is not None:
            self.pauses.add((now - self._began) / _NANOSECONDS)
        if info["generation"] > 0:
            gc.freeze()
