"""The calls of ``os`` on the files of a disk in memory (disk.py), as our own code makes them beside SQLite's."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from crossfade.logs.startup import FILE_NAME
from tests.powerloss.disk import Contents, Disk, DiskFile, DiskLayer

NAMES = ("open", "read", "write", "fsync", "close", "replace", "unlink")


class _Open:
    """One descriptor: a file and how far it was read or written; or the folder itself."""

    def __init__(self, disk: Disk, contents: Contents | None) -> None:
        self.file = None if contents is None else DiskFile(disk, contents)
        self.disk = disk
        self.at = 0


class _Calls:
    """What is called about the log's files is done on the layer's disk; anything else is the system's."""

    def __init__(self, layer: DiskLayer, folder: Path) -> None:
        self._layer = layer
        self._folder = str(folder)
        self._os: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in NAMES}
        self._open: dict[int, _Open] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            for name in NAMES:
                setattr(os, name, getattr(self, name))
            yield
        finally:
            for name, call in self._os.items():
                setattr(os, name, call)

    def open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        name, disk = str(path), self._layer.disk
        if name == self._folder:
            opened = _Open(disk, None)
        elif not name.startswith(f"{self._folder}/{FILE_NAME}"):
            descriptor: int = self._os["open"](path, flags, *more, **named)
            return descriptor
        else:
            if name not in disk.files and not flags & os.O_CREAT:
                raise FileNotFoundError(name)
            opened = _Open(disk, disk.files.get(name) or _done(disk.make, name))
            if opened.file is not None and flags & os.O_TRUNC and opened.file.xFileSize():
                _done(opened.file.xTruncate, 0)
        descriptor = self._os["open"](os.devnull, os.O_RDONLY)
        self._open[descriptor] = opened
        return descriptor

    def read(self, descriptor: int, amount: int) -> bytes:
        one = self._open.get(descriptor)
        if one is None or one.file is None:
            found: bytes = self._os["read"](descriptor, amount)
            return found
        found = one.file.xRead(amount, one.at)
        one.at += len(found)
        return found

    def write(self, descriptor: int, content: Any) -> int:
        one = self._open.get(descriptor)
        if one is None or one.file is None:
            written: int = self._os["write"](descriptor, content)
            return written
        _done(one.file.xWrite, content, one.at)
        one.at += len(content)
        return len(content)

    def fsync(self, descriptor: int) -> None:
        one = self._open.get(descriptor)
        if one is None:
            self._os["fsync"](descriptor)
        elif one.file is not None:
            _done(one.file.sync)
        else:
            _done(one.disk.sync_names)

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._os["close"](descriptor)

    def replace(self, one: Any, other: Any, **named: Any) -> None:
        if str(one) in self._layer.disk.files:
            _done(self._layer.disk.move, str(one), str(other))
        else:
            self._os["replace"](one, other, **named)

    def unlink(self, path: Any, **named: Any) -> None:
        if str(path) in self._layer.disk.files:
            _done(self._layer.disk.remove, str(path))
        else:
            self._os["unlink"](path, **named)


def _done(work: Callable[..., Any], *args: Any) -> Any:
    try:
        return work(*args)
    except apsw.FullError as fault:
        raise OSError(errno.ENOSPC, str(fault)) from fault
    except apsw.Error as fault:
        raise OSError(errno.EIO, str(fault)) from fault


@contextmanager
def under(layer: DiskLayer, folder: Path) -> Iterator[None]:
    """For as long as the block lasts, what this process does to the log in ``folder`` is done on the layer's disk."""
    with _Calls(layer, folder).installed():
        yield
