"""How long a hub has been away during a run: one that is started again is waited for, one that is gone ends the run.

No clock here: whoever looks says when.
"""

from typing import Final

AWAY_SECONDS_MAX: Final = 10.0
"""So long a hub may be away; starting one on a large log takes a few seconds."""
TOLD_MAX: Final = 10
"""Absences of which each is told."""


class Absence:
    """Told at every look whether anybody is there."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._over: list[float] = []

    def look(self, now_ns: int, *, away: bool) -> bool:
        """Whether the hub has been away for too long."""
        if not away:
            if self._since_ns is not None:
                self._over.append((now_ns - self._since_ns) / 1e9)
            self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns > AWAY_SECONDS_MAX * 1e9

    def told(self) -> list[str]:
        """What a reader of the result has to bear in mind."""
        return [f"the hub was away for {seconds:.1f} s" for seconds in self._over[:TOLD_MAX]]
