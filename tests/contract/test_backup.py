"""A copy of the log made while it is written, a hub's folder made from a copy, and what is refused."""

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest

from crossfade import upkeep
from crossfade.bootstrap import ROOT, opened_hub
from crossfade.config import Config
from crossfade.core.values import PROGRAMME, SPACE, AgentName, Instant, Kind, Scope, Sequence
from crossfade.engine.ports import BackupFailedError, CorruptLogError
from crossfade.logs import backup
from crossfade.logs.backup import _Copying, back_up, verified
from crossfade.logs.database import Database
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import signing_key
from crossfade.upkeep import Place, back_up_log, fetch_copy, restore_log
from crossfade_verify import verify
from tests.kit.clock import FakeClock
from tests.kit.hub import World, ok, refused
from tests.kit.logs import everything, fill, run, tamper, tx

pytestmark = pytest.mark.requirement("P26")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "backups" / "one"


def test_a_copy_made_under_load_has_everything_that_was_acknowledged_before_it_began(folder, target, monkeypatch):
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 3)
    fill(folder, 3_000)

    async def check(log):
        acked = []

        async def write():
            for number in range(10_000, 20_000):
                acked.extend(await log.append(SPACE, [tx(number, f"q/{number % 50}")]))

        writing = asyncio.ensure_future(write())
        await asyncio.sleep(0)
        while len(acked) < 20:  # noqa: ASYNC110 - the writer has no event to wait for
            await asyncio.sleep(0)
        before = (await log.head(SPACE)).sequence
        heads = await back_up(log, target)
        writing.cancel()
        assert heads[SPACE].sequence >= before
        assert len(acked) > 40, "nobody waited for the copy"
        rows = await everything(log)
        assert heads[SPACE].chain == rows[heads[SPACE].sequence - 1].chain

    run(lambda: open_sqlite(folder), check)
    assert verified(target)[SPACE].sequence >= 3_020


def test_a_copy_of_a_damaged_log_is_no_copy(folder, target):
    fill(folder, 3_000)
    tamper(folder, "UPDATE events SET actor = 'eve' WHERE sequence = 500")

    async def check(log):
        with pytest.raises(CorruptLogError, match="sequence 500"):
            await back_up(log, target)
        assert not target.exists()

    run(lambda: open_sqlite(folder), check)


def test_a_copy_is_never_written_over_something_and_a_failed_one_leaves_the_log_at_work(folder, target):
    fill(folder, 10)
    target.mkdir(parents=True)
    (target.parent / "file").write_text("")

    async def check(log):
        for place in (target, target.parent / "file" / "x"):
            with pytest.raises(BackupFailedError):
                await back_up(log, place)
        await log.append(SPACE, [tx(99, "q/a")])
        assert list(target.iterdir()) == []

    run(lambda: open_sqlite(folder), check)


# --- a hub's folder from a copy -------------------------------------------------------------------------------


async def hub_with_two_questions(folder, target):
    """One question is answered before the copy is made, one after; the instants of the records of the space."""
    log = open_sqlite(folder)
    witness = FolderWitness(folder / "checkpoints", signing_key(folder))
    world = World(log)
    world.hub.keeping.guard(witness)
    await world.hub.start()
    ana, bo = await world.join("ana"), await world.join("bo")
    early = await world.ask(ana, "bo", deadline_seconds=10_000)
    await world.clock.advance(10)
    ok(await world.answer(bo, early.question_id, key="early"))
    late = await world.ask(ana, "bo", deadline_seconds=10_000)
    await world.clock.advance(10)
    await world.hub.stop()
    await back_up(log, target, (folder / "checkpoints",))
    world = World(log, world.clock, seed=2)
    world.hub.keeping.guard(witness)
    await world.hub.start()
    ok(await world.answer(bo, late.question_id, key="late"))
    await world.hub.stop()
    rows = await everything(log)
    witness.close()
    await log.close()
    return ana, bo, early, late, rows


async def opened_again(folder, clock):
    log = open_sqlite(folder)
    world = World(log, clock, seed=3)
    world.hub.keeping.guard(FolderWitness(folder / "checkpoints", signing_key(folder)))
    await world.hub.start()
    return world


def config(folder, **more):
    return Config(data_folder=str(folder), **more)


def later(rows):
    return FakeClock(Instant(rows[-1].at + 1))


