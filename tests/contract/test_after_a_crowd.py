"""From the server's connections to the C library: what must be wired for memory to be given back. Nothing is timed."""

import msgspec
import pytest

from crossfade import bootstrap
from crossfade.bootstrap import OPERATOR
from crossfade.config import Config
from crossfade.core.values import Kind, Scope
from crossfade.inbound import server as server_module
from crossfade.inbound.collector import LOOK_EVERY, CollectorPolicy
from crossfade.inbound.ebb import CALM_LOOKS, LEAST
from crossfade.inbound.server import Server
from tests.kit.hub import ROOT, World, ok, run


async def the_server(world: World) -> Server:
    """The one that a process of its own would have, on a free port and without its signals."""
    token = ok(await world.hub.issue_token(ROOT, OPERATOR, Kind.PERSON, tuple(Scope))).token
    config = Config(port=0, listeners=1, log="memory")
    server = bootstrap._server(world.hub, config, token, handle_signals=True)
    server.settings = msgspec.structs.replace(server.settings, handle_signals=False)
    return server


def beat(policy: CollectorPolicy, looks: int) -> None:
    """As time would; none of it passes, so the server's own beats do not come in between."""
    for _ in range(looks * LOOK_EVERY):
        policy.beat()


def test_when_the_connections_of_a_server_have_gone_its_hub_forgets_and_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(bootstrap, "give_back", lambda: done.append("given back"))
    monkeypatch.setattr(server_module, "_raise_descriptor_limit", lambda: None)

    @run
    async def scenario() -> None:
        async with World() as world:
            monkeypatch.setattr(world.hub, "forget", lambda: done.append("forgotten"))
            server = await the_server(world)
            await server.start()
            try:
                connections = server._runner.server_state.connections
                connections.update(object() for _ in range(LEAST))  # type: ignore[misc]
                beat(server._collector, 1)
                assert done == [], "they are there"
                connections.clear()
                beat(server._collector, CALM_LOOKS)
                assert done == ["forgotten", "given back"]
                beat(server._collector, CALM_LOOKS)
                assert done == ["forgotten", "given back"], "once"
            finally:
                server.stop(at_once=True)
                await server.wait()

    scenario()


@run
async def test_who_was_forgotten_is_known_again_by_the_same_token_and_nobody_else_is() -> None:
    async with World() as world:
        issued = ok(await world.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT]))
        ended = ok(await world.hub.issue_token(ROOT, "bo", Kind.PROGRAM, [Scope.AGENT]))
        before = ok(world.hub.authenticate(issued.token))
        ok(world.hub.authenticate(ended.token))
        ok(await world.hub.revoke_token(ROOT, ended.token_id))
        world.hub.forget()
        assert (world.hub._identity._callers, world.hub._identity._digests) == ({}, {})
        assert ok(world.hub.authenticate(issued.token)) == before
        assert not isinstance(world.hub.authenticate(ended.token), type(before))
