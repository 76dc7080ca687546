"""How long a hub takes to start on a long log, without a snapshot and with one; and what a copy costs meanwhile.

Fills a log with whole lives of questions (asked, offered, answered, cursors moved). A hub starts on it without a
snapshot, so it folds everything and leaves one; in each round it starts with that. Then, while 64 writers append, the
log is copied, and the p99 of an append is measured with and without the copy; twice at most, since that takes most of
the time, and each time from the same log, which 64 writers make longer. bench/restart.py has whole processes.

Usage: python -m bench.log_start [--records 1000000] [--rounds 5] [--folder FOLDER] [--json]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.fill import fill, lives
from bench.found import Found, Measured, Ratio
from bench.targets import scratch
from crossfade.core.values import SPACE, Instant, StreamName
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.ports import NewEvent, Tx
from crossfade.logs.backup import back_up
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.host import HostClock, HostIds
from crossfade.outbound.signing import signing_key
from crossfade.outbound.snapshots import FolderShelf

COPIES_MAX = 2
WANTED = 5.0
"""Seconds at most, for a start with a snapshot."""


async def start(folder):
    began = time.perf_counter()
    log = open_sqlite(folder)
    hub = Hub(log, HostClock(), HostIds(), Limits())
    hub.keeping.guard(FolderWitness(folder / "checkpoints", signing_key(folder)))
    hub.keeping.save(FolderShelf(folder / "snapshots"))
    await hub.start()
    seconds = time.perf_counter() - began
    await hub.stop()
    await log.close()
    return seconds


async def p99_ms(log, seconds, alongside=None):
    taken, until = [], time.perf_counter() + seconds
    event = NewEvent(StreamName("q/x"), "t/1", Instant(1), "ann", "", os.urandom(500))

    async def writer():
        while time.perf_counter() < until or (alongside is not None and not alongside.done()):
            began = time.perf_counter()
            await log.append(SPACE, [Tx(os.urandom(16), (), (event,))])
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*(writer() for _ in range(64)))
    taken.sort()
    return taken[len(taken) * 99 // 100] * 1e3


async def copy(original):
    """p99 of an append in ms, alone and while the log is copied; seconds that the copy took."""
    folder = shutil.copytree(original, original.parent / "grows")
    log = open_sqlite(folder)
    quiet = [await p99_ms(log, 1)]
    began = time.perf_counter()
    copying = asyncio.ensure_future(back_up(log, folder.parent / "copy"))
    busy = await p99_ms(log, 0.5, copying)
    seconds = time.perf_counter() - began
    await copying
    quiet.append(await p99_ms(log, 1))
    await log.close()
    shutil.rmtree(folder.parent / "copy")
    shutil.rmtree(folder)
    return statistics.mean(quiet), busy, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-", dir=options.folder or scratch()) as place:
        folder = Path(place) / "data"
        asyncio.run(fill(folder, lives(options.records)))
        log_mib = (folder / "log.db").stat().st_size / 2**20
        folding = asyncio.run(start(folder))
        snapshot = tuple(asyncio.run(start(folder)) for _ in range(options.rounds))
        snapshot_mib = max(one.stat().st_size for one in (folder / "snapshots").iterdir()) / 2**20
        copies = [asyncio.run(copy(folder)) for _ in range(min(options.rounds, COPIES_MAX))]
    quiet, busy, seconds = (tuple(one[place] for one in copies) for place in range(3))
    about = f"{options.records:,} records"
    Found(
        measured=(
            Measured(name=f"log of {about}", unit="MiB", each=(log_mib,)),
            Measured(name="its snapshot", unit="MiB", each=(snapshot_mib,)),
            Measured(name="start by folding", unit="s", each=(folding,)),
            Measured(name="copy of the log", unit="s", each=seconds),
            Measured(name="append by 64 writers, p99", unit="ms", each=quiet),
            Measured(name="the same while the log is copied, p99", unit="ms", each=busy),
        ),
        ratios=(Ratio(name=f"start on {about} with a snapshot", each=snapshot, most=WANTED, unit="s"),),
    ).show(as_json=options.json)


if __name__ == "__main__":
    main()
