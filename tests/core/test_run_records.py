"""What a run records and remembers, field by field: who, when, why, on what grounds; and when it forgets."""

from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest

from crossfade.core import run_commands as c
from crossfade.core import run_events as e
from crossfade.core import run_reading, runs
from crossfade.core.decider import Refusal
from crossfade.core.run_events import Grounds, Status, Verdict
from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Gate, Phase, Role, RoleMembers, SignOff, Step
from crossfade.core.values import Instant
from tests.core.test_rollouts import Planted
from tests.core.test_runs import (
    BEGUN,
    DEADLINE,
    GIVEN,
    HELD,
    LATE,
    LEASE,
    LONGER,
    MACHINE,
    NOW,
    SHEET,
    TAKEN,
    D,
    G,
    S,
    changed,
    create,
    migrate,
    raw,
    started,
)

LATER = Instant(NOW + 7)
DIGEST = create().digest
PROOF = msgspec.Raw(b'{"exit":0}')
PROOF_DIGEST = sha256(b'{"exit":0}').hexdigest()
LONG = " " + "r" * 1_001 + " "
CUT = "r" * 1_000


def recorded(given: str | State, command: c.Command, now: Instant = LATER) -> tuple[e.RunEvent, ...]:
    """What a command records in a state of the table."""
    state = given if isinstance(given, State) else MACHINE.after(*GIVEN[given][0])
    events = runs.decide(state, command, now)
    assert not isinstance(events, Refusal), events
    return events


def after(given: str | State, command: c.Command) -> State:
    """The state that follows."""
    state = given if isinstance(given, State) else MACHINE.after(*GIVEN[given][0])
    for event in recorded(state, command):
        state = runs.evolve(state, event)
    return state


