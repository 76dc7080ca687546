"""What a sign-off records and remembers, field by field, and the last that its limits accept."""

import msgspec
import pytest

from crossfade.core import signoff_events as e
from crossfade.core import signoffs
from crossfade.core.decider import Refusal
from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_commands import (
    Abstain,
    Ask,
    Command,
    Expire,
    Give,
    Reinstate,
    Request,
    Return,
    Supersede,
    Suspend,
    Withdraw,
)
from crossfade.core.signoff_events import Panel, Status
from crossfade.core.signoffs import State
from crossfade.core.values import AgentName, Instant
from tests.core.test_signoffs import ANA, BO, DEADLINE, END, GIVEN, MACHINE, NOW, OPS, REQUEST, SAM, give, opened, until

CY = AgentName("cy")
SIGNED = give(BO, "devops", Outcome.CONDITIONAL, conditions=until(5_000), controls=("x",), comment="mind p99")
STOP = give(SAM, "security", Outcome.EMERGENCY_STOP, comment="leak")
RETURN = Return(by=ANA, question_id="q_ana", code="signoff.no_controls", message="why")
ABSTAIN = Abstain(by=ANA, question_id="q_ana", reason="ill")


def recorded(given: str | State, command: Command, now: Instant = NOW) -> tuple[e.SignoffEvent, ...]:
    """What a command records in a state of the table."""
    state = given if isinstance(given, State) else MACHINE.after(*GIVEN[given][0])
    events = signoffs.decide(state, command, now)
    assert not isinstance(events, Refusal), events
    return events


def after(given: str | State, *commands: Command) -> State:
    """The state that follows."""
    state = given if isinstance(given, State) else MACHINE.after(*GIVEN[given][0])
    for command in commands:
        for event in recorded(state, command):
            state = signoffs.evolve(state, event)
    return state


def refused(state: State, command: Command, now: Instant = NOW) -> tuple[str, str]:
    """Code and sentence."""
    outcome = signoffs.decide(state, command, now)
    assert isinstance(outcome, Refusal), outcome
    return outcome.code, outcome.message


@pytest.mark.parametrize(
    ("given", "command", "events"),
    [
        ("open", Ask(member=ANA, question_id="q_ana"), (e.Asked(member=ANA, question_id="q_ana"),)),
        ("open", SIGNED,
         (e.Given(by=BO, role="devops", outcome=Outcome.CONDITIONAL, given_at=Instant(1_500), question_id="q_bo",
                  conditions=until(5_000), controls=("x",), comment="mind p99"),)),
        ("open", STOP,
         (e.Stopped(by=SAM, role="security", given_at=Instant(1_500), question_id="q_sam", comment="leak"),)),
        ("asked", RETURN,
         (e.Returned(by=ANA, question_id="q_ana", code="signoff.no_controls", message="why"),)),
        ("asked", ABSTAIN, (e.Abstained(by=ANA, question_id="q_ana", reason="ill"),)),
        ("open", Supersede(digest="f" * 64), (e.Superseded(digest="f" * 64),)),
        ("approved x y", Suspend(control="x", reason="red"), (e.Suspended(control="x", reason="red"),)),
        ("x failed", Suspend(control="x", reason="red still"), ()),
        ("x failed", Reinstate(control="x"), (e.Reinstated(control="x"),)),
        ("x y failed", Reinstate(control="x"), (e.ControlRecovered(control="x"),)),
        ("x failed", Reinstate(control="y"), ()),
        ("open", Withdraw(by=OPS, reason="moved"), (e.Withdrawn(by=OPS, reason="moved"),)),
    ],
)  # fmt: skip
def test_what_is_recorded_says_everything_that_was_said(
    given: str, command: Command, events: tuple[e.SignoffEvent, ...]
) -> None:
    assert recorded(given, command) == events


def test_a_request_is_recorded_as_it_was_made() -> None:
    [event] = recorded("nothing", REQUEST)
    assert isinstance(event, e.Requested)
    assert {name: getattr(event, name) for name in Request.__struct_fields__} == msgspec.structs.asdict(REQUEST)


def test_a_state_remembers_who_was_asked_who_could_not_be_read_and_who_declined() -> None:
    asked = after("asked", Ask(member=BO, question_id="q_bo"))
    assert asked.asked == {"q_ana": ANA, "q_bo": BO}
    returned = after(asked, RETURN, Return(by=BO, question_id="q_bo", code="c", message="also"))
    assert returned.returned == {"q_ana": "why", "q_bo": "also"}
    assert recorded(returned, RETURN) == (), "once is enough"
    abstained = after(asked, ABSTAIN, Abstain(by=BO, question_id="q_bo", reason="away"))
    assert abstained.abstained == {ANA: "ill", BO: "away"}
    assert recorded(abstained, ABSTAIN) == (), "once is enough"
    for wrong in (msgspec.structs.replace(RETURN, by=BO), msgspec.structs.replace(ABSTAIN, by=BO)):
        assert refused(asked, wrong) == ("signoff.not_member", "bo was not asked that.")


def test_a_state_remembers_who_stopped_it_and_what_superseded_it() -> None:
    stopped = after("open", STOP)
    assert (stopped.status, stopped.outcome) == (Status.STOPPED, Outcome.EMERGENCY_STOP)
    assert stopped.stop == recorded("open", STOP)[0]
    assert stopped.said == (stopped.stop,)
    assert after("open", Supersede(digest="f" * 64)).reason == "f" * 64
    assert after("open", Withdraw(by=OPS, reason="moved")).reason == "moved"
    signed = after("open", SIGNED)
    assert signed.said == signed.signatures == recorded("open", SIGNED)
    assert (signed.signed(BO), signed.signed(ANA)) == (signed.signatures[0], None)
    assert after(signed, STOP).said == (*signed.signatures, stopped.stop)


