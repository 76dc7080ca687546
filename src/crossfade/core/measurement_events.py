"""Events of the measurements: what was counted in each block of time. Their fields are the format on disk.

The machine that decides them is measurements.py, which is also the door to this module. Everything here is a
count of what happened, exact and additive: rates, quantiles and verdicts are for whoever reads. Only what the
hub itself saw is counted; nothing that a client reports about itself.
"""

from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.question_events import Exposure
from crossfade.core.records import Event, register
from crossfade.core.values import Instant

EDGES_MS: Final = (50, 100, 200, 300, 500, 1_000)
"""Service levels at which deliveries are counted exactly: every limit of a latency has to be one of them."""
NONE_OVER: Final = (0,) * len(EDGES_MS)

Compact = tuple[str, tuple[tuple[int, int], ...]]
"""A histogram of times in milliseconds as histograms.py writes it: id of the grid, then (bucket, count)."""


class Reason(StrEnum):
    """Why the hub measures."""

    BASELINE = "baseline"
    """The polling lane, before anything moves."""
    ROLLOUT = "rollout"
    """A rollout is under way."""


class Slice(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What happened to one cluster in one block, of one exposure. A list on disk: new fields go to the end."""

    cluster: str
    """Of the addressee for questions, of the caller for requests."""
    exposure: Exposure
    """Of the conversation for questions; of the caller's lane for requests (``new`` or ``old``)."""
    asked: int = 0
    """Questions asked."""
    delivered: int = 0
    """Questions shown to their addressee for the first time."""
    timed: int = 0
    """Deliveries whose latency was judged, each question once: when it was shown on a carrier, or before that when
    it was overdue."""
    over: tuple[int, ...] = NONE_OVER
    """Of those timed, how many took longer than each of ``EDGES_MS``; an overdue one is over all of them."""
    undelivered: int = 0
    """Questions that came to their end without having been shown, though a carrier of the addressee was open."""
    requests: int = 0
    """Requests served, waits included."""
    faults: int = 0
    """Of those, how many the server failed; a refusal, a decline and an empty wait are no faults."""
    answered: int = 0
    declined: int = 0
    withdrawn: int = 0
    expired_seen: int = 0
    """Questions whose deadline passed after they were shown."""
    expired_unseen: int = 0
    """Questions whose deadline passed without having been shown, for whatever reason."""
    dismissed: int = 0
    """Times a native channel brought no end."""
    fallback: int = 0
    """Times a question of the elicitation lane was first shown as text."""


class Coordination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How agents worked together in one block, on one exposure: for reports, never for a verdict."""

    exposure: Exposure
    """Of the conversation for questions; of the caller's lane for polls."""
    delivery: Compact | None = None
    """Latency of the deliveries that were shown; None if there were none."""
    answer: Compact | None = None
    """From asked to answered, the answerer's own time included."""
    polls: int = 0
    """Waits that ended (``wait_for_messages``, ``attend``, ``inbox``), whatever they brought."""
    empty_polls: int = 0
    """Of those, how many brought nothing."""
    items: int = 0
    """Questions, messages and answers handed out, on any channel."""
    wake_levels: dict[str, int] = {}
    """Channel → questions that were shown on it for the first time."""
    causes: dict[str, int] = {}
    """Cause → how often: of faults, dismissals and whatever else brought no end (docs/reference/measurements.md)."""


class HubCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What belongs to no lane: of the whole hub, in one block."""

    registration: Compact | None = None
    """From the first request of an unknown identity to its durable registration."""
    fan_out: dict[int, int] = {}
    """Recipients of one message → messages sent to so many."""
    late: int = 0
    """Answers that came after the end of their question."""
    open_questions: dict[str, int] = {}
    """Exposure → questions without an end when the block ended."""
    agents_present: int = 0
    """When the block ended."""
    streams_open: int = 0
    """When the block ended."""


class Begun(Event, frozen=True, kw_only=True):
    """Recording is on: every block of time is measured from here."""

    reason: Reason
    """Why."""
    check_seconds: float
    """Length of a block with traffic."""
    until_at: Instant = Instant(0)
    """When a baseline is complete; 0 for a rollout."""


class Joined(Event, frozen=True, kw_only=True):
    """Recording goes on for one more reason."""

    reason: Reason
    """The second one."""
    until_at: Instant = Instant(0)
    """When a baseline is complete; 0 for a rollout."""


class BlockRecorded(Event, frozen=True, kw_only=True):
    """One block of time was measured to its end."""

    from_at: Instant
    """From here; where the block before ended, unless the hub was not there in between."""
    until_at: Instant
    """To here, exclusive."""
    slices: tuple[Slice, ...] = ()
    """One for each cluster and exposure that had traffic; none if there was none at all."""
    down_seconds: float = 0.0
    """How long, within the block, the hub could not serve."""
    coordination: tuple[Coordination, ...] = ()
    """One for each exposure that had traffic."""
    hub: HubCounts = HubCounts()
    """Of the whole hub."""


class Left(Event, frozen=True, kw_only=True):
    """One reason is over, recording goes on for the other."""

    reason: Reason
    """The one that is over."""
    why: str = ""
    """For people."""


class Ended(Event, frozen=True, kw_only=True):
    """The last reason is over: nothing is measured from here."""

    reason: Reason
    """The one that is over."""
    why: str = ""
    """For people."""


MeasurementEvent = Begun | Joined | BlockRecorded | Left | Ended

register("measurement.begun/1", Begun)
register("measurement.joined/1", Joined)
register("measurement.recorded/1", BlockRecorded)
register("measurement.left/1", Left)
register("measurement.ended/1", Ended)
