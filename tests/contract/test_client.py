"""The Python SDK against a real hub: asking, answering, following the lane, and surviving a bad wire."""

import asyncio
import dataclasses
import logging
from collections import Counter
from typing import Literal, TypedDict

import msgspec
import pytest
from pydantic import BaseModel

from crossfade.bootstrap import ROOT
from crossfade.client import (
    Agent,
    Answer,
    Ask,
    AuthenticationError,
    CrossfadeError,
    Decline,
    Item,
    Options,
    QuestionView,
    RefusedError,
    UnreachableError,
    views,
)
from crossfade.client.shapes import content_of, schema_of
from crossfade.engine import requests
from crossfade.inbound.api import identities, messages
from tests.kit.hub import ok, run
from tests.kit.live import Wire, live_hub, rollout, token

LIMIT_SECONDS = 120.0
"""A test that hangs fails; nothing else depends on this."""


class Serving:
    """An agent that answers in the background."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    async def __aenter__(self) -> Agent:
        await self.agent.__aenter__()
        self._task = asyncio.create_task(self.agent.serve())
        await self.agent.api.me()
        return self.agent

    async def __aexit__(self, kind: object, *_: object) -> None:
        self.agent.stop()
        if kind is None:
            await asyncio.wait_for(self._task, LIMIT_SECONDS)
        self._task.cancel()
        await self.agent.__aexit__(None, None, None)


def yes_sayer(url: str, name: str = "reviewer", answer: object = "ship") -> Serving:
    agent = Agent(name, url=url)

    @agent.answers
    async def say(_: QuestionView) -> object:
        return answer

    return Serving(agent)


# --- asking and answering ---------------------------------------------------------------------------


@run
async def test_a_question_with_choices_is_asked_and_answered() -> None:
    async with live_hub() as hub, yes_sayer(hub.url), Agent("planner", url=hub.url) as me:
        answer = await me.ask("reviewer", "Ship build 41?", choices=["ship", "hold"])
    assert (answer.status, answer.accepted, answer.by) == ("answered", True, "reviewer")
    assert answer.content == {"choice": "ship"}


class Verdict(msgspec.Struct):
    decision: Literal["ship", "hold"]
    score: int = 0
    reason: str | None = None


@dataclasses.dataclass
class Plain:
    decision: Literal["ship", "hold"]
    score: int = 0


class Loose(TypedDict):
    decision: Literal["ship", "hold"]
    score: int


class Model(BaseModel):
    decision: Literal["ship", "hold"]
    score: int = 0
    reason: str | None = None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Verdict, Verdict("ship", 7)),
        (Plain, Plain("ship", 7)),
        (Loose, {"decision": "ship", "score": 7}),
        (Model, Model(decision="ship", score=7)),
    ],
)
def test_an_answer_comes_back_as_the_type_that_was_asked_for(shape: type, expected: object) -> None:
    @run
    async def scene() -> None:
        async with (
            live_hub() as hub,
            yes_sayer(hub.url, answer={"decision": "ship", "score": 7}),
            Agent("planner", url=hub.url) as me,
        ):
            answer = await me.ask("reviewer", "Ship?", shape)
        assert answer.content == expected

    scene()


@pytest.mark.parametrize("answer", [Verdict("ship", 1), Plain("ship", 1), Model(decision="ship", score=1)])
def test_a_handler_may_return_any_of_these_types(answer: object) -> None:
    schema = schema_of(type(answer))
    assert content_of(answer, schema) == {"decision": "ship", "score": 1}


@pytest.mark.parametrize("shape", [Verdict, Plain, Loose, Model])
def test_every_kind_of_type_gives_a_flat_schema(shape: type) -> None:
    schema = schema_of(shape)
    assert set(schema) <= {"type", "properties", "required"}
    written = msgspec.json.encode(schema).decode()
    assert '"enum":["ship","hold"]' in written
    assert "$ref" not in written


@pytest.mark.parametrize(
    ("value", "content"), [("ship", {"a": "ship"}), (True, {"a": True}), ({"a": 1, "b": None}, {"a": 1})]
)
def test_a_bare_value_stands_for_the_only_required_field(value: object, content: object) -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}
    assert content_of(value, schema) == content


def test_a_value_that_fits_no_field_says_which_fields_there_are() -> None:
    with pytest.raises(TypeError, match="a, b"):
        content_of("ship", {"type": "object", "properties": {"a": {}, "b": {}}})


@run
async def test_a_handler_declines_with_a_reason() -> None:
    async with (
        live_hub() as hub,
        Serving(Agent("reviewer", url=hub.url)) as reviewer,
        Agent("planner", url=hub.url) as me,
    ):

        @reviewer.answers
        async def say(_: QuestionView) -> str:
            raise Decline("not on a Friday")

        answer = await me.ask("reviewer", "Ship?", choices=["ship", "hold"])
    assert (answer.status, answer.accepted, answer.reason) == ("declined", False, "not on a Friday")


@run
async def test_a_plain_function_answers_from_a_thread() -> None:
    async with (
        live_hub() as hub,
        Serving(Agent("reviewer", url=hub.url)) as reviewer,
        Agent("planner", url=hub.url) as me,
    ):
        reviewer.answers(lambda question: "hold" if "build" in question.message else "ship")
        answer = await me.ask("reviewer", "Ship build 41?", choices=["ship", "hold"])
    assert answer.content == {"choice": "hold"}


def test_a_failing_handler_leaves_its_question_open_and_answers_the_next(caplog: pytest.LogCaptureFixture) -> None:
    @run
    async def scene() -> None:
        async with (
            live_hub() as hub,
            Serving(Agent("reviewer", url=hub.url)) as reviewer,
            Agent("planner", url=hub.url) as me,
        ):

            @reviewer.answers
            async def say(question: QuestionView) -> str:
                if question.message == "bad":
                    raise ZeroDivisionError
                return "ship"

            bad = await me.pose(Ask(to="reviewer", message="bad", choices=("ship", "hold")))
            await me.ask("reviewer", "good", choices=["ship", "hold"])
            assert (await me.api.question(bad.question_id)).status == "open"

    with caplog.at_level(logging.ERROR):
        scene()
    assert "stays open" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@run
async def test_an_open_question_is_put_before_the_next_process_of_the_agent() -> None:
    async with live_hub() as hub:
        taken = asyncio.Event()
        first = Agent("reviewer", url=hub.url, options=Options(drain_seconds=0))

        @first.answers
        async def hang(_: QuestionView) -> str:
            taken.set()
            await asyncio.Event().wait()
            return "never"

        async with Agent("planner", url=hub.url) as me:
            async with Serving(first):
                question = await me.pose(Ask(to="reviewer", message="Ship?", choices=("ship", "hold")))
                await asyncio.wait_for(taken.wait(), LIMIT_SECONDS)
            async with yes_sayer(hub.url):
                answer = await asyncio.wait_for(me.wait(question), LIMIT_SECONDS)
    assert answer.accepted


@run
async def test_stopping_lets_a_running_handler_finish_and_sends_its_answer() -> None:
    async with live_hub() as hub, Agent("planner", url=hub.url) as me:
        taken, release, seen = asyncio.Event(), asyncio.Event(), []
        agent = Agent("reviewer", url=hub.url)

        @agent.answers
        async def slow(question: QuestionView) -> str:
            seen.append(question.message)
            taken.set()
            await release.wait()
            return "ship"

        async with agent:
            serving = asyncio.create_task(agent.serve())
            await agent.api.me()
            one = await me.pose(Ask(to="reviewer", message="one", choices=("ship", "hold")))
            await asyncio.wait_for(taken.wait(), LIMIT_SECONDS)
            agent.stop()
            two = await me.pose(Ask(to="reviewer", message="two", choices=("ship", "hold")))
            release.set()
            await asyncio.wait_for(serving, LIMIT_SECONDS)
        assert (await me.api.question(one.question_id)).status == "answered"
        assert (await me.api.question(two.question_id)).status == "open"
    assert seen == ["one"]


def test_serving_that_is_cancelled_leaves_nothing_at_work(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with live_hub() as hub:
            others = asyncio.all_tasks()
            agent = Agent("reviewer", url=hub.url)
            async with agent:
                serving = asyncio.create_task(agent.serve())
                await agent.api.me()
                mine = {task for task in asyncio.all_tasks() - others if "Agent" in repr(task.get_coro())}
                assert len(mine) > 1
                serving.cancel()
                await asyncio.wait({serving})
                assert [task for task in mine if not task.done()] == []

    asyncio.run(scene())
    assert [record.message for record in caplog.records if "never retrieved" in record.message] == []


# --- messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["polling", "elicitation"])
def test_messages_are_read_in_order_and_once_across_processes(share: float) -> None:
    @run
    async def scene() -> None:
        async with live_hub() as hub, Agent("planner", url=hub.url) as me, Agent("reviewer", url=hub.url) as known:
            await asyncio.gather(me.api.me(), known.api.me())
            await rollout(hub, share)
            read: list[str] = []
            for start in (0, 10):
                done = asyncio.Event()
                agent = Agent("reviewer", url=hub.url)

                @agent.reads
                async def note(item: Item, last: str = str(start + 9), done: asyncio.Event = done) -> None:
                    read.append(item.content)
                    if item.content == last:
                        done.set()

                async with Serving(agent):
                    for number in range(start, start + 10):
                        await me.send("reviewer", str(number))
                    await asyncio.wait_for(done.wait(), LIMIT_SECONDS)
        assert read == [str(number) for number in range(20)]

    scene()


# --- a bad wire -------------------------------------------------------------------------------------


@run
async def test_a_lost_reply_to_ask_asks_only_once() -> None:
    async with live_hub() as hub, Wire(hub.url) as wire, yes_sayer(hub.url), Agent("planner", url=wire.url) as me:
        wire.swallow = b"POST /v1/questions"
        answer = await me.ask("reviewer", "Ship?", choices=["ship", "hold"])
        records = ok(await hub.hub.records(ROOT, 1, 0, 1_000))
    assert wire.lost == 1
    assert answer.accepted
    assert Counter(record.type.partition(".")[2] for record in records)["asked/1"] == 1


def test_a_lost_reply_to_an_answer_answers_once_and_complains_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @run
    async def scene() -> None:
        async with live_hub() as hub, Wire(hub.url) as wire, Agent("planner", url=hub.url) as me:
            called = []
            agent = Agent("reviewer", url=wire.url)

            @agent.answers
            async def say(question: QuestionView) -> str:
                called.append(question.question_id)
                wire.swallow = f"POST /v1/questions/{question.question_id}/answer".encode()
                return "ship"

            async with Serving(agent):
                answer = await asyncio.wait_for(me.ask("reviewer", "Ship?", choices=["ship", "hold"]), LIMIT_SECONDS)
            assert answer.accepted
            assert (wire.lost, len(called)) == (1, 1)

    with caplog.at_level(logging.INFO, "crossfade.client"):
        scene()
    assert "not taken" not in caplog.text
    assert "its end already" not in caplog.text


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["polling", "elicitation"])
def test_cut_connections_lose_and_double_nothing(share: float) -> None:
    @run
    async def scene() -> None:
        async with live_hub() as hub, Wire(hub.url) as wire, Agent("planner", url=hub.url) as me:
            await rollout(hub, share)
            seen: Counter[str] = Counter()
            agent = Agent("reviewer", url=wire.url)

            @agent.answers
            async def say(question: QuestionView) -> str:
                seen[question.message] += 1
                if len(seen) % 5 == 0:
                    wire.cut()
                return "ship"

            async with Serving(agent):
                for start in range(0, 40, 8):
                    asked = [
                        me.ask("reviewer", str(number), choices=["ship", "hold"]) for number in range(start, start + 8)
                    ]
                    answers = await asyncio.wait_for(asyncio.gather(*asked), LIMIT_SECONDS)
                    assert all(answer.accepted for answer in answers)
            assert seen == Counter(str(number) for number in range(40))

    scene()


@run
async def test_switching_lanes_with_questions_open_loses_and_doubles_nothing() -> None:
    async with live_hub() as hub, Wire(hub.url) as wire, Agent("planner", url=hub.url) as me:
        seen: Counter[str] = Counter()
        agent = Agent("reviewer", url=wire.url)

        @agent.answers
        async def say(question: QuestionView) -> str:
            seen[question.message] += 1
            return "ship"

        async def ten(prefix: str) -> list[asyncio.Task[Answer]]:
            asks = [me.ask("reviewer", f"{prefix}-{number}", choices=["ship", "hold"]) for number in range(10)]
            return [asyncio.create_task(ask) for ask in asks]

        async with Serving(agent):
            for turn, share in enumerate((0.0, 1.0, 0.0, 1.0)):
                during = await ten(f"during {turn}")
                if share == 0.0 and turn:
                    ok(await hub.hub.rollout_kill(ROOT, "test"))
                    ok(await hub.hub.rollout_resume(ROOT, "test"))
                else:
                    await rollout(hub, share)
                await asyncio.wait_for(asyncio.gather(*during), LIMIT_SECONDS)
                await asyncio.wait_for(me.ask("reviewer", f"settled {turn}", choices=["ship", "hold"]), LIMIT_SECONDS)
                wire.opened.clear()
                answers = await asyncio.wait_for(asyncio.gather(*await ten(f"after {turn}")), LIMIT_SECONDS)
                assert all(answer.accepted for answer in answers)
                polled = any(line.startswith(b"GET /v1/messages") for line in wire.opened)
                assert polled is (share == 0.0), (turn, wire.opened)
    assert set(seen.values()) == {1}
    assert len(seen) == 4 * 21


# --- refusals ---------------------------------------------------------------------------------------


@run
async def test_a_refusal_carries_code_message_and_advice() -> None:
    async with live_hub() as hub, Agent("planner", url=hub.url) as me:
        with pytest.raises(RefusedError) as caught:
            await me.ask("nobody", "Ship?", choices=["ship", "hold"])
    assert caught.value.code == "recipient.unknown"
    assert str(caught.value).startswith("error: ")
    assert "\ntry: " in str(caught.value)


@run
async def test_a_wrong_token_is_an_authentication_error() -> None:
    async with live_hub() as hub, Agent("planner", url=hub.url, token="cf_wrong") as me:
        with pytest.raises(AuthenticationError) as caught:
            await me.ask("reviewer", "Ship?", choices=["ship", "hold"])
    assert caught.value.code == "auth.unknown"


@run
async def test_serving_under_the_token_of_another_is_refused() -> None:
    async with live_hub() as hub, Agent("reviewer", url=hub.url, token=await token(hub, "planner")) as agent:
        with pytest.raises(CrossfadeError) as caught:
            await asyncio.wait_for(agent.serve(), LIMIT_SECONDS)
    assert caught.value.code == "identity.mismatch"


@run
async def test_no_hub_is_an_unreachable_error_once_patience_ends() -> None:
    async with Agent("planner", url="http://127.0.0.1:9", options=Options(patience_seconds=0.0)) as me:
        with pytest.raises(UnreachableError) as caught:
            await me.ask("reviewer", "Ship?", choices=["ship", "hold"])
    assert (caught.value.code, caught.value.hint) == ("client.unreachable", "start one: crossfade up")


# --- in step with the server ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (views.QuestionView, requests.QuestionView),
        (views.Item, requests.Item),
        (views.SentView, requests.SentView),
        (views.AgentView, requests.AgentView),
        (views.TokenView, requests.TokenView),
        (views.IssuedToken, requests.IssuedToken),
        (views.RolloutView, requests.RolloutView),
        (views.RecordView, requests.RecordView),
        (views.Page, messages.Page),
        (views.Me, identities.Me),
    ],
)
def test_the_sdk_knows_every_field_the_hub_sends(ours: type, theirs: type) -> None:
    assert msgspec.structs.fields(ours)
    assert {field.encode_name for field in msgspec.structs.fields(ours)} == {
        field.encode_name for field in msgspec.structs.fields(theirs)
    }
