"""Runs: one execution of a runsheet, over weeks, by one driver at a time, resumable after any event.

Rules
-----
1. A run is bound to the digest of one runsheet, which is data: nothing is replayed, so a later release goes on
   with it. Another runsheet takes a review and an explicit migration.
2. Nodes are settled in their order, each done, skipped or waived; nothing else lets a run go on.
3. Only the driver of the newest epoch is heard. Its lease keeps others away; an older epoch is fenced.
4. What is not measured, failed or not decided holds the run. A waiver takes a sign-off, a skip a reason as well.
5. An abort undoes what can be undone, last first, and goes on past what cannot be.
What is due: run_next.py. Source: research/rollout.md §5.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event
from crossfade.core.run_commands import (
    READY,
    Abort,
    Ask,
    AskWaiver,
    Begin,
    Command,
    Complete,
    Create,
    Driven,
    DriverCommand,
    Fail,
    Finish,
    FinishAbort,
    GrantWaiver,
    Hold,
    Migrate,
    Operation,
    Pause,
    RecordUndo,
    RefuseWaiver,
    Release,
    Renew,
    Reopen,
    Resume,
    Skip,
    Take,
)
from crossfade.core.run_events import (
    AbortBegun,
    Aborted,
    Asked,
    Begun,
    Completed,
    Created,
    Done,
    Failed,
    Grounds,
    Held,
    Migrated,
    Paused,
    Released,
    Renewed,
    Reopened,
    Resumed,
    RunEvent,
    Skipped,
    Status,
    Taken,
    Undone,
    Verdict,
    Waived,
    WaiverAsked,
    WaiverRefused,
)
from crossfade.core.run_fold import fold
from crossfade.core.run_plan import NodeKind, PlanNode
from crossfade.core.run_reading import REASON_LENGTH_MAX, migrated, not_ready, read_plan, unreasoned
from crossfade.core.run_state import LOOKING, SETTLED, NodeStatus, State
from crossfade.core.values import Instant

__all__ = ["DECIDER", "NEXT", "REASON_LENGTH_MAX", "State", "deadline", "decide", "evolve"]

EVIDENCE_BYTES_MAX: Final = 16_384

_UNBEGUN: Final = frozenset({NodeStatus.PENDING, NodeStatus.FAILED})
_BEGUN: Final = frozenset({NodeStatus.BEGUN, NodeStatus.ASKED})
_ACTIVE: Final = (Status.RUNNING, Status.PAUSED, Status.ABORTING)
_OUTCOMES: Final = (
    Taken, Renewed, Asked, Done, Failed, Held, Skipped, WaiverAsked, Waived, WaiverRefused,
)  # fmt: skip
NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, Created): Status.RUNNING,
    **{(status, event): status for status in _ACTIVE for event in _OUTCOMES},
    (Status.RUNNING, Begun): Status.RUNNING,
    (Status.RUNNING, Released): Status.RUNNING,
    (Status.RUNNING, Reopened): Status.RUNNING,
    (Status.PAUSED, Released): Status.PAUSED,
    (Status.RUNNING, Paused): Status.PAUSED,
    (Status.PAUSED, Resumed): Status.RUNNING,
    (Status.PAUSED, Migrated): Status.PAUSED,
    (Status.RUNNING, AbortBegun): Status.ABORTING,
    (Status.PAUSED, AbortBegun): Status.ABORTING,
    (Status.ABORTING, Undone): Status.ABORTING,
    (Status.ABORTING, Aborted): Status.ABORTED,
    (Status.RUNNING, Completed): Status.COMPLETED,
}
"""The whole machine of a run. That of a node is in run_fold.py."""


def decide(state: State, command: Command, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it.

    Refuses with: run.exists, run.bad_digest, run.bad_runsheet, run.role_empty, run.not_ready, run.unknown,
    run.ended, run.driven, run.fenced, run.not_running, run.not_paused, run.not_due, run.no_reason,
    run.node_unknown, run.node_settled, run.not_held, run.not_skippable, run.skip_unsigned, run.waiver_unsigned,
    run.waiver_pending, run.no_waiver, run.digest_differs, run.same_digest, run.drops_nodes, run.unfinished,
    run.aborting.
    """
    if isinstance(command, Create):
        return _create(state, command, now)
    if state.status is Status.ABSENT:
        return Refusal("run.unknown", "There is no such run.", "`crossfade runsheet status` lists them.")
    if not state.active:
        return Refusal("run.ended", f"The run is {state.status}.", "Create a new one.", {"status": str(state.status)})
    if isinstance(command, Driven):
        if state.driver and command.epoch != state.epoch:
            return Refusal("run.fenced", f"Epoch {command.epoch} is over, it is {state.epoch}.", "Another drives it.")
        if not state.driver:
            return Refusal("run.fenced", "Nobody drives this run.", "Take it first.")
        return _driven(state, command, now)
    return _operated(state, command, now)


