"""What a run needs done now: a pure function of its state and the instant. Who does it: engine/runner.py.

It never asks whether time is simulated. One thing at a time: the first node that is not settled.
"""

from typing import Final, assert_never

import msgspec

from crossfade.core.run_events import Status, Verdict
from crossfade.core.run_plan import NodeKind, PlanNode, freeze_at, window_at
from crossfade.core.run_state import LOOKING, NodeStatus, Progress, State
from crossfade.core.values import SECOND, Instant

BACKOFF_SECONDS_MAX: Final = 300
WAITING: Final = frozenset({"wait"})


class WaitUntil(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is due before this instant."""

    at: Instant
    node: str
    why: str


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode
    recover: bool
    """It was begun and its outcome is not known: look first."""


class JudgeGate(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode
    again: bool
    """It is held: nothing is recorded while the verdict is the same."""


class HoldNode(msgspec.Struct, frozen=True, kw_only=True):
    """It may not begin."""

    node: PlanNode
    verdict: Verdict
    reason: str


class Bake(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode
    over: bool
    """The time has passed."""


class RequestSignOff(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode


class CollectSignOff(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode


class CollectAnswers(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode


class CollectWaiver(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    node: PlanNode


class EndAbort(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing more can be undone."""


class EndRun(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is settled."""


Action = (
    RunStep | JudgeGate | HoldNode | Bake | RequestSignOff | CollectSignOff | CollectAnswers | CollectWaiver
    | Undo | EndAbort | EndRun
)  # fmt: skip


def next_action(state: State, now: Instant) -> Action | WaitUntil | None:
    """What is due; None if nothing is until somebody acts."""
    if state.status is Status.ABORTING:
        left = state.to_undo()
        return Undo(node=left[0]) if left else EndAbort()
    if state.status is not Status.RUNNING:
        return None
    node = state.current()
    if node is None:
        return EndRun()
    progress = state.of(node.id)
    match progress.status:
        case NodeStatus.HELD:
            return _held(node, progress)
        case NodeStatus.ASKED:
            return CollectSignOff(node=node) if node.kind is NodeKind.SIGNOFF else CollectAnswers(node=node)
        case NodeStatus.BEGUN:
            return _begun(node, progress, now)
        case _:
            return _fresh(state, node, progress, now)


def _held(node: PlanNode, progress: Progress) -> Action | None:
    if progress.waiver:
        return CollectWaiver(node=node)
    if node.kind is NodeKind.SIGNOFF:
        return CollectSignOff(node=node)
    looks = node.kind is NodeKind.GATE or (node.step is not None and node.step.kind in LOOKING)
    return JudgeGate(node=node, again=True) if looks else None


def _begun(node: PlanNode, progress: Progress, now: Instant) -> Action | WaitUntil:
    waits = node.kind is NodeKind.BAKE or (node.step is not None and node.step.kind in WAITING)
    if waits and now < progress.deadline:
        return WaitUntil(at=progress.deadline, node=node.id, why=node.kind if node.step is None else node.step.kind)
    if node.kind is NodeKind.BAKE:
        return Bake(node=node, over=True)
    if node.kind is NodeKind.SIGNOFF:
        return RequestSignOff(node=node)
    return RunStep(node=node, recover=True)


def _fresh(state: State, node: PlanNode, progress: Progress, now: Instant) -> Action | WaitUntil:
    """What a node needs that is not begun, or whose last attempt failed."""
    if node.earliest is not None and now < node.earliest:
        return WaitUntil(at=node.earliest, node=node.id, why="date")
    if progress.status is NodeStatus.FAILED:
        ready = Instant(progress.at + min(1 << min(progress.attempt, 16), BACKOFF_SECONDS_MAX) * SECOND)
        if now < ready:
            return WaitUntil(at=ready, node=node.id, why="retry")
    match node.kind:
        case NodeKind.GATE:
            return JudgeGate(node=node, again=False)
        case NodeKind.SIGNOFF:
            return RequestSignOff(node=node)
        case NodeKind.BAKE:
            return Bake(node=node, over=False)
        case NodeKind.STEP:
            return _obstacle(state, node, now) or _step(node)
        case _:
            assert_never(node.kind)


def _step(node: PlanNode) -> Action:
    judged = node.step is not None and node.step.kind in LOOKING
    return JudgeGate(node=node, again=False) if judged else RunStep(node=node, recover=False)


def _obstacle(state: State, node: PlanNode, now: Instant) -> Action | WaitUntil | None:
    """Why a step may not begin on this day; None if it may."""
    step = node.step
    if step is None or not (step.irreversible or step.moves_share):
        return None
    rises = step.irreversible or (step.share or 0.0) > state.share
    frozen = freeze_at(state.sheet, now)
    if frozen is not None and rises:
        return WaitUntil(at=frozen[1], node=node.id, why=f"freeze {frozen[0].id}")
    window = window_at(state.sheet, now)
    if window is not None and rises and not (window.staffed and window.incident_team):
        return HoldNode(node=node, verdict=Verdict.FAILED, reason=f"window_unstaffed {window.id}")
    return None
