"""A copy of the log while it is being written, and a log made from a copy.

The copy is made on the writing thread, ``PAGES_PER_STEP`` pages at a time, with a pause after each step, so that
an append waits a millisecond for it. What is committed in between reaches both files. At its end the copy is
synced, opened as a log, read through, and held to the original's chain. ``adopt`` makes a log of a higher epoch
from the first records of another one.

Source: sqlite.org/backup.html (a write by the connection that is copied from is written to the copy as well).
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import START, BackupFailedError, CorruptLogError, Head, LogError, StoredEvent
from crossfade.logs.audit import first_bad
from crossfade.logs.database import Database
from crossfade.logs.settling import sync
from crossfade.logs.sqlite import SqliteLog, open_sqlite
from crossfade.logs.startup import FILE_NAME, close, make_folder

PAGES_PER_STEP: Final = 64
PAUSE_SECONDS: Final = 0.002
UNFINISHED: Final = "restore.unfinished"
"""Lies in a folder while a log is being made there; one that was broken off lacks answers that were given."""
CHECKPOINTS: Final = "checkpoints"
"""The folder of checkpoints in a copy, whatever the hub's own is called."""
ROWS: Final = 2_000


class FolderBackups:
    """``engine.ports.Backups``: copies in folders beside each other."""

    def __init__(self, log: SqliteLog, folder: Path, beside: tuple[Path, ...]) -> None:
        """``beside``: the folder of checkpoints, and files that a copy is worth little without; no secrets."""
        self._log = log
        self._folder = folder
        self._beside = beside

    async def make(self, name: str) -> tuple[str, Mapping[Shard, Head]]:
        """Copy the log into a new folder of this name; where it is and where its shards end."""
        target = self._folder / name
        return str(target), await back_up(self._log, target, self._beside)


async def back_up(log: SqliteLog, target: Path, beside: tuple[Path, ...] = ()) -> Mapping[Shard, Head]:
    """Copy a log that is in use into a new folder, and verify the copy; where its shards end.

    Raises BackupFailedError if the folder exists or cannot be written, CorruptLogError if the copy, that is
    the original, is damaged. What was begun stays as ``….unfinished``, and is no backup.
    """
    unfinished = await asyncio.to_thread(_begin, target, beside)
    copying = _Copying(unfinished / FILE_NAME)
    try:
        while await log.call(copying.step):  # noqa: ASYNC110 - a pause, not a condition: appends go first
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await log.call(copying.close)
    heads = await asyncio.to_thread(verified, unfinished)
    for shard, head in heads.items():
        row = (await log.read(shard, Sequence(head.sequence - 1), 1))[0]
        if row.chain != head.chain:
            raise CorruptLogError(f"shard {shard}: sequence {head.sequence} of the copy is false")
    await asyncio.to_thread(_end, unfinished, target)
    return heads


