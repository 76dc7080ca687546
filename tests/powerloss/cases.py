"""One case of power loss or of a failing disk: a log is used, something happens to it, and it is held to its word.

Everything follows from the seed. The log under test is the real one (logs/database.py with the settings of
logs/startup.py), used as the writing thread uses it; only the disk is not real. What is checked afterwards:

1. it opens, and every row holds (chain, indexes, head); 2. what was acknowledged is there, under its key;
3. of a transaction there is all or nothing; 4. it still has the last checkpoint; 5. a command whose outcome is
unknown, sent again with its key, is in it once; 6. it takes new records.
"""

import random
from pathlib import Path

import msgspec

from crossfade.core.values import Instant, Sequence, Shard, StreamName
from crossfade.engine.ports import (
    Committed,
    Duplicate,
    Head,
    LogError,
    NewEvent,
    Tx,
    UnavailableError,
    UnknownOutcomeError,
)
from crossfade.logs import audit
from crossfade.logs import database as database_module
from crossfade.logs import index as index_module
from crossfade.logs import indexes as indexes_module
from crossfade.logs.audit import first_bad
from crossfade.logs.database import Database
from tests.powerloss.calls import under
from tests.powerloss.disk import NEVER, Disk, DiskLayer

TRANSACTIONS = 9
KINDS = ("cut", "cut", "cut", "twice", "twice", "error", "full", "unsynced")
"""Cut once; cut again while recovering; one operation fails; the disk is full for a while; one sync fails, the process
is killed by it, and the power goes while the next one recovers. All end with a cut."""
CUT_BEFORE = 110
"""Operations within which the power goes; most workloads have fewer, so the later cuts come after the last one."""
SYNCS = 30
"""Most workloads sync so many times, or fewer."""
RECOVERING = 20
"""Operations of a recovery, or fewer."""
SIZES_BYTES = (0, 20, 300, 6_000)
ASIDE_MIN = indexes_module.RECORDS_ASIDE_MIN
"""In one of four cases every batch is noted by the second thread, and not only large ones."""
WAL_PAGES = 7
"""The write-ahead log is copied into the file this early, so that cuts fall into the copying too."""


class Violation(Exception):  # noqa: N818 - it is what the harness looks for, not a fault of it
    """A promise was broken."""


class Told(msgspec.Struct):
    """What the log has promised so far."""

    txs: dict[bytes, tuple[Shard, Tx]] = {}
    """Everything that was ever given to it, by key."""
    acked: dict[bytes, tuple[int, int]] = {}
    heads: dict[Shard, Head] = {}
    """The last checkpoint of each shard: an acknowledged head."""


def run(seed: int, folder: Path, layer: DiskLayer, *, keeps_removals: bool = True) -> str:
    """Run the case of this seed; the kind of fault it was. Raises Violation."""
    dice = random.Random(seed)
    indexes_module.RECORDS_ASIDE_MIN = 1 if seed % 4 == 0 else ASIDE_MIN  # type: ignore[misc]
    kind = dice.choice(KINDS)
    disk = layer.disk = Disk(sync_folders=dice.random() < 0.5)
    disk.keeps_removals = keeps_removals
    if kind == "error":
        disk.fail_at = dice.randrange(1, CUT_BEFORE)
    elif kind == "full":
        disk.full_from = dice.randrange(1, CUT_BEFORE)
        disk.full_until = disk.full_from + dice.randrange(1, 30)
    elif kind == "unsynced":
        disk.fail_sync_at = dice.randrange(1, SYNCS)
    else:
        disk.cut_at = dice.randrange(CUT_BEFORE)
    with under(layer, folder):
        _through(kind, dice, folder, layer)
    return kind


def _through(kind: str, dice: random.Random, folder: Path, layer: DiskLayer) -> None:
    disk, told = layer.disk, Told({}, {}, {})
    work(told, dice, folder, layer)
    if kind != "unsynced":
        layer.disk = disk.after_cut(dice)
    if kind in ("twice", "unsynced"):
        layer.disk.cut_at = layer.disk.operations + dice.randrange(RECOVERING)
        reopen_and_leave(folder, layer)
        layer.disk = layer.disk.after_cut(dice)
    check(told, dice, folder, layer)


def work(told: Told, dice: random.Random, folder: Path, layer: DiskLayer) -> None:
    """Use the log until all is done or the power is gone; after a fault, open it again as the hub does."""
    todo = [transaction(number, dice) for number in range(TRANSACTIONS)]
    for _ in range(60):
        if not todo or killed(layer.disk) or layer.disk.operations > layer.disk.cut_at:
            return
        try:
            database = opened(folder, layer)
        except LogError:
            continue
        try:
            while todo and not database.broken:
                append(told, database, todo)
                database.checkpoint_if_due()
        except (UnavailableError, UnknownOutcomeError):
            pass
        finally:
            if dice.random() < 0.5 and not killed(layer.disk):
                database.close()
            else:
                vanish(database, layer)


def killed(disk: Disk) -> bool:
    """Whether the sync has failed by which the process ends."""
    return disk.syncs >= disk.fail_sync_at


