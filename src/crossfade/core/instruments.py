"""Instruments: a gate, trigger or comparison of a plan, bound to the counts that it is judged on.

The statistics are those of core/gates; which counts they get, and what their words mean for a metric, is here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, assert_never

import msgspec

from crossfade.core.gates import Count, Exposure, Judging, Kind, Ruling, Spec, judging
from crossfade.core.gates.comparison import Comparison
from crossfade.core.gates.judging import Seen
from crossfade.core.gates.promotion import Promotion
from crossfade.core.gates.sample_ratio import SampleRatio
from crossfade.core.gates.trigger import Trigger
from crossfade.core.measurement_events import Slice
from crossfade.core.measurements import max_rate_of, stream_of
from crossfade.core.plans import STREAMS, Plan
from crossfade.core.plans import Trigger as PlanTrigger
from crossfade.core.stage_events import Said
from crossfade.core.values import Instant

RATIO: Final = "sample_ratio"
MEANINGS: Final = {
    "latency_p50_ms": "deliveries slower than {limit:g} ms, of which half may be",
    "latency_p95_ms": "deliveries slower than {limit:g} ms, of which 5 % may be",
    "latency_p99_ms": "deliveries slower than {limit:g} ms, of which 1 % may be",
    "latency_p999_ms": "deliveries slower than {limit:g} ms, of which 0.1 % may be",
    "error_rate": "requests that the server failed, of which {limit:.3%} may be",
    "delivery_rate": "questions that were not delivered, of which {rest:.3%} may be",
}
"""Metric → what is bad there, and how much of it may be."""
FOLDS: Final = {
    Kind.PROMOTION: Promotion, Kind.TRIGGER: Trigger, Kind.AB: Comparison, Kind.SAMPLE_RATIO: SampleRatio,
}  # fmt: skip
Read = Callable[[Slice], tuple[int, int]]


class Instrument:
    """One gate, trigger or comparison with its evidence so far."""

    __slots__ = ("_mark", "_said", "judging", "limit", "metric", "name", "read")

    def __init__(self, name: str, metric: str, limit: float | None, spec: Spec) -> None:
        """Raises ValueError for a spec that makes no sense; a plan that was linted has none."""
        self.name = name
        self.metric = metric
        self.limit = limit
        self.read: Read = _requests if limit is None else stream_of(metric, limit)
        made = judging(spec)
        if isinstance(made, Ruling):
            raise ValueError(made.explanation)  # noqa: TRY004 - the value of the spec is wrong, not its type
        self.judging = made
        self._said: Said | None = None
        self._mark: object = None

    def take(self, counts: Sequence[tuple[Slice, Exposure]], at: Instant) -> None:
        """One block."""
        for exposure in Exposure:
            self.judging.take(Count(at, "", exposure, 0, 0))
        for one, exposure in counts:
            n, bad = self.read(one)
            if n:
                self.judging.take(Count(at, one.cluster, exposure, n, bad))

    def said(self, *, fresh: bool = False) -> Said:
        """The verdict; judged anew only when there is new evidence, unless ``fresh``."""
        mark = _evidence_mark(self.judging.fold)
        if fresh or self._said is None or mark is None or mark != self._mark:
            self._said, self._mark = said_of(self, self.judging.ruling()), mark
        return self._said

    def dump(self) -> bytes:
        """The evidence, for a snapshot."""
        return msgspec.msgpack.encode((self.judging.seen, self.judging.fold))

    def fill(self, saved: bytes) -> None:
        """Take over evidence that was put away."""
        kind = FOLDS[self.judging.spec.kind]
        seen, fold = msgspec.msgpack.decode(saved, type=tuple[Seen, kind])  # type: ignore[valid-type]
        self.judging = Judging(spec=self.judging.spec, seen=seen, fold=fold)


def _evidence_mark(fold: Promotion | Trigger | Comparison | SampleRatio) -> object:
    """What changes when there is new evidence; None where every step may be new."""
    match fold:
        case Promotion() | Comparison():
            return fold.blocks
        case SampleRatio():
            return tuple((len(phase.sides), len(phase.both)) for phase in fold.phases)
        case Trigger():
            return None
        case _:
            assert_never(fold)


def _requests(one: Slice) -> tuple[int, int]:
    return one.requests, 0


def said_of(instrument: Instrument, told: Ruling) -> Said:
    """A ruling in the words of the log."""
    spec = instrument.judging.spec
    what = meaning(instrument.metric, instrument.limit, mixed=spec.exposure is Exposure.MIXED)
    return Said(
        name=instrument.name, kind=str(told.kind or ""), verdict=told.verdict.value, reason=told.reason,
        metric=instrument.metric, limit=instrument.limit, n=told.n, bad=told.bad,
        log_evidence=_finite(told.log_evidence), log_threshold=_log(told.threshold), clusters=told.clusters,
        named=told.named, needed=told.needed,
        eta_seconds=told.eta_seconds, guarantee=told.guarantee,
        explanation=f"{what}: {told.explanation}" if what else told.explanation,
    )  # fmt: skip


def meaning(metric: str, limit: float | None, *, mixed: bool = False) -> str:
    """What is counted as bad, with its limit, and of whom if it is not the new lane."""
    if limit is None or metric not in MEANINGS:
        return ""
    told = MEANINGS[metric].format(limit=limit, rest=1.0 - limit)
    return f"mixed conversations (one end on each lane): {told}" if mixed else told


def _finite(value: float | None) -> float | None:
    return None if value is None or abs(value) > 1e300 else value


def _log(value: float | None) -> float | None:
    return None if value is None or value <= 0 else math.log(value)


# --- of a plan --------------------------------------------------------------------------------------------


def gates_of(plan: Plan) -> Iterator[Instrument]:
    """Every gate of a plan that is proven from counts, without evidence."""
    for name, gate in plan.gates.items():
        limit = gate.min if gate.max is None else gate.max
        if gate.metric in STREAMS and limit is not None:
            yield gate_instrument(
                f"gate.{name}", gate.metric, limit, alpha=plan.alpha, block_seconds=plan.block_seconds
            )


def gate_instrument(
    name: str, metric: str, limit: float, *, alpha: float, block_seconds: float, exposure: Exposure = Exposure.NEW
) -> Instrument:
    """What proves that a metric keeps its limit: for a plan, and for a gate of a runsheet alike."""
    spec = Spec(
        name=name, kind=Kind.PROMOTION, max_rate=max_rate_of(metric, limit), alpha=alpha, block_seconds=block_seconds,
        exposure=exposure,
    )  # fmt: skip
    return Instrument(name, metric, limit, spec)


def comparison_instrument(
    metric: str, limit: float, *, alpha: float, margin: float, breadth: int, block_seconds: float
) -> Instrument:
    """The elicitation lane against the polling lane, by what is beyond a limit."""
    name = f"ab.{metric}"
    spec = Spec(name=name, kind=Kind.AB, alpha=alpha, margin=margin, block_seconds=block_seconds, breadth=breadth)
    return Instrument(name, metric, limit, spec)


def beside(said: Said, gate: Said | None) -> Said:
    """A comparison without enough bad events to compare passes where the gate of the same metric has.

    Nothing goes wrong often enough on either lane to tell them apart, and the canary is proven below its limit: what
    could still differ is smaller than the limit.
    """
    if said.reason != "not_enough" or gate is None:
        return said
    if gate.verdict != "passed":
        etas = [one for one in (said.eta_seconds, gate.eta_seconds) if one is not None]
        return msgspec.structs.replace(said, eta_seconds=min(etas, default=None))
    why = f"too few bad events on either lane to compare; {gate.name} is proven, so any difference is below its limit. "
    return msgspec.structs.replace(
        said, verdict="passed", reason="below_limit", needed=None, eta_seconds=None, explanation=why + said.explanation
    )


def _levels(plan: Plan) -> list[tuple[str, PlanTrigger, float]]:
    """(Name, trigger, limit) of every detector."""
    found: list[tuple[str, PlanTrigger, float]] = []
    for name, trigger in plan.triggers.items():
        if trigger.metric not in STREAMS:
            continue
        if trigger.roll_back is not None:
            found.append((f"trigger.{name}", trigger, trigger.roll_back))
        if trigger.investigate is not None:
            found.append((f"trigger.{name}.investigate", trigger, trigger.investigate))
    return found


def triggers_of(plan: Plan) -> Iterator[Instrument]:
    """Every detector of a plan: one for each level. They share alpha, those of mixed conversations included."""
    levels = _levels(plan)
    for name, trigger, limit in levels:
        spec = Spec(
            name=name, kind=Kind.TRIGGER, max_rate=max_rate_of(trigger.metric, limit), alpha=plan.alpha,
            block_seconds=plan.block_seconds, breadth=plan.breadth, check_seconds=plan.check_seconds,
            horizon_seconds=plan.programme_seconds, triggers=len(levels), max_gap_seconds=FOREVER_SECONDS,
            exposure=Exposure(trigger.exposure),
        )  # fmt: skip
        yield Instrument(name, trigger.metric, limit, spec)


FOREVER_SECONDS: Final = 1e9
"""A detector outlives every gap: it looks for a change, and what it has not seen it does not hold against anybody."""


def comparisons_of(plan: Plan) -> Iterator[Instrument]:
    """The elicitation lane against the polling lane, at the limits of the gates."""
    limits = {gate.metric: gate.min if gate.max is None else gate.max for gate in plan.gates.values()}
    for metric in (plan.ab.metrics or ()) if plan.ab.required else ():
        limit = limits[metric]
        assert limit is not None, "a gate has a limit"
        yield comparison_instrument(
            metric, limit, alpha=plan.alpha, margin=plan.ab.margin, breadth=plan.breadth,
            block_seconds=plan.block_seconds,
        )  # fmt: skip


def ratio_of(plan: Plan) -> Instrument | None:
    """The sample ratio, without a phase; None if the plan wants none."""
    if not plan.sample_ratio.required:
        return None
    spec = Spec(name=RATIO, kind=Kind.SAMPLE_RATIO, alpha=plan.sample_ratio.alpha, expected_share=0.5)
    made = Instrument(RATIO, "", None, spec)
    fold_of_ratio(made).phases.clear()  # each stage adds its own share when its threshold is in force
    return made


def fold_of_ratio(instrument: Instrument) -> SampleRatio:
    """The fold of the sample ratio."""
    fold = instrument.judging.fold
    assert isinstance(fold, SampleRatio), "made so"
    return fold


def fold_of_trigger(instrument: Instrument) -> Trigger:
    """The fold of a detector."""
    fold = instrument.judging.fold
    assert isinstance(fold, Trigger), "made so"
    return fold
