"""Upkeep: what is done to the folder of a hub that is not running. Export, verify, copy, restore, archive.

Like bootstrap it chooses adapters; unlike it, it never serves. Raises the log's own faults (engine.ports):
LogInUseError when a hub holds the folder, CorruptLogError when the log is not what it was.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from crossfade.config import Config
from crossfade.core.records import UnknownEventError
from crossfade.core.values import PROGRAMME, SECOND, SPACE, Instant, Sequence, Shard
from crossfade.engine.ports import BackupFailedError, Checkpoint, CorruptLogError, Log
from crossfade.engine.projector import Projector, Views
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import LEAVING, Streams, recorded
from crossfade.engine.witnessing import hold
from crossfade.logs.archive import RECORDS_PER_SEGMENT, Stretch, Top, write_segment
from crossfade.logs.backup import (
    adopt,
    back_up,
    fetch,
    finish,
    open_copy,
    refuse_unfinished,
    until_instant,
    whole_until,
)
from crossfade.logs.bases import Beginning
from crossfade.logs.database import Database
from crossfade.logs.export import first_line, record_lines
from crossfade.logs.sqlite import SqliteLog, open_sqlite
from crossfade.outbound.checkpoints import FolderWitness, line, line_texts
from crossfade.outbound.host import HostClock
from crossfade.outbound.signing import PUBLIC_FILE, signing_key
from crossfade.outbound.snapshots import FolderShelf

SHARDS: Final = (PROGRAMME, SPACE)
ROWS: Final = 2_000
KEPT_DAYS: Final = 30
"""Records that are younger stay in the log, and so do their keys."""
ENDS: Final = frozenset({"question.answered", "question.declined", "question.withdrawn", "question.expired"})


class Place(NamedTuple):
    """A record of one shard."""

    shard: Shard
    sequence: Sequence


async def export_log(config: Config, out: BinaryIO) -> int:
    """Write the whole log of a stopped hub as lines of JSON; how many records."""
    async with opened_log(config.data_path) as log:
        heads = {shard: await log.head(shard) for shard in SHARDS}
        notes = [line for shard in SHARDS for line in line_texts(config.checkpoint_path, shard)]
        out.write(first_line(heads, notes, _public_key(config.data_path)))
        for shard in SHARDS:
            await _write_rows(log, shard, out)
        return sum(head.sequence for head in heads.values())


async def _write_rows(log: Log, shard: Shard, out: BinaryIO) -> None:
    after = Sequence(0)
    while rows := await log.read(shard, after, ROWS):
        out.writelines(record_lines(shard, rows))
        after = rows[-1].sequence


async def back_up_log(config: Config, target: Path) -> list[tuple[int, int, str]]:
    """Copy a stopped hub's log; shard, sequence and chain of each end. Raises BackupFailedError."""
    refuse_unfinished(config.data_path)
    async with opened_log(config.data_path) as log:
        heads = await back_up(log, target, (config.checkpoint_path, config.data_path / PUBLIC_FILE))
    return [(shard, head.sequence, head.chain.hex()) for shard, head in heads.items()]


def fetch_copy(made: Path, target: Path) -> None:
    """Bring a copy that a hub made to where it was asked for, and verify it there. Raises BackupFailedError."""
    fetch(made, target)


async def restore_log(config: Config, source: Path, at: Instant | Place | None) -> list[tuple[int, int, int]]:
    """Make a hub's folder from a copy; shard, epoch and sequence of each end, after reading and folding all of it.

    ``at`` cuts the log off there: after an instant, or after a place in one shard and whatever is later in the
    others. Without it the whole copy is taken, and refused if the checkpoints that the configuration names tell
    of records that the copy lacks: their questions might be answered a second time.

    Raises BackupFailedError, CorruptLogError.
    """
    _refuse_used(config)
    log = open_copy(source)
    try:
        await _refuse_damaged(log)
        if not isinstance(at, Place):
            await _refuse_older(config, log, source, at)
        ends = await _ends(log, at)
        if not any(ends.values()):
            raise BackupFailedError("nothing in the copy is as old as that")
        await adopt(log, ends, config.data_path)
    finally:
        await log.close()
    try:
        checked = await _checked(config)
    except (UnknownEventError, msgspec.DecodeError) as fault:
        what = f"this release cannot read all of the log, a later one may: {fault}"
        raise BackupFailedError(f"{what}; {config.data_path} was begun and is not served") from fault
    await asyncio.to_thread(finish, config.data_path)
    return checked


def _refuse_used(config: Config) -> None:
    if config.data_path.exists() and any(config.data_path.iterdir()):
        raise BackupFailedError(f"{config.data_path} is not empty")


