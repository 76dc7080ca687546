"""The front: requests for one target that are answered without ASGI, and without the parser where it read their head.

A client repeats itself: from one request to the next only the length changes in its head. The bytes of a head
that the parser and every check have let pass are remembered with the connection, and the next request with the
same bytes goes straight to the application (docs/adr/0021). So does one that was parsed, when all of it is there: what
ASGI keeps for a request is a third of what an agent that waits holds (docs/adr/0036).

Rules
-----
1. Nothing is parsed here. What is not byte for byte a head that this connection sent before goes through the parser,
   and through ASGI as well if the parser found it out of the ordinary.
2. What is answered does not depend on the way: the application is the same, and the bytes are.
3. Work begins at once, in the call that brought the bytes; a strand goes on with it when it first waits.

Not here: bounds and deadlines (inbound/protocol.py), MCP (inbound/mcp).
"""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from crossfade.inbound.asgi import ABORT, LOST, Headers, Message, Scope
from crossfade.inbound.replies import Held, Reply
from crossfade.inbound.strand import Strand, Work

HEAD_END: Final = b"\r\n\r\n"
LENGTH_NAME: Final = b"\r\ncontent-length: "
LENGTH_DIGITS_MAX: Final = 8
HEADS_MAX: Final = 8
"""Heads remembered for one connection: on 2026-07-28 a head names its tool."""
LENGTHS_MAX: Final = 4
"""Lengths of requests by which a head is remembered with its own digits, for one connection."""
DIGEST_BYTES: Final = 16
NOTHING: Final[Mapping[int, Any]] = MappingProxyType({})
"""Of nothing known, one for all connections."""
Found = tuple[object, int, int]
"""What is known of a head, where the body behind it begins, and how long that is."""
UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})
"""Heads with one of these always take the long way."""


class Front(Protocol):
    """What answers requests without ASGI."""

    target: bytes
    """POST to exactly this is answered, e.g. ``/mcp``."""

    def remember(self, scope: Scope) -> object | None:
        """What to know of a head, whatever body comes with it; None if it cannot be remembered."""

    def serve(self, head: object, body: bytes, reply: Reply) -> Work | None:
        """Answer a request whose head was remembered; None: it is answered already, or held. Raises nothing."""


class Heads:
    """The heads of one connection."""

    __slots__ = ("_as_long", "_known", "_resting")

    def __init__(self) -> None:
        self._known: Sequence[tuple[bytes, int, bytes, object]] = ()
        """What stands before the digits of the length, how long that is, what stands behind them, and what is known
        of the head; the last one that came is the first."""
        self._as_long: Mapping[int, tuple[bytes, int, bytes, Found]] = NOTHING
        """By the length of what came: the head that it began with, in two parts as above, the second one with the
        digits, and what was found in it. The next request as long mostly begins with the same bytes."""
        self._resting: tuple[tuple[bytes, int, int, object], ...] = ()
        """Heads whose bytes are not kept: the digest of both parts, how long they are, and what is known."""

    def remember(self, data: bytes, headers: Headers, target: bytes, kept: object) -> None:
        """Take note of the head that ``data`` begins with, that the parser has read, and what to know of it."""
        head = data[: data.find(HEAD_END) + len(HEAD_END)]
        length_at = head.lower().find(LENGTH_NAME)
        if length_at < 0 or not _usual(head, headers, target):
            return
        digits_at = length_at + len(LENGTH_NAME)
        parts = head[:digits_at], head[head.find(b"\r\n", digits_at) :]
        others = [known for known in self._known if (known[0], known[2]) != parts]
        self._known = [(parts[0], digits_at, parts[1], kept), *others[: HEADS_MAX - 1]]
        self._as_long = NOTHING

    def recall(self, data: bytes) -> Found | None:
        """What is found at the beginning of ``data``; None if that is not a head that is known."""
        as_long = self._as_long.get(len(data))
        if as_long is not None:
            before, digits_at, rest, found = as_long
            if data.startswith(before) and data.startswith(rest, digits_at):
                return found
        return self._found(data)

    def rest(self) -> None:
        """Whoever sent them waits for long, perhaps among ten thousand: let go of their bytes meanwhile."""
        known, self._known = self._known, ()
        self._as_long = NOTHING
        rests = [(_digest(before, behind), at, len(behind), head) for before, at, behind, head in known]
        fresh = {digest for digest, *_ in rests}
        self._resting = (*rests, *[other for other in self._resting if other[0] not in fresh])[:HEADS_MAX]

    def _woken(self, data: bytes) -> Found | None:
        """As ``_found``, among those that rest; the one that is found rests no more."""
        for resting in self._resting:
            digest, digits_at, behind_bytes, head = resting
            digits_end = data.find(b"\r\n", digits_at, digits_at + LENGTH_DIGITS_MAX + 2)
            before, behind = data[:digits_at], data[digits_end : digits_end + behind_bytes]
            if digits_end > 0 and digest == _digest(before, behind):
                self._resting = tuple([other for other in self._resting if other is not resting])
                self._known = [(before, digits_at, behind, head), *self._known[: HEADS_MAX - 1]]
                return self._found(data)
        return None

    def _found(self, data: bytes) -> Found | None:
        for known in self._known:
            before, digits_at, behind, head = known
            if data.startswith(before):
                digits_end = data.find(b"\r\n", digits_at, digits_at + LENGTH_DIGITS_MAX + 2)
                digits = data[digits_at:digits_end]
                if digits_end > 0 and digits.isdigit() and data.startswith(behind, digits_end):
                    if known is not self._known[0]:
                        self._known = [known, *[other for other in self._known if other is not known]]
                    found = head, digits_end + len(behind), int(digits)
                    kept = self._as_long if 0 < len(self._as_long) < LENGTHS_MAX else {}
                    self._as_long = {**kept, len(data): (before, digits_at, digits + behind, found)}
                    return found
        return self._woken(data)


