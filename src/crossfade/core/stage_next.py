"""What a plan needs done now: a pure function of its state, the measurements, the rollout and the instant.

Who does it: engine/driving.py. One thing at a time, the gravest first: going back, an end, a hold, going on.

Rules
-----
1. A trigger is looked at before all else, whatever the plan holds for.
2. Time that was not measured bakes nothing: a share has to be *seen* standing.
3. What is not known holds. Nothing is promoted on lack of evidence.
"""

from typing import Final

import msgspec

from crossfade.core.stage_events import Cause, Said, Status
from crossfade.core.stages import MOVED, STICKY, State
from crossfade.core.values import SECOND, Instant

GRAVEST: Final = (Cause.SHARED, Cause.NARROW, Cause.INVESTIGATE, Cause.SAMPLE_RATIO)
"""Worries in the order in which a hold names them."""


class Worry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody has to look at."""

    cause: Cause
    said: Said


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the measurements say now."""

    from_at: Instant = Instant(0)
    """Begin of what was measured of this stage."""
    until_at: Instant = Instant(0)
    """End of the newest measurement; 0 if there is none."""
    baked_seconds: float = 0.0
    """How long the share was seen standing."""
    fired: Said | None = None
    """A trigger that goes back."""
    worries: tuple[Worry, ...] = ()
    proofs: tuple[Said, ...] = ()
    """Every gate and comparison that has to pass."""
    others: tuple[Said, ...] = ()
    """Triggers, and what else is watched."""
    fault: str = ""
    """Why nothing can be judged; empty if it can."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """The rollout, and what else a plan depends on."""

    share: float = 0.0
    epoch: int = 0
    held: bool = False
    held_reason: str = ""
    held_until: Instant | None = None
    """When that is over by itself; None if somebody has to end it."""
    refused: str = ""
    """Why the rollout did not take the share when it was tried last; empty if it did."""
    baseline: Said | None = None
    """What the baseline says, if the plan wants one."""
    looked_at: Instant = Instant(0)
    """Up to when it is known what happened; an idle block is recorded later."""
    stale_seconds: float = 30.0
    """A look older than this is stale."""
    idle_seconds: float = 30.0
    """How much later than looked at an idle block is recorded at most."""
    moved: str = ""
    """Who moved the rollout last, and why, as far as this process has seen."""


class GoBack(msgspec.Struct, frozen=True, kw_only=True):
    """Put the share to 0: it was decided."""

    reason: str


class ConfirmBack(msgspec.Struct, frozen=True, kw_only=True):
    """The share is 0."""


class Fire(msgspec.Struct, frozen=True, kw_only=True):
    """Decide to go back."""

    said: Said
    until_at: Instant
    share: float


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else moved the rollout."""

    reason: str
    share: float


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts changed."""

    said: tuple[Said, ...]
    until_at: Instant


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Hold."""

    cause: Cause
    reason: str
    eta_seconds: float | None = None
    said: tuple[Said, ...] = ()


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """The hold is overdue."""


class GoOn(msgspec.Struct, frozen=True, kw_only=True):
    """What it held for is settled."""

    cause: Cause
    reason: str


class EnterFirst(msgspec.Struct, frozen=True, kw_only=True):
    """Begin."""


class RaiseShare(msgspec.Struct, frozen=True, kw_only=True):
    """Set the stage's share."""

    share: float
    reason: str


class StartBake(msgspec.Struct, frozen=True, kw_only=True):
    """The share is in force."""

    stage: int


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is proven."""

    stage: int
    from_at: Instant
    until_at: Instant
    said: tuple[Said, ...]


class LookAgain(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is due before this instant, unless something is measured."""

    at: Instant


Move = (
    GoBack | ConfirmBack | Fire | End | Note | Stop | Late | GoOn | EnterFirst | RaiseShare | StartBake | Advance
    | LookAgain
)  # fmt: skip


def next_move(state: State, reading: Reading, ground: Ground, now: Instant) -> Move | None:
    """What is due; None if nothing is until somebody acts."""
    if state.status is Status.ROLLING_BACK:
        back = state.back
        return GoBack(reason=why_back(back.said) if back else "") if ground.share > 0 else ConfirmBack()
    if not state.live:
        return None
    if reading.fired is not None and state.status in MOVED:
        return Fire(said=reading.fired, until_at=reading.until_at, share=ground.share)
    return (
        _moved(state, ground)
        or _noted(state, reading)
        or _held(state, reading, ground, now)
        or _on(state, reading, ground, now)
    )


def why_back(said: Said) -> str:
    """A rollback in one line, for the rollout's own record."""
    return f"{said.name}: {said.explanation or said.reason}"


def _moved(state: State, ground: Ground) -> End | None:
    """Whether somebody took the rollout out of the plan's hands."""
    by = f": {ground.moved}" if ground.moved else ""
    if ground.epoch != state.epoch:
        return End(reason=f"the rollout was taken back to {ground.share:.6g}{by}", share=ground.share)
    beyond = state.status is Status.ENTERING and ground.share > state.share
    if beyond or (state.status is Status.BAKING and ground.share != state.share):
        return End(reason=f"the share was set to {ground.share:.6g}{by}", share=ground.share)
    return None


def _noted(state: State, reading: Reading) -> Note | None:
    if state.status is not Status.BAKING:
        return None
    said = (*reading.proofs, *reading.others)
    changed = tuple(one for one in said if state.said.get(one.name) != f"{one.verdict}:{one.reason}")
    return Note(said=changed, until_at=reading.until_at) if changed else None


