"""Which records a stream has: the part of the index (index.py) that leads from a stream to its records.

An entry of the table is, big-endian: the shard (3 bytes), the name in UTF-8 with 00 ff for 00, then 00 00; the version
of the last of some consecutive records of the stream (5 bytes); and the sequence of each of them (5 bytes). So names
lie in their order, the entries of a stream in that of its versions, and a seek finds the one that covers a version.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import CorruptLogError

PLACES_PER_ENTRY_MAX: Final = 100
NUMBER_BYTES: Final = 5
SCHEMA: Final = "CREATE TABLE streams (entry BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"

_INSERT: Final = "INSERT OR IGNORE INTO streams SELECT value FROM carray(?)"
_COVERING: Final = """
SELECT (SELECT entry FROM streams WHERE entry >= named.value ORDER BY entry LIMIT 1) FROM carray(?) AS named
"""
_BEFORE: Final = """
SELECT (SELECT entry FROM streams WHERE entry < named.value ORDER BY entry DESC LIMIT 1) FROM carray(?) AS named
"""
_FROM: Final = "SELECT entry FROM streams WHERE entry >= ? AND entry < ? ORDER BY entry LIMIT ?"

Noted = dict[StreamName, list[int]]
"""The version of the last of some consecutive records of each stream, then their sequences."""


def beginning(shard: Shard, stream: str) -> bytes:
    """What stands before the version in the entries of a stream."""
    return b"".join((shard.to_bytes(3, "big"), _escaped(stream), b"\0\0"))


def _escaped(name: str) -> bytes:
    return name.encode().replace(b"\0", b"\0\xff")


def _number(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


def note(noted: Noted, streams: Iterable[StreamName], versions: Iterable[int], sequences: Iterable[int]) -> None:
    """Add records in their order."""
    for stream, version, sequence in zip(streams, versions, sequences, strict=True):
        known = noted.get(stream)
        if known is None:
            noted[stream] = [version, sequence]
        else:
            known[0] = version
            known.append(sequence)


def entries(shard: Shard, noted: Mapping[StreamName, list[int]]) -> list[bytes]:
    """The entries of what is remembered, in its order."""
    found = []
    for stream, known in noted.items():
        start = beginning(shard, stream)
        if len(known) <= PLACES_PER_ENTRY_MAX:
            found.append(start + b"".join([number.to_bytes(NUMBER_BYTES, "big") for number in known]))
            continue
        first = known[0] - len(known) + 2
        for at in range(1, len(known), PLACES_PER_ENTRY_MAX):
            some = known[at : at + PLACES_PER_ENTRY_MAX]
            found.append(start + b"".join(map(_number, (first + at + len(some) - 2, *some))))
    return found


def _content(shard: Shard, start: bytes, entry: bytes | None) -> tuple[int, list[int]]:
    """The last version and the sequences in an entry; version 0 if it is of another stream. Raises CorruptLogError."""
    if not isinstance(entry, bytes) or not entry.startswith(start):
        return 0, []
    numbers = [
        int.from_bytes(entry[at : at + NUMBER_BYTES], "big") for at in range(len(start), len(entry), NUMBER_BYTES)
    ]
    if (len(entry) - len(start)) % NUMBER_BYTES or len(numbers) < 2 or numbers[0] < len(numbers) - 1:
        raise CorruptLogError(f"shard {shard}: the index of streams is damaged")
    return numbers[0], numbers[1:]


class Names:
    """The streams of one shard."""

    def __init__(self, connection: apsw.Connection, shard: Shard, base: Sequence) -> None:
        """``base``: records up to it are not led to any more."""
        self._connection = connection
        self._shard = shard
        self._base = base
        self._fresh: Noted = {}
        self._waiting: Noted = {}

    def note(self, streams: Iterable[StreamName], versions: Iterable[int], sequences: Iterable[int]) -> None:
        """Remember records in their order."""
        note(self._fresh, streams, versions, sequences)

    def turn(self) -> list[str]:
        """The streams of what is remembered, which now waits to be written."""
        self._waiting, self._fresh = self._fresh, {}
        return [*self._waiting]

    def write(self, streams: Iterable[str]) -> None:
        """Write what waits of some streams, in their order."""
        waiting = self._waiting
        self.insert({StreamName(stream): waiting[StreamName(stream)] for stream in streams})

    def insert(self, noted: Noted) -> None:
        """Write what is noted."""
        if noted:
            self._connection.execute(_INSERT, (apsw.carray(tuple(entries(self._shard, noted))),))

    def versions(self, streams: Iterable[StreamName]) -> dict[StreamName, int]:
        """The version of each of these streams that exists, as far as records are here."""
        found, ask = {}, []
        for stream in streams:
            known = self._fresh.get(stream) or self._waiting.get(stream)
            if known is None:
                ask.append(stream)
            else:
                found[stream] = known[0]
        if ask:
            starts = [beginning(self._shard, stream) for stream in ask]
            above = apsw.carray(tuple(start[:-1] + b"\1" for start in starts))
            for stream, start, (entry,) in zip(ask, starts, self._connection.execute(_BEFORE, (above,)), strict=True):
                version, sequences = _content(self._shard, start, entry)
                if version and sequences[-1] > self._base:
                    found[stream] = version
        return found

    def greatest(self, with_beginning: str) -> str:
        """The greatest name that begins so, of streams that have records here; empty if there is none."""
        here = max((name for name in (*self._fresh, *self._waiting) if name.startswith(with_beginning)), default="")
        start = self._shard.to_bytes(3, "big") + _escaped(with_beginning)
        bounds = start, start + b"\xff", 1
        found = self._connection.execute(_FROM.replace("ORDER BY entry", "ORDER BY entry DESC"), bounds).get
        if isinstance(found, bytes):
            name = found[3 : found.index(b"\0\0", 3)].replace(b"\0\xff", b"\0")
            here = max(here, name.decode(errors="replace"))
        return here

    def sequences(self, stream: StreamName, after_version: int, limit: int) -> list[int]:
        """Of the records of a stream beyond a version, in order, at most ``limit``."""
        start = beginning(self._shard, stream)
        bounds = start + _number(after_version + 1), start[:-1] + b"\1", limit
        parts = [_content(self._shard, start, entry) for (entry,) in self._connection.execute(_FROM, bounds)]
        parts += [(known[0], known[1:]) for noted in (self._waiting, self._fresh) if (known := noted.get(stream))]
        found: list[int] = []
        version = after_version
        for last, sequences in parts:
            found += sequences[max(0, len(sequences) - (last - version)) :] if last > version else ()
            version = max(version, last)
        return [sequence for sequence in found if sequence > self._base][:limit]

    def unreachable(self, records: Seq[tuple[StreamName, int, int]]) -> Iterator[int]:
        """Of records as (stream, version, sequence): the sequences that the table does not lead to."""
        starts = [beginning(self._shard, stream) for stream, _, _ in records]
        asked = tuple(start + _number(version) for start, (_, version, _) in zip(starts, records, strict=True))
        if asked:
            found = self._connection.execute(_COVERING, (apsw.carray(asked),))
            contents: dict[tuple[bytes, bytes | None], tuple[int, list[int]]] = {}  # one entry leads to many records
            for start, (_, version, sequence), (entry,) in zip(starts, records, found, strict=True):
                content = contents.get((start, entry))
                if content is None:
                    content = contents[start, entry] = _content(self._shard, start, entry)
                last, sequences = content
                at = version - (last - len(sequences)) - 1
                if not (0 <= at < len(sequences) and sequences[at] == sequence):
                    yield sequence


def forget(connection: apsw.Connection, shard: Shard, streams: Iterable[StreamName], through: int) -> None:
    """Remove the entries of these streams that lead to nothing beyond a sequence."""
    gone = []
    for stream in streams:
        start = beginning(shard, stream)
        for (entry,) in connection.execute(_FROM, (start, start[:-1] + b"\1", -1)):
            if _content(shard, start, entry)[1][-1] > through:
                break
            gone.append(entry)
    if gone:
        connection.execute("DELETE FROM streams WHERE entry IN carray(?)", (apsw.carray(tuple(gone)),))
