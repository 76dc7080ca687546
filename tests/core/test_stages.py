"""The machine of a plan: every state with every command, and what is due in which situation."""

from hashlib import sha256

import msgspec
import pytest

from crossfade.core import stages
from crossfade.core.plans import Plan, Stage, resolved
from crossfade.core.stage_events import Cause, Held, Judged, Overdue, Resumed, RolledBack, Said, Status
from crossfade.core.stage_next import GoOn, Ground, LookAgain, Reading, Stop, Worry, next_move, soon
from crossfade.core.stages import (
    Abort,
    Accept,
    BeginBake,
    Confirm,
    Enter,
    Hold,
    Judge,
    MarkOverdue,
    Promote,
    Resume,
    RollBack,
    State,
)
from crossfade.core.values import SECOND, Instant
from tests.kit.machines import Machine
from tests.kit.tables import ids, rows

PLAN = resolved(
    Plan(
        plan=1,
        name="p",
        owner="ops",
        stages=(Stage(share=0.25), Stage(share=1.0)),
        bake_seconds=100,
        hold_seconds_max=50,
    )
)
SOURCE = msgspec.json.encode(PLAN)
DIGEST = sha256(SOURCE).hexdigest()
SAID = Said(name="trigger.p99", kind="trigger", verdict="failed", reason="fired")
NOW = Instant(1_000 * SECOND)
LATE = Instant(2_000 * SECOND)


def _promote(stage: int) -> Promote:
    return Promote(stage=stage, from_at=Instant(1), until_at=Instant(2), said=(SAID,))


COMMANDS: dict[str, stages.Command] = {
    "accept": Accept(plan=msgspec.Raw(SOURCE), digest=DIGEST, epoch=3),
    "accept forged": Accept(plan=msgspec.Raw(SOURCE), digest="0" * 64),
    "accept nothing": Accept(plan=msgspec.Raw(b"[]"), digest=sha256(b"[]").hexdigest()),
    "enter": Enter(),
    "bake 0": BeginBake(stage=0),
    "bake 1": BeginBake(stage=1),
    "judge": Judge(until_at=Instant(5), said=(SAID,)),
    "hold gates": Hold(cause=Cause.GATES, reason="not proven"),
    "hold stale": Hold(cause=Cause.STALE, reason="nothing measured"),
    "hold investigate": Hold(cause=Cause.INVESTIGATE, reason="look"),
    "resume gates": Resume(cause=Cause.GATES, reason="proven"),
    "look stale": Resume(cause=Cause.STALE, reason="I looked", looked=True),
    "look investigate": Resume(cause=Cause.INVESTIGATE, reason="I looked", looked=True),
    "overdue": MarkOverdue(),
    "promote 0": _promote(0),
    "promote 1": _promote(1),
    "roll back": RollBack(share=0.25, until_at=Instant(9), said=SAID),
    "confirm": Confirm(),
    "abort": Abort(reason="root: enough", share=0.25),
}
BAKING = ["accept", "enter", "bake 0"]
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "none": ([], NOW),
    "waiting": (["accept"], NOW),
    "entering": (["accept", "enter"], NOW),
    "baking": (BAKING, NOW),
    "judged": ([*BAKING, "judge"], NOW),
    "held, gates": ([*BAKING, "hold gates"], NOW),
    "held, stale": ([*BAKING, "hold stale"], NOW),
    "held, look": ([*BAKING, "hold investigate"], NOW),
    "held, late": ([*BAKING, "hold gates"], LATE),
    "entering last": ([*BAKING, "promote 0"], NOW),
    "baking last": ([*BAKING, "promote 0", "bake 1"], NOW),
    "finished": ([*BAKING, "promote 0", "bake 1", "promote 1"], NOW),
    "rolling back": ([*BAKING, "roll back"], NOW),
    "rolled back": ([*BAKING, "roll back", "confirm"], NOW),
    "aborted": ([*BAKING, "abort"], NOW),
}


def describe(state: State) -> str:
    held = "" if state.hold is None else f" {state.hold.cause}{' overdue' if state.hold.overdue else ''}"
    return f"{state.status} {state.stage}{held}"


