"""Snapshots folded in a child process: what that takes in memory is the machine's again when it ends.

The child is this module, run by itself, at a low priority. It opens nothing but the shelf: a log belongs to one
process, so it asks its parent for records, a few at a time, one question after the other, over its standard input and
output (four bytes of length, then msgpack). It folds with the same code as everybody (engine/snapshots.py).

Rules
-----
1. The child ends when its parent does: it reads nothing more, and asks once again before it puts anything away.
2. The parent ends the child when it stops, when the log fails, and after ``SECONDS_MAX``; no child outlives ``make``.
3. A child of another release (the program was replaced while the hub runs) makes no snapshot.
"""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Sequence as Seq
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

import msgspec

from crossfade.core.values import Sequence, Shard
from crossfade.engine import saving
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Head, Log, LogError, SnapshotFailedError, StoredEvent, UnavailableError
from crossfade.engine.snapshots import Snapshots
from crossfade.outbound.snapshots import FolderShelf

SECONDS_MAX: Final = 600.0
"""For one snapshot: some thousand times as long as an ordinary one takes."""
END_SECONDS: Final = 5.0
"""For a killed child to be gone; longer only while the disk hangs."""
NICENESS: Final = 10
LENGTH_BYTES: Final = 4

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is to do; the first thing it hears."""

    folder: str
    """Of the snapshots."""
    release: str
    form: str
    """``saving.VERSION`` of the parent."""
    shards: tuple[int, ...]
    limits: Limits


class Read(msgspec.Struct, frozen=True, tag=True):
    """Asks for records: a list of them comes back."""

    shard: Shard
    after: Sequence
    limit: int


class AskHead(msgspec.Struct, frozen=True, tag=True):
    """Asks for the end of a shard."""

    shard: Shard


class Done(msgspec.Struct, frozen=True, tag=True):
    """The last word: a snapshot is on the shelf."""

    place: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The last word: there is none."""

    fault: str


Said = Read | AskHead | Done | Failed
_SAID: Final[msgspec.msgpack.Decoder[Said]] = msgspec.msgpack.Decoder(Said)


# --- in the hub -------------------------------------------------------------------------------------------------


class ChildFolding:
    """``engine.ports.Folding`` by a child process for each snapshot."""

    def __init__(self, folder: Path, limits: Limits, shards: Seq[Shard], release: str) -> None:
        """``folder``: of the snapshots, as ``FolderShelf`` has it."""
        self._order = Order(
            folder=str(folder.absolute()),
            release=release,
            form=saving.VERSION,
            shards=tuple(shards),
            limits=limits,
        )

    async def make(self, log: Log) -> None:
        """Let a child make one. Raises SnapshotFailedError, and what ``log`` raises."""
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", __name__,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as fault:
            raise SnapshotFailedError(f"no process to fold a snapshot can be started: {fault}") from fault
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._attend(child, log)
        except TimeoutError as fault:
            raise SnapshotFailedError(f"a snapshot was not folded in {SECONDS_MAX:g} seconds") from fault
        except (OSError, EOFError, msgspec.DecodeError) as fault:
            await _end(child)
            raise SnapshotFailedError(f"the process that folds a snapshot ended with {child.returncode}") from fault
        finally:
            await _end(child)

    async def _attend(self, child: asyncio.subprocess.Process, log: Log) -> None:
        await _tell(child, self._order)
        while not isinstance(said := await _hear(child), Done):
            if isinstance(said, Failed):
                raise SnapshotFailedError(said.fault)
            await _tell(child, await _reply(log, said))


async def _reply(log: Log, asked: Read | AskHead) -> list[StoredEvent] | Head:
    if isinstance(asked, Read):
        return await log.read(asked.shard, asked.after, asked.limit)
    return await log.head(asked.shard)


async def _tell(child: asyncio.subprocess.Process, thing: object) -> None:
    assert child.stdin is not None
    content = msgspec.msgpack.encode(thing)
    child.stdin.write(len(content).to_bytes(LENGTH_BYTES) + content)
    await child.stdin.drain()


async def _hear(child: asyncio.subprocess.Process) -> Said:
    assert child.stdout is not None
    length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES))
    return _SAID.decode(await child.stdout.readexactly(length))


async def _end(child: asyncio.subprocess.Process) -> None:
    """See that it is gone: it has nothing more to do, or shall do nothing more. Again: nothing."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await child.wait()


# --- in the child -----------------------------------------------------------------------------------------------


class ParentGoneError(UnavailableError):
    """Nobody is there to read the log."""


class Line:
    """The child's end of the two pipes."""

    def __init__(self, heard: BinaryIO, said: BinaryIO) -> None:
        self._heard = heard
        self._said = said

    def say(self, thing: object) -> None:
        """Raises ParentGoneError."""
        content = msgspec.msgpack.encode(thing)
        try:
            self._said.write(len(content).to_bytes(LENGTH_BYTES) + content)
        except OSError as fault:
            raise ParentGoneError(str(fault)) from fault

    def hear(self, kind: type[T]) -> T:
        """Raises ParentGoneError."""
        length = int.from_bytes(self._take(LENGTH_BYTES))
        return msgspec.msgpack.decode(self._take(length), type=kind)

    def _take(self, size_bytes: int) -> bytes:
        taken = self._heard.read(size_bytes)
        if len(taken) < size_bytes:
            raise ParentGoneError("the pipe is closed")
        return taken


class ParentsLog:
    """Of ``engine.ports.Log`` what folding needs, read by the parent. Blocks: the child does nothing else."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """As the port says. Raises ParentGoneError."""
        self._line.say(Read(shard, after, limit))
        return self._line.hear(list[StoredEvent])

    async def head(self, shard: Shard) -> Head:
        """As the port says. Raises ParentGoneError."""
        self._line.say(AskHead(shard))
        return self._line.hear(Head)


class AttendedShelf(FolderShelf):
    """A shelf that takes nothing once the parent is gone: the folder may be another hub's by now."""

    def __init__(self, folder: Path, log: ParentsLog, shard: Shard) -> None:
        super().__init__(folder)
        self._log = log
        self._shard = shard

    async def keep(self, place: int, content: bytes) -> None:
        """Put one away. Raises OSError, ParentGoneError."""
        await self._log.head(self._shard)
        await super().keep(place, content)


async def fold(line: Line, release: str) -> None:
    """Do what is ordered and say how it went. Raises ParentGoneError."""
    order = line.hear(Order)
    if (order.release, order.form) != (release, saving.VERSION):
        line.say(Failed(f"this is {release}, and the hub is {order.release}: restart it"))
        return
    log, shards = ParentsLog(line), [Shard(shard) for shard in order.shards]
    shelf = AttendedShelf(Path(order.folder), log, shards[0])
    snapshots = Snapshots(cast("Log", log), order.limits, shelf, shards, release=release)
    try:
        place = await snapshots.fold()
    except ParentGoneError:
        raise
    except (OSError, LogError) as fault:
        line.say(Failed(str(fault)))
        return
    line.say(Done(place))


def main() -> None:
    """Be the child."""
    os.nice(NICENESS)
    gc.disable()  # it ends before anything is worth collecting
    # Not buffered: what nobody reads any more would be written again at the very end, and complained of.
    with os.fdopen(sys.stdout.fileno(), "wb", buffering=0) as said, contextlib.suppress(ParentGoneError):
        asyncio.run(fold(Line(sys.stdin.buffer, said), version("crossfade")))


if __name__ == "__main__":
    main()
