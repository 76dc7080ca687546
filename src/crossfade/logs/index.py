"""What leads to the records of one shard, from keys and from streams; written in order, a while after the records.

Keys are random, so an index that took each one at once would write a page of its own for each, twice. Here what leads
to a record waits in memory until ``RECORDS_WAITING`` do; then it goes into the tables in its order, some with each
commit, so that a page takes several entries at a time. ``indexed`` says up to which record of a shard the tables are
complete; what leads to later ones is read from the records themselves when the file is opened. So what is
acknowledged never rests on an index, and what it does not know yet is bounded.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import CorruptLogError, StoredEvent
from crossfade.logs import keys as _keys
from crossfade.logs import names as _names
from crossfade.logs.batch import Resolved
from crossfade.logs.blocks import Blocks
from crossfade.logs.codec import Outline
from crossfade.logs.limits import SEQUENCE_BITS, SEQUENCE_MAX
from crossfade.logs.versions import Versions

T = TypeVar("T", bytes, StreamName)

RECORDS_WAITING: Final = 65_536
"""Of each shard. About twice as many are in memory at most."""
BEHIND_MAX: Final = 4 * RECORDS_WAITING
"""Records that are read when the file is opened; if there are more behind, they go into the tables at once."""
RECORDS_PER_CHUNK: Final = 100_000
ENTRIES_PER_SLICE: Final = 256
ENTRIES_PER_RECORD: Final = 2
"""At most: one of its key, one of its stream."""

SCHEMA: Final = f"""
{_keys.SCHEMA}
{_names.SCHEMA}
CREATE TABLE indexed (
    shard INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;
"""
_SET_INDEXED: Final = """
INSERT INTO indexed VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET sequence = excluded.sequence
"""


Write = Callable[[], int]
"""Writes some entries into a table; how many."""


def _slices(items: list[T], write: Callable[[list[T]], None]) -> list[Write]:
    """Keys or names in their order, some at a time, the last first."""
    items.sort()
    starts = range(0, len(items), ENTRIES_PER_SLICE)
    slices: list[Write] = [partial(_store, items[at : at + ENTRIES_PER_SLICE], write) for at in starts]
    return slices[::-1]


def _store(items: list[T], write: Callable[[list[T]], None]) -> int:
    write(items)
    return len(items)


class Index:
    """Of one shard. Belongs to one connection, whose transactions are not its own."""

    def __init__(
        self, connection: apsw.Connection, stored: _keys.Stored, shard: Shard, base: Sequence, head: Sequence
    ) -> None:
        """Read what the tables do not know of the records beyond ``base``. Raises CorruptLogError, apsw.Error."""
        self._connection = connection
        self._blocks = Blocks(connection)
        self._stored = stored
        self._shard = shard
        self._base = base
        self._keys = _keys.Keys(stored, shard, base)
        self._unsorted: list[Callable[[], list[Write]]] = []
        """What waits, the last part first; after the slices."""
        self._slices: list[Write] = []
        """What is to be written next, the last first."""
        self._written: list[Write] = []
        """Slices that the transaction under way has written."""
        self._owed = 0
        self._noted = 0
        """Records that are remembered, and not on their way into the tables."""
        self._head = self._through = head
        """The record up to which the tables are complete once everything that waits is written."""
        self.complete = max(base, Sequence(self._indexed()))
        """The record up to which they are complete."""
        self.names = _names.Names(connection, shard, base)
        self.versions = Versions(connection, shard, base, self.names)
        self._open(head)

    def used(self, keys: Seq[bytes]) -> dict[bytes, tuple[Sequence, Sequence]]:
        """The first and last sequence of each of these keys that was used."""
        found = self._keys.used(keys)
        return {key: self._span(key, first) for key, first in found.items()} if found else {}

    def write(self, count: int) -> None:
        """Within a transaction that stores ``count`` more records: write about as much as those will bring."""
        if not self._waits():
            return
        self._owed += ENTRIES_PER_RECORD * count
        while self._owed >= ENTRIES_PER_SLICE and (slice_ := self._next()):
            self._written.append(slice_)
            self._owed -= slice_()
        if not self._waits():
            self._connection.execute(_SET_INDEXED, (self._shard, self._through))

    def committed(self, done: Resolved) -> None:
        """The transaction is durable, and this is what it stored."""
        if self._written:
            self._written.clear()
            if not self._waits():
                self.complete = self._through
        self._note(done.used, done.ends, done.before, done.head.sequence)

    def rolled_back(self) -> None:
        """The transaction did not happen."""
        while self._written:
            self._slices.append(self._written.pop())

    def unreachable(self, rows: Seq[StoredEvent]) -> Sequence | None:
        """The first of these consecutive records that the tables should lead to, and do not."""
        rows = [row for row in rows if row.sequence <= self.complete]
        if not rows:
            return None
        lost = list(self.names.unreachable([(row.stream, row.version, row.sequence) for row in rows]))
        firsts = self._firsts(rows)
        places = {_keys.entry(row.key, self._shard, row.sequence): row.sequence for row in firsts}
        lost += [places[entry] for entry in self._stored.missing(tuple(places))]
        return Sequence(min(lost)) if lost else None

    def _firsts(self, rows: Seq[StoredEvent]) -> Iterator[StoredEvent]:
        """The first records of the transactions that begin in these rows."""
        before = rows[0].sequence - 1
        known = (
            [one.key for one in self._blocks.outlines(self._shard, before - 1, before)] if before > self._base else []
        )
        if known != [rows[0].key]:
            yield rows[0]
        yield from (row for one, row in pairwise(rows) if one.key != row.key)

    def _open(self, head: Sequence) -> None:
        if self.complete > head:
            raise CorruptLogError(f"shard {self._shard}: sequence {head + 1} is missing, its key is in the index")
        while head - self.complete > BEHIND_MAX:
            self._write_chunk(Sequence(min(head, self.complete + RECORDS_PER_CHUNK)))
        self.names.turn(self.complete)
        self._head = self.complete
        self._note(*self._behind(head), head)
        self._through = head

    def _behind(self, through: Sequence) -> tuple[dict[bytes, int], dict[StreamName, int], dict[int, int]]:
        """What leads to the records that the tables do not know, up to one, as ``batch.Resolved`` has it."""
        # A transaction that goes on behind what is complete is in the table already.
        after = max(self._base, self.complete - 1)
        used: dict[bytes, int] = {}
        ends: dict[StreamName, int] = {}
        before: dict[int, int] = {}
        last = b""
        for one in self._blocks.outlines(self._shard, after, through):
            if one.sequence > self.complete:
                before[one.sequence] = ends.get(one.stream, 0) & SEQUENCE_MAX
                ends[one.stream] = one.version << SEQUENCE_BITS | one.sequence
                if one.key != last:
                    used[one.key] = one.sequence
            last = one.key
        return used, ends, before

    def _write_chunk(self, through: Sequence) -> None:
        used, ends, before = self._behind(through)
        noted = _names.Noted(self.complete)
        noted.add(ends, before)
        with self._connection:
            self._keys.insert(used)
            self.names.insert(noted, noted.ends)
            self._connection.execute(_SET_INDEXED, (self._shard, through))
        self.complete = through

    def _note(
        self, used: dict[bytes, int], ends: dict[StreamName, int], before: dict[int, int], head: Sequence
    ) -> None:
        self._keys.note(used)
        self.names.fresh.add(ends, before)
        self._noted += head - self._head
        self._head = head
        if self._noted >= RECORDS_WAITING and not self._waits():
            self._noted, self._through = 0, self._head
            self._unsorted = [partial(_slices, self.names.turn(head), self.names.write)]
            self._unsorted += [partial(_slices, part, self._stored.insert) for part in self._keys.turn()[::-1]]

    def _waits(self) -> bool:
        return bool(self._slices or self._unsorted)

    def _next(self) -> Write | None:
        if not self._slices and self._unsorted:
            self._slices = self._unsorted.pop()()
        return self._slices.pop() if self._slices else None

    def _span(self, key: bytes, first: int) -> tuple[Sequence, Sequence]:
        """The first and last sequence of the transaction whose first record is this."""
        last = 0
        for one in self._blocks.outlines(self._shard, first - 1, self._head):
            if one.key != key:
                break
            last = one.sequence
        if not last:
            raise CorruptLogError(f"shard {self._shard}: the index of keys leads to sequence {first}")
        return Sequence(first), Sequence(last)

    def _indexed(self) -> int:
        found = self._connection.execute("SELECT sequence FROM indexed WHERE shard = ?", (self._shard,)).get
        if found is not None and not isinstance(found, int):
            raise CorruptLogError(f"shard {self._shard}: the index is damaged")
        return found or 0


def forget(connection: apsw.Connection, shard: Shard, records: Iterable[Outline]) -> None:
    """Remove what leads to these records, which are the first of the shard, from the tables."""
    known = list(records)
    entries = tuple(_keys.entry(one.key, shard, one.sequence) for one in known)
    connection.execute("DELETE FROM keys WHERE entry IN carray(?)", (apsw.carray(entries),))
    through = known[-1].sequence
    streams = {one.stream for one in known}
    _names.forget(connection, shard, streams, through)
