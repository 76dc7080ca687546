"""Which keys were surely never stored: a filter in memory, so that a fresh key is not looked for in the file.

A byte for each key, two of whose bits stand for it (a Bloom filter of one word): about 3 of 100 keys that were never
stored are looked up all the same. It is filled from the table a little at a time while the log is used; until all are
in it, every key is looked up. Nothing rests on it but time.

Source: Putze, Sanders, Singler 2007, Cache-, Hash- and Space-Efficient Bloom Filters (blocked filters).
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import combinations
from struct import unpack
from typing import Final

FILTER_BYTES_MIN: Final = 1 << 20
FILTER_BYTES_MAX: Final = 1 << 25
"""With more keys than that it goes on, and lets more of them pass."""

_PAIRS: Final = [1 << a | 1 << b for a, b in combinations(range(8), 2)]
_BITS: Final = bytes(_PAIRS[number % len(_PAIRS)] for number in range(256))


class Filter:
    """Keys of 16 bytes, the last eight of which are as good as random."""

    def __init__(self, size_bytes: int) -> None:
        """``size_bytes`` is rounded down to a power of two."""
        self.size_bytes = 1 << max(FILTER_BYTES_MIN, min(size_bytes, FILTER_BYTES_MAX)).bit_length() - 1
        self._bytes = bytearray(self.size_bytes)
        self.count = 0
        """Keys that were added, some maybe twice."""

    def add(self, entries: Seq[bytes]) -> None:
        """Let the keys with which these begin pass from now on; all of a length that eight divides."""
        table, mask, bits = self._bytes, self.size_bytes - 1, _BITS
        for tail in _tails(entries):
            table[tail & mask] |= bits[tail >> 56]
        self.count += len(entries)

    def passing(self, keys: Seq[bytes]) -> list[bytes]:
        """Those of the keys that may have been added."""
        table, mask, bits = self._bytes, self.size_bytes - 1, _BITS
        return [
            key
            for key, tail in zip(keys, _tails(keys), strict=True)
            if (there := table[tail & mask]) and there & bits[tail >> 56] == bits[tail >> 56]
        ]


def _tails(entries: Seq[bytes]) -> Iterable[int]:
    """The second eight bytes of each."""
    words = len(entries[0]) // 8 if entries else 2
    return unpack(f">{words * len(entries)}Q", b"".join(entries))[1::words]
