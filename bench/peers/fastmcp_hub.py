"""A peer: the tools of a round trip on FastMCP, over the project's own SQLite log and group commit.

Same state and log as bench/sdk_reference.py; the endpoint is FastMCP's, in its quickest configuration: stateless,
JSON replies, uvloop, httptools, no access log. Started by bench/peers/run.py in an environment of its own:

    python fastmcp_hub.py --port 8770 --data FOLDER --tokens FILE     FILE: {"token": "agent", …}
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]
os.environ["FASTMCP_LOG_LEVEL"] = "ERROR"
os.environ.setdefault("OTEL_SDK_DISABLED", "true")

import uvicorn  # noqa: E402
from fastmcp import FastMCP  # noqa: E402
from fastmcp.server.dependencies import get_http_request  # noqa: E402
from sdk_reference import Store, standing, view  # noqa: E402

from crossfade.logs.sqlite import open_sqlite  # noqa: E402


def build(store, tokens):
    """The server with its three tools."""
    server = FastMCP("peer")

    def caller():
        return tokens[get_http_request().headers["authorization"].removeprefix("Bearer ")]

    @server.tool
    async def ask(to: str, message: str, schema: dict, wait_seconds: float, key: str) -> dict:
        question = await store.ask(caller(), to, message, schema, key)
        await store.ended(question, wait_seconds)
        return standing(question)

    @server.tool
    async def answer(question_id: str, action: str, content: dict, key: str) -> dict:
        return standing(await store.answer(caller(), question_id, content, key))

    @server.tool
    async def wait_for_messages(agent_id: str, timeout_seconds: float, since_sequence: int = 0) -> dict:
        found = await store.wait(caller(), since_sequence, timeout_seconds)
        return {"messages": [{"sequence": q.sequence, "from": q.asker, "question": view(q)} for q in found]}

    return server


class Waiting(Store):
    """The store of the reference, with a wait for the end of a question."""

    async def ended(self, question, seconds):
        if seconds and not question.ended.done():
            await asyncio.wait((question.ended,), timeout=seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    chosen = parser.parse_args()
    server = build(Waiting(open_sqlite(chosen.data)), json.loads(chosen.tokens.read_text()))
    app = server.http_app(path="/mcp", json_response=True, stateless_http=True)
    settings = {"log_level": "warning", "access_log": False, "loop": "uvloop", "http": "httptools", "backlog": 4096}
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, **settings)


if __name__ == "__main__":
    main()