def _digest(before: bytes, behind: bytes) -> bytes:
    """Of both parts of a head, each of a length that is known."""
    return blake2b(before + behind, digest_size=DIGEST_BYTES).digest()


def _usual(head: bytes, headers: Headers, target: bytes) -> bool:
    """Whether nobody could read anything else into the head than what the parser made of it."""
    if not head.startswith(b"POST " + target + b" HTTP/1.1\r\n"):
        return False
    names = [name for name, _ in headers]
    lines = len(headers) + 2  # the request line, and the empty one
    return (
        head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n") == lines
        and names.count(b"content-length") == 1
        and UNUSUAL.isdisjoint(names)
        and all(value.lower() == b"keep-alive" for name, value in headers if name == b"connection")
    )


class _Unheard:
    """Stands for the event with which uvicorn wakes an application that reads."""

    def set(self) -> None:
        """Nobody reads: the body came with the request."""


class Connection(Protocol):
    """What a turn uses of the connection it came on; ``BoundedProtocol`` has it."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: Any
    """uvicorn's flow control, or ``bare.Flow``."""

    heads: Heads | None
    held: Held | None
    """The call that waits without anything running for it, told of the loss."""

    def lost(self) -> "asyncio.Future[None]":
        """A future that is done when the connection is gone."""

    def default_lines(self) -> bytes:
        """Headers of every answer, as they are on the wire."""

    def good_head(self) -> bytes:
        """The beginning of an answer with status 200 and a body of JSON, up to the digits of its length."""

    def go_on(self, turn: "Turn", work: Work) -> None:
        """Begin work on the request of this turn."""

    def on_turn_complete(self) -> None:
        """The answer is with the transport."""


class Turn(msgspec.Struct, eq=False):
    """One request and its answer: the ``Reply`` of the front, and to uvicorn the connection's cycle."""

    message_event: ClassVar[_Unheard] = _Unheard()
    lasts: ClassVar[bool] = True

    connection: Connection
    disconnected: bool = False
    keep_alive: bool = True
    response_started: bool = False
    response_complete: bool = False
    task: Strand | None = None
    _chunked: bool = False

    @property
    def scope(self) -> Scope:
        """As in ``Reply``."""
        return {"type": "http", "extensions": {ABORT: self.connection.transport.abort, LOST: self.connection.lost}}

    async def receive(self) -> Message:
        """As in ``Reply``: whoever asks is told by other means that the client is gone."""
        await self.connection.lost()
        return {"type": "http.disconnect"}

    def hold(self, held: Held) -> None:
        """As in ``Reply``."""
        self.connection.held = held

    def rest(self) -> None:
        """As in ``Reply``."""
        if self.connection.heads is not None:
            self.connection.heads.rest()

    def go_on(self, work: Work) -> None:
        """As in ``Reply``."""
        self.connection.go_on(self, work)

    def at_once(self, body: bytes) -> bool:
        """As in ``Reply``, in one write."""
        connection = self.connection
        if not self.keep_alive or connection.flow.write_paused:
            return False
        if not self.disconnected:
            self.response_started = self.response_complete = True
            connection.transport.write(b"%b%d\r\n\r\n%b" % (connection.good_head(), len(body), body))
            connection.on_turn_complete()
        return True

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """As in ``Reply``, in one write."""
        if status == 200 and not headers and self.at_once(body):
            return
        if self.connection.flow.write_paused:
            await self._writable()
        if self.disconnected:
            return
        self.response_started = True
        lines = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        for pair in headers:
            lines += b"%b: %b\r\n" % pair
        self._write(status, lines if self.keep_alive else lines + b"connection: close\r\n", body)
        self._complete()

    async def send(self, message: Message) -> None:
        """As in ``Reply``."""
        if self.connection.flow.write_paused:
            await self._writable()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        self.connection.transport.write(body)
        if not more:
            self._complete()

    def _start(self, message: Message) -> None:
        self.response_started = True
        headers = message["headers"]
        self._chunked = all(name != b"content-length" for name, _ in headers)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        lines += b"" if self.keep_alive else b"connection: close\r\n"
        self._write(message["status"], lines + b"transfer-encoding: chunked\r\n" if self._chunked else lines, b"")

    def _write(self, status: int, lines: bytes, body: bytes) -> None:
        connection = self.connection
        connection.transport.write(b"".join((STATUS_LINE[status], connection.default_lines(), lines, b"\r\n", body)))

    async def _writable(self) -> None:
        if not self.disconnected:
            await self.connection.flow.drain()

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.connection.transport.close()
        self.connection.on_turn_complete()


class Coming(msgspec.Struct, eq=False):
    """A request for the front that the parser reads."""

    head: object
    """What is known of its head."""
    headers: Headers
    turn: Turn
    parts: list[bytes] = []
    """Of its body."""
    whole: bool = False
    """All of it came."""

    def takes(self, cycle: object) -> bool:
        """Whether what is being parsed now is this request: there may be another behind it already."""
        return cycle is self.turn and not self.whole
