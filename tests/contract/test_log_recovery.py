"""A log whose disk failed goes on by itself, without a restart: what was acknowledged is there, or it never does."""

import asyncio

import pytest

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed, Duplicate, LogError, UnavailableError, UnknownOutcomeError
from crossfade.engine.requests import AskRequest
from crossfade.logs import writer
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import signing_key
from tests.kit.faulty import FaultyLog
from tests.kit.hub import SIGNER, YES_NO, World, ok
from tests.kit.logs import FailingSyncs, everything, fill, run, tamper, tx
from tests.powerloss.disk import NEVER, Disk, DiskLayer

pytestmark = pytest.mark.requirement("P26")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "RECOVER_SECONDS", 0.01)
    return tmp_path / "data"


def ready(world):
    return world.hub.ready


async def until_it_works(work):
    """The result of the first attempt that no fault of the log ends."""
    while True:
        try:
            return await work()
        except LogError:
            await asyncio.sleep(0)


def test_a_log_whose_sync_failed_goes_on_by_itself_and_the_same_key_tells_what_became_of_it(folder):
    disk = FailingSyncs("recovering", "-wal")

    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        disk.failing = True
        with pytest.raises(UnknownOutcomeError):
            await log.append(SPACE, [tx(2, "q/a")])
        for _ in range(20):
            with pytest.raises(UnavailableError):
                await log.append(SPACE, [tx(3, "q/b")])
        assert [row.sequence for row in await log.read(SPACE, 0, 10)] == [1], "reading goes on"
        disk.failing = False
        (again,) = await until_it_works(lambda: log.append(SPACE, [tx(2, "q/a")]))
        assert isinstance(again, Committed | Duplicate)
        assert (await log.append(SPACE, [tx(3, "q/b")]))[0] == Committed(3, 3)
        assert [row.sequence for row in await everything(log)] == [1, 2, 3]
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder, vfs="recovering"), check)


def test_a_disk_that_lost_what_it_had_confirmed_is_never_written_again(folder):
    fill(folder, 50)
    disk = FailingSyncs("losing", "-wal")

    def lose_the_last(database):
        database._connection.close(True)
        for name in ("log.db-wal", "log.db-shm"):
            (folder / name).unlink(missing_ok=True)
        tamper(folder, "DELETE FROM events WHERE sequence = 50")
        tamper(folder, "UPDATE heads SET sequence = 49, chain = (SELECT chain FROM events WHERE sequence = 49)")

    async def check(log):
        disk.failing = True
        with pytest.raises(UnknownOutcomeError):
            await log.append(SPACE, [tx(99, "q/a")])
        await log._writer.call(lose_the_last)  # on its thread, so that it does not recover in between
        disk.failing = False

        async def lost():
            with pytest.raises(UnavailableError) as fault:
                await log.append(SPACE, [tx(100, "q/a")])
            return "50" in str(fault.value)

        while not await lost():  # noqa: ASYNC110 - the log has no event for it
            await asyncio.sleep(0)
        for _ in range(20):
            assert await lost()

    run(lambda: open_sqlite(folder, vfs="losing"), check)


class Hiding(FaultyLog):
    """What an unknown outcome stored is not seen until the log recovers, which is when it is next written to."""

    def __init__(self):
        super().__init__()
        self.hidden = None

    async def append(self, shard, txs):
        ending = self.faults and self.faults[0] == "stored" and self._shards[shard].head.sequence
        if not ending:
            self.hidden = None
        try:
            return await super().append(shard, txs)
        finally:
            self.hidden = ending or self.hidden

    async def read(self, shard, after, limit):
        rows = await super().read(shard, after, limit)
        return rows if self.hidden is None else [row for row in rows if row.sequence <= self.hidden]


def test_what_a_recovery_brings_to_light_is_seen_before_what_comes_after_it():
    async def check(log):
        world = World(log)
        await world.hub.start()
        ana, bo = await world.join("ana"), await world.join("bo")
        log.faults.append("stored")
        request = AskRequest(to="bo", message="?", schema=YES_NO, deadline_seconds=10_000, key="again")
        with pytest.raises(UnknownOutcomeError):
            await world.hub.ask(ana, request)
        later = await world.ask(ana, "bo", "and this?", deadline_seconds=10_000)
        first = ok(await world.hub.ask(ana, request))
        assert [view.question_id for view in await world.hub.open_questions(bo)] == [
            first.question_id,
            later.question_id,
        ]
        await world.hub.stop()

    run(Hiding, check)


def test_a_hub_finds_out_by_itself_that_its_log_answers_again(tmp_path):
    async def check(log):
        world = World(log)
        world.hub.keeping.guard(FolderWitness(tmp_path / "checkpoints", SIGNER))
        await world.hub.start()
        ana = await world.join("ana")
        await world.join("bo")
        log.always = "unavailable"
        with pytest.raises(UnavailableError):
            await world.ask(ana, "bo")
        assert not ready(world)
        await world.clock.advance(1)
        assert ready(world)
        log.always = "fine"
        await world.hub.stop()

    run(FaultyLog, check)


def test_a_full_disk_refuses_writes_answers_reads_and_recovers_by_itself(folder):
    layer = DiskLayer("filling", Disk())

    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        layer.disk.full_from, layer.disk.full_until = 0, NEVER
        for number in range(2, 12):
            with pytest.raises(UnavailableError, match="nothing was stored"):
                await log.append(SPACE, [tx(number, "q/a")])
            assert [row.sequence for row in await log.read(SPACE, 0, 10)] == [1]
            assert (await log.find(SPACE, tx(1, "q/a").key)) == Committed(1, 1)
        layer.disk.full_from = NEVER
        assert await log.append(SPACE, [tx(2, "q/a")]) == [Committed(2, 2)]

    run(lambda: open_sqlite(folder, vfs="filling"), check)
    layer.unregister()


def test_a_hub_whose_disk_failed_is_ready_again_without_a_restart_and_answers_under_the_same_key(folder):
    disk = FailingSyncs("hub", "-wal")

    async def check(log):
        world = World(log)
        world.hub.keeping.guard(FolderWitness(folder / "checkpoints", signing_key(folder)))
        await world.hub.start()
        ana, bo = await world.join("ana"), await world.join("bo")
        before = await world.ask(ana, "bo", deadline_seconds=10_000)
        disk.failing = True
        request = AskRequest(to="bo", message="?", schema=YES_NO, deadline_seconds=10_000, key="again")
        with pytest.raises(UnknownOutcomeError):
            await world.hub.ask(ana, request)
        assert not ready(world)
        assert ok(await world.hub.question(bo, before.question_id)).status == "open", "reading goes on"
        disk.failing = False
        while not ready(world):
            await world.clock.advance(1)
        asked = ok(await world.hub.ask(ana, request))
        assert ok(await world.hub.ask(ana, request)).question_id == asked.question_id
        assert ok(await world.answer(bo, asked.question_id)).status == "answered"
        assert [view.question_id for view in await world.hub.open_questions(bo)] == [before.question_id]
        assert await log.verify(SPACE) is None
        await world.hub.stop()

    run(lambda: open_sqlite(folder, vfs="hub"), check)
