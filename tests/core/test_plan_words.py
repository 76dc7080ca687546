"""What a plan records and what is due, with every number and every word; the tables beside it say only which.

``python -m tests.core.test_plan_words`` writes tables/plan_words.txt anew; read what changed before it is kept.
"""

from functools import reduce

import msgspec
import pytest

from crossfade.core import stages
from crossfade.core.decider import Refusal
from crossfade.core.plans import Plan, Stage
from crossfade.core.stage_events import Aborted, Cause, Finished, Held, Returned, Said, StageEntered, Status
from crossfade.core.stage_next import (
    GoBack,
    Ground,
    LookAgain,
    Note,
    Reading,
    Stop,
    Worry,
    next_move,
    soon,
    unproven,
    why_back,
)
from crossfade.core.stages import HoldState, State
from crossfade.core.values import SECOND, Instant
from tests.core.test_stages import (
    BAKING,
    COMMANDS,
    DIGEST,
    DUE,
    GIVEN,
    GRADES,
    GROUNDS,
    MACHINE,
    NOW,
    SAID,
    SOURCE,
    TIMES,
    noted,
)
from tests.core.test_stages import said as a_said
from tests.kit.tables import TABLES
from tests.kit.written import written

FILE = TABLES / "plan_words.txt"
GROUND = GROUNDS["as it was"]
SOON = TIMES["soon"]


def told(value: object) -> str:
    """A value as one line, in which the plan has a name."""
    plain = PLAN_IN_WORDS.items()
    return reduce(lambda text, pair: text.replace(*pair), plain, written(value))


PINNED = msgspec.json.decode(SOURCE, type=Plan)
PLAN_IN_WORDS = {written(PINNED): "the plan", SOURCE.decode(): "the plan", DIGEST: "its digest"}


def recorded(given: str, command: str) -> str:
    """The events of a command, and the state after them."""
    names, now = GIVEN[given]
    state = MACHINE.after(*names)
    events = stages.decide(state, COMMANDS[command], now)
    assert not isinstance(events, Refusal)
    for event in events:
        state = stages.evolve(state, event)
    return " + ".join(map(told, events)) + " -> " + told(state)


def due(given: str, measured: str, ground: str, when: str) -> str:
    """The move, and what it takes along."""
    reading = GRADES[measured]
    move = next_move(noted(MACHINE.after(*GIVEN[given][0]), reading), reading, GROUNDS[ground], TIMES[when])
    return told(move)


def cases() -> dict[str, str]:
    commands = {
        f"{given} + {name}": recorded(given, name)
        for given, name in MACHINE.pairs()
        if not isinstance(MACHINE.events(given, name), Refusal)
    }
    moves = {
        " + ".join(row[cell] for cell in ("given", "measured", "rollout", "when")): due(
            row["given"], row["measured"], row["rollout"], row["when"]
        )
        for row in DUE
    }
    return {**commands, **moves}


def kept() -> dict[str, str]:
    lines = FILE.read_text("utf-8").splitlines() if FILE.exists() else []
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


KEPT = kept()


@pytest.mark.parametrize("name", KEPT)
def test_a_plan_records_and_does_word_for_word_what_it_did(name: str) -> None:
    parts = name.split(" + ")
    assert (recorded(*parts) if len(parts) == 2 else due(*parts)) == KEPT[name]


def test_every_case_is_kept() -> None:
    assert list(KEPT) == list(cases())


# --- what the tables do not tell apart ---------------------------------------------------------------------


def worried(cause: Cause, explanation: str) -> Worry:
    return Worry(cause=cause, said=a_said("trigger.p99", "failed", explanation=explanation))


def moved(reading: Reading, ground: Ground = GROUND, now: Instant = SOON, state: State | None = None) -> object:
    return next_move(noted(MACHINE.after(*BAKING) if state is None else state, reading), reading, ground, now)


def test_the_gravest_worry_is_named_with_all_that_share_it() -> None:
    both = tuple(worried(Cause.INVESTIGATE, text) for text in ("slow", "broken"))
    reading = Reading(until_at=TIMES["soon"], worries=(*both, worried(Cause.SHARED, "everybody")))
    assert moved(reading) == Stop(cause=Cause.SHARED, reason="everybody", said=(reading.worries[2].said,))
    reading = msgspec.structs.replace(reading, worries=both)
    assert moved(reading) == Stop(cause=Cause.INVESTIGATE, reason="slow", said=tuple(one.said for one in both))


@pytest.mark.parametrize("status", ["waiting", "baking"])
def test_a_worry_holds_only_while_a_share_may_be_above_0(status: str) -> None:
    reading = Reading(until_at=SOON, worries=(worried(Cause.NARROW, "x"),))
    move = moved(reading, state=MACHINE.after(*GIVEN[status][0]))
    assert isinstance(move, Stop) is (status == "baking")


