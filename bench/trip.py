"""What a round trip costs from bytes to bytes, without sockets and disk: calls of functions by part, and CPU time.

    python -m bench.trip [--trips 4000] [--pairs 8] [--revision 2025-11-25] [--top 40]

The server's own protocol, front, MCP endpoint and engine, on transports that hand each answer to the next step of a
pair of agents, over the log in memory. A trip is the three tool calls of bench/run.py: ``ask`` (which waits for the
end), ``wait_for_messages``, ``answer``. Three figures for each: calls of Python functions (resumed coroutines and
built-in functions apart) by the part they are written in, counted over a part of the trips and the same in every run;
CPU time of the rest, uncounted; and the same of an echo on the front, which is what HTTP alone costs here.
``--top`` lists the functions by the number of their calls. tests/contract/test_trip_cost.py bounds the counts.

Not here: the kernel and the disk (bench/run.py has both).
"""

import argparse
import asyncio
import collections
import os
import re
import sys
import time
from email.utils import formatdate

import uvloop
from uvicorn.server import ServerState

from crossfade.core.values import AgentName, Caller, Kind, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.requests import IssuedToken
from crossfade.inbound.asgi import Streams
from crossfade.inbound.gate import ConnectionLimits, Gate
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.inbound.protocol import BoundedProtocol
from crossfade.inbound.server import ServerSettings, _configuration
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.host import HostClock, HostIds

ROOT = Caller(name=AgentName("root"), kind=Kind.PERSON, scopes=frozenset(Scope))
REVISIONS = ("2025-11-25", "2026-07-28")
PREFIX = "io.modelcontextprotocol/"
SHAPE = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}'
SEQUENCE = re.compile(rb'"cursor":(\d+)')
QUESTION = re.compile(rb'"id":"(q_[0-9a-z]+)"')
ANY_QUESTION = re.compile(rb"(q_[0-9a-z]+)")
SESSION = re.compile(rb"mcp-session-id: ([^\r]+)")
PARTS = ("inbound", "engine", "core", "logs", "outbound", "bench", "asyncio", "uvicorn")
WARM_TRIPS = 200
NEVER_SECONDS = 600.0
"""No call is held as a stream, however slow the machine: it would be another trip."""
HEAD_END = b"\r\n\r\n"


