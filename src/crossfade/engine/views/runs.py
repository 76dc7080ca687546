"""Every run of the hub."""

from collections.abc import Mapping

from crossfade.core.run_events import Status
from crossfade.core.run_plan import freeze_at
from crossfade.core.run_state import NodeStatus
from crossfade.core.runs import State
from crossfade.core.values import Instant


class Entry:
    """One run."""

    __slots__ = ("changed_at", "created_by", "run_id", "state")

    def __init__(self, run_id: str, state: State, created_by: str, at: Instant) -> None:
        self.run_id = run_id
        self.state = state
        self.created_by = created_by
        self.changed_at = at

    def put(self, state: State, at: Instant) -> None:
        """Take the state after one more record."""
        self.state = state
        self.changed_at = at


def standstill(entries: Mapping[str, Entry], now: Instant) -> tuple[str, Instant | None]:
    """Why the run whose plan is live lets nothing rise now, and until when; empty if it does, or there is none."""
    for run_id, entry in entries.items():
        state = entry.state
        if not state.active or not _by_plan(state):
            continue
        if state.status is Status.PAUSED:
            return f"the run {run_id} is paused by {state.by}: {state.reason}", None
        frozen = freeze_at(state.sheet, now)
        if frozen is not None:
            return f"the run {run_id} is in the freeze {frozen[0].id}", frozen[1]
    return "", None


def _by_plan(state: State) -> bool:
    """Whether a plan drives for the run."""
    begun = (node for node in state.plan if state.of(node.id).status is NodeStatus.BEGUN)
    return any(node.step is not None and node.step.by_plan for node in begun)
