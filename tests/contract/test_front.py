"""The front says what the application says, byte for byte, and keeps to every bound of the connection."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.core.values import Kind, Scope
from crossfade.engine.ports import UnavailableError
from crossfade.inbound.asgi import Receive, Send, Streams, read_body
from crossfade.inbound.asgi import Scope as AsgiScope
from crossfade.inbound.front import HEADS_MAX, LENGTHS_MAX, Heads
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.inbound.protocol import KEPT_BYTES
from crossfade.inbound.replies import Reply
from tests.kit.clock import FakeIds
from tests.kit.http_server import HEAD, connected, fewer_connections, run, serving
from tests.kit.hub import ROOT, World, ok
from tests.kit.wires import Wires, heads, settle

PV = "io.modelcontextprotocol/"
MAX = 2_000


class Counted:
    """A front that counts what it serves."""

    target = b"/mcp"

    def __init__(self, endpoint: McpEndpoint) -> None:
        self._endpoint = endpoint
        self.remember = endpoint.remember
        self.served = 0

    def serve(self, head: object, body: bytes, reply: Reply) -> Any:
        """As the endpoint."""
        self.served += 1
        return self._endpoint.serve(head, body, reply)


class Side:
    """A hub that is the same every time, behind an endpoint, with or without its front."""

    async def start(self, *, fronted: bool) -> "Side":
        """Begin; two agents, a session each, and a question from ana to bo."""
        self.world = World(seed=3)
        await self.world.hub.start()
        self.host = Host(self.world.clock, FakeIds(5), b"k" * 32, Streams())
        self.endpoint = McpEndpoint(self.world.hub, HubTools(self.world.hub), self.host)
        self.front = Counted(self.endpoint)
        self.wires = Wires(self.endpoint, self.front if fronted else None, body_bytes=MAX, header_bytes=4_000)
        self.tokens, self.sessions = {}, {}
        for name in ("ana", "bo"):
            issued = ok(await self.world.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT]))
            self.tokens[name], self.token_id = issued.token, issued.token_id
        self.connection, self.pipe = self.wires.connect()
        for name in ("ana", "bo"):
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
            said = await self.say(request(self, name, "", {"method": "initialize", "id": 1, "params": params}))
            self.sessions[name] = said.split(b"mcp-session-id: ")[1].split(b"\r\n")[0].decode()
        await self.say(call(self, "ana", "ask", {"to": "bo", "message": "m", "choices": ["a", "b"], "wait_seconds": 0}))
        [question] = await self.world.hub.open_questions(ok(self.world.hub.authenticate(self.tokens["bo"])))
        self.question_id = question.question_id
        return self

    async def say(self, *parts: bytes) -> bytes:
        """What comes back for bytes that arrive in these parts."""
        before = len(self.pipe.said)
        for part in parts:
            if not self.pipe.closed:
                self.connection.data_received(part)
                await settle()
        return self.pipe.said[before:] + (b"<closed>" if self.pipe.closed else b"")

    def reconnect(self) -> None:
        """A fresh connection."""
        self.wires.leave(self.connection)
        self.connection, self.pipe = self.wires.connect()

    async def stop(self) -> None:
        """End."""
        self.wires.leave(self.connection)
        await settle()
        await self.world.hub.stop()


def request(side: Side, name: str, revision: str, message: dict[str, Any] | bytes, **headers: str) -> bytes:
    """A POST as bytes."""
    body = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
    lines = ["POST /mcp HTTP/1.1", "Host: localhost", "Accept: application/json, text/event-stream"]
    lines += [f"Authorization: Bearer {side.tokens[name]}", "Content-Type: application/json"]
    lines += [f"MCP-Protocol-Version: {revision}"] if revision else []
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def call(side: Side, name: str, tool: str, arguments: Any, revision: str = "2026-07-28", **extra: Any) -> bytes:
    """A call of a tool."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments, **extra}
    if revision == "2026-07-28":
        params["_meta"] = {f"{PV}protocolVersion": revision, f"{PV}clientCapabilities": {}}
        message = {"id": 7, "method": "tools/call", "params": params}
        return request(side, name, revision, message, Mcp_Method="tools/call", Mcp_Name=tool)
    message = {"id": 7, "method": "tools/call", "params": params}
    return request(side, name, revision, message, Mcp_Session_Id=side.sessions[name])


