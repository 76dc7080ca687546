"""One HTTP/1.1 connection of the load, by callbacks: no task, no future, little more than a parser.

Not fleet/sockets.py, which is awaited and costs several times as much processor time; same bounds of what it
understands: a trusted hub, one request at a time, no TLS.

Rules
-----
1. Whoever owns the line is told: it is open, a held reply began, a reply is whole, an event came, it is lost.
2. A reply that is an event stream counts as whole at its end; its body is then the data of its last event.
   With ``live`` set, every event is told as it comes.

Sources: RFC 9112 (message framing); the WHATWG HTML standard, "server-sent events".
"""

import asyncio
import contextlib
import socket
from typing import Final, Protocol, cast

from crossfade.fleet.sockets import BODY_BYTES_MAX

CONNECT_SECONDS: Final = 15.0
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""Linux: the port is chosen at connect, so that all of them can be used with every source address."""


class Owner(Protocol):
    """Who holds a line."""

    def on_open(self, line: "Line") -> None:
        """The line can be used."""

    def on_held(self, line: "Line") -> None:
        """The hub holds the call: the head of an event stream came."""

    def on_reply(self, line: "Line", status: int, body: bytes) -> None:
        """The reply is whole; the line is free."""

    def on_event(self, line: "Line", name: bytes, identifier: bytes, data: bytes) -> None:
        """An event of a ``live`` stream."""

    def on_lost(self, line: "Line") -> None:
        """The connection is gone, or could not be made; what was under way may or may not have been done."""


class Traffic:
    """What went over lines, all together."""

    __slots__ = ("bytes_in", "bytes_out", "connections", "failed", "requests")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.connections = 0
        """Connections made."""
        self.failed = 0
        """Connections that could not be made, in a row."""
        self.requests = 0
        """Requests sent, repetitions included."""


class Line(asyncio.Protocol):
    """One connection; make it with ``open_line``."""

    __slots__ = ("_buffer", "_chunked", "_data", "_left", "_name", "_text", "live", "owner", "status", "traffic",
                 "transport")  # fmt: skip

    def __init__(self, owner: Owner, traffic: Traffic) -> None:
        self.owner = owner
        self.traffic = traffic
        self.live = False
        self.transport: asyncio.Transport | None = None
        self.status = 0
        """Of the reply that is arriving; 0 between replies."""
        self._buffer = b""
        self._left = 0
        self._chunked = False
        self._text = b""
        self._data = b""

    def send(self, request: bytes) -> None:
        """Write one request; the reply comes to the owner."""
        if self.transport is not None:
            self.traffic.bytes_out += len(request)
            self.traffic.requests += 1
            self.transport.write(request)

    def drop(self) -> None:
        """Hang up at once; the owner hears ``on_lost``."""
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by what it does
        self.traffic.connections += 1
        self.traffic.failed = 0
        self.owner.on_open(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.transport = None
        self.owner.on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with whatever arrived."""
        self.traffic.bytes_in += len(data)
        self.traffic.failed = 0
        self._buffer = self._buffer + data if self._buffer else data
        try:
            while self._buffer and self._step():
                pass
        except (ValueError, IndexError):
            self.drop()

    # --- parsing ------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Take one piece off the buffer; False when more bytes are needed."""
        if not self.status:
            return self._head()
        if self._chunked:
            return self._chunk()
        if len(self._buffer) < self._left:
            return False
        body, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._finish(body)
        return True

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._buffer[:end].lower()
        self._buffer = self._buffer[end + 4 :]
        self.status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        self._chunked = at < 0
        if at >= 0:
            self._left = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if not self._left:
                self._finish(b"")
        else:
            self._text = self._data = b""
            self.owner.on_held(self)
        return True

    def _chunk(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        size = int(self._buffer[:end], 16)
        if size > BODY_BYTES_MAX:
            raise ValueError("chunk too long")
        if len(self._buffer) < end + size + 4:
            return False
        piece, self._buffer = self._buffer[end + 2 : end + 2 + size], self._buffer[end + size + 4 :]
        if not size:
            self._finish(self._data)
            return True
        self._text = self._text + piece if self._text else piece
        while (gap := self._text.find(b"\n\n")) >= 0:
            block, self._text = self._text[:gap], self._text[gap + 2 :]
            self._event(block)
        return True

    def _event(self, block: bytes) -> None:
        name = identifier = data = b""
        for field in block.split(b"\n"):
            if field.startswith(b"data: "):
                data = field[6:]
            elif field.startswith(b"event: "):
                name = field[7:]
            elif field.startswith(b"id: "):
                identifier = field[4:]
        if not data:
            return
        if self.live:
            self.owner.on_event(self, name, identifier, data)
        else:
            self._data = data

    def _finish(self, body: bytes) -> None:
        status, self.status = self.status, 0
        self.owner.on_reply(self, status, body)


class Place:
    """Where the hub is, and from which addresses it is called."""

    def __init__(self, host: str, port: int, sources: tuple[str, ...]) -> None:
        self.host, self.port, self.sources = host, port, sources
        self._turn = 0

    def source(self) -> str:
        """The next address to call from; empty: whichever the system takes."""
        if not self.sources:
            return ""
        self._turn += 1
        return self.sources[self._turn % len(self.sources)]


async def open_line(place: Place, owner: Owner, traffic: Traffic) -> None:
    """Connect; the owner is told ``on_open`` or ``on_lost``."""
    loop = asyncio.get_running_loop()
    line = Line(owner, traffic)
    door = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setblocking(False)
        source = place.source()
        if source:
            with contextlib.suppress(OSError):  # not Linux: then each source has its own ports all the same
                door.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            door.bind((source, 0))
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.sock_connect(door, (place.host, place.port))
            await loop.create_connection(lambda: line, sock=door)
    except (OSError, TimeoutError):
        door.close()
        traffic.failed += 1
        owner.on_lost(line)
    except asyncio.CancelledError:
        door.close()
        raise
