"""Sign-offs: who may sign what, when it is enough, and everything that ends it."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import signoffs
from crossfade.core.decider import Refusal
from crossfade.core.records import Event
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
from crossfade.core.signoff_events import Approved, Asked, Condition, Expired, Panel, Parts, Status, digest_of
from crossfade.core.signoffs import State
from crossfade.core.values import AgentName, Instant
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

NOW, DEADLINE, END = Instant(1_000), Instant(2_000), Instant(9_000)
PARTS = Parts(runsheet="a" * 64, evidence="b" * 64, flags="c" * 64)
ANA, BO, OPS, EVE, SAM = (AgentName(name) for name in ("ana", "bo", "ops", "eve", "sam"))
REQUEST = Request(
    subject="run/r_1/phase/canary/entry",
    about="Begin?",
    digest=digest_of(PARTS),
    parts=PARTS,
    requested_by=OPS,
    authors=(EVE,),
    roles={"devops": Panel(members=(ANA, BO, OPS, EVE), quorum=2), "security": Panel(members=(SAM, ANA, OPS))},
    deadline=DEADLINE,
    valid_until=END,
    summary="p99 212 ms",
    replaces="s_0",
)


def give(by: AgentName, role: str, outcome: Outcome = Outcome.APPROVED, **more: object) -> Give:
    """A signature under the right digest, in time."""
    fixed = {"digest": REQUEST.digest, "given_at": Instant(1_500), "question_id": f"q_{by}", **more}
    return Give(by=by, role=role, outcome=outcome, **fixed)  # type: ignore[arg-type]


def until(instant: int) -> tuple[Condition, ...]:
    """One condition with an end."""
    return (Condition(expression="error_rate < 0.001", expires_at=Instant(instant)),)


COMMANDS: dict[str, Command] = {
    "request": REQUEST,
    "ask ana": Ask(member=ANA, question_id="q_ana"),
    "ask a stranger": Ask(member=EVE, question_id="q_eve"),
    "ana, devops": give(ANA, "devops"),
    "bo, devops": give(BO, "devops"),
    "sam, conditional": give(SAM, "security", Outcome.CONDITIONAL, conditions=until(5_000), controls=("x",)),
    "sam, controls x y": give(SAM, "security", Outcome.APPROVED_WITH_CONTROLS, controls=("x", "y")),
    "ana, security": give(ANA, "security"),
    "bo, security": give(BO, "security"),
    "ops, devops": give(OPS, "devops"),
    "eve, devops": give(EVE, "devops"),
    "bo, late": give(BO, "devops", given_at=DEADLINE),
    "bo, another digest": give(BO, "devops", digest="e" * 64),
    "bo, no condition": give(BO, "devops", Outcome.CONDITIONAL),
    "bo, no control": give(BO, "devops", Outcome.APPROVED_WITH_CONTROLS),
    "bo, approved if": give(BO, "devops", conditions=until(5_000)),
    "bo, condition past": give(BO, "devops", Outcome.CONDITIONAL, conditions=until(1_500)),
    "bo, 101 controls": give(BO, "devops", Outcome.CONDITIONAL, conditions=until(5_000), controls=("c",) * 101),
    "stop by sam": give(SAM, "security", Outcome.EMERGENCY_STOP, comment="leak"),
    "stop by ops": give(OPS, "devops", Outcome.EMERGENCY_STOP),
    "return ana's": Return(by=ANA, question_id="q_ana", code="signoff.no_controls", message="why"),
    "ana abstains": Abstain(by=ANA, question_id="q_ana", reason="ill"),
    "same digest": Supersede(digest=REQUEST.digest),
    "supersede": Supersede(digest="f" * 64),
    "x fails": Suspend(control="x", reason="red"),
    "y fails": Suspend(control="y"),
    "z fails": Suspend(control="z"),
    "x holds": Reinstate(control="x"),
    "withdraw": Withdraw(by=OPS, reason="moved"),
    "expire": Expire(),
}
BOTH = ["request", "ana, devops", "bo, devops"]
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], NOW),
    "open": (["request"], NOW),
    "due": (["request"], DEADLINE),
    "asked": (["request", "ask ana"], NOW),
    "ana signed": (["request", "ask ana", "ana, devops"], NOW),
    "security misses": (BOTH, NOW),
    "approved x y": ([*BOTH, "sam, controls x y"], NOW),
    "under condition": ([*BOTH, "sam, conditional"], Instant(5_000)),
    "x failed": ([*BOTH, "sam, controls x y", "x fails"], NOW),
    "x y failed": ([*BOTH, "sam, controls x y", "x fails", "y fails"], END),
    "stopped": (["request", "stop by sam"], NOW),
    "stale": (["request", "supersede"], NOW),
    "expired": (["request", "expire"], NOW),
    "withdrawn": (["request", "withdraw"], NOW),
}


def describe(state: State) -> str:
    """Status, outcome, what is missing, what fails."""
    missing = "+".join(f"{role} {number}" for role, number in state.missing().items()) or "nothing"
    failing = f", failing {'+'.join(state.failing)}" if state.failing else ""
    return f"{state.status}, {state.outcome or 'no outcome'}, missing {missing}{failing}"


MACHINE = Machine(signoffs.DECIDER, COMMANDS, GIVEN, describe, NOW)
TABLE = rows("signoffs")
BAD_REQUESTS = {
    "signoff.bad_digest": {"digest": "0" * 64},
    "signoff.deadline_past": {"deadline": NOW},
    "signoff.validity_short": {"valid_until": DEADLINE},
    "signoff.no_roles": {"roles": {}},
    "signoff.bad_quorum": {"roles": {"security": Panel(members=(SAM,), quorum=0)}},
    "signoff.role_empty": {"roles": {"security": Panel(members=())}},
    "signoff.role_unfilled": {"roles": {"security": Panel(members=(OPS, EVE))}},
    "limit.signoff": {"roles": {f"r{n}": Panel(members=(SAM,)) for n in range(17)}},
}


@pytest.mark.requirement("P2")
@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_transition_is_in_the_table_and_every_refusal_is_seen() -> None:
    assert MACHINE.transitions() == set(signoffs.NEXT)
    needed = {"signoff.role_needed"}
    assert MACHINE.refusals() | set(BAD_REQUESTS) | needed == documented(signoffs.decide)


@pytest.mark.parametrize("code", BAD_REQUESTS)
def test_a_request_that_could_never_be_signed_is_refused(code: str) -> None:
    wrong = msgspec.structs.replace(REQUEST, **BAD_REQUESTS[code])
    outcome = signoffs.decide(State(), wrong, NOW)
    assert isinstance(outcome, Refusal)
    assert outcome.code == code


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ({"a": Panel(members=(ANA,)), "b": Panel(members=(ANA,))}, "b"),
        ({"a": Panel(members=(ANA, BO)), "b": Panel(members=(ANA,))}, ""),
        ({"a": Panel(members=(ANA, BO), quorum=2), "b": Panel(members=(BO, SAM))}, ""),
        ({"a": Panel(members=(ANA, BO), quorum=2), "b": Panel(members=(BO, ANA))}, "b"),
        ({"a": Panel(members=(ANA, ANA), quorum=2)}, "a"),
        ({"a": Panel(members=(OPS, EVE, BO), quorum=2)}, "a"),
    ],
)
def test_nobody_counts_twice_and_seats_are_exchanged_before_a_role_is_called_unfilled(
    roles: dict[str, Panel], role: str
) -> None:
    outcome = signoffs.decide(State(), msgspec.structs.replace(REQUEST, roles=roles), NOW)
    assert (outcome.details["role"] if isinstance(outcome, Refusal) else "") == role


@given(st.lists(st.sets(st.sampled_from([ANA, BO, SAM]), max_size=3), min_size=1, max_size=3), st.integers(1, 2))
def test_a_role_is_unfilled_exactly_when_no_assignment_of_people_to_seats_exists(
    members: list[set[AgentName]], quorum: int
) -> None:
    roles = {f"r{n}": Panel(members=tuple(sorted(names)), quorum=quorum) for n, names in enumerate(members)}
    seats = [role for role in roles for _ in range(quorum)]
    possible = any(
        all(name in roles[role].members for name, role in zip(people, seats, strict=False))
        for people in itertools.permutations([ANA, BO, SAM], len(seats))
    )
    state = State(roles=roles)
    assert (signoffs.unfilled(state) == "") == possible


def test_a_member_of_two_roles_cannot_leave_the_other_without_anybody() -> None:
    roles = {"a": Panel(members=(ANA, BO)), "b": Panel(members=(ANA,))}
    state = opened(msgspec.structs.replace(REQUEST, roles=roles))
    outcome = signoffs.decide(state, give(ANA, "a"), NOW)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "signoff.role_needed"


def opened(request: Request) -> State:
    """The state after a request that must be accepted."""
    events = signoffs.decide(State(), request, NOW)
    assert not isinstance(events, Refusal)
    return signoffs.DECIDER.fold(events)


def test_a_sign_off_is_what_was_asked_for_field_by_field() -> None:
    state = opened(REQUEST)
    assert {name: getattr(state, name) for name in Request.__struct_fields__} == msgspec.structs.asdict(REQUEST)
    assert state.missing() == {"devops": 2, "security": 1}


def test_the_whole_has_the_most_careful_outcome_and_ends_with_the_first_condition() -> None:
    state = MACHINE.after(*BOTH, "sam, conditional")
    assert (state.outcome, state.lasts_until, state.controls) == (Outcome.CONDITIONAL, 5_000, ("x",))
    assert signoffs.deadline(state) == 5_000
    assert signoffs.deadline(MACHINE.after("request")) == DEADLINE
    assert signoffs.deadline(MACHINE.after("request", "withdraw")) is None
    assert signoffs.deadline(State()) is None


def test_the_digest_depends_on_every_part() -> None:
    digests = {
        digest_of(msgspec.structs.replace(PARTS, **{name: "0" * 64})) for name in ("runsheet", "evidence", "flags")
    }
    assert len(digests | {digest_of(PARTS)}) == 4


@pytest.mark.parametrize("event", [Approved(outcome=Outcome.APPROVED), Expired(), Asked(member=ANA, question_id="q")])
def test_an_event_that_cannot_follow_is_a_fault(event: Event) -> None:
    for names in ([], ["request", "withdraw"]):
        with pytest.raises(KeyError):
            signoffs.evolve(MACHINE.after(*names), event)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(sorted(COMMANDS)), max_size=12), st.sampled_from([NOW, DEADLINE, Instant(6_000), END]))
def test_whatever_comes_in_whatever_order_consent_is_never_given_by_too_few_or_by_those_who_may_not(
    names: list[str], now: Instant
) -> None:
    state = opened(REQUEST)
    for name in names:
        events = signoffs.decide(state, COMMANDS[name], now)
        before = state
        for event in () if isinstance(events, Refusal) else events:
            state = signoffs.evolve(state, event)
        if before.stop is not None or not before.live:
            assert state == before, "what has ended stays ended"
    signers = [signature.by for signature in state.signatures]
    assert len(set(signers)) == len(signers)
    assert not {OPS, EVE} & set(signers)
    assert all(signature.given_at < DEADLINE for signature in state.signatures)
    if state.status is Status.APPROVED:
        assert state.missing() == {}
        assert not state.failing
    if state.status is Status.SUSPENDED:
        assert set(state.failing) <= set(state.controls)
