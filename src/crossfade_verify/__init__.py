"""Check a hub's log without the hub: an export, an archive, or the folder of a hub that is not running.

This file and Python 3.11 are enough; ``cryptography`` is for signatures. What it checks: docs/explanation/log.md.
"""

import gzip
import json
import shutil
import sqlite3
import struct
import sys
import tempfile
import zlib
from base64 import b64decode
from collections import namedtuple
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from fcntl import LOCK_NB, LOCK_SH, flock
from hashlib import sha256
from importlib.util import find_spec
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

EXPORT, SEGMENT, NOTE, FINDINGS_MAX = "crossfade-export/1", "crossfade-segment/1", "crossfade-checkpoint/1", 100
BY = {"answered": "addressee", "declined": "addressee", "withdrawn": "asker"}
Row = namedtuple("Row", "shard sequence stream version type at actor cause key payload chain")
Finding = namedtuple("Finding", "shard sequence what")


class Log:  # to be checked: its ends, checkpoints and rows, from wherever they are
    def __init__(self, path: Path, checkpoints: Path | None, stack: ExitStack) -> None:  # raises as ``verify``
        self.notes: dict[tuple[int, int], bytes] = {}  # shard, sequence → chain
        self.reached, self.epochs = dict[int, tuple[int, int]](), dict[int, int]()  # epoch and sequence by checkpoints
        self.signed: dict[tuple[int, int, bytes, bytes], None] = {}  # shard, sequence, signed bytes, signature
        self.public_pem, self.rows, self.gone = b"", iter(tuple[Row]()), list[Finding]()
        self.heads, self.begins = dict[int, Any](), dict[int, Any]()  # sequence, chain: the last row, before the first
        self._second_place(second := checkpoints or path / "checkpoints")
        if path.is_file() or any(path.glob("shard-*.gz")):
            file = stack.enter_context(path.open(encoding="utf-8")) if path.is_file() else None
            rows = self._lines(file, EXPORT) if file else self._archived(path, 1, sys.maxsize)
            self.rows = chain([*islice(rows, 1)], rows)
        else:
            self._open_folder(path, second, stack)

    def _lines(self, lines: Any, kind: str) -> Iterator[Row]:
        first = json.loads(next(lines, "null"))
        if not isinstance(first, dict) or first.get("format") != kind:
            raise ValueError(f"its first line does not say {kind}")
        self.public_pem = self.public_pem or (first["public_key"] or "").encode()
        for end in first["shards"]:
            last = end["sequence"], bytes.fromhex(end["chain"])
            self.heads[end["shard"]] = max(self.heads.get(end["shard"], last), last)
        self._note(first["checkpoints"])
        yield from map(_exported, map(json.loads, lines))

    def _archived(self, folder: Path, shard: int, through: int) -> Iterator[Row]:
        paths = {tuple(map(int, one.name.split(".")[1].split("-"))): one for one in folder.glob(f"shard-{shard}.*.gz")}
        span: Any = (0, 0)
        while span := max((one for one in paths if one[0] == span[1] + 1 and one[1] <= through), default=None):
            with gzip.open(paths[span], "rt", encoding="utf-8") as lines:
                yield from self._lines(lines, SEGMENT)

    def _open_folder(self, folder: Path, checkpoints: Path, stack: ExitStack) -> None:
        file, ahead, lock, public = (folder / name for name in ("log.db", "log.db-wal", "log.lock", "signing.pub"))
        if lock.exists():
            flock(stack.enter_context(lock.open("rb")), LOCK_SH | LOCK_NB)
        name = f"file:{file}?mode=ro&immutable=1"
        if ahead.exists() and ahead.stat().st_size:  # what a crash left there would be passed over: read a copy
            copy = stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-verify-"))
            name = f"file:{[shutil.copy(one, copy) for one in (ahead, file)][1]}"
        database = stack.enter_context(closing(sqlite3.connect(name, uri=True)))
        self.heads = {row[0]: row[1:] for row in database.execute("SELECT shard, sequence, chain FROM heads")}
        self.epochs = dict(database.execute("SELECT shard, epoch FROM heads"))
        kept = dict(self.reached) if checkpoints.exists() else dict.fromkeys(self.heads, (sys.maxsize, 0))
        self._second_place(folder)  # a copy of each shard's last line, as it was at a start or a stop
        gone = [(shard, at[1]) for shard, at in self.reached.items() if at > kept.get(shard, (0, 0))]
        self.gone = [Finding(*place, "its checkpoint is gone from the second place") for place in gone]
        self.public_pem = public.read_bytes() if public.exists() else b""
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        if "blocks" in tables:
            self.rows = _stored(database.execute("SELECT place, records, chain FROM blocks ORDER BY place"))
        if "events" in tables:  # formats 1 and 2, or what is left of them
            events = database.execute(f"SELECT {', '.join(Row._fields)} FROM events ORDER BY place")
            self.rows = chain(self.rows, map(Row._make, events))
        for shard, *begin, where in database.execute("SELECT * FROM bases").fetchall() if "bases" in tables else ():
            self.rows = chain(self._archived(Path(where), shard, begin[0]), self.rows)
            if not any(Path(where).glob(f"shard-{shard}.*.gz")):  # it is elsewhere: the rest is one chain all the same
                self.begins[shard] = tuple(begin)

    def _second_place(self, folder: Path) -> None:
        for path in sorted(folder.glob("shard-*.checkpoints")):
            self._note(path.read_text(errors="replace").split("\n")[:-1])  # a torn one was never confirmed

    def _note(self, lines: Iterable[str]) -> None:
        for words in (line.strip().split(" ") for line in lines):
            if len(words) != 8 or words[0] != NOTE:
                raise ValueError(f"not a checkpoint: {' '.join(words)[:60]!r}")
            self.notes[int(words[2]), int(words[4])] = bytes.fromhex(words[5])
            self.reached[int(words[2])] = max(self.reached.get(int(words[2]), (0, 0)), (int(words[3]), int(words[4])))
            self.signed[int(words[2]), int(words[4]), " ".join(words[:7]).encode(), b64decode(words[7])] = None


