"""A key that was used is recognised wherever it is: in memory, half written, in the table; and so is a stream."""

import random

import apsw
import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine.ports import Committed, CorruptLogError, Duplicate, Tx, UnavailableError
from crossfade.logs import blocks, filters, index, keys, names, startup
from crossfade.logs.codec import GENESIS, verify
from crossfade.logs.database import Database
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import event, fill, run, tamper


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


@pytest.fixture(params=[(3, 1, 9), (20, 4, 30), (50, 8, 10_000)])
def early(monkeypatch, request):
    """Keys go into the table after a few of them, so that a short history meets every state of the index."""
    for name, value in zip(("RECORDS_WAITING", "ENTRIES_PER_SLICE", "BEHIND_MAX"), request.param, strict=True):
        monkeypatch.setattr(index, name, value)
    monkeypatch.setattr(index, "RECORDS_PER_CHUNK", 4)
    monkeypatch.setattr(keys, "ENTRIES_PER_SCAN", 3)
    monkeypatch.setattr(filters, "FILTER_BYTES_MIN", 8)


def transactions(count, dice):
    for _ in range(count):
        events = tuple(event(f"q/{dice.randrange(9)}") for _ in range(dice.choice((1, 1, 3))))
        yield Tx(dice.randbytes(16), (), events)


def reachable(database, shard):
    """Whether every record is found by its key and in its stream."""
    return database.unreachable(shard, database.read(shard, 0, database.head(shard).sequence)) is None


@pytest.mark.usefixtures("early")
def test_to_verify_a_long_stream_reads_each_entry_of_it_once(folder, monkeypatch):
    database, read, true = Database(folder), [], names._content

    def content(*what):
        read.append(what)
        return true(*what)

    for number in range(200):
        database.append({SPACE: [Tx(number.to_bytes(16, "big"), (), (event("mailbox/ana"), event("mailbox/bo")))]})
    monkeypatch.setattr(names, "_content", content)
    rows = database.read(SPACE, 0, 400)
    assert database.unreachable(SPACE, rows) is None
    entries = {what[2] for what in read}
    assert len(read) == len(entries) < len(rows)
    database.close()


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
            database.checkpoint_if_due()
            (known_shard, key), (known, first) = dice.choice(list(stored.items()))
            again = database.append({known_shard: [known]})[known_shard].results
            assert again == [Duplicate(first.first, first.last)]
            assert database.find(1 - known_shard, key) is None
        for (shard, key), (_, first) in stored.items():
            assert database.find(shard, key) == first
        for shard in (SPACE, PROGRAMME):
            assert reachable(database, shard)
        database.close()


@pytest.mark.usefixtures("early")
def test_what_a_full_disk_undid_of_the_index_is_written_again(folder):
    dice, stored, full = random.Random(6), {}, set()
    database = Database(folder)
    for number, one in enumerate(transactions(120, dice)):
        if number % 3 == 2:
            room = number % 13  # so that it is the records, the keys or the streams that find none
            database._connection.pragma("max_page_count", database._connection.pragma("page_count") + room)
            big = Tx(dice.randbytes(16), (), (event("q/big", bytes(5 * startup.PAGE_BYTES)),))
            try:
                stored[big.key] = database.append({SPACE: [big]})[SPACE].results[0]
            except UnavailableError:
                full.add(room)
            database._connection.pragma("max_page_count", 1_000_000)
        stored[one.key] = database.append({SPACE: [one]})[SPACE].results[0]
    assert len(full) > 3
    assert [database.find(SPACE, key) for key in stored] == list(stored.values())
    assert reachable(database, SPACE)
    database.close()


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("table", ["keys", "streams"])
@pytest.mark.parametrize(
    "change",
    [
        "",
        "substr(entry, 1, length(entry) - 1) || x'ff'",
        "x'fe' || substr(entry, 2)",
        "substr(entry, 1, length(entry) - 2)",
    ],
)
def test_an_index_that_was_changed_is_named_by_verify(folder, monkeypatch, change, table):
    monkeypatch.setattr("crossfade.logs.audit.ROWS_CHECKED_AT_START", 0)
    database = Database(folder)
    for one in transactions(150, random.Random(8)):
        database.append({SPACE: [one]})
    database.close()
    what = f"UPDATE {table} SET entry = CAST({change} AS BLOB)" if change else f"DELETE FROM {table}"  # noqa: S608
    tamper(folder, f"{what} WHERE entry = (SELECT entry FROM {table} LIMIT 1 OFFSET 3)")  # noqa: S608

    async def check(log):
        assert await log.verify(SPACE) is not None

    run(lambda: open_sqlite(folder), check)


