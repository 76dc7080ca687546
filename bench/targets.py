"""Servers that are measured, each a process on processor 0, and the load on them from processor 1."""

import asyncio
import json
import secrets
import sys
import urllib.request
from pathlib import Path

from bench import processes
from crossfade.fleet.load.target import Target as Place
from crossfade.fleet.sockets import LostError, connect
from crossfade.fleet.supervisor import free_port
from crossfade.fleet.wire import Endpoint, Revision, Wire

HERE = Path(__file__).resolve().parent
SCRATCH = HERE.parent / "build" / "bench"
"""Where servers keep their data: a disk, not memory."""
CALLS = HERE / "mcp_calls.py"
ATTEMPTS_MAX = 3
SHAPE = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def names_of(pairs):
    """An asker and an addressee for each pair."""
    return [f"{role}-{number}" for number in range(pairs) for role in ("asker", "addressee")]


def scratch():
    """The folder for data; made if it is not there."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return SCRATCH


class Target:
    """A server under load: where it is, its process, and what its clients present."""

    def __init__(self, name, port, pid, tokens, path="/mcp"):
        self.name, self.port, self.pid, self.tokens, self.path = name, port, pid, tokens, path
        self.sessions, self.questions = [], []

    def cpu_seconds(self):
        return processes.cpu_seconds(self.pid)

    def pin(self, core):
        processes.pin(self.pid, core)

    async def prepare(self, names):
        """For every token a session on 2025-11-25 and a question to read, open because the last name never listens."""
        for name, token in zip(names[:-1], self.tokens[:-1], strict=True):
            endpoint = Endpoint(
                host="127.0.0.1", port=self.port, token=token, client=name, revision=Revision.SESSION, capable=False
            )
            wire = Wire(endpoint, 1)
            given = {"to": names[-1], "message": "Ship?", "schema": SHAPE, "key": f"first-{name}", "wait_seconds": 0}
            outcome = await wire.call("ask", given)
            self.questions.append(json.loads(bytes(outcome.content))["question_id"])
            self.sessions.append((wire._session or b"").decode())
            wire.close()


async def load(target, work, calls=CALLS):
    """One measurement: calls or trips a second, CPU of the server for each, median and p99 in ms.

    ``work``: what bench/mcp_calls.py reads, without what the target says of itself. A window in which nothing at all
    was done, because the processors were elsewhere, is taken again.
    """
    about = {"port": target.port, "path": target.path, "sessions": target.sessions, "questions": target.questions}
    about["pid"] = target.pid
    found = {"failed": 0, "done": 0}
    for _ in range(ATTEMPTS_MAX):
        found = await say(calls, {"core": 1, "tokens": target.tokens, **about, **work}, work["seconds"] + 120)
        if found["failed"] or found["done"]:
            break
    if found["failed"] or not found["done"]:
        raise SystemExit(f"{target.name} {work['kind']}: {found}")
    rate, cpu_us = found["done"] / found["seconds"], found["cpu_seconds"] * 1e6 / found["done"]
    words = f"{work['kind']} {work['revision']} {target.name}"
    print(f"  {words}: {rate:,.0f}/s, {cpu_us:.0f} µs", file=sys.stderr, flush=True)
    return found | {"per_s": rate, "cpu_us": cpu_us}


async def say(program, work, seconds):
    """Run a load program on some work; the object that it prints."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            out, _ = await child.communicate(json.dumps(work).encode())
    finally:
        if child.returncode is None:
            child.kill()
    return json.loads(out or b'{"failed": "it said nothing", "done": 0}')


async def reachable(port):
    for _ in range(200):
        try:
            (await connect("127.0.0.1", port)).close()
        except LostError:
            await asyncio.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


async def start_ours(hub, names, name="ours"):
    """Start a hub, and give out a credential for each name."""
    await hub.start()
    tokens = await Place(hub.url, hub.operator_token).operator.enlist([(one, "bench") for one in names])
    return Target(name, hub.port, hub.pid, tokens)


async def start_reference(folder, names, children, more=()):
    tokens = [secrets.token_urlsafe(32) for _ in names]
    (folder / "tokens.json").write_text(json.dumps(dict(zip(tokens, names, strict=True))))
    port = free_port()
    options = ("--port", str(port), "--data", str(folder / "reference"), "--tokens", str(folder / "tokens.json"), *more)
    child = await asyncio.create_subprocess_exec(sys.executable, str(HERE / "sdk_reference.py"), *options)
    children.append(child)
    await reachable(port)
    return Target("sdk", port, child.pid, tokens)


async def start_echo(children, name="echo", path="/", options=()):
    port = free_port()
    command = (sys.executable, str(HERE / "http_echo.py"), "--port", str(port), *options)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    children.append(child)
    await reachable(port)
    return Target(name, port, child.pid, ["none"], path=path)


async def end(children):
    """End child processes that do not end by themselves."""
    for child in children:
        if child.returncode is None:
            child.kill()  # the reference does not end on SIGTERM while sessions are open
        await child.wait()


async def metric(hub, name):
    """The sum of a metric's samples; 0 if there is none."""

    def read():
        asked = urllib.request.Request(f"{hub.url}/metrics", headers={"Authorization": f"Bearer {hub.operator_token}"})
        with urllib.request.urlopen(asked) as answer:  # the address is that of the hub just started
            return answer.read().decode().splitlines()

    lines = await asyncio.to_thread(read)
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


class Holders:
    """Agents that wait at hubs, a process for each hub."""

    def __init__(self):
        self.children = []

    async def hold(self, target, named, seconds):
        """Have these (name, token) wait at a hub; returns when all do."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "holding.py"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdin is not None
        assert child.stdout is not None
        self.children.append(child)
        names, tokens = zip(*named, strict=True)
        work = {"port": target.port, "tokens": tokens, "names": names, "seconds": seconds, "core": 1}
        child.stdin.write(json.dumps(work).encode() + b"\n")
        await child.stdin.drain()
        async with asyncio.timeout(seconds + 300):
            if await child.stdout.readline() != b"held\n":
                raise SystemExit(f"{len(names)} agents could not be held by {target.name}")

    async def release(self):
        """Let them go at once."""
        await end(self.children)
        self.children = []