def _stored(blocks: Iterable[tuple[int, bytes, bytes]]) -> Iterator[Row]:
    """The records of blocks; each stands there as its hashed bytes, and has its chain in the record behind it."""
    for place, records, last in blocks:
        shard, at, expected = place >> 40, 0, 0
        while at < len(records):
            kind, own, sequence, version, instant, *sizes = struct.unpack_from(">BQQQq6I", records.ljust(at + 57), at)
            *starts, end = accumulate(sizes, initial=at + 89)
            fields: list[Any] = [records[start:][:size] for start, size in zip(starts, sizes, strict=True)]
            at, texts = end, [text.decode(errors="replace") for text in fields[:4]]
            expected = expected + 1 if expected else sequence
            whole = (kind, own, sequence) == (0, shard, expected) and end <= len(records)
            if not whole or (end == len(records) and place & (1 << 40) - 1 != sequence):
                yield Row._make((shard, expected, *[None] * 9))
                break
            chained = records[end + 57 : end + 89] if end < len(records) else last
            yield Row._make((shard, sequence, texts[0], version, texts[1], instant, *texts[2:], *fields[4:], chained))


def _exported(one: dict[str, Any]) -> Row:
    payload = b64decode(one["payload_base64"]) if "payload_base64" in one else one["payload"].encode()
    changed = {"payload": payload, "key": bytes.fromhex(one["key"]), "chain": bytes.fromhex(one["chain"])}
    return Row(*({**one, **changed}[name] for name in Row._fields))


