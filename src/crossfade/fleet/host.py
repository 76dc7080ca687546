"""The fleet's only read of a clock. Not the server's: the fleet stands on the other side of the wire."""

import time


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds: the same in every process of a machine."""
    return time.monotonic_ns()
