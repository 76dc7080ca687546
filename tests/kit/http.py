"""The application over a hub in memory: requests without a socket, or a real server for browsers."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import msgspec

from crossfade.core.values import Caller, Kind, Scope, Shard
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Log, LogError, Result, Tx
from crossfade.inbound.app import Application, build_app
from crossfade.inbound.asgi import StreamLimits, Streams
from crossfade.inbound.server import Server, ServerSettings
from crossfade.inbound.settings import AppSettings
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.host import HostClock, HostIds
from tests.kit.clock import FakeClock
from tests.kit.hub import ROOT, SIGNER, World, ok

HOST = "127.0.0.1:8765"


class FailingLog(MemoryLog):
    """Refuses to append while ``fault`` is set."""

    fault: type[LogError] | None = None

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """As the memory log, unless told to fail."""
        if self.fault is not None:
            raise self.fault("the disk is gone")
        return await super().append(shard, txs)


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    ended: bool = True

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def code(self) -> str:
        """The code of the refusal that this is."""
        error = self.json["error"]
        assert {"code", "message"} <= error.keys(), error
        return str(error["code"])


class Exchange:
    """One request under way: what was sent to the client so far, and a way to go away."""

    def __init__(self, app: Application, scope: dict[str, Any], body: bytes) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.ended = False
        self.gone = asyncio.Event()
        self._parts = [{"type": "http.request", "body": body, "more_body": False}]
        self._grown = asyncio.Event()
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._parts:
            return self._parts.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode().lower(): value.decode() for key, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._grown.set()

    async def until(self, mark: bytes) -> bytes:
        """Wait until the body has ``mark``; all of it so far."""
        while mark not in self.body:
            assert not self.task.done(), bytes(self.body)
            self._grown.clear()
            await asyncio.wait_for(self._grown.wait(), 60)
        return bytes(self.body)

    async def answer(self) -> Answer:
        """The whole answer."""
        await asyncio.wait_for(self.task, 60)
        return Answer(self.status, self.headers, bytes(self.body), self.ended)


class Web:
    """A hub on a simulated clock with the application in front; ``async with`` it."""

    def __init__(self, log: Log | None = None, limits: Limits | None = None, **settings: Any) -> None:
        self.world = World(log, FakeClock(), limits)
        self.hub: Hub = self.world.hub
        self.clock = self.world.clock
        self.streams = Streams(StreamLimits())
        self.settings = AppSettings(**{"version": "0.0-test", **settings})
        self.app = build_app(self.hub, None, self.settings, clock=self.clock, streams=self.streams)
        self.tokens: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.world.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.world.__aexit__()

    async def token(self, name: str, *scopes: Scope, kind: Kind = Kind.PROGRAM, seconds: float | None = None) -> str:
        """A token for ``name``; by default of an agent."""
        issued = await self.hub.issue_token(ROOT, name, kind, scopes or [Scope.AGENT], expires_seconds=seconds)
        self.tokens[name] = ok(issued).token
        return self.tokens[name]

    def begin(self, method: str, target: str, body: bytes = b"", **headers: str) -> Exchange:
        """Start a request; ``headers`` are names with underscores, ``token`` is a bearer token."""
        path, _, query = target.partition("?")
        given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items() if name != "token"}}
        if "token" in headers:
            given["authorization"] = f"Bearer {headers['token']}"
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None],
            "client": ("127.0.0.1", 4321),
            "server": ("127.0.0.1", 8765),
            "extensions": {},
        }
        return Exchange(self.app, scope, body)

    async def get(self, target: str, **headers: str) -> Answer:
        """GET."""
        return await self.begin("GET", target, **headers).answer()

    async def post(self, target: str, content: object = None, **headers: str) -> Answer:
        """POST JSON; bytes are sent as they are."""
        body = content if isinstance(content, bytes) else b"" if content is None else msgspec.json.encode(content)
        headers = {"content_type": "application/json", **headers}
        return await self.begin("POST", target, body, **headers).answer()

    async def delete(self, target: str, **headers: str) -> Answer:
        """DELETE."""
        return await self.begin("DELETE", target, **headers).answer()

    async def form(self, target: str, fields: Mapping[str, object], **headers: str) -> Answer:
        """POST a form as browsers do."""
        body = urlencode(fields, doseq=True).encode()
        kind = "application/x-www-form-urlencoded"
        return await self.begin("POST", target, body, **{"content_type": kind, **headers}).answer()


class Live:
    """A hub with a real clock behind a real server, on a loop in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hub: Hub, url: str) -> None:
        self._loop = loop
        self.hub = hub
        self.url = url

    def do(self, work: Any) -> Any:
        """Run a coroutine of the hub; its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def token(self, name: str, *scopes: Scope, kind: Kind = Kind.PROGRAM) -> str:
        """A token for ``name``."""
        issued = self.do(self.hub.issue_token(ROOT, name, kind, scopes or [Scope.AGENT]))
        return str(ok(issued).token)

    def caller(self, name: str) -> Caller:
        """The caller that a fresh token for ``name`` gives."""
        return ok(self.hub.authenticate(self.token(name)))


@contextmanager
def live(limits: Limits | None = None, **settings: Any) -> Iterator[Live]:
    """Serve on a free loopback port for the time of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    streams = Streams()
    hub = Hub(MemoryLog(), HostClock(), HostIds(), limits or Limits(), guests=True, signer=SIGNER)
    app = build_app(hub, None, AppSettings(**{"version": "0.0-test", **settings}), clock=HostClock(), streams=streams)

    async def start() -> Server:
        await hub.start()
        server = Server(app, ServerSettings(port=0, listeners=1), streams.drain)
        await server.start()
        return server

    async def stop(server: Server) -> None:
        server.stop(at_once=True)
        await server.wait()
        await hub.stop()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield Live(loop, hub, server.url)
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