MACHINE = Machine(stages.DECIDER, COMMANDS, GIVEN, describe, NOW)
TABLE = rows("stages")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_refusal_is_documented_and_reached() -> None:
    documented = " ".join((stages.decide.__doc__ or "").split("Refuses with: ")[1].split()).rstrip(".")
    assert {code.strip() for code in documented.split(",")} == MACHINE.refusals()


def test_every_transition_of_the_machine_is_reached() -> None:
    plain = {pair for pair in stages.NEXT if pair[1] not in (Held, Resumed, Judged, Overdue)}
    missing = plain - MACHINE.transitions()
    assert missing == {(Status.ENTERING, RolledBack)} - MACHINE.transitions()


def test_a_verdict_is_recorded_when_it_changes_and_not_again() -> None:
    state = MACHINE.after(*BAKING, "judge")
    assert stages.decide(state, COMMANDS["judge"], NOW) == ()
    other = Judge(until_at=Instant(6), said=(msgspec.structs.replace(SAID, verdict="passed", reason="quiet"),))
    assert len(stages.decide(state, other, NOW)) == 1  # type: ignore[arg-type]


def test_a_hold_that_gives_way_to_another_keeps_its_deadline() -> None:
    state = MACHINE.after(*BAKING, "hold stale")
    [held] = stages.decide(state, COMMANDS["hold gates"], Instant(NOW + 40 * SECOND))  # type: ignore[misc]
    assert isinstance(held, Held)
    assert held.deadline == NOW + 50 * SECOND


def test_a_plan_that_is_accepted_after_another_begins_at_nothing() -> None:
    state = MACHINE.after(*GIVEN["rolled back"][0], "accept")
    assert (state.number, state.stage, state.back, state.said, state.epoch) == (2, -1, None, {}, 3)


# --- what is due -------------------------------------------------------------------------------------------


def said(name: str = "gate.p99", verdict: str = "passed", **more: object) -> Said:
    return Said(name=name, kind="promotion", verdict=verdict, reason="proven", **more)  # type: ignore[arg-type]


PASSED = said()
OPEN = said("gate.p50", verdict="inconclusive", eta_seconds=2_400.0)
ERRORED = said("gate.loss", "errored")
FIRED = said("trigger.p99", "failed")
SEEN = Instant(NOW + 10 * SECOND)
GRADES: dict[str, Reading] = {
    "nothing": Reading(),
    "measured": Reading(until_at=SEEN, baked_seconds=10, proofs=(OPEN,)),
    "baked, proven": Reading(until_at=SEEN, baked_seconds=100, proofs=(PASSED,)),
    "baked, open": Reading(until_at=SEEN, baked_seconds=100, proofs=(PASSED, OPEN)),
    "baked, errored": Reading(until_at=SEEN, baked_seconds=100, proofs=(PASSED, ERRORED)),
    "baked, no gate": Reading(until_at=SEEN, baked_seconds=100),
    "proven too early": Reading(until_at=SEEN, baked_seconds=99, proofs=(PASSED,)),
    "fired": Reading(until_at=SEEN, baked_seconds=100, fired=FIRED, proofs=(PASSED,)),
    "investigate": Reading(until_at=SEEN, proofs=(PASSED,), worries=(Worry(cause=Cause.INVESTIGATE, said=FIRED),)),
    "shared": Reading(until_at=SEEN, proofs=(PASSED,), worries=(Worry(cause=Cause.SHARED, said=FIRED),)),
    "narrow": Reading(until_at=SEEN, proofs=(PASSED,), worries=(Worry(cause=Cause.NARROW, said=FIRED),)),
    "split": Reading(until_at=SEEN, proofs=(PASSED,), worries=(Worry(cause=Cause.SAMPLE_RATIO, said=FIRED),)),
    "fault": Reading(until_at=SEEN, baked_seconds=100, proofs=(PASSED,), fault="ValueError: x"),
}
GROUNDS: dict[str, Ground] = {
    "as it was": Ground(share=0.25, epoch=3),
    "share 0": Ground(share=0.0, epoch=3),
    "lowered": Ground(share=0.05, epoch=4, moved="ana: slow"),
    "killed": Ground(share=0.0, epoch=4, held=True, held_reason="ana"),
    "raised": Ground(share=0.5, epoch=3),
    "held": Ground(share=0.25, epoch=3, held=True, held_reason="shift"),
    "refused": Ground(share=0.0, epoch=3, refused="no clusters"),
    "no baseline": Ground(share=0.0, epoch=3, baseline=said("baseline", "inconclusive", eta_seconds=60.0)),
    "baseline": Ground(share=0.0, epoch=3, baseline=said("baseline")),
}
TIMES = {"soon": Instant(NOW + 12 * SECOND), "later": Instant(NOW + 41 * SECOND), "late": Instant(NOW + 60 * SECOND)}
DUE = rows("stage_next")


