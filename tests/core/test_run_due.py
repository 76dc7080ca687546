"""The nodes of a run, when each is due, and what waits for what: every kind of node, on both sides of every instant."""

from datetime import date, timedelta

import msgspec
import pytest

from crossfade.core import run_next as due
from crossfade.core import run_plan
from crossfade.core.run_events import Status, Verdict
from crossfade.core.run_plan import NodeKind, plan_of
from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Freeze, Gate, Phase, RiskWindow, Role, Runsheet, SignOff, Step, instant_of
from crossfade.core.values import SECOND, Instant
from tests.core.test_runs import CALENDAR
from tests.kit.zones import standing_in

DAY, HOUR = 86_400 * SECOND, 3_600 * SECOND
SIGNED = SignOff(roles=(Role.DEVOPS,))
CHECK = Step(id="look", kind="check", run="x")
PHASE = Phase(
    id="p",
    title="P",
    first_week=2,
    last_week=3,
    bake=timedelta(hours=2),
    entry=(Gate(id="ready", check="hub.ready"),),
    entry_signoffs=(SIGNED, SIGNED),
    steps=(
        Step(id="do", kind="command", run="do x", undo="undo x"),
        Step(id="dated", kind="command", run="do y", week=3, day=4),
        Step(id="weekday", kind="command", run="do z", day=5),
        Step(id="week", kind="command", run="do z", week=3),
    ),
    exit=(Gate(id="well", check="hub.ready"),),
    exit_signoffs=(SIGNED,),
)
BEGINS = instant_of(CALENDAR, 2, 1)


def sheet_of(*phases: Phase, **more: object) -> Runsheet:
    """A runsheet around phases."""
    return Runsheet(runsheet=1, name="x", calendar=CALENDAR, phases=phases, **more)  # type: ignore[arg-type]


def state_of(sheet: Runsheet, status: Status = Status.RUNNING, **progress: Progress) -> State:
    """A run with the progress of some nodes, by the last word of their id; all before them are done."""
    plan = plan_of(sheet)
    done = Progress(status=NodeStatus.DONE, attempt=1)
    last = max((place for place, node in enumerate(plan) if word(node.id) in progress), default=0)
    known = {node.id: progress.get(word(node.id), done) for node in plan[: last + 1]} if progress else {}
    return State(status=status, runsheet=sheet, plan=plan, progress=known)


def word(node_id: str) -> str:
    return node_id.rpartition("/")[2]


# --- the nodes ------------------------------------------------------------------------------------------


def test_a_phase_is_its_entry_its_steps_its_bake_and_its_exit_in_that_order() -> None:
    plan = plan_of(sheet_of(PHASE, msgspec.structs.replace(PHASE, id="q", steps=(), bake=None, exit_signoffs=())))
    assert [(node.id, node.kind, node.earliest) for node in plan] == [
        ("p/entry/gate/ready", NodeKind.GATE, BEGINS),
        ("p/entry/signoff/0", NodeKind.SIGNOFF, BEGINS),
        ("p/entry/signoff/1", NodeKind.SIGNOFF, BEGINS),
        ("p/step/do", NodeKind.STEP, BEGINS),
        ("p/step/dated", NodeKind.STEP, instant_of(CALENDAR, 3, 4)),
        ("p/step/weekday", NodeKind.STEP, instant_of(CALENDAR, 2, 5)),
        ("p/step/week", NodeKind.STEP, instant_of(CALENDAR, 3, 1)),
        ("p/bake", NodeKind.BAKE, None),
        ("p/exit/gate/well", NodeKind.GATE, None),
        ("p/exit/signoff/0", NodeKind.SIGNOFF, None),
        ("q/entry/gate/ready", NodeKind.GATE, BEGINS),
        ("q/entry/signoff/0", NodeKind.SIGNOFF, BEGINS),
        ("q/entry/signoff/1", NodeKind.SIGNOFF, BEGINS),
        ("q/exit/gate/well", NodeKind.GATE, None),
    ]
    assert {node.phase.id for node in plan[:10]} == {"p"}


