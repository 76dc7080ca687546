"""What the machine is, and what else it did: facts that every result carries with it. Linux; nothing but /proc."""

import os
import platform
import subprocess
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

PACKAGES = ("crossfade", "mcp", "uvicorn", "uvloop", "httptools", "apsw", "msgspec")
LOOK_SECONDS = 1.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    processors: int
    model: str
    memory_mib: int
    kernel: str
    file_system: str
    """Of the folder that logs are written to."""
    python: str
    packages: dict[str, str]
    commit: str


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the machine others wanted."""

    load_before: float
    """Load average of the minute before."""
    load_median: float
    """Runnable processes while it ran, the benchmark's own among them."""
    load_max: float
    idle: float
    """Share of the processors' time that nobody used."""
    stolen: float
    """Share of it that another guest of the same host had."""


def machine(folder: Path) -> Machine:
    """The facts of this machine."""
    return Machine(
        processors=os.cpu_count() or 0,
        model=_value("/proc/cpuinfo", "model name"),
        memory_mib=int(_value("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        kernel=f"{platform.system()} {platform.release()}",
        file_system=_file_system(folder),
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        commit=_commit(),
    )


class Watch:
    """Looks at the machine while a benchmark runs."""

    def __init__(self) -> None:
        self._before = load()
        self._times = _times()
        self._seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._seen.append(_runnable())

    def crowd(self) -> Crowd:
        """End, and say what was seen."""
        self._over.set()
        self._thread.join()
        spent = [after - before for before, after in zip(self._times, _times(), strict=True)]
        whole, seen = sum(spent) or 1, sorted(self._seen) or [_runnable()]
        return Crowd(
            load_before=self._before,
            load_median=seen[len(seen) // 2],
            load_max=seen[-1],
            idle=round((spent[3] + spent[4]) / whole, 3),
            stolen=round(spent[7] / whole, 3),
        )


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]


def today() -> str:
    """The day, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _runnable() -> int:
    """Runnable tasks now, without the one that looks."""
    return int(Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0]) - 1


def _times() -> list[int]:
    """Ticks of all processors since the start: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(field) for field in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]


def _value(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _file_system(folder: Path) -> str:
    place, best = folder.resolve(), ("", "unknown")
    for line in Path("/proc/mounts").read_text("utf-8", "replace").splitlines():
        _, mount, kind, *_ = line.split()
        if place.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = mount, kind
    return best[1]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit that is checked out, and whether files differ from it; empty without git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return f"{head} and changes" if _git("status", "--porcelain", "--", "src") else head
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*words: str) -> str:
    done = subprocess.run(("git", *words), capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    return done.stdout.strip()
