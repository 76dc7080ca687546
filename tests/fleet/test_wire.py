"""The lean client against a scripted server: framing, both revisions, retries with the same body."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from crossfade.fleet.sockets import LostError, connect
from crossfade.fleet.wire import CallError, Elicited, Endpoint, Given, Outcome, Revision, Wire

Script = Callable[[dict[str, str], bytes, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = head.split("\r\n")[1:-2]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return headers, await reader.readexactly(int(headers["content-length"]))


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[int]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                headers, body = await read_request(reader)
                await script(headers, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def reply_json(body: object, status: str = "200 OK", extra: str = "") -> bytes:
    data = msgspec.json.encode(body)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{extra}content-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def complete(identifier: object, content: object) -> dict[str, object]:
    result = {"resultType": "complete", "structuredContent": content, "content": [], "isError": False}
    return {"jsonrpc": "2.0", "id": identifier, "result": result}


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(message: object) -> bytes:
    return chunk(b"event: message\ndata: " + msgspec.json.encode(message) + b"\n\n")


def wire_to(port: int, revision: Revision = Revision.STATELESS) -> Wire:
    return Wire(Endpoint(host="127.0.0.1", port=port, token="secret", client="test", revision=revision), seed=1)


async def accept_all(question: Elicited) -> Given:
    return Given("accept", {"ok": question.question_id})


def run(what: Awaitable[Outcome]) -> Outcome:
    async def bounded() -> Outcome:
        async with asyncio.timeout(60):
            return await what

    return asyncio.run(bounded())


def content_of(outcome: Outcome) -> object:
    return msgspec.json.decode(outcome.content)


def test_a_call_sends_the_mirrored_headers_and_reads_a_json_reply() -> None:
    seen: list[dict[str, str]] = []

    async def script(headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(headers)
        writer.write(reply_json(complete(msgspec.json.decode(body)["id"], {"n": 1})))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port).call("question", {"question_id": "q_1"})

    assert content_of(run(scenario())) == {"n": 1}
    assert (seen[0]["mcp-method"], seen[0]["mcp-name"]) == ("tools/call", "question")
    assert seen[0]["authorization"] == "Bearer secret"


def test_a_reply_cut_into_single_bytes_is_put_together() -> None:
    async def script(_headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        identifier = msgspec.json.decode(body)["id"]
        for byte in EVENTS + chunk(b": ping\n\n") + event(complete(identifier, {"n": 2})) + b"0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()

    async def scenario() -> Outcome:
        async with serving(script) as port:
            wire = wire_to(port)
            await wire.call("question", {})
            return await wire.call("question", {})

    assert content_of(run(scenario())) == {"n": 2}


def test_input_required_is_answered_by_calling_again_with_the_sealed_state() -> None:
    bodies: list[dict[str, object]] = []

    async def script(_headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        request = msgspec.json.decode(body)
        bodies.append(request["params"])
        if len(bodies) == 1:
            wanted = {"method": "elicitation/create", "params": {"message": "Ship?", "requestedSchema": {}}}
            result = {"resultType": "input_required", "requestState": "sealed", "inputRequests": {"q_7": wanted}}
            writer.write(reply_json({"jsonrpc": "2.0", "id": request["id"], "result": result}))
        else:
            writer.write(reply_json(complete(request["id"], {})))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port).call("attend", {}, accept_all)

    assert run(scenario()).elicited == ("q_7",)
    assert bodies[1]["requestState"] == "sealed"
    assert bodies[1]["inputResponses"] == {"q_7": {"action": "accept", "content": {"ok": "q_7"}}}


def test_an_elicitation_on_the_stream_is_answered_on_another_connection() -> None:
    posted: asyncio.Future[tuple[str | None, dict[str, object]]]

    async def script(headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        message = msgspec.json.decode(body)
        if message.get("method") == "initialize":
            writer.write(reply_json(complete(0, {}), extra="mcp-session-id: s1\r\n"))
        elif "method" not in message:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            posted.set_result((headers.get("mcp-session-id"), message))
        elif message["method"] == "tools/call":
            params = {"message": "Ship?", "requestedSchema": {}}
            ask = {"jsonrpc": "2.0", "id": "q_9", "method": "elicitation/create", "params": params}
            writer.write(EVENTS + event(ask))
            await posted
            writer.write(event(complete(message["id"], {})))
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")

    async def scenario() -> Outcome:
        nonlocal posted
        posted = asyncio.get_running_loop().create_future()
        async with serving(script) as port:
            return await wire_to(port, Revision.SESSION).call("attend", {}, accept_all)

    assert run(scenario()).elicited == ("q_9",)
    session, message = posted.result()
    assert session == "s1"
    assert message["result"] == {"action": "accept", "content": {"ok": "q_9"}}


def test_a_lost_reply_is_asked_for_again_with_the_same_body() -> None:
    arguments: list[object] = []

    async def script(_headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        request = msgspec.json.decode(body)
        arguments.append(request["params"]["arguments"])
        if len(arguments) < 3:
            writer.transport.abort()
        else:
            writer.write(reply_json(complete(request["id"], {"n": 3})))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port).call("ask", {"to": "reviewer", "key": "k1"})

    assert content_of(run(scenario())) == {"n": 3}
    assert arguments == [{"to": "reviewer", "key": "k1"}] * 3


def test_busy_is_not_an_answer() -> None:
    replies = 0

    async def script(_headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal replies
        replies += 1
        busy = reply_json({"error": "busy"}, status="503 Service Unavailable")
        writer.write(busy if replies == 1 else reply_json(complete(msgspec.json.decode(body)["id"], {})))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port).call("ask", {})

    run(scenario())
    assert replies == 2


def test_a_forgotten_session_is_begun_again() -> None:
    sessions = 0

    async def script(headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sessions
        message = msgspec.json.decode(body)
        if message.get("method") == "initialize":
            sessions += 1
            writer.write(reply_json(complete(0, {}), extra=f"mcp-session-id: s{sessions}\r\n"))
        elif message.get("method") != "tools/call":
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        elif headers["mcp-session-id"] == "s1":
            writer.write(reply_json({}, status="404 Not Found"))
        else:
            writer.write(reply_json(complete(message["id"], {})))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port, Revision.SESSION).call("question", {})

    run(scenario())
    assert sessions == 2


def test_a_protocol_error_is_not_tried_again() -> None:
    calls = 0

    async def script(_headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        error = {"code": -32602, "message": "unknown tool"}
        writer.write(reply_json({"jsonrpc": "2.0", "id": msgspec.json.decode(body)["id"], "error": error}))

    async def scenario() -> Outcome:
        async with serving(script) as port:
            return await wire_to(port).call("nothing", {})

    with pytest.raises(CallError, match="-32602: unknown tool"):
        run(scenario())
    assert calls == 1


def test_what_is_not_http_is_a_lost_connection() -> None:
    async def script(_headers: dict[str, str], _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 two hundred\r\n\r\n")

    async def scenario() -> None:
        async with serving(script) as port:
            socket = await connect("127.0.0.1", port)
            with pytest.raises(LostError):
                await socket.exchange(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")

    asyncio.run(scenario())
