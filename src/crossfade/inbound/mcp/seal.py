"""Seals what a client carries between the rounds of one call on 2026-07-28 (``requestState``).

AES-256-GCM, bound to the principal, the tool and its arguments: opened anywhere else, it does not open.
The seal does not make anything happen once; the log does (a question has one end).

Source: MCP 2026-07-28 "Multi round-trip requests", duties of a server that keeps state in the client.
"""

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crossfade.core.values import SECOND, Instant
from crossfade.engine.ports import Clock, Ids

NONCE_BYTES: Final = 12
VERSION: Final = "v1."


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What is inside."""

    keys: tuple[str, ...]
    """Keys of the input requests that went out with it."""
    state: bytes
    round: int
    """How often this call has asked by now."""
    expires_at: Instant


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """What a state belongs to."""

    principal: str
    tool: str
    arguments: msgspec.Raw


class BrokenSealError(ValueError):
    """The state is not ours, not of this call, or too old."""


class Seals:
    """Seals and opens states."""

    def __init__(self, key: bytes, clock: Clock, ids: Ids, *, seconds: int = 86_400) -> None:
        self._cipher = AESGCM(hashlib.blake2b(key, person=b"mcp state", digest_size=32).digest())
        self._clock = clock
        self._ids = ids
        self._seconds = seconds
        self._decoder = msgspec.msgpack.Decoder(Sealed)

    def seal(self, keys: tuple[str, ...], state: bytes, asked: int, binding: Binding) -> str:
        """An opaque text for the client to hand back."""
        expires_at = Instant(self._clock.now() + self._seconds * SECOND)
        nonce = self._ids.key()[:NONCE_BYTES]
        plain = msgspec.msgpack.encode(Sealed(keys, state, asked, expires_at))
        sealed = nonce + self._cipher.encrypt(nonce, plain, _bound(binding))
        return VERSION + base64.urlsafe_b64encode(sealed).decode()

    def open(self, text: str, binding: Binding) -> Sealed:
        """What was sealed. Raises BrokenSealError."""
        try:
            sealed = base64.b64decode(text.removeprefix(VERSION), altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(binding))
        except (InvalidTag, binascii.Error, ValueError) as broken:
            raise BrokenSealError from broken
        opened = self._decoder.decode(plain)
        if opened.expires_at <= self._clock.now():
            raise BrokenSealError
        return opened


def _bound(binding: Binding) -> bytes:
    """The same for the same arguments, however the client wrote them down."""
    arguments = msgspec.json.encode(msgspec.json.decode(binding.arguments), order="sorted")
    return msgspec.msgpack.encode((binding.principal, binding.tool, arguments))
