"""The log in memory: the same rows and the same chain as on disk, gone with the process.

For tests, rehearsals and benchmarks of what sits above. Never a cache of another log.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence as Seq

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import START, Committed, Head, Result, StoredEvent, Tx, UnavailableError
from crossfade.logs.batch import Known, resolve
from crossfade.logs.codec import GENESIS, verify
from crossfade.logs.limits import check_key, check_read, check_shard, check_stream, check_txs, up_to_bytes
from crossfade.logs.wakeups import Wakeups


class _Contents:
    """One shard."""

    def __init__(self) -> None:
        self.head = Head(1, Sequence(0), GENESIS)
        self.rows: list[StoredEvent] = []
        self.streams: defaultdict[StreamName, list[StoredEvent]] = defaultdict(list)
        self.known = Known({}, {})


class MemoryLog:
    """``engine.ports.Log`` in lists and dicts. Belongs to one event loop."""

    def __init__(self) -> None:
        self._shards: defaultdict[Shard, _Contents] = defaultdict(_Contents)
        self._wakeups = Wakeups()
        self._closed = False

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store each Tx independently. Stored even if the caller is cancelled while it waits, as on disk."""
        self._refuse_if_closed()
        check_txs(shard, txs)
        contents = self._shards[shard]
        done = resolve(shard, contents.head, txs, contents.known)
        contents.head = done.head
        contents.rows += done.rows
        for row in done.rows:
            contents.streams[row.stream].append(row)
        self._wakeups.wake(shard)
        await asyncio.sleep(0)  # others run while a real log would write, so they do here too
        return done.results

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Records ``after + 1`` …, contiguous, at most ``limit``; empty at the end of the shard."""
        self._refuse_if_closed()
        limit = check_read(shard, after, limit)
        return up_to_bytes(self._shards[shard].rows[after : after + limit])

    async def read_stream(self, shard: Shard, stream: StreamName) -> list[StoredEvent]:
        """All records of one stream, oldest first; empty if there is none."""
        self._refuse_if_closed()
        check_shard(shard)
        check_stream(stream)
        return list(self._shards[shard].streams.get(stream, ()))

    async def find(self, shard: Shard, key: bytes) -> Committed | None:
        """Where the events of an earlier Tx with this key are; None if the key was never used."""
        self._refuse_if_closed()
        check_shard(shard)
        check_key(key)
        return self._shards[shard].known.keys.get(key)

    async def wait(self, shard: Shard, after: Sequence, timeout_seconds: float) -> Sequence:
        """Wait until the head may be beyond ``after``; returns the head."""
        if (await self.head(shard)).sequence <= after:
            await self._wakeups.wait(shard, timeout_seconds)
        return (await self.head(shard)).sequence

    async def head(self, shard: Shard) -> Head:
        """The end of the shard."""
        self._refuse_if_closed()
        check_shard(shard)
        return self._shards[shard].head

    async def verify(self, shard: Shard, after: Sequence = START, through: Sequence | None = None) -> Sequence | None:
        """The first sequence in (after, through] that is missing or false; None if all hold."""
        rows = self._shards[shard].rows
        prev = rows[after - 1].chain if after else GENESIS
        return verify(shard, rows[after:through], after, prev)

    async def close(self) -> None:
        """Let waiting callers go; further calls raise UnavailableError."""
        self._closed = True
        self._wakeups.wake_all()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise UnavailableError("the log is closed")
