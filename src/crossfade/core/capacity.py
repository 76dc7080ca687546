"""Capacity: what a stage of the rollout needs, from measured points, and never beyond them without saying so.

Two things are fitted. What a hub *uses* (cores, memory, log writes and bytes, connections) is a sum of causes: a fixed
part, the agents attached, the questions a second on each lane, those that cross from one lane to the other, the square
root of the rate where many at once share a turn or a write, and the mailboxes that something comes to within a second,
since the cursor of each is recorded, on pages of its own. For each resource there are a few sets of causes
(``CAUSES``); the one counts that predicts best what it was not fitted to. What a hub *can do at most* follows the
Universal Scalability Law

    X(N) = l N / (1 + s (N - 1) + k N (N - 1))

for N round trips in flight: l what one in flight reaches, s what is waited for in turn, k what each costs all others.
Divided through it is linear in 1/l, s/l and k/l, so both are the same regression (regression.py).

Rules: every figure comes with a 95 % prediction interval; needs are computed from its unfavourable end; what lies
outside the measured range is named, and ``plan`` refuses it unless told to go beyond.

Source: N. J. Gunther, "Guerrilla Capacity Planning", 2007, ch. 4 and 5. A stage is sized at its peak, not its mean.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.regression import Fit, Interval, UndeterminedError, fit, left_out

__all__ = [
    "CONNECTIONS_MAX", "Ceiling", "Model", "Need", "Peak", "Point", "Rung", "Stage", "UndeterminedError", "learn",
    "misses", "plan",
]  # fmt: skip

CONNECTIONS_MAX: Final = 18_000
"""Connections that one hub process accepts."""
RESOURCES: Final = ("cores", "memory_mib", "log_writes_per_second", "log_mib_per_second", "connections")
_WRITTEN: Final = (
    ("rate", "mailboxes"), ("rate", "mailboxes", "shared"), ("agents", "rate", "shared"),
    ("agents", "old", "new", "shared"),
)  # fmt: skip
CAUSES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "cores": (
        ("agents", "rate"), ("agents", "old", "new"), ("agents", "rate", "shared"),
        ("agents", "old", "new", "crossed", "shared"),
    ),
    "memory_mib": (("agents", "old", "new"),),
    "log_writes_per_second": _WRITTEN,
    "log_mib_per_second": _WRITTEN,
    "connections": (("agents",),),
}  # fmt: skip
"""What the use of a resource may depend on, beside a fixed part; simpler sets first."""


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A steady state that was measured."""

    agents: int
    """Attached at once."""
    questions_per_second: float
    """Answered, not offered."""
    elicitation_share: float
    """Share of the agents on the elicitation lane, 0 to 1."""
    cores: float
    """CPU seconds of the hub for each second."""
    memory_mib: float
    """Resident size of the hub."""
    log_writes_per_second: float
    """Write calls of the hub to its disk."""
    log_mib_per_second: float
    connections: float


