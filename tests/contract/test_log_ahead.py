"""What the log does while its callers are told, and while it waits for the disk: nothing of it may be seen."""

import itertools
import random
import threading
from functools import partial

import apsw
import pytest

from crossfade.core.values import SPACE, Instant, StreamName
from crossfade.engine.ports import Committed, Conflict, Duplicate, NewEvent, Tx, UnavailableError
from crossfade.logs import backup, blocks, index, indexes
from crossfade.logs.aside import Aside
from crossfade.logs.audit import first_bad, recover
from crossfade.logs.backlog import Part
from crossfade.logs.database import Database

NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def early(monkeypatch):
    """The index is written after a few records, and each batch uses the second thread."""
    monkeypatch.setattr(index, "RECORDS_WAITING", 8)
    monkeypatch.setattr(index, "ENTRIES_PER_SLICE", 2)
    monkeypatch.setattr(indexes, "RECORDS_ASIDE_MIN", 1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


def tx(stream, version, key=None):
    name = StreamName(stream)
    number = next(NUMBERS)  # keys in no order, but all in one part of those that wait
    return Tx(
        key or b"\0" + random.Random(number).randbytes(15),
        ((name, version),),
        (NewEvent(name, "tested/1", Instant(1), "", "", b"x"),),
    )


def ahead(database):
    """Store records until a part of the index has been written, in a transaction that is open."""
    stored = []
    while not (stored and database._connection.in_transaction):
        assert len(stored) < 100, "nothing is written ahead"
        stored.append(tx(f"q/{next(NUMBERS):09d}", 0))
        [result] = database.append({SPACE: [stored[-1]]})[SPACE].results
        assert isinstance(result, Committed)
        database.checkpoint_if_due()
    assert database._indexes._of(SPACE)._written
    return stored


def whole(database, stored):
    """Whether all is found again, by this database and by the next that opens the folder."""
    found = [database.find(SPACE, one.key) is not None for one in stored]
    return all(found) and database.head(SPACE).sequence == len(stored) and first_bad(database, SPACE, 0) is None


def test_what_is_written_ahead_becomes_durable_with_the_next_append(folder):
    database = Database(folder)
    stored = ahead(database)
    stored.append(tx("q/next", 0))
    database.append({SPACE: stored[-1:]})
    assert not database._connection.in_transaction
    assert not database._indexes._of(SPACE)._written
    assert whole(database, stored)
    database.close()
    again = Database(folder)
    assert whole(again, stored)
    again.close()


def test_what_is_written_ahead_may_be_lost_with_the_process(folder):
    database = Database(folder)
    stored = ahead(database)
    database.close()  # without the append that would have made it durable
    again = Database(folder)
    assert whole(again, stored)
    again.close()


def test_what_was_written_ahead_is_undone_with_the_append_that_finds_no_room(folder, monkeypatch):
    database = Database(folder)
    stored = ahead(database)
    true = blocks.Blocks.insert

    def full(*_):
        raise apsw.FullError("planted")

    for _ in range(5):
        monkeypatch.setattr(blocks.Blocks, "insert", full)
        with pytest.raises(UnavailableError, match="planted"):
            database.append({SPACE: [tx("q/never", 0)]})
        assert not database._connection.in_transaction
        monkeypatch.setattr(blocks.Blocks, "insert", true)
        stored += ahead(database)
    for _ in range(80):
        stored.append(tx(f"q/{next(NUMBERS):09d}", 0))
        database.append({SPACE: stored[-1:]})
        database.checkpoint_if_due()
    assert whole(database, stored)
    rows = database.read(SPACE, 0, len(stored))
    assert database._indexes._of(SPACE).complete > 8
    assert database.unreachable(SPACE, rows) is None
    database.close()


def test_an_append_that_stores_nothing_leaves_what_was_written_ahead_to_the_next(folder):
    database = Database(folder)
    stored = ahead(database)
    [result] = database.append({SPACE: [stored[0]]})[SPACE].results
    assert result == Duplicate(1, 1)
    assert database._indexes._of(SPACE)._written
    stored.append(tx("q/next", 0))
    database.append({SPACE: stored[-1:]})
    assert whole(database, stored)
    database.close()


def test_a_copy_is_made_while_a_part_of_the_index_is_written_ahead(folder, tmp_path, monkeypatch):
    database = Database(folder)
    stored = ahead(database)
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 1)
    copying, steps = backup._Copying(tmp_path / "copy"), 0
    while copying.step(database) and steps < 200:
        stored += ahead(database)
        steps += 1
    assert steps > 3
    copying.close(database)
    stored.append(tx("q/last", 0))
    database.append({SPACE: stored[-1:]})
    assert whole(database, stored)
    database.close()


