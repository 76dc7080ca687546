"""The newest part of a log, verified while it is in use: every link of the chain, up to the head."""

from typing import Final

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import Log
from crossfade.logs.codec import GENESIS, verify

ROWS_MAX: Final = 20_000
"""Of each shard. The whole log is verified offline, with ``crossfade log verify``."""
ROWS_PER_READ: Final = 1_000


async def first_bad_of_tail(log: Log, shard: Shard, rows_max: int = ROWS_MAX) -> tuple[Sequence | None, int]:
    """The first sequence that is missing or false among the newest rows, None if all hold; and how many were read."""
    head = await log.head(shard)
    after = Sequence(max(0, head.sequence - rows_max))
    prev, count = GENESIS, 0
    if after > 0:
        before = await log.read(shard, Sequence(after - 1), 1)
        if not before:
            return after, 0
        prev = before[0].chain
    while after < head.sequence:
        rows = await log.read(shard, after, min(ROWS_PER_READ, head.sequence - after))
        bad = verify(shard, rows, after, prev)
        if bad is not None or not rows:
            return bad or Sequence(after + 1), count
        after, prev, count = rows[-1].sequence, rows[-1].chain, count + len(rows)
    return (None if prev == head.chain or head.sequence == 0 else head.sequence), count
