"""Archived records: the beginning of a shard in files beside the log, each a stretch that anybody can verify.

A segment is ``shard-1.000000000001-000000010000.jsonl.gz``: lines of JSON, compressed. The first line says where it
begins and ends, with the chain before its first record and of its last, and the signed checkpoints that fall into it;
the last of them is made for its end. Each further line is one record as in an export (export.py). A segment is
written under another name, synced, renamed, its folder synced, and read again before anything is cut off the log.
"""

import gzip
import os
import zlib
from base64 import b64decode
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any, Final

import msgspec

from crossfade.core.values import Instant, Sequence, Shard, StreamName
from crossfade.engine.ports import CorruptLogError, StoredEvent, UnavailableError
from crossfade.logs.bases import Beginning
from crossfade.logs.codec import GENESIS, verify
from crossfade.logs.export import record_lines
from crossfade.logs.settling import sync
from crossfade.logs.startup import make_folder

FORMAT: Final = "crossfade-segment/1"
RECORDS_PER_SEGMENT: Final = 10_000


class Stretch(msgspec.Struct, frozen=True):
    """Where a segment begins and ends."""

    shard: int
    epoch: int
    after: int
    """The sequence before its first record."""
    after_chain: str
    sequence: int
    """Of its last record."""
    chain: str


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a segment; as an export's, of one shard."""

    format: str = FORMAT
    shards: tuple[Stretch]
    public_key: str
    """PEM; what the checkpoints are checked with."""
    checkpoints: list[str]


class Archive:
    """The archived beginning of one shard. Raises UnavailableError if it is out of reach, CorruptLogError if false."""

    def __init__(self, shard: Shard, base: Beginning) -> None:
        """``base``: where the archive ends, and the folder it is in."""
        self._shard = shard
        self._base = base
        self.end = base.sequence
        """The last record that is archived."""
        self._folder = Path(base.folder)
        self._held: tuple[Sequence, list[StoredEvent]] = (Sequence(0), [])

    def read(self, after: Sequence, limit: int) -> list[StoredEvent]:
        """Records ``after + 1`` …, contiguous, at most ``limit``, and no more than one segment has."""
        start, rows = self._held
        if not start <= after < start + len(rows):
            start, rows = self._held = self._segment(after)
        return rows[after - start : after - start + limit]

    def first_bad(self, after: Sequence, through: Sequence) -> Sequence | None:
        """The first sequence in (after, through] that is missing or false; None if all hold."""
        prev = GENESIS if after == 0 else b""
        while after < through:
            try:
                start, rows = self._segment(after)
            except CorruptLogError:
                return Sequence(after + 1)
            if not prev and after > start:
                prev = rows[after - start - 1].chain
            part = rows[after - start : through - start]
            prev = prev or self._chain_before(part[0].sequence)
            if (bad := verify(self._shard, part, after, prev)) is not None:
                return bad
            after, prev = part[-1].sequence, part[-1].chain
        return after if after == self._base.sequence and prev != self._base.chain else None

    def _chain_before(self, sequence: int) -> bytes:
        return self.read(Sequence(sequence - 2), 1)[0].chain

    def _segment(self, after: Sequence) -> tuple[Sequence, list[StoredEvent]]:
        path = self._path(after)
        top, rows = read_segment(path)
        [stretch] = top.shards
        if stretch.shard != self._shard or not rows or rows[0].sequence > after + 1 or rows[-1].sequence <= after:
            raise CorruptLogError(f"shard {self._shard}: sequence {after + 1} is not in {path}")
        return Sequence(rows[0].sequence - 1), rows

    def _path(self, after: Sequence) -> Path:
        for path, first, last in stretches(self._folder, self._shard):
            if first <= after + 1 <= last <= self._base.sequence:
                return path
        raise UnavailableError(
            f"shard {self._shard}: sequence {after + 1} is archived, and {self._folder} does not have it; "
            f"bring the archive back there"
        )


def stretches(folder: Path, shard: Shard) -> Iterator[tuple[Path, int, int]]:
    """The segments of a shard in a folder, with their first and last sequence, in no order."""
    for path in folder.glob(f"shard-{shard}.*-*.jsonl.gz"):
        first, _, last = path.name.split(".")[1].partition("-")
        if first.isdecimal() and last.isdecimal():
            yield path, int(first), int(last)


def write_segment(folder: Path, top: Top, rows: Seq[StoredEvent]) -> Path:
    """Put one away, durably, and hold it to the rows. Raises OSError, and CorruptLogError if it does not read back."""
    make_folder(folder)
    [stretch] = top.shards
    path = folder / f"shard-{stretch.shard}.{stretch.after + 1:012d}-{stretch.sequence:012d}.jsonl.gz"
    lines = (msgspec.json.encode(top) + b"\n", *record_lines(Shard(stretch.shard), rows))
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(gzip.compress(b"".join(lines), 6, mtime=0))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(folder)
    if read_segment(path) != (top, list(rows)):
        raise CorruptLogError(f"{path} does not read back as it was written; nothing was cut off the log")
    return path


def read_segment(path: Path) -> tuple[Top, list[StoredEvent]]:
    """What a segment holds, as it is written, unverified. Raises UnavailableError, CorruptLogError."""
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        top = msgspec.json.decode(lines[0], type=Top)
        return top, [_row(msgspec.json.decode(line)) for line in lines[1:]]
    except OSError as fault:
        if isinstance(fault, gzip.BadGzipFile):
            raise CorruptLogError(f"{path} is damaged: {fault}") from fault
        raise UnavailableError(f"the archive cannot be read: {fault}") from fault
    except (EOFError, zlib.error, ValueError, LookupError, TypeError, msgspec.MsgspecError) as fault:
        raise CorruptLogError(f"{path} is damaged: {fault}") from fault


def _row(one: dict[str, Any]) -> StoredEvent:
    payload = b64decode(one["payload_base64"]) if "payload_base64" in one else one["payload"].encode()
    return StoredEvent(
        Sequence(one["sequence"]), StreamName(one["stream"]), one["version"], one["type"], Instant(one["at"]),
        one["actor"], one["cause"], bytes.fromhex(one["key"]), payload, bytes.fromhex(one["chain"]),
    )  # fmt: skip
