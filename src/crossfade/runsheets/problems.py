"""What is wrong with a file, and where: one type for reading and for linting."""

import difflib
from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]


class Place(msgspec.Struct, frozen=True):
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


START = Place(1, 1)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a runsheet."""

    code: str
    """Stable, e.g. ``field.unknown`` or ``lint.gate_missing``."""
    file: str
    line: int
    column: int
    path: str
    """Dotted, e.g. ``phases.1.steps.0.budget``; empty for the file as a whole."""
    message: str
    hint: str = ""
    """What to do about it."""
    severity: Severity = "error"

    def __str__(self) -> str:
        """``file:line:column path: what; what to do``, for people and for editors."""
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}{' ' + self.path if self.path else ''}: {self.message}{'; ' + self.hint if self.hint else ''}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The nearest known word as a question, else all known words, else nothing."""
    words = sorted(set(known) - {""})
    near = difflib.get_close_matches(given.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"one of: {', '.join(words)}" if 0 < len(words) <= 12 else ""
