"""Waits: they wake at once, lose nothing, end without an error, and keep within what clients bear."""

import asyncio
from typing import Any

import pytest

from crossfade.engine.limits import Limits
from crossfade.engine.ports import UnavailableError
from crossfade.inbound.mcp.settings import McpSettings
from tests.kit.http_server import run
from tests.kit.mcp import STATELESS, Held, Place, Wire, place, refusal, said, structured

CHARACTERS_PER_TOKEN = 3
"""Fewer than JSON really has."""
FORM = {"elicitation": {}}
ENVELOPE = {"mcp_protocol_version": STATELESS, "mcp_method": "tools/call"}


async def waiting(hub: Place, wire: Wire, **arguments: Any) -> "asyncio.Task[Any]":
    """A ``wait_for_messages`` that is being held."""
    task = asyncio.create_task(wire.call("wait_for_messages", **arguments))
    await hub.waiting("bob")
    return task


def contents(response: Any) -> list[str]:
    return [message["content"] for message in structured(response)["messages"]]


@pytest.mark.requirement("P24")
def test_a_held_wait_wakes_when_a_message_arrives_and_not_when_its_time_is_up() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            task = await waiting(hub, wire, timeout_seconds=300)
            await hub.send("alice", "bob", "now")
            assert contents(await asyncio.wait_for(task, 45)) == ["now"]  # long before the 55 seconds are over

    run(scenario())


def test_headers_and_pings_go_out_while_nothing_happens() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", ping_seconds=0.02) as hub, hub.raw("bob") as wire:
            await wire.initialize()
            async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                assert held.response.headers["content-type"] == "text/event-stream"
                assert held.response.headers["x-accel-buffering"] == "no"
                assert await held.line() == ": ping"
                await hub.send("alice", "bob", "done")
                assert (await held.message())["result"]["structuredContent"]["messages"][0]["content"] == "done"

    run(scenario())


def test_progress_is_told_to_those_who_asked_for_it_and_their_wait_may_be_long() -> None:
    async def scenario() -> None:
        settings, limits = McpSettings(progress_seconds=0.02), Limits(wait_seconds_max=0.01)
        async with place("alice", "bob", limits=limits, settings=settings) as hub, hub.raw("bob") as wire:
            await wire.initialize()
            call = wire.message("tools/call", name="wait_for_messages", arguments={"timeout_seconds": 300})
            call["params"]["_meta"] = {"progressToken": "p1"}
            async with wire.held(call) as held:
                heard = [(await held.message())["params"] for _ in range(2)]
                assert [(p["progressToken"], p["progress"]) for p in heard] == [("p1", 1), ("p1", 2)]
                await hub.send("alice", "bob", "late")
                while "result" not in (message := await held.message()):
                    assert message["method"] == "notifications/progress"
                assert message["result"]["structuredContent"]["messages"][0]["content"] == "late"

    run(scenario())


@pytest.mark.requirement("P24")
def test_without_a_progress_token_a_long_wait_ends_early_empty_with_a_cursor_and_is_no_error() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", limits=Limits(wait_seconds_max=0.01)) as hub, hub.raw("bob") as wire:
            await wire.initialize()
            response = await wire.call("wait_for_messages", timeout_seconds=300)
            result = said(response)["result"]
            assert result["isError"] is False
            assert structured(response) == {"messages": [], "has_more": False, "cursor": 0, "lane": "polling"}
            assert len(result["content"][0]["text"]) <= 40 * CHARACTERS_PER_TOKEN

    run(scenario())


def test_only_what_is_newer_than_the_cursor_comes_and_only_to_whom_it_is_addressed() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", "carol") as hub, hub.raw("bob") as wire, hub.raw("carol") as other:
            await wire.initialize()
            await other.initialize()
            for body in ("one", "two", "three"):
                await hub.send("alice", "bob", body)
            first = await wire.call("wait_for_messages", timeout_seconds=1, since_sequence=0)
            assert contents(first) == ["one", "two", "three"]
            again = await wire.call("wait_for_messages", since_sequence=structured(first)["messages"][1]["sequence"])
            assert contents(again) == ["three"]
            assert contents(await other.call("inbox")) == []

    run(scenario())


