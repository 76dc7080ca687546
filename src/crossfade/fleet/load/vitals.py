"""What processes of this machine use: processor seconds and memory, as the kernel counts them. Linux only.

Elsewhere, and for a hub on another machine, there is nothing to read, and the figures are left out.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
LISTENING: Final = "0A"


class Vitals(msgspec.Struct, frozen=True):
    """What a process has used and holds."""

    cpu_seconds: float
    """User and system, since it began."""
    rss_mib: float
    waited_seconds: float = 0.0
    """Time in which its main thread could have run and another process had the processor."""
    pid: int = 0


def vitals(pid: int) -> Vitals | None:
    """The vitals of a process; None if it is gone or nobody can say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    used = int(fields[11]) + int(fields[12])
    rss_mib = int(fields[21]) * PAGE_BYTES / 1_048_576
    return Vitals(cpu_seconds=used / TICKS, rss_mib=rss_mib, waited_seconds=_waited(pid), pid=pid)


def _waited(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def listener(port: int) -> int | None:
    """The process of this machine that listens on a TCP port, if we may see it; None otherwise."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not wanted:
        return None
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(link.readlink()) in wanted for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue
    return None


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
