"""A hub in this process behind real sockets, and a wire in front of it that can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

from crossfade.bootstrap import ROOT, RunningHub, running_hub
from crossfade.config import Config
from crossfade.core.values import Kind, Scope
from crossfade.engine.limits import Limits
from tests.kit.hub import ok

CHUNK = 65_536


@asynccontextmanager
async def live_hub(limits: Limits | None = None, folder: str = "") -> AsyncIterator[RunningHub]:
    """A hub with guests on a free port; in memory unless there is a ``folder``."""
    kind = {"log": "sqlite", "data_folder": folder} if folder else {"log": "memory"}
    async with running_hub(Config(port=0, guests=True, listeners=1, limits=limits or Limits(), **kind)) as running:
        yield running


async def token(running: RunningHub, name: str) -> str:
    """A fresh credential for a program."""
    return ok(await running.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT])).token


async def rollout(running: RunningHub, share: float) -> None:
    """Begin a rollout if there is none, and set the share."""
    if not running.hub.rollout().name:
        ok(await running.hub.rollout_start(ROOT, "test", salt="salt"))
    if share or running.hub.rollout().share:
        ok(await running.hub.rollout_set(ROOT, share, "test"))


class Wire:
    """A TCP proxy to a hub that loses replies and cuts connections on command."""

    def __init__(self, target: str) -> None:
        place = urlsplit(target)
        self._target = (place.hostname or "", place.port or 0)
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.swallow = b""
        """The reply to the next request that begins with this is lost, with its connection."""
        self.lost = 0
        self.opened: list[bytes] = []
        """First line of every request of every connection, as far as it came in one piece."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> int:
        """Abort every connection; how many there were."""
        ends = list(self._ends)
        for end in ends:
            end.transport.abort()
        return len(ends)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(*self._target)
        self._ends |= {writer, downstream}
        doomed = asyncio.Event()
        both = (self._requests(reader, downstream, doomed), self._replies(upstream, writer, doomed))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait([asyncio.ensure_future(side) for side in both], return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, downstream):
            self._ends.discard(end)
            end.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(CHUNK):
                self.opened.append(piece.partition(b"\r\n")[0])
                if self.swallow and piece.startswith(self.swallow):
                    self.swallow = b""
                    doomed.set()
                writer.write(piece)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(CHUNK):
                if doomed.is_set():
                    self.lost += 1
                    return
                writer.write(piece)
