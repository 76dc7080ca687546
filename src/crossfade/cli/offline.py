"""The data folder of a hub that is not running: mint a token, count tokens, check the chain. Opens no socket.

Raises the log's own faults (engine.ports): LogInUseError when a hub holds the folder after all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from crossfade.config import Config
from crossfade.core.decider import Refusal
from crossfade.core.values import PROGRAMME, SPACE, AgentName, Caller, Kind, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.requests import IssuedToken
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.host import HostClock, HostIds

OWNER: Final = Caller(name=AgentName("operator"), kind=Kind.PERSON, scopes=frozenset({Scope.ADMIN}))
"""Whoever can write the data folder may do anything with it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A credential to be minted."""

    name: str
    kind: Kind = Kind.PROGRAM
    scopes: tuple[Scope, ...] = (Scope.AGENT,)
    expires_seconds: float | None = None
    label: str = ""


@asynccontextmanager
async def _hub(config: Config) -> AsyncIterator[Hub]:
    log = open_sqlite(config.data_path)
    try:
        hub = Hub(log, HostClock(), HostIds(), config.limits)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()
    finally:
        await log.close()


async def issue(config: Config, wanted: Wanted) -> IssuedToken | Refusal:
    """Mint a credential."""
    async with _hub(config) as hub:
        return await hub.issue_token(
            OWNER,
            wanted.name,
            wanted.kind,
            wanted.scopes,
            expires_seconds=wanted.expires_seconds,
            label=wanted.label,
        )


async def has_tokens(config: Config) -> bool:
    """Whether anybody could be let in."""
    if config.log != "sqlite" or not config.data_path.is_dir():
        return False
    async with _hub(config) as hub:
        tokens = await hub.tokens(OWNER)
    return not isinstance(tokens, Refusal) and any(token.status == "valid" for token in tokens)


async def verify(config: Config) -> list[tuple[int, int, int | None]]:
    """For each shard: its number, how many records, and the first bad sequence (None: all are as written)."""
    log = open_sqlite(config.data_path)
    try:
        return [(shard, (await log.head(shard)).sequence, await log.verify(shard)) for shard in (PROGRAMME, SPACE)]
    finally:
        await log.close()
