"""The 2025 revisions: how a session begins, goes on on any replica, and ends."""

import re
from typing import Any

import msgspec
import pytest

from crossfade.inbound.mcp import wire as wire_format
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.seam import FORM
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.outbound.host import HostClock, HostIds
from tests.kit.http_server import run, serving
from tests.kit.mcp import KEY, Wire, place, said, structured


def error(response: Any) -> tuple[int, str]:
    """HTTP status and our code."""
    return response.status_code, said(response)["error"]["data"]["code"]


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
    ],
)
def test_initialize_agrees_on_a_revision_that_both_know_or_offers_the_latest(asked: str, agreed: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            begun = await wire.initialize(asked)
            assert re.fullmatch(r"[A-Za-z0-9_-]+", wire.headers["mcp-session-id"])
            assert begun["protocolVersion"] == agreed
            assert begun["capabilities"] == {"tools": {}}
            done = await wire.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            assert (done.status_code, done.content) == (202, b"")
            assert said(await wire.post(wire.message("ping")))["result"] == {}

    run(scenario())


@pytest.mark.requirement("P25")
def test_on_2025_06_18_a_question_is_written_down_the_way_that_revision_can_read_and_read_back_whole() -> None:
    async def scenario() -> None:
        async with place("alice", "bob") as hub, hub.raw("alice") as asker, hub.raw("bob") as wire:
            await hub.share(1)
            await asker.initialize()
            await wire.initialize("2025-06-18", {"elicitation": {}})
            await hub.native("bob")
            colours = {"type": "array", "items": {"type": "string", "enum": ["red", "green"]}}
            schema = {"type": "object", "properties": {"colours": colours}, "required": ["colours"]}
            asked = structured(await asker.call("ask", to="bob", message="Which?", schema=schema, wait_seconds=0))
            async with wire.held(wire.message("tools/call", name="attend", arguments={})) as held:
                params = (await held.message())["params"]
                assert "mode" not in params
                properties = params["requestedSchema"]["properties"]
                assert {name: field["type"] for name, field in properties.items()} == {
                    "colours_1": "boolean",
                    "colours_2": "boolean",
                }
                result = {"action": "accept", "content": {"colours_1": False, "colours_2": True}}
                await wire.post({"jsonrpc": "2.0", "id": asked["question_id"], "result": result})
                await held.message()
            answer = structured(await asker.call("question", question_id=asked["question_id"]))
            assert answer["content"] == {"colours": ["green"]}

    run(scenario())


@pytest.mark.parametrize(
    ("declared", "capable"),
    [
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
        ({"sampling": {}, "roots": {"listChanged": True}}, False),
        ({}, False),
    ],
)
def test_only_form_elicitation_counts_as_the_capability(declared: dict[str, Any], capable: bool) -> None:
    assert (FORM in wire_format.capabilities(msgspec.Raw(msgspec.json.encode(declared)))) is capable


def test_a_client_that_declares_and_calls_itself_at_length_still_gets_a_session_it_can_send() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            long = {f"capability{number}": {"x": {}} for number in range(500)}
            params = {"protocolVersion": "2025-11-25", "capabilities": {**long, "elicitation": {}}}
            begun = await wire.post(
                wire.message("initialize", **params, clientInfo={"name": "n" * 9_999, "version": "1"})
            )
            wire.headers["mcp-session-id"] = begun.headers["mcp-session-id"]
            await hub.native("bob")
            assert (await wire.call("inbox")).status_code == 200

    run(scenario())


def test_an_ended_session_is_not_found_and_its_agent_can_begin_another() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            ended = await wire.http.delete(wire.url, headers=wire.headers)
            assert ended.status_code == 204
            assert error(await wire.call("inbox")) == (404, "session.unknown")
            assert error(await wire.http.delete(wire.url, headers=wire.headers)) == (404, "session.unknown")
            del wire.headers["mcp-protocol-version"], wire.headers["mcp-session-id"]
            await wire.initialize()
            assert (await wire.call("inbox")).status_code == 200

    run(scenario())


def test_a_session_belongs_to_whoever_began_it() -> None:
    async def scenario() -> None:
        async with place("bob", "mallory") as hub, hub.raw("bob") as wire, hub.raw("mallory") as thief:
            await wire.initialize()
            thief.headers["mcp-session-id"] = wire.headers["mcp-session-id"]
            assert error(await thief.call("inbox")) == (404, "session.unknown")
            assert error(await thief.http.delete(thief.url, headers=thief.headers)) == (404, "session.unknown")
            assert (await wire.call("inbox")).status_code == 200

    run(scenario())


def test_a_session_that_was_made_up_or_changed_is_not_found() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            session = wire.headers["mcp-session-id"]
            changed = session[:-2] + ("A" if session[-2] != "A" else "B") + session[-1]
            for other in ("x", "", "!-_", "A" * 200, changed, "A" * 5_000):
                wire.headers["mcp-session-id"] = other
                assert error(await wire.call("inbox")) == (404, "session.unknown"), other

    run(scenario())


def test_an_expired_session_is_not_found() -> None:
    async def scenario() -> None:
        async with place("bob", settings=McpSettings(session_seconds=0)) as hub, hub.raw("bob") as wire:
            await wire.initialize()
            assert error(await wire.call("inbox")) == (404, "session.unknown")

    run(scenario())


def test_every_replica_accepts_the_session_of_another() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            replica = McpEndpoint(hub.hub, HubTools(hub.hub), Host(HostClock(), HostIds(), KEY, hub.streams))
            stranger = McpEndpoint(hub.hub, HubTools(hub.hub), Host(HostClock(), HostIds(), b"o" * 32, hub.streams))
            async with serving(replica) as second, serving(stranger) as third:
                wire.url = f"{second.url}/mcp"
                assert (await wire.call("inbox")).status_code == 200
                wire.url = f"{third.url}/mcp"
                assert error(await wire.call("inbox")) == (404, "session.unknown")

    run(scenario())


def test_a_request_without_a_session_or_of_another_revision_than_its_session_is_refused() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            assert error(await wire.call("inbox")) == (400, "session.missing")
            await wire.initialize("2025-06-18")
            wrong = await wire.post(wire.message("ping"), mcp_protocol_version="2025-11-25")
            assert error(wrong) == (400, "version.mismatch")
            assert (await wire.post(wire.message("ping"), mcp_protocol_version=None)).status_code == 200

    run(scenario())


def test_get_opens_nothing_and_says_what_is_allowed() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.http.get(wire.url, headers=wire.headers)
            assert error(answer) == (405, "http.method")
            assert answer.headers["allow"] == "POST, DELETE"

    run(scenario())


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "logging/setLevel", "nonsense"])
def test_a_method_that_is_not_offered_is_not_found(method: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            answer = await wire.post(wire.message(method))
            assert (answer.status_code, said(answer)["error"]["code"]) == (200, -32601)

    run(scenario())


# --- who may come in --------------------------------------------------------------------------------


async def begin(wire: Wire, name: str) -> Any:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}
    return await wire.post(wire.message("initialize", **params))


