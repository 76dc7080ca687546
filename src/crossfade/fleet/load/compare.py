"""Both lanes with one model of an agent on one schedule, each alone on a hub of its own, round after round.

Not a comparison of latencies under one roof (that is a mixed run), and not the judge of a rollout (core/gates).

Rules
-----
1. A round is a pair: both lanes with the same agents, model, schedule and seed. Every other round begins with the
   other lane, so that a machine that drifts does not decide.
2. Reported is the ratio of each pair, elicitation to polling; of the ratios the median, and an interval for it that
   holds whatever their distribution is. A difference is told only if the interval leaves 1 out; the improvement is
   what comes out, and about 1 is a result like any other.
3. A wait that brings nothing is a poll on either lane.
4. Only carriers that act out the whole model are compared: on the event stream an agent hears while it works.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Final, NamedTuple

import msgspec

from crossfade.fleet.load.profile import Carrier, Profile, ProfileError
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.model import AgentModel

ROUNDS_MIN: Final = 1
ROUNDS_MAX: Final = 100
LANES: Final = ("polling", "elicitation")
WANTED: Final = 0.95
"""Confidence of the intervals, where the rounds suffice for it: six do."""
TOLD: Final = 0.93
"""With less, no difference is told: five rounds have 0.9375."""
SAMPLES_MIN: Final = 20
"""A quantile of fewer deliveries in a round is left out."""


class Measure(NamedTuple):
    """What is compared: less is better in all of them."""

    name: str
    of: Callable[[LoadReport], float | None]


MEASURES: Final = (
    Measure("delivery_waiting_p50_ms", lambda run: _enough(run.waiting_ms.n, run.waiting_ms.p50)),
    Measure("delivery_waiting_p95_ms", lambda run: _enough(run.waiting_ms.n, run.waiting_ms.p95)),
    Measure("delivery_busy_p50_ms", lambda run: _enough(run.busy_ms.n, run.busy_ms.p50)),
    Measure("delivery_busy_p95_ms", lambda run: _enough(run.busy_ms.n, run.busy_ms.p95)),
    Measure("answer_p50_ms", lambda run: _enough(run.answer_ms.n, run.answer_ms.p50)),
    Measure("answer_p95_ms", lambda run: _enough(run.answer_ms.n, run.answer_ms.p95)),
    Measure("requests", lambda run: run.requests_per_delivery),
    Measure("empty_polls", lambda run: run.empty_polls / run.delivered if run.delivered else None),
    Measure("hub_cpu_ms", lambda run: run.hub_cpu_ms_per_delivery),
    Measure("bytes", lambda run: run.bytes_per_delivery),
)
"""Times, and what is spent on each delivered question."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One measure on both lanes."""

    measure: str
    polling: float | None
    """Median of the rounds."""
    elicitation: float | None
    ratio: float | None
    """Median of elicitation to polling of each round."""
    ratio_low: float | None
    """Interval for the median of the ratios."""
    ratio_high: float | None
    confidence: float
    """Of the interval; 0 if one round is all there is."""
    difference: str
    """``less`` or ``more`` on elicitation if the interval leaves out 1, ``none shown`` if not, ``too few rounds``."""
    rounds: int


class LanesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--compare-lanes`` found."""

    agents: int
    offered_per_second: float
    seconds: float
    carrier: str
    model: str
    agent: AgentModel
    """What the agents of both lanes are like, every number of it."""
    rounds: int
    lost: int
    doubled: int
    compared: tuple[Compared, ...]
    answer_p99_ms: dict[str, list[float | None]]
    """By lane, of each round."""
    delivered_while_waiting: dict[str, list[int]]
    """By lane, of each round: how many deliveries the times while waiting are of."""
    delivered_while_busy: dict[str, list[int]]
    sound: bool
    """Every run came to its end and nothing was lost, doubled or refused."""
    warnings: tuple[str, ...] = ()
    """What the runs say that has to be borne in mind, each once."""
    reason: str = ""

    def fields(self) -> dict[str, object]:
        """As plain data, for JSON."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


