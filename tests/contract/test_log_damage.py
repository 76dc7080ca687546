"""A log that was changed behind its back says so, and names the first bad sequence."""

import hashlib
import struct

import apsw
import pytest

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed, CorruptLogError, LogError, StoredEvent
from crossfade.logs import codec, index, keys, startup
from crossfade.logs.database import Database
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import everything, fill, key, run, tamper, tx


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


FLIPS = {
    "stream": "stream = 'q/' || stream",
    "version": "version = version + 1",
    "type": "type = 'test.other/1'",
    "at": "at = at + 1",
    "actor": "actor = 'eve'",
    "cause": "cause = ''",
    "key": "key = CAST(x'01' || substr(key, 2) AS BLOB)",
    "payload": "payload = CAST(payload || x'20' AS BLOB)",
    "chain": "chain = CAST(x'01' || substr(chain, 2) AS BLOB)",
    "sequence": "place = place + 1000",
    "shard": f"place = place + {1 << 40}",
}


@pytest.mark.parametrize("column", FLIPS)
def test_a_change_of_any_column_is_named_at_the_start(folder, column):
    fill(folder, 20)
    tamper(folder, "UPDATE events SET %s WHERE sequence = 13" % FLIPS[column])  # noqa: S608, UP031
    with pytest.raises(CorruptLogError, match="shard 1: sequence 13 "):
        open_sqlite(folder)


def test_every_column_has_its_flip():
    assert {*StoredEvent.__struct_fields__, "shard"} == set(FLIPS)


def test_a_flip_of_any_byte_of_a_block_is_noticed_at_the_start_or_changes_no_record(folder):
    fill(folder, 3)
    path = str(folder / startup.FILE_NAME)
    connection = apsw.Connection(path)
    [(place, records, chain)] = connection.execute("SELECT place, records, chain FROM blocks")
    connection.close()

    def put(what, name):
        other = apsw.Connection(path)
        other.execute(f"UPDATE blocks SET {name} = ?", (what,))  # noqa: S608
        other.close()

    for at in (*range(100), *range(100, len(records), 3)):
        put(records[:at] + bytes((records[at] ^ 4,)) + records[at + 1 :], "records")
        if 57 <= at < 89:  # what the first one follows stands in the block before
            run(lambda: open_sqlite(folder), everything)
        else:
            with pytest.raises(CorruptLogError, match=r"shard 1: sequence [123] "):
                open_sqlite(folder)
    put(records, "records")
    for name, what in (
        ("place", place + 1),
        ("place", place - 1),
        ("chain", bytes(32)),
        ("chain", b""),
        ("records", b""),
    ):
        put(what, name)
        with pytest.raises(CorruptLogError, match="shard 1: sequence "):
            open_sqlite(folder)
        put({"place": place, "chain": chain, "records": records}[name], name)
    run(lambda: open_sqlite(folder), everything)


@pytest.mark.parametrize(
    ("sql", "sequence"),
    [
        ("DELETE FROM events WHERE sequence = 20", 20),
        ("DELETE FROM events WHERE sequence = 13", 13),
        ("DELETE FROM events WHERE sequence = 1", 1),
        ("UPDATE heads SET sequence = 19", 20),
        ("UPDATE heads SET sequence = 21", 21),
        ("UPDATE heads SET chain = zeroblob(32)", 20),
        ("DELETE FROM heads", 1),
    ],
)
def test_a_head_and_records_that_disagree_are_named_at_the_start(folder, sql, sequence):
    fill(folder, 20)
    tamper(folder, sql)
    with pytest.raises(CorruptLogError, match=f"shard 1: sequence {sequence} "):
        open_sqlite(folder)


def test_damage_further_back_than_the_start_looks_is_named_by_verify(folder):
    fill(folder, 2_500)
    tamper(folder, "UPDATE events SET payload = x'00' WHERE sequence = 777")

    async def check(log):
        assert await log.verify(SPACE) == 777

    run(lambda: open_sqlite(folder), check)


def test_damage_done_to_the_file_while_it_is_open_is_named_although_memory_has_it_as_it_was(folder):
    path = folder / startup.FILE_NAME

    async def one_by_one(log):
        for number in range(1, 901):
            await log.append(SPACE, [tx(number, "q/a")])

    run(lambda: open_sqlite(folder), one_by_one)

    async def check(log):
        assert await log.verify(SPACE) is None
        content = path.read_bytes()
        at = content.index(b"777/0")
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"778")
        assert await log.verify(SPACE) == 777

    run(lambda: open_sqlite(folder), check)


