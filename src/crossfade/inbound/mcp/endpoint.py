"""The ASGI app for ``/mcp``: lets a request in, finds its era, and answers whatever goes wrong.

Order: Host and Origin, method, credential, body, era. Every refusal is a JSON-RPC error whose data has
our stable code and what to do next.

Not here: routing (it takes every path it is given), TLS, the server.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from crossfade.core.values import Caller
from crossfade.engine.ports import Clock, Ids, UnavailableError, UnknownOutcomeError
from crossfade.inbound.asgi import ClientGoneError, Receive, Scope, Send, Streams
from crossfade.inbound.mcp import arrival, wire
from crossfade.inbound.mcp.calls import FAULT, Runner
from crossfade.inbound.mcp.envelope import Envelope
from crossfade.inbound.mcp.handshake import Handshake
from crossfade.inbound.mcp.identity import Gatekeeper, Identities
from crossfade.inbound.mcp.seal import Seals
from crossfade.inbound.mcp.seam import ToolSet
from crossfade.inbound.mcp.sessions import Sessions
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import UNSET, ProtocolError, fault
from crossfade.inbound.replies import AsgiReply, Reply

log: Final = logging.getLogger("crossfade.mcp")

METHODS: Final = (b"allow", b"POST, DELETE")
VERSION: Final = b"mcp-protocol-version"
DOOR_STATUS: Final = {"http.wrong_host": 421, "http.bad_origin": 403}


class Host:
    """What an endpoint takes from the process it runs in."""

    def __init__(self, clock: Clock, ids: Ids, seal_key: bytes, streams: Streams) -> None:
        self.clock = clock
        self.ids = ids
        self.seal_key = seal_key
        """At least 32 secret bytes, the same on every replica and after a restart."""
        self.streams = streams


class McpEndpoint:
    """One endpoint: a tool set, reachable with every revision that has Streamable HTTP. An ASGI app and a ``Front``."""

    target = b"/mcp"

    def __init__(self, hub: Gatekeeper, tools: ToolSet, host: Host, settings: McpSettings | None = None) -> None:
        settings = settings or McpSettings()
        if len(host.seal_key) < 32:
            raise ValueError("seal_key needs at least 32 bytes")
        runner = Runner(tools, host.streams, settings)
        sessions = Sessions(host.seal_key, host.clock, host.ids, seconds=settings.session_seconds)
        seals = Seals(host.seal_key, host.clock, host.ids, seconds=settings.state_seconds)
        self._settings = settings
        self._identities = Identities(hub)
        self._handshake = Handshake(tools, runner, self._identities, sessions, settings)
        self._envelope = Envelope(tools, runner, self._identities, seals, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        await self._answered(AsgiReply(scope, receive, send), self._request)

    def remember(self, scope: Scope) -> arrival.Head | None:
        """As in ``Front``."""
        try:
            self._check_door(scope)
            head = arrival.read_head(scope)
            arrival.check_types(scope)
        except ProtocolError:
            return None
        return head

    def serve(self, head: object, body: bytes, reply: Reply) -> Coroutine[Any, Any, None]:
        """As in ``Front``: what ``__call__`` does, from where the headers have been read."""
        assert isinstance(head, arrival.Head)
        return self._answered(reply, partial(self._repeated, head, body))

    async def _answered(self, reply: Reply, work: Callable[[Reply], Awaitable[None]]) -> None:
        try:
            await work(reply)
        except ProtocolError as error:
            await _answer(reply, error)
        except ClientGoneError:
            return
        except (UnavailableError, UnknownOutcomeError):
            await _answer(reply, _unavailable())
        except Exception:
            log.exception("a request could not be served")
            await _answer(reply, _internal())

    async def _request(self, reply: Reply) -> None:
        scope = reply.scope
        self._check_door(scope)
        head = arrival.read_head(scope)
        known = self._identities.known(head.token)
        if scope["method"] == "POST":
            arrival.check_types(scope)
            await self._post(head, known, await arrival.read(reply.receive, self._settings.body_bytes), reply)
        elif scope["method"] == "DELETE" and head.routing.get(VERSION, b"").decode("latin-1") not in wire.ENVELOPE:
            await self._handshake.end(head, known)
            await reply.send({"type": "http.response.start", "status": 204, "headers": []})
            await reply.send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            raise _wrong_method(scope["method"])

    async def _repeated(self, head: arrival.Head, body: bytes, reply: Reply) -> None:
        known = self._identities.known(head.token)
        if len(body) > self._settings.body_bytes:
            raise arrival.too_large(self._settings.body_bytes)
        await self._post(head, known, body, reply)

    async def _post(self, head: arrival.Head, known: Caller | None, body: bytes, reply: Reply) -> None:
        arrived = arrival.Arrival(reply, head, wire.decode(body))
        era = self._envelope if _self_contained(arrived) else self._handshake
        await era.handle(arrived, known)

    def _check_door(self, scope: Scope) -> None:
        refusal = self._settings.door.check(scope)
        if refusal is not None:
            status = DOOR_STATUS.get(refusal.code, 403)
            raise fault(status, wire.INVALID_REQUEST, refusal.code, refusal.message, refusal.hint)


def _self_contained(arrived: arrival.Arrival) -> bool:
    """Whether a request belongs to 2026-07-28 or to a revision that we do not know yet."""
    meta = arrived.message.params.meta
    if not isinstance(meta, wire.Unset) and meta.revision is not UNSET:
        return True
    version = arrived.head.routing.get(VERSION)
    return version is not None and version.decode("latin-1").strip() not in wire.HANDSHAKE


def _wrong_method(method: str) -> ProtocolError:
    error = fault(
        405,
        wire.INVALID_REQUEST,
        "http.method",
        f"{method} means nothing here.",
        "Send messages with POST; end a session with DELETE.",
    )
    error.headers = (METHODS,)
    return error


def _unavailable() -> ProtocolError:
    error = fault(
        503,
        wire.INTERNAL_ERROR,
        "hub.unavailable",
        "The hub cannot store anything right now, or does not know whether it did.",
        "Send the same again in a moment: it will not happen twice.",
    )
    error.headers = ((b"retry-after", b"1"),)
    return error


def _internal() -> ProtocolError:
    return ProtocolError(500, wire.INTERNAL_ERROR, FAULT[0], FAULT[1])


async def _answer(reply: Reply, error: ProtocolError) -> None:
    body = wire.error(error.request_id, error.code, error.message, error.data)
    await reply.whole(error.status, body, error.headers)
