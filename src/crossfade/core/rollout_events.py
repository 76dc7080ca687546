"""Events of the rollout: their fields are the format on disk.

The machine that decides them is rollouts.py, which is also the door to this module. Instead of one
"share changed" there is one event for each direction, because the next status follows from the type
alone and a reader of the log sees a rollback without comparing numbers.
"""

from enum import StrEnum

from crossfade.core.records import Event, register
from crossfade.core.values import Instant


class Source(StrEnum):
    """How the kill switch was thrown."""

    COMMAND = "command"
    HTTP = "http"
    FILE = "file"
    TRIGGER = "trigger"
    """A trigger of a plan fired."""


class Method(StrEnum):
    """Where the clusters come from."""

    LABEL = "label"
    PROPAGATION = "propagation"


class Started(Event, frozen=True, kw_only=True):
    """The rollout exists, with nobody on the elicitation lane."""

    name: str
    """What people call this rollout."""
    salt: str
    """Decides the order of the clusters, together with their names."""
    hash_version: int
    """``cohorts.HASH_VERSION`` when it began; no other version may continue it."""


class ClustersFrozen(Event, frozen=True, kw_only=True):
    """Which agents belong together is fixed until everybody polls again."""

    clusters: dict[str, str]
    """Agent → cluster."""
    weights: dict[str, int]
    """Cluster → weight, in the unit the share is a share of."""
    method: Method
    """Where the clusters come from."""
    oversized: tuple[str, ...] = ()
    """Clusters above the size cap: each makes the share a jump."""


class ShareSet(Event, frozen=True, kw_only=True):
    """More clusters came to the elicitation lane, not all."""

    share: float
    """Target share of the weight, more than before and less than 1."""
    threshold: float
    """Clusters whose point is below it are on the lane."""
    achieved: float
    """Share of the frozen weight that the threshold really puts there."""
    reason: str = ""
    """Who wants it or what it rests on, for people."""


class Completed(Event, frozen=True, kw_only=True):
    """Everybody is on the elicitation lane: share and threshold are 1."""

    reason: str = ""
    """Who wants it or what it rests on, for people."""


class ShareLowered(Event, frozen=True, kw_only=True):
    """Some clusters went back to polling, not all."""

    share: float
    """Target share of the weight, less than before and more than 0."""
    threshold: float
    """Clusters whose point is below it stay on the lane."""
    achieved: float
    """Share of the frozen weight that the threshold really leaves there."""
    epoch: int
    """One more than before: conversations pinned in an earlier epoch are unpinned."""
    reason: str = ""
    """Who wants it or what it rests on, for people."""


class RolledBack(Event, frozen=True, kw_only=True):
    """Everybody is back on polling, by an ordinary change of the share."""

    epoch: int
    """One more than before: conversations pinned in an earlier epoch are unpinned."""
    reason: str = ""
    """Who wants it or what it rests on, for people."""


class Held(Event, frozen=True, kw_only=True):
    """Going forward is stopped; going back is not."""

    reason: str = ""
    """What has to be settled before it goes on."""


class Resumed(Event, frozen=True, kw_only=True):
    """Going forward is allowed again."""

    reason: str = ""
    """What was settled."""


class Killed(Event, frozen=True, kw_only=True):
    """Everybody is back on polling, deprecation included, and the rollout is held."""

    source: Source
    """How the switch was thrown."""
    epoch: int
    """One more than before: conversations pinned in an earlier epoch are unpinned."""
    reason: str = ""
    """Who wants it or what it rests on, for people."""


class Deprecated(Event, frozen=True, kw_only=True):
    """Those still polling have been told when it ends."""

    sunset_at: Instant
    """Polling is not removed before this instant."""
    notice: str
    """What those still polling are told."""


class Removed(Event, frozen=True, kw_only=True):
    """Polling is refused from now on."""

    undo_until: Instant
    """The kill switch brings polling back before this instant."""


class Restored(Event, frozen=True, kw_only=True):
    """The removal was undone: deprecated again, and held."""

    source: Source
    """How the switch was thrown."""
    reason: str = ""
    """Who wants it or what it rests on, for people."""


RolloutEvent = (
    Started | ClustersFrozen | ShareSet | Completed | ShareLowered | RolledBack
    | Held | Resumed | Killed | Deprecated | Removed | Restored
)  # fmt: skip

register("rollout.started/1", Started)
register("rollout.clusters_frozen/1", ClustersFrozen)
register("rollout.share_set/1", ShareSet)
register("rollout.completed/1", Completed)
register("rollout.share_lowered/1", ShareLowered)
register("rollout.rolled_back/1", RolledBack)
register("rollout.held/1", Held)
register("rollout.resumed/1", Resumed)
register("rollout.killed/1", Killed)
register("rollout.deprecated/1", Deprecated)
register("rollout.removed/1", Removed)
register("rollout.restored/1", Restored)
