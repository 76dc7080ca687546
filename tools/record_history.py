"""Record the log of a small hub run and the views it folds to, for tests/contract/test_histories.py.

Usage: python -m tools.record_history NAME     from the root of the project

What NAME begins with, up to its first hyphen, says what is recorded: ``ramp`` agents and a rollout, ``runs`` sign-offs
and runs of runsheets, ``seldom`` what a run writes seldom, ``plans`` plans and measurements.
Writes tests/contract/histories/NAME.jsonl, NAME.state.json (the views), NAME.streams.json (every stream at the end) and
NAME.changes.json (what events of each type changed in theirs).
Run it when a release can write events that no history has; never to make a red test green: what is recorded
stands for logs on disks.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from tests.kit.driven import plans, seldom
from tests.kit.history import Line, changes, dump, fold, small_run, states
from tests.kit.hub import World
from tests.kit.procedures import procedures
from tests.kit.views import snapshot

FOLDER: Final = Path(__file__).parent.parent / "tests/contract/histories"


async def ramp() -> list[Line]:
    """The log of agents and a rollout."""
    async with World() as world:
        await small_run(world)
        return await dump(world.log)


KINDS: Final = {"ramp": ramp, "runs": procedures, "seldom": seldom, "plans": plans}
"""What can be recorded, by the beginning of its name."""


def main(arguments: list[str]) -> int:
    """Write both files; refuse to touch a history that exists."""
    name = "".join(arguments)
    kind = name.partition("-")[0]
    if len(arguments) != 1 or not name.replace("-", "").isalnum() or kind not in KINDS:
        print(f"error: one NAME is needed, of {', '.join(KINDS)}\ntry: python -m tools.record_history ramp-2")
        return 2
    target = FOLDER / f"{name}.jsonl"
    if target.exists():
        print(f"error: {target.name} exists, and a recorded history never changes\ntry: another NAME")
        return 1
    lines = asyncio.run(KINDS[kind]())
    target.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    state = msgspec.json.encode(snapshot(fold(lines)))
    (FOLDER / f"{name}.state.json").write_bytes(state + b"\n")
    streams = msgspec.json.encode(states(lines), order="sorted")
    (FOLDER / f"{name}.streams.json").write_bytes(streams + b"\n")
    (FOLDER / f"{name}.changes.json").write_bytes(msgspec.json.encode(changes(lines)) + b"\n")
    print(f"{len(lines)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
