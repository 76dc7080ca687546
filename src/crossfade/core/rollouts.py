"""The rollout: moves a fleet from the polling lane to the elicitation lane, and back at any minute.

One stream, ``rollout/main``. Going forward is careful (held after every kill, clusters frozen, the
polling lane removed only after its sunset); going back always works: kill and lowering the share are
accepted while held. Taking lanes back raises ``epoch``, which unpins the conversations begun before.
Shares become thresholds in cohorts.py; thresholds only rise, except by kill or rollback.

Not here: gates and when to raise (the runsheet), question routing (the engine).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from crossfade.core import cohorts
from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event
from crossfade.core.rollout_events import (
    ClustersFrozen,
    Completed,
    Deprecated,
    Held,
    Killed,
    Method,
    Removed,
    Restored,
    Resumed,
    RolledBack,
    RolloutEvent,
    ShareLowered,
    ShareSet,
    Source,
    Started,
)
from crossfade.core.values import SECOND, Instant, Lane, StreamName

__all__ = [
    "DECIDER", "NEXT", "STREAM", "ClustersFrozen", "Command", "Completed", "Deprecate", "Deprecated", "Freeze", "Held",
    "Hold", "Kill", "Killed", "Method", "Remove", "Removed", "Restored", "Resume", "Resumed", "RolledBack",
    "RolloutEvent", "SetShare", "ShareLowered", "ShareSet", "Source", "Start", "Started", "State", "Status", "deadline",
    "decide", "evolve", "lane_of_agent",
]  # fmt: skip

STREAM: Final = StreamName("rollout/main")
REASON_LENGTH_MAX: Final = 500
"""Reasons are cut here; a kill is not refused because somebody wrote too much."""
NOTICE_LENGTH_MAX: Final = 2_000
SALT_LENGTH_MAX: Final = 128
NAME_LENGTH_MAX: Final = 128
AGENTS_MAX: Final = 50_000
"""Agents in one freeze; it is a single event."""
UNDO_SECONDS_MAX: Final = 90 * 86_400


class Status(StrEnum):
    """Where the rollout is."""

    POLLING = "polling"
    """Everybody polls: not started, share 0, or killed."""
    DUAL = "dual"
    ELICITATION = "elicitation"
    """Share 1; polling still works for those who call it."""
    DEPRECATED = "deprecated"
    """Polling works and says that it will end."""
    REMOVED = "removed"
    """``wait_for_messages`` is refused."""


# --- commands ---------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Name the rollout and fix the order in which clusters come."""

    name: str
    salt: str


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """Fix which agents belong together; see clusters.py."""

    clusters: dict[str, str]
    weights: dict[str, int]
    method: Method
    oversized: tuple[str, ...] = ()


class SetShare(msgspec.Struct, frozen=True, kw_only=True):
    """Put this share of the weight, 0 to 1, on the elicitation lane; lower is a rollback."""

    share: float
    reason: str


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Stop going forward."""

    reason: str


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Allow going forward again."""

    reason: str


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """Go back at once: to polling, or out of removal."""

    reason: str
    source: Source


class Deprecate(msgspec.Struct, frozen=True, kw_only=True):
    """Tell those still polling when it ends."""

    sunset_at: Instant
    notice: str


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse polling from now on."""

    undo_seconds: int


Command = Start | Freeze | SetShare | Hold | Resume | Kill | Deprecate | Remove


# --- the machine ------------------------------------------------------------------------------------

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.POLLING, Started): Status.POLLING,
    (Status.POLLING, ClustersFrozen): Status.POLLING,
    (Status.POLLING, ShareSet): Status.DUAL,
    (Status.POLLING, Completed): Status.ELICITATION,
    (Status.DUAL, ShareSet): Status.DUAL,
    (Status.DUAL, Completed): Status.ELICITATION,
    (Status.DUAL, ShareLowered): Status.DUAL,
    (Status.DUAL, RolledBack): Status.POLLING,
    (Status.DUAL, Killed): Status.POLLING,
    (Status.ELICITATION, ShareLowered): Status.DUAL,
    (Status.ELICITATION, RolledBack): Status.POLLING,
    (Status.ELICITATION, Killed): Status.POLLING,
    (Status.ELICITATION, Deprecated): Status.DEPRECATED,
    (Status.DEPRECATED, Killed): Status.POLLING,
    (Status.DEPRECATED, Removed): Status.REMOVED,
    (Status.REMOVED, Restored): Status.DEPRECATED,
    (Status.POLLING, Held): Status.POLLING,
    (Status.DUAL, Held): Status.DUAL,
    (Status.ELICITATION, Held): Status.ELICITATION,
    (Status.DEPRECATED, Held): Status.DEPRECATED,
    (Status.REMOVED, Held): Status.REMOVED,
    (Status.POLLING, Resumed): Status.POLLING,
    (Status.DUAL, Resumed): Status.DUAL,
    (Status.ELICITATION, Resumed): Status.ELICITATION,
    (Status.DEPRECATED, Resumed): Status.DEPRECATED,
    (Status.REMOVED, Resumed): Status.REMOVED,
}
"""The whole machine. The diagram in docs/explanation is drawn from this table."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The rollout as its history says."""

    status: Status = Status.POLLING
    started: bool = False
    name: str = ""
    salt: str = ""
    frozen: bool = False
    clusters: Mapping[str, str] = {}
    weights: Mapping[str, int] = {}
    method: Method = Method.LABEL
    oversized: tuple[str, ...] = ()
    share: float = 0.0
    threshold: float = 0.0
    achieved: float = 0.0
    held: bool = False
    held_reason: str = ""
    epoch: int = 0
    """Raised whenever lanes are taken back."""
    sunset_at: Instant | None = None
    notice: str = ""
    undo_until: Instant | None = None


