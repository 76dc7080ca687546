"""Witnessing: a checkpoint of every shard in a second place, and the log held to the last one at the start.

A checkpoint is made ``SECONDS_MAX`` after the first record that none covers, or after ``RECORDS_MAX`` of them,
and at an orderly stop. It is taken from what is durable already and written while commits go on, so nobody's
acknowledgement waits for it. The chain says whether rows were changed; only a checkpoint says whether the end
of the log is missing, or whether an older copy, or one with all hashes made anew, was put in its place.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core.records import Recorded
from crossfade.core.values import Sequence, Shard
from crossfade.engine.context import Context
from crossfade.engine.ports import Checkpoint, CorruptLogError, Log, LogError, Witness

RECORDS_MAX: Final = 1_000
"""Records of a shard that no checkpoint covers, before one is made; more while one is being written."""
SECONDS_MAX: Final = 0.75
"""Time that a record waits for a checkpoint; what is left of a second is for writing it."""
RECORDS_UNWITNESSED_MAX: Final = 100_000
"""Records that no checkpoint covers, because the second place fails; then nothing more is taken."""
READ_ROWS: Final = 1_000

logger = logging.getLogger("crossfade.log")


class Witnessing:
    """Keeps the checkpoints of one hub."""

    def __init__(self, context: Context, witness: Witness, shards: Seq[Shard], told: Callable[[str], None]) -> None:
        """``told`` hears after each attempt why it failed; an empty text if it did not."""
        self._c = context
        self._witness = witness
        self._told = told
        self._covered = dict.fromkeys(shards, 0)
        self._waiting = False
        """A record is not covered, and the appointment for its checkpoint is made."""
        self._due = asyncio.Event()

    def behind(self, heads: Mapping[Shard, int]) -> dict[Shard, int]:
        """The records of each shard that no checkpoint covers."""
        return {shard: head - self._covered[shard] for shard, head in heads.items()}

    async def check(self) -> None:
        """Hold the log to the last checkpoint of each shard. Raises CorruptLogError, as ``hold``."""
        for shard in self._covered:
            last = await hold(self._c.log, self._witness, shard)
            self._covered[shard] = 0 if last is None else last.sequence

    def react(self, records: Seq[Recorded]) -> None:
        """Called after live records of one shard are in the views."""
        if not records:
            return
        if not self._waiting:
            self._waiting = True
            self._c.again(SECONDS_MAX, self._due.set)
        last = records[-1]
        if last.sequence - self._covered[last.shard] >= RECORDS_MAX:
            self._due.set()

    async def run(self) -> None:
        """Make checkpoints until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._waiting = False
            if not await self.keep():
                self._waiting = True
                self._c.again(SECONDS_MAX, self._due.set)

    async def keep(self) -> bool:
        """Make a checkpoint of every shard that has grown; whether it is in its place."""
        try:
            grown = [head for shard in self._covered if (head := await self._head(shard)) is not None]
            if grown:
                await self._witness.keep(grown)
        except (OSError, LogError) as fault:
            logger.error("log.checkpoint_failed: %s", fault, extra={"fault": str(fault)})  # noqa: TRY400 - the disk's, not ours
            self._told(f"no checkpoint can be kept: {fault}")
            return False
        for checkpoint in grown:
            self._covered[checkpoint.shard] = checkpoint.sequence
        self._told("")
        return True

    async def _head(self, shard: Shard) -> Checkpoint | None:
        head = await self._c.log.head(shard)
        if head.sequence <= self._covered[shard]:
            return None
        return Checkpoint(shard, head.epoch, head.sequence, head.chain, self._c.clock.now())


async def hold(log: Log, witness: Witness, shard: Shard) -> Checkpoint | None:
    """The shard's last checkpoint, which the log contains.

    Raises CorruptLogError that names the shard and the first bad position: the end of a log that is too
    short, or the first record that no checkpoint vouches for.
    """
    last = await witness.last(shard)
    if last is None:
        return None
    head = await log.head(shard)
    if head.epoch != last.epoch:
        raise CorruptLogError(
            f"shard {shard}: the log is of epoch {head.epoch}, its last checkpoint of epoch {last.epoch}; "
            f"sequence 1 is the first that cannot be trusted"
        )
    if head.sequence < last.sequence:
        raise CorruptLogError(
            f"shard {shard}: sequence {head.sequence + 1} is missing: the log had reached {last.sequence}"
        )
    if not await _agrees(log, last):
        raise CorruptLogError(await _first_false(log, witness, shard))
    return last


async def _agrees(log: Log, checkpoint: Checkpoint) -> bool:
    """Whether the log has the checkpoint's row with the checkpoint's chain."""
    try:
        rows = await log.read(checkpoint.shard, Sequence(checkpoint.sequence - 1), 1)
    except CorruptLogError:
        return False
    return bool(rows) and rows[0].chain == checkpoint.chain


async def _first_false(log: Log, witness: Witness, shard: Shard) -> str:
    """Between the last checkpoint that holds and the first that does not, which is found by halving."""
    kept = [checkpoint for checkpoint in await witness.kept(shard) if checkpoint.sequence > 0]
    low, high = 0, len(kept) - 1
    while low < high:
        middle = (low + high) // 2
        if await _agrees(log, kept[middle]):
            low = middle + 1
        else:
            high = middle
    good = kept[low - 1].sequence if low else 0
    bad = kept[low].sequence
    broken = await log.verify(shard, Sequence(good), Sequence(bad))
    if broken is not None:
        return f"shard {shard}: sequence {broken} is missing or false"
    return (
        f"shard {shard}: sequence {good + 1} is the first that may be false: the records up to {bad} were made anew, "
        f"chain and all, and are not those of the checkpoint"
    )
