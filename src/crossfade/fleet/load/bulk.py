"""Many small requests to the operator's API over a few connections: credentials for a fleet, and their end.

Not crossfade.client: that costs a millisecond a call, and here are thousands.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.frames import Caller, Issued
from crossfade.fleet.load.line import Place, Traffic
from crossfade.fleet.load.pool import Pool

LINES: Final = 32
PATIENCE_SECONDS: Final = 120.0
EXPIRES_SECONDS: Final = 7 * 86_400


class EnlistError(Exception):
    """The hub does not give out credentials; the message is what it said."""


class NobodyThereError(EnlistError):
    """Nothing listens at the address."""


class Operator:
    """The operator of a hub, as far as a load needs one."""

    def __init__(self, place: Place, authority: str, token: str) -> None:
        self._place = place
        self._caller = Caller("operator", token, authority, capable=False)

    async def enlist(self, named: Sequence[tuple[str, str]]) -> list[str]:
        """A credential for each name and label, in their order. Raises EnlistError."""
        frames = [
            self._caller.plain(
                b"POST",
                b"/v1/tokens",
                msgspec.json.encode(
                    {"name": name, "scopes": ["agent"], "label": label, "expires_seconds": EXPIRES_SECONDS}
                ),
            )
            for name, label in named
        ]
        replies = await self._all(frames, PATIENCE_SECONDS)
        bad = next((reply for reply in replies if reply[0] not in (200, 201)), None)
        if bad is not None:
            raise EnlistError(_said(*bad))
        return [msgspec.json.decode(body, type=Issued).token for _, body in replies]

    async def retire(self, names: Sequence[str], seconds: float) -> int:
        """Retire agents; how many are now, or were never there. What takes longer is left to its expiry."""
        frames = [self._caller.plain(b"DELETE", b"/v1/agents/" + quote(name).encode()) for name in names]
        replies, _ = await self._replies(frames, seconds)
        return sum(status in (200, 404) for status, _ in replies)

    async def call(self, method: bytes, path: bytes, body: object = None) -> bytes:
        """One call. Raises EnlistError."""
        content = b"" if body is None else msgspec.json.encode(body)
        ((status, said),) = await self._all([self._caller.plain(method, path, content)], PATIENCE_SECONDS)
        if status not in (200, 201):
            raise EnlistError(_said(status, said))
        return said

    async def _all(self, frames: Sequence[bytes], seconds: float) -> list[tuple[int, bytes]]:
        found, left = await self._replies(frames, seconds)
        if left:
            raise EnlistError(f"{left} of {len(frames)} calls got no answer in {seconds:g} s")
        return found

    async def _replies(self, frames: Sequence[bytes], seconds: float) -> tuple[list[tuple[int, bytes]], int]:
        """The replies of ``seconds``, status 0 where there is none, and how many that are."""
        pool = Pool(self._place, Traffic(), LINES, Dice(1))
        found: list[tuple[int, bytes]] = [(0, b"")] * len(frames)
        done = asyncio.Event()
        left = len(frames)

        def keep(number: int, status: int, body: bytes) -> None:
            nonlocal left
            found[number] = (status, body)
            left -= 1
            if not left:
                done.set()

        for number, frame in enumerate(frames):
            pool.submit(frame, lambda status, body, number=number: keep(number, status, body))  # type: ignore[misc]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await done.wait()
        finally:
            pool.close()
        return found, left


class _Fault(msgspec.Struct):
    code: str
    message: str


class _Refused(msgspec.Struct):
    error: _Fault


def _said(status: int, body: bytes) -> str:
    """What the hub said, in its words if it is one."""
    try:
        refused = msgspec.json.decode(body, type=_Refused).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"HTTP {status}: {body[:300].decode('utf-8', 'replace')}"
    return f"HTTP {status}: {refused.message} ({refused.code})"
