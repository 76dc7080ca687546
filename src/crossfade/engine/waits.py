"""Waits: what stands in a mailbox for a call that waits there, and when somebody looks whether its time is over.

A wait is no coroutine and has no timer of its own: ten thousand agents wait, each of which held 1.5 KiB of those
(docs/adr/0038).

Rules
-----
1. Whoever waits alone within ``GRAIN_BITS`` is woken on the nanosecond; of many, nobody before its time.
2. At most ``LOOKS_MAX`` mailboxes are looked at in one turn of the loop.

Not here: what a wait brings (engine/mail.py).
"""

import asyncio
from typing import Final

from crossfade.core.values import Instant
from crossfade.engine.ports import Clock
from crossfade.engine.requests import ReceiveRequest
from crossfade.engine.timers import Timer, Timers
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import NEVER, Mailbox

GRAIN_BITS: Final = 26
"""2**26 nanoseconds are 67 ms: mailboxes to be looked at within that lie together."""
LOOKS_MAX: Final = 256


class Wait:
    """One wait. Whoever waits says in a class of its own how it is woken."""

    __slots__ = ("after", "member", "request", "until")

    def __init__(self, member: Member, request: ReceiveRequest, after: int, until: Instant) -> None:
        self.member = member
        self.request = request
        self.after = after
        """The sequence that it goes on from."""
        self.until = until

    def wake(self) -> None:
        """Something came, or the time is over: look, in a turn of the loop of its own. Again: nothing."""
        raise NotImplementedError


class Awaited(Wait):
    """A wait of a coroutine."""

    __slots__ = ("arrived",)

    def __init__(self, member: Member, request: ReceiveRequest, after: int, until: Instant) -> None:
        super().__init__(member, request, after, until)
        self.arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """As in ``Wait``."""
        if not self.arrived.done():
            self.arrived.set_result(None)


class _Grain:
    """Mailboxes that are to be looked at within one grain of time."""

    __slots__ = ("mailboxes", "timer")

    def __init__(self, timer: Timer) -> None:
        self.mailboxes: list[Mailbox] = []
        self.timer = timer


class Patience:
    """Looks at mailboxes when the time of a wait in them is over."""

    __slots__ = ("_clock", "_grains", "_timers")

    def __init__(self, timers: Timers, clock: Clock) -> None:
        self._timers = timers
        self._clock = clock
        self._grains: dict[int, _Grain] = {}

    def watch(self, mailbox: Mailbox, until: Instant) -> None:
        """See to it that somebody looks at the waits of ``mailbox`` when one until this instant is over."""
        if 0 < mailbox.patience <= until:
            return
        mailbox.patience = until
        self._grain(until).mailboxes.append(mailbox)

    def _grain(self, until: Instant) -> _Grain:
        """The grain of this instant, looked at then at the latest."""
        number = until >> GRAIN_BITS
        grain = self._grains.get(number)
        if grain is None:
            grain = self._grains[number] = _Grain(self._timers.at(until, self._due, number))
        elif until < grain.timer.instant:
            grain.timer.cancel()
            grain.timer = self._timers.at(until, self._due, number)
        return grain

    def _due(self, number: int) -> None:
        grain = self._grains.pop(number)
        now, left, looks = self._clock.now(), [], 0
        for mailbox in grain.mailboxes:
            until = mailbox.patience
            if until >> GRAIN_BITS != number:
                continue  # nobody waits there any more, or is looked at elsewhere
            if until <= now and looks < LOOKS_MAX:
                looks += 1
                self._look(mailbox, now)
            else:
                left.append(mailbox)
        if left:
            self._grain(Instant(min([mailbox.patience for mailbox in left]))).mailboxes.extend(left)

    def _look(self, mailbox: Mailbox, now: Instant) -> None:
        """End the waits whose time is over, and look again when that of the next is."""
        mailbox.patience, following = Instant(0), NEVER
        for wait in mailbox.wakers:
            if wait.until <= now:
                wait.wake()
            else:
                following = min(following, wait.until)
        if following < NEVER:  # once, however many wait: who came with ever less time would lie there squared
            self.watch(mailbox, following)
