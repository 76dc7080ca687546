"""What is read in one pass is what the two decoders of the long way make of it, or it is left to them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core.decider import Refusal
from crossfade.engine.hub import Hub
from crossfade.inbound.mcp import reading, wire
from crossfade.inbound.mcp.seam import Plan
from crossfade.inbound.mcp.tools import HubTools
from tests.kit.hub import World

SCHEMA = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}'
META = (
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
    '"io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"}}'
)
USUAL = (
    ("ask", '{"to":"bo","message":"Ship: now?","wait_seconds":25,"key":"k","schema":' + SCHEMA + "}"),
    ("ask", '{"to":"bo","message":"Ship?","choices":["a","b"],"wait_seconds":0}'),
    ("question", '{"question_id":"q_1","wait_seconds":2.5}'),
    ("attend", "{}"),
    ("inbox", '{"after":3,"limit":7}'),
    ("answer", '{"question_id":"q_1","action":"accept","content":{"ok":true},"key":"k"}'),
    ("answer", '{"question_id":"q_1","action":"decline","reason":"no: not mine"}'),
    ("send", '{"to":["bo","cy"],"body":"b","metadata":{"a":{"b":1}}}'),
    ("agents", '{"query":"b"}'),
    ("send", '{"to":"bo","body":"b","metadata":' + '{"a":' * 61 + "1" + "}" * 61 + "}"),
    ("wait_for_messages", '{"agent_id":"ana","timeout_seconds":25,"since_sequence":12}'),
)


def message(tool: str, arguments: str, more: str = "", outer: str = "") -> bytes:
    """A call as text, with further fields in ``params`` and in the message."""
    params = f'{{"name":"{tool}","arguments":{arguments}{more}}}'
    return f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}{outer}}}'.encode()


@pytest.fixture(scope="module")
def tools() -> HubTools:
    """The tools of a hub that is never started."""
    hub: Hub = World().hub
    return HubTools(hub)


def long_way(tools: HubTools, body: bytes) -> tuple[Any, Plan]:
    """Id and plan of a message, by the decoders one after the other. Raises what they raise."""
    decoded = wire.decode(body)
    assert isinstance(decoded.params.name, str)
    plan = tools.plan(decoded.params.name, decoded.params.arguments)
    assert isinstance(plan, Plan), plan
    return decoded.id, plan


@pytest.mark.parametrize(("tool", "arguments"), USUAL)
@pytest.mark.parametrize("more", ["", f',"_meta":{META}'])
def test_what_clients_send_is_read_in_one_pass(tools: HubTools, tool: str, arguments: str, more: str) -> None:
    body = message(tool, arguments, more)
    found = tools.read(body)
    assert found is not None
    request_id, plan = long_way(tools, body)
    assert found.request_id == request_id
    assert same(found.plan, plan)
    assert found.meta.decode() == (META if more else "")


def same(one: Plan, other: Plan) -> bool:
    """Equal, the unread JSON by its bytes."""
    fields = type(one.arguments).__struct_fields__  # type: ignore[attr-defined]
    values = [[getattr(plan.arguments, field) for field in fields] for plan in (one, other)]
    plain = [[bytes(value) if isinstance(value, wire.Raw) else value for value in row] for row in values]
    return (one.tool, one.holds, plain[0]) == (other.tool, other.holds, plain[1])


@pytest.mark.parametrize(
    "body",
    [
        message("question", '{"question_id":"q_1","question_id":"q_2"}'),
        message("question", '{"question_id":"q_1"}', ',"name":"question"'),
        message("question", '{"question_id":"q_1"}', ',"name":"answer"'),
        message("question", '{"question_id":"q_1"}', ',"arguments":{"question_id":"q_2"}'),
        message("question", '{"question_id":"q_1"}', "", ',"id":8'),
        message("question", '{"question_id":"q_1"}', "", ',"x":{"id":8}'),
        message("answer", '{"question_id":"q_1","content":{"ok":true,"ok":false}}'),
        message("answer", '{"question_id":"q_1","content":{"a":{"ok":1,"ok":2}}}'),
        message("answer", '{"question_id":"q_1","content":{"ok":"%s","ok":1}}' % ("x" * reading.KEPT_BYTES)),
        message("ask", '{"to":"bo","message":"m","schema":{"type":"object","type":"object"}}'),
        message("send", '{"to":"bo","body":"b","metadata":{"a":1,"a":2}}'),
        message("agents", '{"query":"b"}', f',"_meta":{META},"_meta":{META}'),
        message("agents", '{"query":"\\u003a"}'),
        message("agents", '{"query":"b","query":"\\u003a"}'),
        message("agents", '{"query":"b","unknown":1}'),
        message("agents", "null"),
        message("agents", '{"query":1}'),
        message("nothing", "{}"),
        message("send", '{"to":"bo","body":"b","metadata":%s}' % ('{"a":' * 62 + "1" + "}" * 62)),
        message("agents", '{"query":"b"}', ',"x":' + "[" * 100 + "]" * 100),
        message("agents", '{"query":"b"}', ',"requestState":"s"'),
        message("agents", '{"query":"b"}').replace(b"tools/call", b"tools/list"),
        b"[" + message("agents", "{}") + b"]",
        message("agents", "{}")[:-1],
        message("agents", '{"query":"Z"}').replace(b"Z", b"\xff"),
        b"",
    ],
)
def test_what_is_not_plainly_a_call_is_left_to_the_long_way(tools: HubTools, body: bytes) -> None:
    assert tools.read(body) is None


def test_a_tool_that_was_removed_is_left_to_the_long_way_which_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = World().hub
    tools = HubTools(hub)
    wait, inbox = message("wait_for_messages", "{}"), message("inbox", "{}")
    assert (tools.read(wait) is None, tools.read(inbox) is None) == (False, False)
    removed = Refusal("polling.removed", "It was removed.", "Call attend.")
    monkeypatch.setattr(hub, "polling_removed", lambda: removed)
    assert (tools.read(wait) is None, tools.read(inbox) is None) == (True, False)


class Pairs(list[tuple[str, Any]]):
    """An object whose keys may repeat."""


KEYS = st.sampled_from(
    ["to", "message", "schema", "choices", "wait_seconds", "key", "question_id", "content", "action", "body", "query",
     "metadata", "after", "limit", "reason", "withdraw", "agent_id", "timeout_seconds", "since_sequence", "x"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 70), st.sampled_from(["", "a:b", "q_1", "accept", "decline"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.lists(st.tuples(KEYS, inner), max_size=3).map(Pairs)),
    max_leaves=6,
)


def text(value: Any) -> str:
    """As JSON."""
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}: {text(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text, value)) + "]"
    return json.dumps(value)


@given(
    tool=st.sampled_from([name for name, _ in USUAL]),
    arguments=st.lists(st.tuples(KEYS, VALUES), max_size=5).map(Pairs),
    more=st.lists(st.tuples(st.sampled_from(["name", "arguments", "cursor"]), VALUES), max_size=1),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_read_is_what_the_long_way_reads(tool: str, arguments: Pairs, more: list[tuple[str, Any]]) -> None:
    """Except for ``_meta``, which nobody reads here: it is compared with one that the long way has read."""
    tools = HubTools(World().hub)
    body = message(tool, text(arguments), "".join(f',"{key}":{text(value)}' for key, value in more))
    found = tools.read(body)
    if found is not None:
        request_id, plan = long_way(tools, body)
        assert found.request_id == request_id
        assert same(found.plan, plan)