def fail(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(1)  # an exception would only end one callback of the loop


def found(pattern, data):
    """What the pattern's group is in an answer."""
    match = pattern.search(data)
    if match is None:
        fail(f"nothing like {pattern.pattern!r} in {data!r}")
    return match[1]


class Pipe(asyncio.Transport):
    """A transport that hands each answer on; whoever gets it may send the next request in a later turn."""

    def __init__(self):
        super().__init__()
        self.said = fail
        self._head = b""

    def write(self, data):
        if data.endswith(HEAD_END):  # over ASGI the head comes by itself
            self._head = data
        elif data:
            head, self._head = self._head, b""
            self.said(head + data if head else data)

    def is_closing(self):
        return False

    def close(self):
        fail("a connection was ended")

    abort = close

    def pause_reading(self):
        pass

    resume_reading = pause_reading

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else default


class Echo:
    """The front that answers with what it is given."""

    target = b"/mcp"

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def remember(self, scope):
        return self

    async def serve(self, head, body, reply):
        await reply.whole(200, body)


class Wires:
    """Connections to one application without sockets."""

    def __init__(self, front):
        self.gate = Gate(ConnectionLimits())
        self.gate.front = front
        self.config = _configuration(front, ServerSettings(), self.gate)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", formatdate(0, usegmt=True).encode())]

    def connect(self):
        protocol = BoundedProtocol(self.gate, self.config, self.state, {}, asyncio.get_running_loop())
        pipe = Pipe()
        protocol.connection_made(pipe)
        return protocol, pipe


class Agent:
    """One client on one connection: sends a call, and gets the answer in a turn of the loop of its own."""

    def __init__(self, wires, token, revision, name):
        self.loop = asyncio.get_running_loop()
        self.protocol, pipe = wires.connect()
        pipe.said = self._said
        self.then = fail
        self.lines = (
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8765\r\nAccept: application/json, text/event-stream\r\n"
            f"Authorization: Bearer {token}\r\nMCP-Protocol-Version: {revision}\r\nContent-Type: application/json\r\n"
        )
        self.revision = revision
        self.name = name
        self.heads = {}

    async def begin(self):
        """Open a session, where the revision has them."""
        if self.revision == "2026-07-28":
            return
        done = self.loop.create_future()
        client = '{"name":"bench","version":"1"}'
        body = (
            '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
            f'"clientInfo":{client}}}}}'
        ).encode()
        self.then = done.set_result
        self.protocol.data_received(self.lines.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.lines += f"Mcp-Session-Id: {found(SESSION, await done).decode()}\r\n"

    def call(self, tool, arguments, then):
        """Send a call; ``then`` gets the whole answer."""
        head = self.heads.get(tool)
        if head is None:
            head = self.heads[tool] = self._head(tool)
        self.then = then
        body = head[1] + arguments + head[2]
        self.loop.call_soon(self.protocol.data_received, head[0] + b"%d\r\n\r\n" % len(body) + body)

    def _head(self, tool):
        lines, meta = self.lines, ""
        if self.revision == "2026-07-28":
            lines += f"Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
            meta = (
                f',"_meta":{{"{PREFIX}protocolVersion":"2026-07-28","{PREFIX}clientInfo":{{"name":"bench","version":"1"}},'
                f'"{PREFIX}clientCapabilities":{{}}}}'
            )
        start = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":'
        return (lines + "Content-Length: ").encode(), start.encode(), (meta + "}}").encode()

    def _said(self, data):
        then, self.then = self.then, fail
        then(data)


class Desk:
    """A hub and pairs of agents on it."""

    def __init__(self, revision, pairs, clock=None, ids=None):
        """A clock that stands still and ids that repeat make the counts the same in every run."""
        self.revision, self.pairs = revision, pairs
        self.left = 0
        self.clock, self.ids = clock or HostClock(), ids or HostIds()

    async def __aenter__(self):
        limits = Limits(commands_per_second_max=1e9)
        self.hub = Hub(MemoryLog(), self.clock, self.ids, limits)
        await self.hub.start()
        host = Host(self.clock, self.ids, b"k" * 32, Streams())
        self.endpoint = McpEndpoint(self.hub, HubTools(self.hub), host, McpSettings(hold_after_seconds=NEVER_SECONDS))
        wires = Wires(self.endpoint)
        self.agents = []
        for number in range(self.pairs):
            pair = [await self._join(wires, f"{role}-{number}") for role in ("asker", "addressee")]
            self.agents.append(pair)
        await self.hub.issue_token(ROOT, "bystander", Kind.PROGRAM, [Scope.AGENT])  # who never answers
        return self

    async def __aexit__(self, *_):
        await self.hub.stop()

    async def _join(self, wires, name):
        issued = await self.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT])
        assert isinstance(issued, IssuedToken), issued
        agent = Agent(wires, issued.token, self.revision, name)
        await agent.begin()
        return agent

    async def trips(self, count):
        """``count`` round trips, as many at a time as there are pairs."""
        self.left = count
        self.done = asyncio.get_running_loop().create_future()
        self.running = len(self.agents)
        for asking, answering in self.agents:
            Pair(self, asking, answering).ask()
        await self.done

    async def calls(self, count):
        """``count`` calls of ``question``, one after the other."""
        asking = self.agents[0][0]
        done = asyncio.get_running_loop().create_future()
        given = f'{{"to":"bystander","message":"Ship?","schema":{SHAPE},"wait_seconds":0}}'.encode()
        asking.call("ask", given, done.set_result)
        await repeated(asking, count, b'{"question_id":"%b"}' % found(ANY_QUESTION, await done))


class Pair:
    """An asker and an addressee in a closed loop."""

    def __init__(self, desk, asking, answering):
        self.desk, self.asking, self.answering = desk, asking, answering
        self.given = f'{{"to":"{answering.name}","message":"Ship?","schema":{SHAPE},"wait_seconds":25,"key":"'.encode()
        self.wait = f'{{"agent_id":"{answering.name}","timeout_seconds":25'.encode()
        self.cursor = b""

    def ask(self):
        desk = self.desk
        if desk.left <= 0:
            desk.running -= 1
            if not desk.running:
                desk.done.set_result(None)
            return
        desk.left -= 1
        self.ends = 0
        key = desk.ids.new("k").encode()
        self.answering.call("wait_for_messages", self.wait + self.cursor + b"}", self.received)
        self.asking.call("ask", self.given + key + b'"}', self.ended)

    def received(self, data):
        question_id = found(QUESTION, data)
        self.cursor = b',"since_sequence":' + found(SEQUENCE, data)
        given = b'{"question_id":"%b","action":"accept","content":{"ok":true},"key":"%b"}' % (question_id, question_id)
        self.answering.call("answer", given, self.ended)

    def ended(self, data):
        """Either end has the answer; the next question follows when both have."""
        if b"answered" not in data:
            fail(f"not answered: {data!r}")
        self.ends += 1
        if self.ends == 2:
            self.ask()


