"""Instants as people and programs read them: ISO 8601 in UTC, microseconds, ``Z``."""

from datetime import UTC, datetime
from functools import lru_cache

from crossfade.core.values import Instant


def iso(instant: Instant) -> str:
    """``2026-11-23T02:43:24.123456Z``."""
    microseconds = instant // 1_000
    # Seven digits of which the first goes: half of what a format with leading zeros takes, three times a round trip.
    digits = str(microseconds % 1_000_000 + 1_000_000)
    return f"{_to_the_second(microseconds // 1_000_000)}.{digits[1:]}Z"


@lru_cache(maxsize=1_024)  # most instants that are shown lie within the same few seconds
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
