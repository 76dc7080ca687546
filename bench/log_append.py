"""Durable appends: the SQLite log against an append-only file, paired in one run.

N coroutines each await their own append. With ``--calls batch``, as in the hub, they go through one group
committer: what is queued goes to the log as one batch, one batch under way. With ``--calls each`` every one
calls the log by itself, whose thread takes all that is queued. The file is the least a durable log can do:
length, CRC-32 and bytes of each event, one write and one fdatasync a batch, on a thread, without versions,
chain, index or any check. ``--frame fields`` gives it all that the caller hands over (stream, type, at,
actor, cause, key, payload), ``--frame payload`` the payload alone. Both sides are called alike.

Usage: python -m bench.log_append [--writers 64 1000] [--rounds 5] [--seconds 2] [--keys random ordered]
       [--calls batch|each] [--frame fields|payload] [--preload RECORDS] [--folder FOLDER] [--json]

``--keys ordered`` gives keys that begin with a counter, as time-ordered ids do. ``--preload`` starts
with a log of so many records. The file system under ``--folder`` must be a disk, not memory.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import struct
import tempfile
import threading
import time
import zlib
from pathlib import Path
from queue import SimpleQueue

from bench.found import Found, Measured, Ratio
from bench.targets import scratch
from crossfade.core.values import SPACE, Instant, StreamName
from crossfade.engine.ports import Committed, NewEvent, Tx
from crossfade.logs.sqlite import open_sqlite

PAYLOAD = os.urandom(500)
WANTED = {64: 0.65, 1_000: 0.55}
"""Appends beside the file's, by writers."""


def payload(_tx, event):
    return event.payload


def fields(tx, event):
    texts = f"{event.stream}\0{event.type}\0{event.actor}\0{event.cause}".encode()
    return b"".join((struct.pack(">qI", event.at, len(texts)), texts, tx.key, event.payload))


class FileLog:
    """An append-only file: one write and one fdatasync for all that is queued."""

    def __init__(self, folder, frame):
        self._frame = fields if frame == "fields" else payload
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "log.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._jobs = SimpleQueue()
        self._sequence = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def append(self, _shard, txs):
        future = asyncio.get_running_loop().create_future()
        self._jobs.put((txs, future))
        return await future

    async def close(self):
        self._jobs.put(None)
        self._thread.join()
        os.close(self._file)

    def _run(self):
        while (job := self._jobs.get()) is not None:
            jobs = [job] + [self._jobs.get_nowait() for _ in range(self._jobs.qsize())]
            if jobs[-1] is None:
                raise RuntimeError("closed while appends are under way")
            parts = []
            for txs, _ in jobs:
                for tx in txs:
                    for event in tx.events:
                        body = self._frame(tx, event)
                        parts += (struct.pack(">II", len(body), zlib.crc32(body)), body)
            os.write(self._file, b"".join(parts))
            os.fdatasync(self._file)
            told = [(future, self._numbered(txs)) for txs, future in jobs]
            job[1].get_loop().call_soon_threadsafe(self._tell, told)

    def _numbered(self, txs):
        results = []
        for tx in txs:
            first, self._sequence = self._sequence + 1, self._sequence + len(tx.events)
            results.append(Committed(first, self._sequence))
        return results

    @staticmethod
    def _tell(told):
        for future, results in told:
            future.set_result(results)


