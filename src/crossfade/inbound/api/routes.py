"""What a route of the API is, and what its handler gets and gives. No route is here; table.py has them all."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller
from crossfade.core.values import Scope as Grant
from crossfade.engine.hub import Hub
from crossfade.inbound.asgi import ClientGoneError, Headers, Receive, Scope, Streams, disconnected

Q = TypeVar("Q")
B = TypeVar("B")
T = TypeVar("T")

PARTICIPANT: Final = frozenset({Grant.AGENT, Grant.PERSON, Grant.REVIEWER})
"""Scopes of those who ask and answer."""
OPERATE: Final = frozenset({Grant.OPERATOR, Grant.ADMIN})
ADMINISTER: Final = frozenset({Grant.ADMIN})
ANYONE: Final[frozenset[Grant]] = frozenset()
"""Any caller with a credential."""

WAIT_SECONDS_MAX: Final = 300


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters or a body: a field it does not name is refused."""


class Nothing(Strict, frozen=True, kw_only=True):
    """No parameters, or no body."""


class Reply(msgspec.Struct, frozen=True):
    """An answer with a status or headers of its own."""

    value: msgspec.Struct | Refusal
    status: int = 0
    """0: the route's."""
    headers: Headers = ()


Outcome = msgspec.Struct | Refusal | Reply


class Wire:
    """The connection a request came on, as far as waiting needs it."""

    __slots__ = ("receive", "scope", "streams")

    def __init__(self, scope: Scope, receive: Receive, streams: Streams) -> None:
        self.scope = scope
        self.receive = receive
        self.streams = streams

    async def hold(self, start: Callable[[float], Coroutine[object, object, T]], wait_seconds: float) -> T:
        """The result of ``start(wait_seconds)``, given up when nobody waits any more.

        The server stopping ends the wait early with what there is now. Raises ClientGoneError.
        """
        if wait_seconds <= 0 or self.streams.draining:
            return await start(0.0)
        wait = asyncio.create_task(start(wait_seconds))
        gone = disconnected(self.scope, self.receive)
        try:
            with self.streams.holding(wait.cancel):
                both: set[asyncio.Future[Any]] = {wait, gone}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientGoneError
            return await start(0.0) if wait.cancelled() else wait.result()
        finally:
            wait.cancel()
            gone.cancel()


class Call(msgspec.Struct, Generic[Q, B], frozen=True, kw_only=True):
    """One request, decoded and authenticated."""

    hub: Hub
    caller: Caller
    name: str
    """The part of the path in braces; empty if the route has none."""
    query: Q
    body: B
    key: str | None
    """From the header ``Idempotency-Key``."""
    cause: str
    """Trace id of the header ``traceparent``; empty if there is none."""
    wire: Wire


class Route(msgspec.Struct, Generic[Q, B], frozen=True, kw_only=True):
    """One method of one path: what dispatch needs and what the OpenAPI document says."""

    method: str
    path: str
    """With at most one ``{name}``, always as the third part: ``/v1/questions/{id}/answer``."""
    name: str
    """The operationId."""
    summary: str
    grants: frozenset[Grant]
    """Scopes of which the caller needs one; empty: any caller."""
    run: Callable[[Call[Q, B]], Awaitable[Outcome]]
    gives: type[msgspec.Struct]
    query: type[Q]
    body: type[B]
    status: int = 200
    tag: str = ""
    refuses: tuple[int, ...] = ()
    """Statuses of refusals beyond those every route has."""


AnyRoute = Route[Any, Any]


ABSENT: Final = msgspec.Raw()
"""Default of a JSON field that is handed through unread."""


def raw_or_none(raw: msgspec.Raw) -> msgspec.Raw | None:
    """``raw``, or None if the field was left out or null."""
    return None if bytes(memoryview(raw)[:4]) in (b"", b"null") else raw


def need_object(raw: msgspec.Raw, field: str) -> None:
    """Raise ValueError, which the decoder reports as http.invalid, unless ``raw`` is left out, null or an object."""
    if bytes(memoryview(raw)[:1]) not in (b"", b"{") and raw_or_none(raw) is not None:
        raise ValueError(f"`{field}` must be a JSON object")
