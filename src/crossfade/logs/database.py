"""The tables of the SQLite log: what is read and written, synchronously, by one thread.

Not here: threads, futures, settings of the file (startup.py), or who gets stored (batch.py).

The records lie in blocks (blocks.py); versions and used keys are looked up in what leads to them (index.py), so
they can never contradict the records, and the chain covers them. A statement releases the interpreter at each step,
and under load waits to get it back; so a batch is few statements.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from crossfade.core.values import Sequence, Shard, StreamName
from crossfade.engine.ports import (
    Committed,
    CorruptLogError,
    Head,
    StoredEvent,
    Tx,
    UnavailableError,
    UnknownOutcomeError,
)
from crossfade.logs.aside import Aside
from crossfade.logs.backlog import Statement
from crossfade.logs.bases import NO_BASE, Beginning, read_bases, set_base, sweep
from crossfade.logs.batch import Resolved, adopted
from crossfade.logs.blocks import Blocks
from crossfade.logs.codec import GENESIS
from crossfade.logs.indexes import Indexes
from crossfade.logs.startup import FILE_NAME, WAL_NAME, FolderLock, close, connect, make_folder

CHECKPOINT_PAGES: Final = 2_000
"""The write-ahead log is copied into the file when it has so many pages: 16 MiB."""
CHECKPOINT_SOON_PAGES: Final = 500
"""The same after a large batch: to copy so many takes no longer than its callers take to hear of it."""
LARGE_RECORDS: Final = 256
"""A batch of so many is large."""
COMMITS_BETWEEN_LOOKS: Final = 50
"""Whether the names lead to other files is looked at so seldom: to ask a file system all about a file makes the next
write of it dearer, by some 40 µs on ext4."""
EMPTY: Final = Head(1, Sequence(0), GENESIS)
_SET_HEAD: Final = """
INSERT INTO heads VALUES (?, ?, ?, ?)
ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, chain = excluded.chain
"""


class Database:
    """The open file. Everything here blocks, and runs on one thread at a time."""

    def __init__(self, folder: Path, vfs: str | None = None) -> None:
        """Open or create the log in ``folder``. Raises LogError and LogInUseError as ``startup`` says."""
        make_folder(folder)
        self._place = folder, vfs
        self._paths = [] if vfs else [str(folder / name) for name in (FILE_NAME, WAL_NAME)]
        self._wal_pages = 0
        self._commits = 0
        self._aside = Aside()
        self._stored: list[Resolved] = []
        """What the last append stored, until ``meanwhile``."""
        self.broken = ""
        """Why nothing can be written now; empty while all is well."""
        self.lost = ""
        """Why nothing can ever be written again: what was acknowledged is not there any more."""
        self.heads: dict[Shard, Head] = {}
        self.bases: dict[Shard, Beginning] = {}
        """Where the shards begin whose first records are archived."""
        self._lock = FolderLock(folder)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            self._connection = connect(folder, vfs)
            undo.callback(close, self._connection)
            with self.disk_or_damage():
                self.heads = self._opened()
            undo.pop_all()

    def head(self, shard: Shard) -> Head:
        """The durable end of the shard."""
        return self.heads.get(shard) or EMPTY

    def base(self, shard: Shard) -> Beginning:
        """The last record of the shard that is archived."""
        return self.bases.get(shard, NO_BASE)

    def cut(self, shard: Shard, base: Beginning, goes_on: Callable[[str], bool]) -> None:
        """Forget the records up to ``base``, which are archived, but for the versions of streams that go on.

        No transaction may go on beyond it. Gives the room in the file back, which takes as long as writing the rest.
        """
        self.settle()
        with _reading("the file"):
            set_base(self._connection, shard, base, goes_on)
            self.heads = self._opened()
            self._connection.execute("VACUUM")
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def append(self, work: dict[Shard, list[Tx]]) -> dict[Shard, Resolved]:
        """Store the transactions of several shards in one durable write; all of it, or nothing.

        Raises UnavailableError if surely nothing was stored, UnknownOutcomeError if nobody can tell.
        A disk that is full may have room later; after any other fault the log takes no more writes.
        """
        self._refuse_if_broken()
        committing = False
        try:
            self._begin()
            done = {shard: self._indexes.resolve(shard, self.head(shard), txs) for shard, txs in work.items()}
            stored = [resolved for resolved in done.values() if resolved.blocks]
            if stored:  # else what was written ahead goes with the next
                self._insert(stored)
                committing = True
                self._commit(stored)
        except (apsw.FullError, apsw.BusyError, apsw.ConstraintError) as fault:
            raise self._rolled_back(fault) from fault
        except (apsw.Error, MemoryError) as fault:
            # A sync that failed once may seem to succeed when tried again: it is final.
            self.broken = f"the log stopped after a fault of the disk: {fault}"
            raise (UnknownOutcomeError if committing else UnavailableError)(self.broken) from fault
        self._refuse_if_gone()
        self._stored = stored
        return done

    def recover(self) -> None:
        """Open the file anew after a fault of the disk; whatever was acknowledged has to be there.

        Raises LogError while the disk still fails. ``broken`` is empty afterwards, or ``lost`` says why never.
        """
        promised = dict(self.heads)
        close(self._connection)
        self._connection = connect(*self._place)
        with self.disk_or_damage():
            self.heads = self._opened()
        for shard, head in promised.items():
            if self.head(shard).sequence < head.sequence or not self._has(shard, head):
                self.heads = promised
                self._refuse_if_unreadable()
                self.lost = self.broken = f"shard {shard}: the disk lost what it had confirmed, before {head.sequence}"
                raise CorruptLogError(self.lost)
        self.broken = ""

    @contextlib.contextmanager
    def disk_or_damage(self) -> Iterator[None]:
        """Let damage be UnavailableError if the disk has refused to read: another attempt may find all as it was.

        SQLite calls a file damaged of which a part could not be read (SQLITE_IOERR_CORRUPTFS).
        """
        try:
            yield
        except CorruptLogError:
            self._refuse_if_unreadable()
            raise

    def _refuse_if_unreadable(self) -> None:
        number = ctypes.c_int(0)
        asked = self._connection.file_control("main", apsw.SQLITE_FCNTL_LAST_ERRNO, ctypes.addressof(number))
        if asked and number.value:
            raise UnavailableError(f"the log cannot be read: {os.strerror(number.value)}")

    def _refuse_if_gone(self) -> None:
        """Raise UnknownOutcomeError, for good, if the names no longer lead to the files."""
        self._commits += 1
        there = all(map(os.access, self._paths, (os.F_OK, os.F_OK)))
        if not there or (self._commits % COMMITS_BETWEEN_LOOKS == 0 and self._files != self._found()):
            self.lost = self.broken = f"the files of the log are not in {self._place[0]} any more"
            raise UnknownOutcomeError(self.broken)

    def _found(self) -> list[tuple[int, int] | None]:
        """Which files the names lead to; none of another file layer, for tests."""
        return [_identity(path) for path in self._paths]

    def _has(self, shard: Shard, head: Head) -> bool:
        try:
            return not head.sequence or self.read(shard, Sequence(head.sequence - 1), 1)[0].chain == head.chain
        except CorruptLogError:
            return False

    def _opened(self) -> dict[Shard, Head]:
        self._wal_pages = 0
        self._files = self._found()
        with _reading("the table of heads"):
            heads = dict(map(_head, self._connection.execute("SELECT shard, epoch, sequence, chain FROM heads")))
            self.bases = read_bases(self._connection)
            for shard, base in self.bases.items():
                if base.sequence >= heads.get(shard, EMPTY).sequence:
                    raise CorruptLogError(f"shard {shard}: sequence {base.sequence + 1} is missing")
                sweep(self._connection, shard, base)
        with _reading("the index"):
            self._indexes = Indexes(self._connection, heads, self.bases)
        return heads

    def adopt(self, shard: Shard, rows: list[StoredEvent], epoch: int) -> None:
        """Take rows of another log as they are, behind those that are here; the caller has verified them."""
        self.settle()
        index = self._indexes.of(shard)
        done = adopted(shard, rows, self.head(shard).chain, epoch, index.names.fresh.ends)
        for key in index.used([*done.used]):  # of a transaction that goes on
            del done.used[key]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert([done])
            self._commit([done])
        except apsw.Error as fault:
            raise self._rolled_back(fault) from fault

    def copy_to(self, target: apsw.Connection) -> apsw.Backup:
        """A copy into ``target`` that is made step by step, on this thread; commits in between reach it too."""
        self._refuse_if_broken()
        return target.backup("main", self._connection, "main")

    def settle(self) -> None:
        """See to it that no transaction is open. Raises UnavailableError if the log takes no more writes."""
        self._refuse_if_broken()
        if not self._connection.in_transaction:
            return
        with self._faults():
            self._insert([])
            self._commit([])
        self._refuse_if_broken()

    def meanwhile(self) -> Callable[[], None] | None:
        """What is to be done after an append while its callers hear of it: it hardly needs the interpreter.

        Either the write-ahead log is copied into the file, or a part of the index is written, in the
        transaction of the next append. A fault stops the log for good.
        """
        stored, self._stored = self._stored, []
        if not self.broken:
            self._wal_pages += self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
            large = sum(len(one.before) for one in stored) >= LARGE_RECORDS
            due = CHECKPOINT_SOON_PAGES if large else CHECKPOINT_PAGES
            if self._wal_pages >= due and not self._connection.in_transaction:
                return self._checkpoint
        statement = self._indexes.ahead(stored)
        if statement is not None:
            with self._faults():
                self._begin()
                return partial(self._ahead, statement)
        return None

    def checkpoint_if_due(self) -> None:
        """Copy the write-ahead log into the file once it is long. A fault stops the log for good."""
        if self.broken:
            return
        with contextlib.suppress(apsw.Error):  # a filter that is not full lets everything pass
            self._indexes.keys.scan()
        if (work := self.meanwhile()) is not None:
            work()

    def _checkpoint(self) -> None:
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.FullError:
            return  # nothing is lost: it stays in the write-ahead log, and the next commit tries again
        except apsw.Error as fault:
            self.broken = f"the log stopped after a fault of the disk: {fault}"
        self._wal_pages = 0

    def _ahead(self, statement: Statement) -> None:
        with self._faults():
            self._connection.execute(*statement)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """For a transaction in which nobody's records are: it is undone, or the log takes no more writes."""
        try:
            yield
        except (apsw.FullError, apsw.BusyError) as fault:
            self._rolled_back(fault)
        except (apsw.Error, MemoryError) as fault:
            self.broken = f"the log stopped after a fault of the disk: {fault}"

    def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Durable records ``after + 1`` …, at most ``limit``. Raises CorruptLogError at a gap."""
        last = min(after + limit, self.head(shard).sequence)
        rows: list[StoredEvent] = []
        with _reading(lambda: f"shard {shard}: sequence {rows[-1].sequence + 1 if rows else after + 1}"):
            self._blocks.read(shard, after, last, rows)
        if len(rows) != max(0, last - after):
            raise CorruptLogError(f"shard {shard}: sequence {after + len(rows) + 1} is missing")
        return rows

    def read_stream(self, shard: Shard, stream: StreamName, after_version: int, limit: int) -> list[StoredEvent]:
        """Records of one stream beyond ``after_version``, oldest first, at most ``limit``."""
        self._refuse_if_broken()
        rows: list[StoredEvent] = []
        with _reading(f"shard {shard}: stream {stream}"):
            for sequence in self._indexes.of(shard).names.sequences(stream, after_version, limit):
                self._blocks.read(shard, sequence - 1, sequence, rows)
        if any(row.stream != stream for row in rows):
            raise CorruptLogError(f"shard {shard}: the index of streams leads from {stream} to another")
        return rows

    def find(self, shard: Shard, key: bytes) -> Committed | None:
        """Where the events with this key are; None if the key was never used."""
        self._refuse_if_broken()
        with _reading(f"shard {shard}: the index of keys"):
            return self._indexes.of(shard).used([key]).get(key)

    def unreachable(self, shard: Shard, rows: list[StoredEvent]) -> Sequence | None:
        """One of these consecutive records that nothing leads to, the first as a rule."""
        with _reading(lambda: f"shard {shard}: the index at sequence {rows[0].sequence}"):
            lost = self._blocks.unfound(shard, rows[0].sequence - 1, rows[-1].sequence)
            return self._indexes.of(shard).unreachable(rows) or lost

    def reread(self) -> None:
        """Forget what memory holds of the file's pages: what is verified next comes from the disk."""
        with _reading("the file"):
            self._connection.execute("PRAGMA shrink_memory")

    def shards(self) -> list[Shard]:
        """Those that have records, or a head."""
        with _reading("the table of records"):
            return sorted({*self._blocks.shards(), *self.heads})

    def first_sequence(self, shard: Shard) -> int:
        """The sequence of the shard's first record that is not archived, whatever its head says; 0 if it has none."""
        with _reading(f"shard {shard}: the first record"):
            return self._blocks.first(shard, self.base(shard).sequence)

    def last_sequence(self, shard: Shard) -> Sequence:
        """The sequence of the shard's last record, whatever its head says; 0 if it has none."""
        with _reading(f"shard {shard}: the last record"):
            end = self._blocks.end(shard)
        return end[0] if end else Sequence(0)

    def close(self) -> None:
        """Release the file and the folder."""
        self._aside.close()
        close(self._connection)
        self._lock.release()

    def _refuse_if_broken(self) -> None:
        # Not for reading below the head: but whether something exists nobody can tell any more.
        if self.broken:
            raise UnavailableError(self.broken)

    def _begin(self) -> None:
        if not self._connection.in_transaction:  # else what was written ahead is in it
            self._connection.execute("BEGIN IMMEDIATE")

    @property
    def _blocks(self) -> Blocks:
        return Blocks(self._connection)

    def _insert(self, batches: list[Resolved]) -> None:
        for batch in batches:
            self._blocks.insert(batch.blocks)
            head = batch.head
            self._connection.execute(_SET_HEAD, (batch.shard, head.epoch, head.sequence, head.chain))
        self._indexes.write(batches)

    def _commit(self, batches: list[Resolved]) -> None:
        self._indexes.commit(self._aside, batches)
        for batch in batches:
            self.heads[batch.shard] = batch.head

    def _rolled_back(self, fault: apsw.Error) -> UnavailableError:
        self._indexes.rolled_back()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as worse:
            self.broken = f"the log stopped after a fault of the disk: {worse}"
        return UnavailableError(f"nothing was stored: {fault}")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _head(row: tuple[Shard, object, object, object]) -> tuple[Shard, Head]:
    shard, epoch, sequence, chain = row
    if not (isinstance(epoch, int) and isinstance(sequence, int) and isinstance(chain, bytes)):
        raise CorruptLogError(f"shard {shard}: the head is damaged")  # into another type
    return shard, Head(epoch, Sequence(sequence), chain)


@contextlib.contextmanager
def _reading(what: str | Callable[[], str]) -> Iterator[None]:
    """Turn what SQLite raises while reading ``what`` into a fault of the log."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError) as fault:
        raise CorruptLogError(f"{what() if callable(what) else what} cannot be read: {fault}") from fault
    except apsw.Error as fault:
        raise UnavailableError(f"the log cannot be read: {fault}") from fault