def test_a_node_carries_what_it_was_made_of_and_nothing_else() -> None:
    for node in plan_of(sheet_of(PHASE)):
        carried = {name for name in ("gate", "signoff", "step") if getattr(node, name) is not None}
        assert carried == ({node.kind.value} if node.kind is not NodeKind.BAKE else set())
    gates = [node.gate.id for node in plan_of(sheet_of(PHASE)) if node.gate is not None]
    assert gates == ["ready", "well"]


@pytest.mark.parametrize(
    ("step", "moves", "back"),
    [
        (Step(id="s", kind="command", undo="undo x"), False, True),
        (Step(id="s", kind="command"), False, False),
        (Step(id="s", kind="command", undo="undo x", irreversible=True), False, False),
        (Step(id="s", kind="share", share=0.5), True, True),
        (Step(id="s", kind="share", share=0.5, irreversible=True), True, False),
    ],
)
def test_a_step_can_be_taken_back_if_it_says_how_or_moves_the_share(step: Step, *, moves: bool, back: bool) -> None:
    [node] = plan_of(sheet_of(Phase(id="p", title="P", first_week=1, last_week=1, steps=(step,))))
    assert (node.sets_share, node.reversible) == (moves, back)
    gate = plan_of(sheet_of(PHASE))[0]
    assert (gate.sets_share, gate.reversible) == (False, False)


def test_an_id_that_two_nodes_have_is_named() -> None:
    plan = plan_of(sheet_of(PHASE))
    assert run_plan.duplicate(plan) == ""
    assert run_plan.duplicate(()) == ""
    assert run_plan.duplicate((*plan, plan[4], plan[2])) == plan[4].id