class _Copying:
    """The file that is being copied into; lives on the writing thread, whose other work no fault here may end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target: apsw.Connection | None = None
        self._backup: apsw.Backup | None = None

    def step(self, database: Database) -> bool:
        """Copy some pages; whether there are more. Raises BackupFailedError."""
        try:
            if self._backup is None:
                self._target = apsw.Connection(str(self._path))
                self._backup = database.copy_to(self._target)
            database.settle()
            if not self._backup.step(PAGES_PER_STEP):
                return True
            self._backup.finish()
        except apsw.Error as fault:
            # Of a page that finds no room SQLite gives the code alone; its text is that of the call before.
            said = "the disk is full" if isinstance(fault, apsw.FullError) else str(fault)
            raise BackupFailedError(f"{self._path}: {said}") from fault
        return False

    def close(self, _: Database) -> None:
        """Let go of the file."""
        if self._backup is not None:
            self._backup.close(True)
        if self._target is not None:
            close(self._target)


def _begin(target: Path, beside: tuple[Path, ...]) -> Path:
    if target.exists():
        raise BackupFailedError(f"{target} exists already")
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        make_folder(unfinished)
        for path in beside:  # before the log: then no checkpoint is ahead of it
            if path.is_dir():
                shutil.copytree(path, unfinished / CHECKPOINTS)
            elif path.exists():
                shutil.copy2(path, unfinished / path.name)
    except OSError as fault:
        raise BackupFailedError(f"{target}: {fault.strerror or fault}") from fault
    return unfinished


def fetch(made: Path, target: Path) -> None:
    """Bring a copy to another place, also on another disk; there it is read again before it gets its name.

    Raises BackupFailedError; the copy is then where it was, and what was begun is gone.
    """
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(made, unfinished)
        verified(unfinished)
        _end(unfinished, target)
    except (OSError, LogError) as fault:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BackupFailedError(f"{fault}; the copy that the hub made is in {made}") from fault
    shutil.rmtree(made, ignore_errors=True)


def _end(unfinished: Path, target: Path) -> None:
    try:
        for path in (*unfinished.rglob("*"), unfinished):
            sync(path)
        unfinished.rename(target)
        sync(target.parent)
    except OSError as fault:
        raise BackupFailedError(f"{target}: {fault.strerror}") from fault


def verified(folder: Path) -> dict[Shard, Head]:
    """Where the shards of a log that nobody uses end, after reading all of it. Raises as ``open_sqlite``."""
    database = Database(folder)
    try:
        for shard in database.heads:
            if (bad := first_bad(database, shard, Sequence(0))) is not None:
                raise CorruptLogError(f"shard {shard}: sequence {bad} is missing or false")
        return dict(database.heads)
    finally:
        database.close()


async def adopt(source: SqliteLog, ends: Mapping[Shard, Sequence], folder: Path) -> None:
    """Make a log in ``folder`` of the first records of another, one epoch higher; a transaction is taken whole or not.

    The log is on disk when this returns, and the caller says that it is whole: ``finish``. Raises BackupFailedError
    if there is one in ``folder`` already.
    """
    database = await asyncio.to_thread(_fresh, folder)
    try:
        for shard, end in ends.items():
            head = await source.head(shard)
            after = Sequence(0)
            while after < end and (rows := await _rows(source, shard, after, end)):
                database.adopt(shard, rows, head.epoch + 1)
                database.checkpoint_if_due()
                after = rows[-1].sequence
    finally:
        database.close()


def _fresh(folder: Path) -> Database:
    if folder.exists() and any(folder.iterdir()):
        raise BackupFailedError(f"{folder} is not empty")
    make_folder(folder)
    (folder / UNFINISHED).touch()
    sync(folder)
    return Database(folder)


def finish(folder: Path) -> None:
    """The log in ``folder`` is whole and verified."""
    (folder / UNFINISHED).unlink()
    sync(folder)


def refuse_unfinished(folder: Path) -> None:
    """Raise CorruptLogError for a log that was never made whole."""
    if (folder / UNFINISHED).exists():
        raise CorruptLogError(f"a restore into {folder} was broken off: remove the folder, and restore again")


async def _rows(source: SqliteLog, shard: Shard, after: Sequence, end: Sequence) -> list[StoredEvent]:
    return await source.read(shard, after, min(ROWS, end - after))


async def whole_until(source: SqliteLog, shard: Shard, end: Sequence) -> Sequence:
    """``end``, or before it if a transaction would be cut in two there: its records share their key."""
    following = await source.read(shard, end, 1)
    while following and end > 0:
        row = (await source.read(shard, Sequence(end - 1), 1))[0]
        if row.key != following[0].key:
            break
        end = Sequence(end - 1)
    return end


async def until_instant(source: SqliteLog, shard: Shard, at: int, after: Sequence = START) -> Sequence:
    """The last sequence of a shard that is not later than ``at``, or ``after``; by halving: time never goes back."""
    low, high = after, (await source.head(shard)).sequence
    while low < high:
        middle = (low + high + 1) // 2
        if (await source.read(shard, Sequence(middle - 1), 1))[0].at <= at:
            low = Sequence(middle)
        else:
            high = Sequence(middle - 1)
    return Sequence(low)


def open_copy(folder: Path) -> SqliteLog:
    """A copy, for reading. Raises BackupFailedError if there is none, and as ``open_sqlite``."""
    if not (folder / FILE_NAME).is_file():
        raise BackupFailedError(f"there is no log in {folder}")
    refuse_unfinished(folder)
    return open_sqlite(folder)
