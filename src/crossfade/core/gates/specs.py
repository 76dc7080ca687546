"""What a gate asks for, what it is given, and what it says: types only, and what makes no sense in a spec.

Not here: the evidence (one file a kind), reading files (crossfade.runsheets.gate_files, .counts).

Rules
-----
1. A rate is that of bad events among n observations; which metric they are of is the caller's business.
2. A verdict is one of four. Only ``passed`` lets anything go on; the two that know nothing hold.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from crossfade.core.catalogue import METRICS
from crossfade.core.values import SECOND, Instant

BREADTH: Final = 3
TRIGGERS: Final = 9
HORIZON_SECONDS: Final = 84 * 86_400.0
MARGIN: Final = 0.25


class Kind(StrEnum):
    """What a gate is for; four different instruments."""

    PROMOTION = "promotion"
    """Proves that the rate is below the threshold. Nothing is promoted on lack of evidence."""
    TRIGGER = "trigger"
    """Detects that the rate has risen above the threshold, at any time."""
    AB = "ab"
    """Compares new with old in the same instants."""
    SAMPLE_RATIO = "sample-ratio"
    """Checks that clusters are divided as they were meant to be."""


class Exposure(StrEnum):
    """Which lanes the two ends of an observation were on."""

    NEW = "new"
    OLD = "old"
    MIXED = "mixed"


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERRORED = "errored"


class Count(msgspec.Struct, frozen=True):
    """What was observed of one cluster and exposure from ``at`` until the next count."""

    at: Instant
    cluster: str
    exposure: Exposure
    n: int
    """Observations, 0 or more."""
    bad: int
    """At most n."""
    line: int = 0
    """Where it was read; 0 if it was not read from a file."""


_Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A section of a file of gates."""


class SharePhase(Part, frozen=True, kw_only=True):
    """From an instant on, this share is expected."""

    at: str
    """ISO 8601; without an offset it is UTC."""
    share: _Rate


class Spec(Part, frozen=True, kw_only=True):
    """One gate. What a kind has no use for must not be set (see ``slips``)."""

    name: str
    kind: Kind
    metric: str = ""
    """Of the catalogue; empty: of no metric that is known here."""
    max_rate: _Rate | None = None
    """Promotion: proven to be below it. Trigger: the rate that it defends."""
    alpha: _Rate = 0.01
    """How probable a false verdict may be, for the whole time the gate is watched; above 0, at most 0.5."""
    block_seconds: _Seconds = 3600.0
    """Observations of one cluster within so long may depend on each other; 0: none do."""
    margin: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    """A/B: new may have this part more bad events than old; 0.25 if left out."""
    expected_share: _Rate | tuple[SharePhase, ...] | None = None
    """Sample ratio: share of clusters on the new side, or from when on which."""
    exposure: Exposure = Exposure.NEW
    """Promotion and trigger: whose observations."""
    breadth: _Number = BREADTH
    """Trigger and A/B: at least so many clusters have to be hurt, if so many are exposed."""
    min_clusters: _Number = 1
    """Fewer clusters prove nothing."""
    check_seconds: _Seconds | None = None
    """Trigger: time between looks; else the distance of the counts."""
    horizon_seconds: _Seconds = HORIZON_SECONDS
    """Trigger: how long it is watched; twelve weeks if left out."""
    triggers: _Number = TRIGGERS
    """Trigger: how many triggers share alpha."""
    max_gap_seconds: _Seconds | None = None
    """A longer silence is not measured; an hour, or ten times the distance of the counts, if left out."""

    @property
    def margin_or_default(self) -> float:
        """The margin in force."""
        return MARGIN if self.margin is None else self.margin


