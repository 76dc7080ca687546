"""The versions of the streams of one shard, as far as memory goes; and which streams surely do not exist.

Names that begin alike mostly carry ids that grow with time. So a name beyond all that were ever seen with its
beginning is that of a stream that does not exist, and nobody has to look it up.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from crossfade.core.values import StreamName
from crossfade.engine.ports import Tx

BEGINNINGS_MAX: Final = 64
"""Of names, up to their first slash; streams with another one are looked up."""


class Versions:
    """Of one shard."""

    def __init__(self, greatest: Callable[[str], str]) -> None:
        """``greatest`` finds the greatest stored name that begins so; empty if there is none."""
        self._find_greatest = greatest
        # Not a dict, whose oldest entry takes longer to find the more were removed before it.
        self.known: OrderedDict[StreamName, int] = OrderedDict()
        """The version of each stream that is remembered."""
        self._greatest: dict[str, str] = {}

    def unknown(self, txs: Iterable[Tx]) -> list[StreamName]:
        """The streams of these transactions that have to be looked up; the others are known, or do not exist."""
        known = self.known
        named = {event.stream for tx in txs for event in tx.events}
        named.update(stream for tx in txs for stream, _ in tx.expect)
        wanted = [stream for stream in named if stream not in known]
        if not wanted:
            return []
        least, most = min(wanted), max(wanted)
        beginning = most[: most.find("/") + 1]
        if beginning and least.startswith(beginning):  # then all do: they lie between those two
            return self._seen(beginning, wanted, most)
        beginnings: dict[str, list[StreamName]] = {}
        for stream in wanted:
            beginnings.setdefault(stream[: stream.find("/") + 1], []).append(stream)
        parts = (self._seen(beginning, streams, max(streams)) for beginning, streams in beginnings.items())
        return [stream for part in parts for stream in part]

    def forget(self, remembered_max: int = 0) -> None:
        """Remember no more than so many; those that were known first go first."""
        while len(self.known) > remembered_max:
            self.known.popitem(last=False)

    def _seen(self, beginning: str, streams: list[StreamName], most: StreamName) -> list[StreamName]:
        """Those that may have been stored. All of them count as stored from now on, whatever becomes of them."""
        greatest = self._greatest.get(beginning)
        if greatest is None:
            if len(self._greatest) >= BEGINNINGS_MAX:
                return streams
            greatest = self._find_greatest(beginning)
        self._greatest[beginning] = max(greatest, most)
        return [stream for stream in streams if stream <= greatest]