def corpus(side: Side) -> list[bytes]:
    """Requests of every kind and fault, each as bytes."""
    now, old = "2026-07-28", "2025-11-25"
    q = side.question_id
    calls = [
        ("question", {"question_id": q}), ("question", {"question_id": "q_none"}), ("question", {}), ("agents", {}),
        ("inbox", {}), ("inbox", {"limit": 101}), ("nothing", {}), ("question", None), ("question", [1]),
        ("wait_for_messages", {"agent_id": "else"}), ("send", {"to": "bo", "body": "b", "key": "k"}),
        ("ask", {"to": "bo", "message": "again", "choices": ["a", "b"], "wait_seconds": 0, "key": "k"}),
        ("ask", {"to": "nobody", "message": "?", "choices": ["a"], "wait_seconds": 0}),
        ("answer", {"question_id": q, "content": {"answer": "c"}}), ("attend", {"wait_seconds": 0}),
    ]  # fmt: skip
    made = [call(side, name, tool, given, rev) for name in ("ana", "bo") for rev in (now, old) for tool, given in calls]
    for name in ("ana", "bo"):
        session = {"Mcp_Session_Id": side.sessions[name]}
        for message in (
            {"id": 1, "method": "tools/list"}, {"id": "s", "method": "ping"}, {"id": 2, "method": "nope"},
            {"method": "notifications/cancelled", "params": {"requestId": 1}}, {"id": "x", "result": {}}, {"id": 3},
            {"id": 1.5, "method": "ping"}, b"{", b"[]", b"", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
            b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"\\u0061":1,"a":2}}', b"[" * 200, b"\xff", b"null",
        ):  # fmt: skip
            made.append(request(side, name, old, message, **session))
            made.append(request(side, name, now, message, Mcp_Method="ping"))
        made.append(request(side, name, old, {"id": 1, "method": "ping"}, Mcp_Session_Id="bad"))
        made.append(request(side, name, "1999-01-01", {"id": 1, "method": "ping"}, **session))
        made.append(request(side, name, old, {"id": 1, "method": "ping"}))
    return made


async def sides() -> tuple[Side, Side]:
    return await Side().start(fronted=True), await Side().start(fronted=False)


def test_every_request_is_answered_the_same_with_and_without_the_front() -> None:
    async def scenario() -> int:
        ours, plain = await sides()
        for repeated in range(3):  # the first time, a head is not known yet
            for ask, same in zip(corpus(ours), corpus(plain), strict=True):
                assert ask == same
                assert await ours.say(ask) == await plain.say(same), (repeated, ask)
        served = ours.front.served
        assert plain.front.served == 0
        await ours.stop()
        await plain.stop()
        return served

    assert run(scenario()) > 100


def test_a_burst_of_one_head_after_another_is_served_by_the_front() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        for message_bytes in range(1, 40):  # the length is another one each time
            given = {"to": "bo", "message": "m" * message_bytes, "choices": ["a"], "wait_seconds": 0}
            assert heads(await ours.say(call(ours, "ana", "ask", given))) == [200]
        assert ours.front.served >= 39
        await ours.stop()

    run(scenario())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_requests_that_are_damaged_split_or_run_together_are_answered_the_same(data: st.DataObject) -> None:
    async def scenario() -> None:
        ours, plain = await sides()
        known = corpus(ours)
        for _ in range(4):
            ours.reconnect()
            plain.reconnect()
            chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
            for first in chosen:
                assert await ours.say(first) == await plain.say(first)
            raw = bytearray(b"".join(data.draw(st.permutations(chosen))))
            for _ in range(data.draw(st.integers(0, 3))):
                damage(raw, data)
            cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=4)))
            parts = [bytes(raw[i:j]) for i, j in zip([0, *cuts], [*cuts, len(raw)], strict=True) if i < j]
            assert await ours.say(*parts) == await plain.say(*parts), parts
        await ours.stop()
        await plain.stop()

    run(scenario())


PIECES = (
    b"\n", b"\r\n", b" ", b"\0", b"0", b"9", b"\r\nContent-Length: 3", b"\r\nX: y", b"\r\n\r\n", b"\xff", b",",
    b"\r\nExpect: 100-continue", b"\r\nConnection: close", b"\r\nTransfer-Encoding: chunked", b"-",
)  # fmt: skip


