"""Instants as people and programs read them: ISO 8601 in UTC, microseconds, ``Z``."""

from datetime import UTC, datetime

from crossfade.core.values import Instant


def iso(instant: Instant) -> str:
    """``2026-11-23T02:43:24.123456Z``."""
    seconds, nanoseconds = divmod(instant, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"
