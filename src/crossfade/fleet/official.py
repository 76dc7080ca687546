"""The official MCP client as a line of an agent: what real clients will do, in both protocol eras.

Needs the extra ``agents`` (package ``mcp``). Not the load: it costs about ten times the lean client.

Rules
-----
1. The client lives in a task of its own, because its scopes must be left by the task that entered them.
2. When it fails it is thrown away and another is made; the call is then made again with the same
   arguments, so with the same idempotency key.
3. The question's id is the id of the elicitation request, on every revision.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx2
import msgspec
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestParams, ElicitResult, Implementation, jsonrpc

from crossfade.fleet.dice import Dice
from crossfade.fleet.wire import (
    BACKOFF_FIRST_SECONDS,
    BACKOFF_MAX_SECONDS,
    CallError,
    Elicited,
    Endpoint,
    OnQuestion,
    Outcome,
    Revision,
)

TIMEOUT: Final = httpx2.Timeout(10.0, read=90.0)
FINAL_CODES: Final = frozenset({jsonrpc.INVALID_PARAMS, jsonrpc.METHOD_NOT_FOUND, jsonrpc.INVALID_REQUEST})
"""Errors that another attempt cannot change."""
MODES: Final = {Revision.STATELESS: "2026-07-28", Revision.SESSION: "legacy"}


class OfficialLine:
    """One official client with its own connections; takes calls side by side."""

    def __init__(self, endpoint: Endpoint, seed: int) -> None:
        self.connections = 0
        self._endpoint = endpoint
        self._dice = Dice(seed)
        self._on_question: OnQuestion | None = None
        self._elicited: list[str] = []
        self._client: asyncio.Future[Client] | None = None
        self._broken = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    async def call(self, tool: str, arguments: Mapping[str, object], on_question: OnQuestion | None = None) -> Outcome:
        """As ``wire.Line`` says."""
        if on_question is not None:
            self._on_question = on_question
        attempt = 0
        while True:
            client = await self._connected()
            try:
                result = await client.call_tool(tool, dict(arguments))
            except MCPError as fault:
                if fault.error.code in FINAL_CODES and "ession" not in fault.error.message:
                    raise CallError(fault.error.code, fault.error.message) from fault
            except (httpx2.HTTPError, OSError):
                pass
            else:
                elicited = tuple(self._elicited) if on_question is not None else ()
                if on_question is not None:
                    self._elicited.clear()
                text = "".join(getattr(part, "text", "") for part in result.content)
                content = msgspec.Raw(msgspec.json.encode(result.structured_content or {}))
                return Outcome(bool(result.is_error), content, text, elicited)
            self._hang_up(client)
            attempt += 1
            await asyncio.sleep(self._backoff(attempt))

    def close(self) -> None:
        """Hang up."""
        if self._owner is not None:
            self._owner.cancel()
            self._owner = None

    # --- the task that owns the client --------------------------------------------------------------

    async def _connected(self) -> Client:
        if self._owner is None:
            self._client = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own())
        assert self._client is not None
        return await asyncio.shield(self._client)

    async def _own(self) -> None:
        """Make clients, one after the other, each until it is broken."""
        attempt = 0
        while True:
            self._broken.clear()
            before = self.connections
            try:
                await self._live()
            except* (MCPError, httpx2.HTTPError, OSError):
                pass
            if self._client is None or self._client.done():
                self._client = asyncio.get_running_loop().create_future()
            attempt = attempt + 1 if self.connections == before else 0
            await asyncio.sleep(self._backoff(attempt))

    async def _live(self) -> None:
        endpoint = self._endpoint
        url = f"http://{endpoint.host}:{endpoint.port}{endpoint.path}"
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=TIMEOUT) as http,
            Client(
                streamable_http_client(url, http_client=http, terminate_on_close=False),
                mode=MODES[endpoint.revision],
                client_info=Implementation(name=endpoint.client, version="1"),
                elicitation_callback=self._elicit if endpoint.capable else None,
            ) as client,
        ):
            self.connections += 1
            assert self._client is not None
            self._client.set_result(client)
            await self._broken.wait()

    async def _elicit(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert self._on_question is not None
        question_id = str(context.request_id)
        shape = msgspec.Raw(msgspec.json.encode(getattr(params, "requested_schema", {})))
        given = await self._on_question(Elicited(question_id, params.message, shape))
        self._elicited.append(question_id)
        return ElicitResult.model_validate({"action": given.action, "content": given.content})

    def _hang_up(self, client: Client) -> None:
        """Throw ``client`` away, unless somebody else did already."""
        if self._client is not None and self._client.done() and self._client.result() is client:
            self._client = asyncio.get_running_loop().create_future()
            self._broken.set()

    def _backoff(self, attempt: int) -> float:
        return min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16)) * self._dice.fraction()
