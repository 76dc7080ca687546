"""What a performance engineer looks for: a baseline, load at scale, targets that mean something, honest claims."""

from collections.abc import Iterator
from typing import Final

from crossfade.core.catalogue import COORDINATION
from crossfade.core.review.facts import days_before_first_share, gates_of, moving, share_text, slos_of, unheld
from crossfade.core.review.findings import Cause, Rule, Severity
from crossfade.core.runsheets import Runsheet, Slo

BASELINE_DAYS_LEAST: Final = 7
GAP_SECONDS_MOST: Final = 300
PREPARATION_DAYS_LEAST: Final = 21
"""A week of baseline, a week to test against it, a week to put right what was found."""
AGENTS_LEAST: Final = 10_000
ENDURANCE_HOURS_LEAST: Final = 8
LATENCIES: Final = {"latency_p99_ms": 300, "latency_p50_ms": 50, "latency_p95_ms": 200, "latency_p999_ms": 1_000}
"""The longest each may be, in milliseconds; the gate comes first."""
ACTED_UPON: Final = {"latency_p99_ms": (500, 1_000), "error_rate": (0.01, 0.05)}
"""Beyond the first somebody has to look, beyond the second the share goes back."""
SCENARIOS_LEAST: Final = 3
DELIVERY_LEAST: Final = 0.999
COORDINATION_LEAST: Final = 3
IMPROVEMENT_MOST: Final = 20
HELD: Final = ("error_rate", "latency_p99_ms", "security_incidents", "data_loss", "availability")
"""What every phase that raises the share is judged by."""
MINIMA: Final = (("error_rate", 0.001), ("availability", 0.9995))


def baseline(runsheet: Runsheet) -> Iterator[Cause]:
    """Seven days without gaps, a profile of the day, and time to use them."""
    plan = runsheet.baseline
    if plan is None:
        yield Cause("baseline", "there is none")
    else:
        if plan.days < BASELINE_DAYS_LEAST:
            yield Cause("baseline.days", f"{plan.days:g} of at least {BASELINE_DAYS_LEAST} days")
        if not 0 < plan.gap_seconds_max <= GAP_SECONDS_MOST:
            yield Cause("baseline.gap_seconds_max", f"gaps of {plan.gap_seconds_max:g} seconds go unnoticed")
        if plan.samples_min <= 0:
            yield Cause("baseline.samples_min", "a baseline without samples would do")
        if not plan.hourly_profile:
            yield Cause("baseline.hourly_profile", "the hours of the day are not told apart")
    days = days_before_first_share(runsheet)
    if days < PREPARATION_DAYS_LEAST:
        said = f"{days:g} days of preparation before the first share, of at least {PREPARATION_DAYS_LEAST}"
        yield Cause("calendar.first_week", said)
    yield from unheld(runsheet, "baseline.complete", "the baseline is complete")


def load_scale(runsheet: Runsheet) -> Iterator[Cause]:
    """Load beyond what is expected, for long enough to see a leak."""
    plan = runsheet.load_test
    if plan is None:
        yield Cause("load_test", "there is none")
    else:
        least = max(AGENTS_LEAST, *(slo.min or 0 for _, slo in slos_of(runsheet, "concurrent_agents")), 0)
        if plan.agents_max < least:
            yield Cause("load_test.agents_max", f"it ends at {plan.agents_max:,} of at least {least:,g} agents")
        if plan.endurance_hours < ENDURANCE_HOURS_LEAST:
            yield Cause("load_test.endurance_hours", f"no endurance test of {ENDURANCE_HOURS_LEAST} hours")
        if not plan.leak_detection:
            yield Cause("load_test.leak_detection", "leaks are not looked for")
        if len(set(plan.scenarios)) < SCENARIOS_LEAST:
            yield Cause("load_test.scenarios", f"fewer than {SCENARIOS_LEAST} scenarios")
    if not any((slo.min or 0) >= AGENTS_LEAST for _, slo in slos_of(runsheet, "concurrent_agents")):
        yield Cause("slos", f"no goal of {AGENTS_LEAST:,} concurrent agents")
    yield from unheld(runsheet, "performance.targets_met", "the targets are met in testing")


def latency_targets(runsheet: Runsheet) -> Iterator[Cause]:
    """Every latency target is there, and none is laxer than it may be."""
    for metric, longest in LATENCIES.items():
        found = slos_of(runsheet, metric)
        name = metric.removesuffix("_ms").replace("_", " ")
        if not found:
            yield Cause("slos", f"no target for {name}")
        for path, slo in found:
            if slo.max is None or not 0 < slo.max <= longest:
                said = "no upper bound" if slo.max is None else f"{slo.max:g} ms"
                yield Cause(f"{path}.max", f"{name} is {said}, not within {longest} ms")
            if metric == "latency_p99_ms":
                yield from _acted_upon(path, slo)


