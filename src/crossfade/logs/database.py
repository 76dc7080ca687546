"""The tables of the SQLite log: what is read and written, synchronously, by one thread.

Not here: threads, futures, settings of the file (startup.py), or who gets stored (batch.py).

``events.place`` is ``shard << 40 | sequence``: one table in the order in which it is written. Stream
versions are looked up in its index, used keys in keys.py, so they can never contradict the events, and the
chain covers them. A statement releases the interpreter at each step, and under load waits to get it
back; so a batch is written in few statements with many rows, not in many with one.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from itertools import chain as concatenated
from itertools import starmap
from pathlib import Path
from typing import Final

import apsw
import msgspec

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
from crossfade.logs.bases import NO_BASE, Beginning, read_bases, set_base, sweep
from crossfade.logs.batch import Known, Resolved, resolve
from crossfade.logs.codec import GENESIS
from crossfade.logs.keys import UNREACHABLE, Keys
from crossfade.logs.startup import FolderLock, close, connect, make_folder
from crossfade.logs.versions import Versions

STREAMS_REMEMBERED_MAX: Final = 20_000
"""Stream versions kept in memory for each shard; one that is not is looked up."""
CHECKPOINT_PAGES: Final = 4_000
"""The write-ahead log is copied into the file when it has so many pages: 16 MiB."""
EMPTY: Final = Head(1, Sequence(0), GENESIS)
ROWS_PER_STATEMENT_MAX: Final = 512
ROWS_ROUNDED: Final = 32
"""A statement for more rows takes a multiple of so many: then there are few statements to prepare, and to run."""

_COLUMNS: Final = "stream, version, type, at, actor, cause, key, payload, chain"
_READ: Final = f"SELECT sequence, {_COLUMNS} FROM events WHERE place > ? AND place <= ? ORDER BY place LIMIT ?"  # noqa: S608
_READ_STREAM: Final = (
    f"SELECT sequence, {_COLUMNS} FROM events "  # noqa: S608 - constants only
    "WHERE shard = ? AND stream = ? AND version > ? ORDER BY version LIMIT ?"
)
# The newest row of each stream by a seek, however many versions the stream has.
_VERSIONS: Final = """
SELECT e.stream, e.version FROM carray(?2) AS named CROSS JOIN events AS e ON e.place = (
    SELECT place FROM events WHERE shard = ?1 AND stream = named.value ORDER BY version DESC LIMIT 1)
"""
_GREATEST: Final = """
SELECT stream FROM events WHERE shard = ? AND stream >= ? AND stream < ? ORDER BY stream DESC LIMIT 1
"""
_GREATEST_ARCHIVED: Final = """
SELECT stream FROM versions WHERE shard = ? AND stream >= ? AND stream < ? ORDER BY stream DESC LIMIT 1
"""
_ARCHIVED_VERSIONS: Final = "SELECT stream, version FROM versions WHERE shard = ? AND stream IN carray(?)"
# The place is read from the index, not looked for in it: a longer entry is found as well, but leads elsewhere.
_UNREACHABLE: Final = """
SELECT min(sequence) FROM events AS e WHERE place BETWEEN ? AND ? AND place IS NOT (
    SELECT s.place FROM events AS s INDEXED BY events_by_stream
    WHERE s.shard = e.shard AND s.stream = e.stream AND s.version = e.version)