class Gates(Part, frozen=True, kw_only=True):
    """A file with several gates."""

    gates: tuple[Spec, ...]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate says, and on what grounds."""

    name: str
    kind: Kind | None
    """None if the spec could not be read."""
    verdict: Verdict
    reason: str
    """Stable word, e.g. ``proven``, ``fired``, ``not_enough``, ``not_measured``, ``shared``, ``narrow``."""
    evidence: float = 0.0
    """E-value for the verdict that is nearest, rounded down, at most 1e300."""
    log_evidence: float | None = None
    threshold: float | None = None
    """E-value that decides."""
    needed: int | None = None
    """More observations until the verdict, at the rate observed; None: at this rate never, or nothing is needed."""
    eta_seconds: float | None = None
    """The same in time, at the traffic observed."""
    n: int = 0
    bad: int = 0
    rate: float | None = None
    interval: tuple[float | None, float | None] | None = None
    """Of what is judged (rate; A/B: ratio of rates; sample ratio: share); each end wrong with probability ≤ alpha."""
    clusters: int = 0
    blocks: int = 0
    """Blocks, phases or steps that count."""
    named: tuple[str, ...] = ()
    """Clusters that stand out."""
    at: Instant | None = None
    """When it fired or was decided."""
    guarantee: str = ""
    explanation: str = ""


class SpecSlip(msgspec.Struct, frozen=True):
    """One thing in a spec that makes no sense."""

    path: str
    message: str
    hint: str = ""


_OF: Final[dict[str, tuple[Kind, ...]]] = {
    "max_rate": (Kind.PROMOTION, Kind.TRIGGER),
    "margin": (Kind.AB,),
    "expected_share": (Kind.SAMPLE_RATIO,),
    "check_seconds": (Kind.TRIGGER,),
    "horizon_seconds": (Kind.TRIGGER,),
    "triggers": (Kind.TRIGGER,),
}
"""Keys that only some kinds have a use for."""
_NEEDED: Final = {Kind.PROMOTION: "max_rate", Kind.TRIGGER: "max_rate", Kind.SAMPLE_RATIO: "expected_share"}


def slips(spec: Spec, given: Sequence[str] = ()) -> Iterator[SpecSlip]:
    """What makes no sense in one spec; ``given`` are the keys that somebody wrote."""
    if not spec.name.strip():
        yield SpecSlip("name", "the gate has no name", "say what it guards")
    if spec.metric and spec.metric not in METRICS:
        yield SpecSlip("metric", f"there is no metric {spec.metric!r}")
    for key, kinds in _OF.items():
        value = getattr(spec, key)
        if spec.kind not in kinds and (key in given or (value is not None and value != _default(key))):
            hint = f"leave it out; it belongs to {' and '.join(kinds)}"
            yield SpecSlip(key, f"a gate of kind {spec.kind} has no {key}", hint)
    needed = _NEEDED.get(spec.kind, "")
    if needed and getattr(spec, needed) is None:
        yield SpecSlip(needed, f"a gate of kind {spec.kind} needs {needed}", f"add {needed}:")
    yield from _numbers(spec)


def _numbers(spec: Spec) -> Iterator[SpecSlip]:
    if not 0.0 < spec.alpha <= 0.5:
        yield SpecSlip("alpha", f"alpha is {spec.alpha:g}", "write more than 0 and at most 0.5, like 0.01")
    if spec.max_rate is not None and not 0.0 < spec.max_rate < 1.0:
        hint = "no count of observations proves 0; for things that must never happen reconcile every one"
        yield SpecSlip("max_rate", f"max_rate is {spec.max_rate:g}", "write a rate below 1" if spec.max_rate else hint)
    for key in ("check_seconds", "horizon_seconds", "max_gap_seconds"):
        if getattr(spec, key) == 0:
            yield SpecSlip(key, f"{key} is 0", "write a time, in seconds")
    if 0 < spec.block_seconds < 1:
        yield SpecSlip("block_seconds", f"block_seconds is {spec.block_seconds:g}", "write 0, or a second or more")
    if spec.check_seconds is not None and spec.check_seconds > spec.horizon_seconds:
        yield SpecSlip("check_seconds", "longer than the horizon", "look more often than once")
    if isinstance(spec.expected_share, float) and not 0.0 < spec.expected_share < 1.0:
        told = f"a share of {spec.expected_share:g} leaves nothing to chance"
        yield SpecSlip("expected_share", told, "write the share at which clusters are divided")
    if isinstance(spec.expected_share, tuple) and not spec.expected_share:
        yield SpecSlip("expected_share", "the list is empty", "write a share, or {at, share} for each phase")


def _default(key: str) -> object:
    return {"horizon_seconds": HORIZON_SECONDS, "triggers": TRIGGERS}.get(key)


def contradictions(specs: Sequence[Spec]) -> Iterator[tuple[int, SpecSlip]]:
    """What does not go together in a list of gates, with the place in the list of the later one."""
    names: dict[str, int] = {}
    bounds: dict[tuple[str, Kind, Exposure], float] = {}
    for index, spec in enumerate(specs):
        if names.setdefault(spec.name, index) != index:
            yield index, SpecSlip("name", f"the gate {spec.name!r} stands here twice", "rename one of them")
        if not spec.metric or spec.max_rate is None:
            continue
        bound = bounds.setdefault((spec.metric, spec.kind, spec.exposure), spec.max_rate)
        if bound != spec.max_rate:
            told = f"{spec.metric} has two thresholds for {spec.kind}: {bound:g} and {spec.max_rate:g}"
            yield index, SpecSlip("max_rate", told, "keep one")
    for (metric, kind, exposure), bound in bounds.items():
        line = bounds.get((metric, Kind.TRIGGER, exposure))
        if kind is Kind.PROMOTION and line is not None and line < bound:
            index = next(i for i, spec in enumerate(specs) if spec.metric == metric and spec.kind is Kind.TRIGGER)
            told = f"{metric} goes back above {line:g}, which promotion still lets pass (below {bound:g})"
            yield index, SpecSlip("max_rate", told, "put the trigger's threshold at or above the promotion's")


def blocks_of(at: Instant, block_seconds: float) -> int:
    """The number of the block that an instant lies in."""
    return at // int(block_seconds * SECOND)
