"""Baselines at their limits, and in words; measurements at theirs."""

import msgspec
import pytest

from crossfade.core import baselines, measurements
from crossfade.core.baselines import MISSING_SHARE_MAX, Measured, Wanted
from crossfade.core.decider import Refusal
from crossfade.core.measurements import (
    BASELINE_SECONDS_MAX,
    CHECK_SECONDS_MAX,
    SLICES_MAX,
    WHY_LENGTH_MAX,
    Begin,
    End,
    Reason,
    Record,
    State,
)
from crossfade.core.values import SECOND, Instant
from tests.core.test_measurements import MACHINE, NOW, block, part

DAY = 86_400.0
WANTED = Wanted(seconds=DAY, samples_min=1_000)
WHOLE = Measured(
    from_at=Instant(5 * SECOND), until_at=Instant(86_405 * SECOND), missing=(), missing_seconds=0.0, samples=1_000,
    ended=False,
)  # fmt: skip


def reached(**change: object) -> Measured:
    return msgspec.structs.replace(WHOLE, **change)  # type: ignore[arg-type]


def later(seconds: float) -> Instant:
    return Instant(WHOLE.until_at + int(seconds * SECOND))


TOLD = {
    "86,400 of 86,400 s, 1,000 of 1,000 samples": (WHOLE, "passed"),
    "86,399 of 86,400 s, 1,000 of 1,000 samples": (reached(until_at=later(-1)), "inconclusive"),
    "86,400 of 86,400 s, 999 of 1,000 samples": (reached(samples=999), "inconclusive"),
    "it ended with 86,399 of 86,400 s, 1,000 of 1,000 samples": (reached(until_at=later(-1), ended=True), "errored"),
    "it ended with 86,400 of 86,400 s, 999 of 1,000 samples": (reached(samples=999, ended=True), "errored"),
    "865 s are missing in short stretches, 1% at most": (reached(missing_seconds=865.0), "errored"),
    "1 gap(s) longer than 60 s, the longest of 61 s": (
        reached(missing=((Instant(SECOND), Instant(62 * SECOND)), (Instant(0), Instant(60 * SECOND)))), "errored",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("told", "measured", "verdict"), [(told, *case) for told, case in TOLD.items()])
def test_a_baseline_says_with_numbers_how_far_it_is(told: str, measured: Measured, verdict: str) -> None:
    found = baselines.judge(WANTED, measured)
    assert (found.explanation, found.verdict) == (told, verdict)
    reasons = {"passed": "", "inconclusive": "not enough yet", "errored": baselines.NOT_MEASURED}
    assert found.reason == reasons[verdict]
    assert found.seconds_left == (1.0 if told.startswith("86,399") else 0.0)


def test_of_a_baseline_one_part_in_a_hundred_may_be_missing_of_what_was_measured_or_is_wanted() -> None:
    just = reached(missing_seconds=MISSING_SHARE_MAX * DAY)
    assert baselines.judge(WANTED, just).verdict == "passed"
    early = reached(until_at=later(-DAY / 2), missing_seconds=MISSING_SHARE_MAX * DAY)
    assert baselines.judge(WANTED, early).verdict == "inconclusive", "half of it is measured, and the rest counts"
    twice = reached(until_at=later(DAY), missing_seconds=2 * MISSING_SHARE_MAX * DAY)
    assert baselines.judge(WANTED, twice).verdict == "passed", "what is longer may miss more"


def test_a_baseline_that_wants_no_samples_wants_one() -> None:
    assert baselines.judge(Wanted(seconds=DAY), reached(samples=1)).verdict == "passed"


def test_every_hour_of_the_week_counts_for_its_hour_and_its_day_and_no_other() -> None:
    for place in range(168):
        counts, seconds = [0] * 168, [0.0] * 168
        counts[place], seconds[place] = 3, 0.5
        season = baselines.season(counts, seconds)
        hours = tuple(21_600.0 if hour == place % 24 else None for hour in range(24))
        days = tuple(21_600.0 if day == place // 24 else None for day in range(7))
        assert (season.by_hour, season.by_day) == (hours, days)


def test_of_equal_hours_the_first_is_the_peak_and_the_trough() -> None:
    season = baselines.season([5] * 168, [3_600.0] * 168)
    assert (season.peak_hour, season.trough_hour) == (0, 0)
    assert baselines.season([0] * 168, [0.0] * 168).trough_hour is None


# --- measurements -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Begin(reason=Reason.ROLLOUT, check_seconds=1), ""),
        (Begin(reason=Reason.ROLLOUT, check_seconds=0.9), "measurement.bad_check"),
        (Begin(reason=Reason.ROLLOUT, check_seconds=CHECK_SECONDS_MAX), ""),
        (Begin(reason=Reason.ROLLOUT, check_seconds=CHECK_SECONDS_MAX + 1), "measurement.bad_check"),
        (Begin(reason=Reason.BASELINE, check_seconds=20, seconds=20), ""),
        (Begin(reason=Reason.BASELINE, check_seconds=20, seconds=19), "measurement.bad_length"),
        (Begin(reason=Reason.BASELINE, seconds=BASELINE_SECONDS_MAX), ""),
        (Begin(reason=Reason.BASELINE, seconds=BASELINE_SECONDS_MAX + 1), "measurement.bad_length"),
    ],
)
def test_a_length_at_its_limit_is_taken_and_one_beyond_is_not(command: Begin, code: str) -> None:
    outcome = measurements.decide(State(), command, NOW)
    assert (outcome.code if isinstance(outcome, Refusal) else "") == code


def test_blocks_of_no_time_and_of_as_many_slices_as_possible_are_taken() -> None:
    many = [part(cluster=str(number)) for number in range(SLICES_MAX)]
    for one in (block(1_000, 1_000), block(1_000, 1_010, *many), block(down=11.0)):
        assert measurements.decide(MACHINE.after("rollout"), Record(block=one), NOW) == (one,)


def test_what_is_measured_remembers_how_and_until_when() -> None:
    begun = MACHINE.after("rollout")
    slow = measurements.evolve(State(), measurements.Begun(reason=Reason.ROLLOUT, check_seconds=25.0))
    assert slow.check_seconds == 25.0
    [joined] = measurements.decide(begun, Begin(reason=Reason.BASELINE, seconds=100), NOW)  # type: ignore[misc]
    assert (joined.reason, joined.until_at) == (Reason.BASELINE, NOW + 100 * SECOND)  # type: ignore[union-attr]
    both = measurements.evolve(begun, joined)
    assert (both.reasons, both.baseline_until) == ((Reason.ROLLOUT, Reason.BASELINE), NOW + 100 * SECOND)
    [left] = measurements.decide(both, End(reason=Reason.ROLLOUT, why="w" * (WHY_LENGTH_MAX + 1)), NOW)  # type: ignore[misc]
    assert (type(left), left.why) == (measurements.Left, "w" * WHY_LENGTH_MAX)  # type: ignore[union-attr]
    alone = measurements.evolve(both, left)
    assert (alone.reasons, alone.baseline_until) == ((Reason.BASELINE,), NOW + 100 * SECOND), "the baseline goes on"
    over = measurements.evolve(alone, measurements.Ended(reason=Reason.BASELINE))
    assert (over.status, over.reasons, over.baseline_until) == (measurements.Status.OFF, (), 0)
    twice = MACHINE.after("baseline", "rollout")
    assert (twice.reasons, twice.baseline_until) == ((Reason.BASELINE, Reason.ROLLOUT), NOW + 100 * SECOND)
