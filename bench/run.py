"""The paired runner: the hub, the same tools on the official SDK, two bare echoes; rounds interleaved in one run.

    python -m bench.run [--rounds 5] [--seconds 1] [--connections 32] [--pairs 32 128] [--json]

Each round runs every target once for each number of pairs, in an order that rotates; servers stay on processor 0,
the load on processor 1. Ratios are taken within each round, so that a noisy minute hits both sides. CPU time of a
call is that of the server's process, all threads, from /proc.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench.found import Found, Measured, Ratio
from bench.targets import end, load, names_of, scratch, start_echo, start_ours, start_reference
from crossfade.fleet.supervisor import HubProcess
from crossfade.fleet.wire import Revision

WANTED_TRIPS = {"2025-11-25": 10.0, "2026-07-28": 5.0}
"""Round trips beside the SDK, by rate."""
WANTED_CALLS = 0.5
"""A tool call beside a bare echo on the same server, by rate."""
CALL = "`question`"


def trip(pairs):
    """What a round trip under this load is called."""
    return f"ask → answer, {pairs} pairs"


async def rounds(targets, echoes, chosen, names):
    """(what, revision, server) → one measurement a round."""
    loads = [(CALL, "calls", chosen.connections), *((trip(pairs), "trips", pairs) for pairs in chosen.pairs)]
    found = {}
    for number in range(chosen.rounds):
        for revision in map(str, Revision):
            for what, kind, count in loads:
                work = {"kind": kind, "seconds": chosen.seconds, "connections": count, "revision": revision}
                for target in targets if number % 2 == 0 else targets[::-1]:
                    mine = {"tokens": target.tokens[:-1], "names": names[:-1]}
                    found.setdefault((what, revision, target.name), []).append(await load(target, work | mine))
        work = {"kind": "calls", "seconds": chosen.seconds, "connections": chosen.connections, "revision": "2026-07-28"}
        for echo in echoes:
            mine = {"tokens": echo.tokens[:-1], "names": names[:-1]}
            found.setdefault((CALL, "any", echo.name), []).append(await load(echo, work | mine))
        print(f"round {number + 1} of {chosen.rounds} done", file=sys.stderr, flush=True)
    return found


def summary(found):
    """Medians and ratios of all rounds."""
    measured, ratios = [], []
    for (what, revision, name), each in found.items():
        label = f"{what}, {revision}, {name}"
        measured.append(Measured(name=label, unit="a second", each=tuple(one["per_s"] for one in each)))
        measured.append(Measured(name=f"{label}, CPU", unit="µs", each=tuple(one["cpu_us"] for one in each)))
    for what, revision in [(what, revision) for what, revision, name in found if name == "ours"]:
        ours, sdk = found[what, revision, "ours"], found[what, revision, "sdk"]
        least = None if what == CALL else WANTED_TRIPS[revision]
        label = f"{what}, ours / SDK, {revision}"
        ratios.append(Ratio(name=f"{label}, by rate", each=each_ratio(ours, sdk, "per_s"), least=least))
        ratios.append(Ratio(name=f"{label}, by CPU", each=each_ratio(sdk, ours, "cpu_us"), least=least))
        if what == CALL:
            for name in ("echo", "echo on the front"):
                echo, least = found[CALL, "any", name], WANTED_CALLS if name == "echo" else None
                label = f"{what}, ours / {name}, {revision}"
                ratios.append(Ratio(name=f"{label}, by rate", each=each_ratio(ours, echo, "per_s"), least=least))
                ratios.append(Ratio(name=f"{label}, by CPU", each=each_ratio(echo, ours, "cpu_us"), least=least))
    return Found(measured=tuple(measured), ratios=tuple(ratios))


def each_ratio(some, others, what):
    """The ratio within each round."""
    return tuple(one[what] / other[what] for one, other in zip(some, others, strict=True))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pairs", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    names = [*names_of(max(chosen.pairs)), "bystander"]
    with tempfile.TemporaryDirectory(prefix="calls-", dir=scratch()) as place:
        hub, children = HubProcess(Path(place) / "ours"), []
        try:
            ours = await start_ours(hub, names)
            sdk = await start_reference(Path(place), names, children)
            echoes = [
                await start_echo(children),
                await start_echo(children, "echo on the front", "/mcp", ("--front",)),
            ]
            for target in (ours, sdk):
                await target.prepare(names)
            for echo in echoes:
                echo.tokens, echo.questions = ours.tokens, ours.questions
            for target in (ours, sdk, *echoes):
                target.pin(0)
            found = await rounds([ours, sdk], echoes, chosen, names)
        finally:
            await hub.stop()
            await end(children)
    summary(found).show(as_json=chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
