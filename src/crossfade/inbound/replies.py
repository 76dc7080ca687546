"""Where the answer to one request goes: to an ASGI server, or straight to the connection it came on.

Whoever answers uses what both have (``Reply``) and does not see which it is; the other one is
``front.Turn``. Not here: what is answered, event streams (inbound/asgi.py, which takes scope, receive and
send from here).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, Protocol

from crossfade.inbound.asgi import Headers, Receive, Scope, Send, json_response


class Ongoing(Protocol):
    """Work that can be cancelled: a task, or a strand."""

    def cancel(self) -> object:
        """End its wait."""


class Held(Protocol):
    """What waits for something else than its connection."""

    def lost(self) -> None:
        """The connection is gone."""


class Reply(Protocol):
    """The answer to one request, which nobody has given yet."""

    lasts: ClassVar[bool]
    """It can be given by anybody at any time, also when nothing works on the request: see ``hold`` and ``go_on``."""

    @property
    def scope(self) -> Scope:
        """An ASGI scope, at least with its extensions; to be read only."""

    @property
    def receive(self) -> Receive:
        """As in ASGI."""

    @property
    def send(self) -> Send:
        """As in ASGI."""

    @property
    def task(self) -> Ongoing | None:
        """What works on the request; None until it waits for the first time."""

    def hold(self, held: Held) -> None:
        """Tell ``held`` if the connection is lost before the answer is complete. Only of one that lasts."""

    def rest(self) -> None:
        """It will take long: keep little meanwhile. Only of one that lasts."""

    def go_on(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have this work done on the request, on which nothing works. Only of one that lasts."""

    def at_once(self, body: bytes) -> bool:
        """Answer with ``body``, which is JSON, and status 200, if that takes no waiting; whether it was done."""

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Answer with ``body``, which is JSON; ``headers`` come after type and length."""


class AsgiReply:
    """A ``Reply`` to whoever called an ASGI application. Made by the task that works on the request."""

    __slots__ = ("receive", "scope", "send", "task")
    lasts: ClassVar[bool] = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.task = asyncio.current_task()

    def hold(self, held: Held) -> None:
        """As in ``Reply``."""
        raise NotImplementedError

    def rest(self) -> None:
        """As in ``Reply``."""
        raise NotImplementedError

    def go_on(self, work: Coroutine[Any, Any, Any]) -> None:
        """As in ``Reply``."""
        raise NotImplementedError

    def at_once(self, body: bytes) -> bool:
        """As in ``Reply``: ASGI may always wait."""
        return False

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """As in ``Reply``."""
        await json_response(self.send, status, body, headers)