def test_a_freeze_is_on_from_its_first_midnight_to_the_one_after_its_last_day(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Freeze(id="one", start=date(2027, 1, 20), end=date(2027, 1, 21))
    other = Freeze(id="other", start=date(2027, 1, 21), end=date(2027, 1, 21))
    sheet = sheet_of(PHASE, freezes=(one, other))
    start, end = instant_of(CALENDAR, 2, 3), instant_of(CALENDAR, 2, 5)
    assert run_plan.freeze_at(sheet, Instant(start - 1)) is None
    assert run_plan.freeze_at(sheet, start) == (one, end)
    assert run_plan.freeze_at(sheet, Instant(end - 1)) == (one, end)
    assert run_plan.freeze_at(sheet, end) is None
    for zone in ("Asia/Tokyo", "America/New_York"):
        with standing_in(zone, monkeypatch):
            assert run_plan.freeze_at(sheet, start) == (one, end)
    swapped = sheet_of(PHASE, freezes=(other, one))
    assert run_plan.freeze_at(swapped, start) == (one, end), "one that is not on does not hide the next"
    assert run_plan.freeze_at(swapped, Instant(end - DAY)) == (other, end)


def test_a_risk_window_is_open_for_its_days() -> None:
    short = RiskWindow(id="short", week=2, day=2)
    long = RiskWindow(id="long", week=2, day=1, days=3)
    sheet = sheet_of(PHASE, risk_windows=(short, long))
    begin = instant_of(CALENDAR, 2, 1)
    offsets = (-1, 0, DAY, 2 * DAY, 3 * DAY - 1, 3 * DAY)
    seen = [run_plan.window_at(sheet, Instant(begin + offset)) for offset in offsets]
    assert [window and window.id for window in seen] == [None, "long", "short", "long", "long", None]


@pytest.mark.parametrize(
    ("duration", "nanoseconds"),
    [
        (timedelta(), 0),
        (timedelta(microseconds=1), 1_000),
        (timedelta(seconds=2, microseconds=3), 2_000_003_000),
        (timedelta(days=2, hours=1), 49 * 3_600 * SECOND),
    ],
)
def test_a_duration_is_counted_in_nanoseconds_exactly(duration: timedelta, nanoseconds: int) -> None:
    assert run_plan.span(duration) == nanoseconds


# --- what is due ----------------------------------------------------------------------------------------


def shown(state: State, now: Instant) -> str:
    """What is due, with everything it says."""
    action = due.next_action(state, now)
    if action is None:
        return "nothing"
    if isinstance(action, due.WaitUntil):
        return f"wait for {action.why} at {action.node} until {(action.at - BEGINS) // SECOND}"
    said = {name: getattr(action, name) for name in action.__struct_fields__}
    node = said.pop("node", None)
    marks = [name if value is True else str(value) for name, value in said.items() if value is not False]
    return " ".join([type(action).__name__, *([node.id] if node else []), *marks])


BEGUN, ASKED, HELD, FAILED = NodeStatus.BEGUN, NodeStatus.ASKED, NodeStatus.HELD, NodeStatus.FAILED
FRESH = Progress()
LATER = Instant(BEGINS + 21 * DAY)
STEP_LOOK = msgspec.structs.replace(PHASE, steps=(CHECK,))
STEP_WAIT = msgspec.structs.replace(PHASE, steps=(Step(id="soak", kind="wait", wait=timedelta(hours=1)),))


@pytest.mark.parametrize(
    ("phase", "node", "progress", "now", "then"),
    [
        (PHASE, "ready", FRESH, BEGINS - 1, "wait for date at p/entry/gate/ready until 0"),
        (PHASE, "ready", FRESH, BEGINS, "JudgeGate p/entry/gate/ready"),
        (PHASE, "ready", Progress(status=HELD), BEGINS, "JudgeGate p/entry/gate/ready again"),
        (PHASE, "ready", Progress(status=HELD, waiver="s"), BEGINS, "CollectWaiver p/entry/gate/ready"),
        (PHASE, "1", FRESH, BEGINS, "RequestSignOff p/entry/signoff/1"),
        (PHASE, "1", Progress(status=BEGUN), BEGINS, "RequestSignOff p/entry/signoff/1"),
        (PHASE, "1", Progress(status=ASKED), BEGINS, "CollectSignOff p/entry/signoff/1"),
        (PHASE, "1", Progress(status=HELD), BEGINS, "CollectSignOff p/entry/signoff/1"),
        (PHASE, "do", FRESH, BEGINS - 1, "wait for date at p/step/do until 0"),
        (PHASE, "do", FRESH, BEGINS, "RunStep p/step/do"),
        (PHASE, "do", Progress(status=BEGUN, deadline=Instant(LATER)), BEGINS, "RunStep p/step/do recover"),
        (PHASE, "do", Progress(status=ASKED), BEGINS, "CollectAnswers p/step/do"),
        (PHASE, "do", Progress(status=HELD), BEGINS, "nothing"),
        (PHASE, "bake", FRESH, LATER, "Bake p/bake"),
        (PHASE, "bake", Progress(status=BEGUN, deadline=LATER), LATER - 1,
         f"wait for bake at p/bake until {21 * 86_400}"),
        (PHASE, "bake", Progress(status=BEGUN, deadline=LATER), LATER, "Bake p/bake over"),
        (PHASE, "bake", Progress(status=HELD), LATER, "nothing"),
        (STEP_LOOK, "look", FRESH, LATER, "JudgeGate p/step/look"),
        (STEP_LOOK, "look", Progress(status=HELD), LATER, "JudgeGate p/step/look again"),
        (STEP_WAIT, "soak", FRESH, LATER, "RunStep p/step/soak"),
        (STEP_WAIT, "soak", Progress(status=BEGUN, deadline=LATER), LATER - 1,
         f"wait for wait at p/step/soak until {21 * 86_400}"),
        (STEP_WAIT, "soak", Progress(status=BEGUN, deadline=LATER), LATER, "RunStep p/step/soak recover"),
    ],
)  # fmt: skip
def test_what_is_due_of_a_node(phase: Phase, node: str, progress: Progress, now: int, then: str) -> None:
    assert shown(state_of(sheet_of(phase), **{node: progress}), Instant(now)) == then


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 1), (1, 2), (2, 4), (5, 32), (8, 256), (9, 300), (16, 300), (1_000_000, 300)]
)
def test_an_attempt_that_failed_is_repeated_later_and_later_up_to_five_minutes(attempt: int, seconds: int) -> None:
    failed = Progress(status=FAILED, attempt=attempt, at=LATER)
    state = state_of(sheet_of(PHASE), do=failed)
    ready = Instant(LATER + seconds * SECOND)
    assert due.next_action(state, Instant(ready - 1)) == due.WaitUntil(at=ready, node="p/step/do", why="retry")
    assert shown(state, ready) == "RunStep p/step/do"
    assert shown(state_of(sheet_of(PHASE), do=Progress(attempt=attempt, at=LATER)), LATER) == "RunStep p/step/do"


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (Status.ABSENT, "nothing"),
        (Status.PAUSED, "nothing"),
        (Status.ABORTED, "nothing"),
        (Status.COMPLETED, "nothing"),
        (Status.RUNNING, "JudgeGate p/exit/gate/well"),
        (Status.ABORTING, "Undo p/step/do"),
    ],
)
def test_what_is_due_depends_on_where_the_run_is(status: Status, then: str) -> None:
    assert shown(state_of(sheet_of(PHASE), status, well=FRESH), LATER) == then


