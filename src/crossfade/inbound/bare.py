"""uvicorn's connection without what most connections never use: a parser, a queue of pipelined requests, two events.

A hub holds ten thousand connections of which each waits, so what lies idle in one counts (docs/adr/0036). What is
left out is made when it is needed, and a parser that has nothing left to parse may be dropped.

Not here: bounds, and what is answered (inbound/protocol.py). Rests on the same internals of uvicorn.
"""

import asyncio
from collections import deque
from typing import Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from crossfade.inbound.replies import Held

NOTHING_BEHIND: Final = ()
"""The requests behind the one that is answered, of nearly every connection."""


class Flow:
    """uvicorn's ``FlowControl``, with an event only while writing is paused and somebody waits."""

    __slots__ = ("_transport", "_writable", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._writable: asyncio.Event | None = None
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Read nothing from here on. Again: nothing."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The transport has more than it wants."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """The transport takes more; whoever waits for that goes on."""
        self.write_paused = False
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()


class BareProtocol(HttpToolsProtocol):
    """One connection, of which nothing is there yet but the transport."""

    __slots__ = ("_is_lost", "_lost", "held")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = None  # type: ignore[assignment]  # until there is something to parse
        self._lost: list[asyncio.Future[None]] | None = None
        self._is_lost = False
        self.held: Held | None = None
        """The call that waits without anything running for it, told of the loss."""
        self.pipeline = NOTHING_BEHIND  # type: ignore[assignment]  # an empty deque takes 760 bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take note of the connection; who is at its ends is looked up when a scope is to say it."""
        self.connections.add(self)
        self.transport = transport
        self.flow = Flow(transport)  # type: ignore[assignment]  # as uvicorn's own

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever asked."""
        self._is_lost = True
        super().connection_lost(exc)
        self.tell_lost()

    def lost(self) -> asyncio.Future[None]:
        """Return a future that is done when this connection is gone; the caller may cancel it."""
        future: asyncio.Future[None] = self.loop.create_future()
        if self._is_lost:
            future.set_result(None)
            return future
        if self._lost is None:
            self._lost = []
        self._lost.append(future)
        future.add_done_callback(self._lost.remove)
        return future

    def tell_lost(self) -> None:
        """Say to whoever asked that the client is gone."""
        for future in self._lost or ():
            if not future.done():
                future.set_result(None)
        if self.held is not None:
            self.held.lost()

    def data_received(self, data: bytes) -> None:
        """Parse."""
        parser: httptools.HttpRequestParser | None = self.parser
        if parser is None:
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begin a request of the application."""
        if self.scheme is None:
            self.scheme = "https" if is_ssl(self.transport) else "http"
            self.server, self.client = get_local_addr(self.transport), get_remote_addr(self.transport)
        self.scope.update({"server": self.server, "client": self.client, "scheme": self.scheme})
        if not self.pipeline and self.cycle is not None and not self.cycle.response_complete:
            self.pipeline = deque()
        super().on_headers_complete()

    def drop_parser(self) -> None:
        """Let go of what parsing has left; only where the bytes ended with a request."""
        self.parser = self.scope = self.headers = None  # type: ignore[assignment]
        self.url = b""
