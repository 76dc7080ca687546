"""Where a shard begins: after the records that were archived and cut off, or at the very beginning.

Setting a base is one transaction; from then on the records up to it count as gone, and what is left of them is swept
up, now or when the file is opened the next time. What a log has to remember of them is in it: the chain that its
first record follows, the folder they are in, and the versions of the streams that go on. Their keys are forgotten.
"""

from collections.abc import Callable
from typing import Final

import apsw
import msgspec

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError
from crossfade.logs.codec import GENESIS

ROWS_PER_SWEEP: Final = 5_000

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
_LAST_VERSIONS: Final = "SELECT stream, max(version) FROM events WHERE place BETWEEN ? AND ? GROUP BY stream"
_SWEEP_KEYS: Final = """
DELETE FROM keys WHERE key IN (SELECT key FROM events WHERE place BETWEEN ?1 AND ?2) AND place BETWEEN ?1 AND ?2
"""


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
    bounds = shard << 40, (shard << 40) + base.sequence
    with connection:
        kept = [row for row in connection.execute(_LAST_VERSIONS, bounds) if goes_on(row[0])]
        for stream, version in kept:
            connection.execute("INSERT OR REPLACE INTO versions VALUES (?, ?, ?)", (shard, stream, version))
        connection.execute(_SET_BASE, (shard, base.sequence, base.chain, base.folder))


def sweep(connection: apsw.Connection, shard: Shard, base: Beginning) -> None:
    """Remove what is left of the records up to the base, and their keys, some at a time."""
    start = shard << 40
    end = start + base.sequence
    while first := connection.execute("SELECT min(place) FROM events WHERE place BETWEEN ? AND ?", (start, end)).get:
        bounds = first, min(end, first + ROWS_PER_SWEEP)
        with connection:
            connection.execute(_SWEEP_KEYS, bounds)
            connection.execute("DELETE FROM events WHERE place BETWEEN ? AND ?", bounds)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
