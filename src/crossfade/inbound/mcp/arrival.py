"""One POST as it arrived: its headers and its message, checked as far as no revision matters."""

from typing import Final

import msgspec

from crossfade.inbound.asgi import BodyTooLargeError, Receive, Scope, Send, read_body
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.wire import ProtocolError, fault

ROUTING: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id")
"""Headers that must not be there twice: two readers would believe different copies."""


class Arrival(msgspec.Struct, frozen=True):
    """What an era gets to see."""

    scope: Scope
    receive: Receive
    send: Send
    headers: dict[bytes, bytes]
    message: wire.Message
    takes_stream: bool


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers by lower-case name. Raises ProtocolError if one that decides something is there twice."""
    pairs = scope["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        for name in ROUTING:
            if names.count(name) > 1:
                raise _header(name, "is there more than once", "Send it once.")
    return headers


def _header(name: bytes, what: str, hint: str) -> ProtocolError:
    return fault(400, wire.HEADER_MISMATCH, "header.mismatch", f"The header {name.decode()} {what}.", hint)


async def read(scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], body_bytes: int) -> Arrival:
    """Read the message. Raises ProtocolError; ClientGoneError when the client left."""
    accept = headers.get(b"accept", b"*/*")
    anything = b"*/*" in accept
    if not anything and b"application/json" not in accept:
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
    try:
        body = await read_body(receive, body_bytes)
    except BodyTooLargeError:
        raise fault(
            413,
            wire.INVALID_REQUEST,
            "limit.body",
            f"The body is longer than {body_bytes} bytes.",
            "Send less in one message.",
        ) from None
    return Arrival(scope, receive, send, headers, wire.decode(body), anything or b"text/event-stream" in accept)
