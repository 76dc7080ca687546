"""One case for the folder of snapshots: hubs put theirs away, something happens to the disk, and the next one starts.

Everything follows from the seed. The shelf is the real one (outbound/snapshots.py), and so are the snapshots, which
were folded from one log at several places; only what is below ``os`` is not (folder.py). What is held to:

1. what comes back is, byte for byte, a snapshot that was put away: a damaged one is thrown away and never believed;
2. what was put away is there after a cut, or a newer one; 3. a start folds to what a start without snapshots folds
to, also on a log that is shorter than the snapshot, or another one; 4. the next one can be put away, and no
leftovers fill the disk.
"""

import asyncio
import random
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from crossfade.core.values import PROGRAMME, SPACE, Sequence, Shard
from crossfade.engine import saving
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Head, StoredEvent
from crossfade.engine.projector import Views
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import Streams
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.snapshots import KEPT, FolderShelf
from tests.kit.history import small_run
from tests.kit.hub import World
from tests.powerloss.cases import Violation
from tests.powerloss.disk import NEVER
from tests.powerloss.folder import CutError, Folder, under

SHARDS = (PROGRAMME, SPACE)
PLACES = 7
"""Snapshots of one log, one later than the other."""
KINDS = ("cut", "cut", "cut", "twice", "twice", "error", "full", "flip", "flip")
CUT_BEFORE = 40
WHOLE_START_EVERY = 20
"""Of so many cases one starts through the engine and compares the folded states; the others compare bytes."""


class Snapshot(msgspec.Struct):
    """A snapshot as it is put away, and what is true of the log there."""

    place: int
    content: bytes
    state: bytes
    """What everything up to there folds to."""
    log: MemoryLog


class OneShelf:
    """A shelf in memory, to have a snapshot's bytes."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.place = 0

    async def keep(self, place: int, content: bytes) -> None:
        self.place, self.content = place, content

    async def newest(self) -> bytes | None:
        return self.content

    async def discard_newest(self) -> None:
        self.content = None


class AtOnce(ThreadPoolExecutor):
    """Work for other threads is done here and now, so that a seed is the same run each time."""

    def submit(self, call: Callable[..., Any], /, *words: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(call(*words, **named))
        except BaseException as fault:  # noqa: BLE001 - the cut of the power has to arrive, too
            future.set_exception(fault)
        return future


class Story:
    """Snapshots of one log, and another log."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        runner.get_loop().set_default_executor(AtOnce())
        self.made: list[Snapshot] = []
        whole, self.other = runner.run(_lived(1)), runner.run(_lived(2))
        for number in range(1, PLACES + 1):
            log = _part(whole, number, PLACES)
            self.made.append(runner.run(_snapshot(log)))
        self.known = {one.content: one for one in self.made}
        self.other_state = runner.run(_folded(self.other, OneShelf()))[0]


async def _lived(seed: int) -> MemoryLog:
    log = MemoryLog()
    async with World(log, seed=seed) as world:
        await small_run(world)
    return log


