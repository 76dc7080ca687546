"""The full stack on one seed: the unmodified official MCP client and our whole server, without sockets.

The client's HTTP library gets a transport that hands requests to our ASGI application and brings the response
back piece by piece, late, or not at all. The hub behind it lives and dies as in world.py; everything runs on
the simulated loop, the client's own timeouts included.
"""

import asyncio
import gc
import logging
import random
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import msgspec
from anyio._backends._asyncio import CancelScope
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from crossfade.core import histories
from crossfade.core.histories import Piece
from crossfade.core.values import PROGRAMME, SPACE, Instant, Kind, Scope
from crossfade.engine.ports import LogError
from crossfade.inbound.app import Application, build_app
from crossfade.inbound.asgi import StreamLimits, Streams
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.inbound.settings import AppSettings
from tests.kit.clock import FakeIds
from tests.kit.hub import ROOT
from tests.simulation.loop import StuckError
from tests.simulation.schedule import Chaos, Operator, Outcome, _digest, template
from tests.simulation.world import Life, LostError, World

KEY = b"k" * 32
MODES = ("legacy", "2026-07-28")
STEPS_MAX = 600_000
STEP_NS = 20_000
"""A step takes time here: anyio repeats a cancellation until it is heard, which must not stop the clock."""
_SCOPES: Final[dict[int, tuple[CancelScope, int]]] = {}


def _numbered(scope: CancelScope) -> int:
    """A hash that is the same in every process, for the sets that anyio keeps its scopes in."""
    return _SCOPES.setdefault(id(scope), (scope, len(_SCOPES)))[1]


CancelScope.__hash__ = _numbered  # type: ignore[assignment, method-assign]


class Served:
    """The application of one life."""

    def __init__(self, world: World, life: Life) -> None:
        self.streams = Streams(StreamLimits())
        host = Host(world.clock, FakeIds(life.number), KEY, self.streams)
        mcp = McpEndpoint(life.hub, HubTools(life.hub), host, McpSettings())
        settings = AppSettings(version="0.0-test")
        self.app: Application = build_app(life.hub, mcp, settings, clock=world.clock, streams=self.streams)


class SimTransport(httpx2.AsyncBaseTransport):
    """Requests to the application of whichever life is there."""

    def __init__(self, world: World, served: dict[int, Served]) -> None:
        self.world = world
        self.served = served

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange. Raises ConnectError or ReadError as a broken network would."""
        world = self.world
        body = await request.aread()
        await world.pause()
        life = world.life
        if life is None or not life.ready or world.faults.random() < world.weather.lose_requests:
            raise httpx2.ConnectError("nobody answers", request=request)
        served = self.served.get(life.number)
        if served is None:
            served = self.served[life.number] = Served(world, life)
        return await Exchange(world, life, served.app, request, body).response()


class Exchange(httpx2.AsyncByteStream):
    """One request and the pieces of its response."""

    def __init__(self, world: World, life: Life, app: Application, request: httpx2.Request, body: bytes) -> None:
        self.world = world
        self.life = life
        self.request = request
        self.body = body
        self.pieces: list[dict[str, Any]] = []
        self.more: Any = world.loop.create_future()
        self.ended = False
        self.asked = False
        self.gone: Any = None
        self.broken = world.loop.create_future()
        self.broken.add_done_callback(lambda broken: broken.exception())  # looked at, whether or not anybody waits
        life.calls[self.broken] = None
        self.task = world.loop.create_task(app(self._scope(), self._receive, self._send), context=life.context.copy())
        self.task.add_done_callback(self._over, context=world.context)

    def _over(self, task: Any) -> None:
        """The application is done; if it left the response unfinished, the server hangs up."""
        self.ended = True
        if not task.cancelled() and task.exception() is not None:
            self.world.loop.faults.append(f"the application raised {task.exception()!r}")
        if not self.more.done():
            self.more.set_result(None)

    def _scope(self) -> dict[str, Any]:
        url = self.request.url
        return {
            "type": "http", "http_version": "1.1", "method": self.request.method, "scheme": "http",
            "path": url.path, "raw_path": url.raw_path.partition(b"?")[0], "query_string": url.query, "root_path": "",
            "headers": [(name.lower(), value) for name, value in self.request.headers.raw],
            "client": ("127.0.0.1", 4321), "server": ("127.0.0.1", 8765), "extensions": {},
        }  # fmt: skip

    async def _receive(self) -> dict[str, Any]:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        self.gone = self.world.loop.create_future()
        await self.gone
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.pieces.append(dict(message))
        if not self.more.done():
            self.more.set_result(None)
        await asyncio.sleep(0)

    async def _next(self) -> dict[str, Any]:
        while not self.pieces:
            if self.ended:
                self._hang_up()
                raise httpx2.ReadError("the response ends in the middle", request=self.request)
            if self.more.done():
                self.more = self.world.loop.create_future()
                if self.pieces or self.ended:
                    continue
            await asyncio.wait((self.more, self.broken), return_when=asyncio.FIRST_COMPLETED)
            if self.broken.done():
                self.world.reached("a crash cut a call")
                self._hang_up()
                raise httpx2.ReadError("the connection is gone", request=self.request)
        await self.world.pause(0.004)
        return self.pieces.pop(0)

    async def response(self) -> httpx2.Response:
        """The head, and the body as a stream."""
        try:
            head = await self._next()
        except BaseException:
            self._hang_up()
            raise
        if self.world.faults.random() < self.world.weather.lose_replies:
            self._hang_up()
            self.world.reached("a reply was lost")
            raise httpx2.ReadError("the reply is lost", request=self.request)
        return httpx2.Response(head["status"], headers=list(head["headers"]), stream=self, request=self.request)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come."""
        while True:
            piece = await self._next()
            yield piece.get("body", b"")
            if not piece.get("more_body", False):
                return

    async def aclose(self) -> None:
        """The client has had enough."""
        self._hang_up()

    def _hang_up(self) -> None:
        self.life.calls.pop(self.broken, None)
        if self.life.number not in self.world.loop.dead and self.gone is not None and not self.gone.done():
            self.gone.set_result(None)


