"""Agents that wait: one connection each with an open ``wait_for_messages``, renewed when it ends with nothing.

A process of its own beside a hub under load. Reads one JSON object from stdin: port, tokens, names, seconds over which
they connect, patience_seconds, core; says ``held`` when every call is open, and goes when stdin is closed.

They connect evenly over those seconds, so that pings and renewals come evenly too.
"""

import asyncio
import os
import sys

import msgspec
import uvloop
from mcp_calls import Caller, frame


class Work(msgspec.Struct, kw_only=True):
    port: int
    tokens: list[str]
    names: list[str]
    seconds: float
    patience_seconds: int = 30
    core: int = 1
    revision: str = "2026-07-28"
    path: str = "/mcp"
    sessions: list[str] = []


async def hold(work):
    """Open every call, and renew each that ends."""
    loop = asyncio.get_running_loop()

    async def one(index):
        await asyncio.sleep(work.seconds * index / len(work.tokens))
        given = {"agent_id": work.names[index], "timeout_seconds": work.patience_seconds}
        request = frame(work, index, "wait_for_messages", given)
        _, caller = await loop.create_connection(lambda: Caller(lambda _: caller.send(request)), "127.0.0.1", work.port)
        caller.send(request)

    await asyncio.gather(*(one(index) for index in range(len(work.tokens))))


async def main():
    loop = asyncio.get_running_loop()
    work = msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.readline), type=Work)
    os.sched_setaffinity(0, {work.core})
    await hold(work)
    print("held", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    uvloop.run(main())