RunOne = Callable[[Profile, str], Awaitable[LoadReport]]
"""Runs one profile; the words say what it is."""


async def compare(profile: Profile, rounds: int, run_one: RunOne) -> LanesReport:
    """Run all rounds. Raises ProfileError and what ``run_one`` raises; ends early with a run that was cut short."""
    _comparable(profile, rounds)
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


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """An interval for the median of what the ratios are drawn from, and its confidence; they have to be there.

    Between the k-th smallest and the k-th largest, with the largest k that keeps the confidence (the sign test turned
    round): nothing is presumed about how ratios are distributed. With too few of them it is the whole range.
    """
    ordered, count = sorted(ratios), len(ratios)
    place, held = 1, _held(count, 1)
    while 2 * (place + 1) <= count and _held(count, place + 1) >= WANTED:
        place, held = place + 1, _held(count, place + 1)
    return ordered[place - 1], ordered[-place], held


def _held(count: int, place: int) -> float:
    """The probability that the median lies between the place-th smallest and the place-th largest of so many."""
    return max(0.0, 1.0 - 2.0 * sum(math.comb(count, below) for below in range(place)) / 2.0**count)


def _comparable(profile: Profile, rounds: int) -> None:
    if not ROUNDS_MIN <= rounds <= ROUNDS_MAX:
        raise ProfileError(
            f"--rounds {rounds} is not between {ROUNDS_MIN} and {ROUNDS_MAX}", "six are enough for an interval at 95 %"
        )
    if profile.carrier is Carrier.STREAM and profile.model.work_seconds > 0:
        raise ProfileError(
            f"on a stream an agent hears while it works, which the model {profile.model.name!r} does not",
            "compare with --carrier attend or unchanged, or with a model that is never busy",
        )


def _report(profile: Profile, runs: dict[str, list[LoadReport]], reason: str) -> LanesReport:
    pairs = list(zip(runs["polling"], runs["elicitation"], strict=False))
    every = [report for reports in runs.values() for report in reports]
    return LanesReport(
        agents=profile.agents,
        offered_per_second=round(profile.rate, 2),
        seconds=profile.seconds,
        carrier=profile.carrier,
        model=profile.model.name,
        agent=profile.model,
        rounds=len(pairs),
        lost=sum(report.lost for report in every),
        doubled=sum(report.doubled for report in every),
        compared=tuple(_compared(measure, pairs) for measure in MEASURES),
        answer_p99_ms={lane: [report.answer_ms.p99 for report in reports] for lane, reports in runs.items()},
        delivered_while_waiting={lane: [run.waiting_ms.n for run in reports] for lane, reports in runs.items()},
        delivered_while_busy={lane: [run.busy_ms.n for run in reports] for lane, reports in runs.items()},
        sound=bool(pairs) and all(report.sound for report in every),
        warnings=tuple(dict.fromkeys(text for report in every for text in report.warnings)),
        reason=reason,
    )


def _compared(measure: Measure, pairs: Sequence[tuple[LoadReport, LoadReport]]) -> Compared:
    found = [(measure.of(first), measure.of(second)) for first, second in pairs]
    whole = [(first, second) for first, second in found if first is not None and second is not None]
    ratios = [second / first for first, second in whole if first]
    low, high, held = interval(ratios) if ratios else (None, None, 0.0)
    return Compared(
        measure=measure.name,
        polling=_median([first for first, _ in whole]),
        elicitation=_median([second for _, second in whole]),
        ratio=_median(ratios),
        ratio_low=None if low is None else round(low, 4),
        ratio_high=None if high is None else round(high, 4),
        confidence=round(held, 4),
        difference=_difference(low, high, held),
        rounds=len(whole),
    )


def _difference(low: float | None, high: float | None, held: float) -> str:
    if low is None or high is None or held < TOLD:
        return "too few rounds"
    return "less" if high < 1.0 else "more" if low > 1.0 else "none shown"


def _enough(count: int, value: float | None) -> float | None:
    return value if count >= SAMPLES_MIN else None


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 4) if values else None
