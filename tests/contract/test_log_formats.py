"""A log that a former release wrote opens under this one, with all its records, keys and streams."""

import gzip
import random
from collections import defaultdict
from pathlib import Path

import apsw
import pytest

from crossfade.core.values import SPACE, Sequence, Shard
from crossfade.engine.ports import Committed, CorruptLogError, Duplicate, LogError, NewEvent, Tx
from crossfade.logs import bases, conversion, index, startup
from crossfade.logs.audit import first_bad
from crossfade.logs.bases import Beginning
from crossfade.logs.database import Database
from crossfade.logs.sqlite import open_sqlite
from crossfade_verify import verify
from tests.powerloss.cases import opened, vanish
from tests.powerloss.disk import Contents, Disk, layer

pytestmark = pytest.mark.requirement("P26")
RECORDED = Path(__file__).parent / "golden" / "logs"
FORMATS = ("format-1", "format-2")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


@pytest.fixture(params=[(65_536, 10_000), (9, 7)])
def sizes(monkeypatch, request):
    """All at once, and a few at a time."""
    monkeypatch.setattr(index, "BEHIND_MAX", request.param[0])
    monkeypatch.setattr(index, "RECORDS_PER_CHUNK", request.param[1])
    monkeypatch.setattr(conversion, "ROWS_PER_STEP", request.param[1])


def recorded(name):
    """The bytes of a file that a former release wrote: 40 transactions in two shards."""
    return gzip.decompress((RECORDED / f"{name}.db.gz").read_bytes())


def put(name, folder):
    folder.mkdir(exist_ok=True)
    (folder / startup.FILE_NAME).write_bytes(recorded(name))


def rows_of(name, folder):
    """What is in it, read with SQLite alone: shard → rows."""
    put(name, folder)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    rows = defaultdict(list)
    columns = "shard, sequence, stream, version, type, at, actor, cause, key, payload, chain"
    for shard, *row in connection.execute(f"SELECT {columns} FROM events ORDER BY place"):  # noqa: S608
        rows[Shard(shard)].append(tuple(row))
    connection.close()
    return dict(rows)


def hold(database, rows):
    """All that was recorded is there, by sequence, by key and by stream, and a key is not taken twice."""
    for shard, expected in rows.items():
        stored = database.read(shard, Sequence(0), len(expected) + 1)
        assert [tuple(getattr(row, name) for name in row.__struct_fields__) for row in stored] == expected
        assert first_bad(database, shard, Sequence(0)) is None
        streams, keys = defaultdict(list), defaultdict(list)
        for row in stored:
            streams[row.stream].append(row)
            keys[row.key].append(row.sequence)
        for stream, of_stream in streams.items():
            assert database.read_stream(shard, stream, 0, 1_000) == of_stream
        for key, sequences in keys.items():
            assert database.find(shard, key) == Committed(sequences[0], sequences[-1])
        row = stored[-1]
        event = NewEvent(row.stream, row.type, row.at, row.actor, row.cause, row.payload)
        again = Tx(stored[0].key, (), (event,))
        assert isinstance(database.append({shard: [again]})[shard].results[0], Duplicate)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", FORMATS)
def test_a_recorded_log_of_a_former_format_has_everything_in_this_one(folder, name):
    rows = rows_of(name, folder)
    assert len(rows) == 2
    assert verify(folder).findings == []
    for _ in range(2):
        database = Database(folder)
        hold(database, rows)
        assert database._connection.pragma("user_version") == startup.FORMAT
        database.close()
    assert verify(folder).findings == []
    assert verify(folder).records == {shard: len(of_shard) for shard, of_shard in rows.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_it_takes_more_and_goes_on_from_there(folder, name):
    rows = rows_of(name, folder)[SPACE]
    _, stream, version, *_ = rows[-1]
    database = Database(folder)
    event = NewEvent(stream, "test.happened/1", 10**6, "ann", "", b"more")
    [result] = database.append({SPACE: [Tx(b"m" * 16, ((stream, version),), (event,))]})[SPACE].results
    assert result == Committed(len(rows) + 1, len(rows) + 1)
    database.close()
    assert verify(folder).findings == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_power_cut_at_any_operation_of_the_conversion_loses_nothing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(conversion, "ROWS_PER_STEP", 9)
    monkeypatch.setattr(index, "BEHIND_MAX", 9)
    monkeypatch.setattr(index, "RECORDS_PER_CHUNK", 11)
    rows = rows_of(name, tmp_path / "recorded")
    done = cut = 0

    with layer("crossfade-conversion") as made:
        for seed in range(150):
            dice = random.Random(seed)
            made.disk = Disk(sync_folders=dice.random() < 0.5)
            made.disk.files[str(tmp_path / startup.FILE_NAME)] = Contents(recorded(name))
            for _ in range(2):
                made.disk.cut_at = made.disk.operations + dice.randrange(400)
                try:
                    vanish(opened(tmp_path, made), made)
                    done += 1
                except LogError:
                    cut += 1
                made.disk = made.disk.after_cut(dice)
            database = opened(tmp_path, made)
            hold(database, rows)
            database.close()
    assert done > 20
    assert cut > 20


@pytest.mark.parametrize(
    "change", ["actor = 'eve'", "actor = CAST(x'ff' AS TEXT)", "place = place + 1000", "chain = zeroblob(32)"]
)
@pytest.mark.parametrize("name", FORMATS)
def test_damage_in_a_log_of_a_former_format_is_named_and_not_carried_over(folder, monkeypatch, name, change):
    monkeypatch.setattr(conversion, "ROWS_PER_STEP", 5)
    put(name, folder)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute(f"UPDATE events SET {change} WHERE shard = 1 AND sequence = 13")  # noqa: S608
    assert connection.changes() == 1
    connection.close()
    for _ in range(2):
        with pytest.raises(CorruptLogError, match="shard 1: sequence 13 "):
            open_sqlite(folder)
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    assert connection.execute("SELECT max(place) FROM blocks WHERE place >> 40 = 1").get & (1 << 40) - 1 <= 12
    connection.close()
    if "CAST" not in change:  # that, Python's SQLite does not read at all
        assert [(one.shard, one.sequence) for one in verify(folder).findings][:1] == [(1, 13)]


def test_a_log_whose_beginning_was_archived_under_a_former_format_goes_on(folder):
    """Cut off between the base and the sweep, as a former release could leave it."""
    rows = rows_of("format-2", folder)
    base = Beginning(Sequence(20), rows[SPACE][19][-1], "nowhere")
    connection = apsw.Connection(str(folder / startup.FILE_NAME))
    connection.execute(bases.SCHEMA)
    connection.execute("INSERT INTO bases VALUES (?, ?, ?, ?)", (SPACE, base.sequence, base.chain, base.folder))
    connection.close()
    database = Database(folder)
    stored = database.read(SPACE, Sequence(20), 1_000)
    assert [row.sequence for row in stored] == [row[0] for row in rows[SPACE][20:]]
    assert first_bad(database, SPACE, Sequence(0)) is None
    assert database.find(SPACE, rows[SPACE][0][7]) is None
    database.close()