def test_without_a_credential_nobody_comes_in_unless_guests_are_welcome() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw() as wire:
            refused = await begin(wire, "visitor")
            assert error(refused) == (401, "auth.required")
            assert refused.headers["www-authenticate"].startswith("Bearer")
        async with place("bob", guests=True) as hub, hub.raw() as wire:
            wire.headers["mcp-session-id"] = (await begin(wire, "My Client")).headers["mcp-session-id"]
            assert (await wire.call("inbox")).status_code == 200
            assert error(await begin(wire, "bob")) == (401, "auth.required")
            assert names(await wire.call("agents")) == ["bob", "my-client"]

    run(scenario())


def names(response: Any) -> list[str]:
    return sorted(agent["name"] for agent in structured(response)["agents"])


@pytest.mark.parametrize("credential", ["Bearer cf_wrong", "Bearer x", "Basic Ym9iOng=", "Bearer"])
def test_a_bad_credential_is_refused_even_where_guests_are_welcome(credential: str) -> None:
    async def scenario() -> None:
        async with place("bob", guests=True) as hub, hub.raw(authorization=credential) as wire:
            status, code = error(await begin(wire, "visitor"))
            assert status == 401
            assert code in ("auth.unknown", "auth.malformed")

    run(scenario())


def test_a_revoked_token_ends_a_session_that_it_began() -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob") as wire:
            await wire.initialize()
            await hub.revoke("bob")
            assert error(await wire.call("inbox")) == (401, "auth.revoked")

    run(scenario())


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ({"host": "evil.example"}, 421, "http.wrong_host"),
        ({"origin": "http://evil.example"}, 403, "http.bad_origin"),
    ],
)
def test_pages_and_names_from_elsewhere_are_kept_out(header: dict[str, str], status: int, code: str) -> None:
    async def scenario() -> None:
        async with place("bob") as hub, hub.raw("bob", **header) as wire:
            assert error(await begin(wire, "page")) == (status, code)

    run(scenario())
