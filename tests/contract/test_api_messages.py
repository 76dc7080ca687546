"""Messages over /v1: sent, polled for, taken from the inbox; deprecation and removal of the polling lane."""

import asyncio
from typing import Any

import pytest

from crossfade.core.values import Scope
from tests.kit.clock import settle
from tests.kit.http import Web
from tests.kit.hub import ROOT, ok, run


@run
async def test_a_message_wakes_a_poll_at_once() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        poll = web.begin("GET", "/v1/messages?wait_seconds=50", token=bob)
        await web.clock.advance(1)
        assert not poll.ended
        sent = await web.post("/v1/messages", {"to": "bob", "body": "hello", "metadata": {"n": 1}}, token=ada)
        assert sent.status == 201
        page = (await poll.answer()).json
        assert [(m["from"], m["content"], m["metadata"]) for m in page["messages"]] == [("ada", "hello", {"n": 1})]
        assert page["cursor"] == page["messages"][-1]["sequence"] == sent.json["sequence"]
        assert page["has_more"] is False


@run
async def test_the_cursor_acknowledges_and_without_it_nothing_is_skipped() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        for body in "abc":
            await web.post("/v1/messages", {"to": ["bob"], "body": body}, token=ada)
        first = (await web.get("/v1/inbox?limit=2&after=0", token=bob)).json
        assert ([m["content"] for m in first["messages"]], first["has_more"]) == (["a", "b"], True)
        rest = (await web.get(f"/v1/inbox?after={first['cursor']}", token=bob)).json
        assert ([m["content"] for m in rest["messages"]], rest["has_more"]) == (["c"], False)
        cursor = (await web.post("/v1/inbox/acknowledge", {"through": rest["cursor"]}, token=bob)).json
        assert cursor == {"cursor": rest["cursor"]}
        assert (await web.get("/v1/inbox", token=bob)).json["messages"] == []


@run
async def test_a_poll_whose_client_went_away_loses_nothing() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        poll = web.begin("GET", "/v1/messages?wait_seconds=50", token=bob)
        await web.clock.advance(1)
        await web.post("/v1/messages", {"to": "bob", "body": "hello"}, token=ada)
        gone = web.begin("GET", "/v1/messages?wait_seconds=50", token=bob)
        await poll.answer()
        gone.gone.set()
        await asyncio.wait_for(gone.task, 60)
        assert gone.status == 0, "nobody was there to answer"
        assert [m["content"] for m in (await web.get("/v1/messages?after=0", token=bob)).json["messages"]] == ["hello"]


@run
async def test_items_handed_to_a_connection_that_is_gone_are_handed_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        await web.post("/v1/messages", {"to": "bob", "body": "hello"}, token=ada)
        receive = web.hub.receive

        async def receive_too_late(*arguments: Any) -> object:
            batch = await receive(*arguments)
            poll.gone.set()
            await settle()
            return batch

        with monkeypatch.context() as patch:
            patch.setattr(web.hub, "receive", receive_too_late)
            poll = web.begin("GET", "/v1/messages?wait_seconds=50", token=bob)
            await asyncio.wait_for(poll.task, 60)
        assert poll.status == 0, "nobody was there to answer"
        again = await web.get("/v1/messages", token=bob)
        assert [m["content"] for m in again.json["messages"]] == ["hello"]


@run
async def test_a_poll_is_for_the_caller_alone() -> None:
    async with Web() as web:
        bob = await web.token("bob")
        assert (await web.get("/v1/messages?agent_id=bob", token=bob)).status == 200
        other = await web.get("/v1/messages?agent_id=ada", token=bob)
        assert (other.status, other.code) == (403, "identity.mismatch")


@run
async def test_a_bad_cursor_is_refused_as_one() -> None:
    async with Web() as web:
        bob = await web.token("bob")
        for after in ("x", "-1", "1.5", "null", "99999999999999999999", "5"):
            answer = await web.get(f"/v1/messages?after={after}", token=bob)
            assert (answer.status, answer.code.partition(".")[0]) == (400, "cursor"), after


@run
async def test_a_deprecated_polling_lane_says_so_in_headers_and_a_removed_one_is_gone() -> None:
    async with Web() as web:
        bob, root = await web.token("bob"), await web.token("ops", Scope.OPERATOR)
        assert "deprecation" not in (await web.get("/v1/messages", token=bob)).headers
        await web.world.rollout(1.0)
        ended = await web.post(
            "/v1/rollout/deprecate", {"sunset_seconds": 3600, "notice": "Use the stream."}, token=root
        )
        assert ended.json["status"] == "deprecated", ended
        poll = await web.get("/v1/messages", token=bob)
        assert (poll.status, poll.json["notice"]) == (200, "Use the stream.")
        assert poll.headers["deprecation"] == "@1800000000"
        assert poll.headers["sunset"] == "Fri, 15 Jan 2027 09:00:00 GMT"
        await web.clock.advance(3601)
        ok(await web.hub.rollout_remove(ROOT))
        removed = await web.get("/v1/messages", token=bob)
        assert (removed.status, removed.code) == (410, "polling.removed")
        assert "inbox" in removed.text
        assert "deprecation" in removed.headers
        assert (await web.get("/v1/inbox", token=bob)).status == 200


@run
async def test_a_reply_in_words_answers_the_question() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        ask = {"to": "bob", "message": "Ship?", "choices": ["yes", "no"]}
        question_id = (await web.post("/v1/questions", ask, token=ada)).json["question_id"]
        sent = await web.post("/v1/messages", {"body": "yes", "reply_to": question_id}, token=bob)
        assert sent.json["delivery"] == {"ada": "answered"}
        assert (await web.get(f"/v1/questions/{question_id}", token=ada)).json["content"] == {"choice": "yes"}
