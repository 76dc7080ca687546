"""What a round trip costs after ten times as many: CPU of the hub for each, in windows of one long run.

    python bench/run_length.py [--seconds 60] [--windows 12] [--pairs 32]

Round trips as in bench/run.py, on one hub that is never restarted; the log is on disk and grows with them. Compared are
the medians of the second and third window (the first warms up) with those of the last two. A bare echo, measured after
each window, says how much of a change is the machine's: ratios are of costs in echoes of the same minute.
"""

import argparse
import asyncio
import statistics
import tempfile
import urllib.request
from pathlib import Path

import run

from crossfade.fleet.supervisor import HubProcess
from crossfade.fleet.wire import Revision


def pauses(hub):
    """How often and how long the garbage collector stopped the hub, in its own words."""
    asked = urllib.request.Request(f"{hub.url}/metrics", headers={"Authorization": f"Bearer {hub.operator_token}"})
    with urllib.request.urlopen(asked) as answer:  # the address is that of the hub just started
        lines = answer.read().decode().splitlines()
    wanted = ("crossfade_gc_pause_seconds_count", "crossfade_gc_pause_seconds_sum", "crossfade_gc_pause_longest")
    return "\n".join(line for line in lines if line.startswith(wanted))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=32)
    chosen = parser.parse_args()
    chosen.connections = chosen.pairs
    chosen.seconds /= chosen.windows
    names = [f"{role}-{number}" for number in range(chosen.pairs) for role in ("asker", "addressee")] + ["bystander"]
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=run.HERE.parent / "build") as place:
        hub, children = HubProcess(Path(place) / "ours"), []
        try:
            ours = await run.start_ours(hub, names)
            echo = await run.start_echo(children)
            await ours.prepare(names)
            echo.tokens, echo.questions = ours.tokens, ours.questions
            for target in (ours, echo):
                target.pin(0)
            print("| trips before | CPU µs of a trip | CPU µs of an echo | trip in echoes |\n|---|---|---|---|")
            before, costs = 0, []
            for _ in range(chosen.windows):
                trip = await run.load(ours, "trips", Revision.STATELESS, chosen, names)
                bare = await run.load(echo, "calls", Revision.STATELESS, chosen, names)
                costs.append(trip["cpu_us"] / bare["cpu_us"])
                print(f"| {before:,} | {trip['cpu_us']:.0f} | {bare['cpu_us']:.1f} | {costs[-1]:.1f} |", flush=True)
                before += trip["done"]
            early, late = statistics.median(costs[1:3]), statistics.median(costs[-2:])
            print(f"\nlate / early, in echoes: {late / early:.2f}")
            print(pauses(hub))
        finally:
            await hub.stop()
            for child in children:
                child.kill()
                await child.wait()


if __name__ == "__main__":
    asyncio.run(main())
