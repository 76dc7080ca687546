"""Proving: what an operator may ask the hub about its own log, and what the hub asks itself.

Verifying reads the disk in slices between writes; the checkpoints are handed out as they are kept, so that
whoever doubts the hub checks them without it.
"""

from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller, Scope, Sequence, Shard
from crossfade.engine.context import Context, needs
from crossfade.engine.ports import BackupFailedError, Backups, Witness
from crossfade.engine.requests import BackupView, NotesView, SliceView
from crossfade.engine.views.instants import iso

SLICE_RECORDS_MAX: Final = 20_000
"""Records that one call verifies: about a tenth of a second of reading, between writes."""


class Proving:
    """Use cases about the log itself; each needs scope operator."""

    def __init__(self, context: Context, shards: Seq[Shard]) -> None:
        self._c = context
        self._shards = frozenset(shards)
        self.witness: Witness | None = None
        self.backups: Backups | None = None
        """None: this hub keeps nothing on a disk."""
        self._copying = False

    async def verify(self, caller: Caller, shard: int, after: int) -> SliceView | Refusal:
        """Read the next stretch of a shard again; refuses with auth.scope, log.unknown."""
        refusal = self._refusal(caller, shard, after)
        if refusal is not None:
            return refusal
        head = await self._c.log.head(Shard(shard))
        start = min(Sequence(after), head.sequence)
        through = min(Sequence(start + SLICE_RECORDS_MAX), head.sequence)
        bad = await self._c.log.verify(Shard(shard), start, through)
        return SliceView(shard=shard, through=through, end=head.sequence, first_bad=bad)

    async def checkpoints(self, caller: Caller, shard: int) -> NotesView | Refusal:
        """The signed checkpoints of a shard; refuses with auth.scope, log.unknown."""
        refusal = self._refusal(caller, shard, 0)
        if refusal is not None:
            return refusal
        if self.witness is None:
            return NotesView(public_key="", checkpoints=[])
        lines = await self.witness.lines(Shard(shard))
        return NotesView(public_key=self.witness.public_key(), checkpoints=lines)

    async def backup(self, caller: Caller) -> BackupView | Refusal:
        """Copy the log while it is in use.

        Refuses with: auth.scope, log.in_memory, log.backup_running, log.backup_failed.
        """
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is not None:
            return refusal
        if self.backups is None:
            return Refusal("log.in_memory", "This hub keeps its log in memory.", "Serve with log = sqlite.")
        if self._copying:
            return Refusal("log.backup_running", "A copy is being made already.", "Wait for it to end.")
        self._copying = True
        try:
            name = iso(self._c.clock.now()).replace(":", "").replace("-", "").replace(".", "-")
            path, heads = await self.backups.make(name)
        except BackupFailedError as fault:
            return Refusal("log.backup_failed", f"{fault}.", "See to the disk, then again; nothing else is affected.")
        finally:
            self._copying = False
        return BackupView(path=path, ends={int(shard): head.sequence for shard, head in heads.items()})

    def _refusal(self, caller: Caller, shard: int, after: int) -> Refusal | None:
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is None and (shard not in self._shards or after < 0):
            refusal = Refusal("log.unknown", f"There is no shard {shard}.", "`crossfade log head` lists the shards.")
        return refusal
