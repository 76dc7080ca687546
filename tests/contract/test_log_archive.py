"""The beginning of a log in an archive: nothing is lost, the rest goes on, and both verify as one chain."""

import asyncio
import contextlib
import gzip
import random
from importlib.metadata import version

import msgspec
import pytest

from crossfade import upkeep
from crossfade.config import Config
from crossfade.core.values import SPACE, Instant, Sequence, Shard, StreamName
from crossfade.engine import saving
from crossfade.engine.ports import (
    BackupFailedError,
    Committed,
    Conflict,
    CorruptLogError,
    Duplicate,
    LogError,
    NewEvent,
    Tx,
    UnavailableError,
)
from crossfade.engine.projector import Views
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import Streams
from crossfade.logs import archive, bases, codec, index
from crossfade.logs.audit import first_bad
from crossfade.logs.bases import Beginning
from crossfade.logs.database import Database
from crossfade.logs.export import record_lines
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import signing_key
from crossfade.outbound.snapshots import FolderShelf
from crossfade.upkeep import Place, archive_log, back_up_log, restore_log
from crossfade_verify import verify
from tests.kit.clock import FakeClock
from tests.kit.hub import World, ok
from tests.kit.logs import everything, run, tamper
from tests.powerloss.cases import opened, vanish
from tests.powerloss.disk import Disk, layer

pytestmark = pytest.mark.requirement("P26")
DAY = 86_400
MAY = Instant(1_780_000_000 * 10**9)
DAYS = 60


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def to(tmp_path):
    return tmp_path / "archive"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(upkeep, "RECORDS_PER_SEGMENT", 25)
    monkeypatch.setattr(bases, "BLOCKS_PER_SWEEP", 20)
    monkeypatch.setattr(upkeep, "HostClock", lambda: FakeClock(Instant(MAY + DAYS * DAY * 10**9)))


def config(folder, **more):
    return Config(data_folder=str(folder), **more)


async def started(folder, clock, seed):
    world = World(open_sqlite(folder), clock, seed=seed)
    world.hub.keeping.guard(FolderWitness(folder / "checkpoints", signing_key(folder)))
    world.hub.keeping.save(FolderShelf(folder / "snapshots"), release=version("crossfade"))
    await world.hub.start()
    return world


async def used(folder, *, left_open_on=DAYS):
    """A hub's folder after sixty days with two questions a day; from one day on one of them is never answered."""
    world = await started(folder, FakeClock(MAY), 1)
    ana, bo = await world.join("ana"), await world.join("bo")
    for day in range(DAYS):
        for number in range(2):
            question = await world.ask(ana, "bo", deadline_seconds=29 * DAY)
            if number or day != left_open_on:
                await world.poll(bo)
                ok(await world.answer(bo, question.question_id, key=f"{day}-{number}"))
        await world.poll(ana)
        world.clock._now = Instant(world.clock.now() + DAY * 10**9)  # at once: a hub looks at its log every second
        await world.clock.advance(0)
    await world.hub.stop()
    rows = await everything(world.log)
    await world.log.close()
    return rows, world.callers


async def folded(folder):
    """The state that a start finds, as bytes."""
    log = open_sqlite(folder)
    limits = config(folder).limits
    state = Folded(Streams(log, limits.ended_questions_kept), Views())
    snapshots = Snapshots(log, limits, FolderShelf(folder / "snapshots"), upkeep.SHARDS, release=version("crossfade"))
    await snapshots.load(state)
    await snapshots.catch_up(state)
    await log.close()
    return saving.dump(state.streams, state.views, state.ends, state.last_at)


def before_day(day):
    return Instant(MAY + day * DAY * 10**9)


def all_rows(folder):
    found = []

    async def check(log):
        found.extend(await everything(log))
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder), check)
    return found