@pytest.mark.requirement("P24")
@pytest.mark.parametrize("revision", ["2025-11-25", STATELESS])
def test_what_arrives_while_a_client_is_gone_waits_for_its_next_call(revision: str) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub:
            async with hub.raw("bob") as wire:
                await held_until_gone(hub, wire, revision)
            await hub.waiting("bob", calls=0)
            await hub.send("alice", "bob", "kept")
            async with hub.raw("bob") as wire:
                await wire.initialize()
                assert contents(await wire.call("attend", wait_seconds=5)) == ["kept"]

    run(scenario())


async def held_until_gone(hub: Place, wire: Wire, revision: str) -> None:
    """Open a wait, and drop the connection."""
    headers: dict[str, str] = {}
    if revision == STATELESS:
        headers = {**ENVELOPE, "mcp_name": "attend"}
        message = wire.envelope("tools/call", FORM, name="attend", arguments={})
    else:
        await wire.initialize(revision, FORM)
        message = wire.message("tools/call", name="attend", arguments={})
    async with wire.held(message, **headers):
        await hub.waiting("bob")


def test_a_question_whose_carrier_left_is_offered_to_the_next_one_at_once() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub:
            await hub.share(1)
            async with hub.raw("bob") as wire:
                await wire.initialize("2025-11-25", FORM)
                await hub.native("bob")
                asked = await hub.ask("alice", "bob")
                async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                    assert (await held.message())["id"] == asked
            async with hub.raw("bob") as wire:
                await wire.initialize("2025-11-25", FORM)
                await hub.native("bob")
                async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                    assert (await held.message())["id"] == asked

    run(scenario())


def test_two_connections_of_one_agent_do_not_end_each_other() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as first, hub.raw("bob") as second:
            await first.initialize()
            await second.initialize()
            both = [asyncio.create_task(wire.call("attend", after=0)) for wire in (first, second)]
            await hub.waiting("bob", calls=2)
            await hub.send("alice", "bob", "both")
            assert [contents(response) for response in await asyncio.gather(*both)] == [["both"], ["both"]]

    run(scenario())


def test_a_wait_in_somebody_elses_name_is_refused() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            assert refusal(await wire.call("wait_for_messages", agent_id="alice")) == "identity.mismatch"
            await hub.send("alice", "bob", "mine")
            assert contents(await wire.call("wait_for_messages", agent_id="bob")) == ["mine"]

    run(scenario())


def test_a_client_that_takes_no_stream_waits_for_json_and_is_asked_in_text() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob", accept="application/json") as wire:
            await wire.initialize("2025-11-25", FORM)
            await hub.share(1)
            task = await waiting(hub, wire)
            await hub.ask("alice", "bob")
            response = await task
            assert response.headers["content-type"] == "application/json"
            assert contents(response) == ["Ship it?"]

    run(scenario())


def test_a_client_that_takes_no_stream_and_leaves_has_received_nothing() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub:
            async with hub.raw("bob", accept="application/json") as wire:
                await wire.initialize()
                task = await waiting(hub, wire)
                task.cancel()
            await hub.waiting("bob", calls=0)
            await hub.send("alice", "bob", "kept")
            async with hub.raw("bob") as wire:
                await wire.initialize()
                assert contents(await wire.call("inbox")) == ["kept"]

    run(scenario())


def test_a_fault_in_a_held_call_is_told_on_its_stream_which_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    def broken_look(*_: object) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            monkeypatch.setattr(hub.hub.mail, "look", broken_look)
            task = await waiting(hub, wire)
            while not len(hub.streams):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0)
            await hub.send("alice", "bob", "wake up")
            held = await task
            assert held.headers["content-type"] == "text/event-stream"
            assert said(held)["error"]["data"]["code"] == "hub.fault"
            monkeypatch.setattr(hub.hub, "agents", broken)
            answered = await wire.call("agents")
            assert (answered.status_code, said(answered)["error"]["data"]["code"]) == (500, "hub.fault")
            assert (await wire.post(wire.message("ping"))).status_code == 200

    run(scenario())


