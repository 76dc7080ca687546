"""Measurements: blocks of exact counts, recorded from the day something is to be compared until nothing is.

One stream, ``measurement/main``. Recording is on for a baseline, for a rollout, or for both at once; a hub with
neither writes nothing. A block follows the one before without a hole, or leaves a hole that says the hub was not
there. Counts that contradict themselves are refused, so that no verdict can rest on them.

Not here: who counts (engine/measuring.py), what is made of the counts (gates.py, baselines.py).
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Seq
from enum import StrEnum
from operator import attrgetter
from typing import Final, assert_never

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.measurement_events import (
    EDGES_MS,
    NONE_OVER,
    Begun,
    BlockRecorded,
    Compact,
    Coordination,
    Ended,
    HubCounts,
    Joined,
    Left,
    MeasurementEvent,
    Reason,
    Slice,
)
from crossfade.core.question_events import Exposure
from crossfade.core.records import Event
from crossfade.core.values import SECOND, Instant, StreamName

__all__ = [
    "COUNTS", "DECIDER", "EDGES_MS", "NEXT", "NONE_OVER", "STREAM", "Begin", "Begun", "BlockRecorded", "Command",
    "Compact", "Coordination", "End", "Ended", "Exposure", "HubCounts", "Joined", "Left", "MeasurementEvent", "Reason",
    "Record", "Slice", "State", "Status", "added", "deadline", "decide", "evolve", "max_rate_of", "numbers", "slice_of",
    "stream_of", "why_bad",
]  # fmt: skip

STREAM: Final = StreamName("measurement/main")
CHECK_SECONDS_DEFAULT: Final = 10.0
CHECK_SECONDS_MAX: Final = 3_600.0
"""What a kill takes is at most one block, and counts as missing: so a long block hides nothing, it only costs more."""
BASELINE_SECONDS_DEFAULT: Final = 7 * 86_400.0
BASELINE_SECONDS_MAX: Final = 366 * 86_400.0
SLICES_MAX: Final = 4_096
"""In one block; engine/measuring.py joins small clusters long before."""
WHY_LENGTH_MAX: Final = 500


class Status(StrEnum):
    """Whether anything is measured."""

    OFF = "off"
    ON = "on"


# --- commands ---------------------------------------------------------------------------------------


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Measure from now on."""

    reason: Reason
    check_seconds: float = CHECK_SECONDS_DEFAULT
    seconds: float = 0.0
    """Length of a baseline; 0 for a rollout."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Take a block; it may not begin before the last one ended."""

    block: BlockRecorded


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A reason is over."""

    reason: Reason
    why: str = ""


Command = Begin | Record | End


# --- the machine ------------------------------------------------------------------------------------

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.OFF, Begun): Status.ON,
    (Status.ON, Joined): Status.ON,
    (Status.ON, BlockRecorded): Status.ON,
    (Status.ON, Left): Status.ON,
    (Status.ON, Ended): Status.OFF,
}
"""The whole machine. The diagram in docs/explanation is drawn from this table."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and up to where."""

    status: Status = Status.OFF
    reasons: tuple[Reason, ...] = ()
    """Why it is on; none while it is off."""
    check_seconds: float = CHECK_SECONDS_DEFAULT
    until_at: Instant = Instant(0)
    """End of the last block; 0 before the first."""
    baseline_until: Instant = Instant(0)
    """When the baseline that is being measured is complete; 0 if there is none."""


def decide(state: State, command: Command, now: Instant) -> tuple[MeasurementEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it.

    Refuses with: measurement.on, measurement.off, measurement.bad_check, measurement.bad_length,
    measurement.backwards, measurement.bad_counts.
    """
    match command:
        case Begin():
            return _begin(state, command, now)
        case Record(block=block):
            return _record(state, block)
        case End(reason=reason, why=why):
            if reason not in state.reasons:
                return _refuse("off", reason)
            last = len(state.reasons) == 1
            return ((Ended if last else Left)(reason=reason, why=why[:WHY_LENGTH_MAX]),)
        case _:
            assert_never(command)


def _begin(state: State, command: Begin, now: Instant) -> tuple[MeasurementEvent, ...] | Refusal:
    if command.reason in state.reasons:
        return _refuse("on", command.reason)
    if not 1 <= command.check_seconds <= CHECK_SECONDS_MAX:
        return _refuse("bad_check", command.reason)
    until_at = Instant(0)
    if command.reason is Reason.BASELINE:
        if not command.check_seconds <= command.seconds <= BASELINE_SECONDS_MAX:
            return _refuse("bad_length", command.reason)
        until_at = Instant(now + int(command.seconds * SECOND))
    if state.status is Status.ON:
        return (Joined(reason=command.reason, until_at=until_at),)
    return (Begun(reason=command.reason, check_seconds=command.check_seconds, until_at=until_at),)


def _record(state: State, block: BlockRecorded) -> tuple[MeasurementEvent, ...] | Refusal:
    if state.status is Status.OFF:
        return _refuse("off", "")
    if block.from_at < state.until_at or block.until_at < block.from_at:
        return _refuse("backwards", "")
    if bad := why_bad(block):
        return Refusal(
            "measurement.bad_counts", f"Impossible counts: {bad}.", "Count again; this is a fault of the hub."
        )
    return (block,)


def why_bad(block: BlockRecorded) -> str:
    """What contradicts itself in the counts of a block, empty if nothing does."""
    if len(block.slices) > SLICES_MAX:
        return f"{len(block.slices)} slices in one block, at most {SLICES_MAX} are possible"
    if len({(one.cluster, one.exposure) for one in block.slices}) < len(block.slices):
        return "a cluster is there twice with the same exposure"
    if not 0 <= block.down_seconds * SECOND <= block.until_at - block.from_at + SECOND:
        return f"{block.down_seconds:g} seconds down in a block that is shorter"
    return next((bad for one in block.slices if (bad := _why_bad(one))), "")


def _why_bad(one: Slice) -> str:
    where = f"in the slice {one.cluster}, {one.exposure}"
    if len(one.over) != len(EDGES_MS):
        return f"{len(one.over)} edges {where}, {len(EDGES_MS)} are counted"
    falling = zip((one.timed, *one.over), (*one.over, 0), strict=True)
    if any(more < fewer for more, fewer in falling):
        return f"more late deliveries than deliveries {where}"
    if not 0 <= one.faults <= one.requests:
        return f"more faults than requests {where}"
    return f"a count below 0 {where}" if min(numbers(one)) < 0 else ""


def evolve(state: State, event: Event) -> State:
    """Apply a fact. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    match event:
        case Begun(reason=reason, check_seconds=seconds, until_at=until_at):
            return msgspec.structs.replace(
                state, status=status, reasons=(reason,), check_seconds=seconds, baseline_until=until_at
            )
        case Joined(reason=reason, until_at=until_at):
            baseline = until_at or state.baseline_until
            return msgspec.structs.replace(state, reasons=(*state.reasons, reason), baseline_until=baseline)
        case BlockRecorded(until_at=until_at):
            return msgspec.structs.replace(state, until_at=until_at)
        case Left(reason=reason) | Ended(reason=reason):
            left = tuple(one for one in state.reasons if one is not reason)
            baseline = Instant(0) if reason is Reason.BASELINE else state.baseline_until
            return msgspec.structs.replace(state, status=status, reasons=left, baseline_until=baseline)
        case _:
            raise KeyError(type(event).__name__)


def deadline(state: State) -> Instant | None:
    """When the baseline is complete; None if none is being measured."""
    return state.baseline_until or None


DECIDER: Final = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)

