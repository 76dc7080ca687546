"""What only the log on disk promises: it goes on, it is alone, it stops when the disk fails."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine.ports import (
    Committed,
    Conflict,
    Duplicate,
    LogError,
    LogInUseError,
    UnavailableError,
    UnknownOutcomeError,
)
from crossfade.logs import database, index, recent, startup, writer
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import FailingSyncs, everything, fill, key, run, tx

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "log"


def test_a_file_that_cannot_be_opened_is_named(folder):
    (folder / startup.FILE_NAME).mkdir(parents=True)
    with pytest.raises(LogError, match=f"{startup.FILE_NAME} cannot be opened"):
        open_sqlite(folder)


async def append_one_by_one(log, transactions):
    for number in range(transactions):
        await log.append(SPACE, [tx(number, f"q/{number}")])


OTHER_PAGE_BYTES = startup.PAGE_BYTES // 2


def connection_of(log):
    return log._writer._database._connection


# --- going on -----------------------------------------------------------------------------------------


def test_a_log_with_pages_of_another_size_keeps_them_and_goes_on(folder, monkeypatch):
    async def check(log):
        for number in range(before, before + 30):
            await log.append(SPACE, [tx(number, f"q/{number}")])
        assert len(await everything(log)) == before + 30
        assert await log.verify(SPACE) is None
        assert connection_of(log).pragma("page_size") == OTHER_PAGE_BYTES

    before = 0
    with monkeypatch.context() as earlier:
        earlier.setattr(startup, "PAGE_BYTES", OTHER_PAGE_BYTES)
        log = open_sqlite(folder)
        run(lambda: log, lambda log: log.head(SPACE))
    run(lambda: open_sqlite(folder), check)
    before = 30
    run(lambda: open_sqlite(folder), check)


def test_a_new_log_has_pages_of_the_size_that_is_meant(folder):
    async def check(log):
        assert connection_of(log).pragma("page_size") == startup.PAGE_BYTES

    run(lambda: open_sqlite(folder), check)


def test_a_log_goes_on_where_it_was_closed(folder):
    async def before(log):
        await log.append(SPACE, [tx(1, "q/a", "q/b"), tx(2, "q/a")])
        await log.append(PROGRAMME, [tx(1, "rollout/1")])

    async def after(log):
        assert (await log.head(SPACE)).sequence == 3
        batch = [tx(2, "q/a"), tx(3, "q/a", expect={"q/a": 1}), tx(4, "q/a", expect={"q/a": 2})]
        assert await log.append(SPACE, batch) == [Duplicate(3, 3), Conflict("q/a", 2), Committed(4, 4)]
        assert [row.version for row in await log.read_stream(SPACE, "q/a")] == [1, 2, 3]
        assert await log.find(PROGRAMME, key(1)) == Committed(1, 1)
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder), before)
    run(lambda: open_sqlite(folder), after)


def test_the_folder_is_made_for_its_owner_alone(folder):
    fill(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("remembered", [1, 3])
def test_versions_that_are_no_longer_remembered_are_looked_up(folder, monkeypatch, remembered):
    monkeypatch.setattr(index, "RECORDS_WAITING", remembered)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)

    async def check(log):
        for number in range(60):
            name, version = f"q/{number % 6}", number // 6
            batch = [tx(100 + number, name, expect={name: version + 1}), tx(number, name, expect={name: version})]
            assert await log.append(SPACE, batch) == [Conflict(name, version), Committed(number + 1, number + 1)]

    run(lambda: open_sqlite(folder), check)


@pytest.mark.parametrize(("rows", "size_bytes"), [(1, 1), (40, 10**9), (10**9, 60)])
def test_rows_are_the_same_from_memory_and_from_the_file(folder, monkeypatch, rows, size_bytes):
    monkeypatch.setattr(recent, "RECENT_ROWS_MAX", rows)
    monkeypatch.setattr(recent, "RECENT_BYTES_MAX", size_bytes)

    async def check(log):
        for number in range(50):
            await log.append(SPACE, [tx(number * 4 + one, "q/a") for one in range(1 + number % 4)])
        read = [row for after in range(0, 200, 3) for row in await log.read(SPACE, after, 3)]
        assert [row.sequence for row in read] == list(range(1, (await log.head(SPACE)).sequence + 1))
        stored = [await log._from_file(SPACE, after, 3) for after in range(0, len(read), 3)]
        assert [row for part in stored for row in part] == read

    run(lambda: open_sqlite(folder), check)


def test_no_more_rows_are_kept_in_memory_than_the_limit(folder, monkeypatch):
    monkeypatch.setattr(recent, "RECENT_ROWS_MAX", 40)

    async def check(log):
        await append_one_by_one(log, 500)
        kept = [number for number in range(500) if log._recent.read(SPACE, number, 1)]
        assert kept[-1] == 499
        assert len(kept) <= 40

    run(lambda: open_sqlite(folder), check)


def test_everything_that_is_queued_shares_one_sync_whatever_its_shard(folder, monkeypatch):
    batches = []
    append = database.Database.append
    monkeypatch.setattr(database.Database, "append", lambda self, work: batches.append(work) or append(self, work))  # type: ignore[func-returns-value]

    def occupy(_database):
        begun.set()
        return hold.wait(30)

    async def check(log):
        busy = asyncio.ensure_future(log._writer.call(occupy))
        await asyncio.to_thread(begun.wait, 30)  # what is queued from here on, the thread takes together
        tasks = [asyncio.ensure_future(log.append(number % 3, [tx(number, "q/a")])) for number in range(30)]
        await asyncio.sleep(0)
        hold.set()
        results = await asyncio.gather(busy, *tasks)
        assert [result[0].first for result in results[1:]] == [number // 3 + 1 for number in range(30)]

    begun, hold = threading.Event(), threading.Event()
    run(lambda: open_sqlite(folder), check)
    assert len(batches) == 1
    assert {shard: len(txs) for shard, txs in batches[0].items()} == {0: 10, 1: 10, 2: 10}


def test_callers_beyond_the_limit_are_turned_away_and_the_others_served(folder, monkeypatch):
    monkeypatch.setattr(writer, "JOBS_WAITING_MAX", 5)

    async def check(log):
        calls = (log.append(SPACE, [tx(number, "q/a")]) for number in range(8))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(result, UnavailableError) for result in results] == [False] * 5 + [True] * 3
        assert await log.append(SPACE, [tx(9, "q/a")]) == [Committed(6, 6)]

    run(lambda: open_sqlite(folder), check)


def test_callers_that_were_cancelled_take_room_until_the_thread_is_through_with_them(folder, monkeypatch):
    monkeypatch.setattr(writer, "JOBS_WAITING_MAX", 4)
    begun, hold = threading.Event(), threading.Event()

    def occupy(_database):
        begun.set()
        return hold.wait(30)

    async def check(log):
        busy = asyncio.ensure_future(log._writer.call(occupy))
        await asyncio.to_thread(begun.wait, 30)
        tasks = [asyncio.ensure_future(log.append(SPACE, [tx(number, "q/a")])) for number in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(UnavailableError):
            await log.append(SPACE, [tx(3, "q/a")])
        closing = asyncio.ensure_future(log.close())
        await asyncio.sleep(0)
        assert not closing.done()
        hold.set()
        await asyncio.gather(busy, closing)

    async def stored(log):
        assert len(await everything(log)) == 3

    run(lambda: open_sqlite(folder), check)
    run(lambda: open_sqlite(folder), stored)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_on_the_writing_thread_leaves_nobody_waiting(folder, monkeypatch):
    def broken(_self, _work):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(database.Database, "append", broken)

    async def check(log):
        with pytest.raises(UnknownOutcomeError):
            await log.append(SPACE, [tx(1, "q/a")])
        with pytest.raises(UnavailableError):
            await log.append(SPACE, [tx(1, "q/a")])
        log._writer._thread.join()  # its exception belongs to this test

    run(lambda: open_sqlite(folder), check)


# --- one process, a sound library, sound settings --------------------------------------------------------


def test_a_second_opener_is_refused_and_told_who_has_the_folder(folder):
    async def check(_log):
        with pytest.raises(LogInUseError, match=rf"in use by process {os.getpid()}"):
            open_sqlite(folder)
        program = (
            f"from crossfade.logs.sqlite import open_sqlite; import pathlib; open_sqlite(pathlib.Path({str(folder)!r}))"
        )
        other = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert f"in use by process {os.getpid()}" in other.stderr

    run(lambda: open_sqlite(folder), check)
    run(lambda: open_sqlite(folder), everything)


def test_a_file_that_another_program_has_open_is_refused(folder):
    fill(folder, 1)
    other = apsw.Connection(str(folder / startup.FILE_NAME))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogInUseError, match="another program"):
        open_sqlite(folder)
    other.close()
    run(lambda: open_sqlite(folder), everything)


@pytest.mark.parametrize(
    ("version", "corrupts"),
    [
        (3006023, False), (3007000, True), (3040001, True), (3044005, True), (3044006, False), (3045000, True),
        (3050006, True), (3050007, False), (3051000, True), (3051002, True), (3051003, False), (3054001, False),
    ],
)  # fmt: skip
def test_an_sqlite_with_the_wal_reset_bug_is_known(version, corrupts):
    assert startup.may_corrupt(version) is corrupts


def test_a_log_does_not_start_on_an_sqlite_with_the_wal_reset_bug(folder, monkeypatch):
    monkeypatch.setattr(apsw, "SQLITE_VERSION_NUMBER", 3040001)
    with pytest.raises(LogError, match="3040001"):
        open_sqlite(folder)
    monkeypatch.undo()
    run(lambda: open_sqlite(folder), everything)


def test_the_settings_that_durability_rests_on_hold_while_the_log_is_open(folder):
    async def check(log):
        actual = {name: connection_of(log).pragma(name) for name, _, _ in startup._SETTINGS}
        assert actual["journal_mode"] == "wal"
        assert actual["synchronous"] == 3
        assert actual["locking_mode"] == "exclusive"
        assert connection_of(log).pragma("mmap_size") == 0
        assert not (folder / "log.db-shm").exists()

    order = [name for name, _, _ in startup._SETTINGS]
    assert order.index("synchronous") < order.index("journal_mode")
    assert order.index("locking_mode") < order.index("journal_mode")
    run(lambda: open_sqlite(folder), check)


def test_a_setting_that_does_not_hold_stops_the_start(folder, monkeypatch):
    monkeypatch.setattr(startup, "_SETTINGS", (("synchronous", "NORMAL", 3),))
    with pytest.raises(LogError, match="synchronous"):
        open_sqlite(folder)


def test_a_file_that_is_no_log_of_ours_is_refused_and_left_alone(folder):
    folder.mkdir(parents=True)
    path = folder / startup.FILE_NAME
    path.write_bytes(b"holiday pictures " * 1_000)
    with pytest.raises(LogError, match=r"log\.db cannot be opened"):
        open_sqlite(folder)
    assert path.read_bytes() == b"holiday pictures " * 1_000


@pytest.mark.parametrize(("pragma", "message"), [("user_version=9", "format 9"), ("application_id=7", "not a log")])
def test_a_file_of_another_format_is_refused(folder, pragma, message):
    fill(folder, 1)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(LogError, match=message):
        open_sqlite(folder)


# --- a disk that fails -----------------------------------------------------------------------------------------


def test_a_full_disk_stores_nothing_of_the_batch_and_later_there_may_be_room(folder):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        pages = connection_of(log).pragma("page_count")
        connection_of(log).pragma("max_page_count", pages + 2)
        with pytest.raises(UnavailableError):
            await log.append(SPACE, [tx(number, "q/a", *["q/b"] * 50) for number in range(2, 40)])
        assert (await log.head(SPACE)).sequence == 1
        assert len(await everything(log)) == 1
        connection_of(log).pragma("max_page_count", 1_000_000)
        assert await log.append(SPACE, [tx(2, "q/a", expect={"q/a": 1, "q/b": 0})]) == [Committed(2, 2)]
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder), check)


def test_a_failed_sync_leaves_the_outcome_unknown_and_stops_the_log_for_good(folder, monkeypatch):
    monkeypatch.setattr(writer, "RECOVER_SECONDS", 1_000.0)  # test_log_recovery.py has what comes then
    disk = FailingSyncs("failing-commit", "-wal")

    async def check(log):
        assert await log.append(SPACE, [tx(1, "q/a")]) == [Committed(1, 1)]
        disk.failing = True
        both = [log.append(shard, [tx(2, "q/a")]) for shard in (SPACE, PROGRAMME)]
        for outcome in await asyncio.gather(*both, return_exceptions=True):
            assert isinstance(outcome, (UnknownOutcomeError, UnavailableError))
            assert "planted" in str(outcome)
        disk.failing = False  # a second try would seem to succeed: it must not be made
        for call in (log.append(SPACE, [tx(3, "q/a")]), log.find(SPACE, key(2)), log.read_stream(SPACE, "q/a")):
            with pytest.raises(UnavailableError, match="stopped"):
                await call
        assert [row.key for row in await log.read(SPACE, 0, 10)] == [key(1)]

    async def after(log):
        assert isinstance((await log.append(SPACE, [tx(1, "q/a")]))[0], Duplicate)
        assert isinstance((await log.append(SPACE, [tx(2, "q/a")]))[0], (Committed, Duplicate))
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder, vfs="failing-commit"), check)
    run(lambda: open_sqlite(folder), after)


def test_the_first_caller_of_a_failed_sync_hears_that_the_outcome_is_unknown(folder):
    disk = FailingSyncs("failing-one", "-wal")

    async def check(log):
        disk.failing = True
        with pytest.raises(UnknownOutcomeError):
            await log.append(SPACE, [tx(1, "q/a")])
        disk.failing = False

    run(lambda: open_sqlite(folder, vfs="failing-one"), check)


def test_a_failed_sync_while_the_log_is_copied_into_the_file_stops_it_too(folder, monkeypatch):
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 5)
    disk = FailingSyncs("failing-copy", "log.db")

    async def check(log):
        disk.failing = True
        with pytest.raises(UnavailableError, match="planted"):
            await append_one_by_one(log, 50)
        assert (await log.head(SPACE)).sequence > 0
        disk.failing = False

    async def after(log):
        assert await log.verify(SPACE) is None
        assert len(await everything(log)) > 0

    run(lambda: open_sqlite(folder, vfs="failing-copy"), check)
    run(lambda: open_sqlite(folder), after)


def test_the_write_ahead_log_is_copied_into_the_file_and_stays_small(folder, monkeypatch):
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 50)

    async def check(log):
        await append_one_by_one(log, 300)
        assert (folder / "log.db-wal").stat().st_size < 100 * 4_200
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder), check)


def test_what_was_acknowledged_survives_kill_9_without_gaps(folder):
    acknowledged = {}
    for round_number in range(4):
        program = [sys.executable, str(ROOT / "tests/contract/log_kill.py"), str(folder), str(round_number * 10**6)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        child = subprocess.Popen(program, stdout=subprocess.PIPE, env=environment)
        lines = [child.stdout.readline() for _ in range(300 + 70 * round_number)]  # type: ignore[union-attr]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)  # type: ignore[union-attr]
        child.stdout.close()  # type: ignore[union-attr]
        child.wait()
        for line in lines:
            assert line.endswith(b"\n"), "the child ended by itself"
            number, first, last = map(int, line.split())
            acknowledged[key(number)] = first, last

    async def check(log):
        rows = await everything(log)
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        stored = {}
        for row in rows:
            stored.setdefault(row.key, []).append(row.sequence)
        assert all(len(sequences) == 2 for sequences in stored.values()), "a transaction was stored by half"
        lost = {one: where for one, where in acknowledged.items() if stored.get(one) != list(where)}
        assert not lost
        assert await log.verify(SPACE) is None
        versions = [row.version for row in await log.read_stream(SPACE, "q/all")]
        assert versions == list(range(1, len(rows) // 2 + 1))

    run(lambda: open_sqlite(folder), check)
    assert len(acknowledged) > 1_500
