"""What was measured, as the log says: the newest blocks, hours for ever, the stage of the rollout, the baseline.

Folded from the records of ``measurement/main`` and of the rollout alone, so a replay gives the same. Everything
is a sum of counts; a stretch of time between two blocks is missing, which means that the hub was not there.
"""

from collections import deque
from typing import Final

import msgspec

from crossfade.core.measurements import (
    CHECK_SECONDS_DEFAULT,
    Begun,
    BlockRecorded,
    Coordination,
    Ended,
    Exposure,
    Joined,
    Left,
    MeasurementEvent,
    Reason,
    Slice,
    numbers,
    slice_of,
)
from crossfade.core.values import SECOND, Instant

HOUR: Final = 3_600 * SECOND
WEEK_HOURS: Final = 168
THURSDAY: Final = 72
"""The hour of the week, counted from Monday 00:00 UTC, at which the Unix epoch began."""
BLOCKS_KEPT: Final = 720
"""Newest blocks in memory: two hours with traffic."""
SLICES_KEPT: Final = 20_000
"""Slices in them; the oldest blocks go first."""
CELLS_KEPT: Final = 100_000
"""Slices by hour, cluster and exposure since the stage began; the oldest hours go first."""
STAGE_HOURS: Final = 14 * 24
MISSING_KEPT: Final = 1_000
"""Missing stretches that are named; all are counted."""

Counts = dict[str, list[int]]
"""Exposure → ``numbers`` of a slice, added up."""
Buckets = dict[int, int]
"""Bucket of a histogram → how many."""


class Window(msgspec.Struct):
    """A stretch of time, added up."""

    from_at: Instant
    until_at: Instant
    """End of the last block in it."""
    down_seconds: float = 0.0
    """The hub was there and could not serve."""
    missing_seconds: float = 0.0
    """The hub was not there."""
    missing: list[tuple[Instant, Instant]] = []
    """The stretches that this adds up, the newest last."""
    blocks: int = 0
    counts: Counts = {}
    delivery: dict[str, Buckets] = {}
    answer: dict[str, Buckets] = {}
    polls: Counts = {}
    """Exposure → polls, empty polls, items handed out."""
    wake_levels: dict[str, dict[str, int]] = {}
    causes: dict[str, dict[str, int]] = {}
    registration: Buckets = {}
    fan_out: Buckets = {}
    late: int = 0

    @property
    def seconds(self) -> float:
        """Its length, what is missing included."""
        return (self.until_at - self.from_at) / SECOND

    @property
    def availability(self) -> float | None:
        """The part of the time in which the hub served; None for a window without length."""
        gone = self.down_seconds + self.missing_seconds
        return max(0.0, 1.0 - gone / self.seconds) if self.seconds > 0 else None

    def slice(self, exposure: Exposure) -> Slice:
        """All counts of an exposure, under no cluster."""
        counts = self.counts.get(exposure)
        return Slice(cluster="", exposure=exposure) if counts is None else slice_of("", exposure, counts)

    def add(self, block: BlockRecorded) -> None:
        """Take the next block."""
        if block.from_at > self.until_at:
            self.missing_seconds += (block.from_at - self.until_at) / SECOND
            self.missing.append((self.until_at, block.from_at))
            del self.missing[:-MISSING_KEPT]
        self.until_at = block.until_at
        self.down_seconds += block.down_seconds
        self.blocks += 1
        for one in block.slices:
            _add(self.counts, one.exposure, numbers(one))
        for part in block.coordination:
            self._coordinate(part)
        if block.hub.registration is not None:
            _merge(self.registration, dict(block.hub.registration[1]))
        _merge(self.fan_out, block.hub.fan_out)
        self.late += block.hub.late

    def _coordinate(self, part: Coordination) -> None:
        exposure = part.exposure
        for compact, by_exposure in ((part.delivery, self.delivery), (part.answer, self.answer)):
            if compact is not None:
                _merge(by_exposure.setdefault(exposure, {}), dict(compact[1]))
        _add(self.polls, exposure, (part.polls, part.empty_polls, part.items))
        for name, count in part.wake_levels.items():
            levels = self.wake_levels.setdefault(exposure, {})
            levels[name] = levels.get(name, 0) + count
        for name, count in part.causes.items():
            causes = self.causes.setdefault(exposure, {})
            causes[name] = causes.get(name, 0) + count


class Hour(msgspec.Struct):
    """An hour of UTC, added up; kept for ever, so without histograms."""

    measured_seconds: float = 0.0
    down_seconds: float = 0.0
    counts: Counts = {}
    polls: Counts = {}

    def add(self, block: BlockRecorded) -> None:
        """Take a block that began in this hour."""
        self.measured_seconds += (block.until_at - block.from_at) / SECOND
        self.down_seconds += block.down_seconds
        for one in block.slices:
            _add(self.counts, one.exposure, numbers(one))
        for part in block.coordination:
            _add(self.polls, part.exposure, (part.polls, part.empty_polls, part.items))


