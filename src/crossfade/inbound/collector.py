"""When the garbage collector runs in a process that holds thousands of connections.

A full collection visits every object: with default settings it paused the loop for 32 ms at 1,500
streams and 239 ms at 9,700. What a connection is made of lives long and is freed by reference
counts, so it is moved out of the collector's sight as connections grow. The price: a cycle among
frozen objects is never freed, so whoever closes a connection breaks its cycles.

Not here: anything that collects on a timer, which would pause a busy hub at the wrong moment.
"""

import gc
from typing import Final

FREEZE_EVERY: Final = 500
"""Connections accepted between two freezes."""
THRESHOLDS: Final = (50_000, 20, 1_000)
"""Allocations before a young collection, and how many of those before an older one."""


class CollectorPolicy:
    """The policy while a server runs. Affects the whole process; ``stop`` puts everything back."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def start(self) -> None:
        """Collect what start-up left behind, freeze the rest, raise the thresholds."""
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    def admitted(self, count: int) -> None:
        """Note that connection number ``count`` was accepted."""
        if self._before is not None and count % FREEZE_EVERY == 0:
            gc.freeze()

    def stop(self) -> None:
        """Return to what was before ``start``."""
        if self._before is not None:
            gc.unfreeze()
            gc.set_threshold(*self._before)
            self._before = None
