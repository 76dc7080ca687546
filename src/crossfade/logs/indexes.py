"""The indexes of all shards within one file, and what is about to enter them.

What a commit of some size stored enters the memory of its index while the disk works for the next one (aside.py).
Until then (``unnoted``) a batch is shown it beside the index.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from functools import partial
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import Head, Tx
from crossfade.logs.aside import Aside
from crossfade.logs.backlog import Statement
from crossfade.logs.bases import NO_BASE, Beginning
from crossfade.logs.batch import Known, Resolved, resolve
from crossfade.logs.index import Index
from crossfade.logs.keys import Stored

RECORDS_ASIDE_MIN: Final = 32
"""With fewer the other thread would cost more than it takes over."""


class Indexes:
    """Belongs to one connection, whose transactions are not its own; what SQLite raises goes through."""

    def __init__(
        self, connection: apsw.Connection, heads: Mapping[Shard, Head], bases: Mapping[Shard, Beginning]
    ) -> None:
        """Read what the tables do not know of the records. Raises CorruptLogError."""
        self._connection = connection
        self._bases = bases
        self.keys = Stored(connection, sum(head.sequence for head in heads.values()))
        self._unnoted: list[Resolved] = []
        self._indexes: dict[Shard, Index] = {}
        for shard, head in heads.items():
            self._add(shard, head.sequence)

    def of(self, shard: Shard) -> Index:
        """The index of a shard, which knows all that is durable."""
        self._note()
        return self._of(shard)

    def resolve(self, shard: Shard, head: Head, txs: Seq[Tx]) -> Resolved:
        """Decide what of ``txs`` is stored."""
        keys = [tx.key for tx in txs]
        if any(one.shard == shard and not one.used.keys().isdisjoint(keys) for one in self._unnoted):
            self._note()  # a key is used again at once, which is rare
        index = self._of(shard)
        last = {stream: end for one in self._unnoted if one.shard == shard for stream, end in one.ends.items()}
        known = Known(index.used(keys), index.versions.ends(txs, last), index.names.fresh.ends)
        return resolve(shard, head, txs, known)

    def write(self, batches: Seq[Resolved]) -> None:
        """Within the transaction that stores ``batches``, at its end: write what is owed to the tables."""
        for batch in batches:
            self._of(batch.shard).owe(len(batch.before))
        for index in self._indexes.values():
            index.write()

    def commit(self, aside: Aside, batches: Seq[Resolved]) -> None:
        """End the transaction that stores ``batches``; nothing of it is known here before it is durable."""
        if not self._unnoted:
            self._connection.execute("COMMIT")
        else:
            aside.begin(partial(self._note, batches))
            try:
                self._connection.execute("COMMIT")
            finally:
                aside.end()
        for index in self._indexes.values():
            index.committed()
        self._unnoted += batches
        if sum(len(one.before) for one in batches) < RECORDS_ASIDE_MIN:
            self._note()  # now, while the processor has it at hand

    def rolled_back(self) -> None:
        """The transaction did not happen."""
        for index in self._indexes.values():
            index.rolled_back()

    def ahead(self, stored: Seq[Resolved]) -> Statement | None:
        """What may be written before the next batch comes, if that is worth it; the last one stored ``stored``."""
        statements = (self._of(one.shard).ahead(len(one.before)) for one in stored)
        return next((statement for statement in statements if statement is not None), None)

    def _of(self, shard: Shard) -> Index:
        return self._indexes.get(shard) or self._add(shard, Sequence(0))

    def _add(self, shard: Shard, head: Sequence) -> Index:
        base = self._bases.get(shard, NO_BASE).sequence
        self._indexes[shard] = index = Index(self._connection, self.keys, shard, base, head)
        return index

    def _note(self, coming: Seq[Resolved] = ()) -> None:
        """Let the indexes know what is durable, and make ready what is written ahead after ``coming``."""
        unnoted, self._unnoted = self._unnoted, []
        for one in unnoted:
            self._of(one.shard).note(one)
        for one in coming:
            self._of(one.shard).prepare(len(one.before))
