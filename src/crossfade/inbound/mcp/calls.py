"""Runs one tool call and answers it, whichever era it came from: as JSON, or on a held event stream.

Rules
-----
1. A call that waits gets its headers out after ``hold_after_seconds``, a quarter of a second (clients give
   up on silence, not on waiting), pings while it is silent, and progress if the client asked. A call that is
   done by then is answered as JSON in one write: a stream costs as much as the call itself.
2. A held call costs no task: the connection's own task runs it, and whoever must end it early (the client
   left, the client cancelled, the server stops) cancels that task once and says why.
3. Nothing a tool took may get lost with its client: requests that were not answered are abandoned.

Not here: what a message looks like in a revision (``handshake``, ``envelope``), what a tool does.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import Final, Protocol

import msgspec

from crossfade.engine.ports import UnavailableError, UnknownOutcomeError
from crossfade.inbound.asgi import (
    TIMER_SECONDS,
    Ending,
    EventStream,
    Headers,
    Streams,
    disconnected,
    frame,
)
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.seam import Complete, Fault, InputRequired, Interrupt, Outcome, Peer, Plan, Settled, ToolSet
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.replies import Reply

log: Final = logging.getLogger("crossfade.mcp")

ERROR_STATUS: Final = {wire.METHOD_NOT_FOUND: 404, wire.INTERNAL_ERROR: 500}
"""HTTP status of a JSON-RPC error that is answered as JSON on 2026-07-28; 400 for the others."""


class Exchange(msgspec.Struct, frozen=True):
    """One POST that carries a request."""

    reply: Reply
    request_id: wire.Raw
    peer: Peer
    takes_stream: bool
    """The client accepts ``text/event-stream``."""
    progress_token: int | str | None = None
    arguments: wire.Raw = wire.Raw(b"{}")


class Running:
    """A call on its way: the ``seam.Context`` that the tool sees, and the response that it ends in."""

    __slots__ = ("_armed", "_early", "_exchange", "_headers", "_opening", "_patience", "_progress_seconds",
                 "_stack", "_streams", "_ticks", "_timer", "_waits", "asked", "may_ask", "patient", "peer", "so_far",
                 "started_at", "stream", "why")  # fmt: skip

    def __init__(self, exchange: Exchange, streams: Streams, settings: McpSettings, headers: Headers) -> None:
        self.peer = exchange.peer
        self.may_ask = exchange.takes_stream
        self.patient = exchange.progress_token is not None and exchange.takes_stream
        self.so_far: Callable[[], Complete] | None = None
        self.asked = 0
        self.stream: EventStream | None = None
        self.why: Interrupt | None = None
        self.started_at = 0.0
        self._exchange = exchange
        self._streams = streams
        self._headers = headers
        self._progress_seconds = settings.progress_seconds
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False
        self._waits = False
        self._early: list[bytes] = []
        """Messages from before the stream was open."""
        self._opening: asyncio.Task[None] | None = None
        self._patience: Patience | None = None
        """Where the call is noted until it is held or done."""
        self._stack: ExitStack | None = None

    # --- what a tool may do

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        """As in ``seam.Context``."""
        if self._exchange.takes_stream:
            self.push(wire.notification(method, params))

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """As in ``seam.Context``."""
        token = self._exchange.progress_token
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
        self._arm()
        if self._exchange.takes_stream:
            self._patience = patience
            patience.add(self, self.started_at)
        else:
            self._watch(self._exchange)

    def out_of_patience(self) -> None:
        """Hold the call, unless it is done or held already."""
        if self._armed and self._opening is None:
            self._begin_opening()

    async def hold(self) -> None:
        """Open the stream now, if the client takes one and it is not open yet."""
        if not self._waits:
            self._arm()
            if not self._exchange.takes_stream:
                self._watch(self._exchange)
        if self._exchange.takes_stream:
            if self._opening is None:
                self._begin_opening()
            if self._opening is not None:
                await asyncio.shield(self._opening)

    def _arm(self) -> None:
        self.started_at = asyncio.get_running_loop().time()
        self._armed = self._waits = True

    def _begin_opening(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        exchange = self._exchange
        reply = exchange.reply
        self.stream = EventStream(reply.scope, reply.receive, reply.send, self._streams, self._stop)
        self.stream.closed.add_done_callback(self._gone)
        early, self._early = self._early, []
        for message in early:
            self.push(message)
        await self.stream.start(self._headers)
        if exchange.progress_token is not None and self._armed:
            self._timer = asyncio.get_running_loop().call_later(self._progress_seconds, self._tick)

    def _watch(self, exchange: Exchange) -> None:
        gone = disconnected(exchange.reply.scope, exchange.reply.receive)
        gone.add_done_callback(self._gone)
        self._stack = ExitStack()
        self._stack.callback(gone.cancel)
        self._stack.enter_context(self._streams.holding(self._stop))

    def push(self, message: bytes) -> None:
        """Put a message on the stream, or keep it until there is one."""
        if self.stream is not None:
            self.stream.push(frame(message))
        else:
            self._early.append(message)

    def interrupt(self, why: Interrupt) -> None:
        """End the call early. Only the first reason counts, and none once the call has its outcome."""
        task = self._exchange.reply.task
        if self._armed and self.why is None and task is not None:
            self.why = why
            task.cancel()

    def disarm(self) -> None:
        """The outcome is there: nothing can interrupt the call any more."""
        self._armed = False
        if self._patience is not None:
            self._patience.forget(self)
            self._patience = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def interrupted(self) -> bool:
        """Whether the cancellation that was just caught is ours; it is taken back then."""
        task = self._exchange.reply.task
        if self.why is None or task is None:
            return False
        task.uncancel()
        self.disarm()
        return True

    async def answer(self, status: int, body: bytes | None) -> None:
        """Send the response, the last message; None ends a stream without one."""
        if self._early or self._opening is not None:
            await self.hold()
        if self.stream is None:
            headers = [*self._headers, (b"retry-after", b"1")] if status == 503 else self._headers
            await self._exchange.reply.whole(status, body or b"{}", headers)
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


Begin = Callable[[Running], Awaitable[Outcome]]


class Dialect(Protocol):
    """What differs between the eras once a tool runs."""

    async def converse(self, call: Running, outcome: InputRequired) -> Mapping[str, Settled] | None:
        """Ask the client on this response and wait; None if the outcome itself goes to the client."""

    def write(self, call: Running, exchange: Exchange, plan: Plan, outcome: Outcome) -> tuple[int, bytes]:
        """HTTP status and JSON-RPC response."""


class Runner:
    """Runs calls of one tool set."""

    def __init__(self, tools: ToolSet, streams: Streams, settings: McpSettings) -> None:
        self._tools = tools
        self._streams = streams
        self._settings = settings
        self._patience = Patience(settings.hold_after_seconds)

    async def run(self, exchange: Exchange, plan: Plan, begin: Begin, dialect: Dialect) -> None:
        """Run ``begin`` and answer the request, or nobody if nobody is left."""
        call = Running(exchange, self._streams, self._settings, self._tools.headers(plan.tool))
        try:
            outcome = await self._outcome(call, plan, begin, dialect)
            call.disarm()
            if outcome is not None:
                await call.answer(*dialect.write(call, exchange, plan, outcome))
                if isinstance(outcome, InputRequired):
                    await self._handed_over(call, outcome)
            elif call.why == "cancelled":
                await call.answer(200, None if call.stream else _cancelled(exchange))
        except Exception:
            if call.stream is None:
                raise  # the endpoint can still answer as it should
            call.disarm()
            log.exception("a held call could not be served")
            await call.answer(500, wire.error(exchange.request_id, wire.INTERNAL_ERROR, FAULT[0], FAULT[1]))
        finally:
            call.close()

    async def _outcome(self, call: Running, plan: Plan, begin: Begin, dialect: Dialect) -> Outcome | None:
        """What the call came to; None if nobody waits for it any more."""
        try:
            if plan.holds:
                call.may_wait(self._patience)
            outcome = await begin(call)
            while isinstance(outcome, InputRequired):
                settled = await dialect.converse(call, outcome)
                if settled is None:
                    break
                call.asked += 1
                outcome = await self._tools.resume(plan, call, outcome.state, settled)
        except asyncio.CancelledError:
            if not call.interrupted():
                raise
            if call.why != "stopping":
                return None
            return STOPPING if call.so_far is None else call.so_far()
        except (UnavailableError, UnknownOutcomeError):
            return UNAVAILABLE
        return outcome

    async def _handed_over(self, call: Running, outcome: InputRequired) -> None:
        """Abandon what a client was asked for that left before it could read the request."""
        if call.stream is not None:
            ending = await call.stream.wait_closed()
            if ending is not Ending.COMPLETE:
                self._tools.abandon(call.peer, tuple(outcome.requests))


def _cancelled(exchange: Exchange) -> bytes:
    return wire.error(exchange.request_id, wire.INTERNAL_ERROR, "The call was cancelled by its client.")


FAULT: Final = (
    "The hub could not serve this request.",
    {"code": "hub.fault", "try": "Look for `could not be served` in its log."},
)
STOPPING: Final = Fault(
    wire.INTERNAL_ERROR,
    "The hub is stopping.",
    {"code": "hub.stopping", "try": "Call again in a moment, with the same key if you gave one."},
    503,
)
UNAVAILABLE: Final = Fault(
    wire.INTERNAL_ERROR,
    "The hub cannot store anything right now, or does not know whether it did.",
    {"code": "hub.unavailable", "try": "Call again in a moment with the same key: it will not happen twice."},
    503,
)