def append(told: Told, database: Database, todo: list[tuple[Shard, Tx]]) -> None:
    """Store the next batch; what comes back as done is a promise."""
    batch = todo[:3] if len(todo[0][1].events) > 1 else todo[:1]
    jobs: dict[Shard, list[Tx]] = {}
    for shard, tx in batch:
        told.txs[tx.key] = (shard, tx)
        jobs.setdefault(shard, []).append(tx)
    done = database.append(jobs)
    del todo[: len(batch)]
    for shard, resolved in done.items():
        for tx, result in zip(jobs[shard], resolved.results, strict=True):
            if not isinstance(result, Committed | Duplicate):
                raise Violation(f"{tx.key.hex()} got {result}")
            told.acked[tx.key] = (result.first, result.last)
        told.heads[shard] = resolved.head


def reopen_and_leave(folder: Path, layer: DiskLayer) -> None:
    """Recover, as far as the power lets us."""
    try:
        vanish(opened(folder, layer), layer)
    except LogError:
        return


def check(told: Told, dice: random.Random, folder: Path, layer: DiskLayer) -> None:
    """Hold the log to what it told. Raises Violation."""
    try:
        database = opened(folder, layer)
    except LogError as fault:
        raise Violation(f"it does not open: {fault}") from fault
    try:
        for shard in sorted({shard for shard, _ in told.txs.values()}):
            if (bad := first_bad(database, shard, Sequence(0))) is not None:
                raise Violation(f"shard {shard}: sequence {bad} is bad")
        _keeps_checkpoints(told, database)
        keeps_transactions(told, database)
        _goes_on(told, dice, database)
    except LogError as fault:
        raise Violation(f"it fails on a sound disk: {fault}") from fault
    finally:
        database.close()


def _keeps_checkpoints(told: Told, database: Database) -> None:
    for shard, head in told.heads.items():
        if database.head(shard).sequence < head.sequence:
            raise Violation(f"shard {shard}: ends at {database.head(shard).sequence}, had reached {head.sequence}")
        row = database.read(shard, Sequence(head.sequence - 1), 1)[0]
        if row.chain != head.chain:
            raise Violation(f"shard {shard}: another history up to {head.sequence}")


def keeps_transactions(told: Told, database: Database) -> None:
    """Every acknowledged transaction is there, whole and where it was, and of no other a part. Raises Violation."""
    for key, (shard, tx) in told.txs.items():
        found = database.find(shard, key)
        if found is None:
            if key in told.acked:
                raise Violation(f"{key.hex()} was acknowledged and is gone")
            continue
        if told.acked.get(key, (found.first, found.last)) != (found.first, found.last):
            raise Violation(f"{key.hex()} has moved")
        rows = database.read(shard, Sequence(found.first - 1), found.last - found.first + 1)
        if [(row.stream, row.payload) for row in rows] != [(event.stream, event.payload) for event in tx.events]:
            raise Violation(f"{key.hex()} is there in part, or changed")


def _goes_on(told: Told, dice: random.Random, database: Database) -> None:
    before = sum(head.sequence for head in database.heads.values())
    again = [(shard, tx) for shard, tx in told.txs.values()]
    missing = sum(len(tx.events) for shard, tx in again if database.find(shard, tx.key) is None)
    more = transaction(TRANSACTIONS, dice)
    for shard, tx in (*again, more):
        database.append({shard: [tx]})
    after = sum(head.sequence for head in database.heads.values())
    if after != before + missing + len(more[1].events):
        raise Violation(f"{after - before} records were added where {missing} and {len(more[1].events)} should be")


def transaction(number: int, dice: random.Random) -> tuple[Shard, Tx]:
    """The transaction of this number: one to four events in one of two shards, without expectations."""
    shard = Shard(dice.choice((0, 1, 1)))
    events = tuple(
        NewEvent(
            StreamName(f"q/{dice.randrange(5)}"), "t/1", Instant(number), "ann", "",
            dice.randbytes(dice.choice(SIZES_BYTES)),
        )
        for _ in range(dice.choice((1, 1, 2, 4)))
    )  # fmt: skip
    return shard, Tx(number.to_bytes(2, "big") + dice.randbytes(14), (), events)


def opened(folder: Path, layer: DiskLayer) -> Database:
    """The log, opened and checked. Raises LogError."""
    return audit.opened(folder, layer.name)


def vanish(database: Database, layer: DiskLayer) -> None:
    """End as a process does that is killed: nothing more reaches the disk."""
    disk = layer.disk
    disk.cut_at, before = -1, disk.cut_at
    database.close()
    disk.cut_at = before if before != NEVER else NEVER


def with_early_copies() -> None:
    """Let this process copy the write-ahead log into the file early, and write the index early."""
    database_module.CHECKPOINT_PAGES = database_module.CHECKPOINT_SOON_PAGES = WAL_PAGES  # type: ignore[misc]
    index_module.RECORDS_WAITING, index_module.ENTRIES_PER_SLICE = 3, 1  # type: ignore[misc]
    index_module.BEHIND_MAX, index_module.RECORDS_PER_CHUNK = 9, 4  # type: ignore[misc]
