"""Check a hub's log without the hub: an export, or the data folder of a hub that is not running.

Stands alone on purpose: it shares no line with the server, so a mistake there is not repeated here; this one file
and Python 3.11 are enough (``cryptography`` for signatures only). It writes nothing. What a log is held to is in
docs/explanation/log.md: chain, signed checkpoints, one end for each question, nothing before its cause, cursors
that pass nothing undelivered, time that does not go back, no key used twice.
"""

import json
import shutil
import sqlite3
import struct
import sys
import tempfile
from base64 import b64decode
from collections import namedtuple
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fcntl import LOCK_NB, LOCK_SH, flock
from hashlib import sha256
from pathlib import Path
from typing import Any

EXPORT, NOTE, FINDINGS_MAX = "crossfade-export/1", "crossfade-checkpoint/1", 100
COLUMNS = "stream, version, type, at, actor, cause, key, payload, chain"
BY = {"answered": "addressee", "declined": "addressee", "withdrawn": "asker"}


Row = namedtuple("Row", "shard sequence stream version type at actor cause key payload chain")
Finding = namedtuple("Finding", "shard sequence what")


class Log:
    """A log to be checked: ends, checkpoints and rows, from wherever they are."""

    def __init__(self, path: Path, checkpoints: Path | None, stack: ExitStack) -> None:
        """Raises BlockingIOError while a hub has the folder, OSError and ValueError if it is no log."""
        self.notes: list[tuple[int, int, bytes, bytes, bytes]] = []  # shard, sequence, chain, signed bytes, signature
        if path.is_file():
            self._open_export(stack.enter_context(path.open(encoding="utf-8")))
        else:
            self._open_folder(path, checkpoints or path / "checkpoints", stack)

    def _open_export(self, lines: Iterable[str]) -> None:
        objects = map(json.loads, lines)
        first = next(objects, None)
        if not isinstance(first, dict) or first.get("format") != EXPORT:
            raise ValueError(f"its first line does not say {EXPORT}")
        self.public_pem: bytes | None = (first["public_key"] or "").encode() or None
        ends = first["shards"]
        self.heads: dict[int, Any] = {end["shard"]: (end["sequence"], bytes.fromhex(end["chain"])) for end in ends}
        for line in first["checkpoints"]:
            self._note(line)
        self.rows: Iterator[Row] = map(_exported, objects)

    def _open_folder(self, folder: Path, checkpoints: Path, stack: ExitStack) -> None:
        file, ahead, lock, public = (folder / name for name in ("log.db", "log.db-wal", "log.lock", "signing.pub"))
        if lock.exists():
            flock(stack.enter_context(lock.open("rb")), LOCK_SH | LOCK_NB)
        name = f"file:{file}?mode=ro&immutable=1"
        if ahead.exists() and ahead.stat().st_size:  # what a crash left there would be passed over: read a copy
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-verify-")))
            for one in (file, ahead):
                shutil.copyfile(one, copy / one.name)
            name = f"file:{copy / file.name}"
        database = sqlite3.connect(name, uri=True)
        stack.callback(database.close)
        self.heads = {row[0]: row[1:] for row in database.execute("SELECT shard, sequence, chain FROM heads")}
        for path in sorted(checkpoints.glob("shard-*.checkpoints")):
            for line in path.read_text(errors="replace").splitlines(keepends=True):
                if line.endswith("\n"):  # else a power cut tore it: it was never confirmed
                    self._note(line)
        self.public_pem = public.read_bytes() if public.exists() else None
        self.rows = map(Row._make, database.execute(f"SELECT shard, sequence, {COLUMNS} FROM events ORDER BY place"))

    def _note(self, line: str) -> None:
        words = line.strip().split(" ")
        if len(words) != 8 or words[0] != NOTE:
            raise ValueError(f"not a checkpoint: {line[:60]!r}")
        signed = line.strip().rpartition(" ")[0].encode()
        self.notes.append((int(words[2]), int(words[4]), bytes.fromhex(words[5]), signed, b64decode(words[7])))


def _exported(one: dict[str, Any]) -> Row:
    payload = b64decode(one["payload_base64"]) if "payload_base64" in one else one["payload"].encode()
    changed = {"payload": payload, "key": bytes.fromhex(one["key"]), "chain": bytes.fromhex(one["chain"])}
    return Row(*({**one, **changed}[name] for name in Row._fields))


