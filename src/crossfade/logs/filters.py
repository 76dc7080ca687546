"""Which keys were surely never stored: a filter in memory, so that a fresh key is not looked for in the file.

A word of two bytes for each key, three of whose bits stand for it (a Bloom filter of one word). With two words a key, 4
of 1,000 keys that were never stored are looked up all the same, with four words 1. It is filled from the table a little
at a time while the log is used; until all are in it, every key is looked up there. Nothing rests on it but time.

Source: Putze, Sanders, Singler 2007, Cache-, Hash- and Space-Efficient Bloom Filters (blocked filters).
"""

from array import array
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import combinations
from struct import unpack
from typing import Final

FILTER_BYTES_PER_KEY: Final = 8
"""At first; a filter that is made larger gets twice as many, since to fill it costs reading the whole table."""
FILTER_BYTES_MIN: Final = 1 << 21
FILTER_BYTES_MAX: Final = 1 << 25
"""With more keys than that it goes on, and lets more of them pass."""

_THREES: Final = [1 << a | 1 << b | 1 << c for a, b, c in combinations(range(16), 3)]
_BITS: Final = tuple(_THREES[number % len(_THREES)] for number in range(4_096))
_BITS_AT: Final = 64 - 12
"""What of a word says which bits stand for it."""


class Filter:
    """Keys of 16 bytes, the last eight of which are as good as random."""

    def __init__(self, size_bytes: int) -> None:
        """``size_bytes`` is rounded down to a power of two."""
        self.size_bytes = 1 << max(FILTER_BYTES_MIN, min(size_bytes, FILTER_BYTES_MAX)).bit_length() - 1
        self._words = array("H", bytes(self.size_bytes))
        self.count = 0
        """Keys that were added, some maybe twice."""

    @property
    def crowded(self) -> bool:
        """Whether it lets more pass than a larger one would."""
        return self.count > len(self._words) // 2

    def add(self, entries: Seq[bytes]) -> None:
        """Let the keys with which these begin pass from now on; all of a length that eight divides."""
        table, mask, bits, at = self._words, len(self._words) - 1, _BITS, _BITS_AT
        for tail in _tails(entries):
            table[tail & mask] |= bits[tail >> at]
        self.count += len(entries)

    def passing(self, keys: Seq[bytes]) -> list[bytes]:
        """Those of the keys that may have been added."""
        table, mask, bits, at = self._words, len(self._words) - 1, _BITS, _BITS_AT
        return [
            key
            for key, tail in zip(keys, _tails(keys), strict=True)
            if (there := table[tail & mask]) and there & bits[tail >> at] == bits[tail >> at]
        ]


def _tails(entries: Seq[bytes]) -> Iterable[int]:
    """The second eight bytes of each."""
    words = len(entries[0]) // 8 if entries else 2
    return unpack(f">{words * len(entries)}Q", b"".join(entries))[1::words]
