"""What chain and checkpoints cost in appends/s, paired in one run: without, with, without, with.

N coroutines append through one group committer, as in bench/log_append.py. Three sides take turns in the same
process on the same disk: ``bare`` has a chain that costs nothing (a constant in place of the hash), ``chain`` is
the log as it is, ``witnessed`` adds signed checkpoints after every 1,000 records or 0.75 s into a folder beside
it. A round is all three; the figure is the median over rounds of each side divided by ``bare``. ``cpu_us`` is the
processor time of the whole process for an append; on a machine that others use it says more than the rate.

Usage: python -m bench.log_safety [--writers 64 1000] [--rounds 7] [--seconds 1.5] [--folder FOLDER]
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from bench.log_append import measure
from crossfade.core.values import SPACE
from crossfade.engine import witnessing
from crossfade.engine.ports import Checkpoint
from crossfade.logs import batch
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.host import HostClock
from crossfade.outbound.signing import Ed25519Signer

SIDES = ("bare", "chain", "witnessed")
NO_CHAIN = bytes(32)


@contextlib.contextmanager
def chain(on):
    """The log with its hashes, or with a constant in their place."""
    link = batch.link
    batch.link = link if on else lambda _shard, _prev, _row: NO_CHAIN
    try:
        yield
    finally:
        batch.link = link


async def witnessed(log, witness):
    """As engine/witnessing.py, without a hub around it; looks every 10 ms instead of being told."""
    clock, covered, began = HostClock(), 0, None
    while True:
        head = await log.head(SPACE)
        if head.sequence > covered and began is None:
            began = clock.now()
        full = head.sequence - covered >= witnessing.RECORDS_MAX
        if full or (began is not None and clock.now() - began > witnessing.SECONDS_MAX * 1e9):
            await witness.keep([Checkpoint(SPACE, head.epoch, head.sequence, head.chain, clock.now())])
            covered, began = head.sequence, None
        await asyncio.sleep(0.01)


async def one(folder, side, writers, seconds):
    log = open_sqlite(folder / "log")
    witness = FolderWitness(folder / "checkpoints", Ed25519Signer(bytes(32)))
    task = asyncio.ensure_future(witnessed(log, witness)) if side == "witnessed" else None
    with chain(side != "bare"):
        rate, p50_ms, p99_ms, cpu_us = await measure(log, writers, seconds, ordered=True)
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    kept = len(await witness.kept(SPACE))
    witness.close()
    await log.close()
    return rate, p50_ms, p99_ms, kept, cpu_us


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    for writers in options.writers:
        rounds = []
        for number in range(options.rounds):
            sides = SIDES[number % 3 :] + SIDES[: number % 3]
            found = {}
            for side in sides:
                folder = Path(tempfile.mkdtemp(prefix="bench-safety-", dir=options.folder))
                try:
                    found[side] = asyncio.run(one(folder, side, writers, options.seconds))
                finally:
                    shutil.rmtree(folder)
            rounds.append(found)
        middle = {side: round(statistics.median(found[side][0] for found in rounds)) for side in SIDES}
        ratios = {
            side: round(statistics.median(found[side][0] / found["bare"][0] for found in rounds), 3)
            for side in SIDES[1:]
        }
        p99_ms = {side: round(statistics.median(found[side][2] for found in rounds), 2) for side in SIDES}
        kept = statistics.median(found["witnessed"][3] for found in rounds)
        cpu_us = {side: round(statistics.median(found[side][4] for found in rounds), 2) for side in SIDES}
        cpu = {side: round(statistics.median(one["bare"][4] / one[side][4] for one in rounds), 3) for side in SIDES[1:]}
        found = {"writers": writers, "appends_per_second": middle, "ratio_to_bare": ratios, "p99_ms": p99_ms}
        found |= {"checkpoints": kept, "cpu_us": cpu_us, "bare_cpu_to_cpu": cpu}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
