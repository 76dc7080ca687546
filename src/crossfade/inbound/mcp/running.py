"""One tool call on its way: what the tool sees of it, how it is held on an event stream, and what may end it early.

Rules
-----
1. A call that waits gets its headers out after ``hold_after_seconds``, a quarter of a second (clients give
   up on silence, not on waiting), pings while it is silent, and progress if the client asked. A call that is
   done by then is answered as JSON in one write: a stream costs as much as the call itself.
2. A held call costs no task: what works on its request runs it, and whoever must end it early (the client
   left, the client cancelled, the server stops) cancels that once and says why.

Not here: running the tool, and what its outcome looks like (``calls``).
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import msgspec

from crossfade.inbound.asgi import TIMER_SECONDS, Ending, EventStream, Headers, Streams, disconnected, frame
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.seam import Complete, Interrupt, Peer
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.replies import Reply


class Exchange(msgspec.Struct, frozen=True):
    """One POST that carries a call."""

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
    """The whole message."""
    name: tuple[str, int | str] | None = None
    """Session and id, by which a client may cancel the call with another POST."""


class Running:
    """A call on its way: the ``seam.Context`` that the tool sees, and the response that it ends in."""

    __slots__ = ("_early", "_headers", "_opening", "_patience", "_progress_seconds", "_stack", "_streams", "_ticks",
                 "_timer", "_waits", "armed", "asked", "exchange", "may_ask", "patient", "peer", "plain", "so_far",
                 "started_at", "stream", "why")  # fmt: skip

    def __init__(self, exchange: Exchange, streams: Streams, settings: McpSettings, headers: Headers) -> None:
        self.exchange = exchange
        self.peer = exchange.peer
        self.may_ask = exchange.may_ask
        self.patient = exchange.progress_token is not None and exchange.takes_stream
        self.so_far: Callable[[], Complete] | None = None
        self.asked = 0
        self.stream: EventStream | None = None
        self.why: Interrupt | None = None
        self.started_at = 0.0
        self._streams = streams
        self._headers = headers
        self._progress_seconds = settings.progress_seconds
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self.armed = False
        """It can be interrupted: the outcome is not there yet, and it waits, or may."""
        self.plain = True
        """Nothing of the response exists, nor comes before the outcome; and nobody watches whether its client goes."""
        self._waits = False
        self._early: Sequence[bytes] = ()
        """Messages from before the stream was open."""
        self._opening: asyncio.Task[None] | None = None
        self._patience: Patience | None = None
        """Where the call is noted until it is held or done."""
        self._stack: ExitStack | None = None

    # --- what a tool may do

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        """As in ``seam.Context``."""
        if self.exchange.takes_stream:
            self.push(wire.notification(method, params))

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """As in ``seam.Context``."""
        token = self.exchange.progress_token
        if token is None:
            return
        params: dict[str, object] = {"progressToken": token, "progress": done}
        if total is not None:
            params["total"] = total
        if message:
            params["message"] = message
        self.notify("notifications/progress", params)

    # --- holding

    def may_wait(self, patience: "Patience") -> None:
        """From now on the call may wait: hold it if it is not done when ``patience`` is at its end."""
        self.started_at = asyncio.get_running_loop().time()
        self.armed = self._waits = True
        if self.exchange.takes_stream:
            self._patience = patience
            patience.add(self, self.started_at)
        else:
            self._watch()

    def out_of_patience(self) -> None:
        """Hold the call, unless it is done or held already."""
        if self.armed and self._opening is None:
            self._begin_opening()

    async def hold(self) -> None:
        """Open the stream now, if the client takes one and it is not open yet."""
        if not self._waits:
            self.started_at = asyncio.get_running_loop().time()
            self.armed = self._waits = True
            if not self.exchange.takes_stream:
                self._watch()
        if self.exchange.takes_stream:
            if self._opening is None:
                self._begin_opening()
            if self._opening is not None:
                await asyncio.shield(self._opening)

    def _begin_opening(self) -> None:
        self.plain = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        exchange = self.exchange
        reply = exchange.reply
        self.stream = EventStream(reply.scope, reply.receive, reply.send, self._streams, self._stop)
        self.stream.closed.add_done_callback(self._gone)
        early, self._early = self._early, ()
        for message in early:
            self.push(message)
        await self.stream.start(self._headers)
        if exchange.progress_token is not None and self.armed:
            self._timer = asyncio.get_running_loop().call_later(self._progress_seconds, self._tick)

    def _watch(self) -> None:
        gone = disconnected(self.exchange.reply.scope, self.exchange.reply.receive)
        gone.add_done_callback(self._gone)
        self.plain = False
        self._stack = ExitStack()
        self._stack.callback(gone.cancel)
        self._stack.enter_context(self._streams.holding(self._stop))

    def push(self, message: bytes) -> None:
        """Put a message on the stream, or keep it until there is one."""
        if self.stream is not None:
            self.stream.push(frame(message))
        else:
            self.plain = False
            self._early = [*self._early, message]

    def interrupt(self, why: Interrupt) -> None:
        """End the call early. Only the first reason counts, and none once the call has its outcome."""
        task = self.exchange.reply.task
        if self.armed and self.why is None and task is not None:
            self.why = why
            task.cancel()

    def disarm(self) -> None:
        """The outcome is there: nothing can interrupt the call any more."""
        self.armed = False
        if self._patience is not None:
            self._patience.forget(self)
            self._patience = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def interrupted(self) -> bool:
        """Whether the cancellation that was just caught is ours; it is taken back then."""
        task = self.exchange.reply.task
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
            headers = [*self._headers, (b"retry-after", b"1")] if status == 503 else self._headers
            await self.exchange.reply.whole(status, body or b"{}", headers)
            return
        if body is not None:
            self.push(body)
        await self.stream.aclose()

    def close(self) -> None:
        """Release everything."""
        self.disarm()
        if self.stream is not None:
            self.stream.closed.remove_done_callback(self._gone)
            self.stream.cut()  # nothing, if it ended as it should
        if self._stack is not None:
            self._stack.close()

    def _stop(self) -> None:
        self.interrupt("stopping")

    def _gone(self, closed: "asyncio.Future[Ending] | asyncio.Future[None]") -> None:
        if not closed.cancelled():
            self.interrupt("gone")

    def _tick(self) -> None:
        self._ticks += 1
        self.progress(self._ticks, message="waiting")
        self._timer = asyncio.get_running_loop().call_later(self._progress_seconds, self._tick)


class Patience:
    """When calls that wait are held: one timer for all of them, since all have the same time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Running, float] = {}
        """Calls and the loop's time at which each is to be held, in order. Most are done by then, and leave: what a
        call holds is freed while it is at hand."""
        self._timed = False

    def add(self, call: Running, now: float) -> None:
        """Hold ``call`` after the time, from ``now`` of the loop, if it is not done by then."""
        self._waiting[call] = now + self._seconds
        if not self._timed:
            self._timed = True
            asyncio.get_running_loop().call_later(self._seconds, self._due)

    def forget(self, call: Running) -> None:
        """It is done."""
        self._waiting.pop(call, None)

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time() + TIMER_SECONDS
        due = list(itertools.takewhile(lambda call: self._waiting[call] <= now, self._waiting))
        for call in due:
            del self._waiting[call]
            call.out_of_patience()
        self._timed = bool(self._waiting)
        if self._timed:
            loop.call_later(next(iter(self._waiting.values())) - loop.time(), self._due)