class Rung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A closed-loop measurement: as fast as it goes with so many round trips in flight."""

    in_flight: int
    questions_per_second: float


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one hub does."""

    in_flight: int
    questions_per_second: Interval


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """The Universal Scalability Law of one hub."""

    fitted: Fit
    in_flight_max: int
    """Most that were in flight when it was measured."""

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """The l of the law in questions a second, its s and k without unit."""
        inverse, contention, coherency = self.fitted.coefficients
        return 1 / inverse, contention / inverse, coherency / inverse

    def at(self, in_flight: int) -> Interval:
        """Questions a second with so many in flight."""
        took = self.fitted.predict(_usl(in_flight))
        high = in_flight / took.low if took.low > 0 else math.inf
        return Interval(in_flight / took.high, in_flight / took.value, high)

    @property
    def peak(self) -> Peak:
        """Where the law has its maximum, within what was measured."""
        best = max(range(1, self.in_flight_max + 1), key=lambda count: self.at(count).value)
        return Peak(in_flight=best, questions_per_second=self.at(best))


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """How the use of one resource comes about."""

    causes: tuple[str, ...]
    fitted: Fit

    def at(self, of: "Point | Stage") -> float:
        """The predicted use."""
        return self.fitted.at(_features(self.causes, of))

    def predict(self, of: "Point | Stage") -> Interval:
        """The predicted use with its interval."""
        return self.fitted.predict(_features(self.causes, of))


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt of one kind of hub on one kind of machine."""

    uses: dict[str, Use]
    """By resource, of RESOURCES."""
    ceiling: Ceiling
    agents: tuple[int, int]
    """Fewest and most that were measured."""
    questions_per_second: tuple[float, float]
    elicitation_share: tuple[float, float]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage has to carry, at its peak."""

    agents: int
    questions_per_second: float
    elicitation_share: float


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the stage takes, headroom included, for all replicas together."""

    stage: Stage
    uses: dict[str, Interval]
    """Predicted use by resource, without headroom."""
    provide: dict[str, float]
    """What to provide: the high end of the prediction divided by 1 - headroom."""
    replicas: int
    limited_by: str
    """What the number of replicas comes from: ``questions_per_second``, ``connections``, ``cores`` or ``none``."""
    beyond: tuple[str, ...]
    """In words, what of the stage lies outside the measurements; empty if all lies within."""


def learn(points: Sequence[Point], rungs: Sequence[Rung]) -> Model:
    """Fit everything. Raises UndeterminedError, naming what is missing.

    What is there twice, figure for figure, is one measurement: it says no more than once.
    """
    points, rungs = list(dict.fromkeys(points)), list(dict.fromkeys(rungs))
    if not points or not rungs:
        raise UndeterminedError("there is nothing measured yet")
    uses = {resource: _use(resource, points) for resource in RESOURCES}
    try:
        law = fit([_usl(rung.in_flight) for rung in rungs], [_seconds(rung) for rung in rungs])
    except UndeterminedError as error:
        raise UndeterminedError(f"most questions a second: {error}") from None
    if law.coefficients[0] <= 0:
        raise UndeterminedError("most questions a second: one in flight was not measured")
    shares = [point.elicitation_share for point in points]
    rates = [point.questions_per_second for point in points]
    return Model(
        uses=uses,
        ceiling=Ceiling(fitted=law, in_flight_max=max(rung.in_flight for rung in rungs)),
        agents=(min(point.agents for point in points), max(point.agents for point in points)),
        questions_per_second=(min(rates), max(rates)),
        elicitation_share=(min(shares), max(shares)),
    )


def plan(model: Model, stage: Stage, headroom: float, *, beyond: bool = False) -> Need | Refusal:
    """Say what ``stage`` takes.

    Args:
        headroom: share of each resource that stays free at the peak, 0 to below 1.
        beyond: also when the stage lies outside what was measured; the answer then says so.

    Refuses with: capacity.bad_headroom, capacity.bad_stage, capacity.not_measured.
    """
    if not 0 <= headroom < 1:
        return Refusal("capacity.bad_headroom", f"A headroom of {headroom:g} makes no sense.", "Give 0.3 for 30 %.")
    if stage.agents < 1 or not 0 <= stage.elicitation_share <= 1 or not 0 <= stage.questions_per_second < math.inf:
        hint = "Give 1 agent or more, a rate of 0 or more, and a share of 0 to 1."
        return Refusal("capacity.bad_stage", "A stage has agents, a rate and a share of 0 to 1.", hint)
    outside = _outside(model, stage)
    if outside and not beyond:
        hint = "Measure there with `crossfade capacity measure`, or allow it with --beyond-measured."
        return Refusal("capacity.not_measured", "; ".join(outside) + ".", hint)
    uses = {resource: use.predict(stage) for resource, use in model.uses.items()}
    free = 1 - headroom
    wants = {
        "questions_per_second": stage.questions_per_second / (model.ceiling.peak.questions_per_second.low * free),
        "connections": uses["connections"].high / (CONNECTIONS_MAX * free),
        "cores": uses["cores"].high / free,  # the hub is one process on one core
    }
    most = max(wants, key=lambda name: wants[name])
    return Need(
        stage=stage,
        uses=uses,
        provide={resource: use.high / free for resource, use in uses.items()},
        replicas=max(1, math.ceil(wants[most])),
        limited_by=most if wants[most] > 1 else "none",
        beyond=tuple(outside),
    )


def misses(model: Model, held_out: Sequence[Point]) -> dict[str, float]:
    """The largest relative error of a prediction over points that were not learnt from, by resource; none without."""
    worst = dict.fromkeys(RESOURCES, 0.0) if held_out else {}
    for point in held_out:
        for resource, use in model.uses.items():
            measured = float(getattr(point, resource))
            off = abs(use.at(point) - measured) / measured
            worst[resource] = max(worst[resource], off)
    return worst


def _use(resource: str, points: Sequence[Point]) -> Use:
    """The set of causes that predicts best. Raises UndeterminedError if the points are too few for the simplest."""
    figures = [float(getattr(point, resource)) for point in points]
    best: tuple[float, Use] | None = None
    faults = []
    for causes in CAUSES[resource]:
        rows = [_features(causes, point) for point in points]
        try:
            use = Use(causes=causes, fitted=fit(rows, figures))
        except UndeterminedError as error:
            faults.append(UndeterminedError(f"{resource}: {error}"))
            continue
        off = left_out(use.fitted, rows, figures)
        if best is None or off < best[0]:
            best = off, use
    if best is None:
        raise faults[0]
    return best[1]


def _seconds(rung: Rung) -> float:
    """N / X: raises UndeterminedError where nothing was done."""
    if rung.in_flight < 1 or not rung.questions_per_second > 0:
        raise UndeterminedError("a rung needs one or more in flight and a rate above 0")
    return rung.in_flight / rung.questions_per_second


def _usl(in_flight: int) -> tuple[float, float, float]:
    return 1.0, in_flight - 1.0, in_flight * (in_flight - 1.0)


def _features(causes: Sequence[str], of: Point | Stage) -> tuple[float, ...]:
    """The figure of each cause, after the fixed part."""
    rate, share, agents = of.questions_per_second, of.elicitation_share, float(of.agents)
    figures = {
        "agents": agents,
        "rate": rate,
        "old": rate * (1 - share),
        "new": rate * share,
        "crossed": rate * share * (1 - share),
        "shared": math.sqrt(rate),
        "mailboxes": agents * (1 - math.exp(-rate / agents)),
    }
    return 1.0, *(figures[cause] for cause in causes)


def _outside(model: Model, stage: Stage) -> list[str]:
    said = []
    for name, (low, high), value in (
        ("agents", model.agents, stage.agents),
        ("questions a second", model.questions_per_second, stage.questions_per_second),
        ("elicitation share", model.elicitation_share, stage.elicitation_share),
    ):
        if not low <= value <= high:
            said.append(f"{value:.10g} {name} were not measured, {low:.10g} to {high:.10g} were")
    return said
