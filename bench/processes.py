"""Processes that are measured: what they used, what they hold, and where they run. Linux; nothing but /proc."""

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Processor time of its present threads, in nanoseconds as the scheduler counts (CONFIG_SCHED_INFO)."""
    return sum(int(one.read_text("ascii").split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_mib(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES / 1_048_576


def pin(pid: int, core: int) -> None:
    """All threads of a process onto one processor."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