def test_a_restored_hub_holds_its_answers_and_goes_on_one_epoch_higher(folder, target, tmp_path):
    async def check():
        _, bo, early, late, rows = await hub_with_two_questions(folder, target)
        ends = await restore_log(config(tmp_path / "new"), target, None)
        assert {(shard, epoch) for shard, epoch, _ in ends} == {(PROGRAMME, 2), (SPACE, 2)}
        world = await opened_again(tmp_path / "new", later(rows))
        assert refused(await world.answer(bo, early.question_id, key="another")) == "question.closed"
        assert ok(await world.answer(bo, early.question_id, key="early")).status == "answered"
        assert ok(await world.answer(bo, late.question_id)).status == "answered", "open in the copy, so answerable"
        await world.hub.stop()
        await world.log.close()

    asyncio.run(check())
    assert verify(tmp_path / "new").findings == []


@pytest.mark.parametrize("by", ["instant", "place"])
def test_a_restore_to_a_point_in_time_ends_there_in_every_shard(folder, target, tmp_path, by):
    async def check():
        _, bo, early, _, rows = await hub_with_two_questions(folder, target)
        asked = next(row for row in rows if row.type.startswith("question.asked"))
        at = Instant(asked.at) if by == "instant" else Place(SPACE, Sequence(asked.sequence))
        ends = {shard: sequence for shard, _, sequence in await restore_log(config(tmp_path / "new"), target, at)}
        assert asked.sequence <= ends[SPACE] < len(rows) - 2
        world = await opened_again(tmp_path / "new", later(rows))
        assert [row.at <= asked.at for row in (await everything(world.log))[: ends[SPACE]]] == [True] * ends[SPACE]
        assert ok(await world.answer(bo, early.question_id)).status == "answered", "it was open at that instant"
        await world.hub.stop()
        await world.log.close()

    asyncio.run(check())
    assert verify(tmp_path / "new").findings == []


def test_a_copy_has_the_checkpoints_whatever_their_folder_is_called(target, tmp_path):
    async def check():
        own = config(tmp_path / "data", checkpoint_folder=str(tmp_path / "witnessed"))
        async with opened_hub(own) as hub:
            await hub.issue_token(ROOT, AgentName("ana"), Kind.PROGRAM, (Scope.AGENT,))
        await back_up_log(own, target)
        assert verify(target).checkpoints == verify(own.data_path, own.checkpoint_path).checkpoints > 0

    asyncio.run(check())


