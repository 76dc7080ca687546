"""How long a hub is away when it is started: cold, with many questions that are still open, and after a kill.

    python -m bench.restart [--rounds 5] [--open 100000] [--due 1000] [--json]

Whole processes, from the start of the program until ``/readyz`` says yes, which is after its log is folded and its last
write went through. ``folding`` has no snapshot. Beside the open questions, ``--due`` more are asked with a deadline in
some seconds, the hub is killed, and started again on what it left: all of these have to expire, and not one of the
others. That they do is counted from the hub's own metrics, and so is how late the last one was.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bench import processes
from bench.fill import fill, waiting
from bench.found import Found, Measured, Ratio
from bench.targets import SHAPE, metric, scratch
from crossfade.client.api import Api, Ask
from crossfade.client.transport import Transport
from crossfade.fleet import supervisor
from crossfade.fleet.load.target import Target as Place
from crossfade.fleet.supervisor import HubProcess

WANTED_SECONDS = 5.0
WANTED_LATE_SECONDS = 1.0
DEADLINE_SECONDS = 10
EXPIRED = 'crossfade_questions_ended_total{end="expired"'
EXPIRY_SECONDS = 120.0
"""How long expiries are waited for."""


class Started:
    """A hub that was just started, and what that took."""

    def __init__(self, hub, seconds):
        self.hub, self.seconds = hub, seconds
        self.cpu_seconds = processes.cpu_seconds(hub.pid)
        self.rss_mib = processes.rss_mib(hub.pid)


@asynccontextmanager
async def started(folder):
    """A hub on a folder; it is gone afterwards."""
    hub = HubProcess(folder, revive=False)
    try:
        began = time.perf_counter()
        await hub.start()
        yield Started(hub, time.perf_counter() - began)
    finally:
        await hub.stop()


def forget(folder):
    """The snapshots of a hub that is stopped."""
    shutil.rmtree(folder / "snapshots", ignore_errors=True)


async def starts(folder, rounds, *, snapshot):
    """So many starts on the same folder."""
    found = []
    for number in range(rounds):
        if not snapshot:
            forget(folder)
        async with started(folder) as one:
            found.append(one)
        print(f"{folder.name}, {number + 1} of {rounds}: {one.seconds:.2f} s", file=sys.stderr, flush=True)
    return found


async def cold(folder, rounds):
    """So many first starts, each on a folder of its own."""
    return [(await starts(folder / str(number), 1, snapshot=True))[0] for number in range(rounds)]


async def armed(folder, count):
    """Kill a hub while questions are due soon: seconds until it is ready, lateness of the last expiry, what expired."""
    async with started(folder) as first:
        expired = await metric(first.hub, EXPIRED)
        due = await ask_for_soon(first.hub, count)
        first.hub.kill()
    async with started(folder) as second:
        due = max(due, time.perf_counter())
        ended, late = expired, 0.0
        while ended < expired + count and late < EXPIRY_SECONDS:
            await asyncio.sleep(0.02)
            ended = await metric(second.hub, EXPIRED)
            late = time.perf_counter() - due
        still = await metric(second.hub, "crossfade_questions_open{")
    return second, max(0.0, late), ended - expired, still


async def ask_for_soon(hub, count):
    """Ask so many questions that nobody answers; when the last of them is due."""
    place = Place(hub.url, hub.operator_token)
    asker, _ = await place.operator.enlist([("hurried", "bench"), ("silent", "bench")])
    soon = Ask(to="silent", message="Now?", schema=SHAPE, deadline_seconds=DEADLINE_SECONDS)
    gate = asyncio.Semaphore(32)
    async with Api(Transport(hub.url, token=asker)) as api:

        async def ask():
            async with gate:
                await api.ask(msgspec.structs.replace(soon, key=secrets.token_hex(16)))

        await asyncio.gather(*(ask() for _ in range(count)))
    return time.perf_counter() + DEADLINE_SECONDS


async def measure(chosen, folder):
    """Starts by kind, and what came of each kill."""
    kinds = {"cold, an empty folder": await cold(folder / "cold", chosen.rounds)}
    await fill(folder / "open", waiting(chosen.open))
    waits = f"on {chosen.open:,} open questions"
    kinds[f"{waits}, folding"] = await starts(folder / "open", chosen.rounds, snapshot=False)
    kinds[f"{waits}, with a snapshot"] = await starts(folder / "open", chosen.rounds, snapshot=True)
    killed = []
    for number in range(chosen.rounds):
        copied = folder / f"killed-{number}"
        shutil.copytree(folder / "open", copied)
        killed.append(await armed(copied, chosen.due))
        shutil.rmtree(copied)
        print(f"killed, {number + 1} of {chosen.rounds}: late by {killed[-1][1]:.2f} s", file=sys.stderr, flush=True)
    kinds[f"{waits}, after a kill"] = [one for one, _, _, _ in killed]
    return kinds, killed


def summary(chosen, kinds, killed):
    """Seconds until ready as bounds, processor time and memory, and whether every deadline was kept."""
    measured = [
        Measured(name=f"{kind}, {what}", unit=unit, each=tuple(getattr(one, field) for one in found))
        for kind, found in kinds.items()
        for field, what, unit in (("cpu_seconds", "CPU", "s"), ("rss_mib", "memory", "MiB"))
    ]
    ratios = [
        Ratio(name=f"ready: {kind}", unit="s", each=tuple(one.seconds for one in found), most=WANTED_SECONDS)
        for kind, found in kinds.items()
    ]
    late = tuple(late for _, late, _, _ in killed)
    said = f"After each kill all {chosen.due:,} that were due expired, and the other {chosen.open:,} stayed open."
    wrong = [(int(count), int(still)) for _, _, count, still in killed if (count, still) != (chosen.due, chosen.open)]
    if wrong:
        said = f"**Wrong after a kill** (expired, still open): {wrong}; {chosen.due} and {chosen.open} were to be."
    name = f"the last of {chosen.due:,} deadlines, late by"
    ratios.append(Ratio(name=name, unit="s", each=late, most=WANTED_LATE_SECONDS))
    return Found(measured=tuple(measured), ratios=tuple(ratios), said=(said,))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    supervisor.READY_SECONDS = 600.0
    with tempfile.TemporaryDirectory(prefix="restart-", dir=scratch()) as place:
        kinds, killed = await measure(chosen, Path(place))
    summary(chosen, kinds, killed).show(as_json=chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
