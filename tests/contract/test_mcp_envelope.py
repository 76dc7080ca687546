"""2026-07-28: envelopes, mirrored headers, and state that a client carries between rounds."""

import asyncio
from typing import Any

import pytest

from crossfade.inbound.mcp.envelope import decode_header
from crossfade.inbound.mcp.settings import McpSettings
from tests.kit.http_server import run
from tests.kit.mcp import CAPABILITIES, PV, STATELESS, Place, Wire, place, said, structured

FORM = {"elicitation": {"form": {}}}


def code(response: Any) -> tuple[int, int]:
    """HTTP status and JSON-RPC code."""
    return response.status_code, said(response)["error"]["code"]


async def discover(wire: Wire, meta: dict[str, Any], **headers: str | None) -> Any:
    return await wire.post(wire.message("server/discover", _meta=meta), **headers)


META = {PV: STATELESS, CAPABILITIES: {}}
HEADERS: dict[str, str | None] = {"mcp_protocol_version": STATELESS, "mcp_method": "server/discover"}


def test_discover_says_what_there_is_and_how_long_that_holds() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            result = said(await discover(wire, META, **HEADERS))["result"]
            assert result["supportedVersions"] == [STATELESS]
            assert result["capabilities"] == {"tools": {}}
            assert (result["resultType"], result["cacheScope"]) == ("complete", "public")
            listed = said(await wire.enveloped("tools/list"))["result"]
            assert listed["ttlMs"] >= 0
            assert [tool["name"] for tool in listed["tools"]][:2] == ["ask", "question"]

    run(scenario())


@pytest.mark.parametrize(
    ("meta", "headers", "expected"),
    [
        ({CAPABILITIES: {}}, HEADERS, -32602),
        ({PV: STATELESS}, HEADERS, -32602),
        ({PV: 7, CAPABILITIES: {}}, HEADERS, -32020),
        ({PV: STATELESS, CAPABILITIES: []}, {**HEADERS, "mcp_method": "tools/list"}, -32020),
        (META, {**HEADERS, "mcp_protocol_version": None}, -32020),
        (META, {**HEADERS, "mcp_protocol_version": "2025-11-25"}, -32020),
        (META, {**HEADERS, "mcp_method": None}, -32020),
        (META, {**HEADERS, "mcp_method": "Server/Discover"}, -32020),
        ({**META, PV: "2099-01-01"}, {**HEADERS, "mcp_protocol_version": "2099-01-01"}, -32022),
    ],
)
def test_an_envelope_that_is_incomplete_or_contradicts_its_headers_is_refused(
    meta: dict[str, Any], headers: dict[str, str | None], expected: int
) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            answer = await discover(wire, meta, **headers)
            assert code(answer) == (400, expected)
            assert said(answer)["id"] == 1

    run(scenario())


def test_an_unknown_revision_is_told_which_ones_there_are() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            meta, headers = {**META, PV: "2099-01-01"}, {**HEADERS, "mcp_protocol_version": "2099-01-01"}
            data = said(await discover(wire, meta, **headers))["error"]["data"]
            assert data == {"supported": [STATELESS], "requested": "2099-01-01"}

    run(scenario())


@pytest.mark.parametrize("method", ["initialize", "ping", "subscriptions/listen", "tasks/get", "nonsense"])
def test_a_method_that_the_revision_or_the_hub_does_not_have_is_not_found(method: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            assert code(await wire.enveloped(method)) == (404, -32601)

    run(scenario())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"inbox", "inbox"),
        (b" inbox\t", "inbox"),
        (b"=?base64?aW5ib3g=?=", "inbox"),
        (b"=?base64?aW5ib3g?=", None),
        (b"=?base64?aW5ib3h=?=", None),
        (b"=?base64?/w==?=", None),
        (None, None),
    ],
)
def test_a_mirrored_name_is_read_without_its_spaces_and_its_coding(header: bytes | None, name: str | None) -> None:
    assert decode_header(header) == name


def test_the_mirrored_name_must_be_the_tools_and_be_there_once() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            message = wire.envelope("tools/call", name="inbox", arguments={})
            headers = {"mcp_protocol_version": STATELESS, "mcp_method": "tools/call"}
            assert code(await wire.post(message, **headers)) == (400, -32020)
            assert code(await wire.post(message, **headers, mcp_name="agents")) == (400, -32020)
            assert (await wire.post(message, **headers, mcp_name="=?base64?aW5ib3g=?=")).status_code == 200
            pairs = [(k, v) for k, v in wire.headers.items()]
            pairs += [(k.replace("_", "-"), v) for k, v in headers.items()]
            pairs += [("mcp-name", "agents"), ("mcp-name", "inbox")]
            twice = await wire.http.post(wire.url, json=message, headers=pairs)
            assert code(twice) == (400, -32020)

    run(scenario())