class Group:
    """The same group commit for both: everything queued in one append, one append under way."""

    def __init__(self, log):
        self._log, self._queue, self._task = log, [], None

    async def submit(self, tx):
        future = asyncio.get_running_loop().create_future()
        self._queue.append((tx, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._drain())
        return await future

    async def _drain(self):
        await asyncio.sleep(0)
        while self._queue:
            batch, self._queue = self._queue[:5_000], self._queue[5_000:]
            results = await self._log.append(SPACE, [tx for tx, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
        self._task = None


class Each:
    """No committer: every append is a call of its own."""

    def __init__(self, log):
        self._log = log

    async def submit(self, tx):
        return (await self._log.append(SPACE, [tx]))[0]


CALLS = {"batch": Group, "each": Each}


def transactions(ordered):
    """Pairs: a question is asked (its stream must not exist), then answered (it must be at 1).

    Streams are named by time, as a hub names them: those of a round lie behind those of the round before.
    """
    run = f"{time.time_ns():016x}"
    for number in itertools.count():
        stream = StreamName(f"question/q_01J{run}{number // 2:07d}")
        key = struct.pack(">Q", time.time_ns()) + os.urandom(8) if ordered else os.urandom(16)
        at = Instant(1_790_000_000_000_000_000 + number)
        event = NewEvent(stream, "question.asked/1", at, "agent-0017", "01J-trace-0001", PAYLOAD)
        yield Tx(key, ((stream, number % 2),), (event,))


async def _writer(group, source, until, taken):
    while time.perf_counter() < until:
        for tx in (next(source), next(source)):  # its own pair, so the answer follows the question
            began = time.perf_counter()
            if not isinstance(await group.submit(tx), Committed):
                raise TypeError("an append of the benchmark was refused")
            taken.append(time.perf_counter() - began)


async def measure(log, writers, seconds, ordered, calls="batch"):
    group, source, taken = CALLS[calls](log), transactions(ordered), []
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_writer(group, source, began + seconds, taken) for _ in range(writers)))
    rate, cpu_us = len(taken) / (time.perf_counter() - began), (time.process_time() - cpu) / len(taken) * 1e6
    taken.sort()
    return rate, taken[len(taken) // 2] * 1e3, taken[len(taken) * 99 // 100] * 1e3, cpu_us


async def preload(log, records, ordered):
    source = transactions(ordered)
    for _ in range(0, records, 2_000):
        await log.append(SPACE, list(itertools.islice(source, 2_000)))


async def compare(options, folder):
    """Rounds of file, log, file, of all cases in turns: what each log did, beside the mean of the files around it.

    In turns, since a machine is faster at one minute than at another, and then the file gains more than the log.
    """
    cases = [(writers, keys) for keys in options.keys for writers in options.writers]
    logs = {case: open_sqlite(folder / "log-{}-{}".format(*case)) for case in cases}
    rows = {case: [] for case in cases}
    for (_, keys), log in logs.items():
        await preload(log, options.preload, keys == "ordered")
    for number in range(options.rounds):
        for case, log in logs.items():
            rows[case].append(await paired(options, folder / "file-{}-{}".format(*case) / str(number), case, log))
    for log in logs.values():
        await log.close()
    return rows


async def paired(options, folder, case, log):
    writers, ordered = case[0], case[1] == "ordered"
    files = []
    for side in ("before", "after"):
        file = FileLog(folder / side, options.frame)
        if side == "after":
            ours = await measure(log, writers, options.seconds, ordered, options.calls)
        files.append(await measure(file, writers, options.seconds / 2, ordered, options.calls))
        await file.close()
    rate, cpu_us = (statistics.mean(file[place] for file in files) for place in (0, 3))
    return {"file": rate, "log": ours[0], "p99_ms": ours[2], "file_us": cpu_us, "log_us": ours[3]}


def shown(rows, writers, keys):
    """Figures and ratios of one number of writers."""
    about, least = f"{writers:,} writers, {keys} keys", WANTED.get(writers)
    units = {"file": "appends/s", "log": "appends/s", "p99_ms": "ms", "file_us": "µs", "log_us": "µs"}
    names = {"file": "file", "log": "log", "p99_ms": "log, p99", "file_us": "file, CPU", "log_us": "log, CPU"}
    measured = [
        Measured(name=f"{about}, {names[field]}", unit=unit, each=tuple(row[field] for row in rows))
        for field, unit in units.items()
    ]
    rate, cpu = (row["log"] / row["file"] for row in rows), (row["file_us"] / row["log_us"] for row in rows)
    ratios = [
        Ratio(name=f"{about}, log / file, by rate", each=tuple(rate), least=least),
        Ratio(name=f"{about}, log / file, by CPU", each=tuple(cpu)),
    ]
    return measured, ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--keys", choices=("random", "ordered"), nargs="+", default=["random", "ordered"])
    parser.add_argument("--calls", choices=tuple(CALLS), default="batch")
    parser.add_argument("--frame", choices=("fields", "payload"), default="fields")
    parser.add_argument("--preload", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured, ratios = [], []
    with tempfile.TemporaryDirectory(prefix="append-", dir=options.folder or scratch()) as place:
        for (writers, keys), rows in asyncio.run(compare(options, Path(place))).items():
            more = shown(rows, writers, keys)
            measured += more[0]
            ratios += more[1]
    Found(measured=tuple(measured), ratios=tuple(ratios)).show(as_json=options.json)


if __name__ == "__main__":
    main()
