"""The data folder of a hub that is not running: mint a token, check the chain. Opens no socket.

Raises the log's own faults (engine.ports): LogInUseError when a hub holds the folder after all.
"""

from typing import Final

import msgspec

from crossfade.bootstrap import opened_hub
from crossfade.config import Config
from crossfade.core.decider import Refusal
from crossfade.core.values import PROGRAMME, SPACE, AgentName, Caller, Kind, Scope
from crossfade.engine.requests import IssuedToken
from crossfade.logs.sqlite import open_sqlite

OWNER: Final = Caller(name=AgentName("operator"), kind=Kind.PERSON, scopes=frozenset({Scope.ADMIN}))
"""Whoever can write the data folder may do anything with it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A credential to be minted."""

    name: str
    kind: Kind = Kind.PROGRAM
    scopes: tuple[Scope, ...] = (Scope.AGENT,)
    expires_seconds: float | None = None
    label: str = ""


async def issue(config: Config, wanted: Wanted) -> IssuedToken | Refusal:
    """Mint a credential."""
    async with opened_hub(config) as hub:
        return await hub.issue_token(
            OWNER,
            wanted.name,
            wanted.kind,
            wanted.scopes,
            expires_seconds=wanted.expires_seconds,
            label=wanted.label,
        )


async def verify(config: Config) -> list[tuple[int, int, int | None]]:
    """For each shard: its number, how many records, and the first bad sequence (None: all are as written)."""
    log = open_sqlite(config.data_path)
    try:
        return [(shard, (await log.head(shard)).sequence, await log.verify(shard)) for shard in (PROGRAMME, SPACE)]
    finally:
        await log.close()
