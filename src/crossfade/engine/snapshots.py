"""Snapshots: the folded state at a place in the log, so that a start need not fold everything again.

Disposable: one that is damaged, of another release, or not of this log (its chain at its place) is thrown away.
A snapshot is folded from the log alone, beside the views that serve: from the snapshot before and the records
since, a few at a time. So it never holds what a process knew and the log does not, such as a cursor that was not
durable yet, and a start from it is the same as a start without.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from typing import Final

import msgspec

from crossfade.core.records import Recorded
from crossfade.core.values import Instant, Sequence, Shard
from crossfade.engine import saving
from crossfade.engine.limits import Limits
from crossfade.engine.ports import CorruptLogError, Folding, Log, LogError, Shelf
from crossfade.engine.projector import Projector, Views
from crossfade.engine.streams import Streams, recorded

RECORDS_BETWEEN: Final = 100_000
"""Records after which the next snapshot is made."""
RECORDS_MIN: Final = 1_000
"""At an orderly stop, fewer than so many since the last one are not worth another."""
SLICE: Final = 200
"""Records folded at a time while others are served: a millisecond or two."""

logger = logging.getLogger("crossfade.log")


class Folded:
    """State folded from the log alone, and how far."""

    def __init__(self, streams: Streams, views: Views) -> None:
        self.streams = streams
        self.views = views
        self.ends: dict[Shard, tuple[Sequence, bytes]] = {}
        self.last_at = Instant(0)


class Snapshots:
    """Loads and makes the snapshots of one hub."""

    def __init__(
        self,
        log: Log,
        limits: Limits,
        shelf: Shelf,
        shards: Seq[Shard],
        *,
        release: str = "",
        folding: Folding | None = None,
    ) -> None:
        """``release``: of the program; a snapshot is read by the release that made it alone.

        ``folding``: makes the snapshots while the hub serves; None: this process does.
        """
        self._release_name = release
        self._log = log
        self._limits = limits
        self._shelf = shelf
        self._shards = tuple(shards)
        self._folding = folding
        self._since = 0
        self._due = asyncio.Event()

    async def load(self, folded: Folded) -> int:
        """Fill ``folded`` from the newest snapshot that fits; the number of records it stands for, 0 without one."""
        while (content := await self._shelf.newest()) is not None:
            saved = await self._fitting(content)
            if saved is None:
                await self._shelf.discard_newest()
                continue
            saving.fill(saved, folded.streams, folded.views)
            folded.ends = {Shard(shard): (Sequence(end), chain) for shard, (end, chain) in saved.ends.items()}
            folded.last_at = saved.last_at
            return sum(end for end, _ in folded.ends.values())
        return 0

    async def _fitting(self, content: bytes) -> saving.Saved | None:
        try:
            release, _, body = content.partition(b"\n")
            if release != self._release():
                return None
            saved = msgspec.msgpack.decode(body, type=saving.Saved)
            for shard, (end, chain) in saved.ends.items():
                rows = await self._log.read(Shard(shard), Sequence(end - 1), 1) if end else []
                if end and (not rows or rows[0].chain != chain):
                    return None
        except (msgspec.DecodeError, CorruptLogError):
            return None
        return saved

    def _release(self) -> bytes:
        """A snapshot is read by the release that made it, with the same limit on what is kept in memory."""
        return f"{self._release_name} {saving.VERSION} {self._limits.ended_questions_kept}".encode()

    async def keep(self, folded: Folded) -> None:
        """Put a state away. A shelf that fails costs time at the next start, nothing else."""
        with _shelf_may_fail():
            await self._put(folded)

    async def _put(self, folded: Folded) -> int:
        """The place of what was put away. Raises OSError."""
        content = saving.dump(folded.streams, folded.views, folded.ends, folded.last_at)
        place = sum(end for end, _ in folded.ends.values())
        await self._shelf.keep(place, self._release() + b"\n" + content)
        return place

    async def started(self, folded: Folded, new: int) -> None:
        """The start has folded ``new`` records into ``folded``: put that away if they were many."""
        self._since = new
        if new < RECORDS_MIN:
            return
        for shard in self._shards:
            head = await self._log.head(shard)
            rows = await self._log.read(shard, Sequence(head.sequence - 1), 1) if head.sequence else []
            folded.ends[shard] = (head.sequence, head.chain)
            folded.last_at = max([folded.last_at, *(row.at for row in rows)])
        await self.keep(folded)
        self._since = 0

    async def make(self) -> None:
        """Fold what came since the last snapshot and put the state away, in this process."""
        with _shelf_may_fail():
            await self.fold()

    async def fold(self) -> int:
        """The same; the place of the new snapshot. Raises OSError if the shelf fails."""
        self._since = 0
        folded = Folded(Streams(self._log, self._limits.ended_questions_kept), Views())
        await self.load(folded)
        await self.catch_up(folded)
        return await self._put(folded)

    async def catch_up(self, folded: Folded) -> int:
        """Fold the records up to the present end of each shard; how many they were."""
        projector = Projector(folded.streams, folded.views)
        count = 0
        for shard in self._shards:
            after, chain = folded.ends.get(shard, (Sequence(0), b""))
            head = (await self._log.head(shard)).sequence
            while after < head and (rows := await self._log.read(shard, after, min(SLICE, head - after))):
                projector.replay([recorded(shard, row) for row in rows])
                after, chain, count = rows[-1].sequence, rows[-1].chain, count + len(rows)
                folded.last_at = max(folded.last_at, rows[-1].at)
                await asyncio.sleep(0)
            folded.ends[shard] = (after, chain)
        return count

    def react(self, records: Seq[Recorded]) -> None:
        """Called after live records are in the views."""
        before, self._since = self._since, self._since + len(records)
        if self._since // RECORDS_BETWEEN > before // RECORDS_BETWEEN:
            self._due.set()

    async def run(self) -> None:
        """Make a snapshot whenever one is due, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._make_while_serving()
            except LogError as fault:
                logger.error("log.snapshot_failed: %s", fault, extra={"fault": str(fault)})  # noqa: TRY400 - the disk's

    async def _make_while_serving(self) -> None:
        if self._folding is None:
            await self.make()
            return
        since, self._since = self._since, 0
        try:
            await self._folding.make(self._log)
        except (LogError, asyncio.CancelledError):
            self._since += since  # so that a stop makes up for it
            raise

    async def finish(self) -> None:
        """At an orderly stop: one more, if that saves the next start anything worth while."""
        if self._since >= RECORDS_MIN:
            with contextlib.suppress(LogError):
                await self.make()


@contextlib.contextmanager
def _shelf_may_fail() -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        logger.error("log.snapshot_failed: %s", fault, extra={"fault": str(fault)})  # noqa: TRY400 - the disk's, not ours
