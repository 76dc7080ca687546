"""Check a hub's log without the hub: an export, an archive, or the folder of a hub that is not running."""

import gzip  # this file and Python 3.11 are enough; ``cryptography`` is for signatures
import json
import shutil
import sqlite3
import struct
import sys
import tempfile
import zlib
from base64 import b64decode
from collections import defaultdict, namedtuple
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from fcntl import LOCK_NB, LOCK_SH, flock
from hashlib import sha256
from importlib.util import find_spec
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path
from typing import Any

EXPORT, SEGMENT, NOTE, FINDINGS_MAX = "crossfade-export/1", "crossfade-segment/1", "crossfade-checkpoint/1", 100
AMISS, CUT = (ValueError, LookupError, TypeError, AttributeError, RecursionError), (EOFError, zlib.error, OSError)
BY = {"answered": "addressee", "declined": "addressee", "withdrawn": "asker"}
HEAD, GENESIS, SPKI = struct.Struct(">BQQQq6I"), bytes(32), bytes.fromhex("302a300506032b6570032100")
Row = namedtuple("Row", "shard sequence stream version type at actor cause key payload chain")
Finding = namedtuple("Finding", "shard sequence what")


class Log:  # to be checked: its shards, checkpoints and rows, from wherever they are
    def __init__(self, path: Path, checkpoints: Path | None, stack: ExitStack) -> None:  # raises as ``verify``
        self.shards, self.gone, self.public_pem = defaultdict[int, Shard](Shard), list[Finding](), b""
        self.signed: dict[tuple[int, int, bytes, bytes], None] = {}  # shard, sequence, signed bytes, signature
        for place, held in ((second := checkpoints or path / "checkpoints", False), (path, second.exists())):
            for file in sorted(place.glob("shard-*.checkpoints")):  # a last line that is torn was never confirmed
                self._note(file.read_text(errors="replace").split("\n")[:-1], held=held)
        if path.is_file():
            rows = self._lines(stack.enter_context(path.open(encoding="utf-8", errors="replace")), EXPORT)
        else:
            rows = self._archived(path, 1, sys.maxsize) if any(path.glob("shard-*.gz")) else self._folder(path, stack)
        self.rows = chain([*islice(rows, 1)], rows)  # what stands above the first one is known from here on

    def _lines(self, lines: Any, kind: str) -> Iterator[Row]:
        first = json.loads(next(lines, "null"))
        if not isinstance(first, dict) or first.get("format") != kind:
            raise ValueError(f"its first line does not say {kind}")
        self.public_pem = self.public_pem or (first["public_key"] or "").encode()
        for end in first["shards"]:
            shard, own = self.shards[end["shard"]], bytes.fromhex(end["chain"])
            shard.epoch, shard.head = max(shard.epoch, end["epoch"]), max(shard.head, (end["sequence"], own))
        self._note(first["checkpoints"])
        for line in lines:
            with suppress(*AMISS):  # what cannot be read is missing
                it = json.loads(line)
                it["payload"] = b64decode(it["payload_base64"]) if "payload_base64" in it else it["payload"].encode()
                it["key"], it["chain"] = bytes.fromhex(it["key"]), bytes.fromhex(it["chain"])
                yield Row._make(it[name] for name in Row._fields)

    def _archived(self, folder: Path, shard: int, through: int) -> Iterator[Row]:
        paths = {tuple(map(int, one.name.split(".")[1].split("-"))): one for one in folder.glob(f"shard-{shard}.*.gz")}
        span: Any = (0, 0)
        while span := max((one for one in paths if one[0] == span[1] + 1 and one[1] <= through), default=None):
            with suppress(*CUT), gzip.open(paths[span], "rt", encoding="utf-8", errors="replace") as lines:
                yield from self._lines(lines, SEGMENT)

    def _folder(self, folder: Path, stack: ExitStack) -> Iterator[Row]:
        file, ahead, lock, public = (folder / name for name in ("log.db", "log.db-wal", "log.lock", "signing.pub"))
        if lock.exists():
            flock(stack.enter_context(lock.open("rb")), LOCK_SH | LOCK_NB)
        name = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
        if ahead.exists() and ahead.stat().st_size:  # what a crash left there would be passed over: read a copy
            copy = stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-verify-"))
            name = Path([shutil.copy(one, copy) for one in (ahead, file)][1]).as_uri()
        database = stack.enter_context(closing(sqlite3.connect(name, uri=True)))
        for number, epoch, sequence, own in database.execute("SELECT shard, epoch, sequence, chain FROM heads"):
            self.shards[number].epoch, self.shards[number].head = epoch, (sequence, own)
        self.public_pem = public.read_bytes() if public.exists() else b""
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        for number, sequence, own, where in database.execute("SELECT * FROM bases") if "bases" in tables else ():
            if not any(Path(where).glob(f"shard-{number}.*.gz")):  # elsewhere: the rest is one chain all the same
                self.shards[number].begin = self.shards[number].last = sequence, own
            yield from self._archived(Path(where), number, sequence)
        for block in database.execute("SELECT * FROM blocks ORDER BY place") if "blocks" in tables else ():
            yield from _stored(*block)
        if "events" in tables:  # formats 1 and 2, or what is left of them
            yield from map(Row._make, database.execute(f"SELECT {', '.join(Row._fields)} FROM events ORDER BY place"))

    def _note(self, lines: Iterable[str], *, held: bool = False) -> None:  # ``held`` to those of the second place
        for words in (line.strip().split(" ") for line in lines):
            if len(words) != 8 or words[0] != NOTE:
                raise ValueError(f"not a checkpoint: {' '.join(words)[:60]!r}")
            number, epoch, sequence = map(int, words[2:5])
            shard = self.shards[number]
            if held and (epoch, sequence) > shard.reached:
                self.gone.append(Finding(number, sequence, "its checkpoint is gone from the second place"))
            shard.notes[sequence], shard.reached = bytes.fromhex(words[5]), max(shard.reached, (epoch, sequence))
            self.signed[number, sequence, " ".join(words[:7]).encode(), b64decode(words[7])] = None


