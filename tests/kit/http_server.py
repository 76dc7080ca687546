"""A real server on a free loopback port and raw clients, in one loop: for tests of the HTTP layer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import msgspec
import uvloop

from crossfade.inbound.asgi import (
    App,
    BodyTooLargeError,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    json_response,
    read_body,
)
from crossfade.inbound.front import Front
from crossfade.inbound.gate import ConnectionLimits
from crossfade.inbound.protocol import BoundedProtocol
from crossfade.inbound.replies import Reply
from crossfade.inbound.server import OnDrain, Server, ServerSettings

T = TypeVar("T")
PATIENCE_SECONDS = 150.0
"""A hang ends here; no test waits this long when the code is right."""
HEAD = b"HTTP/1.1\r\nHost: hub\r\n"


def run(scenario: Coroutine[object, object, T]) -> T:
    """Run a scenario on uvloop, as the hub does, with a limit against hanging."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, PATIENCE_SECONDS))


@asynccontextmanager
async def serving(
    app: App,
    on_drain: OnDrain | None = None,
    grace_seconds: float = 5.0,
    front: Front | None = None,
    **limits: float,
) -> AsyncIterator[Server]:
    """A started server; stopped at the end of the block."""
    bounds = msgspec.convert(limits, ConnectionLimits)
    settings = ServerSettings(port=0, listeners=2, limits=bounds, grace_seconds=grace_seconds)
    server = Server(app, settings, on_drain, front)
    await server.start()
    try:
        yield server
    finally:
        server.stop(at_once=True)
        await server.wait()


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def rest(self) -> bytes:
        """All that still comes, until the server closes or aborts."""
        received = bytearray()
        try:
            while chunk := await self.reader.read(65_536):
                received += chunk
        except ConnectionError:
            received += b"<reset>"
        return bytes(received)

    async def until(self, mark: bytes) -> bytes:
        """What comes up to and with ``mark``."""
        return await self.reader.readuntil(mark)


@asynccontextmanager
async def connected(server: Server, receive_buffer_bytes: int = 0) -> AsyncIterator[Client]:
    """A connection to the server; a small receive buffer makes a reader that holds little."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**16)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def exchange(server: Server, *parts: bytes) -> bytes:
    """Send bytes on a connection of its own; everything the server says until it closes."""
    async with connected(server) as client:
        with suppress(ConnectionError):
            await client.send(*parts)
        return await client.rest()


async def fewer_connections(server: Server, count: int) -> None:
    """Wait until the server has at most ``count`` connections."""
    state = server._runner.server_state
    while server.connections > count:
        gone = [c.lost() for c in state.connections if isinstance(c, BoundedProtocol)]
        await asyncio.wait(gone, return_when=asyncio.FIRST_COMPLETED)


class Echo:
    """Answers with the body it read; remembers what reached it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.ends: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        try:
            body = await read_body(receive, 2**24)
        except (BodyTooLargeError, ClientGoneError) as end:
            self.ends.append(type(end).__name__)
            return
        self.headers = list(scope["headers"])
        self.ends.append("answered")
        await json_response(send, 200, body)


class Fronted:
    """A front that answers with the body, and counts."""

    target = b"/mcp"
    served = 0

    def remember(self, scope: Scope) -> object | None:
        """Every head."""
        return self

    async def serve(self, head: object, body: bytes, reply: Reply) -> None:
        """The body."""
        self.served += 1
        await reply.whole(200, body)


def status(answer: bytes) -> int:
    """The status of the first response; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def code(answer: bytes) -> str:
    """The error code in a JSON refusal."""
    return str(msgspec.json.decode(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"])
