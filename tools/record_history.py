"""Record the log of a small hub run and the views it folds to, for tests/contract/test_histories.py.

Usage: python -m tools.record_history NAME     from the root of the project

A NAME that begins with ``runs`` is of sign-offs and runs of runsheets, any other of agents and a rollout.
Writes tests/contract/histories/NAME.jsonl, NAME.state.json (the views) and NAME.streams.json (every stream).
Run it when a release can write events that no history has; never to make a red test green: what is recorded
stands for logs on disks.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from tests.kit.history import Line, dump, fold, small_run, states
from tests.kit.hub import World
from tests.kit.procedures import procedures
from tests.kit.views import snapshot

FOLDER: Final = Path(__file__).parent.parent / "tests/contract/histories"


async def record(name: str) -> list[Line]:
    """The log of one run."""
    if name.startswith("runs"):
        return await procedures()
    async with World() as world:
        await small_run(world)
        return await dump(world.log)


def main(arguments: list[str]) -> int:
    """Write both files; refuse to touch a history that exists."""
    if len(arguments) != 1 or not arguments[0].replace("-", "").isalnum():
        print("error: one NAME is needed\ntry: python -m tools.record_history ramp-2")
        return 2
    target = FOLDER / f"{arguments[0]}.jsonl"
    if target.exists():
        print(f"error: {target.name} exists, and a recorded history never changes\ntry: another NAME")
        return 1
    lines = asyncio.run(record(arguments[0]))
    target.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    state = msgspec.json.format(msgspec.json.encode(snapshot(fold(lines))), indent=1)
    (FOLDER / f"{arguments[0]}.state.json").write_bytes(state + b"\n")
    streams = msgspec.json.format(msgspec.json.encode(states(lines), order="sorted"), indent=1)
    (FOLDER / f"{arguments[0]}.streams.json").write_bytes(streams + b"\n")
    print(f"{len(lines)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