def test_notifications_are_taken_note_of_and_sessions_are_neither_made_nor_ended() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
            assert (await wire.post(note, mcp_protocol_version=STATELESS)).status_code == 202
            answer = await wire.enveloped("tools/call", name="inbox", arguments={})
            assert "mcp-session-id" not in answer.headers
            ended = await wire.http.delete(wire.url, headers={**wire.headers, "mcp-protocol-version": STATELESS})
            assert ended.status_code == 405

    run(scenario())


# --- state ------------------------------------------------------------------------------------------


async def required(wire: Wire, **arguments: Any) -> dict[str, Any]:
    """An attend that comes back asking."""
    result = said(await wire.enveloped("tools/call", FORM, name="attend", arguments=arguments))["result"]
    assert result["resultType"] == "input_required", result
    return dict(result)


async def come_back(wire: Wire, result: dict[str, Any], content: dict[str, Any], **changed: Any) -> Any:
    """The retry with an answer to everything."""
    responses = {key: {"action": "accept", "content": content} for key in result["inputRequests"]}
    params = {"name": "attend", "arguments": {}, "inputResponses": responses, "requestState": result["requestState"]}
    return await wire.enveloped("tools/call", FORM, **{**params, **changed})


async def settled(hub: Place) -> str:
    """Put bob on the elicitation lane with a client that can, and ask him."""
    await hub.share(1)
    hub.hub.touch(hub.caller("bob"), native=True)
    await hub.native("bob")
    return await hub.ask("alice", "bob")


def test_what_is_asked_for_is_keyed_by_the_question_and_ends_it_once_however_often_it_comes_back() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            asked = await settled(hub)
            result = await required(wire)
            assert list(result["inputRequests"]) == [asked]
            assert result["inputRequests"][asked]["method"] == "elicitation/create"
            first = await come_back(wire, result, {"choice": "yes"})
            again = await come_back(wire, result, {"choice": "yes"})
            other = await come_back(wire, result, {"choice": "no"})
            assert [structured(r)["elicited"][0]["status"] for r in (first, again, other)] == ["answered"] * 3
            assert "already" in structured(other)["elicited"][0]["note"]
            assert await hub.events("question.answered") == 1
            answer = await wire.enveloped("tools/call", name="question", arguments={"question_id": asked})
            assert "yes" in said(answer)["result"]["content"][0]["text"]

    run(scenario())


def test_state_opens_only_for_its_agent_tool_and_arguments() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", "mallory") as hub, hub.raw("bob") as wire, hub.raw("mallory") as thief:
            await settled(hub)
            result = await required(wire)
            state = result["requestState"]
            broken = [
                await come_back(thief, result, {"choice": "no"}),
                await come_back(wire, result, {"choice": "no"}, name="wait_for_messages"),
                await come_back(wire, result, {"choice": "no"}, arguments={"wait_seconds": 1}),
                await come_back(wire, result, {"choice": "no"}, requestState=state[:-4] + "AAAA"),
                await come_back(wire, result, {"choice": "no"}, requestState=""),
                await come_back(wire, result, {"choice": "no"}, requestState="v1.é"),
            ]
            assert [code(answer) for answer in broken] == [(400, -32602)] * len(broken)
            assert await hub.events("question.answered") == 0
            assert structured(await come_back(wire, result, {"choice": "no"}))["elicited"][0]["status"] == "answered"

    run(scenario())


def test_answers_without_state_and_state_that_is_too_old_are_refused() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", settings=McpSettings(state_seconds=0)) as hub, hub.raw("bob") as wire:
            asked = await settled(hub)
            result = await required(wire)
            assert code(await come_back(wire, result, {"choice": "no"})) == (400, -32602)
            bare = await wire.enveloped(
                "tools/call", FORM, name="attend", arguments={}, inputResponses={asked: {"action": "accept"}}
            )
            assert said(bare)["error"]["data"]["code"] == "state.missing"
            assert await hub.events("question.answered") == 0

    run(scenario())


@pytest.mark.parametrize("responses", [None, [], {"x": 7}, "x"])
def test_input_responses_of_the_wrong_shape_are_refused(responses: Any) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await settled(hub)
            result = await required(wire)
            assert code(await come_back(wire, result, {}, inputResponses=responses)) == (400, -32602)

    run(scenario())


def test_a_client_that_comes_back_without_an_answer_leaves_the_question_open() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            asked = await settled(hub)
            result = await required(wire)
            answer = structured(await come_back(wire, result, {}, inputResponses={"other": {"action": "accept"}}))
            assert answer["elicited"] == [{"question_id": asked, "status": "open"}]

    run(scenario())


def test_closing_the_stream_cancels_the_wait() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            message = wire.envelope("tools/call", name="attend", arguments={})
            headers = {"mcp_protocol_version": STATELESS, "mcp_method": "tools/call", "mcp_name": "attend"}
            async with wire.held(message, **headers):
                await hub.waiting("bob")
            await asyncio.wait_for(hub.waiting("bob", calls=0), 30)

    run(scenario())
