"""The paired runner: the hub, the same tools on the official SDK, two bare echoes; rounds interleaved in one run.

    python bench/run.py [--rounds 5] [--seconds 1.5] [--connections 32] [--pairs 32]

Each round runs every target once, in an order that rotates; servers stay on processor 0, the load on
processor 1. Printed are medians over rounds and the medians of the ratios within each round, so that a noisy
minute hits both sides. CPU time of a call is that of the server's process, all threads, from /proc.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import tempfile
from pathlib import Path

import psutil

from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.fleet.sockets import LostError, connect
from crossfade.fleet.supervisor import HubProcess, free_port
from crossfade.fleet.wire import Endpoint, Revision, Wire

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
SHAPE = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


class Target:
    """A server under load: where it is, its process, and what its clients present."""

    def __init__(self, name, port, pid, tokens, path="/mcp"):
        self.name, self.port, self.pid, self.tokens, self.path = name, port, pid, tokens, path
        self.sessions, self.questions = [], []

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def pin(self, core):
        for thread in psutil.Process(self.pid).threads():
            os.sched_setaffinity(thread.id, {core})

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


async def load(target, kind, revision, chosen, names):
    """One measurement: calls or trips a second, CPU of the server for each, median and p99 in ms."""
    work = {
        "kind": kind,
        "port": target.port,
        "seconds": chosen.seconds,
        "connections": chosen.connections if kind == "calls" else chosen.pairs,
        "revision": str(revision),
        "tokens": target.tokens[:-1],
        "names": names[:-1],
        "sessions": target.sessions,
        "path": target.path,
        "questions": target.questions,
        "core": 1,
    }
    before = target.cpu_seconds()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "mcp_calls.py"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(chosen.seconds + 40):
            out, _ = await child.communicate(json.dumps(work).encode())
    finally:
        if child.returncode is None:
            child.kill()
    found = json.loads(out)
    if found["failed"] or not found["done"]:
        raise SystemExit(f"{target.name} {kind} {revision}: {found}")
    cpu = target.cpu_seconds() - before
    took = f"{found['done'] / found['seconds']:,.0f}/s, {cpu * 1e6 / found['done']:.0f} µs"
    print(f"  {kind} {revision} {target.name}: {took}", file=sys.stderr, flush=True)
    return {"per_s": found["done"] / found["seconds"], "cpu_us": cpu * 1e6 / found["done"], **found}


async def reachable(port):
    for _ in range(200):
        try:
            (await connect("127.0.0.1", port)).close()
        except LostError:
            await asyncio.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


async def start_ours(hub, names):
    await hub.start()
    async with Api(Transport(hub.url, token=hub.operator_token)) as api:
        tokens = [(await api.issue_token({"name": name, "scopes": ["agent"]})).token for name in names]
    return Target("ours", hub.port, hub.pid, tokens)


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


async def rounds(targets, echoes, chosen, names):
    """Row name → one measurement a round."""
    found = {}
    for number in range(chosen.rounds):
        for revision in Revision:
            for kind in ("calls", "trips"):
                order = targets if number % 2 == 0 else targets[::-1]
                for target in order:
                    one = await load(target, kind, revision, chosen, names)
                    found.setdefault((kind, str(revision), target.name), []).append(one)
        for echo in echoes:
            one = await load(echo, "calls", Revision.STATELESS, chosen, names)
            found.setdefault(("calls", "any", echo.name), []).append(one)
        print(f"round {number + 1} of {chosen.rounds} done", file=sys.stderr, flush=True)
    return found


def median(measurements, what):
    return statistics.median(one[what] for one in measurements)


def ratio(ours, theirs, what):
    """Median and range of the ratio within each round."""
    each = sorted(one[what] / other[what] for one, other in zip(ours, theirs, strict=True))
    return f"{statistics.median(each):.2f} ({each[0]:.2f}-{each[-1]:.2f})"


def report(found):
    print("| what | revision | server | per second | CPU µs each | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for (kind, revision, name), each in sorted(found.items()):
        what = "`question`" if kind == "calls" else "ask → answer"
        rate, cpu = median(each, "per_s"), median(each, "cpu_us")
        p50, p99 = median(each, "p50_ms"), median(each, "p99_ms")
        print(f"| {what} | {revision} | {name} | {rate:,.0f} | {cpu:.0f} | {p50:.2f} | {p99:.2f} |")
    print("\n| ratio, median of rounds (range) | by rate | by CPU |\n|---|---|---|")
    for kind, revision in sorted({(kind, revision) for kind, revision, name in found if name == "ours"}):
        ours, sdk = found[kind, revision, "ours"], found[kind, revision, "sdk"]
        what = "`question`" if kind == "calls" else "ask → answer"
        print(f"| {what}, ours / SDK, {revision} | {ratio(ours, sdk, 'per_s')} | {ratio(sdk, ours, 'cpu_us')} |")
        if kind == "calls":
            for name in ("echo", "echo on the front"):
                echo = found["calls", "any", name]
                by_rate, by_cpu = ratio(ours, echo, "per_s"), ratio(echo, ours, "cpu_us")
                print(f"| {what}, ours / bare {name}, {revision} | {by_rate} | {by_cpu} |")


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=32)
    chosen = parser.parse_args()
    names = [f"{role}-{number}" for number in range(chosen.pairs) for role in ("asker", "addressee")]
    names.append("bystander")
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=HERE.parent / "build") as place:
        hub = HubProcess(Path(place) / "ours")
        children = []
        try:
            ours = await start_ours(hub, names)
            sdk = await start_reference(Path(place), names, children)
            echoes = [
                await start_echo(children),
                await start_echo(children, "echo on the front", "/mcp", ("--front",)),
            ]
            for target in (ours, sdk):
                await target.prepare(names)
            for echo in echoes:
                echo.tokens, echo.questions = ours.tokens, ours.questions
            for target in (ours, sdk, *echoes):
                target.pin(0)
            report(await rounds([ours, sdk], echoes, chosen, names))
        finally:
            await hub.stop()
            for child in children:
                child.kill()  # the reference does not end on SIGTERM while sessions are open
                await child.wait()


if __name__ == "__main__":
    asyncio.run(main())
