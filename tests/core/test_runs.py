"""Runs: every state with every command, what is due in each, and that a run is data and not code."""

from datetime import date, timedelta
from hashlib import sha256

import msgspec
import pytest
import rfc8785

from crossfade.core import run_commands as c
from crossfade.core import run_next as due
from crossfade.core import run_plan, runs
from crossfade.core.decider import Refusal
from crossfade.core.run_events import Begun, Created, Done, Grounds, Status, Verdict
from crossfade.core.run_plan import plan_of
from crossfade.core.run_state import NodeStatus, State
from crossfade.core.runsheets import (
    Calendar,
    Freeze,
    Gate,
    Operations,
    Phase,
    RiskWindow,
    Role,
    RoleMembers,
    Runsheet,
    SignOff,
    Step,
    instant_of,
)
from crossfade.core.values import SECOND, Instant
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

CALENDAR = Calendar(start=date(2027, 1, 11), first_week=1, last_week=12)
NOW = Instant(instant_of(CALENDAR, 1, 1) + 3_600 * SECOND)
LATE, DEADLINE, LEASE = Instant(NOW + 9_000 * SECOND), Instant(NOW + 300 * SECOND), Instant(NOW + 30 * SECOND)
DEPLOY = Step(id="deploy", kind="command", run="do x", undo="undo x", retries=1)
SHEET = Runsheet(
    runsheet=1,
    name="small",
    owner="ops",
    calendar=CALENDAR,
    roles={Role.DEVOPS: RoleMembers(members=("ana",))},
    phases=(
        Phase(
            id="one",
            title="One",
            first_week=1,
            last_week=1,
            steps=(DEPLOY, Step(id="share", kind="share", share=0.5)),
            exit=(Gate(id="well", check="hub.ready"),),
        ),
    ),
)
D, S, G = "one/step/deploy", "one/step/share", "one/exit/gate/well"


def raw(sheet: Runsheet) -> msgspec.Raw:
    return msgspec.Raw(rfc8785.dumps(msgspec.to_builtins(sheet, str_keys=True)))


def create(sheet: Runsheet = SHEET, **more: object) -> c.Create:
    source = raw(sheet)
    return c.Create(runsheet=source, digest=sha256(bytes(source)).hexdigest(), **{"review": c.READY, **more})  # type: ignore[arg-type]


def migrate(sheet: Runsheet, **more: object) -> c.Migrate:
    given = create(sheet)
    fixed = {"review": c.READY, "by": "ana", "reason": "better", **more}
    return c.Migrate(runsheet=given.runsheet, digest=given.digest, **fixed)  # type: ignore[arg-type]


def changed(*steps: Step) -> Runsheet:
    phase = msgspec.structs.replace(SHEET.phases[0], steps=steps)
    return msgspec.structs.replace(SHEET, phases=(phase,))