# --- what is recorded -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "command", "events"),
    [
        ("nothing", create(),
         (e.Created(runsheet=raw(SHEET), digest=DIGEST, nodes=(D, S, G), at=LATER, review="production_ready"),)),
        ("nothing", create(review="not_ready", forced=LONG),
         (e.Created(runsheet=raw(SHEET), digest=DIGEST, nodes=(D, S, G), at=LATER, review="not_ready", forced=CUT),)),
        ("nothing", create(forced="needless"),
         (e.Created(runsheet=raw(SHEET), digest=DIGEST, nodes=(D, S, G), at=LATER, review="production_ready"),)),
        ("created", c.Take(driver="a", until=LEASE), (e.Taken(driver="a", epoch=1, until=LEASE),)),
        ("taken", c.Take(driver="b", until=LATE, sole=True), (e.Taken(driver="b", epoch=2, until=LATE),)),
        ("taken", c.Renew(epoch=1, until=LATE), (e.Renewed(until=LATE),)),
        ("taken", c.Renew(epoch=1, until=LEASE), ()),
        ("taken", c.Pause(by="ana", reason=LONG), (e.Paused(by="ana", reason=CUT),)),
        ("paused", c.Resume(by="bo", reason=LONG, digest=DIGEST), (e.Resumed(by="bo", reason=CUT),)),
        ("begun", c.Abort(by="ana", reason=LONG), (e.AbortBegun(by="ana", reason=CUT),)),
        ("held", c.Release(node=D, by="ana", reason=LONG), (e.Released(node=D, by="ana", reason=CUT),)),
        ("held", c.Skip(node=D, by="ana", reason=LONG, grounds=Grounds.SIGNOFF, signoff="s_1"),
         (e.Skipped(node=D, by="ana", reason=CUT, grounds=Grounds.SIGNOFF, signoff="s_1"),)),
        ("held", c.Skip(node=D, by="ana", reason="r", grounds=Grounds.ADMIN),
         (e.Skipped(node=D, by="ana", reason="r", grounds=Grounds.ADMIN, signoff=""),)),
        ("held", c.AskWaiver(node=D, by="ana", reason=LONG, signoff="s_1"),
         (e.WaiverAsked(node=D, by="ana", reason=CUT, signoff="s_1"),)),
        ("waiver asked", c.GrantWaiver(epoch=1, node=D),
         (e.Waived(node=D, by="ana", reason="no traffic", signoff="s_1"),)),
        ("waiver asked", c.RefuseWaiver(epoch=1, node=D, reason=LONG),
         (e.WaiverRefused(node=D, signoff="s_1", reason=CUT),)),
        ("taken", c.Begin(epoch=1, node=D, deadline=DEADLINE),
         (e.Begun(node=D, attempt=1, at=LATER, deadline=DEADLINE),)),
        ("failed once", c.Begin(epoch=1, node=D, deadline=DEADLINE),
         (e.Begun(node=D, attempt=2, at=LATER, deadline=DEADLINE),)),
        ("begun", c.Ask(epoch=1, node=D, items={"bo": "q_1"}, deadline=DEADLINE, round=2),
         (e.Asked(node=D, items={"bo": "q_1"}, deadline=DEADLINE, round=2),)),
        ("begun", c.Finish(epoch=1, node=D, evidence=PROOF),
         (e.Done(node=D, at=LATER, evidence=PROOF, digest=PROOF_DIGEST),)),
        ("begun", c.Fail(epoch=1, node=D, reason=LONG, evidence=PROOF),
         (e.Failed(node=D, at=LATER, reason=CUT, again=True, evidence=PROOF),)),
        ("begun", c.Fail(epoch=1, node=D, reason=LONG, evidence=PROOF, final=True),
         (e.Failed(node=D, at=LATER, reason=CUT, again=False, evidence=PROOF),
          e.Held(node=D, verdict=Verdict.FAILED, reason=CUT, at=LATER, owner="ops", evidence=PROOF))),
        ("begun", c.Hold(epoch=1, node=D, verdict=Verdict.ERRORED, reason=LONG, evidence=PROOF),
         (e.Held(node=D, verdict=Verdict.ERRORED, reason=CUT, at=LATER, owner="ops", evidence=PROOF),)),
        ("aborting", c.RecordUndo(epoch=1, node=D, verified=True, reason="said", evidence=PROOF),
         (e.Undone(node=D, verified=True, reason="", evidence=PROOF),)),
        ("aborting", c.RecordUndo(epoch=1, node=D, verified=False, reason=LONG),
         (e.Undone(node=D, verified=False, reason=CUT),)),
        ("aborting", c.RecordUndo(epoch=1, node=D, verified=False, reason=" "),
         (e.Undone(node=D, verified=False, reason="not verified"),)),
        ("aborting, undone", c.FinishAbort(epoch=1), (e.Aborted(clean=True, left=()),)),
        ("all settled", c.Complete(epoch=1), (e.Completed(at=LATER),)),
        ("paused", migrate(LONGER, reason=LONG),
         (e.Migrated(runsheet=raw(LONGER), digest=create(LONGER).digest, replaces=DIGEST, by="ana",
                     nodes=("one/step/check", D, S, G), review="production_ready", reason=CUT),)),
    ],
)  # fmt: skip
def test_what_is_recorded_says_everything_that_was_said(
    given: str, command: c.Command, events: tuple[e.RunEvent, ...]
) -> None:
    assert recorded(given, command) == events


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (3, 4)])
def test_a_step_is_tried_once_more_than_its_retries_and_a_gate_once(retries: int, tries: int) -> None:
    step = msgspec.structs.replace(SHEET.phases[0].steps[0], retries=retries)
    state = started(changed(step))
    made = 0
    while state.of(D).status is not NodeStatus.HELD:
        state = after(state, c.Begin(epoch=1, node=D, deadline=DEADLINE))
        state = after(state, c.Fail(epoch=1, node=D, reason="exit 1"))
        made += 1
    assert made == tries
    again = after(after(state, c.Release(node=D, by="ana")), c.Begin(epoch=1, node=D, deadline=DEADLINE))
    assert again.of(D).attempt == tries + 1
    last = recorded(again, c.Fail(epoch=1, node=D, reason="exit 1"))
    assert [type(event) for event in last] == ([e.Failed] if retries else [e.Failed, e.Held])