def damage(raw: bytearray, data: st.DataObject) -> None:
    """Change, remove or put in something, mostly where it matters."""
    spots = [at for mark in (b"\r\n", b"Content-Length: ", b"HTTP/1.1", b"{", b":") if (at := raw.find(mark)) >= 0]
    at = data.draw(st.one_of(st.integers(0, max(0, len(raw) - 1)), st.sampled_from(spots or [0])))
    extra = data.draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)))
    raw[at : at + data.draw(st.integers(0, 3))] = extra


@pytest.mark.parametrize("length", ["+4", "-4", " 4", "4 ", "04", "4_0", "0x4", "", "4, 4", "²", "4" * 30])
def test_a_length_that_is_not_plain_digits_is_left_to_the_parser(length: str) -> None:
    async def scenario() -> None:
        ours, plain = await sides()
        said = []
        for side in (ours, plain):
            ask = request(side, "bo", "2026-07-28", b"{}{}")
            await side.say(ask, ask)
            before, after = ask.split(b"Content-Length: 4")
            said.append(await side.say(before + b"Content-Length: " + length.encode() + after))
        assert said[0] == said[1]
        await ours.stop()
        await plain.stop()

    run(scenario())


def test_a_client_that_waits_to_be_told_to_go_on_is_told_every_time() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "agents", {}).replace(b"Host:", b"Expect: 100-continue\r\nHost:")
        at = ask.index(b"\r\n\r\n") + 4
        for _ in range(3):
            assert heads(await ours.say(ask[:at])) == [100]
            assert heads(await ours.say(ask[at:])) == [200]
        await ours.stop()

    run(scenario())


# --- what a remembered head does not outlive ---------------------------------------------------------


def test_a_revoked_token_opens_nothing_although_its_head_is_known() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "question", {"question_id": ours.question_id})
        assert [heads(await ours.say(ask)) for _ in range(2)] == [[200], [200]]
        ok(await ours.world.hub.revoke_token(ROOT, ours.token_id))
        served = ours.front.served
        said = await ours.say(ask)
        assert (heads(said), ours.front.served) == ([401], served + 1)
        assert b"auth.revoked" in said
        await ours.stop()

    run(scenario())


def test_a_session_that_was_ended_is_over_although_its_head_is_known() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "agents", {}, "2025-11-25")
        assert [heads(await ours.say(ask)) for _ in range(2)] == [[200], [200]]
        end = b"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nMcp-Session-Id: %b\r\n\r\n"
        assert heads(await ours.say(end % (ours.tokens["bo"].encode(), ours.sessions["bo"].encode()))) == [204]
        assert heads(await ours.say(ask)) == [404]
        await ours.stop()

    run(scenario())


def test_a_body_that_says_something_else_than_its_known_head_is_refused() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "agents", {})
        for _ in range(3):
            for one, other in ((b'"agents"', b'"attend"'), (b"2026-07-28", b"2025-11-25"), (b"/call", b"/list")):
                assert [heads(await ours.say(ask)) for _ in range(2)] == [[200], [200]]
                at = ask.index(b"{")
                said = await ours.say(ask[:at] + ask[at:].replace(one, other))
                assert (heads(said), b"header.mismatch" in said) == ([400], True)
        await ours.stop()

    run(scenario())


def test_a_body_beyond_the_bound_of_the_endpoint_is_refused_although_its_head_is_known() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        settings = McpSettings(body_bytes=400)
        endpoint = McpEndpoint(ours.world.hub, HubTools(ours.world.hub), ours.host, settings)
        ours.wires = Wires(endpoint, endpoint)
        ours.reconnect()
        for _ in range(3):
            assert heads(await ours.say(call(ours, "bo", "agents", {"query": "b"}))) == [200]
            said = await ours.say(call(ours, "bo", "agents", {"query": "b" * 400}))
            assert (heads(said), b"limit.body" in said) == ([413], True)
            assert heads(await ours.say(call(ours, "bo", "agents", {"query": "b"}))) == [200]
        await ours.stop()

    run(scenario())