LONGER = changed(Step(id="check", kind="check", run="hub.ready"), *SHEET.phases[0].steps)
COMMANDS: dict[str, c.Command] = {
    "create": create(),
    "create, not ready": create(review="not_ready"),
    "create, forced": create(review="not_ready", forced="drill"),
    "take a": c.Take(driver="a", until=LEASE),
    "take b": c.Take(driver="b", until=LEASE),
    "take b, sole": c.Take(driver="b", until=LEASE, sole=True),
    "renew": c.Renew(epoch=1, until=LATE),
    "begin": c.Begin(epoch=1, node=D, deadline=DEADLINE),
    "begin, epoch 0": c.Begin(epoch=0, node=D, deadline=DEADLINE),
    "begin share": c.Begin(epoch=1, node=S, deadline=DEADLINE),
    "ask": c.Ask(epoch=1, node=D, items={"bo": "q_1"}, deadline=DEADLINE),
    "finish": c.Finish(epoch=1, node=D),
    "finish share": c.Finish(epoch=1, node=S),
    "finish gate": c.Finish(epoch=1, node=G),
    "fail": c.Fail(epoch=1, node=D, reason="exit 1"),
    "fail for good": c.Fail(epoch=1, node=D, reason="exit 1", final=True),
    "hold": c.Hold(epoch=1, node=D, verdict=Verdict.ERRORED, reason="not_measured"),
    "hold otherwise": c.Hold(epoch=1, node=D, verdict=Verdict.FAILED, reason="red"),
    "release": c.Release(node=D, by="ana", reason="fixed"),
    "skip": c.Skip(node=D, by="ana", reason="by hand", grounds=Grounds.ADMIN),
    "skip, no reason": c.Skip(node=D, by="ana", reason=" ", grounds=Grounds.ADMIN),
    "skip, unsigned": c.Skip(node=D, by="ana", reason="by hand", grounds=Grounds.SIGNOFF),
    "skip the gate": c.Skip(node=G, by="ana", reason="by hand", grounds=Grounds.ADMIN),
    "skip nothing": c.Skip(node="x", by="ana", reason="by hand", grounds=Grounds.ADMIN),
    "ask waiver": c.AskWaiver(node=D, by="ana", reason="no traffic", signoff="s_1"),
    "ask waiver, unsigned": c.AskWaiver(node=D, by="ana", reason="no traffic", signoff=""),
    "grant waiver": c.GrantWaiver(epoch=1, node=D),
    "refuse waiver": c.RefuseWaiver(epoch=1, node=D, reason="stopped"),
    "reopen": c.Reopen(epoch=1, node=D, signoff="s_1"),
    "pause": c.Pause(by="ana", reason="night"),
    "pause, no reason": c.Pause(by="ana", reason=""),
    "resume": c.Resume(by="ana"),
    "resume, edited": c.Resume(by="ana", digest="0" * 64),
    "abort": c.Abort(by="ana", reason="wrong"),
    "undo": c.RecordUndo(epoch=1, node=D, verified=True),
    "undo, unverified": c.RecordUndo(epoch=1, node=D, verified=False, reason="exit 1"),
    "end abort": c.FinishAbort(epoch=1),
    "complete": c.Complete(epoch=1),
    "migrate": migrate(LONGER),
    "migrate, not ready": migrate(LONGER, review="not_ready"),
    "migrate, same": migrate(SHEET),
    "migrate, drops": migrate(changed(Step(id="other", kind="check", run="hub.ready"))),
}
TAKEN = ["create", "take a"]
BEGUN = [*TAKEN, "begin"]
HELD = [*BEGUN, "hold"]
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], NOW),
    "created": (["create"], NOW),
    "taken": (TAKEN, NOW),
    "lease over": (TAKEN, LEASE),
    "begun": (BEGUN, NOW),
    "asked": ([*BEGUN, "ask"], NOW),
    "failed once": ([*BEGUN, "fail"], NOW),
    "failed twice": ([*BEGUN, "fail", "begin", "fail"], NOW),
    "held": (HELD, NOW),
    "waiver asked": ([*HELD, "ask waiver"], NOW),
    "waived": ([*HELD, "ask waiver", "grant waiver"], NOW),
    "deployed": ([*BEGUN, "finish"], NOW),
    "all settled": ([*BEGUN, "finish", "begin share", "finish share", "finish gate"], NOW),
    "paused": ([*TAKEN, "pause"], NOW),
    "paused, deployed": ([*BEGUN, "finish", "pause"], NOW),
    "aborting": ([*BEGUN, "finish", "abort"], NOW),
    "aborting, undone": ([*BEGUN, "finish", "abort", "undo"], NOW),
    "aborted": ([*BEGUN, "finish", "abort", "undo", "end abort"], NOW),
    "completed": ([*BEGUN, "finish", "begin share", "finish share", "finish gate", "complete"], NOW),
}


def describe(state: State) -> str:
    """Status, driver and what became of the first step."""
    one = state.of(D)
    verdict = f" {one.verdict} {one.reason}" if one.status is NodeStatus.HELD else ""
    waiver = " waiver" if one.waiver else ""
    left = f", left {len(state.left)}" if state.status is Status.ABORTED else ""
    return (
        f"{state.status}, {state.driver or 'nobody'} {state.epoch}, {one.status} {one.attempt}{verdict}{waiver}{left}"
    )


MACHINE = Machine(runs.DECIDER, COMMANDS, GIVEN, describe, NOW)
TABLE = rows("runs")


@pytest.mark.requirement("P3")
@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def refusal(state: State, command: c.Command) -> str:
    outcome = runs.decide(state, command, NOW)
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


UNFIT = (
    create(msgspec.structs.replace(
        SHEET, phases=(msgspec.structs.replace(SHEET.phases[0], entry_signoffs=(SignOff(roles=(Role.SECURITY,)),)),)
    )),
    create(changed(DEPLOY, DEPLOY)),
    c.Create(runsheet=raw(SHEET), digest="0" * 64, review=c.READY),
)  # fmt: skip
"""Runsheets of which no run can be made."""


