"""What the connections of one server share: bounds, counts, and the words in which they are refused.

Not here: how a bound is enforced (inbound/protocol.py) or configured (config).
"""

import asyncio
from collections.abc import Callable
from typing import Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from crossfade.inbound.asgi import error_body
from crossfade.inbound.front import Front
from crossfade.inbound.strand import Strands


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a connection and of all connections of a process."""

    request_seconds: float = 15.0
    """From the first byte of a request (or the connection) to its last; then the connection is aborted."""
    header_bytes: int = 16_384
    """Target and headers together; beyond: 431."""
    header_count: int = 100
    body_bytes: int = 1_048_576
    """Declared or counted; beyond: 413."""
    connections_max: int = 18_000
    """Beyond: 503. Lowered to nine tenths of the descriptors the process may have."""
    keep_alive_seconds: float = 30.0
    keep_alive_pressed_seconds: float = 5.0
    """Used instead while connections exceed ``pressed_share`` of the cap."""
    pressed_share: float = 0.8
    linger_seconds: float = 2.0
    """How long a refused client may go on sending before the connection is aborted."""
    lingering_max: int = 500
    """Connections beyond the cap that are told 503; the rest are dropped without a word."""
    retry_after_seconds: int = 5


class RefusalAnswer(msgspec.Struct, frozen=True):
    """What a client is told before the connection is closed."""

    status: int
    code: str
    message: str
    hint: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


MALFORMED: Final = RefusalAnswer(
    400, "http.malformed", "The request is not valid HTTP/1.1.", "Send it as RFC 9112 describes, with one body length."
)
HOST: Final = RefusalAnswer(
    400, "http.host", "The request must have exactly one Host header.", "Send one Host header that names this hub."
)
TARGET: Final = RefusalAnswer(
    400, "http.target", "The request target names another host than Host.", "Send only the path as the target."
)


class Gate:
    """What the connections of one server share: their bounds and the counts that bounds need."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.connections_max = limits.connections_max
        self.accepted = 0
        """Connections admitted since the start."""
        self.on_admitted: Callable[[int], None] | None = None
        """Told that count each time."""
        self.shed = 0
        """Connections turned away with 503 or without a word."""
        self.lingering: set[asyncio.Transport] = set()
        """Of those turned away, the ones still being told so."""
        self.emptied = asyncio.Event()
        """Set when a connection ends and none is left."""
        self.front: Front | None = None
        """Answers what it can without ASGI."""
        self.strands = Strands()
        """What the front's requests continue on."""
        self.lines = self.good_head = b""
        """Headers that every answer carries, as they are on the wire; and the beginning of one with status 200 and a
        body of JSON, up to the digits of its length. Both of ``lines_of``."""
        self.lines_of: object = None

    def renew(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Take note of the headers that every answer carries; the list is another one when they change."""
        self.lines_of = headers
        self.lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        self.good_head = STATUS_LINE[200] + self.lines + b"content-type: application/json\r\ncontent-length: "

    def admitted(self) -> None:
        """Count a connection."""
        self.accepted += 1
        if self.on_admitted is not None:
            self.on_admitted(self.accepted)


def written(answer: RefusalAnswer, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A refusal as it is on the wire; ``headers``: those that every answer carries."""
    body = error_body(answer.code, answer.message, answer.hint)
    head = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *answer.headers,
    ]
    return b"".join([STATUS_LINE[answer.status], *(b"%b: %b\r\n" % pair for pair in head), b"\r\n", body])


def headers_too_large(limits: ConnectionLimits) -> RefusalAnswer:
    """Answer to a head over ``header_bytes`` or ``header_count``."""
    return RefusalAnswer(
        431,
        "http.headers_too_large",
        f"The request head is over {limits.header_bytes} bytes or {limits.header_count} headers.",
        "Send fewer or shorter headers.",
    )


def body_too_large(limits: ConnectionLimits) -> RefusalAnswer:
    """Answer to a body over ``body_bytes``."""
    return RefusalAnswer(
        413,
        "http.body_too_large",
        f"The request body is over {limits.body_bytes} bytes.",
        "Send less at a time, or store it elsewhere and send a link.",
    )


def busy(limits: ConnectionLimits) -> RefusalAnswer:
    """Answer to a connection over ``connections_max``."""
    retry_after = (b"retry-after", b"%d" % limits.retry_after_seconds)
    return RefusalAnswer(
        503, "http.busy", "The hub holds as many connections as it can.", "Wait, then try again.", (retry_after,)
    )


def names_host(url: bytes, host: bytes) -> bool:
    """Whether a target that is not a path is ``*`` or an address on ``host`` (RFC 9112 §3.2.2)."""
    if url == b"*":
        return True
    parsed = httptools.parse_url(url)  # raises for nonsense, which the parser reports as malformed
    named: bytes = (parsed.host or b"") + (b":%d" % parsed.port if parsed.port else b"")
    return named.lower() == host.lower()