def test_a_rollback_is_told_by_what_the_trigger_explains_and_else_by_its_reason() -> None:
    assert why_back(SAID) == "trigger.p99: fired"
    assert why_back(msgspec.structs.replace(SAID, explanation="too slow")) == "trigger.p99: too slow"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, ""), (0.0, "; about 0 s at this rate"), (119.9, "; about 120 s at this rate"),
        (120.0, "; about 2 min at this rate"), (7_199.0, "; about 120 min at this rate"),
        (7_200.0, "; about 2 h at this rate"), (172_799.0, "; about 48 h at this rate"),
        (172_800.0, "; about 2 days at this rate"), (86_400.0 * 10.6, "; about 11 days at this rate"),
        (3_600.0 * 30.5 + 20, "; about 31 h at this rate"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_largest_unit_of_which_there_are_two(seconds: float | None, told: str) -> None:
    assert soon(seconds) == told


def opened(*etas: float | None) -> Reading:
    proofs = [a_said(f"gate.{place}", "inconclusive", eta_seconds=eta) for place, eta in enumerate(etas)]
    return Reading(until_at=SOON, baked_seconds=100, proofs=(a_said("gate.ok"), *proofs))


@pytest.mark.parametrize(
    ("etas", "eta", "told"),
    [
        ((60.0, 7_300.0, 90.0), 7_300.0, "; about 2 h at this rate"),
        ((60.0, None), None, ""),
        ((None,), None, ""),
        ((0.0,), 0.0, "; about 0 s at this rate"),
    ],
)
def test_a_hold_for_proofs_waits_for_the_last_of_them_and_names_them_all(
    etas: tuple[float | None, ...], eta: float | None, told: str
) -> None:
    reading = opened(*etas)
    stop = unproven(MACHINE.after(*BAKING), reading)
    assert stop is not None
    names = ", ".join(f"gate.{place} inconclusive" for place in range(len(etas)))
    assert (stop.cause, stop.reason) == (Cause.GATES, f"not proven yet: {names}{told}")
    assert (stop.eta_seconds, stop.said) == (eta, reading.proofs[1:])


def test_a_bake_without_a_gate_that_has_spoken_is_not_proven() -> None:
    stop = unproven(MACHINE.after(*BAKING), Reading(until_at=SOON, baked_seconds=100))
    assert stop is not None
    assert (stop.reason, stop.said) == ("no gate has said anything yet", ())


@pytest.mark.parametrize("seconds", [99.0, 99.5, 100.0])
def test_not_a_second_of_the_bake_is_given_away(seconds: float) -> None:
    reading = msgspec.structs.replace(opened(), baked_seconds=seconds, from_at=Instant(NOW + 3))
    move = moved(reading)
    if seconds < 100:
        assert isinstance(move, LookAgain)
        return
    assert type(move).__name__ == "Advance"
    assert (move.stage, move.from_at, move.until_at) == (0, NOW + 3, SOON)  # type: ignore[attr-defined]
    assert move.said == reading.proofs  # type: ignore[attr-defined]


def test_a_measurement_is_stale_at_its_instant_by_whichever_look_is_older() -> None:
    state = MACHINE.after(*BAKING)
    seen = Reading(until_at=Instant(NOW + 10 * SECOND), baked_seconds=10, proofs=(a_said(),))

    def at(ground: Ground, second: float) -> object:
        return moved(seen, ground, Instant(NOW + round(second * SECOND)), state)

    looked = msgspec.structs.replace(GROUND, looked_at=Instant(NOW + 100 * SECOND), stale_seconds=20, idle_seconds=5)
    assert at(looked, 34) == LookAgain(at=Instant(NOW + 35 * SECOND)), "10 + 20 + 5: the record is missing"
    assert at(looked, 35) == Stop(cause=Cause.STALE, reason="nothing was measured for 25 s")
    lazy = msgspec.structs.replace(looked, looked_at=Instant(NOW + 12 * SECOND))
    assert at(lazy, 31.9) == LookAgain(at=Instant(NOW + 32 * SECOND)), "12 + 20: nobody has looked"
    assert at(lazy, 32) == Stop(cause=Cause.STALE, reason="nothing was measured for 22 s")


def test_whatever_comes_first_is_looked_at_next() -> None:
    held = MACHINE.after(*BAKING, "hold investigate")
    reading = Reading(until_at=SOON, proofs=(a_said(),))
    late = msgspec.structs.replace(GROUND, stale_seconds=300, looked_at=SOON)
    assert moved(reading, late, state=held) == LookAgain(at=Instant(NOW + 50 * SECOND)), "the hold's deadline"
    overdue = MACHINE.after(*BAKING, "hold investigate")
    overdue = msgspec.structs.replace(overdue, hold=msgspec.structs.replace(overdue.hold, overdue=True))
    assert moved(reading, GROUND, state=overdue) == LookAgain(at=Instant(SOON + 30 * SECOND)), "when it is stale"
    waiting = msgspec.structs.replace(overdue, status=Status.WAITING)
    assert moved(reading, GROUND, state=waiting) is None, "nothing is a matter of time"


def test_a_hold_is_overdue_at_its_deadline_once() -> None:
    state = MACHINE.after(*BAKING, "hold investigate")
    assert stages.deadline(state) == NOW + 50 * SECOND
    assert isinstance(state.hold, HoldState)
    overdue = msgspec.structs.replace(state, hold=msgspec.structs.replace(state.hold, overdue=True))
    assert stages.deadline(overdue) is None
    assert stages.deadline(msgspec.structs.replace(state, status=Status.ABORTED)) is None
    early, late = (stages.decide(state, stages.MarkOverdue(), Instant(NOW + s * SECOND)) for s in (49, 50))
    assert isinstance(early, Refusal)
    assert isinstance(late, tuple)


def test_of_what_somebody_writes_only_so_much_is_kept() -> None:
    long = "  " + "x" * 600 + "  "
    said: tuple[Said, ...] = (SAID,)
    [ended] = stages.decide(MACHINE.after(*BAKING), stages.Abort(reason=long, share=0.5), NOW)  # type: ignore[misc]
    assert ended.reason == "x" * 500  # type: ignore[union-attr]
    hold = stages.Hold(cause=Cause.GATES, reason=long, said=said, eta_seconds=7.0)
    [held] = stages.decide(MACHINE.after(*BAKING), hold, NOW)  # type: ignore[misc]
    assert isinstance(held, Held)
    assert (held.reason, held.said, held.eta_seconds, held.owner) == ("x" * 500, said, 7.0, "ops")
    [on] = stages.decide(MACHINE.after(*BAKING, "hold gates"), stages.Resume(cause=Cause.GATES, reason=long), NOW)  # type: ignore[misc]
    assert on.reason == "x" * 500  # type: ignore[union-attr]


def test_the_stages_are_gone_through_one_after_the_other() -> None:
    shares = (0.1, 0.3, 0.6, 1.0)
    plan = msgspec.structs.replace(PINNED, stages=tuple(Stage(share=share, bake_seconds=1) for share in shares))
    state, seen = msgspec.structs.replace(MACHINE.after(*BAKING), plan=plan), []
    for stage in range(3):
        promote = stages.Promote(stage=stage, from_at=NOW, until_at=NOW, said=())
        _, entered = stages.decide(state, promote, NOW)  # type: ignore[misc]
        seen.append((entered.stage, entered.share))  # type: ignore[union-attr]
        state = msgspec.structs.replace(state, stage=stage + 1)
    assert seen == [(1, 0.3), (2, 0.6), (3, 1.0)]


def test_a_hold_remembers_when_it_is_expected_to_settle_and_ends_with_the_stage_and_the_plan() -> None:
    held = Held(
        cause=Cause.GATES, reason="r", owner="ops", at=NOW, deadline=Instant(NOW + SECOND), eta_seconds=7.0, said=()
    )
    state = stages.evolve(MACHINE.after(*BAKING), held)
    assert state.hold == HoldState(
        cause=Cause.GATES, reason="r", owner="ops", since=NOW, deadline=Instant(NOW + SECOND), eta_seconds=7.0
    )
    entered = StageEntered(stage=1, share=1.0, at=NOW)
    aborted = Aborted(reason="r", share=0.0, at=NOW)
    for event in (entered, Finished(at=NOW), aborted):
        assert stages.evolve(state, event).hold is None
    back = msgspec.structs.replace(MACHINE.after(*BAKING, "roll back"), hold=state.hold)
    assert stages.evolve(back, Returned(at=NOW)).hold is None


def test_verdicts_that_changed_are_noted_up_to_the_measurement_that_changed_them() -> None:
    reading = GRADES["baked, open"]
    state = noted(MACHINE.after(*BAKING), GRADES["baked, proven"])
    move = next_move(state, reading, GROUND, SOON)
    assert isinstance(move, Note)
    assert (move.said, move.until_at) == ((reading.proofs[1],), reading.until_at)


def test_a_hold_that_somebody_looks_at_is_late_at_its_instant() -> None:
    held = MACHINE.after(*BAKING, "hold investigate")
    reading = Reading(until_at=Instant(NOW + 50 * SECOND), proofs=(a_said(),))
    early, late = (moved(reading, now=Instant(NOW + 50 * SECOND + more), state=held) for more in (-1, 0))
    assert isinstance(early, LookAgain)
    assert type(late).__name__ == "Late"


def test_a_rollout_that_is_held_without_a_reason_says_so() -> None:
    reading = Reading(until_at=SOON, proofs=(a_said(),))
    held = msgspec.structs.replace(GROUND, held=True)
    assert moved(reading, held) == Stop(cause=Cause.OPERATOR, reason="the rollout is held: no reason given")


def test_a_plan_that_goes_back_for_a_reason_nobody_recorded_goes_back() -> None:
    state = msgspec.structs.replace(MACHINE.after(*BAKING, "roll back"), back=None)
    assert next_move(state, Reading(), GROUND, SOON) == GoBack(reason="")


if __name__ == "__main__":
    about = "# What tests/core/test_plan_words.py keeps: events and the state after a command, and what is due.\n"
    FILE.write_text("\n".join([about, *(f"{name}: {text}" for name, text in cases().items())]) + "\n", "utf-8")
