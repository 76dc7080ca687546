"""Opening the data folder: one process, a sound SQLite, the settings that durability rests on.

Every setting is read back, because SQLite answers a setting it does not apply with silence. The
order matters: ``synchronous=EXTRA`` before ``journal_mode=WAL``, or the unlinked rollback journal of
the conversion to WAL may come back after a power cut and undo everything (research/reliability.md,
section 1.3). Sources: sqlite.org/pragma.html, sqlite.org/wal.html.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

import apsw

from crossfade.engine.ports import LogError, LogInUseError
from crossfade.logs.bases import SCHEMA as _BASES
from crossfade.logs.blocks import SCHEMA as _BLOCKS
from crossfade.logs.conversion import FORMERLY, convert
from crossfade.logs.index import SCHEMA as _INDEX
from crossfade.logs.settling import settle, sync

FILE_NAME: Final = "log.db"
WAL_NAME: Final = "log.db-wal"
"""SQLite's name for the write-ahead log of that file."""
LOCK_NAME: Final = "log.lock"
FORMAT: Final = 3
"""``user_version`` of the file; raised when the tables or the canonical bytes change."""
APPLICATION_ID: Final = 0x43724644
"""``application_id`` of the file: the letters CrFD."""
JOURNAL_SIZE_LIMIT_BYTES: Final = 64 * 1024 * 1024
PAGE_BYTES: Final = 8_192
"""Of a new file; one that exists keeps its own (docs/adr/0040)."""
CACHE_KIB: Final = 8 * 1024
"""SQLite looks through all of its cache at the end of some commits, so one that is full of old blocks costs time."""
STATEMENTS_CACHED: Final = 128

_SETTINGS: Final[tuple[tuple[str, int | str, int | str], ...]] = (
    # name, what is set, what must be read back
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("synchronous", "EXTRA", 3),
    ("journal_mode", "WAL", "wal"),
    ("fullfsync", 1, 1),
    ("checkpoint_fullfsync", 1, 1),
    ("wal_autocheckpoint", 0, 0),  # the writer checkpoints by itself, when nobody waits, and sees its errors
    ("journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES, JOURNAL_SIZE_LIMIT_BYTES),
    ("cache_size", -CACHE_KIB, -CACHE_KIB),
    ("cell_size_check", 1, 1),
    ("trusted_schema", 0, 0),
)

_SCHEMA: Final = f"""
{_BLOCKS}
{_INDEX}
PRAGMA user_version = {FORMAT};
"""
"""What format 3 has; formats before had each record as a row of ``events`` (conversion.py)."""

_HEADS: Final = f"""
CREATE TABLE heads (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    chain BLOB NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
"""


def may_corrupt(version_number: int) -> bool:
    """Whether this SQLite has the WAL-reset bug (sqlite.org/wal.html#walresetbug); 3051002 is 3.51.2."""
    fixed_since = {3044: 3044006, 3050: 3050007}.get(version_number // 1000, 3051003)
    return 3007000 <= version_number < fixed_since


def refuse_unsound_sqlite(version_number: int) -> None:
    """Raise LogError for an SQLite that may lose or corrupt what it confirmed."""
    if may_corrupt(version_number):
        raise LogError(f"SQLite {version_number} may corrupt a log (WAL-reset bug); 3.51.3 or later is needed")


class FolderLock:
    """The right of one process to use a data folder; the system takes it back when the process ends."""

    def __init__(self, folder: Path) -> None:
        """Raises LogInUseError, naming the process that holds the folder."""
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LogInUseError(f"data folder {folder} is in use by process {holder}") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the folder back; the file stays, since removing it would race with the next holder."""
        os.close(self._descriptor)


def make_folder(folder: Path) -> None:
    """Create ``folder`` for its owner alone, and see to it that its name survives a power cut."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True)
    sync(folder.parent)


def connect(folder: Path, vfs: str | None = None) -> apsw.Connection:
    """The one connection to the file of ``folder``, created if need be, with every setting checked.

    ``vfs`` names an SQLite file layer, for tests with faults. Raises LogError if a setting does not
    hold or the file is of another format, LogInUseError if another program has the file open.
    """
    refuse_unsound_sqlite(apsw.SQLITE_VERSION_NUMBER)
    try:
        settle(folder / WAL_NAME)
    except OSError as fault:
        raise LogError(f"{folder / WAL_NAME} cannot be written again: {fault.strerror}") from fault
    try:
        connection = apsw.Connection(str(folder / FILE_NAME), vfs=vfs, statementcachesize=STATEMENTS_CACHED)
    except apsw.Error as fault:
        raise _explained(fault, folder) from fault
    try:
        _configure(connection)
        _create_or_recognise(connection)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # the writer counts its pages from none
        convert(connection)
    except apsw.Error as fault:
        close(connection)
        raise _explained(fault, folder) from fault
    except LogError:
        close(connection)
        raise
    return connection


def close(connection: apsw.Connection) -> None:
    """Let go of the file; a disk that fails even now loses nothing, since the next start recovers."""
    with contextlib.suppress(apsw.Error):
        connection.close(True)


def _explained(fault: apsw.Error, folder: Path) -> LogError:
    if isinstance(fault, (apsw.BusyError, apsw.LockedError)):
        return LogInUseError(f"another program has {folder / FILE_NAME} open")
    return LogError(f"{folder / FILE_NAME} cannot be opened: {fault}")


def _configure(connection: apsw.Connection) -> None:
    connection.pragma("page_size", PAGE_BYTES)
    for name, value, expected in _SETTINGS:
        connection.pragma(name, value)
        actual = connection.pragma(name)
        if actual != expected:
            raise LogError(f"SQLite does not hold to {name}={value}: it says {actual}")
    connection.pragma("mmap_size", 0)
    if connection.pragma("mmap_size") not in (0, None):  # None: this file layer cannot map at all
        raise LogError("SQLite does not hold to mmap_size=0")


def _create_or_recognise(connection: apsw.Connection) -> None:
    with contextlib.closing(connection.execute("BEGIN IMMEDIATE")):
        pass
    known = connection.pragma("application_id") == APPLICATION_ID
    if connection.pragma("user_version") == 0 and not connection.pragma("application_id"):
        connection.execute(_HEADS + _SCHEMA)
        if (actual := connection.pragma("page_size")) != PAGE_BYTES:
            raise LogError(f"SQLite does not hold to page_size={PAGE_BYTES}: it says {actual}")
    elif known and connection.pragma("user_version") in FORMERLY:
        connection.execute(FORMERLY[connection.pragma("user_version")] + _SCHEMA)
    if connection.pragma("user_version") == FORMAT:
        connection.execute(_BASES)
    connection.execute("COMMIT")
    application_id, version = connection.pragma("application_id"), connection.pragma("user_version")
    if application_id != APPLICATION_ID:
        raise LogError("the file is not a log of this program")
    if version != FORMAT:
        raise LogError(f"the log has format {version}, this release reads format {FORMAT}")
    foreign = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view')").get
    if foreign is not None:  # it would change what is stored, unseen
        raise LogError(f"the file holds {foreign!r}, which is none of the log's own")
