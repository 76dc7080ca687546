"""Plans: how a rollout goes forward by itself, typed. What a plan can say, and nothing about how it is driven.

Read from YAML by crossfade.runsheets.plan_files; driven by core/stages.py. A plan that was accepted is pinned in the
log with every default written out (``resolved``), so a later release judges it by the same numbers.

Rules
-----
1. One metric has one gate, and one trigger for each exposure, from mild to grave: gate, investigate, roll_back.
2. Between the gate and the trigger the verdict is HOLD.
3. A limit on latency stands on an edge of the measurements, so that counting beyond it is exact.
4. Conversations between the lanes are watched wherever the new lane is: a plan that forgets them gets the same levels.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from crossfade.core.measurements import QUANTILES

FORMAT: Final = 1
SHARES_MAX: Final = 20

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=366 * 86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
CheckSeconds = Annotated[float, msgspec.Meta(ge=1, le=60)]
BlockSeconds = Annotated[float, msgspec.Meta(ge=60, le=86_400)]
Breadth = Annotated[int, msgspec.Meta(ge=1, le=100)]
Margin = Annotated[float, msgspec.Meta(ge=0, le=10)]

STREAMS: Final = frozenset({*QUANTILES, "error_rate", "delivery_rate"})
"""Metrics that are proven from counts of good and bad."""
EXACT: Final = frozenset({"availability", "data_loss", "security_incidents"})
"""Metrics that are known exactly."""
GATED: Final = STREAMS | EXACT
"""What a plan can have a gate for."""
COMPARED: Final = ("error_rate", "latency_p99_ms")
"""What is compared with the polling lane unless a plan says otherwise."""
INVARIANTS: Final = frozenset({"data_loss", "security_incidents"})
"""Of these, one is too many: they roll back however few clusters show it."""
TRIGGERED: Final = STREAMS | INVARIANTS
"""What a plan can have a trigger for."""
BRIDGED: Final = frozenset({*QUANTILES, "error_rate"})
"""What the adapter between the lanes can spoil: watched for mixed conversations, too, whatever a plan writes."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of a plan."""


class Stage(_Part, frozen=True, kw_only=True):
    """One share, and how long it has to stand."""

    share: Share
    """Of the fleet's weight on the elicitation lane, above 0."""
    bake_seconds: Seconds | None = None
    """How long it stands at least before its gates are judged; left out: the plan's."""


class Gate(_Part, frozen=True, kw_only=True):
    """What has to be proven healthy before the next stage."""

    metric: str
    """Of docs/reference/metrics.md, e.g. ``latency_p99_ms``, ``error_rate``."""
    max: float | None = None
    """The limit where lower is better; milliseconds, or a share like ``0.1%``."""
    min: float | None = None
    """The limit where higher is better."""


class Trigger(_Part, frozen=True, kw_only=True):
    """What makes the rollout stop, or go back."""

    metric: str
    """As in a gate."""
    exposure: Literal["new", "mixed"] = "new"
    """Whose conversations: wholly on the elicitation lane, or with one end on each lane."""
    investigate: float | None = None
    """Beyond this it holds until somebody has looked."""
    roll_back: float | None = None
    """Beyond this it goes back to share 0."""


class Comparison(_Part, frozen=True, kw_only=True):
    """The elicitation lane against the polling lane at the same time, both ends on the same lane."""

    required: bool = True
    """Whether a stage below 100 % needs it."""
    metrics: tuple[str, ...] | None = None
    """What is compared, at the limit of its gate; left out: error_rate and latency_p99_ms, where they have a gate."""
    margin: Margin = 0.25
    """How much worse still counts as not worse, as a share of the polling lane's rate."""


class SampleRatio(_Part, frozen=True, kw_only=True):
    """Whether the clusters on the elicitation lane are as many as the threshold says."""

    required: bool = True
    """Whether it is watched."""
    alpha: Share = 0.001
    """Highest probability of a false alarm in the whole plan."""


class Baseline(_Part, frozen=True, kw_only=True):
    """The polling lane has to be measured before anything moves."""

    seconds: Seconds
    """For how long, without a gap."""
    gap_seconds_max: Seconds = 60
    """A longer gap makes it worthless."""
    samples_min: Count = 0
    """Deliveries on the polling lane."""


