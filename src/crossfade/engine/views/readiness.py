"""Readiness: for how long, in all, somebody has had a carrier open that waits for something to come."""

from typing import Final

from crossfade.core.values import MILLISECOND

RETURN: Final = 5 * MILLISECOND
"""A carrier that is back so soon was not gone: it was woken, took what there was, and waits again."""


class Readiness:
    """A clock that runs only while a carrier waits.

    What a delivery takes is how far it has moved from the asking to the showing: so the recipient's own absence
    and thinking do not count, and a hub that lets a carrier wait in vain cannot hide behind its ending.
    Times are nanoseconds of a clock that never jumps.
    """

    __slots__ = ("_carriers", "_since", "_total", "_until")

    def __init__(self) -> None:
        self._carriers = 0
        self._since = 0
        self._until = 0
        self._total = 0

    def enter(self, now: int) -> None:
        """A carrier begins to wait."""
        if not self._carriers:
            if self._until and now - self._until <= RETURN:
                self._total -= self._until - self._since
            else:
                self._since = now
        self._carriers += 1

    def leave(self, now: int) -> None:
        """A carrier waits no more: it was woken, or is gone."""
        self._carriers -= 1
        if not self._carriers:
            self._total += now - self._since
            self._until = now

    def at(self, now: int) -> int:
        """What the clock shows."""
        return self._total + (now - self._since if self._carriers else 0)

    def before(self, now: int, ago: int) -> int:
        """What it showed ``ago`` nanoseconds before ``now``, if no carrier came or went in between."""
        if not self._carriers:
            return self._total
        return self._total + max(0, now - ago - self._since)
