"""A hub behind a real MCP endpoint on a free port, the official client, and a judge of every message sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import jsonschema_rs
import mcp_types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import methods

from crossfade.core.values import SPACE, AgentName, Caller, Kind, Scope, Sequence
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.requests import AskRequest, SendRequest
from crossfade.inbound.asgi import Message, Receive, Send, StreamLimits, Streams
from crossfade.inbound.asgi import Scope as AsgiScope
from crossfade.inbound.mcp import catalogue
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.inbound.server import Server
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.host import HostClock, HostIds
from tests.kit.http_server import serving
from tests.kit.hub import ROOT, ok

KEY = b"k" * 32
SESSIONED, STATELESS = "legacy", "2026-07-28"
"""Modes of the official client: 2025-11-25 by handshake, and 2026-07-28."""
PV = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT = "io.modelcontextprotocol/clientInfo"
ACCEPT = "application/json, text/event-stream"


class Judge:
    """Wraps an endpoint; validates each message it sends by the models of the revision it is sent in."""

    def __init__(self, app: McpEndpoint) -> None:
        self.app = app
        self.fronted = 0
        self.judged = 0
        self.faults: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self._revisions: dict[str, str] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve, listening."""
        received = bytearray()
        sent = bytearray()
        head: dict[str, Any] = {}

        async def hear() -> Message:
            message = await receive()
            received.extend(message.get("body", b""))
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                head.update(status=message["status"], headers=dict(message["headers"]))
            else:
                sent.extend(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, hear, tell)
        finally:
            if head:
                self._judge(dict(scope["headers"]), bytes(received), head, bytes(sent))

    # --- as a front

    target = b"/mcp"

    def remember(self, scope: AsgiScope) -> Any:
        """As the endpoint, along with the headers to judge by."""
        head = self.app.remember(scope)
        return None if head is None else (head, dict(scope["headers"]))

    async def serve(self, kept: Any, body: bytes, reply: Any) -> None:
        """Serve, listening."""
        head, asked = kept
        overheard = Overheard(reply)
        self.fronted += 1
        work = self.app.serve(head, body, overheard)
        try:
            while work is not None:
                work = await work
        finally:
            judge = partial(self._heard, asked, body, overheard)
            if overheard.complete or not overheard.is_held:
                judge()
            else:  # nothing runs for it until what it waits for is there
                overheard.then = judge

    def _heard(self, asked: dict[bytes, bytes], body: bytes, overheard: "Overheard") -> None:
        if overheard.head:
            self._judge(asked, body, overheard.head, bytes(overheard.sent))

    def _judge(self, asked: dict[bytes, bytes], body: bytes, head: dict[str, Any], sent: bytes) -> None:
        try:
            request = json.loads(body)
        except ValueError:
            request = {}
        request = request if isinstance(request, dict) else {}
        session = head["headers"].get(b"mcp-session-id") or asked.get(b"mcp-session-id")
        stream = head["headers"].get(b"content-type") == b"text/event-stream"
        whole = sent[: sent.rfind(b"\n\n") + 2] if stream else sent
        for message in _events(whole) if stream else [sent] * bool(sent):
            decoded = json.loads(message)
            self.seen.append(decoded)
            try:
                self._validate(request, decoded, asked, session)
                self.judged += 1
            except Exception as fault:  # noqa: BLE001 - whatever the models say is wrong
                self.faults.append(f"{request.get('method')} -> {message[:300]!r}: {fault}")

    def _validate(
        self, request: dict[str, Any], message: dict[str, Any], asked: dict[bytes, bytes], session: bytes | None
    ) -> None:
        mcp_types.jsonrpc_message_adapter.validate_python(message, by_name=False)
        method = request.get("method", "")
        revision = asked.get(b"mcp-protocol-version", b"").decode()
        if method == "initialize" and "result" in message:
            revision = message["result"]["protocolVersion"]
            assert session is not None
            self._revisions[session.decode()] = revision
        elif session is not None and session.decode() in self._revisions:
            revision = self._revisions[session.decode()]
        if "result" in message:
            methods.validate_server_result(method, revision, message["result"])
            if method == "tools/call":
                _promised(request["params"]["name"], message["result"])
            if revision in ("2025-11-25", "2026-07-28"):
                assert set(message["result"]) <= set(
                    methods.serialize_server_result(method, revision, message["result"])
                )
        elif "method" in message and "id" in message:
            methods.parse_server_request(message["method"], revision, message.get("params"))
        elif "method" in message:
            methods.parse_server_notification(message["method"], revision, message.get("params"))
        else:
            mcp_types.ErrorData.model_validate(message["error"])


OUTPUTS = {tool["name"]: tool["outputSchema"] for tool in json.loads(catalogue.encoded(polling=True))}
"""Tool to the schema that its results promise to fit."""


