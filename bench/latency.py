"""Latency over rate: 10,000 agents that wait, questions by a schedule that is fixed before, asked to answered.

    python -m bench.latency [--agents 10000] [--rates 200 400 600 800] [--seconds 4] [--rounds 5] [--json]

Every round has a hub of its own, on which one rate follows the other, the highest last. The targets are judged at each
rate; what the hub waited for a processor is the machine's part of it. The same by hand, with a hub for each rate:
``crossfade load --agents 10000 --rates 200,400,600,800 --seconds 10``.
"""

import argparse
import asyncio
import statistics
import sys

from bench.found import Curve, Found, Measured, Ratio
from crossfade.fleet.load.profile import Phase, Profile
from crossfade.fleet.load.report import TARGETS_MS
from crossfade.fleet.load.run import Settings, run_load

SAID = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}


async def one(chosen, number):
    """The report of one round. Exits if something was lost, doubled or cut short."""
    phases = tuple(Phase(f"{rate:g}", chosen.seconds, rate) for rate in sorted(chosen.rates))
    profile = Profile(agents=chosen.agents, phases=phases, seed=number)
    report = await run_load(Settings(profile=profile), asyncio.Event(), lambda *_: None, [])
    if not report.sound:
        raise SystemExit(f"not sound: {report.reason or report.faults}, {report.lost} lost, {report.doubled} doubled")
    p99 = ", ".join(f"{phase.name}/s {phase.answer_ms.p99:g} ms" for phase in report.phases)
    print(f"  round {number}: p99 {p99}; the hub waited {report.hub_waited:.0%}", file=sys.stderr, flush=True)
    return report


def used(report, chosen):
    """Cores of the hub in each phase, from the samples that lie in it."""
    found = []
    for place, _ in enumerate(report.phases):
        begins, ends = place * chosen.seconds, (place + 1) * chosen.seconds
        cores = [
            sample.hub_cpu
            for sample in report.samples
            if begins + 0.5 < sample.at_seconds <= ends and sample.hub_cpu is not None
        ]
        found.append(statistics.mean(cores) if cores else 0.0)
    return found


def summary(reports, chosen):
    """Quantiles as bounds, the hub's own figures, and curves over the rate."""
    measured, ratios, lines = [], [], {said: [] for said in SAID.values()}
    cores = [used(report, chosen) for report in reports]
    for place, rate in enumerate(sorted(chosen.rates)):
        times = [report.phases[place].answer_ms for report in reports]
        for name, said in SAID.items():
            each = tuple(getattr(one_round, name) for one_round in times)
            ratios.append(Ratio(name=f"{rate:g} a second, {said}", each=each, most=TARGETS_MS[name], unit="ms"))
            lines[said].append((rate, statistics.median(each)))
        each = tuple(one_round[place] for one_round in cores)
        measured.append(Measured(name=f"{rate:g} a second, hub", unit="cores", each=each))
    waited = tuple(100 * (report.hub_waited or 0.0) for report in reports)
    load = tuple(report.client_cpu for report in reports)
    measured.append(Measured(name="hub waited for a processor, all rates", unit="%", each=waited))
    measured.append(Measured(name="load processes together, all rates", unit="cores", each=load))
    curve = Curve(name="latency", x="questions a second", y="ms", lines={k: tuple(v) for k, v in lines.items()})
    asked, lost = sum(report.questions for report in reports), sum(report.lost for report in reports)
    doubled = sum(report.doubled for report in reports)
    said = f"{chosen.agents:,} agents; {asked:,} questions in all, {lost} lost, {doubled} doubled."
    return Found(measured=tuple(measured), ratios=tuple(ratios), curves=(curve,), said=(said,))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 400.0, 600.0, 800.0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    reports = [await one(chosen, number) for number in range(1, chosen.rounds + 1)]
    summary(reports, chosen).show(as_json=chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
