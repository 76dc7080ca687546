"""What waits to be written into a table of the index, in its order, a stretch at a time (index.py)."""

from collections.abc import Callable
from typing import Generic, TypeVar

import apsw

from crossfade.core.values import StreamName

T = TypeVar("T", bytes, StreamName)

Statement = tuple[str, "apsw.Bindings"]
"""Text and values of one that writes entries."""


class Part(Generic[T]):
    """Keys or names; every other part of the table comes before all of these, or behind them."""

    def __init__(self, items: list[T], statement: Callable[[list[T]], Statement]) -> None:
        """``items`` in any order; ``statement`` writes some of them."""
        self._items: list[T] = items
        self._statement: Callable[[list[T]], Statement] = statement
        self._sorted = False
        self.at = 0
        """Where those begin that are not written."""
        self._next: tuple[int, int, Statement] | None = None

    def prepare(self, count: int) -> None:
        """Make ready what ``take`` will answer if it is asked for as many."""
        self._next = self._prepared(count)

    def take(self, count: int) -> Statement:
        """What writes the next ``count``, or all that are left if those are not many more; or what was prepared."""
        ready, self._next = self._next, None
        if ready is None or ready[0] != self.at:
            ready = self._prepared(count)
        self.at = ready[1]
        return ready[2]

    def _prepared(self, count: int) -> tuple[int, int, Statement]:
        if not self._sorted:
            self._items.sort()
            self._sorted = True
        end = len(self._items) if self.left <= count + count // 2 else self.at + count
        return self.at, end, self._statement(self._items[self.at : end])

    @property
    def left(self) -> int:
        """How many are not written."""
        return len(self._items) - self.at
