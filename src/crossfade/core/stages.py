"""The plan that drives a rollout: stage by stage, by itself, resumable after any event.

One stream, ``plan/main``; one plan at a time. A plan is bound to its bytes. Nothing here looks at measurements: what is
due is decided in stage_next.py from them, and commanded here with the numbers that decided it.

Rules
-----
1. A share is set only after the intent to set it is recorded, and is measured only from when it is in force.
2. A hold stops promotion and nothing else; a trigger rolls back from any status in which a share may be above 0.
3. A plan ends once: finished, rolled back or aborted. Then another can be accepted.
Whoever loses a race is refused, so two drivers do each thing once.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.plans import FORMAT, Plan
from crossfade.core.records import Event
from crossfade.core.stage_events import (
    Aborted,
    Accepted,
    BakeBegun,
    Cause,
    Finished,
    Held,
    Judged,
    Overdue,
    Promoted,
    Resumed,
    Returned,
    RolledBack,
    Said,
    StageEntered,
    StageEvent,
    Status,
)
from crossfade.core.values import SECOND, Instant, StreamName

__all__ = [
    "ANEW", "DECIDER", "LIVE", "MOVED", "NEXT", "STICKY", "STREAM", "Abort", "Accept", "BeginBake", "Cause", "Command",
    "Confirm", "Enter", "Hold", "HoldState", "Judge", "MarkOverdue", "Promote", "Resume", "RollBack", "Said", "State",
    "Status", "deadline", "decide", "evolve",
]  # fmt: skip

STREAM: Final = StreamName("plan/main")
REASON_LENGTH_MAX: Final = 500
LIVE: Final = frozenset({Status.WAITING, Status.ENTERING, Status.BAKING})
"""A plan in one of these goes forward by itself."""
MOVED: Final = frozenset({Status.ENTERING, Status.BAKING})
"""A share may be above 0."""
STICKY: Final = frozenset({Cause.INVESTIGATE, Cause.SAMPLE_RATIO})
"""What somebody has to look at: such a hold does not settle by itself."""
ANEW: Final = STICKY | {Cause.GATES, Cause.ERRORED, Cause.SHARED, Cause.NARROW}
"""What begins anew when somebody has looked."""


# --- commands ---------------------------------------------------------------------------------------


class Accept(msgspec.Struct, frozen=True, kw_only=True):
    """Drive the rollout by this plan."""

    plan: msgspec.Raw
    digest: str
    epoch: int = 0
    """Of the rollout: whoever raises it has taken the lanes back."""


class Enter(msgspec.Struct, frozen=True, kw_only=True):
    """Begin the first stage."""


class BeginBake(msgspec.Struct, frozen=True, kw_only=True):
    """The stage's share is in force."""

    stage: int


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """Record verdicts that changed."""

    until_at: Instant
    said: tuple[Said, ...]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Do not go on."""

    cause: Cause
    reason: str
    eta_seconds: float | None = None
    said: tuple[Said, ...] = ()


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Go on."""

    cause: Cause
    reason: str
    looked: bool = False
    """Somebody looked."""


class MarkOverdue(msgspec.Struct, frozen=True, kw_only=True):
    """The hold is past its deadline."""


class Promote(msgspec.Struct, frozen=True, kw_only=True):
    """The stage is proven: on to the next one, or to the end."""

    stage: int
    from_at: Instant
    until_at: Instant
    said: tuple[Said, ...]


