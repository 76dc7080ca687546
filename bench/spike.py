"""Memory after a spike: a hub at its base, ten times the agents and as many round trips as it can, and the base again.

    python -m bench.spike [--agents 1000] [--times 10] [--seconds 5] [--rest 10] [--rounds 5] [--json]

The base is a hub that has its usual agents and has been through as many round trips as a spike has, so that what it
keeps up to a bound (ended questions) is there, and that has never had more agents. One spike is made before the rounds,
so that the directory knows everybody. Each round is one more: the peak, and what there is some seconds after all of it
has gone. *Resident* is what the kernel counts; *in use* are the interpreter's blocks (``crossfade_memory_blocks``),
which are not counted where the C library has them all: ``PYTHONMALLOC=malloc python -m bench.spike``.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.found import Curve, Found, Measured, Ratio
from bench.targets import Holders, Target, load, metric, names_of, scratch
from crossfade.fleet.load.target import Target as Place
from crossfade.fleet.supervisor import HubProcess

WANTED = 1.1
"""After a spike, at most so many times what was in use before it; and spikes add up to no more."""
WANTED_RESIDENT = 1.3
"""After a spike, at most so many times the base."""
ATTACH_SECONDS = 5.0


class Held(NamedTuple):
    """What a hub holds at one moment."""

    rss_mib: float
    blocks: float


class Spiked:
    """One hub, its agents, and what comes on top of them."""

    def __init__(self, hub, place, target, names, chosen):
        self.hub, self.place, self.target, self.names, self.chosen = hub, place, target, names, chosen
        self.crowd = []

    async def held(self):
        return Held(processes.rss_mib(self.target.pid), await metric(self.hub, "crossfade_memory_blocks"))

    async def enlist(self):
        """Credentials of everybody, so that the directory does not grow in a spike."""
        names = [f"waits-{number}" for number in range(self.chosen.agents * self.chosen.times)]
        tokens = await self.place.operator.enlist([(name, "bench") for name in names])
        self.crowd = list(zip(names, tokens, strict=True))

    async def trips(self):
        """As many round trips as it can."""
        work = {"kind": "trips", "connections": self.chosen.pairs, "revision": "2026-07-28", "names": self.names}
        await load(self.target, work | {"seconds": self.chosen.seconds})

    async def spike(self):
        """Memory at the peak, and when the hub has rested."""
        guests = Holders()
        await guests.hold(self.target, self.crowd[self.chosen.agents :], ATTACH_SECONDS)
        await self.trips()
        peak = await self.held()
        await guests.release()
        await asyncio.sleep(self.chosen.rest)
        return peak, await self.held()


async def measured(chosen):
    """What is held at first, at the base, and (peak, rested) of the spike before the rounds and of each round."""
    names, holders = names_of(chosen.pairs), Holders()
    with tempfile.TemporaryDirectory(prefix="spike-", dir=scratch()) as folder:
        hub = HubProcess(Path(folder))
        await hub.start()
        try:
            place = Place(hub.url, hub.operator_token)
            tokens = await place.operator.enlist([(name, "bench") for name in names])
            one = Spiked(hub, place, Target("ours", hub.port, hub.pid, tokens), names, chosen)
            processes.pin(hub.pid, 0)
            await one.enlist()
            await holders.hold(one.target, one.crowd[: chosen.agents], ATTACH_SECONDS)
            first = await one.held()
            await one.trips()
            await asyncio.sleep(chosen.rest)
            base = await one.held()
            rounds = []
            for number in range(chosen.rounds + 1):
                rounds.append(await one.spike())
                print(f"spike {number} of {chosen.rounds}: {rounds[-1]}", file=sys.stderr, flush=True)
            return first, base, rounds
        finally:
            await holders.release()
            await hub.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rest", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    summary(chosen, *asyncio.run(measured(chosen))).show(as_json=chosen.json)


def summary(chosen, first, base, spikes):
    """Figures of every round, and what is left after it."""
    rested = [after for _, after in spikes]
    peaks, after, before = [peak for peak, _ in spikes[1:]], rested[1:], rested[:-1]
    many = f"{chosen.times} times the agents"
    counted = base.blocks > 0
    in_use = tuple(one.blocks / earlier.blocks for one, earlier in zip(after, before, strict=True)) if counted else ()
    of_base = tuple(one.blocks / base.blocks for one in after) if counted else ()
    resident = tuple(one.rss_mib / base.rss_mib for one in after)
    climbed = after[-1].rss_mib / after[0].rss_mib
    return Found(
        measured=(
            Measured(name=f"a fresh hub with {chosen.agents:,} agents", unit="MiB", each=(first.rss_mib,)),
            Measured(name="the base: the same after round trips", unit="MiB", each=(base.rss_mib,)),
            Measured(name="the base, in use", unit="blocks", each=(base.blocks,)),
            Measured(name=f"resident with {many}", unit="MiB", each=tuple(one.rss_mib for one in peaks)),
            Measured(name=f"in use with {many}", unit="blocks", each=tuple(one.blocks for one in peaks)),
            Measured(name=f"resident {chosen.rest:g} s after", unit="MiB", each=tuple(one.rss_mib for one in after)),
            Measured(name=f"in use {chosen.rest:g} s after", unit="blocks", each=tuple(one.blocks for one in after)),
        ),
        ratios=(
            *([Ratio(name="in use after a spike / before it", each=in_use, most=WANTED)] if counted else ()),
            *([Ratio(name="in use after a spike / base", each=of_base)] if counted else ()),
            Ratio(name="resident after a spike / base", each=resident, most=WANTED_RESIDENT),
            Ratio(name="resident after the last spike / after the first", each=(climbed,), most=WANTED),
        ),
        curves=(
            Curve(name="spike", x="spikes", y="MiB, resident", lines={
                "peak": tuple(enumerate((peak.rss_mib for peak, _ in spikes), 1)),
                "after": ((0, base.rss_mib), *enumerate((one.rss_mib for one in rested), 1)),
            }),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