def test_a_bake_that_fails_is_held_at_once() -> None:
    phase = Phase(id="p", title="P", first_week=1, last_week=1, bake=timedelta(hours=1))
    state = started(msgspec.structs.replace(SHEET, phases=(phase,)))
    state = after(state, c.Begin(epoch=1, node="p/bake", deadline=DEADLINE))
    events = recorded(state, c.Fail(epoch=1, node="p/bake", reason="red"))
    assert [type(event) for event in events] == [e.Failed, e.Held]


# --- what is remembered ---------------------------------------------------------------------------------


def test_a_run_remembers_what_it_was_made_of() -> None:
    state = after("nothing", create(review="not_ready", forced="drill"))
    assert (state.status, state.runsheet, bytes(state.source), state.digest) == (
        Status.RUNNING, SHEET, bytes(raw(SHEET)), DIGEST,
    )  # fmt: skip
    assert (state.created_at, state.review, state.forced, state.share) == (LATER, "not_ready", "drill", 0.0)
    moved = after("paused", migrate(LONGER))
    assert (moved.status, moved.runsheet, moved.digest) == (Status.PAUSED, LONGER, create(LONGER).digest)
    assert (moved.review, moved.migrated_from, moved.created_at) == ("production_ready", (DIGEST,), NOW)
    forced = msgspec.structs.replace(MACHINE.after(*GIVEN["paused"][0]), review="not_ready")
    assert after(forced, migrate(LONGER)).review == "production_ready"
    back = after(moved, migrate(SHEET))
    assert back.migrated_from == (DIGEST, create(LONGER).digest)


def test_a_run_remembers_who_drives_it_and_who_stopped_it() -> None:
    taken = after("created", c.Take(driver="a", until=LEASE))
    assert (taken.driver, taken.epoch, taken.until) == ("a", 1, LEASE)
    assert after(taken, c.Renew(epoch=1, until=LATE)).until == LATE
    paused = after(taken, c.Pause(by="bo", reason="night"))
    assert (paused.by, paused.reason) == ("bo", "night")
    resumed = after(paused, c.Resume(by="cy", reason="day"))
    assert (resumed.by, resumed.reason) == ("cy", "day")
    aborting = after(resumed, c.Abort(by="ana", reason="wrong"))
    assert (aborting.by, aborting.reason) == ("ana", "wrong")
    assert after("all settled", c.Complete(epoch=1)).ended_at == LATER


def progress(given: str | State, command: c.Command, node: str = D) -> dict[str, object]:
    """What is known of a node after a command, without what nothing has said anything of."""
    known = msgspec.structs.asdict(after(given, command).of(node))
    return {name: value for name, value in known.items() if value != getattr(Progress(), name)}


