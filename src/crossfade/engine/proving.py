"""Proving: what an operator may ask the hub about its own log, and what the hub asks itself.

Verifying reads the disk in slices between writes; the checkpoints are handed out as they are kept, so that
whoever doubts the hub checks them without it.
"""

from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller, Scope, Sequence, Shard
from crossfade.engine.context import Context, needs
from crossfade.engine.ports import Witness
from crossfade.engine.requests import NotesView, SliceView

SLICE_RECORDS_MAX: Final = 20_000
"""Records that one call verifies: about a tenth of a second of reading, between writes."""


class Proving:
    """Use cases about the log itself; each needs scope operator."""

    def __init__(self, context: Context, shards: Seq[Shard]) -> None:
        self._c = context
        self._shards = frozenset(shards)
        self.witness: Witness | None = None

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

    def _refusal(self, caller: Caller, shard: int, after: int) -> Refusal | None:
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is None and (shard not in self._shards or after < 0):
            refusal = Refusal("log.unknown", f"There is no shard {shard}.", "`crossfade log head` lists the shards.")
        return refusal
