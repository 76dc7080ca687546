"""Files that were deleted or moved under a running log: nothing more is acknowledged, what is there is still read."""

import shutil

import pytest

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed, UnavailableError, UnknownOutcomeError
from crossfade.logs import writer
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


def put_another_in_its_place(folder):
    move(folder)
    shutil.copytree(folder.with_name("moved"), folder)


@pytest.mark.parametrize(
    "lose", [delete_all, delete_the_write_ahead_log, delete_the_file, move, put_another_in_its_place]
)
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
