"""A bounded set of connections that calls share, whoever makes them: identity is in the request, not in the line.

Rules
-----
1. One call a line at a time. The line used last is used first, so that few are kept busy and the hub closes the rest.
2. A call that was lost, or answered 429 or 5xx for the moment, is sent again with the same bytes: its key makes
   that safe. It waits a random part of a doubling time, so that a fleet does not come back in step.
3. Beyond ``lines_max`` calls wait in order; ``waiting`` says how many.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.line import Line, Place, Traffic, open_line

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses that say: not now."""
BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_MAX_SECONDS: Final = 1.0
OPENING_MAX: Final = 64
"""Connections of one pool that are being made at once."""

OnReply = Callable[[int, bytes], None]
"""Told the HTTP status and the body (of an event stream, its last data)."""


class Call:
    """One request on its way."""

    __slots__ = ("attempt", "done", "frame")

    def __init__(self, frame: bytes, done: OnReply) -> None:
        self.frame = frame
        self.done = done
        self.attempt = 0


def backoff(attempt: int, dice: Dice) -> float:
    """Seconds to wait before trying again, full jitter."""
    return min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16)) * dice.fraction()


class Pool:
    """The connections; ``line.Owner`` of all of them."""

    def __init__(self, place: Place, traffic: Traffic, lines_max: int, dice: Dice) -> None:
        self.traffic = traffic
        self.repeats = 0
        """Requests that were sent again."""
        self._place = place
        self._lines_max = lines_max
        self._dice = dice
        self._free: list[Line] = []
        self._under_way: dict[Line, Call] = {}
        self._waiting: deque[Call] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    def submit(self, frame: bytes, done: OnReply) -> None:
        """Send a request as soon as there is a line for it."""
        self._start(Call(frame, done))

    def open_some(self, lines: int) -> None:
        """Make connections before they are needed."""
        for _ in range(min(lines, self._lines_max)):
            self._open()

    def close(self) -> None:
        """Drop everything; no call is answered any more."""
        self._closed = True
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        for line in (*self._free, *self._under_way):
            line.drop()

    # --- line.Owner ---------------------------------------------------------------------------------

    def on_open(self, line: Line) -> None:
        """A line is there: give it the call that has waited longest."""
        self._opening -= 1
        self._put(line)

    def on_held(self, line: Line) -> None:
        """Nothing changes."""

    def on_event(self, line: Line, name: bytes, identifier: bytes, data: bytes) -> None:
        """Lines of a pool are not live."""

    def on_reply(self, line: Line, status: int, body: bytes) -> None:
        """A call has its reply; without a call the hub only says that it holds too many connections."""
        call = self._under_way.pop(line, None)
        if call is None:
            line.drop()
            return
        self._put(line)
        if status in PASSING:
            self._again(call)
        else:
            call.done(status, body)

    def on_lost(self, line: Line) -> None:
        """A connection is gone."""
        call = self._under_way.pop(line, None)
        if call is not None:
            self._again(call)
        elif line in self._free:
            self._free.remove(line)
        else:  # it was never open
            self._opening -= 1
            if self._waiting and not self._closed:
                self._loop.call_later(backoff(self.traffic.failed, self._dice), self._grow)

    # --- inside -------------------------------------------------------------------------------------

    def _start(self, call: Call) -> None:
        if self._free:
            self._send(self._free.pop(), call)
        else:
            self._waiting.append(call)
            self._grow()

    def _send(self, line: Line, call: Call) -> None:
        self._under_way[line] = call
        line.send(call.frame)

    def _put(self, line: Line) -> None:
        if self._closed:
            line.drop()
        elif self._waiting:
            self._send(line, self._waiting.popleft())
        else:
            self._free.append(line)

    def _grow(self) -> None:
        lines = len(self._under_way) + len(self._free) + self._opening
        if self._opening < min(len(self._waiting), OPENING_MAX) and lines < self._lines_max and not self._closed:
            self._open()

    def _open(self) -> None:
        self._opening += 1
        task = self._loop.create_task(open_line(self._place, self, self.traffic))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _again(self, call: Call) -> None:
        if self._closed:
            return
        call.attempt += 1
        self.repeats += 1
        self._loop.call_later(backoff(call.attempt, self._dice), self._start, call)
