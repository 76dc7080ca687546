"""Lint rules about time: weeks, phases, risk windows, freezes, shifts."""

from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crossfade.core.runsheets import Freeze, Phase, Runsheet, Shift, Step, weeks_between
from crossfade.core.timeline import Dated, day_of, timeline
from crossfade.runsheets.problems import did_you_mean
from crossfade.runsheets.slips import Slip

DAY_MINUTES: Final = 24 * 60
SHARE_TEXT: Final = "{:g} %"


def start(runsheet: Runsheet) -> Iterator[Slip]:
    """Week one begins on a Monday, and the plan has a length."""
    calendar = runsheet.calendar
    if calendar.start.weekday():
        monday = calendar.start - timedelta(days=calendar.start.weekday())
        said = f"{calendar.start} is a {calendar.start:%A}"
        yield Slip("start_not_monday", "calendar.start", said, f"the Monday before is {monday}")
    if calendar.first_week > calendar.last_week:
        said = f"week {calendar.last_week} is before week {calendar.first_week}"
        yield Slip("weeks_reversed", "calendar.last_week", said)
    try:
        ZoneInfo(calendar.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(calendar.timezone, ("UTC", "Europe/Berlin", "America/New_York", "Asia/Singapore"))
        yield Slip("timezone_unknown", "calendar.timezone", f"there is no time zone {calendar.timezone!r}", hint)


def no_week_zero(runsheet: Runsheet) -> Iterator[Slip]:
    """Week -1 is followed by week 1."""
    weeks = {"calendar.first_week": runsheet.calendar.first_week, "calendar.last_week": runsheet.calendar.last_week}
    for index, phase in enumerate(runsheet.phases):
        weeks |= {f"phases.{index}.first_week": phase.first_week, f"phases.{index}.last_week": phase.last_week}
        weeks |= {f"phases.{index}.steps.{place}.week": step.week or 0 for place, step in _with_week(phase)}
    weeks |= {f"risk_windows.{index}.week": window.week for index, window in enumerate(runsheet.risk_windows)}
    for path, week in weeks.items():
        if week == 0:
            yield Slip("week_zero", path, "there is no week 0", "week -1 is followed by week 1")


def _with_week(phase: Phase) -> Iterator[tuple[int, Step]]:
    return ((place, step) for place, step in enumerate(phase.steps) if step.week is not None)


def phases_follow(runsheet: Runsheet) -> Iterator[Slip]:
    """Phases follow one another without gap or overlap and fill the calendar."""
    calendar = runsheet.calendar
    for index, phase in enumerate(runsheet.phases):
        if phase.first_week > phase.last_week:
            said = f"phase {phase.id} ends in week {phase.last_week} before it begins in week {phase.first_week}"
            yield Slip("weeks_reversed", f"phases.{index}.last_week", said)
        for name, week in (("first_week", phase.first_week), ("last_week", phase.last_week)):
            if not calendar.first_week <= week <= calendar.last_week:
                said = f"week {week} is outside the calendar, {calendar.first_week} to {calendar.last_week}"
                yield Slip("weeks_beyond", f"phases.{index}.{name}", said)
    for index, (before, phase) in enumerate(pairwise(runsheet.phases), start=1):
        follows = 1 if before.last_week == -1 else before.last_week + 1
        if phase.first_week < follows:
            said = f"phase {phase.id} begins in week {phase.first_week}, before {before.id} ends"
            yield Slip("weeks_overlap", f"phases.{index}.first_week", said, f"week {follows} is free")
        elif phase.first_week > follows:
            said = f"nothing is planned from week {follows} until phase {phase.id}"
            yield Slip("weeks_gap", f"phases.{index}.first_week", said, f"begin in week {follows}")
    yield from _fills(runsheet)


def _fills(runsheet: Runsheet) -> Iterator[Slip]:
    if not runsheet.phases:
        return
    calendar, first, last = runsheet.calendar, runsheet.phases[0], runsheet.phases[-1]
    planned = weeks_between(calendar.first_week, calendar.last_week)
    used = sum(weeks_between(phase.first_week, phase.last_week) for phase in runsheet.phases)
    if first.first_week > calendar.first_week or last.last_week < calendar.last_week:
        said = f"the phases take {max(used, 0)} of the calendar's {planned} weeks"
        yield Slip("weeks_unused", "calendar.last_week", said, "shorten the calendar, or plan the weeks")


def step_days(runsheet: Runsheet) -> Iterator[Slip]:
    """Steps lie inside their phase, in order."""
    for index, phase in enumerate(runsheet.phases):
        latest: date | None = None
        for dated in timeline(runsheet, index):
            if dated.step.week is not None and not phase.first_week <= dated.step.week <= phase.last_week:
                said = f"week {dated.step.week} is outside phase {phase.id}"
                yield Slip("step_beyond", f"{dated.path}.week", said)
            if latest is not None and dated.day < latest:
                said = f"step {dated.step.id} is planned before the step ahead of it"
                yield Slip("step_order", dated.path, said, "order steps by time")
            latest = dated.day
        yield from _bake(runsheet, index)


def _bake(runsheet: Runsheet, index: int) -> Iterator[Slip]:
    """The last share of a phase stands for its bake time before the phase ends."""
    phase = runsheet.phases[index]
    shares = [dated for dated in timeline(runsheet, index) if dated.step.kind == "share"]
    if phase.bake is None or not shares:
        return
    ends = day_of(runsheet.calendar, phase.last_week, 7) + timedelta(days=1)
    if shares[-1].day + phase.bake > ends:
        said = f"{phase.bake.days} days from {shares[-1].day} end after phase {phase.id} does"
        yield Slip("bake_too_long", f"phases.{index}.bake", said)


def risk_windows(runsheet: Runsheet) -> Iterator[Slip]:
    """A risk window lies in the calendar and is staffed."""
    calendar = runsheet.calendar
    for index, window in enumerate(runsheet.risk_windows):
        if not calendar.first_week <= window.week <= calendar.last_week:
            yield Slip("window_beyond", f"risk_windows.{index}.week", f"week {window.week} is outside the calendar")
        if window.days < 1:
            yield Slip("window_empty", f"risk_windows.{index}.days", "a window of no days")
        manned = runsheet.operations is not None and any(shift.members for shift in runsheet.operations.shifts)
        if not window.staffed or not manned:
            said = f"nobody is there in risk window {window.id}"
            hint = "staffed: true, and members in operations.shifts"
            yield Slip("window_unstaffed", f"risk_windows.{index}", said, hint)


def freezes(runsheet: Runsheet) -> Iterator[Slip]:
    """No share rises while everything is frozen."""
    for index, freeze in enumerate(runsheet.freezes):
        if freeze.end < freeze.start:
            yield Slip("freeze_reversed", f"freezes.{index}.end", f"freeze {freeze.id} ends before it starts")
    for index in range(len(runsheet.phases)):
        for dated in timeline(runsheet, index):
            if dated.step.moves_share:
                last = day_of(runsheet.calendar, runsheet.phases[index].last_week, 7)
                yield from _frozen(dated, last if dated.step.by_plan else dated.day, runsheet.freezes)


def _frozen(dated: Dated, until: date, frozen: tuple[Freeze, ...]) -> Iterator[Slip]:
    """A plan raises the share on any day until its phase ends."""
    for freeze in frozen:
        if dated.day <= freeze.end and freeze.start <= until and (dated.step.share or 0) > 0:
            thaws = freeze.end + timedelta(days=1)
            said = f"{SHARE_TEXT.format((dated.step.share or 0) * 100)} on {dated.day}, inside freeze {freeze.id}"
            yield Slip("ramp_in_freeze", dated.path, said, f"the first day after it is {thaws}")


def shifts(runsheet: Runsheet) -> Iterator[Slip]:
    """Shifts cover the day once."""
    if runsheet.operations is None or not runsheet.operations.shifts:
        return
    duty = [0] * DAY_MINUTES
    for shift in runsheet.operations.shifts:
        for minute in _minutes(shift):
            duty[minute] += 1
    if 0 in duty:
        yield Slip("shifts_gap", "operations.shifts", f"nobody is on duty from {_clock(duty.index(0))}")
    if max(duty) > 1:
        said = f"two shifts are on duty from {_clock(next(at for at, count in enumerate(duty) if count > 1))}"
        yield Slip("shifts_overlap", "operations.shifts", said, severity="warning")


def _clock(minute: int) -> str:
    return f"{time(minute // 60, minute % 60):%H:%M} UTC"


def _minutes(shift: Shift) -> Iterator[int]:
    begin, end = (at.hour * 60 + at.minute for at in (shift.start, shift.end))
    length = (end - begin) % DAY_MINUTES or DAY_MINUTES
    return ((begin + passed) % DAY_MINUTES for passed in range(length))


CALENDAR_RULES: Final[tuple[Callable[[Runsheet], Iterator[Slip]], ...]] = (
    start,
    no_week_zero,
    phases_follow,
    step_days,
    risk_windows,
    freezes,
    shifts,
)