class RollBack(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger fired."""

    share: float
    until_at: Instant
    said: Said


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """The share is 0 after a rollback."""


class Abort(msgspec.Struct, frozen=True, kw_only=True):
    """End the plan where it is."""

    reason: str
    share: float


Command = (
    Accept | Enter | BeginBake | Judge | Hold | Resume | MarkOverdue | Promote | RollBack | Confirm | Abort
)  # fmt: skip


# --- the machine ------------------------------------------------------------------------------------

_ENDED: Final = (Status.ABSENT, Status.ROLLED_BACK, Status.ABORTED, Status.FINISHED)
NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    **{(status, Accepted): Status.WAITING for status in _ENDED},
    (Status.WAITING, StageEntered): Status.ENTERING,
    (Status.ENTERING, BakeBegun): Status.BAKING,
    (Status.BAKING, Promoted): Status.BAKING,
    (Status.BAKING, StageEntered): Status.ENTERING,
    (Status.BAKING, Finished): Status.FINISHED,
    **{(status, event): status for status in sorted(LIVE) for event in (Judged, Held, Resumed, Overdue)},
    **{(status, Aborted): Status.ABORTED for status in sorted(LIVE)},
    **{(status, RolledBack): Status.ROLLING_BACK for status in sorted(MOVED)},
    (Status.ROLLING_BACK, Returned): Status.ROLLED_BACK,
}
"""The whole machine. The diagram in docs/explanation is drawn from this table."""


class HoldState(msgspec.Struct, frozen=True, kw_only=True):
    """What it holds for."""

    cause: Cause
    reason: str
    owner: str
    since: Instant
    deadline: Instant
    eta_seconds: float | None = None
    overdue: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The plan as its history says."""

    status: Status = Status.ABSENT
    number: int = 0
    plan: Plan = Plan(plan=FORMAT, name="", stages=())
    digest: str = ""
    accepted_at: Instant = Instant(0)
    epoch: int = 0
    """Of the rollout when it was accepted."""
    stage: int = -1
    """Place in the plan's stages; -1 before the first."""
    share: float = 0.0
    """Of the stage."""
    entered_at: Instant = Instant(0)
    baked_from: Instant = Instant(0)
    """Since when the share is in force."""
    hold: HoldState | None = None
    said: Mapping[str, str] = {}
    """Name → verdict and reason, as recorded last in this stage."""
    back: RolledBack | None = None
    """Why it was rolled back."""
    ended_at: Instant = Instant(0)
    reason: str = ""
    """Why it was aborted."""

    @property
    def live(self) -> bool:
        """It goes forward by itself."""
        return self.status in LIVE


def decide(state: State, command: Command, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it.

    Refuses with: plan.live, plan.bad_digest, plan.bad_plan, plan.none, plan.not_due, plan.held, plan.not_held,
    plan.not_settled.
    """
    if isinstance(command, Accept):
        return _accept(state, command, now)
    if isinstance(command, Confirm):
        return (Returned(at=now),) if state.status is Status.ROLLING_BACK else _not_due(state)
    if not state.live:
        return Refusal("plan.none", "No plan drives the rollout.", "Start one: `crossfade rollout start --plan FILE`.")
    match command:
        case Enter() | BeginBake() | Promote():
            return _forward(state, command, now)
        case Judge():
            return _judged(state, command)
        case Hold():
            return _held(state, command, now)
        case Resume():
            return _resumed(state, command, now)
        case MarkOverdue():
            due = state.hold is not None and not state.hold.overdue and now >= state.hold.deadline
            return (Overdue(at=now),) if due else _not_due(state)
        case RollBack():
            return _back(state, command, now)
        case Abort():
            return (Aborted(reason=_cut(command.reason), share=command.share, at=now),)
        case _:
            assert_never(command)


def _accept(state: State, command: Accept, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    if state.live or state.status is Status.ROLLING_BACK:
        return Refusal(
            "plan.live",
            f"The plan {state.plan.name!r} is {state.status}.",
            "Abort it first: `crossfade rollout abort`.",
        )
    if sha256(bytes(command.plan)).hexdigest() != command.digest:
        return Refusal("plan.bad_digest", "The digest is not that of the plan.", "Load the plan again.")
    try:
        plan = msgspec.json.decode(bytes(command.plan), type=Plan)
    except msgspec.DecodeError as error:
        return Refusal("plan.bad_plan", f"The plan cannot be read: {error}.", "Run `crossfade rollout plan lint FILE`.")
    if plan.plan != FORMAT or not plan.stages or not plan.gates or not plan.triggers:
        hint = "Run `crossfade rollout plan lint FILE`."
        return Refusal("plan.bad_plan", "The plan has no stages, gates or triggers.", hint)
    number, epoch = state.number + 1, command.epoch
    return (Accepted(number=number, plan=command.plan, digest=command.digest, epoch=epoch, at=now),)


def _forward(state: State, command: Enter | BeginBake | Promote, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    if state.hold is not None:
        return Refusal("plan.held", f"The plan holds: {state.hold.reason}", "Settle that first.")
    stages = state.plan.stages
    match command:
        case Enter() if state.status is Status.WAITING:
            return (StageEntered(stage=0, share=stages[0].share, at=now),)
        case BeginBake(stage=stage) if state.status is Status.ENTERING and stage == state.stage:
            return (BakeBegun(stage=stage, at=now),)
        case Promote(stage=stage) if state.status is Status.BAKING and stage == state.stage:
            proven = Promoted(
                stage=stage, at=now, from_at=command.from_at, until_at=command.until_at, said=command.said
            )
            if stage + 1 == len(stages):
                return proven, Finished(at=now)
            return proven, StageEntered(stage=stage + 1, share=stages[stage + 1].share, at=now)
        case _:
            return _not_due(state)


def _judged(state: State, command: Judge) -> tuple[StageEvent, ...] | Refusal:
    changed = tuple(one for one in command.said if state.said.get(one.name) != _mark(one))
    return (Judged(at=command.until_at, said=changed),) if changed else ()


def _held(state: State, command: Hold, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    before = state.hold
    if before is not None and (before.cause is command.cause or before.cause in STICKY):
        return ()
    since = now if before is None else before.since
    held = Held(
        cause=command.cause, reason=_cut(command.reason), owner=state.plan.owner, at=now,
        deadline=Instant(since + int(state.plan.hold_seconds_max * SECOND)), eta_seconds=command.eta_seconds,
        said=command.said,
    )  # fmt: skip
    return (held,)


def _resumed(state: State, command: Resume, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    if state.hold is None or state.hold.cause is not command.cause:
        return Refusal("plan.not_held", "The plan does not hold for that.", "Look at `crossfade rollout status`.")
    if command.looked and command.cause not in ANEW:
        return Refusal("plan.not_settled", f"It holds by itself: {state.hold.reason}", "Settle that; then it goes on.")
    return (Resumed(cause=command.cause, reason=_cut(command.reason), at=now, looked=command.looked),)


def _back(state: State, command: RollBack, now: Instant) -> tuple[StageEvent, ...] | Refusal:
    if state.status not in MOVED:
        return _not_due(state)
    back = RolledBack(
        stage=state.stage, share=command.share, at=now, until_at=command.until_at, said=command.said
    )  # fmt: skip
    return (back,)


def _not_due(state: State) -> Refusal:
    return Refusal("plan.not_due", f"That is not due while the plan is {state.status}.", "Look at it again.")


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    change = msgspec.structs.replace
    state = change(state, status=NEXT[state.status, type(event)])
    match event:
        case Accepted():
            plan = msgspec.json.decode(bytes(event.plan), type=Plan)
            return State(
                status=state.status, number=event.number, plan=plan, digest=event.digest, epoch=event.epoch,
                accepted_at=event.at,
            )  # fmt: skip
        case StageEntered():
            return change(state, stage=event.stage, share=event.share, entered_at=event.at, hold=None, said={})
        case BakeBegun():
            return change(state, baked_from=event.at)
        case Judged():
            return change(state, said={**state.said, **{one.name: _mark(one) for one in event.said}})
        case Held():
            since = event.at if state.hold is None else state.hold.since
            hold = HoldState(
                cause=event.cause, reason=event.reason, owner=event.owner, since=since, deadline=event.deadline,
                eta_seconds=event.eta_seconds,
            )  # fmt: skip
            return change(state, hold=hold)
        case Resumed():
            return change(state, hold=None)
        case Overdue():
            assert state.hold is not None
            return change(state, hold=change(state.hold, overdue=True))
        case Promoted():
            return state
        case RolledBack():
            return change(state, back=event, hold=None)
        case Returned() | Finished():
            return change(state, ended_at=event.at, hold=None)
        case Aborted():
            return change(state, ended_at=event.at, reason=event.reason, hold=None)
        case _:
            raise KeyError(type(event).__name__)


def deadline(state: State) -> Instant | None:
    """When a hold is overdue; None if it holds for nothing."""
    return None if state.hold is None or state.hold.overdue or not state.live else state.hold.deadline


DECIDER: Final = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)


def _mark(one: Said) -> str:
    return f"{one.verdict}:{one.reason}"


def _cut(text: str) -> str:
    return text.strip()[:REASON_LENGTH_MAX]