WINDOW = RiskWindow(id="w", week=2, day=1, staffed=True, incident_team=True)
FREEZE = Freeze(id="f", start=date(2027, 1, 18), end=date(2027, 1, 18))
UP, DOWN = Step(id="up", kind="share", share=0.5), Step(id="down", kind="share", share=0.25)
END = Step(id="end", kind="hub", run="rollout.remove", irreversible=True)
OBSTACLES = [
    ("up in a freeze", UP, 0.25, {"freezes": (FREEZE,)}, "wait for freeze f at p/step/s until 86400"),
    ("the same share in a freeze", UP, 0.5, {"freezes": (FREEZE,)}, "RunStep p/step/s"),
    ("down in a freeze", DOWN, 0.5, {"freezes": (FREEZE,)}, "RunStep p/step/s"),
    ("for ever in a freeze", END, 1.0, {"freezes": (FREEZE,)}, "wait for freeze f at p/step/s until 86400"),
    ("up in a window", UP, 0.25, {"risk_windows": (WINDOW,)}, "RunStep p/step/s"),
    ("up, nobody there", UP, 0.25, {"risk_windows": (msgspec.structs.replace(WINDOW, staffed=False),)},
     "HoldNode p/step/s failed window_unstaffed w"),
    ("up, no team", UP, 0.25, {"risk_windows": (msgspec.structs.replace(WINDOW, incident_team=False),)},
     "HoldNode p/step/s failed window_unstaffed w"),
    ("a share of nothing", Step(id="s", kind="share"), 0.5, {"freezes": (FREEZE,)}, "RunStep p/step/s"),
    ("down, nobody there", DOWN, 0.5, {"risk_windows": (msgspec.structs.replace(WINDOW, staffed=False),)},
     "RunStep p/step/s"),
    ("for ever, nobody there", END, 1.0, {"risk_windows": (msgspec.structs.replace(WINDOW, staffed=False),)},
     "HoldNode p/step/s failed window_unstaffed w"),
    ("a command, nobody there", Step(id="c", kind="command", run="x"), 0.0,
     {"risk_windows": (msgspec.structs.replace(WINDOW, staffed=False),), "freezes": (FREEZE,)}, "RunStep p/step/s"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "step", "share", "more", "then"), OBSTACLES, ids=[row[0] for row in OBSTACLES])
