"""The load of bench/run.py: a closed loop of MCP requests over many connections, from a process of its own.

Prepared frames on a bare protocol, so that the client costs less than any server it drives. Two kinds:
``calls`` repeats one request; ``trips`` runs pairs of agents, each round trip being three tool calls: the
asker's ``ask`` (which waits for the end), the addressee's ``wait_for_messages`` and ``answer``.

Counted is what is done from when every connection, or pair, has had its first answer: else the slower server would seem
slower by the trips that it had begun and not ended, of which there are as many as pairs.

Reads one JSON object from stdin (see ``Work``), prints one: {"done", "seconds", "cpu_seconds", "failed", "p50_ms",
"p99_ms"}.
"""

import asyncio
import itertools
import json
import os
import re
import statistics
import sys
import time

import msgspec
import uvloop
from processes import cpu_seconds

IDS = re.compile(rb'"question_id\\*"\s*:\s*\\*"(q_[0-9A-Za-z]+)')
SEQUENCE = re.compile(rb'"sequence\\*"\s*:\s*(\d+)')
PATIENCE_SECONDS = 60.0
"""Longer than a call waits, twice over."""
SHAPE = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


class Work(msgspec.Struct, kw_only=True):
    kind: str
    """calls or trips."""
    port: int
    seconds: float
    connections: int
    """Of calls; of trips: pairs of agents."""
    revision: str
    tokens: list[str]
    """Asker and addressee of each pair, one after the other; calls use them in turn, one a connection."""
    names: list[str] = []
    sessions: list[str] = []
    """Session ids, one for each token, on 2025-11-25."""
    path: str = "/mcp"
    questions: list[str] = []
    """The question that each token may read."""
    core: int = -1
    """Processor to stay on; -1: any."""
    pid: int = 0
    """Of the server, whose processor time is read when the time begins to run and when it is over; 0: unknown."""


