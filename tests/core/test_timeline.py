"""When the steps of a phase are due: by their own day, else by that of the step before."""

from datetime import date

import msgspec
import pytest

from crossfade.core.runsheets import Calendar, Step
from crossfade.core.timeline import day_of, timeline
from tests.kit.zones import standing_in
from tests.runsheets.test_review import V2

CALENDAR = Calendar(start=date(2026, 11, 30), first_week=-1)
"""Weeks -1, 1, 2, …: there is no week 0."""
DAYS: list[tuple[int | None, int | None]] = [
    (None, None), (None, 3), (None, None), (5, None), (None, None), (4, 2), (None, 7), (6, 1),
]  # fmt: skip


def test_a_step_is_due_on_its_day_else_on_that_of_the_step_before_it() -> None:
    steps = tuple(Step(id=f"s{place}", kind="measure", week=week, day=day) for place, (week, day) in enumerate(DAYS))
    phases = (V2.phases[0], msgspec.structs.replace(V2.phases[0], first_week=2, steps=steps))
    found = timeline(msgspec.structs.replace(V2, calendar=CALENDAR, phases=phases), 1)
    assert [(one.week, one.weekday, one.day.isoformat()) for one in found] == [
        (2, 1, "2026-12-14"), (2, 3, "2026-12-16"), (2, 3, "2026-12-16"), (5, 1, "2027-01-04"), (5, 1, "2027-01-04"),
        (4, 2, "2026-12-29"), (2, 7, "2026-12-20"), (6, 1, "2027-01-11"),
    ]  # fmt: skip
    assert [one.path for one in found] == [f"phases.1.steps.{place}" for place in range(len(DAYS))]
    assert [(one.phase, one.step) for one in found] == [(1, step) for step in steps]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
def test_a_day_is_the_same_wherever_the_machine_stands(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(zone, monkeypatch):
        assert day_of(CALENDAR, -1, 1) == date(2026, 11, 30)
        assert day_of(CALENDAR, -1, 7) == date(2026, 12, 6)
        assert day_of(CALENDAR, 1, 1) == date(2026, 12, 7)
