"""Run every proof for a given time, and go on where the last time ended: ``python -m tests.campaign --seconds 3600``.

The kind that is furthest from its target comes next. What is running when the time is up, ends; what is
interrupted (Ctrl-C, SIGTERM, a kill) is not counted and runs again. ``--report`` prints what was reached and
runs nothing. Exit code 0: no promise was broken, ever; 1: one was, and the report says which; 2: a program of a
kind failed without saying what it found.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from tests.campaign.kinds import KINDS, Kind
from tests.campaign.state import Range, State, load, save

STATE = Path("var/campaign.json")
ROOT = Path(__file__).parents[2]


class FailedError(Exception):
    """A program ended without its line of JSON: nobody knows what it found."""


class StoppedError(BaseException):
    """Somebody wants this to end."""


def commit() -> str:
    """What the seeds belong to."""
    command = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def furthest(state: State, kinds: Sequence[Kind]) -> Kind | None:
    """The kind with the smallest share of its target; None when all are there."""
    open_kinds = [kind for kind in kinds if state.of(kind.name).count < kind.target]
    return min(open_kinds, key=lambda kind: state.of(kind.name).count / kind.target, default=None)


def run(kind: Kind, first: int, count: int) -> dict[str, Any]:
    """Run a range of seeds in a process of its own; what it found. Raises FailedError."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", *kind.words(first, count)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = process.communicate()[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # and the processes that it started
            process.wait()
    lines = said.splitlines() or [""]
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except ValueError:
        raise FailedError(f"{' '.join(command[1:])} ended with {process.returncode} and said {said[-500:]!r}") from None
    return found


def step(state: State, kind: Kind, at: str) -> str:
    """One chunk of one kind, noted only when it is done; a line about it. Raises FailedError."""
    done = state.of(kind.name)
    first, count, began = done.next_seed, min(kind.chunk, kind.target - done.count), time.monotonic()
    found = run(kind, first, count)
    done.add(Range(first, count, at, round(time.monotonic() - began, 1)))
    done.broken(found["violations"], found["first"], at)
    return f"{kind.name} {first} to {first + count - 1}: {found['violations']} violations"


def report(state: State, kinds: Sequence[Kind], at: str) -> list[str]:
    """A table of what was reached, on all commits and on this one."""
    lines = [
        "| kind | reached | of | violations | on this commit | commits | a second |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        done = state.of(kind.name)
        here = sum(one.count for one in done.ranges if one.commit == at)
        seconds = sum(one.seconds for one in done.ranges)
        rate = f"{done.count / seconds:.1f}" if seconds else "-"
        commits = len({one.commit for one in done.ranges})
        lines.append(
            f"| {kind.what} | {done.count:,} | {kind.target:,} | {done.violations} | {here:,} | {commits} | {rate} |"
        )
    return lines + [line for kind in kinds for line in state.of(kind.name).said]


def broken(state: State) -> int:
    """Promises broken, ever."""
    return sum(done.violations for done in state.kinds.values())


def campaign(state: State, path: Path, kinds: Sequence[Kind], seconds: float, chunks: int) -> None:
    """Until the time is up, so many chunks are done, or every target is reached. Raises FailedError."""
    deadline, at = time.monotonic() + seconds, commit()
    while chunks and time.monotonic() < deadline and (kind := furthest(state, kinds)) is not None:
        line = step(state, kind, at)
        save(path, state)
        print(line, flush=True)
        chunks -= 1


def lock(path: Path) -> TextIO | None:
    """Something to hold as long as the state is ours alone; None if it is another's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.with_name(path.name + ".lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return None
    return held


def stop(number: int, frame: FrameType | None) -> None:
    """A signal came."""
    raise StoppedError


def main(arguments: list[str]) -> int:
    """Go on with the campaign, or tell how far it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    parser.add_argument("--hours", type=float, default=0.0, help="added to --seconds")
    parser.add_argument("--chunks", type=int, default=-1, help="no more than so many, whatever the time")
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS), help="only these")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    named = options.kinds.split(",")
    if strange := set(named) - {kind.name for kind in KINDS}:
        parser.error(f"no such kind: {', '.join(sorted(strange))}")
    kinds = [kind for kind in KINDS if kind.name in named]
    state = load(options.state)
    code = 0
    if not options.report:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        alone = lock(options.state)
        if alone is None:
            print("error: another campaign is using this state\ntry: wait for its end, or name another --state")
            return 2
        state = load(options.state)
        try:
            campaign(state, options.state, kinds, options.seconds + 3_600 * options.hours, options.chunks)
        except StoppedError:
            print("interrupted: what was running is not counted and runs again")
        except FailedError as fault:
            print(f"error: {fault}\ntry: run it by itself")
            code = 2
    print("\n".join(report(state, kinds, commit())))
    return code or int(broken(state) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
