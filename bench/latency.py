"""Latency over rate: 10,000 agents that wait, questions by a schedule that is fixed before, asked to answered.

    python -m bench.latency [--agents 10000] [--rates 200 400 600] [--seconds 6] [--rounds 5] [--json]

Every run has a hub of its own. Rounds take the rates in turn, every other round from the highest down. The targets are
judged at each rate; what the hub waited for a processor is the machine's part of it.
"""

import argparse
import asyncio
import statistics

from bench.found import Curve, Found, Measured, Ratio
from bench.loading import QUANTILES, loaded

HUB = {"hub_cpu": ("cores", 1.0), "hub_waited": ("%", 100.0), "hub_cpu_ms_per_delivery": ("ms", 1.0)}
SAID = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}
WORDS = {"hub_cpu": "hub", "hub_waited": "hub waited for a processor", "hub_cpu_ms_per_delivery": "hub, each delivery"}


async def rounds(chosen):
    """Rate → one run a round."""
    found = {rate: [] for rate in chosen.rates}
    for number in range(chosen.rounds):
        for rate in chosen.rates if number % 2 == 0 else chosen.rates[::-1]:
            words = ("--agents", chosen.agents, "--questions-per-second", rate, "--seconds", chosen.seconds)
            found[rate].append(await loaded(*map(str, words)))
    return found


def summary(found):
    """Quantiles as bounds, the hub's own figures, and curves over the rate."""
    measured, ratios = [], []
    for rate, runs in found.items():
        for name, most in QUANTILES.items():
            each = tuple(run["answer_ms"][name] for run in runs)
            ratios.append(Ratio(name=f"{rate:g} a second, {SAID[name]}", each=each, most=most, unit="ms"))
        for field, (unit, times) in HUB.items():
            each = tuple(times * (run[field] or 0.0) for run in runs)
            measured.append(Measured(name=f"{rate:g} a second, {WORDS[field]}", unit=unit, each=each))
    lines = {
        said: tuple((rate, statistics.median(run["answer_ms"][name] for run in runs)) for rate, runs in found.items())
        for name, said in SAID.items()
    }
    curve = Curve(name="latency", x="questions a second", y="ms, asked to answered", lines=lines)
    runs = [run for each in found.values() for run in each]
    said = (
        f"{sum(run['questions'] for run in runs):,} questions in all, {sum(run['lost'] for run in runs)} lost, "
        f"{sum(run['doubled'] for run in runs)} doubled. The load processes together used "
        f"{statistics.median(run['client_cpu'] for run in runs):.2f} cores (median)."
    )
    return Found(measured=tuple(measured), ratios=tuple(ratios), curves=(curve,), said=(said,))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 400.0, 600.0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    summary(asyncio.run(rounds(chosen))).show(as_json=chosen.json)


if __name__ == "__main__":
    main()
