"""Revisions 2025-03-26 to 2025-11-25: ``initialize``, a session id on every request, questions on open streams.

Elicitation here is a request from us to the client, on the stream of the call that it belongs to; the
client answers with a POST of its own, which may reach any connection and any replica. Its id is the key
of the request (a question's id), so it needs no table to be understood: the tool set settles it, durably,
before the 202. Only waking the call that waits is local.

Source: MCP 2025-11-25 "Lifecycle", "Transports", "Elicitation". Losing the connection is no cancellation
there, but nothing could reach the client any more: what waits ends, and loses nothing by it.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from crossfade.core.values import Caller
from crossfade.inbound.mcp import results, wire
from crossfade.inbound.mcp.arrival import Arrival, Head, Standing
from crossfade.inbound.mcp.calls import Runner
from crossfade.inbound.mcp.identity import Identities
from crossfade.inbound.mcp.running import Running
from crossfade.inbound.mcp.seam import (
    FORM,
    Complete,
    Fault,
    InputRequired,
    Outcome,
    Peer,
    Plan,
    Reply,
    Settled,
    ToolSet,
)
from crossfade.inbound.mcp.sessions import Session, Sessions
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import UNSET, fault
from crossfade.inbound.strand import Work

SESSION_ID: Final = b"mcp-session-id"
VERSION: Final = b"mcp-protocol-version"
CLIENT_MAX: Final = 64
"""Characters of a client's name that its session keeps."""


