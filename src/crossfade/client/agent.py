"""An agent: asks questions, answers those put to it, sends and reads messages.

    async with Agent("planner") as me:
        a = await me.ask("reviewer", "Ship build 41?", choices=["ship", "hold"])

Where the hub is and who the agent is come from ``url`` and ``token``, else from the environment: CROSSFADE_URL,
CROSSFADE_TOKEN or CROSSFADE_TOKEN_FILE. Without a token a development hub admits the agent under its name.
"""

import asyncio
import contextlib
import inspect
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from crossfade.client.api import Api, Ask, Reply, Send
from crossfade.client.errors import ConflictError, CrossfadeError, Decline
from crossfade.client.inlet import Inlet, Place
from crossfade.client.shapes import Shape, content_of, content_reader, schema_of
from crossfade.client.transport import Transport
from crossfade.client.views import Item, QuestionView, SentView

logger = logging.getLogger("crossfade.client")

DEFAULT_URL: Final = "http://127.0.0.1:8765"
WAIT_SECONDS: Final = 50.0
"""One held call of a wait; the wait itself goes on until the question has its end."""

Answerer = Callable[[QuestionView], object]
Reader = Callable[[Item], object]
H = TypeVar("H", bound=Callable[..., object])


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a question ended."""

    question_id: str
    status: str
    """answered, declined, withdrawn or expired."""
    content: object
    """The answer as the type that was asked for, else as a dict; None unless answered."""
    reason: str
    by: str

    @property
    def accepted(self) -> bool:
        """Somebody answered, and ``content`` is the answer."""
        return self.status == "answered"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent behaves; the defaults suit most."""

    patience_seconds: float = 60.0
    """How long a call goes on trying while no hub answers."""
    concurrency: int = 32
    """Questions in the hands of the handler at once; further ones wait."""
    drain_seconds: float = 30.0
    """How long running handlers may take to finish after SIGTERM."""
    place: Path | None = None
    """File that remembers how far was read. The hub remembers too, so most agents need none."""


def environment_token() -> str | None:
    """The token that the environment gives, if it does."""
    if path := os.environ.get("CROSSFADE_TOKEN_FILE"):
        return Path(path).read_text("utf-8").strip()
    return os.environ.get("CROSSFADE_TOKEN") or None


