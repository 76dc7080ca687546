"""A request about a conversation between the lanes counts there, through whichever door it came."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from crossfade.core.question_events import Exposure
from crossfade.core.values import Lane, Scope
from crossfade.inbound.mcp.seam import Peer, Plan, Reply
from crossfade.inbound.mcp.tools import HubTools
from tests.kit.http import Web
from tests.kit.hub import ok, run
from tests.kit.measuring import total


async def split(web: Web) -> tuple[str, str]:
    """The names of an agent on the elicitation lane, and of one on polling."""
    ops = await web.token("ops", Scope.OPERATOR)
    for number in range(8):
        await web.get("/v1/me", token=await web.token(f"agent-{number}"))
    await web.post("/v1/rollout/start", {"name": "r", "salt": "salt"}, token=ops)
    assert (await web.post("/v1/rollout/set", {"share": 0.5, "reason": "go"}, token=ops)).status == 200
    by_lane: dict[str, str] = {}
    for number in range(8):
        name = f"agent-{number}"
        by_lane[(await web.get("/v1/me", token=web.tokens[name])).json["lane"]] = name
    return by_lane[Lane.ELICITATION], by_lane[Lane.POLLING]


async def counted(web: Web) -> int:
    await web.clock.advance(20)
    return (await total(web.world.log, Exposure.MIXED)).requests


@pytest.mark.requirement("P22")
@run
async def test_what_is_asked_read_and_answered_over_http_and_mcp_counts_as_mixed() -> None:
    async with Web() as web:
        new, old = await split(web)
        question = {"to": old, "message": "?", "choices": ["y"]}
        asked = [(await web.post("/v1/questions", question, token=web.tokens[new])).json["question_id"] for _ in "123"]
        assert await counted(web) == 0, "asking is the asker's lane"
        answer = {"content": {"choice": "y"}}
        assert (await web.post(f"/v1/questions/{asked[0]}/answer", answer, token=web.tokens[old])).status == 200
        assert (await web.get(f"/v1/questions/{asked[0]}", token=web.tokens[new])).status == 200
        before = await counted(web)
        assert before == 1, "the answer; whoever only looks is not an agent at work"
        tools = HubTools(web.hub)
        plan = tools.plan("answer", msgspec.Raw(msgspec.json.encode({"question_id": asked[1], **answer})))
        assert isinstance(plan, Plan)
        peer = Peer(caller=ok(web.hub.authenticate(web.tokens[old])), revision="2025-11-25")
        context: Any = SimpleNamespace(peer=peer)
        await tools.call(plan, context)
        tools.count(plan, peer)  # as whoever runs the call does
        assert await counted(web) == before + 1
        await tools.settle(peer, asked[2], Reply(msgspec.Raw(b'{"action":"accept","content":{"choice":"y"}}')))
        assert await counted(web) == before + 2
