"""A report as rows of text: the same for the terminal and for the page."""

from collections.abc import Sequence

from crossfade.fleet.load.account import Times
from crossfade.fleet.load.compare import LanesReport
from crossfade.fleet.load.report import LaneReport, LoadReport, missed

Rows = list[tuple[str, ...]]


def totals(report: LoadReport) -> Rows:
    """What and how much, the most important first."""
    rows: Rows = [
        ("questions", f"{report.questions:,}"),
        ("answered", f"{report.answered:,}"),
        ("lost", f"{report.lost:,}"),
        ("doubled", f"{report.doubled:,}"),
        ("answered a second", f"{report.questions_per_second:,.1f} of {report.offered_per_second:,.1f} offered"),
        ("agents held", f"{report.attached:,} of {report.agents:,}, in {report.attach_seconds:.1f} s"),
        ("targets", "met" if report.targets_met else "; ".join(missed(report.answer_ms))),
        ("CPU of the hub", _hub_cores(report)),
        ("CPU of the load", f"{_cores(report.client_cpu)}, busiest process {report.client_cpu_busiest:.2f}"),
        ("memory of the hub", _mib(report.hub_rss_mib)),
        ("memory for each agent", "-" if report.hub_kib_per_agent is None else f"{report.hub_kib_per_agent:.1f} KiB"),
        ("for each delivery", _each(report)),
        ("polls for nothing", f"{report.empty_polls:,}"),
        ("channels", ", ".join(f"{name} {count:,}" for name, count in report.channels.items()) or "-"),
        ("sent late by the load", f"p99 {_ms(report.lateness_ms.p99)} ms"),
    ]
    if report.storm is not None:
        times = report.storm.reattach_ms
        took = f"p50 {_ms(times.p50)}, p99 {_ms(times.p99)}, last {_ms(times.max)} ms"
        rows.append(("held again after the storm", f"{report.storm.agents:,} agents, {took}"))
    if report.leak is not None:
        leak = report.leak
        said = "grows" if leak.grows else "not distinguishable from level"
        rows.append(
            ("memory of the hub, slope", f"{leak.per_hour:.2f} MiB/h ({leak.low:.2f} to {leak.high:.2f}): {said}")
        )
    for name, count in (
        ("shown twice (allowed)", report.repeats),
        ("unfinished when cut short", report.unfinished),
        ("asks without a word from the hub", report.unacknowledged),
    ):
        if count:
            rows.append((name, f"{count:,}"))
    return rows


def lane_rows(report: LoadReport) -> Rows:
    """Times of all, of each lane, and of each phase."""
    rows: Rows = []
    for name, delivery, answer in (
        ("all", report.delivery_ms, report.answer_ms),
        *((lane.name, lane.delivery_ms, lane.answer_ms) for lane in _told_apart(report)),
    ):
        rows.append((name, "due to delivered", *_times(delivery)))
        rows.append(("", "due to answered", *_times(answer)))
    return rows


def _told_apart(report: LoadReport) -> Sequence[LaneReport]:
    return (*(report.lanes if len(report.lanes) > 1 else ()), *report.phases)


def steps_table(reports: Sequence[LoadReport]) -> tuple[tuple[str, ...], Rows]:
    """The steps of a scenario: columns and rows."""
    columns = ("agents", "held", "offered/s", "questions", "lost", "doubled", "answered/s", "p50 ms", "p99 ms",
               "p99.9 ms", "hub CPU", "load CPU", "hub MiB", "KiB/agent", "CPU ms/delivery", "targets")  # fmt: skip
    rows: Rows = [
        (
            f"{report.agents:,}",
            f"{report.attached:,}",
            f"{report.offered_per_second:,.0f}",
            f"{report.questions:,}",
            f"{report.lost:,}",
            f"{report.doubled:,}",
            f"{report.questions_per_second:,.1f}",
            _ms(report.answer_ms.p50),
            _ms(report.answer_ms.p99),
            _ms(report.answer_ms.p999),
            _number(report.hub_cpu, 2),
            f"{report.client_cpu:.2f}",
            _number(report.hub_rss_mib, 0),
            _number(report.hub_kib_per_agent, 1),
            _number(report.hub_cpu_ms_per_delivery, 3),
            "met" if report.targets_met else "missed",
        )
        for report in reports
    ]
    return columns, rows


def lanes_table(report: LanesReport) -> tuple[tuple[str, ...], Rows]:
    """A comparison of lanes: columns and rows."""
    columns = ("for each delivery", "polling", "elicitation", "ratio", "interval", "held with", "difference", "rounds")
    rows: Rows = [
        (
            entry.measure.replace("_", " "),
            _number(entry.polling, 3),
            _number(entry.elicitation, 3),
            _number(entry.ratio, 3),
            "-" if entry.ratio_low is None else f"{entry.ratio_low:.3f} to {entry.ratio_high:.3f}",
            "-" if not entry.confidence else f"{entry.confidence:.1%}",
            entry.difference,
            str(entry.rounds),
        )
        for entry in report.compared
    ]
    return columns, rows


def _each(report: LoadReport) -> str:
    parts = (
        (report.requests_per_delivery, 2, "requests"),
        (report.bytes_per_delivery, 0, "bytes"),
        (report.hub_cpu_ms_per_delivery, 3, "ms of the hub's CPU"),
    )
    return ", ".join(f"{_number(value, digits)} {unit}" for value, digits, unit in parts)


def _times(times: Times) -> tuple[str, ...]:
    return (f"{times.n:,}", *(_ms(value) for value in (times.p50, times.p95, times.p99, times.p999, times.max)))


def _ms(value: float | None) -> str:
    return _number(value, 1)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _hub_cores(report: LoadReport) -> str:
    waited = "" if report.hub_waited is None else f", waited for a core {report.hub_waited:.1%} of the time"
    return _cores(report.hub_cpu) + waited


def _cores(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} cores"


def _mib(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} MiB"
