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
from crossfade.logs.limits import SEQUENCE_BITS, SEQUENCE_MAX


class Known(msgspec.Struct):
    """What a shard holds of the keys and streams that a batch names; ``resolve`` adds what it stores."""

    keys: dict[bytes, Committed]
    """Where the events of each key are that was used; unused keys are absent."""
    ends: dict[StreamName, int]
    """Where each stream ends: ``version << 40 | sequence`` of its last record; absent if it does not exist."""
    newest: Mapping[StreamName, int] = {}
    """The same, for streams that are not in ``ends``; it is not changed."""


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
    ends: dict[StreamName, int]
    """Where the streams of these records end with them."""
    before: list[int]
    """Of each record, in order, the sequence of the one before it in its stream; 0 if there is none."""

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
    changed: dict[StreamName, int] = {}
    before: list[int] = []
    keys, ends, newest, chain, sequence = known.keys, known.ends, known.newest, head.chain, head.sequence
    places = cast("Iterator[Sequence]", count(sequence + 1))
    for tx in txs:
        key = tx.key
        refusal = _refusal(tx, keys.get(key), ends, newest)
        if refusal is not None:
            results.append(refusal)
            continue
        first = None
        for event in tx.events:
            sequence, stream = next(places), event.stream
            first = first or sequence
            end = ends.get(stream) or newest.get(stream, 0)
            version = (end >> SEQUENCE_BITS) + 1
            before.append(end & SEQUENCE_MAX)
            ends[stream] = changed[stream] = version << SEQUENCE_BITS | sequence
            row = sequence, stream, version, event.type, event.at, event.actor, event.cause, key, event.payload
            record = canonical(shard, chain, row)
            chain = sha256(record).digest()
            records.append(record)
        used[key] = first = first or sequence
        keys[key] = result = Committed(first, sequence)
        results.append(result)
    blocks = cut(shard, records, sequence, chain)
    return Resolved(shard, Head(head.epoch, sequence, chain), results, blocks, used, changed, before)


def adopted(shard: Shard, rows: Seq[StoredEvent], prev: bytes, epoch: int, ends: Mapping[StreamName, int]) -> Resolved:
    """Rows of another log as what is to be stored, as they are, behind ``prev``; there is at least one.

    ``ends``: where the streams end that are here already.
    """
    used: dict[bytes, int] = {}
    changed: dict[StreamName, int] = {}
    before: list[int] = []
    for row in rows:
        used.setdefault(row.key, row.sequence)
        before.append((changed.get(row.stream) or ends.get(row.stream, 0)) & SEQUENCE_MAX)
        changed[row.stream] = row.version << SEQUENCE_BITS | row.sequence
    head = Head(epoch, rows[-1].sequence, rows[-1].chain)
    return Resolved(shard, head, [], of_rows(shard, rows, prev), used, changed, before)


def _refusal(
    tx: Tx, used: Committed | None, ends: Mapping[StreamName, int], newest: Mapping[StreamName, int]
) -> Duplicate | Conflict | None:
    if used is not None:
        return Duplicate(used.first, used.last)
    for stream, expected in tx.expect:
        version = (ends.get(stream) or newest.get(stream, 0)) >> SEQUENCE_BITS
        if version != expected:
            return Conflict(stream, version)
    return None
