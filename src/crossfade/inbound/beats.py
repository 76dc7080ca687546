"""Beats: one timer by which all that is held open is looked at now and then, since one for each takes 600 bytes.

What is to be looked at stands in one of ``ROWS`` rows, the next one each time, so that many that came at once are
looked at a few at a time. A row is looked at every ``round_seconds``. Not here: what there is to see.
"""

import asyncio
from typing import Final, Protocol

ROWS: Final = 64
SHARE: Final = 0.25
"""Of the longest time that something may go without a look: so long is a round."""
BEAT_SECONDS_MIN: Final = 0.001


class Ticking(Protocol):
    """What is looked at."""

    def tick(self) -> None:
        """It is time to look."""


class Beats:
    """Looks at each of what was added, again and again."""

    __slots__ = ("_at", "_beat_seconds", "_count", "_next", "_rows", "_wound", "round_seconds")

    def __init__(self, longest_seconds: float) -> None:
        self._beat_seconds = max(BEAT_SECONDS_MIN, longest_seconds * SHARE / ROWS)
        self.round_seconds = self._beat_seconds * ROWS
        self._rows: tuple[dict[Ticking, None], ...] = tuple({} for _ in range(ROWS))
        self._at = self._next = self._count = 0
        self._wound = False

    def add(self, one: Ticking) -> int:
        """Look at this one from now on; the number of its row."""
        row = self._next = (self._next + 1) % ROWS
        self._rows[row][one] = None
        self._count += 1
        if not self._wound:
            self._wound = True
            self._wind(asyncio.get_running_loop())
        return row

    def discard(self, one: Ticking, row: int) -> None:
        """Look at it no more."""
        del self._rows[row][one]
        self._count -= 1

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(self._beat_seconds, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._count:
            self._wound = False
            return
        self._at = (self._at + 1) % ROWS
        for one in tuple(self._rows[self._at]):
            one.tick()
        self._wind(loop)
