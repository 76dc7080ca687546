"""Bit flips: one bit of a log's files is turned over while nobody looks; it is noticed, or it changes nothing.

Noticed means: the log does not open, or reading it through finds a bad row, or a row that an index does not
lead to, or it does not contain its last checkpoint. Harmless means: every row, every key and every stream is as
it was, and still is after more was stored and the log was opened again; or that is where it is noticed. Anything else
is a violation. Half of the logs were closed in order, half were left with their newest
records in the write-ahead log; there a flip cuts off the end, which the checkpoint alone can notice.
"""

import random
from pathlib import Path

import msgspec

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import Head, LogError, StoredEvent
from crossfade.logs.audit import first_bad
from crossfade.logs.database import Database
from tests.powerloss.cases import Told, Violation, append, keeps_transactions, opened, transaction, vanish
from tests.powerloss.disk import Contents, Disk, DiskLayer

TRANSACTIONS = 40
MORE = 12
"""Transactions that are stored after a flip that did no harm so far."""
LATER = "noticed when it goes on"


class Kept(msgspec.Struct):
    """A log's files at rest, and what they hold."""

    files: dict[str, bytes]
    rows: dict[Shard, list[StoredEvent]]
    heads: dict[Shard, Head]


def keep(folder: Path, layer: DiskLayer, *, closed: bool) -> Kept:
    """A log at rest."""
    dice = random.Random(7)
    layer.disk = Disk()
    told = Told({}, {}, {})
    database = opened(folder, layer)
    todo = [transaction(number, dice) for number in range(TRANSACTIONS)]
    while todo:
        append(told, database, todo)
        if closed:
            database.checkpoint_if_due()
    rows = {shard: database.read(shard, Sequence(0), 1_000) for shard in database.heads}
    heads = dict(database.heads)
    if closed:
        database.close()
    else:
        vanish(database, layer)
    return Kept({name: bytes(contents.seen) for name, contents in layer.disk.files.items()}, rows, heads)


def run(seed: int, kept: Kept, folder: Path, layer: DiskLayer) -> str:
    """Turn over one bit; ``noticed`` and where, or ``harmless``. Raises Violation."""
    dice = random.Random(seed)
    name = dice.choices(list(kept.files), [len(content) for content in kept.files.values()])[0]
    bit = dice.randrange(len(kept.files[name]) * 8)
    layer.disk = Disk()
    for other, content in kept.files.items():
        layer.disk.files[other] = Contents(content)
    seen = layer.disk.files[name].seen
    seen[bit // 8] ^= 1 << bit % 8
    layer.disk.files[name] = Contents(bytes(seen))
    try:
        database = opened(folder, layer)
    except LogError:
        return "noticed when it opens"
    where = f"bit {bit} of {Path(name).name}"
    try:
        verdict = _verdict(kept, database, where)
        if verdict != "harmless":
            return verdict
        told = Told({}, {}, dict(kept.heads))
        if not _took_more(told, database, dice):
            return LATER
    finally:
        database.close()
    return _verdict_later(kept, told, folder, layer, where)


def _verdict(kept: Kept, database: Database, where: str) -> str:
    for shard, head in kept.heads.items():
        try:
            if first_bad(database, shard, Sequence(0)) is not None:
                return "noticed when it is read through"
            if database.head(shard).sequence < head.sequence:
                return "noticed by the checkpoint"
            if database.read(shard, Sequence(head.sequence - 1), 1)[0].chain != head.chain:
                return "noticed by the checkpoint"
        except LogError:
            return "noticed when it is read through"
    _unharmed(kept, Told({}, {}, kept.heads), database, where)
    return "harmless"


def _took_more(told: Told, database: Database, dice: random.Random) -> bool:
    todo = [transaction(number, dice) for number in range(TRANSACTIONS, TRANSACTIONS + MORE)]
    try:
        while todo:
            append(told, database, todo)
            database.checkpoint_if_due()
    except LogError:
        return False
    return not database.broken


def _verdict_later(kept: Kept, told: Told, folder: Path, layer: DiskLayer, where: str) -> str:
    try:
        database = opened(folder, layer)
    except LogError:
        return LATER
    try:
        if any(_bad(database, shard) for shard in told.heads):
            return LATER
        _unharmed(kept, told, database, f"{where}, after more was stored")
    finally:
        database.close()
    return "harmless"


def _bad(database: Database, shard: Shard) -> bool:
    try:
        return first_bad(database, shard, Sequence(0)) is not None
    except LogError:
        return True


def _unharmed(kept: Kept, told: Told, database: Database, where: str) -> None:
    """Raise Violation unless all that was kept and told is there, and nothing else, in a log that verifies."""
    try:
        _same(kept, told.heads, database, where)
        keeps_transactions(told, database)
    except LogError as fault:
        raise Violation(f"{where}: was not noticed, and then: {fault}") from fault


def _same(kept: Kept, heads: dict[Shard, Head], database: Database, where: str) -> None:
    for shard, rows in kept.rows.items():
        stored = database.read(shard, Sequence(0), 1_000)
        if stored[: len(rows)] != rows or len(stored) != heads[shard].sequence:
            raise Violation(f"{where}: other rows, and nobody noticed")
        for row in rows:
            found = database.find(shard, row.key)
            if found is None or not found.first <= row.sequence <= found.last:
                raise Violation(f"{where}: the key of {row.sequence} leads elsewhere, and nobody noticed")
            stream = database.read_stream(shard, row.stream, row.version - 1, 1)
            if stream != [row]:
                raise Violation(f"{where}: the stream of {row.sequence} leads elsewhere, and nobody noticed")