class Verdict:
    """What was looked at, and what was found."""

    def __init__(self, log: Log) -> None:
        self.records, self.checkpoints = dict.fromkeys(log.heads, 0), len(log.notes)
        self.signatures: int | None = None  # how many hold; None if there is nothing to check them with
        self.findings: list[Finding] = list(self._signatures(log))
        shards: dict[int, Shard] = {}
        for row in log.rows:
            shard = shards.get(row.shard) or shards.setdefault(row.shard, Shard(row.shard, log))
            if len(self.findings) < FINDINGS_MAX:
                self.findings += shard.take(row)
        for number in sorted({*log.heads, *shards, *(note[0] for note in log.notes)}):
            shard = shards.get(number) or Shard(number, log)
            self.records[number] = shard.last
            self.findings += shard.end()

    def _signatures(self, log: Log) -> Iterator[Finding]:
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.serialization import load_pem_public_key
        except ImportError:
            return
        key: Any = load_pem_public_key(log.public_pem) if log.public_pem else None
        self.signatures = 0 if key else None
        for shard, sequence, _, signed, signature in log.notes if key else ():
            try:
                key.verify(signature, signed)
                self.signatures = (self.signatures or 0) + 1
            except InvalidSignature:
                yield Finding(shard, sequence, "its checkpoint is not signed with this key")


class Shard:
    """One shard, row by row: its chain, and what its events may be in their order."""

    def __init__(self, number: int, log: Log) -> None:
        self.number, self.last, self.chain, self.good, self.broken = number, 0, bytes(32), 0, False
        self.head = log.heads.get(number, (0, bytes(32)))
        self.notes = {note[1]: note[2] for note in log.notes if note[0] == number}
        self.versions: dict[str, int] = {}
        self.cursors: dict[str, int] = {}
        self.keys: set[bytes] = set()
        self.key, self.at = b"", 0
        self.open: dict[str, dict[str, Any]] = {}
        self.undelivered: dict[str, dict[str, int]] = {}  # addressee → open, polling, never offered → its sequence

    def take(self, row: Row) -> Iterator[Finding]:
        """The next row; nothing is looked at any more after the chain has broken."""
        if self.broken:
            return
        wrong = self._chain(row)
        self.broken = wrong is not None
        if wrong is not None:
            yield wrong
            return
        self.last, self.chain = row.sequence, row.chain
        for what in self._events(row):
            yield Finding(self.number, row.sequence, what)

    def end(self) -> Iterator[Finding]:
        """What is missing after the last row."""
        reached = max(self.head[0], *self.notes, 0)
        if not self.broken and reached > self.last:
            yield Finding(self.number, self.last + 1, f"missing: the log had reached {reached}")
        elif not self.broken and self.head != (self.last, self.chain):
            yield Finding(self.number, min(self.last, self.head[0]) + 1, "the head is not that of the last record")

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
        if self.notes.get(row.sequence, true) != true:
            what = f"made anew, from here or later up to {row.sequence}: this is not the log of the checkpoint"
            return Finding(self.number, self.good + 1, what)
        self.good = row.sequence if row.sequence in self.notes else self.good
        return None

    def _events(self, row: Row) -> Iterator[str]:
        version = self.versions[row.stream] = self.versions.get(row.stream, 0) + 1
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
            if cause and cause + content["reply_to"] not in self.versions:
                yield f"before its cause: {content['reply_to']} is not in the log yet"
            rules = {"question": self._question, "mailbox": self._cursor}.get(kind)
            yield from rules(row, event, content) if rules else ()

    def _question(self, row: Row, event: str, content: dict[str, Any]) -> Iterator[str]:
        asked = content if event == "asked" else self.open.get(row.stream)
        if asked is None or (event == "asked" and row.version > 1):
            yield f"{event} after its end, or twice" if row.version > 1 else f"{event} before it was asked"
            return
        if event == "asked":
            self.open[row.stream] = content
            if content["lane"] == "polling":
                self.undelivered.setdefault(content["addressee"], {})[row.stream] = row.sequence
            return
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
        for stream, sequence in self.undelivered.get(owner, {}).items():
            if sequence <= through:
                yield f"a cursor that passes {stream}, which was never delivered"


def verify(path: Path, checkpoints: Path | None = None) -> Verdict:
    """Check an export, or a data folder. Raises BlockingIOError while a hub has it, OSError, ValueError: no log."""
    with ExitStack() as stack:
        try:
            return Verdict(Log(path, checkpoints, stack))
        except (KeyError, TypeError, AttributeError, sqlite3.Error) as fault:
            raise ValueError(f"{path} is damaged: {fault}") from fault


def main() -> int:
    """``crossfade-verify [EXPORT | FOLDER [CHECKPOINTS]]``; 0 all holds, 6 it does not, 2 no log, 11 a hub uses it."""
    if {"-h", "--help"} & {*sys.argv}:
        return print("usage:", main.__doc__) or 0
    try:
        found = verify(*map(Path, sys.argv[1:3] or ["."]))
    except (OSError, ValueError) as fault:
        busy = isinstance(fault, BlockingIOError)
        print(f"error: {'a hub is using it' if busy else fault}\ntry: an export, a copy, or a hub that is stopped")
        return 11 if busy else 2
    print(*(f"shard {shard}: {records} records" for shard, records in found.records.items()), sep="\n")
    print(f"{found.checkpoints} checkpoints, {found.signatures or 'no'} signatures hold")
    for finding in found.findings:
        print(f"shard {finding.shard}: sequence {finding.sequence}: {finding.what}")
    return 6 if found.findings else 0


if __name__ == "__main__":
    sys.exit(main())
