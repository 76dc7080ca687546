"""Checkpoints under power cuts: what was confirmed is found last, whatever else the disk kept or tore."""

import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfade.core.values import SPACE, Instant, Sequence
from crossfade.engine.ports import Checkpoint
from crossfade.outbound import checkpoints
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import Ed25519Signer
from tests.powerloss.disk import Contents, _left, _put, _resize

pytestmark = pytest.mark.requirement("P26")
SIGNER = Ed25519Signer(bytes(range(32)))


class PowerCut(BaseException):
    """The machine is off."""


class Recorder:
    """The calls of ``os`` that the module makes, on real files, with a memory of what is durable."""

    def __init__(self, folder: Path, cut_at: int) -> None:
        self.left, self.files, self.open_files = cut_at, {}, {}
        for path in folder.glob("*.checkpoints"):
            self.files[path.name] = Contents(path.read_bytes())
        self.os = SimpleNamespace(
            **{name: getattr(os, name) for name in ("O_WRONLY", "O_CREAT", "O_CLOEXEC", "O_RDONLY")},
            open=self.open, close=os.close, ftruncate=self.ftruncate, pwrite=self.pwrite, fsync=self.fsync,
        )  # fmt: skip

    def step(self):
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def open(self, path, flags, *mode):
        descriptor = os.open(path, flags, *mode)
        if Path(path).is_file():
            self.open_files[descriptor] = self.files.setdefault(Path(path).name, Contents())
        else:
            self.open_files.pop(descriptor, None)
        return descriptor

    def ftruncate(self, descriptor, size):
        self.step()
        os.ftruncate(descriptor, size)
        self.open_files[descriptor].pending.append((size, None))

    def pwrite(self, descriptor, data, at):
        self.step()
        self.open_files[descriptor].pending.append((at, bytes(data)))
        return os.pwrite(descriptor, data, at)

    def fsync(self, descriptor):
        self.step()
        contents = self.open_files.get(descriptor)
        if contents is None:  # the folder: a renaming that is not followed by this one is not modelled
            return
        durable = bytearray(contents.durable or b"")
        for at, data in contents.pending:
            _resize(durable, at) if data is None else _put(durable, at, data)
        contents.durable, contents.pending = bytes(durable), []


def used(folder, dice, monkeypatch, kept):
    """Keep checkpoints until the power goes; then the folder is what the disk has left."""
    recorder = Recorder(folder, dice.randrange(40))
    monkeypatch.setattr(checkpoints, "os", recorder.os)
    witness = FolderWitness(folder, SIGNER)
    try:
        while True:
            sequence = (kept[-1] if kept else 0) + 1
            content = [Checkpoint(SPACE, 1, Sequence(sequence), bytes([sequence % 256]) * 32, Instant(sequence))]
            witness.keep_now(content)
            kept.append(sequence)
    except PowerCut:
        pass
    monkeypatch.setattr(checkpoints, "os", os)
    for name, contents in recorder.files.items():
        (folder / name).write_bytes(_left(contents, dice))


@pytest.mark.parametrize("sound", [True, False], ids=["as it is", "without its syncs"])
def test_what_was_confirmed_is_found_after_any_number_of_power_cuts(tmp_path, monkeypatch, sound):
    lost = 0
    for seed in range(150):
        dice, folder, kept = random.Random(seed), tmp_path / str(seed), []
        if not sound:
            monkeypatch.setattr(Recorder, "fsync", lambda self, _: self.step())
        folder.mkdir()
        for _ in range(3):
            used(folder, dice, monkeypatch, kept)
            found = FolderWitness(folder, SIGNER)._kept(SPACE, 1)
            last = found[-1].sequence if found else 0
            lost += last < (kept[-1] if kept else 0)
            kept[:] = [last]  # one that was not confirmed may have reached the disk
    assert (lost == 0) is sound, "a disk that syncs nothing has to be noticed, or this test sees nothing"
