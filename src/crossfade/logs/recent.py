"""The newest rows of each shard, kept in memory so that following the log does not wait for the disk.

A cache of what is already durable: rows enter it after their commit. Whoever follows the log reads
what was just written, and would otherwise queue behind the next commit on the one thread that may
touch the file.
"""

from bisect import bisect_right
from collections import defaultdict
from typing import Final

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import StoredEvent

RECENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Payload kept for each shard; the batch that was written last is always kept."""
RECENT_ROWS_MAX: Final = 8_192


class Recent:
    """Contiguous rows up to the head, for each shard that was written to since the start."""

    def __init__(self) -> None:
        self._batches: defaultdict[Shard, _Batches] = defaultdict(_Batches)

    def add(self, shard: Shard, rows: list[StoredEvent]) -> None:
        """Take the rows of one commit, which follow those of the commit before."""
        if rows:
            self._batches[shard].add(rows)

    def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Rows ``after + 1`` …, at most ``limit``, maybe fewer than there are; empty if they are not kept."""
        batches = self._batches.get(shard)
        return [] if batches is None else batches.read(after, limit)


class _Batches:
    def __init__(self) -> None:
        self._afters: list[int] = []
        self._rows: list[list[StoredEvent]] = []
        self._sizes_bytes: list[int] = []
        self._count = 0
        self._bytes = 0

    def add(self, rows: list[StoredEvent]) -> None:
        size = sum(len(row.payload) for row in rows)
        self._afters.append(rows[0].sequence - 1)
        self._rows.append(rows)
        self._sizes_bytes.append(size)
        self._count += len(rows)
        self._bytes += size
        if self._bytes > RECENT_BYTES_MAX or self._count > RECENT_ROWS_MAX:
            self._forget()

    def read(self, after: Sequence, limit: int) -> list[StoredEvent]:
        at = bisect_right(self._afters, after) - 1
        found: list[StoredEvent] = []
        while 0 <= at < len(self._rows) and len(found) < limit:
            skip = after + len(found) - self._afters[at]
            found += self._rows[at][skip : skip + limit - len(found)]
            at += 1
        return found

    def _forget(self) -> None:
        """Drop the oldest batches until half of the room is free: cutting lists has to stay rare."""
        gone = 0
        while gone < len(self._rows) - 1 and (
            self._bytes > RECENT_BYTES_MAX // 2 or self._count > RECENT_ROWS_MAX // 2
        ):
            self._bytes -= self._sizes_bytes[gone]
            self._count -= len(self._rows[gone])
            gone += 1
        del self._afters[:gone], self._rows[:gone], self._sizes_bytes[:gone]
