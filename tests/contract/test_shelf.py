"""The folder of snapshots when the disk is full, a file cannot be read, or a caller leaves; power cuts: powerloss."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from crossfade.outbound import snapshots
from crossfade.outbound.host import write_private
from crossfade.outbound.snapshots import FolderShelf
from tests.kit.hub import run

pytestmark = pytest.mark.requirement("P26")


def names(folder):
    return sorted(path.name.removeprefix("snapshot-").lstrip("0") for path in folder.iterdir())


@run
async def test_a_disk_with_too_little_room_leaves_no_half_and_takes_nothing_of_what_was_there(tmp_path, monkeypatch):
    shelf = FolderShelf(tmp_path / "snapshots")
    await shelf.keep(5, b"content 5")
    true, room = os.write, [10]

    def full(descriptor, content):
        written = true(descriptor, content[: room[0]]) if room[0] else 0
        room[0] -= written
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    monkeypatch.setattr(os, "write", full)
    for place in (6, 7, 8):
        room[0] = 10
        with pytest.raises(OSError, match="No space"):
            await shelf.keep(place, b"content %d" % place * 100)
    monkeypatch.undo()
    assert names(tmp_path / "snapshots") == ["5"]
    assert await shelf.newest() == b"content 5"


@run
async def test_what_a_kill_left_unfinished_is_gone_with_the_next_one(tmp_path):
    folder = tmp_path / "snapshots"
    await FolderShelf(folder).keep(5, b"content 5")
    (folder / f"snapshot-{6:020d}.part").write_bytes(b"cont")
    assert await FolderShelf(folder).newest() == b"content 5"
    await FolderShelf(folder).keep(7, b"content 7")
    assert names(folder) == ["5", "7"]


@run
async def test_one_that_cannot_be_read_is_passed_over_and_stays(tmp_path, monkeypatch):
    shelf, true = FolderShelf(tmp_path / "snapshots"), Path.read_bytes
    for place in (5, 70):
        await shelf.keep(place, b"content %d" % place)

    def failing(path):
        if path.name.endswith("70"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return true(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert await shelf.newest() == b"content 5"
    await shelf.discard_newest()  # the engine says that this one does not fit either
    assert await shelf.newest() is None
    monkeypatch.undo()
    assert await FolderShelf(tmp_path / "snapshots").newest() == b"content 70"


@run
async def test_a_folder_that_cannot_be_written_does_not_keep_a_hub_from_starting(tmp_path, monkeypatch):
    shelf = FolderShelf(tmp_path / "snapshots")
    for place in (5, 70):
        await shelf.keep(place, b"content %d" % place)
    newest = max((tmp_path / "snapshots").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])

    def refused(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refused)
    assert await shelf.newest() == b"content 5", "a damaged one is not believed, though it cannot be thrown away"
    await shelf.discard_newest()
    assert await shelf.newest() is None, "nor is one that does not fit"


@run
async def test_a_caller_that_leaves_while_it_writes_is_waited_for_by_the_next(tmp_path, monkeypatch):
    shelf, begun, may = FolderShelf(tmp_path / "snapshots"), threading.Event(), threading.Event()
    true, order = write_private, []

    def slow(path, content):
        order.append(("begins", content[32:]))
        if not begun.is_set():
            begun.set()
            may.wait()
        true(path, content)
        order.append(("ends", content[32:]))

    monkeypatch.setattr(snapshots, "write_private", slow)
    first = asyncio.create_task(shelf.keep(5, b"first"))
    await asyncio.to_thread(begun.wait)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    held = shelf._writing.locked()
    second = asyncio.create_task(shelf.keep(5, b"second"))
    await asyncio.sleep(0)
    may.set()
    await second
    assert held, "the thread of the one who left is still at work"
    assert order == [("begins", b"first"), ("ends", b"first"), ("begins", b"second"), ("ends", b"second")]
    assert await shelf.newest() == b"second"
