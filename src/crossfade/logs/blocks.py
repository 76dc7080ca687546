"""Where the records lie: a few to a row, as the very bytes that were hashed, one behind the other.

A **block** is what one commit stored of a shard, cut where it would become longer than ``BLOCK_BYTES``. Its ``place``
is that of its last record, ``shard << 40 | sequence``, and ``chain`` the chain of that record; those of the others
stand in the record behind each. So a commit is one row, whatever is in it, and nothing is encoded twice.

Not here: which record belongs to which key or stream (index.py).
"""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import closing
from typing import Final

import apsw
import msgspec

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError, StoredEvent
from crossfade.logs.codec import GENESIS, Outline, before, canonical, outlines, unpack

BLOCK_BYTES: Final = 64 * 1024
"""A block that has so many takes no further record."""

SCHEMA: Final = """
CREATE TABLE blocks (
    place INTEGER PRIMARY KEY,
    records BLOB NOT NULL,
    chain BLOB NOT NULL
) STRICT;
"""
_INSERT: Final = "INSERT INTO blocks VALUES (?, ?, ?)"
_UNFOUND: Final = """
SELECT min(place) FROM blocks AS passed WHERE place > ? AND place <= ?
AND NOT EXISTS (SELECT 1 FROM blocks AS sought WHERE sought.place = passed.place)
"""
_READ: Final = "SELECT place, records, chain FROM blocks WHERE place > ? AND place < ? ORDER BY place"


