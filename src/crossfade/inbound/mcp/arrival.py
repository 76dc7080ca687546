"""One POST as it arrived: its headers and its message, checked as far as no revision matters.

What was found out about a head is kept with it (``Standing``), for the calls that repeat it.
"""

from typing import Final

import msgspec

from crossfade.core.values import Caller, Instant
from crossfade.inbound.asgi import BodyTooLargeError, Receive, Scope, read_body
from crossfade.inbound.auth import bearer
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.calls import Dialect
from crossfade.inbound.mcp.seam import Peer
from crossfade.inbound.mcp.sessions import Session
from crossfade.inbound.mcp.wire import ProtocolError, fault
from crossfade.inbound.replies import Reply

SESSION: Final = b"mcp-session-id"
ROUTING: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", SESSION)
"""Headers that must not be there twice: two readers would believe different copies."""


class Head:
    """What the headers of a request say. The same for every request that repeats them."""

    __slots__ = ("routing", "standing", "takes_stream", "token")

    def __init__(self, routing: dict[bytes, bytes], token: str | None, *, takes_stream: bool) -> None:
        self.routing = routing
        """Those of ROUTING that were sent."""
        self.token = token
        """The bearer token; empty if the Authorization header is none; None without one."""
        self.takes_stream = takes_stream
        self.standing: Standing | None = None
        """What the last call with this head was found to be."""


class Standing:
    """Who calls with a head, and what that call says besides its arguments: checked, and good for its like."""

    __slots__ = ("dialect", "known", "meta", "native", "peer", "session", "tool", "touched_at")

    def __init__(self, dialect: Dialect, known: Caller, peer: Peer, *, native: bool, touched_at: Instant) -> None:
        self.dialect = dialect
        self.known = known
        """Whom the credential named."""
        self.peer = peer
        self.native = native
        """Its client can be asked."""
        self.touched_at = touched_at
        """When the hub was last told that the caller is there."""
        self.session: Session | None = None
        self.tool = ""
        """The only tool that fits the headers; empty: they do not name one."""
        self.meta = b""


class Arrival(msgspec.Struct, frozen=True):
    """What an era gets to see."""

    reply: Reply
    head: Head
    message: wire.Message
    body: bytes
    """The message as it came."""
    at: Instant


def read_head(scope: Scope) -> Head:
    """What the headers say. Raises ProtocolError if one that decides something is there twice."""
    pairs = scope["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        for name in ROUTING:
            if names.count(name) > 1:
                raise _header(name, "is there more than once", "Send it once.")
    accept = headers.get(b"accept", b"*/*")
    return Head(
        {name: headers[name] for name in ROUTING if name in headers},
        None if b"authorization" not in headers else bearer(scope) or "",
        takes_stream=b"*/*" in accept or b"text/event-stream" in accept,
    )


def _header(name: bytes, what: str, hint: str) -> ProtocolError:
    return fault(400, wire.HEADER_MISMATCH, "header.mismatch", f"The header {name.decode()} {what}.", hint)


def check_types(scope: Scope) -> None:
    """Raise ProtocolError unless the client sends JSON and takes it."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    accept = headers.get(b"accept", b"*/*")
    if b"*/*" not in accept and b"application/json" not in accept:
        raise fault(
            406,
            wire.INVALID_REQUEST,
            "http.not_acceptable",
            "The client does not accept JSON.",
            "Send `Accept: application/json, text/event-stream`.",
        )
    kind = headers.get(b"content-type", b"application/json")
    if not kind.lower().startswith(b"application/json"):
        raise fault(
            415,
            wire.INVALID_REQUEST,
            "http.not_json",
            "The body is not declared as JSON.",
            "Send `Content-Type: application/json`.",
        )


async def read(receive: Receive, body_bytes: int) -> bytes:
    """The body. Raises ProtocolError; ClientGoneError when the client left."""
    try:
        return await read_body(receive, body_bytes)
    except BodyTooLargeError:
        raise _too_large(body_bytes) from None


def check_size(body: bytes, body_bytes: int) -> None:
    """Raise ProtocolError for a body of more than ``body_bytes``."""
    if len(body) > body_bytes:
        raise _too_large(body_bytes)


def _too_large(body_bytes: int) -> ProtocolError:
    return fault(
        413,
        wire.INVALID_REQUEST,
        "limit.body",
        f"The body is longer than {body_bytes} bytes.",
        "Send less in one message.",
    )
