"""Where a shard begins: after the records that were archived and cut off, or at the very beginning.

Setting a base is one transaction, which parts the block that it falls into; from then on the records up to it count as
gone, and what is left of them is swept up, now or when the file is opened the next time. What a log has to remember of
them is in it: the chain that its first record follows, the folder they are in, and the versions of the streams that go
on. Their keys are forgotten.
"""

from collections.abc import Callable
from typing import Final

import apsw
import msgspec

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError
from crossfade.logs.blocks import Blocks, place
from crossfade.logs.codec import GENESIS
from crossfade.logs.index import forget

BLOCKS_PER_SWEEP: Final = 500

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bases (
    shard INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    chain BLOB NOT NULL,
    folder TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS versions (
    shard INTEGER NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (shard, stream)
) STRICT, WITHOUT ROWID;
"""
_SET_BASE: Final = "INSERT OR REPLACE INTO bases VALUES (?, ?, ?, ?)"
_GONE: Final = "SELECT max(place) FROM (SELECT place FROM blocks WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?)"


class Beginning(msgspec.Struct, frozen=True):
    """The last record that is archived."""

    sequence: Sequence
    chain: bytes
    folder: str


NO_BASE: Final = Beginning(Sequence(0), GENESIS, "")


def read_bases(connection: apsw.Connection) -> dict[Shard, Beginning]:
    """The bases of all shards that have one. Raises CorruptLogError, and what SQLite raises."""
    found = {}
    for shard, sequence, chain, folder in connection.execute("SELECT shard, sequence, chain, folder FROM bases"):
        if not (isinstance(sequence, int) and isinstance(chain, bytes) and isinstance(folder, str)):
            raise CorruptLogError(f"shard {shard}: its base is damaged")
        found[shard] = Beginning(Sequence(sequence), chain, folder)
    return found


def set_base(connection: apsw.Connection, shard: Shard, base: Beginning, goes_on: Callable[[str], bool]) -> None:
    """Let the shard begin after ``base``, and keep the versions of the streams that go on. All of it, or nothing."""
    blocks = Blocks(connection)
    with connection:
        last = {one.stream: one.version for one in blocks.outlines(shard, 0, base.sequence)}
        kept = [(shard, stream, version) for stream, version in last.items() if goes_on(stream)]
        connection.executemany("INSERT OR REPLACE INTO versions VALUES (?, ?, ?)", kept)
        connection.execute(_SET_BASE, (shard, base.sequence, base.chain, base.folder))
        blocks.part(shard, base.sequence)


def sweep(connection: apsw.Connection, shard: Shard, base: Beginning) -> None:
    """Remove what is left of the records up to the base, and what leads to them, some at a time."""
    blocks = Blocks(connection)
    start = place(shard, 0)
    bounds = start, place(shard, base.sequence), BLOCKS_PER_SWEEP
    while last := connection.execute(_GONE, bounds).get:
        with connection:
            forget(connection, shard, blocks.outlines(shard, 0, last - start))
            connection.execute("DELETE FROM blocks WHERE place BETWEEN ? AND ?", (start, last))
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