def _stored(place: int, records: bytes, last: bytes) -> Iterator[Row]:
    """The records of a block; each stands there as its hashed bytes, and has its chain in the record behind it."""
    while records:
        _, _, sequence, version, instant, *sizes = HEAD.unpack_from(records.ljust(HEAD.size))
        ends = list(accumulate(sizes, initial=HEAD.size + len(GENESIS)))
        fields: list[Any] = [records[start:end] for start, end in pairwise(ends)]
        texts = [field.decode(errors="replace") for field in fields[:4]]
        record, records = records[: ends[-1]], records[ends[-1] :]
        own = records[HEAD.size :][: len(GENESIS)] or (last if place & (1 << 40) - 1 == sequence else b"")
        if sha256(record).digest() != own:  # nor is it known where another one begins
            records = own = b""
        yield Row._make((place >> 40, sequence, texts[0], version, texts[1], instant, *texts[2:], *fields[4:], own))


class Verdict:  # what was looked at, and what was found; docs/explanation/log.md says what is looked for
    def __init__(self, log: Log) -> None:
        self.findings, self.signatures, self.keyid = log.gone, 0, ""  # how many hold; by which key, if it is there
        for row in log.rows:  # what follows a break is not looked at
            if len(self.findings) < FINDINGS_MAX and not log.shards[row.shard].broken:
                self.findings += (Finding(row.shard, *found) for found in log.shards[row.shard].take(row))
        self.findings += self._signatures(log)
        shards = sorted(log.shards.items())
        self.checkpoints, self.records = len(log.signed), {number: shard.last[0] for number, shard in shards}
        self.findings += (Finding(number, *found) for number, shard in shards for found in shard.end())

    def _signatures(self, log: Log) -> Iterator[Finding]:
        if not log.public_pem or find_spec("cryptography") is None:
            return
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        raw = b64decode(log.public_pem.partition(b"\n")[2].partition(b"\n")[0]).removeprefix(SPKI)
        key, self.keyid = Ed25519PublicKey.from_public_bytes(raw), sha256(raw).hexdigest()
        for shard, sequence, signed, signature in log.signed:
            try:
                key.verify(signature, signed)
                self.signatures += 1
            except InvalidSignature:
                yield Finding(shard, sequence, "its checkpoint is not signed with this key")


