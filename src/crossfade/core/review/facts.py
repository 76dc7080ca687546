"""Facts that several rules need, derived from the values of a runsheet.

The first share is the first phase (in the order of the file) whose share, or a step of which, is above 0.
"""

from collections.abc import Iterator
from datetime import timedelta

from crossfade.core.review.findings import Cause
from crossfade.core.runsheets import Gate, Phase, RiskWindow, Runsheet, Slo
from crossfade.core.timeline import Dated, day_of, timeline


def shares_of(phase: Phase) -> tuple[float, ...]:
    """Every share that a phase sets, in order; its final share if its steps set none."""
    stepped = tuple(step.share for step in phase.steps if step.moves_share and step.share is not None)
    return stepped or ((phase.share,) if phase.share > 0 else ())


def shares_in_use(runsheet: Runsheet) -> tuple[float, ...]:
    """All shares above 0 of the whole plan, ascending."""
    return tuple(sorted({share for phase in runsheet.phases for share in shares_of(phase) if share > 0}))


def first_moving(runsheet: Runsheet) -> int | None:
    """Index of the phase with the first share; None if nothing moves."""
    return next((index for index, phase in enumerate(runsheet.phases) if any(shares_of(phase))), None)


def moving(runsheet: Runsheet) -> Iterator[tuple[int, Phase]]:
    """Phases that raise the share."""
    before = 0.0
    for index, phase in enumerate(runsheet.phases):
        highest = max(shares_of(phase), default=before)
        if highest > before:
            yield index, phase
        before = max(before, highest)


def gates_before_first_share(runsheet: Runsheet) -> Iterator[Gate]:
    """Gates that have to pass before anything moves."""
    first = first_moving(runsheet)
    for phase in runsheet.phases[: first or 0]:
        yield from (*phase.entry, *phase.exit)
    if first is not None:
        yield from runsheet.phases[first].entry


def gates_of(runsheet: Runsheet) -> Iterator[Gate]:
    """All gates."""
    for phase in runsheet.phases:
        yield from (*phase.entry, *phase.exit)


def unheld(runsheet: Runsheet, check: str, until: str) -> Iterator[Cause]:
    """A cause if nothing holds the first share until ``check`` has passed."""
    if any(gate.check == check for gate in gates_before_first_share(runsheet)):
        return
    first = first_moving(runsheet)
    path = "phases" if first is None else f"phases.{first}.entry"
    yield Cause(path, f"no gate {check} holds the first share until {until}")


def lacking(named: dict[str, str], said: str) -> Iterator[Cause]:
    """One cause for all things (path to name) that lack the same; none if there are none."""
    if named:
        yield Cause(next(iter(named)), f"{said} {', '.join(named.values())}")


def days_before_first_share(runsheet: Runsheet) -> int:
    """Days from the start of the plan to the first share; 0 if nothing moves or nothing precedes it."""
    first = first_moving(runsheet)
    if first is None:
        return 0
    starts = max(runsheet.calendar.first_week, min(phase.first_week for phase in runsheet.phases))
    moved = next(raises(runsheet), None)
    day = moved.day if moved else day_of(runsheet.calendar, runsheet.phases[first].first_week, 1)
    return (day - day_of(runsheet.calendar, starts, 1)).days


def raises(runsheet: Runsheet) -> Iterator[Dated]:
    """The first raise of each phase, in order."""
    for index, _ in moving(runsheet):
        yield from [dated for dated in timeline(runsheet, index) if dated.step.moves_share and dated.step.share][:1]


def irreversible(runsheet: Runsheet) -> Iterator[Dated]:
    """Every step that cannot be undone."""
    for index in range(len(runsheet.phases)):
        yield from (dated for dated in timeline(runsheet, index) if dated.step.irreversible)


def covered(runsheet: Runsheet, window: RiskWindow, dated: Dated) -> bool:
    """A risk window covers the day of a step; it may run over the end of its week."""
    ahead = (dated.day - day_of(runsheet.calendar, window.week, window.day)).days
    return 0 <= ahead < window.days


def slos_of(runsheet: Runsheet, metric: str) -> list[tuple[str, Slo]]:
    """Path and threshold of a metric, each if there are several; empty if it has none."""
    return [(f"slos.{name}", slo) for name, slo in runsheet.slos.items() if slo.metric == metric]


def share_text(share: float) -> str:
    """A share as people write it: ``5 %``."""
    return f"{share * 100:g} %"


def time_text(span: timedelta) -> str:
    """A duration as people say it: ``5 minutes``, ``2 days``."""
    seconds = span.total_seconds()
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"
    return f"{seconds:g} seconds"