def _part(log: MemoryLog, number: int, of: int) -> MemoryLog:
    part = MemoryLog()
    for shard in SHARDS:
        rows = log._shards[shard].rows
        _put(part, shard, rows[: max(1, len(rows) * number // of)])
    return part


def _put(log: MemoryLog, shard: Shard, rows: list[StoredEvent]) -> None:
    contents = log._shards[shard]
    contents.rows = rows
    contents.head = Head(1, Sequence(len(rows)), rows[-1].chain)
    for row in rows:
        contents.streams[row.stream].append(row)


async def _snapshot(log: MemoryLog) -> Snapshot:
    shelf = OneShelf()
    await Snapshots(log, Limits(), shelf, SHARDS).make()
    assert shelf.content is not None
    state, _ = await _folded(log, OneShelf())
    return Snapshot(shelf.place, shelf.content, state, log)


async def _folded(log: MemoryLog, shelf: FolderShelf | OneShelf) -> tuple[bytes, int]:
    """What a start on this log with this shelf folds to, and for how many records the snapshot stood."""
    folded = Folded(Streams(log, Limits().ended_questions_kept), Views())
    snapshots = Snapshots(log, Limits(), shelf, SHARDS)
    loaded = await snapshots.load(folded)
    await snapshots.catch_up(folded)
    return saving.dump(folded.streams, folded.views, folded.ends, folded.last_at), loaded


def run(seed: int, story: Story, folder: Path) -> str:
    """Run the case of this seed in an empty folder of its own; the kind of fault it was. Raises Violation."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        return _run(seed, story, Path(own))


def _run(seed: int, story: Story, folder: Path) -> str:
    dice = random.Random(seed)
    kind = dice.choice(KINDS)
    disk = _empty(folder / "0", dice)
    if kind == "error":
        disk.fail_at = dice.randrange(1, CUT_BEFORE)
    elif kind == "full":
        disk.full_from = dice.randrange(1, CUT_BEFORE)
        disk.full_until = disk.full_from + dice.randrange(1, 20)
    disk.cut_at = dice.randrange(CUT_BEFORE)
    kept = _used(story, dice, disk, 0)
    disk = disk.after_cut(dice, folder / "1")
    if kind == "twice":
        disk.cut_at = dice.randrange(10)
        _read(story, disk, kept)
        kept = _used(story, dice, disk, kept)
        disk = disk.after_cut(dice, folder / "2")
    if kind == "flip":
        disk = _flipped(disk, dice)
        kept = 0
    _check(seed, story, dice, disk, kept)
    return f"shelf {kind}"


def _empty(root: Path, dice: random.Random) -> Folder:
    root.mkdir()
    return Folder(root, names_with_files=dice.random() < 0.5)


def _used(story: Story, dice: random.Random, disk: Folder, kept: int) -> int:
    """Lives of a hub until the power goes; the place of the newest snapshot that was put away for sure."""
    try:
        with under(disk):
            for one in [one for one in story.made if one.place > kept]:
                shelf = FolderShelf(disk.root / "snapshots")
                try:
                    if dice.random() < 0.5:
                        story.runner.run(shelf.newest())
                    story.runner.run(shelf.keep(one.place, one.content))
                    kept = one.place
                except OSError:
                    continue
    except CutError:
        pass
    disk.cut_at = disk.operations  # the rest of what was planned does not happen
    return kept


def _read(story: Story, disk: Folder, kept: int) -> None:
    try:
        with under(disk):
            _believed(story, story.runner.run(FolderShelf(disk.root / "snapshots").newest()), kept)
    except CutError:
        pass


def _believed(story: Story, content: bytes | None, kept: int) -> None:
    if content is not None and content not in story.known:
        raise Violation("a snapshot is believed that was never put away")
    place = story.known[content].place if content is not None else 0
    if place < kept:
        raise Violation(f"the newest snapshot is of place {place}, one of {kept} was put away")


def _flipped(disk: Folder, dice: random.Random) -> Folder:
    """The same with one bit of one file turned over."""
    files = sorted(path for path in disk.files if disk.files[path].seen)
    if files:
        path = dice.choice(files)
        content = bytearray(path.read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
    return Folder(disk.root, names_with_files=disk.names_with_files)


def _check(seed: int, story: Story, dice: random.Random, disk: Folder, kept: int) -> None:
    disk.cut_at = NEVER
    place = disk.root / "snapshots"
    with under(disk):
        if seed % WHOLE_START_EVERY == 0:
            _starts(story, dice, place)
        else:
            _believed(story, story.runner.run(FolderShelf(place).newest()), kept)
        last = story.made[-1]
        shelf = FolderShelf(place)
        story.runner.run(shelf.keep(last.place, last.content))
        _believed(story, story.runner.run(shelf.newest()), last.place)
    left = sorted(path.name for path in place.iterdir())
    if len(left) > KEPT or any(not name.endswith(tuple("0123456789")) for name in left):
        raise Violation(f"what is left over fills the disk: {', '.join(left)}")


def _starts(story: Story, dice: random.Random, place: Path) -> None:
    """A hub starts on the log as it was at some place, or on another log: the state is the log's alone."""
    one = dice.choice(story.made)
    log, state = (one.log, one.state) if dice.random() < 0.8 else (story.other, story.other_state)
    found, _ = story.runner.run(_folded(log, FolderShelf(place)))
    if found != state:
        raise Violation("a start folds to something else than a start without snapshots")
