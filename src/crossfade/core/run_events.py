"""Events of a run: their fields are the format on disk. What may happen when is decided in runs.py.

Every effect has a pair: what was intended (``Begun``, ``Asked``, ``AbortBegun``) before it, what came of it
(``Done``, ``Failed``, ``Held``, ``Undone``) after it. Between the two anything may have happened.
"""

from enum import StrEnum

import msgspec

from crossfade.core.records import Event, register
from crossfade.core.values import Instant

EMPTY = msgspec.Raw(b"{}")


class Status(StrEnum):
    """Where a run is."""

    ABSENT = "absent"
    RUNNING = "running"
    PAUSED = "paused"
    ABORTING = "aborting"
    """What can be undone is being undone, last first."""
    ABORTED = "aborted"
    COMPLETED = "completed"


class Verdict(StrEnum):
    """What a gate, a check or a step came to. Only the first lets a run go on."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERRORED = "errored"


class Grounds(StrEnum):
    """What allows somebody to pass by a node."""

    SIGNOFF = "signoff"
    ADMIN = "admin"


class Created(Event, frozen=True, kw_only=True):
    """The run exists, bound to one runsheet for good or until it is migrated."""

    runsheet: msgspec.Raw
    """Canonical JSON (RFC 8785) of the runsheet; its SHA-256 is ``digest``."""
    digest: str
    """64 hexadecimal digits."""
    nodes: tuple[str, ...]
    """Ids of what has to be done, in order: a later release adds nothing to a run that exists."""
    at: Instant
    """When it was created."""
    review: str = ""
    """Overall outcome of the review at that time."""
    forced: str = ""
    """Why it was created although the review says not ready; empty if it did not."""


class Taken(Event, frozen=True, kw_only=True):
    """One driver may act for the run; whoever drove it before is fenced."""

    driver: str
    """The process that drives."""
    epoch: int
    """One more than before."""
    until: Instant
    """Its lease: another may take the run from then on."""


class Renewed(Event, frozen=True, kw_only=True):
    until: Instant
    """The lease of the same driver, longer."""


class Begun(Event, frozen=True, kw_only=True):
    """The intent: from here on the node's effect may exist."""

    node: str
    """What is begun."""
    attempt: int
    """1 for the first."""
    at: Instant
    """When it began."""
    deadline: Instant
    """When its budget is used up, its wait over, its answers due."""


class Asked(Event, frozen=True, kw_only=True):
    node: str
    """What somebody is asked for."""
    items: dict[str, str]
    """Member → question, or ``signoff`` → sign-off."""
    deadline: Instant
    """When the next in the chain of escalation is asked."""
    round: int = 0
    """0 for those named in the runsheet, then one for each escalation."""


class Done(Event, frozen=True, kw_only=True):
    node: str
    """What is done, and was verified."""
    at: Instant
    """When that was found."""
    evidence: msgspec.Raw = EMPTY
    """What was seen, as JSON."""
    digest: str = ""
    """SHA-256 of the evidence, in hexadecimal."""


class Failed(Event, frozen=True, kw_only=True):
    """One attempt came to nothing."""

    node: str
    """What was attempted."""
    at: Instant
    """When it was given up."""
    reason: str
    """Short and stable: ``budget``, ``exit 3``, ``not verified`` …"""
    again: bool
    """Another attempt follows."""
    evidence: msgspec.Raw = EMPTY
    """What was seen, as JSON."""


class Held(Event, frozen=True, kw_only=True):
    """The run goes no further until this is settled."""

    node: str
    """What is not passed."""
    verdict: Verdict
    """Never ``passed``."""
    reason: str
    """Short and stable: ``not_measured``, ``window_unstaffed``, ``not_approved`` …"""
    at: Instant
    """Since when."""
    owner: str = ""
    """Who has to see to it."""
    evidence: msgspec.Raw = EMPTY
    """What was seen, as JSON."""


class Released(Event, frozen=True, kw_only=True):
    """Somebody saw to it: it is tried again from the beginning."""

    node: str
    """What was held."""
    by: str
    """Who says so."""
    reason: str = ""
    """What was done about it."""


