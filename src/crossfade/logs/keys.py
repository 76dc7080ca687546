"""Which transaction used a key: the part of the index (index.py) that leads from a key to its first record.

An entry of the table is the key, 16 bytes, and the place of the first record of its transaction, 8 bytes big-endian.
The records of a transaction stand together, so the first leads to all. Keys are random mostly: one that was never
used is told by a filter, one that is greater than all before by that alone; only what is left is looked up.
"""

import struct
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import CorruptLogError
from crossfade.logs.backlog import Statement
from crossfade.logs.blocks import place
from crossfade.logs.filters import FILTER_BYTES_MAX, Filter
from crossfade.logs.limits import KEY_BYTES

ENTRIES_PER_SCAN: Final = 2_000
"""Entries that are read into a filter at a time: about a millisecond."""
PARTS: Final = 32
"""Of the keys that wait, by how they begin; each is sorted when its turn comes."""
KEYS_TOGETHER: Final = 4_096
"""Remembered in one table, which so stays in the processor's cache while it fills."""
SCHEMA: Final = "CREATE TABLE keys (entry BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"

_PLACE: Final = struct.Struct(">Q")
_ENTRY: Final = struct.Struct(f"{KEY_BYTES + _PLACE.size}s")
_INSERT: Final = "INSERT OR IGNORE INTO keys SELECT value FROM carray(?)"
_FIND: Final = """
SELECT k.entry FROM carray(?1) AS named CROSS JOIN keys AS k
WHERE k.entry > named.value AND k.entry < CAST(named.value || x'ffffffffffffffff' AS BLOB)
"""
_ASTRAY: Final = """
SELECT named.value FROM carray(?1) AS named WHERE named.value IS NOT (
    SELECT iif(count(*) = 1, k.entry, NULL) FROM keys AS k
    WHERE k.entry > substr(named.value, 1, ?2) AND k.entry <= named.value
)
"""
"""It counts, so that it reads what it finds and steps beyond it as ``_FIND`` does; to compare alone shows less."""
_SCAN: Final = "SELECT CAST(entry AS BLOB) FROM keys WHERE entry > ? ORDER BY entry LIMIT ?"
"""As it is, whatever damage has made of its type: to verify is not the filter's."""


def entry(key: bytes, shard: Shard, first: int) -> bytes:
    """What the table holds of a transaction."""
    return key + _PLACE.pack(place(shard, first))


class Stored:
    """The table, for all shards, and the filter before it. Belongs to one connection."""

    def __init__(self, connection: apsw.Connection, count: int) -> None:
        """``count``: about as many keys as there are."""
        self._connection = connection
        self._filter = Filter(2 * count)
        self._filling: Filter | None = self._filter
        self._scanned: bytes = b""
        self._ready = False
        self.unwritten: list[Callable[[], list[dict[bytes, int]]]] = []
        """Of each shard, how to get the keys that were noted and may not be in the table."""
        self._unscanned: list[dict[bytes, int]] = []

    def statement(self, entries: Seq[bytes]) -> Statement:
        """Writes entries, the keys of which were noted."""
        return _INSERT, (apsw.carray(tuple(entries)),)

    def note(self, keys: Seq[bytes]) -> None:
        """Let keys pass that are stored, and written into the table some time."""
        self._filter.add(keys)
        if self._filling is not None and self._filling is not self._filter:
            self._filling.add(keys)

    def scan(self) -> None:
        """Go on filling the filter, if it is not full of all that is stored; or begin a larger one."""
        if self._filling is None:
            if self._filter.count <= self._filter.size_bytes or self._filter.size_bytes >= FILTER_BYTES_MAX:
                return
            self._filling, self._scanned = Filter(4 * self._filter.count), b""
            self._unscanned = [part for unwritten in self.unwritten for part in unwritten()]
        if self._unscanned:
            self._filling.add([*self._unscanned.pop()])
            return
        found = [one for (one,) in self._connection.execute(_SCAN, (self._scanned, ENTRIES_PER_SCAN))]
        self._filling.add([one[:KEY_BYTES] for one in found])
        if len(found) < ENTRIES_PER_SCAN:
            self._filter, self._filling, self._ready = self._filling, None, True
        else:
            self._scanned = found[-1]

    def passing(self, keys: Seq[bytes]) -> Seq[bytes]:
        """Those of the keys that may be stored."""
        return self._filter.passing(keys) if self._ready else keys

    def places(self, keys: Seq[bytes]) -> list[tuple[bytes, int]]:
        """Key and place of each entry of these keys. Raises CorruptLogError."""
        found = self._connection.execute(_FIND, (apsw.carray(tuple(keys)),))
        entries, asked = [one for (one,) in found], {*keys}
        if any(not isinstance(one, bytes) or one[:KEY_BYTES] not in asked for one in entries):
            raise CorruptLogError("the index of keys leads to another key")
        return [(one[:KEY_BYTES], int.from_bytes(one[KEY_BYTES:], "big")) for one in entries]

    def greatest(self) -> bytes:
        """The greatest key of all; empty if there is none."""
        found = self._connection.execute("SELECT max(entry) FROM keys").get
        return found[:KEY_BYTES] if isinstance(found, bytes) else b""

    def astray(self, entries: Seq[bytes]) -> list[bytes]:
        """Those of the entries that may not be all that the table has of their keys; few but in a damaged table.

        A key that another shard used too may be among them.
        """
        return [one for (one,) in self._connection.execute(_ASTRAY, (apsw.carray(tuple(entries)), KEY_BYTES))]


