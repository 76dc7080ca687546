"""One HTTP/1.1 connection of a simulated agent, on a bare asyncio Protocol.

Not a general HTTP client: it speaks to a hub on a trusted network, one request at a time, no TLS, no
redirects, no trailers. It exists because a fleet of thousands in one process must not cost more than
the hub it measures.

Rules
-----
1. One exchange at a time; the caller holds a lock if it has several tasks.
2. A reply is either whole (``Reply.body``) or an event stream, read with ``event()`` until None.
3. Whatever goes wrong on the wire is one exception, ``LostError``: the outcome is unknown, and the
   same request with the same key is safe.

Sources: RFC 9112 (message framing); the WHATWG HTML standard, "server-sent events".
"""

import asyncio
import re
from collections import deque
from typing import Final

import msgspec

HEAD_BYTES_MAX: Final = 65_536
"""A longer reply head is a fault of the server."""
BODY_BYTES_MAX: Final = 16 * 1_048_576
"""A longer reply, or a longer single event, is a fault of the server."""
BLANK_LINE: Final = re.compile(rb"\n\n|\r\n\r\n")


class LostError(Exception):
    """The connection failed or the peer broke the protocol; the request may or may not have been done."""


class Reply(msgspec.Struct, frozen=True):
    """The head of a reply, and its body unless it is an event stream."""

    status: int
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated header the last."""
    body: bytes
    streaming: bool


class Socket(asyncio.Protocol):
    """A keep-alive connection; make it with ``connect``."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sink = bytearray()
        self._events: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._left: int | None = None
        """Bytes of the body, or of the present chunk, still to come; None between chunks."""
        self._chunked = False
        self._until_close = False
        self._complete = True
        self._broken = ""

    @property
    def usable(self) -> bool:
        """Whether another request can be sent: open, and the last reply was read to its end."""
        return not self._broken and self._complete and self._transport is not None

    async def exchange(self, request: bytes) -> Reply:
        """Send ``request`` (head and body) and wait for the reply. Raises LostError."""
        self._send(request)
        while self._head is None or not (self._complete or self._streaming):
            await self._wait()
        status, headers = self._head
        body = b"" if self._streaming else bytes(self._sink)
        return Reply(status, headers, body, self._streaming)

    async def event(self) -> bytes | None:
        """The data of the next event of a streaming reply; None at its end. Raises LostError."""
        while not self._events:
            if self._complete:
                return None
            await self._wait()
        return self._events.popleft()

    def close(self) -> None:
        """Drop the connection; a waiting exchange raises LostError."""
        self._break("closed")
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with whatever arrived."""
        self._buffer += data
        try:
            while self._step():
                pass
        except (ValueError, IndexError) as fault:
            self._break(f"not HTTP: {fault}")
            self.close()
        self._wake()

    def eof_received(self) -> bool:
        """Called by asyncio when the hub has nothing more to say."""
        self._ended("the hub closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio at the end of the connection."""
        self._ended(str(exc or "the hub closed the connection"))

    # --- inside -------------------------------------------------------------------------------------

    def _send(self, request: bytes) -> None:
        if not self.usable or self._transport is None:
            raise LostError(self._broken or "the last reply was not read to its end")
        self._head, self._complete = None, False
        self._events.clear()
        self._transport.write(request)

    @property
    def _streaming(self) -> bool:
        return self._head is not None and self._head[1].get(b"content-type", b"").startswith(b"text/event-stream")

    async def _wait(self) -> None:
        if self._broken:
            raise LostError(self._broken)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._wake()

    def _ended(self, why: str) -> None:
        if self._until_close and not self._complete:
            self._finish()
        self._break(why)

    def _finish(self) -> None:
        self._complete = True
        if self._head is not None and self._head[1].get(b"connection", b"").lower() == b"close":
            self._broken = "the hub asked to close"

    def _step(self) -> bool:
        """Parse one piece of the buffer; False when more bytes are needed."""
        if self._complete:
            return False
        if self._head is None:
            return self._parse_head()
        if self._left is None:
            return self._parse_chunk_size() if self._chunked else self._take(len(self._buffer))
        return self._parse_body()

    def _parse_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise ValueError("head too long")
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status = int(lines[0].split(b" ", 2)[1])
        if 100 <= status < 200:
            return True
        pairs = (line.partition(b":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._start_body(status, headers)
        return True

    def _start_body(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._sink = bytearray()
        self._head = (status, headers)
        self._chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        length = headers.get(b"content-length")
        self._left = None if self._chunked or length is None else int(length)
        self._until_close = not self._chunked and length is None
        if status == 204 or (self._until_close and status == 202) or self._left == 0:
            self._finish()

    def _parse_chunk_size(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
        if size == 0:
            if len(self._buffer) < end + 4:
                return False
            del self._buffer[: end + 4]
            self._finish()
            return False
        del self._buffer[: end + 2]
        self._left = size
        return True

    def _parse_body(self) -> bool:
        assert self._left is not None
        taken = min(self._left, len(self._buffer))
        self._left -= taken
        self._take(taken)
        if self._left:
            return False
        if not self._chunked:
            self._finish()
            return False
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._left = None
        return True

    def _take(self, count: int) -> bool:
        """Move ``count`` bytes of body from the buffer to where they belong."""
        if not count:
            return False
        self._sink += self._buffer[:count]
        del self._buffer[:count]
        if self._streaming:
            self._split_events()
        if len(self._sink) > BODY_BYTES_MAX:
            raise ValueError("body too long")
        return True

    def _split_events(self) -> None:
        while (gap := BLANK_LINE.search(self._sink)) is not None:
            block = bytes(self._sink[: gap.start()])
            del self._sink[: gap.end()]
            data = [line[5:].lstrip(b" ") for line in block.splitlines() if line.startswith(b"data:")]
            if data and any(data):
                self._events.append(b"\n".join(data))


async def connect(host: str, port: int, timeout_seconds: float = 5.0) -> Socket:
    """Open a connection. Raises LostError when nobody answers in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, socket = await loop.create_connection(Socket, host, port)
    except (OSError, TimeoutError) as fault:
        raise LostError(f"cannot connect to {host}:{port}: {fault}") from fault
    return socket
