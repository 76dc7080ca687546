"""When each step of a plan is due: the day that a step says, else that of the step before it.

A day without a week is a day of the phase's first week; a week without a day begins on its Monday.
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

from crossfade.core.runsheets import Calendar, Runsheet, Step, instant_of
from crossfade.core.values import SECOND


class Dated(NamedTuple):
    """A step with its path and planned day."""

    path: str
    phase: int
    """Index of its phase."""
    step: Step
    week: int
    weekday: int
    day: date


def day_of(calendar: Calendar, week: int, weekday: int) -> date:
    """The date of a week and day (1 = Monday)."""
    return datetime.fromtimestamp(instant_of(calendar, week, weekday) // SECOND, UTC).date()


def timeline(runsheet: Runsheet, phase: int) -> list[Dated]:
    """The steps of a phase, by its index, with their days."""
    whole = runsheet.phases[phase]
    phase_week = whole.first_week
    week, weekday = phase_week, 1
    found = []
    for place, step in enumerate(whole.steps):
        if step.week is not None or step.day is not None:
            week = phase_week if step.week is None else step.week
            weekday = step.day or 1
        day = day_of(runsheet.calendar, week, weekday)
        found.append(Dated(f"phases.{phase}.steps.{place}", phase, step, week, weekday, day))
    return found