class Person:
    """One agent on the official client: it asks, waits, answers, and comes back after every break."""

    def __init__(self, world: World, name: str, peer: str, served: dict[int, Served], token: str) -> None:
        self.world = world
        self.name = name
        self.peer = peer
        self.token = token
        self.mode = world.dice.choice(MODES)
        self.native = world.dice.random() < 0.6
        self.transport = SimTransport(world, served)
        self.cursor = 0
        self.number = 0
        self.mine: set[str] = set()
        self.ended: set[str] = set()

    def note(self, op: Any, called_at: int, **fields: Any) -> None:
        """Add an operation to the history."""
        line = len(self.world.history) + 1
        fields.setdefault("returned_at", Instant(self.world.now_ns))
        self.world.history.append(op(client=self.name, called_at=Instant(called_at), line=line, **fields))

    async def session(self, work: Any) -> Any:
        """Do ``work`` with a client, from the beginning again after every break."""
        tries = 0
        while True:
            tries += 1
            callback = self._elicited if self.native else None
            headers = {"authorization": f"Bearer {self.token}"}
            try:
                async with (
                    httpx2.AsyncClient(transport=self.transport, headers=headers, timeout=httpx2.Timeout(30)) as http,
                    Client(
                        streamable_http_client("http://127.0.0.1:8765/mcp", http_client=http),
                        mode=self.mode, elicitation_callback=callback,
                    ) as client,
                ):  # fmt: skip
                    result = await asyncio.wait_for(work(client), 45)
            except Exception as fault:
                if isinstance(fault, AssertionError):
                    raise
                if "'hub.fault'" in repr(fault):
                    raise AssertionError(f"the hub has a fault of its own: {fault!r}") from fault
                await asyncio.sleep(self.world.dice.random())
            else:
                if tries > 1:
                    self.world.reached("a command went through when it was tried again")
                return result

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool call until there is a result; passing refusals are waited out."""
        while True:
            result = await self.session(lambda client: client.call_tool(tool, arguments))
            found: dict[str, Any] = result.structured_content or {}
            if result.is_error and found.get("error", {}).get("code", "").startswith(("unavailable", "hub.", "limit.")):
                await asyncio.sleep(self.world.dice.random())
                continue
            return found

    async def act(self, asks: int) -> None:
        """Ask so many questions, one after another."""
        for _ in range(asks):
            self.number += 1
            key = f"{self.name}-{self.number}"
            began = self.world.now_ns
            found = await self.call(
                "ask", to=self.peer, message=key, choices=["yes", "no"], deadline_seconds=60, wait_seconds=0, key=key
            )
            assert "question_id" in found, found
            self.mine.add(found["question_id"])
            self.note(histories.Ask, began, to=self.peer, question=found["question_id"])

    async def look(self) -> None:
        """Read every question of mine that may be open."""
        for question_id in sorted(self.mine - self.ended):
            began = self.world.now_ns
            self._shown(began, await self.call("question", question_id=question_id))

    def _shown(self, began: int, found: dict[str, Any]) -> None:
        view = msgspec.convert(found, _View)
        value = view.status if view.status != "answered" else f"answered {view.content['choice']}"
        self.note(histories.Read, began, question=view.question_id, value=value)
        if view.status != "open":
            self.ended.add(view.question_id)

    async def carry(self) -> None:
        """Wait, for ever; answer what comes as text."""
        while True:
            began = self.world.now_ns
            found = await self.call("wait_for_messages", timeout_seconds=10, since_sequence=self.cursor)
            after, pieces = self.cursor, []
            for item in found.get("messages", []):
                pieces.append(Piece(id=item["id"], sender=item["from"], kind=item["kind"], sequence=item["sequence"]))
                self.cursor = max(self.cursor, item["sequence"])
                if item["kind"] == "question":
                    self.world.reached("a question was read as a message and answered with a tool")
                    await self._answer(item["id"])
            if pieces:
                self.note(histories.Receive, began, items=tuple(pieces), after=after)
            for one in found.get("elicited", []):
                if one["status"] == "answered":
                    self.world.reached("a question was elicited and answered inside a wait")

    async def _answer(self, question_id: str) -> None:
        self.number += 1
        began, choice = self.world.now_ns, self.world.dice.choice(("yes", "no"))
        key = f"{self.name}-{self.number}"
        try:
            found = await self.call("answer", question_id=question_id, content={"choice": choice}, key=key)
        except asyncio.CancelledError:
            self.note(histories.End, began, question=question_id, value=f"answered {choice}", returned_at=None)
            raise
        taken = found.get("status") == "answered"
        self.note(histories.End, began, question=question_id, value=f"answered {choice}", accepted=taken)

    async def _elicited(self, context: Any, params: Any) -> ElicitResult:
        choice = self.world.dice.choice(("yes", "no"))
        asked = (one for one, event in self.world.watch.asked.items() if event.message == params.message)
        # Whether it was taken, the result of the wait says, if it arrives: here nobody knows.
        self.note(histories.End, self.world.now_ns, question=next(asked), value=f"answered {choice}", returned_at=None)
        return ElicitResult.model_validate({"action": "accept", "content": {"choice": choice}})


class _View(msgspec.Struct):
    question_id: str
    status: str
    content: Any = None


def run_stack_schedule(seed: int) -> Outcome:
    """Run the full stack of a seed."""
    world = World(seed, template())
    for noisy in ("crossfade", "mcp", "client"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    random_bits, secrets.token_bytes = secrets.token_bytes, lambda nbytes=None: world.faults.randbytes(nbytes or 32)  # type: ignore[assignment]
    random.seed(seed)
    world.loop.step_ns = STEP_NS
    gc.disable()
    fault = ""
    try:
        main = world.loop.create_task(_main(world))
        world.start()
        world.loop.run_until(main.done, STEPS_MAX)
        main.result()
        fault = _verdict(world)
    except (AssertionError, StuckError, LogError) as broken:
        fault = str(broken) or repr(broken)
    finally:
        secrets.token_bytes = random_bits
        gc.enable()
    counts = {**world.counts, "the hub was started again": len(world.lives) - 1}
    outcome = Outcome(seed, fault, world.loop.steps, world.crashes, len(world.watch.asked), counts, _digest(world))
    world.loop.end()
    _SCOPES.clear()
    return outcome


def _verdict(world: World) -> str:
    world.watch.verify({shard: world.disk.rows(shard) for shard in (PROGRAMME, SPACE)})
    missing = [question for question in world.watch.asked if question not in world.watch.ends]
    assert not missing, f"I3: {missing[0]} has no end"
    assert not world.ahead, world.ahead[0]
    assert not world.loop.faults, world.loop.faults[0]
    account = histories.check(world.history)
    return f"history: {account.violations[0]}" if account.violations else ""


async def _main(world: World) -> None:
    served: dict[int, Served] = {}
    tokens = {name: await _token(world, name) for name in ("ana", "bo")}
    people = [Person(world, "ana", "bo", served, tokens["ana"]), Person(world, "bo", "ana", served, tokens["bo"])]
    carriers = [world.spawn(person.carry()) for person in people]
    operator = world.spawn(Operator(world).run(world.dice.choice((0, 1, 2))))
    chaos = world.spawn(Chaos(world).run(world.dice.choice((2.0, 6.0)), world.dice.choice((1, 2))))
    actors = [world.spawn(person.act(world.dice.choice((1, 2, 3)))) for person in people]
    await asyncio.wait((chaos,))
    world.heal()
    await asyncio.wait((*actors, operator))
    for _ in range(60):
        for person in people:
            await person.look()
        if all(person.mine <= person.ended for person in people):
            break
        await asyncio.sleep(3)
    for task in (*actors, *carriers):
        if task.done():
            task.result()
        task.cancel()
    while not all(task.done() for task in carriers):
        for task in carriers:  # again: `wait_for` loses a cancellation that comes with the result it waits for
            task.cancel()
        await asyncio.wait(carriers, timeout=1)
    await asyncio.sleep(65)


async def _token(world: World, name: str) -> str:
    while True:
        try:
            issued = await world.call(
                lambda hub: hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT], label=f"team-{name}")
            )
        except (LostError, LogError):
            await asyncio.sleep(0.1)
        else:
            return str(issued.token)
