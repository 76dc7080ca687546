"""Entries of keys in memory, sorted, one behind the other in one object of bytes: a **run**.

Thousands of keys as objects of their own lie all over the memory, and each keeps what lies around it from being given
back. An entry is as the table of keys has it (keys.py): 16 bytes of key, 8 of place.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Final

from crossfade.logs.limits import KEY_BYTES

ENTRY_BYTES: Final = KEY_BYTES + 8


def below(run: bytes, key: bytes) -> int:
    """How many bytes of a run are entries that are less than ``key``, or than a beginning of keys."""
    low, high = 0, len(run) // ENTRY_BYTES
    while low < high:
        middle = (low + high) // 2
        if run[middle * ENTRY_BYTES : (middle + 1) * ENTRY_BYTES] < key:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_BYTES


def place_of(runs: Iterable[bytes], key: bytes) -> int | None:
    """The place that some runs have for a key; None if it is in none of them."""
    for run in runs:
        at = below(run, key)
        if run.startswith(key, at):
            return int.from_bytes(run[at + KEY_BYTES : at + ENTRY_BYTES], "big")
    return None


def between(runs: Seq[bytes], low: bytes, high: bytes) -> list[bytes]:
    """The entries of some runs from ``low`` on and less than ``high``, in their order."""
    parts = (run[below(run, low) : below(run, high)] for run in runs)
    return sorted(one for part in parts for one in entries(part))


def entries(run: bytes) -> list[bytes]:
    """Each entry by itself."""
    return [run[at : at + ENTRY_BYTES] for at in range(0, len(run), ENTRY_BYTES)]
