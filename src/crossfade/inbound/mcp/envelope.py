"""Revision 2026-07-28: no handshake, no session; every request says all about itself, and so may land anywhere.

Elicitation here is a result that says what is missing; the client comes back with it and with our sealed
state. The stream of a request is the request: when the client closes it, the call is cancelled.

Source: MCP 2026-07-28 "Base protocol", "Transports" (mirrored headers), "Multi round-trip requests".
"""

import base64
import binascii
from collections.abc import Awaitable
from sys import intern
from typing import Final

import msgspec

from crossfade.core.values import Caller, Instant
from crossfade.inbound.mcp import results, wire
from crossfade.inbound.mcp.arrival import Arrival, Standing
from crossfade.inbound.mcp.calls import ERROR_STATUS, Runner
from crossfade.inbound.mcp.identity import Identities
from crossfade.inbound.mcp.running import Running
from crossfade.inbound.mcp.seal import Binding, BrokenSealError, Sealed, Seals
from crossfade.inbound.mcp.seam import FORM, Complete, Fault, InputRequired, Outcome, Peer, Plan, Reply, ToolSet
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import UNSET, ProtocolError, fault
from crossfade.inbound.strand import Work

VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
_PREFIX: Final = "=?base64?"
_SUFFIX: Final = "?="
METAS_MAX: Final = 64
META_BYTES: Final = 1_024
"""Of what clients say of themselves, how much is kept once for all: so many, each at most so long."""
_FIRST_ROUND: Final = Sealed((), b"", 0, Instant(0))


class Envelope:
    """The era of self-contained requests."""

    def __init__(
        self, tools: ToolSet, runner: Runner, identities: Identities, seals: Seals, settings: McpSettings
    ) -> None:
        self._tools = tools
        self._runner = runner
        self._identities = identities
        self._seals = seals
        self._answers = results.Answers(settings.version, tools.instructions)
        self._metas: dict[bytes, bytes] = {}

    async def handle(self, arrival: Arrival, known: Caller | None) -> Work | None:
        """Answer one POST, or come back with the call that will: it may wait. Raises ProtocolError."""
        message = arrival.message
        if isinstance(message.id, wire.Unset):
            await self._notified(arrival)
            return None
        request_id = wire.encode_id(message.id)
        try:
            return await self._request(arrival, known, request_id)
        except ProtocolError as error:
            error.request_id = error.request_id or request_id
            raise

    async def _notified(self, arrival: Arrival) -> None:
        """The revision has no notifications over HTTP; those that come are taken note of and dropped."""
        _supported(arrival.head.routing.get(VERSION, b"").decode("latin-1").strip())
        await arrival.reply.send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await arrival.reply.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _request(self, arrival: Arrival, known: Caller | None, request_id: wire.Raw) -> Work | None:
        message = arrival.message
        if message.method is UNSET:
            raise fault(
                400,
                wire.INVALID_REQUEST,
                "jsonrpc.invalid",
                "A response was sent where a request is due.",
                "Answer by calling again with inputResponses.",
            )
        meta, revision = _check(arrival)
        if message.method == "server/discover":
            await arrival.reply.whole(200, wire.result(request_id, self._answers.discover))
        elif message.method == "tools/list":
            await self._identities.caller(known, meta.client.name[: wire.SHOWN_MAX] if meta.client else "")
            body = wire.result(request_id, self._answers.tools(self._tools.listed()))
            await arrival.reply.whole(200, body)
        elif message.method == "tools/call":
            peer = await self._peer(meta, revision, known)
            self._stands(arrival, peer, known)
            return await self._call(arrival, peer, bytes(request_id))
        else:
            raise ProtocolError(
                404, wire.METHOD_NOT_FOUND, f"There is no method {str(message.method)[: wire.SHOWN_MAX]!r}."
            )
        return None

    async def _peer(self, meta: wire.Meta, revision: str, known: Caller | None) -> Peer:
        client = meta.client.name[: wire.SHOWN_MAX] if meta.client else ""
        capabilities = wire.capabilities(meta.capabilities)
        caller = await self._identities.caller(known, client)
        self._identities.touch(caller, native=FORM in capabilities)
        return Peer(caller=caller, revision=revision, capabilities=capabilities)

    def _stands(self, arrival: Arrival, peer: Peer, known: Caller | None) -> None:
        """Keep with the head what was found, unless the caller is a guest, or the message says more than its like."""
        given = None if known is None else self._tools.read(arrival.body)
        if known is not None and given is not None:
            native = FORM in peer.capabilities
            standing = Standing(self, known, peer, native=native, touched_at=arrival.at)
            standing.tool, standing.meta = given.plan.tool, self._shared(given.meta)
            arrival.head.standing = standing

    def _shared(self, meta: bytes) -> bytes:
        """The same bytes as the one object of them: agents of one program say the same of themselves."""
        known = self._metas
        if len(known) >= METAS_MAX or len(meta) > META_BYTES:
            return known.get(meta, meta)
        return known.setdefault(meta, meta)

    # --- calls

    async def _call(self, arrival: Arrival, peer: Peer, request_id: bytes) -> Work | None:
        params = arrival.message.params
        if isinstance(params.name, wire.Unset):
            raise ProtocolError(400, wire.INVALID_PARAMS, "tools/call needs the name of a tool.")
        token = None if isinstance(params.meta, wire.Unset) else params.meta.progress_token
        takes_stream = arrival.head.takes_stream
        conditions = self._runner.conditions
        body = arrival.body if peer.capabilities else b""
        call = Running(conditions, arrival.reply, request_id, peer, takes_stream, True, token, body)
        plan = self._tools.plan(params.name, params.arguments)
        if not isinstance(plan, Plan):
            await arrival.reply.whole(*self.write(call, None, plan))
            return None
        opened = self._opened(params, peer, plan)
        replies = _replies(params, opened)

        if replies is None:
            return self._runner.serve(call, plan, self) if plan.receives else self._runner.run(call, plan, self)

        def begin(call: Running) -> Awaitable[Outcome]:
            call.asked = opened.round
            return self._resume(plan, call, opened.state, replies)

        return self._runner.run(call, plan, self, begin)

    async def _resume(self, plan: Plan, call: Running, state: bytes, replies: dict[str, Reply]) -> Outcome:
        settled = {key: await self._tools.settle(call.peer, key, reply) for key, reply in replies.items()}
        return await self._tools.resume(plan, call, state, settled)

    def _opened(self, params: wire.Params, peer: Peer, plan: Plan) -> Sealed:
        if isinstance(params.request_state, wire.Unset):
            if params.input_responses is not UNSET and self._tools.needs_state:
                raise fault(
                    400,
                    wire.INVALID_PARAMS,
                    "state.missing",
                    "inputResponses came without requestState.",
                    "Send back the requestState that asked for them.",
                )
            return _FIRST_ROUND
        try:
            return self._seals.open(params.request_state, Binding(peer.caller.name, plan.tool, params.arguments))
        except BrokenSealError:
            raise fault(
                400,
                wire.INVALID_PARAMS,
                "state.invalid",
                "requestState is not of this call, or too old.",
                "Call again without requestState and inputResponses.",
            ) from None

    # --- the dialect

    async def converse(self, call: Running, outcome: InputRequired) -> None:
        """Nothing is asked on the stream: the outcome itself goes to the client."""

    def write(self, call: Running, plan: Plan | None, outcome: Outcome) -> tuple[int, bytes]:
        """As in ``calls.Dialect``."""
        if isinstance(outcome, Complete):
            return 200, self._answers.call(call.request_id, outcome)
        if isinstance(outcome, Fault):
            status = outcome.status or ERROR_STATUS.get(outcome.code, 400)
            return status, results.fault(call.request_id, outcome)
        assert plan is not None
        arguments = wire.decode(call.body).params.arguments
        binding = Binding(call.peer.caller.name, plan.tool, arguments)
        keys = tuple(outcome.requests)
        state = self._seals.seal(keys, outcome.state, call.asked + 1, binding)
        return 200, wire.result(wire.Raw(call.request_id), self._answers.input_required(dict(outcome.requests), state))


