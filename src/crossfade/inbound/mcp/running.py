"""One tool call on its way: what the tool sees of it, how it is held on an event stream, and what may end it early.

Rules
-----
1. A call that waits gets its headers out after ``hold_after_seconds``, a quarter of a second (clients give
   up on silence, not on waiting), pings while it is silent, and progress if the client asked. A call that is
   done by then is answered as JSON in one write: a stream costs as much as the call itself.
2. A held call costs no task: what works on its request runs it, and whoever must end it early (the client
   left, the client cancelled, the server stops) cancels that once and says why.
3. Of a call that only receives nothing runs at all while it waits (``waiting``), and its stream is no object: its head
   is written, and a ping now and then, until there is more to say (docs/adr/0038).

Not here: running the tool, and what its outcome looks like (``calls``).
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, Protocol

import msgspec

from crossfade.inbound.asgi import (
    PING,
    STREAM_HEADERS,
    TIMER_SECONDS,
    Ending,
    EventStream,
    Headers,
    Message,
    Streams,
    disconnected,
    frame,
)
from crossfade.inbound.at_once import done_at_once
from crossfade.inbound.beats import SHARE
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.seam import Complete, Interrupt, Peer, Plan, Waiting
from crossfade.inbound.replies import Reply

LOOKS: Final = round(1 / SHARE)
"""At streams, within the longest silence."""


class Ends(Protocol):
    """Who goes on with a call for which nothing runs, when its wait is over."""

    def look(self, call: "Running") -> None:
        """What it waits for may be there."""

    def interrupted(self, call: "Running") -> None:
        """It has to end early; ``why`` says why."""


class Conditions(msgspec.Struct, frozen=True):
    """What all calls of one endpoint are held by."""

    streams: Streams
    patience: "Patience"
    progress_seconds: float
    ends: Ends


class Running(msgspec.Struct, eq=False):
    """One POST that carries a call, on its way to its response; the tool sees it as its ``seam.Context``."""

    conditions: Conditions
    reply: Reply
    request_id: bytes
    """As it stands in the response."""
    peer: Peer
    takes_stream: bool
    """The client accepts ``text/event-stream``."""
    may_ask: bool
    """What a tool needs to be told can reach the client on this response."""
    progress_token: int | str | None = None
    body: bytes = b""
    """The whole message, of a client that can be asked for more on a revision where it then sends the same again."""
    name: tuple[str, int | str] | None = None
    """Session and id, by which a client may cancel the call with another POST."""
    headers: Headers = ()
    """Of the response, after type and length."""

    so_far: Callable[[], Complete] | None = None
    asked: int = 0
    stream: EventStream | None = None
    waiting: Waiting | None = None
    """Instead of work, what the call waits for."""
    plan: Plan | None = None
    dialect: Any = None
    """Of a call that waits so."""
    why: Interrupt | None = None
    started_at: float = 0.0
    armed: bool = False
    """It can be interrupted: the outcome is not there yet, and it waits, or may."""
    plain: bool = True
    """Nothing of the response exists, nor comes before the outcome; and nobody watches whether its client goes."""
    _waits: bool = False
    _row: int | None = None
    """Where it is looked at whether a ping is due, while its stream is open and no object."""
    _looks: int = 0
    """Since the last ping."""
    _early: Sequence[bytes] = ()
    """Messages from before the stream was open."""
    _opening: asyncio.Task[None] | None = None
    _opened: bool = False
    _ticks: int = 0
    _timer: asyncio.TimerHandle | None = None
    _stack: ExitStack | None = None

    @property
    def opened(self) -> bool:
        """The response is a stream, whose head is written."""
        return self._opened

    @property
    def patient(self) -> bool:
        """As in ``seam.Context``."""
        return self.progress_token is not None and self.takes_stream

    # --- what a tool may do

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        """As in ``seam.Context``."""
        if self.takes_stream:
            self.push(wire.notification(method, params))

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """As in ``seam.Context``."""
        token = self.progress_token
        if token is None:
            return
        params: dict[str, object] = {"progressToken": token, "progress": done}
        if total is not None:
            params["total"] = total
        if message:
            params["message"] = message
        self.notify("notifications/progress", params)

    # --- holding

    def may_wait(self) -> None:
        """From now on the call may wait: hold it if it is not done when the patience of its client is at its end."""
        self.armed = self._waits = True
        if self.takes_stream:
            self.started_at = self.conditions.patience.add(self)
        else:
            self.started_at = asyncio.get_running_loop().time()
            self._watch()

    def wait_for(self, waiting: Waiting) -> None:
        """As ``may_wait``, and nothing runs for the call."""
        self.waiting = waiting
        self.armed = self._waits = True
        self.reply.hold(self)
        if self.takes_stream:
            self.started_at = self.conditions.patience.add(self)
        else:
            self.started_at = asyncio.get_running_loop().time()
            self.conditions.streams.add(self)

    def out_of_patience(self) -> None:
        """Hold the call, unless it is done or held already."""
        if self.armed and not self._opened and self._opening is None and not self._opens_bare():
            self._begin_opening()

    def _opens_bare(self) -> bool:
        """Write the head of a stream of which nothing is kept, for a call that has nothing to say; whether it was."""
        if self.waiting is None or self.progress_token is not None or self._early:
            return False
        head: Message = {"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *self.headers]}
        if not done_at_once(self.reply.send(head)):
            return False
        self.plain, self._opened = False, True
        self.reply.rest()
        streams = self.conditions.streams
        streams.add(self)
        self._row = streams.beats.add(self)
        return True

    def tick(self) -> None:
        """Ping: after 75 to 100 % of the longest silence, since a round is a quarter of it."""
        self._looks += 1
        if self._looks >= LOOKS and self._row is not None:
            self._looks = 0
            if not done_at_once(self.reply.send({"type": "http.response.body", "body": PING, "more_body": True})):
                self._become_stream().push(PING)  # the client reads slowly, which a stream deals with

    def ends_bare(self, message: bytes) -> bool:
        """Send the last message on a stream that is no object, if that takes no waiting; whether it was done."""
        if self._row is None:
            return False
        return done_at_once(self.reply.send({"type": "http.response.body", "body": frame(message), "more_body": False}))

    def _become_stream(self) -> EventStream:
        """There is more to say, or to wait for, than a ping."""
        reply = self.reply
        stream = EventStream(reply.scope, reply.receive, reply.send, self.conditions.streams, self.stop)
        self._leave_streams()  # not before: a server that stops must not find that nothing is held
        self.stream = stream
        stream.closed.add_done_callback(self._gone)
        stream.goes_on()
        return stream

    def _leave_streams(self) -> None:
        streams = self.conditions.streams
        if self._row is not None:
            streams.beats.discard(self, self._row)
            self._row = None
        streams.discard(self)

    async def hold(self) -> None:
        """Open the stream now, if the client takes one and it is not open yet."""
        if not self._waits:
            self.started_at = asyncio.get_running_loop().time()
            self.armed = self._waits = True
            if not self.takes_stream:
                self._watch()
        if self.takes_stream:
            if not self._opened and self._opening is None:
                self._begin_opening()
            if self._opening is not None:
                await asyncio.shield(self._opening)
            if self._row is not None:
                self._become_stream()

    def _begin_opening(self) -> None:
        self.plain = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reply = self.reply
        stream = EventStream(reply.scope, reply.receive, reply.send, self.conditions.streams, self.stop)
        self.stream = stream
        stream.closed.add_done_callback(self._gone)
        early, self._early = self._early, ()
        for message in early:
            self.push(message)
        if stream.starts_at_once(self.headers):
            self._is_open()
        else:
            self._opening = asyncio.ensure_future(self._open(stream))

    async def _open(self, stream: EventStream) -> None:
        await stream.start(self.headers)
        self._is_open()
        self._opening = None

    def _is_open(self) -> None:
        self._opened = True
        if self.progress_token is not None and self.armed:
            self._timer = asyncio.get_running_loop().call_later(self.conditions.progress_seconds, self._tick)

    def _watch(self) -> None:
        gone = disconnected(self.reply.scope, self.reply.receive)
        gone.add_done_callback(self._gone)
        self.plain = False
        self._stack = ExitStack()
        self._stack.callback(gone.cancel)
        self._stack.enter_context(self.conditions.streams.holding(self.stop))

    def push(self, message: bytes) -> None:
        """Put a message on the stream, or keep it until there is one."""
        if self._row is not None:
            self._become_stream()
        if self.stream is not None:
            self.stream.push(frame(message))
        else:
            self.plain = False
            self._early = [*self._early, message]

    def interrupt(self, why: Interrupt) -> None:
        """End the call early. Only the first reason counts, and none once the call has its outcome."""
        if not self.armed or self.why is not None:
            return
        if self.waiting is not None:
            self.why = why
            self.conditions.ends.interrupted(self)
        elif (task := self.reply.task) is not None:
            self.why = why
            task.cancel()

    def lost(self) -> None:
        """As in ``replies.Held``."""
        self.interrupt("gone")

    def stop(self) -> None:
        """The server stops."""
        self.interrupt("stopping")

    def look_again(self) -> None:
        """As in ``seam.Context``."""
        self.conditions.ends.look(self)

    def disarm(self) -> None:
        """The outcome is there: nothing can interrupt the call any more."""
        self.armed = False
        self.conditions.patience.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def interrupted(self) -> bool:
        """Whether the cancellation that was just caught is ours; it is taken back then."""
        task = self.reply.task
        if self.why is None or task is None:
            return False
        if isinstance(task, asyncio.Task):
            task.uncancel()
        self.disarm()
        return True

    async def answer(self, status: int, body: bytes | None) -> None:
        """Send the response, the last message; None ends a stream without one."""
        if not self.plain:
            await self.hold()
        if self.stream is None:
            headers = [*self.headers, (b"retry-after", b"1")] if status == 503 else self.headers
            await self.reply.whole(status, body or b"{}", headers)
            return
        if body is not None:
            self.push(body)
        await self.stream.aclose()

    def close(self) -> None:
        """Release everything."""
        self.disarm()
        if self.plan is not None:  # nothing ran for it
            self._leave_streams()
        if self.stream is not None:
            self.stream.closed.remove_done_callback(self._gone)
            self.stream.cut()  # nothing, if it ended as it should
        if self._stack is not None:
            self._stack.close()

    def _gone(self, closed: "asyncio.Future[Ending] | asyncio.Future[None]") -> None:
        if not closed.cancelled():
            self.interrupt("gone")

    def _tick(self) -> None:
        self._ticks += 1
        self.progress(self._ticks, message="waiting")
        self._timer = asyncio.get_running_loop().call_later(self.conditions.progress_seconds, self._tick)


class Patience:
    """When calls that wait are held: one timer for all of them, since all have the same time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.waiting: dict[Running, float] = {}
        """Calls and the loop's time at which each is to be held, in order. Most are done by then, and leave: what a
        call holds is freed while it is at hand."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """While the timer runs."""

    def add(self, call: Running) -> float:
        """Hold ``call`` after the time, if it is not done by then; the loop's time now."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, self._due, loop)
        now = loop.time()
        self.waiting[call] = now + self._seconds
        return now

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time() + TIMER_SECONDS
        due = list(itertools.takewhile(lambda call: self.waiting[call] <= now, self.waiting))
        for call in due:
            del self.waiting[call]
            call.out_of_patience()
        if self.waiting:
            loop.call_later(next(iter(self.waiting.values())) - loop.time(), self._due, loop)
        else:
            self._loop = None
