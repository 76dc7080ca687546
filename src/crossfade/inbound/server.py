"""The HTTP server: uvicorn inside a loop that somebody else runs, with an orderly end.

Rules
-----
1. The caller owns the loop (uvloop.run, or a test's) and, if it wants, the signals.
2. Order at the end: stop accepting; let the application end its streams and answer its held polls
   (``on_drain``); wait for what is in flight; after the grace drop the rest. uvicorn waits first
   and tells the application last, so its streams are cut after the whole grace has passed.
3. Nothing is polled: starting, stopping and the last connection are events.

Not here: routes, TLS, HTTP/2 (a proxy's work), several processes.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final, cast

import msgspec
import uvicorn
from uvicorn._types import ASGIApplication

from crossfade.inbound.asgi import App
from crossfade.inbound.collector import CollectorPolicy
from crossfade.inbound.front import Front
from crossfade.inbound.gate import ConnectionLimits, Gate
from crossfade.inbound.listeners import Listeners
from crossfade.inbound.protocol import BoundedProtocol

OnDrain = Callable[[float], Awaitable[object]]
"""Told the seconds it has, e.g. ``Streams.drain``. Ends streams and answers held polls."""

DATE_SECONDS: Final = 1.0
"""How often the Date header is renewed."""
DESCRIPTORS_SHARE: Final = 0.9
"""Connections may take this share of the descriptors; logs, files and clients need the rest."""
TURNS_TO_ARRIVE: Final = 3
"""Turns of the loop in which what lies in the sockets is read, before idle connections are closed."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SAME_SIGNAL_SECONDS: Final = 1.0
"""Within that time a second signal is the first one, told twice: a terminal, ``timeout`` and runners pass it on."""

log = logging.getLogger("crossfade.http")


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a server listens."""

    host: str = "127.0.0.1"
    port: int = 8765
    """0 takes a free one: see ``Server.port``."""
    listeners: int = 16
    backlog: int = 4_096
    """Per listener; the kernel lowers it to net.core.somaxconn."""
    limits: ConnectionLimits = ConnectionLimits()
    grace_seconds: float = 10.0
    """From ``stop`` until what is still open is dropped."""
    handle_signals: bool = False
    """SIGTERM and SIGINT stop the server, another one a second later at once. Main thread only."""
    own_process: bool = False
    """The process is the server's: tune its garbage collector and raise its descriptor limit."""


