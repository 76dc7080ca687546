"""What a hub on this machine uses at one moment, as the kernel counts it. Linux only.

Rules
-----
1. Processor time is counted in nanoseconds by /proc/PID/task/*/schedstat: the 10 ms of /proc/PID/stat would be
   several per cent of a short run.
2. The event loop, which is the main thread, writes to sockets and never to the disk; all other threads write to the
   disk and never to sockets. So the writes of the other threads are the disk's.

Sources: proc(5), "io"; Documentation/scheduler/sched-stats.rst of the kernel.
"""

from pathlib import Path
from typing import Final

import msgspec

from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.vitals import vitals

ESTABLISHED: Final = "01"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What had been used at one moment, and what is held."""

    at_ns: int
    cpu_ns: int
    write_calls: int
    written_bytes: int
    memory_mib: float
    connections: int


def look(pid: int, port: int) -> Reading | None:
    """Read a process that listens on ``port``; None if it is gone, or this is no Linux."""
    now = vitals(pid)
    if now is None:
        return None
    tasks = list(Path(f"/proc/{pid}/task").glob("[0-9]*"))
    writers = [_writes(task) for task in tasks if task.name != str(pid)]
    return Reading(
        at_ns=monotonic_ns(),
        cpu_ns=sum(_cpu_ns(task) for task in tasks),
        write_calls=sum(calls for calls, _ in writers),
        written_bytes=sum(written for _, written in writers),
        memory_mib=now.rss_mib,
        connections=connections(port),
    )


def connections(port: int) -> int:
    """Established connections to a port of this machine."""
    return sum(
        fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, _lines(Path(table))[1:])
    )


def _cpu_ns(task: Path) -> int:
    lines = _lines(task / "schedstat")
    return int(lines[0].split()[0]) if lines else 0


def _writes(task: Path) -> tuple[int, int]:
    """Write calls and bytes of one thread."""
    counts = dict(line.split(": ") for line in _lines(task / "io"))
    return int(counts.get("syscw", 0)), int(counts.get("wchar", 0))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