def test_what_follows_the_length_in_a_head_is_looked_at_too() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "agents", {})
        at, end = ask.index(b"Authorization: "), ask.index(b"\r\n\r\n")
        bearer = ask[at : ask.index(b"\r\n", at) + 2]
        moved = ask[:at] + ask[at + len(bearer) : end] + b"\r\n" + bearer.rstrip() + ask[end:]
        other = moved.replace(ours.tokens["bo"].encode(), ours.tokens["bo"].encode()[::-1])
        for _ in range(3):
            assert heads(await ours.say(moved)) == [200]
            assert heads(await ours.say(other)) == [401]
        assert ours.front.served >= 2
        await ours.stop()

    run(scenario())


def test_who_calls_and_calls_stays_present() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        for revision in ("2026-07-28", "2025-11-25"):
            for _ in range(6):
                assert heads(await ours.say(call(ours, "bo", "agents", {}, revision))) == [200]
                view = ours.world.hub.agent("bo")
                assert view is not None
                assert view.status == "present"
                await ours.world.clock.advance(0.7 * ours.world.limits.lease_seconds)
        await ours.stop()

    run(scenario())


def test_a_client_that_takes_no_stream_is_asked_by_a_result_however_often_it_calls() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        await ours.world.rollout(1.0)
        meta = {f"{PV}protocolVersion": "2026-07-28", f"{PV}clientCapabilities": {"elicitation": {}}}
        params = {"name": "attend", "arguments": {"wait_seconds": 0}, "_meta": meta}
        message = {"id": 7, "method": "tools/call", "params": params}
        attend = request(ours, "bo", "2026-07-28", message, Mcp_Method="tools/call", Mcp_Name="attend")
        attend = attend.replace(b"application/json, text/event-stream", b"application/json")
        answer = call(ours, "bo", "answer", {"question_id": ours.question_id, "content": {"choice": "a"}})
        assert heads(await ours.say(answer)) == [200]
        for _ in range(3):
            assert b"input_required" not in await ours.say(attend)
        await ours.say(call(ours, "ana", "ask", {"to": "bo", "message": "m", "choices": ["a", "b"], "wait_seconds": 0}))
        assert b"input_required" in await ours.say(attend)
        await ours.stop()

    run(scenario())


