"""What becomes of a batch: which transactions are stored, as which rows, and what each caller hears.

Pure, and shared by every log, so that they cannot disagree about a duplicate, a conflict or a hash.
The order of the checks is part of the contract: the key first (a command that was carried out is
never a conflict with itself), then the expectations as they are listed.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from hashlib import sha256
from itertools import count
from typing import cast

import msgspec

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import Committed, Conflict, Duplicate, Head, Result, StoredEvent, Tx
from crossfade.logs.blocks import Block, cut, of_rows
from crossfade.logs.codec import canonical


class Known(msgspec.Struct):
    """What a shard holds of the keys and streams that a batch names; ``resolve`` adds what it stores."""

    keys: dict[bytes, tuple[Sequence, Sequence]]
    """The first and last sequence of each key that was used; unused keys are absent."""
    versions: dict[StreamName, int]
    """The version of each stream; a stream that does not exist is absent."""


class Resolved(msgspec.Struct):
    """The outcome of a batch for one shard."""

    shard: Shard
    head: Head
    """The head once everything is stored."""
    results: list[Result]
    blocks: list[Block]
    """The records to be stored, as bytes."""
    used: dict[bytes, int]
    """The keys of the transactions to be stored, with their first sequences."""
    streams: list[StreamName]
    """Of each record, and so on."""
    versions: list[int]

    @property
    def rows(self) -> list[StoredEvent]:
        """The records to be stored."""
        return [row for block in self.blocks for row in block.rows()]


def resolve(shard: Shard, head: Head, txs: Seq[Tx], known: Known) -> Resolved:
    """Decide each Tx in order; an earlier one is visible to the later ones of the same batch.

    ``known`` must hold every used key and existing stream that ``txs`` name, and is updated in place.
    """
    results: list[Result] = []
    records: list[bytes] = []
    used: dict[bytes, int] = {}
    streams: list[StreamName] = []
    stored_versions: list[int] = []
    keys, versions, chain, sequence = known.keys, known.versions, head.chain, head.sequence
    places = cast("Iterator[Sequence]", count(sequence + 1))
    for tx in txs:
        key = tx.key
        refusal = _refusal(tx, keys.get(key), versions)
        if refusal is not None:
            results.append(refusal)
            continue
        first = None
        for event in tx.events:
            sequence, stream = next(places), event.stream
            first = first or sequence
            versions[stream] = version = versions.get(stream, 0) + 1
            row = sequence, stream, version, event.type, event.at, event.actor, event.cause, key, event.payload
            record = canonical(shard, chain, row)
            chain = sha256(record).digest()
            records.append(record)
            streams.append(stream)
            stored_versions.append(version)
        used[key] = first = first or sequence
        keys[key] = first, sequence
        results.append(Committed(first, sequence))
    blocks = cut(shard, records, sequence, chain)
    return Resolved(shard, Head(head.epoch, sequence, chain), results, blocks, used, streams, stored_versions)


def adopted(shard: Shard, rows: Seq[StoredEvent], prev: bytes, epoch: int) -> Resolved:
    """Rows of another log as what is to be stored, as they are, behind ``prev``; there is at least one."""
    used: dict[bytes, int] = {}
    for row in rows:
        used.setdefault(row.key, row.sequence)
    head = Head(epoch, rows[-1].sequence, rows[-1].chain)
    streams, versions = [row.stream for row in rows], [row.version for row in rows]
    return Resolved(shard, head, [], of_rows(shard, rows, prev), used, streams, versions)


def _refusal(
    tx: Tx, used: tuple[Sequence, Sequence] | None, versions: Mapping[StreamName, int]
) -> Duplicate | Conflict | None:
    if used is not None:
        return Duplicate(*used)
    for stream, expected in tx.expect:
        version = versions.get(stream, 0)
        if version != expected:
            return Conflict(stream, version)
    return None
