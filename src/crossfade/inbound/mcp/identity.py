"""Who is calling: a credential's owner, or a guest of a development hub.

A client's own name for itself decides what quirks it has and how a guest is called, never what a caller
may do. No argument of a tool names an identity.
"""

from sys import intern
from typing import Protocol

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller
from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.clients import faces_person

CHALLENGE = (b"www-authenticate", b'Bearer realm="crossfade"')
MALFORMED = Refusal("auth.malformed", "This is no bearer token.", "Send one `Authorization: Bearer TOKEN`.")
GUEST = "guest"
"""What a client that does not name itself is called."""


class Gatekeeper(Protocol):
    """What is needed of the hub; ``engine.hub.Hub`` has it."""

    def authenticate(self, token: str) -> Caller | Refusal:
        """The owner of a token."""

    async def admit(self, client_name: str, *, faces_person: bool = False) -> Caller | Refusal:
        """A guest, where guests are allowed."""

    def touch(self, caller: Caller, *, native: bool) -> None:
        """Note that the caller is there."""


class Identities:
    """Turns credentials into callers."""

    def __init__(self, hub: Gatekeeper) -> None:
        self._hub = hub

    def known(self, token: str | None) -> Caller | None:
        """Whom the credential names; None if there is no credential. Raises ProtocolError for a bad one."""
        if token is None:
            return None
        caller = self._hub.authenticate(token) if token else MALFORMED
        if isinstance(caller, Refusal):
            raise unauthorized(caller)
        return caller

    async def caller(self, known: Caller | None, client: str) -> Caller:
        """The caller of a request that came from a client of this name. Raises ProtocolError for strangers."""
        client, facing = intern(client), faces_person(client)  # few are different, and each is kept for long
        if known is not None:
            if known.client == client and known.faces_person == facing:
                return known
            return msgspec.structs.replace(known, client=client, faces_person=facing)
        guest = await self._hub.admit(client or GUEST, faces_person=facing)
        if isinstance(guest, Refusal):
            raise unauthorized(guest)
        return guest

    def touch(self, caller: Caller, *, native: bool) -> None:
        """The caller is present, with a client that can or cannot show questions."""
        self._hub.touch(caller, native=native)


def unauthorized(refusal: Refusal) -> wire.ProtocolError:
    """401, with what to do."""
    error = wire.fault(401, wire.INVALID_REQUEST, refusal.code, refusal.message, refusal.hint)
    error.headers = (CHALLENGE,)
    return error
