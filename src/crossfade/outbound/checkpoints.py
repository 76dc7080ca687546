"""Checkpoints on disk: the signed heads of the log, in a folder of their own.

``shard-1.checkpoints`` holds one line for each checkpoint of shard 1, newest last, at most a few megabytes;
older ones are in ``shard-1.earlier.checkpoints``, and what is older still is given up: the last one that
holds proves everything before it. A line is words between single spaces:

    crossfade-checkpoint/1 KEYID SHARD EPOCH SEQUENCE CHAIN AT SIGNATURE

KEYID is the hub's (hex SHA-256 of its public key), CHAIN hex, AT nanoseconds since 1970 in UTC, SIGNATURE
Ed25519 in base 64 over everything before the space in front of it. What is cut off at the end of the file by
a power cut, and only that, is passed over: it was never confirmed.

Beside the log lies ``shard-1.last.checkpoints``, the line of the last checkpoint at the start or the stop, so that it
is noticed when the second place is emptied, or files of before are put back there.

Source: the checkpoint of C2SP (tlog-checkpoint), on one line so that a torn end is told from a false one.
"""

import asyncio
import binascii
import contextlib
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Final

from crossfade.core.values import Instant, Sequence, Shard
from crossfade.engine.ports import Checkpoint, CorruptLogError
from crossfade.outbound.host import sync_folder, write_private
from crossfade.outbound.signing import Ed25519Signer, PublicKey

FORMAT: Final = "crossfade-checkpoint/1"
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A file that is longer is moved aside: some 14,000 checkpoints."""


class FolderWitness:
    """``engine.ports.Witness`` in a folder; best on another disk than the log's."""

    def __init__(self, folder: Path, signer: Ed25519Signer, beside: Path | None = None) -> None:
        """The folder is made at the first checkpoint. ``beside``: the log's own folder; None: no line lies there."""
        self._folder = folder
        self._signer = signer
        self._beside = beside
        self._files: dict[Shard, _File] = {}
        self._newest: dict[Shard, bytes] = {}
        """The last line that was confirmed, of those that this process has written."""
        self._noted: set[Shard] = set()
        self._writing = threading.Lock()
        """Whoever is cancelled while it waits leaves its thread at work: the next one must not write beside it."""

    async def keep(self, checkpoints: Seq[Checkpoint]) -> None:
        """Sign and add them. Raises OSError; what was not confirmed is written again by the next call."""
        await asyncio.to_thread(self.keep_now, checkpoints)

    async def last(self, shard: Shard) -> Checkpoint | None:
        """The newest that is kept. Raises CorruptLogError if there has been a newer one."""
        return await asyncio.to_thread(self._last, shard)

    async def kept(self, shard: Shard) -> list[Checkpoint]:
        """All that are still kept."""
        return await asyncio.to_thread(self._kept, shard, None)

    async def lines(self, shard: Shard) -> list[str]:
        """The same as they are kept, unread."""
        return await asyncio.to_thread(line_texts, self._folder, shard)

    def public_key(self) -> str:
        """What the signatures are checked with, as PEM."""
        return self._signer.public.pem().decode()

    def keep_now(self, checkpoints: Iterable[Checkpoint]) -> None:
        """As ``keep``, on this thread."""
        lines: dict[Shard, list[bytes]] = {}
        for checkpoint in checkpoints:
            lines.setdefault(checkpoint.shard, []).append(line(checkpoint, self._signer))
        with self._writing:
            for shard, new in lines.items():
                self._file(shard).add(b"".join(new))
                self._newest[shard] = new[-1]
                if shard not in self._noted:
                    self._note(shard)

    def close(self) -> None:
        """Let go of the files."""
        for shard in self._newest:
            self._note(shard)
        while self._files:
            self._files.popitem()[1].close()

    def _note(self, shard: Shard) -> None:
        """Keep the last line beside the log; what fails is tried again with the next one."""
        if self._beside is not None:
            with contextlib.suppress(OSError):
                write_private(own_path(self._beside, shard), self._newest[shard])
                self._noted.add(shard)

    def _last(self, shard: Shard) -> Checkpoint | None:
        kept = self._kept(shard, 1)
        last = kept[-1] if kept else None
        own = own_path(self._beside or self._folder, shard)
        lines = _split(own)
        noted = parse(lines[-1], self._signer.public) if lines else None
        if noted is not None and (last is None or (last.epoch, last.sequence) < (noted.epoch, noted.sequence)):
            found = 0 if last is None else last.sequence
            raise CorruptLogError(
                f"shard {shard}: sequence {found + 1} is the first that no checkpoint vouches for: {self._folder} "
                f"had reached {noted.sequence}. Put its files back; if they are lost for good, verify the log and then "
                f"remove {own}"
            )
        return last

    def _file(self, shard: Shard) -> "_File":
        if shard not in self._files:
            make_durable(self._folder)
            path = self._path(shard)
            self._files[shard] = _File(path, _sound_bytes(path, self._signer.public))
        return self._files[shard]

    def _path(self, shard: Shard, age: str = "") -> Path:
        return self._folder / f"shard-{shard}{age}.checkpoints"

    def _kept(self, shard: Shard, newest: int | None) -> list[Checkpoint]:
        public = self._signer.public
        found = read_lines(self._path(shard), public, newest)
        if newest is None or not found:
            found = read_lines(self._path(shard, ".earlier"), public, newest) + found
        return found


