"""What the machine gives: time, randomness, the key on disk. The only caller of time and secrets."""

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Final

from crossfade.core.values import Instant

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, in lower case."""
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
"""Two characters for each ten bits."""
_FIVE_BITS: Final = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
"""The character for each byte's lower five bits: sixteen random bytes give eighty random bits."""
_FETCHED_BYTES: Final = 4_096
"""Random bytes asked for at a time: a request to the kernel costs as much as an id."""
_MONOTONIC: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where there is such a clock."""


class HostClock:
    """Wall time that never jumps: read once at start, then carried on by the monotonic clock.

    An operator who sets the clock therefore shifts no deadline of a running hub; the hub follows at
    its next start, and never goes back before the last record of its log.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.clock_gettime_ns(_MONOTONIC)

    def now(self) -> Instant:
        """The present instant."""
        return time.clock_gettime_ns(_MONOTONIC) + self._offset  # type: ignore[return-value]  # ``Instant`` would be a call

    def monotonic(self) -> int:
        """Nanoseconds; only differences mean something."""
        return time.clock_gettime_ns(_MONOTONIC)

    def not_before(self, instant: Instant) -> None:
        """Go on from ``instant`` if it is not there yet."""
        self._offset += max(0, instant - self.now())

    async def sleep_until(self, instant: Instant) -> None:
        """Return at ``instant`` or soon after."""
        await asyncio.sleep(max(0, instant - self.now()) / 1e9)


class HostIds:
    """Ids from the machine's randomness: 48 bits of milliseconds, 80 of chance.

    Randomness of ids and keys is fetched for many at once; that of secrets never is.
    """

    def __init__(self) -> None:
        self._random = b""
        self._used = 0
        """Bytes of ``_random`` that are in a key already."""
        self._letters = ""
        self._told = 0
        """Characters of ``_letters`` that are in an id already."""
        self._ms = -1
        self._ten = ""
        """A millisecond, and the ten characters that stand for it."""

    def new(self, prefix: str) -> str:
        """``prefix_`` and 26 characters; later ones sort after earlier ones to the millisecond."""
        now = time.time_ns() // 1_000_000
        if now != self._ms:
            self._ms, self._ten = now, _ten(now)
        start = self._told
        end = self._told = start + 16
        letters = self._letters[start:end]
        if len(letters) < 16:
            self._letters = secrets.token_bytes(_FETCHED_BYTES).translate(_FIVE_BITS).decode()
            letters, self._told = self._letters[:16], 16
        return f"{prefix}_{self._ten}{letters}"

    def key(self) -> bytes:
        """16 bytes, 10 of them random, behind the time: the log's index of keys then grows at its end."""
        return (time.time_ns() // 1_000_000).to_bytes(6) + self._chance(10)

    def _chance(self, size_bytes: int) -> bytes:
        start, end = self._used, self._used + size_bytes
        if end > len(self._random):
            self._random = secrets.token_bytes(_FETCHED_BYTES)
            start, end = 0, size_bytes
        self._used = end
        return self._random[start:end]

    def secret(self) -> str:
        """43 URL-safe characters holding 32 random bytes."""
        return secrets.token_urlsafe(32)


def _ten(ms: int) -> str:
    """The last ten of the characters that ``base32`` writes."""
    two = _PAIRS
    return f"{two[ms >> 40]}{two[ms >> 30 & 1023]}{two[ms >> 20 & 1023]}{two[ms >> 10 & 1023]}{two[ms & 1023]}"


def base32(number: int) -> str:
    """26 characters for a number below 2**130, big end first."""
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def seal_key(folder: Path) -> bytes:
    """The hub's own 32-byte key, made at the first start and kept readable by the owner alone."""
    path = folder / "seal.key"
    if not path.exists():
        write_private(path, secrets.token_bytes(32))
    key = path.read_bytes()
    if len(key) != 32:
        raise ValueError(f"{path} does not hold 32 bytes")
    return key


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, all or nothing, and durably. Raises OSError; nothing is left then."""
    temporary = path.with_name(path.name + ".part")
    try:
        _write_whole(temporary, content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_whole(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        left = memoryview(content)
        while left:  # a disk with too little room takes a part and says so; the rest is then refused
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