def test_a_table_that_knows_more_than_the_records_is_refused(folder):
    fill(folder, 5)
    tamper(folder, "INSERT INTO indexed VALUES (1, 7)")
    with pytest.raises(CorruptLogError, match="shard 1: sequence 6 is missing"):
        open_sqlite(folder)


@pytest.mark.usefixtures("early")
def test_what_was_undone_after_the_index_was_written_is_written_again(folder, monkeypatch):
    write, full = index.Index.write, []

    def failing(self):
        write(self)
        if full:
            raise apsw.FullError(full.pop())

    monkeypatch.setattr(index.Index, "write", failing)
    dice, stored = random.Random(6), {}
    database = Database(folder)
    for number, one in enumerate(transactions(120, dice)):
        if number % 3 == 2:
            full.append("planted")
            with pytest.raises(UnavailableError, match="planted"):
                database.append({SPACE: [one]})
        stored[one.key] = database.append({SPACE: [one]})[SPACE].results[0]
    assert [database.find(SPACE, key) for key in stored] == list(stored.values())
    assert reachable(database, SPACE)
    database.close()


@pytest.mark.usefixtures("early")
def test_keys_that_are_written_while_a_larger_filter_is_filled_are_found_in_it(folder):
    database = Database(folder)
    stored, dice = database._indexes.keys, random.Random(9)
    of_shard = keys.Keys(stored, SPACE, 0)
    known = [dice.randbytes(16) for _ in range(200)]
    database._connection.execute(*of_shard.statement({key: number for number, key in enumerate(known, 1)}))
    sizes = set()
    for number in range(201, 600):
        stored.scan()
        sizes.add(stored._filter.size_bytes)
        known.append(number.to_bytes(2, "big") + dice.randbytes(14))  # before what has been scanned, mostly
        if number % 2:
            database._connection.execute(*of_shard.statement({known[-1]: number}))
        else:
            of_shard.note({known[-1]: number})  # in memory alone
        assert set(of_shard.used(known)) == set(known)
    assert stored._ready
    assert len(sizes) > 1, "the filter was never made larger"
    database.close()


def test_a_filter_lets_all_pass_that_were_added_and_few_others():
    dice = random.Random(1)
    known, others = ([dice.randbytes(16) for _ in range(4_000)] for _ in range(2))
    one = filters.Filter(8_192)
    one.size_bytes = 8_192
    one.add(known)
    assert one.passing(known) == known
    assert len(one.passing(others)) < 400
    assert filters.Filter(1 << 40).size_bytes == filters.FILTER_BYTES_MAX


def test_a_stream_is_found_whatever_its_name_and_however_long_it_is(folder, monkeypatch):
    monkeypatch.setattr(index, "RECORDS_WAITING", 40)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)
    names = ["q/a", "q/a\0", "q/a\0\0", "q/a\0b", "q/a\1", "q/ä", "q/aa", "a", "a\0", "\U0010ffff", "\0", "q/"]
    versions = dict.fromkeys(names, 0)
    dice, number = random.Random(3), 0
    for _ in range(4):
        database = Database(folder)
        for _ in range(60):
            batch = []
            for _ in range(dice.choice((1, 1, 7))):
                name = dice.choice(names)
                number += 1
                batch.append(Tx(number.to_bytes(16, "big"), ((name, versions[name]),), (event(name),)))
                versions[name] += 1
            assert all(isinstance(one, Committed) for one in database.append({SPACE: batch})[SPACE].results)
        for name in names:
            rows = []
            while found := database.read_stream(SPACE, name, len(rows), 9):
                rows += found
            assert [row.version for row in rows] == list(range(1, versions[name] + 1))
            assert {row.stream for row in rows} <= {name}
        assert reachable(database, SPACE)
        database.close()


def test_a_batch_is_cut_into_blocks_and_read_from_anywhere(folder, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1_000)
    database, dice = Database(folder), random.Random(4)
    for one in range(30):
        events = tuple(event("q/a", dice.randbytes(dice.choice((0, 90, 2_000)))) for _ in range(dice.choice((1, 9))))
        database.append({SPACE: [Tx(one.to_bytes(16, "big"), (), events)]})
    head = database.head(SPACE)
    rows = database.read(SPACE, 0, head.sequence)
    assert verify(SPACE, rows, 0, GENESIS) is None
    assert rows[-1].chain == head.chain
    assert all(database.read(SPACE, at, 3) == rows[at : at + 3] for at in range(head.sequence))
    database.close()
