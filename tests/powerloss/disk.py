"""A disk in memory, under SQLite, that forgets what was not synced and fails on command.

It knows for each file what a power cut is sure to leave (its durable bytes) and what was written since. A cut
leaves of the latter, sector by sector and in no order: all, nothing, or some; and now and then garbage. Names
that were made or removed may be as they were before, unless their folder was synced since.

Source: the documentation of SQLite's file layer (sqlite.org/c3ref/io_methods.html), ALICE (Pillai 2014).
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

SECTOR_BYTES = 512
GARBAGE = 0.05
"""Share of the sectors under way at a cut that hold noise afterwards."""
NEVER = 1 << 60


class PowerCutError(apsw.IOError):
    """The machine is off."""


class Contents:
    """One file: what is durable (None: not even its name), what a reader sees, and the writes in between."""

    def __init__(self, durable: bytes | None = None) -> None:
        self.durable = durable
        self.seen = bytearray(durable or b"")
        self.pending: list[tuple[int, bytes | None]] = []
        """(Offset, bytes), or (size, None) for a truncation."""


class Disk:
    """Files by name. ``operations`` counts what changes the disk; each is a point at which the power may go."""

    def __init__(self, *, sync_folders: bool = False) -> None:
        self.files: dict[str, Contents] = {}
        self.was: dict[str, list[Contents | None]] = {}
        """What a name stood for before it was moved or removed, which a cut may bring back."""
        self.sync_folders = sync_folders
        """Syncing a file makes the names in its folder durable too, as SQLite's own layer does for one it opened."""
        self.keeps_removals = True
        """A removal that asks for it is durable at once; without that no setting of SQLite is safe."""
        self.operations = 0
        self.writes = 0
        self.syncs = 0
        self.cut_at = NEVER
        self.fail_at = NEVER
        """This one operation fails with an I/O error; of a sync, what was under way is lost unseen."""
        self.fail_sync_at = NEVER
        """The same, counted among the syncs."""
        self.full_from, self.full_until = NEVER, NEVER
        """Writes with these numbers find no space."""
        self.hit = False
        """A fault was met."""

    def change(self) -> bool:
        """Count one operation; whether it is the one that fails. Raises PowerCutError once the power is gone."""
        self.operations += 1
        if self.operations > self.cut_at:
            raise PowerCutError("the power is gone")
        failing = self.operations == self.fail_at
        self.hit |= failing
        return failing

    def make(self, name: str) -> Contents:
        """A file of its own under a name that is free."""
        if self.change():
            raise apsw.IOError("planted: the file could not be made")
        self.files[name] = Contents()
        return self.files[name]

    def move(self, name: str, to: str) -> None:
        """Let a file have another name, and what had that name none."""
        if self.change():
            raise apsw.IOError("planted: the renaming failed")
        contents = self.files[name]
        self._name(name, None)
        self._name(to, contents)

    def remove(self, name: str, *, durably: bool = False) -> None:
        """Let a name stand for nothing; ``durably`` if the folder is synced with it."""
        if self.change():
            raise apsw.IOError("planted: the removal failed")
        self._name(name, None)
        if durably:
            self.was.clear()

    def sync_names(self) -> None:
        """What stands in the folder now will stand there after a cut."""
        if self.change():
            raise apsw.IOError("planted: the sync of the folder failed")
        self.was.clear()
        for contents in self.files.values():
            contents.durable = contents.durable or b""

    def _name(self, name: str, contents: Contents | None) -> None:
        self.was.setdefault(name, []).append(self.files.get(name))
        if contents is None:
            self.files.pop(name, None)
        else:
            self.files[name] = contents

    def after_cut(self, dice: random.Random) -> "Disk":
        """What the machine finds when the power is back: each name for itself is as it is now, or as it was."""
        found = self._empty()
        for name in sorted({*self.files, *self.was}):
            contents = dice.choice([self.files.get(name), *self.was.get(name, [])])
            if contents is not None and (contents.durable is not None or dice.random() < 0.5):
                found.files[name] = Contents(bytes(_left(contents, dice)))
        return found

    def copy(self) -> "Disk":
        """The same files, all of them durable."""
        twin = self._empty()
        twin.files = {name: Contents(bytes(contents.seen)) for name, contents in self.files.items()}
        return twin

    def _empty(self) -> "Disk":
        empty = Disk(sync_folders=self.sync_folders)
        empty.keeps_removals = self.keeps_removals
        return empty


