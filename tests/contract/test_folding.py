"""A snapshot that a child process folds is the one that this process would fold, and no child outlives its task."""

import asyncio
import subprocess
import sys
from importlib.metadata import version

import msgspec
import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine import saving, snapshots
from crossfade.engine.limits import Limits
from crossfade.engine.ports import SnapshotFailedError, UnavailableError
from crossfade.engine.projector import Views
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import Streams
from crossfade.logs.memory import MemoryLog
from crossfade.outbound import folding
from crossfade.outbound.folding import ChildFolding, Line, Order, ParentGoneError
from crossfade.outbound.snapshots import FolderShelf
from tests.kit.history import small_run
from tests.kit.hub import World, run

pytestmark = pytest.mark.requirement("P26")
SHARDS = (PROGRAMME, SPACE)
RELEASE = version("crossfade")


async def a_log():
    log = MemoryLog()
    world = World(log)
    await world.hub.start()
    await small_run(world)
    await world.hub.stop()
    return log


async def folded_here(log, folder):
    await Snapshots(log, Limits(), FolderShelf(folder), SHARDS, release=RELEASE).fold()
    return await FolderShelf(folder).newest()


def a_folding(folder, release=RELEASE):
    return ChildFolding(folder, Limits(), SHARDS, release)


class Watched(MemoryLog):
    """A log that fails, or answers no more, after so many reads."""

    def __init__(self, log, reads, fault=None):
        super().__init__()
        self.log, self.left, self.fault, self.reached = log, reads, fault, asyncio.Event()

    async def head(self, shard):
        return await self.log.head(shard)

    async def read(self, shard, after, limit):
        self.left -= 1
        if self.left < 0:
            self.reached.set()
            if self.fault is not None:
                raise self.fault
            await asyncio.Event().wait()
        return await self.log.read(shard, after, limit)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A killed process may take its time on a busy machine."""
    monkeypatch.setattr(folding, "END_SECONDS", 50.0)


@pytest.fixture
def children(monkeypatch):
    """Every process that is started meanwhile."""
    started = []
    before = asyncio.create_subprocess_exec

    async def noted(*args, **kwargs):
        child = await before(*args, **kwargs)
        started.append(child)
        return child

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    return started


@run
async def test_a_child_folds_the_same_bytes(tmp_path, monkeypatch, children):
    log = await a_log()
    await a_folding(tmp_path / "there").make(log)
    assert await FolderShelf(tmp_path / "there").newest() == await folded_here(log, tmp_path / "here")
    assert [child.returncode is not None for child in children] == [True]


@run
async def test_a_child_goes_on_from_the_snapshot_before(tmp_path):
    log = await a_log()
    await a_folding(tmp_path).make(log)
    world = World(log, seed=5)
    await world.hub.start()
    await world.join("zoe")
    await world.hub.stop()
    counted = Watched(log, 1_000)
    await a_folding(tmp_path).make(counted)
    folded = Folded(Streams(log, Limits().ended_questions_kept), Views())
    assert await Snapshots(log, Limits(), FolderShelf(tmp_path), SHARDS, release=RELEASE).load(folded) > 0
    assert folded.views.directory.get("zoe") is not None
    assert 1_000 - counted.left <= 4, "one read to hold each shard to its chain, one for what is new"


@run
async def test_a_snapshot_of_another_log_is_thrown_away_by_the_child_too(tmp_path):
    other = MemoryLog()
    world = World(other, seed=9)
    await world.hub.start()
    await world.join("stranger")
    await world.hub.stop()
    await folded_here(other, tmp_path / "there")
    log = await a_log()
    await a_folding(tmp_path / "there").make(log)
    assert await FolderShelf(tmp_path / "there").newest() == await folded_here(log, tmp_path / "here")


@run
async def test_a_child_of_another_release_makes_none(tmp_path, children):
    with pytest.raises(SnapshotFailedError, match="restart"):
        await a_folding(tmp_path / "there", "0.0.1").make(await a_log())
    assert not (tmp_path / "there").exists()
    assert children[0].returncode is not None


@run
async def test_a_log_that_fails_meanwhile_ends_the_child(tmp_path, children):
    log = Watched(await a_log(), 1, UnavailableError("the disk hiccups"))
    with pytest.raises(UnavailableError, match="hiccups"):
        await a_folding(tmp_path / "there").make(log)
    assert children[0].returncode is not None
    assert not (tmp_path / "there").exists()


@run
async def test_a_stop_ends_the_child(tmp_path, children):
    log = Watched(await a_log(), 1)
    making = asyncio.ensure_future(a_folding(tmp_path / "there").make(log))
    await log.reached.wait()
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    assert making.cancelled()
    assert children[0].returncode is not None
    assert not (tmp_path / "there").exists()


@run
async def test_a_child_that_does_not_come_to_its_end_is_ended(tmp_path, monkeypatch, children):
    monkeypatch.setattr(folding, "SECONDS_MAX", 1.0)
    with pytest.raises(SnapshotFailedError, match="not folded in 1 seconds"):
        await a_folding(tmp_path / "there").make(Watched(await a_log(), 1))
    assert all(child.returncode is not None for child in children)


@run
async def test_a_child_that_dies_is_a_failure_and_nothing_else(tmp_path, children):
    log = await a_log()

    class Killing(Watched):
        async def read(self, shard, after, limit):
            children[0].kill()
            return await self.log.read(shard, after, limit)

    with pytest.raises(SnapshotFailedError, match="ended with"):
        await a_folding(tmp_path / "there").make(Killing(log, 0))


@run
async def test_a_shelf_that_takes_nothing_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SnapshotFailedError, match="Not a directory"):
        await a_folding(tmp_path / "file" / "there").make(await a_log())


@run
async def test_a_program_that_cannot_be_started_is_a_failure_of_the_snapshot(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(SnapshotFailedError, match="No such file"):
        await a_folding(tmp_path).make(await a_log())


# --- the child ------------------------------------------------------------------------------------------------------


def framed(thing):
    content = msgspec.msgpack.encode(thing)
    return len(content).to_bytes(4) + content


def an_order(folder):
    return Order(folder=str(folder), release=RELEASE, form=saving.VERSION, shards=SHARDS, limits=Limits())


class Ends:
    """The parent's ends of the pipes: replies from a log so many times, then gone."""

    def __init__(self, log, order, replies):
        self.log, self.replies, self.waiting, self.said = log, replies, framed(order), []

    def read(self, size):
        taken, self.waiting = self.waiting[:size], self.waiting[size:]
        return taken

    def write(self, whole):
        said = msgspec.msgpack.decode(whole[4:], type=folding.Said)
        self.said.append(said)
        if isinstance(said, folding.Done | folding.Failed):
            return
        if len(self.said) > self.replies:
            raise BrokenPipeError
        work = self.log.rows(said) if isinstance(said, folding.Read) else self.log.heads[said.shard]
        self.waiting += framed(work)