async def _refuse_damaged(log: SqliteLog) -> None:
    for shard in SHARDS:
        if (bad := await log.verify(shard)) is not None:
            raise CorruptLogError(f"shard {shard}: sequence {bad} of the copy is missing or false")


async def _refuse_older(config: Config, log: SqliteLog, source: Path, at: Instant | None) -> None:
    """Refuse a copy without records that were there, as far as checkpoints say, by ``at`` or at all."""
    for folder in (config.checkpoint_path, source / "checkpoints"):
        for shard in SHARDS:
            told = (text.split(" ") for _, text in _notes(folder, shard))
            reached = max((int(words[4]) for words in told if at is None or _by(words[6], at)), default=0)
            head = await log.head(shard)
            if reached > head.sequence:
                raise BackupFailedError(
                    f"shard {shard}: the copy ends at {head.sequence}, the log had reached {reached}; "
                    f"to go on without what came after, say so: --at {head.sequence}"
                )


async def _ends(log: SqliteLog, at: Instant | Place | None) -> dict[Shard, Sequence]:
    if at is None:
        return {shard: (await log.head(shard)).sequence for shard in SHARDS}
    if isinstance(at, Place):
        head = await log.head(at.shard)
        if not 0 < at.sequence <= head.sequence:
            raise BackupFailedError(f"shard {at.shard} has no sequence {at.sequence}: it ends at {head.sequence}")
        instant = (await log.read(at.shard, Sequence(at.sequence - 1), 1))[0].at
        ends = {shard: await until_instant(log, shard, instant) for shard in SHARDS} | {at.shard: at.sequence}
    else:
        ends = {shard: await until_instant(log, shard, at) for shard in SHARDS}
    return {shard: await whole_until(log, shard, end) for shard, end in ends.items()}


async def _checked(config: Config) -> list[tuple[int, int, int]]:
    """Read the log again from the disk, fold it, and leave the first checkpoints of its epoch."""
    if config.checkpoint_folder and config.checkpoint_path.is_dir():
        config.checkpoint_path.rename(config.checkpoint_path.with_name(f"{config.checkpoint_path.name}.before-restore"))
    witness = FolderWitness(config.checkpoint_path, signing_key(config.data_path), config.data_path)
    async with opened_log(config.data_path) as log:
        await _refuse_damaged(log)
        projector = Projector(Streams(log, config.limits.ended_questions_kept), Views())
        ends = []
        for shard in SHARDS:
            after = Sequence(0)
            while rows := await log.read(shard, after, ROWS):
                projector.replay([recorded(shard, row) for row in rows])
                after = rows[-1].sequence
            head = await log.head(shard)
            if head.sequence:
                witness.keep_now([Checkpoint(shard, head.epoch, head.sequence, head.chain, HostClock().now())])
            ends.append((int(shard), head.epoch, int(head.sequence)))
    witness.close()
    return ends


async def archive_log(config: Config, before: Instant | Place, folder: Path) -> tuple[Sequence, Sequence, list[Path]]:
    """Move the beginning of a stopped hub's log into files; the last record before it and in it, and the files.

    Of the space's shard alone: the programme's is small, and all of it is in use. What is younger than 30 days stays,
    and from the first question on that had no end by then. The files are read again before anything is cut off, and
    a snapshot lies in the folder by then, so that a hub starts without them. Broken off anywhere and repeated, it
    goes on. Raises BackupFailedError if nothing can be moved, CorruptLogError, OSError.
    """
    async with opened_log(config.data_path) as log:
        witness = FolderWitness(config.checkpoint_path, signing_key(config.data_path), config.data_path)
        for shard in SHARDS:
            await hold(log, witness, shard)
        start = await log.call(lambda database: database.base(SPACE))
        end = await _archivable(log, before, start.sequence)
        if (bad := await log.verify(SPACE, start.sequence)) is not None:
            raise CorruptLogError(f"shard {SPACE}: sequence {bad} is missing or false; nothing was archived")
        await _put_snapshot_away(config, log)
        files = await _segments(config, log, start, end, folder)
        chain = (await log.read(SPACE, Sequence(end - 1), 1))[0].chain
    await asyncio.to_thread(_cut, config.data_path, end, chain, folder)
    return start.sequence, end, files


