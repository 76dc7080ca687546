"""The fleet's only reads of clocks. Not the server's: the fleet stands on the other side of the wire."""

import time


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds: the same in every process of a machine."""
    return time.monotonic_ns()


def cpu_seconds() -> float:
    """Processor time that this process has used, user and system."""
    return time.process_time()