def test_a_log_whose_beginning_is_archived_has_the_same_records_and_the_same_state(folder, to):
    async def check():
        rows, callers = await used(folder)
        state = await folded(folder)
        start, end, files = await archive_log(config(folder), before_day(20), to)
        assert (start, len(files)) == (0, -(-end // 25))
        assert 40 < end < len(rows) / 2
        assert max(row.at for row in rows[:end]) <= before_day(20) < rows[end + 3].at
        assert await folded(folder) == state
        world = await started(folder, FakeClock(Instant(rows[-1].at + 1)), 7)
        assert len(await everything(world.log)) >= len(rows)
        question = await world.ask(callers["ana"], "bo")
        ok(await world.answer(callers["bo"], question.question_id))
        assert await world.log.verify(SPACE) is None
        await world.hub.stop()
        await world.log.close()
        return rows

    rows = asyncio.run(check())
    assert all_rows(folder)[: len(rows)] == rows


def test_what_is_archived_leaves_the_file(folder, to):
    async def check():
        await used(folder)
        size = (folder / "log.db").stat().st_size
        _, end, _ = await archive_log(config(folder), before_day(28), to)
        assert (folder / "log.db").stat().st_size < 0.8 * size
        database = Database(folder)
        assert next(database._blocks.outlines(SPACE, 0, end + 1)).sequence == end + 1
        database.close()

    asyncio.run(check())


@pytest.mark.parametrize("end", [1, 4, 9])
def test_a_base_within_a_commit_leaves_the_rest_of_it_and_nothing_more(folder, end):
    database = Database(folder)
    events = [NewEvent(StreamName(f"q/{number % 3}"), "t/1", Instant(number), "ann", "", b"x") for number in range(10)]
    database.append({SPACE: [Tx(bytes([number]) * 16, (), (event,)) for number, event in enumerate(events)]})
    rows = database.read(SPACE, Sequence(0), 10)
    database.cut(SPACE, Beginning(Sequence(end), rows[end - 1].chain, "nowhere"), lambda _: True)
    for _ in range(2):
        assert next(database._blocks.outlines(SPACE, 0, 10)).sequence == end + 1
        assert database.first_sequence(SPACE) == end + 1
        assert database.read(SPACE, Sequence(end), 10) == rows[end:]
        assert first_bad(database, SPACE, Sequence(0)) is None
        assert [database.find(SPACE, row.key) is None for row in rows] == [row.sequence <= end for row in rows]
        assert database.read_stream(SPACE, StreamName("q/0"), 0, 9) == [
            row for row in rows[end:] if row.stream == "q/0"
        ]
        database.close()
        database = Database(folder)
    database.close()


def test_keys_of_what_stays_are_kept_and_streams_that_go_on_keep_their_version(folder, to, monkeypatch):
    monkeypatch.setattr(index, "RECORDS_WAITING", 10)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)

    async def check():
        rows, _ = await used(folder)
        _, end, _ = await archive_log(config(folder), before_day(20), to)
        log = open_sqlite(folder)
        for row in rows:
            found = await log.find(SPACE, row.key)
            assert (found is not None) is (row.sequence > end)
        versions = {row.stream: row.version for row in rows}
        for stream in ("agent/ana", "mailbox/bo"):
            event = NewEvent(StreamName(stream), "test.happened/1", rows[-1].at, "ann", "", b"{}")
            again = Tx(random.Random(stream).randbytes(16), ((StreamName(stream), 0),), (event,))
            assert await log.append(SPACE, [again]) == [Conflict(stream, versions[stream])]
        await log.close()

    asyncio.run(check())


def test_records_younger_than_thirty_days_stay(folder, to):
    async def check():
        rows, _ = await used(folder)
        _, end, _ = await archive_log(config(folder), before_day(59), to)
        assert rows[end - 1].at <= before_day(DAYS - 30) < rows[end + 3].at
        with pytest.raises(BackupFailedError, match="younger than 30 days"):
            await archive_log(config(folder), before_day(59), to)
        with pytest.raises(BackupFailedError, match="archived already"):
            await archive_log(config(folder), before_day(3), to)

    asyncio.run(check())


def test_a_question_without_an_end_and_what_follows_it_stays(folder, to):
    async def check():
        rows, _ = await used(folder, left_open_on=10)
        _, end, _ = await archive_log(config(folder), before_day(20), to)
        assert rows[end].type.startswith("question.asked")
        assert before_day(10) <= rows[end].at <= before_day(11)
        with pytest.raises(BackupFailedError, match="which ends later"):
            await archive_log(config(folder), before_day(20), to)

    asyncio.run(check())


def test_an_archive_grows_and_a_place_can_be_named(folder, to):
    async def check():
        rows, _ = await used(folder)
        state = await folded(folder)
        ends = [0]
        for sequence in (60, 61, 140, 200):
            try:
                start, end, _ = await archive_log(config(folder), Place(SPACE, Sequence(sequence)), to)
            except BackupFailedError:
                continue
            assert start == ends[-1] < end < sequence
            ends.append(end)
        assert len(ends) >= 3
        assert await folded(folder) == state
        return rows

    rows = asyncio.run(check())
    assert all_rows(folder) == rows


def test_a_hub_starts_without_the_archive_and_says_what_is_missing_when_it_needs_it(folder, to):
    async def check():
        rows, _ = await used(folder)
        await archive_log(config(folder), before_day(20), to)
        to.rename(to.with_name("elsewhere"))
        world = await started(folder, FakeClock(Instant(rows[-1].at + 1)), 7)
        with pytest.raises(UnavailableError, match=f"sequence 4 is archived, and {to} does not have it"):
            await world.log.read(SPACE, Sequence(3), 1)
        await world.hub.stop()
        await world.log.close()
        for path in (folder / "snapshots").iterdir():
            path.unlink()
        log = open_sqlite(folder)
        with pytest.raises(UnavailableError, match="bring the archive back"):
            await World(log).hub.start()
        await log.close()
        to.with_name("elsewhere").rename(to)
        world = await started(folder, FakeClock(Instant(rows[-1].at + 1)), 8)
        await world.hub.stop()
        await world.log.close()

    asyncio.run(check())


def test_a_restored_copy_has_everything_again(folder, to, tmp_path):
    async def check():
        rows, _ = await used(folder)
        await archive_log(config(folder), before_day(20), to)
        await back_up_log(config(folder), tmp_path / "copy")
        await restore_log(config(tmp_path / "new"), tmp_path / "copy", None)
        return rows

    rows = asyncio.run(check())
    to.rename(to.with_name("elsewhere"))
    assert all_rows(tmp_path / "new") == rows


@pytest.mark.parametrize("how", ["cut", "flip", "forged", "gone"])
def test_a_damaged_archive_is_named(folder, to, how):
    async def check():
        await used(folder)
        _, _, files = await archive_log(config(folder), before_day(20), to)
        content = files[1].read_bytes()
        if how == "cut":
            files[1].write_bytes(content[:-40])
        elif how == "flip":
            files[1].write_bytes(content[:300] + bytes([content[300] ^ 4]) + content[301:])
        elif how == "gone":
            files[1].unlink()
        else:
            lines = gzip.decompress(content).replace(b'"ana"', b'"eve"')
            files[1].write_bytes(gzip.compress(lines))
        log = open_sqlite(folder)
        if how == "gone":
            with pytest.raises(UnavailableError, match="sequence 26 is archived"):
                await log.verify(SPACE)
        else:
            assert 26 <= (await log.verify(SPACE) or 0) <= 50
        await log.close()

    asyncio.run(check())


def test_a_base_that_was_changed_is_named(folder, to):
    async def check():
        await used(folder)
        return (await archive_log(config(folder), before_day(20), to))[1]

    end = asyncio.run(check())
    tamper(folder, "UPDATE bases SET chain = zeroblob(32)")

    with pytest.raises(CorruptLogError, match=f"sequence {end + 1} is missing or false"):
        open_sqlite(folder)
    tamper(folder, "UPDATE bases SET sequence = sequence - 1")
    with pytest.raises(CorruptLogError, match=f"sequence {end} is missing, the first is {end + 1}"):
        open_sqlite(folder)


class Stopped(BaseException):
    """The process ends here."""


POINTS = ( (upkeep, "write_segment"), (archive, "read_segment"), (upkeep, "_cut"),
    ("crossfade.logs.database", "set_base"), ("crossfade.logs.database", "sweep"),
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("point", range(len(POINTS)))
def test_broken_off_anywhere_nothing_is_lost_and_the_next_attempt_goes_on(folder, to, monkeypatch, point, call, after):
    place, name = POINTS[point]
    owner = place if not isinstance(place, str) else __import__(place, fromlist=["x"])
    real, calls = getattr(owner, name), [0]

    def stopping(*arguments):
        calls[0] += 1
        if calls[0] == call and not after:
            raise Stopped
        result = real(*arguments)
        if calls[0] == call and after:
            raise Stopped
        return result

    async def check():
        rows, _ = await used(folder)
        state = await folded(folder)
        monkeypatch.setattr(owner, name, stopping)
        with contextlib.suppress(Stopped):
            await archive_log(config(folder), before_day(20), to)
        monkeypatch.setattr(owner, name, real)
        assert await folded(folder) == state
        try:
            await archive_log(config(folder), before_day(20), to)
        except BackupFailedError as fault:
            assert "archived already" in str(fault)  # noqa: PT017 - both are right
        assert await folded(folder) == state
        return rows

    rows = asyncio.run(check())
    assert all_rows(folder) == rows


def test_a_power_cut_at_any_operation_of_the_cut_leaves_all_of_it_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "RECORDS_WAITING", 10)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)
    seen = set()
    with layer("crossfade-cut") as made:
        for seed in range(120):
            dice = random.Random(seed)
            disk = made.disk = Disk(sync_folders=dice.random() < 0.5)
            database = opened(tmp_path, made)
            for number in range(60):
                event = NewEvent(StreamName(f"agent/{number % 7}"), "t/1", Instant(number), "ann", "", bytes(90))
                database.append({SPACE: [Tx(number.to_bytes(2) * 8, (), (event,))]})
            rows = database.read(SPACE, Sequence(0), 60)
            disk.cut_at = disk.operations + dice.randrange(160)
            base = Beginning(Sequence(40), rows[39].chain, "nowhere")
            try:
                database.cut(SPACE, base, lambda _: True)
                seen.add("done")
            except LogError:
                seen.add("cut off")
            vanish(database, made)
            made.disk = disk.after_cut(dice)
            database = opened(tmp_path, made)
            begins = database.base(SPACE).sequence
            seen.add(begins)
            assert database.read(SPACE, Sequence(begins), 60) == rows[begins:]
            assert first_bad(database, SPACE, Sequence(0)) is None
            for row in rows:
                found = database.find(SPACE, row.key)
                assert found == (Committed(row.sequence, row.sequence) if row.sequence > begins else None)
            again = Tx(b"x" * 16, ((StreamName("agent/3"), rows[59].version),), (
                NewEvent(StreamName("agent/3"), "t/1", Instant(99), "ann", "", b""),
            ))  # fmt: skip
            result = database.append({Shard(SPACE): [again, again]})[SPACE].results
            assert isinstance(result[0], Committed | Conflict)
            assert isinstance(result[1], Duplicate | Conflict)
            database.close()
    assert seen == {"done", "cut off", 0, 40}