def test_every_refusal_that_is_documented_is_seen() -> None:
    assert documented(runs.decide) == MACHINE.refusals() | {refusal(State(), command) for command in UNFIT}


# --- what is due ----------------------------------------------------------------------------------------


def shown(state: State, now: Instant = NOW) -> str:
    """What is due, in a few words."""
    action = due.next_action(state, now)
    if action is None:
        return "nothing"
    if isinstance(action, due.WaitUntil):
        return f"wait {(action.at - now) // SECOND} s for {action.why}"
    flags = [name for name in ("recover", "again", "over") if getattr(action, name, False)]
    node = getattr(action, "node", None)
    return " ".join([type(action).__name__, *([] if node is None else [node.id]), *flags])


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ("created", f"RunStep {D}"),
        ("begun", f"RunStep {D} recover"),
        ("asked", f"CollectAnswers {D}"),
        ("failed once", "wait 2 s for retry"),
        ("failed twice", "nothing"),
        ("held", "nothing"),
        ("waiver asked", f"CollectWaiver {D}"),
        ("waived", f"RunStep {S}"),
        ("deployed", f"RunStep {S}"),
        ("all settled", "EndRun"),
        ("paused", "nothing"),
        ("aborting", f"Undo {D}"),
        ("aborting, undone", "EndAbort"),
        ("aborted", "nothing"),
        ("completed", "nothing"),
    ],
)
def test_what_is_due(given: str, then: str) -> None:
    assert shown(MACHINE.after(*GIVEN[given][0])) == then


def started(sheet: Runsheet, *settled: str) -> State:
    """A run of a runsheet with some nodes done."""
    state = runs.DECIDER.initial
    commands: list[c.Command] = [create(sheet), c.Take(driver="a", until=LEASE)]
    for node in settled:
        commands += [c.Begin(epoch=1, node=node, deadline=DEADLINE), c.Finish(epoch=1, node=node)]
    for command in commands:
        events = runs.decide(state, command, NOW)
        assert not isinstance(events, Refusal), events
        for event in events:
            state = runs.evolve(state, event)
    return state


def with_steps(*steps: Step, **more: object) -> Runsheet:
    return msgspec.structs.replace(changed(*steps), **more)


UP = Step(id="up", kind="share", share=0.5)
DOWN = Step(id="down", kind="share", share=0.25)
WINDOW = RiskWindow(id="first", week=1, day=1)


@pytest.mark.parametrize(
    ("sheet", "settled", "then"),
    [
        (with_steps(Step(id="late", kind="check", run="x", week=1, day=2)), (), "wait 82800 s for date"),
        (with_steps(Step(id="look", kind="check", run="x")), (), "JudgeGate one/step/look"),
        (with_steps(UP, freezes=(Freeze(id="f", start=date(2027, 1, 11), end=date(2027, 1, 12)),)), (),
         f"wait {2 * 86_400 - 3_600} s for freeze f"),
        (with_steps(UP, DOWN, freezes=(Freeze(id="f", start=date(2027, 1, 11), end=date(2027, 1, 12)),)),
         ("one/step/up",), "RunStep one/step/down"),
        (with_steps(UP, risk_windows=(WINDOW,)), (), "HoldNode one/step/up"),
        (with_steps(UP, risk_windows=(msgspec.structs.replace(WINDOW, staffed=True),)), (), "HoldNode one/step/up"),
        (with_steps(UP, risk_windows=(msgspec.structs.replace(WINDOW, staffed=True, incident_team=True),)), (),
         "RunStep one/step/up"),
        (with_steps(UP, DOWN, risk_windows=(WINDOW,)), ("one/step/up",), "RunStep one/step/down"),
        (with_steps(DEPLOY, risk_windows=(WINDOW,)), (), f"RunStep {D}"),
        (with_steps(Step(id="end", kind="hub", run="rollout.remove", irreversible=True), risk_windows=(WINDOW,)), (),
         "HoldNode one/step/end"),
    ],
)  # fmt: skip
def test_dates_freezes_and_windows_decide_when_a_step_begins(
    sheet: Runsheet, settled: tuple[str, ...], then: str
) -> None:
    assert shown(started(sheet, *settled)) == then


def test_a_wait_is_over_at_its_deadline_and_not_before() -> None:
    state = started(with_steps(Step(id="soak", kind="wait", wait=timedelta(hours=1))))
    state = runs.evolve(state, Begun(node="one/step/soak", attempt=1, at=NOW, deadline=LATE))
    assert shown(state, Instant(LATE - SECOND)) == "wait 1 s for wait"
    assert shown(state, LATE) == "RunStep one/step/soak recover"


