"""A small toolkit for plain ASGI: read a body, answer with JSON, hold an event stream open.

Not here: routes, identity, MCP. Not a framework: cold pages use Starlette, hot ones use this.

Rules
-----
1. An idle stream costs no task of its own: a writer exists only while something is to be written.
2. Nothing waits for a slow reader. ``push`` never blocks; a full queue cuts the connection, and the
   client comes back with its cursor.
3. A disconnect is noticed without a waiting task when the server offers ``crossfade.lost`` (ours
   does, inbound/protocol.py); under any other ASGI server one watcher task is used instead.

Sources: the ASGI HTTP specification 2.3; the WHATWG HTML standard, "server-sent events".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final

import msgspec

from crossfade.inbound.at_once import done_at_once
from crossfade.inbound.beats import Beats

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

ABORT: Final = "crossfade.abort"
"""Scope extension: ``() -> None``, drops the connection at once, unsent bytes and all."""
LOST: Final = "crossfade.lost"
"""Scope extension: ``() -> Future[None]``, a future of one's own, done when the connection is gone."""

JSON: Final = (b"content-type", b"application/json")
STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
PING: Final = b": ping\n\n"
WRITE_BYTES: Final = 65_536
"""Queued events are joined up to about this size for one write."""
GOLDEN: Final = 0.6180339887498949
"""Multiples of it modulo 1 are spread evenly however many there are."""
TIMER_SECONDS: Final = 0.001
"""A timer may be this early."""


class BodyTooLargeError(Exception):
    """The request body is longer than the route allows. Nothing was answered yet."""


class ClientGoneError(Exception):
    """The client disconnected before its request was complete. There is nobody to answer."""