def frame(work, index, tool, arguments, number=1):
    """One request as bytes."""
    params = {"name": tool, "arguments": arguments}
    lines = ["Accept: application/json, text/event-stream", f"Authorization: Bearer {work.tokens[index]}"]
    lines.append(f"MCP-Protocol-Version: {work.revision}")
    if work.revision == "2026-07-28":
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": work.revision,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        lines += ["Mcp-Method: tools/call", f"Mcp-Name: {tool}"]
    elif work.sessions and work.sessions[index]:
        lines.append(f"Mcp-Session-Id: {work.sessions[index]}")
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
    head = "\r\n".join([f"POST {work.path} HTTP/1.1", f"Host: 127.0.0.1:{work.port}", *lines])
    return f"{head}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """One connection; ``said`` is called with each whole reply."""

    def __init__(self, said):
        self._said = said
        self._buffer = b""
        self._need = 0

    def connection_made(self, transport):
        self._transport = transport

    def send(self, request):
        self._transport.write(request)

    def data_received(self, data):
        self._buffer = self._buffer + data if self._buffer else data
        if self._need == 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            self._need = -1 if at < 0 else end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        whole = self._buffer.endswith(b"\r\n0\r\n\r\n") if self._need < 0 else len(self._buffer) >= self._need
        if whole:
            reply, self._buffer, self._need = self._buffer, b"", 0
            self._said(reply)


class Tally:
    """Counts what is done while the time runs: from when all have had their first answer."""

    def __init__(self, work):
        self.done, self.failed, self.times = 0, 0, []
        self.first_fault = b""
        self.seconds = self.cpu_seconds = 0.0
        self.running = True
        """It begins or goes on; False once the time is over."""
        self._counting = False
        self._work = work
        self._waited_for = work.connections

    def count(self, since, reply):
        """An answer to what began at ``since``, 0 if it is the first of its connection or pair; the time now."""
        now = time.perf_counter()
        if b" 200 " not in reply[:16] or b'"isError":true' in reply or b'"error":{' in reply:
            self.failed += 1
            self.first_fault = self.first_fault or reply[:600]
        elif self._counting:
            self.done += 1
            self.times.append(now - since)
        if not since:
            self._waited_for -= 1
            if not self._waited_for:
                self._begin(now)
        return now

    def _begin(self, now):
        self._counting = True
        self.seconds, self.cpu_seconds = now, self._cpu_seconds()
        asyncio.get_running_loop().call_later(self._work.seconds, self._end)

    def _end(self):
        self._counting = self.running = False
        self.seconds = time.perf_counter() - self.seconds
        self.cpu_seconds = self._cpu_seconds() - self.cpu_seconds

    def _cpu_seconds(self):
        return cpu_seconds(self._work.pid) if self._work.pid else 0.0

    def summary(self):
        ordered = sorted(self.times) or [0.0]
        return {
            "done": self.done,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "failed": self.failed,
            "p50_ms": round(statistics.median(ordered) * 1e3, 3),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 3),
            "fault": self.first_fault.decode("utf-8", "replace"),
        }


async def calls(work, tally):
    """Every connection repeats the same request."""
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    left = itertools.count(work.connections - 1, -1)

    async def begin(index):
        who = index % len(work.tokens)
        request = frame(work, who, "question", {"question_id": work.questions[who]})
        since = 0.0

        def said(reply):
            nonlocal since
            since = tally.count(since, reply)
            if tally.running:
                caller.send(request)
            elif next(left) == 0:
                finished.set()

        _, caller = await loop.create_connection(lambda: Caller(said), "127.0.0.1", work.port)
        caller.send(request)

    for index in range(work.connections):
        await begin(index)
    await finished.wait()


async def trips(work, tally):
    """Pairs: one asks and waits for the end, the other waits, answers, waits."""
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    left = itertools.count(work.connections - 1, -1)

    async def begin(pair):
        asker, addressee = 2 * pair, 2 * pair + 1
        number = itertools.count()
        since = 0.0
        cursor = 0
        unanswered = []

        def ask():
            key = f"{os.getpid()}-{pair}-{next(number)}"
            arguments = {
                "to": work.names[addressee],
                "message": "Ship?",
                "schema": SHAPE,
                "wait_seconds": 25,
                "key": key,
            }
            asking.send(frame(work, asker, "ask", arguments))

        def told(reply):
            nonlocal since
            if b"answered" not in reply:
                tally.failed += 1
                tally.first_fault = tally.first_fault or reply[:600]
            since = tally.count(since, reply)
            if tally.running:
                ask()
            elif next(left) == 0:
                finished.set()

        def wait():
            arguments = {"agent_id": work.names[addressee], "timeout_seconds": 25}
            if cursor:
                arguments["since_sequence"] = cursor
            answering.send(frame(work, addressee, "wait_for_messages", arguments))

        def received(reply):
            nonlocal cursor
            if b'"messages' in reply:
                cursor = max([cursor, *(int(number) for number in SEQUENCE.findall(reply))])
                # Each id stands twice in a reply: in the structure and in the text.
                unanswered.extend(dict.fromkeys(found.decode() for found in IDS.findall(reply)))
            if unanswered:
                question_id = unanswered.pop()
                given = {"question_id": question_id, "action": "accept", "content": {"ok": True}, "key": question_id}
                answering.send(frame(work, addressee, "answer", given))
            else:
                wait()

        _, asking = await loop.create_connection(lambda: Caller(told), "127.0.0.1", work.port)
        _, answering = await loop.create_connection(lambda: Caller(received), "127.0.0.1", work.port)
        wait()
        ask()

    for pair in range(work.connections):
        await begin(pair)
    await finished.wait()


async def main():
    work = msgspec.json.decode(sys.stdin.read(), type=Work)
    if work.core >= 0:
        os.sched_setaffinity(0, {work.core})
    tally = Tally(work)
    try:
        async with asyncio.timeout(work.seconds + PATIENCE_SECONDS):
            await (calls if work.kind == "calls" else trips)(work, tally)
    except TimeoutError:
        tally.failed += 1
        late = f"not everybody had an answer {PATIENCE_SECONDS:g} s after the end"
        tally.first_fault = tally.first_fault or late.encode()
    print(json.dumps(tally.summary()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