def spoil(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("what", ["full", "spoilt"])
def test_a_copy_that_does_not_reach_its_place_whole_is_none_there_and_stays_where_it_was_made(
    folder, target, tmp_path, monkeypatch, what
):
    fill(folder, 50)
    made, copytree = tmp_path / "made", shutil.copytree
    asyncio.run(back_up_log(config(folder), made))

    def failing(source, place):
        copytree(source, place)
        spoil(place / "log.db")
        if what == "full":
            raise shutil.Error([("log.db", "log.db", "[Errno 28] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", failing)
    with pytest.raises(BackupFailedError, match=str(made)):
        fetch_copy(made, target)
    assert not list(target.parent.iterdir())
    monkeypatch.setattr(shutil, "copytree", copytree)
    fetch_copy(made, target)
    assert not made.exists()
    assert verified(target)[SPACE].sequence == 50


def test_a_copy_older_than_the_second_place_is_refused_unless_the_point_is_named(folder, target, tmp_path):
    async def check():
        await hub_with_two_questions(folder, target)
        second = tmp_path / "second"
        (folder / "checkpoints").rename(second)
        new = config(tmp_path / "new", checkpoint_folder=str(second))
        with pytest.raises(BackupFailedError, match=r"the log had reached \d+; to go on without"):
            await restore_log(new, target, None)
        assert not (tmp_path / "new").exists()
        ends = await restore_log(new, target, Place(SPACE, Sequence(5)))
        assert ends[1] == (SPACE, 2, 5)
        assert (tmp_path / "second.before-restore").is_dir()
        log = open_sqlite(tmp_path / "new")
        world = World(log)
        world.hub.keeping.guard(FolderWitness(second, signing_key(tmp_path / "new")))
        await world.hub.start()
        await world.hub.stop()
        await log.close()

    asyncio.run(check())


def test_an_instant_by_which_the_log_had_more_than_the_copy_is_refused_and_so_is_one_before_everything(
    folder, target, tmp_path
):
    async def work():
        *_, rows = await hub_with_two_questions(folder, target)
        new = config(tmp_path / "new", checkpoint_folder=str(folder / "checkpoints"))
        with pytest.raises(BackupFailedError, match=f"shard 1: the copy ends at .*, the log had reached {len(rows)}"):
            await restore_log(new, target, Instant(rows[-1].at + 10**12))
        with pytest.raises(BackupFailedError, match="nothing in the copy is as old as that"):
            await restore_log(new, target, Instant(1))
        assert not new.data_path.exists()
        ends = {shard: end for shard, _, end in await restore_log(new, target, Instant(rows[2].at))}
        assert ends[SPACE] == sum(row.at <= rows[2].at for row in rows) < len(rows)

    asyncio.run(work())


@pytest.mark.parametrize("after", [1, 3, 10_000])
def test_a_restore_that_was_broken_off_is_no_log_to_serve(folder, target, tmp_path, monkeypatch, after):
    """Its end lacks answers that were given: their questions would be open again."""
    new, left = config(tmp_path / "new", checkpoint_folder=str(tmp_path / "second")), [after]

    def cut(true):
        def call(*words):
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("the power is gone")
            return true(*words)

        return call

    async def serve():
        async with opened_hub(new):
            raise AssertionError("it serves")

    async def check():
        await hub_with_two_questions(folder, target)
        monkeypatch.setattr(Database, "adopt", cut(Database.adopt))
        monkeypatch.setattr(upkeep, "_refuse_damaged", cut(upkeep._refuse_damaged))
        monkeypatch.setattr(backup, "ROWS", 3)
        if after < 100:
            with pytest.raises(RuntimeError, match="the power is gone"):
                await restore_log(new, target, None)
            for use in (
                serve(),
                back_up_log(new, tmp_path / "copy"),
                restore_log(config(tmp_path / "x"), new.data_path, None),
            ):
                with pytest.raises(CorruptLogError, match="was broken off: remove the folder"):
                    await use
        else:
            await restore_log(new, target, None)
            with pytest.raises(AssertionError, match="it serves"):
                await serve()

    asyncio.run(check())


def test_a_copy_with_events_of_a_later_release_is_refused_and_what_was_begun_is_not_served(folder, target, tmp_path):
    async def check():
        log = open_sqlite(folder)
        await log.append(SPACE, [tx(1, "question/q_1")])
        await back_up(log, target)
        await log.close()
        with pytest.raises(BackupFailedError, match=r"a later one may: test\.happened/1; .* is not served"):
            await restore_log(config(tmp_path / "new"), target, None)
        with pytest.raises(CorruptLogError, match="was broken off"):
            async with opened_hub(config(tmp_path / "new")):
                raise AssertionError("it serves")

    asyncio.run(check())


def test_a_folder_that_is_not_empty_is_left_alone(folder, target, tmp_path):
    async def check():
        await hub_with_two_questions(folder, target)
        before = {path: path.read_bytes() for path in folder.glob("*.*")}
        with pytest.raises(BackupFailedError, match="is not empty"):
            await restore_log(config(folder), target, None)
        log = open_sqlite(target)
        with pytest.raises(BackupFailedError, match="is not empty"):
            await backup.adopt(log, {SPACE: Sequence(1)}, folder)
        await log.close()
        assert {path: path.read_bytes() for path in folder.glob("*.*")} == before

    asyncio.run(check())


def test_a_damaged_copy_is_not_restored(folder, target, tmp_path):
    async def check():
        await hub_with_two_questions(folder, target)
        tamper(target, "UPDATE events SET at = at + 1 WHERE shard = 1 AND sequence = 3")
        with pytest.raises(CorruptLogError, match="shard 1: sequence 3 "):
            await restore_log(config(tmp_path / "new"), target, None)
        with pytest.raises(BackupFailedError, match="there is no log"):
            await restore_log(config(tmp_path / "new"), tmp_path / "nothing", None)

    asyncio.run(check())


@pytest.mark.parametrize("sequence", [1, 2, 3, 4, 5, 6])
def test_a_transaction_is_taken_whole_or_not_at_all(folder, target, tmp_path, sequence):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a"), tx(2, "q/a", "q/b", "q/c"), tx(3, "q/a"), tx(4, "q/d")])
        end = await backup.whole_until(log, SPACE, sequence)
        assert end == {1: 1, 2: 1, 3: 1, 4: 4, 5: 5, 6: 6}[sequence]

    run(lambda: open_sqlite(folder), check)


def test_a_disk_that_is_full_in_the_middle_of_a_copy_is_told_as_such(tmp_path: Path) -> None:
    """SQLite gives the code, and as its text that of the call before."""

    class Full:
        def copy_to(self, target: apsw.Connection) -> None:
            raise apsw.FullError("not an error")

    copying = _Copying(tmp_path / "log.db")
    with pytest.raises(BackupFailedError, match="the disk is full"):
        copying.step(Full())  # type: ignore[arg-type]
    copying.close(None)  # type: ignore[arg-type]
