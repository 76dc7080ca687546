"""Whether a runsheet makes sense: values that contradict each other, refer to nothing, or cannot be run.

Not here: whether it is wise (core/review). ``error`` means that it must not run; ``warning`` that somebody should
look. Each rule is one function from a runsheet to slips; the table ``RULES`` is all of them.
"""

from collections.abc import Callable, Iterator
from typing import Final

from crossfade.core.runsheets import Runsheet
from crossfade.runsheets.lint_calendar import CALENDAR_RULES
from crossfade.runsheets.lint_parts import PART_RULES
from crossfade.runsheets.lint_steps import STEP_RULES
from crossfade.runsheets.loader import Loaded
from crossfade.runsheets.problems import Problem
from crossfade.runsheets.slips import Slip

RULES: Final[tuple[Callable[[Runsheet], Iterator[Slip]], ...]] = (*CALENDAR_RULES, *PART_RULES, *STEP_RULES)


def lint(loaded: Loaded) -> list[Problem]:
    """Everything that makes no sense, in the order of the file; errors and warnings."""
    found = [_placed(loaded, slip) for rule in RULES for slip in rule(loaded.runsheet)]
    return sorted(found, key=lambda problem: (problem.line, problem.column, problem.code))


def _placed(loaded: Loaded, slip: Slip) -> Problem:
    place = loaded.place(slip.path)
    return Problem(
        code=f"lint.{slip.code}",
        file=loaded.file,
        line=place.line,
        column=place.column,
        path=slip.path,
        message=slip.message,
        hint=slip.hint,
        severity=slip.severity,
    )