class _File:
    """One file that only grows."""

    def __init__(self, path: Path, sound_bytes: int) -> None:
        self._path = path
        self._size_bytes = sound_bytes
        """What is confirmed; whatever lies beyond is written over."""
        self._doubtful = True
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_folder(path.parent)

    def add(self, content: bytes) -> None:
        if self._size_bytes + len(content) > FILE_BYTES_MAX:
            self._move_aside()
        if self._doubtful:  # only what is confirmed counts: nothing half-written is ever followed by more
            os.ftruncate(self._descriptor, self._size_bytes)
        self._doubtful = True
        if os.pwrite(self._descriptor, content, self._size_bytes) != len(content):
            raise OSError(28, "no space left for checkpoints", str(self._path))
        os.fsync(self._descriptor)
        self._doubtful = False
        self._size_bytes += len(content)

    def close(self) -> None:
        os.close(self._descriptor)

    def _move_aside(self) -> None:
        self._path.replace(self._path.with_name(self._path.name.replace(".checkpoints", ".earlier.checkpoints")))
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size_bytes = 0
        sync_folder(self._path.parent)


def line(checkpoint: Checkpoint, signer: Ed25519Signer) -> bytes:
    """The checkpoint as it is kept, with its end of line."""
    text = (
        f"{FORMAT} {signer.keyid} {checkpoint.shard} {checkpoint.epoch} {checkpoint.sequence} "
        f"{checkpoint.chain.hex()} {checkpoint.at}"
    ).encode()
    return text + b" " + b64encode(signer.sign(text)) + b"\n"


def read_lines(path: Path, public: PublicKey, newest: int | None = None) -> list[Checkpoint]:
    """The checkpoints of a file, oldest first, or only so many of the ``newest``; none if there is no file.

    Raises CorruptLogError at a line that is false, or another hub's, and is followed by a true one.
    """
    lines = _split(path)
    found: list[Checkpoint] = []
    for number in range(len(lines), 0, -1):
        checkpoint = parse(lines[number - 1], public)
        if checkpoint is not None:
            found.append(checkpoint)
        elif found or _whole(lines[number - 1]):
            raise CorruptLogError(f"{path}:{number}: the checkpoint is false, or signed by another hub's key")
        if newest is not None and len(found) == newest:
            break
    return found[::-1]


def own_path(beside: Path, shard: Shard) -> Path:
    """Where a copy of the shard's last line lies beside the log."""
    return beside / f"shard-{shard}.last.checkpoints"


def line_texts(folder: Path, shard: Shard) -> list[str]:
    """The whole lines of a shard as they are kept, oldest first, unread; a torn end left out."""
    lines = _split(folder / f"shard-{shard}.earlier.checkpoints") + _split(folder / f"shard-{shard}.checkpoints")
    return [line.decode("ascii", "replace").rstrip("\n") for line in lines if _whole(line)]


def parse(text: bytes, public: PublicKey) -> Checkpoint | None:
    """The checkpoint of one line with its end; None if it is not one that this key has signed."""
    content, _, signature = text.rstrip(b"\n").rpartition(b" ")
    words = content.split(b" ")
    if not text.endswith(b"\n") or len(words) != 7 or words[0] != FORMAT.encode():
        return None
    try:
        if not public.check(content, b64decode(signature, validate=True)):
            return None
        return Checkpoint(
            Shard(int(words[2])), int(words[3]), Sequence(int(words[4])), bytes.fromhex(words[5].decode()),
            Instant(int(words[6])),
        )  # fmt: skip
    except (ValueError, binascii.Error):
        return None


def _whole(text: bytes) -> bool:
    """Whether the line is a complete checkpoint by its form: then no power cut made it what it is."""
    words = text.rstrip(b"\n").split(b" ")
    return text.endswith(b"\n") and len(words) == 8 and words[0] == FORMAT.encode() and len(words[7]) == 88


def _split(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def _sound_bytes(path: Path, public: PublicKey) -> int:
    """The length of the file up to the end of its last true line."""
    lines = _split(path)
    while lines and parse(lines[-1], public) is None:
        lines.pop()
    return sum(map(len, lines))


def make_durable(folder: Path) -> None:
    """Create a folder for its owner alone, with a name that survives a power cut."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        sync_folder(folder.parent)
