"""A connection without a socket: the server's own protocol on a transport that writes down what it is given."""

import asyncio
import re
from typing import Any

import msgspec
from uvicorn.server import ServerState

from crossfade.inbound.asgi import App
from crossfade.inbound.front import Front
from crossfade.inbound.gate import ConnectionLimits, Gate
from crossfade.inbound.protocol import BoundedProtocol
from crossfade.inbound.server import ServerSettings, _configuration

DATE = (b"date", b"Mon, 23 Nov 2026 00:00:00 GMT")
TURNS = 60
"""Turns of the loop after which whatever was begun is answered, or waits."""


class Pipe(asyncio.Transport):
    """Writes down."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.writes = 0
        self.closed = False

    def write(self, data: Any) -> None:
        """As a transport."""
        self.said += bytes(data)
        self.writes += bool(data)

    def is_closing(self) -> bool:
        """As a transport."""
        return self.closed

    def close(self) -> None:
        """As a transport; nothing is left to be flushed."""
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        """As a transport."""
        return False

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As a transport."""
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else default


class Wires:
    """Connections to one application."""

    def __init__(self, app: App, front: Front | None = None, **limits: float) -> None:
        bounds = msgspec.convert(limits, ConnectionLimits)
        self.gate = Gate(bounds)
        self.gate.front = front
        self._config = _configuration(app, ServerSettings(limits=bounds), self.gate)
        self._config.load()
        self.state = ServerState()
        self.state.default_headers = [DATE]

    def connect(self) -> tuple[BoundedProtocol, Pipe]:
        """A connection, open."""
        protocol = BoundedProtocol(self.gate, self._config, self.state, {}, asyncio.get_running_loop())
        pipe = Pipe()
        protocol.connection_made(pipe)
        return protocol, pipe

    def leave(self, protocol: BoundedProtocol) -> None:
        """The client goes away."""
        protocol.connection_lost(None)


async def settle(turns: int = TURNS) -> None:
    """Let everything that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


def heads(said: bytes) -> list[int]:
    """The status of every answer in ``said``."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]
