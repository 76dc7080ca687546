"""HTTP to one hub: requests that are retried safely, event streams, and failures as typed exceptions.

Rules
-----
1. A request is retried only when that is safe: it reads, or it carries an idempotency key.
2. Between retries there is a doubling pause with full jitter, or what ``Retry-After`` says if that is longer.
3. Nothing is retried beyond ``patience_seconds``; then the last failure is raised.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from crossfade.client.errors import RETRIABLE, CrossfadeError, ProtocolError, UnreachableError, error_of
from crossfade.client.host import monotonic_seconds, pause_seconds

T = TypeVar("T")
Query = Mapping[str, str | int | float | None]

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
"""How long an answer may take beyond the wait that was asked for."""
SILENCE_SECONDS: Final = 45.0
"""A stream that sends not even a ping for this long is dead (the hub pings every 15 s)."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    name: str
    id: str
    data: bytes


class Transport:
    """One hub, reached with one credential."""

    def __init__(self, url: str, *, token: str | None, name: str = "", patience_seconds: float = 60.0) -> None:
        """Prepare; nothing is sent yet. ``name`` is how a development hub calls a client without a token."""
        self.url = url.rstrip("/")
        self.patience_seconds = patience_seconds
        headers = {"user-agent": "crossfade-client"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        elif name:
            headers["crossfade-client"] = name
        place = urlsplit(self.url)
        self._http = httpx2.AsyncClient(
            headers=headers,
            verify=ssl.create_default_context() if place.scheme == "https" else False,
            trust_env=place.hostname not in LOOPBACK,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, method: str, path: str, *, body: object = None, query: Query | None = None, wait_seconds: float = 0.0
    ) -> bytes:
        """The body of the hub's answer. Raises CrossfadeError.

        A ``body`` is sent as JSON and must hold a key if the call changes anything.
        """
        started, attempt = monotonic_seconds(), 0
        while True:
            try:
                return await self._once(method, path, body, query, wait_seconds)
            except UnreachableError as error:
                pause = max(pause_seconds(attempt), float(error.details.get("retry_after_seconds", 0)))
                if monotonic_seconds() - started + pause > self.patience_seconds:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    async def get(self, kind: type[T], path: str, query: Query | None = None, wait_seconds: float = 0.0) -> T:
        """Read ``path`` as ``kind``."""
        return decoded(await self.call("GET", path, query=query, wait_seconds=wait_seconds), kind)

    async def post(self, kind: type[T], path: str, body: object, wait_seconds: float = 0.0) -> T:
        """Send ``body`` and read the answer as ``kind``."""
        return decoded(await self.call("POST", path, body=body, wait_seconds=wait_seconds), kind)

    async def delete(self, kind: type[T], path: str) -> T:
        """Remove what is at ``path``; the answer says what it was."""
        return decoded(await self.call("DELETE", path), kind)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query | None = None, last_event_id: str = ""
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """An open event stream; iterating ends when the hub ends it, and raises UnreachableError when it breaks."""
        headers = {"accept": "text/event-stream"}
        if last_event_id:
            headers["last-event-id"] = last_event_id
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None)
        try:
            async with self._http.stream(
                "GET", self.url + path, params=_given(query), headers=headers, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    raise _failure(response, await response.aread(), self.url)
                yield _events(response)
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _unreachable(self.url, error) from error

    async def _once(self, method: str, path: str, body: object, query: Query | None, wait_seconds: float) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        timeout = httpx2.Timeout(ANSWER_SECONDS + wait_seconds, connect=CONNECT_SECONDS, pool=None)
        headers = {"content-type": "application/json"} if content is not None else {}
        try:
            response = await self._http.request(
                method, self.url + path, content=content, params=_given(query), headers=headers, timeout=timeout
            )
        except httpx2.InvalidURL as error:
            raise ProtocolError(
                "client.bad_url", f"{self.url!r} is not a URL", "write it like http://127.0.0.1:8765"
            ) from error
        except httpx2.TransportError as error:
            raise _unreachable(self.url, error) from error
        if response.status_code >= 400:
            raise _failure(response, response.content, self.url)
        return response.content


def decoded(body: bytes, kind: type[T]) -> T:
    """``body`` as ``kind``; raises ProtocolError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        message = f"the hub's answer cannot be read: {error}"
        raise ProtocolError("client.not_a_hub", message, "check the URL and the hub's version") from error


async def _events(response: httpx2.Response) -> AsyncIterator[Event]:
    async for event in httpx2.EventSource(response):
        yield Event(event.event, event.id, event.data.encode())


def _given(query: Query | None) -> dict[str, str | int | float]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _failure(response: httpx2.Response, body: bytes, url: str) -> CrossfadeError:
    error = error_of(response.status_code, body, url)
    later = response.headers.get("retry-after", "")
    if response.status_code in RETRIABLE and later.isdigit():
        error.details = {**error.details, "retry_after_seconds": later}
    if response.status_code in RETRIABLE and not isinstance(error, UnreachableError):
        return UnreachableError(error.code, error.message, error.hint, error.details)
    return error


def _unreachable(url: str, error: Exception) -> UnreachableError:
    what = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
    return UnreachableError("client.unreachable", f"the hub at {url} {what}", "start one: crossfade up")
