"""From what was measured to the report, and what a reader has to be warned of."""

from collections.abc import Sequence
from typing import Final

from crossfade.core.histograms import Histogram
from crossfade.fleet.load.account import SECOND_NS, Findings, Lane
from crossfade.fleet.load.gauge import Gauge, Mark, client_cores, hub_cores, hub_waited
from crossfade.fleet.load.profile import Phase, Profile
from crossfade.fleet.load.report import LaneReport, LoadReport, SecondRow, Storm, missed
from crossfade.fleet.load.scenarios import SCENARIOS
from crossfade.fleet.load.slope import STRETCHES_MIN, Slope, slope

BUSY: Final = 0.85
"""Share of a core from which a load process may be what is measured."""
CROWDED: Final = 0.05
"""Share of the time that the hub waited for a processor; beyond, the machine is part of what was measured."""
LATE_MS: Final = 20.0
SHARE_OFF: Final = 0.02
"""Difference from the share that was wished; beyond, it is told."""
WARM_UP_QUESTIONS: Final = 80_000
"""Questions until what a hub keeps, bounded, is full: ended questions, keys that wait for their index, the page cache
of its log. Before that its memory grows, and ought to."""
WARM_UP_MIN: Final = 0.2
WARM_UP_MAX: Final = 0.5
"""Share of a run that does not count for the slope of memory."""
LASTING: Final = frozenset(scenario.name for scenario in SCENARIOS.values() if scenario.leak)
"""Scenarios whose result is whether memory grows."""
KINDS: Final = ("ask", "look", "wait", "respond", "answer", "stream", "acknowledge")


def report_of(scenario: str, profile: Profile, gauge: Gauge, found: Findings, reason: str) -> LoadReport:
    """The report of a run."""
    begin, end = gauge.marks.get("begin"), gauge.end()
    clients = client_cores(begin, end)
    leak = _leak(profile, gauge)
    return LoadReport(
        scenario=scenario,
        questions=found.questions,
        answered=found.answered,
        lost=found.lost,
        doubled=found.doubled,
        questions_per_second=_rate(profile, found, gauge.marks.get("cut")),
        delivery_ms=found.whole.delivery.times(),
        answer_ms=found.whole.answer.times(),
        client_cpu=round(sum(clients), 3),
        hub_cpu=_rounded(hub_cores(begin, end)),
        hub_rss_mib=_rss(end),
        agents=profile.agents,
        attached=gauge.attached_then,
        attach_seconds=round(gauge.attach_seconds, 2),
        share=profile.share,
        carrier=profile.carrier,
        model=profile.model.name,
        offered_per_second=round(profile.rate, 2),
        seconds=profile.seconds,
        client_cpu_busiest=max(clients),
        hub_waited=hub_waited(begin, end),
        hub_idle_cpu=hub_cores(gauge.marks.get("attached"), gauge.marks.get("settled")),
        hub_kib_per_agent=_per_agent(profile, gauge),
        hub_rss_peak_mib=gauge.rss_peak_mib,
        hub_rss_after_mib=_rss(gauge.marks.get("after")),
        delivered=found.delivered,
        **_costs(gauge, found.delivered),  # type: ignore[arg-type]
        channels=dict(sorted(found.channels.items())),
        repeats=found.repeats,
        unfinished=found.unfinished,
        unacknowledged=gauge.unacknowledged,
        lateness_ms=gauge.lateness().times(),
        waiting_ms=found.waiting.times(),
        busy_ms=found.busy.times(),
        lanes=tuple(_lane(name, lane) for name, lane in sorted(found.lanes.items())),
        phases=_phases(profile.phases, found.phases),
        targets_met=not missed(found.whole.answer.times()),
        storm=_storm(profile, gauge),
        leak=leak,
        leaks=scenario in LASTING and leak is not None and leak.grows and _long_enough(profile),
        faults=dict(gauge.faults()),
        wrong=tuple(found.faults),
        warnings=(*_warnings(profile, gauge, clients, hub_waited(begin, end)), *_of_memory(scenario, profile, leak)),
        reason=reason,
        samples=tuple(gauge.samples),
        rows=_rows(found),
        curve=_curve(found.whole.answer.histogram),
    )


def _costs(gauge: Gauge, delivered: int) -> dict[str, object]:
    """What it took, in all and for each delivery, from the first question to the last end."""
    begin, drained = gauge.marks.get("begin"), gauge.marks.get("drained") or gauge.last_mark()
    counts = gauge.counts()
    requests = bytes_in = bytes_out = took_ns = empty = 0
    if begin is not None and drained is not None:
        took_ns = drained.at_ns - begin.at_ns
        requests = drained.requests - begin.requests
        empty = drained.empty - begin.empty
        bytes_in, bytes_out = drained.bytes_in - begin.bytes_in, drained.bytes_out - begin.bytes_out
    cores = hub_cores(begin, drained)
    return {
        "requests": requests,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "requests_per_delivery": _per(requests, delivered, 3),
        "bytes_per_delivery": _per(bytes_in + bytes_out, delivered, 1),
        "hub_cpu_ms_per_delivery": None if cores is None else _per(cores * took_ns / 1e6, delivered, 4),
        "empty_polls": empty,
        "connections": sum(last.connections for last in gauge.lasts),
        "repeated_requests": counts["repeated"],
        "kinds": {kind: counts[kind] for kind in KINDS if counts[kind]},
    }