class Keys:
    """The keys of one shard."""

    def __init__(self, stored: Stored, shard: Shard, base: Sequence) -> None:
        """``base``: keys of records up to it are forgotten."""
        self._stored = stored
        self._shard = shard
        self._base = base
        self._fresh: list[dict[bytes, int]] = [{}]
        """Key → the sequence of its first record, in parts; not on its way into the table yet."""
        self._waiting: list[dict[bytes, int]] = []
        """The same, on its way into the table or there already."""
        stored.unwritten.append(lambda: [*self._waiting, *self._fresh])
        self._entries: list[bytes] = []
        """Those of the keys that are fresh, of each batch one behind the other: as objects they would lie all about."""
        self._newest = stored.greatest()
        """No key is greater: whatever is greater was never used."""

    def used(self, keys: Seq[bytes]) -> dict[bytes, int]:
        """The first sequence of each of these keys that was used."""
        newest = self._newest
        found: dict[bytes, int] = {}
        old = [key for key in keys if key <= newest]
        maybe = self._stored.passing(old) if old else old
        if not maybe:
            return found
        for known in (*self._waiting, *self._fresh):
            if not known.keys().isdisjoint(maybe):
                found.update((key, known[key]) for key in maybe if key in known)
        old = [key for key in maybe if key not in found]  # what waits may be in the table already, and be damaged there
        return found | self._found(old) if old else found

    def _found(self, keys: Seq[bytes]) -> dict[bytes, int]:
        """The same, as far as the table knows."""
        start = place(self._shard, self._base)
        end = place(Shard(self._shard + 1), 0)
        found: dict[bytes, int] = {}
        for key, at in self._stored.places(keys):
            if start < at < end:
                first = at & (1 << 40) - 1
                found[key] = min(first, found.get(key, first))
        return found

    def unreachable(self, firsts: Mapping[bytes, int]) -> list[int]:
        """Of keys with the first sequences of their records: the sequences that the table does not lead to."""
        entries = tuple(entry(key, self._shard, first) for key, first in firsts.items())
        maybe = [one[:KEY_BYTES] for one in self._stored.astray(entries)] if entries else []
        found = self._found(maybe) if maybe else {}
        return [firsts[key] for key in maybe if found.get(key) != firsts[key]]

    def note(self, keys: dict[bytes, int]) -> None:
        """Remember keys with their first sequences; ``keys`` is kept."""
        if keys:
            if len(self._fresh[-1]) + len(keys) <= KEYS_TOGETHER:
                self._fresh[-1].update(keys)
            else:
                self._fresh.append(keys)
            self._stored.note([*keys])
            greatest = max(keys)
            self._newest = max(self._newest, greatest)
            # Now, while the processor has them at hand: later each would be fetched from all over the memory.
            start, pack = place(self._shard, 0), _PLACE.pack
            self._entries.append(b"".join([key + pack(start + first) for key, first in keys.items()]))

    def turn(self) -> list[list[bytes]]:
        """The entries of what is remembered, which now waits to be written: in parts, each to be sorted."""
        self._waiting, self._fresh = self._fresh, [{}]
        parts: list[list[bytes]] = [[] for _ in range(PARTS)]
        for (one,) in _ENTRY.iter_unpack(b"".join(self._entries)):
            parts[one[0] * PARTS >> 8].append(one)
        self._entries = []
        return [part for part in parts if part]

    def statement(self, keys: Mapping[bytes, int]) -> Statement:
        """Writes keys with their first sequences; there is at least one."""
        self._newest = max(self._newest, *keys)
        self._stored.note([*keys])
        return self._stored.statement([entry(key, self._shard, keys[key]) for key in sorted(keys)])