class Verdict:  # what was looked at, and what was found
    def __init__(self, log: Log) -> None:
        self.signatures, self.findings, self.keyid = 0, log.gone, ""  # how many hold; by which key, if it is there
        shards: dict[int, Shard] = {}
        for row in log.rows:
            shard = shards.get(row.shard) or shards.setdefault(row.shard, Shard(row.shard, log))
            if len(self.findings) < FINDINGS_MAX:
                self.findings += shard.take(row)
        self.findings += self._signatures(log)
        self.records, self.checkpoints = dict.fromkeys(log.heads, 0), len(log.signed)
        for number in sorted({*log.heads, *shards, *(shard for shard, _ in log.notes)}):
            shard = shards.get(number) or Shard(number, log)
            self.records[number] = shard.last
            self.findings += shard.end()

    def _signatures(self, log: Log) -> Iterator[Finding]:
        if not log.public_pem or find_spec("cryptography") is None:
            return
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key: Any = load_pem_public_key(log.public_pem)
        self.keyid = sha256(key.public_bytes_raw()).hexdigest()
        for shard, sequence, signed, signature in log.signed:
            try:
                key.verify(signature, signed)
                self.signatures += 1
            except InvalidSignature:
                yield Finding(shard, sequence, "its checkpoint is not signed with this key")


class Shard:  # row by row: its chain, and what its events may be in their order
    def __init__(self, number: int, log: Log) -> None:
        self.number, self.log, self.good, self.broken, self.whole = number, log, 0, False, number not in log.begins
        self.last, self.chain = log.begins.get(number, (0, bytes(32)))
        self.versions, self.cursors, self.keys = dict[str, int](), dict[str, int](), set[bytes]()
        self.key, self.at, self.open = b"", 0, dict[str, dict[str, Any]]()
        self.undelivered = dict[str, dict[str, int]]()  # addressee → open, polling, never offered → its sequence

    def take(self, row: Row) -> Iterator[Finding]:  # noqa: D102 - nothing is looked at after the chain has broken
        if wrong := self._chain(row) if not self.broken else None:
            self.broken = True
            yield wrong
        elif not self.broken:
            self.last, self.chain = row.sequence, row.chain
            yield from (Finding(self.number, row.sequence, what) for what in self._events(row))

    def end(self) -> Iterator[Finding]:  # noqa: D102 - what is missing after the last row
        head, at = self.log.heads.get(self.number, (0, bytes(32))), self.log.reached.get(self.number, (0, 0))
        if at[0] and at[0] != self.log.epochs.get(self.number, at[0]):
            yield Finding(self.number, 1, f"of another epoch than its checkpoints, which are of {at[0]}")
        if not self.broken and (reached := max(head[0], at[1])) > self.last:
            yield Finding(self.number, self.last + 1, f"missing: the log had reached {reached}")
        elif not self.broken and head != (self.last, self.chain):
            yield Finding(self.number, min(self.last, head[0]) + 1, "the head is not that of the last record")

    def _chain(self, row: Row) -> Finding | None:
        if row.sequence != self.last + 1:
            return Finding(self.number, self.last + 1, "missing")
        try:  # the bytes are described in the server's logs/codec.py
            fields = [*(text.encode() for text in (row.stream, row.type, row.actor, row.cause)), row.key, row.payload]
            sizes = struct.pack(">BQQQq6I", 0, self.number, row.sequence, row.version, row.at, *map(len, fields))
            true = sha256(sizes + self.chain + b"".join(fields)).digest()
        except (struct.error, TypeError, AttributeError, UnicodeError):
            true = b""  # a column is not even of its type
        if true != row.chain:
            return Finding(self.number, row.sequence, "false: its hash is not that of its contents and what was before")
        if self.log.notes.get((self.number, row.sequence), true) != true:
            return Finding(self.number, self.good + 1, f"made anew, up to {row.sequence}: not the checkpoint's log")
        self.good = row.sequence if (self.number, row.sequence) in self.log.notes else self.good
        return None

    def _events(self, row: Row) -> Iterator[str]:
        self.versions[row.stream] = version = self.versions.get(row.stream, 0 if self.whole else row.version - 1) + 1
        if row.version != version:
            yield f"version {row.version} of {row.stream}, where {version} should be"
        if row.at < self.at:
            yield "before its time: the record before it is later"
        if row.key != self.key and row.key in self.keys:  # the records of one transaction stand together
            yield "its key was used before"
        self.keys.add(row.key)
        self.key, self.at = row.key, max(self.at, row.at)
        kind, _, event = row.type.partition("/")[0].partition(".")
        if kind in {"question", "message", "mailbox"}:
            content: dict[str, Any] = json.loads(row.payload)
            cause = {"q_": "question/", "m_": "message/"}.get(content.get("reply_to", "")[:2])
            if self.whole and cause and cause + content["reply_to"] not in self.versions:
                yield f"before its cause: {content['reply_to']} is not in the log yet"
            rules = {"question": self._question, "mailbox": self._cursor}.get(kind)
            yield from rules(row, event, content) if rules else ()

    def _question(self, row: Row, event: str, content: dict[str, Any]) -> Iterator[str]:
        asked = content if event == "asked" else self.open.get(row.stream)
        if asked is None or (event == "asked" and row.version > 1):
            yield f"{event} after its end, or twice" if row.version > 1 else f"{event} before it was asked"
        elif event == "asked":
            self.open[row.stream] = content
            if content["lane"] == "polling":
                self.undelivered.setdefault(content["addressee"], {})[row.stream] = row.sequence
        else:
            self.undelivered.get(asked["addressee"], {}).pop(row.stream, None)
            if event in BY or event == "expired":
                del self.open[row.stream]
                if (row.at < asked["deadline"]) is (event == "expired"):
                    yield f"{event} on the wrong side of its deadline"
            if event in BY and content["by"] != asked[BY[event]]:
                yield f"{event} by {content['by']}, who is not its {BY[event]}"

    def _cursor(self, row: Row, _: str, content: dict[str, Any]) -> Iterator[str]:
        owner, through = row.stream[8:], content["through"]
        if not self.cursors.get(owner, 0) < through < row.sequence:
            yield "a cursor that goes back, or beyond the end of the log"
        self.cursors[owner] = through
        passed = [stream for stream, sequence in self.undelivered.get(owner, {}).items() if sequence <= through]
        yield from (f"a cursor that passes {stream}, which was never delivered" for stream in passed)