class Server:
    """One server. ``start``, then ``wait``; or ``serve`` for both. ``stop`` from anywhere on the loop."""

    def __init__(
        self,
        app: App,
        settings: ServerSettings,
        on_drain: OnDrain | None = None,
        front: Front | None = None,
        collector: CollectorPolicy | None = None,
    ) -> None:
        """``front`` answers, in the place of ``app``, what it can answer without ASGI.

        ``collector`` is started and stopped with a server that owns its process.
        """
        self.settings = settings
        self.gate = Gate(settings.limits)
        self.gate.front = front
        self.started = asyncio.Event()
        """Set when connections are accepted."""
        self._collector = collector or CollectorPolicy()
        self._runner = _Runner(_configuration(app, settings, self.gate), self, on_drain)
        self._listeners: Listeners | None = None
        self._task: asyncio.Task[None] | None = None
        self._signalled_at = 0.0
        """Loop time of the signal that began the end."""

    @property
    def port(self) -> int:
        """The port that was bound; the wished-for one before the start."""
        return self._listeners.port if self._listeners is not None else self.settings.port

    @property
    def url(self) -> str:
        """Address for clients on this machine, e.g. ``http://127.0.0.1:8765``."""
        host = self._listeners.host if self._listeners is not None else self.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._runner.server_state.connections)

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._runner.stopping.is_set()

    async def start(self) -> None:
        """Listen. Returns when connections are accepted. Raises ListenError, AddressInUseError."""
        settings = self.settings
        self._listeners = Listeners(settings.host, settings.port, settings.listeners, settings.backlog)
        if settings.own_process:
            _raise_descriptor_limit()
            self._collector.start(asyncio.get_running_loop(), lambda: self.connections)
            self.gate.on_admitted = self._collector.admitted
        self.gate.connections_max = _connections_max(settings.limits.connections_max)
        self._task = asyncio.create_task(self._run(self._listeners), name="http-server")
        started = asyncio.ensure_future(self.started.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._task.done():
            self._task.result()

    async def wait(self) -> None:
        """Return when the server has stopped, with every connection closed."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def serve(self) -> None:
        """Listen until stopped; a cancellation stops it in order. Raises as ``start``."""
        await self.start()
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.stop()
            await self.wait()
            raise

    def stop(self, *, at_once: bool = False) -> None:
        """Begin the orderly end; ``at_once`` skips what is left of the grace. May be called again."""
        self._runner.stopping.set()
        if at_once:
            self._runner.hurried.set()

    def taken(self) -> list[socket.socket]:
        """Connections that the kernel has accepted and we have not: closing the listeners would reset them."""
        found = []
        for listener in self._listeners.sockets if self._listeners is not None else ():
            with contextlib.suppress(OSError):  # there are no more, or no descriptors
                while True:
                    found.append(listener.accept()[0])
        return found

    async def _run(self, listeners: Listeners) -> None:
        try:
            with self._signals():
                await self._runner.serve(sockets=list(listeners.sockets))
        finally:
            self._runner.stop_accepting()  # cancelled, there was no orderly end
            listeners.close()
            self._collector.stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        wanted = SIGNALS if self.settings.handle_signals else ()
        for number in wanted:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in wanted:
                if self.settings.own_process:  # a signal told twice must not end the process before its log is closed
                    loop.call_later(SAME_SIGNAL_SECONDS, loop.remove_signal_handler, number)
                else:
                    loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        now = asyncio.get_running_loop().time()
        again = self.stopping and now >= self._signalled_at + SAME_SIGNAL_SECONDS
        if not self.stopping:
            self._signalled_at = now
        self.stop(at_once=again)


class _Runner(uvicorn.Server):
    """uvicorn's server with our signals (none), our waiting (events) and our order at the end."""

    def __init__(self, config: uvicorn.Config, owner: Server, on_drain: OnDrain | None) -> None:
        super().__init__(config)
        self.servers = []
        self.stopping = asyncio.Event()
        self.hurried = asyncio.Event()
        self._owner = owner
        self._gate = owner.gate
        self._grace_seconds = owner.settings.grace_seconds
        self._on_drain = on_drain

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Take no signals."""
        return contextlib.nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen and say so."""
        await super().startup(sockets)
        self._owner.started.set()

    async def main_loop(self) -> None:
        """Keep the Date header fresh until stopped."""
        while not self.stopping.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, wait, drop the rest."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace_seconds
        taken = self._owner.taken()
        self.stop_accepting()
        await self._let_in(taken)
        self._gate.emptied.clear()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # closes the idle ones; the others close after their answer
        try:
            if self._on_drain is not None:
                await self._until(self._on_drain(self._grace_seconds), deadline)
            if self.server_state.connections:
                await self._until(self._gate.emptied.wait(), deadline)
        finally:
            self._drop()
        tasks = set(self.server_state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(DATE_SECONDS, deadline - loop.time()))
            for task in late:
                task.cancel()
        await self._gate.strands.finish(max(DATE_SECONDS, deadline - loop.time()))
        await self.lifespan.shutdown()

    async def _let_in(self, taken: list[socket.socket]) -> None:
        """Serve connections that only the kernel had accepted, and let what they have sent arrive."""
        factory = partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        for sock in taken:
            with contextlib.suppress(OSError):  # it has gone already
                await loop.connect_accepted_socket(factory, sock)
        for _ in range(TURNS_TO_ARRIVE):
            await asyncio.sleep(0)

    def stop_accepting(self) -> None:
        """Close the listeners. Again: nothing."""
        for server in self.servers:
            server.close()

    async def _until(self, work: Awaitable[object], deadline: float) -> None:
        """Wait for ``work``, but not beyond ``deadline`` (loop time) nor when hurried."""
        loop = asyncio.get_running_loop()
        wanted = asyncio.ensure_future(work)
        hurried = asyncio.ensure_future(self.hurried.wait())
        await asyncio.wait(
            {wanted, hurried}, timeout=max(0.0, deadline - loop.time()), return_when=asyncio.FIRST_COMPLETED
        )
        hurried.cancel()
        if wanted.done():
            wanted.result()
        else:
            wanted.cancel()

    def _drop(self) -> None:
        """Abort every connection that is left, and those being told that the hub is full."""
        left = list(self.server_state.connections)
        if left:
            log.warning("dropped %d connections that did not end within %s s", len(left), self._grace_seconds)
        for connection in left:
            connection.transport.abort()
        for transport in list(self._gate.lingering):
            transport.abort()


def _configuration(app: App, settings: ServerSettings, gate: Gate) -> uvicorn.Config:
    return uvicorn.Config(
        cast("ASGIApplication", app),
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, gate)),
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        workers=1,  # otherwise WEB_CONCURRENCY is read
        log_config=None,
        log_level=logging.ERROR,  # below that, one line for each malformed request
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=settings.backlog,
    )


def _raise_descriptor_limit() -> None:
    """Ask for as many descriptors as the machine allows: the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # refused, or not a number here: keep what there is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _connections_max(wished: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wished if soft == resource.RLIM_INFINITY else min(wished, int(soft * DESCRIPTORS_SHARE))
