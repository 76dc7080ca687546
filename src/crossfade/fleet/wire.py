"""The lean MCP client of the simulated fleet: tool calls over one keep-alive connection.

Not a general MCP client: it calls tools and answers form elicitations, nothing else; the official
client is the judge of the hub (fleet/official.py), this one is the load.

Rules
-----
1. A call survives the hub: lost connections, 503 and a forgotten session are tried again, with
   jittered backoff, **with the same body**, so a mutating call keeps its idempotency key.
2. 2026-07-28: every request stands alone; ``input_required`` is answered by calling again.
   2025-11-25: ``initialize`` first; ``elicitation/create`` comes on the call's event stream, the
   reply goes out on a short connection of its own.
3. What a question is answered with is the caller's business (``on_question``).

Source: MCP specifications 2025-11-25 and 2026-07-28, "Streamable HTTP", "Elicitation".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from crossfade.fleet.dice import Dice
from crossfade.fleet.sockets import LostError, Reply, Socket, connect

BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_MAX_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 90.0
"""A call that brings nothing for this long is lost; the hub pings every 15 s."""
DRAIN_SECONDS: Final = 1.0
ROUNDS_MAX: Final = 64
"""``input_required`` rounds of one call; more is a fault of the hub."""


class Revision(StrEnum):
    """The MCP revisions that the fleet speaks."""

    STATELESS = "2026-07-28"
    SESSION = "2025-11-25"


class Elicited(msgspec.Struct, frozen=True):
    """A native elicitation as the hub sent it."""

    question_id: str
    message: str
    schema: msgspec.Raw


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent says to an elicitation."""

    action: str
    content: Mapping[str, object] | None = None