def test_controls_fail_and_recover_one_by_one() -> None:
    both = MACHINE.after(*GIVEN["x y failed"][0])
    assert (both.status, both.failing) == (Status.SUSPENDED, ("x", "y"))
    one = after(both, Reinstate(control="x"))
    assert (one.status, one.failing) == (Status.SUSPENDED, ("y",))
    none = after(one, Reinstate(control="y"))
    assert (none.status, none.failing) == (Status.APPROVED, ())


PANELS = {"devops": Panel(members=(ANA, BO, CY)), "security": Panel(members=(SAM,))}


def test_who_comes_after_the_consent_cannot_add_to_it_but_can_stop_it() -> None:
    given = opened(msgspec.structs.replace(REQUEST, roles=PANELS))
    given = after(given, give(ANA, "devops"), give(SAM, "security"))
    assert given.status is Status.APPROVED
    assert refused(given, give(CY, "devops")) == ("signoff.closed", "The sign-off is approved already.")
    assert after(given, give(CY, "devops", Outcome.EMERGENCY_STOP)).status is Status.STOPPED
    late = give(CY, "devops", Outcome.EMERGENCY_STOP, given_at=END)
    assert refused(given, late) == ("signoff.closed", "The sign-off is expired already.")


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ((Outcome.APPROVED, Outcome.APPROVED_WITH_CONTROLS), Outcome.APPROVED_WITH_CONTROLS),
        ((Outcome.APPROVED_WITH_CONTROLS, Outcome.APPROVED), Outcome.APPROVED_WITH_CONTROLS),
        ((Outcome.CONDITIONAL, Outcome.APPROVED), Outcome.CONDITIONAL),
        ((Outcome.APPROVED_WITH_CONTROLS, Outcome.CONDITIONAL), Outcome.CONDITIONAL),
        ((Outcome.CONDITIONAL, Outcome.APPROVED_WITH_CONTROLS), Outcome.CONDITIONAL),
        ((Outcome.APPROVED, Outcome.APPROVED), Outcome.APPROVED),
    ],
)
def test_the_whole_is_the_most_careful_of_what_was_said(outcomes: tuple[Outcome, Outcome], whole: Outcome) -> None:
    more = {
        Outcome.APPROVED: {},
        Outcome.APPROVED_WITH_CONTROLS: {"controls": ("x",)},
        Outcome.CONDITIONAL: {"conditions": until(5_000)},
    }
    state = opened(msgspec.structs.replace(REQUEST, roles=PANELS))
    for (by, role), outcome in zip(((ANA, "devops"), (SAM, "security")), outcomes, strict=True):
        state = after(state, give(by, role, outcome, **more[outcome]))
    assert (state.status, state.outcome) == (Status.APPROVED, whole)


@pytest.mark.parametrize(
    ("roles", "members", "code"), [(16, 64, ""), (17, 1, "limit.signoff"), (1, 65, "limit.signoff")]
)
def test_as_many_roles_and_members_as_the_limit_says_may_be_asked(roles: int, members: int, code: str) -> None:
    panels = {f"r{n}": Panel(members=tuple(AgentName(f"m{n}-{m}") for m in range(members))) for n in range(roles)}
    outcome = signoffs.decide(State(), msgspec.structs.replace(REQUEST, roles=panels), NOW)
    assert (outcome.code if isinstance(outcome, Refusal) else "") == code


def written(by: AgentName, field: str, first: int, number: int) -> Give:
    """A signature with conditions or controls of its own."""
    if field == "controls":
        names = tuple(f"c{first + place}" for place in range(number))
        return give(by, "devops", Outcome.APPROVED_WITH_CONTROLS, controls=names)
    return give(by, "devops", Outcome.CONDITIONAL, conditions=until(5_000) * number)


@pytest.mark.parametrize("field", ["conditions", "controls"])
def test_a_hundred_conditions_and_controls_may_be_written_in_all(field: str) -> None:
    sixty = after("open", written(ANA, field, 0, 60))
    assert len(recorded(sixty, written(BO, field, 60, 40))) == 1
    assert refused(sixty, written(BO, field, 60, 41))[0] == "limit.signoff"


def test_a_signature_is_in_time_before_the_instant_and_not_at_it() -> None:
    state = MACHINE.after("request")
    assert len(recorded(state, give(ANA, "devops", given_at=Instant(DEADLINE - 1)))) == 1
    assert refused(state, give(ANA, "devops", given_at=DEADLINE))[0] == "signoff.closed"
    assert refused(state, Expire(), Instant(DEADLINE - 1))[0] == "signoff.not_due"
    assert recorded(state, Expire(), DEADLINE) == (e.Expired(),)


def test_somebody_in_no_panel_does_not_hold_the_role_and_neither_does_anybody_hold_one_that_is_not_asked() -> None:
    state = MACHINE.after("request")
    assert refused(state, give(CY, "devops"))[1] == "cy does not hold the role devops."
    assert refused(state, give(ANA, "legal"))[1] == "ana does not hold the role legal."
    assert state.roles_of(ANA) == ("devops", "security")
    assert state.roles_of(OPS) == ()
    assert state.candidates("devops") == (ANA, BO)


def test_a_give_says_no_more_than_a_signature_does() -> None:
    assert set(Give.__struct_fields__) - {"digest"} == set(e.Given.__struct_fields__)
