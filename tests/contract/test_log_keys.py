"""A key that was used is recognised wherever it is: in memory, half written, in the table, in a log of format 1."""

import random

import apsw
import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine.ports import Committed, CorruptLogError, Duplicate, Tx, UnavailableError
from crossfade.logs import keys, startup
from crossfade.logs.database import Database
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import event, everything, fill, run, tamper


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


@pytest.fixture(params=[(3, 1, 9), (20, 4, 30), (50, 8, 10_000)])
def early(monkeypatch, request):
    """Keys go into the table after a few of them, so that a short history meets every state of the index."""
    for name, value in zip(("KEYS_WAITING", "KEYS_PER_SLICE", "BEHIND_MAX"), request.param, strict=True):
        monkeypatch.setattr(keys, name, value)
    monkeypatch.setattr(keys, "RECORDS_PER_CHUNK", 4)


def transactions(count, dice):
    for _ in range(count):
        yield Tx(dice.randbytes(16), (), (event("q/a"),) * dice.choice((1, 1, 3)))


@pytest.mark.usefixtures("early")
def test_every_key_leads_to_its_transaction_at_any_time_and_after_any_restart(folder):
    dice, stored = random.Random(5), {}
    for _ in range(8):
        database = Database(folder)
        for one in transactions(23, dice):
            shard = dice.choice((SPACE, PROGRAMME))
            result = database.append({shard: [one]})[shard].results[0]
            assert isinstance(result, Committed)
            stored[shard, one.key] = one, result
            (known_shard, key), (known, first) = dice.choice(list(stored.items()))
            again = database.append({known_shard: [known]})[known_shard].results
            assert again == [Duplicate(first.first, first.last)]
            assert database.find(1 - known_shard, key) is None
        for (shard, key), (_, first) in stored.items():
            assert database.find(shard, key) == first
        for shard in (SPACE, PROGRAMME):
            assert database.unreachable(shard, 1, database.head(shard).sequence) is None
        database.close()


@pytest.mark.usefixtures("early")
def test_what_a_full_disk_undid_of_the_index_is_written_again(folder):
    dice, stored = random.Random(6), {}
    database = Database(folder)
    for number, one in enumerate(transactions(120, dice)):
        if number % 3 == 2:
            pages = database._connection.pragma("page_count")
            database._connection.pragma("max_page_count", pages)
            big = Tx(dice.randbytes(16), (), (event("q/big", bytes(20_000)),))
            with pytest.raises(UnavailableError):
                database.append({SPACE: [one, big]})
            database._connection.pragma("max_page_count", 1_000_000)
        stored[one.key] = database.append({SPACE: [one]})[SPACE].results[0]
    assert [database.find(SPACE, key) for key in stored] == list(stored.values())
    assert database.unreachable(SPACE, 1, database.head(SPACE).sequence) is None
    database.close()


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM keys WHERE place = (SELECT place FROM keys LIMIT 1 OFFSET 3)",
        "UPDATE keys SET place = place + 1 WHERE place = (SELECT place FROM keys LIMIT 1 OFFSET 3)",
        "UPDATE keys SET key = zeroblob(16) WHERE place = (SELECT place FROM keys LIMIT 1 OFFSET 3)",
    ],
)
def test_a_table_of_keys_that_was_changed_is_named_by_verify(folder, monkeypatch, sql):
    monkeypatch.setattr("crossfade.logs.audit.ROWS_CHECKED_AT_START", 0)
    database = Database(folder)
    for one in transactions(150, random.Random(8)):
        database.append({SPACE: [one]})
    database.close()
    tamper(folder, sql)

    async def check(log):
        assert await log.verify(SPACE) is not None

    run(lambda: open_sqlite(folder), check)


def test_a_table_that_knows_more_than_the_records_is_refused(folder):
    fill(folder, 5)
    tamper(folder, "INSERT INTO indexed VALUES (1, 7)")
    with pytest.raises(CorruptLogError, match="shard 1: sequence 6 is missing"):
        open_sqlite(folder)


def as_format_1(folder):
    """The same log as the first release wrote it."""
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute("DROP TABLE keys; DROP TABLE indexed; CREATE INDEX events_by_key ON events (key)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


@pytest.mark.usefixtures("early")
def test_a_log_of_format_1_opens_with_all_its_keys(folder):
    dice, stored = random.Random(7), {}
    database = Database(folder)
    for one in transactions(60, dice):
        stored[one.key] = one, database.append({SPACE: [one]})[SPACE].results[0]
    database.close()
    as_format_1(folder)

    async def check(log):
        rows = await everything(log)
        assert len(rows) == (await log.head(SPACE)).sequence
        for key, (one, first) in stored.items():
            assert await log.find(SPACE, key) == first
            assert isinstance(first, Committed)
            assert await log.append(SPACE, [one]) == [Duplicate(first.first, first.last)]
        assert await log.verify(SPACE) is None

    for _ in range(2):
        run(lambda: open_sqlite(folder), check)


def test_a_change_of_format_that_is_cut_off_anywhere_goes_on_at_the_next_start(folder, monkeypatch):
    monkeypatch.setattr(keys, "BEHIND_MAX", 10)
    monkeypatch.setattr(keys, "RECORDS_PER_CHUNK", 7)
    fill(folder, 100)
    as_format_1(folder)
    write_chunk, left = keys.Keys._write_chunk, [0]

    def stopping(self, through):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write_chunk(self, through)

    monkeypatch.setattr(keys.Keys, "_write_chunk", stopping)
    for chunks in range(4):
        left[0] = chunks
        with pytest.raises(KeyboardInterrupt):
            Database(folder)
    left[0] = 100
    database = Database(folder)
    assert database.unreachable(SPACE, 1, 100) is None
    assert all(database.find(SPACE, number.to_bytes(16, "big")) for number in range(1, 101))
    database.close()