class Shard:  # row by row: its chain, and what its events may be in their order; a finding is sequence and what
    def __init__(self) -> None:
        self.begin = self.last = self.head = 0, GENESIS  # sequence, chain: before, of, and as said of its rows
        self.notes, self.reached = dict[int, bytes](), (0, 0)  # sequence → chain, epoch and sequence: by checkpoints
        self.broken, self.at, self.epoch, self.keys = False, 0, 0, dict[bytes, int]()  # key → its last sequence
        self.versions, self.cursors, self.open = dict[str, int](), dict[str, int](), dict[str, dict[str, Any]]()
        self.undelivered = dict[str, dict[str, int]]()  # addressee → open, polling, never offered → its sequence

    def take(self, row: Row) -> Iterator[tuple[int, str]]:  # noqa: D102 - holds a row to the one before
        try:  # the bytes are described in the server's logs/codec.py
            fields = [*(text.encode() for text in (row.stream, row.type, row.actor, row.cause)), row.key, row.payload]
            head = HEAD.pack(0, row.shard, row.sequence, row.version, row.at, *map(len, fields))
            true = sha256(head + self.last[1] + b"".join(fields)).digest()
        except (struct.error, TypeError, AttributeError, UnicodeError):
            true = None  # a column is not even of its type
        self.broken = True
        if row.sequence != self.last[0] + 1:
            yield self.last[0] + 1, "missing"
        elif true is None or row.chain != true:
            yield row.sequence, "false: its hash is not that of its contents and what was before"
        elif self.notes.get(row.sequence, true) != true:
            good = max((sequence for sequence in self.notes if sequence < row.sequence), default=0)
            yield good + 1, f"made anew, up to {row.sequence}: not the checkpoint's log"
        else:
            self.broken, self.last = False, (row.sequence, true)
            try:
                yield from ((row.sequence, what) for what in self._events(row))
            except AMISS:
                yield row.sequence, f"not a {row.type}: its contents cannot be that"

    def end(self) -> Iterator[tuple[int, str]]:  # noqa: D102 - what is missing after the last row
        if self.reached[0] and self.epoch not in {0, self.reached[0]}:
            yield 1, f"of another epoch than its checkpoints, which are of {self.reached[0]}"
        if not self.broken and (reached := max(self.head[0], self.reached[1])) > self.last[0]:
            yield self.last[0] + 1, f"missing: the log had reached {reached}"
        elif not self.broken and self.head != self.last:
            yield min(self.last[0], self.head[0]) + 1, "the head is not that of the last record"

    def _events(self, row: Row) -> Iterator[str]:
        self.versions[row.stream] = version = self.versions.get(row.stream, row.version - 1 if self.begin[0] else 0) + 1
        if row.version != version:
            yield f"version {row.version} of {row.stream}, where {version} should be"
        if row.at < self.at:
            yield "before its time: the record before it is later"
        if self.keys.get(row.key, row.sequence - 1) != row.sequence - 1:  # those of a transaction stand together
            yield "its key was used before"
        self.keys[row.key], self.at = row.sequence, max(self.at, row.at)
        kind, _, event = row.type.partition("/")[0].partition(".")
        if kind in {"question", "message", "mailbox"}:
            content: dict[str, Any] = json.loads(row.payload)
            cause = {"q_": "question/", "m_": "message/"}.get(content.get("reply_to", "")[:2])
            if cause and not self.begin[0] and cause + content["reply_to"] not in self.versions:
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
        except (*AMISS, sqlite3.Error) as fault:
            raise ValueError(f"{path} is no log, or a damaged one: {fault}") from fault


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
