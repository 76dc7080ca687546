"""Run cases of power loss and bit flips: ``python -m tests.powerloss --cases 10000 --seed 0 --flips 2000``.

``--shelves`` are cases for the folder of snapshots (shelf.py); the others are for the log. Each case is its seed:
``--seed 4711 --cases 1`` runs that one again. A long campaign is cut into ranges of seeds and goes on at any of them.
Prints one line of JSON: cases, rate, violations with their seeds. Exit code 0: none.

``--plant`` breaks something on purpose, to see that it is found: ``normal`` (synchronous=NORMAL), ``late`` (FULL,
set after the write-ahead log), ``names`` (a disk that forgets removals), ``index`` (nobody looks whether the
indexes lead to the rows), ``phantom`` (a start believes bytes that a failed sync never brought to the disk),
``phantom-named`` (it brings them there, and not the name they are under), ``phantom-torn`` (it writes them in their
place); of the snapshots ``shelf-unsynced`` (renamed before they are on the disk), ``shelf-unhashed`` (believed as
they are), ``shelf-short`` (a disk with too little room wrote a part of it, and nobody looked) and ``shelf-nameless``
(the folder was made, and its name never synced).
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from crossfade.logs import audit, settling, startup
from crossfade.logs.database import Database
from crossfade.outbound import host, snapshots
from tests.powerloss import cases, flips, shelf
from tests.powerloss.disk import layer

PLANTS = (
    "normal", "late", "names", "index", "forgets", "phantom", "phantom-named", "phantom-torn",
    "shelf-unsynced", "shelf-unhashed", "shelf-short", "shelf-nameless",
)  # fmt: skip
SHOWN = 20
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it, made for us alone
"""Where real files cost least, if the system has it."""


def plant(name: str) -> None:
    """Break this process's log."""
    settings: list[Any] = list(startup._SETTINGS)
    if name == "normal":
        settings = [("synchronous", "NORMAL", 1) if one[0] == "synchronous" else one for one in settings]
    elif name == "late":
        settings = [one for one in settings if one[0] != "synchronous"] + [("synchronous", "FULL", 2)]
    elif name == "index":
        audit.unreachable = lambda *_: None  # type: ignore[assignment]
    elif name == "forgets":
        _plant_forgetting()
    elif name == "phantom":
        setattr(startup, "settle", lambda _: None)  # noqa: B010 - not its own
    elif name == "phantom-named":
        settling.sync = lambda _: None  # type: ignore[assignment]
    elif name == "phantom-torn":
        setattr(startup, "settle", _in_place)  # noqa: B010
    elif name.startswith("shelf-"):
        _plant_in_shelf(name.removeprefix("shelf-"))
    startup._SETTINGS = tuple(settings)  # type: ignore[misc]


def _plant_forgetting() -> None:
    """What is stored after a flip is not found."""
    find, flipped = Database.find, flips.TRANSACTIONS.to_bytes(2, "big")
    Database.find = lambda self, shard, key: find(self, shard, key) if key[:2] < flipped else None  # type: ignore[method-assign]


def _in_place(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        source = os.open(path, os.O_RDONLY)
        target = os.open(path, os.O_WRONLY)
        os.write(target, os.read(source, 1 << 30))
        os.fsync(target)
        os.close(source)
        os.close(target)


def _plant_in_shelf(name: str) -> None:
    def written(path: Path, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, content)
        if name == "short":
            os.fsync(descriptor)
        os.close(descriptor)

    if name == "unhashed":
        setattr(snapshots, "sha256", lambda _: SimpleNamespace(digest=lambda: bytes(32)))  # noqa: B010 - not its own
    elif name == "nameless":
        setattr(snapshots, "sync_folder", lambda _: None)  # noqa: B010
    else:
        host._write_whole = written


def part(options: argparse.Namespace, of: int, number: int) -> dict[str, Any]:
    """Every ``of``-th seed from ``number`` on."""
    sys.unraisablehook = lambda _: None  # the power goes while SQLite closes files, which may not raise
    cases.with_early_copies()
    plant(options.plant)
    seen: Counter[str] = Counter()
    bad: list[str] = []

    def each(kind: str, count: int, case: Callable[[int], str]) -> None:
        for seed in range(options.seed + number, options.seed + count, of):
            try:
                seen[case(seed)] += 1
            except cases.Violation as violation:
                bad.append(f"{kind} {seed}: {violation}")

    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as name, layer() as made:
        folder, keeps = Path(name), options.plant != "names"
        logs = [flips.keep(folder, made, closed=closed) for closed in (True, False)]
        each("case", options.cases, lambda seed: cases.run(seed, folder, made, keeps_removals=keeps))
        each("flip", options.flips, lambda seed: flips.run(seed, logs[seed % 2], folder, made))
    if options.shelves:
        with tempfile.TemporaryDirectory(dir=place) as name, asyncio.Runner() as runner:
            story, folder = shelf.Story(runner), Path(name)
            each("shelf", options.shelves, lambda seed: shelf.run(seed, story, folder))
    return {"seen": seen, "violations": len(bad), "first": bad[:SHOWN]}


def main() -> int:
    """Share the seeds out among processes and gather what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--shelves", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=PLANTS, default="")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part is not None:
        print(json.dumps(part(options, options.processes, options.part)))
        return 0
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.powerloss", *sys.argv[1:], f"--processes={options.processes}"]
    parts = [
        subprocess.Popen([*command, f"--part={number}"], stdout=subprocess.PIPE, text=True)
        for number in range(options.processes)
    ]
    found = [json.loads(process.communicate()[0]) for process in parts]
    seconds = time.monotonic() - began
    seen: Counter[str] = Counter()
    for one in found:
        seen.update(one["seen"])
    violations = sum(one["violations"] for one in found)
    rate = round((options.cases + options.flips + options.shelves) / seconds)
    first = [line for one in found for line in one["first"]][:SHOWN]
    print(
        json.dumps(
            {
                "seed": options.seed, "cases": options.cases, "flips": options.flips, "shelves": options.shelves,
                "seconds": round(seconds, 1), "per_second": rate, "seen": dict(sorted(seen.items())),
                "violations": violations, "first": first,
            }
        )
    )  # fmt: skip
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
