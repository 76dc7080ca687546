"""Scrubbing: the whole log read again from the disk, again and again, a small slice at a time.

A round takes ``ROUND_SECONDS`` however long the log is, so every record is looked at within a day. A slice is
some milliseconds of reading between two writes. A finding ends all writing: what is damaged is not built upon.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core.values import SECOND, Instant, Sequence, Shard
from crossfade.engine.context import Context
from crossfade.engine.ports import CorruptLogError, LogError

ROUND_SECONDS: Final = 12 * 3_600
SLICE_RECORDS: Final = 1_000
PAUSE_SECONDS_MAX: Final = 60.0
PAUSE_SECONDS_MIN: Final = 0.02
"""So that a log of a thousand million records does not keep the disk busy; its round takes longer."""

logger = logging.getLogger("crossfade.log")


class Scrubbing:
    """Reads one hub's log for as long as it runs."""

    def __init__(self, context: Context, shards: Seq[Shard], damaged: Callable[[str], None]) -> None:
        """``damaged`` is told once, with the shard and the first bad sequence."""
        self._c = context
        self._shards = tuple(shards)
        self._damaged = damaged
        self.rounds = 0
        """How often everything was read."""

    async def run(self) -> None:
        """Go round until something is found, or cancelled."""
        while True:
            ends = {shard: (await self._c.log.head(shard)).sequence for shard in self._shards}
            slices = sum(-(-end // SLICE_RECORDS) for end in ends.values())
            pause = min(PAUSE_SECONDS_MAX, max(PAUSE_SECONDS_MIN, ROUND_SECONDS / max(1, slices)))
            for shard, end in ends.items():
                for after in range(0, end, SLICE_RECORDS):
                    await self._sleep(pause)
                    if await self._bad(shard, Sequence(after), Sequence(min(end, after + SLICE_RECORDS))):
                        return
            if not slices:
                await self._sleep(pause)
            self.rounds += 1

    async def _sleep(self, seconds: float) -> None:
        await self._c.clock.sleep_until(Instant(self._c.clock.now() + int(seconds * SECOND)))

    async def _bad(self, shard: Shard, after: Sequence, through: Sequence) -> bool:
        try:
            bad = await self._c.log.verify(shard, after, through)
        except CorruptLogError as fault:
            what = str(fault)
        except LogError:
            return False  # it cannot be read now; the next round comes by again
        else:
            if bad is None:
                return False
            what = f"shard {shard}: sequence {bad} is missing or not as it was written"
        logger.error("log.damaged", extra={"what": what})
        self._damaged(what)
        return True