# --- the verifier that shares nothing with the server ----------------------------------------------------------


def test_archive_and_rest_verify_as_one_chain_and_each_alone(folder, to):
    async def check():
        rows, _ = await used(folder)
        _, end, _ = await archive_log(config(folder), before_day(10), to)
        _, end, _ = await archive_log(config(folder), before_day(20), to)
        return rows, end

    rows, end = asyncio.run(check())
    whole = verify(folder)
    assert (whole.findings, whole.records[SPACE]) == ([], len(rows))
    alone = verify(to)
    assert (alone.findings, alone.records) == ([], {SPACE: end})
    assert alone.signatures == alone.checkpoints >= end // 25
    to.rename(to.with_name("elsewhere"))
    rest = verify(folder)
    assert (rest.findings, rest.records[SPACE]) == ([], len(rows))


@pytest.mark.parametrize("how", ["gone", "forged", "actor"])
def test_the_verifier_names_what_is_false_in_an_archive(folder, to, how):
    async def check():
        await used(folder)
        _, _, files = await archive_log(config(folder), before_day(20), to)
        return files

    files = asyncio.run(check())
    if how == "gone":
        files[1].unlink()
    elif how == "actor":
        files[1].write_bytes(
            gzip.compress(gzip.decompress(files[1].read_bytes()).replace(b'"actor":"', b'"actor":"x', 1))
        )
    else:  # all of it made anew with true hashes: only the checkpoints tell
        forge(files)
    for path in (folder, to):
        findings = verify(path).findings
        if how == "gone" and path == to:
            assert verify(path).records == {SPACE: 25}, "an archive that ends early is a shorter one"
        else:
            assert findings
            assert findings[0].sequence == (26 if how != "forged" else 1)


def forge(files):
    prev = bytes(32)
    for path in files:
        top, rows = archive.read_segment(path)
        lines = []
        for row in rows:
            columns = (*msgspec.structs.astuple(row)[:5], "eve", *msgspec.structs.astuple(row)[6:9])
            prev = codec.link(SPACE, prev, columns)
            lines += record_lines(SPACE, [msgspec.structs.replace(row, actor="eve", chain=prev)])
        path.write_bytes(gzip.compress(msgspec.json.encode(top) + b"\n" + b"".join(lines)))
