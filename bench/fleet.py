"""A fleet that waits: what one hub holds for 1,000, 5,000 and 15,000 agents, each in an open call, and what it uses.

    python -m bench.fleet [--sizes 1000 5000 15000] [--rate 50] [--seconds 2] [--rounds 5] [--json]

Every run has a hub of its own, by ``crossfade load``. Memory for each agent is the growth of the hub while they
attached, credentials and directory known before.
"""

import argparse
import asyncio
import statistics

from bench.found import Curve, Found, Measured, Ratio
from bench.loading import loaded

WANTED_KIB = 30.0
FIELDS = {
    "hub_rss_mib": ("memory", "MiB"),
    "hub_idle_cpu": ("hub, no question", "cores"),
    "attach_seconds": ("all attached after", "s"),
}


async def rounds(chosen):
    """Size → one run a round."""
    found = {size: [] for size in chosen.sizes}
    for number in range(chosen.rounds):
        for size in chosen.sizes if number % 2 == 0 else chosen.sizes[::-1]:
            words = ("--agents", size, "--questions-per-second", chosen.rate, "--seconds", chosen.seconds)
            run = await loaded(*map(str, words))
            if run["attached"] != size:
                raise SystemExit(f"{run['attached']} of {size} agents were held")
            found[size].append(run)
    return found


def summary(found):
    """Figures of every size, memory for each agent as a bound, and the curve."""
    measured = [
        Measured(name=f"{size:,} agents, {words}", unit=unit, each=tuple(run[field] for run in runs))
        for size, runs in found.items()
        for field, (words, unit) in FIELDS.items()
    ]
    ratios = [
        Ratio(name=f"{size:,} agents, memory for each", unit="KiB", most=WANTED_KIB,
              each=tuple(run["hub_kib_per_agent"] for run in runs))
        for size, runs in found.items()
    ]  # fmt: skip
    line = tuple((size, statistics.median(run["hub_rss_mib"] for run in runs)) for size, runs in found.items())
    curve = Curve(name="memory", x="agents attached", y="MiB, resident", lines={"hub": line})
    return Found(measured=tuple(measured), ratios=tuple(ratios), curves=(curve,))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 5_000, 15_000])
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    summary(asyncio.run(rounds(chosen))).show(as_json=chosen.json)


if __name__ == "__main__":
    main()
