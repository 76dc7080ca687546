"""Files that were deleted or moved under a running log: nothing more is acknowledged, what is there is still read."""

import shutil

import pytest

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed, UnavailableError, UnknownOutcomeError
from crossfade.logs import database, writer
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import everything, run, tx

pytestmark = pytest.mark.requirement("P17")


def delete_all(folder):
    shutil.rmtree(folder)


def delete_the_write_ahead_log(folder):
    (folder / "log.db-wal").unlink()


def delete_the_file(folder):
    (folder / "log.db").unlink()


def move(folder):
    folder.rename(folder.with_name("moved"))


@pytest.mark.parametrize("lose", [delete_all, delete_the_write_ahead_log, delete_the_file, move])
def test_nothing_is_acknowledged_once_the_files_are_not_where_a_start_finds_them(tmp_path, monkeypatch, lose):
    monkeypatch.setattr(writer, "RECOVER_SECONDS", 0.001)
    folder = tmp_path / "data"

    async def check(log):
        assert await log.append(SPACE, [tx(1, "q/a")]) == [Committed(1, 1)]
        lose(folder)
        with pytest.raises(UnknownOutcomeError, match=r"not in .* any more"):
            await log.append(SPACE, [tx(2, "q/b")])
        for _ in range(50):
            with pytest.raises(UnavailableError, match=r"not in .* any more"):
                await log.append(SPACE, [tx(3, "q/c")])
        assert [row.sequence for row in await everything(log)] == [1], "what is there is still read"

    run(lambda: open_sqlite(folder), check)


def test_files_that_others_took_the_place_of_are_noticed_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "RECOVER_SECONDS", 0.001)
    folder = tmp_path / "data"

    async def check(log):
        assert await log.append(SPACE, [tx(1, "q/a")]) == [Committed(1, 1)]
        move(folder)
        shutil.copytree(folder.with_name("moved"), folder)
        with pytest.raises(UnknownOutcomeError, match=r"not in .* any more"):
            await append_some(log)

    async def append_some(log):
        for number in range(database.COMMITS_BETWEEN_LOOKS):
            await log.append(SPACE, [tx(2 + number, f"q/{number}")])

    run(lambda: open_sqlite(folder), check)
