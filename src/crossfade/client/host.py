"""The SDK's only reads of time and randomness, apart so that tests can replace them.

Not the server's: the SDK stands alone and imports nothing of it.
"""

import random
import time
from uuid import uuid4


def monotonic_seconds() -> float:
    """Seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()


def fresh_key() -> str:
    """An idempotency key: one for each logical call, kept over its retries."""
    return f"k_{uuid4().hex}"


def pause_seconds(attempt: int, first_seconds: float = 0.2, longest_seconds: float = 10.0) -> float:
    """How long to wait before retry number ``attempt`` (from 0): doubling, with full jitter."""
    return random.uniform(0.05, min(longest_seconds, first_seconds * 2.0 ** min(attempt, 16)))
