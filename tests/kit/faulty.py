"""A log in memory that fails on demand, in each way that a real one may."""

import asyncio
from collections import deque
from collections.abc import Sequence as Seq
from typing import Any, Literal

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import (
    Conflict,
    FencedError,
    Log,
    Result,
    StoredEvent,
    Tx,
    UnavailableError,
    UnknownOutcomeError,
)
from crossfade.logs.memory import MemoryLog

Fault = Literal["fine", "unavailable", "fenced", "lost", "stored", "conflict"]
"""``lost`` and ``stored`` both raise UnknownOutcomeError; only the second one did its work."""


class FaultyLog(MemoryLog):
    """One fault an append, in the order of ``faults``; then all is well, unless ``always`` says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: deque[Fault] = deque()
        self.always: Fault = "fine"
        self.batches: list[int] = []
        """Transactions in each append, failed ones too."""
        self.reads = 0
        self.open = asyncio.Event()
        """While clear, appends wait at the door."""
        self.open.set()

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """As the log in memory, counted."""
        self.reads += 1
        return await super().read(shard, after, limit)

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """As the log in memory, or the next fault."""
        self.batches.append(len(txs))
        await self.open.wait()
        match self.faults.popleft() if self.faults else self.always:
            case "unavailable":
                raise UnavailableError("planted")
            case "fenced":
                raise FencedError("planted")
            case "lost":
                raise UnknownOutcomeError("planted")
            case "stored":
                await super().append(shard, txs)
                raise UnknownOutcomeError("planted")
            case "conflict":
                return [Conflict(*tx.expect[0]) for tx in txs]
            case "fine":
                return await super().append(shard, txs)


class CutLog:
    """A log that stops for good at the n-th append to such streams, stored or not: the process is dead."""

    def __init__(self, log: Log, append: int, *kinds: str, stored: bool) -> None:
        self._log, self._left, self._stored = log, append, stored
        self._kinds = tuple(f"{kind}/" for kind in kinds)
        self.cut = False

    async def append(self, shard: Any, txs: Any) -> Any:
        if self.cut:
            raise UnavailableError("dead")
        if any(event.stream.startswith(self._kinds) for tx in txs for event in tx.events):
            self._left -= 1
        if self._left == 0:
            self.cut = True
            if self._stored:
                await self._log.append(shard, txs)
            raise UnavailableError("dead")
        return await self._log.append(shard, txs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)