def test_a_held_gate_is_looked_at_again_and_a_held_step_is_not() -> None:
    state = started(SHEET, D, S)
    hold = c.Hold(epoch=1, node=G, verdict=Verdict.ERRORED, reason="not_measured")
    events = runs.decide(state, hold, NOW)
    assert not isinstance(events, Refusal)
    state = runs.evolve(state, events[0])
    assert shown(state) == f"JudgeGate {G} again"
    assert runs.decide(state, hold, NOW) == (), "the same verdict is not recorded twice"


# --- a run is data ----------------------------------------------------------------------------------------


@pytest.mark.requirement("P3")
def test_a_later_release_that_knows_more_kinds_of_nodes_goes_on_with_a_parked_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = runs.decide(State(), create(), NOW)
    assert not isinstance(events, Refusal)
    stored = msgspec.json.encode(events[0])
    before = runs.evolve(State(), events[0])

    def later(sheet: Runsheet) -> tuple[run_plan.PlanNode, ...]:
        more = [msgspec.structs.replace(node, id=f"{node.phase.id}/announce/{place}") for place, node in
                enumerate(plan_of(sheet))]  # fmt: skip
        return (*more, *plan_of(sheet))

    monkeypatch.setattr("crossfade.core.run_fold.plan_of", later)
    after = runs.evolve(State(), msgspec.json.decode(stored, type=Created))
    assert [node.id for node in after.plan] == [D, S, G]
    assert shown(after) == shown(before) == f"RunStep {D}"


def test_a_release_that_lost_a_node_says_so_instead_of_going_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    events = runs.decide(State(), create(), NOW)
    assert not isinstance(events, Refusal)
    monkeypatch.setattr("crossfade.core.run_fold.plan_of", lambda sheet: plan_of(sheet)[1:])
    with pytest.raises(KeyError):
        runs.evolve(State(), events[0])


def test_a_sign_off_that_ended_by_time_is_due_again_and_what_came_after_it_stays_done() -> None:
    phase = msgspec.structs.replace(SHEET.phases[0], entry_signoffs=(SignOff(roles=(Role.DEVOPS,)),))
    node = "one/entry/signoff/0"
    state = started(msgspec.structs.replace(SHEET, phases=(phase,)), node, D)
    state = msgspec.structs.replace(
        state,
        progress={**state.progress, node: msgspec.structs.replace(state.of(node), asked={"signoff": "s_1"})},
    )
    assert refusal(state, c.Reopen(epoch=1, node=node, signoff="s_2")) == "run.not_due"
    events = runs.decide(state, c.Reopen(epoch=1, node=node, signoff="s_1"), NOW)
    assert not isinstance(events, Refusal)
    state = runs.evolve(state, events[0])
    assert shown(state) == f"RequestSignOff {node}"
    assert state.of(D).status is NodeStatus.DONE


def test_reasons_are_cut_and_large_evidence_is_kept_by_its_digest() -> None:
    state = MACHINE.after(*BEGUN)
    large = msgspec.Raw(msgspec.json.encode({"output": "x" * 20_000}))
    events = runs.decide(state, c.Finish(epoch=1, node=D, evidence=large), NOW)
    assert not isinstance(events, Refusal)
    assert isinstance(events[0], Done)
    kept = msgspec.json.decode(bytes(events[0].evidence))
    assert kept == {"sha256": sha256(bytes(large)).hexdigest(), "size_bytes": len(bytes(large))}
    paused = runs.decide(state, c.Pause(by="ana", reason="r" * 5_000), NOW)
    assert not isinstance(paused, Refusal)
    assert len(paused[0].reason) == runs.REASON_LENGTH_MAX  # type: ignore[union-attr]


def test_an_abort_names_what_is_left_in_effect() -> None:
    state = MACHINE.after(*BEGUN, "finish", "abort", "undo, unverified", "end abort")
    assert (state.clean, state.left) == (False, (D,))
    assert MACHINE.after(*BEGUN, "finish", "abort", "undo", "end abort").clean


def test_operations_name_the_owner_of_what_is_held() -> None:
    sheet = msgspec.structs.replace(SHEET, owner="", operations=Operations(escalation=("lead", "boss")))
    state = started(sheet)
    events = runs.decide(state, c.Hold(epoch=1, node=D, verdict=Verdict.FAILED, reason="red"), NOW)
    assert not isinstance(events, Refusal)
    assert events[0].owner == "lead"  # type: ignore[union-attr]