def _held(state: State, reading: Reading, ground: Ground, now: Instant) -> Move | None:
    """A hold that begins, ends, changes, or is overdue."""
    hold = state.hold
    if hold is not None and hold.cause in STICKY:
        due = None
    else:
        due = _cause(state, reading, ground, now)
        if due is not None and (hold is None or hold.cause is not due.cause):
            return due
        if due is None and hold is not None:
            return GoOn(cause=hold.cause, reason=_SETTLED[hold.cause])
    if hold is not None and not hold.overdue and now >= hold.deadline:
        return Late()
    return None


_SETTLED: Final = {
    Cause.BASELINE: "the baseline is complete",
    Cause.GATES: "every gate is proven",
    Cause.STALE: "measurements arrive again",
    Cause.OPERATOR: "the rollout is not held any more",
    Cause.REFUSED: "the rollout can take the share now",
    Cause.ERRORED: "the measurements can be judged again",
    Cause.SHARED: "neither lane is hurt any more",
    Cause.NARROW: "the noisy clusters are quiet",
}


def _cause(state: State, reading: Reading, ground: Ground, now: Instant) -> Stop | None:
    """Why it may not go on, the gravest first; None if it may."""
    for cause in GRAVEST:
        said = tuple(worry.said for worry in reading.worries if worry.cause is cause)
        if said and state.status in MOVED:
            return Stop(cause=cause, reason=said[0].explanation or f"{said[0].name}: {said[0].reason}", said=said)
    if reading.fault:
        return Stop(cause=Cause.ERRORED, reason=f"the measurements cannot be judged: {reading.fault}")
    if state.status in MOVED and ground.share > 0 and stale(state, reading, ground, now):  # at 0 nobody is exposed
        seen = _seen(state, reading)
        return Stop(cause=Cause.STALE, reason=f"nothing was measured for {(now - seen) / SECOND:.0f} s")
    if ground.held:
        return Stop(cause=Cause.OPERATOR, reason=f"the rollout is held: {ground.held_reason or 'no reason given'}")
    if state.status is Status.WAITING and ground.baseline is not None and ground.baseline.verdict != "passed":
        told = ground.baseline
        why = told.explanation or told.reason
        return Stop(cause=Cause.BASELINE, reason=why, eta_seconds=told.eta_seconds, said=(told,))
    if state.status is Status.ENTERING and ground.refused and ground.share != state.share:
        return Stop(cause=Cause.REFUSED, reason=f"the rollout refuses the share: {ground.refused}")
    return unproven(state, reading)


def stale(state: State, reading: Reading, ground: Ground, now: Instant) -> bool:
    """Whether the newest measurement is too old to go by."""
    return now >= _stale_at(state, reading, ground)


def _stale_at(state: State, reading: Reading, ground: Ground) -> Instant:
    looked = max(_seen(state, reading), ground.looked_at) + int(ground.stale_seconds * SECOND)
    # Whoever looks and records nothing does not measure.
    recorded = _seen(state, reading) + int((ground.stale_seconds + ground.idle_seconds) * SECOND)
    return Instant(min(looked, recorded))


def _seen(state: State, reading: Reading) -> Instant:
    return max(reading.until_at, state.entered_at)


def bake_left(state: State, reading: Reading) -> float:
    """Seconds for which the share has to be seen standing still."""
    return max(0.0, state.plan.bake_of(state.stage) - reading.baked_seconds) if state.stage >= 0 else 0.0


def unproven(state: State, reading: Reading) -> Stop | None:
    """After the bake: what is not proven yet; None before, and when everything is."""
    if state.status is not Status.BAKING or bake_left(state, reading) > 0:
        return None
    open_ones = tuple(one for one in reading.proofs if one.verdict != "passed")
    if not open_ones and reading.proofs:
        return None
    etas = [one.eta_seconds for one in open_ones]
    eta = None if not etas or None in etas else max(one for one in etas if one is not None)
    names = ", ".join(f"{one.name} {one.verdict}" for one in open_ones)
    said = f"not proven yet: {names}" if names else "no gate has said anything yet"
    return Stop(cause=Cause.GATES, reason=said + soon(eta), eta_seconds=eta, said=open_ones)


def soon(eta_seconds: float | None) -> str:
    """When that is expected, as the end of a sentence; nothing if nobody can say."""
    if eta_seconds is None:
        return ""
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if eta_seconds >= 2 * size:
            return f"; about {eta_seconds / size:.0f} {unit} at this rate"
    return f"; about {eta_seconds:.0f} s at this rate"


def _on(state: State, reading: Reading, ground: Ground, now: Instant) -> Move | None:
    if state.hold is not None:
        return _later(state, reading, ground, now)
    match state.status:
        case Status.WAITING:
            return EnterFirst()
        case Status.ENTERING:
            if ground.share == state.share:
                return StartBake(stage=state.stage)
            number, many = state.stage + 1, len(state.plan.stages)
            return RaiseShare(share=state.share, reason=f"plan {state.plan.name}, stage {number} of {many}")
        case _ if bake_left(state, reading) > 0:
            return _later(state, reading, ground, now)
        case _:
            return Advance(stage=state.stage, from_at=reading.from_at, until_at=reading.until_at, said=reading.proofs)


def _later(state: State, reading: Reading, ground: Ground, now: Instant) -> LookAgain | None:
    """When time alone matters next."""
    ends = [] if state.hold is None or state.hold.overdue else [state.hold.deadline]
    if state.status in MOVED and not stale(state, reading, ground, now):
        ends.append(_stale_at(state, reading, ground))
    if ground.held_until is not None:
        ends.append(ground.held_until)
    return LookAgain(at=min(ends)) if ends else None
