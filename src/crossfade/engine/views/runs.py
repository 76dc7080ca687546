"""Every run of the hub."""

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
