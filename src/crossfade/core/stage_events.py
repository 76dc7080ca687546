"""Events of a plan that is driven: their fields are the format on disk. What may happen when is decided in stages.py.

Whatever was decided carries the numbers that decided it, in ``Said``: who was asleep reads them later, and an auditor
folds the measurements of the same stretch again and gets the same.
"""

from enum import StrEnum

import msgspec

from crossfade.core.records import Event, register
from crossfade.core.values import Instant


class Cause(StrEnum):
    """Why a plan holds."""

    BASELINE = "baseline"
    """The polling lane has not been measured long enough."""
    GATES = "gates"
    """The share has stood long enough, and a gate is not proven yet."""
    STALE = "stale"
    """Nothing was measured lately."""
    OPERATOR = "operator"
    """Somebody holds the rollout."""
    REFUSED = "refused"
    """The rollout does not take the share."""
    ERRORED = "errored"
    """The measurements cannot be judged."""
    INVESTIGATE = "investigate"
    """A trigger is beyond the level at which somebody has to look."""
    SHARED = "shared"
    """A trigger is beyond its limit, and the polling lane is hurt alike."""
    NARROW = "narrow"
    """A trigger is beyond its limit, in too few clusters to blame the lane."""
    SAMPLE_RATIO = "sample_ratio"
    """The clusters are not divided as the threshold says."""


class Status(StrEnum):
    """Where a plan is."""

    ABSENT = "absent"
    WAITING = "waiting"
    """Accepted; nothing has moved."""
    ENTERING = "entering"
    """A stage was decided; its share is being set."""
    BAKING = "baking"
    """The share is in force and is watched, then judged."""
    ROLLING_BACK = "rolling_back"
    """A trigger fired; the share goes to 0."""
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    FINISHED = "finished"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate, trigger or comparison said, and on what grounds."""

    name: str
    """As the plan has it: ``gate.p99``, ``trigger.errors``, ``ab.error_rate``, ``sample_ratio``."""
    kind: str
    """promotion, trigger, ab, sample-ratio or exact."""
    verdict: str
    """passed, failed, inconclusive or errored; of a trigger passed is quiet and failed is fired."""
    reason: str = ""
    """Stable word, e.g. ``proven``, ``fired``, ``not_enough``, ``shared``, ``narrow``."""
    metric: str = ""
    limit: float | None = None
    """In the metric's unit."""
    n: int = 0
    """Observations."""
    bad: int = 0
    """Of these, beyond the limit."""
    log_evidence: float | None = None
    """Natural logarithm of the E-value."""
    log_threshold: float | None = None
    """Natural logarithm of the E-value that decides."""
    clusters: int = 0
    """Clusters that were observed."""
    named: tuple[str, ...] = ()
    """Clusters that stand out."""
    needed: int | None = None
    """More observations until the verdict, at the rate observed."""
    eta_seconds: float | None = None
    """The same in time, at the traffic observed."""
    guarantee: str = ""
    explanation: str = ""
    """In words and numbers, as it was printed then."""


class Accepted(Event, frozen=True, kw_only=True):
    """A plan drives the rollout, bound to these bytes for good."""

    number: int
    """1 for the first plan of this hub."""
    plan: msgspec.Raw
    """Canonical JSON (RFC 8785) of the plan with every default; its SHA-256 is ``digest``."""
    digest: str
    """64 hexadecimal digits."""
    epoch: int
    """Of the rollout: whoever raises it has taken the lanes back, and the plan ends."""
    at: Instant
    """When."""


class StageEntered(Event, frozen=True, kw_only=True):
    """The intent: the share of this stage is to be set."""

    stage: int
    """Place in the plan's stages, from 0."""
    share: float
    """The share that it sets."""
    at: Instant
    """When."""


class BakeBegun(Event, frozen=True, kw_only=True):
    """The share is in force; from here on it is measured for the gates."""

    stage: int
    """Which."""
    at: Instant
    """When."""


class Judged(Event, frozen=True, kw_only=True):
    """A verdict changed."""

    at: Instant
    """End of the measurement that changed it."""
    said: tuple[Said, ...]
    """Everything that changed."""


class Held(Event, frozen=True, kw_only=True):
    """It does not go on until this is settled; the triggers go on watching."""

    cause: Cause
    """Why, in a word."""
    reason: str
    """Why, in a sentence."""
    owner: str
    """Whose turn it is."""
    at: Instant
    """Since when."""
    deadline: Instant
    """When the hold is overdue."""
    eta_seconds: float | None = None
    """When it will settle by itself, as far as one could tell then; None: not by itself, or unknown."""
    said: tuple[Said, ...] = ()
    """The verdicts behind it."""


class Resumed(Event, frozen=True, kw_only=True):
    """What it held for is settled, or somebody has looked."""

    cause: Cause
    """What it held for."""
    reason: str
    """Why it goes on."""
    at: Instant
    """When."""
    looked: bool = False
    """Somebody looked, and what they looked at begins anew."""


class Overdue(Event, frozen=True, kw_only=True):
    """The hold lasts longer than the plan allows; nothing else changes."""

    at: Instant
    """When."""


class Promoted(Event, frozen=True, kw_only=True):
    """Everything that the stage has to prove is proven."""

    stage: int
    """Which stage."""
    at: Instant
    """When."""
    from_at: Instant
    """Begin of the measurements that prove it."""
    until_at: Instant
    """End of them."""
    said: tuple[Said, ...]
    """Every gate with its numbers."""


class RolledBack(Event, frozen=True, kw_only=True):
    """A trigger fired: the share goes to 0."""

    stage: int
    """At which stage."""
    share: float
    """The share until then."""
    at: Instant
    """When it was decided."""
    until_at: Instant
    """End of the measurement that decided it."""
    said: Said
    """The trigger, with its numbers and the clusters that showed it."""


class Returned(Event, frozen=True, kw_only=True):
    """Everybody is on the polling lane again."""

    at: Instant
    """When the log had the share 0."""


class Aborted(Event, frozen=True, kw_only=True):
    """Somebody moved the rollout, or ended the plan."""

    reason: str
    """What they did, and why."""
    share: float
    """The share in force then."""
    at: Instant
    """When."""


class Finished(Event, frozen=True, kw_only=True):
    """The last stage is proven."""

    at: Instant
    """When."""


StageEvent = (
    Accepted | StageEntered | BakeBegun | Judged | Held | Resumed | Overdue | Promoted | RolledBack | Returned
    | Aborted | Finished
)  # fmt: skip

register("plan.accepted/1", Accepted)
register("plan.stage_entered/1", StageEntered)
register("plan.bake_begun/1", BakeBegun)
register("plan.judged/1", Judged)
register("plan.held/1", Held)
register("plan.resumed/1", Resumed)
register("plan.overdue/1", Overdue)
register("plan.promoted/1", Promoted)
register("plan.rolled_back/1", RolledBack)
register("plan.returned/1", Returned)
register("plan.aborted/1", Aborted)
register("plan.finished/1", Finished)
