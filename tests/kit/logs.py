"""What tests hand to a log: transactions with small numbers for keys, and rows to compare.

Also a file layer of SQLite whose syncs can be made to fail.
"""

import asyncio
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
    """Change a closed log behind its back; exactly one row."""
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute(sql)
    assert connection.changes() == 1, "the change did not happen, so nothing would be tested"
    connection.close()


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
