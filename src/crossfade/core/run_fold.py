"""How each event changes a run, once its machine (runs.py) says that it may. Facts only; nothing is decided."""

import msgspec

from crossfade.core.records import Event
from crossfade.core.run_events import (
    AbortBegun,
    Aborted,
    Asked,
    Begun,
    Completed,
    Created,
    Done,
    Failed,
    Held,
    Migrated,
    Paused,
    Released,
    Renewed,
    Reopened,
    Resumed,
    Skipped,
    Taken,
    Undone,
    Waived,
    WaiverAsked,
    WaiverRefused,
)
from crossfade.core.run_plan import PlanNode, plan_of
from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Runsheet

change = msgspec.structs.replace


def fold(state: State, event: Event) -> State:
    """The state after ``event``; its status is the machine's."""
    match event:
        case Created():
            bound = _bound(state, event)
            return change(bound, created_at=event.at, review=event.review, forced=event.forced)
        case Migrated():
            bound = _bound(state, event)
            return change(bound, review=event.review, migrated_from=(*state.migrated_from, event.replaces))
        case Taken():
            return change(state, driver=event.driver, epoch=event.epoch, until=event.until)
        case Renewed():
            return change(state, until=event.until)
        case Paused() | Resumed() | AbortBegun():
            return change(state, by=event.by, reason=event.reason)
        case Aborted():
            return change(state, clean=event.clean, left=event.left)
        case Completed():
            return change(state, ended_at=event.at)
        case Done():
            return _done(state, event)
        case _:
            return _on_node(state, event)


def _bound(state: State, event: Created | Migrated) -> State:
    """Bound to a runsheet: of what this release reads in it, exactly the nodes that were pinned."""
    runsheet = msgspec.json.decode(bytes(event.runsheet), type=Runsheet)
    found = {node.id: node for node in plan_of(runsheet)}
    plan: tuple[PlanNode, ...] = tuple(found[node] for node in event.nodes)
    return change(state, runsheet=runsheet, source=event.runsheet, digest=event.digest, plan=plan)


def _done(state: State, event: Done) -> State:
    after = _put(
        state, event.node, status=NodeStatus.DONE, at=event.at, evidence=event.evidence, digest=event.digest,
        verdict=None, reason="", owner="",
    )  # fmt: skip
    node = state.node(event.node)
    if node is None or not node.sets_share or node.step is None:
        return after
    return change(after, share=node.step.share or 0.0, share_at=event.at)


def _on_node(state: State, event: Event) -> State:
    match event:
        case Begun():
            return _put(
                state, event.node, status=NodeStatus.BEGUN, attempt=event.attempt, epoch=state.epoch,
                at=event.at, deadline=event.deadline, asked={}, round=0,
            )  # fmt: skip
        case Asked():
            return _put(
                state, event.node, status=NodeStatus.ASKED, asked={**state.of(event.node).asked, **event.items},
                deadline=event.deadline, round=event.round,
            )  # fmt: skip
        case Failed():
            return _put(
                state, event.node, status=NodeStatus.FAILED, at=event.at, reason=event.reason, evidence=event.evidence
            )
        case Held():
            return _put(
                state, event.node, status=NodeStatus.HELD, at=event.at, verdict=event.verdict, reason=event.reason,
                owner=event.owner, evidence=event.evidence,
            )  # fmt: skip
        case Released() | Reopened():
            # The attempts already made still count for an undo, and number what follows.
            attempt = state.of(event.node).attempt
            return _put(state, event.node, fresh=True, attempt=attempt, attempt_before=attempt)
        case Undone():
            return _put(state, event.node, status=NodeStatus.UNDONE, reason=event.reason, evidence=event.evidence)
        case _:
            return _passed_by(state, event)


def _passed_by(state: State, event: Event) -> State:
    match event:
        case Skipped():
            return _put(
                state, event.node, status=NodeStatus.SKIPPED, by=event.by, why=event.reason, grounds=event.grounds,
                signoff=event.signoff, waiver="",
            )  # fmt: skip
        case WaiverAsked():
            return _put(state, event.node, by=event.by, why=event.reason, waiver=event.signoff)
        case Waived():
            return _put(
                state, event.node, status=NodeStatus.WAIVED, by=event.by, why=event.reason, signoff=event.signoff,
                waiver="",
            )  # fmt: skip
        case WaiverRefused():
            return _put(state, event.node, waiver="", by="", why="")
        case _:
            raise KeyError(type(event).__name__)


def _put(state: State, node: str, *, fresh: bool = False, **fields: object) -> State:
    before = Progress() if fresh else state.of(node)
    return change(state, progress={**state.progress, node: change(before, **fields)})
