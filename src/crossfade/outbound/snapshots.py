"""Snapshots on disk: a file each, with its digest in front, so that a damaged one is none.

``snapshot-PLACE`` holds 32 bytes of SHA-256 and then the content. It is written under another name, synced, renamed
and its folder synced: after a power cut there is the whole of it or the one before. Two are kept. One that cannot be
read or thrown away is passed over: a snapshot is worth time and nothing else.
"""

import asyncio
import contextlib
import threading
from hashlib import sha256
from pathlib import Path
from typing import Final

from crossfade.outbound.host import sync_folder, write_private

KEPT: Final = 2
PREFIX: Final = "snapshot-"
UNFINISHED: Final = ".part"
DIGEST_BYTES: Final = 32


class FolderShelf:
    """``engine.ports.Shelf`` in a folder."""

    def __init__(self, folder: Path) -> None:
        """The folder is made at the first snapshot."""
        self._folder = folder
        self._rejected: set[Path] = set()
        """What was thrown away, in case that it is still there, or cannot be read."""
        self._ready = False
        """The folder is there, its name is durable, and nothing is left of a life that ended while it wrote."""
        self._writing = threading.Lock()
        """Whoever is cancelled while it waits leaves its thread at work: the next one must not write beside it."""

    async def keep(self, place: int, content: bytes) -> None:
        """Put one away. Raises OSError."""
        await asyncio.to_thread(self._keep, place, content)

    async def newest(self) -> bytes | None:
        """The one with the highest place that is not damaged; damaged ones are thrown away."""
        return await asyncio.to_thread(self._newest)

    async def discard_newest(self) -> None:
        """Throw it away."""
        for path in self._paths()[:1]:
            self._throw_away(path)

    def _keep(self, place: int, content: bytes) -> None:
        with self._writing:
            self._make_ready()
            path = self._folder / f"{PREFIX}{place:020d}"
            write_private(path, sha256(content).digest() + content)
            self._rejected.discard(path)
            for older in self._paths()[KEPT:]:
                older.unlink()

    def _make_ready(self) -> None:
        if self._ready:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self._folder.parent)
        for path in self._folder.glob(f"{PREFIX}*{UNFINISHED}"):
            path.unlink()
        self._ready = True

    def _newest(self) -> bytes | None:
        for path in self._paths():
            try:
                whole = path.read_bytes()
            except OSError:
                self._rejected.add(path)  # it stays: the next start may be able to read it
                continue
            if sha256(whole[DIGEST_BYTES:]).digest() == whole[:DIGEST_BYTES]:
                return whole[DIGEST_BYTES:]
            self._throw_away(path)
        return None

    def _throw_away(self, path: Path) -> None:
        self._rejected.add(path)
        with contextlib.suppress(OSError):
            path.unlink()

    def _paths(self) -> list[Path]:
        found = set(self._folder.glob(f"{PREFIX}*")) - self._rejected
        return sorted((path for path in found if path.suffix != UNFINISHED), reverse=True)
