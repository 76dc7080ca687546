"""A runsheet as rows by date: what is planned for which day. Nothing is executed or judged."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from crossfade.core.review.facts import share_text, time_text
from crossfade.core.runsheets import Gate, Phase, Runsheet, SignOff
from crossfade.core.timeline import Dated, day_of, timeline

FIELDS: Final = ("week", "day", "date", "phase", "kind", "id", "what", "share", "budget")
Row = dict[str, object]


def rows(runsheet: Runsheet) -> list[Row]:
    """Everything with a day, in order: windows and freezes first on their day, then what is done."""
    found = [*_windows(runsheet), *_freezes(runsheet)]
    for index in range(len(runsheet.phases)):
        found += _phase(runsheet, index)
    return sorted(found, key=lambda row: str(row["date"]))


def _row(runsheet: Runsheet, week: int, day: int, **cells: object) -> Row:
    known: Row = {"week": week, "day": day, "date": day_of(runsheet.calendar, week, day).isoformat()}
    return {**dict.fromkeys(FIELDS, ""), **known, **cells}


def _windows(runsheet: Runsheet) -> Iterator[Row]:
    for window in runsheet.risk_windows:
        what = f"{window.title or window.id}, {'staffed' if window.staffed else 'NOT staffed'}"
        yield _row(runsheet, window.week, window.day, kind="risk window", id=window.id, what=what)


def _freezes(runsheet: Runsheet) -> Iterator[Row]:
    for freeze in runsheet.freezes:
        what = f"nothing is promoted until {freeze.end}"
        yield {**dict.fromkeys(FIELDS, ""), "date": str(freeze.start), "kind": "freeze", "id": freeze.id, "what": what}


def _phase(runsheet: Runsheet, index: int) -> Iterator[Row]:
    phase = runsheet.phases[index]
    whole = {"phase": phase.id, "kind": "phase", "id": phase.id, "share": share_text(phase.share)}
    what = f"{phase.title}, weeks {phase.first_week} to {phase.last_week}"
    yield _row(runsheet, phase.first_week, 1, **whole, what=what)
    for gate in phase.entry:
        yield _row(runsheet, phase.first_week, 1, phase=phase.id, kind="entry gate", id=gate.id, what=asked(gate))
    yield from _signoffs(runsheet, phase, phase.entry_signoffs, (phase.first_week, 1))
    dates = timeline(runsheet, index)
    for dated in dates:
        yield _step(runsheet, phase, dated)
    if phase.bake is not None:
        yield _bake(runsheet, phase, dates)
    for gate in phase.exit:
        yield _row(runsheet, phase.last_week, 7, phase=phase.id, kind="exit gate", id=gate.id, what=asked(gate))
    yield from _signoffs(runsheet, phase, phase.exit_signoffs, (phase.last_week, 7))


def _signoffs(runsheet: Runsheet, phase: Phase, signoffs: tuple[SignOff, ...], at: tuple[int, int]) -> Iterator[Row]:
    for signoff in signoffs:
        who = ", ".join(signoff.roles)
        what = f"{signoff.about or phase.title}: {who}"
        yield _row(runsheet, *at, phase=phase.id, kind="sign-off", id="+".join(signoff.roles), what=what)


def _step(runsheet: Runsheet, phase: Phase, dated: Dated) -> Row:
    step = dated.step
    return _row(
        runsheet,
        dated.week,
        dated.weekday,
        phase=phase.id,
        kind=step.kind,
        id=step.id,
        what=(step.title or step.run) + (" (cannot be undone)" if step.irreversible else ""),
        share="" if step.share is None else share_text(step.share),
        budget=time_text(step.budget),
    )


def _bake(runsheet: Runsheet, phase: Phase, dates: list[Dated]) -> Row:
    """The row of the day from which the last share has to stand."""
    moved = [dated for dated in dates if dated.step.moves_share]
    week, day = (moved[-1].week, moved[-1].weekday) if moved else (phase.first_week, 1)
    span = phase.bake or timedelta()
    what = f"the share has to stand for {time_text(span)}"
    return _row(runsheet, week, day, phase=phase.id, kind="bake", id="bake", what=what, budget=time_text(span))


def asked(gate: Gate) -> str:
    """What a gate asks for, in words."""
    subject = f"threshold {gate.slo}" if gate.slo else gate.check
    return f"{gate.title} ({subject})" if gate.title else subject