def _left(contents: Contents, dice: random.Random) -> bytearray:
    image = bytearray(contents.durable or b"")
    for at, data in contents.pending:
        if data is None:
            if dice.random() < 0.5:
                _resize(image, at)
            continue
        share = dice.choice((1.0, 0.0, 0.5))
        for start in range(0, len(data), SECTOR_BYTES):
            if dice.random() < share:
                part = data[start : start + SECTOR_BYTES]
                _put(image, at + start, part if dice.random() > GARBAGE else dice.randbytes(len(part)))
    return image


def _put(image: bytearray, at: int, data: bytes) -> None:
    if len(image) < at:
        _resize(image, at)
    image[at : at + len(data)] = data


def _resize(image: bytearray, size: int) -> None:
    del image[size:]
    image.extend(bytes(size - len(image)))


class DiskFile:
    """One open file, as SQLite uses it."""

    def __init__(self, disk: Disk, contents: Contents, *, made: bool = False) -> None:
        """``made`` by this opening: the first sync of it is one of its name, too."""
        self._disk = disk
        self._contents = contents
        self._made = made

    def xRead(self, amount: int, at: int) -> bytes:  # noqa: N802 - SQLite's names, here and below
        return bytes(self._contents.seen[at : at + amount])

    def xWrite(self, data: Any, at: int) -> None:  # noqa: N802
        disk = self._disk
        disk.writes += 1
        if disk.full_from <= disk.writes < disk.full_until:
            disk.hit = True
            raise apsw.FullError("planted: no space")
        if disk.change():
            raise apsw.IOError("planted: the write failed")
        data = bytes(data)
        _put(self._contents.seen, at, data)
        self._contents.pending.append((at, data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._disk.change():
            raise apsw.IOError("planted: the truncation failed")
        _resize(self._contents.seen, size)
        self._contents.pending.append((size, None))

    def sync(self) -> None:
        """Bring what is under way to the disk, as ``fsync`` does."""
        contents, disk = self._contents, self._disk
        disk.syncs += 1
        if disk.change() or disk.syncs == disk.fail_sync_at:
            disk.hit = True
            contents.pending.clear()  # the system takes the pages for clean, though they never reached the disk
            raise apsw.IOError("planted: the sync failed")
        durable = bytearray(contents.durable or b"")
        for at, data in contents.pending:  # only what is not yet written; pages that were dropped stay lost
            if data is None:
                _resize(durable, at)
            else:
                _put(durable, at, data)
        contents.durable = bytes(durable)
        contents.pending.clear()

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.sync()
        disk = self._disk
        if disk.sync_folders:
            disk.was.clear()
        elif self._made:
            disk.was = {name: was for name, was in disk.was.items() if disk.files.get(name) is not self._contents}

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._contents.seen)

    def xClose(self) -> None:  # noqa: N802
        pass

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)


class DiskLayer(apsw.VFS):
    """The file layer that SQLite opens its files through; ``disk`` may be exchanged between openings."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "", maxpathname=512)
        self.name = name
        self.disk = disk

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return name in self.disk.files

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        self.disk.remove(name, durably=sync and self.disk.keeps_removals)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if hasattr(name, "filename") else name
        name = path or f"temporary-{self.disk.operations}"
        made = name not in self.disk.files
        return DiskFile(self.disk, self.disk.files.setdefault(name, Contents()), made=made)


@contextmanager
def layer(name: str = "crossfade-power") -> Iterator[DiskLayer]:
    """A registered file layer on an empty disk."""
    made = DiskLayer(name, Disk())
    try:
        yield made
    finally:
        made.unregister()
