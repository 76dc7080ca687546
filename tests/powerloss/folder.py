"""A folder on a disk that forgets what was not synced: the calls of ``os`` below it, with a memory of what is durable.

Unlike disk.py, which is under SQLite, this one is under our own code and knows names. The files are real, so what
a process sees is what the system shows it; what a power cut leaves is worked out here. The bytes of a file are as
in disk.py. A name that was given, taken or moved is, until its folder is synced, as it was at any moment since:
each name for itself, so that a move may leave both names, or neither. Every change is a point for a cut.

What does not go through these calls is not on this disk, and is gone after the cut.
"""

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.powerloss.disk import NEVER, Contents, _left, _put, _resize


class CutError(BaseException):
    """The machine is off."""


class Folder:
    """One folder with everything below it, from a start of the machine to the next cut."""

    def __init__(self, root: Path, *, names_with_files: bool = False) -> None:
        """``root`` is empty or what a cut has left, and durable. ``names_with_files``: to sync one syncs the other."""
        self.root = root
        self.names_with_files = names_with_files
        self.files = {path: Contents(path.read_bytes()) for path in root.rglob("*") if path.is_file()}
        self.folders = {path for path in root.rglob("*") if path.is_dir()}
        self.was: dict[Path, list[Contents | None]] = {}
        """What a name stood for since its folder was synced, for each that has changed."""
        self.made: set[Path] = set()
        """Folders whose names were not synced."""
        self.open: dict[int, tuple[Path, Contents | None]] = {}
        self.operations = 0
        self.cut_at = self.fail_at = NEVER
        self.full_from, self.full_until = NEVER, NEVER
        """Operations between which a write finds room for half of it, and the next one for none."""
        self.hit = False
        """A fault was met."""

    def change(self) -> None:
        """Count one operation. Raises CutError once the power is gone, OSError if this is the one that fails."""
        self.operations += 1
        if self.operations > self.cut_at:
            raise CutError
        if self.operations == self.fail_at:
            self.hit = True
            raise OSError(errno.EIO, "planted")

    def name(self, path: Path, contents: Contents | None) -> None:
        """Let a name stand for something else, or for nothing."""
        self.was.setdefault(path, [self.files.get(path)]).append(contents)
        if contents is None:
            self.files.pop(path, None)
        else:
            self.files[path] = contents

    def sync_names(self, folder: Path) -> None:
        """What stands in ``folder`` now will stand there after a cut."""
        self.was = {path: was for path, was in self.was.items() if path.parent != folder}
        self.made = {path for path in self.made if path.parent != folder}

    def after_cut(self, dice: random.Random, root: Path) -> "Folder":
        """The same folder as the next start of the machine finds it, in another place."""
        shutil.rmtree(root, ignore_errors=True)
        lost = {path for path in self.made if dice.random() < 0.5}
        for path in sorted(self.folders - lost):
            if not lost & {*path.parents}:
                (root / path.relative_to(self.root)).mkdir(parents=True)
        root.mkdir(parents=True, exist_ok=True)
        for path in sorted({*self.files, *self.was}):
            contents = dice.choice(self.was.get(path, [self.files.get(path)]))
            if contents is not None and not lost & {*path.parents}:
                (root / path.relative_to(self.root)).write_bytes(_left(contents, dice))
        return Folder(root, names_with_files=self.names_with_files)


class _Calls:
    """The calls of ``os`` on a folder of ours; on any other they are the system's."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._os: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        names = ("open", "write", "fsync", "fdatasync", "close", "replace", "rename", "unlink", "remove", "mkdir")
        self._os = {name: getattr(os, name) for name in names}
        try:
            for name in names:
                setattr(os, name, getattr(self, name))
            yield
        finally:
            for name, call in self._os.items():
                setattr(os, name, call)

    def _ours(self, path: Any) -> Path | None:
        root, found = self._folder.root, Path(path) if isinstance(path, str | Path) else None
        return found if found is not None and root in (found, *found.parents) else None

    def open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        own, folder = self._ours(path), self._folder
        if own is not None and flags & os.O_CREAT and own not in folder.files:
            folder.change()
            folder.name(own, Contents())
        elif own is not None and flags & os.O_TRUNC:
            folder.change()
            _resize(folder.files[own].seen, 0)
            folder.files[own].pending.append((0, None))
        descriptor: int = self._os["open"](path, flags, *more, **named)
        if own is not None:
            folder.open[descriptor] = own, folder.files.get(own)
        return descriptor

    def write(self, descriptor: int, content: Any) -> int:
        folder = self._folder
        _, contents = folder.open.get(descriptor, (None, None))
        if contents is not None:
            folder.change()
            if folder.full_from <= folder.operations < folder.full_until:
                content = self._fits(bytes(content))
            at = len(contents.seen)
            _put(contents.seen, at, bytes(content))
            contents.pending.append((at, bytes(content)))
        written: int = self._os["write"](descriptor, content)
        return written

    def _fits(self, content: bytes) -> bytes:
        first, self._folder.hit = not self._folder.hit, True
        if not first or len(content) < 2:
            raise OSError(errno.ENOSPC, "planted")
        return content[: len(content) // 2]

    def fsync(self, descriptor: int) -> None:
        folder = self._folder
        path, contents = folder.open.get(descriptor, (None, None))
        if path is None:
            self._os["fsync"](descriptor)
            return
        try:
            folder.change()
        except OSError:
            if contents is not None:
                contents.pending.clear()  # the system takes the pages for clean, though they never reached the disk
            raise
        if contents is None:
            folder.sync_names(path)
            return
        durable = bytearray(contents.durable or b"")
        for at, data in contents.pending:
            _resize(durable, at) if data is None else _put(durable, at, data)
        contents.durable = bytes(durable)
        contents.pending.clear()
        if folder.names_with_files:
            folder.sync_names(path.parent)

    fdatasync = fsync

    def close(self, descriptor: int) -> None:
        self._folder.open.pop(descriptor, None)
        self._os["close"](descriptor)

    def replace(self, one: Any, other: Any, **named: Any) -> None:
        own, target = self._ours(one), self._ours(other)
        if own is not None and target is not None:
            self._folder.change()
            contents = self._folder.files[own]
            self._folder.name(own, None)
            self._folder.name(target, contents)
        self._os["replace"](one, other, **named)

    rename = replace

    def unlink(self, path: Any, **named: Any) -> None:
        own = self._ours(path)
        if own is not None and own in self._folder.files:
            self._folder.change()
            self._folder.name(own, None)
        self._os["unlink"](path, **named)

    remove = unlink

    def mkdir(self, path: Any, *more: Any, **named: Any) -> None:
        own = self._ours(path)
        if own is not None and not own.exists():
            self._folder.change()
        self._os["mkdir"](path, *more, **named)
        if own is not None:
            self._folder.folders.add(own)
            self._folder.made.add(own)


@contextmanager
def under(folder: Folder) -> Iterator[None]:
    """For as long as the block lasts, what this process does below ``folder.root`` is done on that disk."""
    with _Calls(folder).installed():
        yield