@pytest.mark.parametrize("tool", ["attend", "agents"])
def test_a_log_that_fails_is_told_as_such_and_a_retry_is_safe(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: object) -> None:
        raise UnavailableError

    def cannot_begin(*_: object) -> None:
        raise UnavailableError

    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            monkeypatch.setattr(hub.hub.mail, "_begun", cannot_begin)
            monkeypatch.setattr(hub.hub, "agents", unavailable)
            answer = await wire.call(tool)
            assert said(answer)["error"]["data"]["code"] == "hub.unavailable"
            if tool == "agents":
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    run(scenario())


def test_the_stop_of_the_server_answers_held_waits() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            task = await waiting(hub, wire, since_sequence=0)
            assert hub.server is not None
            hub.server.stop()
            assert structured(await task) == {"messages": [], "has_more": False, "cursor": 0}

    run(scenario())


def test_the_stop_of_the_server_tells_an_asker_which_question_is_open() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("alice") as wire:
            await wire.initialize()
            message = wire.message(
                "tools/call", name="ask", arguments={"to": "bob", "message": "?", "choices": ["a", "b"]}
            )
            async with wire.held(message) as held:
                await hub.asked("alice")
                assert hub.server is not None
                hub.server.stop()
                answer = (await held.message())["result"]["structuredContent"]
            assert answer["status"] == "open"
            assert answer["question_id"].startswith("q_")

    run(scenario())


def test_the_stop_of_the_server_tells_who_waits_for_an_end_how_the_question_stands() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("alice") as wire:
            await wire.initialize()
            asked = await hub.ask("alice", "bob")
            message = wire.message("tools/call", name="question", arguments={"question_id": asked, "wait_seconds": 30})
            async with wire.held(message) as held:
                assert hub.server is not None
                hub.server.stop()
                answer = (await held.message())["result"]["structuredContent"]
            assert (answer["question_id"], answer["status"]) == (asked, "open")

    run(scenario())


def test_a_cancelled_call_ends_without_a_response_and_the_session_goes_on() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            call = wire.message("tools/call", name="attend", arguments={})
            async with wire.held(call) as held:
                await hub.waiting("bob")
                cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call["id"]}}
                assert (await wire.post(cancel)).status_code == 202
                with pytest.raises(StopAsyncIteration):
                    await held.message()
            await hub.waiting("bob", calls=0)
            await hub.send("alice", "bob", "after")
            assert contents(await wire.call("attend")) == ["after"]

    run(scenario())


# --- elicitation on an open stream ------------------------------------------------------------------


async def elicited(hub: Place, wire: Wire, held: Held) -> dict[str, Any]:
    """The next elicitation on the stream."""
    message = await held.message()
    assert message["method"] == "elicitation/create"
    return message


