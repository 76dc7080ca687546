"""What leads to the records of one shard, from keys and from streams; written in order, a while after the records.

Keys are random, so an index that took each one at once would write a page of its own for each, twice. Here what leads
to a record waits in memory until ``RECORDS_WAITING`` do; then it goes into the tables in its order, some with each
commit, so that a page takes several entries at a time. ``indexed`` says up to which record of a shard the tables are
complete; what leads to later ones is read from the records themselves when the file is opened. So what is
acknowledged never rests on an index, and what it does not know yet is bounded.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import Committed, CorruptLogError, StoredEvent
from crossfade.logs import keys as _keys
from crossfade.logs import names as _names
from crossfade.logs.backlog import Part, Statement
from crossfade.logs.batch import Resolved
from crossfade.logs.blocks import Blocks
from crossfade.logs.codec import Outline
from crossfade.logs.limits import SEQUENCE_BITS, SEQUENCE_MAX
from crossfade.logs.versions import Versions

RECORDS_WAITING: Final = 65_536
"""Of each shard. About twice as many are in memory at most."""
BEHIND_MAX: Final = 4 * RECORDS_WAITING
"""Records that are read when the file is opened; if there are more behind, they go into the tables at once."""
RECORDS_PER_CHUNK: Final = 100_000
ENTRIES_PER_SLICE: Final = 256
"""No fewer are written at a time, unless they are the last."""
SLICES_OWED_MAX: Final = 16
"""So far writing may fall behind before it is done while callers wait."""
ENTRIES_AHEAD_MAX: Final = 4_096
"""Written at a time while nobody waits: about three milliseconds."""
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
        self._parts: list[Part[bytes] | Part[StreamName]] = []
        """What waits, the last first."""
        self._written: list[tuple[Part[bytes] | Part[StreamName], int]] = []
        """The parts of which the transaction under way has written something, and from where on."""
        self._owed = 0
        """Entries that should have been written by now; less than 0 if more were."""
        self._noted = 0
        """Records that are remembered, and not on their way into the tables."""
        self._head = self._through = head
        """The record up to which the tables are complete once everything that waits is written."""
        self.complete = max(base, Sequence(self._indexed()))
        """The record up to which they are complete."""
        self.names = _names.Names(connection, shard, base)
        self.versions = Versions(connection, shard, base, self.names)
        self._open(head)

    def used(self, keys: Seq[bytes]) -> dict[bytes, Committed]:
        """Where the events of each of these keys are that was used."""
        found = self._keys.used(keys)
        return {key: self._span(key, first) for key, first in found.items()} if found else {}

    def owe(self, count: int) -> None:
        """``count`` more records are being stored: as many entries as those bring at most have to be written."""
        if self._parts:
            self._owed += ENTRIES_PER_RECORD * count

    def write(self) -> None:
        """Within a transaction, at its end: write what is owed if that is too much to wait for a better moment."""
        if not self._parts and not self._written:
            return
        while self._parts and self._owed >= SLICES_OWED_MAX * ENTRIES_PER_SLICE:
            self._connection.execute(*self._take(self._owed))
        if not self._parts:
            self._connection.execute(_SET_INDEXED, (self._shard, self._through))

    def ahead(self, count: int) -> Statement | None:
        """A part of what ``write`` will have to write with the next ``count`` records, if that is worth it.

        To be executed within the transaction of those records, or in one before it.
        """
        coming = self._coming(count)
        return self._take(coming) if coming else None

    def prepare(self, count: int) -> None:
        """Make ready what ``ahead`` will answer for as many; nothing is taken."""
        coming = self._coming(count)
        if coming:
            self._parts[-1].prepare(coming)

    def committed(self) -> None:
        """The transaction under way is durable."""
        if self._written:
            self._written.clear()
            if not self._parts:
                self.complete = self._through

    def note(self, done: Resolved) -> None:
        """Remember what is stored, and durable."""
        self._note(done.used, done.ends, done.before, done.head.sequence)

    def rolled_back(self) -> None:
        """The transaction did not happen."""
        while self._written:
            part, at = self._written.pop()
            if not part.left:
                self._parts.append(part)
            self._owed += part.at - at
            part.at = at

    def unreachable(self, rows: Seq[StoredEvent]) -> Sequence | None:
        """The first of these consecutive records that the tables should lead to, and do not."""
        rows = [row for row in rows if row.sequence <= self.complete]
        if not rows:
            return None
        lost = list(self.names.unreachable([(row.stream, row.version, row.sequence) for row in rows]))
        lost += self._keys.unreachable({row.key: row.sequence for row in self._firsts(rows)})
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

    def _behind(self, through: Sequence) -> tuple[dict[bytes, int], dict[StreamName, int], list[int]]:
        """What leads to the records that the tables do not know, up to one, as ``batch.Resolved`` has it."""
        # A transaction that goes on behind what is complete is in the table already.
        after = max(self._base, self.complete - 1)
        used: dict[bytes, int] = {}
        ends: dict[StreamName, int] = {}
        before: list[int] = []
        last = b""
        for one in self._blocks.outlines(self._shard, after, through):
            if one.sequence > self.complete:
                before += [0] * (one.sequence - self.complete - 1 - len(before))  # of records that are missing
                before.append(ends.get(one.stream, 0) & SEQUENCE_MAX)
                ends[one.stream] = one.version << SEQUENCE_BITS | one.sequence
                if one.key != last:
                    used[one.key] = one.sequence
            last = one.key
        return used, ends, before

    def _write_chunk(self, through: Sequence) -> None:
        used, ends, before = self._behind(through)
        if not ends:
            raise CorruptLogError(f"shard {self._shard}: sequence {self.complete + 1} is missing")
        noted = _names.Noted(self.complete)
        noted.add(ends, before)
        try:
            with self._connection:
                if used:
                    self._connection.execute(*self._keys.statement(used))
                self.names.insert(noted, noted.ends)
                self._connection.execute(_SET_INDEXED, (self._shard, through))
        except OverflowError:  # versions have five bytes
            stretch = f"from {self.complete + 1} to {through}"
            raise CorruptLogError(f"shard {self._shard}: a record {stretch} has a version that cannot be") from None
        self.complete = through

    def _note(self, used: dict[bytes, int], ends: dict[StreamName, int], before: list[int], head: Sequence) -> None:
        self._keys.note(used)
        self.names.fresh.add(ends, before)
        self._noted += head - self._head
        self._head = head
        if self._noted >= RECORDS_WAITING and not self._parts and not self._written:
            self._noted, self._through = 0, self._head
            self._parts = [Part(self.names.turn(head), self.names.statement)]
            self._parts += [Part(part, self._stored.statement) for part in self._keys.turn()[::-1]]

    def _coming(self, count: int) -> int:
        """Entries that are worth being written ahead of ``count`` records."""
        coming = self._owed + ENTRIES_PER_RECORD * count
        return min(coming, ENTRIES_AHEAD_MAX) if self._parts and coming >= ENTRIES_PER_SLICE else 0

    def _take(self, count: int) -> Statement:
        part = self._parts[-1]
        at = part.at
        self._written.append((part, at))
        statement = part.take(count)
        self._owed -= part.at - at
        if not part.left:
            self._parts.pop()
        return statement

    def _span(self, key: bytes, first: int) -> Committed:
        """All of the transaction whose first record is this."""
        last = 0
        for one in self._blocks.outlines(self._shard, first - 1, self._head):
            if one.key != key:
                break
            last = one.sequence
        if not last:
            raise CorruptLogError(f"shard {self._shard}: the index of keys leads to sequence {first}")
        return Committed(Sequence(first), Sequence(last))

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