def _rate(profile: Profile, found: Findings, cut: Mark | None) -> float:
    """Answers a second until the last one, or until the schedule was over or cut short, whichever was later."""
    if not found.answered:
        return 0.0
    took = (found.last_end_ns - found.start_ns) / SECOND_NS
    due = profile.seconds if cut is None else min(profile.seconds, (cut.at_ns - found.start_ns) / SECOND_NS)
    return round(found.answered / max(took, due, 0.001), 2)


def _warnings(profile: Profile, gauge: Gauge, clients: Sequence[float], waited: float | None) -> list[str]:
    said = []
    if waited is not None and waited > CROWDED:
        said.append(f"for {waited:.0%} of the time other processes had the processors that the hub wanted")
    if max(clients) > BUSY:
        said.append(
            f"a load process used {max(clients):.0%} of a core: it may be what was measured; give more --processes"
        )
    late = gauge.lateness().histogram.quantile(0.99)
    if late is not None and late > LATE_MS:
        said.append(f"1 % of the asks were sent more than {late:.0f} ms late, by the load itself")
    if gauge.waited:
        said.append(f"up to {gauge.waited} calls waited for one of the {profile.lines} shared connections")
    missing = profile.agents - gauge.attached_then
    if missing and gauge.attached_then:
        said.append(f"{missing} agents were not held when the questions began")
    return said


def of_share(profile: Profile, share: float) -> list[str]:
    """What to say where the share of the agents on elicitation is not the one of the profile."""
    if abs(share - profile.share) <= SHARE_OFF:
        return []
    found = f"{share:.0%} of the agents were on elicitation, not {profile.share:.0%}"
    return [f"{found}: whole clusters go there (clusters: {profile.groups:,})"]


def _long_enough(profile: Profile) -> bool:
    """What is bounded is full when the second half of the run begins."""
    return WARM_UP_MAX * profile.seconds * profile.rate >= WARM_UP_QUESTIONS


def _of_memory(scenario: str, profile: Profile, leak: Slope | None) -> list[str]:
    """What a long run has to say of the hub's memory."""
    if scenario not in LASTING or (leak is not None and _long_enough(profile) and not leak.grows):
        return []
    if leak is None:
        return [
            f"whether the hub's memory grows was not measured: that takes {STRETCHES_MIN} seconds after the first part"
        ]
    if _long_enough(profile):
        return [f"the hub's memory grows: by {leak.low:.1f} MiB an hour at least"]
    return [f"too short to tell a leak: what the hub keeps fills during the first {WARM_UP_QUESTIONS:,} questions"]


def _leak(profile: Profile, gauge: Gauge) -> Slope | None:
    filled = WARM_UP_QUESTIONS / profile.rate
    warm = min(WARM_UP_MAX * profile.seconds, max(WARM_UP_MIN * profile.seconds, filled))
    return slope(
        [
            (sample.at_seconds, sample.hub_rss_mib)
            for sample in gauge.samples
            if sample.hub_rss_mib is not None and warm <= sample.at_seconds <= profile.seconds
        ]
    )


def _storm(profile: Profile, gauge: Gauge) -> Storm | None:
    if not profile.storm_at_seconds:
        return None
    times = gauge.reattached().times()
    return Storm(agents=times.n, reattach_ms=times)


def _phases(phases: Sequence[Phase], lanes: Sequence[Lane]) -> tuple[LaneReport, ...]:
    if len(phases) < 2:
        return ()
    return tuple(_lane(phase.name, lane) for phase, lane in zip(phases, lanes, strict=True))


def _lane(name: str, lane: Lane) -> LaneReport:
    return LaneReport(
        name=name,
        questions=lane.delivery.histogram.n,
        delivery_ms=lane.delivery.times(),
        answer_ms=lane.answer.times(),
    )


def _rows(found: Findings) -> tuple[SecondRow, ...]:
    return tuple(
        SecondRow(
            second=number,
            asked=second.asked,
            answered=second.answered,
            p50_ms=_rounded(second.answer.quantile(0.5)),
            p99_ms=_rounded(second.answer.quantile(0.99)),
        )
        for number, second in sorted(found.seconds.items())
    )


CURVE: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0)


def _curve(histogram: Histogram) -> tuple[tuple[float, float], ...]:
    found = ((part, histogram.quantile(part)) for part in CURVE)
    return tuple((part, round(value, 3)) for part, value in found if value is not None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _per(amount: float, deliveries: int, digits: int) -> float | None:
    return round(amount / deliveries, digits) if deliveries else None


def _rss(mark: Mark | None) -> float | None:
    return None if mark is None or mark.hub is None else round(mark.hub.rss_mib, 1)


def _per_agent(profile: Profile, gauge: Gauge) -> float | None:
    before, after = gauge.marks.get("empty"), gauge.marks.get("settled")
    if before is None or after is None or before.hub is None or after.hub is None:
        return None
    return round((after.hub.rss_mib - before.hub.rss_mib) * 1_024 / profile.agents, 2)
