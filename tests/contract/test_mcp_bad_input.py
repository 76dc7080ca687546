"""Bad input: each has one clear error with a code and what to do, and leaves the server running."""

from typing import Any

import pytest

from crossfade.inbound.mcp.settings import McpSettings
from tests.kit.http_server import run
from tests.kit.mcp import place, refusal, said, structured

GOOD = '{"jsonrpc":"2.0","id":7,"method":"ping"}'
NEST = '{"jsonrpc":"2.0","id":7,"method":"ping","params":{"arguments":' + "[" * 70 + "]" * 70 + "}}"


@pytest.mark.parametrize(
    ("body", "status", "number", "code"),
    [
        ("", 400, -32700, "json.invalid"),
        ("{", 400, -32700, "json.invalid"),
        (b"\xff\xfe{}", 400, -32700, "json.invalid"),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","x":NaN}', 400, -32700, "json.invalid"),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","x":"\\ud800"}', 400, -32700, "json.invalid"),
        (NEST, 400, -32600, "json.too_deep"),
        ("[" * 100_000, 400, -32600, "json.too_deep"),
        ('{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}', 400, -32600, "json.duplicate_key"),
        (
            '{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":{"b":1,"\\u0062":2}}}',
            400,
            -32600,
            "json.duplicate_key",
        ),
        (f"[{GOOD}]", 400, -32600, "jsonrpc.invalid"),
        ("7", 400, -32600, "jsonrpc.invalid"),
        ('{"id":7,"method":"ping"}', 400, -32600, "jsonrpc.invalid"),
        ('{"jsonrpc":"1.0","id":7,"method":"ping"}', 400, -32600, "jsonrpc.invalid"),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600, "jsonrpc.invalid"),
        ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', 400, -32600, "jsonrpc.invalid"),
        ('{"jsonrpc":"2.0","id":7}', 400, -32600, "jsonrpc.invalid"),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', 400, -32602, "params.invalid"),
        ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":7}}', 400, -32602, "params.invalid"),
    ],
)
def test_a_body_that_is_no_message_is_refused(body: str | bytes, status: int, number: int, code: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.post(body)
            error = said(answer)["error"]
            assert (answer.status_code, error["code"], error["data"]["code"]) == (status, number, code)
            assert error["data"]["try"]
            assert said(answer)["id"] in (7, None)
            assert said(await wire.post(GOOD)) == {"jsonrpc": "2.0", "id": 7, "result": {}}

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"accept": "text/html"}, 406, "http.not_acceptable"),
        ({"content_type": "text/plain"}, 415, "http.not_json"),
    ],
)
def test_a_body_of_another_kind_is_refused(headers: dict[str, str | None], status: int, code: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.post(GOOD, **headers)
            assert (answer.status_code, said(answer)["error"]["data"]["code"]) == (status, code)

    run(scenario())


def test_a_body_beyond_the_limit_is_refused() -> None:
    async def scenario() -> None:
        async with place("bob", settings=McpSettings(body_bytes=1_000)) as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.post(GOOD + " " * 1_000)
            assert (answer.status_code, said(answer)["error"]["data"]["code"]) == (413, "limit.body")
            assert (await wire.post(GOOD)).status_code == 200
        assert McpSettings().body_bytes == 2**20

    run(scenario())


def test_an_unknown_tool_is_a_fault_of_the_protocol() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.call("nonsense")
            assert (said(answer)["error"]["code"], said(answer)["error"]["data"]["code"]) == (-32602, "tool.unknown")
            nameless = await wire.post(wire.message("tools/call", arguments={}))
            assert said(nameless)["error"]["code"] == -32602

    run(scenario())


ASK: dict[str, Any] = {"to": "bob", "message": "?", "choices": ["a", "b"], "wait_seconds": 0}


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "says"),
    [
        ("ask", {**ASK, "to": "nobody"}, "recipient.unknown", "nobody"),
        ("ask", {**ASK, "to": "bbo"}, "recipient.unknown", "Did you mean bob"),
        ("ask", {"to": "bob"}, "argument.invalid", "message"),
        ("ask", {**ASK, "colour": 1}, "argument.invalid", "colour"),
        ("ask", {**ASK, "wait_seconds": "5"}, "argument.invalid", "wait_seconds"),
        ("ask", {**ASK, "wait_seconds": 301}, "argument.invalid", "wait_seconds"),
        ("ask", {**ASK, "wait_seconds": -1}, "argument.invalid", "wait_seconds"),
        ("ask", {**ASK, "deadline_seconds": -5}, "question.deadline_past", "deadline_seconds"),
        ("ask", {**ASK, "choices": None}, "shape.missing", "choices"),
        ("ask", {**ASK, "choices": None, "schema": {"type": "array"}}, "shape.not_object", "object"),
        (
            "ask",
            {**ASK, "choices": None, "schema": {"type": "object", "properties": {"a": {"type": "object"}}}},
            "shape.nested",
            "a",
        ),
        ("ask", {**ASK, "message": "x" * 70_000}, "limit.size", "65536"),
        ("question", {"question_id": "q_none"}, "question.unknown", "question"),
        ("question", {"question_id": "x" * 65}, "argument.invalid", "question_id"),
        ("answer", {"question_id": "q_none", "content": {}}, "question.unknown", "question"),
        ("answer", {"question_id": "q_none", "action": "cancel"}, "argument.invalid", "action"),
        ("send", {"to": ["nobody"], "body": "x"}, "recipient.unknown", "nobody"),
        ("send", {"body": "x"}, "message.no_recipient", "recipient"),
        ("send", {"to": 7, "body": "x"}, "argument.invalid", "to"),
        ("send", {"to": ["bob"], "body": "x", "metadata": [1]}, "argument.invalid", "metadata"),
        ("send", {"to": ["bob"], "body": "x", "metadata": True}, "argument.invalid", "metadata"),
        ("inbox", {"after": 10_000}, "cursor.ahead", "10000"),
        ("inbox", {"after": -1}, "argument.invalid", "after"),
        ("inbox", {"limit": 0}, "argument.invalid", "limit"),
        ("wait_for_messages", {"timeout_seconds": 0}, "argument.invalid", "timeout_seconds"),
        ("wait_for_messages", {"timeout_seconds": 301}, "argument.invalid", "timeout_seconds"),
        ("wait_for_messages", {"since_sequence": 10_000}, "cursor.ahead", "10000"),
        ("wait_for_messages", {"agent_id": "bob"}, "identity.mismatch", "alice"),
    ],
)
def test_a_refusal_is_two_lines_that_a_model_reads_and_a_code(tool: str, arguments: Any, code: str, says: str) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("alice") as wire:
            await wire.initialize()
            answer = await wire.call(tool, **arguments)
            assert answer.status_code == 200
            assert refusal(answer) == code
            text = said(answer)["result"]["content"][0]["text"]
            first, second = text.split("\n")
            assert first.startswith("error: ")
            assert second.startswith("try: ")
            assert says in text
            assert structured(await wire.call("agents"))["agents"]

    run(scenario())