# --- operators ----------------------------------------------------------------------------------------


def _create(state: State, command: Create, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    if state.status is not Status.ABSENT:
        return Refusal("run.exists", "A run with this id exists.", "Use another id.")
    plan = read_plan(command.runsheet, command.digest)
    if isinstance(plan, Refusal):
        return plan
    if command.review != READY and not command.forced.strip():
        return not_ready(command.review)
    return (
        Created(
            runsheet=command.runsheet, digest=command.digest, nodes=tuple(node.id for node in plan), at=now,
            review=command.review, forced="" if command.review == READY else _cut(command.forced),
        ),
    )  # fmt: skip


def _operated(state: State, command: Operation, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    match command:
        case Take():
            return _take(state, command, now)
        case Pause() | Resume():
            return _pause(state, command)
        case Abort():
            if state.status is Status.ABORTING:
                return Refusal("run.aborting", "The run is being aborted already.", "Wait until it has ended.")
            return unreasoned(command.reason) or (AbortBegun(by=command.by, reason=_cut(command.reason)),)
        case Migrate():
            return migrated(state, command)
        case Release() | Skip() | AskWaiver():
            if state.status is Status.ABORTING:
                return Refusal("run.aborting", "The run is being aborted.", "Create a new one when it has ended.")
            return _passed_by(state, command)
        case _:
            assert_never(command)


def _take(state: State, command: Take, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    if state.driver == command.driver and now < state.until:
        return ()
    if state.driver and state.driver != command.driver and now < state.until and not command.sole:
        return Refusal("run.driven", f"{state.driver} drives this run.", "Wait until its lease is over.")
    return (Taken(driver=command.driver, epoch=state.epoch + 1, until=command.until),)


def _pause(state: State, command: Pause | Resume) -> tuple[RunEvent, ...] | Refusal:
    if isinstance(command, Pause):
        if state.status is not Status.RUNNING:
            return Refusal("run.not_running", f"The run is {state.status}.", "Only a running run is paused.")
        return unreasoned(command.reason) or (Paused(by=command.by, reason=_cut(command.reason)),)
    if command.digest and command.digest != state.digest:
        return Refusal(
            "run.digest_differs",
            f"The runsheet was edited: the run has {state.digest[:12]}, this is {command.digest[:12]}.",
            "Go on with the old one, or review the new one and `crossfade runsheet migrate`.",
            {"run": state.digest, "given": command.digest},
        )
    if state.status is not Status.PAUSED:
        return Refusal("run.not_paused", f"The run is {state.status}.", "Only a paused run is resumed.")
    return (Resumed(by=command.by, reason=_cut(command.reason)),)


def _passed_by(state: State, command: Release | Skip | AskWaiver) -> tuple[RunEvent, ...] | Refusal:
    node = state.node(command.node)
    if node is None:
        return Refusal("run.node_unknown", f"The run has no node {command.node[:120]!r}.", "Look at its status.")
    progress = state.of(node.id)
    if progress.status in SETTLED:
        return Refusal("run.node_settled", f"{node.id} is {progress.status}.", "There is nothing to pass by.")
    reason = _cut(command.reason)
    match command:
        case Release():
            if progress.status is not NodeStatus.HELD:
                return Refusal("run.not_held", f"{node.id} is not held.", "It goes on by itself.")
            return (Released(node=node.id, by=command.by, reason=reason),)
        case Skip():
            return unreasoned(reason) or _skip(node, command)
        case AskWaiver():
            if progress.status is not NodeStatus.HELD:
                return Refusal("run.not_held", f"{node.id} is not held.", "Only what is held is waived.")
            if progress.waiver:
                return Refusal("run.waiver_pending", "A waiver has been asked for.", "Wait for its signers.")
            if not command.signoff:
                return Refusal("run.waiver_unsigned", "A waiver takes a sign-off.", "Name the roles that sign it.")
            asked = WaiverAsked(node=node.id, by=command.by, reason=reason, signoff=command.signoff)
            return unreasoned(reason) or (asked,)
        case _:
            assert_never(command)


def _skip(node: PlanNode, command: Skip) -> tuple[RunEvent, ...] | Refusal:
    if node.kind not in (NodeKind.STEP, NodeKind.BAKE):
        return Refusal("run.not_skippable", "Gates and sign-offs are not skipped.", "Ask for a waiver instead.")
    if command.grounds is Grounds.SIGNOFF and not command.signoff:
        return Refusal("run.skip_unsigned", "A skip takes a sign-off, or an admin.", "Name the sign-off.")
    return (
        Skipped(
            node=node.id, by=command.by, reason=_cut(command.reason), grounds=command.grounds, signoff=command.signoff
        ),
    )


# --- the driver -----------------------------------------------------------------------------------------


def _driven(state: State, command: DriverCommand, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    match command:
        case Renew(until=until):
            return () if until <= state.until else (Renewed(until=until),)
        case RecordUndo() | FinishAbort():
            return _undone(state, command)
        case Reopen(node=node, signoff=signoff):
            found = state.node(node)
            known = found is not None and found.kind is NodeKind.SIGNOFF and state.of(node).status is NodeStatus.DONE
            if state.status is not Status.RUNNING or not known or state.of(node).asked.get("signoff") != signoff:
                return Refusal("run.not_due", f"{node} is not to be signed again.", "Look at the state again.")
            return (Reopened(node=node, signoff=signoff),)
        case Complete():
            if state.status is not Status.RUNNING or state.current() is not None:
                return Refusal("run.unfinished", "Not everything is settled.", "Go on.")
            return (Completed(at=now),)
        case Begin() | Ask() | Finish() | Fail() | Hold() | GrantWaiver() | RefuseWaiver():
            return _on_node(state, command, now)
        case _:
            assert_never(command)


def _undone(state: State, command: RecordUndo | FinishAbort) -> tuple[RunEvent, ...] | Refusal:
    left = state.to_undo()
    if state.status is not Status.ABORTING:
        return Refusal("run.not_due", "The run is not being aborted.", "Abort it first.")
    if isinstance(command, FinishAbort):
        if left:
            return Refusal("run.unfinished", f"{left[0].id} can still be undone.", "Undo it first.")
        over = state.left_over()
        return (Aborted(clean=not over, left=over),)
    if not left or left[0].id != command.node:
        return Refusal("run.not_due", f"{command.node} is not what is undone next.", "Undo the last first.")
    reason = "" if command.verified else (_cut(command.reason) or "not verified")
    return (Undone(node=command.node, verified=command.verified, reason=reason, evidence=_bounded(command.evidence)),)


def _on_node(state: State, command: DriverCommand, now: Instant) -> tuple[RunEvent, ...] | Refusal:
    node = state.current()
    wanted = getattr(command, "node", "")
    if node is None or node.id != wanted:
        return Refusal("run.not_due", f"{wanted} is not what is due.", "Look at the state again.")
    progress = state.of(node.id)
    if progress.status not in _from(node, command) or (
        isinstance(command, Begin) and state.status is not Status.RUNNING
    ):
        return Refusal("run.not_due", f"{node.id} is {progress.status}.", "Look at the state again.")
    match command:
        case Begin():
            return (Begun(node=node.id, attempt=progress.attempt + 1, at=now, deadline=command.deadline),)
        case Ask():
            return (Asked(node=node.id, items=command.items, deadline=command.deadline, round=command.round),)
        case Finish():
            evidence = _bounded(command.evidence)
            return (Done(node=node.id, at=now, evidence=evidence, digest=sha256(bytes(evidence)).hexdigest()),)
        case Fail():
            return _failed(state, node, command, now)
        case Hold():
            if progress.status is NodeStatus.HELD and (progress.verdict, progress.reason) == (
                command.verdict,
                command.reason,
            ):
                return ()
            return (_held(state, node, command, now),)
        case _:
            return _waiver(node, progress.waiver, command, state)


def _from(node: PlanNode, command: DriverCommand) -> frozenset[NodeStatus]:
    """How a node must be for a command: no outcome without an intent, but for what only looks."""
    looks = node.kind is NodeKind.GATE or (node.step is not None and node.step.kind in LOOKING)
    signs = frozenset({NodeStatus.HELD}) if node.kind is NodeKind.SIGNOFF else frozenset()
    match command:
        case Begin():
            return _UNBEGUN
        case Fail():
            return frozenset({NodeStatus.BEGUN})
        case Ask():
            return _BEGUN | signs
        case Finish():
            return _UNBEGUN | {NodeStatus.HELD} if looks else _BEGUN | signs
        case _:
            return _UNBEGUN | _BEGUN | {NodeStatus.HELD}


def _failed(state: State, node: PlanNode, command: Fail, now: Instant) -> tuple[RunEvent, ...]:
    retries = 0 if node.step is None else node.step.retries
    again = not command.final and state.of(node.id).tries <= retries
    evidence = _bounded(command.evidence)
    failed = Failed(node=node.id, at=now, reason=_cut(command.reason), again=again, evidence=evidence)
    if again:
        return (failed,)
    hold = Hold(epoch=command.epoch, node=node.id, verdict=Verdict.FAILED, reason=command.reason, evidence=evidence)
    return failed, _held(state, node, hold, now)


def _held(state: State, node: PlanNode, command: Hold, now: Instant) -> Held:
    chain = () if state.sheet.operations is None else state.sheet.operations.escalation
    return Held(
        node=node.id, verdict=command.verdict, reason=_cut(command.reason), at=now,
        owner=state.sheet.owner or next(iter(chain), ""), evidence=_bounded(command.evidence),
    )  # fmt: skip


def _waiver(node: PlanNode, waiver: str, command: DriverCommand, state: State) -> tuple[RunEvent, ...] | Refusal:
    if not waiver:
        return Refusal("run.no_waiver", "No waiver has been asked for.", "Ask for one.")
    if isinstance(command, RefuseWaiver):
        return (WaiverRefused(node=node.id, signoff=waiver, reason=_cut(command.reason)),)
    progress = state.of(node.id)
    return (Waived(node=node.id, by=progress.by, reason=progress.why, signoff=waiver),)


# --- evolve, deadline -----------------------------------------------------------------------------------


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    return fold(msgspec.structs.replace(state, status=NEXT[state.status, type(event)]), event)


def deadline(state: State) -> Instant | None:
    """None: time alone changes nothing; the driver acts on it (run_next.py), and a lease only ends."""
    return None


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)


def _cut(text: str) -> str:
    return text.strip()[:REASON_LENGTH_MAX]


def _bounded(evidence: msgspec.Raw) -> msgspec.Raw:
    """Evidence small enough to keep; of more, only the digest and the size."""
    size = len(bytes(evidence))
    if size <= EVIDENCE_BYTES_MAX:
        return evidence
    kept = {"sha256": sha256(bytes(evidence)).hexdigest(), "size_bytes": size}
    return msgspec.Raw(msgspec.json.encode(kept))
