"""Runs one tool call and answers it, whichever era it came from: as JSON, or on a held event stream.

Rules
-----
1. Whoever calls ``Runner.run`` has nothing left to do: every outcome and every fault is answered there.
2. Nothing a tool took may get lost with its client: requests that were not answered are abandoned.

Not here: how a call is held and interrupted (``running``), what a message looks like in a revision (``handshake``,
``envelope``), what a tool does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol

from crossfade.engine.ports import UnavailableError, UnknownOutcomeError
from crossfade.inbound.asgi import Ending, Streams
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.running import Conditions, Patience, Running
from crossfade.inbound.mcp.seam import Complete, Fault, InputRequired, Outcome, Plan, Settled, ToolSet
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import ProtocolError
from crossfade.inbound.replies import Reply
from crossfade.inbound.strand import Work

log: Final = logging.getLogger("crossfade.mcp")

ERROR_STATUS: Final = {wire.METHOD_NOT_FOUND: 404, wire.INTERNAL_ERROR: 500}
"""HTTP status of a JSON-RPC error that is answered as JSON on 2026-07-28; 400 for the others."""

Begin = Callable[[Running], Awaitable[Outcome]]


class Dialect(Protocol):
    """What differs between the eras once a tool runs."""

    async def converse(self, call: Running, outcome: InputRequired) -> Mapping[str, Settled] | None:
        """Ask the client on this response and wait; None if the outcome itself goes to the client."""

    def write(self, call: Running, plan: Plan | None, outcome: Outcome) -> tuple[int, bytes]:
        """HTTP status and JSON-RPC response; ``InputRequired`` has a plan."""


class Runner:
    """Runs calls of one tool set."""

    def __init__(self, tools: ToolSet, streams: Streams, settings: McpSettings) -> None:
        self._tools = tools
        patience = Patience(settings.hold_after_seconds)
        self.conditions = Conditions(streams, patience, settings.progress_seconds, self)
        """Of every call that is run here."""
        self.running: dict[tuple[str, int | str], Running] = {}
        """Calls that can be cancelled by name."""

    def serve(self, call: Running, plan: Plan, dialect: Dialect) -> Work | None:
        """As ``run``, of a plan that receives; None: it is done, or goes on when what the call waits for is there."""
        if not call.reply.lasts:
            return self.run(call, plan, dialect)
        try:
            begun = self._tools.receive(plan, call)
        except Exception as fault:  # noqa: BLE001 - told to the client, and written down if it is a fault of ours
            self._tools.count(plan, call.peer, fault)
            return self.run(call, plan, dialect, partial(_raise, fault))
        if begun is None:
            return self.run(call, plan, dialect)
        call.plan, call.dialect = plan, dialect
        if plan.headers:
            call.headers = plan.headers
        if isinstance(begun, Complete | InputRequired | Fault):
            self._tools.count(plan, call.peer)
            return self._ended(call, begun)
        if call.name is not None:
            self.running[call.name] = call
        call.wait_for(begun)
        return None

    def look(self, call: Running) -> None:
        """As in ``running.Ends``."""
        waiting, plan = call.waiting, call.plan
        if waiting is None or plan is None:
            return  # it was interrupted since
        work: Work | None
        try:
            outcome = waiting.look()
            if outcome is None:
                return
            call.waiting = None
            self._tools.count(plan, call.peer)
            work = self._ended(call, outcome)
        except Exception as fault:  # noqa: BLE001 - as in ``serve``
            call.waiting = None
            waiting.leave()
            self._tools.count(plan, call.peer, fault)
            work = self.run(call, plan, call.dialect, partial(_raise, fault))
        if work is not None:
            call.reply.go_on(work)

    def interrupted(self, call: Running) -> None:
        """As in ``running.Ends``."""
        waiting, call.waiting = call.waiting, None
        assert waiting is not None
        waiting.leave()
        work = self._ended(call, waiting.so_far() if call.why == "stopping" else None)
        if work is not None:
            call.reply.go_on(work)

    def _ended(self, call: Running, outcome: Outcome | None) -> Work | None:
        """Answer a call for which nothing runs, with what it has come to; the work that is left of that."""
        plan, dialect = call.plan, call.dialect
        assert plan is not None
        if isinstance(outcome, InputRequired):
            return self.run(call, plan, dialect, partial(_ready, outcome))
        if call.armed:
            call.disarm()
        if outcome is None:
            if call.why == "cancelled":
                return self._answered(call, 200, None if call.opened else _cancelled(call))
            self._closed(call)
            return None
        status, body = dialect.write(call, plan, outcome)
        if not (call.plain and call.takes_stream):
            done = call.ends_bare(body)
        else:
            done = status == 200 and not call.headers and call.reply.at_once(body)
        if not done:
            return self._answered(call, status, body)
        if not call.plain:
            call.close()
        if call.name is not None:
            self.running.pop(call.name, None)
        return None

    async def _answered(self, call: Running, status: int, body: bytes | None) -> None:
        try:
            await call.answer(status, body)
        except Exception as error:  # noqa: BLE001 - as in ``run``
            await _failed(call, error)
        finally:
            self._closed(call)

    def _closed(self, call: Running) -> None:
        call.close()
        if call.name is not None:
            self.running.pop(call.name, None)

    async def run(self, call: Running, plan: Plan, dialect: Dialect, begin: Begin | None = None) -> None:
        """Run the tool (or ``begin``, if it was begun before) and answer the request, or nobody if nobody is left."""
        if plan.headers:
            call.headers = plan.headers
        name = call.name if plan.holds else None
        if name is not None:
            self.running[name] = call
        counted = begin is not None  # when it was begun
        outcome: Outcome | None
        try:
            try:
                if plan.holds and not call.armed:
                    call.may_wait()
                if begin is None:
                    outcome = await self._tools.call(plan, call)
                    self._tools.count(plan, call.peer)
                    counted = True
                else:
                    outcome = await begin(call)
                if isinstance(outcome, InputRequired):
                    outcome = await self._conversed(call, plan, outcome, dialect)
            except asyncio.CancelledError:
                if not call.interrupted():
                    raise
                outcome = _cut_short(call)
            except Exception as fault:
                if not counted:
                    self._tools.count(plan, call.peer, fault)
                if not isinstance(fault, UnavailableError | UnknownOutcomeError):
                    raise
                outcome = UNAVAILABLE
            if call.armed:
                call.disarm()
            if outcome is not None:
                status, body = dialect.write(call, plan, outcome)
                if not (status == 200 and call.plain and not call.headers and call.reply.at_once(body)):  # seldom
                    await call.answer(status, body)
                    if isinstance(outcome, InputRequired):
                        await self._handed_over(call, outcome)
            elif call.why == "cancelled":
                await call.answer(200, None if call.stream else _cancelled(call))
        except Exception as error:  # noqa: BLE001 - told to the client, and written down if it is a fault of ours
            await _failed(call, error)
        finally:
            if call.armed or not call.plain or call.plan is not None:
                call.close()
            if name is not None:
                self.running.pop(name, None)

    async def _conversed(self, call: Running, plan: Plan, outcome: Outcome, dialect: Dialect) -> Outcome:
        """What the call comes to once its client was asked, if that goes on this response."""
        while isinstance(outcome, InputRequired):
            settled = await dialect.converse(call, outcome)
            if settled is None:
                break
            call.asked += 1
            outcome = await self._tools.resume(plan, call, outcome.state, settled)
        return outcome

    async def _handed_over(self, call: Running, outcome: InputRequired) -> None:
        """Abandon what a client was asked for that left before it could read the request."""
        if call.stream is not None:
            ending = await call.stream.wait_closed()
            if ending is not Ending.COMPLETE:
                self._tools.abandon(call.peer, tuple(outcome.requests))


async def _ready(outcome: Outcome, _call: Running) -> Outcome:
    return outcome


async def _raise(fault: Exception, _call: Running) -> Outcome:
    raise fault


def _cut_short(call: Running) -> Outcome | None:
    """What a call that was interrupted comes to; None if nobody waits for it any more."""
    if call.why != "stopping":
        return None
    return STOPPING if call.so_far is None else call.so_far()


async def _failed(call: Running, error: Exception) -> None:
    """Answer a fault: as the status still tells it, or as the last message of a stream."""
    if not call.opened and call.stream is None:
        if isinstance(error, ProtocolError):
            error.request_id = error.request_id or wire.Raw(call.request_id)
        await refuse(call.reply, error)
        return
    call.disarm()
    log.error("a held call could not be served", exc_info=error)
    await call.answer(500, wire.error(wire.Raw(call.request_id), wire.INTERNAL_ERROR, FAULT[0], FAULT[1]))


async def refuse(reply: Reply, why: Exception) -> None:
    """Say what is wrong; the catch-all of the edge ends here."""
    match why:
        case ProtocolError():
            error = why
        case UnavailableError() | UnknownOutcomeError():
            error = _unavailable()
        case _:
            log.error("a request could not be served", exc_info=why)
            error = ProtocolError(500, wire.INTERNAL_ERROR, FAULT[0], FAULT[1])
    body = wire.error(error.request_id, error.code, error.message, error.data)
    await reply.whole(error.status, body, error.headers)


def _unavailable() -> ProtocolError:
    error = wire.fault(
        503,
        wire.INTERNAL_ERROR,
        "hub.unavailable",
        "The hub cannot store anything right now, or does not know whether it did.",
        "Send the same again in a moment: it will not happen twice.",
    )
    error.headers = ((b"retry-after", b"1"),)
    return error


def _cancelled(call: Running) -> bytes:
    return wire.error(wire.Raw(call.request_id), wire.INTERNAL_ERROR, "The call was cancelled by its client.")


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
