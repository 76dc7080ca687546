"""The yardstick: the tools of a round trip on the official SDK's server, in its best configuration.

Best means, as measured: the low-level ``Server`` (no pydantic wrapping of functions), ``get_tool_input_schema``
given (else every call on 2026-07-28 builds the whole tool list again), JSON replies, uvloop and httptools,
no access log; sessions on 2025-11-25, which cost it less than ``--stateless`` does there (bench/RESULTS.md; 2026-07-28
has none either way). Under it lies the project's own SQLite log with its group commit, so what is compared is
the endpoint and not the disk. It keeps less than the hub does (no delivery states, no deadlines, no lanes,
no limits): two events a round trip, asked and answered.

    python bench/sdk_reference.py --port 8770 --data FOLDER --tokens FILE     FILE: {"token": "agent", …}
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import logging
import os
import time
from collections import deque
from pathlib import Path

import mcp.types as t
import uvicorn
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server

from crossfade.core.values import SPACE, Instant, StreamName
from crossfade.engine.ports import Committed, Duplicate, NewEvent, Tx
from crossfade.logs.sqlite import open_sqlite

S, N, OBJECT = {"type": "string"}, {"type": "number"}, {"type": "object"}


def tool(name, description, required=(), **properties):
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return t.Tool(name=name, description=description, input_schema=schema)


TOOLS = [
    tool("ask", "Ask a question", ("to", "message"), to=S, message=S, schema=OBJECT, wait_seconds=N, key=S),
    tool("question", "Read a question", ("question_id",), question_id=S, wait_seconds=N),
    tool("answer", "Answer a question", ("question_id",), question_id=S, action=S, content=OBJECT, key=S),
    tool("wait_for_messages", "Wait", (), agent_id=S, timeout_seconds=N, since_sequence=N),
]
SCHEMAS = {each.name: each.input_schema for each in TOOLS}


class Question:
    __slots__ = (
        "addressee",
        "asker",
        "content",
        "ended",
        "message",
        "question_id",
        "schema",
        "sequence",
        "status",
        "version",
    )

    def __init__(self, question_id, asker, addressee, message, schema):
        self.question_id, self.asker, self.addressee = question_id, asker, addressee
        self.message, self.schema, self.status, self.content = message, schema, "open", None
        self.sequence, self.version = 0, 1
        self.ended = asyncio.get_running_loop().create_future()


class GroupCommit:
    """One batch under way, the next one gathering."""

    def __init__(self, log):
        self._log, self._queue, self._worker = log, deque(), None

    async def submit(self, tx):
        future = asyncio.get_running_loop().create_future()
        self._queue.append((tx, future))
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._drain())
        return await future

    async def _drain(self):
        try:
            await asyncio.sleep(0)
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(2000, len(self._queue)))]
                results = await self._log.append(SPACE, [tx for tx, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    future.set_result(result)
        finally:
            self._worker = None


class Store:
    def __init__(self, log):
        self._commit = GroupCommit(log)
        self.questions, self.mail, self.wakers = {}, {}, {}
        self._numbers = itertools.count(1)

    async def _store(self, question, key, actor, kind, payload, version):
        stream = StreamName(f"question/{question.question_id}")
        event = NewEvent(stream, kind, Instant(time.time_ns()), actor, "", payload)
        digest = hashlib.blake2b(f"{actor} {kind} {key}".encode(), digest_size=16).digest()
        return await self._commit.submit(Tx(digest, ((stream, version),), (event,)))

    async def ask(self, asker, to, message, schema, key):
        question = Question(f"q_{next(self._numbers):026d}", asker, to, message, schema)
        payload = json.dumps({"asker": asker, "addressee": to, "message": message, "schema": schema}).encode()
        done = await self._store(question, key, asker, "question.asked/1", payload, 0)
        assert isinstance(done, Committed), done
        question.sequence = done.first
        self.questions[question.question_id] = question
        self.mail.setdefault(to, deque()).append(question)
        waker = self.wakers.pop(to, None)
        if waker is not None and not waker.done():
            waker.set_result(None)
        return question

    async def answer(self, caller, question_id, content, key):
        question = self.questions[question_id]
        if question.addressee != caller or question.status != "open":
            raise ValueError("not yours, or not open")
        payload = json.dumps({"by": caller, "content": content}).encode()
        done = await self._store(question, key, caller, "question.answered/1", payload, 1)
        assert isinstance(done, Committed | Duplicate), done
        question.status, question.content = "answered", content
        if not question.ended.done():
            question.ended.set_result(None)
        return question

    async def wait(self, caller, after, seconds):
        mail = self.mail.setdefault(caller, deque())
        while mail and (mail[0].sequence <= after or mail[0].status != "open"):
            mail.popleft()
        if not mail:
            self.wakers[caller] = waker = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(waker, seconds)
            except TimeoutError:
                return []
        return list(mail)


def view(question):
    return {
        "question_id": question.question_id,
        "status": question.status,
        "from": question.asker,
        "to": question.addressee,
        "message": question.message,
        "schema": question.schema,
        "content": question.content,
    }


def standing(question):
    """What an asker needs to know: as little as the hub tells it."""
    told = {"question_id": question.question_id, "status": question.status}
    return {**told, "delivery": "queued"} if question.content is None else {**told, "content": question.content}


def result(structured):
    text = json.dumps(structured, separators=(",", ":"))
    return t.CallToolResult(content=[t.TextContent(type="text", text=text)], structured_content=structured)


class Tools:
    def __init__(self, store, tokens):
        self._store, self._tokens = store, tokens

    async def list(self, _ctx: ServerRequestContext, _params: t.PaginatedRequestParams | None) -> t.ListToolsResult:
        return t.ListToolsResult(tools=TOOLS)

    async def call(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> t.CallToolResult:
        caller = self._tokens.get(ctx.request.headers.get("authorization", "").removeprefix("Bearer "))
        if caller is None:
            raise ValueError("unknown token")
        given = params.arguments or {}
        match params.name:
            case "question":
                question = self._store.questions[given["question_id"]]
                if caller not in {question.asker, question.addressee}:
                    raise ValueError("not yours")
                return result(standing(question))
            case "ask":
                return result(standing(await self._asked(caller, given)))
            case "answer":
                return result(
                    standing(await self._store.answer(caller, given["question_id"], given["content"], given["key"]))
                )
            case "wait_for_messages":
                return result(await self._waited(caller, given))
            case other:
                raise ValueError(f"no tool {other}")

    async def _asked(self, caller, given):
        question = await self._store.ask(caller, given["to"], given["message"], given.get("schema"), given["key"])
        seconds = given.get("wait_seconds") or 0
        if seconds and not question.ended.done():
            await asyncio.wait((question.ended,), timeout=seconds)
        return question

    async def _waited(self, caller, given):
        found = await self._store.wait(
            caller, int(given.get("since_sequence") or 0), given.get("timeout_seconds") or 25
        )
        messages = [
            {"sequence": q.sequence, "from": q.asker, "content": q.message, "metadata": {}, "question": view(q)}
            for q in found
        ]
        return {"messages": messages, "has_more": False}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--stateless", action="store_true")
    chosen = parser.parse_args()
    logging.getLogger("mcp").setLevel(logging.ERROR)
    log = open_sqlite(chosen.data)
    tools = Tools(Store(log), json.loads(chosen.tokens.read_text()))
    server = Server(
        "reference",
        version="1",
        on_list_tools=tools.list,
        on_call_tool=tools.call,
        get_tool_input_schema=SCHEMAS.get,
    )
    app = server.streamable_http_app(json_response=True, stateless_http=chosen.stateless)
    server.session_manager.max_sessions = None
    os.environ.setdefault("OTEL_SDK_DISABLED", "true")
    settings = {"log_level": "warning", "access_log": False, "loop": "uvloop", "http": "httptools", "backlog": 4096}
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, **settings)


if __name__ == "__main__":
    main()
