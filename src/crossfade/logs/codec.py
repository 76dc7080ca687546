"""The canonical bytes of a row, and the hash chain over them.

This is a disk format: change nothing here without a new domain byte and a way to read the old one.

A row's chain is ``SHA-256(head || prev || fields)``, where

* ``head`` is 57 bytes, big-endian: the domain 0x00 (1 byte, as for a leaf in RFC 6962), shard,
  sequence, version (8 each, unsigned), at (8, signed), and the sizes of the six fields (4 each);
* ``prev`` is the chain of the row before, 32 bytes, all zero before the first;
* ``fields`` are stream, type, actor, cause (UTF-8), key and payload, one after the other.

These same bytes, ``head || prev || fields``, are what is stored, one record behind the other (blocks.py): the chain of
a record stands in the one behind it.

All sizes stand in front, so no two rows share their bytes, and no column is left out: a column
outside the chain is one that a flipped bit may change unseen (research/reliability.md, finding 7).
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from crossfade.core.values import Instant, Sequence, Shard, StreamName
from crossfade.engine.ports import StoredEvent

DOMAIN: Final = 0
GENESIS: Final = bytes(32)
"""What stands for the chain of the row before the first."""

Columns = tuple[Sequence, StreamName, int, str, Instant, str, str, bytes, bytes]
"""A row in the order of StoredEvent, without its chain."""

_HEAD: Final = struct.Struct(">BQQQqIIIIII")
_PREV_AT: Final = _HEAD.size
_FIELDS_AT: Final = _PREV_AT + len(GENESIS)
_pack: Final = _HEAD.pack
_unpack: Final = _HEAD.unpack_from


def canonical(shard: Shard, prev: bytes, row: Columns) -> bytes:
    """The bytes of ``row`` when it follows a row whose chain is ``prev``: what is hashed, and what is stored."""
    sequence, stream, version, event_type, at, actor, cause, key, payload = row
    text = f"{stream}{event_type}{actor}{cause}"
    texts = text.encode()
    a, b, c, d = (stream, event_type, actor, cause) if len(texts) == len(text) else _encoded(row)
    head = _pack(
        DOMAIN, shard, sequence, version, at, len(a), len(b), len(c), len(d), len(key), len(payload)
    )  # fmt: skip
    return b"".join((head, prev, texts, key, payload))


def link(shard: Shard, prev: bytes, row: Columns) -> bytes:
    """The chain of ``row`` when it follows a row whose chain is ``prev``; 32 bytes."""
    return sha256(canonical(shard, prev, row)).digest()


def _encoded(row: Columns) -> tuple[bytes, bytes, bytes, bytes]:
    """The texts of a row some of which are not plain ASCII, so that their sizes are not their lengths."""
    return row[1].encode(), row[3].encode(), row[5].encode(), row[6].encode()


class Outline(NamedTuple):
    """What an index has to know of a record, and where its bytes end."""

    sequence: Sequence
    stream: StreamName
    version: int
    key: bytes
    end: int


def outlines(shard: Shard, records: bytes) -> Iterator[Outline]:
    """Each record of consecutive ones that stand one behind the other. Raises ValueError at one that cannot be."""
    at, expected = 0, 0
    while at < len(records):
        sequence, version, _, a, b, c, d, k, p = _at(shard, records, at, expected)
        start = at + _FIELDS_AT
        key_at = start + a + b + c + d
        at = key_at + k + p
        expected = sequence + 1
        stream = StreamName(records[start : start + a].decode())
        yield Outline(Sequence(sequence), stream, version, records[key_at : key_at + k], at)


def unpack(shard: Shard, records: bytes, chain: bytes, after: int, through: int, rows: list[StoredEvent]) -> None:
    """Add to ``rows`` those of the records whose sequences are in (after, through]; ``chain`` is that of the last.

    Raises ValueError at the first that cannot be read; those before it have been added.
    """
    at, expected = 0, 0
    while at < len(records):
        sequence, version, instant, a, b, c, d, k, p = _at(shard, records, at, expected)
        if sequence > through:
            return
        start, expected = at + _FIELDS_AT, sequence + 1
        end = start + a + b + c + d
        at = end + k + p
        if sequence <= after:
            continue
        text = records[start:end].decode()
        if len(text) == end - start:
            texts = text[:a], text[a : a + b], text[a + b : a + b + c], text[a + b + c :]
        else:
            texts = _decoded(records[start:end], a, b, c)
        own = records[at + _PREV_AT : at + _FIELDS_AT] if at < len(records) else chain
        rows.append(
            StoredEvent(
                Sequence(sequence), StreamName(texts[0]), version, texts[1], Instant(instant), texts[2], texts[3],
                records[end : end + k], records[end + k : at], own,
            )
        )  # fmt: skip


def before(records: bytes) -> bytes:
    """The chain that the first of these records follows."""
    return records[_PREV_AT:_FIELDS_AT]


def _at(shard: Shard, records: bytes, at: int, expected: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """What stands at the head of a record, without domain and shard, which have to be right."""
    try:
        domain, own, sequence, version, instant, *sizes = _unpack(records, at)
    except struct.error as fault:
        raise ValueError("it is cut off") from fault
    a, b, c, d, k, p = sizes
    if domain != DOMAIN or own != shard or (expected and sequence != expected):
        raise ValueError("it is another one")
    if at + _FIELDS_AT + a + b + c + d + k + p > len(records):
        raise ValueError("it is cut off")
    return sequence, version, instant, a, b, c, d, k, p


def _decoded(texts: bytes, a: int, b: int, c: int) -> tuple[str, str, str, str]:
    """The same four texts, some of which are not plain ASCII."""
    return texts[:a].decode(), texts[a : a + b].decode(), texts[a + b : a + b + c].decode(), texts[a + b + c :].decode()


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
