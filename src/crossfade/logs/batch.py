"""What becomes of a batch: which transactions are stored, as which rows, and what each caller hears.

Pure, and shared by every log, so that they cannot disagree about a duplicate, a conflict or a hash.
The order of the checks is part of the contract: the key first (a command that was carried out is
never a conflict with itself), then the expectations as they are listed.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from itertools import count
from typing import cast

import msgspec

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import Committed, Conflict, Duplicate, Head, Result, StoredEvent, Tx
from crossfade.logs.codec import link


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
    """The head once ``rows`` are stored."""
    results: list[Result]
    rows: list[StoredEvent]


def resolve(shard: Shard, head: Head, txs: Seq[Tx], known: Known) -> Resolved:
    """Decide each Tx in order; an earlier one is visible to the later ones of the same batch.

    ``known`` must hold every used key and existing stream that ``txs`` name, and is updated in place.
    """
    results: list[Result] = []
    rows: list[StoredEvent] = []
    keys, versions, chain = known.keys, known.versions, head.chain
    places = cast("Iterator[Sequence]", count(head.sequence + 1))
    sequence = head.sequence
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
            chain = link(shard, chain, row)
            rows.append(StoredEvent(*row, chain))
        keys[key] = stored = first or sequence, sequence
        results.append(Committed(*stored))
    return Resolved(shard, Head(head.epoch, sequence, chain), results, rows)


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