def _promised(tool: str, result: dict[str, Any]) -> None:
    """Fail unless the structured content is there and fits what the tool promises."""
    if "structuredContent" in result:
        jsonschema_rs.validate(OUTPUTS[tool], result["structuredContent"])
    else:
        assert result.get("isError") or result.get("resultType") == "input_required", f"{tool} is silent"


class Overheard:
    """A reply that remembers what it was given."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply
        self.head: dict[str, Any] = {}
        self.sent = bytearray()
        self.complete = self.is_held = False
        self.then: Callable[[], None] = lambda: None

    def _end(self) -> None:
        self.complete = True
        self.then()

    def hold(self, held: Any) -> None:
        """As the reply."""
        self.is_held = self.is_held or held is not None
        self._reply.hold(held)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the reply's."""
        return getattr(self._reply, name)

    def at_once(self, body: bytes) -> bool:
        """As the reply."""
        done: bool = self._reply.at_once(body)
        if done:
            self.head.update(status=200, headers={b"content-type": b"application/json"})
            self.sent += body
            self._end()
        return done

    async def whole(self, status: int, body: bytes, headers: Any = ()) -> None:
        """As the reply."""
        self.head.update(status=status, headers={b"content-type": b"application/json", **dict(headers)})
        self.sent += body
        await self._reply.whole(status, body, headers)
        self._end()

    async def send(self, message: Message) -> None:
        """As the reply."""
        if message["type"] == "http.response.start":
            self.head.update(status=message["status"], headers=dict(message["headers"]))
        else:
            self.sent += message.get("body", b"")
        await self._reply.send(message)
        if message["type"] != "http.response.start" and not message.get("more_body", False):
            self._end()


def _events(sent: bytes) -> list[bytes]:
    blocks = [block for block in sent.split(b"\n\n") if block and not block.startswith(b":")]
    return [b"\n".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")) for block in blocks]


class Place:
    """A hub with its endpoint."""

    def __init__(self, limits: Limits, settings: McpSettings, *, guests: bool, ping_seconds: float) -> None:
        self.log = MemoryLog()
        self.hub = Hub(self.log, HostClock(), HostIds(), limits, guests=guests)
        self.streams = Streams(StreamLimits(ping_seconds=ping_seconds))
        host = Host(HostClock(), HostIds(), KEY, self.streams)
        self.endpoint = McpEndpoint(self.hub, HubTools(self.hub), host, settings)
        self.judge = Judge(self.endpoint)
        self.server: Server | None = None
        self.tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self.server is not None
        return f"{self.server.url}/mcp"

    async def join(self, *names: str) -> None:
        """Give agents tokens."""
        for name in names:
            issued = ok(await self.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT]))
            self.tokens[name] = issued.token

    def caller(self, name: str) -> Caller:
        """The agent as the hub knows it."""
        return ok(self.hub.authenticate(self.tokens[name]))

    async def share(self, share: float) -> None:
        """Put this share of the weight on the elicitation lane."""
        if not self.hub.rollout().name:
            ok(await self.hub.rollout_start(ROOT, "test", salt="salt"))
        ok(await self.hub.rollout_set(ROOT, share, "test"))

    async def revoke(self, name: str) -> None:
        """Take back all of an agent's tokens."""
        for token in ok(await self.hub.tokens(ROOT)):
            if token.name == name:
                ok(await self.hub.revoke_token(ROOT, token.token_id))

    async def deprecate(self, sunset_seconds: float, notice: str) -> None:
        """Announce the end of polling."""
        ok(await self.hub.rollout_deprecate(ROOT, sunset_seconds, notice))

    async def remove(self) -> None:
        """End polling."""
        ok(await self.hub.rollout_remove(ROOT))

    async def ask(self, asker: str, to: str, message: str = "Ship it?") -> str:
        """Ask a yes/no question past MCP; its id."""
        request = AskRequest(to=to, message=message, choices=("yes", "no"))
        return ok(await self.hub.ask(self.caller(asker), request)).question_id

    async def send(self, sender: str, to: str, body: str) -> None:
        """Send a message past MCP."""
        ok(await self.hub.send(self.caller(sender), SendRequest(to=(to,), body=body)))

    async def events(self, kind: str) -> int:
        """How many events of this type are in the log."""
        rows = await self.log.read(SPACE, Sequence(0), 10_000)
        return sum(row.type.startswith(kind) for row in rows)

    async def waiting(self, name: str, calls: int = 1) -> None:
        """Return when the agent holds this many waits open."""
        while len(self.hub._views.directory.member(AgentName(name)).mailbox.wakers) != calls:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)

    async def native(self, name: str) -> None:
        """Return when the hub has noted that the agent's client can elicit."""
        while not self.hub._views.directory.member(AgentName(name)).state.native:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)

    async def asked(self, name: str) -> None:
        """Return when a question of this agent is open."""
        while not self.hub._views.directory.member(AgentName(name)).asked_open:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)

    @asynccontextmanager
    async def client(self, name: str, mode: str, **more: Any) -> AsyncIterator[Client]:
        """The official client, as this agent."""
        headers = {"authorization": f"Bearer {self.tokens[name]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30)) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode, **more) as client,
        ):
            yield client

    @asynccontextmanager
    async def raw(self, name: str | None = None, **headers: str) -> AsyncIterator["Wire"]:
        """A client that sends what it is told."""
        if name is not None:
            headers = {"authorization": f"Bearer {self.tokens[name]}", **headers}
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(30)) as http:
            yield Wire(http, self.url, {"accept": ACCEPT, "content-type": "application/json", **headers})


