"""A start writes what it found of the write-ahead log to the disk, and a cut meanwhile leaves the file as it was."""

import random

import apsw
import pytest

from crossfade.engine.ports import LogError
from crossfade.logs import settling
from crossfade.logs.database import Database
from crossfade.logs.settling import settle
from tests.powerloss.disk import Contents
from tests.powerloss.folder import CutError, Folder, under

pytestmark = pytest.mark.requirement("P26")

SEEN, DURABLE = b"s" * 3_000, b"d" * 2_000


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    (made / "log.db-wal").write_bytes(SEEN)
    return made


def after_failed_sync(root):
    """A disk whose file shows bytes that never reached it."""
    disk = Folder(root)
    contents = Contents(DURABLE)
    contents.seen[:] = SEEN
    disk.files[root / "log.db-wal"] = contents
    return disk


def left(disk, root, seed):
    disk.after_cut(random.Random(seed), root.parent / "after")
    return (root.parent / "after" / "log.db-wal").read_bytes()


def test_what_was_seen_after_a_failed_sync_is_there_after_a_cut(root, monkeypatch):
    monkeypatch.setattr(settling, "CHUNK_BYTES", 1_000)
    disk = after_failed_sync(root)
    assert left(disk, root, 0) == DURABLE, "the disk is one that forgets"
    with under(disk):
        settle(root / "log.db-wal")
    assert {left(disk, root, seed) for seed in range(50)} == {SEEN}
    assert [path.name for path in root.iterdir()] == ["log.db-wal"]


def test_a_cut_at_any_operation_leaves_what_was_durable_or_what_was_seen(root, monkeypatch):
    monkeypatch.setattr(settling, "CHUNK_BYTES", 1_000)
    disk = after_failed_sync(root)
    with under(disk):
        settle(root / "log.db-wal")
    found = set()
    for cut_at in range(disk.operations):
        again = after_failed_sync(root)
        again.cut_at = cut_at
        with under(again), pytest.raises(CutError):
            settle(root / "log.db-wal")
        found |= {left(again, root, seed) for seed in range(50)}
    assert found == {DURABLE, SEEN}


def test_an_operation_that_fails_leaves_the_file_and_nothing_beside_it(root):
    disk = after_failed_sync(root)
    with under(disk):
        settle(root / "log.db-wal")
    operations = disk.operations
    for fail_at in range(1, operations + 1):
        again = after_failed_sync(root)
        again.fail_at = fail_at
        with under(again), pytest.raises(OSError, match="planted"):
            settle(root / "log.db-wal")
        assert (root / "log.db-wal").read_bytes() == SEEN
        assert [path.name for path in root.iterdir()] == ["log.db-wal"]


def test_a_file_that_is_not_there_needs_nothing(root):
    (root / "log.db-wal").unlink()
    settle(root / "log.db-wal")
    assert list(root.iterdir()) == []


def test_a_disk_without_room_for_it_is_said_and_the_log_opens_later(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (root / "log.db-wal").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(settling, "_copy", full)
        with pytest.raises(LogError, match="cannot be written again: No space left on device"):
            Database(root)
    Database(root).close()


def test_a_start_settles_the_write_ahead_log_before_sqlite_reads_it(root, monkeypatch):
    (root / "log.db-wal").write_bytes(b"")
    inode = (root / "log.db-wal").stat().st_ino
    opening = apsw.Connection

    def opened(*args, **named):
        assert (root / "log.db-wal").stat().st_ino != inode
        return opening(*args, **named)

    monkeypatch.setattr(apsw, "Connection", opened)
    Database(root).close()
