"""The canonical bytes of a row, and the hash chain over them.

This is a disk format: change nothing here without a new domain byte and a way to read the old one.

A row's chain is ``SHA-256(head || prev || fields)``, where

* ``head`` is 57 bytes, big-endian: the domain 0x00 (1 byte, as for a leaf in RFC 6962), shard,
  sequence, version (8 each, unsigned), at (8, signed), and the sizes of the six fields (4 each);
* ``prev`` is the chain of the row before, 32 bytes, all zero before the first;
* ``fields`` are stream, type, actor, cause (UTF-8), key and payload, one after the other.

All sizes stand in front, so no two rows share their bytes, and no column is left out: a column
outside the chain is one that a flipped bit may change unseen (research/reliability.md, finding 7).
"""

import struct
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core.values import Instant, Sequence, Shard, StreamName
from crossfade.engine.ports import StoredEvent

DOMAIN: Final = 0
GENESIS: Final = bytes(32)
"""What stands for the chain of the row before the first."""

Columns = tuple[Sequence, StreamName, int, str, Instant, str, str, bytes, bytes]
"""A row in the order of StoredEvent, without its chain."""

_pack: Final = struct.Struct(">BQQQqIIIIII").pack


def link(shard: Shard, prev: bytes, row: Columns) -> bytes:
    """The chain of ``row`` when it follows a row whose chain is ``prev``; 32 bytes."""
    sequence, stream, version, event_type, at, actor, cause, key, payload = row
    text = f"{stream}{event_type}{actor}{cause}"
    texts = text.encode()
    a, b, c, d = (stream, event_type, actor, cause) if len(texts) == len(text) else _encoded(row)
    head = _pack(
        DOMAIN, shard, sequence, version, at, len(a), len(b), len(c), len(d), len(key), len(payload)
    )  # fmt: skip
    return sha256(b"".join((head, prev, texts, key, payload))).digest()


def _encoded(row: Columns) -> tuple[bytes, bytes, bytes, bytes]:
    """The texts of a row some of which are not plain ASCII, so that their sizes are not their lengths."""
    return row[1].encode(), row[3].encode(), row[5].encode(), row[6].encode()


def verify(shard: Shard, rows: Iterable[StoredEvent], after: Sequence, prev: bytes) -> Sequence | None:
    """The first sequence of ``rows`` that is missing or false; None if they all hold.

    ``rows`` should begin at ``after + 1``, and ``prev`` is the chain of the row ``after``.
    """
    for expected, row in enumerate(rows, after + 1):
        if row.sequence != expected or not _holds(shard, prev, row):
            return Sequence(expected)
        prev = row.chain
    return None


def _holds(shard: Shard, prev: bytes, row: StoredEvent) -> bool:
    try:
        return link(shard, prev, msgspec.structs.astuple(row)[:-1]) == row.chain
    except (TypeError, AttributeError, struct.error, UnicodeError):
        return False  # damage may turn a column into another type: text into a number, a number into nothing
