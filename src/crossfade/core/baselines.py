"""Baselines: whether the polling lane was measured long enough, without a hole, and what its days look like.

A baseline with holes or too few samples is errored, not_measured: it never passes and never fails, it blocks.
While it is still being measured it is inconclusive, and says how long it needs.

Not here: counting (engine/measuring.py), adding up (engine/views/measurements.py).
"""

from collections.abc import Sequence as Seq
from typing import Final

import msgspec

from crossfade.core.run_events import Verdict
from crossfade.core.values import SECOND, Instant

MISSING_SHARE_MAX: Final = 0.01
"""Of the whole time, in stretches each of which would be short enough."""
NOT_MEASURED: Final = "not_measured"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a baseline has to reach."""

    seconds: float
    gap_seconds_max: float = 60.0
    samples_min: int = 0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a baseline has reached."""

    from_at: Instant
    until_at: Instant
    """End of the last block."""
    missing: tuple[tuple[Instant, Instant], ...]
    """Stretches in which the hub was not there."""
    missing_seconds: float
    """Their sum; more than the stretches say if those are too many to keep."""
    samples: int
    """Timed deliveries on the polling lane."""
    ended: bool


class Completeness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a baseline can be relied on."""

    verdict: Verdict
    reason: str = ""
    """Stable; ``not_measured`` when it can never pass any more, empty when it passed."""
    explanation: str = ""
    """In one sentence, with numbers."""
    gaps: tuple[tuple[Instant, Instant], ...] = ()
    """Stretches that are longer than a gap may be."""
    seconds_left: float = 0.0
    """Until it is long enough; 0 if it is, or never will be."""


def judge(wanted: Wanted, measured: Measured) -> Completeness:
    """Passed, inconclusive while it is going on, or errored because it can never pass any more."""
    seconds = (measured.until_at - measured.from_at) / SECOND
    gaps = tuple(one for one in measured.missing if one[1] - one[0] > wanted.gap_seconds_max * SECOND)
    if gaps:
        longest = max(until - since for since, until in gaps) / SECOND
        said = f"{len(gaps)} gap(s) longer than {wanted.gap_seconds_max:g} s, the longest of {longest:,.0f} s"
        return Completeness(verdict=Verdict.ERRORED, reason=NOT_MEASURED, explanation=said, gaps=gaps)
    if measured.missing_seconds > MISSING_SHARE_MAX * max(seconds, wanted.seconds):
        said = f"{measured.missing_seconds:,.0f} s are missing in short stretches, {MISSING_SHARE_MAX:.0%} at most"
        return Completeness(verdict=Verdict.ERRORED, reason=NOT_MEASURED, explanation=said)
    said = f"{seconds:,.0f} of {wanted.seconds:,.0f} s, {measured.samples:,} of {wanted.samples_min:,} samples"
    if seconds >= wanted.seconds and measured.samples >= max(1, wanted.samples_min):
        return Completeness(verdict=Verdict.PASSED, explanation=said)
    if measured.ended:
        return Completeness(verdict=Verdict.ERRORED, reason=NOT_MEASURED, explanation=f"it ended with {said}")
    left = max(0.0, wanted.seconds - seconds)
    return Completeness(verdict=Verdict.INCONCLUSIVE, reason="not enough yet", explanation=said, seconds_left=left)


class Season(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure goes up and down: a rate by the hour."""

    by_hour: tuple[float | None, ...]
    """24 rates, from 00:00 UTC; None for an hour that was not measured."""
    by_day: tuple[float | None, ...]
    """7 rates, from Monday."""

    @property
    def peak_hour(self) -> int | None:
        """The hour of the day with the highest rate, the first of equals; None if nothing was measured."""
        return max(self._hours(), key=lambda pair: (pair[0], -pair[1]), default=(0.0, None))[1]

    @property
    def trough_hour(self) -> int | None:
        """The hour of the day with the lowest rate, the first of equals; None if nothing was measured."""
        return min(self._hours(), default=(0.0, None))[1]

    def _hours(self) -> list[tuple[float, int]]:
        return [(rate, hour) for hour, rate in enumerate(self.by_hour) if rate is not None]


def season(counts: Seq[int], seconds: Seq[float]) -> Season:
    """The rates an hour of what was counted in each of the 168 hours of the week, in so many measured seconds."""
    return Season(
        by_hour=tuple(_rate(range(hour, 168, 24), counts, seconds) for hour in range(24)),
        by_day=tuple(_rate(range(24 * day, 24 * day + 24), counts, seconds) for day in range(7)),
    )


def _rate(places: range, counts: Seq[int], seconds: Seq[float]) -> float | None:
    measured = sum(seconds[place] for place in places)
    return sum(counts[place] for place in places) * 3_600.0 / measured if measured > 0 else None