def test_a_second_answer_and_one_of_the_wrong_shape_are_refused_and_lose_nothing() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            asked = await hub.ask("alice", "bob")
            wrong = await wire.call("answer", question_id=asked, content={"choice": "perhaps"})
            assert refusal(wrong).startswith("answer.")
            key = {"key": "k1"}
            first = await wire.call("answer", question_id=asked, content={"choice": "yes"}, **key)
            again = await wire.call("answer", question_id=asked, content={"choice": "yes"}, **key)
            second = await wire.call("answer", question_id=asked, content={"choice": "no"})
            assert structured(first)["status"] == structured(again)["status"] == "answered"
            assert refusal(second) == "question.closed"
            assert await hub.events("question.answered") == 1

    run(scenario())


def test_nobody_answers_or_reads_what_is_not_theirs() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", "mallory") as hub, hub.raw("mallory") as wire:
            await wire.initialize()
            asked = await hub.ask("alice", "bob")
            assert (
                refusal(await wire.call("answer", question_id=asked, content={"choice": "yes"}))
                == "question.not_addressee"
            )
            assert refusal(await wire.call("question", question_id=asked)) == "question.unknown"
            assert refusal(await wire.call("question", question_id=asked, withdraw=True)) == "question.not_asker"

    run(scenario())


def test_the_same_key_asks_once() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("alice") as wire:
            await wire.initialize()
            asked = [structured(await wire.call("ask", **ASK, key="deploy-42"))["question_id"] for _ in range(3)]
            assert len(set(asked)) == 1
            assert await hub.events("question.asked") == 1

    run(scenario())
