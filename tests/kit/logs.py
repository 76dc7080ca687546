"""What tests hand to a log: transactions with small numbers for keys, and rows to compare.

Also a file layer of SQLite whose syncs can be made to fail.
"""

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw

from crossfade.core.values import SPACE, Instant, Shard, StreamName
from crossfade.engine.ports import Log, NewEvent, StoredEvent, Tx
from crossfade.logs import startup
from crossfade.logs.sqlite import open_sqlite


def key(number: int) -> bytes:
    """A key that is told apart by ``number``."""
    return number.to_bytes(16, "big")


def event(stream: str, payload: bytes = b"{}", *, at: int = 1) -> NewEvent:
    """One event of ``stream``."""
    return NewEvent(StreamName(stream), "test.happened/1", Instant(at), "ann", "trace-1", payload)


def tx(number: int, *streams: str, expect: dict[str, int] | None = None) -> Tx:
    """A transaction with the key ``number`` and one event for each of ``streams``."""
    expected = tuple((StreamName(stream), version) for stream, version in (expect or {}).items())
    events = tuple(event(stream, b"%d/%d" % (number, place)) for place, stream in enumerate(streams))
    return Tx(key(number), expected, events)


def run(make: Callable[[], Any], check: Callable[[Any], Awaitable[None]]) -> None:
    """Open a log, let ``check`` use it, close it; all on one event loop, in at most four minutes."""

    async def whole() -> None:
        log = make()
        try:
            async with asyncio.timeout(240):
                await check(log)
        finally:
            await log.close()

    asyncio.run(whole())


async def everything(log: Log, shard: Shard = SPACE) -> list[StoredEvent]:
    """All rows of a shard, read in small pieces."""
    rows: list[StoredEvent] = []
    while found := await log.read(shard, rows[-1].sequence if rows else 0, 7):  # type: ignore[arg-type]
        rows += found
    return rows


def fill(folder: Path, transactions: int) -> None:
    """A closed log with one event for each transaction, written 500 at a time."""

    async def check(log: Log) -> None:
        for start in range(1, transactions + 1, 500):
            numbers = range(start, min(start + 500, transactions + 1))
            await log.append(SPACE, [tx(number, f"q/{number}") for number in numbers])

    run(lambda: open_sqlite(folder), check)


def tamper(folder: Path, sql: str) -> None:
    """Change a closed log behind its back; exactly one row, of its tables or of its records as the table ``events``."""
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    blocks = as_rows(connection)
    connection.execute(sql)
    assert connection.changes() == 1, "the change did not happen, so nothing would be tested"
    as_blocks(connection, blocks)
    connection.close()


_FIELDS = "stream type actor cause key payload"
_ROWS = """
CREATE TEMP TABLE events (
    place INTEGER PRIMARY KEY, stream TEXT, version INTEGER, type TEXT, at INTEGER, actor TEXT, cause TEXT,
    key BLOB, payload BLOB, chain BLOB, block INTEGER, prev BLOB,
    shard INTEGER GENERATED ALWAYS AS (place >> 40), sequence INTEGER GENERATED ALWAYS AS (place & 1099511627775)
)
"""
_HEAD = ">BQQQqIIIIII"


def as_rows(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    """Lay the records out as a table ``events``, and return their blocks. Shares no code with the log."""
    connection.execute(_ROWS)
    blocks = list(connection.execute("SELECT place, records, chain FROM blocks ORDER BY place"))
    for place, records, chain in blocks:
        at = 0
        while at < len(records):
            _, shard, sequence, version, instant, *sizes = struct.unpack_from(_HEAD, records, at)
            ends = list(itertools.accumulate(sizes, initial=at + 89))
            fields = [records[start:end] for start, end in itertools.pairwise(ends)]
            texts = [text.decode() for text in fields[:4]]
            prev, at = records[at + 57 : at + 89], ends[-1]
            own = records[at + 57 : at + 89] if at < len(records) else chain
            row = (
                shard << 40 | sequence,
                texts[0],
                version,
                texts[1],
                instant,
                *texts[2:],
                *fields[4:],
                own,
                place,
                prev,
            )
            connection.execute("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", row)
    return blocks


def as_blocks(connection: apsw.Connection, before: list[tuple[Any, ...]]) -> None:
    """Put the records of the table ``events`` back into blocks as they are now, if they are not what they were."""
    names = ", ".join(f"CAST({name} AS BLOB)" for name in _FIELDS.split())
    rows = connection.execute(f"SELECT place, version, at, chain, block, prev, {names} FROM events ORDER BY place")  # noqa: S608
    blocks: list[list[Any]] = []
    last, block = None, None
    for place, version, instant, chain, own, prev, *fields in rows:
        if own != block or place - 1 != last:
            blocks.append([place, b"", prev])
        _, records, follows = blocks[-1]
        head = struct.pack(_HEAD, 0, place >> 40, place & (1 << 40) - 1, version, instant, *map(len, fields))
        blocks[-1] = [place, records + head + (follows if records else prev) + b"".join(fields), chain]
        last, block = place, own
    connection.execute("DROP TABLE events")
    if [tuple(one) for one in blocks] != before:
        connection.execute("DELETE FROM blocks")
        connection.executemany("INSERT INTO blocks VALUES (?, ?, ?)", blocks)


class FailingSyncs(apsw.VFS):
    """The system's files, of which those whose name ends in ``suffix`` fail to sync while ``failing``."""

    def __init__(self, name: str, suffix: str) -> None:
        super().__init__(name, "")
        self.suffix = suffix
        self.failing = False

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FailingSyncs, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        self._name = name.filename() if hasattr(name, "filename") else str(name)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._vfs.failing and self._name.endswith(self._vfs.suffix):
            raise apsw.IOError("planted: the disk did not take it")
        super().xSync(flags)
