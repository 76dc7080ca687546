"""What the control groups of this process leave it: memory, processes, processors. Linux only, both versions.

Not the limits of one process (``ulimit``), which fleet/load/feasible.py reads. Where nothing can be read, nothing is
limited.

Rules
-----
1. A limit counts in the group that has it and in every group below, so each is looked for up to the root.
2. Pages of files do not count as taken: the kernel gives them back before it kills.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,pids}.rst, scheduler/sched-bwc.rst.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

CONTROLLERS: Final = ("memory", "pids", "cpu")
BOUNDLESS: Final = 1 << 60
"""Version 1 writes no limit as a number near 2**63, which is no limit."""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """What may still be taken; infinite where no group says."""

    memory_mib: float = math.inf
    tasks: float = math.inf
    """Processes and threads that may still begin."""
    cores: float = math.inf
    """CPU seconds per second, of all in the group together."""


def leave(proc: Path = Path("/proc/self")) -> Leave:
    """What the groups of this process leave it."""
    groups = [(name, folder) for name in CONTROLLERS for folder in _folders(proc, name)]
    return Leave(
        memory_mib=min((_memory_mib(folder) for name, folder in groups if name == "memory"), default=math.inf),
        tasks=min((_tasks(folder) for name, folder in groups if name == "pids"), default=math.inf),
        cores=min((_cores(folder) for name, folder in groups if name == "cpu"), default=math.inf),
    )


def _folders(proc: Path, controller: str) -> Iterator[Path]:
    """The groups of a controller that this process is in, from its own up to the root that can be seen."""
    ours: dict[str | None, str] = {}
    for line in _lines(proc / "cgroup"):
        _, names, path = line.split(":", 2)
        ours.update(dict.fromkeys(names.split(","), path))  # version 2 has no name
    for line in _lines(proc / "mountinfo"):
        mount, _, rest = line.partition(" - ")
        kind, *_, options = rest.split()
        key = "" if kind == "cgroup2" else controller if kind == "cgroup" and controller in options.split(",") else None
        if key not in ours:
            continue
        root, point = mount.split()[3:5]
        top = Path(point)
        mine = top / ours[key].removeprefix(root.rstrip("/")).strip("/")
        yield from (folder for folder in (mine, *mine.parents) if folder.is_relative_to(top))


def _memory_mib(folder: Path) -> float:
    limit = min(_number(folder / "memory.max"), _number(folder / "memory.limit_in_bytes"))
    if limit >= BOUNDLESS:
        return math.inf
    used = min(_number(folder / "memory.current"), _number(folder / "memory.usage_in_bytes"))
    words = _words(folder / "memory.stat")
    parts = dict(zip(words[::2], words[1::2], strict=False))
    prefix = "total_" if "total_inactive_file" in parts else ""
    files = sum(int(parts.get(f"{prefix}{kind}_file", "0")) for kind in ("inactive", "active"))
    return max(0.0, limit - max(0.0, used - files)) / 1_048_576


def _tasks(folder: Path) -> float:
    limit = _number(folder / "pids.max")
    return limit if math.isinf(limit) else max(0.0, limit - _number(folder / "pids.current"))


def _cores(folder: Path) -> float:
    quota, period = (*_words(folder / "cpu.max"), "max", "100000")[:2]
    if quota == "max":
        quota, period = (*_words(folder / "cpu.cfs_quota_us"), "-1")[0], (*_words(folder / "cpu.cfs_period_us"), "1")[0]
    return int(quota) / int(period) if quota.isdigit() and int(period) else math.inf


def _number(file: Path) -> float:
    """The number that a file holds; infinite if it is not there, or says that there is no limit."""
    (word, *_) = (*_words(file), "max")
    return int(word) if word.isdigit() else math.inf


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
