"""A hub in memory on a simulated clock, with members, for tests of what it does."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Self, TypeVar

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import AgentName, Caller, Channel, Kind, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Log
from crossfade.engine.requests import AnswerRequest, AskRequest, Batch, QuestionView, ReceiveRequest
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.signing import Ed25519Signer
from tests.kit.clock import FakeClock, FakeIds

ROOT = Caller(name=AgentName("root"), kind=Kind.PERSON, scopes=frozenset(Scope))
SIGNER = Ed25519Signer(bytes(range(32)))
"""A key that everybody knows, so that certificates repeat."""
YES_NO = msgspec.Raw(
    b'{"type":"object","properties":{"verdict":{"type":"string","enum":["ship","hold"]}},"required":["verdict"]}'
)
SHIP = msgspec.Raw(b'{"verdict":"ship"}')


class World:
    """One hub with its log, clock and callers."""

    def __init__(
        self, log: Log | None = None, clock: FakeClock | None = None, limits: Limits | None = None, seed: int = 1
    ) -> None:
        self.log: Log = log or MemoryLog()
        self.clock = clock or FakeClock()
        self.limits = limits or Limits()
        self.hub = Hub(self.log, self.clock, FakeIds(seed), self.limits, guests=True, signer=SIGNER)
        self.callers: dict[str, Caller] = {}

    async def __aenter__(self) -> Self:
        await self.hub.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.stop()

    async def restart(self, seed: int = 2) -> "World":
        """The same log under a fresh hub, as after a crash and a new start."""
        await self.hub.stop()
        world = World(self.log, self.clock, self.limits, seed)
        world.callers = self.callers
        await world.hub.start()
        return world

    async def join(self, name: str, *, native: bool = False, label: str = "", faces_person: bool = False) -> Caller:
        """Register a program with a token, and let it be heard from."""
        token = ok(await self.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT], label=label))
        caller = ok(self.hub.authenticate(token.token))
        caller = msgspec.structs.replace(caller, client="kit", faces_person=faces_person)
        self.hub.touch(caller, native=native)
        await self.clock.advance(0)
        self.callers[name] = caller
        return caller

    async def ask(self, asker: Caller, to: str, message: str = "Ship it?", **more: Any) -> QuestionView:
        """Ask with the yes/no shape."""
        return ok(await self.hub.ask(asker, AskRequest(to=to, message=message, schema=YES_NO, **more)))

    async def answer(
        self, caller: Caller, question_id: str, content: msgspec.Raw = SHIP, **more: Any
    ) -> QuestionView | Refusal:
        """Answer through the inbox."""
        return await self.hub.answer(caller, AnswerRequest(question_id=question_id, content=content, **more))

    async def poll(self, caller: Caller, after: int | None = None, **more: Any) -> Batch:
        """One ``wait_for_messages`` that does not wait."""
        request = ReceiveRequest(**{"channel": Channel.POLL, "wait_seconds": 0.0, "after": after, **more})
        batch = ok(await self.hub.receive(caller, request))
        await self.clock.advance(0)
        return batch

    async def rollout(self, share: float) -> None:
        """Begin if needed, and set the share."""
        if self.hub.rollout().name == "":
            ok(await self.hub.rollout_start(ROOT, "test", salt="salt"))
        ok(await self.hub.rollout_set(ROOT, share, "test"))


T = TypeVar("T")


def ok(value: T | Refusal) -> T:
    """The value; fails the test with the refusal's text otherwise."""
    assert not isinstance(value, Refusal), f"{value.code}: {value.message}"
    return value


def refused(value: object) -> str:
    """The code of a refusal; fails the test if it is none."""
    assert isinstance(value, Refusal), f"accepted: {value!r}"
    return value.code


def run(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own; one that hangs fails after three minutes."""

    @wraps(test)
    def call(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 180))

    return call


async def started(work: Awaitable[Any], world: World) -> "asyncio.Future[Any]":
    """Begin ``work`` and let it run until it waits."""
    task = asyncio.ensure_future(work)
    await world.clock.advance(0)
    return task
