"""Checkpoints on disk: what a line holds, and what becomes of one that is torn, false or another hub's."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crossfade.core.values import SPACE
from crossfade.engine.ports import Checkpoint, CorruptLogError
from crossfade.outbound import checkpoints
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import Ed25519Signer, signing_key

pytestmark = pytest.mark.requirement("P26")
SECRET = bytes(range(32))


def note(sequence):
    return Checkpoint(SPACE, 1, sequence, hashlib.sha256(b"%d" % sequence).digest(), sequence * 10)


def witness(folder, secret=SECRET):
    return FolderWitness(folder, Ed25519Signer(secret))


def kept(folder):
    return asyncio.run(witness(folder).kept(SPACE))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "second" / "place"


@pytest.fixture
def path(folder):
    place = witness(folder)
    place.keep_now([note(sequence) for sequence in (3, 7, 12)])
    place.close()
    return folder / "shard-1.checkpoints"


def test_a_line_is_what_its_description_says(path):
    """Written after the text in outbound/checkpoints.py, sharing nothing with its code."""
    key = Ed25519PrivateKey.from_private_bytes(SECRET).public_key()
    line = path.read_text().splitlines()[1]
    words = line.split(" ")
    assert words[:7] == [
        "crossfade-checkpoint/1", hashlib.sha256(key.public_bytes_raw()).hexdigest(), "1", "1", "7",
        hashlib.sha256(b"7").hexdigest(), "70",
    ]  # fmt: skip
    key.verify(b64decode(words[7]), line.rpartition(" ")[0].encode())


def test_checkpoints_come_back_in_order_and_the_newest_alone(folder, path):
    assert kept(folder) == [note(3), note(7), note(12)]
    assert asyncio.run(witness(folder).last(SPACE)) == note(12)
    assert asyncio.run(witness(folder).last(0)) is None


# --- the line beside the log ----------------------------------------------------------------------------------


def beside(folder, data, *sequences):
    """A life of a hub: it starts with what is there, and keeps checkpoints."""
    place = FolderWitness(folder, Ed25519Signer(SECRET), data)
    asyncio.run(place.last(SPACE))
    for sequence in sequences:
        place.keep_now([note(sequence)])
    return place


@pytest.mark.parametrize("how", ["folder", "file", "emptied", "older"])
def test_a_second_place_that_lacks_what_it_had_is_not_believed(folder, tmp_path, how):
    data = tmp_path / "data"
    data.mkdir()
    beside(folder, data, 3).close()
    path = folder / "shard-1.checkpoints"
    older = path.read_bytes()
    beside(folder, data, 7, 12).close()
    match how:
        case "folder":
            shutil.rmtree(folder)
        case "file":
            path.unlink()
        case _:
            path.write_bytes(older if how == "older" else b"")
    reached = 4 if how == "older" else 1
    with pytest.raises(CorruptLogError, match=rf"shard 1: sequence {reached} is the first .* had reached 12\. Put its"):
        beside(folder, data)
    (data / "shard-1.last.checkpoints").unlink()
    beside(folder, data, 13).close()


def test_a_hub_that_was_killed_has_left_its_first_line_and_one_without_a_line_starts(folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    beside(folder, data, 3, 7)  # and then nothing more
    own = data / "shard-1.last.checkpoints"
    assert own.read_bytes() == (folder / "shard-1.checkpoints").read_bytes().splitlines(keepends=True)[0]
    assert asyncio.run(beside(folder, data).last(SPACE)) == note(7)
    for noise in (b"", b"\0" * 80, b"crossfade-checkpoint/1 x"):
        own.write_bytes(noise)
        assert asyncio.run(beside(folder, data).last(SPACE)) == note(7), "it is worth nothing, and hides nothing"


def test_a_line_that_cannot_be_laid_beside_the_log_costs_no_checkpoint(folder, tmp_path):
    place = beside(folder, tmp_path / "nowhere", 3)
    place.close()
    assert asyncio.run(witness(folder).last(SPACE)) == note(3)


def test_the_folder_and_its_files_are_their_owners_alone(folder, path):
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"c", b"crossfade-checkpoint/1 abc", b"\x00" * 90, b"\x81\n\xff\n\n", b"\0\n" * 999])
def test_a_torn_end_is_passed_over_and_written_over(folder, path, torn):
    sound = path.read_bytes()
    path.write_bytes(sound + torn)
    assert kept(folder) == [note(3), note(7), note(12)]
    witness(folder).keep_now([note(20)])
    assert kept(folder) == [note(3), note(7), note(12), note(20)]
    assert path.read_bytes().startswith(sound + b"crossfade")
    assert path.read_bytes().count(b"\n") == 4


def test_every_cut_of_the_last_line_leaves_the_ones_before(folder, path):
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        assert kept(folder) == [note(3), note(7)]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("at", [30, 90, 100, 160, 200])
def test_a_false_line_is_named(folder, path, number, at):
    lines = path.read_bytes().splitlines(keepends=True)
    changed = bytearray(lines[number - 1])
    changed[at] = ord("1") if changed[at] != ord("1") else ord("2")
    lines[number - 1] = bytes(changed)
    path.write_bytes(b"".join(lines))
    with pytest.raises(CorruptLogError, match=rf"shard-1.checkpoints:{number}: "):
        kept(folder)


def test_another_hubs_checkpoints_are_refused(folder, path):
    with pytest.raises(CorruptLogError, match="another hub's key"):
        asyncio.run(witness(folder, bytes(32)).last(SPACE))


def test_a_long_file_is_moved_aside_and_still_read(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "FILE_BYTES_MAX", 1_000)
    place = witness(folder)
    for sequence in range(1, 20):
        place.keep_now([note(sequence)])
    found = kept(folder)
    assert found[-1] == note(19)
    assert [one.sequence for one in found] == list(range(found[0].sequence, 20))
    assert 4 <= len(found) < 10
    assert all(path.stat().st_size <= 1_000 for path in folder.iterdir())


def test_each_checkpoint_is_synced_before_it_counts(folder, monkeypatch):
    synced = []
    sync = os.fsync

    def watched(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    place = witness(folder)
    place.keep_now([note(1)])
    place.keep_now([note(2)])
    size = (folder / "shard-1.checkpoints").stat().st_size
    assert synced[-2:] == [size // 2, size]


def test_what_a_full_disk_left_half_written_is_written_over(folder, path, monkeypatch):
    place = witness(folder)
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:20], at))
    with pytest.raises(OSError, match="no space left"):
        place.keep_now([note(20)])
    monkeypatch.setattr(os, "pwrite", write)
    place.keep_now([note(21)])
    assert [one.sequence for one in kept(folder)] == [3, 7, 12, 21]


def test_a_keep_whose_caller_was_cancelled_is_not_written_over_by_the_next(tmp_path, monkeypatch):
    place, both = witness(tmp_path), threading.Barrier(2)
    entered, pwrite = threading.Event(), os.pwrite

    def together(*arguments):
        entered.set()
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)  # two that write at once meet here; one alone goes on by itself
        return pwrite(*arguments)

    async def check():
        place.keep_now([note(1)])
        monkeypatch.setattr(os, "pwrite", together)
        first = asyncio.ensure_future(place.keep([note(2)]))
        await asyncio.to_thread(entered.wait)
        first.cancel()
        await place.keep([note(13)])
        monkeypatch.undo()
        assert [one.sequence for one in await place.kept(SPACE)] == [1, 2, 13]

    asyncio.run(check())
    place.close()


def test_a_signing_key_that_is_gone_is_not_made_anew(tmp_path):
    """A new one would disown every checkpoint and certificate of the old one, and write over its public half."""
    public = signing_key(tmp_path).public.pem()
    (tmp_path / "signing.key").unlink()
    with pytest.raises(ValueError, match=r"signing\.key is gone, and signing\.pub shows that there was one"):
        signing_key(tmp_path)
    assert (tmp_path / "signing.pub").read_bytes() == public
    assert not (tmp_path / "signing.key").exists()
