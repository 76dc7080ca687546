"""Checks of what the lanes take: read from the newest comparison of lanes that a step of the run has recorded.

The comparison is made outside the hub, by a step of kind ``command`` that runs ``crossfade load --compare-lanes
--json``; its object is the step's evidence. Passed says that it *is* measured, with intervals, and shows the ratios:
whether they are what somebody hoped for is for those who sign. Nothing recorded is ``not_measured`` and never passes.
"""

from typing import Final

import msgspec

from crossfade.core.run_events import Verdict
from crossfade.core.run_state import State
from crossfade.engine.printed import newest_printed
from crossfade.engine.run_ports import Finding

HELD_MIN: Final = 0.93
"""Least confidence of an interval: five rounds."""
MEASURED: Final = {
    "efficiency.measured": ("hub_cpu_ms", "bytes", "requests"),
    "improvement.measured": ("delivery_waiting_p50_ms", "answer_p50_ms"),
}
"""Check → rows that a comparison has to have."""
BESIDE: Final = {
    "efficiency.measured": ("empty_polls",),
    "improvement.measured": (
        "delivery_waiting_p95_ms",
        "delivery_busy_p50_ms",
        "delivery_busy_p95_ms",
        "answer_p95_ms",
    ),
}
"""Rows that are shown with them if they are there: an agent that is never busy has no deliveries while busy."""
ABSENT: Final = "no step of this run has recorded a comparison: crossfade load --compare-lanes --json"


class _Row(msgspec.Struct, frozen=True):
    measure: str
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    confidence: float


class _Comparison(msgspec.Struct, frozen=True):
    compared: tuple[_Row, ...]
    sound: bool
    rounds: int
    model: str


_READ_COMPARISON = msgspec.json.Decoder(_Comparison)


def lanes_measured(name: str, state: State) -> Finding:
    """What the check of ``MEASURED`` says about a run."""
    newest = newest_printed(state, _READ_COMPARISON)
    if newest is None:
        return Finding(verdict=Verdict.ERRORED, reason="not_measured", numbers={"explanation": ABSENT})
    step, comparison = newest
    rows = {row.measure: row for row in comparison.compared}
    numbers: dict[str, float | str] = {"step": step, "model": comparison.model, "rounds": comparison.rounds}
    for measure in (*MEASURED[name], *BESIDE[name]):
        if measure in rows:
            numbers.update(_numbers(rows[measure]))
    if not comparison.sound:
        return Finding(verdict=Verdict.ERRORED, reason="unsound", numbers=numbers)
    if not all(measure in rows and _enough(rows[measure]) for measure in MEASURED[name]):
        return Finding(verdict=Verdict.INCONCLUSIVE, reason="too few rounds", numbers=numbers)
    return Finding(verdict=Verdict.PASSED, numbers=numbers)


def _enough(row: _Row) -> bool:
    return row.ratio is not None and row.confidence >= HELD_MIN


def _numbers(row: _Row) -> dict[str, float | str]:
    named = {"ratio": row.ratio, "low": row.ratio_low, "high": row.ratio_high}
    return {f"{row.measure}_{name}": value for name, value in named.items() if value is not None}
