"""Snapshots on disk: a file each, with its digest in front, so that a damaged one is none.

``snapshot-PLACE`` holds 32 bytes of SHA-256 and then the content. It is written under another name, synced, renamed
and its folder synced: after a power cut there is the whole of it or the one before. Two are kept.
"""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Final

from crossfade.outbound.host import write_private

KEPT: Final = 2
PREFIX: Final = "snapshot-"


class FolderShelf:
    """``engine.ports.Shelf`` in a folder."""

    def __init__(self, folder: Path) -> None:
        """The folder is made at the first snapshot."""
        self._folder = folder

    async def keep(self, place: int, content: bytes) -> None:
        """Put one away. Raises OSError."""
        await asyncio.to_thread(self._keep, place, content)

    async def newest(self) -> bytes | None:
        """The one with the highest place that is not damaged; damaged ones are thrown away."""
        return await asyncio.to_thread(self._newest)

    async def discard_newest(self) -> None:
        """Throw it away."""
        for path in self._paths()[:1]:
            path.unlink()

    def _keep(self, place: int, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / f"{PREFIX}{place:020d}", sha256(content).digest() + content)
        for path in self._paths()[KEPT:]:
            path.unlink()

    def _newest(self) -> bytes | None:
        for path in self._paths():
            whole = path.read_bytes()
            if sha256(whole[32:]).digest() == whole[:32]:
                return whole[32:]
            path.unlink()
        return None

    def _paths(self) -> list[Path]:
        return sorted((path for path in self._folder.glob(f"{PREFIX}*") if path.suffix != ".part"), reverse=True)