def test_a_text_that_is_no_longer_text_is_named_by_verify_and_by_read(folder):
    fill(folder, 2_500)
    tamper(folder, "UPDATE events SET actor = CAST(x'ff' AS TEXT) WHERE sequence = 600")

    async def check(log):
        assert await log.verify(SPACE) == 600
        with pytest.raises(CorruptLogError, match="shard 1: sequence 600 "):
            await log.read(SPACE, 500, 200)

    run(lambda: open_sqlite(folder), check)


@pytest.fixture
def half_written(folder, monkeypatch):
    """A closed log; the key of the last record of which the index is complete, and of the next, which is in it too."""
    monkeypatch.setattr(index, "RECORDS_WAITING", 20)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)
    monkeypatch.setattr("crossfade.logs.audit.ROWS_CHECKED_AT_START", 0)
    database = Database(folder)
    for number in range(1, 56):
        database.append({SPACE: [tx(number, f"q/{number}")]})
    database.close()
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    complete = connection.execute("SELECT sequence FROM indexed").get
    assert connection.execute("SELECT count(*) FROM keys").get > complete == 20
    connection.close()
    return keys.entry(key(complete), SPACE, complete), keys.entry(key(complete + 1), SPACE, complete + 1)


CELL = bytes((26, 2, 60))
"""What stands before an entry in the file: the lengths of it and of its header, and its type: 24 bytes, no text."""


def flip(folder, entry, at, bit):
    """Turn over one bit of the cell of an entry."""
    path = folder / startup.FILE_NAME
    content = bytearray(path.read_bytes())
    assert content.count(CELL + entry) == 1
    content[content.index(CELL + entry) + at] ^= bit
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("which", "at", "bit"),
    [(0, 0, 4), (1, 2, 1), (1, len(CELL) + 15, 16)],
    ids=["an entry that is too long", "a text behind it", "a smaller key behind it"],
)
def test_an_index_of_keys_that_can_be_compared_and_not_read_is_named_by_verify(folder, half_written, which, at, bit):
    flip(folder, half_written[which], at, bit)

    async def check(log):
        with pytest.raises(CorruptLogError, match="index of keys"):
            await log.find(SPACE, key(20))
        assert await log.verify(SPACE) is not None

    run(lambda: open_sqlite(folder), check)


def test_a_key_that_waits_to_be_written_is_found_whatever_the_index_says_of_it(folder, half_written):
    flip(folder, half_written[1], len(CELL) + 23, 16)

    async def check(log):
        assert await log.verify(SPACE) is None
        assert await log.find(SPACE, key(21)) == Committed(21, 21)

    run(lambda: open_sqlite(folder), check)


@pytest.mark.parametrize("at", [0, -1], ids=["name", "sequence"])
def test_a_stream_that_waits_to_be_written_is_read_whatever_the_index_says_of_it(folder, monkeypatch, at):
    monkeypatch.setattr(index, "RECORDS_WAITING", 60)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 1)
    monkeypatch.setattr("crossfade.logs.audit.ROWS_CHECKED_AT_START", 0)
    database, number, entry = Database(folder), 0, b""  # as far as the streams are being written
    complete = "SELECT unhex(printf('%010X', sequence)) FROM indexed"
    waiting = f"SELECT entry FROM streams WHERE substr(entry, -5) > ({complete}) LIMIT 1"  # noqa: S608
    while not entry:
        number += 1
        assert number < 400
        database.append({SPACE: [tx(number, f"q/{number}")]})
        entry = database._connection.execute(waiting).get or b""
    database.close()
    sequence, last = int.from_bytes(entry[-5:], "big"), f"q/{int.from_bytes(entry[-5:], 'big')}"
    other = bytearray(entry)
    other[at or entry.index(b"\0\0", 3) - 1] ^= 64
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute("UPDATE streams SET entry = ? WHERE entry = ?", (bytes(other), entry))
    connection.close()

    async def check(log):
        assert await log.verify(SPACE) is None
        assert [row.sequence for row in await log.read_stream(SPACE, last)] == [sequence]
        if not at:
            assert await log.read_stream(SPACE, other[3 : other.index(b"\0\0", 3)].decode()) == []

    run(lambda: open_sqlite(folder), check)


