"""The application: one door for every path, then MCP, the API, the event stream, the hub's own pages, the console.

Host and Origin are checked here, once, before any path is looked at. Hot paths are plain ASGI; only the
console goes through Starlette. The server around it is inbound/server.py.
"""

from typing import Final

import msgspec

from crossfade.engine.hub import Hub
from crossfade.engine.ports import Clock
from crossfade.inbound import errors, openapi
from crossfade.inbound.api.dispatch import Api
from crossfade.inbound.api.table import ROUTES
from crossfade.inbound.asgi import App, Receive, Scope, Send, Streams, json_response
from crossfade.inbound.auth import Door
from crossfade.inbound.collector import Pauses
from crossfade.inbound.console import build_console
from crossfade.inbound.front import Front
from crossfade.inbound.health import Health
from crossfade.inbound.mcp.endpoint import McpEndpoint
from crossfade.inbound.metrics import MetricsEndpoint
from crossfade.inbound.settings import AppSettings
from crossfade.inbound.stream import EventEndpoint, StreamQuery

PLAIN: Final = (
    openapi.Plain(
        method="GET", path="/v1/stream", name="stream", summary="Receive questions, messages and ends as they happen",
        media="text/event-stream", credential=True, query=StreamQuery, statuses=(400, 503),
    ),
    openapi.Plain(
        method="GET", path="/livez", name="livez", summary="Say that the process answers",
        media="application/json", credential=False,
    ),
    openapi.Plain(
        method="GET", path="/readyz", name="readyz", summary="Say whether the hub can take work",
        media="application/json", credential=False, statuses=(503,),
    ),
    openapi.Plain(
        method="GET", path="/metrics", name="metrics", summary="Read the measures in the Prometheus text format",
        media="text/plain", credential=True,
    ),
    openapi.Plain(
        method="GET", path="/openapi.json", name="openapi", summary="Read this document",
        media="application/json", credential=False,
    ),
)  # fmt: skip

PATHS: Final = tuple((route.method, route.path) for route in ROUTES) + tuple((path.method, path.path) for path in PLAIN)
"""Every method and path that the OpenAPI document describes."""


class Application:
    """Everything below one address."""

    def __init__(self, door: Door, mcp: App | None, console: App, api: App, plain: dict[str, App]) -> None:
        self._door = door
        self._mcp = mcp
        self._console = console
        self._api = api
        self._plain = plain

    def front(self) -> Front | None:
        """What answers requests for /mcp without ASGI; None if nothing can."""
        return _McpFront(self._door, self._mcp) if isinstance(self._mcp, McpEndpoint) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the scopes of other protocols are left alone."""
        if scope["type"] != "http":
            return
        refusal = self._door.check(scope)
        if refusal is not None:
            await errors.refuse(send, refusal)
            return
        path = scope["path"]
        if path == "/mcp" and self._mcp is not None:
            await self._mcp(scope, receive, send)
        elif path in self._plain:
            await self._plain[path](scope, receive, send)
        elif path.startswith("/v1"):
            await self._api(scope, receive, send)
        else:
            await self._console(scope, receive, send)


class _McpFront:
    """``Front`` for /mcp: a head is remembered that both doors let in."""

    target = b"/mcp"

    def __init__(self, door: Door, mcp: McpEndpoint) -> None:
        self._door = door
        self._mcp = mcp
        self.serve = mcp.serve

    def remember(self, scope: Scope) -> object | None:
        """As in ``Front``."""
        return self._mcp.remember(scope) if self._door.check(scope) is None else None


def build_app(
    hub: Hub, mcp: App | None, settings: AppSettings, *, clock: Clock, streams: Streams, pauses: Pauses | None = None
) -> Application:
    """Put the application together; ``mcp`` is the endpoint at /mcp, None for none.

    ``streams`` is what the server drains when it stops, ``pauses`` what its garbage collector made.
    """
    health = Health(hub, streams)
    document = msgspec.json.encode(openapi.document(settings.version, ROUTES, PLAIN))

    async def describe(scope: Scope, receive: Receive, send: Send) -> None:
        await json_response(send, 200, document, ((b"cache-control", b"max-age=60"),))

    plain: dict[str, App] = {
        "/livez": _get(health.live),
        "/readyz": _get(health.ready),
        "/metrics": _get(MetricsEndpoint(hub, settings, streams, pauses or Pauses())),
        "/openapi.json": _get(describe),
        "/v1/stream": EventEndpoint(hub, settings, streams),
    }
    api = Api(hub, settings, streams, ROUTES)
    return Application(door_of(settings), mcp, build_console(hub, settings, clock), api, plain)


def door_of(settings: AppSettings) -> Door:
    """The names and origins that ``settings`` allow, lower case."""
    return Door(
        hosts=frozenset(host.lower() for host in settings.public_hosts),
        origins=frozenset(origin.lower().rstrip("/") for origin in settings.public_origins),
    )


def _get(inner: App) -> App:
    async def only_get(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            return await errors.refuse(send, errors.wrong_method("GET"), ((b"allow", b"GET"),))
        return await inner(scope, receive, send)

    return only_get