"""
_SET_HEAD: Final = """
INSERT INTO heads VALUES (?, ?, ?, ?)
ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, chain = excluded.chain
"""
_INSERT: Final = f"INSERT INTO events (place, {_COLUMNS}) VALUES "  # noqa: S608 - constants only
_ROW: Final = "(?,?,?,?,?,?,?,?,?,?)"


def place(shard: Shard, sequence: int) -> int:
    """Where a record lies in the table."""
    return shard << 40 | sequence


class Database:
    """The open file. Everything here blocks, and runs on one thread at a time."""

    def __init__(self, folder: Path, vfs: str | None = None) -> None:
        """Open or create the log in ``folder``. Raises LogError and LogInUseError as ``startup`` says."""
        make_folder(folder)
        self._place = folder, vfs
        self._wal_pages = 0
        self._versions: dict[Shard, Versions] = {}
        self._keys: dict[Shard, Keys] = {}
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
        self._refuse_if_broken()
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
            self._connection.execute("BEGIN IMMEDIATE")
            done = {shard: self._resolve(shard, txs) for shard, txs in work.items()}
            self._insert([resolved for resolved in done.values() if resolved.rows])
            committing = True
            self._connection.execute("COMMIT")
        except (apsw.FullError, apsw.BusyError, apsw.ConstraintError) as fault:
            raise self._rolled_back(fault) from fault
        except (apsw.Error, MemoryError) as fault:
            # A sync that failed once may seem to succeed when tried again: it is final.
            self.broken = f"the log stopped after a fault of the disk: {fault}"
            raise (UnknownOutcomeError if committing else UnavailableError)(self.broken) from fault
        self._committed(list(done.values()))
        return done

    def recover(self) -> None:
        """Open the file anew after a fault of the disk; whatever was acknowledged has to be there.

        Raises LogError while the disk still fails. ``broken`` is empty afterwards, or ``lost`` says why never.
        """
        promised = dict(self.heads)
        close(self._connection)
        self._connection = connect(*self._place)
        self.heads = self._opened()
        for shard, head in promised.items():
            if self.head(shard).sequence < head.sequence or not self._has(shard, head):
                self.heads = promised
                self.lost = self.broken = f"shard {shard}: the disk lost what it had confirmed, before {head.sequence}"
                raise CorruptLogError(self.lost)
        self.broken = ""

    def _has(self, shard: Shard, head: Head) -> bool:
        try:
            return not head.sequence or self.read(shard, Sequence(head.sequence - 1), 1)[0].chain == head.chain
        except CorruptLogError:
            return False

    def _opened(self) -> dict[Shard, Head]:
        self._wal_pages = 0
        self._versions.clear()
        self._keys.clear()
        with _reading("the table of heads"):
            heads = dict(map(_head, self._connection.execute("SELECT shard, epoch, sequence, chain FROM heads")))
            self.bases = read_bases(self._connection)
            for shard, base in self.bases.items():
                if base.sequence >= heads.get(shard, EMPTY).sequence:
                    raise CorruptLogError(f"shard {shard}: sequence {base.sequence + 1} is missing")
                sweep(self._connection, shard, base)
        with _reading("the index of keys"):
            for shard, head in heads.items():
                self._keys[shard] = Keys(self._connection, shard, self.base(shard).sequence, head.sequence)
        return heads

    def adopt(self, shard: Shard, rows: list[StoredEvent], epoch: int) -> None:
        """Take rows of another log as they are, behind those that are here; the caller has verified them."""
        self._refuse_if_broken()
        adopted = Resolved(shard, Head(epoch, rows[-1].sequence, rows[-1].chain), [], rows)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert([adopted])
            self._connection.execute("COMMIT")
        except apsw.Error as fault:
            raise self._rolled_back(fault) from fault
        self._committed([adopted])

    def copy_to(self, target: apsw.Connection) -> apsw.Backup:
        """A copy into ``target`` that is made step by step, on this thread; commits in between reach it too."""
        self._refuse_if_broken()
        return target.backup("main", self._connection, "main")

    def checkpoint_if_due(self) -> None:
        """Copy the write-ahead log into the file once it is long. A fault stops the log for good."""
        if self.broken:
            return
        self._wal_pages += self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if self._wal_pages < CHECKPOINT_PAGES:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.FullError:
            return  # nothing is lost: it stays in the write-ahead log, and the next commit tries again
        except apsw.Error as fault:
            self.broken = f"the log stopped after a fault of the disk: {fault}"
        self._wal_pages = 0

    def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Durable records ``after + 1`` …, at most ``limit``. Raises CorruptLogError at a gap."""
        last = min(after + limit, self.head(shard).sequence)
        rows = self._events(_READ, (place(shard, after), place(shard, last), limit), shard, after)
        if len(rows) != max(0, last - after):
            raise CorruptLogError(f"shard {shard}: sequence {_first_missing(rows, after)} is missing")
        return rows

    def read_stream(self, shard: Shard, stream: StreamName, after_version: int, limit: int) -> list[StoredEvent]:
        """Records of one stream beyond ``after_version``, oldest first, at most ``limit``."""
        self._refuse_if_broken()
        return self._events(_READ_STREAM, (shard, stream, after_version, limit), shard, Sequence(0))

    def find(self, shard: Shard, key: bytes) -> Committed | None:
        """Where the events with this key are; None if the key was never used."""
        self._refuse_if_broken()
        with _reading(f"shard {shard}: the index of keys"):
            used = self._keys_of(shard).used((key,)).get(key)
        return None if used is None else Committed(*used)

    def unreachable(self, shard: Shard, first: Sequence, last: Sequence) -> Sequence | None:
        """The first record from ``first`` to ``last`` that one of the indexes does not lead to."""
        start, indexed = place(shard, 0), self._keys_of(shard).complete
        with _reading(f"shard {shard}: the indexes at sequence {first}"):
            stream = self._connection.execute(_UNREACHABLE, (start + first, start + last)).get
            key = self._connection.execute(UNREACHABLE, (start + first, start + min(last, indexed))).get
        return min((found for found in (stream, key) if found is not None), default=None)

    def first_sequence(self, shard: Shard) -> Sequence:
        """The sequence of the shard's first record that is not archived, whatever its head says; 0 if it has none."""
        start, base = place(shard, 0), self.base(shard).sequence
        with _reading(f"shard {shard}: the first record"):
            bounds = start + base + 1, place(Shard(shard + 1), 0) - 1
            first = self._connection.execute("SELECT min(place) FROM events WHERE place BETWEEN ? AND ?", bounds).get
        return Sequence(0 if first is None else first - start)

    def places(self) -> Iterator[int]:
        """The first place of each shard that has events."""
        found, after = None, -1
        while True:
            with _reading("the table of events"):
                found = self._connection.execute("SELECT min(place) FROM events WHERE place > ?", (after,)).get
            if found is None:
                return
            yield found
            after = place(Shard((found >> 40) + 1), 0) - 1

    def last_sequence(self, shard: Shard) -> Sequence:
        """The sequence of the shard's last row, whatever its head says; 0 if it has none."""
        bounds = place(shard, 0), place(Shard(shard + 1), 0) - 1
        with _reading(f"shard {shard}: the last record"):
            last = self._connection.execute("SELECT max(place) FROM events WHERE place BETWEEN ? AND ?", bounds).get
        return Sequence(0 if last is None else last - bounds[0])

    def close(self) -> None:
        """Release the file and the folder."""
        close(self._connection)
        self._lock.release()

    def _refuse_if_broken(self) -> None:
        # Not for reading below the head: but whether something exists nobody can tell any more.
        if self.broken:
            raise UnavailableError(self.broken)

    def _resolve(self, shard: Shard, txs: Seq[Tx]) -> Resolved:
        versions = self._versions_of(shard)
        unknown = versions.unknown(txs)
        if unknown:
            named = shard, apsw.carray(tuple(unknown))
            if shard in self.bases:
                versions.known.update(self._connection.execute(_ARCHIVED_VERSIONS, named))
            versions.known.update(self._connection.execute(_VERSIONS, named))
        used = self._keys_of(shard).used([tx.key for tx in txs])
        # The versions are changed in place, ahead of the commit: they are forgotten if it fails.
        return resolve(shard, self.head(shard), txs, Known(used, versions.known))

    def _versions_of(self, shard: Shard) -> Versions:
        if shard not in self._versions:

            def greatest(beginning: str) -> str:
                bounds = shard, beginning, f"{beginning[:-1]}0" if beginning else "\U0010ffff"
                found = (self._connection.execute(sql, bounds).get for sql in (_GREATEST, _GREATEST_ARCHIVED))
                return max(one or "" for one in found)

            self._versions[shard] = Versions(greatest)
        return self._versions[shard]

    def _keys_of(self, shard: Shard) -> Keys:
        if shard not in self._keys:
            self._keys[shard] = Keys(self._connection, shard, self.base(shard).sequence, self.head(shard).sequence)
        return self._keys[shard]

    def _committed(self, done: list[Resolved]) -> None:
        for resolved in done:
            self.heads[resolved.shard] = resolved.head
            self._keys_of(resolved.shard).committed(resolved.rows)
            self._versions_of(resolved.shard).forget(STREAMS_REMEMBERED_MAX)

    def _insert(self, batches: list[Resolved]) -> None:
        values: list[object] = []
        for batch in batches:
            values += concatenated.from_iterable(map(msgspec.structs.astuple, batch.rows))
        values[::10] = [place(batch.shard, row.sequence) for batch in batches for row in batch.rows]
        for start, count in _pieces(len(values) // 10):
            sql = _INSERT + ",".join([_ROW] * count)
            self._connection.execute(sql, values[start * 10 : (start + count) * 10])
        for batch in batches:
            self._keys_of(batch.shard).write(len(batch.rows))
            head = batch.head
            self._connection.execute(_SET_HEAD, (batch.shard, head.epoch, head.sequence, head.chain))

    def _rolled_back(self, fault: apsw.Error) -> UnavailableError:
        self._versions.clear()
        for keys in self._keys.values():
            keys.rolled_back()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as worse:
            self.broken = f"the log stopped after a fault of the disk: {worse}"
        return UnavailableError(f"nothing was stored: {fault}")

    def _events(self, sql: str, bindings: tuple[object, ...], shard: Shard, after: Sequence) -> list[StoredEvent]:
        rows: list[StoredEvent] = []
        with _reading(lambda: f"shard {shard}: sequence {rows[-1].sequence + 1 if rows else after + 1}"):
            rows.extend(starmap(StoredEvent, self._connection.execute(sql, bindings)))
        return rows


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


def _pieces(count: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` rows into as few pieces as come in few sizes."""
    start = 0
    while start < count:
        size = min(ROWS_PER_STATEMENT_MAX, count - start)
        if size > ROWS_ROUNDED:
            size -= size % ROWS_ROUNDED
        yield start, size
        start += size


def _first_missing(rows: Iterable[StoredEvent], after: Sequence) -> int:
    expected = after + 1
    for row in rows:
        if row.sequence != expected:
            break
        expected += 1
    return expected