# --- requests and plain answers --------------------------------------------------------------------


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of the first header called ``name`` (lower case); None if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """Return the whole request body. Raises BodyTooLargeError beyond ``limit_bytes``, ClientGoneError."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > limit_bytes:
            raise BodyTooLargeError
        return whole
    parts = bytearray()
    while message["type"] == "http.request":
        parts += message.get("body", b"")
        if len(parts) > limit_bytes:
            raise BodyTooLargeError
        if not message.get("more_body", False):
            return bytes(parts)
        message = await receive()
    raise ClientGoneError


async def json_response(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Answer with ``body``, which is JSON already; ``headers`` come after type and length."""
    head = [JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def error_body(code: str, message: str, hint: str) -> bytes:
    """Encode the JSON every refusal over HTTP has: ``{"error": {"code", "message", "try"}}``."""
    return msgspec.json.encode({"error": {"code": code, "message": message, "try": hint}})


def disconnected(scope: Scope, receive: Receive) -> asyncio.Future[None]:
    """Return a future that is done when the client has gone away; cancel it when it no longer matters.

    Call it once a request, after the body was read: under a server without ``crossfade.lost`` it
    takes over ``receive``.
    """
    lost = scope.get("extensions", {}).get(LOST)
    if lost is not None:
        future: asyncio.Future[None] = lost()
        return future
    return asyncio.ensure_future(_receive_disconnect(receive))


async def _receive_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(data: bytes, event_id: str | None = None, event: str | None = None) -> bytes:
    """Encode one server-sent event, so that it can be built once and pushed to many.

    ``data`` may have several lines. Raises ValueError if a name or an id could break the framing.
    """
    parts = []
    for field, value in (("id", event_id), ("event", event)):
        if value is not None:
            if any(c in value for c in "\r\n\0"):
                raise ValueError(f"{field} of an event must be one line without NUL")
            parts.append(f"{field}: {value}\n".encode())
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    parts.append(b"data: " + data + b"\n\n")
    return b"".join(parts)


# --- held streams ----------------------------------------------------------------------------------


class Ending(StrEnum):
    """How a stream ended."""

    COMPLETE = "complete"
    """All was written, and the terminal chunk."""
    GONE = "gone"
    """The client went away."""
    CUT = "cut"
    """The client read too slowly and was dropped; it resumes with its cursor."""


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one stream."""

    queue_events: int = 256
    queue_bytes: int = 1_048_576
    """Without the event that is written next, so that one of any size can pass."""
    ping_seconds: float = 15.0
    """Longest silence; a ping comes after 75 to 100 % of it, of each stream at another time."""


class Streams:
    """All that is held open in this process: event streams and polls. One per server."""

    __slots__ = ("_empty", "_held", "beats", "draining", "limits")

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self.draining = False
        self.beats = Beats(self.limits.ping_seconds)
        self._held: dict[object, Callable[[], object] | None] = {}
        """Streams and polls, with what they are told when the server stops; None: ``stop``."""
        self._empty: asyncio.Event | None = None

    def __len__(self) -> int:
        """Streams and polls held now."""
        return len(self._held)

    @contextmanager
    def holding(self, on_drain: Callable[[], object]) -> Iterator[None]:
        """While the block runs, ``on_drain`` is called if the server stops; it must make the block end."""
        token = object()
        self.add(token, on_drain)
        try:
            yield
        finally:
            self.discard(token)

    async def drain(self, grace_seconds: float) -> int:
        """Ask everything held to end; after ``grace_seconds`` cut the rest. Returns how many were cut."""
        self.draining = True
        self._empty = asyncio.Event()
        for token, on_drain in tuple(self._held.items()):
            (on_drain or _stop_of(token))()
        if self._held:
            await asyncio.wait({asyncio.ensure_future(self._empty.wait())}, timeout=grace_seconds)
        late = list(self._held)
        self._empty.set()
        for one in late:
            if isinstance(one, EventStream):  # of a poll the server closes the connection
                one.cut()
        return len(late)

    def add(self, token: object, on_drain: Callable[[], object] | None = None) -> None:
        """Register; without ``on_drain`` it has a method ``stop`` for that, so that none is kept bound."""
        self._held[token] = on_drain
        if self.draining:
            asyncio.get_running_loop().call_soon(on_drain or _stop_of(token))

    def discard(self, token: object) -> None:
        """Forget what was added; unknown tokens are ignored."""
        self._held.pop(token, None)
        if self._empty is not None and not self._held:
            self._empty.set()


def _stop_of(token: object) -> Callable[[], object]:
    stop: Callable[[], object] = token.stop  # type: ignore[attr-defined]
    return stop


class EventStream:
    """One response of server-sent events. Use: ``start``, ``push`` from anywhere on the loop, ``aclose``.

    ``closed`` is done, with an Ending, once nothing more will be written. Wait with ``wait_closed``
    (or ``asyncio.wait``): awaiting the future itself would cancel it along with the waiter.
    ``on_drain`` is called when the server stops, to push a last event and then ``end``; without it
    the stream is ended.
    """

    __slots__ = (
        "_abort", "_cutting", "_ending", "_gone", "_limits", "_loop", "_queue", "_queued_bytes", "_row", "_send",
        "_started", "_streams", "_writer", "_wrote_at", "closed",
    )  # fmt: skip

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, streams: Streams, on_drain: Callable[[], object] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._streams = streams
        self._limits = streams.limits
        self._abort: Callable[[], None] | None = scope.get("extensions", {}).get(ABORT)
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._started = self._ending = self._cutting = False
        self._writer: asyncio.Task[None] | None = None
        self._row: int | None = None
        self._wrote_at = 0.0
        self.closed: asyncio.Future[Ending] = self._loop.create_future()
        self._gone = disconnected(scope, receive)
        self._gone.add_done_callback(self._on_gone)
        streams.add(self, on_drain or self.end)

    async def start(self, headers: Headers = ()) -> None:
        """Send status 200 and the headers at once. What was pushed before follows."""
        await self._send({"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *headers]})
        self.goes_on()

    def goes_on(self) -> None:
        """Status and headers are sent."""
        self._started = True
        self._wrote_at = self._loop.time()
        if not self.closed.done():
            self._row = self._streams.beats.add(self)
            if self._queue or self._ending:
                self._wake()

    def starts_at_once(self, headers: Headers = ()) -> bool:
        """As ``start`` under our own server, where that takes neither waiting nor a task; whether it did."""
        return self._abort is not None and done_at_once(self.start(headers))

    def push(self, data: bytes) -> bool:
        """Queue whole events (see ``frame``). False if they will not be sent: closed, ending, or cut now."""
        if self._ending or self._cutting or self.closed.done():
            return False
        size = self._queued_bytes + len(data)
        if self._queue and self._overflows(size):
            self.cut()
            return False
        self._queue.append(data)
        self._queued_bytes = size
        if self._writer is None and self._started:
            self._wake()
        return True

    def _overflows(self, size_bytes: int) -> bool:
        """Whether one event more, ``size_bytes`` with it, is too many; the next one to be written is let off."""
        limits = self._limits
        return len(self._queue) >= limits.queue_events or size_bytes - len(self._queue[0]) > limits.queue_bytes

    def event(self, data: bytes, event_id: str | None = None, event: str | None = None) -> bool:
        """Queue one event; as ``push``."""
        return self.push(frame(data, event_id, event))

    async def drained(self) -> bool:
        """Wait until the queue is written: for catching up in steps. False if the stream is closed."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        return not self.closed.done()

    def end(self) -> None:
        """Write what is queued, then the terminal chunk. Further pushes are dropped."""
        if self._ending or self._cutting or self.closed.done():
            return
        self._ending = True
        if self._writer is None and self._started:
            self._wake()

    def cut(self) -> None:
        """Drop the connection now, with what is queued."""
        if self._cutting or self.closed.done():
            return
        self._cutting = True
        self._queue.clear()
        if self._abort is None:
            self._close(Ending.CUT)
        else:
            self._abort()  # the loss of the connection closes the stream

    async def wait_closed(self) -> Ending:
        """Wait for the end, however it comes."""
        return await asyncio.shield(self.closed)

    async def aclose(self) -> Ending:
        """End the stream and wait until its last byte is with the transport. Again: returns at once."""
        if not self._started:
            self._close(Ending.GONE)
        self.end()
        return await self.wait_closed()

    def _wake(self) -> None:
        self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._queue:
                data = self._take()
                # A small last event takes the terminal chunk along: one write instead of two.
                last = self._ending and not self._queue and not self._cutting and len(data) <= WRITE_BYTES
                await self._send({"type": "http.response.body", "body": data, "more_body": not last})
                self._wrote_at = self._loop.time()
                if last and not self._cutting:
                    self._close(Ending.COMPLETE)
                    return
            if self._ending and not self._cutting:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                self._close(Ending.COMPLETE)
        except OSError:  # how servers other than ours say that the client is gone
            self._close(Ending.GONE)
        finally:
            self._writer = None

    def _take(self) -> bytes:
        """Take the next write: queued events, joined while they are small."""
        queue = self._queue
        count, size = 1, len(queue[0])
        while count < len(queue) and size + len(queue[count]) <= WRITE_BYTES:
            size += len(queue[count])
            count += 1
        taken = queue[0] if count == 1 else b"".join(queue[:count])
        del queue[:count]
        self._queued_bytes -= size
        return taken

    def tick(self) -> None:
        """Ping after silence; cut a reader that took nothing for two periods."""
        silent_seconds, longest_seconds = self._loop.time() - self._wrote_at, self._limits.ping_seconds
        if self._writer is not None:
            if silent_seconds >= 2 * longest_seconds:
                self.cut()
        elif silent_seconds + self._streams.beats.round_seconds > longest_seconds and not self._cutting:
            self._ping()

    def _ping(self) -> None:
        """Under our own server without a task, unless the reader is slow; under others a send may wait anywhere."""
        ping: Message = {"type": "http.response.body", "body": PING, "more_body": True}
        if self._abort is not None and done_at_once(self._send(ping)):
            self._wrote_at = self._loop.time()
        else:
            self.push(PING)

    def _on_gone(self, gone: asyncio.Future[None]) -> None:
        if not gone.cancelled():
            self._close(Ending.CUT if self._cutting else Ending.GONE)

    def _close(self, ending: Ending) -> None:
        """Release everything; also breaks the reference cycles, which are never collected once frozen."""
        if self.closed.done():
            return
        self.closed.set_result(ending)
        self._queue.clear()
        if self._row is not None:
            self._streams.beats.discard(self, self._row)
            self._row = None
        self._gone.remove_done_callback(self._on_gone)
        self._gone.cancel()
        self._streams.discard(self)