class Plan(_Part, frozen=True, kw_only=True):
    """The whole way, from share 0 to the last stage."""

    plan: int
    """Version of the format: 1."""
    name: str
    """What the rollout is called in the log."""
    owner: str = ""
    """Who is told when it holds."""
    salt: str = ""
    """Decides which clusters come first; left out: drawn at random."""
    stages: tuple[Stage, ...]
    """Shares, each above the one before."""
    bake_seconds: Seconds = 86_400
    """How long a share stands at least before its gates are judged."""
    check_seconds: CheckSeconds = 10
    """How often the triggers are looked at: one measurement covers so much time."""
    block_seconds: BlockSeconds = 3_600
    """Evidence for a gate is taken for each cluster and this much time: five times the longest burst of errors."""
    programme_seconds: Seconds = 84 * 86_400
    """How long the triggers may watch: the false-alarm guarantee is for this time as a whole."""
    alpha: Share = 0.01
    """Highest probability of promoting at a gate's limit, and of any false alarm of all triggers together."""
    breadth: Breadth = 3
    """A trigger goes back only if so many clusters show it (or all, if there are fewer); else it holds."""
    hold_seconds_max: Seconds = 172_800
    """A hold that lasts longer is overdue, and is recorded so."""
    baseline: Baseline | None = None
    """Left out: the first stage begins at once."""
    gates: dict[str, Gate] = {}
    """By name. Left out: all minimum requirements and targets."""
    triggers: dict[str, Trigger] = {}
    """By name. Left out: the rollback matrix."""
    ab: Comparison = Comparison()
    """How the lanes are compared."""
    sample_ratio: SampleRatio = SampleRatio()
    """How the division of the clusters is watched."""

    def bake_of(self, stage: int) -> float:
        """Seconds that the share of this stage stands at least."""
        own = self.stages[stage].bake_seconds
        return self.bake_seconds if own is None else own


GATES: Final = {
    "p50": Gate(metric="latency_p50_ms", max=50),
    "p95": Gate(metric="latency_p95_ms", max=200),
    "p99": Gate(metric="latency_p99_ms", max=300),
    "p999": Gate(metric="latency_p999_ms", max=1000),
    "errors": Gate(metric="error_rate", max=0.001),
    "delivery": Gate(metric="delivery_rate", min=0.999),
    "availability": Gate(metric="availability", min=0.9995),
    "loss": Gate(metric="data_loss", max=0),
    "security": Gate(metric="security_incidents", max=0),
}
"""Requirements and targets of the migration: what a plan without gates is judged by."""


def bridged(triggers: Mapping[str, Trigger]) -> dict[str, Trigger]:
    """The triggers, and one for mixed conversations at the same levels wherever none is written."""
    found = dict(triggers)
    written = {one.metric for one in triggers.values() if one.exposure == "mixed"}
    for name, one in triggers.items():
        if one.exposure == "mixed" or one.metric not in BRIDGED - written:
            continue
        own = f"mixed_{name}"
        while own in found:
            own += "_"
        found[own] = msgspec.structs.replace(one, exposure="mixed")
    return found


TRIGGERS: Final = bridged(
    {
        "errors": Trigger(metric="error_rate", investigate=0.01, roll_back=0.05),
        "p99": Trigger(metric="latency_p99_ms", investigate=500, roll_back=1000),
        "delivery": Trigger(metric="delivery_rate", investigate=0.99, roll_back=0.95),
        "loss": Trigger(metric="data_loss", roll_back=0),
        "security": Trigger(metric="security_incidents", roll_back=0),
    }
)
"""The rollback matrix: what a plan without triggers is watched by."""


def resolved(plan: Plan) -> Plan:
    """The plan with every default written out, as it is pinned."""
    change = msgspec.structs.replace
    stages = tuple(change(stage, bake_seconds=plan.bake_of(place)) for place, stage in enumerate(plan.stages))
    gates = plan.gates or GATES
    compared = plan.ab.metrics
    if compared is None:
        compared = tuple(metric for metric in COMPARED if any(gate.metric == metric for gate in gates.values()))
    ab = change(plan.ab, metrics=compared, required=plan.ab.required and bool(compared))
    return change(plan, stages=stages, gates=gates, triggers=bridged(plan.triggers or TRIGGERS), ab=ab)