def _acted_upon(path: str, slo: Slo) -> Iterator[Cause]:
    """A minimum that is looked at and acted upon soon enough."""
    look, back = ACTED_UPON[slo.metric]
    if slo.kind != "minimum":
        yield Cause(f"{path}.kind", f"{slo.metric} is a goal only")
    if slo.investigate is None or slo.investigate > look:
        yield Cause(f"{path}.investigate", f"nobody looks at {slo.metric} beyond {look:g}")
    if slo.roll_back is None or slo.roll_back > back:
        yield Cause(f"{path}.roll_back", f"nothing goes back at {slo.metric} beyond {back:g}")


def coordination(runsheet: Runsheet) -> Iterator[Cause]:
    """Agents working together are measured, not only single requests."""
    given = runsheet.load_test.coordination_metrics if runsheet.load_test else ()
    known = COORDINATION.intersection(given)
    if len(known) < COORDINATION_LEAST:
        path = "load_test.coordination_metrics" if runsheet.load_test else "load_test"
        yield Cause(path, f"{len(known)} of at least {COORDINATION_LEAST} are measured")
    if not any((slo.min or 0) >= DELIVERY_LEAST for _, slo in slos_of(runsheet, "delivery_rate")):
        yield Cause("slos", f"no goal of {share_text(DELIVERY_LEAST)} of messages delivered")


def claim(runsheet: Runsheet) -> Iterator[Cause]:
    """An improvement is measured and within reason; no claim at all is fine."""
    given = runsheet.improvement
    if given is None:
        return
    if not 1 <= given.low <= given.high <= IMPROVEMENT_MOST:
        said = f"{given.low:g}" if given.low == given.high else f"{given.low:g} to {given.high:g}"
        path = "improvement.high" if given.high > IMPROVEMENT_MOST else "improvement.low"
        yield Cause(path, f"{said} times, of at most {IMPROVEMENT_MOST}")
    if not given.measured:
        yield Cause("improvement.measured", "it is claimed, not measured")
    if not any(gate.check in {"ab.compared", "improvement.measured"} for gate in gates_of(runsheet)):
        yield Cause("phases", "no gate compares the lanes")


def minima(runsheet: Runsheet) -> Iterator[Cause]:
    """Errors and availability have a minimum that deserves the name."""
    for metric, bound in MINIMA:
        found = slos_of(runsheet, metric)
        if not found:
            yield Cause("slos", f"no minimum for {metric}")
        for path, slo in found:
            lax = slo.max is None or slo.max > bound if metric == "error_rate" else slo.min is None or slo.min < bound
            if lax or slo.kind != "minimum":
                side = "below" if metric == "error_rate" else "above"
                yield Cause(path, f"{metric} is not held {side} {share_text(bound)}")
            if metric in ACTED_UPON:
                yield from _acted_upon(path, slo)


def gated(runsheet: Runsheet) -> Iterator[Cause]:
    """A phase that raises the share is left only if every minimum holds."""
    for index, phase in moving(runsheet):
        held = {runsheet.slos[gate.slo].metric for gate in phase.exit if gate.slo in runsheet.slos}
        missing = [metric for metric in HELD if metric not in held]
        if missing and phase.exit:
            yield Cause(f"phases.{index}.exit", f"phase {phase.id} ends without looking at {', '.join(missing)}")


RULES: Final = (
    Rule(
        "performance.baseline_short",
        Severity.MAJOR,
        "the baseline is too short",
        "measure 7 days or more, by hour and without gaps, with three weeks before the first share",
        baseline,
    ),
    Rule(
        "performance.load_test_scale",
        Severity.MAJOR,
        "the load test is too small",
        "test 10,000 agents or more, for hours, looking for leaks, before the first share",
        load_scale,
    ),
    Rule(
        "performance.latency_target",
        Severity.MAJOR,
        "the latency targets are too high",
        "p50 50 ms, p95 200 ms, p99 300 ms as a minimum, p99.9 1000 ms",
        latency_targets,
    ),
    Rule(
        "performance.coordination_metrics",
        Severity.MAJOR,
        "agent-specific coordination metrics are missing",
        f"name some of {', '.join(sorted(COORDINATION))}",
        coordination,
    ),
    Rule(
        "performance.improvement_claim",
        Severity.MAJOR,
        "the claimed improvement is unrealistic",
        "expect 10 to 20 times at most, and let a gate measure it",
        claim,
    ),
    Rule(
        "performance.minimum_requirements",
        Severity.MAJOR,
        "the minimum requirements are too weak",
        "error rate below 0.1 % and availability above 99.95 %, both of kind minimum",
        minima,
    ),
    Rule(
        "performance.ungated_metric",
        Severity.MAJOR,
        "the share rises without a look at the measurements",
        "end the phase with gates on error rate, p99, security incidents, data loss and availability",
        gated,
    ),
)