class Reopened(Event, frozen=True, kw_only=True):
    """A sign-off came to its end by time before what rests on it was done: it is asked for again."""

    node: str
    """The sign-off's node."""
    signoff: str
    """The sign-off that ended."""


class Skipped(Event, frozen=True, kw_only=True):
    node: str
    """The step that is not done."""
    by: str
    """Who decided that."""
    reason: str
    """Why."""
    grounds: Grounds
    """What allows it."""
    signoff: str = ""
    """The sign-off, if that is what allows it."""


class WaiverAsked(Event, frozen=True, kw_only=True):
    node: str
    """The gate that is to be passed without its verdict."""
    by: str
    """Who wants that."""
    reason: str
    """Why."""
    signoff: str
    """The sign-off that was asked for."""


class Waived(Event, frozen=True, kw_only=True):
    node: str
    """The gate that is passed without its verdict."""
    by: str
    """Who wanted that."""
    reason: str
    """Why."""
    signoff: str
    """The sign-off that allows it."""


class WaiverRefused(Event, frozen=True, kw_only=True):
    node: str
    """The gate that stays held."""
    signoff: str
    """The sign-off that was not given."""
    reason: str = ""
    """How it ended."""


class Undone(Event, frozen=True, kw_only=True):
    """The effect of a node was taken back, or was tried to be."""

    node: str
    """What is undone."""
    verified: bool
    """It was seen that the effect is gone."""
    reason: str = ""
    """What went wrong; empty if nothing did."""
    evidence: msgspec.Raw = EMPTY
    """What was seen, as JSON."""


class Paused(Event, frozen=True, kw_only=True):
    by: str
    """Who pauses it."""
    reason: str
    """Why, and so until what."""


class Resumed(Event, frozen=True, kw_only=True):
    by: str
    """Who lets it go on."""
    reason: str = ""
    """What was settled."""


class AbortBegun(Event, frozen=True, kw_only=True):
    by: str
    """Who aborts it."""
    reason: str
    """Why."""


class Aborted(Event, frozen=True, kw_only=True):
    clean: bool
    """Everything that was done is undone, and was verified to be."""
    left: tuple[str, ...] = ()
    """What is still in effect, or may be."""


class Migrated(Event, frozen=True, kw_only=True):
    """The run goes on with another runsheet, which was reviewed."""

    runsheet: msgspec.Raw
    """Canonical JSON of it."""
    digest: str
    """64 hexadecimal digits."""
    replaces: str
    """Digest of the one before."""
    nodes: tuple[str, ...]
    """Ids of what has to be done, in order; holds everything that was begun."""
    review: str
    """Overall outcome of its review."""
    by: str
    """Who decided that."""
    reason: str
    """Why."""


class Completed(Event, frozen=True, kw_only=True):
    at: Instant
    """When the last node was settled."""


RunEvent = (
    Created | Taken | Renewed | Begun | Asked | Done | Failed | Held | Released | Reopened | Skipped
    | WaiverAsked | Waived | WaiverRefused | Undone | Paused | Resumed | AbortBegun | Aborted | Migrated | Completed
)  # fmt: skip

register("run.created/1", Created)
register("run.taken/1", Taken)
register("run.renewed/1", Renewed)
register("run.begun/1", Begun)
register("run.asked/1", Asked)
register("run.done/1", Done)
register("run.failed/1", Failed)
register("run.held/1", Held)
register("run.released/1", Released)
register("run.reopened/1", Reopened)
register("run.skipped/1", Skipped)
register("run.waiver_asked/1", WaiverAsked)
register("run.waived/1", Waived)
register("run.waiver_refused/1", WaiverRefused)
register("run.undone/1", Undone)
register("run.paused/1", Paused)
register("run.resumed/1", Resumed)
register("run.abort_begun/1", AbortBegun)
register("run.aborted/1", Aborted)
register("run.migrated/1", Migrated)
register("run.completed/1", Completed)