class Agent:
    """One identity at one hub."""

    def __init__(
        self, name: str, *, url: str | None = None, token: str | None = None, options: Options | None = None
    ) -> None:
        """Prepare; nothing is sent before ``async with`` or ``run``."""
        self.name = name
        self.url = url or os.environ.get("CROSSFADE_URL") or DEFAULT_URL
        self.options = options or Options()
        self._token = token or environment_token()
        self._api: Api | None = None
        self._answerer: Answerer | None = None
        self._reader: Reader | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the way to the hub."""
        name, patience = self.name, self.options.patience_seconds
        self._api = Api(Transport(self.url, token=self._token, name=name, patience_seconds=patience))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.api.transport.close()
        self._api = None

    @property
    def api(self) -> Api:
        """Every call the hub has, for what this class does not offer."""
        if self._api is None:
            message = "use `async with Agent(...) as me:` or `me.run()`"
            raise RuntimeError(message)
        return self._api

    # --- asking and sending ---

    async def ask(
        self,
        to: str,
        message: str,
        shape: Shape | None = None,
        *,
        choices: Sequence[str] | None = None,
        deadline_seconds: float | None = None,
    ) -> Answer:
        """Ask and wait for the end, which the deadline brings at the latest.

        ``shape`` is a JSON Schema or a type (Struct, dataclass, TypedDict, pydantic model); or give ``choices``.
        Raises CrossfadeError.
        """
        options = None if choices is None else tuple(choices)
        schema = None if shape is None else schema_of(shape)
        ask = Ask(to=to, message=message, schema=schema, choices=options, deadline_seconds=deadline_seconds)
        return await self.wait(await self.pose(ask), shape)

    async def pose(self, ask: Ask) -> QuestionView:
        """Ask without waiting; with every option a question has."""
        return await self.api.ask(ask)

    async def wait(self, question: QuestionView, shape: Shape | None = None) -> Answer:
        """Wait for the end of a question that was asked."""
        while question.status == "open":
            question = await self.api.question(question.question_id, WAIT_SECONDS)
        return Answer(
            question_id=question.question_id,
            status=question.status,
            content=content_reader(shape)(question.content),
            reason=question.reason,
            by=question.ended_by,
        )

    async def send(self, to: str | Sequence[str], body: str, *, reply_to: str | None = None) -> SentView:
        """Send a message; nobody is asked to answer. Raises CrossfadeError."""
        recipients = (to,) if isinstance(to, str) else tuple(to)
        return await self.api.send(Send(to=recipients, body=body, reply_to=reply_to))

    # --- answering and reading ---

    def answers(self, handler: H) -> H:
        """Decorate the function that answers questions put to this agent.

        It gets a QuestionView and returns content for its schema: a dict, a Struct or model, or a bare value when
        the schema has one field. ``raise Decline(reason)`` declines. Any other exception is logged and leaves the
        question open. A plain function runs in a thread.
        """
        self._answerer = handler
        return handler

    def reads(self, handler: H) -> H:
        """Decorate the function that gets each message (an Item), one after the other."""
        self._reader = handler
        return handler

    def run(self) -> None:
        """Answer until SIGTERM or SIGINT, then let running handlers finish. Blocks."""
        asyncio.run(self._run())

    async def serve(self) -> None:
        """Answer until ``stop`` is called; then let running handlers finish and return. Raises CrossfadeError."""
        inlet = Inlet(self.api, self.name, Place(self.options.place))
        receiving = asyncio.create_task(self._receive(inlet))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            failed = receiving.done()
        finally:  # whoever cancels this call closes the connections next
            for task in (receiving, stopping):
                task.cancel()
            await asyncio.wait({receiving, stopping})
        await self._drain()
        if failed:
            receiving.result()
        with contextlib.suppress(CrossfadeError):
            await inlet.acknowledge()

    def stop(self) -> None:
        """Take no further question; ``serve`` returns when those in hand are answered."""
        self._stop.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with self:
            await self.serve()

    async def _drain(self) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self.options.drain_seconds)
            for task in late:
                task.cancel()

    async def _receive(self, inlet: Inlet) -> None:
        places = asyncio.Semaphore(self.options.concurrency)
        async for arrival in inlet.arrivals():
            if isinstance(arrival, Item):
                await asyncio.shield(self._tracked(self._read(arrival)))
            elif self._answerer is not None:
                await places.acquire()
                task = self._tracked(self._answer(self._answerer, arrival))
                task.add_done_callback(lambda _: places.release())

    def _tracked(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start ``work`` so that draining waits for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _read(self, item: Item) -> None:
        if self._reader is not None:
            error = (await _outcome(self._reader, item))[1]
            if error is not None:
                logger.error("%s: the reader failed on message %s", self.name, item.id, exc_info=error)

    async def _answer(self, answerer: Answerer, question: QuestionView) -> None:
        value, error = await _outcome(answerer, question)
        identifier = question.question_id
        try:
            if isinstance(error, Decline):
                reply = Reply(action="decline", reason=error.reason)
            elif error is not None:
                logger.error("%s: the handler failed, %s stays open", self.name, identifier, exc_info=error)
                return
            else:
                reply = Reply(action="accept", content=content_of(value, question.schema))
            await self.api.answer(identifier, reply)
        except ConflictError as closed:
            logger.info("%s: %s has its end already: %s", self.name, identifier, closed.message)
        except (CrossfadeError, TypeError) as failure:
            logger.error("%s: the answer to %s was not taken: %s", self.name, identifier, failure)  # noqa: TRY400 - it says all


async def _outcome(handler: Callable[..., object], argument: object) -> tuple[object, BaseException | None]:
    """What a handler returned, or what it raised."""
    task = asyncio.ensure_future(_invoked(handler, argument))
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (None, error) if error is not None else (task.result(), None)


async def _invoked(handler: Callable[..., object], argument: object) -> object:
    if not inspect.iscoroutinefunction(handler):
        handler_result = await asyncio.to_thread(handler, argument)
        return await handler_result if isinstance(handler_result, Awaitable) else handler_result
    return await handler(argument)