OnQuestion = Callable[[Elicited], Awaitable[Given]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as whom an agent connects."""

    host: str
    port: int
    token: str
    """Empty: come as a guest, whom a development hub names from ``client``."""
    client: str
    """``clientInfo.name``."""
    revision: Revision = Revision.STATELESS
    capable: bool = True
    """Declare form elicitation."""
    path: str = "/mcp"


class Outcome(msgspec.Struct, frozen=True):
    """What a tool call brought."""

    failed: bool
    """``isError``: the content says why."""
    content: msgspec.Raw
    """``structuredContent``, an object; of a failed call whatever the hub put there."""
    text: str
    elicited: tuple[str, ...]
    """Questions answered natively inside this call; the hub has taken notice of them."""


class Line(Protocol):
    """An agent's line to the hub; the lean one is ``Wire``, the official client's is in fleet/official.py."""

    connections: int
    """Connections made so far; more than one means that one was lost."""

    async def call(self, tool: str, arguments: Mapping[str, object], on_question: OnQuestion | None = None) -> Outcome:
        """Call ``tool`` until the hub has answered, across lost connections. Raises CallError."""

    def close(self) -> None:
        """Hang up."""


class CallError(Exception):
    """A JSON-RPC error: the request was wrong, trying again is useless."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class _BusyError(Exception):
    """The hub says: not now."""


class _Params(msgspec.Struct, frozen=True, rename="camel"):
    message: str = ""
    requested_schema: msgspec.Raw = msgspec.Raw(b"{}")


class _InputRequest(msgspec.Struct, frozen=True):
    params: _Params


class _Part(msgspec.Struct, frozen=True):
    text: str = ""


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str = "complete"
    content: tuple[_Part, ...] = ()
    structured_content: msgspec.Raw = msgspec.Raw(b"{}")
    is_error: bool = False
    input_requests: dict[str, _InputRequest] = {}
    request_state: str | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str


class _Message(msgspec.Struct, frozen=True):
    """Any JSON-RPC message that the hub sends."""

    id: int | str | None = None
    method: str = ""
    params: _Params = _Params()
    result: _Result | None = None
    error: _Error | None = None


_DECODER: Final = msgspec.json.Decoder(_Message)


class Wire:
    """One agent's line to the hub. One call at a time; further callers wait their turn."""

    def __init__(self, endpoint: Endpoint, seed: int) -> None:
        self.endpoint = endpoint
        self.connections = 0
        """Connections made so far; more than one means that one was lost."""
        self._dice = Dice(seed)
        self._socket: Socket | None = None
        self._session: bytes | None = None
        self._next_id = 0
        self._lock = asyncio.Lock()

    async def call(self, tool: str, arguments: Mapping[str, object], on_question: OnQuestion | None = None) -> Outcome:
        """Call ``tool`` until the hub has answered. Raises CallError; cancel to give up."""
        params: dict[str, object] = {"name": tool, "arguments": arguments}
        async with self._lock:
            return await self._rounds(tool, params, on_question)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    # --- one call -----------------------------------------------------------------------------------

    async def _rounds(self, tool: str, params: dict[str, object], on_question: OnQuestion | None) -> Outcome:
        """Call, answer what is asked, call again … until the result is complete."""
        elicited: list[str] = []
        for _ in range(ROUNDS_MAX):
            result = await self._surely(tool, params, on_question, elicited)
            if result.result_type != "input_required":
                text = "".join(part.text for part in result.content)
                return Outcome(result.is_error, result.structured_content, text, tuple(elicited))
            responses: dict[str, Given] = {}
            for question_id, wanted in result.input_requests.items():
                responses[question_id] = await _given(question_id, wanted.params, on_question)
                elicited.append(question_id)
            params = {**params, "inputResponses": responses, "requestState": result.request_state}
        raise CallError(0, f"more than {ROUNDS_MAX} rounds of input_required")

    async def _surely(
        self, tool: str, params: Mapping[str, object], on_question: OnQuestion | None, elicited: list[str]
    ) -> _Result:
        """Send the same request until there is a result: its answers and its key stay the same."""
        attempt = 0
        while True:
            try:
                return await self._result(tool, params, on_question, elicited)
            except (LostError, TimeoutError, _BusyError):
                self.close()
                attempt += 1
                await asyncio.sleep(self._backoff(attempt))

    async def _result(
        self, tool: str, params: Mapping[str, object], on_question: OnQuestion | None, elicited: list[str]
    ) -> _Result:
        socket = await self._ready()
        self._next_id += 1
        body = {"jsonrpc": "2.0", "id": self._next_id, "method": "tools/call", "params": self._params(params)}
        async with asyncio.timeout(SILENCE_SECONDS):
            reply = await socket.exchange(self._frame("tools/call", tool, msgspec.json.encode(body)))
        self._check(reply)
        if not reply.streaming:
            return _result_of(_DECODER.decode(reply.body))
        return await self._listen(socket, on_question, elicited)

    async def _listen(self, socket: Socket, on_question: OnQuestion | None, elicited: list[str]) -> _Result:
        """Read the call's event stream; elicitations are answered beside it."""
        answering: set[asyncio.Task[str]] = set()
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    data = await socket.event()
                if data is None:
                    raise LostError("the event stream ended without a result")
                message = _DECODER.decode(data)
                if message.method == "elicitation/create":
                    answering.add(asyncio.create_task(self._answer(message, on_question)))
                elif message.id == self._next_id and not message.method:
                    break
            # The result may overtake the 202 of an answer, and the end of the stream comes after it.
            elicited.extend(await asyncio.gather(*answering))
            await self._drain(socket)
        finally:
            for task in answering:
                task.cancel()
        return _result_of(message)

    async def _drain(self, socket: Socket) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await socket.event() is not None:
                    pass
        except (TimeoutError, LostError):
            self.close()

    async def _answer(self, message: _Message, on_question: OnQuestion | None) -> str:
        """Answer one ``elicitation/create`` on a connection of its own; its id once the hub has taken it."""
        question_id = str(message.id)
        given = await _given(question_id, message.params, on_question)
        frame = self._frame("", "", msgspec.json.encode({"jsonrpc": "2.0", "id": message.id, "result": given}))
        attempt = 0
        while True:
            try:
                await self._post(frame)
            except (LostError, TimeoutError, _BusyError):
                attempt += 1
                await asyncio.sleep(self._backoff(attempt))
            else:
                return question_id

    async def _post(self, frame: bytes) -> None:
        socket = await connect(self.endpoint.host, self.endpoint.port)
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                self._check(await socket.exchange(frame))
        finally:
            socket.close()

    # --- connection and session ---------------------------------------------------------------------

    async def _ready(self) -> Socket:
        if self._socket is not None and self._socket.usable:
            return self._socket
        if self._socket is not None:
            self.close()
        self._socket = await connect(self.endpoint.host, self.endpoint.port)
        self.connections += 1
        if self.endpoint.revision is Revision.SESSION and self._session is None:
            await self._initialize(self._socket)
        return self._socket

    async def _initialize(self, socket: Socket) -> None:
        params = {
            "protocolVersion": str(self.endpoint.revision),
            "capabilities": self._capabilities(),
            "clientInfo": {"name": self.endpoint.client, "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        reply = await socket.exchange(self._frame("initialize", "", msgspec.json.encode(body)))
        self._check(reply)
        if reply.streaming:
            while await socket.event() is not None:
                pass
        self._session = reply.headers.get(b"mcp-session-id", b"")
        note = msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self._check(await socket.exchange(self._frame("", "", note)))

    def _check(self, reply: Reply) -> None:
        if reply.status in (200, 202):
            return
        if reply.status == 404 and self._session is not None:
            self._session = None
            raise _BusyError
        if reply.status in (429, 502, 503, 504):
            raise _BusyError
        raise CallError(reply.status, reply.body.decode("utf-8", "replace")[:500])

    def _backoff(self, attempt: int) -> float:
        """Full jitter: anything up to a doubling limit, so a fleet does not come back in step."""
        limit = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16))
        return limit * self._dice.fraction()

    # --- bytes --------------------------------------------------------------------------------------

    def _capabilities(self) -> dict[str, object]:
        return {"elicitation": {"form": {}}} if self.endpoint.capable else {}

    def _params(self, params: Mapping[str, object]) -> Mapping[str, object]:
        if self.endpoint.revision is Revision.SESSION:
            return params
        meta = {
            "io.modelcontextprotocol/protocolVersion": str(self.endpoint.revision),
            "io.modelcontextprotocol/clientInfo": {"name": self.endpoint.client, "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self._capabilities(),
        }
        return {**params, "_meta": meta}

    def _frame(self, method: str, name: str, body: bytes) -> bytes:
        """The HTTP request: head and body in one piece."""
        endpoint = self.endpoint
        lines = [
            f"POST {endpoint.path} HTTP/1.1",
            f"Host: {endpoint.host}:{endpoint.port}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"MCP-Protocol-Version: {endpoint.revision}",
            f"Content-Length: {len(body)}",
        ]
        if endpoint.token:
            lines.append(f"Authorization: Bearer {endpoint.token}")
        if endpoint.revision is Revision.STATELESS:
            lines += [f"Mcp-Method: {method}", *([f"Mcp-Name: {name}"] if name else [])]
        elif self._session:
            lines.append(f"Mcp-Session-Id: {self._session.decode('ascii')}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


async def _given(question_id: str, params: _Params, on_question: OnQuestion | None) -> Given:
    if on_question is None:
        raise CallError(0, "the hub elicits from a client that did not declare elicitation")
    return await on_question(Elicited(question_id, params.message, params.requested_schema))


def _result_of(message: _Message) -> _Result:
    if message.error is not None:
        raise CallError(message.error.code, message.error.message)
    if message.result is None:
        raise CallError(0, "neither result nor error")
    return message.result
