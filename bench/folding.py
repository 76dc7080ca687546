"""What making a snapshot costs the process that serves: folded in itself, and by a child process.

    python -m bench.folding [--records 200000] [--rounds 5] [--json]

Two snapshots of a log that grew by ``--records`` / 2 before each, in a process of its own for each round and way: its
processor time, the most of it in which its loop came to nothing else, and how much more memory it holds after both than
before. The log was read once by then, so that the page cache of SQLite is as full as it gets.
"""

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import msgspec
import uvloop

from bench.fill import fill, lives
from bench.found import Found, Measured, Ratio
from bench.targets import scratch
from crossfade.core.values import PROGRAMME, SPACE, Sequence
from crossfade.engine.limits import Limits
from crossfade.engine.snapshots import Snapshots
from crossfade.fleet.load.vitals import PAGE_BYTES
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.folding import ChildFolding
from crossfade.outbound.snapshots import FolderShelf

SHARDS = (PROGRAMME, SPACE)
WAYS = {"here": "in the process that serves", "child": "by a child process"}


class Ending:
    """A log as it was when it ended earlier."""

    def __init__(self, log, end):
        self._log, self._end = log, end

    async def head(self, shard):
        head = await self._log.head(shard)
        return msgspec.structs.replace(head, sequence=Sequence(min(head.sequence, self._end)))

    async def read(self, shard, after, limit):
        return await self._log.read(shard, after, min(limit, self._end - after))


def rss_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


async def make(way, folder, log):
    if way == "child":
        await ChildFolding(folder, Limits(), SHARDS, version("crossfade")).make(log)
    else:
        await Snapshots(log, Limits(), FolderShelf(folder), SHARDS, release=version("crossfade")).fold()


class Longest:
    """How much processor time at most the loop used before it came to anything else: a pause, whoever else runs."""

    def __init__(self):
        self.seconds = 0.0

    async def watch(self):
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            self.seconds = max(self.seconds, time.thread_time() - began)


async def measure(way, place):
    """What this process finds about itself."""
    log, longest, after = open_sqlite(place), Longest(), Sequence(0)
    while rows := await log.read(SPACE, after, 5_000):
        after = rows[-1].sequence
    shutil.rmtree(place / "snapshots", ignore_errors=True)
    before_mib, used = rss_mib(), time.process_time()
    watching = asyncio.ensure_future(longest.watch())
    for end in (after // 2, after):
        await make(way, place / "snapshots", Ending(log, end))
    watching.cancel()
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    await log.close()
    return {
        "cpu": time.process_time() - used,
        "longest_ms": longest.seconds * 1e3,
        "grown_mib": rss_mib() - before_mib,
        "child_cpu": child.ru_utime + child.ru_stime,
        "child_mib": child.ru_maxrss / 1024,
    }


def apart(way, place):
    words = [sys.executable, "-m", "bench.folding", "--measure", way, "--folder", str(place)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)


def found(each):
    def column(way, key):
        return tuple(round_[way][key] for round_ in each)

    measured = [
        Measured(name=f"{what}, {WAYS[way]}", unit=unit, each=column(way, key))
        for key, what, unit in (
            ("cpu", "processor of the hub for two", "s"),
            ("longest_ms", "longest pause of the hub", "ms"),
            ("grown_mib", "memory that the hub holds afterwards", "MiB"),
        )
        for way in WAYS
    ]
    measured.append(Measured(name="processor of both children", unit="s", each=column("child", "child_cpu")))
    measured.append(Measured(name="most memory of a child", unit="MiB", each=column("child", "child_mib")))
    here, child = column("here", "cpu"), column("child", "cpu")
    ratio = Ratio(
        name="processor of the hub, by a child / in itself", each=tuple(b / a for a, b in zip(here, child, strict=True))
    )
    return Found(measured=tuple(measured), ratios=(ratio,))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(uvloop.run(measure(options.measure, options.folder))))
        return
    with tempfile.TemporaryDirectory(prefix="folding-", dir=scratch()) as place:
        asyncio.run(fill(Path(place), lives(options.records)))
        order = list(WAYS)
        each = [
            {way: apart(way, place) for way in order[:: 1 if number % 2 else -1]} for number in range(options.rounds)
        ]
    found(each).show(as_json=options.json)


if __name__ == "__main__":
    main()
