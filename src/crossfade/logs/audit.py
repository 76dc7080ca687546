"""Whether a log file is what it was when it was written: a quick look at its ends, and the whole of it.

What this cannot see: a file whose tail and head were both cut off, or an older copy put in its
place. Only a head that is kept elsewhere shows that.
"""

from pathlib import Path
from typing import Final

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError, LogError, StoredEvent
from crossfade.logs.codec import verify
from crossfade.logs.database import Database

ROWS_CHECKED_AT_START: Final = 1_000
ROWS_PER_STEP: Final = 1_000


def opened(folder: Path, vfs: str | None = None) -> Database:
    """The file in ``folder``, created if need be, with the ends of every shard checked. Raises LogError as both do."""
    database = Database(folder, vfs)
    try:
        check_ends(database)
    except LogError:
        database.close()
        raise
    return database


def check_ends(database: Database) -> None:
    """Verify the newest rows of every shard against its head, and that it begins with sequence 1.

    Raises CorruptLogError, naming the shard and the first bad sequence; UnavailableError if the disk cannot read them.
    """
    with database.disk_or_damage():
        _check_ends(database)


def _check_ends(database: Database) -> None:
    for shard in database.shards():
        base = database.base(shard).sequence
        first = database.first_sequence(shard)
        if first > base + 1:
            raise CorruptLogError(f"shard {shard}: sequence {base + 1} is missing, the first is {first}")
        after = max(base, database.head(shard).sequence - ROWS_CHECKED_AT_START)
        bad = first_bad(database, shard, Sequence(after))
        if bad is not None:
            raise CorruptLogError(f"shard {shard}: sequence {bad} is missing or false")


def recover(database: Database) -> None:
    """Open a log anew after a fault of the disk, and check it as at a start. Raises LogError."""
    database.recover()
    try:
        check_ends(database)
    except CorruptLogError as fault:
        database.lost = database.broken = str(fault)
        raise
    except LogError as fault:
        database.broken = str(fault)  # the next attempt checks again
        raise


def first_bad(database: Database, shard: Shard, after: Sequence) -> Sequence | None:
    """The first sequence beyond ``after`` that is missing or false, up to the head; None if all hold.

    What is archived is not looked at.
    """
    after = max(after, database.base(shard).sequence)
    prev = chain_at(database, shard, after)
    if prev is None:
        return after
    while after < database.head(shard).sequence:
        bad, rows = step(database, shard, after, prev)
        if bad is not None:
            return bad
        after, prev = rows[-1].sequence, rows[-1].chain
    return check_head(database, shard, after, prev)


def step(
    database: Database, shard: Shard, after: Sequence, prev: bytes, limit: int = ROWS_PER_STEP
) -> tuple[Sequence | None, list[StoredEvent]]:
    """Verify the rows after ``after``, at most ``limit``: the first bad sequence if any, and the rows."""
    try:
        rows = database.read(shard, after, limit)
    except CorruptLogError:
        if limit == 1:
            return Sequence(after + 1), []
        return _one_by_one(database, shard, after, prev)
    bad = verify(shard, rows, after, prev)
    return (unreachable(database, shard, rows) if bad is None and rows else bad), rows


def unreachable(database: Database, shard: Shard, rows: list[StoredEvent]) -> Sequence | None:
    """The first of these rows that the index does not lead to, from its key or from its stream.

    No hash covers the index. One that leads elsewhere would let a key be used twice, or hide a stream's events.
    """
    try:
        return database.unreachable(shard, rows)
    except CorruptLogError:
        return rows[0].sequence


def check_head(database: Database, shard: Shard, last: Sequence, chain: bytes) -> Sequence | None:
    """The first sequence at which the head and the last row disagree; None if they agree."""
    head, stored = database.head(shard), database.last_sequence(shard)
    if stored != head.sequence:
        return Sequence(min(stored, head.sequence) + 1)
    return None if head.chain == chain else max(last, Sequence(1))


def _one_by_one(
    database: Database, shard: Shard, after: Sequence, prev: bytes
) -> tuple[Sequence | None, list[StoredEvent]]:
    """The same as ``step`` where a row of it cannot be read, to name which."""
    good: list[StoredEvent] = []
    while True:
        bad, rows = step(database, shard, after, prev, limit=1)
        if bad is not None or not rows:
            return bad, good
        good += rows
        after, prev = rows[-1].sequence, rows[-1].chain


def chain_at(database: Database, shard: Shard, sequence: Sequence) -> bytes | None:
    """The chain of one row as it is stored; None if the row cannot be read."""
    base = database.base(shard)
    try:
        return base.chain if sequence == base.sequence else database.read(shard, Sequence(sequence - 1), 1)[0].chain
    except CorruptLogError:
        return None
