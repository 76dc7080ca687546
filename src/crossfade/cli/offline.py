"""The data folder of a hub that is not running: mint a token. Opens no socket.

Raises the log's own faults (engine.ports): LogInUseError when a hub holds the folder after all.
"""

from typing import Final

import msgspec

from crossfade.bootstrap import opened_hub
from crossfade.config import Config
from crossfade.core.decider import Refusal
from crossfade.core.values import AgentName, Caller, Kind, Scope
from crossfade.engine.requests import IssuedToken

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
