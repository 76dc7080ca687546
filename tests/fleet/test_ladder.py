"""Rungs end with a reason, never with a traceback, where the hub refuses or is gone."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from crossfade.core.capacity import Rung
from crossfade.fleet.capacity.ladder import LadderError, climb

REFUSED = (
    b'{"jsonrpc":"2.0","id":1,"result":{"isError":true,"structuredContent":'
    b'{"error":{"code":"limits.rate","message":"slower"}}}}'
)


async def enlist(named: list[tuple[str, str]]) -> list[str]:
    return [f"token-{name}" for name, _ in named]


def climbed(reply: bytes) -> list[Rung]:
    """Two rungs against a server that says the same to everything; nothing, if there is nothing to say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(reply), reply))
            await writer.drain()
        writer.close()

    async def run(handler: Callable[..., Awaitable[None]]) -> list[Rung]:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            target = SimpleNamespace(
                host="127.0.0.1", port=port, authority="hub", operator=SimpleNamespace(enlist=enlist)
            )
            return await climb(target, (1, 2), 0.3)  # type: ignore[arg-type]

    return asyncio.run(run(serve))


@pytest.mark.parametrize(("reply", "match"), [(REFUSED, "limits.rate"), (b"", "1 round trips in flight")])
def test_a_hub_that_refuses_or_hangs_up_ends_the_ladder(reply: bytes, match: str) -> None:
    with pytest.raises(LadderError, match=match):
        climbed(reply)


def test_a_hub_that_is_not_there_ends_the_ladder() -> None:
    target = SimpleNamespace(host="127.0.0.1", port=1, authority="hub", operator=SimpleNamespace(enlist=enlist))
    with pytest.raises(LadderError, match="cannot connect"):
        asyncio.run(climb(target, (1,), 0.3))  # type: ignore[arg-type]
