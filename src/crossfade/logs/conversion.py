"""A log of a former format, brought to the present one when it is opened, some records at a time.

Formats 1 and 2 had each record as a row of the table ``events``; format 1 an index of its keys, format 2 a table
``keys`` with other columns. First one transaction puts empty tables in the place of what led to the records; then the
records move into blocks, ``ROWS_PER_STEP`` a transaction, each out of ``events`` in the transaction that puts it into a
block; at last ``events`` goes. Cut off anywhere, the next start goes on. Every record is verified on its way.
"""

from contextlib import suppress
from itertools import starmap
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError, StoredEvent
from crossfade.logs.bases import NO_BASE, read_bases
from crossfade.logs.blocks import Blocks, of_rows, place
from crossfade.logs.codec import verify

ROWS_PER_STEP: Final = 10_000
FORMERLY: Final = {1: "DROP INDEX events_by_key;", 2: "DROP TABLE keys; DROP TABLE indexed;"}
"""Of each former format, what the tables of the present one take the place of."""

_ROWS: Final = """
SELECT sequence, stream, version, type, at, actor, cause, key, payload, chain FROM events
WHERE place > ? AND place < ? ORDER BY place LIMIT ?
"""


def convert(connection: apsw.Connection) -> None:
    """Move all records out of the table of a former format, if there is one. Raises CorruptLogError, apsw.Error."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'events'").get is None:
        return
    while (first := connection.execute("SELECT min(place) FROM events").get) is not None:
        _move(connection, Shard(first >> 40))
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    connection.execute("DROP TABLE events")


def _move(connection: apsw.Connection, shard: Shard) -> None:
    """Move the first records of a shard; what is archived is dropped."""
    blocks = Blocks(connection)
    base = read_bases(connection).get(shard, NO_BASE)
    after, prev = blocks.end(shard) or (base.sequence, base.chain)
    rows: list[StoredEvent] = []
    with suppress(UnicodeDecodeError):  # then a row is missing behind those
        bounds = place(shard, after), place(Shard(shard + 1), 0), ROWS_PER_STEP
        rows.extend(starmap(StoredEvent, connection.execute(_ROWS, bounds)))
    bad = verify(shard, rows, Sequence(after), prev)
    if bad is not None or not rows:
        raise CorruptLogError(f"shard {shard}: sequence {bad or after + 1} is missing or false")
    with connection:
        blocks.insert(of_rows(shard, rows, prev))
        connection.execute(
            "DELETE FROM events WHERE place BETWEEN ? AND ?", (place(shard, 0), place(shard, rows[-1].sequence))
        )
