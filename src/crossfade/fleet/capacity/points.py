"""The file of measured points: what ``capacity measure`` writes and ``capacity plan`` reads. JSON, read strictly.

An unknown field, a figure that is not above 0, or a share beyond 0 to 1 is an error that names its place; nothing
is repaired or left out.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from crossfade.core.capacity import Point, Rung

MEASURE_AGAIN: Final = "measure again with `crossfade capacity measure`, or name another file with --points"
FILE_BYTES_MAX: Final = 16 * 1_048_576


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured: figures of one kind of machine say nothing about another."""

    processors: int
    model: str
    memory_mib: int
    system: str
    python: str


class Measurements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    capacity: Literal[1]
    """Version of the format."""
    version: str
    """Release that was measured."""
    machine: Machine
    seconds: float
    """How long each point was held at least."""
    agent_model: str
    points: tuple[Point, ...]
    """Learnt from."""
    held_out: tuple[Point, ...]
    """Not learnt from: predictions are checked on them."""
    rungs: tuple[Rung, ...]
    warnings: tuple[str, ...] = ()
    """What was not as it should be while it was measured."""


class PointsError(Exception):
    """The file cannot be used. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = MEASURE_AGAIN) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def load(path: Path) -> Measurements:
    """Read and check a file. Raises PointsError."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise PointsError(f"{path} is larger than any file of measured points")
        content = path.read_bytes()
    except FileNotFoundError:
        raise PointsError(f"{path} does not exist: nothing is measured yet") from None
    except OSError as fault:
        raise PointsError(f"{path}: {fault.strerror}") from None
    try:
        found = msgspec.json.decode(content, type=Measurements)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise PointsError(f"{path} is not a file of measured points: {fault}") from None
    wrong = next(_wrong(found), None)
    if wrong is not None:
        raise PointsError(f"{path}: {wrong}")
    return found


def save(path: Path, found: Measurements) -> None:
    """Write the file. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def _wrong(found: Measurements) -> Iterator[str]:
    for name in ("points", "held_out"):
        for place, point in enumerate(getattr(found, name)):
            if not 0 <= point.elicitation_share <= 1:
                yield f"{name}[{place}].elicitation_share is {point.elicitation_share:g}, not 0 to 1"
            for field, value in msgspec.structs.asdict(point).items():
                if field != "elicitation_share" and not 0 < value < math.inf:
                    yield f"{name}[{place}].{field} is {value:g}, not above 0"
    for place, rung in enumerate(found.rungs):
        if rung.in_flight < 1 or not 0 < rung.questions_per_second < math.inf:
            yield f"rungs[{place}] has a figure that is not above 0"
