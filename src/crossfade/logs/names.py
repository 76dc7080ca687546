"""Which records a stream has: the part of the index (index.py) that leads from a stream to its records.

An entry of the table is, big-endian: the shard (3 bytes), the name in UTF-8 with 00 ff for 00, then 00 00; the version
of the last of some consecutive records of the stream (5 bytes); and the sequence of each of them (5 bytes). So names
lie in their order, the entries of a stream in that of its versions, and a seek finds the one that covers a version.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import CorruptLogError
from crossfade.logs.backlog import Statement
from crossfade.logs.limits import SEQUENCE_BITS, SEQUENCE_MAX

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


class Noted:
    """Consecutive records by their streams, as numbers alone: a list for each stream would keep the collector busy."""

    def __init__(self, after: int) -> None:
        """The records begin behind the sequence ``after``."""
        self.after = after
        self.ends: dict[StreamName, int] = {}
        """Where each stream ends."""
        self._before = array("Q")

    def add(self, ends: Mapping[StreamName, int], before: Seq[int]) -> None:
        """Add records: where their streams end now, and the sequence before that of each in its stream."""
        self.ends.update(ends)
        self._before.extend(before)

    def records(self, stream: StreamName) -> tuple[int, list[int]]:
        """The version of a stream's last record, and the sequences of all, in order; 0 and none if there is none."""
        end = self.ends.get(stream, 0)
        sequence, found = end & SEQUENCE_MAX, []
        while sequence > self.after:
            found.append(sequence)
            sequence = self._before[sequence - self.after - 1]
        return end >> SEQUENCE_BITS, found[::-1]

    def entries(self, shard: Shard, streams: Iterable[StreamName]) -> list[bytes]:
        """The entries of some streams, in their order."""
        found: list[bytes] = []
        after, ends, before = self.after, self.ends, self._before
        number = shard.to_bytes(3, "big")
        for stream in streams:
            end = ends[stream]
            start = b"%b%b\0\0" % (number, _escaped(stream))
            last = end & SEQUENCE_MAX
            first = before[last - after - 1]
            if first <= after:
                found.append(start + end.to_bytes(2 * NUMBER_BYTES, "big"))
            elif before[first - after - 1] <= after:  # two records, as most have
                two = (end ^ last | first) << SEQUENCE_BITS | last
                found.append(start + two.to_bytes(3 * NUMBER_BYTES, "big"))
            else:
                found += _long(start, *self.records(stream))
        return found


def _long(start: bytes, last: int, sequences: list[int]) -> Iterator[bytes]:
    """The entries of a stream of several records."""
    first = last - len(sequences) + 1
    for at in range(0, len(sequences), PLACES_PER_ENTRY_MAX):
        some = sequences[at : at + PLACES_PER_ENTRY_MAX]
        yield start + b"".join(map(_number, (first + at + len(some) - 1, *some)))


def _beginning(shard: Shard, stream: str) -> bytes:
    """What stands before the version in the entries of a stream."""
    return b"%b%b\0\0" % (shard.to_bytes(3, "big"), _escaped(stream))


def _escaped(name: str) -> bytes:
    return name.encode().replace(b"\0", b"\0\xff")


def _number(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


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
        self.fresh = Noted(base)
        """Not on their way into the table yet."""
        self._waiting = Noted(base)
        """On their way into the table or there already."""

    def turn(self, head: Sequence) -> list[StreamName]:
        """The streams of what is remembered, up to ``head``, which now waits to be written; what comes is fresh."""
        self._waiting, self.fresh = self.fresh, Noted(head)
        return [*self._waiting.ends]

    def statement(self, streams: Iterable[StreamName]) -> Statement:
        """Writes what waits of some streams, in their order."""
        return _INSERT, (apsw.carray(tuple(self._waiting.entries(self._shard, streams))),)

    def insert(self, noted: Noted, streams: Iterable[StreamName]) -> None:
        """Write what is noted of some streams."""
        self._connection.execute(_INSERT, (apsw.carray(tuple(noted.entries(self._shard, streams))),))

    def ends(self, streams: Iterable[StreamName]) -> dict[StreamName, int]:
        """Where each of these streams ends that is not fresh, as far as records are here."""
        waiting = self._waiting.ends
        found = {stream: waiting[stream] for stream in streams if stream in waiting}
        ask = [stream for stream in streams if stream not in waiting]
        if ask:
            starts = [_beginning(self._shard, stream) for stream in ask]
            above = apsw.carray(tuple(start[:-1] + b"\1" for start in starts))
            for stream, start, (entry,) in zip(ask, starts, self._connection.execute(_BEFORE, (above,)), strict=True):
                version, sequences = _content(self._shard, start, entry)
                if version and sequences[-1] > self._known_after():
                    raise CorruptLogError(f"shard {self._shard}: the index of streams leads to what has another name")
                if version and sequences[-1] > self._base:
                    found[stream] = version << SEQUENCE_BITS | sequences[-1]
        return found

    def greatest(self, with_beginning: str) -> str:
        """The greatest name that begins so, of streams that have records here; empty if there is none."""
        names = (*self.fresh.ends, *self._waiting.ends)
        here = max((name for name in names if name.startswith(with_beginning)), default="")
        start = self._shard.to_bytes(3, "big") + _escaped(with_beginning)
        bounds = start, start + b"\xff", 1
        found = self._connection.execute(_FROM.replace("ORDER BY entry", "ORDER BY entry DESC"), bounds).get
        if isinstance(found, bytes):
            name = found[3 : found.index(b"\0\0", 3)].replace(b"\0\xff", b"\0")
            here = max(here, name.decode(errors="replace"))
        return here

    def sequences(self, stream: StreamName, after_version: int, limit: int) -> list[int]:
        """Of the records of a stream beyond a version, in order, at most ``limit``."""
        start = _beginning(self._shard, stream)
        bounds = start + _number(after_version + 1), start[:-1] + b"\1", limit
        parts = [_content(self._shard, start, entry) for (entry,) in self._connection.execute(_FROM, bounds)]
        parts = [part for part in parts if part[1] and part[1][-1] <= self._known_after()]
        noted = [one.records(stream) for one in (self._waiting, self.fresh)]
        first = min((last - len(sequences) + 1 for last, sequences in noted if last), default=0)
        parts = [part for part in parts if not first or part[0] < first] + noted
        found: list[int] = []
        version = after_version
        for last, sequences in parts:
            found += sequences[max(0, len(sequences) - (last - version)) :] if last > version else ()
            version = max(version, last)
        return [sequence for sequence in found if sequence > self._base][:limit]

    def _known_after(self) -> int:
        """Records behind this sequence are in memory; the table may have a part of them, which nobody verifies."""
        return (self._waiting if self._waiting.ends else self.fresh).after

    def unreachable(self, records: Seq[tuple[StreamName, int, int]]) -> Iterator[int]:
        """Of records as (stream, version, sequence): the sequences that the table does not lead to."""
        starts = [_beginning(self._shard, stream) for stream, _, _ in records]
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
        start = _beginning(shard, stream)
        for (entry,) in connection.execute(_FROM, (start, start[:-1] + b"\1", -1)):
            if _content(shard, start, entry)[1][-1] > through:
                break
            gone.append(entry)
    if gone:
        connection.execute("DELETE FROM streams WHERE entry IN carray(?)", (apsw.carray(tuple(gone)),))
