"""The newest blocks of each shard, kept in memory so that following the log does not wait for the disk.

A cache of what is already durable: blocks enter it after their commit. Whoever follows the log reads
what was just written, and would otherwise queue behind the next commit on the one thread that may
touch the file.
"""

from bisect import bisect_right
from collections import defaultdict
from typing import Final

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import StoredEvent
from crossfade.logs.blocks import Block

RECENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Kept for each shard; the block that was written last is always kept."""
RECENT_ROWS_MAX: Final = 8_192


class Recent:
    """Contiguous records up to the head, for each shard that was written to since the start."""

    def __init__(self) -> None:
        self._shards: defaultdict[Shard, _Newest] = defaultdict(_Newest)

    def add(self, blocks: list[Block]) -> None:
        """Take the blocks of one commit, which follow those of the commit before."""
        for block in blocks:
            self._shards[block.shard].add(block)

    def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Rows ``after + 1`` …, at most ``limit``, maybe fewer than there are; empty if they are not kept."""
        newest = self._shards.get(shard)
        return [] if newest is None else newest.read(after, limit)


class _Newest:
    def __init__(self) -> None:
        self._afters: list[int] = []
        self._blocks: list[Block] = []
        self._bytes = 0

    def add(self, block: Block) -> None:
        self._afters.append(block.first - 1)
        self._blocks.append(block)
        self._bytes += len(block.records)
        if self._bytes > RECENT_BYTES_MAX or block.last - self._afters[0] > RECENT_ROWS_MAX:
            self._forget()

    def read(self, after: Sequence, limit: int) -> list[StoredEvent]:
        at = bisect_right(self._afters, after) - 1
        found: list[StoredEvent] = []
        while 0 <= at < len(self._blocks) and len(found) < limit:
            found += self._blocks[at].rows(after, after + limit)
            at += 1
        return found

    def _forget(self) -> None:
        """Drop the oldest blocks until half of the room is free: cutting lists has to stay rare."""
        gone, last = 0, self._blocks[-1].last
        while gone < len(self._blocks) - 1 and (
            self._bytes > RECENT_BYTES_MAX // 2 or last - self._afters[gone] > RECENT_ROWS_MAX // 2
        ):
            self._bytes -= len(self._blocks[gone].records)
            gone += 1
        del self._afters[:gone], self._blocks[:gone]