def test_a_session_cancels_its_call_from_another_connection_however_often_it_calls() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        wait = call(ours, "ana", "attend", {"wait_seconds": 50}, "2025-11-25")
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        cancel = request(ours, "ana", "2025-11-25", note, Mcp_Session_Id=ours.sessions["ana"])
        other, pipe = ours.wires.connect()
        for times in range(1, 5):
            assert await ours.say(wait) == b""
            before = len(ours.pipe.said)
            other.data_received(cancel)
            await settle()
            assert heads(pipe.said) == [202] * times
            assert b"cancelled by its client" in ours.pipe.said[before:]
        ours.wires.leave(other)
        await ours.stop()

    run(scenario())


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_a_wait_of_a_client_that_takes_no_stream_leaves_nothing_behind(revision: str) -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        wait = call(ours, "bo", "attend", {"wait_seconds": 9, "after": 0}, revision)
        for _ in range(3):
            assert heads(await ours.say(wait.replace(b"application/json, text/event-stream", b"application/json"))) == [
                200
            ]
            assert len(ours.host.streams) == 0
        await ours.stop()

    run(scenario())


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_a_wait_that_fails_is_answered_and_leaves_nothing_behind(
    revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        wait = call(ours, "ana", "inbox", {"wait_seconds": 0}, revision)
        assert [heads(await ours.say(wait)) for _ in range(2)] == [[200], [200]]

        def fail(*_: object) -> None:
            raise RuntimeError("planted")

        monkeypatch.setattr(ours.world.hub.mail, "_begun", fail)
        assert heads(await ours.say(call(ours, "ana", "inbox", {"wait_seconds": 9}, revision))) == [500]
        runner = ours.endpoint._runner
        left = runner.running, runner.conditions.patience.waiting
        assert (len(ours.wires.gate.strands), *left) == (0, {}, {})
        await ours.stop()

    run(scenario())


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_each_call_is_counted_once_with_its_cause_and_what_it_is_about(
    revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        counted: list[tuple[str, str, str]] = []
        monkeypatch.setattr(ours.world.hub.measuring, "served", lambda *told: counted.append(told))
        q = ours.question_id
        ours.world.hub.measuring.tallies.begin()
        for _ in range(2):  # the long way, and the short one
            assert heads(await ours.say(call(ours, "bo", "question", {"question_id": q}, revision))) == [200]
            assert heads(await ours.say(call(ours, "ana", "inbox", {"wait_seconds": 0}, revision))) == [200]
        assert counted == [("bo", "", q), ("ana", "", "")] * 2
        counted.clear()
        for fault, status in ((RuntimeError("planted"), 500), (UnavailableError("planted"), 503)):

            def fail(*_: object, fault: Exception = fault) -> None:
                raise fault

            monkeypatch.setattr(ours.world.hub.mail, "_begun", fail)
            assert heads(await ours.say(call(ours, "ana", "inbox", {"wait_seconds": 9}, revision)))[0] == status
        assert counted == [("ana", "unexpected", ""), ("ana", "log_unavailable", "")]
        ours.world.hub.measuring.tallies.end()
        assert heads(await ours.say(call(ours, "bo", "question", {"question_id": q}, revision))) == [200]
        assert len(counted) == 2, "nobody adds it up"
        await ours.stop()

    run(scenario())


def test_what_a_client_says_of_itself_counts_although_its_head_is_known() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        names = []
        for client in ("one", "one", "two", "two", "one"):
            about = {f"{PV}protocolVersion": "2026-07-28", f"{PV}clientCapabilities": {}}
            meta = {**about, f"{PV}clientInfo": {"name": client, "version": "1"}}
            params = {"name": "agents", "arguments": {}, "_meta": meta}
            message = {"id": 7, "method": "tools/call", "params": params}
            more = {"Mcp_Method": "tools/call", "Mcp_Name": "agents"}
            assert heads(await ours.say(request(ours, "bo", "2026-07-28", message, **more))) == [200]
            view = ours.world.hub.agent("bo")
            assert view is not None
            names.append(view.client)
        assert names == ["one", "one", "two", "two", "one"]
        await ours.stop()

    run(scenario())


HEADS = [
    (b"POST /mcp HTTP/1.1\r\nHost: %b\r\nContent-Length: %b\r\nX-End: %b\r\n\r\n" % (host, length, end), body)
    for host in (b"one", b"two", b"new")
    for end in (b"y", b"n")
    for length, body in ((b"3", b"abc"), (b"3", b"xyz"), (b"12", b"{}"), (b"03", b"ab"), (b"+3", b"ab"), (b"4", b"abc"))
]
"""Known and unknown ones, bad and incomplete ones; many as long as others that differ in one place."""


def known_heads() -> Heads:
    heads = Heads()
    for head, body in HEADS:
        headers = [(b"host", b""), (b"content-length", b"3"), (b"x-end", b"")]
        if b": 3\r" in head and b"new" not in head and b"X-End: n" not in head:
            heads.remember(head + body, headers, b"/mcp", head[:26])
    return heads


def test_a_head_is_recalled_the_same_whatever_came_before_it() -> None:
    fresh = [known_heads().recall(head + body) for head, body in HEADS]
    assert {None, *(len(found) for found in fresh if found)} == {None, 3}
    for first, body in HEADS:
        for (second, other), expected in zip(HEADS, fresh, strict=True):
            heads = known_heads()
            heads.recall(first + body)
            assert heads.recall(second + other) == expected
            assert heads.recall(second + other) == expected


def test_a_head_that_rests_is_recalled_the_same_and_rests_no_more() -> None:
    fresh = [known_heads().recall(head + body) for head, body in HEADS]
    for first, body in HEADS:
        for (second, other), expected in zip(HEADS, fresh, strict=True):
            heads = known_heads()
            heads.rest()
            assert (heads._known, heads._as_long, len(heads._resting)) == ((), {}, 2)
            heads.recall(first + body)
            assert heads.recall(second + other) == expected
            heads.rest()
            assert len(heads._resting) == 2
            assert heads.recall(second + other) == heads.recall(second + other) == expected
            assert len(heads._known) + len(heads._resting) == 2
            assert expected is None or len(heads._resting) == 1


def test_what_a_head_means_that_is_remembered_anew_is_what_counts() -> None:
    heads, (head, body) = known_heads(), HEADS[0]
    first = heads.recall(head + body)
    heads.remember(head + body, [(b"host", b""), (b"content-length", b"3"), (b"x-end", b"")], b"/mcp", "anew")
    assert (first, heads.recall(head + body)) == ((head[:26], len(head), 3), ("anew", len(head), 3))
    heads.rest()
    heads.remember(head + body, [(b"host", b""), (b"content-length", b"3"), (b"x-end", b"")], b"/mcp", "again")
    for _ in range(3):
        heads.rest()
        assert heads.recall(head + body) == ("again", len(head), 3)
        assert len(heads._known) + len(heads._resting) == 2


def test_heads_with_their_digits_are_kept_for_a_few_lengths_only() -> None:
    heads, head = known_heads(), HEADS[0][0]
    for length in range(10, 90):
        data = head.replace(b": 3\r", b": %d\r" % length) + b"x" * length
        found = heads.recall(data)
        assert found is not None
        assert found[2] == length
        assert len(heads._as_long) <= LENGTHS_MAX


def test_heads_belong_to_one_connection_and_are_bounded() -> None:
    async def scenario() -> None:
        ours = await Side().start(fronted=True)
        ask = call(ours, "bo", "agents", {})
        await ours.say(ask, ask)
        before = ours.connection.heads
        ours.reconnect()
        assert (before is None, ours.connection.heads) == (False, None)
        await ours.say(ask)
        for number in range(5 * HEADS_MAX):
            await ours.say(ask.replace(b"Host:", b"X-Number: %d\r\nHost:" % number))
            kept = ours.connection.heads
            assert isinstance(kept, Heads)
            assert len(kept._known) <= HEADS_MAX
            if number % 3 == 0:
                kept.rest()
            assert len(kept._resting) <= HEADS_MAX
        await ours.stop()

    run(scenario())


# --- bounds of the connection ---------------------------------------------------------------------------


class Echo:
    """An application and its front, which answer with the body."""

    target = b"/mcp"

    def __init__(self) -> None:
        self.served = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The long way."""
        body = await read_body(receive, 2**20)
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def remember(self, scope: AsgiScope) -> object | None:
        """Every head."""
        return self

    async def serve(self, head: object, body: bytes, reply: Reply) -> None:
        """The short way; waits while it is told to, and fails when it is told to."""
        self.served += 1
        self.begun.set()
        await self.go.wait()
        if body == b"fail":
            raise RuntimeError("planted")
        await reply.whole(200, body)


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST /mcp " + HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_known_head_without_its_body_is_dropped_at_the_deadline() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo, request_seconds=1.0) as server, connected(server) as client:
            await client.send(post(b"one"))
            await client.until(b"one")
            await client.send(post(b"two")[:-1])
            assert b"HTTP" not in await client.rest()
            assert echo.served == 1

    run(scenario())


@pytest.mark.parametrize(
    "limits", [{"keep_alive_seconds": 1.0}, {"pressed_share": 0.0, "keep_alive_pressed_seconds": 1.0}]
)
def test_a_connection_of_the_front_is_closed_when_it_was_idle_for_long_enough(limits: dict[str, float]) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo, **limits) as server, connected(server) as client:
            for body in (b"one", b"two", b"three"):
                await client.send(post(body))
                await client.until(body)
            assert await client.rest() == b""
            assert echo.served == 3

    run(scenario())


def test_pressure_that_begins_later_shortens_the_idle_time_that_was_granted_before() -> None:
    async def scenario() -> None:
        echo = Echo()
        limits = {"keep_alive_seconds": 600, "keep_alive_pressed_seconds": 1.0, "pressed_share": 1.0}
        async with serving(echo, front=echo, **limits) as server, connected(server) as client:
            for body in (b"one", b"two"):
                await client.send(post(body))
                await client.until(body)
            server.gate.connections_max = 0
            await client.send(post(b"three"))
            await client.until(b"three")
            assert await client.rest() == b""

    run(scenario())


def test_a_request_that_comes_while_another_is_answered_waits_its_turn() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo) as server, connected(server) as client:
            await client.send(post(b"one"))
            await client.until(b"one")
            echo.go.clear()
            await client.send(post(b"two"))
            await echo.begun.wait()
            connection = next(iter(server._runner.server_state.connections))
            await client.send(post(b"three"))
            while not connection.pipeline:  # type: ignore[union-attr]  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0)
            await client.send(post(b"four", b"X: y\r\n"))
            echo.go.set()
            said = await client.until(b"four")
            assert said.index(b"two") < said.index(b"three") < said.index(b"four")
            await client.send(post(b"five"))
            await client.until(b"five")

    run(scenario())


def test_a_body_beyond_the_bound_is_refused_although_its_head_is_known() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo, body_bytes=KEPT_BYTES) as server, connected(server) as client:
            await client.send(post(b"one"))
            await client.until(b"one")
            await client.send(post(b"x" * (KEPT_BYTES + 1)))
            assert heads(await client.rest()) == [413]
            assert echo.served == 1

    run(scenario())


def test_a_server_that_stops_lets_the_front_finish_and_says_that_it_closes() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo) as server, connected(server) as client, connected(server) as idle:
            await client.send(post(b"one"))
            await client.until(b"one")
            echo.go.clear()
            await client.send(post(b"two"))
            await echo.begun.wait()
            server.stop()
            assert await idle.rest() == b"", "it ends, and who has nothing to wait for is let go"
            echo.go.set()
            said = await client.rest()
            assert heads(said) == [200]
            assert said.endswith(b"connection: close\r\n\r\ntwo")

    run(scenario())


def test_a_server_that_stops_waits_for_work_whose_client_has_left() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo) as server:
            async with connected(server) as client:
                await client.send(post(b"one"))
                await client.until(b"one")
                echo.go.clear()
                await client.send(post(b"two"))
                await echo.begun.wait()
            await fewer_connections(server, 0)
            server.stop()
            stopped = asyncio.ensure_future(server.wait())
            await asyncio.wait({stopped}, timeout=0.2)
            assert not stopped.done()
            echo.go.set()
            await stopped
            assert len(server.gate.strands) == 0

    run(scenario())


def test_a_stop_does_not_lose_a_request_whose_body_is_still_on_its_way() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo) as server, connected(server) as client:
            await client.send(post(b"one"))
            await client.until(b"one")
            await client.send(post(b"two")[:-1])
            connection = next(iter(server._runner.server_state.connections))
            while not connection._kept:  # type: ignore[union-attr]  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0)
            server.stop()
            while connection._kept:  # type: ignore[union-attr]  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0)
            await client.send(b"o")
            assert (await client.rest()).endswith(b"two")

    run(scenario())


def test_a_fault_in_the_front_ends_its_connection_and_no_other() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, front=echo) as server, connected(server) as client, connected(server) as other:
            for one in (client, other):
                await one.send(post(b"one."))
                await one.until(b"one.")
            await client.send(post(b"fail"))
            assert heads(await client.rest()) == []
            await other.send(post(b"two."))
            await other.until(b"two.")
            assert echo.served == 4

    run(scenario())


def test_an_answer_waits_while_the_client_reads_too_slowly() -> None:
    async def scenario() -> None:
        echo = Echo()
        wires = Wires(echo, echo)
        connection, pipe = wires.connect()
        connection.data_received(post(b"one"))
        await settle()
        connection.pause_writing()
        connection.data_received(post(b"two"))
        await settle()
        assert (echo.served, pipe.said.endswith(b"one")) == (2, True)
        connection.resume_writing()
        await settle()
        assert (pipe.said.endswith(b"two"), len(wires.gate.strands)) == (True, 0)
        wires.leave(connection)

    run(scenario())


def test_work_that_waits_can_be_cancelled_and_deal_with_it() -> None:
    async def scenario() -> None:
        told: list[str] = []

        class Stubborn(Echo):
            async def serve(self, head: object, body: bytes, reply: Reply) -> None:
                try:
                    self.begun.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    told.append("cancelled")
                await asyncio.sleep(0)
                await reply.whole(200, b"after all")

        stubborn = Stubborn()
        wires = Wires(stubborn, stubborn)
        connection, pipe = wires.connect()
        connection.data_received(post(b"one"))
        await settle()
        [strand] = wires.gate.strands._running
        strand.cancel()
        await settle()
        assert (told, pipe.said.endswith(b"after all"), len(wires.gate.strands)) == (["cancelled"], True, 0)

    run(scenario())
