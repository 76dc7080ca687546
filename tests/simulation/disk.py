"""The simulated disk: what survives every life, and the faulty log through which a life reaches it.

A batch is stored at one instant between the call and the return of ``append``. Before it a crash loses the
batch, after it a crash loses only the acknowledgement; both instants are steps at which a life can end.
"""

import asyncio
import random
from collections.abc import Callable
from collections.abc import Sequence as Seq

import msgspec

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import (
    Committed,
    Conflict,
    Duplicate,
    Head,
    Result,
    StoredEvent,
    Tx,
    UnavailableError,
    UnknownOutcomeError,
)
from crossfade.logs.batch import resolve
from crossfade.logs.memory import MemoryLog


class Weather(msgspec.Struct):
    """How the world behaves now; ``fair`` when everything is healed."""

    slow_seconds: float = 0.002
    """Longest time of one write."""
    unavailable: float = 0.0
    """Share of appends that fail and store nothing, saying so."""
    unknown: float = 0.0
    """Share of appends of which nobody knows whether they stored."""
    lose_requests: float = 0.0
    lose_replies: float = 0.0
    crash_at_write: float = 0.0
    """Share of appends at which the hub dies, right before or right after they are stored."""


class Disk(MemoryLog):
    """What is durable. ``stored`` is told of each row the instant it is."""

    def __init__(self, stored: Callable[[Shard, StoredEvent], None]) -> None:
        super().__init__()
        self.stored = stored

    def load(self, other: "Disk") -> None:
        """Begin with the contents of another disk."""
        for shard, contents in other._shards.items():
            mine = self._shards[shard]
            mine.head = contents.head
            mine.rows = list(contents.rows)
            for stream, rows in contents.streams.items():
                mine.streams[stream] = list(rows)
            mine.known.keys.update(contents.known.keys)
            mine.known.ends.update(contents.known.ends)
            for row in mine.rows:
                self.stored(shard, row)

    def store(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Make a batch durable, at once."""
        contents = self._shards[shard]
        done = resolve(shard, contents.head, txs, contents.known)
        contents.head = done.head
        contents.rows += done.rows
        for row in done.rows:
            contents.streams[row.stream].append(row)
            self.stored(shard, row)
        return done.results

    def heads(self) -> dict[Shard, Sequence]:
        """Where each shard ends."""
        return {shard: contents.head.sequence for shard, contents in self._shards.items()}

    def rows(self, shard: Shard) -> list[StoredEvent]:
        """Everything in a shard."""
        return self._shards[shard].rows


class SimLog:
    """``engine.ports.Log`` of one life."""

    def __init__(
        self,
        disk: Disk,
        weather: Weather,
        dice: random.Random,
        crash: Callable[[], None],
        reached: Callable[[str], None],
        look: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._weather = weather
        self._dice = dice
        self._crash = crash
        self._reached = reached
        self._look = look
        """Called before and after every write."""

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store, or fail in one of the ways that the weather allows."""
        weather, dice = self._weather, self._dice
        self._look()
        await self._pause()
        if dice.random() < weather.unavailable:
            self._reached("a write was refused by the disk")
            raise UnavailableError("no space left")
        if dice.random() < weather.unknown:
            stored = dice.random() < 0.5
            if stored:
                self._disk.store(shard, txs)
            self._reached("an unknown outcome was stored" if stored else "an unknown outcome was not stored")
            raise UnknownOutcomeError("the disk did not say")
        doomed = dice.random() < weather.crash_at_write
        if doomed and dice.random() < 0.4:
            self._reached("crash before a write is durable")
            self._crash()
            await asyncio.sleep(0)
        results = self._disk.store(shard, txs)
        if doomed:
            self._reached("crash between commit and reply")
            self._crash()
        await self._pause()
        self._look()
        for result in results:
            if isinstance(result, Duplicate):
                self._reached("a key came twice")
            elif isinstance(result, Conflict):
                self._reached("a command lost the race for its stream")
        return results

    async def _pause(self) -> None:
        if self._weather.slow_seconds:
            await asyncio.sleep(self._dice.random() * self._weather.slow_seconds)
        else:
            await asyncio.sleep(0)

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """As the disk says now."""
        await asyncio.sleep(0)
        return await self._disk.read(shard, after, limit)

    async def read_stream(self, shard: Shard, stream: StreamName) -> list[StoredEvent]:
        """As the disk says now."""
        await asyncio.sleep(0)
        return await self._disk.read_stream(shard, stream)

    async def find(self, shard: Shard, key: bytes) -> Committed | None:
        """As the disk says now."""
        await asyncio.sleep(0)
        return await self._disk.find(shard, key)

    async def wait(self, shard: Shard, after: Sequence, timeout_seconds: float) -> Sequence:
        """The head; a hint that may be early."""
        await asyncio.sleep(min(timeout_seconds, 0.01))
        return (await self._disk.head(shard)).sequence

    async def head(self, shard: Shard) -> Head:
        """As the disk says now."""
        return await self._disk.head(shard)

    async def close(self) -> None:
        """Nothing to release."""