def reply(question_id: str, choice: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": question_id, "result": {"action": "accept", "content": {"choice": choice}}}


def test_the_reply_may_come_on_any_connection_and_only_the_first_one_counts() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire, hub.raw("bob") as other:
            await hub.share(1)
            await wire.initialize("2025-11-25", FORM)
            await other.initialize("2025-06-18", FORM)
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                assert (await elicited(hub, wire, held))["id"] == asked
                assert (await other.post(reply(asked, "yes"))).status_code == 202
                assert (await wire.post(reply(asked, "no"))).status_code == 202
                assert (await held.message())["result"]["structuredContent"]["elicited"][0]["status"] == "answered"
            assert structured(await wire.call("question", question_id=asked))["content"] == {"choice": "yes"}
            assert await hub.events("question.answered") == 1

    run(scenario())


def test_a_reply_that_comes_after_the_call_has_ended_still_counts() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", settings=McpSettings(reply_seconds=0.01)) as hub, hub.raw("bob") as wire:
            await hub.share(1)
            await wire.initialize("2025-11-25", FORM)
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            ended = structured(await wire.call("attend"))
            assert ended["elicited"] == [{"question_id": asked, "status": "open"}]
            assert (await wire.post(reply(asked, "yes"))).status_code == 202
            assert structured(await wire.call("question", question_id=asked))["status"] == "answered"

    run(scenario())


def test_a_stranger_cannot_reply() -> None:
    async def scenario() -> None:
        async with place("alice", "bob", "mallory") as hub, hub.raw("bob") as wire, hub.raw("mallory") as stranger:
            await hub.share(1)
            await wire.initialize("2025-11-25", FORM)
            await stranger.initialize("2025-11-25", FORM)
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                await elicited(hub, wire, held)
                assert (await stranger.post(reply(asked, "no"))).status_code == 202
                assert await hub.events("question.answered") == 0
                await wire.post(reply(asked, "yes"))
                assert "result" in await held.message()

    run(scenario())


def test_a_client_that_declared_nothing_is_not_elicited_though_another_of_the_same_agent_can_be() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as capable, hub.raw("bob") as plain:
            await hub.share(1)
            await capable.initialize("2025-11-25", FORM)
            await plain.initialize("2025-11-25")
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with plain.held(plain.message("tools/call", name="attend", arguments={})) as held:
                await hub.waiting("bob")
                await hub.send("alice", "bob", "hello")
                waited = (await held.message())["result"]["structuredContent"]
                assert [message["content"] for message in waited["messages"]] == ["hello"]
            async with capable.held(capable.message("tools/call", name="attend", arguments={})) as held:
                assert (await elicited(hub, capable, held))["id"] == asked

    run(scenario())


def test_a_form_that_nobody_needs_any_more_is_taken_back() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await hub.share(1)
            await wire.initialize("2025-11-25", FORM)
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                await elicited(hub, wire, held)
                await hub.hub.withdraw(hub.caller("alice"), asked)
                taken_back = await held.message()
                assert (taken_back["method"], taken_back["params"]["requestId"]) == ("notifications/cancelled", asked)
                assert (await held.message())["result"]["structuredContent"]["elicited"][0]["status"] == "withdrawn"

    run(scenario())


@pytest.mark.parametrize(
    "answer", [{"error": {"code": -32601, "message": "no"}}, {"result": {"action": "perhaps"}}, {"result": 7}]
)
def test_a_client_that_cannot_answer_gets_the_question_as_text_in_the_same_call(answer: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await hub.share(1)
            await wire.initialize("2025-11-25", FORM)
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with wire.held(wire.message("tools/call", name="wait_for_messages", arguments={})) as held:
                await elicited(hub, wire, held)
                await wire.post({"jsonrpc": "2.0", "id": asked, **answer})
                waited = (await held.message())["result"]["structuredContent"]
            assert [message["id"] for message in waited["messages"]] == [asked]
            assert waited["elicited"][0]["note"] == "not answered by your client; it comes as a message"

    run(scenario())


def test_a_machine_that_declines_for_a_person_has_decided_nothing() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await hub.share(1)
            params = {
                "protocolVersion": "2025-11-25",
                "capabilities": FORM,
                "clientInfo": {"name": "claude-code", "version": "2"},
            }
            begun = await wire.post(wire.message("initialize", **params))
            wire.headers["mcp-session-id"] = begun.headers["mcp-session-id"]
            await hub.native("bob")
            asked = await hub.ask("alice", "bob")
            async with wire.held(wire.message("tools/call", name="wait_for_messages", arguments={})) as held:
                assert (await elicited(hub, wire, held))["params"]["message"] == "alice asks: Ship it?"
                await wire.post({"jsonrpc": "2.0", "id": asked, "result": {"action": "decline"}})
                waited = (await held.message())["result"]["structuredContent"]
            assert [message["id"] for message in waited["messages"]] == [asked]
            assert await hub.events("question.declined") == 0

    run(scenario())


# --- the end of polling -----------------------------------------------------------------------------


@pytest.mark.requirement("P12")
def test_polling_is_announced_to_end_and_then_refused_with_the_name_of_its_replacement() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            await hub.share(1)
            await hub.deprecate(0.001, "Use attend.")
            polled = await wire.call("wait_for_messages", timeout_seconds=1, since_sequence=0)
            assert polled.headers["deprecation"].startswith("@")
            assert polled.headers["sunset"].endswith("GMT")
            assert "deprecation" not in (await wire.call("inbox")).headers
            await hub.remove()
            names = [tool["name"] for tool in said(await wire.post(wire.message("tools/list")))["result"]["tools"]]
            assert "wait_for_messages" not in names
            refused = await wire.call("wait_for_messages")
            assert refusal(refused) == "polling.removed"
            assert "attend" in refused.text

    run(scenario())