@pytest.mark.parametrize(
    ("given", "command", "known"),
    [
        ("taken", c.Begin(epoch=1, node=D, deadline=DEADLINE),
         {"status": "begun", "attempt": 1, "epoch": 1, "at": LATER, "deadline": DEADLINE}),
        ("begun", c.Ask(epoch=1, node=D, items={"bo": "q_1"}, deadline=LATE, round=2),
         {"status": "asked", "attempt": 1, "epoch": 1, "at": NOW, "deadline": LATE, "asked": {"bo": "q_1"},
          "round": 2}),
        ("asked", c.Ask(epoch=1, node=D, items={"cy": "q_2"}, deadline=LATE, round=1),
         {"status": "asked", "attempt": 1, "epoch": 1, "at": NOW, "deadline": LATE,
          "asked": {"bo": "q_1", "cy": "q_2"}, "round": 1}),
        ("begun", c.Finish(epoch=1, node=D, evidence=PROOF),
         {"status": "done", "attempt": 1, "epoch": 1, "at": LATER, "deadline": DEADLINE, "evidence": PROOF,
          "digest": PROOF_DIGEST}),
        ("begun", c.Fail(epoch=1, node=D, reason="exit 1", evidence=PROOF),
         {"status": "failed", "attempt": 1, "epoch": 1, "at": LATER, "deadline": DEADLINE, "evidence": PROOF,
          "reason": "exit 1"}),
        ("begun", c.Hold(epoch=1, node=D, verdict=Verdict.ERRORED, reason="not_measured", evidence=PROOF),
         {"status": "held", "attempt": 1, "epoch": 1, "at": LATER, "deadline": DEADLINE, "evidence": PROOF,
          "verdict": "errored", "reason": "not_measured", "owner": "ops"}),
        ("held", c.Release(node=D, by="ana", reason="fixed"), {"attempt": 1, "attempt_before": 1}),
        ("held", c.Skip(node=D, by="ana", reason="by hand", grounds=Grounds.SIGNOFF, signoff="s_1"),
         {"status": "skipped", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "verdict": "errored",
          "reason": "not_measured", "owner": "ops", "by": "ana", "why": "by hand", "grounds": "signoff",
          "signoff": "s_1"}),
        ("waiver asked", c.Skip(node=D, by="bo", reason="by hand", grounds=Grounds.ADMIN),
         {"status": "skipped", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "verdict": "errored",
          "reason": "not_measured", "owner": "ops", "by": "bo", "why": "by hand", "grounds": "admin"}),
        ("held", c.AskWaiver(node=D, by="ana", reason="no traffic", signoff="s_1"),
         {"status": "held", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "verdict": "errored",
          "reason": "not_measured", "owner": "ops", "by": "ana", "why": "no traffic", "waiver": "s_1"}),
        ("waiver asked", c.GrantWaiver(epoch=1, node=D),
         {"status": "waived", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "verdict": "errored",
          "reason": "not_measured", "owner": "ops", "by": "ana", "why": "no traffic", "signoff": "s_1"}),
        ("waiver asked", c.RefuseWaiver(epoch=1, node=D, reason="stopped"),
         {"status": "held", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "verdict": "errored",
          "reason": "not_measured", "owner": "ops"}),
        ("aborting", c.RecordUndo(epoch=1, node=D, verified=False, reason="exit 1", evidence=PROOF),
         {"status": "undone", "attempt": 1, "epoch": 1, "at": NOW, "deadline": DEADLINE, "reason": "exit 1",
          "evidence": PROOF, "digest": sha256(b"{}").hexdigest()}),
    ],
)  # fmt: skip
def test_a_node_remembers_what_became_of_it(given: str, command: c.Command, known: dict[str, object]) -> None:
    assert progress(given, command) == known


def test_a_node_that_was_held_and_then_done_is_done_without_a_verdict() -> None:
    gate = started(SHEET, D, S)
    held = after(gate, c.Hold(epoch=1, node=G, verdict=Verdict.FAILED, reason="red"))
    known = progress(held, c.Finish(epoch=1, node=G, evidence=PROOF), G)
    assert known == {"status": "done", "at": LATER, "evidence": PROOF, "digest": PROOF_DIGEST}


def test_a_second_attempt_is_counted_and_still_says_why_the_first_failed() -> None:
    known = progress("failed once", c.Begin(epoch=1, node=D, deadline=LATE))
    assert known == {"status": "begun", "attempt": 2, "epoch": 1, "at": LATER, "deadline": LATE, "reason": "exit 1"}


def test_what_becomes_of_one_node_leaves_the_others_alone() -> None:
    before = MACHINE.after(*BEGUN, "finish")
    state = after(before, c.Begin(epoch=1, node=S, deadline=DEADLINE))
    assert state.of(D) == before.of(D)
    assert set(state.progress) == {D, S}