def decide(state: State, command: Command, now: Instant) -> tuple[RolloutEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it.

    Refuses with: rollout.exists, rollout.bad_name, rollout.not_started, rollout.clusters_in_use,
    rollout.bad_clusters, rollout.no_clusters, rollout.bad_share, rollout.same_share, rollout.held,
    rollout.deprecated, rollout.removed, rollout.already_held, rollout.not_held,
    rollout.undo_window_over, rollout.not_complete, rollout.bad_notice,
    rollout.sunset_passed, rollout.not_deprecated, rollout.before_sunset, rollout.bad_undo.
    """
    if isinstance(command, Start):
        return _start(state, command)
    if isinstance(command, Kill):
        return _kill(state, command, now)
    if not state.started:
        return _refuse("not_started", state)
    match command:
        case Freeze():
            return _freeze(state, command)
        case SetShare():
            return _set_share(state, command)
        case Hold():
            return _refuse("already_held", state) if state.held else (Held(reason=_cut(command.reason)),)
        case Resume():
            return (Resumed(reason=_cut(command.reason)),) if state.held else _refuse("not_held", state)
        case Deprecate():
            return _deprecate(state, command, now)
        case Remove():
            return _remove(state, command, now)
        case _:
            assert_never(command)


def _start(state: State, command: Start) -> tuple[RolloutEvent, ...] | Refusal:
    if state.started:
        return _refuse("exists", state)
    if not (1 <= len(command.name) <= NAME_LENGTH_MAX and 1 <= len(command.salt) <= SALT_LENGTH_MAX):
        return _refuse("bad_name", state)
    return (Started(name=command.name, salt=command.salt, hash_version=cohorts.HASH_VERSION),)


def _freeze(state: State, command: Freeze) -> tuple[RolloutEvent, ...] | Refusal:
    if state.status is not Status.POLLING:
        return _refuse("clusters_in_use", state)
    weighed = command.weights.keys() >= set(command.clusters.values())
    if not weighed or min(command.weights.values(), default=0) < 0 or len(command.clusters) > AGENTS_MAX:
        return _refuse("bad_clusters", state)
    frozen = ClustersFrozen(
        clusters=command.clusters, weights=command.weights, method=command.method, oversized=command.oversized
    )
    return (frozen,)


def _set_share(state: State, command: SetShare) -> tuple[RolloutEvent, ...] | Refusal:
    share, reason = command.share, _cut(command.reason)
    code = _why_not_share(state, share)
    if code:
        return _refuse(code, state)
    if share == 1:
        return (Completed(reason=reason),)
    if share == 0:
        return (RolledBack(epoch=state.epoch + 1, reason=reason),)
    higher = share > state.share
    threshold = cohorts.threshold_for(state.salt, state.weights, share, state.threshold if higher else 0.0)
    achieved = cohorts.achieved(state.salt, state.weights, threshold)
    if higher:
        return (ShareSet(share=share, threshold=threshold, achieved=achieved, reason=reason),)
    epoch = state.epoch + 1
    return (ShareLowered(share=share, threshold=threshold, achieved=achieved, epoch=epoch, reason=reason),)


def _why_not_share(state: State, share: float) -> str:
    """The code of the refusal, empty if the share may be set."""
    if not 0 <= share <= 1:
        return "bad_share"
    if not state.frozen:
        return "no_clusters"
    if share == state.share:
        return "same_share"
    if state.status in (Status.DEPRECATED, Status.REMOVED):
        return str(state.status)
    return "held" if state.held and share > state.share else ""


def _kill(state: State, command: Kill, now: Instant) -> tuple[RolloutEvent, ...] | Refusal:
    reason = _cut(command.reason)
    if state.status is Status.POLLING:
        # Thrown again, or before anything began: the switch is never the wrong one, it only makes sure.
        return (Held(reason=reason),) if state.started and not state.held else ()
    if state.status is Status.REMOVED:
        over = state.undo_until is None or now >= state.undo_until
        return _refuse("undo_window_over", state) if over else (Restored(source=command.source, reason=reason),)
    return (Killed(source=command.source, epoch=state.epoch + 1, reason=reason),)


def _deprecate(state: State, command: Deprecate, now: Instant) -> tuple[RolloutEvent, ...] | Refusal:
    if state.status is not Status.ELICITATION:
        return _refuse("not_complete", state)
    if state.held:
        return _refuse("held", state)
    if not 1 <= len(command.notice) <= NOTICE_LENGTH_MAX:
        return _refuse("bad_notice", state)
    if command.sunset_at <= now:
        return _refuse("sunset_passed", state)
    return (Deprecated(sunset_at=command.sunset_at, notice=command.notice),)


def _remove(state: State, command: Remove, now: Instant) -> tuple[RolloutEvent, ...] | Refusal:
    if state.status is not Status.DEPRECATED:
        return _refuse("not_deprecated", state)
    if state.held:
        return _refuse("held", state)
    if not 0 <= command.undo_seconds <= UNDO_SECONDS_MAX:
        return _refuse("bad_undo", state)
    if state.sunset_at is None or now < state.sunset_at:
        return _refuse("before_sunset", state)
    return (Removed(undo_until=Instant(now + command.undo_seconds * SECOND)),)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible, ValueError if its hash is unknown."""
    change = msgspec.structs.replace
    state = change(state, status=NEXT[state.status, type(event)])
    polling = change(state, share=0.0, threshold=0.0, achieved=0.0, sunset_at=None, notice="")
    match event:
        case Started():
            if event.hash_version != cohorts.HASH_VERSION:
                raise ValueError(f"hash version {event.hash_version}: this release would move the clusters")
            return change(state, started=True, name=event.name, salt=event.salt)
        case ClustersFrozen():
            given = {"clusters": event.clusters, "weights": event.weights}
            return change(state, frozen=True, **given, method=event.method, oversized=event.oversized)
        case ShareSet():
            return change(state, share=event.share, threshold=event.threshold, achieved=event.achieved)
        case ShareLowered():
            figures = {"share": event.share, "threshold": event.threshold, "achieved": event.achieved}
            return change(state, **figures, epoch=event.epoch)
        case Completed():
            return change(state, share=1.0, threshold=1.0, achieved=1.0)
        case RolledBack():
            return change(polling, epoch=event.epoch)
        case Killed():
            return change(polling, epoch=event.epoch, held=True, held_reason=event.reason)
        case Held():
            return change(state, held=True, held_reason=event.reason)
        case Resumed():
            return change(state, held=False, held_reason="")
        case Deprecated():
            return change(state, sunset_at=event.sunset_at, notice=event.notice)
        case Removed():
            return change(state, undo_until=event.undo_until)
        case Restored():
            return change(state, undo_until=None, held=True, held_reason=event.reason)
        case _:
            raise KeyError(type(event).__name__)


def deadline(state: State) -> Instant | None:
    """None: nothing happens to a rollout by time alone. Sunset and undo window are checked when commanded."""
    return None


def lane_of_agent(state: State, agent: str, label: str = "") -> Lane:
    """Give the agent's lane now.

    An agent that was not there at the freeze goes with its ``label``, else it is a cluster of its own.
    """
    return cohorts.lane_of(state.salt, state.threshold, state.clusters.get(agent) or label or agent)


DECIDER: Final = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)

