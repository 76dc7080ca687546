"""Leases: when to look whether somebody who was heard from is still there, for all in common.

An appointment for each would leave six small objects behind for everybody who was ever met, each among those of its
connection, and every one of them would keep a megabyte from going back (docs/adr/0036). Not here: what is found.

Rules
-----
1. Who is alone is looked at on the nanosecond; of many within ``GRAIN_BITS``, some that much later.
2. At most ``LOOKS_MAX`` are looked at in one turn of the loop.
"""

from collections.abc import Callable
from typing import Final

from crossfade.core.values import Instant
from crossfade.engine.timers import Timers
from crossfade.engine.views.directory import Member

GRAIN_BITS: Final = 26
"""2**26 nanoseconds are 67 ms."""
LOOKS_MAX: Final = 256


class Leases:
    """Looks at members when their lease may have lapsed."""

    __slots__ = ("_look", "_looked_at", "_timers", "_waiting")

    def __init__(self, timers: Timers, look: Callable[[Member], None]) -> None:
        """``look`` is called with each member once its instant has come, and may watch it again."""
        self._timers = timers
        self._look = look
        self._waiting: dict[int, list[Member]] = {}
        """By time in grains."""
        self._looked_at = 0
        """The last grain that was looked at: who is to be looked at again is so in a later one."""

    def watch(self, member: Member, instant: Instant) -> None:
        """Look at the member at this instant, or shortly after."""
        grain = max(instant >> GRAIN_BITS, self._looked_at + 1)
        while len(self._waiting.get(grain, ())) >= LOOKS_MAX:
            grain += 1
        waiting = self._waiting.get(grain)
        if waiting is None:
            waiting = self._waiting[grain] = []
            self._timers.at(max(instant, Instant(grain << GRAIN_BITS)), self._due, grain)
        waiting.append(member)
        member.watched = True

    def _due(self, grain: int) -> None:
        self._looked_at = max(self._looked_at, grain)
        for member in self._waiting.pop(grain):
            member.watched = False
            self._look(member)
