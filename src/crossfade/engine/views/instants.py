"""Instants as people and programs read them: ISO 8601 in UTC, microseconds, ``Z``."""

from datetime import UTC, datetime
from functools import lru_cache

from crossfade.core.values import SECOND, Instant


def iso(instant: Instant) -> str:
    """``2026-11-23T02:43:24.123456Z``."""
    seconds, nanoseconds = divmod(instant, SECOND)
    return f"{_to_the_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=1_024)  # most instants that are shown lie within the same few seconds
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