_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "already_held": ("The rollout is held already: {held_reason}", "Resume it when that is settled."),
    "bad_clusters": ("Every cluster needs a weight of 0 or more, and a freeze has a maximum of agents.", "Correct it."),
    "bad_name": ("A rollout needs a name and a salt of 1 to 128 characters.", "Give both."),
    "bad_notice": ("A deprecation needs a notice of 1 to 2,000 characters.", "Say what ends, when, and what to call."),
    "bad_share": ("A share is a number from 0 to 1.", "Give 0.05 for five per cent."),
    "bad_undo": ("The undo window is 0 seconds to 90 days.", "Give fewer seconds."),
    "before_sunset": ("The announced sunset is still ahead.", "Remove polling when it has passed."),
    "clusters_in_use": ("The clusters are in use.", "Freeze other clusters when everybody is polling."),
    "deprecated": ("Polling is deprecated, so the share stays at 1.", "Kill the rollout to restore polling."),
    "exists": ("The rollout was started already.", "Set its share."),
    "held": ("The rollout is held: {held_reason}", "Settle that, then resume; going back is possible at any time."),
    "no_clusters": ("No clusters have been frozen.", "Freeze the clusters first."),
    "not_complete": ("Polling is deprecated once the share is 1; this is {status}.", "Set the share to 1 first."),
    "not_deprecated": ("Only a deprecated rollout can end polling; this one is {status}.", "Deprecate it first."),
    "not_held": ("The rollout is not held.", "Set its share."),
    "not_started": ("No rollout has been started.", "Start one first."),
    "removed": ("Polling has been removed, so the share stays at 1.", "Kill the rollout to undo the removal."),
    "same_share": ("That is the share already.", "Give another share."),
    "sunset_passed": ("The sunset is not in the future.", "Give a later instant."),
    "undo_window_over": ("The undo window after the removal is over.", "Move those still polling to attend or inbox."),
}
"""Code after ``rollout.``: what is wrong, and what to do."""


def _refuse(reason: str, state: State) -> Refusal:
    message, hint = _REFUSALS[reason]
    why = state.held_reason or "no reason given."
    return Refusal(f"rollout.{reason}", message.format(status=state.status, held_reason=why), hint)


def _cut(reason: str) -> str:
    return reason[:REASON_LENGTH_MAX]
