"""Memory after a spike: a hub at its base, ten times the agents and as many round trips as it can, and the base again.

    python -m bench.spike [--agents 1000] [--times 10] [--seconds 5] [--rest 5] [--rounds 5] [--json]

The base is a hub that has its usual agents and has been through as many round trips as a spike has, so that what it
keeps up to a bound (ended questions) is there, and that has never had more agents. Each round is one spike: the peak,
and what is resident some seconds after all of it has gone. A hub that kept something of each would climb.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench import processes
from bench.found import Curve, Found, Measured, Ratio
from bench.targets import Holders, Target, load, names_of, scratch
from crossfade.fleet.load.target import Target as Place
from crossfade.fleet.supervisor import HubProcess

WANTED = 1.1
"""After a spike, at most so many times the base."""
ATTACH_SECONDS = 5.0


class Spiked:
    """One hub, its agents, and what comes on top of them."""

    def __init__(self, place, target, names, chosen):
        self.place, self.target, self.names, self.chosen = place, target, names, chosen
        self.crowd = []

    @property
    def rss_mib(self):
        return processes.rss_mib(self.target.pid)

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
        peak = self.rss_mib
        await guests.release()
        await asyncio.sleep(self.chosen.rest)
        return peak, self.rss_mib


async def measured(chosen):
    """Memory at first, at the base, and (peak, rested) of each round."""
    names, holders = names_of(chosen.pairs), Holders()
    with tempfile.TemporaryDirectory(prefix="spike-", dir=scratch()) as folder:
        hub = HubProcess(Path(folder))
        await hub.start()
        try:
            place = Place(hub.url, hub.operator_token)
            tokens = await place.operator.enlist([(name, "bench") for name in names])
            one = Spiked(place, Target("ours", hub.port, hub.pid, tokens), names, chosen)
            processes.pin(hub.pid, 0)
            await one.enlist()
            await holders.hold(one.target, one.crowd[: chosen.agents], ATTACH_SECONDS)
            first = one.rss_mib
            await one.trips()
            await asyncio.sleep(chosen.rest)
            base = one.rss_mib
            rounds = []
            for number in range(chosen.rounds):
                rounds.append(await one.spike())
                print(f"spike {number + 1} of {chosen.rounds}: {rounds[-1]}", file=sys.stderr, flush=True)
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
    parser.add_argument("--rest", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    first, base, rounds = asyncio.run(measured(chosen))
    agents = f"{chosen.agents:,} agents"
    peaks, after = tuple(peak for peak, _ in rounds), tuple(rested for _, rested in rounds)
    Found(
        measured=(
            Measured(name=f"a fresh hub with {agents}", unit="MiB", each=(first,)),
            Measured(name="the base: the same after round trips", unit="MiB", each=(base,)),
            Measured(name=f"peak, with {chosen.times} times the agents and round trips", unit="MiB", each=peaks),
            Measured(name=f"{chosen.rest:g} s after it", unit="MiB", each=after),
        ),
        ratios=(
            Ratio(name="after a spike / base", each=tuple(one / base for one in after), most=WANTED),
            Ratio(name="after the last spike / after the first", each=(after[-1] / after[0],), most=WANTED),
        ),
        curves=(
            Curve(name="spike", x="spikes", y="MiB, resident", lines={
                "peak": tuple(enumerate(peaks, 1)),
                "after": ((0, base), *enumerate(after, 1)),
            }),
        ),
    ).show(as_json=chosen.json)  # fmt: skip


if __name__ == "__main__":
    main()
