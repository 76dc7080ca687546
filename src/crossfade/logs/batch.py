"""What becomes of a batch: which transactions are stored, as which rows, and what each caller hears.

Pure, and shared by every log, so that they cannot disagree about a duplicate, a conflict or a hash.
The order of the checks is part of the contract: the key first (a command that was carried out is
never a conflict with itself), then the expectations as they are listed.
"""

from collections.abc import Sequence as Seq

import msgspec

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import Committed, Conflict, Duplicate, Head, Result, StoredEvent, Tx
from crossfade.logs.codec import Columns, link


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
    done = Resolved(shard, head, [], [])
    for tx in txs:
        done.results.append(_refusal(tx, known) or _store(tx, known, done))
    return done


def named(txs: Seq[Tx]) -> tuple[set[bytes], set[StreamName]]:
    """The keys and the streams that ``resolve`` has to know of."""
    keys: set[bytes] = set()
    streams: set[StreamName] = set()
    for tx in txs:
        keys.add(tx.key)
        for stream, _ in tx.expect:
            streams.add(stream)
        for event in tx.events:
            streams.add(event.stream)
    return keys, streams


def _refusal(tx: Tx, known: Known) -> Result | None:
    used = known.keys.get(tx.key)
    if used is not None:
        return Duplicate(*used)
    for stream, expected in tx.expect:
        version = known.versions.get(stream, 0)
        if version != expected:
            return Conflict(stream, version)
    return None


def _store(tx: Tx, known: Known, done: Resolved) -> Committed:
    sequence, chain, versions = done.head.sequence, done.head.chain, known.versions
    first = Sequence(sequence + 1)
    for event in tx.events:
        sequence = Sequence(sequence + 1)
        version = versions.get(event.stream, 0) + 1
        row: Columns = (
            sequence, event.stream, version, event.type, event.at, event.actor, event.cause, tx.key, event.payload,
        )  # fmt: skip
        chain = link(done.shard, chain, row)
        done.rows.append(StoredEvent(*row, chain))
        versions[event.stream] = version
    known.keys[tx.key] = first, sequence
    done.head = Head(done.head.epoch, sequence, chain)
    return Committed(first, sequence)
