"""The past of a mailbox: sequences that only grow, kept for ever, in two or three bytes each.

Each is kept as its distance from the one before, seven bits to a byte, the low ones first and the highest bit set but
in the last byte. Of every ``BLOCK`` one it is noted where it stands, so that reading begins near the place asked for
(docs/adr/0022).
"""

from array import array
from bisect import bisect_right
from typing import Final

import msgspec

BLOCK: Final = 64
"""Sequences read over at most before the first one wanted."""


class SavedPast(msgspec.Struct, frozen=True, array_like=True):
    """All of it."""

    distances: bytes
    count: int
    last: int
    blocks: list[tuple[int, int]]
    """For each whole block: its last sequence, and where the distances after it begin."""


class Past:
    """Sequences in their order; only ever added to."""

    __slots__ = ("_blocks", "_count", "_distances", "_last")

    def __init__(self) -> None:
        self._distances = bytearray()
        self._count = 0
        self._last = 0
        self._blocks: tuple[array[int], array[int]] | None = None
        """Last sequence of each whole block, and where in the distances the next one begins; None before the first."""

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def append(self, sequence: int) -> None:
        """Add one; it is not below the last one."""
        rest, self._last = sequence - self._last, sequence
        while rest > 127:
            self._distances.append(rest & 127 | 128)
            rest >>= 7
        self._distances.append(rest)
        self._count += 1
        if self._count % BLOCK == 0:
            self._note(sequence, len(self._distances))

    def beyond(self, after: int, limit: int) -> list[int]:
        """The first ``limit`` that are greater than ``after``."""
        if after >= self._last:
            return []
        sequence, start = self._before(after)
        found: list[int] = []
        distance = shift = 0
        for byte in memoryview(self._distances)[start:]:
            distance |= (byte & 127) << shift
            shift += 7
            if byte > 127:
                continue
            sequence += distance
            distance = shift = 0
            if sequence > after:
                found.append(sequence)
                if len(found) == limit:
                    break
        return found

    def saved(self) -> SavedPast:
        """All of it."""
        blocks = [] if self._blocks is None else list(zip(*self._blocks, strict=True))
        return SavedPast(bytes(self._distances), self._count, self._last, blocks)

    def fill(self, saved: SavedPast) -> None:
        """Take over what was saved."""
        self._distances, self._count, self._last = bytearray(saved.distances), saved.count, saved.last
        for sequence, start in saved.blocks:
            self._note(sequence, start)

    def _note(self, sequence: int, start: int) -> None:
        if self._blocks is None:
            self._blocks = array("q"), array("Q")
        ends, starts = self._blocks
        ends.append(sequence)
        starts.append(start)

    def _before(self, after: int) -> tuple[int, int]:
        """A sequence that is not beyond ``after``, and where the distances after it begin."""
        if self._blocks is None:
            return 0, 0
        ends, starts = self._blocks
        at = bisect_right(ends, after) - 1
        return (ends[at], starts[at]) if at >= 0 else (0, 0)