def verify(path: Path, checkpoints: Path | None = None) -> Verdict:
    """Check an export, or a data folder. Raises BlockingIOError while a hub has it, OSError, ValueError: no log."""
    with ExitStack() as stack:
        try:
            return Verdict(Log(path, checkpoints, stack))
        except (KeyError, TypeError, AttributeError, EOFError, RecursionError, zlib.error, sqlite3.Error) as fault:
            raise ValueError(f"{path} is damaged: {fault}") from fault


def main() -> int:
    """``crossfade-verify [EXPORT | ARCHIVE | FOLDER [CHECKPOINTS]]``; 0 all holds, 6 it does not, 2 no log, 11 used."""
    if {"-h", "--help"} & {*sys.argv}:
        return print("usage:", main.__doc__) or 0
    try:
        found = verify(*(Path(name).resolve(strict=True) for name in sys.argv[1:3] or ["."]))
    except (OSError, ValueError) as fault:
        busy = isinstance(fault, BlockingIOError)
        print(f"error: {'a hub is using it' if busy else fault}\ntry: an export, an archive, or a hub that is stopped")
        return 11 if busy else 2
    signed = f"{found.checkpoints} checkpoints, {found.signatures} signatures hold, key {found.keyid or 'not here'}"
    found_at = (f"shard {one.shard}: sequence {one.sequence}: {one.what}" for one in found.findings)
    print(*(f"shard {one}: {records} records" for one, records in found.records.items()), signed, *found_at, sep="\n")
    return 6 if found.findings else 0 if any(found.records.values()) else print("error: no record\ntry: an export") or 2


if __name__ == "__main__":
    sys.exit(main())
