"""The load of bench/peers/run.py on A2A: pairs of agents in a closed loop, four calls a round trip.

The asker sends a question, the addressee lists what requires its input and answers it, the asker reads the outcome.
As good as it can be for the peer: nobody polls for nothing, each call is made when there is something to find.
Reads and prints what bench/mcp_calls.py does.
"""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import uvloop
from mcp_calls import Caller, Tally, Work


def frame(port, method, params):
    """One request as bytes."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nA2A-Version: 1.0\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def message(identifier, context, text, task=None):
    said = {"messageId": identifier, "contextId": context, "role": "ROLE_USER", "parts": [{"text": text}]}
    return {"message": said if task is None else {**said, "taskId": task}}


async def trips(work, tally):
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    left = itertools.count(work.connections - 1, -1)

    async def begin(pair):
        context = f"addressee-{pair}"
        number = itertools.count()
        since, task, stage = 0.0, "", 0

        def said(reply):
            nonlocal since, task, stage
            result = json.loads(reply.partition(b"\r\n\r\n")[2]).get("result")
            if result is None:
                tally.failed += 1
                tally.first_fault = tally.first_fault or reply[:600]
                finished.set()
                return
            stage += 1
            if stage == 1:
                params = {"contextId": context, "status": "TASK_STATE_INPUT_REQUIRED", "pageSize": 10}
                line.send(frame(work.port, "ListTasks", params))
            elif stage == 2:
                task = result["tasks"][0]["id"]
                answer = message(f"a-{task}", context, "yes", task)
                line.send(frame(work.port, "SendMessage", answer))
            elif stage == 3:
                line.send(frame(work.port, "GetTask", {"id": task}))
            else:
                assert result["status"]["state"] == "TASK_STATE_COMPLETED", result
                since = tally.count(since, reply)
                if tally.running:
                    ask()
                elif next(left) == 0:
                    finished.set()

        def ask():
            nonlocal stage
            stage = 0
            key = f"{os.getpid()}-{pair}-{next(number)}"
            line.send(frame(work.port, "SendMessage", message(key, context, "Ship?")))

        _, line = await loop.create_connection(lambda: Caller(said), "127.0.0.1", work.port)
        ask()

    for pair in range(work.connections):
        await begin(pair)
    await finished.wait()


async def main():
    work = msgspec.json.decode(sys.stdin.read(), type=Work)
    if work.core >= 0:
        os.sched_setaffinity(0, {work.core})
    tally = Tally(work)
    async with asyncio.timeout(work.seconds + 30):
        await trips(work, tally)
    print(json.dumps(tally.summary()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