class Handshake:
    """The era of sessions."""

    def __init__(
        self, tools: ToolSet, runner: Runner, identities: Identities, sessions: Sessions, settings: McpSettings
    ) -> None:
        self._tools = tools
        self._runner = runner
        self._identities = identities
        self._sessions = sessions
        self._settings = settings
        self._answers = results.Answers(settings.version, tools.instructions)
        self._awaited: dict[tuple[str, str], asyncio.Future[Settled]] = {}
        self._settling: set[tuple[str, str]] = set()
        """Requests whose reply is being taken: their end is no surprise to the client."""

    # --- what comes in

    async def handle(self, arrival: Arrival, known: Caller | None) -> Work | None:
        """Answer one POST, or come back with the call that will. ``known`` is who the credential names, if any."""
        message = arrival.message
        if message.method == "initialize" and message.id is not UNSET:
            await self._initialize(arrival, known, wire.encode_id(message.id))
            return None
        session = self._session(arrival.head)
        peer = await self._peer(session, known, arrival.head)
        if message.method == "tools/call" and not isinstance(message.id, wire.Unset):
            self._stands(arrival, peer, session, known)
            return await self._call(arrival, peer, session, message.id)
        if message.id is UNSET:
            self._notified(session, message)
            await _accepted(arrival)
        elif message.method is UNSET:
            await self._replied(peer, message)
            await _accepted(arrival)
        else:
            await self._request(arrival)
        return None

    async def end(self, head: Head, known: Caller | None) -> None:
        """DELETE: the client is done with its session. Raises ProtocolError if it has none."""
        session = self._session(head)
        await self._peer(session, known, None)
        self._sessions.end(session)

    async def _initialize(self, arrival: Arrival, known: Caller | None, request_id: wire.Raw) -> None:
        params = arrival.message.params
        asked = params.protocol_version
        revision = asked if asked in wire.HANDSHAKE else wire.LATEST_HANDSHAKE
        capabilities = wire.capabilities(params.capabilities)
        client = params.client.name[:CLIENT_MAX]
        caller = await self._identities.caller(known, client)
        session = self._sessions.begin(caller.name, revision, client, capabilities)
        self._identities.touch(caller, native=arrival.head.takes_stream and _native(revision, capabilities))
        body = wire.result(request_id, self._answers.initialize(revision))
        await arrival.reply.whole(200, body, ((SESSION_ID, session),))

    def _session(self, head: Head) -> Session:
        session_id = head.routing.get(SESSION_ID)
        if session_id is None:
            raise fault(
                400,
                wire.INVALID_REQUEST,
                "session.missing",
                "The request belongs to no session.",
                "Send `initialize` first, then its Mcp-Session-Id with every request.",
            )
        session = self._sessions.read(session_id)
        if session is None:
            raise _unknown_session()
        version = head.routing.get(VERSION)
        if version is not None and version.decode("latin-1").strip() != session.revision:
            raise fault(
                400,
                wire.INVALID_REQUEST,
                "version.mismatch",
                f"This session speaks {session.revision}.",
                f"Send `MCP-Protocol-Version: {session.revision}`.",
            )
        return session

    async def _peer(self, session: Session, known: Caller | None, head: Head | None) -> Peer:
        """Who calls in the session; ``head`` is that of a request which may carry questions."""
        caller = await self._identities.caller(known, session.client)
        if caller.name != session.principal:
            raise _unknown_session()
        peer = Peer(caller=caller, revision=session.revision, capabilities=frozenset(session.capabilities))
        takes_stream = head is not None and head.takes_stream
        self._identities.touch(caller, native=takes_stream and _native(session.revision, peer.capabilities))
        return peer

    def _stands(self, arrival: Arrival, peer: Peer, session: Session, known: Caller | None) -> None:
        """Keep with the head what was found, unless the caller is a guest, or the message says more than its like."""
        given = None if known is None else self._tools.read(arrival.body)
        if known is not None and given is not None:
            native = arrival.head.takes_stream and _native(session.revision, peer.capabilities)
            standing = Standing(self, known, peer, native=native, touched_at=arrival.at)
            standing.session, standing.meta = session, given.meta
            arrival.head.standing = standing

    def _notified(self, session: Session, message: wire.Message) -> None:
        cancelled = message.params.request_id
        if message.method == "notifications/cancelled" and cancelled is not UNSET:
            running = self._runner.running.get((session.session, cancelled))
            if running is not None:
                running.interrupt("cancelled")

    async def _replied(self, peer: Peer, message: wire.Message) -> None:
        """A response of the client: settle it wherever it belongs, and wake the call if it is held here."""
        if not isinstance(message.id, str):
            return
        result = message.result
        reply = Reply(None if isinstance(result, wire.Unset) or not wire.is_object(result) else result)
        name = (peer.caller.name, message.id)
        self._settling.add(name)
        try:
            settled = await self._tools.settle(peer, message.id, reply)
        finally:
            self._settling.discard(name)
        waiting = self._awaited.get(name)
        if waiting is not None and not waiting.done():
            waiting.set_result(settled)

    # --- requests

    async def _request(self, arrival: Arrival) -> None:
        message = arrival.message
        assert not isinstance(message.id, wire.Unset)
        request_id = wire.encode_id(message.id)
        if message.method == "tools/list":
            body = wire.result(request_id, self._answers.tools_before_2026(self._tools.listed()))
            await arrival.reply.whole(200, body)
        elif message.method == "ping":
            await arrival.reply.whole(200, wire.result(request_id, b"{}"))
        else:
            body = wire.error(
                request_id, wire.METHOD_NOT_FOUND, f"There is no method {str(message.method)[: wire.SHOWN_MAX]!r}."
            )
            await arrival.reply.whole(200, body)

    async def _call(self, arrival: Arrival, peer: Peer, session: Session, number: int | str) -> Work | None:
        params = arrival.message.params
        request_id = wire.encode(number)
        token = None if isinstance(params.meta, wire.Unset) else params.meta.progress_token
        takes_stream, name = arrival.head.takes_stream, (session.session, number)
        conditions = self._runner.conditions
        call = Running(conditions, arrival.reply, request_id, peer, takes_stream, takes_stream, token, b"", name)
        plan = self._plan(params)
        if isinstance(plan, Plan):
            return self._runner.serve(call, plan, self) if plan.receives else self._runner.run(call, plan, self)
        await arrival.reply.whole(*self.write(call, None, plan))
        return None

    def _plan(self, params: wire.Params) -> Plan | Complete | Fault:
        if isinstance(params.name, wire.Unset):
            return Fault(wire.INVALID_PARAMS, "tools/call needs the name of a tool.")
        return self._tools.plan(params.name, params.arguments)

    # --- the dialect

    async def converse(self, call: Running, outcome: InputRequired) -> Mapping[str, Settled]:
        """Ask on the call's own stream; gives what came back in time."""
        await call.hold()
        loop = asyncio.get_running_loop()
        principal = call.peer.caller.name
        waiting: dict[str, asyncio.Future[Settled]] = {}
        for key, request in outcome.requests.items():
            waiting[key] = self._awaited[principal, key] = loop.create_future()
            call.push(wire.request(key, request.method, request.params))
        watchers = [loop.create_task(self._overtake(call, key, future)) for key, future in waiting.items()]
        try:
            await asyncio.wait(waiting.values(), timeout=self._left_seconds(call))
        except asyncio.CancelledError:
            self._tools.abandon(call.peer, [key for key, future in waiting.items() if not future.done()])
            raise
        finally:
            for watcher in watchers:
                watcher.cancel()
            for key in waiting:
                self._awaited.pop((principal, key), None)
        return {key: future.result() for key, future in waiting.items() if future.done() and not future.cancelled()}

    async def _overtake(self, call: Running, key: str, future: asyncio.Future[Settled]) -> None:
        """Stop waiting for a reply that nobody needs any more, and tell the client to close its form."""
        await self._tools.overtaken(call.peer, key)
        if not future.done() and (call.peer.caller.name, key) not in self._settling:
            call.notify("notifications/cancelled", {"requestId": key, "reason": "It was settled another way."})
            future.cancel()

    def _left_seconds(self, call: Running) -> float:
        settings = self._settings
        patient = call.patient or call.peer.caller.faces_person
        whole_seconds = settings.reply_patient_seconds if patient else settings.reply_seconds
        spent_seconds = asyncio.get_running_loop().time() - call.started_at
        return max(0.0, whole_seconds - spent_seconds)

    def write(self, call: Running, plan: Plan | None, outcome: Outcome) -> tuple[int, bytes]:
        """As in ``calls.Dialect``."""
        request_id = call.request_id
        if isinstance(outcome, Complete):
            return 200, b'{"jsonrpc":"2.0","id":%b,"result":{%b}}' % (request_id, outcome.told)
        assert isinstance(outcome, Fault), "converse answers every InputRequired"
        return outcome.status or 200, results.fault(request_id, outcome)


def _native(revision: str, capabilities: frozenset[str]) -> bool:
    return revision in wire.ELICITING and FORM in capabilities


def _unknown_session() -> wire.ProtocolError:
    return fault(
        404,
        wire.INVALID_REQUEST,
        "session.unknown",
        "There is no such session, or it is over.",
        "Send `initialize` again.",
    )


async def _accepted(arrival: Arrival) -> None:
    await arrival.reply.send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await arrival.reply.send({"type": "http.response.body", "body": b"", "more_body": False})