def test_the_share_is_remembered_when_its_step_is_done_and_not_before() -> None:
    begun = after("deployed", c.Begin(epoch=1, node=S, deadline=DEADLINE))
    assert (begun.share, begun.share_at) == (0.0, 0)
    done = after(begun, c.Finish(epoch=1, node=S))
    assert (done.share, done.share_at) == (0.5, LATER)
    settled = after(done, c.Finish(epoch=1, node=G))
    assert (settled.share, settled.share_at) == (0.5, LATER)
    nothing = started(changed(Step(id="share", kind="share")), S)
    assert nothing.share == 0.0


def test_an_event_that_the_table_allows_and_nothing_folds_is_a_fault_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(runs.NEXT, (Status.RUNNING, Planted), Status.RUNNING)  # type: ignore[misc]
    with pytest.raises(KeyError, match="Planted"):
        runs.evolve(MACHINE.after(*TAKEN), Planted())


def test_what_the_table_does_not_allow_is_a_fault() -> None:
    with pytest.raises(KeyError):
        runs.evolve(State(), e.Paused(by="ana", reason="x"))
    with pytest.raises(KeyError):
        runs.evolve(MACHINE.after(*HELD), e.Undone(node=D, verified=True))


def test_time_alone_changes_nothing_about_a_run() -> None:
    assert {runs.deadline(MACHINE.after(*names)) for names, _ in GIVEN.values()} == {None}


# --- of which runsheets runs are made -------------------------------------------------------------------


def refused(state: State, command: c.Command) -> tuple[str, str]:
    """Code and sentence."""
    outcome = runs.decide(state, command, NOW)
    assert isinstance(outcome, Refusal), outcome
    return outcome.code, outcome.message


def sealed(source: bytes) -> c.Create:
    """A runsheet as bytes with their own digest."""
    return c.Create(runsheet=msgspec.Raw(source), digest=sha256(source).hexdigest(), review=c.READY)


def test_what_cannot_be_read_is_no_runsheet() -> None:
    assert runs.decide(State(), sealed(b"{"), NOW) == Refusal(
        "run.bad_runsheet", "The runsheet cannot be read: Input data was truncated.", "Run `crossfade runsheet lint`."
    )
    assert refused(State(), sealed(b'{"runsheet":1}'))[0] == "run.bad_runsheet"


def test_a_node_that_a_run_does_not_have_is_quoted_up_to_a_length() -> None:
    skip = c.Skip(node="n" * 121, by="ana", reason="r", grounds=Grounds.ADMIN)
    assert refused(MACHINE.after(*TAKEN), skip)[1] == f"The run has no node {'n' * 120!r}."


def test_a_sign_off_that_is_held_can_still_be_asked_again_and_finished() -> None:
    phase = msgspec.structs.replace(SHEET.phases[0], entry_signoffs=(SignOff(roles=(Role.DEVOPS,)),))
    node = "one/entry/signoff/0"
    state = started(msgspec.structs.replace(SHEET, phases=(phase,)))
    state = after(state, c.Begin(epoch=1, node=node, deadline=DEADLINE))
    held = after(state, c.Hold(epoch=1, node=node, verdict=Verdict.FAILED, reason="stopped"))
    assert after(held, c.Ask(epoch=1, node=node, items={"signoff": "s_2"}, deadline=LATE)).of(node).asked
    assert after(held, c.Finish(epoch=1, node=node)).of(node).status is NodeStatus.DONE
    assert refused(held, c.Begin(epoch=1, node=node, deadline=LATE))[0] == "run.not_due"
    step = MACHINE.after(*HELD)
    for command in (c.Finish(epoch=1, node=D), c.Ask(epoch=1, node=D, items={}, deadline=LATE)):
        assert refused(step, command)[0] == "run.not_due"


def test_what_is_held_belongs_to_nobody_where_nobody_is_named() -> None:
    state = started(msgspec.structs.replace(SHEET, owner=""))
    [event] = recorded(state, c.Hold(epoch=1, node=D, verdict=Verdict.FAILED, reason="red"))
    assert isinstance(event, e.Held)
    assert event.owner == ""


