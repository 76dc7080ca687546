"""The embedded log: one SQLite file, durable before it is acknowledged, one process at a time.

Reads that follow the log are answered from memory (recent.py). Others run on the writing thread, a
little at a time: SQLite in exclusive mode keeps its index of the write-ahead log in the memory of
its one connection, so a second connection cannot exist, and a second thread on the same connection
would see rows that are not durable yet.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import START, Committed, CorruptLogError, Head, Result, StoredEvent, Tx
from crossfade.logs.archive import Archive
from crossfade.logs.audit import chain_at, opened, step
from crossfade.logs.batch import Resolved
from crossfade.logs.codec import GENESIS
from crossfade.logs.database import Database
from crossfade.logs.limits import (
    READ_BYTES_MAX,
    check_key,
    check_read,
    check_shard,
    check_stream,
    check_txs,
    up_to_bytes,
)
from crossfade.logs.recent import Recent
from crossfade.logs.wakeups import Wakeups
from crossfade.logs.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

ROWS_PER_TURN: Final = 500
"""Rows that one turn of the writing thread reads: about a millisecond in which nothing is written."""
RECORDS_PER_TURN: Final = 50
"""The same for records of one stream, each of which may lie in a block of its own."""


def open_sqlite(folder: Path, *, vfs: str | None = None) -> "SqliteLog":
    """Open the log in ``folder``, which is created if need be, and check the ends of every shard.

    ``vfs`` names an SQLite file layer, for tests with faults. Raises LogInUseError if another process
    has it, CorruptLogError naming the shard and the first bad sequence, and LogError if the SQLite at
    hand or the file cannot be trusted. Blocks for some milliseconds: call it before serving.
    """
    return SqliteLog(opened(folder, vfs))


class SqliteLog:
    """``engine.ports.Log`` in one file. Belongs to the event loop on which it is first used."""

    def __init__(self, database: Database) -> None:
        """Take over an open and checked file; use ``open_sqlite``."""
        self._heads = dict(database.heads)
        self._archives = {shard: Archive(shard, base) for shard, base in database.bases.items()}
        self._recent = Recent()
        self._wakeups = Wakeups()
        self._writer = Writer(database, self._stored, self._recovered)

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store each Tx independently; returns when all is durable."""
        self._writer.refuse_if_closed()
        payload_bytes = check_txs(shard, txs)
        return await self._writer.append(shard, txs, payload_bytes) if txs else []

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Records ``after + 1`` …, contiguous, at most ``limit``; empty at the end of the shard."""
        self._writer.refuse_if_closed()
        limit = check_read(shard, after, limit)
        end = min(after + limit, self._head(shard).sequence)
        rows: list[StoredEvent] = []
        size_bytes = 0
        while after < end:
            found = self._recent.read(shard, after, end - after) or await self._from_file(shard, after, end - after)
            rows += found
            after = rows[-1].sequence
            size_bytes += sum(len(row.payload) for row in found)
            if size_bytes > READ_BYTES_MAX:
                return up_to_bytes(rows)
        return rows

    async def read_stream(self, shard: Shard, stream: StreamName) -> list[StoredEvent]:
        """All records of one stream, oldest first; empty if there is none."""
        check_shard(shard)
        check_stream(stream)
        rows: list[StoredEvent] = []
        while True:
            version = len(rows)
            found = await self._writer.call(Database.read_stream, shard, stream, version, RECORDS_PER_TURN)
            rows += found
            if rows and rows[-1].version != len(rows):
                raise CorruptLogError(f"shard {shard}: stream {stream} lacks a version before {rows[-1].version}")
            if len(found) < RECORDS_PER_TURN:
                return rows

    async def find(self, shard: Shard, key: bytes) -> Committed | None:
        """Where the events of an earlier Tx with this key are; None if the key was never used."""
        check_shard(shard)
        check_key(key)
        return await self._writer.call(Database.find, shard, key)

    async def wait(self, shard: Shard, after: Sequence, timeout_seconds: float) -> Sequence:
        """Wait until the head may be beyond ``after``; returns the head."""
        if (await self.head(shard)).sequence <= after:
            await self._wakeups.wait(shard, timeout_seconds)
        return (await self.head(shard)).sequence

    async def head(self, shard: Shard) -> Head:
        """The durable end of the shard."""
        self._writer.refuse_if_closed()
        check_shard(shard)
        return self._head(shard)

    async def verify(self, shard: Shard, after: Sequence = START, through: Sequence | None = None) -> Sequence | None:
        """The first sequence in (after, through] that is missing or false; None if all hold.

        Reads every row, some 200,000 to 400,000 a second, and lets appends pass between steps; archived ones too.
        """
        check_shard(shard)
        archive = self._archives.get(shard)
        if archive is not None and after < archive.end:
            end = archive.end if through is None else min(archive.end, through)
            bad = await asyncio.to_thread(archive.first_bad, after, end)
            if bad is not None or end == through:
                return bad
            after = end
        await self._writer.call(Database.reread)
        prev = await self._writer.call(chain_at, shard, after)
        if prev is None:
            return after
        while after < (self._head(shard).sequence if through is None else through):
            rest = ROWS_PER_TURN if through is None else min(ROWS_PER_TURN, through - after)
            bad, rows = await self._writer.call(step, shard, after, prev, rest)
            if bad is not None or not rows:
                return bad
            after, prev = rows[-1].sequence, rows[-1].chain
        return None if through is not None or prev == self._head(shard).chain else after

    async def call(self, work: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns, run on the writing thread between two writes; it has to be short."""
        return await self._writer.call(work, *args, **kwargs)

    async def close(self) -> None:
        """Finish what is being written and release the files; further calls raise UnavailableError."""
        closing = self._writer.close()
        self._wakeups.wake_all()
        await closing

    def _head(self, shard: Shard) -> Head:
        return self._heads.get(shard) or Head(1, Sequence(0), GENESIS)

    async def _from_file(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        archive = self._archives.get(shard)
        if archive is not None and after < archive.end:
            return await asyncio.to_thread(archive.read, after, limit)
        return await self._writer.call(Database.read, shard, after, min(limit, ROWS_PER_TURN))

    def _recovered(self, heads: dict[Shard, Head]) -> None:
        self._heads = heads
        self._recent = Recent()  # what an unknown outcome left in the file is not in it
        self._wakeups.wake_all()

    def _stored(self, done: list[Resolved]) -> None:
        for resolved in done:
            self._heads[resolved.shard] = resolved.head
            self._recent.add(resolved.blocks)
            self._wakeups.wake(resolved.shard)