_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "backwards": ("A block ends after it begins, and begins where the one before ended.", "Measure on from there."),
    "bad_check": (f"A block is 1 to {CHECK_SECONDS_MAX:g} seconds long.", "Give check_seconds between the two."),
    "bad_length": ("A baseline is one block to 366 days long.", "Give seconds between the two."),
    "off": ("Nothing is being measured{reason}.", "Begin with `crossfade baseline start`, or with a rollout."),
    "on": ("It is being measured already{reason}.", "Look at it, or stop it first."),
}
"""Code after ``measurement.``: what is wrong, and what to do."""


def _refuse(code: str, reason: str) -> Refusal:
    message, hint = _REFUSALS[code]
    return Refusal(f"measurement.{code}", message.format(reason=f" for a {reason}" if reason else ""), hint)


# --- counts -----------------------------------------------------------------------------------------

COUNTS: Final = tuple(name for name in Slice.__struct_fields__ if name not in ("cluster", "exposure", "over"))
"""The fields of a slice that are one number each."""
_numbers: Final = attrgetter(*COUNTS)


def numbers(one: Slice) -> tuple[int, ...]:
    """All counts of a slice: those over each edge, then the ones of ``COUNTS``. They add up place by place."""
    return (*one.over, *_numbers(one))


def slice_of(cluster: str, exposure: Exposure, counts: Seq[int]) -> Slice:
    """The slice whose ``numbers`` are ``counts``."""
    edges = len(EDGES_MS)
    plain = dict(zip(COUNTS, counts[edges:], strict=True))
    return Slice(cluster=cluster, exposure=exposure, over=tuple(counts[:edges]), **plain)


def added(slices: Iterable[Slice], cluster: str, exposure: Exposure) -> Slice:
    """The sum of ``slices`` under one name; all counts 0 if there are none."""
    rows = [numbers(one) for one in slices]
    return slice_of(cluster, exposure, [sum(column) for column in zip(*rows, strict=True)] or _NOTHING)


_NOTHING: Final = (0,) * (len(EDGES_MS) + len(COUNTS))


# --- what a gate or trigger reads of them -----------------------------------------------------------

Pair = tuple[int, int]
"""How many there were, and how many of them were bad: 0 ≤ bad ≤ n."""

QUANTILES: Final[Mapping[str, float]] = {
    "latency_p50_ms": 0.5,
    "latency_p95_ms": 0.05,
    "latency_p99_ms": 0.01,
    "latency_p999_ms": 0.001,
}
"""A quantile keeps its limit exactly if fewer than this part of all values is over it."""


def stream_of(metric: str, limit: float) -> Callable[[Slice], Pair]:
    """What to count for ``metric`` with this limit: a function from a slice to (n, bad).

    A latency's limit is in milliseconds and one of ``EDGES_MS``; rates are from 0 to 1, and do not matter to
    what is counted. Raises KeyError for a metric that is no stream of such counts, ValueError for a limit
    that is no edge; the message lists the edges.
    """
    if metric == "error_rate":
        return lambda one: (one.requests, one.faults)
    if metric == "delivery_rate":
        return lambda one: (one.delivered + one.undelivered, one.undelivered)
    if metric not in QUANTILES:
        raise KeyError(metric)
    if limit not in EDGES_MS:
        edges = ", ".join(map(str, EDGES_MS))
        raise ValueError(f"{limit:g} ms is not counted exactly; use one of {edges} ms")
    place = EDGES_MS.index(int(limit))
    return lambda one: (one.timed, one.over[place])


def max_rate_of(metric: str, limit: float) -> float:
    """The part of ``stream_of`` that may be bad while ``metric`` keeps ``limit``. Raises KeyError as that does."""
    if metric == "error_rate":
        return limit
    return 1.0 - limit if metric == "delivery_rate" else QUANTILES[metric]