async def _archivable(log: SqliteLog, before: Instant | Place, start: Sequence) -> Sequence:
    """The last record that may be archived. Raises BackupFailedError if there is none."""
    aged = await until_instant(log, SPACE, HostClock().now() - KEPT_DAYS * 86_400 * SECOND, start)
    wanted = before.sequence if isinstance(before, Place) else await until_instant(log, SPACE, before, start)
    head = await log.head(SPACE)
    limit = min(aged, Sequence(wanted - isinstance(before, Place)), Sequence(head.sequence - 1))
    if limit <= start:
        what = "is younger than 30 days" if wanted > start else "is before that, or it is archived already"
        raise BackupFailedError(f"there is nothing to archive: every record beyond {start} {what}")
    end, question = await _all_ended(log, start, limit)
    end = await whole_until(log, SPACE, end)
    if end <= start:
        raise BackupFailedError(f"there is nothing to archive: the oldest record is of {question}, which ends later")
    return end


async def _all_ended(log: SqliteLog, start: Sequence, limit: Sequence) -> tuple[Sequence, str]:
    """The last record up to ``limit`` by which every question has its end, and the question that stands behind it."""
    spans: dict[str, tuple[Sequence, Sequence | None]] = {}
    after = start
    while after < limit and (rows := await log.read(SPACE, after, min(ROWS, limit - after))):
        for row in rows:
            kind = row.type.partition("/")[0]
            if kind == "question.asked":
                spans[row.stream] = row.sequence, None
            elif kind in ENDS and row.stream in spans:
                spans[row.stream] = spans[row.stream][0], row.sequence
        after = rows[-1].sequence
    end, question = limit, ""
    for stream, (asked, ended) in sorted(spans.items(), key=lambda span: -span[1][0]):
        if asked <= end and (ended is None or ended > end):
            end, question = Sequence(asked - 1), stream
    return end, question


async def _put_snapshot_away(config: Config, log: SqliteLog) -> None:
    """The state at the end of the log, so that a start needs nothing of what is archived. Raises BackupFailedError."""
    shelf = FolderShelf(config.data_path / "snapshots")
    snapshots = Snapshots(log, config.limits, shelf, SHARDS, release=version("crossfade"))
    try:
        await snapshots.make()
    except (UnknownEventError, msgspec.DecodeError) as fault:
        raise BackupFailedError(f"this release cannot read all of the log: {fault}") from fault
    folded = Folded(Streams(log, config.limits.ended_questions_kept), Views())
    await snapshots.load(folded)
    for shard in SHARDS:
        head = await log.head(shard)
        if folded.ends.get(shard, (0, b""))[0] != head.sequence:
            raise BackupFailedError("no snapshot could be put away, and a start would need what is archived")


async def _segments(config: Config, log: SqliteLog, start: Beginning, end: Sequence, folder: Path) -> list[Path]:
    head, signer, files = await log.head(SPACE), signing_key(config.data_path), []
    notes = _notes(config.checkpoint_path, SPACE)
    after, prev = start.sequence, start.chain
    while after < end:
        rows = await log.read(SPACE, after, min(RECORDS_PER_SEGMENT, end - after))
        last = rows[-1]
        own = line(Checkpoint(SPACE, head.epoch, last.sequence, last.chain, HostClock().now()), signer)
        inside = [text for sequence, text in notes if after < sequence <= last.sequence]
        stretch = Stretch(SPACE, head.epoch, after, prev.hex(), last.sequence, last.chain.hex())
        notes_inside = [*inside, own.decode().rstrip("\n")]
        top = Top(shards=(stretch,), public_key=signer.public.pem().decode(), checkpoints=notes_inside)
        files.append(await asyncio.to_thread(write_segment, folder, top, rows))
        after, prev = last.sequence, last.chain
    return files


def _notes(folder: Path, shard: Shard) -> list[tuple[int, str]]:
    """The checkpoints of a shard with their sequences; one that is damaged says none."""
    words = [(text.split(" ")[4], text) for text in line_texts(folder, shard)]
    return [(int(sequence), text) for sequence, text in words if sequence.isdecimal()]


def _by(instant: str, at: Instant) -> bool:
    return instant.isdecimal() and int(instant) <= at


def _cut(data: Path, end: Sequence, chain: bytes, folder: Path) -> None:
    database = Database(data)
    try:
        base = Beginning(end, chain, str(folder.resolve()))
        database.cut(SPACE, base, lambda stream: stream.partition("/")[0] not in LEAVING)
    finally:
        database.close()


@asynccontextmanager
async def opened_log(folder: Path) -> AsyncIterator[SqliteLog]:
    """The log of a folder, for as long as the block lasts."""
    log = open_sqlite(folder)
    try:
        yield log
    finally:
        await log.close()


def _public_key(folder: Path) -> str:
    path = folder / PUBLIC_FILE
    return path.read_text() if path.exists() else ""
