"""Measurements as users read them: figures by exposure, the baseline with its gaps and its hours."""

from collections.abc import Mapping
from typing import Final

import msgspec

from crossfade.core import baselines, histograms
from crossfade.core.measurements import EDGES_MS, Exposure
from crossfade.core.run_events import Verdict
from crossfade.core.values import SECOND, Instant
from crossfade.engine.views.instants import iso
from crossfade.engine.views.measurements import Baseline, Window

QUANTILES: Final[Mapping[str, float]] = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
GAPS_SHOWN: Final = 100


class TimesView(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, right to 1 %; null where there was nothing."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None


class ExposureView(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one exposure; docs/reference/measurements.md says what each figure is."""

    asked: int
    delivered: int
    timed: int
    over_ms: dict[str, int]
    """Edge in milliseconds → deliveries that took longer. Exact."""
    undelivered: int
    requests: int
    faults: int
    answered: int
    declined: int
    withdrawn: int
    expired_seen: int
    expired_unseen: int
    dismissed: int
    fallback: int
    polls: int
    empty_polls: int
    items: int
    polls_per_item: float | None
    delivery: TimesView
    answer: TimesView
    wake_levels: dict[str, int]
    causes: dict[str, int]


class GapView(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which nothing was measured, because the hub was not there."""

    from_at: str
    until_at: str
    seconds: float


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time, added up."""

    from_at: str
    until_at: str
    seconds: float
    missing_seconds: float
    down_seconds: float
    availability: float | None
    """Null before the first block."""
    exposures: dict[str, ExposureView]
    registration: TimesView
    recipients: dict[int, int]
    """Recipients of a message → messages."""
    late_answers: int


class MeasurementsView(msgspec.Struct, frozen=True, kw_only=True):
    """What is being measured, and what was."""

    reasons: tuple[str, ...]
    """baseline, rollout, or both; empty while nothing is measured."""
    check_seconds: float
    looked_at: str | None
    whole: WindowView | None
    """Since recording was last begun."""
    stage: WindowView | None
    """Since the share of the rollout last changed."""


class SeasonView(msgspec.Struct, frozen=True, kw_only=True):
    """Questions asked an hour, by hour of the day and by weekday, in UTC; null where nothing was measured."""

    by_hour: tuple[float | None, ...]
    """From 00:00."""
    by_day: tuple[float | None, ...]
    """From Monday."""
    peak_hour: int | None
    trough_hour: int | None
    peak_to_trough: float | None
    """How many times the lowest hour the highest one is; null if nothing was asked in the lowest."""


class BaselineView(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline: whether it can be relied on, and what it says."""

    status: str
    """none, measuring or ended."""
    verdict: str
    """passed, inconclusive (it is not complete yet), or errored."""
    reason: str
    explanation: str
    seconds_left: float
    planned_until: str | None
    ended_at: str | None
    why_ended: str
    gaps: tuple[GapView, ...]
    """Longer than a gap may be, oldest first; at most 100."""
    measured: WindowView | None
    season: SeasonView | None


NO_BASELINE: Final = BaselineView(
    status="none", verdict=Verdict.ERRORED, reason=baselines.NOT_MEASURED, explanation="no baseline was begun",
    seconds_left=0.0, planned_until=None, ended_at=None, why_ended="", gaps=(), measured=None, season=None,
)  # fmt: skip


def times(*buckets: Mapping[int, int]) -> TimesView:
    """Quantiles of histograms that belong together."""
    whole = histograms.merged(histograms.Histogram(one) for one in buckets)
    quantiles = {name: whole.quantile(part) for name, part in QUANTILES.items()}
    return TimesView(count=whole.n, **quantiles)


def window_view(window: Window) -> WindowView:
    """A window as users read it."""
    exposures = sorted({*window.counts, *window.polls, *window.wake_levels})
    return WindowView(
        from_at=iso(window.from_at),
        until_at=iso(window.until_at),
        seconds=window.seconds,
        missing_seconds=window.missing_seconds,
        down_seconds=window.down_seconds,
        availability=window.availability,
        exposures={exposure: _exposure(window, Exposure(exposure)) for exposure in exposures},
        registration=times(window.registration),
        recipients=window.fan_out,
        late_answers=window.late,
    )


def _exposure(window: Window, exposure: Exposure) -> ExposureView:
    counts = msgspec.structs.asdict(window.slice(exposure))
    del counts["cluster"], counts["exposure"]
    over = dict(zip(map(str, EDGES_MS), counts.pop("over"), strict=True))
    polls, empty, items = window.polls.get(exposure, (0, 0, 0))
    return ExposureView(
        over_ms=over, polls=polls, empty_polls=empty, items=items, polls_per_item=polls / items if items else None,
        delivery=times(window.delivery.get(exposure, {})), answer=times(window.answer.get(exposure, {})),
        wake_levels=window.wake_levels.get(exposure, {}), causes=window.causes.get(exposure, {}), **counts,
    )  # fmt: skip


def measured(baseline: Baseline) -> baselines.Measured:
    """What a baseline has reached, for ``baselines.judge``."""
    window = baseline.window
    return baselines.Measured(
        from_at=window.from_at,
        until_at=window.until_at,
        missing=tuple(window.missing),
        missing_seconds=window.missing_seconds,
        samples=window.slice(Exposure.OLD).timed,
        ended=bool(baseline.ended_at),
    )


def baseline_view(baseline: Baseline | None, wanted: baselines.Wanted | None = None) -> BaselineView:
    """The baseline as users read it, held against its own plan unless another one is given."""
    if baseline is None:
        return NO_BASELINE
    planned = (baseline.planned_until - baseline.window.from_at) / SECOND
    found = baselines.judge(wanted or baselines.Wanted(seconds=planned), measured(baseline))
    return BaselineView(
        status="ended" if baseline.ended_at else "measuring",
        verdict=found.verdict,
        reason=found.reason,
        explanation=found.explanation,
        seconds_left=found.seconds_left,
        planned_until=iso(baseline.planned_until),
        ended_at=iso(baseline.ended_at) if baseline.ended_at else None,
        why_ended=baseline.why,
        gaps=tuple(_gap(*gap) for gap in found.gaps[:GAPS_SHOWN]),
        measured=window_view(baseline.window),
        season=_season(baseline),
    )


def _gap(since: Instant, until: Instant) -> GapView:
    return GapView(from_at=iso(since), until_at=iso(until), seconds=(until - since) / SECOND)


def _season(baseline: Baseline) -> SeasonView:
    asked = [sum(_asked(row) for row in hour.counts.values()) for hour in baseline.profile]
    season = baselines.season(asked, [hour.measured_seconds for hour in baseline.profile])
    peak, trough = season.peak_hour, season.trough_hour
    high = 0.0 if peak is None else season.by_hour[peak] or 0.0
    low = 0.0 if trough is None else season.by_hour[trough] or 0.0
    return SeasonView(
        by_hour=season.by_hour,
        by_day=season.by_day,
        peak_hour=peak,
        trough_hour=trough,
        peak_to_trough=high / low if low else None,
    )


def _asked(row: list[int]) -> int:
    return row[len(EDGES_MS)]
