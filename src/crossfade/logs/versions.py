"""Where the streams end that a batch names: from memory, from the index, from what is kept of the archived ones.

Names that begin alike mostly carry ids that grow with time. So a name beyond all that were ever seen with its
beginning is that of a stream that does not exist, and nobody has to look it up.
"""

from collections.abc import Iterable
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import Tx
from crossfade.logs.limits import SEQUENCE_BITS
from crossfade.logs.names import Names

BEGINNINGS_MAX: Final = 64
"""Of names, up to their first slash; streams with another one are looked up."""
_GREATEST_ARCHIVED: Final = """
SELECT stream FROM versions WHERE shard = ? AND stream >= ? AND stream < ? ORDER BY stream DESC LIMIT 1
"""
_ARCHIVED: Final = "SELECT stream, version FROM versions WHERE shard = ? AND stream IN carray(?)"


class Versions:
    """Of one shard. Belongs to one connection."""

    def __init__(self, connection: apsw.Connection, shard: Shard, base: Sequence, names: Names) -> None:
        """``base``: of streams that go on beyond it, the table ``versions`` knows where."""
        self._connection = connection
        self._shard = shard
        self._base = base
        self._names = names
        self._greatest: dict[str, str] = {}

    def ends(self, txs: Iterable[Tx], found: dict[StreamName, int]) -> dict[StreamName, int]:
        """``found``, and where each stream ends that these transactions name, that exists and that is not fresh."""
        fresh = self._names.fresh.ends
        known = found.keys()
        strange: set[StreamName] = set()
        for tx in txs:
            named = None
            for named, _ in tx.expect:
                if named not in fresh and named not in known:
                    strange.add(named)
            for event in tx.events:
                if event.stream is not named and event.stream not in fresh and event.stream not in known:
                    strange.add(event.stream)
        unknown = self._unseen(strange)
        if unknown:
            if self._base:
                rows = self._connection.execute(_ARCHIVED, (self._shard, apsw.carray(tuple(unknown))))
                found.update((stream, version << SEQUENCE_BITS) for stream, version in rows)
            found.update(self._names.ends(unknown))
        return found

    def _unseen(self, streams: set[StreamName]) -> list[StreamName]:
        """Those that may have been stored. All of them count as stored from now on, whatever becomes of them."""
        if not streams:
            return []
        least, most = min(streams), max(streams)
        beginning = most[: most.find("/") + 1]
        if beginning and least.startswith(beginning):  # then all do: they lie between those two
            return self._up_to_greatest(beginning, streams, most)
        beginnings: dict[str, set[StreamName]] = {}
        for stream in streams:
            beginnings.setdefault(stream[: stream.find("/") + 1], set()).add(stream)
        parts = (self._up_to_greatest(beginning, some, max(some)) for beginning, some in beginnings.items())
        return [stream for part in parts for stream in part]

    def _up_to_greatest(self, beginning: str, streams: set[StreamName], most: StreamName) -> list[StreamName]:
        greatest = self._greatest.get(beginning)
        if greatest is None:
            if len(self._greatest) >= BEGINNINGS_MAX:
                return list(streams)
            greatest = self._find_greatest(beginning)
        self._greatest[beginning] = max(greatest, most)
        return [stream for stream in streams if stream <= greatest]

    def _find_greatest(self, beginning: str) -> str:
        bounds = self._shard, beginning, f"{beginning[:-1]}0" if beginning else "\U0010ffff"
        archived = self._connection.execute(_GREATEST_ARCHIVED, bounds).get
        return max(archived or "", self._names.greatest(beginning))
