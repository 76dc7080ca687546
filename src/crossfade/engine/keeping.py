"""Keeping: what stands guard over a hub's log besides the log itself. Checkpoints, snapshots, and their use.

Puts witnessing.py, snapshots.py and proving.py into a hub's life: before the replay, after it, live, at the stop.
A hub without any of them works as well; it only has nobody to tell it that its log was cut short.
"""

from collections.abc import Mapping
from typing import Final

from crossfade.core.values import Shard
from crossfade.engine.committer import Committer
from crossfade.engine.context import Context
from crossfade.engine.ports import CorruptLogError, Folding, LogError, Shelf, Witness
from crossfade.engine.projector import Projector
from crossfade.engine.proving import Proving
from crossfade.engine.scrubbing import Scrubbing
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import Streams
from crossfade.engine.witnessing import RECORDS_UNWITNESSED_MAX, Witnessing

LOOK_SECONDS: Final = 1.0
NO_KEY: Final = bytes(16)
"""A key that no command has: asking for it tells whether the log answers at all."""


class Keeping:
    """Everything of one hub that keeps its log honest and its start short."""

    def __init__(self, context: Context, streams: Streams, committers: Mapping[Shard, Committer]) -> None:
        self._c = context
        self._committers = committers
        self._folded = Folded(streams, context.views)
        self._witnessing: Witnessing | None = None
        self._snapshots: Snapshots | None = None
        self._loaded = 0
        self.damage = ""
        """What the scrubber found: nothing is written any more. Empty while all is well."""
        self.proving = Proving(context, tuple(committers))

    def guard(self, witness: Witness) -> None:
        """Keep checkpoints there, and hold the log to them; to be called before the start."""
        self._witnessing = Witnessing(self._c, witness, tuple(self._committers), self._witnessed)
        self.proving.witness = witness

    def save(self, shelf: Shelf, *, release: str = "", folding: Folding | None = None) -> None:
        """Keep snapshots there and begin with the newest of this release; to be called before the start.

        ``folding`` makes them while the hub serves; without it this process does.
        """
        self._snapshots = Snapshots(
            self._c.log, self._c.limits, shelf, tuple(self._committers), release=release, folding=folding
        )

    async def before_replay(self) -> None:
        """Hold the log to its checkpoints and load a snapshot. Raises CorruptLogError."""
        if self._witnessing is not None:
            await self._witnessing.check()
        if self._snapshots is not None:
            self._loaded = await self._snapshots.load(self._folded)
        for shard, (end, _) in self._folded.ends.items():
            self._committers[shard].head = end
        self._c.dispatcher.seen(self._folded.last_at)

    async def live(self, projector: Projector) -> None:
        """Go along with what is committed from now on; nothing that follows from a record may have happened yet."""
        if self._snapshots is not None:
            new = sum(committer.head for committer in self._committers.values()) - self._loaded
            await self._snapshots.started(self._folded, new)
            projector.counting.append(self._snapshots.react)
            self._c.background.spawn(self._snapshots.run(), "snapshots")
        if self._witnessing is not None:
            projector.counting.append(self._witnessing.react)
            self._c.background.spawn(self._witnessing.run(), "checkpoints")
            self._look_again()
            scrubbing = Scrubbing(self._c, tuple(self._committers), self._stop_writing)
            self._c.background.spawn(scrubbing.run(), "scrubbing")

    @property
    def unwitnessed_records(self) -> int:
        """Records that no checkpoint covers yet; 0 without a second place."""
        if self._witnessing is None:
            return 0
        heads = {shard: committer.head for shard, committer in self._committers.items()}
        return sum(self._witnessing.behind(heads).values())

    @property
    def reason(self) -> str:
        """Why the hub cannot write, or should not be relied on; empty while all is well."""
        faults = [committer.failed for committer in self._committers.values() if committer.failed is not None]
        return self.damage or (str(faults[0]) if faults else "")

    def _witnessed(self, fault: str) -> None:
        """While no checkpoint can be kept the hub is not ready, and from a number of records on it takes nothing."""
        for committer in self._committers.values():
            committer.unwitnessed = fault
            committer.held = bool(fault) and self.unwitnessed_records >= RECORDS_UNWITNESSED_MAX

    def _stop_writing(self, damage: str) -> None:
        self.damage = damage
        for committer in self._committers.values():
            committer.read_only = f"the log is damaged: {damage}"
            committer.fault = CorruptLogError(damage)

    def _look_again(self) -> None:
        """Look every second whether a log that failed is well again: else nobody would write, and so find out."""
        if not self.damage and any(committer.fault is not None for committer in self._committers.values()):
            self._c.background.spawn(self._look(), "look at the log")
        self._c.again(LOOK_SECONDS, self._look_again)

    async def _look(self) -> None:
        for shard, committer in self._committers.items():
            try:
                await self._c.log.find(shard, NO_KEY)
            except LogError:
                return
            await committer.recovered()

    async def finish(self) -> None:
        """After the last commit: a last checkpoint, and a snapshot if it is worth it."""
        if self._witnessing is not None:
            await self._witnessing.keep()
        if self._snapshots is not None:
            await self._snapshots.finish()