@asynccontextmanager
async def place(
    *names: str,
    limits: Limits | None = None,
    settings: McpSettings | None = None,
    guests: bool = False,
    ping_seconds: float = 15.0,
) -> AsyncIterator[Place]:
    """A running hub with these agents; at the end every message that was sent must have been right."""
    made = Place(limits or Limits(), settings or McpSettings(), guests=guests, ping_seconds=ping_seconds)
    await made.hub.start()
    try:
        async with serving(made.judge, made.streams.drain, front=made.judge) as server:
            made.server = server
            await made.join(*names)
            yield made
    finally:
        await made.hub.stop()
    assert made.judge.faults == []


class Wire:
    """Raw MCP over HTTP."""

    def __init__(self, http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> None:
        self.http = http
        self.url = url
        self.headers = headers
        self._id = 0

    async def post(self, body: bytes | str | dict[str, Any], **headers: str | None) -> httpx2.Response:
        """Send a body as it is; a header of None is left out."""
        content = json.dumps(body) if isinstance(body, dict) else body
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        merged = {key: value for key, value in {**self.headers, **named}.items() if value is not None}
        return await self.http.post(self.url, content=content, headers=merged)

    def message(self, method: str, **params: Any) -> dict[str, Any]:
        """A request with an id of its own."""
        self._id += 1
        return {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}

    async def initialize(
        self, revision: str = "2025-11-25", capabilities: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Begin a session; its id goes with every request from now on."""
        params = {
            "protocolVersion": revision,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "wire", "version": "1"},
        }
        answer = await self.post(self.message("initialize", **params))
        assert answer.status_code == 200, answer.text
        self.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        result: dict[str, Any] = answer.json()["result"]
        self.headers["mcp-protocol-version"] = result["protocolVersion"]
        return result

    def envelope(self, method: str, capabilities: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """A request of 2026-07-28."""
        meta = {PV: STATELESS, CAPABILITIES: capabilities or {}, CLIENT: {"name": "wire", "version": "1"}}
        return self.message(method, **params, _meta={**meta, **params.pop("meta", {})})

    async def enveloped(
        self, method: str, capabilities: dict[str, Any] | None = None, **params: Any
    ) -> httpx2.Response:
        """Send a request of 2026-07-28 with its headers."""
        headers: dict[str, str | None] = {"mcp_protocol_version": STATELESS, "mcp_method": method}
        if "name" in params:
            headers["mcp_name"] = params["name"]
        return await self.post(self.envelope(method, capabilities, **params), **headers)

    async def call(self, tool: str, **arguments: Any) -> httpx2.Response:
        """Call a tool in the session."""
        return await self.post(self.message("tools/call", name=tool, arguments=arguments))

    @asynccontextmanager
    async def held(self, message: dict[str, Any], **headers: str) -> AsyncIterator["Held"]:
        """A response that is being streamed."""
        merged = {**self.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
        async with self.http.stream("POST", self.url, content=json.dumps(message), headers=merged) as response:
            yield Held(response)


class Held:
    """A stream that is read one event at a time."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def line(self) -> str:
        """The next line that says anything; raises StopAsyncIteration at the end."""
        while True:
            line: str = await anext(self._lines)
            if line:
                return line

    async def message(self) -> dict[str, Any]:
        """The next message; comments are passed over."""
        while True:
            line = await self.line()
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found


def structured(response: httpx2.Response) -> dict[str, Any]:
    """The structured content of a tool's result."""
    found: dict[str, Any] = said(response)["result"]["structuredContent"]
    return found


def refusal(response: httpx2.Response) -> str:
    """The code of a refused call; fails the test if it was accepted."""
    result = said(response)["result"]
    assert result["isError"], result
    code: str = result["structuredContent"]["error"]["code"]
    return code


def said(response: httpx2.Response) -> dict[str, Any]:
    """The last message of a response, JSON or stream."""
    if response.headers["content-type"].startswith("text/event-stream"):
        last: dict[str, Any] = json.loads(_events(response.content)[-1])
        return last
    body: dict[str, Any] = response.json()
    return body
