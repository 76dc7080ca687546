"""Both lanes on the same schedule, each alone on a hub of its own, round after round: what a delivery costs on each.

Not a comparison of latencies under one roof (that is a mixed run), and not the judge of a rollout (core/gates).

Rules
-----
1. A round is a pair: both lanes with the same agents, model, schedule and seed. Every other round begins with the
   other lane, so that a machine that drifts does not decide.
2. Reported is the ratio of each pair, elicitation to polling, and of the ratios the median and the range: nothing
   is made of one pair.
"""

from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Final

import msgspec

from crossfade.fleet.load.profile import Profile, ProfileError
from crossfade.fleet.load.report import LoadReport

ROUNDS_MIN: Final = 1
ROUNDS_MAX: Final = 100
LANES: Final = ("polling", "elicitation")
MEASURES: Final = (
    ("hub_cpu_ms", "hub_cpu_ms_per_delivery"),
    ("requests", "requests_per_delivery"),
    ("bytes", "bytes_per_delivery"),
    ("empty_polls", ""),
)
"""What is compared for each delivered question, and the field of the report that has it."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One measure on both lanes, for each delivered question."""

    measure: str
    polling: float | None
    """Median of the rounds."""
    elicitation: float | None
    ratio: float | None
    """Median of elicitation to polling of each round."""
    ratio_low: float | None
    """Smallest and largest of the rounds."""
    ratio_high: float | None
    rounds: int


class LanesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--compare-lanes`` found."""

    agents: int
    offered_per_second: float
    seconds: float
    carrier: str
    model: str
    rounds: int
    lost: int
    doubled: int
    compared: tuple[Compared, ...]
    answer_p99_ms: dict[str, list[float | None]]
    """By lane, of each round."""
    sound: bool
    """Every run came to its end and nothing was lost, doubled or refused."""
    reason: str = ""

    def fields(self) -> dict[str, object]:
        """As plain data, for JSON."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


RunOne = Callable[[Profile, str], Awaitable[LoadReport]]
"""Runs one profile; the words say what it is."""


async def compare(profile: Profile, rounds: int, run_one: RunOne) -> LanesReport:
    """Run all rounds. Raises ProfileError and what ``run_one`` raises; ends early with a run that was cut short."""
    if not ROUNDS_MIN <= rounds <= ROUNDS_MAX:
        raise ProfileError(
            f"--rounds {rounds} is not between {ROUNDS_MIN} and {ROUNDS_MAX}", "five are enough to see a spread"
        )
    runs: dict[str, list[LoadReport]] = {lane: [] for lane in LANES}
    reason = ""
    for number in range(rounds):
        for lane in LANES if number % 2 == 0 else LANES[::-1]:
            share = 1.0 if lane == "elicitation" else 0.0
            mine = msgspec.structs.replace(profile, share=share, seed=profile.seed + number)
            report = await run_one(mine, f"round {number + 1} of {rounds}, {lane}")
            runs[lane].append(report)
            reason = report.reason
            if reason:
                break
        if reason:
            break
    return _report(profile, runs, reason)


def _report(profile: Profile, runs: dict[str, list[LoadReport]], reason: str) -> LanesReport:
    pairs = list(zip(runs["polling"], runs["elicitation"], strict=False))
    every = [report for reports in runs.values() for report in reports]
    return LanesReport(
        agents=profile.agents,
        offered_per_second=round(profile.rate, 2),
        seconds=profile.seconds,
        carrier=profile.carrier,
        model=profile.model.name,
        rounds=len(pairs),
        lost=sum(report.lost for report in every),
        doubled=sum(report.doubled for report in every),
        compared=tuple(_compared(name, field, pairs) for name, field in MEASURES),
        answer_p99_ms={lane: [report.answer_ms.p99 for report in reports] for lane, reports in runs.items()},
        sound=bool(pairs) and all(report.sound for report in every),
        reason=reason,
    )


def _compared(name: str, field: str, pairs: Sequence[tuple[LoadReport, LoadReport]]) -> Compared:
    found = [(_value(first, field), _value(second, field)) for first, second in pairs]
    whole = [(first, second) for first, second in found if first is not None and second is not None]
    ratios = [second / first for first, second in whole if first]
    return Compared(
        measure=name,
        polling=_median([first for first, _ in whole]),
        elicitation=_median([second for _, second in whole]),
        ratio=_median(ratios),
        ratio_low=round(min(ratios), 4) if ratios else None,
        ratio_high=round(max(ratios), 4) if ratios else None,
        rounds=len(whole),
    )


def _value(report: LoadReport, field: str) -> float | None:
    if field:
        value: float | None = getattr(report, field)
        return value
    return report.empty_polls / report.delivered if report.delivered else None


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 4) if values else None