def noted(state: State, reading: Reading) -> State:
    """With every verdict recorded, so that only what is due of it is left."""
    told = {one.name: f"{one.verdict}:{one.reason}" for one in (*reading.proofs, *reading.others)}
    return msgspec.structs.replace(state, said=told)


def due(given: str, measured: str, ground: str, when: str) -> str:
    names, _ = GIVEN[given]
    reading = GRADES[measured]
    state = noted(MACHINE.after(*names), reading)
    move = next_move(state, reading, GROUNDS[ground], TIMES[when])
    if move is None:
        return "-"
    told = type(move).__name__
    if isinstance(move, Stop | GoOn):
        return f"{told} {move.cause}"
    return f"{told} {(move.at - NOW) / SECOND:g}" if isinstance(move, LookAgain) else told


@pytest.mark.parametrize("row", DUE, ids=ids(DUE))
def test_what_is_due_is_that_of_the_table(row: dict[str, str]) -> None:
    assert due(row["given"], row["measured"], row["rollout"], row["when"]) == row["due"]


def test_a_trigger_is_looked_at_first_whatever_the_plan_holds_for() -> None:
    for given in ("entering", "baking", "held, gates", "held, stale", "held, look", "entering last"):
        for ground in GROUNDS:
            assert due(given, "fired", ground, "late") == "Fire", (given, ground)


def test_nothing_is_promoted_but_on_proof_of_every_gate_after_the_whole_bake() -> None:
    for measured in GRADES:
        for ground in GROUNDS:
            for given in GIVEN:
                if due(given, measured, ground, "soon") == "Advance":
                    assert (measured, ground) == ("baked, proven", "as it was")


def test_a_hold_says_when_it_is_expected_to_settle() -> None:
    reading = GRADES["baked, open"]
    move = next_move(noted(MACHINE.after(*BAKING), reading), reading, GROUNDS["as it was"], TIMES["soon"])
    assert move.reason == "not proven yet: gate.p50 inconclusive; about 40 min at this rate"  # type: ignore[union-attr]
    assert [soon(seconds) for seconds in (None, 45.0, 7_300.0, 200_000.0)] == [
        "", "; about 45 s at this rate", "; about 2 h at this rate", "; about 2 days at this rate",
    ]  # fmt: skip


def test_a_hold_that_ends_by_itself_is_looked_at_then() -> None:
    [held] = stages.decide(MACHINE.after(*BAKING), Hold(cause=Cause.OPERATOR, reason="x"), NOW)  # type: ignore[misc]
    reading = GRADES["measured"]
    state = noted(stages.evolve(MACHINE.after(*BAKING), held), reading)  # type: ignore[arg-type]
    over = Instant(TIMES["soon"] + SECOND)
    ground = msgspec.structs.replace(GROUNDS["held"], held_until=over)
    assert next_move(state, reading, ground, TIMES["soon"]) == LookAgain(at=over)
    assert next_move(state, reading, GROUNDS["held"], TIMES["soon"]) != LookAgain(at=over)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in stages.STICKY])
def test_a_hold_whose_cause_is_gone_is_settled_by_itself(cause: Cause) -> None:
    [held] = stages.decide(MACHINE.after(*BAKING), Hold(cause=cause, reason="x"), NOW)  # type: ignore[misc]
    reading = GRADES["measured"]
    state = noted(stages.evolve(MACHINE.after(*BAKING), held), reading)  # type: ignore[arg-type]
    move = next_move(state, reading, GROUNDS["as it was"], TIMES["soon"])
    assert isinstance(move, GoOn)
    assert move.cause is cause
    assert move.reason


def test_verdicts_that_changed_are_noted_before_anything_is_decided_on_them() -> None:
    reading = GRADES["baked, proven"]
    move = next_move(MACHINE.after(*BAKING), reading, GROUNDS["as it was"], TIMES["soon"])
    assert type(move).__name__ == "Note"
