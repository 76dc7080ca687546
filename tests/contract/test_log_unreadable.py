"""A disk that refuses to read for a moment is no damage: whoever restored a copy then would lose what came after it.

SQLite says of a file of which a part could not be read that it is malformed; what the system said tells the two apart.
"""

import ctypes
import errno
from itertools import count

import apsw
import pytest

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed, CorruptLogError, LogError, UnknownOutcomeError
from crossfade.logs import writer
from crossfade.logs.audit import opened
from crossfade.logs.sqlite import open_sqlite
from crossfade.logs.startup import PAGE_BYTES
from tests.contract.test_log_recovery import until_it_works
from tests.kit.logs import everything, fill, run, tx

pytestmark = pytest.mark.requirement("P26")

RECORDS = 300


class FailingReads(apsw.VFS):
    """The system's files; reading ``log.db`` fails once after ``good``, syncing the ``-wal`` if ``failing``."""

    def __init__(self, name):
        super().__init__(name, "")
        self.good = None
        self.failing = False
        self.failed = 0

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, vfs, name, flags):
        super().__init__("", name, flags)
        self._vfs, self._name = vfs, name.filename() if hasattr(name, "filename") else str(name)
        self._errno = 0

    def xRead(self, amount, offset):  # noqa: N802
        vfs = self._vfs
        if vfs.good is not None and self._name.endswith("log.db"):
            vfs.good -= 1
            if vfs.good < 0:
                vfs.good, self._errno, vfs.failed = None, errno.EIO, vfs.failed + 1
                raise apsw.CorruptError("planted: what SQLite makes of a disk that refuses to read")
        return super().xRead(amount, offset)

    def xSync(self, flags):  # noqa: N802
        if self._vfs.failing and self._name.endswith("-wal"):
            raise apsw.IOError("planted: the disk did not take it")
        super().xSync(flags)

    def xFileControl(self, number, pointer):  # noqa: N802
        if number == apsw.SQLITE_FCNTL_LAST_ERRNO:
            ctypes.c_int.from_address(pointer).value = self._errno
            return True
        return super().xFileControl(number, pointer)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "RECOVER_SECONDS", 0.01)
    fill(tmp_path / "data", RECORDS)
    return tmp_path / "data"


def test_a_read_that_fails_at_a_start_is_said_to_be_the_disk_and_never_damage(folder):
    disk = FailingReads("start")
    refused = 0
    for good in count():
        disk.good = good
        try:
            opened(folder, "start").close()
        except CorruptLogError as fault:
            pytest.fail(f"read {good}: {fault}")
        except LogError:
            refused += 1
        if disk.good is not None:
            break  # all that a start reads has failed once
    assert refused > 10, "reads of tables, index and records were among them"
    run(lambda: open_sqlite(folder), everything)


@pytest.mark.parametrize("good", [0, 4, 8, 16, 20, 24])
def test_a_read_that_fails_while_the_log_recovers_is_tried_again(folder, good):
    disk = FailingReads(f"recovering-{good}")

    async def check(log):
        disk.failing = True
        with pytest.raises(UnknownOutcomeError):
            await log.append(SPACE, [tx(RECORDS + 1, "q/a")])
        disk.good, disk.failing = good, False
        (stored,) = await until_it_works(lambda: log.append(SPACE, [tx(RECORDS + 2, "q/b")]))
        assert isinstance(stored, Committed)
        assert disk.failed == 1, "the read failed within the recovery"
        assert await log.verify(SPACE) is None

    run(lambda: open_sqlite(folder, vfs=f"recovering-{good}"), check)


def test_damage_stays_damage_where_the_disk_reads_well(folder):
    disk = FailingReads("sound")
    with (folder / "log.db").open("r+b") as file:
        size_bytes = file.seek(0, 2)
        file.seek(PAGE_BYTES)
        file.write(bytes(size_bytes - PAGE_BYTES))
    with pytest.raises(CorruptLogError):
        open_sqlite(folder, vfs="sound")
    assert not disk.failed