class Counter:
    """Counts calls by part, and by function."""

    def __init__(self):
        self.functions = collections.Counter()

    def __enter__(self):
        counts = self.functions

        def seen(frame, event, what):
            if event == "call":
                counts[frame.f_code] += 1
            elif event == "c_call":
                counts[frame.f_code.co_filename, what.__qualname__] += 1

        sys.setprofile(seen)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def parts(self, trips):
        """Part → (calls of Python functions, of built-in ones) for each trip."""
        found = {part: [0.0, 0.0] for part in (*PARTS, "other")}
        for key, count in self.functions.items():
            built_in = isinstance(key, tuple)
            file = key[0] if built_in else key.co_filename
            found[_part(file)][built_in] += count / trips
        return found

    def top(self, number, trips):
        """The functions called most, as lines."""
        for key, count in self.functions.most_common(number):
            built_in = isinstance(key, tuple)
            file = key[0] if built_in else key.co_filename
            name = f"    [{key[1]}]" if built_in else key.co_qualname
            yield f"{count / trips:8.2f}  {name}  {_part(file)}/{file.rsplit('/', 1)[-1]}"


def _part(file):
    for part in ("inbound", "engine", "core", "logs", "outbound"):
        if f"crossfade/{part}/" in file:
            return part
    return next((part for part in ("bench", "asyncio", "uvicorn") if f"/{part}/" in file), "other")


async def measure(desk, work, count, chosen):
    """CPU µs of each, and the counts."""
    await work(WARM_TRIPS)
    with Counter() as counter:
        await work(WARM_TRIPS)
    parts = counter.parts(WARM_TRIPS)
    began = time.process_time()
    await work(count)
    micros = (time.process_time() - began) / count * 1e6
    return micros, parts, counter


async def echo(count):
    """CPU µs of an echo of a body as long as a call's."""
    agent = Agent(Wires(Echo()), "t", "2026-07-28", "echo")
    await repeated(agent, WARM_TRIPS, b'{"question_id":"q_0123456789abcdefghjkmnpqrs"}')
    began = time.process_time()
    await repeated(agent, count, b'{"question_id":"q_0123456789abcdefghjkmnpqrs"}')
    return (time.process_time() - began) / count * 1e6


async def repeated(agent, count, given):
    """``count`` calls of ``question``, one after the other."""
    done = asyncio.get_running_loop().create_future()
    left = count

    def said(data):
        nonlocal left
        left -= 1
        if left:
            agent.call("question", given, said)
        else:
            done.set_result(None)

    agent.call("question", given, said)
    await done


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trips", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--revision", choices=REVISIONS, default=None)
    parser.add_argument("--top", type=int, default=0)
    chosen = parser.parse_args()
    print(f"echo on the front: {await echo(chosen.trips):.1f} µs")
    print("| what | revision | CPU µs | " + " | ".join((*PARTS, "other")) + " | Python calls | built-in |")
    print("|---|---|---|" + "---|" * (len(PARTS) + 3))
    for revision in (chosen.revision,) if chosen.revision else REVISIONS:
        async with Desk(revision, chosen.pairs) as desk:
            for what, work in (("`question`", desk.calls), ("ask → answer", desk.trips)):
                micros, parts, counter = await measure(desk, work, chosen.trips, chosen)
                each = " | ".join(f"{python:.0f} + {built_in:.0f}" for python, built_in in parts.values())
                whole = [sum(part[kind] for name, part in parts.items() if name != "bench") for kind in (0, 1)]
                print(f"| {what} | {revision} | {micros:.1f} | {each} | {whole[0]:.0f} | {whole[1]:.0f} |")
                for line in counter.top(chosen.top, WARM_TRIPS):
                    print(line)


if __name__ == "__main__":
    uvloop.run(main())
