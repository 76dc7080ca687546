"""The scaling law: what a round trip costs with ten times the agents, the open questions, or the length of the log.

    python -m bench.scaling [--only agents open log] [--rounds 7] [--seconds 1] [--pairs 32] [--json]

Three hubs of one kind run at once: of 1, 3 and 10 times the size. In each round every one of them takes the same round
trips, as in bench/run.py, in an order that rotates; the cost is the CPU of the hub for one, in the same minute.
What a hub uses without any trip (pings and renewals of agents that wait) is measured beside and taken off; it is shown
on its own. ``agents`` wait, each in an open call; ``open`` are questions that nobody has answered; ``log`` is records.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench import processes
from bench.fill import fill, lives, waiting
from bench.found import Curve, Found, Measured, Ratio
from bench.targets import Holders, Target, load, names_of, scratch
from crossfade.fleet import supervisor
from crossfade.fleet.load.target import Target as Place
from crossfade.fleet.supervisor import HubProcess

WANTED = 1.2
"""At ten times the size, at most so many times the cost."""
SIZES = {"agents": (1_000, 3_000, 10_000), "open": (10_000, 30_000, 100_000), "log": (100_000, 300_000, 1_000_000)}
WHAT = {"agents": "agents attached", "open": "open questions", "log": "records in the log"}
ATTACH_SECONDS = 15.0
"""The time between two pings, so that these come evenly."""
IDLE_SECONDS = {"agents": 30.0, "open": 3.0, "log": 3.0}
"""How long a hub is watched without load; the patience of an agent, where there are any."""


class Sized:
    """One hub, of one size."""

    def __init__(self, size, hub, place, names, *, waiting):
        self.size, self.hub, self.place, self.names, self.waiting = size, hub, place, names, waiting
        self.target = None
        self.idle = 0.0
        """Processor seconds a second, without load."""
        self.costs = []

    async def trips(self, chosen):
        """CPU of one round trip in µs, without what the hub uses anyway in a stretch as long, right after it."""
        work = {"kind": "trips", "seconds": chosen.seconds, "connections": chosen.pairs, "revision": "2026-07-28"}
        found = await load(self.target, work | {"names": self.names})
        at_rest = self.idle
        if self.waiting:
            began, after = time.monotonic(), self.target.cpu_seconds()
            await asyncio.sleep(found["seconds"])
            at_rest = (self.target.cpu_seconds() - after) / (time.monotonic() - began)
        self.costs.append((found["cpu_seconds"] - at_rest * found["seconds"]) * 1e6 / found["done"])


async def started(kind, size, folder, names):
    """A hub of this size, its agents not attached yet."""
    if kind == "log":
        await fill(folder, lives(size))
    elif kind == "open":
        await fill(folder, waiting(size))
    hub = HubProcess(folder)
    await hub.start()
    place = Place(hub.url, hub.operator_token)
    one = Sized(size, hub, place, names, waiting=kind == "agents")
    one.target = Target(
        f"{size:,} {kind}", hub.port, hub.pid, await place.operator.enlist([(n, "bench") for n in names])
    )
    processes.pin(hub.pid, 0)
    return one


async def attach(hubs, holders):
    """All agents of all hubs, evenly over the time between two pings."""

    async def of(one):
        names = [f"waits-{number}" for number in range(one.size)]
        tokens = await one.place.operator.enlist([(name, "bench") for name in names])
        await holders.hold(one.target, list(zip(names, tokens, strict=True)), ATTACH_SECONDS)

    await asyncio.gather(*(of(one) for one in hubs))


async def idle(hubs, seconds):
    """What each hub uses while nobody asks anything."""
    before = [one.target.cpu_seconds() for one in hubs]
    await asyncio.sleep(seconds)
    for one, used in zip(hubs, before, strict=True):
        one.idle = (one.target.cpu_seconds() - used) / seconds


async def dimension(kind, chosen):
    """The three hubs of one kind, after all rounds."""
    names, holders = names_of(chosen.pairs), Holders()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"scaling-{kind}-", dir=scratch())))
        hubs = []
        for size in SIZES[kind]:
            hubs.append(await started(kind, size // chosen.smaller, folder / str(size), names))
            stack.push_async_callback(hubs[-1].hub.stop)
        stack.push_async_callback(holders.release)
        if kind == "agents":
            await attach(hubs, holders)
        for one in hubs:  # the first trips of a process are dearer
            await one.trips(chosen)
            one.costs.clear()
        await idle(hubs, IDLE_SECONDS[kind] / chosen.smaller)
        for number in range(chosen.rounds):
            shift = number % len(hubs)
            for one in hubs[shift:] + hubs[:shift]:
                await one.trips(chosen)
            print(f"{kind}, round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
        return [(one.size, one.costs, one.idle, processes.rss_mib(one.hub.pid)) for one in hubs]


def summary(kind, hubs):
    """Figures, the ratio of the largest to the smallest, and the curve."""
    measured, ratios, least = [], [], hubs[0]
    for size, costs, at_rest, rss_mib in hubs:
        about = f"{size:,} {WHAT[kind]}"
        measured.append(Measured(name=f"a round trip at {about}, CPU", unit="µs", each=tuple(costs)))
        measured.append(Measured(name=f"at rest with {about}", unit="cores", each=(at_rest,)))
        measured.append(Measured(name=f"memory with {about}", unit="MiB", each=(rss_mib,)))
    for size, costs, _, _ in hubs[1:]:
        times = round(size / least[0])
        each = tuple(cost / small for cost, small in zip(costs, least[1], strict=True))
        most = WANTED if times >= 10 else None
        ratios.append(Ratio(name=f"a round trip at {times} times the {WHAT[kind]}", each=each, most=most))
    base = statistics.median(least[1])
    picks = {"median": statistics.median, "lowest": min, "highest": max}
    lines = {name: tuple((size, pick(each) / base) for size, each, _, _ in hubs) for name, pick in picks.items()}
    curve = Curve(name=f"scaling-{kind}", x=WHAT[kind], y="smallest hub = 1", lines=lines)
    return measured, ratios, curve


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(SIZES), nargs="+", default=tuple(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--smaller", type=int, default=1, help="divide every size by this, to try the program out")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    supervisor.READY_SECONDS = 600.0  # the first start on a long log folds all of it
    measured, ratios, curves = [], [], []
    for kind in chosen.only:
        more = summary(kind, await dimension(kind, chosen))
        measured += more[0]
        ratios += more[1]
        curves.append(more[2])
    Found(measured=tuple(measured), ratios=tuple(ratios), curves=tuple(curves)).show(as_json=chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
