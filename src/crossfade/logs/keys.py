"""Which transaction used a key: an index that is written in order, a while after the keys themselves.

Keys are random, so an index that took each one at once would write a page of its own for each, twice. Here a key
waits in memory until ``KEYS_WAITING`` of its shard do; then they go into the table ``keys`` in their order, some with
each commit, so that a page takes several at a time. ``indexed`` says up to which record of a shard the table is
complete; the keys of later records are read from the records themselves when the file is opened. So what is
acknowledged never rests on the index, and what it does not know yet is bounded.

The records of a transaction stand together: the table holds the place of the first one alone.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Final, TypeVar

import apsw

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError, StoredEvent
from crossfade.logs.limits import EVENTS_PER_TX_MAX, KEY_BYTES

T = TypeVar("T")

KEYS_WAITING: Final = 65_536
"""Of each shard. At most twice as many are in memory."""
BEHIND_MAX: Final = 4 * KEYS_WAITING
"""Records whose keys are read into memory when the file is opened; if there are more, they go into the table."""
RECORDS_PER_CHUNK: Final = 100_000
KEYS_PER_SLICE: Final = 256
BUCKETS: Final = 256

_FIND: Final = """
SELECT k.key, min(k.place) FROM carray(?1) AS named CROSS JOIN keys AS k
WHERE k.key = named.value AND k.place BETWEEN ?2 AND ?3 GROUP BY k.key
"""
_LAST: Final = "SELECT max(place) FROM events WHERE place BETWEEN ?1 AND ?1 + ?2 AND key = ?3"
_BEHIND: Final = "SELECT place, key FROM events WHERE place BETWEEN ? AND ? ORDER BY place"
_SET_INDEXED: Final = """
INSERT INTO indexed VALUES (?, ?) ON CONFLICT (shard) DO UPDATE SET sequence = excluded.sequence
"""
_INSERT_CHUNK: Final = """
INSERT OR IGNORE INTO keys SELECT key, place FROM events AS e WHERE place BETWEEN ?1 AND ?2
AND NOT EXISTS (SELECT 1 FROM events AS before WHERE before.place = e.place - 1 AND before.key = e.key) ORDER BY key
"""
UNREACHABLE: Final = """
SELECT min(sequence) FROM events AS e WHERE place BETWEEN ?1 AND ?2
AND NOT EXISTS (SELECT 1 FROM keys AS k WHERE k.key = e.key AND k.place = e.place)
AND NOT EXISTS (SELECT 1 FROM events AS before WHERE before.place = e.place - 1 AND before.key = e.key)
"""
"""The first record of a transaction, in a range for which the table is complete, that it does not lead to."""

Slice = list[bytes]
"""Keys in their order."""


class Keys:
    """The keys of one shard. Belongs to one connection, whose transactions are not its own."""

    def __init__(self, connection: apsw.Connection, shard: Shard, base: Sequence, head: Sequence) -> None:
        """Read what the table does not know yet of the records beyond ``base``. Raises CorruptLogError, apsw.Error."""
        self._connection = connection
        self._shard = shard
        self._start = shard << 40
        self._base = base
        self._fresh: dict[bytes, int] = {}
        """Key → the place of its first record; not on its way into the table yet."""
        self._buckets: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        """The same by their first byte."""
        self._waiting: dict[bytes, int] = {}
        """Key → place, on its way into the table or there already."""
        self._unsorted: list[list[bytes]] = []
        """What is left to write of those, the last bucket first; after the slices."""
        self._slices: list[Slice] = []
        """What is to be written next, the last first."""
        self._written: list[Slice] = []
        """Slices that the transaction under way has written."""
        self._owed = 0
        self._head = self._through = head
        """The record up to which the table is complete once everything that waits is written."""
        self.complete = max(base, Sequence(self._one(int, "SELECT sequence FROM indexed WHERE shard = ?", shard) or 0))
        """The record up to which it is complete."""
        self._newest = b""
        """No key is greater: whatever is greater was never used."""
        self._open(head)

    def used(self, keys: Iterable[bytes]) -> dict[bytes, tuple[Sequence, Sequence]]:
        """The first and last sequence of each of these keys that was used."""
        newest, fresh, waiting = self._newest, self._fresh, self._waiting
        found: dict[bytes, int] = {}
        ask = []
        for key in keys:
            if key <= newest:
                place = fresh.get(key) or waiting.get(key)
                if place is None:
                    ask.append(key)
                else:
                    found[key] = place
        if ask and self.complete:
            last = self._start + (1 << 40) - 1
            bounds = self._start + self._base + 1, last
            found.update(self._connection.execute(_FIND, (apsw.carray(tuple(ask)), *bounds)))
        return {key: self._sequences(key, place) for key, place in found.items()} if found else {}

    def write(self, count: int) -> None:
        """Within a transaction that stores ``count`` more keys: write about as many of those that wait."""
        if not self._waiting_to_be_written():
            return
        self._owed += count
        while self._owed >= KEYS_PER_SLICE and (keys := self._next()):
            self._written.append(keys)
            self._owed -= len(keys)
            self._insert(keys)
        if not self._waiting_to_be_written():
            self._connection.execute(_SET_INDEXED, (self._shard, self._through))

    def committed(self, rows: Iterable[StoredEvent]) -> None:
        """The transaction is durable, and these are the records that it stored."""
        if self._written:
            self._written.clear()
            if not self._waiting_to_be_written():
                self.complete = self._through
        self._stage((self._start + row.sequence, row.key) for row in rows)

    def rolled_back(self) -> None:
        """The transaction did not happen."""
        while self._written:
            self._slices.append(self._written.pop())

    def _open(self, head: Sequence) -> None:
        if self.complete > head:
            raise CorruptLogError(f"shard {self._shard}: sequence {head + 1} is missing, its key is in the index")
        while head - self.complete > BEHIND_MAX:
            self._write_chunk(min(head, self.complete + RECORDS_PER_CHUNK))
        self._newest = self._one(bytes, "SELECT max(key) FROM keys") or b""
        last, rows = b"", self._connection.execute(_BEHIND, (self._start + self.complete, self._start + head))
        if self.complete > self._base:  # a transaction that goes on behind it is in the table already
            last = next(rows, (0, b""))[1]
        # Damage may have made another type of a key: whoever reads that record will say so.
        self._stage(((place, key) for place, key in rows if isinstance(key, bytes) and len(key) == KEY_BYTES), last)
        self._head = head

    def _write_chunk(self, through: int) -> None:
        with self._connection:
            self._connection.execute(_INSERT_CHUNK, (self._start + self.complete + 1, self._start + through))
            self._connection.execute(_SET_INDEXED, (self._shard, through))
        self.complete = Sequence(through)

    def _stage(self, records: Iterable[tuple[int, bytes]], before: bytes = b"") -> None:
        fresh, buckets, newest, place = self._fresh, self._buckets, self._newest, self._start + self._head
        for place, key in records:
            if key != before:
                before = key
                fresh[key] = place
                buckets[key[0]].append(key)
                newest = key if key > newest else newest  # noqa: FURB136 - a call of max costs as much as all this
        self._newest, self._head = newest, Sequence(place - self._start)
        if len(fresh) >= KEYS_WAITING and not self._waiting_to_be_written():
            self._waiting, self._fresh = fresh, {}
            self._unsorted, self._buckets = list(filter(None, buckets[::-1])), [[] for _ in range(BUCKETS)]
            self._through = self._head

    def _waiting_to_be_written(self) -> bool:
        return bool(self._slices or self._unsorted)

    def _next(self) -> Slice:
        if not self._slices and self._unsorted:
            keys = sorted(self._unsorted.pop())
            self._slices = [keys[at : at + KEYS_PER_SLICE] for at in range(0, len(keys), KEYS_PER_SLICE)][::-1]
        return self._slices.pop() if self._slices else []

    def _insert(self, keys: Seq[bytes]) -> None:
        values = [value for key in keys for value in (key, self._waiting[key])]
        rows = ",".join(["(?,?)"] * len(keys))
        self._connection.execute(f"INSERT OR IGNORE INTO keys VALUES {rows}", values)  # noqa: S608 - question marks

    def _sequences(self, key: bytes, place: int) -> tuple[Sequence, Sequence]:
        last = self._one(int, _LAST, place, EVENTS_PER_TX_MAX, key)
        if last is None or not isinstance(place, int):
            raise CorruptLogError(f"shard {self._shard}: the index of keys leads to sequence {place - self._start}")
        return Sequence(place - self._start), Sequence(last - self._start)

    def _one(self, kind: type[T], sql: str, *bindings: object) -> T | None:
        """The only value of a query. Raises CorruptLogError if damage has made another type of it."""
        value = self._connection.execute(sql, bindings).get
        if value is not None and not isinstance(value, kind):
            raise CorruptLogError(f"shard {self._shard}: the index of keys is damaged")
        return value