class Baseline(msgspec.Struct):
    """What was measured before anything moved, and how far it is."""

    window: Window
    planned_until: Instant
    ended_at: Instant = Instant(0)
    """0 while it is being measured."""
    why: str = ""
    """Why it ended."""
    profile: list[Hour] = msgspec.field(default_factory=lambda: [Hour() for _ in range(WEEK_HOURS)])
    """By hour of the week, from Monday 00:00 UTC."""


class Cells(msgspec.Struct):
    """Slices by hour, exposure and cluster."""

    size: int = 0
    hours: dict[int, dict[str, Counts]] = {}
    """Hour since the Unix epoch → exposure → cluster → numbers."""

    def add(self, block: BlockRecorded) -> None:
        """Take a block, and forget what is too old or too much."""
        hour = block.from_at // HOUR
        for one in block.slices:
            clusters = self.hours.setdefault(hour, {}).setdefault(one.exposure, {})
            self.size += one.cluster not in clusters
            _add(clusters, one.cluster, numbers(one))
        while self.hours and (self.size > CELLS_KEPT or next(iter(self.hours)) <= hour - STAGE_HOURS):
            oldest = next(iter(self.hours))
            self.size -= sum(map(len, self.hours.pop(oldest).values()))


class Kept(msgspec.Struct):
    """Everything the view knows, in a form that can be put away."""

    reasons: tuple[Reason, ...] = ()
    check_seconds: float = CHECK_SECONDS_DEFAULT
    whole: Window | None = None
    """Since recording was last begun."""
    stage: Window | None = None
    """Since the share of the rollout last changed."""
    baseline: Baseline | None = None
    """The newest."""
    hours: dict[int, Hour] = {}
    """Hour since the Unix epoch → what was measured in it, ever."""
    cells: Cells = msgspec.field(default_factory=Cells)
    """Since the share of the rollout last changed."""


class Measurements:
    """The view."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.recent: deque[BlockRecorded] = deque()
        """The newest blocks, oldest first."""
        self._slices = 0

    def fold(self, event: MeasurementEvent, at: Instant) -> None:
        """Take a record of ``measurement/main``."""
        kept = self.kept
        match event:
            case Begun(reason=reason):
                kept.reasons, kept.check_seconds, kept.whole = (reason,), event.check_seconds, Window(at, at)
                kept.stage = kept.stage and Window(at, at)  # what was not measured in between is not missing
                self._begin(reason, event.until_at, at)
            case Joined(reason=reason):
                kept.reasons = (*kept.reasons, reason)
                self._begin(reason, event.until_at, at)
            case BlockRecorded():
                self.put(event)
                self._add(event)
            case Left(reason=reason, why=why) | Ended(reason=reason, why=why):
                kept.reasons = tuple(one for one in kept.reasons if one is not reason)
                if reason is Reason.BASELINE and kept.baseline is not None:
                    kept.baseline.ended_at, kept.baseline.why = at, why

    def put(self, block: BlockRecorded) -> None:
        """Keep a block among the newest."""
        self.recent.append(block)
        self._slices += len(block.slices)
        while len(self.recent) > BLOCKS_KEPT or (self._slices > SLICES_KEPT and len(self.recent) > 1):
            self._slices -= len(self.recent.popleft().slices)

    def share_changed(self, at: Instant) -> None:
        """A stage of the rollout begins."""
        self.kept.stage = Window(at, at)
        self.kept.cells = Cells()

    def _begin(self, reason: Reason, until_at: Instant, at: Instant) -> None:
        if reason is Reason.BASELINE:
            self.kept.baseline = Baseline(Window(at, at), until_at)

    def _add(self, block: BlockRecorded) -> None:
        kept = self.kept
        assert kept.whole is not None
        kept.whole.add(block)
        kept.hours.setdefault(block.from_at // HOUR, Hour()).add(block)
        if kept.stage is not None and block.from_at >= kept.stage.from_at:
            kept.stage.add(block)
            kept.cells.add(block)
        baseline = kept.baseline
        if baseline is not None and not baseline.ended_at:
            baseline.window.add(block)
            baseline.profile[hour_of_week(block.from_at)].add(block)


def hour_of_week(at: Instant) -> int:
    """0 for Monday 00:00 UTC to 167 for Sunday 23:00."""
    return (at // HOUR + THURSDAY) % WEEK_HOURS


def _add(sums: Counts, key: str, more: tuple[int, ...]) -> None:
    row = sums.get(key)
    if row is None:
        sums[key] = list(more)
    else:
        row[:] = [one + other for one, other in zip(row, more, strict=True)]


def _merge(buckets: Buckets, more: Buckets) -> None:
    for bucket, count in more.items():
        buckets[bucket] = buckets.get(bucket, 0) + count