def test_evidence_is_kept_as_it_is_up_to_its_greatest_size() -> None:
    for size, kept in ((runs.EVIDENCE_BYTES_MAX, True), (runs.EVIDENCE_BYTES_MAX + 1, False)):
        proof = msgspec.Raw(b'"' + b"x" * (size - 2) + b'"')
        [event] = recorded("begun", c.Finish(epoch=1, node=D, evidence=proof))
        assert isinstance(event, e.Done)
        assert (bytes(event.evidence) == bytes(proof)) is kept


@pytest.mark.parametrize(("nodes", "accepted"), [(0, False), (1, True), (1_000, True), (1_001, False)])
def test_a_run_has_one_to_a_thousand_nodes(nodes: int, *, accepted: bool) -> None:
    sheet = changed(*(Step(id=f"s{number}", kind="check", run="x") for number in range(nodes)))
    sheet = msgspec.structs.replace(sheet, phases=(msgspec.structs.replace(sheet.phases[0], exit=()),))
    outcome = runs.decide(State(), create(sheet), NOW)
    assert isinstance(outcome, Refusal) is not accepted
    if isinstance(outcome, Refusal):
        assert outcome.message == f"The runsheet has {nodes} nodes, not 1 to 1000."


@pytest.mark.parametrize(
    ("to", "roles", "missing"),
    [
        (("role:devops",), {}, "devops"),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=())}, "devops"),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=("ana",))}, ""),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=("ana",), quorum=2)}, "devops"),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=("ana", "bo"), quorum=2)}, ""),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=("ana",), quorum=0)}, ""),
        (("role:devops",), {Role.DEVOPS: RoleMembers(members=(), quorum=0)}, "devops"),
        (("role:security", "role:devops"), {Role.DEVOPS: RoleMembers(members=("ana",))}, "security"),
        (("role:security", "role:devops"), {}, "devops"),
        (("ana", "bo"), {}, ""),
    ],
)
def test_a_role_that_is_asked_needs_people_for_its_quorum(
    to: tuple[str, ...], roles: dict[Role, RoleMembers], missing: str
) -> None:
    sheet = msgspec.structs.replace(changed(Step(id="ask", kind="ask", to=to, message="Ready?")), roles=roles)
    outcome = runs.decide(State(), create(sheet), NOW)
    assert (outcome.details if isinstance(outcome, Refusal) else {}) == ({"role": missing} if missing else {})


def test_a_role_that_signs_needs_people_too() -> None:
    phase = msgspec.structs.replace(
        SHEET.phases[0], entry=(Gate(id="g", check="x"),), exit_signoffs=(SignOff(roles=(Role.PERFORMANCE,)),)
    )
    outcome = runs.decide(State(), create(msgspec.structs.replace(SHEET, phases=(phase,))), NOW)
    assert isinstance(outcome, Refusal)
    assert outcome.details == {"role": "performance"}


def test_a_review_that_says_nothing_is_quoted_as_saying_nothing() -> None:
    assert refused(State(), create(review="")) == ("run.not_ready", "The review of this runsheet says nothing.")
    assert refused(State(), create(review="not_ready", forced="  "))[0] == "run.not_ready"


def test_a_migration_takes_a_readable_runsheet_and_a_reason() -> None:
    paused = MACHINE.after(*GIVEN["paused"][0])
    assert refused(paused, migrate(LONGER, reason=" "))[0] == "run.no_reason"
    wrong = msgspec.structs.replace(migrate(LONGER), digest="0" * 64)
    assert refused(paused, wrong)[0] == "run.bad_digest"
    assert run_reading.unreasoned("why") is None


def test_a_migration_may_drop_what_was_never_begun() -> None:
    deployed = MACHINE.after(*GIVEN["paused, deployed"][0])
    without_share = changed(SHEET.phases[0].steps[0])
    assert after(deployed, migrate(without_share)).plan[-1].id == G
    released = after(msgspec.structs.replace(MACHINE.after(*HELD), status=Status.PAUSED), c.Release(node=D, by="ana"))
    assert refused(released, migrate(changed(Step(id="other", kind="check", run="x"))))[0] == "run.drops_nodes"
