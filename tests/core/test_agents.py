"""Identities: registered once under a good name, present or away, and gone for good when retired."""

import pytest

from crossfade.core import agents
from crossfade.core.agents import Arrive, Declare, Depart, Register, Retire, State
from crossfade.core.decider import Refusal
from crossfade.core.values import AgentName, Instant, Kind
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

NOW, SEEN = Instant(2_000), Instant(1_500)
ANA = AgentName("ana")
COMMANDS: dict[str, agents.Command] = {
    "register": Register(name=ANA, kind=Kind.PROGRAM, label="team-1"),
    "register, other label": Register(name=ANA, kind=Kind.PROGRAM, label="team-2"),
    "register, other kind": Register(name=ANA, kind=Kind.PERSON),
    "register, bad name": Register(name=AgentName("Ana!"), kind=Kind.PROGRAM),
    "declare": Declare(client="kit", native=True, faces_person=False),
    "declare, cannot elicit": Declare(client="kit", native=False, faces_person=False),
    "declare, faces a person": Declare(client="kit", native=True, faces_person=True),
    "declare, other client": Declare(client="tik", native=True, faces_person=False),
    "arrive": Arrive(),
    "depart": Depart(seen_at=SEEN),
    "retire": Retire(),
}
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], NOW),
    "registered": (["register"], NOW),
    "declared": (["register", "declare"], NOW),
    "present": (["register", "declare", "arrive"], NOW),
    "departed": (["register", "declare", "arrive", "depart"], NOW),
    "retired away": (["register", "retire"], NOW),
    "retired present": (["register", "arrive", "retire"], NOW),
}


def describe(state: State) -> str:
    """Status and what is known of the client."""
    marks = [
        *([f"label {state.label}"] if state.label else []),
        *([f"client {state.client}"] if state.client else []),
        *(["native"] if state.native else []),
        *(["faces a person"] if state.faces_person else []),
        *([f"seen {state.seen_at}"] if state.seen_at else []),
    ]
    return ", ".join([str(state.status), *marks])


MACHINE = Machine(agents.DECIDER, COMMANDS, GIVEN, describe, NOW)
TABLE = rows("agents")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_transition_and_every_refusal_is_in_the_table() -> None:
    assert MACHINE.transitions() == set(agents.NEXT)
    assert MACHINE.refusals() == documented(agents.decide)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("0", True),
        ("team.a_b-c9", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("A", False),
        ("-a", False),
        (".a", False),
        ("_a", False),
        ("a b", False),
        ("a/b", False),
        ("ä", False),
        ("a\n", False),
        ("a\0", False),
    ],
)
def test_a_name_is_lower_case_plain_and_short(name: str, good: bool) -> None:
    outcome = agents.decide(State(), Register(name=AgentName(name), kind=Kind.PROGRAM), NOW)
    assert isinstance(outcome, Refusal) != good
    if isinstance(outcome, Refusal):
        assert outcome.code == "agent.bad_name"


def test_a_registration_keeps_name_kind_and_label() -> None:
    for kind in Kind:
        [event] = agents.decide(State(), Register(name=ANA, kind=kind, label="l"), NOW)  # type: ignore[misc]
        state = agents.evolve(State(), event)
        assert (state.name, state.kind, state.label) == (ANA, kind, "l")


def test_an_event_that_cannot_follow_is_a_fault() -> None:
    retired, away = MACHINE.after("register", "retire"), MACHINE.after("register")
    for state, event in (
        (State(), agents.Arrived()),
        (away, agents.Departed(seen_at=SEEN)),
        (away, agents.Registered(name=ANA, kind=Kind.PROGRAM)),
        (MACHINE.after("arrive", state=away), agents.Arrived()),
        (retired, agents.Retired()),
        (retired, agents.Declared(client="", native=True, faces_person=False)),
    ):
        with pytest.raises(KeyError):
            agents.evolve(state, event)


def test_time_alone_never_changes_an_agent() -> None:
    assert {agents.deadline(MACHINE.after(*names)) for names, _ in GIVEN.values()} == {None}
