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
from typing import Final, Protocol

from crossfade.engine.ports import UnavailableError, UnknownOutcomeError
from crossfade.inbound.asgi import Ending, Streams
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.running import Conditions, Patience, Running
from crossfade.inbound.mcp.seam import Fault, InputRequired, Outcome, Plan, Settled, ToolSet
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import ProtocolError
from crossfade.inbound.replies import Reply

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
        self.conditions = Conditions(streams, Patience(settings.hold_after_seconds), settings.progress_seconds)
        """Of every call that is run here."""
        self.running: dict[tuple[str, int | str], Running] = {}
        """Calls that can be cancelled by name."""

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
                if plan.holds:
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
            if call.armed or not call.plain:
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


def _cut_short(call: Running) -> Outcome | None:
    """What a call that was interrupted comes to; None if nobody waits for it any more."""
    if call.why != "stopping":
        return None
    return STOPPING if call.so_far is None else call.so_far()


async def _failed(call: Running, error: Exception) -> None:
    """Answer a fault: as the status still tells it, or as the last message of a stream."""
    if call.stream is None:
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