def test_a_page_of_the_blocks_that_leads_past_one_is_named(folder, monkeypatch):
    monkeypatch.setattr("crossfade.logs.audit.ROWS_CHECKED_AT_START", 0)
    database = Database(folder)
    for number in range(1, 400):
        database.append({SPACE: [tx(number, f"q/{number}")]})
    database.close()
    path = folder / startup.FILE_NAME
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'blocks'").get
    connection.close()
    content = bytearray(path.read_bytes())
    page = (root - 1) * startup.PAGE_BYTES
    assert content[page] == 5, "a page that leads to pages"
    (cell,) = struct.unpack_from(">H", content, page + 12)
    end = page + cell + 4  # behind the number of the page: the place of the last block there, seven bits a byte
    while content[end] & 128:
        end += 1
    content[end] -= 1
    path.write_bytes(content)

    async def check(log):
        assert 0 < await log.verify(SPACE) < 300

    run(lambda: open_sqlite(folder), check)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE events SET version = version + (1 << 50) WHERE sequence = 6", "cannot be"),
        ("DELETE FROM events", "missing"),
    ],
)
def test_a_start_that_writes_the_index_refuses_records_that_cannot_be_in_it(folder, monkeypatch, damage, says):
    fill(folder, 20 if "version" in damage else 1)
    tamper(folder, damage)
    monkeypatch.setattr(index, "BEHIND_MAX", 0)
    monkeypatch.setattr(index, "RECORDS_PER_CHUNK", 9)
    with pytest.raises(CorruptLogError, match=says):
        open_sqlite(folder)


def test_a_gap_is_never_read_over(folder):
    fill(folder, 2_500)
    tamper(folder, "DELETE FROM events WHERE sequence = 700")

    async def check(log):
        assert await log.verify(SPACE) == 700
        with pytest.raises(CorruptLogError, match="shard 1: sequence 700 "):
            await log.read(SPACE, 690, 20)

    run(lambda: open_sqlite(folder), check)


def test_records_in_another_order_within_a_block_are_named_by_the_first_of_them(folder):
    fill(folder, 3)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    [(place, records)] = connection.execute("SELECT place, records FROM blocks")
    [first, second, _] = (one.end for one in codec.outlines(SPACE, records))
    swapped = records[first:second] + records[:first] + records[second:]
    connection.execute("UPDATE blocks SET records = ? WHERE place = ?", (swapped, place))
    connection.close()
    with pytest.raises(CorruptLogError, match="shard 1: sequence 1 "):
        open_sqlite(folder)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER taken AFTER INSERT ON blocks BEGIN DELETE FROM blocks WHERE place = new.place; END",
        "CREATE VIEW taken AS SELECT * FROM heads",
    ],
)
def test_a_file_with_more_than_tables_in_it_is_not_written_to(folder, sql):
    fill(folder, 3)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute(sql)
    connection.close()
    with pytest.raises(LogError, match="the file holds 'taken'"):
        open_sqlite(folder)


def test_a_refused_start_lets_go_of_the_folder(folder):
    fill(folder, 3)
    tamper(folder, "UPDATE events SET at = 5 WHERE sequence = 3")
    with pytest.raises(CorruptLogError):
        open_sqlite(folder)
    tamper(folder, "UPDATE events SET at = 1 WHERE sequence = 3")
    run(lambda: open_sqlite(folder), everything)


def test_a_gap_is_named_even_if_the_chain_was_forged_over_it():
    columns = ("q/a", 1, "t/1", 1, "ann", "", b"k" * 16, b"")
    first = codec.link(SPACE, codec.GENESIS, (1, *columns))
    third = codec.link(SPACE, first, (3, *columns))
    rows = [StoredEvent(1, *columns, first), StoredEvent(3, *columns, third)]
    assert codec.verify(SPACE, rows[:1], 0, codec.GENESIS) is None
    assert codec.verify(SPACE, rows, 0, codec.GENESIS) == 2


def test_the_chain_can_be_recomputed_from_its_description_alone(folder):
    """Written after the text in logs/codec.py, sharing nothing with its code."""

    async def check(log):
        await log.append(SPACE, [tx(1, "q/a", "frage/ä"), tx(2, "q/a")])
        prev = b"\0" * 32
        for row in await everything(log):
            texts = [text.encode() for text in (row.stream, row.type, row.actor, row.cause)]
            fields = [*texts, row.key, row.payload]
            data = struct.pack(">BQQQq", 0, 1, row.sequence, row.version, row.at)
            data += b"".join(struct.pack(">I", len(field)) for field in fields) + prev + b"".join(fields)
            prev = hashlib.sha256(data).digest()
            assert row.chain == prev

    run(lambda: open_sqlite(folder), check)