def _replies(params: wire.Params, opened: Sealed) -> dict[str, Reply] | None:
    """What came back, of what was asked for; None if this is the first round."""
    if isinstance(params.input_responses, wire.Unset):
        return {} if opened.round else None
    for key, result in params.input_responses.items():
        if not wire.is_object(result):
            raise fault(
                400,
                wire.INVALID_PARAMS,
                "params.invalid",
                f"inputResponses[{key[: wire.SHOWN_MAX]!r}] must be an object.",
                "Send the client's result as it is.",
            )
    wanted = opened.keys if opened.round else tuple(params.input_responses)
    return {key: Reply(params.input_responses[key]) for key in wanted if key in params.input_responses}


def _check(arrival: Arrival) -> tuple[wire.Meta, str]:
    """The envelope and its revision, once headers and body agree. Raises ProtocolError, first fault first."""
    message = arrival.message
    meta = message.params.meta
    if isinstance(meta, wire.Unset) or meta.revision is UNSET or meta.capabilities is UNSET:
        raise fault(
            400,
            wire.INVALID_PARAMS,
            "envelope.missing",
            "params._meta lacks the protocol version or the client's capabilities.",
            "Send both with every request.",
        )
    revision = _text(meta.revision)
    headers = arrival.head.routing
    if revision is None or headers.get(VERSION, b"").decode("latin-1").strip() != revision:
        raise _mismatch("MCP-Protocol-Version", "the protocol version in _meta")
    if headers.get(METHOD, b"").decode("latin-1").strip() != message.method:
        raise _mismatch("Mcp-Method", "the method")
    if (
        message.method == "tools/call"
        and message.params.name is not UNSET
        and decode_header(headers.get(NAME)) != message.params.name
    ):
        raise _mismatch("Mcp-Name", "params.name")
    _supported(revision)
    return meta, intern(revision)


def _text(value: wire.Raw | wire.Unset) -> str | None:
    decoded = None if isinstance(value, wire.Unset) else msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else None


def _mismatch(header: str, what: str) -> ProtocolError:
    return fault(
        400,
        wire.HEADER_MISMATCH,
        "header.mismatch",
        f"The header {header} is not the same as {what}.",
        "Send both, and the same.",
    )


def _supported(revision: str) -> None:
    if revision not in wire.ENVELOPE:
        raise ProtocolError(
            400,
            wire.UNSUPPORTED_VERSION,
            "Unsupported protocol version.",
            {"supported": list(wire.ENVELOPE), "requested": revision},
        )


def decode_header(value: bytes | None) -> str | None:
    """A header's text, without the whitespace around it and with ``=?base64?…?=`` decoded; None if it is broken."""
    if value is None:
        return None
    text = value.decode("latin-1").strip(" \t")
    if not (text.startswith(_PREFIX) and text.endswith(_SUFFIX)):
        return text
    coded = text[len(_PREFIX) : -len(_SUFFIX)]
    try:
        decoded = base64.b64decode(coded, validate=True)
        canonical = base64.b64encode(decoded).decode() == coded
        return decoded.decode() if canonical else None
    except (binascii.Error, UnicodeDecodeError):
        return None