class Rows:
    """What a log has, to be read without waiting."""

    def __init__(self, rows, heads):
        self._rows, self.heads = rows, heads

    def rows(self, asked):
        return self._rows[asked.shard][asked.after : asked.after + asked.limit]


@run
async def test_whenever_the_parent_goes_the_child_puts_nothing_away(tmp_path):
    log = await a_log()
    heads = {shard: await log.head(shard) for shard in SHARDS}
    rows = Rows({shard: await log.read(shard, 0, 10_000) for shard in SHARDS}, heads)
    whole = Ends(rows, an_order(tmp_path / "whole"), 1_000)
    await folding.fold(Line(whole, whole), RELEASE)
    assert isinstance(whole.said[-1], folding.Done)
    needed = len(whole.said) - 1
    assert needed > 4
    for replies in range(needed):
        ends = Ends(rows, an_order(tmp_path / "part"), replies)
        with pytest.raises(ParentGoneError):
            await folding.fold(Line(ends, ends), RELEASE)
        assert not (tmp_path / "part").exists(), f"after {replies} of {needed} replies"


@pytest.mark.parametrize("end", ["asks nobody", "hears nothing"])
def test_a_child_ends_by_itself_when_its_parent_is_killed(tmp_path, end):
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "crossfade.outbound.folding"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin
        assert child.stdout
        assert child.stderr
        if end == "asks nobody":
            child.stdout.close()
        child.stdin.write(framed(an_order(tmp_path / "there")))
        child.stdin.flush()
        if end == "hears nothing":
            assert len(child.stdout.read(4)) == 4, "it asks for something"
            child.stdin.close()
        assert child.wait() == 0
        assert child.stderr.read() == b"", "and says nothing to anybody"
    assert not (tmp_path / "there").exists()


# --- in a hub -------------------------------------------------------------------------------------------------------


class Elsewhere:
    """A folding that only counts, or fails."""

    def __init__(self, fault=None):
        self.made, self.fault = 0, fault

    async def make(self, log):
        self.made += 1
        if self.fault is not None:
            raise self.fault


async def serve_some(monkeypatch, folding_, shelf):
    monkeypatch.setattr(snapshots, "RECORDS_BETWEEN", 10)
    monkeypatch.setattr(snapshots, "RECORDS_MIN", 5)
    world = World(MemoryLog(), seed=1)
    world.hub.keeping.save(shelf, folding=folding_)
    await world.hub.start()
    ana, bo = await world.join("ana"), await world.join("bo")
    for _ in range(12):
        question = await world.ask(ana, "bo")
        await world.answer(bo, question.question_id)
        await world.clock.advance(0)
    made = folding_.made
    await world.hub.stop()
    return made


@run
async def test_a_hub_that_serves_folds_elsewhere_and_at_its_stop_by_itself(monkeypatch, tmp_path):
    elsewhere = Elsewhere()
    assert await serve_some(monkeypatch, elsewhere, FolderShelf(tmp_path)) > 1


@run
async def test_what_could_not_be_folded_elsewhere_is_made_up_for_at_the_stop(monkeypatch, tmp_path, caplog):
    made = await serve_some(monkeypatch, Elsewhere(SnapshotFailedError("no more processes")), FolderShelf(tmp_path))
    assert made > 1, "a failure is not the last attempt"
    assert "log.snapshot_failed" in caplog.text
    assert await FolderShelf(tmp_path).newest() is not None


@pytest.mark.parametrize("first", ["crossfade.bootstrap", "crossfade.upkeep", "crossfade.core.watching"])
def test_the_form_of_snapshots_does_not_depend_on_what_was_imported_first(first):
    """A hub and its child import in different orders, and so do the tools for a stopped hub's folder."""
    program = f"import {first}\nfrom crossfade.engine import saving\nprint(saving.VERSION)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == saving.VERSION