def test_a_fault_of_the_disk_while_nobody_waits_stops_the_log_until_it_is_opened_anew(folder, monkeypatch):
    database = Database(folder)
    stored = ahead(database)
    stored.append(tx("q/next", 0))
    database.append({SPACE: stored[-1:]})
    monkeypatch.setattr(index.Index, "ahead", lambda *_: ("SELECT planted", ()))
    database.checkpoint_if_due()
    monkeypatch.undo()
    with pytest.raises(UnavailableError, match="planted"):
        database.append({SPACE: [tx("q/never", 0)]})
    recover(database)
    stored.append(tx("q/last", 0))
    database.append({SPACE: stored[-1:]})
    assert whole(database, stored)
    database.close()


def test_what_was_stored_last_is_known_to_the_batch_behind_it(folder):
    database = Database(folder)
    for number in range(40):
        first, second = tx(f"q/{number:03d}", 0), tx(f"q/{number:03d}", 1)
        [one] = database.append({SPACE: [first]})[SPACE].results
        assert isinstance(one, Committed)
        results = database.append({SPACE: [second, tx(f"q/{number:03d}", 1), tx(f"q/{number:03d}", 0)]})[SPACE].results
        assert results == [Committed(one.last + 1, one.last + 1)] + [Conflict(second.events[0].stream, 2)] * 2
        assert database.append({SPACE: [second, first]})[SPACE].results == [
            Duplicate(one.last + 1, one.last + 1),
            Duplicate(one.first, one.last),
        ]
        assert [row.version for row in database.read_stream(SPACE, second.events[0].stream, 0, 9)] == [1, 2]
        database.checkpoint_if_due()
    assert first_bad(database, SPACE, 0) is None
    database.close()


class Failing:
    """A connection that finds no room when it ends a transaction."""

    def __init__(self, true):
        self._true = true

    def __getattr__(self, name):
        return getattr(self._true, name)

    def execute(self, sql, *values):
        if sql == "COMMIT":
            raise apsw.FullError("planted")
        return self._true.execute(sql, *values)


def test_a_commit_that_fails_leaves_nothing_of_its_batch_and_all_of_the_one_before(folder, monkeypatch):
    database = Database(folder)
    stored = []
    for _ in range(60):
        monkeypatch.setattr(indexes, "RECORDS_ASIDE_MIN", 1_000)  # then nothing is made ready anew
        stored += ahead(database)
        monkeypatch.setattr(indexes, "RECORDS_ASIDE_MIN", 1)
        with monkeypatch.context() as patched:
            patched.setattr(database._indexes, "_connection", Failing(database._connection))
            with pytest.raises(UnavailableError, match="planted"):
                database.append({SPACE: [tx("q/never", 0)]})
        again = Duplicate(len(stored), len(stored))
        assert database.append({SPACE: [stored[-1]]})[SPACE].results == [again]
    assert database._indexes.of(SPACE).complete > 8
    assert whole(database, stored)
    database.close()


def test_work_of_the_second_thread_that_raises_is_not_taken_for_done(monkeypatch):
    aside, done, seen = Aside(), [], []
    monkeypatch.setattr(threading, "excepthook", lambda fault: seen.append(fault.exc_type))
    for number in range(3):
        aside.begin(partial(done.append, number))
        aside.end()
    assert done == [0, 1, 2]
    aside.close()
    aside.close()
    aside.begin(lambda: done.append(3))
    aside.end()
    aside.begin(partial(divmod, 1, 0))
    with pytest.raises(RuntimeError, match="second thread"):
        aside.end()
    assert aside._thread is not None
    aside._thread.join()
    assert seen == [ZeroDivisionError]


class Late(Aside):
    """A second thread that does its work at the last moment."""

    def begin(self, work):
        self.work = work

    def end(self):
        self.work()

    def close(self):
        pass


def test_a_commit_waits_for_what_the_second_thread_does(folder):
    database = Database(folder)
    database._aside = Late()
    stored = [one for _ in range(40) for one in ahead(database)]
    assert whole(database, stored)
    assert database._indexes.of(SPACE).complete >= 8
    database.close()


def test_what_was_made_ready_is_not_used_after_what_came_before_it_was_undone():
    part = Part([b"%d" % number for number in range(9)], lambda some: ("", tuple(some)))
    assert part.take(2) == ("", (b"0", b"1"))
    part.prepare(3)
    part.at = 0
    assert part.take(2) == ("", (b"0", b"1"))
    part.prepare(4)
    assert part.take(2) == ("", (b"2", b"3", b"4", b"5"))
    assert part.take(2) == ("", (b"6", b"7", b"8"))
    assert part.left == 0
