"""Serves the fixture tools on a port: ``python -m tests.conformance.app PORT``. Started by tools/conformance.py."""

import asyncio
import sys

from crossfade.core.decider import Refusal
from crossfade.core.values import AgentName, Caller
from crossfade.inbound.asgi import Streams
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.server import Server, ServerSettings
from crossfade.outbound.host import HostClock, HostIds
from tests.conformance.fixtures import Fixtures


class Open:
    """Lets everybody in."""

    def authenticate(self, token: str) -> Caller | Refusal:
        return Refusal("auth.unknown", "There are no tokens here.")

    async def admit(self, client_name: str, *, faces_person: bool = False) -> Caller | Refusal:
        return Caller(name=AgentName("anyone"), client=client_name, faces_person=faces_person)

    def touch(self, caller: Caller, *, native: bool) -> None:
        """Nobody keeps track."""


async def serve(port: int) -> None:
    streams = Streams()
    endpoint = McpEndpoint(Open(), Fixtures(), Host(HostClock(), HostIds(), b"conformance" * 3, streams))
    server = Server(
        endpoint, ServerSettings(port=port, listeners=1, handle_signals=True, grace_seconds=1), streams.drain, endpoint
    )
    await server.start()
    sys.stdout.write(f"{server.url}/mcp\n")
    sys.stdout.flush()
    await server.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
