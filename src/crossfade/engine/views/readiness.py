"""Readiness: for how long, in all, somebody has had a carrier open that waits for something to come."""

from array import array
from typing import Final

from crossfade.core.values import MILLISECOND

RETURN: Final = 5 * MILLISECOND
"""A carrier that is back so soon was not gone: it was woken, took what there was, and waits again."""
_SINCE: Final = 0
_UNTIL: Final = 1
_TOTAL: Final = 2


class Readiness:
    """A clock that runs only while a carrier waits.

    What a delivery takes is how far it has moved from the asking to the showing: so the recipient's own absence
    and thinking do not count, and a hub that lets a carrier wait in vain cannot hide behind its ending.
    Times are nanoseconds of a clock that never jumps.
    """

    __slots__ = ("_carriers", "_times")

    def __init__(self) -> None:
        self._carriers = 0
        self._times = array("q", (0, 0, 0))
        """Since when, until when, how long: in one place, made with the mailbox (docs/adr/0036)."""

    def enter(self, now: int) -> None:
        """A carrier begins to wait."""
        if not self._carriers:
            times = self._times
            until = times[_UNTIL]
            if until and now - until <= RETURN:
                times[_TOTAL] -= until - times[_SINCE]
            else:
                times[_SINCE] = now
        self._carriers += 1

    def leave(self, now: int) -> None:
        """A carrier waits no more: it was woken, or is gone."""
        self._carriers -= 1
        if not self._carriers:
            times = self._times
            times[_TOTAL] += now - times[_SINCE]
            times[_UNTIL] = now

    def at(self, now: int) -> int:
        """What the clock shows."""
        times = self._times
        return times[_TOTAL] + (now - times[_SINCE] if self._carriers else 0)

    def before(self, now: int, ago: int) -> int:
        """What it showed ``ago`` nanoseconds before ``now``, if no carrier came or went in between."""
        total = self._times[_TOTAL]
        return total + max(0, now - ago - self._times[_SINCE]) if self._carriers else total
