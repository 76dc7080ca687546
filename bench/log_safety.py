"""What chain and checkpoints cost in appends/s, paired in one run: without, with, without, with.

N coroutines append through one group committer, as in bench/log_append.py. Three sides take turns in the same
process on the same disk: ``bare`` has a chain that costs nothing (a constant in place of the hash), ``chain`` is
the log as it is, ``witnessed`` adds signed checkpoints after every 1,000 records or 0.75 s into a folder beside
it. A round is all three; the figure is the median over rounds of each side divided by ``bare``. ``cpu_us`` is the
processor time of the whole process for an append; on a machine that others use it says more than the rate.

Usage: python -m bench.log_safety [--writers 64 1000] [--rounds 7] [--seconds 1.5] [--folder FOLDER] [--json]
"""

import argparse
import asyncio
import contextlib
import tempfile
from hashlib import sha256
from pathlib import Path

from bench.found import Found, Measured, Ratio
from bench.log_append import measure
from bench.targets import scratch
from crossfade.core.values import SPACE
from crossfade.engine import witnessing
from crossfade.engine.ports import Checkpoint
from crossfade.logs import batch
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.host import HostClock
from crossfade.outbound.signing import Ed25519Signer

SIDES = ("bare", "chain", "witnessed")
WANTED = 0.9
"""Of the rate without chain and checkpoints."""
NO_CHAIN = bytes(32)


class Unhashed:
    """In place of a hash: the same for every record."""

    def __init__(self, _record):
        pass

    def digest(self):
        return NO_CHAIN


@contextlib.contextmanager
def chain(on):
    """The log with its hashes, or with a constant in their place."""
    batch.sha256 = sha256 if on else Unhashed
    try:
        yield
    finally:
        batch.sha256 = sha256


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


def rounds(options, writers):
    """Every side once a round, in an order that rotates."""
    found = []
    for number in range(options.rounds):
        one_round = {}
        for side in SIDES[number % 3 :] + SIDES[: number % 3]:
            with tempfile.TemporaryDirectory(prefix="safety-", dir=options.folder or scratch()) as place:
                one_round[side] = asyncio.run(one(Path(place), side, writers, options.seconds))
        found.append(one_round)
    return found


def shown(found, writers):
    """Figures and ratios of one number of writers."""
    measured, ratios = [], []
    for side in SIDES:
        for place, what, unit in ((0, "", "appends/s"), (2, ", p99", "ms"), (4, ", CPU", "µs")):
            each = tuple(one_round[side][place] for one_round in found)
            measured.append(Measured(name=f"{writers:,} writers, {side}{what}", unit=unit, each=each))
    for side in SIDES[1:]:
        rate = tuple(one_round[side][0] / one_round["bare"][0] for one_round in found)
        cpu = tuple(one_round["bare"][4] / one_round[side][4] for one_round in found)
        ratios.append(Ratio(name=f"{writers:,} writers, {side} / bare, by rate", each=rate, least=WANTED))
        ratios.append(Ratio(name=f"{writers:,} writers, {side} / bare, by CPU", each=cpu))
    return measured, ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured, ratios = [], []
    for writers in options.writers:
        more = shown(rounds(options, writers), writers)
        measured += more[0]
        ratios += more[1]
    Found(measured=tuple(measured), ratios=tuple(ratios)).show(as_json=options.json)


if __name__ == "__main__":
    main()
