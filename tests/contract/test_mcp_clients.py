"""The official client asks and answers, on both eras and both lanes. The place judges every message sent."""

import asyncio
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestParams, ElicitResult

from crossfade.engine.ports import UnavailableError
from crossfade.inbound.mcp.tools import HubTools
from tests.kit.http_server import run
from tests.kit.mcp import SESSIONED, STATELESS, Place, place

MODES = (SESSIONED, STATELESS)


class Answerer:
    """An elicitation callback that remembers what it was asked."""

    def __init__(self, action: str = "accept", **content: Any) -> None:
        self.action = action
        self.content = content
        self.asked: list[ElicitRequestParams] = []

    async def __call__(self, context: object, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params)
        content = self.content if self.action == "accept" else None
        return ElicitResult.model_validate({"action": self.action, "content": content})


async def ask(client: Client, to: str, **more: Any) -> dict[str, Any]:
    arguments = {"to": to, "message": "Ship it?", "choices": ["yes", "no"], "wait_seconds": 15, **more}
    result = await client.call_tool("ask", arguments)
    assert not result.is_error, result.content
    found: dict[str, Any] = result.structured_content or {}
    return found


async def poll(client: Client, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool("wait_for_messages", {"timeout_seconds": 15, **arguments})
    assert not result.is_error, result.content
    found: dict[str, Any] = result.structured_content or {}
    return found


@pytest.mark.requirement("P25")
@pytest.mark.parametrize("asker", MODES)
@pytest.mark.parametrize("answerer", MODES)
def test_a_question_on_the_polling_lane_is_read_as_a_message_and_answered_with_a_tool(
    asker: str, answerer: str
) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.client("alice", asker) as a, hub.client("bob", answerer) as b:
            asked = asyncio.create_task(ask(a, "bob"))
            messages = (await poll(b))["messages"]
            assert [(m["kind"], m["from"], m["content"]) for m in messages] == [("question", "alice", "Ship it?")]
            await b.call_tool("answer", {"question_id": messages[0]["id"], "content": {"choice": "no"}})
            answer = await asked
            assert (answer["status"], answer["content"], answer["ended_by"]) == ("answered", {"choice": "no"}, "bob")

    run(scenario())


@pytest.mark.requirement("P25", "P10")
@pytest.mark.parametrize("asker", MODES)
@pytest.mark.parametrize("answerer", MODES)
@pytest.mark.parametrize("tool", ["wait_for_messages", "attend"])
def test_a_question_on_the_elicitation_lane_is_elicited_inside_the_wait(asker: str, answerer: str, tool: str) -> None:
    async def scenario() -> None:
        said = Answerer(choice="yes")
        async with (
            place("alice", "bob") as hub,
            hub.client("alice", asker) as a,
            hub.client("bob", answerer, elicitation_callback=said) as b,
        ):
            await hub.share(1)
            held = asyncio.create_task(b.call_tool(tool, {}))
            await hub.waiting("bob")
            answer = await ask(a, "bob")
            assert (answer["status"], answer["content"]) == ("answered", {"choice": "yes"})
            waited = (await held).structured_content or {}
            assert waited["elicited"] == [{"question_id": answer["question_id"], "status": "answered"}]
            assert waited["messages"] == []
            assert [params.message for params in said.asked] == ["Ship it?"]

    run(scenario())


@pytest.mark.parametrize("answerer", MODES)
def test_questions_that_pile_up_are_elicited_one_after_another_in_one_call(answerer: str) -> None:
    async def scenario() -> None:
        said = Answerer(choice="yes")
        async with place("alice", "bob") as hub, hub.client("bob", answerer, elicitation_callback=said) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            asked = [await hub.ask("alice", "bob", f"Number {number}?") for number in range(12)]
            elicited: list[str] = []
            for _ in range(3):
                waited = (await b.call_tool("attend", {"wait_seconds": 5})).structured_content or {}
                elicited += [entry["question_id"] for entry in waited["elicited"]]
                if len(elicited) == len(asked):
                    break
            assert elicited == asked
            assert await hub.events("question.answered") == len(asked)

    run(scenario())


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("answerer", MODES)
def test_a_call_that_fails_after_its_client_was_asked_is_counted_once(
    answerer: str, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise UnavailableError

    async def scenario() -> None:
        said, counted = Answerer(choice="yes"), []
        async with place("alice", "bob") as hub, hub.client("bob", answerer, elicitation_callback=said) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            await hub.ask("alice", "bob")
            monkeypatch.setattr(HubTools, "count", lambda _self, _plan, _peer, fault=None: counted.append(fault))
            monkeypatch.setattr(HubTools, "resume", unavailable)
            if not at_once:
                monkeypatch.setattr(hub.hub.mail, "begin", lambda *_: None)
            with pytest.raises(MCPError, match="cannot store"):
                await b.call_tool("attend", {"wait_seconds": 5})
            assert said.asked
            assert counted == [None]

    run(scenario())


@pytest.mark.parametrize("answerer", MODES)
def test_questions_that_keep_coming_natively_do_not_hold_up_what_comes_as_text(answerer: str) -> None:
    async def scenario() -> None:
        said = Answerer(choice="yes")
        async with place("alice", "bob") as hub, hub.client("bob", answerer, elicitation_callback=said) as b:
            await hub.share(1)
            await b.call_tool("inbox", {})
            await hub.native("bob")
            await hub.send("alice", "bob", "do read me")
            for number in range(20):
                await hub.ask("alice", "bob", f"Number {number}?")
            waited = (await b.call_tool("attend", {})).structured_content or {}
            assert [message["content"] for message in waited["messages"]] == ["do read me"]
            assert len(said.asked) == len(waited["elicited"]) < 20
            assert waited["has_more"]

    run(scenario())


@pytest.mark.parametrize("answerer", MODES)
@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_program_that_declines_has_decided_and_one_that_cancels_has_not(answerer: str, action: str) -> None:
    async def scenario() -> None:
        said = Answerer(action)
        async with place("alice", "bob") as hub, hub.client("bob", answerer, elicitation_callback=said) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            asked = await hub.ask("alice", "bob")
            waited = await poll(b)
            status = {entry["question_id"]: entry["status"] for entry in waited["elicited"]}
            if action == "decline":
                assert status == {asked: "declined"}
                assert waited["messages"] == []
            else:
                assert status == {asked: "open"}
                assert [m["id"] for m in waited["messages"]] == [asked]

    run(scenario())


@pytest.mark.parametrize("answerer", MODES)
def test_an_answer_of_the_wrong_shape_does_not_end_the_question_which_comes_as_text(answerer: str) -> None:
    async def scenario() -> None:
        said = Answerer(choice="perhaps")
        async with place("alice", "bob") as hub, hub.client("bob", answerer, elicitation_callback=said) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            asked = await hub.ask("alice", "bob")
            waited = await poll(b)
            assert [m["id"] for m in waited["messages"]] == [asked]
            assert await hub.events("question.answered") == 0

    run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_a_client_without_the_capability_is_never_elicited(mode: str) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.client("bob", mode) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            asked = await hub.ask("alice", "bob")
            waited = await poll(b)
            assert [m["id"] for m in waited["messages"]] == [asked]
            assert "elicited" not in waited

    run(scenario())


@pytest.mark.parametrize("mode", MODES)
def test_a_message_that_came_with_a_question_is_delivered_after_it(mode: str) -> None:
    async def scenario() -> None:
        said = Answerer(choice="yes")
        async with place("alice", "bob") as hub, hub.client("bob", mode, elicitation_callback=said) as b:
            await b.call_tool("inbox", {})
            await hub.share(1)
            await hub.send("alice", "bob", "first")
            await hub.ask("alice", "bob")
            waited = await poll(b)
            assert [m["content"] for m in waited["messages"]] == ["first"]
            assert [entry["status"] for entry in waited["elicited"]] == ["answered"]

    run(scenario())


async def everything(hub: Place, mode: str) -> dict[str, Any]:
    """One call of each tool, and what it gave."""
    async with hub.client("alice", mode) as a, hub.client("bob", mode) as b:
        asked = await ask(a, "bob", wait_seconds=0)
        calls = [
            (b, "inbox", {}),
            (b, "answer", {"question_id": asked["question_id"], "content": {"choice": "yes"}}),
            (a, "question", {"question_id": asked["question_id"]}),
            (a, "question", {"question_id": (await ask(a, "bob", wait_seconds=0))["question_id"], "withdraw": True}),
            (a, "send", {"to": ["bob"], "body": "thanks", "metadata": {"n": 1}}),
            (b, "attend", {"wait_seconds": 0}),
            (b, "wait_for_messages", {"since_sequence": 0}),
            (a, "agents", {"query": "bo"}),
        ]
        return {tool: (await client.call_tool(tool, arguments)).structured_content for client, tool, arguments in calls}


@pytest.mark.requirement("P24")
@pytest.mark.parametrize("mode", MODES)
def test_every_tool_works_with_the_official_client_which_checks_the_output_schemas(mode: str) -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub:
            found = await everything(hub, mode)
            assert found["question"]["status"] == "withdrawn"
            assert found["send"]["delivery"] == {"bob": "queued"}
            assert [agent["name"] for agent in found["agents"]["agents"]] == ["bob"]
            thanks = found["wait_for_messages"]["messages"][-1]
            assert thanks.keys() >= {"sequence", "from", "content", "metadata", "timestamp"}
            assert (thanks["from"], thanks["content"], thanks["metadata"]) == ("alice", "thanks", {"n": 1})

    run(scenario())
