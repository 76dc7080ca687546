"""The ASGI app for ``/mcp``: lets a request in, finds its era, and answers whatever goes wrong.

Order: Host and Origin, method, credential, body, era. Every refusal is a JSON-RPC error whose data has
our stable code and what to do next.

A call that differs from the one before with the same head in nothing but its id and its arguments goes straight to its
tool: what the era found is kept with the head (docs/adr/0027). The credential and the session are looked at each time.

Not here: routing (it takes every path it is given), TLS, the server.
"""

from typing import Final

from crossfade.core.values import SECOND, Caller
from crossfade.engine.ports import Clock, Ids
from crossfade.inbound.asgi import ClientGoneError, Receive, Scope, Send, Streams
from crossfade.inbound.mcp import arrival, wire
from crossfade.inbound.mcp.calls import Runner, refuse
from crossfade.inbound.mcp.envelope import Envelope
from crossfade.inbound.mcp.handshake import Handshake
from crossfade.inbound.mcp.identity import Gatekeeper, Identities
from crossfade.inbound.mcp.running import Running
from crossfade.inbound.mcp.seal import Seals
from crossfade.inbound.mcp.seam import ToolSet
from crossfade.inbound.mcp.sessions import Sessions
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.wire import UNSET, ProtocolError, fault
from crossfade.inbound.replies import AsgiReply, Reply
from crossfade.inbound.strand import Work

METHODS: Final = (b"allow", b"POST, DELETE")
VERSION: Final = b"mcp-protocol-version"
TOUCH_SECONDS: Final = 0.2
"""A caller that calls and calls is noted as present this often; the shortest lease is a second."""
TOUCH: Final = int(TOUCH_SECONDS * SECOND)
ROUTINGS_MAX: Final = 64
"""Sets of headers that are kept once for all heads which have them."""
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
        self._tools, self._runner, self._sessions, self._clock = tools, runner, sessions, host.clock
        self._authenticate = hub.authenticate
        self._routings: dict[tuple[tuple[bytes, bytes], ...], dict[bytes, bytes]] = {}
        self._identities = Identities(hub)
        self._handshake = Handshake(tools, runner, self._identities, sessions, settings)
        self._envelope = Envelope(tools, runner, self._identities, seals, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        reply = AsgiReply(scope, receive, send)
        try:
            call = await self._request(reply)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 - as in `_anew`
            await refuse(reply, error)
            return
        if call is not None:
            await call

    def remember(self, scope: Scope) -> arrival.Head | None:
        """As in ``Front``."""
        try:
            self._check_door(scope)
            head = arrival.read_head(scope)
            self._identities.known(head.token)  # a stranger is told so before his body is read, as by ``__call__``
            arrival.check_types(scope)
        except ProtocolError:
            return None
        head.routing = self._shared(head.routing)
        return head

    def _shared(self, routing: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """The same headers as the one dictionary of them: they differ little from agent to agent."""
        of_session, known = arrival.SESSION in routing, self._routings
        if of_session or len(known) >= ROUTINGS_MAX:
            return routing if of_session else known.get(tuple(routing.items()), routing)
        return known.setdefault(tuple(routing.items()), routing)

    def serve(self, head: object, body: bytes, reply: Reply) -> Work | None:
        """As in ``Front``: what ``__call__`` does, from where the headers have been read.

        Goes straight to the tool if nothing but the id and the arguments is new.
        """
        assert isinstance(head, arrival.Head)
        standing = head.standing
        if standing is None or self._authenticate(head.token or "") is not standing.known:
            return self._anew(head, body, reply)
        given = self._tools.read(body) if len(body) <= self._settings.body_bytes else None
        if given is None or given.meta != standing.meta or standing.tool not in ("", given.plan.tool):
            return self._anew(head, body, reply)
        now, session = self._clock.now(), standing.session
        if session is not None and not self._sessions.good(session, now):
            return self._anew(head, body, reply)
        if now - standing.touched_at >= TOUCH:
            standing.touched_at = now
            self._identities.touch(standing.peer.caller, native=standing.native)
        number = given.request_id
        call = Running(
            self._runner.conditions,
            reply,
            wire.encode(number),
            standing.peer,
            head.takes_stream,
            session is None or head.takes_stream,
            None,
            body if standing.peer.capabilities else b"",
            None if session is None else (session.session, number),
        )
        run = self._runner.serve if given.plan.receives else self._runner.run
        return run(call, given.plan, standing.dialect)

    async def _anew(self, head: arrival.Head, body: bytes, reply: Reply) -> Work | None:
        try:
            known = self._identities.known(head.token)
            arrival.check_size(body, self._settings.body_bytes)
            return await self._dispatched(head, body, reply, known)
        except Exception as error:  # noqa: BLE001 - told to the client, and written down if it is a fault of ours
            await refuse(reply, error)
            return None

    async def _dispatched(self, head: arrival.Head, body: bytes, reply: Reply, known: Caller | None) -> Work | None:
        head.standing = None
        arrived = arrival.Arrival(reply, head, wire.decode(body), body, self._clock.now())
        return await self._era(arrived).handle(arrived, known)

    async def _request(self, reply: Reply) -> Work | None:
        scope = reply.scope
        self._check_door(scope)
        head = arrival.read_head(scope)
        known = self._identities.known(head.token)
        if scope["method"] == "POST":
            arrival.check_types(scope)
            body = await arrival.read(reply.receive, self._settings.body_bytes)
            return await self._dispatched(head, body, reply, known)
        if scope["method"] == "DELETE" and head.routing.get(VERSION, b"").decode("latin-1") not in wire.ENVELOPE:
            await self._handshake.end(head, known)
            await reply.send({"type": "http.response.start", "status": 204, "headers": []})
            await reply.send({"type": "http.response.body", "body": b"", "more_body": False})
            return None
        raise _wrong_method(scope["method"])

    def _era(self, arrived: arrival.Arrival) -> Envelope | Handshake:
        return self._envelope if _self_contained(arrived) else self._handshake

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
