"""How far a campaign has come: a small JSON file that is whole at every instant, whatever ends the program.

Seeds are used once: a range begins after everything that was ever done, on any commit, since the same seed at
another commit is another run. Ranges of one commit that follow each other are one. Violations are never dropped.
"""

import os
from pathlib import Path

import msgspec

VIOLATIONS_KEPT = 100


class Range(msgspec.Struct):
    """Seeds that were run to the end."""

    first: int
    count: int
    commit: str
    seconds: float = 0.0


class Done(msgspec.Struct):
    """One kind."""

    ranges: list[Range] = []
    violations: int = 0
    said: list[str] = []
    """The first of them, each with the commit."""

    @property
    def count(self) -> int:
        """Seeds that were run, on whatever commit."""
        return sum(one.count for one in self.ranges)

    @property
    def next_seed(self) -> int:
        """The first that was never run."""
        return max((one.first + one.count for one in self.ranges), default=1)

    def add(self, new: Range) -> None:
        """Note a range that was run to the end."""
        last = self.ranges[-1] if self.ranges else None
        if last is not None and last.commit == new.commit and last.first + last.count == new.first:
            last.count += new.count
            last.seconds += new.seconds
        else:
            self.ranges.append(new)

    def broken(self, count: int, first: list[str], commit: str) -> None:
        """Note promises that were broken."""
        self.violations += count
        self.said = [*self.said, *(f"{one} (at {commit})" for one in first)][:VIOLATIONS_KEPT]


class State(msgspec.Struct):
    """All kinds, by name."""

    kinds: dict[str, Done] = {}

    def of(self, name: str) -> Done:
        """One kind; begun if it was not."""
        return self.kinds.setdefault(name, Done())


def load(path: Path) -> State:
    """The state, or a beginning. Raises msgspec.DecodeError if the file is none: counts are not made up."""
    return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else State()


def save(path: Path, state: State) -> None:
    """Put it in its place, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
