"""Sessions of the 2025 revisions: an id that says everything itself, so that every replica accepts it.

``Mcp-Session-Id`` is the claims and a MAC over them. Nothing is stored, except which sessions the client
has ended: in memory, bounded, on the replica that was told. Identity does not rest on the id: each
request is authenticated, and the claims must name the same principal.

Source: MCP 2025-11-25 "Session Management" (visible ASCII; 404 sends the client to initialize again).
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

import msgspec

from crossfade.core.values import SECOND, Instant
from crossfade.engine.ports import Clock, Ids

ENDED_MAX: Final = 100_000
"""Ended sessions remembered; the oldest is forgotten first."""
READ_MAX: Final = 20_000
"""Sessions kept as they were read, which spares half the cost of a request's session."""
MAC_BYTES: Final = 16
ID_BYTES_MAX: Final = 2_048


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What ``initialize`` agreed on."""

    session: str
    """Random."""
    principal: str
    """Name of the agent that began it."""
    revision: str
    client: str
    """Name in ``clientInfo``."""
    capabilities: tuple[str, ...]
    expires_at: Instant


class Sessions:
    """Issues and reads session ids."""

    def __init__(self, key: bytes, clock: Clock, ids: Ids, *, seconds: int = 30 * 86_400) -> None:
        self._key = hashlib.blake2b(key, person=b"mcp session", digest_size=32).digest()
        self._clock = clock
        self._ids = ids
        self._seconds = seconds
        self._ended: dict[str, None] = {}
        self._read: dict[bytes, Session] = {}
        self._decoder = msgspec.msgpack.Decoder(Session)

    def begin(self, principal: str, revision: str, client: str, capabilities: frozenset[str]) -> bytes:
        """A new session's id, visible ASCII."""
        expires_at = Instant(self._clock.now() + self._seconds * SECOND)
        session = Session(self._ids.new("s"), principal, revision, client, tuple(sorted(capabilities)), expires_at)
        claims = msgspec.msgpack.encode(session)
        return base64.urlsafe_b64encode(self._mac(claims) + claims).rstrip(b"=")

    def read(self, session_id: bytes) -> Session | None:
        """The session behind an id; None if it is not ours, has expired or was ended."""
        session = self._read.get(session_id) or self._opened(session_id)
        return session if session is not None and self.good(session, self._clock.now()) else None

    def good(self, session: Session, now: Instant) -> bool:
        """Whether a session that was read has neither expired nor been ended."""
        return session.session not in self._ended and session.expires_at > now

    def _opened(self, session_id: bytes) -> Session | None:
        if len(session_id) > ID_BYTES_MAX:
            return None
        try:
            signed = base64.urlsafe_b64decode(session_id + b"=" * (-len(session_id) % 4))
        except (binascii.Error, ValueError):
            return None
        claims = signed[MAC_BYTES:]
        if not hmac.compare_digest(signed[:MAC_BYTES], self._mac(claims)):
            return None
        session = self._read[session_id] = self._decoder.decode(claims)
        if len(self._read) > READ_MAX:
            del self._read[next(iter(self._read))]
        return session

    def end(self, session: Session) -> None:
        """Answer as if the session had never been, from now on."""
        self._ended[session.session] = None
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def _mac(self, claims: bytes) -> bytes:
        return hashlib.blake2b(claims, key=self._key, digest_size=MAC_BYTES).digest()