def test_only_what_raises_the_share_or_is_for_ever_waits_for_a_better_day(
    about: str, step: Step, share: float, more: dict[str, object], then: str
) -> None:
    phase = Phase(id="p", title="P", first_week=2, last_week=2, steps=(msgspec.structs.replace(step, id="s"),))
    state = msgspec.structs.replace(state_of(sheet_of(phase, **more)), share=share)
    assert shown(state, BEGINS) == then, about


def test_an_unstaffed_window_fails_a_step_and_does_not_leave_it_undecided() -> None:
    phase = Phase(id="p", title="P", first_week=2, last_week=2, steps=(UP,))
    window = msgspec.structs.replace(WINDOW, staffed=False)
    action = due.next_action(state_of(sheet_of(phase, risk_windows=(window,))), BEGINS)
    assert isinstance(action, due.HoldNode)
    assert action.verdict is Verdict.FAILED


# --- what a state can be asked --------------------------------------------------------------------------

RAMP = Phase(
    id="p",
    title="P",
    first_week=1,
    last_week=1,
    steps=(
        Step(id="a", kind="share", share=0.25),
        Step(id="b", kind="share", share=0.5),
        Step(id="c", kind="command", run="do x"),
        Step(id="d", kind="share", share=1.0),
    ),
)
DONE = Progress(status=NodeStatus.DONE, attempt=1)


def test_the_share_before_a_step_is_the_last_one_that_was_done() -> None:
    state = state_of(sheet_of(RAMP), d=DONE)
    assert [state.share_before(f"p/step/{name}") for name in "abcd"] == [0.0, 0.25, 0.5, 0.5]
    skipped = state_of(sheet_of(RAMP), b=Progress(status=NodeStatus.SKIPPED), d=DONE)
    assert skipped.share_before("p/step/d") == 0.25
    assert skipped.share_before("p/step/none") == 1.0, "what is not in the plan comes after all of it"


def test_what_an_abort_can_take_back_and_what_it_leaves() -> None:
    undone = Progress(status=NodeStatus.UNDONE, attempt=1)
    doubtful = Progress(status=NodeStatus.UNDONE, attempt=1, reason="exit 1")
    never = Progress(status=NodeStatus.SKIPPED)
    state = state_of(sheet_of(RAMP), a=DONE, b=undone, c=Progress(status=BEGUN, attempt=1), d=never)
    assert [node.id for node in state.to_undo()] == ["p/step/a"]
    assert state.left_over() == ("p/step/a", "p/step/c")
    both = state_of(sheet_of(RAMP), a=doubtful, b=DONE, c=never, d=Progress(status=FAILED, attempt=2))
    assert [node.id for node in both.to_undo()] == ["p/step/d", "p/step/b"]
    assert both.left_over() == ("p/step/a", "p/step/b", "p/step/d")
    look = state_of(sheet_of(msgspec.structs.replace(RAMP, steps=(CHECK,))), look=DONE)
    assert look.left_over() == (), "looking has no effect that could be left"


def test_a_run_is_held_while_the_node_that_is_due_is() -> None:
    held = state_of(sheet_of(PHASE), do=Progress(status=HELD))
    assert held.held
    assert not msgspec.structs.replace(held, status=Status.PAUSED).held
    assert not state_of(sheet_of(PHASE), do=FRESH).held
    assert not State(status=Status.RUNNING).held


def test_there_is_no_runsheet_where_there_is_no_run() -> None:
    with pytest.raises(ValueError, match="there is no run"):
        _ = State().sheet
    assert [status for status in Status if State(status=status).active] == [
        Status.RUNNING,
        Status.PAUSED,
        Status.ABORTING,
    ]
    assert Progress(attempt=5, attempt_before=2).tries == 3