class Block(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one shard."""

    shard: Shard
    last: Sequence
    records: bytes
    chain: bytes

    @property
    def first(self) -> int:
        """The sequence of the first record, as it says itself."""
        return int.from_bytes(self.records[9:17], "big")

    def rows(self, after: int = 0, through: int = 1 << 40) -> list[StoredEvent]:
        """Those in (after, through]. Raises ValueError if one cannot be read."""
        found: list[StoredEvent] = []
        unpack(self.shard, self.records, self.chain, after, through, found)
        return found


def place(shard: Shard, sequence: int) -> int:
    """Where a record lies."""
    return shard << 40 | sequence


def cut(shard: Shard, records: Seq[bytes], last: int, chain: bytes) -> list[Block]:
    """The blocks of consecutive records, each as ``canonical`` has it; ``chain`` is that of the last."""
    if sum(map(len, records)) <= BLOCK_BYTES:
        return [Block(shard, Sequence(last), b"".join(records), chain)] if records else []
    blocks: list[Block] = []
    begin = size = 0
    first = last - len(records) + 1
    for at, record in enumerate(records):
        size += len(record)
        if size >= BLOCK_BYTES or at == len(records) - 1:
            own = before(records[at + 1]) if at + 1 < len(records) else chain
            blocks.append(Block(shard, Sequence(first + at), b"".join(records[begin : at + 1]), own))
            begin, size = at + 1, 0
    return blocks


def of_rows(shard: Shard, rows: Seq[StoredEvent], prev: bytes) -> list[Block]:
    """The blocks of rows that are stored already, as they are; the first follows ``prev``."""
    records = []
    for row in rows:
        records.append(canonical(shard, prev, msgspec.structs.astuple(row)[:-1]))
        prev = row.chain
    return cut(shard, records, rows[-1].sequence, prev) if rows else []


class Blocks:
    """The table. Belongs to one connection, whose transactions are not its own; what SQLite raises goes through."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def insert(self, blocks: Iterable[Block]) -> None:
        """Store blocks."""
        for block in blocks:
            self._connection.execute(_INSERT, (place(block.shard, block.last), block.records, block.chain))

    def read(self, shard: Shard, after: int, through: int, rows: list[StoredEvent]) -> None:
        """Add the records in (after, through] to ``rows``, up to a gap.

        Raises CorruptLogError, naming the first that cannot be read; those before it have been added.
        """
        last = after
        for block in self.each(shard, after, through):
            begun = len(rows)
            try:
                unpack(shard, block.records, block.chain, after, through, rows)
            except ValueError as fault:
                bad = last + 1
                if len(rows) > begun and rows[begun].sequence == bad:
                    bad = rows[-1].sequence + 1
                raise CorruptLogError(f"shard {shard}: sequence {bad} cannot be read: {fault}") from fault
            if len(rows) == begun or rows[begun].sequence != last + 1:
                del rows[begun:]
                return
            last = rows[-1].sequence
            if last != min(block.last, through):
                raise CorruptLogError(f"shard {shard}: sequence {last + 1} cannot be read: its block says it is there")

    def outlines(self, shard: Shard, after: int, through: int) -> Iterator[Outline]:
        """Of the records in (after, through]. Raises CorruptLogError at one that cannot be read."""
        known = after
        for block in self.each(shard, after, through):
            before_it = known
            try:
                for outline in outlines(shard, block.records):
                    if after < outline.sequence <= through:
                        known = outline.sequence
                        yield outline
            except ValueError as fault:
                bad = 1 + (known if block.first <= before_it + 1 else before_it)
                raise CorruptLogError(f"shard {shard}: sequence {bad} cannot be read: {fault}") from fault

    def each(self, shard: Shard, after: int, through: int) -> Iterator[Block]:
        """The blocks that hold the records in (after, through], in order. Raises CorruptLogError."""
        last = after
        if last >= through:
            return
        bounds = place(shard, after), place(Shard(shard + 1), 0)
        with closing(self._connection.execute(_READ, bounds)) as cursor:
            for at, records, chain in cursor:
                if not (isinstance(records, bytes) and isinstance(chain, bytes) and len(chain) == len(GENESIS)):
                    raise CorruptLogError(f"shard {shard}: sequence {last + 1} cannot be read: it is damaged")
                last = at & (1 << 40) - 1
                yield Block(shard, Sequence(last), records, chain)
                if last >= through:
                    return

    def unfound(self, shard: Shard, after: int, through: int) -> Sequence | None:
        """The end of the first block within (after, through] that is met in passing and not when it is looked for.

        Nobody can tell from the records: pages of the table that lead to others may be damaged.
        """
        found = self._connection.execute(_UNFOUND, (place(shard, after), place(shard, through))).get
        return None if found is None else Sequence(found & (1 << 40) - 1)

    def shards(self) -> Iterator[Shard]:
        """Those that have records."""
        shard = -1
        sql = "SELECT min(place) >> 40 FROM blocks WHERE place >= ?"
        while (shard := self._connection.execute(sql, (shard + 1 << 40,)).get) is not None:
            yield shard

    def first(self, shard: Shard, after: int) -> int:
        """The sequence of the first record beyond ``after``; 0 if there is none. Raises CorruptLogError."""
        for block in self.each(shard, after, (1 << 40) - 1):
            for outline in self.outlines(shard, after, block.last):
                return outline.sequence
        return 0

    def end(self, shard: Shard) -> tuple[Sequence, bytes] | None:
        """The sequence and the chain of the last record; None if there is none."""
        bounds = place(shard, 0), place(Shard(shard + 1), 0)
        sql = "SELECT place, chain FROM blocks WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT 1"
        found = self._connection.execute(sql, bounds).fetchone()
        return found and (Sequence(found[0] - bounds[0]), found[1])

    def part(self, shard: Shard, after: int) -> None:
        """See to it that a block ends with the record ``after``, so that what lies before it can go."""
        for block in self.each(shard, after - 1, after):
            end = next(one.end for one in outlines(shard, block.records) if one.sequence == after)
            head, rest = block.records[:end], block.records[end:]
            if rest:
                sql = "UPDATE blocks SET records = ? WHERE place = ?"
                self._connection.execute(sql, (rest, place(shard, block.last)))
                self._connection.execute(_INSERT, (place(shard, after), head, before(rest)))
